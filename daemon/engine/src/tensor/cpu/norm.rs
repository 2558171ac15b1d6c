//! Normalisation of groups of channels and of rows.

use super::exp::exp;
use super::{WORTH_A_THREAD, values, vectorized};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Partial sums that do not wait for each other.
const LANES: usize = 16;
/// Values that are summed up in f32 before the sum goes to f64.
const BLOCK: usize = 4_096;

/// Normalises `x` `[n, c, …]` over groups of channels, with a scale and a shift for each channel; then, where `silu`,
/// `x · sigmoid(x)`.
pub(in crate::tensor) fn group_norm(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    groups: usize,
    eps: f64,
    silu: bool,
) -> Result<Tensor> {
    x.contiguous()?.apply_op3_no_bwd(scale, shift, &GroupNorm { groups, eps, silu })
}

/// Normalises the last axis of `x`, with a scale and a shift for each place.
pub(in crate::tensor) fn layer_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, eps: f64) -> Result<Tensor> {
    x.contiguous()?.apply_op3_no_bwd(scale, shift, &LayerNorm { eps })
}

struct GroupNorm {
    groups: usize,
    eps: f64,
    silu: bool,
}

struct LayerNorm {
    eps: f64,
}

/// Mean, and one over the root of variance and `eps`.
#[inline(always)]
fn moments(values: &[f32], eps: f64) -> (f32, f32) {
    let mean = sum(values, |value| value) / values.len() as f64;
    let centre = mean as f32;
    // Around the mean, so that a large mean does not swallow a small variance.
    let variance = sum(values, |value| (value - centre) * (value - centre)) / values.len() as f64;
    (centre, (1.0 / (variance + eps).sqrt()) as f32)
}

#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f64 {
    let mut all = 0.0;
    for block in values.chunks(BLOCK) {
        let mut sums = [0.0_f32; LANES];
        let (lanes, rest) = block.as_chunks::<LANES>();
        for values in lanes {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += of(*value));
        }
        let rest: f32 = rest.iter().map(|value| of(*value)).sum();
        all += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>() + f64::from(rest);
    }
    all
}

impl CustomOp3 for GroupNorm {
    fn name(&self) -> &'static str {
        "group norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dims = x_layout.shape().dims();
        let [_, channels, ..] = *dims else { candle_core::bail!("no channels to normalise in {dims:?}") };
        let (x, scale, shift) = (values(x, x_layout)?, values(scale, scale_layout)?, values(shift, shift_layout)?);
        if self.groups == 0 || channels % self.groups != 0 || scale.len() != channels || shift.len() != channels {
            candle_core::bail!("{} groups of {} channels do not fit {dims:?}", self.groups, scale.len());
        }
        let pixels: usize = dims[2..].iter().product();
        let in_group = channels / self.groups;
        let mut out = vec![0.0; x.len()];
        let work = |(number, (out, x)): (usize, (&mut [f32], &[f32]))| {
            let (mean, deviation) = vectorized(|| moments(x, self.eps));
            let first = number % self.groups * in_group;
            for (at, (out, x)) in out.chunks_exact_mut(pixels).zip(x.chunks_exact(pixels)).enumerate() {
                let scale = scale[first + at] * deviation;
                let shift = shift[first + at] - mean * scale;
                vectorized(|| {
                    for (out, x) in out.iter_mut().zip(x) {
                        let value = x * scale + shift;
                        *out = if self.silu { value / (1.0 + exp(-value)) } else { value };
                    }
                });
            }
        };
        let group = (in_group * pixels).max(1);
        if x.len() < WORTH_A_THREAD {
            out.chunks_exact_mut(group).zip(x.chunks_exact(group)).enumerate().for_each(work);
        } else {
            out.par_chunks_exact_mut(group).zip(x.par_chunks_exact(group)).enumerate().for_each(work);
        }
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, scale, shift) = (values(x, x_layout)?, values(scale, scale_layout)?, values(shift, shift_layout)?);
        let width = x_layout.shape().dims().last().copied().unwrap_or_default();
        if width == 0 || scale.len() != width || shift.len() != width {
            candle_core::bail!("{} scales do not fit {:?}", scale.len(), x_layout.shape());
        }
        let mut out = vec![0.0; x.len()];
        let work = |(out, x): (&mut [f32], &[f32])| {
            vectorized(|| {
                let (mean, deviation) = moments(x, self.eps);
                for ((out, x), (scale, shift)) in out.iter_mut().zip(x).zip(scale.iter().zip(shift)) {
                    *out = (x - mean) * deviation * scale + shift;
                }
            });
        };
        if x.len() < WORTH_A_THREAD {
            out.chunks_exact_mut(width).zip(x.chunks_exact(width)).for_each(work);
        } else {
            let rows = (WORTH_A_THREAD / 4).div_ceil(width);
            out.par_chunks_exact_mut(width).zip(x.par_chunks_exact(width)).with_min_len(rows).for_each(work);
        }
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}
