//! Heun's method, going back to more noise on the way (Xu et al. 2023), in the form that A1111 gave it
//! (v1.10 `modules/sd_samplers_extra.py`).

use super::{PictureNoise, Randomness, StepContext, heun_step, step};
use crate::error::EngineError;
use crate::sample::schedule::karras;
use crate::sample::{Levels, NoiseLevel};
use candle_core::Tensor;

/// Pictures of fewer steps have none to spare for going back.
const FEWEST_STEPS: usize = 20;
/// From this many on, they go back twice.
const MANY_STEPS: usize = 36;
const STEPS_BACK: usize = 9;
/// The levels between which a picture goes back.
const LEAST: f64 = 0.1;
const MOST: f64 = 2.0;

/// One step each, from a level to another.
type Steps = Vec<(f64, f64)>;

pub(super) fn restart(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    let mut reached: Option<f64> = None;
    for (i, (from, to)) in steps(levels).into_iter().enumerate() {
        if let Some(reached) = reached.filter(|reached| *reached < from) {
            x = step(randomness.renoised(&x, (from * from - reached * reached).sqrt(), noise))?;
        }
        let known = levels.steps.get(i).filter(|level| level.sigma.to_bits() == from.to_bits());
        let level: NoiseLevel = known.copied().unwrap_or_else(|| context.level(from));
        let next = if to > 0.0 { Some(context.level(to)) } else { None };
        x = heun_step(&x, level, next, context)?;
        reached = Some(to);
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// The steps to take. With enough of them the levels are Karras', whatever the schedule, and fewer, for those that are
/// spent on going back.
fn steps(levels: &Levels) -> Steps {
    let count = levels.steps.len();
    let plain: Vec<f64> = levels.steps.iter().map(|level| level.sigma).chain([levels.last_sigma]).collect();
    if count < FEWEST_STEPS {
        return plain.windows(2).map(|pair| (pair[0], pair[1])).collect();
    }
    let (back, times) = if count >= MANY_STEPS { (count / 4, 2) } else { (STEPS_BACK, 1) };
    let mut sigmas: Vec<f64> = karras(count - back * times, plain[count - 1], plain[0]).collect();
    sigmas.push(0.0);
    let nearest = |wanted: f64| {
        let distance = |at: &usize| (sigmas[*at] - wanted).abs();
        (0..sigmas.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
    };
    let (low, high) = (nearest(LEAST), nearest(MOST));
    let mut steps = Steps::new();
    for (i, pair) in sigmas.windows(2).enumerate() {
        steps.push((pair[0], pair[1]));
        if i + 1 == low && high < low {
            let again: Vec<f64> = karras(back + 1, sigmas[low], sigmas[high]).collect();
            for _ in 0..times {
                steps.extend(again.windows(2).map(|pair| (pair[0], pair[1])));
            }
        }
    }
    steps
}
