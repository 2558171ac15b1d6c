//! Attention over rows of heads side by side, a few queries at a time: their scores stay in the cache, and the matrix of all
//! scores never exists.

use super::exp::exp;
use super::matmul::{Matrix, Size, Target, product};
use super::{WORTH_A_THREAD, values, vectorized};
use crate::tensor::interruption::{self, PIECE};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Most queries whose scores are held at once.
pub(in crate::tensor) const QUERIES: usize = 64;
/// Partial results that do not wait for each other.
const LANES: usize = 16;

/// Attention of `q` `[batch, queries, heads · width]` to `k` and `v` `[batch, keys, heads · width]`, scaled by 1/√width.
/// Where `causal`, a query sees the keys up to its own place.
pub(in crate::tensor) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Result<Tensor> {
    q.contiguous()?.apply_op3_no_bwd(&k.contiguous()?, &v.contiguous()?, &Attention { heads, causal })
}

struct Attention {
    heads: usize,
    causal: bool,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, queries, all) = q_layout.shape().dims3()?;
        let keys = k_layout.shape().dims3()?.1;
        let fits = |layout: &Layout| layout.shape().dims() == [batch, keys, all];
        if self.heads == 0 || all % self.heads != 0 || !fits(k_layout) || !fits(v_layout) || keys == 0 {
            candle_core::bail!("{} heads of {q_layout:?} cannot attend to {k_layout:?} and {v_layout:?}", self.heads);
        }
        let (q, k, v) = (values(q, q_layout)?, values(k, k_layout)?, values(v, v_layout)?);
        let mut out = vec![0.0; q.len()];
        // Small pictures have few queries, which all threads share too.
        let lot = queries.div_ceil(2 * rayon::current_num_threads()).clamp(1, QUERIES);
        let work = |(number, out): (usize, &mut [f32])| {
            let (picture, first) = (number / queries.div_ceil(lot), number % queries.div_ceil(lot) * lot);
            let from = picture * keys * all;
            let q = &q[(picture * queries + first) * all..][..out.len()];
            self.attend(q, &k[from..][..keys * all], &v[from..][..keys * all], first, all, out);
        };
        let pictures = out.chunks_exact_mut((queries * all).max(1));
        let mut lots: Vec<(usize, &mut [f32])> =
            pictures.flat_map(|out| out.chunks_mut((lot * all).max(1))).enumerate().collect();
        let products = 2 * lot * keys * all;
        if queries * keys * all < WORTH_A_THREAD * 8 {
            interruption::working(products * lots.len());
            lots.into_iter().for_each(work);
        } else {
            let at_once = (PIECE / products.max(1)).max(2 * rayon::current_num_threads());
            while !lots.is_empty() {
                interruption::check()?;
                let rest = lots.split_off(at_once.min(lots.len()));
                interruption::working(products * lots.len());
                lots.into_par_iter().for_each(work);
                lots = rest;
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((batch, queries, all))))
    }
}

impl Attention {
    /// All heads of a few queries, the first of which is the `first` of all.
    fn attend(&self, q: &[f32], k: &[f32], v: &[f32], first: usize, all: usize, out: &mut [f32]) {
        let (width, keys, queries) = (all / self.heads, k.len() / all, q.len() / all);
        let scale = 1.0 / (width as f32).sqrt();
        let mut scores = vec![0.0; queries * keys];
        let mut sums = vec![0.0; queries];
        for head in (0..self.heads).map(|head| head * width) {
            let of = |values| Matrix { values, down: all, right: 1 };
            let into = Target { values: &mut scores, down: keys, add: false };
            let size = Size { rows: queries, depth: width, columns: keys };
            product(size, scale, of(&q[head..]), of(&k[head..]).transposed(), into, true);
            for ((row, sum), at) in scores.chunks_exact_mut(keys).zip(&mut sums).zip(first..) {
                let seen = if self.causal { (at + 1).min(keys) } else { keys };
                row[seen..].fill(0.0);
                *sum = vectorized(|| exponentials(&mut row[..seen]));
            }
            let into = Target { values: &mut out[head..], down: all, add: false };
            let size = Size { rows: queries, depth: keys, columns: width };
            product(size, 1.0, Matrix::rows(&scores, keys), of(&v[head..]), into, true);
            for (row, sum) in out.chunks_mut(all).zip(&sums) {
                row[head..head + width].iter_mut().for_each(|value| *value /= sum);
            }
        }
    }
}

/// Makes scores exponentials of how far they lie below the largest; their sum.
#[inline(always)]
fn exponentials(row: &mut [f32]) -> f32 {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let (lanes, rest) = row.as_chunks::<LANES>();
    for values in lanes {
        largest
            .iter_mut()
            .zip(values)
            .for_each(|(largest, value)| *largest = if *value > *largest { *value } else { *largest });
    }
    let largest = largest.iter().chain(rest).fold(f32::NEG_INFINITY, |largest, value| largest.max(*value));
    let mut sums = [0.0; LANES];
    let (lanes, rest) = row.as_chunks_mut::<LANES>();
    for values in lanes {
        for (value, sum) in values.iter_mut().zip(&mut sums) {
            *value = exp(*value - largest);
            *sum += *value;
        }
    }
    for value in rest.iter_mut() {
        *value = exp(*value - largest);
    }
    sums.iter().chain(&*rest).sum()
}
