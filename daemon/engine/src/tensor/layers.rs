//! The layers that hold weights, each read from a [`Weights`] scope under its canonical name.

use super::conv::conv2d;
use super::{cpu, interruption, silu};
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
        interruption::check()?;
        if x.device().is_cpu() {
            return cpu::linear(x, self.0.weight(), self.0.bias());
        }
        self.0.forward(x)
    }
}

/// A square convolution over `[n, c, h, w]`.
#[derive(Debug)]
pub(crate) struct Conv2d {
    kernel: Tensor,
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

    /// The same without a bias.
    pub(crate) fn load_without_bias(
        weights: &Weights<'_>,
        inputs: usize,
        outputs: usize,
        size: usize,
    ) -> std::result::Result<Self, EngineError> {
        let kernel = weights.tensor("weight", &[outputs, inputs, size, size])?;
        let bias = Tensor::zeros(outputs, DType::F32, weights.device());
        let bias = bias.map_err(EngineError::computing("making a bias of zeros"))?;
        Ok(Self { kernel, bias, padding: (size - 1) / 2, stride: 1 })
    }

    /// A 3×3 convolution that keeps the picture's size, with a kernel `[outputs, inputs, 3, 3]` that was made.
    pub(crate) fn of(kernel: Tensor, bias: Tensor) -> Self {
        Self { kernel, bias, padding: 1, stride: 1 }
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
        let bias = weights.tensor("bias", &[outputs])?;
        Ok(Self { kernel, bias, padding, stride })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        interruption::check()?;
        conv2d(x, &self.kernel, &self.bias, self.padding, self.stride)
    }
}

/// Group normalisation over `[n, c, …]`.
#[derive(Debug)]
pub(crate) struct GroupNorm {
    scale: Tensor,
    shift: Tensor,
    groups: usize,
    eps: f64,
    elsewhere: candle_nn::GroupNorm,
}

impl GroupNorm {
    pub(crate) fn load(
        weights: &Weights<'_>,
        groups: usize,
        channels: usize,
        eps: f64,
    ) -> std::result::Result<Self, EngineError> {
        let (scale, shift) = (weights.tensor("weight", &[channels])?, weights.tensor("bias", &[channels])?);
        let elsewhere = candle_nn::GroupNorm::new(scale.clone(), shift.clone(), channels, groups, eps)
            .map_err(EngineError::computing("building a group norm"))?;
        Ok(Self { scale, shift, groups, eps, elsewhere })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        interruption::check()?;
        if x.device().is_cpu() {
            return cpu::group_norm(x, &self.scale, &self.shift, self.groups, self.eps, false);
        }
        self.elsewhere.forward(x)
    }

    /// Followed by `x · sigmoid(x)`, as nearly everywhere.
    pub(crate) fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        interruption::check()?;
        if x.device().is_cpu() {
            return cpu::group_norm(x, &self.scale, &self.shift, self.groups, self.eps, true);
        }
        silu(&self.elsewhere.forward(x)?)
    }
}

/// Layer normalisation over the last axis.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    scale: Tensor,
    shift: Tensor,
    eps: f64,
    elsewhere: candle_nn::LayerNorm,
}

impl LayerNorm {
    pub(crate) fn load(weights: &Weights<'_>, width: usize, eps: f64) -> std::result::Result<Self, EngineError> {
        let (scale, shift) = (weights.tensor("weight", &[width])?, weights.tensor("bias", &[width])?);
        let elsewhere = candle_nn::LayerNorm::new(scale.clone(), shift.clone(), eps);
        Ok(Self { scale, shift, eps, elsewhere })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        interruption::check()?;
        debug_assert!(x.dtype() == DType::F32 || !x.device().is_cpu(), "networks compute in f32 on the CPU");
        if x.device().is_cpu() {
            return cpu::layer_norm(x, &self.scale, &self.shift, self.eps);
        }
        self.elsewhere.forward(x)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{largest_difference, values};
    use super::*;

    #[test]
    fn the_cpus_own_norms_are_those_of_candle() {
        for (batch, channels, height, width, groups) in
            [(1, 4, 1, 1, 2), (2, 6, 5, 7, 3), (1, 32, 41, 59, 32), (2, 64, 33, 40, 8)]
        {
            let x = ((values((batch, channels, height, width)).unwrap() * 3.0).unwrap() + 2.0).unwrap();
            let (scale, shift) = (values(channels).unwrap(), values(channels).unwrap());
            let wanted = candle_nn::GroupNorm::new(scale.clone(), shift.clone(), channels, groups, 1e-5)
                .unwrap()
                .forward(&x)
                .unwrap();
            let plain = cpu::group_norm(&x, &scale, &shift, groups, 1e-5, false).unwrap();
            assert!(largest_difference(&plain, &wanted) < 2e-5, "{channels} in {groups}");
            let active = cpu::group_norm(&x, &scale, &shift, groups, 1e-5, true).unwrap();
            assert!(largest_difference(&active, &wanted.silu().unwrap()) < 2e-5, "{channels} in {groups}");
        }
        for (rows, width) in [(1, 1), (3, 7), (77, 768), (300, 33)] {
            let x = ((values((2, rows, width)).unwrap() * 5.0).unwrap() - 3.0).unwrap();
            let (scale, shift) = (values(width).unwrap(), values(width).unwrap());
            let wanted = candle_nn::LayerNorm::new(scale.clone(), shift.clone(), 1e-5).forward(&x).unwrap();
            assert!(
                largest_difference(&cpu::layer_norm(&x, &scale, &shift, 1e-5).unwrap(), &wanted) < 2e-5,
                "{rows} {width}"
            );
        }
        let one = values((1, 4, 2, 2)).unwrap();
        assert!(cpu::group_norm(&one, &values(4).unwrap(), &values(4).unwrap(), 3, 1e-5, false).is_err());
        assert!(cpu::layer_norm(&one, &values(3).unwrap(), &values(3).unwrap(), 1e-5).is_err());
    }

    #[test]
    fn the_cpus_own_linear_layer_is_that_of_candle() {
        for (rows, inputs, outputs) in [(1, 1, 1), (5, 3, 7), (77, 128, 512), (300, 65, 33)] {
            let (x, weight, bias) =
                (values((2, rows, inputs)).unwrap(), values((outputs, inputs)).unwrap(), values(outputs).unwrap());
            for bias in [Some(&bias), None] {
                let wanted = candle_nn::Linear::new(weight.clone(), bias.cloned()).forward(&x).unwrap();
                let difference = largest_difference(&cpu::linear(&x, &weight, bias).unwrap(), &wanted);
                assert!(difference < 2e-5, "{rows} {inputs} {outputs}: {difference}");
            }
        }
        assert!(cpu::linear(&values((2, 3)).unwrap(), &values((4, 5)).unwrap(), None).is_err());
    }
}
