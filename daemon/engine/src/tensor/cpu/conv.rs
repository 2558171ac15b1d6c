//! Convolution as a matrix product, a band of output rows at a time: the patches of the band are gathered as columns, and
//! the kernel times the columns is the band. Between the buffer of columns and the picture there is no other copy.

use super::matmul::{Matrix, Size, Target, product};
use super::{WORTH_A_THREAD, values};
use crate::tensor::interruption;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Columns of one band, in values: what stays in the caches that cores share.
pub(in crate::tensor) const BAND_VALUES: usize = 2 << 20;

/// `x` `[n, c, h, w]` with `kernel` `[out, c, k, k]` and `bias` `[out]`: zero padding on all four sides, one group, no
/// dilation.
pub(in crate::tensor) fn conv2d(
    x: &Tensor,
    kernel: &Tensor,
    bias: &Tensor,
    padding: usize,
    stride: usize,
) -> Result<Tensor> {
    x.contiguous()?.apply_op3_no_bwd(kernel, bias, &Convolution { padding, stride })
}

struct Convolution {
    padding: usize,
    stride: usize,
}

/// One picture's side of a convolution.
#[derive(Clone, Copy)]
struct Geometry {
    height: usize,
    width: usize,
    kernel_height: usize,
    kernel_width: usize,
    out_height: usize,
    out_width: usize,
    padding: usize,
    stride: usize,
}

impl Convolution {
    fn geometry(&self, height: usize, width: usize, kernel_height: usize, kernel_width: usize) -> Result<Geometry> {
        let Self { padding, stride } = *self;
        let free = |side: usize, kernel: usize| (side + 2 * padding).checked_sub(kernel);
        let (Some(rows), Some(columns)) = (free(height, kernel_height), free(width, kernel_width)) else {
            candle_core::bail!("a {kernel_height}×{kernel_width} kernel does not fit into {height}×{width} pixels");
        };
        let (out_height, out_width) = (rows / stride + 1, columns / stride + 1);
        Ok(Geometry { height, width, kernel_height, kernel_width, out_height, out_width, padding, stride })
    }
}

impl Geometry {
    /// Whether a picture is its own columns.
    fn is_a_product(&self) -> bool {
        (self.kernel_height, self.kernel_width, self.padding, self.stride) == (1, 1, 0, 1)
    }

    /// What one position of the kernel sees of one channel, for every pixel of a band.
    fn gather(&self, channel: &[f32], position: usize, first: usize, columns: &mut [f32]) {
        let Self { height, width, padding, stride, out_width, .. } = *self;
        let (down, right) = (position / self.kernel_width, position % self.kernel_width);
        // Output columns whose pixel lies in the picture.
        let from = padding.saturating_sub(right).div_ceil(stride).min(out_width);
        let to = (width + padding).saturating_sub(right).div_ceil(stride).min(out_width).max(from);
        for (row, line) in columns.chunks_exact_mut(out_width).enumerate() {
            let at = (first + row) * stride + down;
            let Some(at) = at.checked_sub(padding).filter(|at| *at < height) else {
                line.fill(0.0);
                continue;
            };
            let pixels = &channel[at * width..(at + 1) * width];
            line[..from].fill(0.0);
            line[to..].fill(0.0);
            let begin = from * stride + right - padding;
            if stride == 1 {
                line[from..to].copy_from_slice(&pixels[begin..begin + to - from]);
            } else {
                line[from..to].iter_mut().zip(pixels[begin..].iter().step_by(stride)).for_each(|(to, of)| *to = *of);
            }
        }
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        kernel: &CpuStorage,
        kernel_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = x_layout.shape().dims4()?;
        let (outputs, kernel_channels, kernel_height, kernel_width) = kernel_layout.shape().dims4()?;
        let geometry = self.geometry(height, width, kernel_height, kernel_width)?;
        let (x, kernel, bias) = (values(x, x_layout)?, values(kernel, kernel_layout)?, values(bias, bias_layout)?);
        if kernel_channels != channels || bias.len() != outputs {
            candle_core::bail!(
                "a kernel of {kernel_channels} channels and {} shifts got {channels} channels",
                bias.len()
            );
        }
        let positions = kernel_height * kernel_width;
        let depth = channels * positions;
        let pixels = geometry.out_height * geometry.out_width;
        let rows = (BAND_VALUES / (depth * geometry.out_width).max(1)).clamp(1, geometry.out_height);
        let mut out = Vec::with_capacity(batch * outputs * pixels);
        for shift in (0..batch).flat_map(|_| bias) {
            out.resize(out.len() + pixels, *shift);
        }
        let mut columns =
            if geometry.is_a_product() { Vec::new() } else { vec![0.0; depth * rows * geometry.out_width] };
        for (picture, out) in
            x.chunks_exact((channels * height * width).max(1)).zip(out.chunks_exact_mut((outputs * pixels).max(1)))
        {
            for first in (0..geometry.out_height).step_by(rows) {
                let band = rows.min(geometry.out_height - first) * geometry.out_width;
                interruption::check()?;
                interruption::working(outputs * depth * band);
                let begin = first * geometry.out_width;
                let alone = outputs * depth * band < WORTH_A_THREAD * 8;
                let right = if geometry.is_a_product() {
                    Matrix { values: &picture[begin..], down: pixels, right: 1 }
                } else {
                    let columns = &mut columns[..depth * band];
                    let gather = |(at, line): (usize, &mut [f32])| {
                        let channel = &picture[at / positions * height * width..][..height * width];
                        geometry.gather(channel, at % positions, first, line);
                    };
                    if alone {
                        columns.chunks_exact_mut(band).enumerate().for_each(gather);
                    } else {
                        columns.par_chunks_exact_mut(band).enumerate().with_min_len(positions).for_each(gather);
                    }
                    Matrix::rows(columns, band)
                };
                let into = Target { values: &mut out[begin..], down: pixels, add: true };
                product(
                    Size { rows: outputs, depth, columns: band },
                    1.0,
                    Matrix::rows(kernel, depth),
                    right,
                    into,
                    alone,
                );
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((batch, outputs, geometry.out_height, geometry.out_width))))
    }
}
