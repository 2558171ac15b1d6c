//! The second pass of a picture that is painted small first: what the first one painted is made larger, and painted over
//! under less noise.
//!
//! Facts from AUTOMATIC1111/stable-diffusion-webui 0027ce1f `modules/processing.py` (`sample_hr_pass`,
//! `calculate_target_resolution`) and `modules/sd_samplers_common.py` (`setup_img2img_steps`): all steps that are asked for
//! are painted, being the last ones of as many as leave the asked part of the noise; the noise is drawn anew from the
//! picture's seed; sizes are rounded down to whole latents. Where the picture goes through pixels, A1111 encodes it again
//! with noise from a generator that no seed decides; here its mean is taken.

use crate::error::EngineError;
use crate::latents::scaled;
use crate::load::Blueprint;
use crate::model::Model;
use crate::paint::{Loaded, decode};
use crate::pass::Pass;
use crate::sample::{Levels, NoiseSchedule};
use crate::scene::encode;
use crate::settings::as_written;
use crate::upscale::{Enlarger, Watch, enlarged};
use candle_core::{Result as Computed, Tensor};
use paintbox_domain::generation::{Hires, HiresSettings, HiresUpscaler, LatentScaling, ModelFile, PaintSettings};

/// A1111 leaves a thousandth of the noise out, so that there is a first step to begin with.
const MOST_STRENGTH: f64 = 0.999;

/// What makes latents larger, where nobody says.
const USUAL_UPSCALER: LatentScaling = LatentScaling::Bilinear;

/// Steps of the schedule whose last ones are painted.
pub(crate) fn schedule_steps(hires: &HiresSettings) -> usize {
    (f64::from(hires.steps) / as_written(hires.strength).min(MOST_STRENGTH)) as usize
}

/// The noise levels of the second pass.
pub(crate) fn levels(blueprint: &Blueprint, hires: &HiresSettings) -> Levels {
    let (schedule, sampler) = (hires.schedule, hires.sampler);
    let spacing = NoiseSchedule { schedule, sampler, is_xl: blueprint.added.is_some() };
    blueprint.noise.levels(spacing, schedule_steps(hires)).last(hires.steps as usize)
}

/// The settings of the second pass as those of a picture of its own.
pub(crate) fn settings(first: &PaintSettings, hires: &HiresSettings) -> PaintSettings {
    PaintSettings {
        width: hires.width,
        height: hires.height,
        steps: hires.steps,
        sampler: hires.sampler,
        schedule: hires.schedule,
        guidance_scale: hires.guidance_scale,
        strength: Some(hires.strength),
        hires: None,
        ..first.clone()
    }
}

/// The second pass, and what the first one's latents become for it.
pub(crate) struct Second<'a> {
    pub(crate) pass: Pass<'a>,
    model: &'a Model,
    upscaler: HiresUpscaler<&'a Enlarger>,
    /// Pixels, width first.
    size: (usize, usize),
    limit_bytes: u64,
}

impl<'a> Second<'a> {
    pub(crate) fn new(
        pass: Pass<'a>,
        loaded: Loaded<'a>,
        asked: &Hires<ModelFile>,
        hires: &HiresSettings,
    ) -> Result<Self, EngineError> {
        let upscaler = match &asked.upscaler {
            None => HiresUpscaler::Latents(USUAL_UPSCALER),
            Some(upscaler) => upscaler
                .clone()
                .try_map(|file| loaded.enlarger.ok_or_else(|| EngineError::UnsupportedUpscaler { file: file.name }))?,
        };
        let size = (hires.width as usize, hires.height as usize);
        Ok(Self { pass, model: loaded.model, upscaler, size, limit_bytes: loaded.limit_bytes })
    }

    /// The first pass' latents at the size of the second, on the CPU.
    pub(crate) fn enlarged(&self, latents: &Tensor, watch: &Watch<'_>) -> Result<Tensor, EngineError> {
        let (width, height) = self.size;
        let vae = &self.model.blueprint.vae;
        let upscaler = match &self.upscaler {
            HiresUpscaler::Latents(scaling) => {
                let larger = scaled(latents, height / vae.factor(), width / vae.factor(), *scaling);
                return larger.map_err(EngineError::computing("enlarging latents"));
            }
            HiresUpscaler::Picture(upscaler) => upscaler,
        };
        let picture = decode(self.model, latents, 0)?;
        let larger = enlarged(&picture, upscaler, (width, height), self.limit_bytes, watch)?;
        let encoded = encode(self.model, larger.signal())?;
        let scaled = || -> Computed<Tensor> { encoded.mean * vae.scaling };
        scaled().map_err(EngineError::computing("encoding the enlarged picture"))
    }
}
