//! The solvers of the reverse process, as free functions over "what would the clean latents be".
//!
//! All of them work on latents `x = signal + σ · noise` with a signal of unit scale, so that a network's conventions
//! end in the closure they are given. Latents live on the CPU in f32; only the network sees the device.

use super::NoiseGenerator;
use super::schedule::{Levels, NoiseLevel};
use crate::error::EngineError;
use candle_core::Tensor;
use paintbox_domain::generation::Sampler;

/// What surrounds a step: the prediction of the clean latents, and the report that a step is done.
pub(crate) trait StepContext {
    /// The clean latents that the network sees in `x` at `level`.
    fn denoise(&mut self, x: &Tensor, level: NoiseLevel) -> Result<Tensor, EngineError>;

    /// Called behind each step with its index; an error stops the sampling.
    fn stepped(&mut self, index: usize, x: &Tensor) -> Result<(), EngineError>;
}

/// Runs `sampler` over `levels` from `x`, drawing any further noise from `noise`.
pub(crate) fn sample(
    sampler: Sampler,
    levels: &Levels,
    x: Tensor,
    noise: &mut NoiseGenerator,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    let x = match sampler {
        // DDIM without added noise takes Euler's step between the same two levels (Song et al. 2021, section 4.3).
        Sampler::Euler | Sampler::Ddim => euler(levels, x, context)?,
        Sampler::EulerAncestral => euler_ancestral(levels, x, noise, context)?,
        Sampler::DpmPlusPlus2m => dpmpp_2m(levels, x, context)?,
    };
    (x * levels.final_scale).map_err(EngineError::computing("scaling the finished latents"))
}

/// `a · x + b · y`.
fn mix(a: f64, x: &Tensor, b: f64, y: &Tensor) -> candle_core::Result<Tensor> {
    (x * a)? + (y * b)?
}

const STEPPING: &str = "a sampler step";

/// Euler's method on the probability-flow equation (Karras et al. 2022, algorithm 2 without churn).
fn euler(levels: &Levels, mut x: Tensor, context: &mut dyn StepContext) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let kept = levels.sigma_after(i) / level.sigma;
        x = mix(kept, &x, 1.0 - kept, &clean).map_err(EngineError::computing(STEPPING))?;
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// Euler with part of each step's noise taken away and replaced by fresh noise (k-diffusion, `sample_euler_ancestral`).
fn euler_ancestral(
    levels: &Levels,
    mut x: Tensor,
    noise: &mut NoiseGenerator,
    context: &mut dyn StepContext,
) -> Result<Tensor, EngineError> {
    for (i, level) in levels.steps.iter().enumerate() {
        let clean = context.denoise(&x, *level)?;
        let (from, to) = (level.sigma, levels.sigma_after(i));
        let fresh = (to * to * (from * from - to * to) / (from * from)).max(0.0).sqrt();
        let down = (to * to - fresh * fresh).max(0.0).sqrt();
        // The reference draws for the last step too, though nothing of it is left there.
        let drawn = Tensor::from_vec(noise.normal(x.elem_count()), x.shape(), x.device());
        let kept = down / from;
        x = mix(kept, &x, 1.0 - kept, &clean)
            .and_then(|x| mix(1.0, &x, fresh, &drawn?))
            .map_err(EngineError::computing(STEPPING))?;
        context.stepped(i, &x)?;
    }
    Ok(x)
}

/// DPM-Solver++(2M) (Lu et al. 2022), the multistep solver of second order; the first and last step are of first order.
fn dpmpp_2m(levels: &Levels, mut x: Tensor, context: &mut dyn StepContext) -> Result<Tensor, EngineError> {
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
                mix(1.0 + half_ratio, &clean, -half_ratio, earlier).map_err(EngineError::computing(STEPPING))?
            }
            _ => clean.clone(),
        };
        let kept = to / from;
        x = mix(kept, &x, 1.0 - kept, &target).map_err(EngineError::computing(STEPPING))?;
        before = Some((clean, length));
        context.stepped(i, &x)?;
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::schedule::{BetaCurve, NoiseSchedule, TrainingNoise};
    use candle_core::Device;
    use paintbox_domain::generation::Schedule;

    /// A network that has learned exactly one picture.
    struct OnePicture(f64, usize);

    impl StepContext for OnePicture {
        fn denoise(&mut self, x: &Tensor, _level: NoiseLevel) -> Result<Tensor, EngineError> {
            (x.zeros_like().unwrap() + self.0).map_err(EngineError::computing("a test"))
        }

        fn stepped(&mut self, index: usize, _x: &Tensor) -> Result<(), EngineError> {
            assert_eq!(index, self.1);
            self.1 += 1;
            Ok(())
        }
    }

    #[test]
    fn every_sampler_ends_at_the_only_picture_there_is() {
        let training = TrainingNoise::new(BetaCurve::ScaledLinear, 0.00085, 0.012, 1);
        for sampler in Sampler::ALL {
            for schedule in Schedule::ALL {
                for steps in [1, 2, 5, 1000] {
                    let levels = training.levels(NoiseSchedule { schedule: *schedule, sampler: *sampler }, steps);
                    let mut noise = NoiseGenerator::new(3);
                    let drawn = Tensor::from_vec(noise.normal(16), (1, 1, 4, 4), &Device::Cpu).unwrap();
                    let x = (drawn * levels.initial_scale).unwrap();
                    let mut context = OnePicture(0.5, 0);
                    let x = sample(*sampler, &levels, x, &mut noise, &mut context).unwrap();
                    assert_eq!(context.1, steps);
                    if *sampler == Sampler::Ddim && levels.steps[0].sigma < 1.0 {
                        // A single evenly spaced step starts, as in the reference, where hardly any noise is known.
                        continue;
                    }
                    for value in x.flatten_all().unwrap().to_vec1::<f32>().unwrap() {
                        // DDIM stops at the least noise of training, as it was defined.
                        let tolerance = if levels.last_sigma > 0.0 { 0.15 } else { 1e-3 };
                        assert!((value - 0.5).abs() < tolerance, "{sampler} {schedule} {steps}: {value}");
                    }
                }
            }
        }
    }
}
