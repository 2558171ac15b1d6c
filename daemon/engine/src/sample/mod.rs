//! From noise to latents: noise levels, samplers and guidance, all independent of any network.

mod noise;
mod prediction;
mod samplers;
mod schedule;

pub(crate) use noise::{BrownianTree, PictureNoise};
pub(crate) use prediction::Prediction;
pub(crate) use samplers::{Randomness, StepContext, evaluations, sample};
pub(crate) use schedule::{BetaCurve, Levels, NoiseLevel, NoiseSchedule, TRAINING_STEPS, TrainingNoise};
