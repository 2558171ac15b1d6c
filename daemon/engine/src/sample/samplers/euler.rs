//! Euler's method, with and without fresh noise, and what is left of it for models that see the clean picture at once.

use super::{StepContext, ancestral, renoised, step, towards};
use crate::error::EngineError;
use crate::sample::{Levels, PictureNoise};
use candle_core::Tensor;

/// Euler's method on the probability-flow equation (Karras et al. 2022, algorithm 2 without churn).
pub(super) fn euler(levels: &Levels, mut x: Tensor, context: &mut dyn StepContext) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        x = step(towards(&clean, &x, level.sigma, levels.sigma_after(i)))?;
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// Euler with part of each step's noise taken away and replaced by fresh noise (k-diffusion, `sample_euler_ancestral`).
pub(super) fn euler_ancestral(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let (down, fresh) = ancestral(level.sigma, levels.sigma_after(i), 1.0);
        // The reference draws for the last step too, though nothing of it is left there.
        x = step(towards(&clean, &x, level.sigma, down).and_then(|x| renoised(&x, fresh, noise)))?;
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// For latent consistency models (Luo et al. 2023): what the network sees, under fresh noise of the next level.
pub(super) fn lcm(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let to = levels.sigma_after(i);
        x = if to > 0.0 { step(renoised(&clean, to, noise))? } else { clean };
        context.stepped(i, &x)?;
    }
    Ok(x)
}
