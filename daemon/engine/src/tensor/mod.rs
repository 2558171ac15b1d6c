//! The operations that networks are made of, with the device traps of candle handled in one place.

mod activate;
mod attention;
pub(crate) mod buffers;
mod conv;
mod cpu;
pub(crate) mod interruption;
mod layers;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use activate::{gated_gelu, gelu, leaky_relu, quick_gelu, silu};
pub(crate) use attention::{attention, causal_attention};
pub(crate) use conv::pad_right_bottom;
pub(crate) use layers::{Conv2d, GroupNorm, LayerNorm, Linear};

use candle_core::{DType, Device, Result, Tensor};

/// The sinusoidal embedding of a training time, `[1, width]`, cosines first; always in f32, because half precision
/// misplaces late times by percents. Ho et al. 2020, with diffusers' `flip_sin_to_cos` and `freq_shift` 0.
pub(crate) fn sinusoids(timestep: f64, width: usize, device: &Device) -> Result<Tensor> {
    let half = width / 2;
    let timestep = timestep as f32;
    let angles: Vec<f32> = (0..half).map(|i| timestep * (-(10_000_f32.ln()) * i as f32 / half as f32).exp()).collect();
    let row: Vec<f32> = angles.iter().map(|angle| angle.cos()).chain(angles.iter().map(|angle| angle.sin())).collect();
    Tensor::from_vec(row, (1, 2 * half), device)
}

/// Softmax over the last axis, in f32 whatever comes in: candle sums half precision in half precision on the CPU.
pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    let wanted = x.dtype();
    let x = candle_nn::ops::softmax_last_dim(&x.to_dtype(DType::F32)?.contiguous()?)?;
    x.to_dtype(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_softmax_of_thousands_of_equal_half_precision_logits_sums_to_one() {
        let logits = Tensor::zeros((1, 4096), DType::BF16, &Device::Cpu).unwrap();
        let row = softmax(&logits).unwrap().to_dtype(DType::F32).unwrap().flatten_all().unwrap();
        let sum: f32 = row.to_vec1::<f32>().unwrap().iter().sum();
        assert!((sum - 1.0).abs() < 1e-2, "{sum}");
    }

    #[test]
    fn sinusoids_of_time_zero_are_ones_and_zeros() {
        let row = sinusoids(0.0, 6, &Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(row, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    }
}
