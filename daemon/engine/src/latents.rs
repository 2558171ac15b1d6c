//! Latents at another size, as `torch.nn.functional.interpolate` makes them with `align_corners=False`.
//!
//! Facts from pytorch v2.9 `aten/src/ATen/native/UpSample.h` and `cpu/UpSampleKernel.cpp`: where each value lies, that the
//! linear filter does not look in front of the first one, and the cubic filters' a, −0.75 and with antialiasing −0.5.

use candle_core::{Device, Result, Tensor};
use paintbox_domain::generation::LatentScaling;

/// `[1, c, h, w]` to `[1, c, height, width]`, on the CPU.
pub(crate) fn scaled(latents: &Tensor, height: usize, width: usize, scaling: LatentScaling) -> Result<Tensor> {
    let (_, channels, from_height, from_width) = latents.dims4()?;
    let along = |from: usize, to: usize| Tensor::from_vec(weights(scaling, from, to), (to, from), &Device::Cpu)?.t();
    let rows = latents.contiguous()?.reshape((channels * from_height, from_width))?;
    let wide = rows.matmul(&along(from_width, width)?)?.reshape((channels, from_height, width))?;
    let columns = wide.transpose(1, 2)?.contiguous()?.reshape((channels * width, from_height))?;
    let made = columns.matmul(&along(from_height, height)?)?.reshape((1, channels, width, height))?;
    made.transpose(2, 3)?.contiguous()
}

/// How much of each of `from` values each of `to` values is made of, row by row.
fn weights(scaling: LatentScaling, from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; to * from];
    let ratio = from as f64 / to as f64;
    for (at, row) in weights.chunks_exact_mut(from).enumerate() {
        let mut add = |index: isize, weight: f64| row[index.clamp(0, from as isize - 1) as usize] += weight as f32;
        let middle = (at as f64 + 0.5) * ratio;
        match scaling {
            LatentScaling::Nearest => add((at * from / to) as isize, 1.0),
            LatentScaling::NearestExact => add(((2 * at + 1) * from / (2 * to)) as isize, 1.0),
            LatentScaling::Bilinear => {
                let place = (middle - 0.5).max(0.0);
                let (first, part) = (place.floor(), place.fract());
                add(first as isize, 1.0 - part);
                add(first as isize + 1, part);
            }
            LatentScaling::Bicubic => {
                let first = (middle - 0.5).floor();
                let part = middle - 0.5 - first;
                for (tap, distance) in [(-1, part + 1.0), (0, part), (1, 1.0 - part), (2, 2.0 - part)] {
                    add(first as isize + tap, cubic(distance, -0.75));
                }
            }
            LatentScaling::BilinearAntialiased => widened(middle, ratio, 1.0, from, triangle, &mut add),
            LatentScaling::BicubicAntialiased => widened(middle, ratio, 2.0, from, |x| cubic(x, -0.5), &mut add),
        }
    }
    weights
}

/// A filter that reaches `reach` values to both sides, widened where there are more values than places for them.
fn widened(
    middle: f64,
    ratio: f64,
    reach: f64,
    from: usize,
    filter: impl Fn(f64) -> f64,
    add: &mut impl FnMut(isize, f64),
) {
    let width = ratio.max(1.0);
    let first = (middle - reach * width + 0.5).max(0.0) as isize;
    let end = ((middle + reach * width + 0.5) as isize).min(from as isize);
    let taps: Vec<(isize, f64)> =
        (first..end).map(|index| (index, filter((index as f64 + 0.5 - middle) / width))).collect();
    let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
    for (index, weight) in taps {
        add(index, weight / sum);
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic convolution.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{GoldenTensors, close};

    #[test]
    fn latents_are_brought_to_other_sizes_as_by_torch() {
        let goldens = GoldenTensors::open("hires.safetensors");
        let latents = goldens.tensor("latents");
        for scaling in LatentScaling::ALL {
            for (height, width) in [(18, 14), (13, 11), (5, 6)] {
                let name = format!("{scaling}.{height}x{width}");
                let made = scaled(&latents, height, width, *scaling).unwrap();
                close(&name, &made, &goldens.tensor(&name));
            }
        }
    }
}
