//! Tags in a prompt that name networks, `<lora:name:0.8>`.
//!
//! AUTOMATIC1111/stable-diffusion-webui 1.10, `modules/extra_networks.py` `parse_prompt`, and
//! `extensions-builtin/Lora/extra_networks_lora.py` (`activate`) for what the numbers mean: the text encoders' weight, the
//! UNet's (by default the same) and the dynamic rank, by place or as `te=`, `unet=` and `dyn=`.

use crate::error::GenerationError;

/// A longer one is no tag.
const LONGEST_TAG_BYTES: usize = 300;

/// What a tag says; `remark` is what is not understood of it.
#[derive(Debug, PartialEq)]
pub(crate) enum Tag {
    Lora { name: String, weight: f32, text_encoder_weight: Option<f32>, remark: Option<&'static str> },
    Hypernet { name: String },
}

/// A LoRA that a prompt to be painted names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoraTag {
    /// The file's name without folders and ending.
    pub(crate) name: String,
    pub(crate) weight: f32,
    /// None: the same.
    pub(crate) text_encoder_weight: Option<f32>,
}

/// A prompt without its tags, and what they name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tagged {
    pub(crate) prompt: String,
    pub(crate) loras: Vec<LoraTag>,
}

/// Takes the tags out of a prompt that is to be painted.
///
/// # Errors
/// When a tag is not understood, or asks for what is not supported.
pub(crate) fn tagged(prompt: &str) -> Result<Tagged, GenerationError> {
    let refuse = |tag: &str, name: &str, problem: &str| {
        Err(GenerationError::Invalid { field: "prompt", problem: format!("<{tag}:{name}>: {problem}") })
    };
    let (prompt, tags) = take(prompt);
    let mut loras = Vec::with_capacity(tags.len());
    for tag in tags {
        match tag {
            Tag::Hypernet { name } => return refuse("hypernet", &name, "hypernetworks are not supported"),
            Tag::Lora { name, remark: Some(problem), .. } => return refuse("lora", &name, problem),
            Tag::Lora { name, weight, text_encoder_weight, remark: None } => {
                if [Some(weight), text_encoder_weight].into_iter().flatten().any(|weight| weight.abs() > 100.0) {
                    return refuse("lora", &name, "a weight is at most 100");
                }
                loras.push(LoraTag { name, weight, text_encoder_weight });
            }
        }
    }
    Ok(Tagged { prompt, loras })
}

/// The prompt without its tags, and what they name. What looks like one but is of no kind that we know is text.
pub(crate) fn take(prompt: &str) -> (String, Vec<Tag>) {
    let mut found = Vec::new();
    let mut kept = String::with_capacity(prompt.len());
    let mut rest = prompt;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        kept.push_str(before);
        match tag(from) {
            Some((tag, length)) => {
                rest = &from[length..];
                // The space before a tag belongs to it.
                if kept.ends_with(' ') && (rest.is_empty() || rest.starts_with(char::is_whitespace)) {
                    kept.pop();
                }
                found.push(tag);
            }
            None => {
                kept.push('<');
                rest = &from[1..];
            }
        }
    }
    kept.push_str(rest);
    (if found.is_empty() { kept } else { kept.trim().to_owned() }, found)
}

/// The tag that a text begins with, and its length in bytes.
fn tag(text: &str) -> Option<(Tag, usize)> {
    let bytes = text.as_bytes();
    let end = bytes.iter().take(LONGEST_TAG_BYTES).position(|byte| *byte == b'>')?;
    let (kind, rest) = text.get(1..end)?.split_once(':')?;
    let mut parts = rest.split(':');
    let name = parts.next()?.trim().to_owned();
    if name.is_empty() || name.contains('<') {
        return None;
    }
    let tag = match kind {
        "lora" | "lyco" => lora(name, parts),
        "hypernet" => Tag::Hypernet { name },
        _ => return None,
    };
    Some((tag, end + 1))
}

/// `te` and `unet` by place or by name; of one number, both.
fn lora<'a>(name: String, parts: impl Iterator<Item = &'a str>) -> Tag {
    let (mut text_encoder, mut network, mut remark) = (None, None, None);
    let mut place = 0;
    for part in parts {
        let (key, value) = part.split_once('=').map_or(("", part), |(key, value)| (key.trim(), value));
        let number = value.trim().parse().ok().filter(|weight: &f32| weight.is_finite());
        match (key, place) {
            ("", 0) | ("te", _) => text_encoder = number,
            ("", 1) | ("unet", _) => network = number,
            _ => remark = Some("it says more than its weights, which is not supported"),
        }
        if number.is_none() {
            remark = Some("its weight is not a number");
        }
        place += usize::from(key.is_empty());
    }
    // The text encoders' is 1 where only the UNet's is said.
    let text_encoder = text_encoder.unwrap_or(1.0_f32);
    let weight: f32 = network.unwrap_or(text_encoder);
    let text_encoder_weight = Some(text_encoder).filter(|text_encoder| text_encoder.to_bits() != weight.to_bits());
    Tag::Lora { name, weight, text_encoder_weight, remark }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora(name: &str, weight: f32) -> Tag {
        Tag::Lora { name: name.to_owned(), weight, text_encoder_weight: None, remark: None }
    }

    #[test]
    fn tags_are_taken_out_wherever_they_stand() {
        for (prompt, wanted, tags) in [
            ("red heart <lora:grey:0.8>", "red heart", vec![lora("grey", 0.8)]),
            ("<lora:a b:1>, red <lyco:c:-.5> heart", ", red heart", vec![lora("a b", 1.0), lora("c", -0.5)]),
            ("<lora:a>x<lora:b:0>", "x", vec![lora("a", 1.0), lora("b", 0.0)]),
            ("a < b: <lora> <wildcard:x> <lora:> c>", "a < b: <lora> <wildcard:x> <lora:> c>", vec![]),
            ("<hypernet:h:1>", "", vec![Tag::Hypernet { name: "h".to_owned() }]),
            ("<<lora:é:1>", "<", vec![lora("é", 1.0)]),
            ("<lora:x:te=0.5:unet=0.5>", "", vec![lora("x", 0.5)]),
            ("1 < 2, <3, <style:x>", "1 < 2, <3, <style:x>", vec![]),
            ("<lora:foo", "<lora:foo", vec![]),
        ] {
            assert_eq!(take(prompt), (wanted.to_owned(), tags), "{prompt}");
        }
        let (_, tags) = take("<lora:a:0.5:1> <lora:b:x> <lora:c:1:1:lbw=y>");
        let weights: Vec<_> = tags
            .iter()
            .map(|tag| match tag {
                Tag::Lora { weight, text_encoder_weight, remark, .. } => {
                    (*weight, *text_encoder_weight, remark.is_some())
                }
                Tag::Hypernet { .. } => panic!("{tags:?}"),
            })
            .collect();
        assert_eq!(weights, [(1.0, Some(0.5), false), (1.0, None, true), (1.0, None, true)]);
    }

    #[test]
    fn what_is_painted_has_two_weights_and_nothing_that_is_not_understood() {
        let found = tagged("a <lora:foo:0.8:0.5> b <lora:bar:unet=0.5><lora:baz:te=0.25>").unwrap();
        let weights: Vec<_> = found.loras.iter().map(|lora| (lora.weight, lora.text_encoder_weight)).collect();
        assert_eq!(weights, [(0.5, Some(0.8)), (0.5, Some(1.0)), (0.25, None)]);
        for prompt in
            ["<lora:a:b>", "<lora:a:nan>", "<lora:a:1e9>", "<lora:a:1:1:8>", "<lora:a:dyn=8>", "<hypernet:a:1>"]
        {
            let error = tagged(prompt).unwrap_err();
            assert!(matches!(&error, GenerationError::Invalid { field: "prompt", .. }), "{prompt}: {error}");
            assert!(error.to_string().contains(":a>"), "{error}");
        }
    }
}
