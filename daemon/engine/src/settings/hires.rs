//! The choices of a second pass at a larger size.

use super::require;
use crate::error::EngineError;
use crate::hires::schedule_steps;
use crate::load::Blueprint;
use crate::sample::TRAINING_STEPS;
use crate::settings::as_written;
use paintbox_domain::generation::{Hires, HiresSettings, ModelFile, NoiseProblem, PaintRequest, PaintSettings};

/// Times as long sides become; A1111 goes to 8 and 4.
const LARGEST_SCALE: f64 = 16.0;

/// # Errors
/// [`EngineError::Setting`] unless pictures can be made so many times as large.
pub(crate) fn check_scale(setting: &'static str, scale: f64) -> Result<(), EngineError> {
    require(scale > 0.0 && scale <= LARGEST_SCALE, setting, scale, || format!("above 0 and at most {LARGEST_SCALE}"))
}

/// What is asked of a second pass, and as in the first one where nothing is said; none if there is none.
///
/// # Errors
/// [`EngineError::Setting`] for what cannot be painted.
pub(super) fn resolve(
    request: &PaintRequest,
    first: &PaintSettings,
    blueprint: &Blueprint,
) -> Result<Option<HiresSettings>, EngineError> {
    let Some(asked) = &request.hires else { return Ok(None) };
    require(request.init.is_none(), "hires", "set beside an init image", || {
        "of a picture that is painted from noise".to_owned()
    })?;
    let scale = as_written(asked.scale.unwrap_or(Hires::<ModelFile>::USUAL_SCALE));
    check_scale("hires.scale", scale)?;
    require(scale >= 1.0, "hires.scale", scale, || "1 or more".to_owned())?;
    let multiple = blueprint.size_multiple;
    // As Python's int() does it, and down to what the network can do.
    let side = |side: u32| (f64::from(side) * scale) as u32 / multiple * multiple;
    let hires = HiresSettings {
        width: side(first.width),
        height: side(first.height),
        steps: asked.steps.unwrap_or(first.steps),
        strength: asked.strength.unwrap_or(Hires::<ModelFile>::USUAL_STRENGTH),
        sampler: asked.sampler.unwrap_or(first.sampler),
        schedule: asked.schedule.unwrap_or(first.schedule),
        guidance_scale: asked.guidance_scale.unwrap_or(first.guidance_scale),
    };
    require(hires.strength > 0.0 && hires.strength <= 1.0, "hires.strength", hires.strength, || {
        "above 0 and at most 1".to_owned()
    })?;
    let steps = schedule_steps(&hires);
    require(hires.steps >= 1 && steps <= TRAINING_STEPS, "hires.steps", hires.steps, || {
        format!("1 or more, and at most {TRAINING_STEPS} when divided by the strength")
    })?;
    require(hires.guidance_scale.is_finite(), "hires.guidance_scale", hires.guidance_scale, || "a number".to_owned())?;
    first
        .noise
        .check_for(hires.sampler)
        .map_err(|NoiseProblem { field: setting, given, wanted }| EngineError::Setting { setting, given, wanted })?;
    for (name, prompt) in [("hires.prompt", &asked.prompt), ("hires.negative_prompt", &asked.negative_prompt)] {
        super::check_prompt(name, prompt.as_deref().unwrap_or_default())?;
    }
    Ok(Some(hires))
}
