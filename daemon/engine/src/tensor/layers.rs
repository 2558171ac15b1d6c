//! The layers that hold weights, each read from a [`Weights`] scope under its canonical name.

use super::conv2d;
use crate::error::EngineError;
use crate::load::Weights;
use candle_core::{DType, Result, Tensor};
use candle_nn::Module;

/// `y = x Wᵀ + b` over the last axis.
#[derive(Debug)]
pub(crate) struct Linear(candle_nn::Linear);

impl Linear {
    pub(crate) fn load(weights: &Weights<'_>, inputs: usize, outputs: usize) -> std::result::Result<Self, EngineError> {
        let bias = weights.tensor("bias", &[outputs])?;
        Ok(Self(candle_nn::Linear::new(weights.tensor("weight", &[outputs, inputs])?, Some(bias))))
    }

    pub(crate) fn load_without_bias(
        weights: &Weights<'_>,
        inputs: usize,
        outputs: usize,
    ) -> std::result::Result<Self, EngineError> {
        Ok(Self(candle_nn::Linear::new(weights.tensor("weight", &[outputs, inputs])?, None)))
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.forward(x)
    }
}

/// A square convolution over `[n, c, h, w]`.
#[derive(Debug)]
pub(crate) struct Conv2d {
    kernel: Tensor,
    /// `[1, outputs, 1, 1]`.
    bias: Tensor,
    padding: usize,
    stride: usize,
}

impl Conv2d {
    /// A convolution that keeps the picture's size: stride 1, padding (size − 1) / 2.
    pub(crate) fn load(
        weights: &Weights<'_>,
        inputs: usize,
        outputs: usize,
        size: usize,
    ) -> std::result::Result<Self, EngineError> {
        Self::load_with(weights, inputs, outputs, size, (size - 1) / 2, 1)
    }

    pub(crate) fn load_with(
        weights: &Weights<'_>,
        inputs: usize,
        outputs: usize,
        size: usize,
        padding: usize,
        stride: usize,
    ) -> std::result::Result<Self, EngineError> {
        let kernel = weights.tensor("weight", &[outputs, inputs, size, size])?;
        let bias = weights.tensor("bias", &[outputs])?.reshape((1, outputs, 1, 1));
        let bias = bias.map_err(EngineError::computing("shaping a bias"))?;
        Ok(Self { kernel, bias, padding, stride })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        conv2d(x, &self.kernel, self.padding, self.stride)?.broadcast_add(&self.bias)
    }
}

/// Group normalisation over `[n, c, …]`.
#[derive(Debug)]
pub(crate) struct GroupNorm(candle_nn::GroupNorm);

impl GroupNorm {
    pub(crate) fn load(
        weights: &Weights<'_>,
        groups: usize,
        channels: usize,
        eps: f64,
    ) -> std::result::Result<Self, EngineError> {
        let (scale, shift) = (weights.tensor("weight", &[channels])?, weights.tensor("bias", &[channels])?);
        let norm = candle_nn::GroupNorm::new(scale, shift, channels, groups, eps);
        Ok(Self(norm.map_err(EngineError::computing("building a group norm"))?))
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.forward(x)
    }
}

/// Layer normalisation over the last axis, eps 1e-5 unless said otherwise.
#[derive(Debug)]
pub(crate) struct LayerNorm(candle_nn::LayerNorm);

impl LayerNorm {
    pub(crate) fn load(weights: &Weights<'_>, width: usize, eps: f64) -> std::result::Result<Self, EngineError> {
        let (scale, shift) = (weights.tensor("weight", &[width])?, weights.tensor("bias", &[width])?);
        Ok(Self(candle_nn::LayerNorm::new(scale, shift, eps)))
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        debug_assert_eq!(x.dtype(), DType::F32, "networks compute in f32");
        self.0.forward(x)
    }
}
