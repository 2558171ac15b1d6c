//! Solvers of the stochastic equation, whose noise is one random walk through all levels: the DPM-Solver++ SDE family
//! (Lu et al. 2022, section 4.3; k-diffusion `sampling.py`).

use super::{Randomness, StepContext, mix, step, towards};
use crate::error::EngineError;
use crate::sample::{BrownianTree, Levels, PictureNoise};
use candle_core::{Result as Computed, Tensor};

/// What the steps of one picture share.
struct Walk {
    tree: BrownianTree,
    randomness: Randomness,
}

impl Walk {
    fn of(levels: &Levels, x: &Tensor, noise: &PictureNoise, randomness: Randomness) -> Self {
        let cleanest = levels.steps.last().map_or(levels.last_sigma, |level| level.sigma);
        let least = if levels.last_sigma > 0.0 { levels.last_sigma } else { cleanest };
        Self { tree: noise.walk(x.shape(), least, levels.noisiest), randomness }
    }

    /// `x` under the walk's noise between two levels, of standard deviation `sigma`.
    fn renoised(&self, x: &Tensor, sigma: f64, from: f64, to: f64) -> Computed<Tensor> {
        if sigma == 0.0 {
            return Ok(x.clone());
        }
        mix(1.0, x, sigma * self.randomness.scale, &self.tree.noise(from, to)?)
    }
}

/// DPM-Solver++ SDE of second order within a step, the network being asked half way in ln σ (`sample_dpmpp_sde`).
pub(super) fn dpmpp_sde(
    levels: &Levels,
    mut x: Tensor,
    noise: &PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    let walk = Walk::of(levels, &x, noise, randomness);
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let to = levels.sigma_after(i);
        if to > 0.0 {
            // The reference goes to ln σ and back in single precision, and where on the walk that ends decides the noise.
            let (start, end) = (time(level.sigma), time(to));
            let half_way = single(start + single((end - start) * 0.5));
            let (from, to, half_way) = (level_at(start), level_at(end), level_at(half_way));
            let (down, fresh) = randomness.ancestral(from, half_way);
            let there = towards(&clean, &x, from, down).and_then(|x| walk.renoised(&x, fresh, from, half_way));
            let clean = context.denoise(&step(there)?, context.level(half_way))?;
            let (down, fresh) = randomness.ancestral(from, to);
            x = step(towards(&clean, &x, from, down).and_then(|x| walk.renoised(&x, fresh, from, to)))?;
        } else {
            x = clean;
        }
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// The two forms of the second order's correction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Correction {
    Midpoint,
    Heun,
}

/// DPM-Solver++(2M) SDE (`sample_dpmpp_2m_sde`).
pub(super) fn dpmpp_2m_sde(
    levels: &Levels,
    mut x: Tensor,
    correction: Correction,
    noise: &PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    let walk = Walk::of(levels, &x, noise, randomness);
    let mut before: Option<(Tensor, f64)> = None;
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let length = Length::of(level.sigma, levels.sigma_after(i), randomness.eta);
        x = match length {
            Some(length) if length.plain > 0.0 => {
                let mut next = step(length.first_order(&x, &clean))?;
                if let Some((earlier, earlier_plain)) = &before {
                    let factor = match correction {
                        Correction::Midpoint => 0.5 * length.removed(),
                        Correction::Heun => 1.0 - length.removed() / length.full,
                    };
                    let factor = factor * length.plain / earlier_plain;
                    next = step((&clean - earlier).and_then(|change| next + (change * factor)?))?;
                }
                step(walk.renoised(&next, length.fresh(), length.from, length.to))?
            }
            Some(_) => x,
            None => clean.clone(),
        };
        if let Some(length) = length.filter(|length| length.plain > 0.0) {
            before = Some((clean, length.plain));
        }
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// DPM-Solver++(3M) SDE (`sample_dpmpp_3m_sde`).
pub(super) fn dpmpp_3m_sde(
    levels: &Levels,
    mut x: Tensor,
    noise: &PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    let walk = Walk::of(levels, &x, noise, randomness);
    // The latest first, each with the length of its step.
    let mut before: Vec<(Tensor, f64)> = Vec::new();
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let length = Length::of(level.sigma, levels.sigma_after(i), randomness.eta);
        x = match length {
            Some(length) if length.plain > 0.0 => {
                let next = step(length.first_order(&x, &clean).and_then(|x| third_order(&x, &clean, length, &before)))?;
                step(walk.renoised(&next, length.fresh(), length.from, length.to))?
            }
            Some(_) => x,
            None => clean.clone(),
        };
        if let Some(length) = length.filter(|length| length.plain > 0.0) {
            before.insert(0, (clean, length.plain));
            before.truncate(2);
        }
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// Adds what the first and second differences of earlier estimates say.
fn third_order(x: &Tensor, clean: &Tensor, length: Length, before: &[(Tensor, f64)]) -> Computed<Tensor> {
    let phi_2 = 1.0 - length.removed() / length.full;
    match before {
        [] => Ok(x.clone()),
        [(one, plain)] => x + (((clean - one)? * (length.plain / plain))? * phi_2)?,
        [(one, one_plain), (two, two_plain), ..] => {
            let phi_3 = phi_2 / length.full - 0.5;
            let (r0, r1) = (one_plain / length.plain, two_plain / length.plain);
            let (slope, earlier_slope) = (((clean - one)? / r0)?, ((one - two)? / r1)?);
            let bend = ((&slope - earlier_slope)? / (r0 + r1))?;
            let slope = (slope + (&bend * r0)?)?;
            x + ((slope * phi_2)? - (bend * phi_3)?)?
        }
    }
}

/// A step's length in ln σ.
#[derive(Clone, Copy)]
struct Length {
    from: f64,
    to: f64,
    plain: f64,
    /// With what noise makes up for.
    full: f64,
    eta: f64,
}

impl Length {
    /// None for a step that removes all noise. Two levels of very many may be one, which leads nowhere.
    fn of(from: f64, to: f64, eta: f64) -> Option<Self> {
        let plain = from.ln() - to.ln();
        (to > 0.0).then_some(Self { from, to, plain, full: plain * (1.0 + eta), eta })
    }

    /// The part of the noise that goes.
    fn removed(self) -> f64 {
        -(-self.full).exp_m1()
    }

    /// The standard deviation of the noise that comes.
    fn fresh(self) -> f64 {
        self.to * (-(-2.0 * self.plain * self.eta).exp_m1()).sqrt()
    }

    fn first_order(self, x: &Tensor, clean: &Tensor) -> Computed<Tensor> {
        mix(1.0 - self.removed(), x, self.removed(), clean)
    }
}

fn single(value: f64) -> f64 {
    f64::from(value as f32)
}

/// −ln σ in single precision.
fn time(sigma: f64) -> f64 {
    -single(single(sigma).ln())
}

fn level_at(time: f64) -> f64 {
    single((-time).exp())
}
