//! Which noise levels a picture passes through.
//!
//! A level is a standard deviation σ of noise on a clean signal of unit scale (Karras et al. 2022), with the training
//! time at which the network saw it. Everything is computed in f64 from the training schedule.

use paintbox_domain::generation::{Sampler, Schedule};
use statrs::distribution::{Beta, ContinuousCDF};

/// Training times of every Stable Diffusion model.
pub(crate) const TRAINING_STEPS: usize = 1000;

/// σ_t = √((1 − ᾱ_t) / ᾱ_t) for every training time t.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrainingNoise {
    sigmas: Vec<f64>,
    /// Added to evenly spaced whole times; 1 in Stable Diffusion 1.
    steps_offset: usize,
}

/// How β grows over the training times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BetaCurve {
    Linear,
    /// Linear in √β: "scaled linear".
    ScaledLinear,
}

/// A noise level that the network is asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NoiseLevel {
    pub(crate) sigma: f64,
    /// May lie between two training times.
    pub(crate) timestep: f64,
}

/// The levels of one picture, from the noisiest on, and what frames them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Levels {
    pub(crate) steps: Vec<NoiseLevel>,
    /// σ of the first step, counting those that an init image leaves out.
    pub(crate) noisiest: f64,
    /// Where the last step ends: zero, or the least noise of training.
    pub(crate) last_sigma: f64,
    /// The standard deviation of the first latents when a picture starts from nothing.
    pub(crate) initial_scale: f64,
    /// The last latents are multiplied by this: √ᾱ of the level they end on, where the sampler leaves them there.
    pub(crate) final_scale: f64,
}

impl Levels {
    /// σ behind step `i`.
    pub(crate) fn sigma_after(&self, i: usize) -> f64 {
        self.steps.get(i + 1).map_or(self.last_sigma, |level| level.sigma)
    }

    /// Only the last `count` steps: what is painted over an init image.
    pub(crate) fn last(mut self, count: usize) -> Self {
        self.steps.drain(..self.steps.len().saturating_sub(count));
        self
    }
}

/// A schedule as a model and a sampler understand it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoiseSchedule {
    pub(crate) schedule: Schedule,
    pub(crate) sampler: Sampler,
    /// Whether the model is of XL's family, for which other levels were found best.
    pub(crate) is_xl: bool,
}

/// Karras et al. 2022, equation 5 with ρ = 7, from the most to the least noise.
pub(super) fn karras(steps: usize, least: f64, most: f64) -> impl Iterator<Item = f64> {
    const RHO: f64 = 7.0;
    let root = |sigma: f64| sigma.powf(1.0 / RHO);
    let (least, most) = (root(least), root(most));
    (0..steps).map(move |k| {
        let part = k as f64 / (steps - 1).max(1) as f64;
        (most + part * (least - most)).powf(RHO)
    })
}

fn is_unipc(sampler: Sampler) -> bool {
    matches!(sampler, Sampler::UniPc | Sampler::UniPcBh2)
}

/// Whether training times are spaced evenly, with another spacing for multistep solvers.
fn is_even(schedule: Schedule) -> bool {
    matches!(schedule, Schedule::Normal | Schedule::DdimUniform)
}

/// The quantile of the beta distribution with α = β = 0.6, which ComfyUI (`beta_scheduler`) spaces training times by.
fn beta_quantile(part: f64) -> f64 {
    const SHAPE: f64 = 0.6;
    // The ends and the middle are known, and the middle is a half that rounding has to see as one.
    if part >= 1.0 {
        return 1.0;
    }
    if (part - 0.5).abs() < f64::EPSILON {
        return 0.5;
    }
    Beta::new(SHAPE, SHAPE).map_or(part, |beta| beta.inverse_cdf(part))
}

/// Ten steps that Sabour et al. 2024 (Align Your Steps) found best, and, for other numbers of steps, what lies between
/// them in ln σ.
fn aligned(is_xl: bool, steps: usize) -> impl Iterator<Item = f64> {
    const SD1: [f64; 11] = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029];
    const XL: [f64; 11] = [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029];
    let known = if is_xl { XL } else { SD1 };
    (0..steps).map(move |k| {
        let at = 10.0 * k as f64 / steps as f64;
        let low = (at as usize).min(9);
        let (above, below) = (known[low].ln(), known[low + 1].ln());
        (above + (below - above) * (at - low as f64)).exp()
    })
}

impl TrainingNoise {
    pub(crate) fn new(curve: BetaCurve, beta_start: f64, beta_end: f64, steps_offset: usize) -> Self {
        let root = |beta: f64| if curve == BetaCurve::ScaledLinear { beta.sqrt() } else { beta };
        let (from, to) = (root(beta_start), root(beta_end));
        let mut alpha_bar = 1.0;
        let sigmas = (0..TRAINING_STEPS)
            .map(|t| {
                let between = from + (to - from) * t as f64 / (TRAINING_STEPS - 1) as f64;
                let beta = if curve == BetaCurve::ScaledLinear { between * between } else { between };
                alpha_bar *= 1.0 - beta;
                ((1.0 - alpha_bar) / alpha_bar).sqrt()
            })
            .collect();
        Self { sigmas, steps_offset }
    }

    /// The same noise stretched so that nothing of the signal is left at the last training time (Lin et al. 2023,
    /// algorithm 1). As in diffusers, a trace stays: ᾱ = 2⁻²⁴, a σ of 4096.
    pub(crate) fn with_zero_terminal_snr(mut self) -> Self {
        const LAST_ALPHA_BAR: f64 = 1.0 / 16_777_216.0;
        let root = |sigma: f64| 1.0 / sigma.hypot(1.0);
        let (first, last) = (root(self.sigmas[0]), root(self.sigmas[self.sigmas.len() - 1]));
        for sigma in &mut self.sigmas {
            let alpha_bar = ((root(*sigma) - last) * first / (first - last)).powi(2).max(LAST_ALPHA_BAR);
            *sigma = ((1.0 - alpha_bar) / alpha_bar).sqrt();
        }
        self
    }

    /// σ at a training time, linear between whole times as diffusers interpolates.
    pub(crate) fn sigma_at(&self, timestep: f64) -> f64 {
        let last = self.sigmas.len() - 1;
        let low = (timestep.max(0.0) as usize).min(last);
        let high = (low + 1).min(last);
        let part = (timestep - low as f64).clamp(0.0, 1.0);
        self.sigmas[low] + (self.sigmas[high] - self.sigmas[low]) * part
    }

    /// The training time of a σ, linear in ln σ between whole times as every k-diffusion descendant interpolates.
    fn timestep_of(&self, sigma: f64) -> f64 {
        let last = self.sigmas.len() - 1;
        let high = self.sigmas.partition_point(|known| *known <= sigma).clamp(1, last);
        let low = high - 1;
        let (below, above) = (self.sigmas[low].ln(), self.sigmas[high].ln());
        let part = ((sigma.ln() - below) / (above - below)).clamp(0.0, 1.0);
        low as f64 + part
    }

    /// A level between those of training.
    pub(crate) fn level(&self, sigma: f64) -> NoiseLevel {
        NoiseLevel { sigma, timestep: self.timestep_of(sigma) }
    }

    /// σ at a training time, linear in ln σ between whole times as ComfyUI interpolates.
    fn sigma_between(&self, timestep: f64) -> f64 {
        let last = self.sigmas.len() - 1;
        let low = (timestep.max(0.0) as usize).min(last);
        let (below, above) = (self.sigmas[low].ln(), self.sigmas[(low + 1).min(last)].ln());
        (below + (above - below) * (timestep - low as f64).clamp(0.0, 1.0)).exp()
    }

    /// The levels of `steps` sampler steps, `1 ≤ steps ≤` [`TRAINING_STEPS`]; fewer where a spacing says one level twice.
    ///
    /// The two solvers that look half way to the next level do badly on the last but one, which A1111 and ComfyUI leave
    /// out for them, as A1111 does for the stochastic solver of third order and ComfyUI for UniPC.
    pub(crate) fn levels(&self, schedule: NoiseSchedule, steps: usize) -> Levels {
        let does_badly = matches!(schedule.sampler, Sampler::Dpm2 | Sampler::Dpm2Ancestral | Sampler::DpmPlusPlus3mSde)
            || (is_unipc(schedule.sampler) && !is_even(schedule.schedule));
        let leaves_one_out = does_badly && steps > 1 && steps < TRAINING_STEPS;
        let mut spaced = self.spaced(schedule, if leaves_one_out { steps + 1 } else { steps });
        if leaves_one_out {
            spaced.pop();
        }
        let noisiest = spaced.first().map_or(1.0, |first| first.sigma);
        let variance_preserving = noisiest.hypot(1.0);
        match (schedule.sampler, schedule.schedule) {
            // These keep what noise their last training time has.
            (
                Sampler::Ddim | Sampler::Tcd | Sampler::Deis,
                Schedule::DdimUniform | Schedule::Normal | Schedule::Simple,
            ) => {
                let last_sigma = self.sigmas[0];
                let (initial_scale, final_scale) = (variance_preserving, 1.0 / last_sigma.hypot(1.0));
                Levels { steps: spaced, noisiest, last_sigma, initial_scale, final_scale }
            }
            // These work on signals of unit variance; the others start at σ itself, but for diffusers' own spacing.
            (
                Sampler::DpmPlusPlus2m
                | Sampler::Ddim
                | Sampler::Ddpm
                | Sampler::Tcd
                | Sampler::Deis
                | Sampler::UniPc
                | Sampler::UniPcBh2,
                _,
            )
            | (_, Schedule::DdimUniform) => {
                let initial_scale = variance_preserving;
                Levels { steps: spaced, noisiest, last_sigma: 0.0, initial_scale, final_scale: 1.0 }
            }
            _ => Levels { steps: spaced, noisiest, last_sigma: 0.0, initial_scale: noisiest, final_scale: 1.0 },
        }
    }

    /// Even spacing is not one thing in diffusers: its multistep solvers space one point more than they use and leave out
    /// the cleanest, so that no evaluation is spent where nothing is left to remove, and rounds to whole
    /// times. Each sampler gets the spacing of its reference here, so that the same settings give the same picture.
    fn spaced(&self, schedule: NoiseSchedule, steps: usize) -> Vec<NoiseLevel> {
        let at = |timestep: f64| NoiseLevel { sigma: self.sigma_at(timestep), timestep };
        let last = (TRAINING_STEPS - 1) as f64;
        let multistep =
            matches!(schedule.sampler, Sampler::DpmPlusPlus2m | Sampler::Deis) || is_unipc(schedule.sampler);
        match schedule.schedule {
            Schedule::Normal if schedule.sampler != Sampler::Ddim => {
                let intervals = if multistep { steps } else { (steps - 1).max(1) };
                // Multiples of the stride, as numpy makes them: which way a half rounds hangs on the last bit.
                let stride = last / intervals as f64;
                let times = (0..steps).map(|k| if k == 0 { last } else { (intervals - k) as f64 * stride });
                times.map(|time| at(if multistep { time.round_ties_even() } else { time })).collect()
            }
            Schedule::Normal | Schedule::DdimUniform => {
                let points = if multistep { (steps + 1).min(TRAINING_STEPS) } else { steps };
                let skip = points - steps;
                let stride = TRAINING_STEPS / points;
                let cleanest = self.steps_offset.min(TRAINING_STEPS - 1 - (points - 1) * stride);
                (skip..points).rev().map(|k| at((cleanest + k * stride) as f64)).collect()
            }
            Schedule::Karras => {
                let levels = karras(steps, self.sigmas[0], self.sigmas[self.sigmas.len() - 1]);
                levels.map(|sigma| self.level(sigma)).collect()
            }
            // ComfyUI, `simple_scheduler`.
            Schedule::Simple => {
                (0..steps).map(|k| at((TRAINING_STEPS - 1 - k * TRAINING_STEPS / steps) as f64)).collect()
            }
            // ComfyUI, `normal_scheduler` with `sgm`.
            Schedule::SgmUniform => {
                let times = (0..steps).map(|k| last - k as f64 * last / steps as f64);
                times.map(|timestep| NoiseLevel { sigma: self.sigma_between(timestep), timestep }).collect()
            }
            Schedule::Exponential => {
                let (least, most) = (self.sigmas[0].ln(), self.sigmas[self.sigmas.len() - 1].ln());
                let part = |k: usize| k as f64 / (steps - 1).max(1) as f64;
                (0..steps).map(|k| self.level((most + part(k) * (least - most)).exp())).collect()
            }
            Schedule::Beta => {
                let mut times: Vec<f64> = (0..steps)
                    .map(|k| (beta_quantile(1.0 - k as f64 / steps as f64) * last).round_ties_even())
                    .collect();
                times.dedup();
                times.into_iter().map(at).collect()
            }
            Schedule::AlignYourSteps => aligned(schedule.is_xl, steps).map(|sigma| self.level(sigma)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Golden {
        sampler: String,
        schedule: String,
        steps: usize,
        timesteps: Vec<f64>,
        sigmas: Vec<f64>,
        initial_scale: f64,
    }

    fn sd1() -> TrainingNoise {
        TrainingNoise::new(BetaCurve::ScaledLinear, 0.00085, 0.012, 1)
    }

    #[test]
    fn levels_are_those_of_diffusers() {
        let goldens: Vec<Golden> = crate::testing::golden_json("schedules.json");
        assert!(goldens.len() > 60);
        let mut worst_sigma = 0.0_f64;
        for golden in goldens {
            let schedule = NoiseSchedule {
                schedule: Schedule::from_name(&golden.schedule).unwrap(),
                sampler: Sampler::from_name(&golden.sampler).unwrap(),
                is_xl: false,
            };
            let name = format!("{} {} {}", golden.sampler, golden.schedule, golden.steps);
            let levels = sd1().levels(schedule, golden.steps);
            assert_eq!(levels.steps.len(), golden.timesteps.len(), "{name}");
            // DPM-Solver++ in diffusers rounds times on Karras levels, which says nothing about the levels.
            let time_tolerance =
                if schedule.schedule == Schedule::Karras && golden.sampler == "dpmpp_2m" { 0.5001 } else { 2e-3 };
            for (level, wanted) in levels.steps.iter().zip(&golden.timesteps) {
                assert!(
                    (level.timestep - wanted).abs() < time_tolerance,
                    "{name}: time {} wanted {wanted}",
                    level.timestep
                );
            }
            let sigmas = levels.steps.iter().map(|level| level.sigma).chain([levels.last_sigma]);
            for (sigma, wanted) in sigmas.zip(&golden.sigmas) {
                let difference = (sigma - wanted).abs() / wanted.max(1.0);
                worst_sigma = worst_sigma.max(difference);
                assert!(difference < 1e-5, "{name}: sigma {sigma} wanted {wanted}");
            }
            // DDIM and DPM-Solver++ there keep signals of unit variance and start with plain noise.
            let wanted = match schedule.sampler {
                Sampler::DpmPlusPlus2m | Sampler::Ddim => golden.sigmas[0].hypot(1.0),
                _ => golden.initial_scale,
            };
            assert!((levels.initial_scale - wanted).abs() < 1e-4, "{name}: {} wanted {wanted}", levels.initial_scale);
        }
        assert!(worst_sigma > 0.0);
    }

    #[test]
    fn every_number_of_steps_gives_strictly_falling_levels() {
        let noise = sd1();
        for sampler in Sampler::ALL {
            for schedule in Schedule::ALL {
                for steps in [1, 2, 3, 500, 501, 999, 1000] {
                    let schedule = NoiseSchedule { schedule: *schedule, sampler: *sampler, is_xl: true };
                    let levels = noise.levels(schedule, steps);
                    let said_twice = schedule.schedule == Schedule::Beta;
                    assert!(levels.steps.len() == steps || (said_twice && levels.steps.len() < steps));
                    let steps = levels.steps.len();
                    assert!(levels.steps.iter().all(|level| (0.0..=999.0).contains(&level.timestep)));
                    for i in 0..steps {
                        let falls = levels.sigma_after(i) <= levels.steps[i].sigma;
                        assert!(falls, "{schedule:?} {steps} at {i}");
                    }
                }
            }
        }
    }

    #[derive(Deserialize)]
    struct GoldenLevels {
        schedule: String,
        steps: usize,
        sigmas: Vec<f64>,
    }

    /// What diffusers has not, by its definition in numpy and scipy (`make_samplers.py`).
    #[test]
    fn further_schedules_are_those_of_their_definitions() {
        let goldens: Vec<GoldenLevels> = crate::testing::golden_json("levels.json");
        for golden in goldens {
            let (name, is_xl) = match golden.schedule.as_str() {
                "ays_sd1" => ("ays", false),
                "ays_sdxl" => ("ays", true),
                other => (other, false),
            };
            let schedule = Schedule::from_name(name).unwrap();
            let levels = sd1().levels(NoiseSchedule { schedule, sampler: Sampler::Euler, is_xl }, golden.steps);
            assert_eq!(levels.steps.len(), golden.sigmas.len(), "{name} {}", golden.steps);
            for (level, wanted) in levels.steps.iter().zip(&golden.sigmas) {
                let difference = (level.sigma - wanted).abs() / wanted;
                assert!(difference < 1e-6, "{name} {}: {} wanted {wanted}", golden.steps, level.sigma);
            }
        }
    }

    #[test]
    fn the_last_but_one_level_is_left_out_where_it_does_harm() {
        let levels =
            |sampler, steps| sd1().levels(NoiseSchedule { schedule: Schedule::Karras, sampler, is_xl: false }, steps);
        let (all, fewer) = (levels(Sampler::Euler, 11), levels(Sampler::Dpm2, 10));
        assert_eq!(fewer.steps, all.steps[..10]);
    }
}
