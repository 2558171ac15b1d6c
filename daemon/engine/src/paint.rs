//! One painting from noise to pixels, with its progress and its exits.

use crate::control::{Lead, Network};
use crate::error::EngineError;
use crate::guidance::Guidance;
use crate::load::{Blueprint, Inputs};
use crate::model::Model;
use crate::networks::ControlNet;
use crate::picture::Rgb;
use crate::sample::{Levels, NoiseLevel, NoiseSchedule, PictureNoise, Randomness, StepContext, sample};
use crate::scene::{Kept, Scene, Start};
use crate::settings::painted_steps;
use candle_core::{Device, Tensor};
use paintbox_domain::generation::{
    Control, ControlNetFile, PaintRequest, PaintSettings, PaintedImage, Phase, Progress,
};

/// Says where the work is, and notices when nobody wants it any more.
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
        self.check()?;
        let (total_steps, image_count) = (self.total_steps, self.image_count);
        self.control.progress(Progress { phase, step, total_steps, image_index, image_count });
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), EngineError> {
        if self.control.is_cancelled() { Err(EngineError::Cancelled) } else { Ok(()) }
    }
}

/// The noise levels that each image of a request passes through.
pub(crate) fn noise_levels(blueprint: &Blueprint, settings: &PaintSettings) -> Levels {
    let (schedule, sampler) = (settings.schedule, settings.sampler);
    let spacing = NoiseSchedule { schedule, sampler, is_xl: blueprint.added.is_some() };
    let levels = blueprint.noise.levels(spacing, settings.steps as usize);
    match settings.strength {
        Some(strength) => levels.last(painted_steps(settings.steps, strength)),
        None => levels,
    }
}

/// Paints all images of a request, and tells which textual inversions its prompts said.
pub(crate) fn paint(
    model: &Model,
    request: &PaintRequest,
    controls: &[(&ControlNetFile, &ControlNet)],
    settings: &PaintSettings,
    levels: &Levels,
    reporter: &Reporter<'_>,
) -> Result<(Vec<PaintedImage>, Vec<String>), EngineError> {
    reporter.report(Phase::EncodingPrompt, 0, 0)?;
    let randomness = Randomness::of(&settings.noise, settings.sampler);
    let mut guidance = Guidance::of(model, request, settings)?;
    if request.init.is_some() || model.blueprint.inputs != Inputs::Latents {
        reporter.report(Phase::EncodingImage, 0, 0)?;
    }
    let scene = Scene::new(model, levels, settings, request.init.as_ref())?;
    let leads = controls.iter().map(|(file, net)| Lead::new(model, net, file, scene.canvas(), settings));
    let leads: Vec<Lead<'_>> = leads.collect::<Result<_, _>>()?;
    let images = (0..request.count)
        .map(|index| {
            let seed = request.noise.seed_of(request.seed, index);
            let mut noise = PictureNoise::of(request, index, model.blueprint.vae.factor());
            let start = scene.start(&mut noise).map_err(EngineError::computing("making the first latents"))?;
            let Start { latents, kept, beside } = start;
            reporter.report(Phase::Sampling, 0, index)?;
            let (guidance, kept, beside) = (&mut guidance, kept.as_ref(), beside.as_ref());
            let done = Done { evaluations: 0, steps: 0 };
            let (leads, step_count) = (leads.as_slice(), levels.steps.len());
            let mut steps =
                Steps { model, guidance, leads, kept, beside, reporter, image_index: index, step_count, done };
            let mut latents = sample(settings.sampler, levels, latents, &mut noise, randomness, &mut steps)?;
            if let Some(kept) = kept {
                latents = kept.under(&latents).map_err(EngineError::computing("putting back what is kept"))?;
            }
            reporter.report(Phase::Decoding, reporter.total_steps, index)?;
            let bytes = decode(model, &latents, reporter.total_steps)?;
            let painted = Rgb { width: settings.width as usize, height: settings.height as usize, bytes };
            let Rgb { width, height, bytes } = scene.finished(painted)?;
            Ok(PaintedImage { seed, width: width as u32, height: height as u32, rgb: bytes })
        })
        .collect::<Result<_, _>>()?;
    Ok((images, guidance.embeddings().to_vec()))
}

/// The network as samplers see it, and the end of every step.
struct Steps<'a> {
    model: &'a Model,
    guidance: &'a mut Guidance,
    leads: &'a [Lead<'a>],
    kept: Option<&'a Kept>,
    beside: Option<&'a Tensor>,
    reporter: &'a Reporter<'a>,
    image_index: u32,
    step_count: usize,
    done: Done,
}

/// How often the network was asked, and how many steps came of it.
struct Done {
    evaluations: usize,
    steps: usize,
}

impl StepContext for Steps<'_> {
    fn denoise(&mut self, x: &Tensor, level: NoiseLevel) -> Result<Tensor, EngineError> {
        let (model, evaluation) = (self.model, self.done.evaluations);
        self.done.evaluations += 1;
        let network = Network::at(model, self.leads, self.done.steps, self.step_count);
        let mut clean = || {
            let mut input = (x * (1.0 / level.sigma.hypot(1.0)))?.to_device(&model.device)?;
            if let Some(beside) = self.beside {
                input = Tensor::cat(&[&input, beside], 1)?;
            }
            let predicted = self.guidance.predict(&network, &input, level.timestep, evaluation)?;
            let predicted = predicted.to_device(&Device::Cpu)?;
            let clean = model.blueprint.prediction.clean(x, &predicted, level.sigma)?;
            self.kept.map_or(Ok(clean.clone()), |kept| kept.under(&clean))
        };
        clean().map_err(EngineError::computing("a step of the network"))
    }

    fn level(&self, sigma: f64) -> NoiseLevel {
        self.model.blueprint.noise.level(sigma)
    }

    fn sigma_at(&self, timestep: f64) -> f64 {
        self.model.blueprint.noise.sigma_at(timestep)
    }

    fn stepped(&mut self, index: usize, x: &Tensor) -> Result<(), EngineError> {
        let step = index as u32 + 1;
        self.done.steps = index + 1;
        // A GPU reports failed work only when it is waited for, and frees its pool only then.
        self.model.device.synchronize().map_err(EngineError::computing("waiting for the device"))?;
        finite(x, "the network", step)?;
        self.reporter.report(Phase::Sampling, step, self.image_index)
    }
}

fn finite(x: &Tensor, stage: &'static str, step: u32) -> Result<Vec<f32>, EngineError> {
    let values =
        x.flatten_all().and_then(|x| x.to_vec1::<f32>()).map_err(EngineError::computing("reading a tensor"))?;
    if values.iter().all(|value| value.is_finite()) { Ok(values) } else { Err(EngineError::NotFinite { stage, step }) }
}

/// Latents to pixels, three bytes each.
fn decode(model: &Model, latents: &Tensor, step: u32) -> Result<Vec<u8>, EngineError> {
    let decoded = (latents * (1.0 / model.blueprint.vae.scaling))
        .and_then(|latents| model.vae.decode(&latents.to_device(&model.device)?))
        .and_then(|image| image.to_device(&Device::Cpu)?.permute((0, 2, 3, 1))?.contiguous())
        .map_err(EngineError::computing("decoding the latents"))?;
    let values = finite(&decoded, "the VAE", step)?;
    Ok(values.into_iter().map(|v| ((v / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8).collect())
}
