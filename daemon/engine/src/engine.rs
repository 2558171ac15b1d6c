//! The engine as the queue sees it: one model at a time, kept warm for the next picture.

use crate::device::{self, DeviceChoice};
use crate::error::EngineError;
use crate::inspector::{HeaderInspector, Prepared};
use crate::load::{ControlNetPlan, merges};
use crate::model::Model;
use crate::networks::TaesdDecoder;
use crate::paint::{Course, Loaded, Reporter, paint};
use crate::picture::Rgb;
use crate::plan::MemoryPlan;
use crate::preview::{Previewer, load_taesd};
use crate::residence::{FullPrecision, Precisions, Residence};
use crate::selfcheck::checks;
use crate::settings;
use crate::stopwatch;
use crate::tensor::interruption::Listening;
use crate::upscale::{Enlarger, enlarged, enlarged_size};
use paintbox_domain::generation::{
    Control, ControlNetFile, EngineBench, EngineCheck, Generator, Inspector, ModelFile, PaintRequest, PaintSettings,
    PaintedImage, Painting, Phase, Upscale,
};
use paintbox_domain::{Failure, Sha256};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What an engine is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineOptions {
    pub device: DeviceChoice,
    /// The most memory that networks and their work may take; what does not fit even one network at a time is refused.
    /// `None`: what the machine has free when a painting begins.
    pub memory_limit_bytes: Option<u64>,
    pub full_precision: FullPrecision,
}

/// What decides whether the model in memory is the one that a request wants: the content of its files by name, and
/// the adapters merged into it with their weights.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    files: Vec<(String, Sha256)>,
    vae: Option<Sha256>,
    text_encoders: Vec<Sha256>,
    loras: Vec<(Sha256, u32, u32)>,
}

impl Identity {
    fn of(request: &PaintRequest) -> Self {
        let mut files: Vec<_> = request.model.iter().map(|file| (file.name.clone(), file.sha256)).collect();
        files.sort();
        let loras = request.loras.iter().filter(|lora| lora.changes_anything());
        let loras = loras.map(|lora| (lora.sha256, lora.weight.to_bits(), lora.text_encoder_weight.to_bits()));
        Self {
            files,
            vae: request.vae.as_ref().map(|vae| vae.sha256),
            text_encoders: request.text_encoders.iter().map(|file| file.sha256).collect(),
            loras: loras.collect(),
        }
    }
}

/// A painting engine. Blocking; keeps the last model in memory.
#[derive(Debug)]
pub struct Engine {
    /// The device, and what headers tell of a painting on it.
    inspector: HeaderInspector,
    warm: Option<(Identity, Model)>,
    /// The last upscaler, by its content.
    enlarger: Option<(Sha256, Enlarger)>,
    /// What decoded the last previews, by its content and the channels of its latents.
    taesd: Option<((Sha256, usize), TaesdDecoder)>,
    #[cfg(test)]
    fault: Option<(crate::residence::Part, f32)>,
}

impl Engine {
    /// # Errors
    /// [`EngineError::Device`] when the device was asked for by name and is not there.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        let device = options.device.open()?;
        let precisions = Precisions::of(device.is_metal(), options.full_precision);
        Ok(Self {
            inspector: HeaderInspector::new(device, options.memory_limit_bytes, precisions),
            warm: None,
            enlarger: None,
            taesd: None,
            #[cfg(test)]
            fault: None,
        })
    }

    /// `cpu`, `metal` or `cuda`.
    #[must_use]
    pub fn device_name(&self) -> &'static str {
        device::name(&self.inspector.device)
    }

    /// Whether any network is in memory.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.warm.as_ref().is_some_and(|(_, model)| !model.residence.is_empty())
    }

    /// What a painting would take of memory, from headers alone.
    ///
    /// # Errors
    /// As for the painting itself, before anything is read.
    pub fn memory_plan(&self, request: &PaintRequest) -> Result<MemoryPlan, Failure> {
        guarded(|| MemoryPlan::within(&self.inspector.prepared(request)?.needs, self.inspector.limit_bytes()))
    }

    fn try_paint(&mut self, request: &PaintRequest, control: &dyn Control) -> Result<Painting, EngineError> {
        let _listening = Listening::to(control.cancellation());
        let Prepared { index, blueprint, settings, controls, control_plans, needs } =
            self.inspector.prepared(request)?;
        let limit_bytes = self.inspector.limit_bytes();
        let plan = MemoryPlan::within(&needs, limit_bytes)?;
        let course = Course::of(&blueprint, &settings);
        let reporter = Reporter::new(control, course.steps(), request.count);
        reporter.report(Phase::Loading, 0, 0)?;

        let identity = Identity::of(request);
        let model = match self.warm.take() {
            Some((warm, model)) if warm == identity => model,
            other => {
                // The old model goes before the new one comes: two may not fit.
                drop(other);
                self.inspector.device.synchronize().map_err(EngineError::computing("freeing the last model"))?;
                let merges = merges(&index, &request.loras)?;
                let residence = Residence::new(index, merges, self.inspector.device.clone(), self.inspector.precisions);
                Model::new(blueprint, &self.inspector.device, residence)?
            }
        };
        #[cfg(test)]
        model.residence.fail_in_half(self.fault);
        model.residence.settle(plan.residency, &control_plans);
        model.read_ahead(&control_plans)?;
        let led: Vec<_> = controls.into_iter().zip(&control_plans).collect();
        let painted = self.paint_with((&model, &led), request, &settings, &course, limit_bytes, &reporter);
        let warnings = model.residence.take_warnings();
        self.inspector.holds(model.residence.held_bytes());
        self.warm = Some((identity, model));
        let (images, embeddings) = painted?;
        Ok(Painting { settings, embeddings, images, warnings })
    }
}

#[cfg(test)]
impl Engine {
    /// An engine that believes to compute in half precision, and whose part then says `fault` everywhere.
    pub(crate) fn failing_in_half(mut self, fault: (crate::residence::Part, f32)) -> Self {
        let half = device::Precision::Half;
        self.inspector.precisions = Precisions { text_encoders: half, unet: half };
        self.fault = Some(fault);
        self
    }
}

impl Engine {
    /// Paints with a model that is there and what else the request names.
    fn paint_with(
        &mut self,
        (model, controls): (&Model, &[(&ControlNetFile, &ControlNetPlan)]),
        request: &PaintRequest,
        settings: &PaintSettings,
        course: &Course,
        limit_bytes: u64,
        reporter: &Reporter<'_>,
    ) -> Result<(Vec<PaintedImage>, Vec<String>), EngineError> {
        if let Some(file) = &request.taesd {
            let key = (file.sha256, model.blueprint.vae.latent_channels);
            if self.taesd.as_ref().is_none_or(|(known, _)| *known != key) {
                self.taesd = Some((key, load_taesd(file, key.1, &self.inspector.device)?));
            }
        }
        if let Some(file) = request.hires.as_ref().and_then(|hires| hires.upscaler.as_ref()?.network()) {
            self.enlarger(file)?;
        }
        let taesd = self.taesd.as_ref().filter(|_| request.taesd.is_some()).map(|(_, taesd)| taesd);
        let loaded = Loaded {
            model,
            controls,
            enlarger: self.enlarger.as_ref().map(|(_, enlarger)| enlarger),
            limit_bytes,
            previewer: Previewer::new(&model.blueprint, taesd, &self.inspector.device),
        };
        paint(loaded, request, settings, course, reporter)
    }

    /// An upscaler, read unless it was the last one.
    fn enlarger(&mut self, file: &ModelFile) -> Result<&Enlarger, EngineError> {
        let known = self.enlarger.take().filter(|(sha256, _)| *sha256 == file.sha256);
        let enlarger = match known {
            Some(known) => known,
            None => (file.sha256, Enlarger::load(file, &self.inspector.device)?),
        };
        Ok(&self.enlarger.insert(enlarger).1)
    }

    fn try_upscale(
        &mut self,
        image: &PaintedImage,
        upscale: &Upscale<ModelFile>,
        control: &dyn Control,
    ) -> Result<PaintedImage, EngineError> {
        let _listening = Listening::to(control.cancellation());
        let small = Rgb::new("picture", image.width, image.height, image.rgb.clone())?;
        let scale = upscale.scale.map(settings::as_written);
        if let Some(scale) = scale {
            settings::check_scale("upscale.scale", scale)?;
        }
        let reporter = Reporter::new(control, 0, 1);
        reporter.report(Phase::Loading, 0, 0)?;
        let limit_bytes = self.inspector.limit_bytes();
        let upscaler = upscale.upscaler.clone().try_map(|file| self.enlarger(&file))?;
        let size = enlarged_size(&small, &upscaler, scale);
        let made = enlarged(&small, &upscaler, size, limit_bytes, &|done, tiles| reporter.upscaling(done, tiles, 0))?;
        let Rgb { width, height, bytes } = made;
        Ok(PaintedImage { seed: image.seed, width: width as u32, height: height as u32, rgb: bytes })
    }
}

impl Generator for Engine {
    fn inspector(&self) -> Arc<dyn Inspector> {
        Arc::new(self.inspector.clone())
    }

    fn upscale(
        &mut self,
        image: &PaintedImage,
        upscale: &Upscale<ModelFile>,
        control: &dyn Control,
    ) -> Result<PaintedImage, Failure> {
        guarded(|| self.try_upscale(image, upscale, control))
    }

    fn paint(&mut self, request: &PaintRequest, control: &dyn Control) -> Result<Painting, Failure> {
        // While a painting runs the model is outside of `self`, so a panic leaves nothing half-done behind.
        guarded(|| self.try_paint(request, control))
    }

    fn check(&mut self, control: &dyn Control) -> Result<Vec<EngineCheck>, Failure> {
        guarded(|| {
            let _listening = Listening::to(control.cancellation());
            checks(&self.inspector.device)
        })
    }

    fn bench(&mut self, request: &PaintRequest, control: &dyn Control) -> Result<EngineBench, Failure> {
        stopwatch::bench(self, request, control)
    }

    fn evict(&mut self) {
        self.warm = None;
        self.inspector.holds(0);
        self.enlarger = None;
        self.taesd = None;
        if let Err(error) = self.inspector.device.synchronize() {
            tracing::warn!(%error, "the device did not confirm that the model's memory is free");
        }
    }
}

/// Turns errors into failures, and panics, which a dependency may harbour, into errors.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, Failure> {
    let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(EngineError::Panicked { message: message.unwrap_or_else(|| "no message".to_owned()) })
    });
    outcome.map_err(|error| Failure::of(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::{ErrorClass, reason};

    #[test]
    fn a_panic_in_a_dependency_is_a_failure_with_its_words() {
        let failure = guarded::<()>(|| panic!("index {} out of range", 7)).unwrap_err();
        assert_eq!((failure.class, failure.reason.as_str()), (ErrorClass::Internal, reason::ENGINE_FAILED));
        assert!(failure.message.contains("index 7 out of range"), "{}", failure.message);
    }
}
