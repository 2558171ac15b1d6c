//! `--control REF=FILE[,OPTION]…`, where references and file names may have commas and equals signs of their own.

use paintbox_proto::v1;
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ControlArgument {
    model: String,
    pub(crate) image: PathBuf,
    strength: Option<f32>,
    start: Option<f32>,
    end: Option<f32>,
    /// Thresholds, where edges are to be taken.
    canny: Option<(Option<u32>, Option<u32>)>,
}

impl ControlArgument {
    /// What is asked of the daemon, which calls the picture `image`.
    pub(crate) fn message(&self, image: String) -> v1::ControlNet {
        v1::ControlNet {
            model: self.model.clone(),
            image,
            canny: self.canny.map(|(low, high)| v1::Canny { low, high }),
            strength: self.strength,
            start: self.start,
            end: self.end,
        }
    }
}

impl FromStr for ControlArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let empty = || Self {
            model: String::new(),
            image: PathBuf::new(),
            strength: None,
            start: None,
            end: None,
            canny: None,
        };
        // Options end the text; the first part from behind that is none belongs to the file's name.
        let mut rest = text;
        let mut argument = empty();
        while let Some((before, option)) = rest.rsplit_once(',') {
            if !argument.take(option)? {
                break;
            }
            rest = before;
        }
        let (model, image) = rest.rsplit_once('=').ok_or("it has no `=` between the ControlNet and its picture")?;
        if model.trim().is_empty() || image.is_empty() {
            return Err("it names no ControlNet or no picture".to_owned());
        }
        Ok(Self { model: model.to_owned(), image: PathBuf::from(image), ..argument })
    }
}

impl ControlArgument {
    /// Takes an option in; false for what is none.
    fn take(&mut self, option: &str) -> Result<bool, String> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let number = || value.parse::<f32>().map(Some).map_err(|_| format!("`{value}` is not a number"));
        match name {
            "strength" => self.strength = number()?,
            "start" => self.start = number()?,
            "end" => self.end = number()?,
            "canny" => {
                let threshold = |text: &str| match text {
                    "" => Ok(None),
                    text => text.parse().map(Some).map_err(|_| format!("`{text}` is not a threshold")),
                };
                let (low, high) = value.split_once(':').unwrap_or((value, ""));
                self.canny = Some((threshold(low)?, threshold(high)?));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_behind() {
        let of = |text: &str| text.parse::<ControlArgument>().unwrap();
        let plain = of("civitai:38784=edges.png");
        assert_eq!((plain.model.as_str(), plain.image.to_str()), ("civitai:38784", Some("edges.png")));
        assert_eq!((plain.strength, plain.canny), (None, None));
        let all = of("hf:a/b:c.safetensors=my, own=photo.png,canny=50:150,strength=0.8,start=0.1,end=0.5");
        assert_eq!((all.model.as_str(), all.image.to_str()), ("hf:a/b:c.safetensors=my, own", Some("photo.png")));
        assert_eq!(all.canny, Some((Some(50), Some(150))));
        assert_eq!((all.strength, all.start, all.end), (Some(0.8), Some(0.1), Some(0.5)));
        let address = of("https://civitai.com/models/1?modelVersionId=2=a,b.png,canny");
        assert_eq!(address.model, "https://civitai.com/models/1?modelVersionId=2");
        assert_eq!((address.image.to_str(), address.canny), (Some("a,b.png"), Some((None, None))));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in ["civitai:1", "=a.png", "civitai:1=", "civitai:1=a.png,strength=much", "civitai:1=a.png,canny=x"] {
            assert!(text.parse::<ControlArgument>().is_err(), "{text}");
        }
    }
}
