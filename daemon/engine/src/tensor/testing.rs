//! What tests of operations share.

use candle_core::{Device, Result, Shape, Tensor};

/// A tensor of values between −1 and 1 that repeat late.
pub(crate) fn values(shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    let values = (0..shape.elem_count()).map(|at| ((at * 7919 + 13) % 10_007) as f32 / 5_003.5 - 1.0);
    Tensor::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu)
}

pub(crate) fn largest_difference(one: &Tensor, other: &Tensor) -> f32 {
    assert_eq!(one.dims(), other.dims());
    (one - other).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}
