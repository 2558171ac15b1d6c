//! What headers tell of a model and of a painting with it, before any weights are read and whatever is painted meanwhile.

use crate::device;
use crate::engine::guarded;
use crate::error::EngineError;
use crate::load::{Blueprint, ControlNetPlan, Index, Inputs, blueprint, index, merges};
use crate::plan::{Machine, MemoryPlan, Needs};
use crate::residence::Precisions;
use crate::sample::Prediction;
use crate::settings;
use candle_core::Device;
use paintbox_domain::generation::{
    Adapter, Capabilities, ControlNetFile, Feature, InitImage, Inspector, ModelFile, NetworkInputs, PaintRequest,
    PaintSettings, PredictionType, Refusal, Refused, Sampler, Schedule,
};
use paintbox_domain::{ErrorClass, Failure, reason};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cheap to clone; all clones know what the engine's networks hold.
#[derive(Debug, Clone)]
pub(crate) struct HeaderInspector {
    pub(crate) device: Device,
    pub(crate) precisions: Precisions,
    /// None: what the machine has free.
    memory_limit_bytes: Option<u64>,
    /// Bytes that networks hold since the last painting.
    held_bytes: Arc<AtomicU64>,
}

/// A request with everything about it that headers tell.
pub(crate) struct Prepared<'a> {
    pub(crate) index: Index,
    pub(crate) blueprint: Blueprint,
    pub(crate) settings: PaintSettings,
    /// Those that have any strength.
    pub(crate) controls: Vec<&'a ControlNetFile>,
    /// Of each of them.
    pub(crate) control_plans: Vec<ControlNetPlan>,
    pub(crate) needs: Needs,
}

impl HeaderInspector {
    pub(crate) fn new(device: Device, memory_limit_bytes: Option<u64>, precisions: Precisions) -> Self {
        Self { device, precisions, memory_limit_bytes, held_bytes: Arc::default() }
    }

    /// Takes note of what networks hold from now on.
    pub(crate) fn holds(&self, bytes: u64) {
        self.held_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What networks may take: what is free, and what they have already.
    pub(crate) fn limit_bytes(&self) -> u64 {
        let held = self.held_bytes.load(Ordering::Relaxed);
        self.memory_limit_bytes.unwrap_or_else(|| device::available_bytes(&self.device, held))
    }

    pub(crate) fn prepared<'a>(&self, request: &'a PaintRequest) -> Result<Prepared<'a>, EngineError> {
        let mut index = index(&request.model)?.with_text_encoders(&request.text_encoders)?;
        if let Some(vae) = &request.vae {
            index = index.with_vae(vae)?;
        }
        let blueprint = blueprint(&index)?;
        let settings = settings::resolve(request, &blueprint)?;
        let controls: Vec<_> = request.controls.iter().filter(|control| control.strength != 0.0).collect();
        let plans = controls.iter().map(|control| ControlNetPlan::new(control, &blueprint));
        let control_plans: Vec<_> = plans.collect::<Result<_, _>>()?;
        settings::check_controls(request)?;
        let machine = Machine { is_gpu: !self.device.is_cpu(), threads: rayon::current_num_threads() };
        let parameters = index.parameters();
        let needs = Needs::of(&blueprint, &parameters, self.precisions, &settings, request, &control_plans, machine);
        Ok(Prepared { index, blueprint, settings, controls, control_plans, needs })
    }

    fn try_capabilities(&self, model: &[ModelFile]) -> Result<Capabilities, EngineError> {
        let blueprint = blueprint(&index(model)?)?;
        let defaults = settings::defaults(&blueprint, model, &[]);
        let mut refused = refusals(&blueprint);
        let memory_limit_bytes = self.limit_bytes();
        let planned = self.plan_of_defaults(model, &blueprint, &defaults, memory_limit_bytes);
        let planned_bytes = match planned {
            Ok(plan) => plan.peak_bytes(),
            Err(error) => {
                let needed = if let EngineError::TooLarge { needed_bytes, .. } = error { needed_bytes } else { 0 };
                refused.push(Refusal { what: Refused::Painting, failure: Failure::of(&error) });
                needed
            }
        };
        let is_refused = |feature: &Feature| refused.iter().any(|refusal| refusal.what == Refused::Feature(*feature));
        let layers = blueprint.texts.iter().map(|text| text.shape.layers).min().unwrap_or_default();
        Ok(Capabilities {
            architecture: blueprint.architecture,
            prediction: match blueprint.prediction {
                Prediction::Noise => PredictionType::Epsilon,
                Prediction::Velocity => PredictionType::Velocity,
            },
            inputs: match blueprint.inputs {
                Inputs::Latents => NetworkInputs::Latents,
                Inputs::Inpainting => NetworkInputs::Inpainting,
                Inputs::Editing => NetworkInputs::Editing,
            },
            samplers: Sampler::ALL.to_vec(),
            schedules: Schedule::ALL.to_vec(),
            size_multiple: blueprint.size_multiple,
            largest_clip_skip: u32::try_from(layers).unwrap_or(u32::MAX),
            planned_bytes,
            memory_limit_bytes,
            features: Feature::ALL.iter().copied().filter(|feature| !is_refused(feature)).collect(),
            defaults,
            refused,
        })
    }

    /// What one picture takes when nothing is said; of a network that changes pictures, with one to change.
    fn plan_of_defaults(
        &self,
        model: &[ModelFile],
        blueprint: &Blueprint,
        defaults: &PaintSettings,
        limit_bytes: u64,
    ) -> Result<MemoryPlan, EngineError> {
        let (width, height) = (defaults.width, defaults.height);
        let init = (blueprint.inputs == Inputs::Editing).then(|| InitImage {
            width,
            height,
            rgb: vec![0; 3 * width as usize * height as usize],
            strength: None,
            inpaint: None,
        });
        let request = PaintRequest { model: model.to_vec(), count: 1, init, ..PaintRequest::default() };
        MemoryPlan::within(&self.prepared(&request)?.needs, limit_bytes)
    }
}

/// What no request can have of this model, whatever else it says.
fn refusals(blueprint: &Blueprint) -> Vec<Refusal> {
    if blueprint.inputs != Inputs::Editing {
        return Vec::new();
    }
    let refusal = |feature, message: &str| {
        let failure = Failure::new(ErrorClass::InvalidInput, reason::UNSUPPORTED_SETTING, message);
        Refusal { what: Refused::Feature(feature), failure }
    };
    vec![
        refusal(Feature::TextToImage, "the model edits pictures, and needs one to begin with"),
        refusal(
            Feature::Hires,
            "a second pass belongs to pictures that are painted from noise, and the model edits others",
        ),
    ]
}

impl Inspector for HeaderInspector {
    fn capabilities(&self, model: &[ModelFile]) -> Result<Capabilities, Failure> {
        guarded(|| self.try_capabilities(model))
    }

    fn misfits(&self, model: &[ModelFile], adapters: &[Adapter]) -> Result<Vec<Option<Failure>>, Failure> {
        let (index, blueprint) = guarded(|| {
            let index = index(model)?;
            let blueprint = blueprint(&index)?;
            Ok((index, blueprint))
        })?;
        let misfit = |adapter: &Adapter| {
            let fits = guarded(|| match adapter {
                Adapter::Lora(lora) => merges(&index, std::slice::from_ref(lora)).map(drop),
                Adapter::ControlNet(control) => ControlNetPlan::new(control, &blueprint).map(drop),
            });
            fits.err()
        };
        Ok(adapters.iter().map(misfit).collect())
    }
}
