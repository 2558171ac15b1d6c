//! Samplers against k-diffusion's, diffusers' and A1111's on a denoiser that can be written down (`make_samplers.py`).

use super::{Randomness, StepContext, sample};
use crate::error::EngineError;
use crate::sample::{BetaCurve, Levels, NoiseLevel, PictureNoise, TrainingNoise};
use crate::testing::{GoldenTensors, largest_difference, note};
use candle_core::Tensor;
use paintbox_domain::generation::{NoiseSettings, Sampler};

/// What the project promises on this denoiser.
const PROMISED: f32 = 1e-4;
const VALUE: f64 = 0.7;

/// Every pixel is one of two values. What is left behind each step is kept.
struct TwoValues {
    passed: Vec<Tensor>,
    training: TrainingNoise,
}

impl TwoValues {
    fn new() -> Self {
        Self { passed: Vec::new(), training: TrainingNoise::new(BetaCurve::ScaledLinear, 0.00085, 0.012, 1) }
    }
}

impl StepContext for TwoValues {
    fn denoise(&mut self, x: &Tensor, level: NoiseLevel) -> Result<Tensor, EngineError> {
        let clean = || (x * (VALUE / (level.sigma * level.sigma)))?.tanh()? * VALUE;
        clean().map_err(EngineError::computing("a test"))
    }

    fn level(&self, sigma: f64) -> NoiseLevel {
        NoiseLevel { sigma, timestep: 0.0 }
    }

    fn sigma_at(&self, timestep: f64) -> f64 {
        self.training.sigma_at(timestep)
    }

    fn stepped(&mut self, index: usize, x: &Tensor) -> Result<(), EngineError> {
        assert_eq!(index, self.passed.len());
        self.passed.push(x.clone());
        Ok(())
    }
}

/// Runs a sampler from the golden's first state over its levels and holds the states on the way against the golden's.
fn follow(goldens: &GoldenTensors, sampler: Sampler, name: &str, steps: usize, settings: &NoiseSettings) {
    let of = |what: &str| format!("{name}.{what}");
    let has = |what: &str| goldens.names().contains(&of(what));
    let sigmas = goldens.values(&of("levels"));
    let times = if has("times") { goldens.values(&of("times")) } else { vec![0.0; steps] };
    let last_sigma = if has("last") { f64::from(goldens.values(&of("last"))[0]) } else { 0.0 };
    let level = |(sigma, time): (&f32, &f32)| NoiseLevel { sigma: f64::from(*sigma), timestep: f64::from(*time) };
    let levels = Levels {
        steps: sigmas[..steps].iter().zip(&times).map(level).collect(),
        noisiest: f64::from(sigmas[0]),
        last_sigma,
        initial_scale: 1.0,
        final_scale: 1.0 / last_sigma.hypot(1.0),
    };
    let first = goldens.tensor(&of("first"));
    let mut noise = PictureNoise::new(steps as u64);
    // The first draw made the picture's first noise.
    noise.tensor(first.shape()).unwrap();
    let mut context = TwoValues::new();
    let randomness = Randomness::of(settings, sampler);
    let found = sample(sampler, &levels, first, &mut noise, randomness, &mut context).unwrap();
    let mut states = vec![("found", &found)];
    // Of two steps the first is so long that single precision, in which the references compute, decides where it leads.
    if steps > 2 {
        states.push(("half_way", &context.passed[steps / 2 - 1]));
        states.push(("before_last", &context.passed[steps - 2]));
    }
    for (state, ours) in states.into_iter().filter(|(state, _)| has(state)) {
        let golden = goldens.tensor(&of(state));
        let difference = largest_difference(ours, &golden);
        note(&format!("{name}, {state}: {difference:e}"));
        // Five steps are long enough for a solver that goes past its next level to double the rounding of single precision.
        let tolerance = if state == "found" { PROMISED } else { 2.0 * PROMISED };
        assert!(difference <= tolerance, "{name}, {state}: {difference}");
    }
}

#[test]
fn samplers_pass_and_end_where_their_references_do() {
    let goldens = GoldenTensors::open("samplers.safetensors");
    let names = goldens.names();
    for sampler in Sampler::ALL {
        let of_it: Vec<usize> =
            [1, 2, 5, 20, 40].into_iter().filter(|steps| names.contains(&format!("{sampler}.{steps}.found"))).collect();
        // These have no counterpart: DDIM is Euler, and what LCM does is one line.
        assert_eq!(of_it.is_empty(), matches!(sampler, Sampler::Ddim | Sampler::Lcm), "{sampler}");
        for steps in of_it {
            follow(&goldens, *sampler, &format!("{sampler}.{steps}"), steps, &NoiseSettings::default());
        }
    }
}

/// η, churn and the factor on noise, one sampler each as `make_samplers.py` sets them.
#[test]
fn settings_of_noise_do_what_they_do_in_k_diffusion() {
    let goldens = GoldenTensors::open("samplers.safetensors");
    let usual = NoiseSettings::default();
    let ancestral = NoiseSettings { eta: Some(0.6), s_noise: Some(0.9), ..usual };
    let churned = |churn: f32| NoiseSettings { s_churn: Some(churn), s_tmin: Some(0.1), ..usual };
    let cases = [
        (Sampler::Euler, NoiseSettings { s_tmax: Some(9.0), s_noise: Some(0.95), ..churned(6.0) }),
        (Sampler::Heun, NoiseSettings { s_noise: Some(0.95), ..churned(2.0) }),
        (Sampler::Dpm2, NoiseSettings { s_tmax: Some(5.0), ..churned(3.0) }),
        (Sampler::EulerAncestral, ancestral),
        (Sampler::Dpm2Ancestral, ancestral),
        (Sampler::DpmPlusPlus2sAncestral, ancestral),
        (Sampler::DpmPlusPlusSde, ancestral),
        (Sampler::DpmPlusPlus2mSde, ancestral),
        (Sampler::DpmPlusPlus2mSdeHeun, NoiseSettings { eta: Some(0.0), ..usual }),
        (Sampler::DpmPlusPlus3mSde, ancestral),
    ];
    for (sampler, settings) in cases {
        settings.check_for(sampler).unwrap();
        follow(&goldens, sampler, &format!("{sampler}.tuned"), 10, &settings);
    }
}
