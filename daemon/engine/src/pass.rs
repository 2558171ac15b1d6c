//! One way through the noise levels: a picture's only one, or one of the two of a picture that is painted small first.

use crate::control::{Lead, Network};
use crate::error::EngineError;
use crate::guidance::{Guidance, Words};
use crate::load::Inputs;
use crate::model::Model;
use crate::paint::{Loaded, Reporter, finite};
use crate::preview::Previewer;
use crate::residence::Part;
use crate::sample::{Levels, NoiseLevel, PictureNoise, Randomness, StepContext, sample};
use crate::scene::{Kept, Scene, Start};
use candle_core::{Device, Tensor};
use paintbox_domain::generation::{InitImage, PaintSettings, Phase, Sampler};

/// What leads a pass, and what it begins with; the same for all images of a request.
pub(crate) struct Pass<'a> {
    model: &'a Model,
    sampler: Sampler,
    levels: &'a Levels,
    randomness: Randomness,
    guidance: Guidance,
    scene: Scene<'a>,
    leads: Vec<Lead<'a>>,
    previewer: Previewer<'a>,
    /// Steps of the passes before.
    steps_before: u32,
}

/// What a pass is to do.
pub(crate) struct Task<'a, 't> {
    pub(crate) words: Words<'t>,
    pub(crate) settings: &'t PaintSettings,
    pub(crate) levels: &'a Levels,
    pub(crate) init: Option<&'t InitImage>,
    /// Steps of the passes before.
    pub(crate) steps_before: u32,
}

impl<'a> Pass<'a> {
    /// Encodes the prompts and pictures of this pass.
    pub(crate) fn new(loaded: Loaded<'a>, task: &Task<'a, '_>, reporter: &Reporter<'_>) -> Result<Self, EngineError> {
        let (model, settings, levels) = (loaded.model, task.settings, task.levels);
        let guidance = Guidance::of(model, task.words, settings)?;
        if task.init.is_some() || model.blueprint.inputs != Inputs::Latents {
            reporter.report(Phase::EncodingImage, 0, 0)?;
        }
        let scene = Scene::new(model, levels, settings, task.init)?;
        let leads = loaded.controls.iter().map(|(file, plan)| Lead::new(model, plan, file, scene.canvas(), settings));
        Ok(Self {
            model,
            sampler: settings.sampler,
            levels,
            randomness: Randomness::of(&settings.noise, settings.sampler),
            leads: leads.collect::<Result<_, _>>()?,
            guidance,
            scene,
            previewer: loaded.previewer,
            steps_before: task.steps_before,
        })
    }

    /// The names of the textual inversions that the prompts say.
    pub(crate) fn embeddings(&self) -> &[String] {
        self.guidance.embeddings()
    }

    pub(crate) const fn scene(&self) -> &Scene<'a> {
        &self.scene
    }

    /// The finished latents of one image. `over`, if there is something, is what noise is laid over in place of what the
    /// request says.
    pub(crate) fn run(
        &mut self,
        noise: &mut PictureNoise,
        over: Option<&Tensor>,
        reporter: &Reporter<'_>,
        image_index: u32,
    ) -> Result<Tensor, EngineError> {
        let start = self.scene.start(noise, over).map_err(EngineError::computing("making the first latents"))?;
        let Start { latents, kept, beside } = start;
        self.model.unet()?;
        reporter.report(Phase::Sampling, self.steps_before, image_index)?;
        let (kept, done) = (kept.as_ref(), Done { evaluations: 0, steps: 0 });
        let (sampler, levels, randomness) = (self.sampler, self.levels, self.randomness);
        let mut steps = Steps { pass: self, kept, beside: beside.as_ref(), reporter, image_index, done, seen: None };
        let latents = sample(sampler, levels, latents, noise, randomness, &mut steps)?;
        let put_back = kept.map_or(Ok(latents.clone()), |kept| kept.under(&latents));
        put_back.map_err(EngineError::computing("putting back what is kept"))
    }
}

/// The network as samplers see it, and the end of every step.
struct Steps<'p, 'a> {
    pass: &'p mut Pass<'a>,
    kept: Option<&'p Kept>,
    beside: Option<&'p Tensor>,
    reporter: &'p Reporter<'p>,
    image_index: u32,
    done: Done,
    /// What the network saw last.
    seen: Option<Tensor>,
}

const A_STEP: &str = "a step of the network";

/// How often the network was asked, and how many steps came of it.
struct Done {
    evaluations: usize,
    steps: usize,
}

impl StepContext for Steps<'_, '_> {
    fn denoise(&mut self, x: &Tensor, level: NoiseLevel) -> Result<Tensor, EngineError> {
        let Pass { model, levels, leads, guidance, steps_before, .. } = &mut *self.pass;
        let (evaluation, step) = (self.done.evaluations, self.done.steps);
        self.done.evaluations += 1;
        let input = || {
            let input = (x * (1.0 / level.sigma.hypot(1.0)))?.to_device(&model.device)?;
            self.beside.map_or(Ok(input.clone()), |beside| Tensor::cat(&[&input, beside], 1))
        };
        let input = input().map_err(EngineError::computing(A_STEP))?;
        let predicted = model.residence.soundly(Part::Unet, *steps_before + step as u32 + 1, || {
            let network = Network::at(model, leads, step, levels.steps.len())?;
            let predicted = guidance.predict(&network, &input, level.timestep, evaluation);
            let predicted = predicted.and_then(|predicted| predicted.to_device(&Device::Cpu));
            Ok(vec![predicted.map_err(EngineError::computing(A_STEP))?])
        });
        let predicted = predicted?.remove(0);
        let clean = || {
            let clean = model.blueprint.prediction.clean(x, &predicted, level.sigma)?;
            self.kept.map_or(Ok(clean.clone()), |kept| kept.under(&clean))
        };
        let clean = clean().map_err(EngineError::computing(A_STEP))?;
        self.seen = Some(clean.clone());
        Ok(clean)
    }

    fn level(&self, sigma: f64) -> NoiseLevel {
        self.pass.model.blueprint.noise.level(sigma)
    }

    fn sigma_at(&self, timestep: f64) -> f64 {
        self.pass.model.blueprint.noise.sigma_at(timestep)
    }

    fn stepped(&mut self, index: usize, x: &Tensor) -> Result<(), EngineError> {
        let step = self.pass.steps_before + index as u32 + 1;
        self.done.steps = index + 1;
        // A GPU reports failed work only when it is waited for, and frees its pool only then.
        self.pass.model.device.synchronize().map_err(EngineError::computing("waiting for the device"))?;
        finite(x, "the network", step)?;
        if let Some(seen) = &self.seen {
            self.reporter.preview(&self.pass.previewer, seen, step, self.image_index)?;
        }
        self.reporter.report(Phase::Sampling, step, self.image_index)
    }
}
