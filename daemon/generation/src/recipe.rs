//! The recipe inside a picture: A1111's `parameters` text in a PNG's text chunk, which every gallery reads.
//!
//! Form: AUTOMATIC1111/stable-diffusion-webui, `modules/processing.py`, `create_infotext`, and its parser
//! `modules/infotext_utils.py`, `parse_generation_parameters`: the prompt, a line `Negative prompt: …`, and one
//! line of `key: value` pairs. A value with a comma, colon or line break is written as a JSON string.

use paintbox_domain::Sha256;
use paintbox_domain::generation::{PaintSettings, PaintedImage, Sampler, Schedule};
use std::fmt::Write as _;

/// What the picture was made with, beyond the settings themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe<'a> {
    pub prompt: &'a str,
    pub negative_prompt: &'a str,
    pub settings: &'a PaintSettings,
    pub seed: u64,
    /// The model's name for people, and the digest of its main weights file.
    pub model: (&'a str, Option<Sha256>),
    /// Name, digest and weight of each adapter.
    pub loras: &'a [(String, Sha256, f32)],
    /// Set for a picture that was painted over another.
    pub strength: Option<f32>,
}

impl Recipe<'_> {
    /// The `parameters` text.
    #[must_use]
    pub fn parameters_text(&self) -> String {
        let settings = self.settings;
        let mut prompt = self.prompt.to_owned();
        for (name, _, weight) in self.loras {
            let _ = write!(prompt, " <lora:{}:{weight}>", name.replace([':', '<', '>'], "_"));
        }
        let mut pairs: Vec<(&str, String)> = vec![
            ("Steps", settings.steps.to_string()),
            ("Sampler", sampler_name(settings.sampler).to_owned()),
            ("Schedule type", schedule_name(settings.schedule).to_owned()),
            ("CFG scale", settings.guidance_scale.to_string()),
            ("Seed", self.seed.to_string()),
            ("Size", format!("{}x{}", settings.width, settings.height)),
        ];
        if let Some(digest) = &self.model.1 {
            pairs.push(("Model hash", digest.to_hex()[..10].to_owned()));
        }
        pairs.push(("Model", self.model.0.to_owned()));
        if let Some(strength) = self.strength {
            pairs.push(("Denoising strength", strength.to_string()));
        }
        if settings.clip_skip > 1 {
            pairs.push(("Clip skip", settings.clip_skip.to_string()));
        }
        if !self.loras.is_empty() {
            let hashes: Vec<String> =
                self.loras.iter().map(|(name, digest, _)| format!("{name}: {}", &digest.to_hex()[..10])).collect();
            pairs.push(("Lora hashes", hashes.join(", ")));
        }
        pairs.push(("RNG", "CPU".to_owned()));
        pairs.push(("Version", concat!("Paintbox ", env!("CARGO_PKG_VERSION")).to_owned()));

        let mut text = prompt;
        if !self.negative_prompt.is_empty() {
            let _ = write!(text, "\nNegative prompt: {}", self.negative_prompt);
        }
        text.push('\n');
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {}", quoted(value))).collect();
        text.push_str(&pairs.join(", "));
        text
    }
}

/// A1111 quotes a value only if it would break the list (`infotext_utils.quote`).
fn quoted(value: &str) -> String {
    if value.contains([',', '\n', ':']) {
        serde_json::to_string(value).expect("a string is always valid JSON")
    } else {
        value.to_owned()
    }
}

/// A1111's names for the samplers.
fn sampler_name(sampler: Sampler) -> &'static str {
    match sampler {
        Sampler::Euler => "Euler",
        Sampler::EulerAncestral => "Euler a",
        Sampler::Heun => "Heun",
        Sampler::Dpm2 => "DPM2",
        Sampler::Dpm2Ancestral => "DPM2 a",
        Sampler::Lms => "LMS",
        Sampler::DpmPlusPlus2sAncestral => "DPM++ 2S a",
        Sampler::DpmPlusPlus2m => "DPM++ 2M",
        Sampler::DpmPlusPlusSde => "DPM++ SDE",
        Sampler::DpmPlusPlus2mSde => "DPM++ 2M SDE",
        Sampler::DpmPlusPlus2mSdeHeun => "DPM++ 2M SDE Heun",
        Sampler::DpmPlusPlus3mSde => "DPM++ 3M SDE",
        Sampler::Lcm => "LCM",
        Sampler::Ddim => "DDIM",
    }
}

/// A1111's names for the schedules.
fn schedule_name(schedule: Schedule) -> &'static str {
    match schedule {
        Schedule::Normal => "Normal",
        Schedule::Karras => "Karras",
        Schedule::DdimUniform => "DDIM",
        Schedule::Simple => "Simple",
        Schedule::SgmUniform => "SGM Uniform",
        Schedule::Exponential => "Exponential",
        Schedule::Beta => "Beta",
        Schedule::AlignYourSteps => "Align Your Steps",
    }
}

/// A picture could not be encoded.
#[derive(Debug, thiserror::Error)]
#[error("cannot write a {width}×{height} picture as PNG")]
pub struct EncodeError {
    width: u32,
    height: u32,
    #[source]
    source: png::EncodingError,
}

/// The picture as an 8-bit RGB PNG with its recipe. Text outside Latin-1 goes into an `iTXt` chunk, the rest into
/// `tEXt`, as PNG (third edition, 11.3.3) wants and as A1111's reader accepts.
///
/// # Errors
/// When the pixel buffer does not fit the size.
pub(crate) fn encode_png(image: &PaintedImage, parameters: &str) -> Result<Vec<u8>, EncodeError> {
    let failed = |source| EncodeError { width: image.width, height: image.height, source };
    let mut bytes = Vec::with_capacity(image.rgb.len() / 2);
    let mut encoder = png::Encoder::new(&mut bytes, image.width, image.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let latin1 = parameters.chars().all(|c| u32::from(c) < 256 && c != '\0');
    if latin1 {
        encoder.add_text_chunk("parameters".to_owned(), parameters.to_owned()).map_err(failed)?;
    } else {
        encoder.add_itxt_chunk("parameters".to_owned(), parameters.replace('\0', " ")).map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&image.rgb).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::Architecture;

    fn settings() -> PaintSettings {
        PaintSettings {
            architecture: Architecture::Sd1,
            steps: 25,
            guidance_scale: 3.0,
            sampler: Sampler::DpmPlusPlus2m,
            schedule: Schedule::Karras,
            width: 64,
            height: 64,
            clip_skip: 2,
        }
    }

    fn recipe<'a>(settings: &'a PaintSettings, loras: &'a [(String, Sha256, f32)]) -> Recipe<'a> {
        Recipe {
            prompt: "red heart",
            negative_prompt: "blurry, grey",
            settings,
            seed: 7,
            model: ("Tiny Emoji, v1", Some(Sha256::from_bytes([0xab; 32]))),
            loras,
            strength: None,
        }
    }

    #[test]
    fn writes_the_text_that_a1111_parses() {
        let settings = settings();
        let loras = [("greyscale".to_owned(), Sha256::from_bytes([0xcd; 32]), 0.8)];
        assert_eq!(
            recipe(&settings, &loras).parameters_text(),
            format!(
                "red heart <lora:greyscale:0.8>\nNegative prompt: blurry, grey\nSteps: 25, Sampler: DPM++ 2M, \
                 Schedule type: Karras, CFG scale: 3, Seed: 7, Size: 64x64, Model hash: ababababab, \
                 Model: \"Tiny Emoji, v1\", Clip skip: 2, Lora hashes: \"greyscale: cdcdcdcdcd\", RNG: CPU, \
                 Version: Paintbox {}",
                env!("CARGO_PKG_VERSION")
            )
        );
    }

    #[test]
    fn a_png_carries_any_recipe_and_its_pixels_unchanged() {
        let image = PaintedImage { seed: 1, width: 2, height: 1, rgb: vec![1, 2, 3, 250, 251, 252] };
        for text in ["red heart\nSteps: 1", "赤いハート\nSteps: 1", "café"] {
            let bytes = encode_png(&image, text).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
            let mut pixels = vec![0; 6];
            reader.next_frame(&mut pixels).unwrap();
            assert_eq!(pixels, image.rgb);
            let info = reader.info();
            let found = info
                .uncompressed_latin1_text
                .iter()
                .map(|chunk| (chunk.keyword.clone(), chunk.text.clone()))
                .chain(info.utf8_text.iter().map(|chunk| (chunk.keyword.clone(), chunk.get_text().unwrap())))
                .collect::<Vec<_>>();
            assert_eq!(found, [("parameters".to_owned(), text.to_owned())]);
        }
    }

    #[test]
    fn a_wrong_buffer_is_an_error_not_a_panic() {
        let image = PaintedImage { seed: 1, width: 2, height: 2, rgb: vec![0; 3] };
        assert!(encode_png(&image, "x").is_err());
    }
}
