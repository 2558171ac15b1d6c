//! Samplers against k-diffusion's on a denoiser that can be written down (`make_samplers.py`).

use super::{StepContext, sample};
use crate::error::EngineError;
use crate::sample::{Levels, NoiseLevel, PictureNoise};
use crate::testing::{GoldenTensors, largest_difference, note};
use candle_core::Tensor;
use paintbox_domain::generation::Sampler;

/// What the project promises on this denoiser.
const PROMISED: f32 = 1e-4;
const VALUE: f64 = 0.7;

/// Every pixel is one of two values. What is left behind each step is kept.
#[derive(Default)]
struct TwoValues(Vec<Tensor>);

impl StepContext for TwoValues {
    fn denoise(&mut self, x: &Tensor, level: NoiseLevel) -> Result<Tensor, EngineError> {
        let clean = || (x * (VALUE / (level.sigma * level.sigma)))?.tanh()? * VALUE;
        clean().map_err(EngineError::computing("a test"))
    }

    fn level(&self, sigma: f64) -> NoiseLevel {
        NoiseLevel { sigma, timestep: 0.0 }
    }

    fn stepped(&mut self, index: usize, x: &Tensor) -> Result<(), EngineError> {
        assert_eq!(index, self.0.len());
        self.0.push(x.clone());
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
            let fails_there = steps == 1
                && matches!(
                    sampler,
                    Sampler::DpmPlusPlus2mSde | Sampler::DpmPlusPlus2mSdeHeun | Sampler::DpmPlusPlus3mSde
                );
            if fails_there {
                continue;
            }
            let of = |what: &str| format!("{sampler}.{steps}.{what}");
            let sigmas = goldens.values(&of("levels"));
            let level = |sigma: &f32| NoiseLevel { sigma: f64::from(*sigma), timestep: 0.0 };
            let levels = Levels {
                steps: sigmas[..steps].iter().map(level).collect(),
                noisiest: f64::from(sigmas[0]),
                last_sigma: 0.0,
                initial_scale: 1.0,
                final_scale: 1.0,
            };
            let first = goldens.tensor(&of("first"));
            let mut noise = PictureNoise::new(steps as u64);
            // The first draw made the picture's first noise.
            noise.tensor(first.shape()).unwrap();
            let mut passed = TwoValues::default();
            let found = sample(*sampler, &levels, first, &mut noise, &mut passed).unwrap();
            let mut states = vec![("found", &found)];
            if steps > 1 {
                states.push(("half_way", &passed.0[steps / 2 - 1]));
                states.push(("before_last", &passed.0[steps - 2]));
            }
            for (state, ours) in states {
                let golden = goldens.tensor(&of(state));
                let difference = largest_difference(ours, &golden);
                // Steps too long for their solver lead far away, where numbers are coarser.
                let magnitude: f32 = golden.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
                note(&format!("{sampler} in {steps} steps, {state}: {difference:e} in values up to {magnitude}"));
                assert!(
                    difference <= PROMISED * magnitude.max(1.0),
                    "{sampler} in {steps} steps, {state}: {difference}"
                );
            }
        }
    }
}
