//! From a specification to finished pictures, each with the text that says how it was made.

use crate::error::GenerationError;
use crate::given;
use crate::queue::Inner;
use crate::recipe::{ControlResource, LoraResource, Masked, Recipe, Resource, enlarged_text};
use crate::resolve::{self, LocalLora, Named};
use crate::spec_json::settings_to_json;
use paintbox_domain::generation::{
    Control, GenerationSpec, Generator, Hires, ModelFile, PaintRequest, PaintedImage, Painting, Upscale,
};
use std::panic::AssertUnwindSafe;

/// What recipes call us.
const PROGRAM: &str = concat!("Paintbox ", env!("CARGO_PKG_VERSION"));

/// What a specification became.
pub(crate) struct Made {
    /// The choices that were made, as their row keeps them; empty where nothing was painted.
    pub(crate) settings_json: String,
    pub(crate) pictures: Vec<(PaintedImage, String)>,
}

/// Paints, or takes the picture that was given, and makes larger what is to become larger.
pub(crate) async fn make(
    inner: &Inner,
    generator: &mut dyn Generator,
    spec: &GenerationSpec,
    control: &(dyn Control + Sync),
) -> Result<Made, GenerationError> {
    let upscale = match &spec.upscale {
        Some(upscale) => Some(resolve::upscale(&inner.resolver, upscale).await?),
        None => None,
    };
    let mut made = if spec.paints() {
        paint(inner, generator, spec, upscale.as_ref(), control).await?
    } else {
        let (image, text) = given::with_recipe(&inner.store, spec)?;
        let text = enlarged_text(&text, upscale.as_ref().map(of_upscale).as_ref(), PROGRAM);
        Made { settings_json: "{}".to_owned(), pictures: vec![(image, text)] }
    };
    if let Some(upscale) = &upscale {
        for (image, _) in &mut made.pictures {
            *image = unharmed(|| generator.upscale(image, upscale, control))?;
        }
    }
    Ok(made)
}

async fn paint(
    inner: &Inner,
    generator: &mut dyn Generator,
    spec: &GenerationSpec,
    upscale: Option<&Upscale<ModelFile>>,
    control: &(dyn Control + Sync),
) -> Result<Made, GenerationError> {
    let named = resolve::named(&inner.resolver, spec).await?;
    let Named { model, vae, text_encoders, embeddings, loras, control_nets, prompt, hires, taesd } = named;
    let controls = spec.controls.iter().zip(control_nets);
    let controls = controls.map(|(control, weights)| given::control(&inner.store, control, weights));
    let controls = controls.collect::<Result<_, _>>()?;
    let recipe_loras = loras.iter().map(of_lora).collect();
    let second = hires.iter().flat_map(|hires| [&hires.prompt, &hires.negative_prompt]).flatten();
    let prompts = [&prompt, &spec.negative_prompt].into_iter().chain(second).map(String::as_str);
    let request = PaintRequest {
        model: model.files,
        vae,
        text_encoders,
        loras: loras.into_iter().map(|lora| lora.file).collect(),
        controls,
        embeddings: resolve::embeddings(&inner.resolver, embeddings, prompts).await?,
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
        init: given::init_image(&inner.store, spec)?,
        noise: spec.noise,
        guidance_rescale: spec.guidance_rescale,
        hires,
        taesd,
    };
    let Painting { settings, embeddings, images, warnings } = unharmed(|| generator.paint(&request, control))?;
    let said = request.embeddings.iter().filter(|word| embeddings.contains(&word.name));
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
        vae: request.vae.as_ref().map(of_file),
        text_encoders: request.text_encoders.iter().map(of_file).collect(),
        loras: recipe_loras,
        controls: request.controls.iter().map(ControlResource::of).collect(),
        hires: request.hires.as_ref().map(of_hires),
        upscale: upscale.map(of_upscale),
        program: Some(PROGRAM.to_owned()),
        ..Recipe::default()
    };
    let text = |(index, image): (u32, PaintedImage)| {
        let noise = settings.noise.of_image(index);
        let text = Recipe { seed: Some(image.seed), noise, ..recipe.clone() }.parameters_text();
        (image, text)
    };
    let pictures = (0..).zip(images).map(text).collect();
    Ok(Made { settings_json: settings_to_json(&settings, &warnings), pictures })
}

/// What an engine says, a fault in which ends the job and not the daemon.
pub(crate) fn unharmed<T>(work: impl FnOnce() -> Result<T, paintbox_domain::Failure>) -> Result<T, GenerationError> {
    std::panic::catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| GenerationError::Panicked { what: panic_text(panic.as_ref()) })?
        .map_err(GenerationError::Engine)
}

fn of_file(file: &ModelFile) -> Resource {
    Resource::of_file(resolve::stem(&file.name), Some(&file.sha256))
}

fn of_lora(lora: &LocalLora) -> LoraResource {
    let mut resource = Resource::of_file(&lora.file.name, Some(&lora.file.sha256));
    resource.digests.extend(lora.auto_v3.clone());
    let text_encoder_weight = Some(lora.file.text_encoder_weight);
    LoraResource { resource, weight: lora.file.weight, text_encoder_weight }
}

fn of_hires(hires: &Hires<ModelFile>) -> Hires<Resource> {
    let upscaler = hires.upscaler.clone().map(|upscaler| upscaler.map(|file| of_file(&file)));
    hires.clone().with_upscaler(upscaler)
}

fn of_upscale(upscale: &Upscale<ModelFile>) -> Upscale<Resource> {
    Upscale { upscaler: upscale.upscaler.clone().map(|file| of_file(&file)), scale: upscale.scale }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
