//! Textual inversions that `torch.save` wrote, read without running anything of them.
//!
//! Such a file is a Python pickle, which is a program: whoever runs it runs whatever its writer wanted. Nothing is run here.
//! `machine` follows the few instructions that dictionaries of tensors are written with, as a list of what stands where;
//! a name of Python's that is not one of those that such files have ends it. What comes out are numbers and texts, and where
//! in the file the numbers of tensors lie, which is all that a header of safetensors says too.
//!
//! Containers: the zip of torch 1.6 and later, whose entries are stored as they are, and the row of pickles before it
//! (pytorch/pytorch `torch/serialization.py` at v2.9.1, `_save`, `_legacy_save`). Forms of dictionaries: those that
//! AUTOMATIC1111/stable-diffusion-webui v1.10 takes (`modules/textual_inversion/textual_inversion.py`,
//! `create_embedding_from_data`), by safetensors' names for them.

mod error;
mod legacy;
mod machine;
mod zip;

pub use error::TorchError;

use crate::safetensors::{Header, TensorInfo};
use crate::shapes::for_message;
use machine::{Id, Node, Pickle, Tensor};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

/// Vectors for all of a prompt's places in the widest encoders take less than a megabyte; what trained them, some more.
pub(crate) const MAX_FILE_BYTES: u64 = 32 << 20;
/// Texts beside the vectors that are kept, and their length.
const MAX_NOTE_BYTES: usize = 1_024;

/// Where the bytes of storages lie, by their keys.
type Places = BTreeMap<String, (usize, usize)>;

/// The tensors of a textual inversion, by the names that the same file would have as safetensors: `string_to_param.*`,
/// `clip_l` and `clip_g`, or the word itself. What else it says of itself (`name`, `step`) is its metadata.
///
/// # Errors
/// See [`TorchError`]: when the file is none of `torch.save`'s, is no textual inversion, or has anything in it that one does
/// not need.
pub fn read_textual_inversion(reader: &mut (impl Read + Seek), file_len: u64) -> Result<Header, TorchError> {
    if file_len > MAX_FILE_BYTES {
        return Err(TorchError::TooLarge { what: "file", size: file_len, limit: MAX_FILE_BYTES });
    }
    let mut bytes = Vec::new();
    reader
        .seek(SeekFrom::Start(0))
        .and_then(|_| reader.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|source| TorchError::Read { source })?;
    let (pickle, places) = if bytes.starts_with(zip::MAGIC) { from_zip(&bytes)? } else { legacy::read(&bytes)? };
    header(&pickle, &places)
}

fn from_zip(bytes: &[u8]) -> Result<(Pickle, Places), TorchError> {
    let entries = zip::entries(bytes)?;
    // Everything lies in one folder.
    let program = entries.iter().find_map(|(name, place)| Some((name.strip_suffix("/data.pkl")?, place)));
    let Some((root, program)) = program else {
        return Err(TorchError::Broken { what: "zip", problem: "it has no data.pkl" });
    };
    if let Some(order) = entries.get(&format!("{root}/byteorder"))
        && bytes.get(order.0..order.1) != Some(b"little")
    {
        return Err(TorchError::Broken { what: "zip", problem: "its numbers are not little-endian" });
    }
    let pickle = Pickle::read(bytes.get(program.0..program.1).unwrap_or_default())?.0;
    let folder = format!("{root}/data/");
    let of_storage = |(name, place): (&String, &(usize, usize))| Some((name.strip_prefix(&folder)?.to_owned(), *place));
    let places = entries.iter().filter_map(of_storage).collect();
    Ok((pickle, places))
}

fn header(pickle: &Pickle, places: &Places) -> Result<Header, TorchError> {
    let Node::Dictionary(entries) = pickle.node(pickle.root) else {
        return Err(TorchError::NoInversion { problem: "it is no dictionary" });
    };
    let by_name = |name: &str| entries.iter().find(|(key, _)| pickle.text(*key) == Some(name)).map(|(_, value)| *value);
    let found: Vec<(String, Id)> = if let Some(terms) = by_name("string_to_param") {
        let terms =
            pickle.parameters(terms).ok_or(TorchError::NoInversion { problem: "its terms are no dictionary" })?;
        let [(_, only)] = terms[..] else {
            return Err(TorchError::NoInversion { problem: "it has not exactly one term" });
        };
        vec![("string_to_param.*".to_owned(), only)]
    } else if let (Some(small), Some(large)) = (by_name("clip_l"), by_name("clip_g")) {
        vec![("clip_l".to_owned(), small), ("clip_g".to_owned(), large)]
    } else if let [(word, only)] = entries[..] {
        vec![(pickle.text(word).unwrap_or_default().to_owned(), only)]
    } else {
        return Err(TorchError::NoInversion { problem: "it holds other things than a textual inversion" });
    };
    let mut header = Header::default();
    for (name, value) in found {
        let Node::Tensor(tensor) = pickle.node(value) else {
            return Err(TorchError::NoInversion { problem: "its term is no tensor" });
        };
        header.tensors.insert(for_message(&name), place(tensor, places)?);
    }
    for (key, value) in entries {
        let Some(key) = pickle.text(*key) else { continue };
        let said = match pickle.node(*value) {
            Node::Text(text) => text.clone(),
            Node::Integer(number) => number.to_string(),
            _ => continue,
        };
        if key.len() + said.len() <= MAX_NOTE_BYTES {
            header.metadata.insert(key.to_owned(), said);
        }
    }
    Ok(header)
}

/// Where a tensor lies, which must be in one piece.
fn place(tensor: &Tensor, places: &Places) -> Result<TensorInfo, TorchError> {
    let broken = |problem| TorchError::Broken { what: "tensor", problem };
    let Some(dtype) = tensor.storage.dtype else {
        return Err(broken("its numbers are of a type that no vectors have"));
    };
    let Some((start, end)) = places.get(&tensor.storage.key).copied() else {
        return Err(broken("its numbers are not in the file"));
    };
    let mut elements = 1_u64;
    for (size, stride) in tensor.shape.iter().zip(&tensor.strides).rev() {
        if *size > 1 && *stride != elements {
            return Err(broken("its numbers are not in one piece"));
        }
        elements = elements.checked_mul(*size).ok_or(broken("it is larger than any memory"))?;
    }
    let width = dtype.bits() / 8;
    let bytes_from = |elements: u64| elements.checked_mul(width).and_then(|bytes| bytes.checked_add(start as u64));
    let last = tensor.offset.checked_add(elements);
    let (first, last) = (bytes_from(tensor.offset), last.and_then(bytes_from));
    let (Some(first), Some(last)) = (first, last.filter(|last| *last <= end as u64)) else {
        return Err(broken("its numbers go beyond its storage"));
    };
    let shape = tensor.shape.iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX)).collect();
    Ok(TensorInfo { dtype, shape, start: first, end: last })
}

#[cfg(test)]
mod tests;
