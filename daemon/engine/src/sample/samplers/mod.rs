//! The solvers of the reverse process, as free functions over "what would the clean latents be".
//!
//! All of them work on latents `x = signal + σ · noise` with a signal of unit scale, so that a network's conventions
//! end in the closure they are given. Latents live on the CPU in f32; only the network sees the device.

mod euler;
#[cfg(test)]
mod golden_tests;
mod multistep;
mod randomness;
mod restart;
mod sde;
mod second_order;
mod unipc;

use super::PictureNoise;
use super::schedule::{Levels, NoiseLevel};
use crate::error::EngineError;
use candle_core::Tensor;
use paintbox_domain::generation::Sampler;
pub(crate) use randomness::Randomness;
use sde::Correction;
use second_order::heun_step;
use unipc::Form;

/// What surrounds a step: the prediction of the clean latents, and the report that a step is done.
pub(crate) trait StepContext {
    /// The clean latents that the network sees in `x` at `level`.
    fn denoise(&mut self, x: &Tensor, level: NoiseLevel) -> Result<Tensor, EngineError>;

    /// A noise level between those that the network was trained at.
    fn level(&self, sigma: f64) -> NoiseLevel;

    /// σ at a training time.
    fn sigma_at(&self, timestep: f64) -> f64;

    /// Called behind each step with its index; an error stops the sampling.
    fn stepped(&mut self, index: usize, x: &Tensor) -> Result<(), EngineError>;
}

/// Runs `sampler` over `levels` from `x`, drawing any further noise from `noise`.
pub(crate) fn sample(
    sampler: Sampler,
    levels: &Levels,
    x: Tensor,
    noise: &mut PictureNoise,
    randomness: Randomness,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    let x = match sampler {
        Sampler::Euler => euler::euler(levels, x, noise, randomness, context)?,
        // DDPM's posterior is the ancestral step with all of its noise (Ho et al. 2020, equation 7), and DDIM without
        // noise Euler's step between the same two levels (Song et al. 2021, section 4.3).
        Sampler::EulerAncestral | Sampler::Ddpm | Sampler::Ddim => {
            euler::euler_ancestral(levels, x, noise, randomness, context)?
        }
        Sampler::Lcm => euler::lcm(levels, x, noise, randomness, context)?,
        Sampler::Tcd => euler::tcd(levels, x, noise, randomness, context)?,
        Sampler::Heun => second_order::heun(levels, x, noise, randomness, context)?,
        Sampler::Restart => restart::restart(levels, x, noise, randomness, context)?,
        Sampler::Dpm2 => second_order::dpm_2(levels, x, noise, randomness, context)?,
        Sampler::Dpm2Ancestral => second_order::dpm_2_ancestral(levels, x, noise, randomness, context)?,
        Sampler::DpmPlusPlus2sAncestral => second_order::dpmpp_2s_ancestral(levels, x, noise, randomness, context)?,
        Sampler::DpmPlusPlus2m => multistep::dpmpp_2m(levels, x, context)?,
        Sampler::Lms => multistep::lms(levels, x, context)?,
        Sampler::Deis => multistep::deis(levels, x, context)?,
        Sampler::UniPc => unipc::unipc(levels, x, Form::Bh1, context)?,
        Sampler::UniPcBh2 => unipc::unipc(levels, x, Form::Bh2, context)?,
        Sampler::DpmPlusPlusSde => sde::dpmpp_sde(levels, x, noise, randomness, context)?,
        Sampler::DpmPlusPlus2mSde => sde::dpmpp_2m_sde(levels, x, Correction::Midpoint, noise, randomness, context)?,
        Sampler::DpmPlusPlus2mSdeHeun => sde::dpmpp_2m_sde(levels, x, Correction::Heun, noise, randomness, context)?,
        Sampler::DpmPlusPlus3mSde => sde::dpmpp_3m_sde(levels, x, noise, randomness, context)?,
    };
    (x * levels.final_scale).map_err(EngineError::computing("scaling the finished latents"))
}

/// How often a sampler asks the network in a step, which A1111 spreads changing prompts over.
pub(crate) const fn evaluations(sampler: Sampler) -> usize {
    match sampler {
        Sampler::Heun
        | Sampler::Dpm2
        | Sampler::Dpm2Ancestral
        | Sampler::DpmPlusPlus2sAncestral
        | Sampler::DpmPlusPlusSde
        | Sampler::Restart => 2,
        Sampler::Euler
        | Sampler::EulerAncestral
        | Sampler::Lcm
        | Sampler::Lms
        | Sampler::DpmPlusPlus2m
        | Sampler::DpmPlusPlus2mSde
        | Sampler::DpmPlusPlus2mSdeHeun
        | Sampler::DpmPlusPlus3mSde
        | Sampler::UniPc
        | Sampler::UniPcBh2
        | Sampler::Deis
        | Sampler::Ddim
        | Sampler::Ddpm
        | Sampler::Tcd => 1,
    }
}

/// `a · x + b · y`.
fn mix(a: f64, x: &Tensor, b: f64, y: &Tensor) -> candle_core::Result<Tensor> {
    (x * a)? + (y * b)?
}

/// What a step computed, with what was being done where it failed.
fn step<T>(computed: candle_core::Result<T>) -> Result<T, EngineError> {
    computed.map_err(EngineError::computing("a sampler step"))
}

/// One step of Euler's method: `clean` is what the network sees in `x` at `from`.
fn towards(clean: &Tensor, x: &Tensor, from: f64, to: f64) -> candle_core::Result<Tensor> {
    let kept = to / from;
    mix(kept, x, 1.0 - kept, clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::schedule::{BetaCurve, NoiseSchedule, TrainingNoise};
    use paintbox_domain::generation::{NoiseSettings, Schedule};

    fn training() -> TrainingNoise {
        TrainingNoise::new(BetaCurve::ScaledLinear, 0.00085, 0.012, 1)
    }

    /// A network that has learned exactly one picture.
    struct OnePicture(f64, usize);

    impl StepContext for OnePicture {
        fn denoise(&mut self, x: &Tensor, _level: NoiseLevel) -> Result<Tensor, EngineError> {
            (x.zeros_like().unwrap() + self.0).map_err(EngineError::computing("a test"))
        }

        fn level(&self, sigma: f64) -> NoiseLevel {
            NoiseLevel { sigma, timestep: 0.0 }
        }

        fn sigma_at(&self, timestep: f64) -> f64 {
            training().sigma_at(timestep)
        }

        fn stepped(&mut self, index: usize, _x: &Tensor) -> Result<(), EngineError> {
            assert_eq!(index, self.1);
            self.1 += 1;
            Ok(())
        }
    }

    #[test]
    fn every_sampler_ends_at_the_only_picture_there_is() {
        let training = training();
        for sampler in Sampler::ALL {
            let randomness = Randomness::of(&NoiseSettings::default(), *sampler);
            for schedule in Schedule::ALL {
                for steps in [1, 2, 5, 1000] {
                    if *sampler == Sampler::Lms && steps == 1000 {
                        // From levels this close together to zero is farther than a polynomial can be followed.
                        continue;
                    }
                    let spacing = NoiseSchedule { schedule: *schedule, sampler: *sampler, is_xl: false };
                    let levels = training.levels(spacing, steps);
                    let mut noise = PictureNoise::new(3);
                    let x = (noise.tensor((1, 1, 4, 4)).unwrap() * levels.initial_scale).unwrap();
                    let mut context = OnePicture(0.5, 0);
                    let x = sample(*sampler, &levels, x, &mut noise, randomness, &mut context).unwrap();
                    assert_eq!(context.1, levels.steps.len());
                    if levels.last_sigma > 0.0 && levels.steps[0].sigma < 1.0 {
                        // A single evenly spaced step starts, as in the reference, where hardly any noise is known.
                        continue;
                    }
                    for value in x.flatten_all().unwrap().to_vec1::<f32>().unwrap() {
                        // Some stop at the least noise of training, as they were defined.
                        let tolerance = if levels.last_sigma > 0.0 { 0.15 } else { 1e-3 };
                        assert!((value - 0.5).abs() < tolerance, "{sampler} {schedule} {steps}: {value}");
                    }
                }
            }
        }
    }
}
