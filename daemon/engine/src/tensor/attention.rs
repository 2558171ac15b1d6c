//! Scaled dot-product attention: fused on Metal, in bands of query rows elsewhere.

use super::softmax;
use candle_core::{D, Device, Result, Tensor};

/// Largest score matrix that is held at once, in bytes.
const SCORE_BYTES: usize = 128 << 20;

/// Head widths for which candle's fused Metal kernel exists in f32.
const FUSED_WIDTHS: [usize; 7] = [32, 64, 72, 80, 96, 128, 256];

/// Attention without a mask. `q` is `[batch, heads, queries, width]`, `k` and `v` `[batch, heads, keys, width]`; the
/// scale is 1/√width.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
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

/// Attention with a mask of `[queries, keys]` that is added to the scores; for sequences short enough to hold whole.
pub(crate) fn masked_attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let scale = 1.0 / (q.dim(D::Minus1)? as f64).sqrt();
    let scores = (q.contiguous()? * scale)?.matmul(&k.transpose(2, 3)?.contiguous()?)?;
    softmax(&scores.broadcast_add(mask)?)?.matmul(&v.contiguous()?)
}

/// `[length, length]`: zero where a position may look (itself and before), −∞ where it may not.
pub(crate) fn causal_mask(length: usize, device: &Device) -> Result<Tensor> {
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
        let rows = q.narrow(2, first, band.min(queries - first))?.contiguous()?;
        bands.push(softmax(&rows.matmul(&k)?)?.matmul(&v)?);
    }
    Tensor::cat(&bands, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * step) % 97) as f32 * 0.02 - 1.0).collect()
    }

    #[test]
    fn bands_of_rows_change_nothing() {
        let device = Device::Cpu;
        let q = Tensor::from_vec(values(2 * 3 * 11 * 8, 31), (2, 3, 11, 8), &device).unwrap();
        let k = Tensor::from_vec(values(2 * 3 * 7 * 8, 57), (2, 3, 7, 8), &device).unwrap();
        let v = Tensor::from_vec(values(2 * 3 * 7 * 8, 71), (2, 3, 7, 8), &device).unwrap();
        let whole = attention(&q, &k, &v).unwrap();
        for bytes in [1, 400, 800] {
            let banded = in_bands(&q, &k, &v, 1.0 / 8_f64.sqrt(), bytes).unwrap();
            let difference: f32 = (&banded - &whole).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            assert!(difference < 1e-6, "{difference}");
        }
    }

    #[test]
    fn a_causal_mask_hides_what_comes_later() {
        let mask = causal_mask(3, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        let hidden: Vec<Vec<bool>> = mask.iter().map(|row| row.iter().map(|x| *x < 0.0).collect()).collect();
        assert_eq!(hidden, [[false, true, true], [false, false, true], [false, false, false]]);
    }
}
