//! Solvers that ask the network twice a step.

use super::{StepContext, ancestral, renoised, step, towards};
use crate::error::EngineError;
use crate::sample::{Levels, NoiseLevel, PictureNoise};
use candle_core::{Result as Computed, Tensor};

/// Heun's method (Karras et al. 2022, algorithm 1).
pub(super) fn heun(levels: &Levels, mut x: Tensor, context: &mut dyn StepContext) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let (from, to) = (level.sigma, levels.sigma_after(i));
        let clean = context.denoise(&x, *level)?;
        let guess = step(towards(&clean, &x, from, to))?;
        x = if to > 0.0 {
            let next = levels.steps.get(i + 1).copied().unwrap_or_else(|| context.level(to));
            let there = context.denoise(&guess, next)?;
            let average = || -> Computed<Tensor> {
                let (here, there) = (((&x - clean)? / from)?, ((&guess - there)? / to)?);
                &x + ((here + there)? * ((to - from) / 2.0))?
            };
            step(average())?
        } else {
            guess
        };
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// DPM-Solver-2 in Karras' form (k-diffusion, `sample_dpm_2`): the derivative half way in ln σ.
pub(super) fn dpm_2(levels: &Levels, mut x: Tensor, context: &mut dyn StepContext) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        x = half_way(&x, *level, levels.sigma_after(i), context)?;
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// The same with fresh noise (k-diffusion, `sample_dpm_2_ancestral`).
pub(super) fn dpm_2_ancestral(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let (down, fresh) = ancestral(level.sigma, levels.sigma_after(i), 1.0);
        x = half_way(&x, *level, down, context)?;
        if down > 0.0 {
            x = step(renoised(&x, fresh, noise))?;
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
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let to = levels.sigma_after(i);
        let (down, fresh) = ancestral(level.sigma, to, 1.0);
        let mut clean = context.denoise(&x, *level)?;
        if down > 0.0 {
            let middle = context.level((level.sigma * down).sqrt());
            let there = step(towards(&clean, &x, level.sigma, middle.sigma))?;
            clean = context.denoise(&there, middle)?;
        }
        x = step(towards(&clean, &x, level.sigma, down))?;
        if to > 0.0 {
            x = step(renoised(&x, fresh, noise))?;
        }
        context.stepped(i, &x)?;
    }
    Ok(x)
}
