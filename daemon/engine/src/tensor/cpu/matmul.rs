//! Matrix products over slices, and the linear layer.

use super::{WORTH_A_THREAD, values};
use crate::tensor::interruption::{self, PIECE};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use gemm::Parallelism;

/// Rows of a linear layer that are always computed at once: with fewer, reading the weights takes longer than the products.
const LEAST_ROWS: usize = 256;

/// A matrix in a slice: where it begins, and how far apart neighbours lie.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) down: usize,
    pub(super) right: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `width` values, one after the other.
    pub(super) fn rows(values: &'a [f32], width: usize) -> Self {
        Self { values, down: width, right: 1 }
    }

    pub(super) fn transposed(self) -> Self {
        Self { down: self.right, right: self.down, ..self }
    }
}

/// What a product is put into; its rows are `down` apart, values of a row side by side.
pub(super) struct Target<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) down: usize,
    /// Whether the product is added to what stands there.
    pub(super) add: bool,
}

/// Sizes of a product: `[rows, depth]` times `[depth, columns]`.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) depth: usize,
    pub(super) columns: usize,
}

/// `into = scale · left · right`, on this thread alone or on all.
///
/// # Panics
/// When a matrix does not lie within its slice, which no sizes of tensors can bring about.
pub(super) fn product(size: Size, scale: f32, left: Matrix<'_>, right: Matrix<'_>, into: Target<'_>, alone: bool) {
    let Size { rows, depth, columns } = size;
    let Target { values: into, down: into_down, add } = into;
    if rows == 0 || columns == 0 {
        return;
    }
    let last = |rows: usize, columns: usize, down: usize, right: usize| (rows - 1) * down + (columns - 1) * right;
    assert!(depth > 0 && last(rows, depth, left.down, left.right) < left.values.len(), "the left matrix is cut off");
    assert!(last(depth, columns, right.down, right.right) < right.values.len(), "the right matrix is cut off");
    assert!(columns <= into_down || rows == 1, "rows of a product would lie over each other");
    assert!(last(rows, columns, into_down, 1) < into.len(), "a product is larger than its place");
    let parallelism = if alone { Parallelism::None } else { Parallelism::Rayon(0) };
    #[expect(clippy::cast_possible_wrap, reason = "no slice is longer than isize::MAX")]
    let step = |step: usize| step as isize;
    #[expect(
        unsafe_code,
        reason = "gemm has no safe form; that all it reads and writes is in its slices was checked above"
    )]
    // SAFETY: with the strides given, the farthest element of each matrix lies within its slice, all strides are positive,
    // rows of the target do not overlap, and the borrow checker keeps the target apart from what is read.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            into.as_mut_ptr(),
            1,
            step(into_down),
            add,
            left.values.as_ptr(),
            step(left.right),
            step(left.down),
            right.values.as_ptr(),
            step(right.right),
            step(right.down),
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `y = x Wᵀ + b` over the last axis of `x`; `weight` `[outputs, inputs]`.
pub(in crate::tensor) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let x = x.contiguous()?;
    match bias {
        Some(bias) => x.apply_op3_no_bwd(weight, bias, &Linear),
        None => x.apply_op2_no_bwd(weight, &Linear),
    }
}

struct Linear;

impl Linear {
    fn forward(
        x: &[f32],
        shape: &Shape,
        weight: &[f32],
        weight_shape: &Shape,
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let (outputs, inputs) = weight_shape.dims2()?;
        let mut dims = shape.dims().to_vec();
        if dims.last() != Some(&inputs) || bias.is_some_and(|bias| bias.len() != outputs) {
            candle_core::bail!("a layer of {inputs} inputs and {outputs} outputs got {shape:?}");
        }
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        let rows = x.len() / inputs.max(1);
        let mut out = match bias {
            Some(bias) => bias.repeat(rows),
            None => vec![0.0; rows * outputs],
        };
        let alone = rows * inputs * outputs < WORTH_A_THREAD * 8;
        let at_once = (PIECE / (inputs * outputs).max(1)).max(LEAST_ROWS);
        let pieces = x.chunks((at_once * inputs).max(1)).zip(out.chunks_mut((at_once * outputs).max(1)));
        for (x, out) in pieces {
            let size = Size { rows: x.len() / inputs, depth: inputs, columns: outputs };
            interruption::check()?;
            interruption::working(x.len() * outputs);
            let into = Target { values: out, down: outputs, add: bias.is_some() };
            product(size, 1.0, Matrix::rows(x, inputs), Matrix::rows(weight, inputs).transposed(), into, alone);
        }
        Ok((CpuStorage::F32(out), Shape::from_dims(&dims)))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::forward(
            values(x, x_layout)?,
            x_layout.shape(),
            values(weight, weight_layout)?,
            weight_layout.shape(),
            None,
        )
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = values(bias, bias_layout)?;
        Self::forward(
            values(x, x_layout)?,
            x_layout.shape(),
            values(weight, weight_layout)?,
            weight_layout.shape(),
            Some(bias),
        )
    }
}
