//! All noise of one picture.
//!
//! Facts from AUTOMATIC1111/stable-diffusion-webui v1.10 `modules/rng.py` (`ImageRNG`, `slerp`): variation seeds, sizes
//! that a seed is resized from, and the seed delta of the noise behind the first.

use super::BrownianTree;
use super::philox::Philox;
use super::torch::TorchCpu;
use candle_core::{Device, Result, Shape, Tensor};
use paintbox_domain::generation::{NoiseSettings, NoiseSource, PaintRequest};

/// A stream of normal numbers.
#[derive(Debug, Clone)]
pub(super) enum Stream {
    TorchCpu(Box<TorchCpu>),
    Philox(Philox),
}

impl Stream {
    pub(super) fn new(source: NoiseSource, seed: u64) -> Self {
        match source {
            NoiseSource::Cpu => Self::TorchCpu(Box::new(TorchCpu::new(seed))),
            NoiseSource::Nvidia => Self::Philox(Philox::new(seed)),
        }
    }

    pub(super) fn normal(&mut self, count: usize) -> Vec<f32> {
        match self {
            Self::TorchCpu(generator) => generator.normal(count),
            Self::Philox(generator) => generator.normal(count),
        }
    }
}

/// Channels, height and width of latents.
pub(crate) type LatentShape = (usize, usize, usize);

/// What one picture's seed leads to.
#[derive(Debug, Clone)]
pub(crate) struct PictureNoise {
    source: NoiseSource,
    seed: u64,
    stream: Stream,
    /// The variation's seed and strength.
    variation: Option<(u64, f32)>,
    /// Height and width of the latents whose noise is kept in the middle.
    resize_from: Option<(usize, usize)>,
    delta: i64,
}

impl PictureNoise {
    /// Noise of `torch.Generator("cpu").manual_seed(seed)`.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, &NoiseSettings::default(), 1)
    }

    /// The noise of image `index` of a request; `factor` pixels are one latent.
    pub(crate) fn of(request: &PaintRequest, index: u32, factor: usize) -> Self {
        Self::with(request.noise.seed_of(request.seed, index), &request.noise.of_image(index), factor)
    }

    fn with(seed: u64, settings: &NoiseSettings, factor: usize) -> Self {
        let source = settings.source.unwrap_or(NoiseSource::Cpu);
        Self {
            source,
            seed,
            stream: Stream::new(source, seed),
            variation: settings.variation(),
            resize_from: settings
                .resize_from
                .map(|(width, height)| (height as usize / factor, width as usize / factor)),
            delta: settings.eta_seed_delta.unwrap_or_default(),
        }
    }

    /// The next draws as a tensor on the CPU.
    pub(crate) fn tensor(&mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        Tensor::from_vec(self.stream.normal(shape.elem_count()), shape, &Device::Cpu)
    }

    /// What the picture begins with, `[1, channels, height, width]`; what is drawn later has the seed with its delta.
    pub(crate) fn first(&mut self, shape: LatentShape) -> Result<Tensor> {
        let (channels, height, width) = shape;
        let resized = self.resize_from.filter(|sides| *sides != (height, width));
        let noise = match resized {
            Some((height, width)) => {
                let inner = (channels, height, width);
                let inner_noise = self.varied(drawn(self.source, self.seed, inner), inner);
                pasted(self.stream.normal(count(shape)), shape, &inner_noise, inner)
            }
            None => {
                let noise = self.stream.normal(count(shape));
                self.varied(noise, shape)
            }
        };
        if self.delta != 0 {
            self.stream = Stream::new(self.source, self.seed.wrapping_add_signed(self.delta));
        }
        Tensor::from_vec(noise, (1, channels, height, width), &Device::Cpu)
    }

    /// The picture's walk through the levels between `least` and `most`. Its seed is the picture's own, whatever was drawn
    /// before (A1111, `create_noise_sampler`).
    pub(crate) fn walk(&self, shape: impl Into<Shape>, least: f64, most: f64) -> BrownianTree {
        BrownianTree::new(self.source, self.seed, shape, least, most)
    }

    fn varied(&self, noise: Vec<f32>, shape: LatentShape) -> Vec<f32> {
        match self.variation {
            Some((seed, strength)) => turned(&noise, &drawn(self.source, seed, shape), shape, f64::from(strength)),
            None => noise,
        }
    }
}

fn count((channels, height, width): LatentShape) -> usize {
    channels * height * width
}

fn drawn(source: NoiseSource, seed: u64, shape: LatentShape) -> Vec<f32> {
    Stream::new(source, seed).normal(count(shape))
}

/// From one noise towards another along a circle, column by column, as A1111 has it (`slerp`).
fn turned(from: &[f32], to: &[f32], (channels, height, width): LatentShape, part: f64) -> Vec<f32> {
    let column = |c: usize, x: usize| (0..height).map(move |y| (c * height + y) * width + x);
    let angles: Vec<f64> = (0..channels * width)
        .map(|number| {
            let at = || column(number / width, number % width);
            let dot = |a: &[f32], b: &[f32]| at().map(|i| f64::from(a[i]) * f64::from(b[i])).sum::<f64>();
            dot(from, to) / (dot(from, from) * dot(to, to)).sqrt()
        })
        .collect();
    let mean = angles.iter().sum::<f64>() / angles.len() as f64;
    let weights = |angle: f64| {
        // Noise that is nearly the same is mixed in a line, and the other way round, as there.
        if mean > 0.9995 {
            return (part, 1.0 - part);
        }
        let omega = angle.acos();
        (((1.0 - part) * omega).sin() / omega.sin(), (part * omega).sin() / omega.sin())
    };
    let mut turned = vec![0.0; from.len()];
    for (number, angle) in angles.iter().enumerate() {
        let (kept, added) = weights(*angle);
        for i in column(number / width, number % width) {
            turned[i] = (kept * f64::from(from[i]) + added * f64::from(to[i])) as f32;
        }
    }
    turned
}

/// `inner` in the middle of `outer`; what reaches beyond is cut off.
fn pasted(mut outer: Vec<f32>, shape: LatentShape, inner: &[f32], inner_shape: LatentShape) -> Vec<f32> {
    let (channels, height, width) = shape;
    let (_, inner_height, inner_width) = inner_shape;
    let (to_y, from_y, rows) = overlap(height, inner_height);
    let (to_x, from_x, columns) = overlap(width, inner_width);
    for c in 0..channels {
        for row in 0..rows {
            let to = (c * height + to_y + row) * width + to_x;
            let from = (c * inner_height + from_y + row) * inner_width + from_x;
            outer[to..to + columns].copy_from_slice(&inner[from..from + columns]);
        }
    }
    outer
}

/// Where a length goes, where it is taken from, and how much of it. A half is rounded down, also below zero, so that one
/// latent more may be cut off.
fn overlap(outer: usize, inner: usize) -> (usize, usize, usize) {
    if outer >= inner {
        return ((outer - inner) / 2, 0, inner);
    }
    let cut = (inner - outer).div_ceil(2);
    (0, cut, inner.saturating_sub(2 * cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{GoldenTensors, golden_json, largest_difference, note};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        seed: u64,
        source: String,
        /// Channels, height, width.
        shape: (usize, usize, usize),
        subseed: u64,
        subseed_strength: f32,
        /// Pixels, width first; zeros where there is none.
        resize_from: (u32, u32),
        delta: i64,
    }

    /// The first noise and the second, against A1111's own (`make_noise.py`).
    #[test]
    fn first_and_second_noise_are_those_of_a1111() {
        let goldens = GoldenTensors::open("noise_a1111.safetensors");
        let cases: Vec<Case> = golden_json("noise_a1111.json");
        assert!(cases.len() >= 12);
        let mut worst = 0.0_f32;
        for (number, case) in cases.iter().enumerate() {
            let settings = NoiseSettings {
                source: NoiseSource::by_any_name(&case.source),
                eta_seed_delta: Some(case.delta),
                subseed: Some(case.subseed),
                subseed_strength: Some(case.subseed_strength),
                resize_from: Some(case.resize_from).filter(|(width, _)| *width > 0),
                ..NoiseSettings::default()
            };
            let mut noise = PictureNoise::with(case.seed, &settings, 8);
            let (channels, height, width) = case.shape;
            let pair = [noise.first(case.shape).unwrap(), noise.tensor((1, channels, height, width)).unwrap()];
            for (which, ours) in ["first", "second"].iter().zip(pair) {
                let difference = largest_difference(&ours, &goldens.tensor(&format!("{number}.{which}")));
                // Only where noise is turned are there sines.
                let tolerance = if case.subseed_strength > 0.0 && *which == "first" { 5e-6 } else { 0.0 };
                assert!(difference <= tolerance, "case {number}, {which}: {difference}");
                worst = worst.max(difference);
            }
        }
        note(&format!("{} cases of first noise: {worst:e}", cases.len()));
    }

    #[test]
    fn lengths_overlap_in_the_middle() {
        assert_eq!(overlap(10, 4), (3, 0, 4));
        assert_eq!(overlap(10, 5), (2, 0, 5));
        assert_eq!(overlap(4, 10), (0, 3, 4));
        assert_eq!(overlap(7, 10), (0, 2, 6));
        assert_eq!(overlap(1, 2), (0, 1, 0));
    }
}
