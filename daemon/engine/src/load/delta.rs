//! What an adapter makes of a weight: the arithmetic of LoRA, LoCon, LoHa, LoKr and DoRA on flattened matrices.
//!
//! A weight `[out, in, …]` is a matrix of `out` rows here. The sources of the formulas are named in
//! `paintbox_weights::adapter`, whose [`Form`]s these are.

use super::file::TensorFile;
use crate::error::EngineError;
use candle_core::{Device, Result, Tensor};
use paintbox_weights::adapter::{Axis, Change, Factor, Form, Product};

/// How much of a change is applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strength {
    pub(super) weight: f32,
    /// What the file says of the component where the weight has no alpha of its own.
    pub(super) component_alpha: Option<f64>,
    /// Whether alpha is divided by the rank's square root (rsLoRA) and not by the rank.
    pub(super) is_rank_stabilised: bool,
}

/// Changes `values`, a weight of the shape `shape`, as `change` says.
pub(super) fn apply(
    change: &Change,
    file: &TensorFile,
    strength: Strength,
    shape: &[usize],
    values: &mut [f32],
) -> std::result::Result<(), EngineError> {
    let tensors = Tensors { file };
    let alpha = change.alpha.as_deref().map(|name| tensors.scalar(name)).transpose()?;
    let scale = change.form.rank().map_or(1.0, |rank| {
        let rank = rank as f64;
        let alpha = alpha.or(strength.component_alpha).unwrap_or(rank);
        alpha / if strength.is_rank_stabilised { rank.sqrt() } else { rank }
    });
    let delta = tensors.delta(&change.form)?;
    let weight = f64::from(strength.weight);
    let Some(magnitude) = &change.magnitude else {
        let scale = (scale * weight) as f32;
        values.iter_mut().zip(delta).for_each(|(value, delta)| *value += scale * delta);
        return Ok(());
    };
    let lengths = tensors.read(&magnitude.name)?;
    let changed: Vec<f32> =
        values.iter().zip(delta).map(|(value, delta)| (f64::from(delta) * scale) as f32 + value).collect();
    let outputs = shape.first().copied().unwrap_or_default().max(1);
    let inputs = shape.get(1).copied().unwrap_or(1).max(1);
    let kernel = (values.len() / outputs / inputs).max(1);
    let line = |at: usize| match magnitude.axis {
        Axis::Rows => at / (inputs * kernel),
        Axis::Columns => at / kernel % inputs,
    };
    let mut squares = vec![0.0_f64; lengths.len()];
    for (at, value) in changed.iter().enumerate() {
        squares[line(at)] += f64::from(*value).powi(2);
    }
    // LyCORIS keeps lines of length zero from being divided by it.
    let stretch = |line: usize| f64::from(lengths[line]) / (squares[line].sqrt() + f64::from(f32::EPSILON));
    let stretches: Vec<f64> = (0..lengths.len()).map(stretch).collect();
    for (at, (value, changed)) in values.iter_mut().zip(changed).enumerate() {
        let whole = f64::from(changed) * stretches[line(at)];
        *value += (weight * (whole - f64::from(*value))) as f32;
    }
    Ok(())
}

/// The tensors of an adapter's file.
struct Tensors<'a> {
    file: &'a TensorFile,
}

impl Tensors<'_> {
    fn read(&self, name: &str) -> std::result::Result<Vec<f32>, EngineError> {
        let Some(info) = self.file.header.tensors.get(name) else {
            return Err(EngineError::MissingTensor { component: "LoRA", tensor: name.to_owned() });
        };
        self.file.read(name, info)
    }

    fn scalar(&self, name: &str) -> std::result::Result<f64, EngineError> {
        Ok(self.read(name)?.first().copied().map_or(1.0, f64::from))
    }

    fn matrix(&self, name: &str, rows: usize, columns: usize) -> std::result::Result<Tensor, EngineError> {
        Tensor::from_vec(self.read(name)?, (rows, columns), &Device::Cpu).map_err(EngineError::computing(MERGING))
    }

    /// The change itself, row by row.
    fn delta(&self, form: &Form) -> std::result::Result<Vec<f32>, EngineError> {
        let combined = match form {
            Form::Difference(name) => return self.read(name),
            Form::LowRank(product) => Ok(self.product(product)?),
            Form::Hadamard(one, two) => self.product(one)?.mul(&self.product(two)?),
            Form::Kronecker(one, two) => kronecker(&self.factor(one)?, &self.factor(two)?),
        };
        combined.and_then(|matrix| matrix.flatten_all()?.to_vec1()).map_err(EngineError::computing(MERGING))
    }

    fn factor(&self, factor: &Factor) -> std::result::Result<Tensor, EngineError> {
        match factor {
            Factor::Whole { name, rows, columns } => self.matrix(name, *rows, *columns),
            Factor::Product(product) => self.product(product),
        }
    }

    /// `[rows, columns]`.
    fn product(&self, product: &Product) -> std::result::Result<Tensor, EngineError> {
        let Product { rows, rank, columns, .. } = *product;
        let (left_rows, left_columns) = if product.left_is_turned { (rank, rows) } else { (rows, rank) };
        let left = self.matrix(&product.left, left_rows, left_columns)?;
        let (inner, kernel) = product.core.as_ref().map_or((rank, 1), |core| (core.inner, core.kernel));
        let right = self.matrix(&product.right, inner, columns / kernel.max(1))?;
        let core = product.core.as_ref().map(|core| self.read(&core.name)).transpose()?;
        let multiplied = || -> Result<Tensor> {
            let left = if product.left_is_turned { left.t()?.contiguous()? } else { left };
            let Some(core) = core else { return left.matmul(&right) };
            // The core's kernel comes first for the product with the inputs, and last in the weight.
            let core = Tensor::from_vec(core, (rank, inner, kernel), &Device::Cpu)?;
            let core = core.permute((0, 2, 1))?.reshape((rank * kernel, inner))?.contiguous()?;
            let inputs = core.matmul(&right)?.reshape((rank, kernel, columns / kernel.max(1)))?;
            left.matmul(&inputs.permute((0, 2, 1))?.reshape((rank, columns))?.contiguous()?)
        };
        multiplied().map_err(EngineError::computing(MERGING))
    }
}

const MERGING: &str = "merging a LoRA";

/// `[a·c, b·d]` of `[a, b]` and `[c, d]`.
fn kronecker(one: &Tensor, two: &Tensor) -> Result<Tensor> {
    let ((a, b), (c, d)) = (one.dims2()?, two.dims2()?);
    one.reshape((a, 1, b, 1))?.broadcast_mul(&two.reshape((1, c, 1, d))?)?.reshape((a * c, b * d))
}
