//! The choices of a painting: what was asked for where something was, what suits the model elsewhere, and a refusal
//! of what cannot be.

mod distilled;
mod hires;

pub(crate) use hires::check_scale;

use crate::error::EngineError;
use crate::load::{Blueprint, Inputs};
use crate::sample::TRAINING_STEPS;
use distilled::Distilled;
use paintbox_domain::generation::{
    Canny, ControlNetFile, InitImage, Inpaint, InpaintArea, LoraFile, ModelFile, NoiseProblem, NoiseSettings,
    PaintRequest, PaintSettings, Sampler,
};
use std::fmt::Display;

const DEFAULT_STEPS: u32 = 25;
/// As in diffusers and A1111.
const DEFAULT_IMAGE_GUIDANCE: f32 = 1.5;
const DEFAULT_SAMPLER: Sampler = Sampler::DpmPlusPlus2m;
const MAX_COUNT: u32 = 64;
const MAX_PROMPT_BYTES: usize = 64 << 10;
/// Each costs about as much time and memory as half of a network.
const MAX_CONTROLS: usize = 8;
/// Pixels; A1111 goes no farther either.
const MAX_BLUR: u32 = 64;

/// What the model is painted with, under its adapters, when nothing is said.
pub(crate) fn defaults(blueprint: &Blueprint, model: &[ModelFile], loras: &[LoraFile]) -> PaintSettings {
    let adapters = loras.iter().filter(|lora| lora.weight != 0.0).map(|lora| lora.name.as_str());
    let distilled = Distilled::of(adapters.chain(model.iter().map(|file| file.name.as_str())));
    let usual = PaintSettings {
        architecture: blueprint.architecture,
        steps: DEFAULT_STEPS,
        guidance_scale: blueprint.default_guidance,
        image_guidance_scale: (blueprint.inputs == Inputs::Editing).then_some(DEFAULT_IMAGE_GUIDANCE),
        sampler: DEFAULT_SAMPLER,
        schedule: blueprint.schedule,
        width: blueprint.default_size.0,
        height: blueprint.default_size.1,
        clip_skip: blueprint.default_clip_skip,
        strength: None,
        noise: NoiseSettings::default(),
        guidance_rescale: 0.0,
        hires: None,
    };
    distilled.map(|distilled| distilled.onto(&usual)).unwrap_or(usual)
}

/// # Errors
/// [`EngineError::Setting`] for what cannot be painted.
pub(crate) fn resolve(request: &PaintRequest, blueprint: &Blueprint) -> Result<PaintSettings, EngineError> {
    let defaults = defaults(blueprint, &request.model, &request.loras);
    // A part of a picture is painted at a size that suits the model, a whole one at its own.
    let whole = request.init.as_ref().filter(|init| !is_part(init));
    let start = whole.map_or((defaults.width, defaults.height), |init| (init.width, init.height));
    let mut settings = PaintSettings {
        architecture: defaults.architecture,
        steps: request.steps.unwrap_or(defaults.steps),
        guidance_scale: request.guidance_scale.unwrap_or(defaults.guidance_scale),
        image_guidance_scale: request.image_guidance_scale.or(defaults.image_guidance_scale),
        sampler: request.sampler.unwrap_or(defaults.sampler),
        schedule: request.schedule.unwrap_or(defaults.schedule),
        width: request.width.unwrap_or(start.0),
        height: request.height.unwrap_or(start.1),
        clip_skip: request.clip_skip.unwrap_or(defaults.clip_skip),
        strength: request.init.as_ref().map(|init| init.strength.unwrap_or(default_strength(blueprint))),
        noise: request.noise,
        guidance_rescale: request.guidance_rescale.unwrap_or(defaults.guidance_rescale),
        hires: None,
    };
    let layers = blueprint.texts.iter().map(|text| text.shape.layers).min().unwrap_or_default();
    require(settings.steps >= 1 && settings.steps as usize <= TRAINING_STEPS, "steps", settings.steps, || {
        format!("1 to {TRAINING_STEPS}")
    })?;
    require((1..=MAX_COUNT).contains(&request.count), "count", request.count, || format!("1 to {MAX_COUNT}"))?;
    require(settings.guidance_scale.is_finite(), "guidance_scale", settings.guidance_scale, || "a number".to_owned())?;
    if let Some(scale) = settings.image_guidance_scale {
        require(blueprint.inputs == Inputs::Editing, "image_guidance_scale", scale, || {
            "unset: the model does not edit pictures".to_owned()
        })?;
        require(scale.is_finite(), "image_guidance_scale", scale, || "a number".to_owned())?;
        require(request.init.is_some(), "init image", "missing", || "there: the model edits pictures".to_owned())?;
    }
    let rescale = settings.guidance_rescale;
    require((0.0..=1.0).contains(&rescale), "guidance_rescale", rescale, || "between 0 and 1".to_owned())?;
    let noise = settings.noise.check().and_then(|()| settings.noise.check_for(settings.sampler));
    noise.map_err(|NoiseProblem { field: setting, given, wanted }| EngineError::Setting { setting, given, wanted })?;
    require(settings.clip_skip >= 1 && settings.clip_skip as usize <= layers, "clip_skip", settings.clip_skip, || {
        format!("1 to {layers}, the layers of the text encoder")
    })?;
    let multiple = blueprint.size_multiple;
    for (name, side) in [("width", settings.width), ("height", settings.height)] {
        require(side > 0 && side % multiple == 0, name, side, || format!("a multiple of {multiple} pixels"))?;
    }
    for (name, prompt) in [("prompt", &request.prompt), ("negative_prompt", &request.negative_prompt)] {
        check_prompt(name, prompt)?;
    }
    for lora in &request.loras {
        require(lora.weight.is_finite(), "lora weight", lora.weight, || "a number".to_owned())?;
    }
    check_init(request, &settings)?;
    settings.hires = hires::resolve(request, &settings, blueprint)?;
    Ok(settings)
}

/// Refuses what ControlNets cannot be asked for.
///
/// # Errors
/// [`EngineError::Setting`].
pub(crate) fn check_controls(request: &PaintRequest) -> Result<(), EngineError> {
    let count = request.controls.len();
    require(count <= MAX_CONTROLS, "controls", count, || format!("at most {MAX_CONTROLS}"))?;
    for control in &request.controls {
        let ControlNetFile { image, strength, start, end, .. } = control;
        require(strength.is_finite(), "control strength", strength, || "a number".to_owned())?;
        require(*start >= 0.0 && start < end && *end <= 1.0, "control start", format!("{start} to {end}"), || {
            "a part of 0 to 1".to_owned()
        })?;
        if let Some(Canny { low, high }) = control.canny {
            require(low <= high, "canny", format!("{low} to {high}"), || "the lower threshold first".to_owned())?;
        }
        let wanted = (u64::from(image.width) * u64::from(image.height)).saturating_mul(3);
        require(wanted > 0 && image.rgb.len() as u64 == wanted, "control image bytes", image.rgb.len(), || {
            format!("{wanted}, and more than none")
        })?;
    }
    Ok(())
}

fn check_prompt(setting: &'static str, prompt: &str) -> Result<(), EngineError> {
    require(prompt.len() <= MAX_PROMPT_BYTES, setting, format!("{} bytes long", prompt.len()), || {
        format!("at most {MAX_PROMPT_BYTES} bytes long")
    })
}

fn check_init(request: &PaintRequest, settings: &PaintSettings) -> Result<(), EngineError> {
    let (Some(init), Some(strength)) = (&request.init, settings.strength) else { return Ok(()) };
    require(strength > 0.0 && strength <= 1.0, "strength", strength, || "above 0 and at most 1".to_owned())?;
    if let Some(inpaint) = &init.inpaint {
        require(inpaint.blur <= MAX_BLUR, "mask blur", inpaint.blur, || format!("at most {MAX_BLUR} pixels"))?;
    }
    let (width, height) = (settings.width, settings.height);
    require(
        is_part(init) || init.width == width && init.height == height,
        "init image size",
        format!("{}×{}", init.width, init.height),
        || format!("{width}×{height}, the size of the picture"),
    )?;
    let pixels = u64::from(init.width) * u64::from(init.height);
    let wanted = pixels.saturating_mul(3);
    require(init.rgb.len() as u64 == wanted, "init image bytes", init.rgb.len(), || wanted.to_string())?;
    if let Some(Inpaint { mask, .. }) = &init.inpaint {
        require(mask.len() as u64 == pixels, "mask bytes", mask.len(), || pixels.to_string())?;
    }
    require(painted_steps(settings.steps, strength) >= 1, "strength", strength, || {
        format!("at least 1/{}, so that one of {} steps is painted", settings.steps, settings.steps)
    })
}

/// How much of an init image is painted over when nobody says.
fn default_strength(blueprint: &Blueprint) -> f32 {
    match blueprint.inputs {
        Inputs::Latents | Inputs::Inpainting => 0.75,
        // It sees the picture all the time, and begins with noise alone.
        Inputs::Editing => 1.0,
    }
}

/// Whether a part is cut out of the picture to be painted.
fn is_part(init: &InitImage) -> bool {
    init.inpaint.as_ref().is_some_and(|inpaint| matches!(inpaint.area, InpaintArea::OnlyMasked { .. }))
}

/// Steps that are painted over an init image.
pub(crate) fn painted_steps(steps: u32, strength: f32) -> usize {
    // The product is rounded down as Python's int() does it.
    ((f64::from(steps) * as_written(strength)) as usize).min(steps as usize)
}

/// The number that somebody wrote: the shortest decimal that means this one.
pub(crate) fn as_written(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}

fn require(
    holds: bool,
    setting: &'static str,
    given: impl Display,
    wanted: impl FnOnce() -> String,
) -> Result<(), EngineError> {
    if holds {
        return Ok(());
    }
    Err(EngineError::Setting { setting, given: format!("{given}"), wanted: wanted() })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use paintbox_domain::Classify;
    use paintbox_domain::generation::{MaskedContent, Schedule};

    fn blueprint() -> Blueprint {
        crate::load::blueprint(&crate::load::index(&crate::testing::single_file()).unwrap()).unwrap()
    }

    pub(crate) fn request() -> PaintRequest {
        PaintRequest { count: 1, ..PaintRequest::default() }
    }

    #[test]
    fn nothing_said_means_what_suits_the_model() {
        let settings = resolve(&request(), &blueprint()).unwrap();
        assert_eq!((settings.width, settings.height, settings.steps), (64, 64, 25));
        assert_eq!(settings.sampler, Sampler::DpmPlusPlus2m);
        assert!((settings.guidance_scale - 3.0).abs() < f32::EPSILON);
    }

    #[test]
    fn a_name_that_says_few_steps_is_believed_and_what_is_asked_for_goes_first() {
        let mut request = request();
        request.loras = vec![crate::testing::lora("greyscale.safetensors", 1.0)];
        request.loras[0].name = "sdxl_lightning_4step_lora".to_owned();
        let settings = resolve(&request, &blueprint()).unwrap();
        assert_eq!((settings.steps, settings.sampler, settings.schedule), (4, Sampler::Euler, Schedule::Simple));
        assert!((settings.guidance_scale - 1.0).abs() < f32::EPSILON);
        let said = PaintRequest { steps: Some(8), guidance_scale: Some(2.0), ..request.clone() };
        let settings = resolve(&said, &blueprint()).unwrap();
        assert_eq!((settings.steps, settings.sampler), (8, Sampler::Euler));
        request.loras[0].weight = 0.0;
        assert_eq!(resolve(&request, &blueprint()).unwrap().steps, 25);
    }

    #[test]
    fn impossible_settings_are_named_with_what_would_do() {
        let blueprint = blueprint();
        let init = |width, height, bytes, strength| {
            Some(InitImage { width, height, rgb: vec![0; bytes], strength: Some(strength), inpaint: None })
        };
        let masked = |bytes, blur| {
            let (mask, content) = (vec![0; bytes], MaskedContent::Original);
            let inpaint = Inpaint { mask, invert: false, blur, content, area: InpaintArea::Whole };
            Some(InitImage { inpaint: Some(inpaint), ..init(64, 64, 12288, 0.5).unwrap() })
        };
        let wrong: Vec<(&str, PaintRequest)> = vec![
            ("steps", PaintRequest { steps: Some(0), ..request() }),
            ("steps", PaintRequest { steps: Some(1001), ..request() }),
            ("count", PaintRequest { count: 0, ..request() }),
            ("count", PaintRequest { count: 65, ..request() }),
            ("guidance_scale", PaintRequest { guidance_scale: Some(f32::NAN), ..request() }),
            ("image_guidance_scale", PaintRequest { image_guidance_scale: Some(1.5), ..request() }),
            ("clip_skip", PaintRequest { clip_skip: Some(0), ..request() }),
            ("guidance_rescale", PaintRequest { guidance_rescale: Some(f32::NAN), ..request() }),
            ("eta", PaintRequest { noise: NoiseSettings { eta: Some(0.5), ..NoiseSettings::default() }, ..request() }),
            (
                "resize_from",
                PaintRequest {
                    noise: NoiseSettings { resize_from: Some((0, 64)), ..NoiseSettings::default() },
                    ..request()
                },
            ),
            ("clip_skip", PaintRequest { clip_skip: Some(5), ..request() }),
            ("width", PaintRequest { width: Some(0), ..request() }),
            ("width", PaintRequest { width: Some(63), ..request() }),
            ("height", PaintRequest { height: Some(65), ..request() }),
            ("prompt", PaintRequest { prompt: "a".repeat(100_000), ..request() }),
            ("strength", PaintRequest { init: init(64, 64, 12288, 0.0), ..request() }),
            ("strength", PaintRequest { init: init(64, 64, 12288, 1.5), ..request() }),
            ("strength", PaintRequest { init: init(64, 64, 12288, f32::NAN), ..request() }),
            ("strength", PaintRequest { init: init(64, 64, 12288, 0.01), ..request() }),
            ("init image size", PaintRequest { init: init(32, 64, 6144, 0.5), width: Some(64), ..request() }),
            ("init image bytes", PaintRequest { init: init(64, 64, 12287, 0.5), ..request() }),
            ("mask bytes", PaintRequest { init: masked(4095, 4), ..request() }),
            ("mask blur", PaintRequest { init: masked(4096, 65), ..request() }),
        ];
        for (setting, request) in wrong {
            let error = resolve(&request, &blueprint).unwrap_err();
            assert_eq!(error.reason(), paintbox_domain::reason::UNSUPPORTED_SETTING, "{setting}");
            assert!(error.to_string().starts_with(setting), "{setting}: {error}");
        }
    }

    #[test]
    fn strength_counts_steps_as_the_reference_does() {
        assert_eq!(painted_steps(20, 0.6), 12);
        assert_eq!(painted_steps(10, 0.7), 7);
        assert_eq!(painted_steps(20, 0.35), 7);
        assert_eq!(painted_steps(25, 1.0), 25);
    }
}
