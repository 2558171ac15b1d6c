//! LoRAs that a prompt names itself: `<lora:name:0.8>`, as A1111 has it.
//!
//! Facts from AUTOMATIC1111/stable-diffusion-webui v1.10 `modules/extra_networks.py` (`re_extra_net`, `parse_prompt`) and
//! `extensions-builtin/Lora/extra_networks_lora.py` (`activate`): the parts are the name, the text encoders' weight, the
//! UNet's (by default the same) and the dynamic rank, by place or as `te=`, `unet=` and `dyn=`.

use crate::error::GenerationError;

/// What `<lora:…>` says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoraTag {
    /// The file's name without folders and ending.
    pub(crate) name: String,
    pub(crate) weight: f32,
    pub(crate) text_encoder_weight: f32,
}

/// A prompt without its tags, and what they say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tagged {
    pub(crate) prompt: String,
    pub(crate) loras: Vec<LoraTag>,
}

/// Takes the tags out of a prompt. What looks like one but is of no kind that we know is text.
///
/// # Errors
/// When a tag is not understood, or asks for what is not supported.
pub(crate) fn tagged(prompt: &str) -> Result<Tagged, GenerationError> {
    let (mut text, mut loras) = (String::with_capacity(prompt.len()), Vec::new());
    let mut rest = prompt;
    while let Some(start) = rest.find('<') {
        let (before, tag) = rest.split_at(start);
        text.push_str(before);
        let inside = tag.find('>').map(|end| (&tag[1..end], &tag[end + 1..]));
        let found = inside.and_then(|(inside, behind)| Some((inside.split_once(':')?, behind)));
        match found {
            Some((("lora" | "lyco", arguments), behind)) => {
                loras.push(lora(arguments)?);
                rest = behind;
            }
            Some((("hypernet", arguments), _)) => {
                return Err(refused(&format!("<hypernet:{arguments}>"), "hypernetworks are not supported"));
            }
            _ => {
                text.push('<');
                rest = &tag[1..];
            }
        }
    }
    text.push_str(rest);
    Ok(Tagged { prompt: text, loras })
}

fn lora(arguments: &str) -> Result<LoraTag, GenerationError> {
    let refuse = |problem| refused(&format!("<lora:{arguments}>"), problem);
    let number = |text: &str| match text.trim().parse::<f32>() {
        Ok(weight) if weight.is_finite() && weight.abs() <= 100.0 => Ok(weight),
        _ => Err(refuse("its weight is not a number from -100 to 100")),
    };
    let (mut name, mut text_encoder, mut unet) = (None, None, None);
    let mut places = 0;
    for part in arguments.split(':') {
        match part.split_once('=') {
            Some(("te", weight)) => text_encoder = Some(number(weight)?),
            Some(("unet", weight)) => unet = Some(number(weight)?),
            Some(("dyn", _)) => return Err(refuse("a dynamic rank is not supported")),
            _ => {
                match places {
                    0 => name = Some(part.trim()).filter(|name| !name.is_empty()),
                    1 => text_encoder = text_encoder.or(Some(number(part)?)),
                    2 => unet = unet.or(Some(number(part)?)),
                    _ => return Err(refuse("a dynamic rank is not supported")),
                }
                places += 1;
            }
        }
    }
    let name = name.ok_or_else(|| refuse("it names no file"))?.to_owned();
    let text_encoder_weight = text_encoder.unwrap_or(1.0);
    Ok(LoraTag { name, weight: unet.unwrap_or(text_encoder_weight), text_encoder_weight })
}

fn refused(tag: &str, problem: &str) -> GenerationError {
    GenerationError::Invalid { field: "prompt", problem: format!("{tag}: {problem}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str, text_encoder_weight: f32, weight: f32) -> LoraTag {
        LoraTag { name: name.into(), weight, text_encoder_weight }
    }

    #[test]
    fn tags_are_read_as_a1111_reads_them() {
        let cases = [
            ("a <lora:foo:0.8> b", "a  b", vec![tag("foo", 0.8, 0.8)]),
            ("<lora:foo>", "", vec![tag("foo", 1.0, 1.0)]),
            ("<lora:foo:0.8:0.5>x", "x", vec![tag("foo", 0.8, 0.5)]),
            ("<lora:foo:unet=0.5>", "", vec![tag("foo", 1.0, 0.5)]),
            ("<lora:foo:te=0.25>", "", vec![tag("foo", 0.25, 0.25)]),
            ("<lora:foo:te=0:unet=1><lyco:bar v2:-1>", "", vec![tag("foo", 0.0, 1.0), tag("bar v2", -1.0, -1.0)]),
            ("1 < 2, <3, <style:x>", "1 < 2, <3, <style:x>", vec![]),
            ("<lora:foo", "<lora:foo", vec![]),
            ("<a<lora:foo>", "<a", vec![tag("foo", 1.0, 1.0)]),
        ];
        for (prompt, text, loras) in cases {
            assert_eq!(tagged(prompt).unwrap(), Tagged { prompt: text.into(), loras }, "{prompt}");
        }
    }

    #[test]
    fn what_a_tag_cannot_mean_is_said() {
        for prompt in ["<lora:>", "<lora:a:b>", "<lora:a:nan>", "<lora:a:1:1:8>", "<lora:a:dyn=8>", "<hypernet:a:1>"] {
            let error = tagged(prompt).unwrap_err();
            assert!(matches!(&error, GenerationError::Invalid { field: "prompt", .. }), "{prompt}: {error}");
            assert!(error.to_string().contains(prompt), "{error}");
        }
    }
}
