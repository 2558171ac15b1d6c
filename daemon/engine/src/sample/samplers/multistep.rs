//! Solvers that remember what the network said at earlier steps.

use super::{StepContext, mix, step, towards};
use crate::error::EngineError;
use crate::sample::Levels;
use candle_core::Tensor;

/// Most steps that LMS looks back on.
const LMS_ORDER: usize = 4;

/// DPM-Solver++(2M) (Lu et al. 2022), the multistep solver of second order; the first and last step are of first order.
pub(super) fn dpmpp_2m(levels: &Levels, mut x: Tensor, context: &mut dyn StepContext) -> Result<Tensor, EngineError> {
    let mut before: Option<(Tensor, f64)> = None;
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let (from, to) = (level.sigma, levels.sigma_after(i));
        // The step's length in half the logarithm of the signal-to-noise ratio; infinite at the end.
        let length = from.ln() - to.ln();
        let target = match &before {
            // Two levels of very many may round to the same one; nothing can be extrapolated from there.
            Some((earlier, earlier_length)) if to > 0.0 && *earlier_length > 0.0 => {
                let half_ratio = length / earlier_length / 2.0;
                step(mix(1.0 + half_ratio, &clean, -half_ratio, earlier))?
            }
            _ => clean.clone(),
        };
        x = step(towards(&target, &x, from, to))?;
        before = Some((clean, length));
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// DEIS of second order (Zhang and Chen 2022) in diffusers' form (`scheduling_deis_multistep.py`, `logrho`): the noise that
/// the network sees, linear in ln σ, integrated over the step.
pub(super) fn deis(levels: &Levels, mut x: Tensor, context: &mut dyn StepContext) -> Result<Tensor, EngineError> {
    /// Short runs end in a step of first order there.
    const FEW_STEPS: usize = 15;
    let count = levels.steps.len();
    let mut before: Option<(Tensor, f64)> = None;
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let (from, to) = (level.sigma, levels.sigma_after(i));
        let noise = step((&x - &clean).and_then(|change| change / from))?;
        let ends_plainly = i + 1 == count && (count < FEW_STEPS || to == 0.0);
        x = match &before {
            // Two levels of very many may round to the same one.
            Some((earlier, earlier_sigma)) if !ends_plainly && *earlier_sigma > from => {
                let integral = |a: f64, b: f64| {
                    let at = |t: f64| t * (t.ln() - b.ln() - 1.0) / (a.ln() - b.ln());
                    at(to) - at(from)
                };
                let (now, then) = (integral(from, *earlier_sigma), integral(*earlier_sigma, from));
                step(mix(now, &noise, then, earlier).and_then(|change| x + change))?
            }
            _ => step(towards(&clean, &x, from, to))?,
        };
        before = Some((noise, from));
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// The linear multistep method of fourth order (k-diffusion, `sample_lms`): the derivative of the last steps as a
/// polynomial in σ, integrated over the next.
pub(super) fn lms(levels: &Levels, mut x: Tensor, context: &mut dyn StepContext) -> Result<Tensor, EngineError> {
    // The latest first, each with its σ.
    let mut derivatives: Vec<(f64, Tensor)> = Vec::with_capacity(LMS_ORDER + 1);
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let (from, to) = (level.sigma, levels.sigma_after(i));
        derivatives.insert(0, (from, step((&x - &clean).and_then(|change| change / from))?));
        derivatives.truncate(LMS_ORDER);
        let known: Vec<f64> = derivatives.iter().map(|(sigma, _)| *sigma).collect();
        let followed = derivatives
            .iter()
            .enumerate()
            .try_fold(x, |x, (j, (_, derivative))| x + (derivative * lagrange_integral(&known, j, from, to))?);
        x = step(followed)?;
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// The integral from `from` to `to` of the polynomial that is 1 at `known[j]` and 0 at the others.
fn lagrange_integral(known: &[f64], j: usize, from: f64, to: f64) -> f64 {
    // Coefficients in distance from `from`, lowest power first, so that large levels lose no digits.
    let mut polynomial = vec![1.0];
    for (_, other) in known.iter().enumerate().filter(|(k, _)| *k != j) {
        let (root, scale) = (other - from, 1.0 / (known[j] - other));
        let mut product = vec![0.0; polynomial.len() + 1];
        for (power, coefficient) in polynomial.iter().enumerate() {
            product[power] -= coefficient * root * scale;
            product[power + 1] += coefficient * scale;
        }
        polynomial = product;
    }
    let length = to - from;
    polynomial.iter().enumerate().map(|(power, c)| c * length.powi(power as i32 + 1) / (power + 1) as f64).sum()
}
