//! UniPC (Zhao et al. 2023): each step's prediction is corrected when the network was asked about where it led. Of third
//! order, as ComfyUI and A1111 have it; numerics as in diffusers 0.42.1, `scheduling_unipc_multistep.py`.

use super::{StepContext, mix, step};
use crate::error::EngineError;
use crate::sample::Levels;
use candle_core::{Result as Computed, Tensor};

const ORDER: usize = 3;

/// The two forms of the step's length, `h` being negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// B(h) = h.
    Bh1,
    /// B(h) = e^h − 1.
    Bh2,
}

/// What the network said at a level.
struct Said {
    clean: Tensor,
    sigma: f64,
}

pub(super) fn unipc(
    levels: &Levels,
    mut x: Tensor,
    form: Form,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    let count = levels.steps.len();
    // The latest first.
    let mut said: Vec<Said> = Vec::with_capacity(ORDER + 1);
    let mut before: Option<(Tensor, usize)> = None;
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        if let Some((earlier, order)) = &before {
            let solver = Solver::of(&said, level.sigma, *order, form);
            x = step(solver.follow(earlier, &said, Some(&clean)))?;
        }
        said.insert(0, Said { clean, sigma: level.sigma });
        said.truncate(ORDER);
        let order = ORDER.min(count - i).min(said.len());
        let to = levels.sigma_after(i);
        let next = if to > 0.0 {
            step(Solver::of(&said, to, order, form).follow(&x, &said, None))?
        } else {
            said[0].clean.clone()
        };
        before = Some((std::mem::replace(&mut x, next), order));
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// A step from where the network was asked last.
struct Solver {
    from: f64,
    to: f64,
    /// Minus the step's length in −ln σ.
    length: f64,
    /// Where the earlier levels lie, in steps; and 1, where the step leads.
    ratios: Vec<f64>,
    /// B(h).
    scale: f64,
    /// The right side of the equations for the weights.
    moments: Vec<f64>,
}

impl Solver {
    fn of(said: &[Said], to: f64, order: usize, form: Form) -> Self {
        let from = said[0].sigma;
        let forward = from.ln() - to.ln();
        let length = -forward;
        let mut ratios: Vec<f64> = said[1..order].iter().map(|said| (from.ln() - said.sigma.ln()) / forward).collect();
        ratios.push(1.0);
        let scale = match form {
            Form::Bh1 => length,
            Form::Bh2 => length.exp_m1(),
        };
        let mut phi = length.exp_m1() / length - 1.0;
        let mut factorial = 1.0;
        let moments = (1..=order)
            .map(|i| {
                let moment = phi * factorial / scale;
                factorial *= (i + 1) as f64;
                phi = phi / length - 1.0 / factorial;
                moment
            })
            .collect();
        Self { from, to, length, ratios, scale, moments }
    }

    /// Where the step leads: a prediction, or with what the network said there, a correction.
    fn follow(&self, x: &Tensor, said: &[Said], there: Option<&Tensor>) -> Computed<Tensor> {
        let removed = self.length.exp_m1();
        let last = &said[0].clean;
        let start = mix(self.to / self.from, x, -removed, last)?;
        let earlier = self.ratios.len() - 1;
        let weights = self.weights(there.is_some());
        let changes = said[1..=earlier].iter().zip(&self.ratios).map(|(said, ratio)| (&said.clean - last)? / *ratio);
        let changes = changes.chain(there.map(|there| there - last)).zip(weights);
        changes.into_iter().try_fold(start, |sum, (change, weight)| sum - (change? * (self.scale * weight))?)
    }

    /// The weights of the differences. The lowest orders have a simpler form each, as in the paper's code.
    fn weights(&self, corrects: bool) -> Vec<f64> {
        let order = self.ratios.len();
        match (corrects, order) {
            (false, 2) | (true, 1) => vec![0.5],
            (false, _) => solved(&self.ratios[..order - 1], &self.moments[..order - 1]),
            (true, _) => solved(&self.ratios, &self.moments),
        }
    }
}

/// w of Σ_k w_k · nodes_k^i = moments_i, of at most three nodes, by elimination.
fn solved(nodes: &[f64], moments: &[f64]) -> Vec<f64> {
    let count = nodes.len();
    let mut rows: Vec<Vec<f64>> =
        (0..count).map(|i| nodes.iter().map(|node| node.powi(i as i32)).chain([moments[i]]).collect()).collect();
    for pivot in 0..count {
        let best = (pivot..count).max_by(|a, b| rows[*a][pivot].abs().total_cmp(&rows[*b][pivot].abs()));
        rows.swap(pivot, best.unwrap_or(pivot));
        let lead = rows[pivot].clone();
        for row in &mut rows[pivot + 1..] {
            let factor = row[pivot] / lead[pivot];
            row.iter_mut().zip(&lead).for_each(|(value, lead)| *value -= factor * lead);
        }
    }
    let mut weights = vec![0.0; count];
    for i in (0..count).rev() {
        let known: f64 = (i + 1..count).map(|j| rows[i][j] * weights[j]).sum();
        weights[i] = (rows[i][count] - known) / rows[i][i];
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let nodes = [-0.7, -1.9, 1.0];
        let wanted = [0.25, -2.0, 1.5];
        let moments: Vec<f64> =
            (0..3).map(|i| nodes.iter().zip(wanted).map(|(node, w): (&f64, f64)| w * node.powi(i)).sum()).collect();
        for (found, wanted) in solved(&nodes, &moments).iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
        }
        assert!(solved(&[], &[]).is_empty());
    }
}
