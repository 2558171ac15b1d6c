//! The one thread that paints. It sleeps until there is a queued row, takes it, and ends it.

use crate::error::GenerationError;
use crate::given;
use crate::queue::Inner;
use crate::recipe::{ControlResource, LoraResource, Masked, Recipe, Resource, encode};
use crate::resolve::{self, LocalLora, Named};
use crate::spec_json::{settings_to_json, spec_from_json};
use paintbox_catalogue::{Asset, AssetOrigin, GenerationOutcome, GenerationRecord, NewGenerationImage};
use paintbox_domain::generation::{Control, Generator, PaintRequest, Phase, PictureFormat, Progress};
use paintbox_domain::{ErrorClass, Failure, reason};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What recipes call us.
const PROGRAM: &str = concat!("Paintbox ", env!("CARGO_PKG_VERSION"));

/// The queue's side of the thread.
#[derive(Debug, Clone)]
pub(crate) struct WorkerHandle {
    nudge: Arc<Notify>,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl WorkerHandle {
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

pub(crate) struct Worker {
    generator: Box<dyn Generator>,
    handle: WorkerHandle,
}

impl Worker {
    pub(crate) fn new(generator: Box<dyn Generator>) -> (Self, WorkerHandle) {
        let handle = WorkerHandle {
            nudge: Arc::new(Notify::new()),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        (Self { generator, handle: handle.clone() }, handle)
    }

    pub(crate) fn spawn(mut self, inner: &Arc<Inner>) {
        let inner = inner.clone();
        let runtime = tokio::runtime::Handle::current();
        let ended = self.handle.ended.clone().drop_guard();
        let thread = std::thread::Builder::new().name("painter".to_owned()).spawn(move || {
            let _ended = ended;
            runtime.block_on(self.work(&inner));
        });
        if let Err(error) = thread {
            tracing::error!(%error, "cannot start the painting thread; nothing will be painted");
        }
    }

    async fn work(&mut self, inner: &Inner) {
        while !self.handle.is_stopping() {
            match inner.catalogue.next_queued().await {
                Ok(Some(next)) => self.take(inner, &next.uid).await,
                Ok(None) => self.rest().await,
                Err(error) => {
                    tracing::error!(%error, "cannot read the queue");
                    self.rest().await;
                }
            }
        }
    }

    async fn rest(&self) {
        tokio::select! {
            () = self.handle.nudge.notified() => {}
            () = self.handle.stop.cancelled() => {}
        }
    }

    async fn take(&mut self, inner: &Inner, uid: &str) {
        let live = inner.live_of(uid);
        let record = match inner.catalogue.start_generation(uid).await {
            Ok(Some(record)) => record,
            // Cancelled in between.
            Ok(None) => return inner.ended(uid),
            Err(error) => {
                tracing::error!(%error, uid, "cannot start a generation");
                return self.rest().await;
            }
        };
        live.state_changed();
        let result = self.paint(inner, &record, live.as_ref()).await;
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(GenerationError::Engine(failure)) if failure.reason == reason::CANCELLED => {
                if self.handle.is_stopping() {
                    // The daemon ends, nobody took the wish back: said plainly, as after a crash.
                    let failure = Failure::new(
                        ErrorClass::Unavailable,
                        reason::INTERRUPTED,
                        "the daemon ended while this was running",
                    );
                    GenerationOutcome::Failed(failure.with_hint("ask for it again"))
                } else {
                    GenerationOutcome::Cancelled
                }
            }
            Err(error) => {
                let failure = error.failure();
                tracing::warn!(uid, reason = %failure.reason, "a generation failed: {failure}");
                GenerationOutcome::Failed(failure)
            }
        };
        inner.finish(uid, &outcome).await;
    }

    async fn paint(
        &mut self,
        inner: &Inner,
        record: &GenerationRecord,
        control: &(dyn Control + Sync),
    ) -> Result<GenerationOutcome, GenerationError> {
        let spec = spec_from_json(&record.spec_json).map_err(GenerationError::BadRecord)?;
        let Named { model, vae, loras, control_nets, prompt } = resolve::named(&inner.resolver, &spec).await?;
        let controls = spec.controls.iter().zip(control_nets);
        let controls = controls.map(|(control, weights)| given::control(&inner.store, control, weights));
        let controls = controls.collect::<Result<_, _>>()?;
        let recipe_loras = loras.iter().map(recipe_of).collect();
        let request = PaintRequest {
            model: model.files,
            vae,
            loras: loras.into_iter().map(|lora| lora.file).collect(),
            controls,
            embeddings: resolve::embeddings(&inner.resolver, [&prompt, &spec.negative_prompt]).await?,
            prompt,
            negative_prompt: spec.negative_prompt.clone(),
            seed: spec.seed.unwrap_or_default(),
            steps: spec.steps,
            guidance_scale: spec.guidance_scale,
            image_guidance_scale: spec.image_guidance_scale,
            sampler: spec.sampler,
            schedule: spec.schedule,
            width: spec.width,
            height: spec.height,
            clip_skip: spec.clip_skip,
            count: spec.count,
            init: given::init_image(&inner.store, &spec)?,
            noise: spec.noise,
            guidance_rescale: spec.guidance_rescale,
        };
        let generator = &mut self.generator;
        // A fault in painting ends the job, not the daemon.
        let painting = std::panic::catch_unwind(AssertUnwindSafe(|| generator.paint(&request, control)))
            .map_err(|panic| GenerationError::Panicked { what: panic_text(panic.as_ref()) })?
            .map_err(GenerationError::Engine)?;

        let image_count = u32::try_from(painting.images.len()).unwrap_or(u32::MAX);
        let saving = Progress {
            phase: Phase::Saving,
            step: painting.settings.steps,
            total_steps: painting.settings.steps,
            image_index: image_count.saturating_sub(1),
            image_count,
        };
        control.progress(saving);
        let settings = &painting.settings;
        let said = request.embeddings.iter().filter(|word| painting.embeddings.contains(&word.name));
        let recipe = Recipe {
            embeddings: said.map(|word| Resource::of_file(&word.name, Some(&word.sha256))).collect(),
            prompt: request.prompt.clone(),
            negative_prompt: spec.negative_prompt.clone(),
            steps: Some(settings.steps),
            sampler: Some(settings.sampler),
            schedule: Some(settings.schedule),
            guidance_scale: Some(settings.guidance_scale),
            guidance_rescale: Some(settings.guidance_rescale),
            width: Some(settings.width),
            height: Some(settings.height),
            clip_skip: Some(settings.clip_skip),
            image_guidance_scale: settings.image_guidance_scale,
            strength: settings.strength,
            masked: request.init.as_ref().and_then(|init| init.inpaint.as_ref()).map(Masked::of),
            model: Some(Resource::of_file(&model.name, model.main.as_ref())),
            vae: request.vae.as_ref().map(|vae| Resource::of_file(resolve::stem(&vae.name), Some(&vae.sha256))),
            loras: recipe_loras,
            controls: request.controls.iter().map(ControlResource::of).collect(),
            program: Some(PROGRAM.to_owned()),
            ..Recipe::default()
        };
        let format = spec.format.unwrap_or(PictureFormat::Png);
        let mut images = Vec::new();
        for (index, image) in (0_u32..).zip(&painting.images) {
            let noise = settings.noise.of_image(index);
            let parameters_text = Recipe { seed: Some(image.seed), noise, ..recipe.clone() }.parameters_text();
            let blob = inner.store.put_bytes(&encode(image, format, spec.quality, &parameters_text)?)?;
            let asset = Asset {
                sha256: blob.sha256,
                media_type: format.media_type().to_owned(),
                size_bytes: blob.size_bytes,
                width: image.width,
                height: image.height,
                origin: AssetOrigin::Output,
            };
            images.push(NewGenerationImage { asset, seed: image.seed, parameters_text });
        }
        Ok(GenerationOutcome::Succeeded { settings_json: settings_to_json(&painting.settings), images })
    }
}

fn recipe_of(lora: &LocalLora) -> LoraResource {
    let mut resource = Resource::of_file(&lora.file.name, Some(&lora.file.sha256));
    resource.digests.extend(lora.auto_v3.clone());
    let text_encoder_weight = Some(lora.file.text_encoder_weight);
    LoraResource { resource, weight: lora.file.weight, text_encoder_weight }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
