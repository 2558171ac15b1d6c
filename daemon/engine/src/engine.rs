//! The engine as the queue sees it: one model at a time, kept warm for the next picture.

use crate::device::{self, DeviceChoice};
use crate::error::EngineError;
use crate::load::{ControlNetPlan, blueprint, index, merges};
use crate::model::Model;
use crate::networks::{ControlNet, TaesdDecoder};
use crate::paint::{Course, Loaded, Reporter, paint};
use crate::picture::Rgb;
use crate::preview::{Previewer, load_taesd};
use crate::settings;
use crate::upscale::{Enlarger, enlarged, enlarged_size};
use crate::tensor::interruption::Listening;
use candle_core::Device;
use paintbox_domain::generation::{
    Capabilities, Control, ControlNetFile, Generator, ModelFile, PaintRequest, PaintSettings, PaintedImage, Painting,
    Phase, Sampler, Schedule, Upscale,
};
use paintbox_domain::{Failure, Sha256};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What an engine is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    pub device: DeviceChoice,
    /// Pictures that are estimated to need more than this beside the model's weights are refused.
    pub memory_limit_bytes: u64,
}

impl Default for EngineOptions {
    /// The best device there is, and 16 GiB.
    fn default() -> Self {
        Self { device: DeviceChoice::Auto, memory_limit_bytes: 16 << 30 }
    }
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
    device: Device,
    options: EngineOptions,
    warm: Option<(Identity, Model)>,
    /// ControlNets of the model that is warm, by their content.
    controls: Vec<(Sha256, ControlNet)>,
    /// The last upscaler, by its content.
    enlarger: Option<(Sha256, Enlarger)>,
    /// What decoded the last previews, by its content and the channels of its latents.
    taesd: Option<((Sha256, usize), TaesdDecoder)>,
}

impl Engine {
    /// # Errors
    /// [`EngineError::Device`] when the device was asked for by name and is not there.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        Ok(Self {
            device: options.device.open()?,
            options,
            warm: None,
            controls: Vec::new(),
            enlarger: None,
            taesd: None,
        })
    }

    /// `cpu`, `metal` or `cuda`.
    #[must_use]
    pub fn device_name(&self) -> &'static str {
        device::name(&self.device)
    }

    /// Whether a model is in memory.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.warm.is_some()
    }

    /// Gives the model's memory back; the next painting loads again.
    pub fn evict(&mut self) {
        self.warm = None;
        self.controls.clear();
        self.enlarger = None;
        self.taesd = None;
    }

    fn try_capabilities(model: &[ModelFile]) -> Result<Capabilities, EngineError> {
        let blueprint = blueprint(&index(model)?)?;
        Ok(Capabilities {
            architecture: blueprint.architecture,
            defaults: settings::defaults(&blueprint, model, &[]),
            samplers: Sampler::ALL.to_vec(),
            schedules: Schedule::ALL.to_vec(),
            size_multiple: blueprint.size_multiple,
        })
    }

    fn try_paint(&mut self, request: &PaintRequest, control: &dyn Control) -> Result<Painting, EngineError> {
        let _listening = Listening::to(control.cancellation());
        let mut index = index(&request.model)?.with_text_encoders(&request.text_encoders)?;
        if let Some(vae) = &request.vae {
            index = index.with_vae(vae)?;
        }
        let blueprint = blueprint(&index)?;
        let settings = settings::resolve(request, &blueprint, self.options.memory_limit_bytes)?;
        let asked: Vec<_> = request.controls.iter().filter(|control| control.strength != 0.0).collect();
        let plans: Vec<_> =
            asked.iter().map(|control| ControlNetPlan::new(control, &blueprint)).collect::<Result<_, _>>()?;
        settings::check_controls(request, &plans, &blueprint, &settings, self.options.memory_limit_bytes)?;
        let course = Course::of(&blueprint, &settings);
        let reporter = Reporter::new(control, course.steps(), request.count);
        reporter.report(Phase::Loading, 0, 0)?;

        let identity = Identity::of(request);
        let model = match self.warm.take() {
            Some((warm, model)) if warm == identity => model,
            other => {
                // The old model goes before the new one comes: two may not fit.
                drop(other);
                self.controls.clear();
                self.device.synchronize().map_err(EngineError::computing("freeing the last model"))?;
                let merges = merges(&index, &request.loras)?;
                Model::load(&index, blueprint, &merges, &self.device)?
            }
        };
        let mut controls = std::mem::take(&mut self.controls);
        controls.retain(|(sha256, _)| plans.iter().any(|plan| plan.sha256 == *sha256));
        for plan in &plans {
            if controls.iter().all(|(sha256, _)| *sha256 != plan.sha256) {
                controls.push((plan.sha256, plan.load(&self.device)?));
            }
        }
        let led: Vec<_> = asked
            .into_iter()
            .filter_map(|file| Some((file, &controls.iter().find(|(sha256, _)| *sha256 == file.sha256)?.1)))
            .collect();
        let painted = self.paint_with(&model, &led, request, &settings, &course, &reporter);
        self.warm = Some((identity, model));
        self.controls = controls;
        let (images, embeddings) = painted?;
        Ok(Painting { settings, embeddings, images })
    }
}

impl Engine {
    /// Paints with a model that is there and what else the request names.
    fn paint_with(
        &mut self,
        model: &Model,
        controls: &[(&ControlNetFile, &ControlNet)],
        request: &PaintRequest,
        settings: &PaintSettings,
        course: &Course,
        reporter: &Reporter<'_>,
    ) -> Result<(Vec<PaintedImage>, Vec<String>), EngineError> {
        if let Some(file) = &request.taesd {
            let key = (file.sha256, model.blueprint.vae.latent_channels);
            if self.taesd.as_ref().is_none_or(|(known, _)| *known != key) {
                self.taesd = Some((key, load_taesd(file, key.1, &self.device)?));
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
            limit_bytes: self.options.memory_limit_bytes,
            previewer: Previewer::new(&model.blueprint, taesd, &self.device),
        };
        paint(loaded, request, settings, course, reporter)
    }

    /// An upscaler, read unless it was the last one.
    fn enlarger(&mut self, file: &ModelFile) -> Result<&Enlarger, EngineError> {
        let known = self.enlarger.take().filter(|(sha256, _)| *sha256 == file.sha256);
        let enlarger = match known {
            Some(known) => known,
            None => (file.sha256, Enlarger::load(file, &self.device)?),
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
        let limit_bytes = self.options.memory_limit_bytes;
        let upscaler = upscale.upscaler.clone().try_map(|file| self.enlarger(&file))?;
        let size = enlarged_size(&small, &upscaler, scale);
        let made = enlarged(&small, &upscaler, size, limit_bytes, &|done, tiles| reporter.upscaling(done, tiles, 0))?;
        let Rgb { width, height, bytes } = made;
        Ok(PaintedImage { seed: image.seed, width: width as u32, height: height as u32, rgb: bytes })
    }
}

impl Generator for Engine {
    fn capabilities(&mut self, model: &[ModelFile]) -> Result<Capabilities, Failure> {
        guarded(|| Self::try_capabilities(model))
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
}

/// Turns errors into failures, and panics, which a dependency may harbour, into errors.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, Failure> {
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
