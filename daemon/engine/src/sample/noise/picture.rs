//! All noise of one picture.

use super::BrownianTree;
use super::torch::NoiseGenerator;
use candle_core::{Result, Shape, Tensor};

/// What one picture's seed leads to.
#[derive(Debug, Clone)]
pub(crate) struct PictureNoise {
    seed: u64,
    stream: NoiseGenerator,
}

impl PictureNoise {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, stream: NoiseGenerator::new(seed) }
    }

    /// The next draws as a tensor on the CPU.
    pub(crate) fn tensor(&mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        self.stream.tensor(shape)
    }

    /// The picture's walk through the levels between `least` and `most`. Its seed is the picture's own, whatever was drawn
    /// before (A1111, `create_noise_sampler`).
    pub(crate) fn walk(&self, shape: impl Into<Shape>, least: f64, most: f64) -> BrownianTree {
        BrownianTree::new(self.seed, shape, least, most)
    }
}
