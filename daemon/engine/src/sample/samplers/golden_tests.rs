//! Samplers against k-diffusion's on a denoiser that can be written down (`make_samplers.py`).

use super::{StepContext, sample};
use crate::error::EngineError;
use crate::sample::{Levels, NoiseGenerator, NoiseLevel};
use crate::testing::{GoldenTensors, largest_difference, note};
use candle_core::Tensor;
use paintbox_domain::generation::Sampler;

/// What the project promises on this denoiser.
const PROMISED: f32 = 1e-4;
const VALUE: f64 = 0.7;

/// Every pixel is one of two values.
struct TwoValues;

impl StepContext for TwoValues {
    fn denoise(&mut self, x: &Tensor, level: NoiseLevel) -> Result<Tensor, EngineError> {
        let clean = || (x * (VALUE / (level.sigma * level.sigma)))?.tanh()? * VALUE;
        clean().map_err(EngineError::computing("a test"))
    }

    fn level(&self, sigma: f64) -> NoiseLevel {
        NoiseLevel { sigma, timestep: 0.0 }
    }

    fn stepped(&mut self, _index: usize, _x: &Tensor) -> Result<(), EngineError> {
        Ok(())
    }
}

#[test]
fn samplers_end_where_those_of_k_diffusion_do() {
    let goldens = GoldenTensors::open("samplers.safetensors");
    for sampler in Sampler::ALL {
        // These have no counterpart there: DDIM is Euler, and what LCM does is one line.
        if matches!(sampler, Sampler::Ddim | Sampler::Lcm) {
            continue;
        }
        for steps in [1, 2, 5, 20] {
            let of = |what: &str| format!("{sampler}.{steps}.{what}");
            let sigmas = goldens.values(&of("levels"));
            let level = |sigma: &f32| NoiseLevel { sigma: f64::from(*sigma), timestep: 0.0 };
            let levels = Levels {
                steps: sigmas[..steps].iter().map(level).collect(),
                last_sigma: 0.0,
                initial_scale: 1.0,
                final_scale: 1.0,
            };
            let first = goldens.tensor(&of("first"));
            let mut noise = NoiseGenerator::new(steps as u64);
            // The first draw made the picture's first noise.
            noise.normal(first.elem_count());
            let found = sample(*sampler, &levels, first, &mut noise, &mut TwoValues).unwrap();
            let difference = largest_difference(&found, &goldens.tensor(&of("found")));
            note(&format!("{sampler} in {steps} steps: {difference:e}"));
            assert!(difference <= PROMISED, "{sampler} in {steps} steps: {difference}");
        }
    }
}
