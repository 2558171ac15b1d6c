//! Euler's method, with and without fresh noise, and what is left of it for models that see the clean picture at once.

use super::{Randomness, StepContext, step, towards};
use crate::error::EngineError;
use crate::sample::{Levels, PictureNoise};
use candle_core::Tensor;

/// Euler's method on the probability-flow equation (Karras et al. 2022, algorithm 2).
pub(super) fn euler(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let (churned, level) =
            randomness.churned(x, *level, levels.steps.len(), noise, |sigma| context.level(sigma))?;
        let clean = context.denoise(&churned, level)?;
        x = step(towards(&clean, &churned, level.sigma, levels.sigma_after(i)))?;
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// Euler with part of each step's noise taken away and replaced by fresh noise (k-diffusion, `sample_euler_ancestral`).
pub(super) fn euler_ancestral(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let (down, fresh) = randomness.ancestral(level.sigma, levels.sigma_after(i));
        // The reference draws for the last step too, though nothing of it is left there.
        let next = towards(&clean, &x, level.sigma, down).and_then(|x| randomness.renoised(&x, fresh, noise));
        x = step(next)?;
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// For latent consistency models (Luo et al. 2023): what the network sees, under fresh noise of the next level.
pub(super) fn lcm(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let to = levels.sigma_after(i);
        x = if to > 0.0 { step(randomness.renoised(&clean, to, noise))? } else { clean };
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// For models distilled by trajectory consistency (Zheng et al. 2024, strategic stochastic sampling; diffusers
/// `scheduling_tcd.py`): straight down to an earlier training time than the next, by the part γ of it, and up again with
/// fresh noise.
pub(super) fn tcd(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        x = match levels.steps.get(i + 1) {
            Some(next) => {
                let down = context.sigma_at(((1.0 - randomness.eta) * next.timestep).floor()).min(next.sigma);
                let fresh = (next.sigma * next.sigma - down * down).sqrt();
                let there = towards(&clean, &x, level.sigma, down);
                let noisy = |x| if randomness.eta > 0.0 { randomness.renoised(&x, fresh, noise) } else { Ok(x) };
                step(there.and_then(noisy))?
            }
            None => step(towards(&clean, &x, level.sigma, levels.last_sigma))?,
        };
        context.stepped(i, &x)?;
    }
    Ok(x)
}
