//! How a sampler treats noise that it adds itself.

use super::{mix, step};
use crate::error::EngineError;
use crate::sample::{NoiseLevel, PictureNoise};
use candle_core::{Result as Computed, Tensor};
use paintbox_domain::generation::{NoiseSettings, Sampler};

/// Settings of fresh noise, as k-diffusion names them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Randomness {
    /// How much of a step's noise is taken away and made anew.
    pub(crate) eta: f64,
    /// Multiplies all fresh noise (`s_noise`).
    pub(crate) scale: f64,
    /// Noise added before each step of which `least` ≤ σ ≤ `most` (`s_churn`, `s_tmin`, `s_tmax`).
    churn: f64,
    least: f64,
    most: f64,
}

impl Randomness {
    /// What is set, and the usual elsewhere.
    pub(crate) fn of(settings: &NoiseSettings, sampler: Sampler) -> Self {
        let or = |value: Option<f32>, usual: f32| f64::from(value.unwrap_or(usual));
        Self {
            eta: or(settings.eta, sampler.usual_eta()),
            scale: or(settings.s_noise, 1.0),
            churn: or(settings.s_churn, 0.0),
            least: or(settings.s_tmin, 0.0),
            most: or(settings.s_tmax, f32::INFINITY),
        }
    }

    /// From a level to the next: how far down the equation is followed, and how much fresh noise makes up for the rest
    /// (k-diffusion, `get_ancestral_step`).
    pub(super) fn ancestral(self, from: f64, to: f64) -> (f64, f64) {
        let fresh = (self.eta * (to * to * (from * from - to * to) / (from * from)).max(0.0).sqrt()).min(to);
        ((to * to - fresh * fresh).max(0.0).sqrt(), fresh)
    }

    /// `x` under fresh noise of standard deviation `sigma`.
    pub(super) fn renoised(self, x: &Tensor, sigma: f64, noise: &mut PictureNoise) -> Computed<Tensor> {
        mix(1.0, x, sigma * self.scale, &noise.tensor(x.shape())?)
    }

    /// `x` and its level with more noise than it came with (Karras et al. 2022, algorithm 2). `steps` is how many there are.
    pub(super) fn churned(
        self,
        x: Tensor,
        level: NoiseLevel,
        steps: usize,
        noise: &mut PictureNoise,
        at: impl FnOnce(f64) -> NoiseLevel,
    ) -> Result<(Tensor, NoiseLevel), EngineError> {
        if self.churn == 0.0 {
            return Ok((x, level));
        }
        // The reference draws for every step, whether or not it is churned.
        let drawn = step(noise.tensor(x.shape()))?;
        if !(self.least..=self.most).contains(&level.sigma) {
            return Ok((x, level));
        }
        let more = (self.churn / steps as f64).min(std::f64::consts::SQRT_2 - 1.0);
        let sigma = level.sigma * (more + 1.0);
        let added = (sigma * sigma - level.sigma * level.sigma).sqrt();
        Ok((step(mix(1.0, &x, added * self.scale, &drawn))?, at(sigma)))
    }
}
