//! Asking for a tensor's shape by name, whoever keeps the shapes.

use crate::safetensors::Header;
use std::collections::BTreeMap;

/// Anything that knows tensor shapes by name. Dimensions are in torch order, outermost first.
pub trait TensorShapes {
    fn shape_of(&self, name: &str) -> Option<&[usize]>;
}

impl TensorShapes for Header {
    fn shape_of(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.as_slice())
    }
}

impl TensorShapes for BTreeMap<String, Vec<usize>> {
    fn shape_of(&self, name: &str) -> Option<&[usize]> {
        self.get(name).map(Vec::as_slice)
    }
}

/// A name before and behind its last dot. Asked of every tensor, and the last word is short, so it is looked for byte by
/// byte from the end.
pub(crate) fn split_last(name: &str) -> Option<(&str, &str)> {
    let dot = name.bytes().rposition(|byte| byte == b'.')?;
    Some((name.get(..dot)?, name.get(dot + 1..)?))
}

/// A name or value from a file, cut to a length that is fit for an error message.
pub(crate) fn for_message(text: &str) -> String {
    const SHOWN_CHARACTERS: usize = 160;
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}
