//! Scaled dot-product attention over heads that lie side by side: ours on the CPU, fused on Metal, in bands of query rows
//! elsewhere.

use super::{cpu, interruption, softmax};
use candle_core::{D, Device, Result, Tensor};

/// Largest score matrix that is held at once, in bytes.
pub(super) const SCORE_BYTES: usize = 128 << 20;

/// Head widths for which candle's fused Metal kernel exists in f32.
const FUSED_WIDTHS: [usize; 7] = [32, 64, 72, 80, 96, 128, 256];

/// Attention of `q` `[batch, queries, heads · width]` to `k` and `v` `[batch, keys, heads · width]`; the scale is 1/√width.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    interruption::check()?;
    if q.device().is_cpu() {
        return cpu::attention(q, k, v, heads, false);
    }
    let split = |x: &Tensor| split(x, heads);
    joined(&by_head(&split(q)?, &split(k)?, &split(v)?)?)
}

/// The same where a query sees no key behind its own place; for sequences short enough to hold all scores.
pub(crate) fn causal_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    interruption::check()?;
    if q.device().is_cpu() {
        return cpu::attention(q, k, v, heads, true);
    }
    let (q, k, v) = (split(q, heads)?, split(k, heads)?, split(v, heads)?);
    let scale = 1.0 / (q.dim(D::Minus1)? as f64).sqrt();
    let scores = (q * scale)?.matmul(&k.transpose(2, 3)?.contiguous()?)?;
    let mask = causal_mask(scores.dim(2)?, scores.device())?.to_dtype(scores.dtype())?;
    joined(&softmax(&scores.broadcast_add(&mask)?)?.matmul(&v)?)
}

/// `[batch, heads, length, width]` of `[batch, length, heads · width]`.
fn split(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, length, all) = x.dims3()?;
    x.reshape((batch, length, heads, all / heads.max(1)))?.transpose(1, 2)?.contiguous()
}

fn joined(x: &Tensor) -> Result<Tensor> {
    x.transpose(1, 2)?.flatten_from(2)
}

fn by_head(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let width = q.dim(D::Minus1)?;
    let scale = 1.0 / (width as f64).sqrt();
    if q.device().is_metal()
        && let Some(fused) = FUSED_WIDTHS.into_iter().find(|fused| *fused >= width)
    {
        // Zeros on the end of every head add nothing to a dot product; the true scale keeps the scores.
        let wide = |x: &Tensor| x.pad_with_zeros(D::Minus1, 0, fused - width)?.contiguous();
        let out = candle_nn::ops::sdpa(&wide(q)?, &wide(k)?, &wide(v)?, None, false, scale as f32, 1.0)?;
        return out.narrow(D::Minus1, 0, width)?.contiguous();
    }
    in_bands(q, k, v, scale, SCORE_BYTES)
}

/// `[length, length]`: zero where a position may look (itself and before), −∞ where it may not.
fn causal_mask(length: usize, device: &Device) -> Result<Tensor> {
    let rows =
        (0..length).flat_map(|query| (0..length).map(move |key| if key > query { f32::NEG_INFINITY } else { 0.0 }));
    Tensor::from_vec(rows.collect::<Vec<f32>>(), (length, length), device)
}

fn in_bands(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, score_bytes: usize) -> Result<Tensor> {
    let (batch, heads, queries, _) = q.dims4()?;
    let keys = k.dim(2)?;
    let q = (q.contiguous()? * scale)?;
    let k = k.transpose(2, 3)?.contiguous()?;
    let v = v.contiguous()?;
    let row_bytes = batch * heads * keys * size_of::<f32>();
    let band = (score_bytes / row_bytes.max(1)).max(1);
    if band >= queries {
        return softmax(&q.matmul(&k)?)?.matmul(&v);
    }
    let mut bands = Vec::with_capacity(queries.div_ceil(band));
    for first in (0..queries).step_by(band) {
        interruption::check()?;
        let rows = q.narrow(2, first, band.min(queries - first))?.contiguous()?;
        bands.push(softmax(&rows.matmul(&k)?)?.matmul(&v)?);
    }
    Tensor::cat(&bands, 2)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{largest_difference, values};
    use super::*;

    /// Every score at once, by candle.
    fn plain(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, mask: Option<&Tensor>) -> Tensor {
        let (q, k, v) = (split(q, heads).unwrap(), split(k, heads).unwrap(), split(v, heads).unwrap());
        let scale = 1.0 / (q.dim(3).unwrap() as f64).sqrt();
        let scores = (q * scale).unwrap().matmul(&k.transpose(2, 3).unwrap().contiguous().unwrap()).unwrap();
        let scores = mask.map_or(Ok(scores.clone()), |mask| scores.broadcast_add(mask)).unwrap();
        joined(&softmax(&scores).unwrap().matmul(&v).unwrap()).unwrap()
    }

    #[test]
    fn the_cpus_own_attention_is_that_of_all_scores_at_once() {
        for (batch, queries, keys, heads, width) in
            [(1, 1, 1, 1, 1), (2, 300, 77, 3, 5), (2, 131, 131, 2, 40), (1, 64, 200, 1, 33), (3, 7, 5, 4, 8)]
        {
            let q = (values((batch, queries, heads * width)).unwrap() * 3.0).unwrap();
            let k = values((batch, keys, heads * width)).unwrap();
            let v = values((batch, keys, heads * width)).unwrap();
            let difference =
                largest_difference(&attention(&q, &k, &v, heads).unwrap(), &plain(&q, &k, &v, heads, None));
            assert!(difference < 2e-6, "{batch} {queries} {keys} {heads} {width}: {difference}");
        }
        let x = (values((2, 77, 12)).unwrap() * 4.0).unwrap();
        let mask = causal_mask(77, &Device::Cpu).unwrap();
        let difference =
            largest_difference(&causal_attention(&x, &x, &x, 3).unwrap(), &plain(&x, &x, &x, 3, Some(&mask)));
        assert!(difference < 2e-6, "{difference}");
    }

    #[test]
    fn scores_beyond_every_exponential_are_attended_to_all_the_same() {
        let x = (values((1, 40, 8)).unwrap() * 300.0).unwrap();
        let out = attention(&x, &x, &values((1, 40, 8)).unwrap(), 2).unwrap();
        let out = out.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(out.iter().all(|value| value.is_finite() && value.abs() <= 1.0), "{out:?}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let of = |length: usize, width: usize| values((1, length, width)).unwrap();
        assert!(attention(&of(4, 6), &of(4, 6), &of(5, 6), 2).is_err());
        assert!(attention(&of(4, 6), &of(4, 8), &of(4, 8), 2).is_err());
        assert!(attention(&of(4, 6), &of(4, 6), &of(4, 6), 4).is_err());
        assert!(attention(&of(4, 6), &of(4, 6), &of(4, 6), 0).is_err());
    }

    #[test]
    fn bands_of_rows_change_nothing() {
        let (q, k) = (values((2, 3, 11, 8)).unwrap(), values((2, 3, 7, 8)).unwrap());
        let whole = in_bands(&q, &k, &k, 0.3, usize::MAX).unwrap();
        for bytes in [1, 400, 800] {
            let banded = in_bands(&q, &k, &k, 0.3, bytes).unwrap();
            assert!(largest_difference(&banded, &whole) < 1e-6);
        }
    }

    #[test]
    fn a_causal_mask_hides_what_comes_later() {
        let mask = causal_mask(3, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        let hidden: Vec<Vec<bool>> = mask.iter().map(|row| row.iter().map(|x| *x < 0.0).collect()).collect();
        assert_eq!(hidden, [[false, true, true], [false, false, true], [false, false, false]]);
    }
}
