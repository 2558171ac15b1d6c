//! Convolution in horizontal bands.
//!
//! candle's GPU convolution gathers every patch of the whole picture into one column buffer, which at 1024² is many
//! gibibytes and on Metal passes 2³² bytes into silently wrong pixels. Cutting the output rows into bands bounds
//! that buffer and changes no arithmetic: each output pixel still sees the same products in the same order.

use super::{cpu, interruption};
use candle_core::{Result, Tensor};

/// Largest column buffer of one band, in bytes.
pub(super) const COLUMN_BYTES: usize = 256 << 20;

/// `x` `[n, c, h, w]` with `kernel` `[out, c, k, k]` and `bias` `[out]`: zero padding on all four sides, one group, no
/// dilation.
pub(super) fn conv2d(x: &Tensor, kernel: &Tensor, bias: &Tensor, padding: usize, stride: usize) -> Result<Tensor> {
    if x.device().is_cpu() {
        return cpu::conv2d(x, kernel, bias, padding, stride);
    }
    let out = conv2d_within(x, kernel, padding, stride, COLUMN_BYTES)?;
    out.broadcast_add(&bias.reshape((1, bias.elem_count(), 1, 1))?)
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
        interruption::check()?;
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
    use super::super::testing::{largest_difference, values};
    use super::*;

    #[test]
    fn bands_change_nothing() {
        let (x, kernel) = (values((2, 3, 13, 10)).unwrap(), values((5, 3, 3, 3)).unwrap());
        for (padding, stride) in [(1, 1), (1, 2), (0, 2), (0, 1)] {
            let whole = x.conv2d(&kernel, padding, stride, 1, 1).unwrap();
            for bytes in [1, 5000, 20_000] {
                let banded = conv2d_within(&x, &kernel, padding, stride, bytes).unwrap();
                let difference = largest_difference(&banded, &whole);
                assert!(difference < 1e-6, "{difference} with padding {padding}, stride {stride}, {bytes} bytes");
            }
        }
    }

    #[test]
    fn the_cpus_own_convolution_is_that_of_candle() {
        for (batch, inputs, outputs, height, width, size) in [
            (1, 1, 1, 1, 1, 1),
            (2, 3, 5, 13, 10, 3),
            (1, 4, 7, 5, 2, 3),
            (3, 33, 17, 9, 31, 1),
            (1, 40, 24, 33, 65, 3),
            (1, 3, 2, 2, 9, 5),
            // More than one band.
            (1, 64, 3, 70, 96, 3),
        ] {
            let (x, kernel) =
                (values((batch, inputs, height, width)).unwrap(), values((outputs, inputs, size, size)).unwrap());
            let bias = values(outputs).unwrap();
            for (padding, stride) in [(0, 1), (1, 1), (size / 2, 2), (size, 1), (2, 3)] {
                let case = format!("{batch} {inputs} {outputs} {height} {width} {size}, {padding} {stride}");
                if height + 2 * padding < size || width + 2 * padding < size {
                    assert!(conv2d(&x, &kernel, &bias, padding, stride).is_err(), "{case}");
                    continue;
                }
                let wanted = x.conv2d(&kernel, padding, stride, 1, 1).unwrap();
                let wanted = wanted.broadcast_add(&bias.reshape((1, outputs, 1, 1)).unwrap()).unwrap();
                let difference = largest_difference(&conv2d(&x, &kernel, &bias, padding, stride).unwrap(), &wanted);
                assert!(difference < 2e-5, "{case}: {difference}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let (one, three) = (values((1, 1, 1, 1)).unwrap(), values((1, 1, 3, 3)).unwrap());
        assert!(conv2d(&one, &three, &values(1).unwrap(), 0, 1).is_err());
        assert!(conv2d(&three, &one, &values(2).unwrap(), 0, 1).is_err());
        assert!(conv2d(&values((1, 2, 3, 3)).unwrap(), &three, &values(1).unwrap(), 0, 1).is_err());
        assert!(conv2d_within(&one, &three, 0, 1, COLUMN_BYTES).is_err());
    }
}
