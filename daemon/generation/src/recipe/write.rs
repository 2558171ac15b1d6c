//! The `parameters` text of a recipe.
//!
//! Order and quoting: AUTOMATIC1111/stable-diffusion-webui 1.10, `modules/processing.py` `create_infotext`,
//! `modules/infotext_utils.py` `quote`, and `extensions-builtin/Lora/network.py` for `Lora hashes`, which are of the tensors
//! (AutoV3) where they are known. `Hashes` is what CivitAI's own extension for A1111 appends behind all of it
//! (civitai/sd_civitai_extension, `add_resource_hashes`). Text encoders of other files are what Forge calls modules
//! (lllyasviel/stable-diffusion-webui-forge @ dfdcbab6, `modules/processing.py`); their digests nobody else writes.
//!
//! What reads it: civitai/civitai @ ebed661630d3 `src/utils/metadata/automatic.metadata.ts`, and
//! civitai/media-metadata @ 346d2bc9e77a `src/image/parsers/{automatic1111,a1111-text,detail-extractors}.ts`. Both want
//! the settings on a line that begins with `Steps: `, and take `Hashes` out as an object from keys `model`, `vae`,
//! `lora:NAME` and `embed:NAME` to digests, which the site then looks up. A quoted value becomes a table in the first of
//! them, and a picture whose model's name is a table loses all of its data (`image.schema.ts`,
//! `imageMetadataResourceSchema`). So names of files are written without the characters that would have them quoted.

use super::{ControlResource, LoraResource, Masked, Recipe, Resource, larger, names};
use paintbox_domain::generation::{InpaintArea, MaskedContent, NoiseSource, Sampler};
use std::fmt::Write as _;

/// Hexadecimal digits of a SHA-256 that A1111 and CivitAI (AutoV2) name a file by.
const AUTO_V2_DIGITS: usize = 10;
/// Of the digest of its tensors.
const AUTO_V3_DIGITS: usize = 12;

impl Recipe {
    /// The text, of one line if nothing but settings is known.
    #[must_use]
    pub fn parameters_text(&self) -> String {
        let loras = named_apart(&self.loras);
        let mut text = self.prompt.clone();
        for (name, lora) in &loras {
            let _ = match lora.text_encoder_weight.filter(|weight| weight.to_bits() != lora.weight.to_bits()) {
                // CivitAI sees the weight of a tag only where it has one.
                Some(text_encoder) => write!(text, " <lora:{name}:{text_encoder}:{}>", lora.weight),
                None => write!(text, " <lora:{name}:{}>", lora.weight),
            };
        }
        if !self.negative_prompt.is_empty() {
            let _ = write!(text, "\nNegative prompt: {}", self.negative_prompt);
        }
        text.push('\n');
        text.push_str(&settings_text(self.settings(&loras)));
        let hashes = self.hashes(&loras);
        if !hashes.is_empty() {
            // With spaces, as Python writes it: the extension does, and no reader is surprised.
            let entries: Vec<String> =
                hashes.iter().map(|(key, digits)| format!("{}: {}", json_text(key), json_text(digits))).collect();
            let _ = write!(text, ", Hashes: {{{}}}", entries.join(", "));
        }
        text.trim().to_owned()
    }

    fn settings(&self, loras: &[(String, &LoraResource)]) -> Vec<(&'static str, Option<String>)> {
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let size = self.width.zip(self.height).map(|(width, height)| format!("{width}x{height}"));
        let hashes_of = |named: Vec<(String, Option<String>)>| {
            let known = named.into_iter().filter_map(|(name, digits)| Some(format!("{name}: {}", digits?)));
            Some(known.collect::<Vec<_>>().join(", ")).filter(|list| !list.is_empty())
        };
        let lora_hashes = loras.iter().map(|(name, lora)| (name.clone(), lora.resource.tensors_digest()));
        let embedding_hashes = self.embeddings.iter().map(|resource| (resource.plain_name(), resource.short_digest()));
        let name =
            |resource: &Option<Resource>| resource.as_ref().map(Resource::plain_name).filter(|name| !name.is_empty());
        let digits = |resource: &Option<Resource>| resource.as_ref().and_then(Resource::short_digest);
        let mut settings = vec![
            ("Steps", number(self.steps)),
            ("Sampler", self.sampler.map(|sampler| names::of_sampler(sampler).to_owned())),
            ("Schedule type", self.schedule.map(|schedule| names::of_schedule(schedule).to_owned())),
            ("CFG scale", self.guidance_scale.map(|scale| scale.to_string())),
            ("Seed", self.seed.map(|seed| seed.to_string())),
            ("Size", size),
            ("Model hash", digits(&self.model)),
            ("Model", name(&self.model)),
            ("VAE hash", digits(&self.vae)),
            ("VAE", name(&self.vae)),
        ];
        let encoders = self.text_encoders.iter().map(|resource| Some(resource.plain_name()));
        settings.extend(MODULES.into_iter().zip(encoders));
        let encoder_hashes = self.text_encoders.iter().map(|resource| (resource.plain_name(), resource.short_digest()));
        settings.extend([
            ("Module hashes", hashes_of(encoder_hashes.collect())),
            ("Image CFG scale", self.image_guidance_scale.map(|scale| scale.to_string())),
            ("Denoising strength", self.strength.map(|strength| strength.to_string())),
        ]);
        settings.extend(self.hires.iter().flat_map(larger::of_hires));
        settings.extend(self.masked.into_iter().flat_map(of_mask).map(|(key, value)| (key, Some(value))));
        settings.push(("Clip skip", number(self.clip_skip.filter(|skip| *skip > 1))));
        let controls = self.controls.iter().map(|control| Some(of_control(control)));
        settings.extend(CONTROLS.into_iter().zip(controls));
        settings.extend(self.noise());
        settings.extend(self.upscale.iter().flat_map(larger::of_upscale));
        settings.extend([
            ("CFG Rescale", self.guidance_rescale.filter(|rescale| *rescale > 0.0).map(|rescale| rescale.to_string())),
            ("Lora hashes", hashes_of(lora_hashes.collect())),
            ("TI hashes", hashes_of(embedding_hashes.collect())),
            ("Version", self.program.clone()),
        ]);
        settings
    }

    /// What was set of noise, and whose numbers it is: A1111 would take a graphics card's where that is not said.
    fn noise(&self) -> [(&'static str, Option<String>); 10] {
        let noise = &self.noise;
        let variation = noise.variation();
        let number = |number: Option<f32>| number.map(|number| number.to_string());
        let eta = if self.sampler == Some(Sampler::Ddim) { "Eta DDIM" } else { "Eta" };
        let source = match noise.source.unwrap_or(NoiseSource::Cpu) {
            NoiseSource::Cpu => "CPU",
            NoiseSource::Nvidia => "NV",
        };
        [
            ("Variation seed", variation.map(|(subseed, _)| subseed.to_string())),
            ("Variation seed strength", variation.map(|(_, strength)| strength.to_string())),
            ("Seed resize from", noise.resize_from.map(|(width, height)| format!("{width}x{height}"))),
            ("ENSD", noise.eta_seed_delta.filter(|delta| *delta != 0).map(|delta| delta.to_string())),
            (eta, number(noise.eta)),
            ("Sigma churn", number(noise.s_churn)),
            ("Sigma tmin", number(noise.s_tmin)),
            ("Sigma tmax", number(noise.s_tmax)),
            ("Sigma noise", number(noise.s_noise)),
            ("RNG", Some(source.to_owned())),
        ]
    }

    /// What CivitAI looks up, by the keys that it tells kinds by.
    fn hashes(&self, loras: &[(String, &LoraResource)]) -> Vec<(String, String)> {
        let of = |key: &str, resource: &Option<Resource>| {
            Some((key.to_owned(), resource.as_ref().and_then(Resource::short_digest)?))
        };
        let model = of("model", &self.model);
        let vae = of("vae", &self.vae);
        let loras =
            loras.iter().filter_map(|(name, lora)| Some((format!("lora:{name}"), lora.resource.short_digest()?)));
        let embeddings = self
            .embeddings
            .iter()
            .filter_map(|resource| Some((format!("embed:{}", resource.plain_name()), resource.short_digest()?)));
        model.into_iter().chain(vae).chain(loras).chain(embeddings).collect()
    }
}

/// Settings in A1111's form; those without a value are left out.
pub(super) fn settings_text(settings: Vec<(&'static str, Option<String>)>) -> String {
    let said = settings.into_iter().filter_map(|(key, value)| Some(format!("{key}: {}", quoted(&value?))));
    said.collect::<Vec<_>>().join(", ")
}

/// What Forge calls what is loaded beside a model.
pub(super) const MODULES: [&str; 4] = ["Module 1", "Module 2", "Module 3", "Module 4"];

/// What Mikubill's sd-webui-controlnet calls its units.
const CONTROLS: [&str; 8] = [
    "ControlNet 0",
    "ControlNet 1",
    "ControlNet 2",
    "ControlNet 3",
    "ControlNet 4",
    "ControlNet 5",
    "ControlNet 6",
    "ControlNet 7",
];

/// What sd-webui-controlnet says of a unit (`scripts/infotext.py`).
fn of_control(control: &ControlResource) -> String {
    let ControlResource { resource, canny, strength, start, end } = control;
    let module = if canny.is_some() { "canny" } else { "none" };
    let digits =
        resource.short_digest().and_then(|digits| Some(format!(" [{}]", digits.get(..8)?))).unwrap_or_default();
    let thresholds =
        canny.map_or_else(String::new, |canny| format!("Threshold A: {}, Threshold B: {}, ", canny.low, canny.high));
    format!(
        "Module: {module}, Model: {}{digits}, Weight: {strength}, Resize Mode: Crop and Resize, {thresholds}\
         Guidance Start: {start}, Guidance End: {end}, Pixel Perfect: True, Control Mode: Balanced",
        resource.plain_name()
    )
}

/// What A1111 says of a mask (`modules/processing.py`, `StableDiffusionProcessingImg2Img.init`; `modules/ui.py`), each unless
/// it is what A1111 does when nothing is said.
fn of_mask(masked: Masked) -> Vec<(&'static str, String)> {
    let content = match masked.content {
        MaskedContent::Original => None,
        MaskedContent::Fill => Some("fill"),
        MaskedContent::Noise => Some("latent noise"),
        MaskedContent::Nothing => Some("latent nothing"),
    };
    let mut pairs: Vec<_> = content.map(|content| ("Masked content", content.to_owned())).into_iter().collect();
    if masked.invert {
        pairs.push(("Mask mode", "Inpaint not masked".to_owned()));
    }
    if let InpaintArea::OnlyMasked { padding } = masked.area {
        pairs.push(("Inpaint area", "Only masked".to_owned()));
        pairs.push(("Masked area padding", padding.to_string()));
    }
    if masked.blur > 0 {
        pairs.push(("Mask blur", masked.blur.to_string()));
    }
    pairs
}

impl Resource {
    pub(super) fn short_digest(&self) -> Option<String> {
        let whole = self.digests.iter().filter(|digest| digest.len() != AUTO_V3_DIGITS);
        whole.filter_map(|digest| digest.get(..AUTO_V2_DIGITS)).next().map(str::to_owned)
    }

    /// The digest of the tensors, else the short one of the file.
    fn tensors_digest(&self) -> Option<String> {
        let of_tensors = self.digests.iter().find(|digest| digest.len() == AUTO_V3_DIGITS);
        of_tensors.cloned().or_else(|| self.short_digest())
    }

    /// The name without what would end a tag, a pair or a list.
    pub(super) fn plain_name(&self) -> String {
        let plain = |c: char| match c {
            ',' | ':' | '"' | '\\' | '<' | '>' | '{' | '}' => '_',
            c if c.is_control() => '_',
            c => c,
        };
        self.name.trim().chars().map(plain).collect()
    }
}

/// Each LoRA under a name of its own: by their names alone their digests are told apart.
fn named_apart(loras: &[LoraResource]) -> Vec<(String, &LoraResource)> {
    let mut named: Vec<(String, &LoraResource)> = Vec::with_capacity(loras.len());
    for lora in loras {
        let plain = Some(lora.resource.plain_name()).filter(|name| !name.is_empty()).unwrap_or("lora".to_owned());
        let is_taken = |name: &str, named: &[(String, &LoraResource)]| named.iter().any(|(taken, _)| taken == name);
        let mut name = plain.clone();
        let mut number = 2;
        while is_taken(&name, &named) {
            name = format!("{plain}-{number}");
            number += 1;
        }
        named.push((name, lora));
    }
    named
}

/// A1111 quotes a value only if it would break the list.
fn quoted(value: &str) -> String {
    if value.contains([',', '\n', ':']) { json_text(value) } else { value.to_owned() }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
