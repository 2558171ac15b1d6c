//! Activations.

use super::cpu::{self, Activation};
use candle_core::{D, Result, Tensor};

/// `x · sigmoid(x)`.
pub(crate) fn silu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { cpu::activate(x, Activation::Silu) } else { x.silu() }
}

/// `x · Φ(x)` with the error function: OpenCLIP's, and that of every feed-forward layer with gates.
pub(crate) fn gelu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { cpu::activate(x, Activation::Gelu) } else { x.gelu_erf() }
}

/// `x · sigmoid(1.702 x)`: the activation that CLIP-L was trained with.
pub(crate) fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return cpu::activate(x, Activation::QuickGelu);
    }
    x * candle_nn::ops::sigmoid(&(x * 1.702)?)?
}

/// `x` where it is positive, `slope · x` where it is not; `slope` lies between 0 and 1.
pub(crate) fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    x.maximum(&(x * slope)?)
}

/// The first half of the last axis times the GELU of the second (Shazeer 2020, GEGLU).
pub(crate) fn gated_gelu(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return cpu::gated_gelu(x);
    }
    let halves = x.chunk(2, D::Minus1)?;
    &halves[0] * halves[1].contiguous()?.gelu_erf()?
}

#[cfg(test)]
mod tests {
    use super::super::testing::{largest_difference, values};
    use super::*;

    #[test]
    fn activations_are_those_of_candle() {
        let x = (values((3, 7, 2 * 101)).unwrap() * 6.0).unwrap();
        let halves = x.chunk(2, 2).unwrap();
        let wanted_gated = (&halves[0] * halves[1].contiguous().unwrap().gelu_erf().unwrap()).unwrap();
        for (name, found, wanted) in [
            ("silu", silu(&x), x.silu()),
            ("gelu", gelu(&x), x.gelu_erf()),
            ("quick", quick_gelu(&x), &x * candle_nn::ops::sigmoid(&(&x * 1.702).unwrap()).unwrap()),
            ("gated", gated_gelu(&x), Ok(wanted_gated)),
        ] {
            // Values go to 6, what is gated to 36: a few units in the last place of either.
            let difference = largest_difference(&found.unwrap(), &wanted.unwrap());
            assert!(difference < 1e-5, "{name}: {difference}");
        }
        assert!(gated_gelu(&values((2, 3)).unwrap()).is_err());
    }
}
