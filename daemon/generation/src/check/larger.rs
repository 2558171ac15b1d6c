//! What is wrong with a request for a larger picture.

use super::{LARGEST_STEPS, LONGEST_PROMPT_BYTES, check_format};
use crate::error::GenerationError;
use paintbox_domain::generation::GenerationSpec;

/// Times as long sides become; nobody enlarges farther at once.
const LARGEST_SCALE: f32 = 16.0;

fn refuse(field: &'static str, problem: impl Into<String>) -> Result<(), GenerationError> {
    Err(GenerationError::Invalid { field, problem: problem.into() })
}

/// Refuses second passes and enlargements that nothing could do.
pub(super) fn check(spec: &GenerationSpec) -> Result<(), GenerationError> {
    if let Some(hires) = &spec.hires {
        if spec.init_image.is_some() {
            return refuse("hires", "it belongs to pictures that are painted from noise, and there is an init image");
        }
        if let Some(scale) = hires.scale
            && !(1.0..=LARGEST_SCALE).contains(&scale)
        {
            return refuse("hires.scale", format!("{scale} is not between 1 and {LARGEST_SCALE}"));
        }
        if let Some(steps) = hires.steps
            && !(1..=LARGEST_STEPS).contains(&steps)
        {
            return refuse("hires.steps", format!("{steps} is not between 1 and {LARGEST_STEPS}"));
        }
        if let Some(strength) = hires.strength
            && !(strength > 0.0 && strength <= 1.0)
        {
            return refuse("hires.strength", format!("{strength} is not above 0 and at most 1"));
        }
        if let Some(scale) = hires.guidance_scale
            && !(0.0..=100.0).contains(&scale)
        {
            return refuse("hires.guidance_scale", format!("{scale} is not between 0 and 100"));
        }
        for (field, text) in [("hires.prompt", &hires.prompt), ("hires.negative_prompt", &hires.negative_prompt)] {
            if let Some(text) = text
                && text.len() > LONGEST_PROMPT_BYTES
            {
                return refuse(field, format!("{} bytes are more than {LONGEST_PROMPT_BYTES}", text.len()));
            }
        }
    }
    check_scale(spec)
}

/// Refuses what is asked of a picture that is only made larger.
pub(super) fn check_enlarging(spec: &GenerationSpec) -> Result<(), GenerationError> {
    if spec.init_image.is_none() {
        return refuse("init_image", "there is no picture to make larger, and no model to paint one with");
    }
    if !spec.prompt.is_empty() || !spec.negative_prompt.is_empty() {
        return refuse("prompt", "no model is named that could paint it");
    }
    let paints = spec.hires.is_some() || spec.inpaint.is_some() || !spec.controls.is_empty() || !spec.loras.is_empty();
    if paints || spec.strength.is_some() {
        return refuse("model", "no model is named that could paint");
    }
    if spec.count != 1 {
        return refuse("count", format!("one picture is made larger, and {} are asked for", spec.count));
    }
    check_format(spec)?;
    check_scale(spec)
}

fn check_scale(spec: &GenerationSpec) -> Result<(), GenerationError> {
    match spec.upscale.as_ref().and_then(|upscale| upscale.scale) {
        Some(scale) if !(scale > 0.0 && scale <= LARGEST_SCALE) => {
            refuse("upscale.scale", format!("{scale} is not above 0 and at most {LARGEST_SCALE}"))
        }
        _ => Ok(()),
    }
}
