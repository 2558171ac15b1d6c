//! What is asked of larger pictures, as a row keeps it.

use paintbox_domain::generation::{Hires, HiresSettings, HiresUpscaler, Sampler, Schedule, Upscale, Upscaler};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(super) struct UpscaleRow {
    upscaler: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
}

impl From<&Upscale<String>> for UpscaleRow {
    fn from(upscale: &Upscale<String>) -> Self {
        Self { upscaler: upscale.upscaler.as_str().to_owned(), scale: upscale.scale }
    }
}

impl From<UpscaleRow> for Upscale<String> {
    fn from(row: UpscaleRow) -> Self {
        Self { upscaler: Upscaler::read(&row.upscaler), scale: row.scale }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct HiresRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upscaler: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strength: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sampler: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guidance_scale: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    negative_prompt: Option<String>,
}

impl From<&Hires<String>> for HiresRow {
    fn from(hires: &Hires<String>) -> Self {
        Self {
            upscaler: hires.upscaler.as_ref().map(|upscaler| upscaler.as_str().to_owned()),
            scale: hires.scale,
            steps: hires.steps,
            strength: hires.strength,
            sampler: hires.sampler.map(|sampler| sampler.to_string()),
            schedule: hires.schedule.map(|schedule| schedule.to_string()),
            guidance_scale: hires.guidance_scale,
            prompt: hires.prompt.clone(),
            negative_prompt: hires.negative_prompt.clone(),
        }
    }
}

impl From<HiresRow> for Hires<String> {
    fn from(row: HiresRow) -> Self {
        Self {
            upscaler: row.upscaler.as_deref().map(HiresUpscaler::read),
            scale: row.scale,
            steps: row.steps,
            strength: row.strength,
            sampler: row.sampler.as_deref().and_then(Sampler::from_name),
            schedule: row.schedule.as_deref().and_then(Schedule::from_name),
            guidance_scale: row.guidance_scale,
            prompt: row.prompt,
            negative_prompt: row.negative_prompt,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct HiresSettingsRow {
    width: u32,
    height: u32,
    steps: u32,
    strength: f32,
    sampler: String,
    schedule: String,
    guidance_scale: f32,
}

impl From<HiresSettings> for HiresSettingsRow {
    fn from(hires: HiresSettings) -> Self {
        Self {
            width: hires.width,
            height: hires.height,
            steps: hires.steps,
            strength: hires.strength,
            sampler: hires.sampler.to_string(),
            schedule: hires.schedule.to_string(),
            guidance_scale: hires.guidance_scale,
        }
    }
}

impl HiresSettingsRow {
    /// None where a newer version wrote words that this one does not know.
    pub(super) fn read(self) -> Option<HiresSettings> {
        Some(HiresSettings {
            width: self.width,
            height: self.height,
            steps: self.steps,
            strength: self.strength,
            sampler: Sampler::from_name(&self.sampler)?,
            schedule: Schedule::from_name(&self.schedule)?,
            guidance_scale: self.guidance_scale,
        })
    }
}
