//! Solvers that ask the network twice a step.

use super::{Randomness, StepContext, step, towards};
use crate::error::EngineError;
use crate::sample::{Levels, NoiseLevel, PictureNoise};
use candle_core::{Result as Computed, Tensor};

/// Heun's method (Karras et al. 2022, algorithm 2).
pub(super) fn heun(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let (churned, level) =
            randomness.churned(x, *level, levels.steps.len(), noise, |sigma| context.level(sigma))?;
        let to = levels.sigma_after(i);
        let next = levels.steps.get(i + 1).copied().or_else(|| (to > 0.0).then(|| context.level(to)));
        x = heun_step(&churned, level, next, context)?;
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// One step of Heun's method; without a level to go to it goes to the clean latents.
pub(super) fn heun_step(
    x: &Tensor,
    level: NoiseLevel,
    next: Option<NoiseLevel>,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    let clean = context.denoise(x, level)?;
    let Some(next) = next else { return Ok(clean) };
    let (from, to) = (level.sigma, next.sigma);
    let guess = step(towards(&clean, x, from, to))?;
    let there = context.denoise(&guess, next)?;
    let average = || -> Computed<Tensor> {
        let (here, there) = (((x - clean)? / from)?, ((&guess - there)? / to)?);
        x + ((here + there)? * ((to - from) / 2.0))?
    };
    step(average())
}

/// DPM-Solver-2 in Karras' form (k-diffusion, `sample_dpm_2`): the derivative half way in ln σ.
pub(super) fn dpm_2(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let (churned, level) =
            randomness.churned(x, *level, levels.steps.len(), noise, |sigma| context.level(sigma))?;
        x = half_way(&churned, level, levels.sigma_after(i), context)?;
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// The same with fresh noise (k-diffusion, `sample_dpm_2_ancestral`).
pub(super) fn dpm_2_ancestral(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let (down, fresh) = randomness.ancestral(level.sigma, levels.sigma_after(i));
        x = half_way(&x, *level, down, context)?;
        if down > 0.0 {
            x = step(randomness.renoised(&x, fresh, noise))?;
        }
        context.stepped(i, &x)?;
    }
    Ok(x)
}

fn half_way(x: &Tensor, from: NoiseLevel, to: f64, context: &mut dyn StepContext) -> Result<Tensor, EngineError> {
    let clean = context.denoise(x, from)?;
    if to <= 0.0 {
        return step(towards(&clean, x, from.sigma, to));
    }
    let middle = context.level((from.sigma * to).sqrt());
    let there = step(towards(&clean, x, from.sigma, middle.sigma))?;
    let clean = context.denoise(&there, middle)?;
    let along = || -> Computed<Tensor> { x + (((&there - clean)? / middle.sigma)? * (to - from.sigma))? };
    step(along())
}

/// DPM-Solver++(2S) (Lu et al. 2022) with fresh noise (k-diffusion, `sample_dpmpp_2s_ancestral`).
pub(super) fn dpmpp_2s_ancestral(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let to = levels.sigma_after(i);
        let (down, fresh) = randomness.ancestral(level.sigma, to);
        let mut clean = context.denoise(&x, *level)?;
        if down > 0.0 {
            let middle = context.level((level.sigma * down).sqrt());
            let there = step(towards(&clean, &x, level.sigma, middle.sigma))?;
            clean = context.denoise(&there, middle)?;
        }
        x = step(towards(&clean, &x, level.sigma, down))?;
        if to > 0.0 {
            x = step(randomness.renoised(&x, fresh, noise))?;
        }
        context.stepped(i, &x)?;
    }
    Ok(x)
}
