//! One random walk through all noise levels, of which stochastic solvers take the increments between two of them: the
//! noise of a long step is that of the short ones it is made of.
//!
//! Bit for bit torchsde's `BrownianTree` (torchsde 0.2.6, `_brownian/brownian_interval.py`) as k-diffusion uses it
//! (`sampling.py`, `BrownianTreeNoiseSampler`): the interval is halved until its parts meet the levels, on a grid of a
//! millionth; each half's noise has a seed of its own, so that nothing but the seed and the ends decides what is drawn.

use super::picture::Stream;
use super::seed_sequence::first_word;
use candle_core::{Device, Result, Shape, Tensor};
use paintbox_domain::generation::NoiseSource;

/// A walk over the levels from `start` to `end`, for one picture.
#[derive(Debug)]
pub(crate) struct BrownianTree {
    source: NoiseSource,
    seed: u64,
    shape: Shape,
    start: f64,
    end: f64,
    /// How far the walk goes from start to end.
    increment: Vec<f32>,
}

/// A part of the interval that halving leads to.
#[derive(Clone, Copy)]
struct Part {
    start: f64,
    end: f64,
    /// Its number among those of its depth.
    number: u64,
    depth: u64,
}

impl BrownianTree {
    pub(super) fn new(source: NoiseSource, seed: u64, shape: impl Into<Shape>, least: f64, most: f64) -> Self {
        let shape = shape.into();
        let (least, most) = (single(least), single(most));
        let length = (most - least).sqrt() as f32;
        let increment = scaled(&drawn(source, first_word(seed, &[]), shape.elem_count()), length);
        Self { source, seed, shape, start: on_grid(least), end: on_grid(most), increment }
    }

    /// Standard normal noise for a step between two levels of the interval; none for one that goes nowhere. Bit for bit
    /// as far as the square root of the step's length is: that of PyTorch's builds with MKL is not always the nearest
    /// number.
    pub(crate) fn noise(&self, from: f64, to: f64) -> Result<Tensor> {
        let (from, to) = (from as f32, to as f32);
        let length = (to - from).abs().sqrt();
        let walked = self.walked(from, to).into_iter().map(|value| if length > 0.0 { value / length } else { 0.0 });
        Tensor::from_vec(walked.collect::<Vec<f32>>(), &self.shape, &Device::Cpu)
    }

    /// How far the walk goes between two levels.
    fn walked(&self, from: f32, to: f32) -> Vec<f32> {
        let within = |level: f32| on_grid(f64::from(level).max(self.start).min(self.end));
        let (low, high) = (within(from.min(to)), within(from.max(to)));
        let mut sum = None;
        if low < high {
            let whole = Part { start: self.start, end: self.end, number: 0, depth: 0 };
            self.gather(whole, self.increment.clone(), (low, high), &mut sum);
        }
        let upwards = sum.unwrap_or_else(|| vec![0.0; self.shape.elem_count()]);
        // Pictures go the levels downwards.
        scaled(&upwards, if from < to { 1.0 } else { -1.0 })
    }

    /// Adds up the increments of the largest parts of `part` that `wanted` is made of, from below.
    fn gather(&self, part: Part, increment: Vec<f32>, wanted: (f64, f64), sum: &mut Option<Vec<f32>>) {
        let (from, to) = wanted;
        let middle = on_grid(0.5 * (part.end + part.start));
        let is_smallest = middle <= part.start || middle >= part.end;
        #[expect(clippy::float_cmp, reason = "both lie on the grid")]
        let is_whole = from == part.start && to == part.end;
        if is_whole || is_smallest {
            match sum {
                Some(sum) => sum.iter_mut().zip(increment).for_each(|(sum, more)| *sum += more),
                None => *sum = Some(increment),
            }
            return;
        }
        let below = self.below(part, middle, &increment);
        let child = |number| Part { number: 2 * part.number + number, depth: part.depth + 1, ..part };
        let (low, high) = (Part { end: middle, ..child(0) }, Part { start: middle, ..child(1) });
        let above = |below: &[f32]| increment.iter().zip(below).map(|(all, below)| all - below).collect();
        if from >= middle {
            self.gather(high, above(&below), wanted, sum);
        } else if to <= middle {
            self.gather(low, below, wanted, sum);
        } else {
            let rest = above(&below);
            self.gather(low, below, (from, middle), sum);
            self.gather(high, rest, (middle, to), sum);
        }
    }

    /// The increment of a part's lower half, given that of the whole: a Brownian bridge.
    fn below(&self, part: Part, middle: f64, increment: &[f32]) -> Vec<f32> {
        let reciprocal = 1.0 / (part.end - part.start);
        let (left, right) = (middle - part.start, part.end - middle);
        let deviation = (left * right * reciprocal).sqrt() as f32;
        let (left, reciprocal) = (left as f32, reciprocal as f32);
        let noise = drawn(self.source, first_word(self.seed, &[part.number, part.depth]), increment.len());
        increment.iter().zip(noise).map(|(all, noise)| left * all * reciprocal + deviation * noise).collect()
    }
}

fn drawn(source: NoiseSource, seed: u32, count: usize) -> Vec<f32> {
    Stream::new(source, u64::from(seed)).normal(count)
}

fn scaled(values: &[f32], factor: f32) -> Vec<f32> {
    values.iter().map(|value| value * factor).collect()
}

/// As k-diffusion's levels are, rounded to single precision.
fn single(level: f64) -> f64 {
    f64::from(level as f32)
}

/// Rounded to six decimals, the exact value deciding, as Python's `round` does it.
fn on_grid(level: f64) -> f64 {
    format!("{level:.6}").parse().unwrap_or(level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::GoldenTensors;

    #[test]
    fn walks_are_those_of_torchsde_bit_for_bit() {
        let goldens = GoldenTensors::open("brownian.safetensors");
        let mut compared = 0;
        for name in goldens.names().into_iter().filter(|name| name.ends_with(".noise")) {
            let of = |what: &str| format!("{}.{what}", name.trim_end_matches(".noise"));
            let seed = u64::try_from(goldens.integers(&of("seed"))[0]).unwrap();
            let levels = goldens.values(&of("levels"));
            let golden = goldens.tensor(&name);
            let (count, shape) = (golden.dims()[0], golden.dims()[1..].to_vec());
            let span = |level: f32| f64::from(level);
            let tree =
                BrownianTree::new(NoiseSource::Cpu, seed, shape, span(levels[levels.len() - 1]), span(levels[0]));
            let walked = goldens.tensor(&of("walked"));
            let queries = goldens.values(&of("queries"));
            for (number, query) in queries.chunks_exact(2).enumerate() {
                let row = |tensor: &Tensor| -> Vec<f32> {
                    tensor.get(number).unwrap().flatten_all().unwrap().to_vec1().unwrap()
                };
                let bits = |values: Vec<f32>| -> Vec<u32> { values.into_iter().map(f32::to_bits).collect() };
                let ours = tree.walked(query[0], query[1]);
                assert_eq!(bits(ours), bits(row(&walked)), "{name}: {query:?}");
                let noise = tree.noise(span(query[0]), span(query[1])).unwrap();
                let noise: Vec<f32> = noise.flatten_all().unwrap().to_vec1().unwrap();
                let close = |(ours, golden): (f32, f32)| (ours - golden).abs() <= 1.5 * f32::EPSILON * golden.abs();
                assert!(noise.into_iter().zip(row(&golden)).all(close), "{name}: {query:?}");
                compared += 1;
            }
            assert_eq!(queries.len(), 2 * count);
        }
        assert!(compared > 60, "{compared}");
    }

    #[test]
    fn a_step_that_goes_nowhere_has_no_noise() {
        let tree = BrownianTree::new(NoiseSource::Cpu, 3, (1, 4), 0.03, 14.6);
        for (from, to) in [(1.0, 1.0), (20.0, 30.0), (1.0, 1.000_000_1), (14.6, 14.600_002)] {
            let noise = tree.noise(from, to).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(noise, [0.0; 4], "{from} {to}");
        }
        // Nothing lies between two levels that are one.
        let tree = BrownianTree::new(NoiseSource::Cpu, 3, (1, 4), 0.5, 0.5);
        assert_eq!(tree.noise(0.5, 0.1).unwrap().to_vec2::<f32>().unwrap(), [[0.0; 4]]);
    }
}
