//! Convolution in horizontal bands.
//!
//! candle's GPU convolution gathers every patch of the whole picture into one column buffer, which at 1024² is many
//! gibibytes and on Metal passes 2³² bytes into silently wrong pixels. Cutting the output rows into bands bounds
//! that buffer and changes no arithmetic: each output pixel still sees the same products in the same order.

use candle_core::{Result, Tensor};

/// Largest column buffer of one band, in bytes.
const COLUMN_BYTES: usize = 256 << 20;

/// `x` `[n, c, h, w]` with `kernel` `[out, c, k, k]`: zero padding on all four sides, one group, no dilation.
pub(crate) fn conv2d(x: &Tensor, kernel: &Tensor, padding: usize, stride: usize) -> Result<Tensor> {
    conv2d_within(x, kernel, padding, stride, COLUMN_BYTES)
}

fn conv2d_within(x: &Tensor, kernel: &Tensor, padding: usize, stride: usize, column_bytes: usize) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let (_, _, kernel_height, kernel_width) = kernel.dims4()?;
    let (Some(rows_free), Some(columns_free)) =
        ((height + 2 * padding).checked_sub(kernel_height), (width + 2 * padding).checked_sub(kernel_width))
    else {
        candle_core::bail!("a {kernel_height}×{kernel_width} kernel does not fit into {height}×{width} pixels");
    };
    let out_height = rows_free / stride + 1;
    let out_width = columns_free / stride + 1;
    let row_bytes = batch * out_width * channels * kernel_height * kernel_width * x.dtype().size_in_bytes();
    let band = (column_bytes / row_bytes.max(1)).max(1);
    if band >= out_height {
        return x.conv2d(kernel, padding, stride, 1, 1);
    }
    let padded = x.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
    let mut bands = Vec::with_capacity(out_height.div_ceil(band));
    for first in (0..out_height).step_by(band) {
        let rows = band.min(out_height - first);
        let input = padded.narrow(2, first * stride, (rows - 1) * stride + kernel_height)?.contiguous()?;
        bands.push(input.conv2d(kernel, 0, stride, 1, 1)?);
    }
    Tensor::cat(&bands, 2)
}

/// One column of zeros on the right and one row at the bottom: how the VAE's encoder pads before it halves.
pub(crate) fn pad_right_bottom(x: &Tensor) -> Result<Tensor> {
    x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn bands_change_nothing() {
        let values = |n: usize, scale: f32| (0..n).map(|i| ((i * 7919) % 101) as f32 * scale - 0.5).collect::<Vec<_>>();
        let x = Tensor::from_vec(values(2 * 3 * 13 * 10, 0.01), (2, 3, 13, 10), &Device::Cpu).unwrap();
        let kernel = Tensor::from_vec(values(5 * 3 * 9, 0.02), (5, 3, 3, 3), &Device::Cpu).unwrap();
        for (padding, stride) in [(1, 1), (1, 2), (0, 2), (0, 1)] {
            let whole = x.conv2d(&kernel, padding, stride, 1, 1).unwrap();
            for bytes in [1, 5000, 20_000] {
                let banded = conv2d_within(&x, &kernel, padding, stride, bytes).unwrap();
                assert_eq!(banded.dims(), whole.dims());
                let difference = largest_difference(&banded, &whole);
                assert!(difference < 1e-6, "{difference} with padding {padding}, stride {stride}, {bytes} bytes");
            }
        }
    }

    #[test]
    fn a_kernel_larger_than_the_picture_is_an_error() {
        let x = Tensor::zeros((1, 1, 1, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        let kernel = Tensor::zeros((1, 1, 3, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(conv2d(&x, &kernel, 0, 1).is_err());
    }
}
