//! A request's pictures from noise to pixels, with their progress and their exits.

use crate::error::EngineError;
use crate::guidance::Words;
use crate::hires::{self, Second};
use crate::load::{Blueprint, ControlNetPlan};
use crate::model::Model;
use crate::pass::{Pass, Task};
use crate::picture::Rgb;
use crate::plan::Residency;
use crate::preview::Previewer;
use crate::sample::{Levels, NoiseSchedule, PictureNoise, evaluations};
use crate::settings::painted_steps;
use crate::tensor::interruption;
use crate::upscale::Enlarger;
use candle_core::{Device, Tensor};
use paintbox_domain::generation::{
    Control, ControlNetFile, PaintPreview, PaintRequest, PaintSettings, PaintedImage, Phase, Progress,
};

/// Says where the work is.
pub(crate) struct Reporter<'a> {
    control: &'a dyn Control,
    total_steps: u32,
    image_count: u32,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(control: &'a dyn Control, total_steps: u32, image_count: u32) -> Self {
        Self { control, total_steps, image_count }
    }

    pub(crate) fn report(&self, phase: Phase, step: u32, image_index: u32) -> Result<(), EngineError> {
        interruption::check().map_err(EngineError::computing("going on"))?;
        let (total_steps, image_count) = (self.total_steps, self.image_count);
        self.control.progress(Progress { phase, step, total_steps, image_index, image_count });
        Ok(())
    }

    /// That a picture is made larger, and how many of how many tiles are done.
    pub(crate) fn upscaling(&self, done: usize, tiles: usize, image_index: u32) -> Result<(), EngineError> {
        interruption::check().map_err(EngineError::computing("going on"))?;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (step, total_steps, image_count) = (count(done), count(tiles), self.image_count);
        self.control.progress(Progress { phase: Phase::Upscaling, step, total_steps, image_index, image_count });
        Ok(())
    }

    /// Shows what the network sees in the noise, if anybody wants to see it now.
    pub(crate) fn preview(
        &self,
        previewer: &Previewer<'_>,
        clean: &Tensor,
        step: u32,
        image_index: u32,
    ) -> Result<(), EngineError> {
        if self.control.wants_preview()
            && let Some(Rgb { width, height, bytes }) = previewer.picture(clean)?
        {
            let (width, height) = (width as u32, height as u32);
            self.control.preview(PaintPreview { image_index, step, width, height, rgb: bytes });
        }
        Ok(())
    }
}

/// The noise levels that each image of a request passes through.
pub(crate) struct Course {
    first: Levels,
    second: Option<Levels>,
}

impl Course {
    pub(crate) fn of(blueprint: &Blueprint, settings: &PaintSettings) -> Self {
        let (schedule, sampler) = (settings.schedule, settings.sampler);
        let spacing = NoiseSchedule { schedule, sampler, is_xl: blueprint.added.is_some() };
        let levels = blueprint.noise.levels(spacing, settings.steps as usize);
        let first = match settings.strength {
            Some(strength) => levels.last(painted_steps(settings.steps, strength)),
            None => levels,
        };
        Self { first, second: settings.hires.as_ref().map(|hires| hires::levels(blueprint, hires)) }
    }

    /// Steps of one image.
    pub(crate) fn steps(&self) -> u32 {
        let steps = |levels: &Levels| u32::try_from(levels.steps.len()).unwrap_or(u32::MAX);
        steps(&self.first).saturating_add(self.second.as_ref().map_or(0, steps))
    }
}

/// What is painted with.
#[derive(Clone, Copy)]
pub(crate) struct Loaded<'a> {
    pub(crate) model: &'a Model,
    /// Those of the request that lead anything.
    pub(crate) controls: &'a [(&'a ControlNetFile, &'a ControlNetPlan)],
    /// What a second pass enlarges by, if that is a network.
    pub(crate) enlarger: Option<&'a Enlarger>,
    pub(crate) limit_bytes: u64,
    pub(crate) previewer: Previewer<'a>,
}

/// Paints all images of a request, and tells which textual inversions its prompts said.
pub(crate) fn paint(
    loaded: Loaded<'_>,
    request: &PaintRequest,
    settings: &PaintSettings,
    course: &Course,
    reporter: &Reporter<'_>,
) -> Result<(Vec<PaintedImage>, Vec<String>), EngineError> {
    let model = loaded.model;
    reporter.report(Phase::EncodingPrompt, 0, 0)?;
    let mut first = Pass::new(loaded, &first_task(request, settings, &course.first), reporter)?;
    let mut second = second(loaded, request, settings, course, reporter)?;
    // Where networks take turns, the UNet makes room for the VAE once, and not for every image.
    let ahead = if model.residence.residency() == Residency::InTurn { request.count } else { 0 };
    let ahead = (0..ahead).map(|index| latents(request, model, &mut first, second.as_mut(), reporter, index));
    let mut ahead = ahead.collect::<Result<Vec<_>, _>>()?.into_iter();
    let mut images = Vec::new();
    for index in 0..request.count {
        let painted = match ahead.next() {
            Some(painted) => painted,
            None => latents(request, model, &mut first, second.as_mut(), reporter, index)?,
        };
        reporter.report(Phase::Decoding, reporter.total_steps, index)?;
        let painted = decode(model, &painted, reporter.total_steps)?;
        let Rgb { width, height, bytes } = first.scene().finished(painted)?;
        let seed = request.noise.seed_of(request.seed, index);
        images.push(PaintedImage { seed, width: width as u32, height: height as u32, rgb: bytes });
    }
    let mut embeddings = first.embeddings().to_vec();
    for name in second.iter().flat_map(|second| second.pass.embeddings()) {
        if !embeddings.contains(name) {
            embeddings.push(name.clone());
        }
    }
    Ok((images, embeddings))
}

/// The finished latents of one image.
fn latents(
    request: &PaintRequest,
    model: &Model,
    first: &mut Pass<'_>,
    second: Option<&mut Second<'_>>,
    reporter: &Reporter<'_>,
    index: u32,
) -> Result<Tensor, EngineError> {
    let noise = || PictureNoise::of(request, index, model.blueprint.vae.factor());
    let latents = first.run(&mut noise(), None, reporter, index)?;
    let Some(second) = second else { return Ok(latents) };
    let larger = second.enlarged(&latents, &|done, tiles| reporter.upscaling(done, tiles, index))?;
    second.pass.run(&mut noise(), Some(&larger), reporter, index)
}

fn first_task<'a>(request: &'a PaintRequest, settings: &'a PaintSettings, levels: &'a Levels) -> Task<'a, 'a> {
    let words = Words {
        prompt: &request.prompt,
        negative_prompt: &request.negative_prompt,
        embeddings: &request.embeddings,
        evaluations_before: None,
    };
    Task { words, settings, levels, init: request.init.as_ref(), steps_before: 0 }
}

/// The pass at a larger size, if there is one.
fn second<'a>(
    loaded: Loaded<'a>,
    request: &'a PaintRequest,
    first: &PaintSettings,
    course: &'a Course,
    reporter: &Reporter<'_>,
) -> Result<Option<Second<'a>>, EngineError> {
    let (Some(asked), Some(hires), Some(levels)) = (&request.hires, &first.hires, &course.second) else {
        return Ok(None);
    };
    let words = Words {
        prompt: asked.prompt.as_ref().unwrap_or(&request.prompt),
        negative_prompt: asked.negative_prompt.as_ref().unwrap_or(&request.negative_prompt),
        embeddings: &request.embeddings,
        evaluations_before: Some(first.steps as usize * evaluations(first.sampler)),
    };
    let steps_before = u32::try_from(course.first.steps.len()).unwrap_or(u32::MAX);
    let settings = hires::settings(first, hires);
    let pass = Pass::new(loaded, &Task { words, settings: &settings, levels, init: None, steps_before }, reporter)?;
    Second::new(pass, loaded, asked, hires).map(Some)
}

pub(crate) fn finite(x: &Tensor, stage: &'static str, step: u32) -> Result<Vec<f32>, EngineError> {
    let values =
        x.flatten_all().and_then(|x| x.to_vec1::<f32>()).map_err(EngineError::computing("reading a tensor"))?;
    if values.iter().all(|value| value.is_finite()) { Ok(values) } else { Err(EngineError::NotFinite { stage, step }) }
}

/// Latents to a picture.
pub(crate) fn decode(model: &Model, latents: &Tensor, step: u32) -> Result<Rgb, EngineError> {
    let (_, _, height, width) = latents.dims4().map_err(EngineError::computing("decoding the latents"))?;
    let vae = model.vae()?;
    let decoded = (latents * (1.0 / model.blueprint.vae.scaling))
        .and_then(|latents| vae.decode(&latents.to_device(&model.device)?))
        .and_then(|image| image.to_device(&Device::Cpu)?.permute((0, 2, 3, 1))?.contiguous())
        .map_err(EngineError::computing("decoding the latents"))?;
    let values = finite(&decoded, "the VAE", step)?;
    let byte = |value: f32| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
    let (width, height) = (width * model.blueprint.vae.factor(), height * model.blueprint.vae.factor());
    Ok(Rgb { width, height, bytes: values.into_iter().map(byte).collect() })
}
