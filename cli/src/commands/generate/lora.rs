//! `--lora REF[:WEIGHT[/TEXT]]`, where references have colons of their own.

use std::str::FromStr;

/// The last word of a reference's scheme: what follows it is part of the reference, however much it looks like a
/// weight. `civitai:4384` is model 4384 at weight 1.
const SCHEMES: [&str; 6] = ["civitai", "hf", "huggingface", "local", "path", "sha256"];

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoraArgument {
    pub(crate) model: String,
    /// Factor on the adapter's delta; 1 is as trained.
    pub(crate) weight: f32,
    /// The same for the text encoders; none: `weight`.
    pub(crate) text_encoder_weight: Option<f32>,
}

impl FromStr for LoraArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let weighted =
            text.rsplit_once(':').filter(|(model, _)| !ends_in_scheme(model)).and_then(|(model, weights)| {
                let (weight, text_encoder) = match weights.split_once('/') {
                    Some((weight, text_encoder)) => (weight, Some(number(text_encoder)?)),
                    None => (weights, None),
                };
                Some(Self { model: model.to_owned(), weight: number(weight)?, text_encoder_weight: text_encoder })
            });
        let whole = || Self { model: text.to_owned(), weight: 1.0, text_encoder_weight: None };
        let argument = weighted.unwrap_or_else(whole);
        if argument.model.trim().is_empty() { Err("it names no model") } else { Ok(argument) }
    }
}

fn ends_in_scheme(text: &str) -> bool {
    let last = text.rsplit(':').next().unwrap_or_default();
    SCHEMES.iter().any(|scheme| last.eq_ignore_ascii_case(scheme))
}

/// A weight as people write it; words such as `inf` and `nan`, which also parse as numbers, are names.
fn number(text: &str) -> Option<f32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E')) {
        return None;
    }
    text.parse().ok().filter(|weight: &f32| weight.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_colon_parts_the_weight_from_the_reference() {
        for (text, model, weight) in [
            ("civitai:4384", "civitai:4384", 1.0),
            ("civitai:4384:0.8", "civitai:4384", 0.8),
            ("local:17", "local:17", 1.0),
            ("local:17:0.8", "local:17", 0.8),
            ("CivitAI:4384:1", "CivitAI:4384", 1.0),
            ("civitai:4384@128713", "civitai:4384@128713", 1.0),
            ("civitai:4384@128713:-0.5", "civitai:4384@128713", -0.5),
            ("hf:org/repo", "hf:org/repo", 1.0),
            ("hf:org/repo:lora.safetensors", "hf:org/repo:lora.safetensors", 1.0),
            ("hf:org/repo:lora.safetensors:.75", "hf:org/repo:lora.safetensors", 0.75),
            ("urn:air:sdxl:lora:civitai:328553", "urn:air:sdxl:lora:civitai:328553", 1.0),
            ("urn:air:sdxl:lora:civitai:328553@368189:1e-1", "urn:air:sdxl:lora:civitai:328553@368189", 0.1),
            ("https://civitai.com/models/4384", "https://civitai.com/models/4384", 1.0),
            ("https://civitai.com/models/4384:2", "https://civitai.com/models/4384", 2.0),
            ("path:/loras/a.safetensors:0", "path:/loras/a.safetensors", 0.0),
            ("9f02751cc929:1.2", "9f02751cc929", 1.2),
            ("sha256:1234567890", "sha256:1234567890", 1.0),
            ("A name:nan", "A name:nan", 1.0),
            ("A name: with words", "A name: with words", 1.0),
            ("A name:1e99", "A name:1e99", 1.0),
        ] {
            let wanted = LoraArgument { model: model.to_owned(), weight, text_encoder_weight: None };
            assert_eq!(text.parse(), Ok(wanted), "{text}");
        }
        let both = LoraArgument { model: "civitai:4384".into(), weight: 0.8, text_encoder_weight: Some(0.5) };
        assert_eq!("civitai:4384:0.8/0.5".parse(), Ok(both));
        let name = LoraArgument { model: "a:1/x".into(), weight: 1.0, text_encoder_weight: None };
        assert_eq!("a:1/x".parse(), Ok(name));
        assert!("".parse::<LoraArgument>().is_err());
        assert!(":0.8".parse::<LoraArgument>().is_err());
    }
}
