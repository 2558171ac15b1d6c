//! Activations, value by value.

use super::exp::{erf, exp};
use super::{WORTH_A_THREAD, values, vectorized};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tensor) enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// `x · Φ(x)`, with the error function.
    Gelu,
    /// `x · sigmoid(1.702 x)`.
    QuickGelu,
}

/// An activation of every value.
pub(in crate::tensor) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&activation)
}

/// Of rows of values and their gates, `[…, 2 · width]`: each value times the GELU of its gate, `[…, width]`.
pub(in crate::tensor) fn gated_gelu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&GatedGelu)
}

struct GatedGelu;

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[inline(always)]
fn each(out: &mut [f32], x: &[f32], of: impl Fn(f32) -> f32) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out = of(*x));
}

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        let mut out = vec![0.0; x.len()];
        let work = |(out, x): (&mut [f32], &[f32])| match self {
            Self::Silu => vectorized(|| each(out, x, |x| x * sigmoid(x))),
            Self::Gelu => vectorized(|| each(out, x, gelu)),
            Self::QuickGelu => vectorized(|| each(out, x, |x| x * sigmoid(1.702 * x))),
        };
        out.par_chunks_mut(WORTH_A_THREAD).zip(x.par_chunks(WORTH_A_THREAD)).for_each(work);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl CustomOp1 for GatedGelu {
    fn name(&self) -> &'static str {
        "gated gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        let mut dims = layout.shape().dims().to_vec();
        let Some(last) = dims.last_mut().filter(|last| **last > 0 && last.is_multiple_of(2)) else {
            candle_core::bail!("no pairs of values and gates in {:?}", layout.shape());
        };
        *last /= 2;
        let width = *last;
        let mut out = vec![0.0; x.len() / 2];
        let work = |(out, x): (&mut [f32], &[f32])| {
            let (values, gates) = x.split_at(width);
            vectorized(|| {
                out.iter_mut().zip(values.iter().zip(gates)).for_each(|(out, (x, gate))| *out = x * gelu(*gate));
            });
        };
        let rows = WORTH_A_THREAD.div_ceil(width);
        out.par_chunks_exact_mut(width).zip(x.par_chunks_exact(2 * width)).with_min_len(rows).for_each(work);
        Ok((CpuStorage::F32(out), Shape::from_dims(&dims)))
    }
}
