//! A generation's specification and settings as the JSON that its row keeps.
//!
//! Field names are part of the catalogue's format: they may be added to, never renamed.

mod larger;

use larger::{HiresRow, HiresSettingsRow, UpscaleRow};
use paintbox_domain::generation::{
    Canny, ControlNetUse, GenerationSpec, InpaintUse, LoraUse, MaskedContent, NoiseSettings, NoiseSource,
    PaintSettings, PictureFormat, Sampler, Schedule,
};
use paintbox_domain::{Architecture, Sha256};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SpecRow {
    model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vae: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    text_encoders: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    embeddings: Vec<String>,
    prompt: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    negative_prompt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guidance_scale: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sampler: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clip_skip: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    loras: Vec<LoraRow>,
    count: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init_image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strength: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quality: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inpaint: Option<InpaintRow>,
    #[serde(flatten)]
    noise: NoiseRow,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guidance_rescale: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_guidance_scale: Option<f32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    controls: Vec<ControlRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taesd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hires: Option<HiresRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upscale: Option<UpscaleRow>,
}

#[derive(Serialize, Deserialize)]
struct ControlRow {
    model: String,
    image: String,
    /// Thresholds, the lower first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canny: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strength: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<f32>,
}

impl ControlRow {
    fn of(control: &ControlNetUse) -> Self {
        let ControlNetUse { model, image, canny, strength, start, end } = control.clone();
        let canny = canny.map(|canny| (canny.low, canny.high));
        Self { model, image: image.to_string(), canny, strength, start, end }
    }

    fn read(self) -> Option<ControlNetUse> {
        let Self { model, image, canny, strength, start, end } = self;
        let canny = canny.map(|(low, high)| Canny { low, high });
        Some(ControlNetUse { model, image: image.parse().ok()?, canny, strength, start, end })
    }
}

#[derive(Serialize, Deserialize)]
struct InpaintRow {
    mask: String,
    #[serde(default)]
    invert: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blur: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(default)]
    only_masked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    padding: Option<u32>,
}

impl InpaintRow {
    fn of(inpaint: &InpaintUse) -> Self {
        Self {
            mask: inpaint.mask.to_string(),
            invert: inpaint.invert,
            blur: inpaint.blur,
            content: inpaint.content.map(|content| content.to_string()),
            only_masked: inpaint.only_masked,
            padding: inpaint.padding,
        }
    }

    fn read(self) -> Option<InpaintUse> {
        Some(InpaintUse {
            mask: self.mask.parse().ok()?,
            invert: self.invert,
            blur: self.blur,
            content: self.content.as_deref().and_then(MaskedContent::from_name),
            only_masked: self.only_masked,
            padding: self.padding,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct LoraRow {
    model: String,
    weight: f32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text_encoder_weight: Option<f32>,
}

impl From<&LoraUse> for LoraRow {
    fn from(lora: &LoraUse) -> Self {
        Self { model: lora.model.clone(), weight: lora.weight, text_encoder_weight: lora.text_encoder_weight }
    }
}

impl From<LoraRow> for LoraUse {
    fn from(row: LoraRow) -> Self {
        Self { model: row.model, weight: row.weight, text_encoder_weight: row.text_encoder_weight }
    }
}

#[derive(Serialize, Deserialize)]
struct SettingsRow {
    architecture: String,
    steps: u32,
    guidance_scale: f32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_guidance_scale: Option<f32>,
    sampler: String,
    schedule: String,
    width: u32,
    height: u32,
    clip_skip: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strength: Option<f32>,
    #[serde(flatten)]
    noise: NoiseRow,
    #[serde(default, skip_serializing_if = "is_zero")]
    guidance_rescale: f32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hires: Option<HiresSettingsRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

#[derive(Default, Serialize, Deserialize)]
struct NoiseRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noise_source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eta_seed_delta: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subseed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subseed_strength: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed_resize_from: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eta: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s_churn: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s_tmin: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s_tmax: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s_noise: Option<f32>,
}

impl From<NoiseSettings> for NoiseRow {
    fn from(noise: NoiseSettings) -> Self {
        Self {
            noise_source: noise.source.map(|source| source.to_string()),
            eta_seed_delta: noise.eta_seed_delta,
            subseed: noise.subseed,
            subseed_strength: noise.subseed_strength,
            seed_resize_from: noise.resize_from,
            eta: noise.eta,
            s_churn: noise.s_churn,
            s_tmin: noise.s_tmin,
            s_tmax: noise.s_tmax,
            s_noise: noise.s_noise,
        }
    }
}

impl From<NoiseRow> for NoiseSettings {
    fn from(row: NoiseRow) -> Self {
        Self {
            source: row.noise_source.as_deref().and_then(NoiseSource::from_name),
            eta_seed_delta: row.eta_seed_delta,
            subseed: row.subseed,
            subseed_strength: row.subseed_strength,
            resize_from: row.seed_resize_from,
            eta: row.eta,
            s_churn: row.s_churn,
            s_tmin: row.s_tmin,
            s_tmax: row.s_tmax,
            s_noise: row.s_noise,
        }
    }
}

/// The specification as its row keeps it. Equal specifications give equal text.
#[must_use]
pub(crate) fn spec_to_json(spec: &GenerationSpec) -> String {
    let row = SpecRow {
        model: spec.model.clone(),
        vae: spec.vae.clone(),
        text_encoders: spec.text_encoders.clone(),
        embeddings: spec.embeddings.clone(),
        prompt: spec.prompt.clone(),
        negative_prompt: spec.negative_prompt.clone(),
        seed: spec.seed,
        steps: spec.steps,
        guidance_scale: spec.guidance_scale,
        sampler: spec.sampler.map(|sampler| sampler.to_string()),
        schedule: spec.schedule.map(|schedule| schedule.to_string()),
        width: spec.width,
        height: spec.height,
        clip_skip: spec.clip_skip,
        loras: spec.loras.iter().map(LoraRow::from).collect(),
        count: spec.count,
        init_image: spec.init_image.map(|digest| digest.to_string()),
        strength: spec.strength,
        format: spec.format.map(|format| format.to_string()),
        quality: spec.quality,
        inpaint: spec.inpaint.as_ref().map(InpaintRow::of),
        image_guidance_scale: spec.image_guidance_scale,
        controls: spec.controls.iter().map(ControlRow::of).collect(),
        noise: spec.noise.into(),
        guidance_rescale: spec.guidance_rescale,
        taesd: spec.taesd.clone(),
        hires: spec.hires.as_ref().map(HiresRow::from),
        upscale: spec.upscale.as_ref().map(UpscaleRow::from),
    };
    serde_json::to_string(&row).expect("finite numbers and strings are always valid JSON")
}

/// The specification of a row.
///
/// # Errors
/// When the text was not written by this module.
pub fn spec_from_json(text: &str) -> Result<GenerationSpec, serde_json::Error> {
    let row: SpecRow = serde_json::from_str(text)?;
    Ok(GenerationSpec {
        model: row.model,
        vae: row.vae,
        text_encoders: row.text_encoders,
        embeddings: row.embeddings,
        prompt: row.prompt,
        negative_prompt: row.negative_prompt,
        seed: row.seed,
        steps: row.steps,
        guidance_scale: row.guidance_scale,
        sampler: row.sampler.as_deref().and_then(Sampler::from_name),
        schedule: row.schedule.as_deref().and_then(Schedule::from_name),
        width: row.width,
        height: row.height,
        clip_skip: row.clip_skip,
        loras: row.loras.into_iter().map(LoraUse::from).collect(),
        count: row.count,
        init_image: row.init_image.and_then(|digest| digest.parse::<Sha256>().ok()),
        strength: row.strength,
        format: row.format.as_deref().and_then(PictureFormat::from_name),
        quality: row.quality,
        inpaint: row.inpaint.and_then(InpaintRow::read),
        image_guidance_scale: row.image_guidance_scale,
        controls: row.controls.into_iter().filter_map(ControlRow::read).collect(),
        noise: row.noise.into(),
        guidance_rescale: row.guidance_rescale,
        taesd: row.taesd,
        hires: row.hires.map(Into::into),
        upscale: row.upscale.map(Into::into),
    })
}

/// The settings that were used, and what was noticed on the way, as their row keeps them.
#[must_use]
pub(crate) fn settings_to_json(settings: &PaintSettings, warnings: &[String]) -> String {
    let row = SettingsRow {
        architecture: settings.architecture.to_string(),
        steps: settings.steps,
        guidance_scale: settings.guidance_scale,
        image_guidance_scale: settings.image_guidance_scale,
        sampler: settings.sampler.to_string(),
        schedule: settings.schedule.to_string(),
        width: settings.width,
        height: settings.height,
        clip_skip: settings.clip_skip,
        strength: settings.strength,
        noise: settings.noise.into(),
        guidance_rescale: settings.guidance_rescale,
        hires: settings.hires.map(HiresSettingsRow::from),
        warnings: warnings.to_vec(),
    };
    serde_json::to_string(&row).expect("finite numbers and strings are always valid JSON")
}

/// What was noticed while a row's pictures were painted.
#[must_use]
pub fn warnings_from_json(text: &str) -> Vec<String> {
    serde_json::from_str(text).map(|row: SettingsRow| row.warnings).unwrap_or_default()
}

/// The settings of a row; none where a newer version wrote words that this one does not know.
#[must_use]
pub fn settings_from_json(text: &str) -> Option<PaintSettings> {
    let row: SettingsRow = serde_json::from_str(text).ok()?;
    Some(PaintSettings {
        architecture: Architecture::from_name(&row.architecture)?,
        steps: row.steps,
        guidance_scale: row.guidance_scale,
        image_guidance_scale: row.image_guidance_scale,
        sampler: Sampler::from_name(&row.sampler)?,
        schedule: Schedule::from_name(&row.schedule)?,
        width: row.width,
        height: row.height,
        clip_skip: row.clip_skip,
        strength: row.strength,
        noise: row.noise.into(),
        guidance_rescale: row.guidance_rescale,
        hires: match row.hires {
            Some(hires) => Some(hires.read()?),
            None => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::generation::{Hires, HiresSettings, HiresUpscaler, PixelScaling, Upscale, Upscaler};

    fn noise() -> NoiseSettings {
        NoiseSettings {
            source: Some(NoiseSource::Nvidia),
            eta_seed_delta: Some(-31337),
            subseed: Some(u64::MAX),
            subseed_strength: Some(0.5),
            resize_from: Some((512, 768)),
            eta: Some(0.1),
            s_churn: Some(2.0),
            s_tmin: Some(0.3),
            s_tmax: Some(9.0),
            s_noise: Some(1.003),
        }
    }

    #[test]
    fn a_specification_reads_back_as_it_was() {
        let spec = GenerationSpec {
            model: "civitai:1".into(),
            prompt: "red \"heart\"\n".into(),
            vae: Some("civitai:9".into()),
            taesd: Some("hf:madebyollin/taesd".into()),
            text_encoders: vec!["hf:a/b:clip_l.safetensors".into(), "local:3".into()],
            embeddings: vec!["path:/lamp.pt".into()],
            seed: Some(u64::MAX),
            guidance_scale: Some(3.5),
            sampler: Some(Sampler::EulerAncestral),
            loras: vec![LoraUse { model: "hf:a/b:c.safetensors".into(), weight: 0.8, text_encoder_weight: Some(0.5) }],
            count: 2,
            init_image: Some(Sha256::from_bytes([7; 32])),
            format: Some(PictureFormat::Jpeg),
            quality: Some(80),
            inpaint: Some(InpaintUse {
                mask: Sha256::from_bytes([8; 32]),
                invert: true,
                blur: Some(0),
                content: Some(MaskedContent::Noise),
                only_masked: true,
                padding: None,
            }),
            image_guidance_scale: Some(1.2),
            controls: vec![ControlNetUse {
                model: "civitai:9".into(),
                image: Sha256::from_bytes([9; 32]),
                canny: Some(Canny { low: 50, high: 150 }),
                strength: Some(0.5),
                start: None,
                end: Some(0.8),
            }],
            noise: noise(),
            guidance_rescale: Some(0.7),
            hires: Some(Hires {
                upscaler: Some(HiresUpscaler::read("civitai:12")),
                scale: Some(1.5),
                steps: Some(8),
                strength: Some(0.45),
                sampler: Some(Sampler::Ddim),
                schedule: Some(Schedule::Karras),
                guidance_scale: Some(4.0),
                prompt: Some("closer".into()),
                negative_prompt: Some(String::new()),
            }),
            upscale: Some(Upscale { upscaler: Upscaler::Pixels(PixelScaling::Lanczos), scale: None }),
            ..GenerationSpec::default()
        };
        assert_eq!(spec_from_json(&spec_to_json(&spec)).unwrap(), spec);
        let settings = PaintSettings {
            architecture: Architecture::Sd1,
            steps: 20,
            guidance_scale: 7.5,
            image_guidance_scale: Some(1.5),
            sampler: Sampler::Ddim,
            schedule: Schedule::Normal,
            width: 512,
            height: 768,
            clip_skip: 1,
            strength: Some(0.5),
            noise: noise(),
            guidance_rescale: 0.7,
            hires: Some(HiresSettings {
                width: 1024,
                height: 1536,
                steps: 10,
                strength: 0.7,
                sampler: Sampler::Euler,
                schedule: Schedule::Normal,
                guidance_scale: 5.0,
            }),
        };
        let json = settings_to_json(&settings, &["a thing".to_owned()]);
        assert_eq!(warnings_from_json(&json), ["a thing"]);
        assert_eq!(settings_from_json(&json), Some(settings.clone()));
        assert!(warnings_from_json(&settings_to_json(&settings, &[])).is_empty());
    }
}
