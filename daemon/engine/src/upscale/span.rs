//! SPAN, whose blocks weigh what they made by itself instead of by more parameters.
//!
//! Wan et al. 2023, "Swift Parameter-free Attention Network for Efficient Super-Resolution"; hongyuanyu/SPAN
//! `basicsr/archs/span_arch.py`, as spandrel 0.4.2 has it. Its convolutions are trained as three in a row beside a
//! shortcut and run as one. A file may hold the one as it was before its training ended, so it is made of the parts
//! wherever they are there.

use super::blueprint::SpanShape;
use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{Conv2d, silu};
use candle_core::{Result, Tensor};

/// The mean colour that inputs are measured from, and their range.
const MEAN: [f32; 3] = [0.4488, 0.4371, 0.4040];
const RANGE: f64 = 255.0;
/// How much wider the trained convolutions are in the middle.
const GAIN: usize = 2;

/// A loaded network.
#[derive(Debug)]
pub(super) struct Span {
    first: Conv2d,
    blocks: Vec<[Conv2d; 3]>,
    last_of_blocks: Conv2d,
    join: Conv2d,
    up: Conv2d,
    shape: SpanShape,
}

impl Span {
    pub(super) fn load(weights: &Weights<'_>, shape: SpanShape) -> std::result::Result<Self, EngineError> {
        let SpanShape { features, scale, .. } = shape;
        let conv = |name: &str, inputs| fused(&weights.scope(name), inputs, features, shape.in_parts);
        let block = |number: usize| {
            let part = |part: usize| conv(&format!("block_{number}.c{part}_r"), features);
            Ok::<_, EngineError>([part(1)?, part(2)?, part(3)?])
        };
        Ok(Self {
            first: conv("conv_1", 3)?,
            blocks: (1..=6).map(block).collect::<std::result::Result<_, _>>()?,
            last_of_blocks: conv("conv_2", features)?,
            join: Conv2d::load(&weights.scope("conv_cat"), 4 * features, features, 1)?,
            up: Conv2d::load(&weights.scope("upsampler.0"), features, 3 * scale * scale, 3)?,
            shape,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = if self.shape.normed {
            let mean = Tensor::from_slice(&MEAN, (1, 3, 1, 1), x.device())?;
            (x.broadcast_sub(&mean)? * RANGE)?
        } else {
            x.clone()
        };
        let first = self.first.forward(&x)?;
        let (mut x, mut after_first, mut inside) = (first.clone(), None, first.clone());
        for [one, two, three] in &self.blocks {
            inside = silu(&one.forward(&x)?)?;
            let made = three.forward(&silu(&two.forward(&inside)?)?)?;
            let attention = (candle_nn::ops::sigmoid(&made)? - 0.5)?;
            x = ((made + x)? * attention)?;
            after_first.get_or_insert_with(|| x.clone());
        }
        let after_first = after_first.unwrap_or_else(|| first.clone());
        let joined = Tensor::cat(&[&first, &self.last_of_blocks.forward(&x)?, &after_first, &inside], 1)?;
        candle_nn::ops::pixel_shuffle(&self.up.forward(&self.join.forward(&joined)?)?, self.shape.scale)
    }
}

/// One convolution for what is trained as a 1×1, a 3×3 and a 1×1 in a row beside a 1×1: `W = W₃ W₂ W₁ + S`.
fn fused(
    weights: &Weights<'_>,
    inputs: usize,
    outputs: usize,
    in_parts: bool,
) -> std::result::Result<Conv2d, EngineError> {
    if !in_parts {
        return Conv2d::load(&weights.scope("eval_conv"), inputs, outputs, 3);
    }
    let part = |name: &str, inputs: usize, outputs: usize, size: usize| {
        let kernel = weights.tensor(&format!("{name}.weight"), &[outputs, inputs, size, size])?;
        Ok::<_, EngineError>((kernel, weights.tensor(&format!("{name}.bias"), &[outputs])?))
    };
    let (widen, widen_bias) = part("conv.0", inputs, GAIN * inputs, 1)?;
    let (middle, middle_bias) = part("conv.1", GAIN * inputs, GAIN * outputs, 3)?;
    let (narrow, narrow_bias) = part("conv.2", GAIN * outputs, outputs, 1)?;
    let (beside, beside_bias) = part("sk", inputs, outputs, 1)?;
    let fuse = || -> Result<(Tensor, Tensor)> {
        let (widen, narrow) = (widen.reshape((GAIN * inputs, inputs))?, narrow.reshape((outputs, GAIN * outputs))?);
        // `[3, 3, outputs, inputs]`: a product of matrices at each place of the kernel.
        let places = middle.permute((2, 3, 0, 1))?.contiguous()?;
        let kernel = narrow.broadcast_matmul(&places.broadcast_matmul(&widen)?)?;
        let beside = beside.reshape((1, 1, outputs, inputs))?;
        let beside = beside.pad_with_zeros(0, 1, 1)?.pad_with_zeros(1, 1, 1)?;
        let kernel = (kernel + beside)?.permute((2, 3, 0, 1))?.contiguous()?;
        let column = |bias: &Tensor| bias.reshape((bias.elem_count(), 1));
        let inner = (places.sum((0, 1))?.matmul(&column(&widen_bias)?)? + column(&middle_bias)?)?;
        let bias = (narrow.matmul(&inner)?.reshape(outputs)? + narrow_bias)?;
        Ok((kernel, (bias + beside_bias)?))
    };
    let (kernel, bias) = fuse().map_err(EngineError::computing("joining convolutions"))?;
    Ok(Conv2d::of(kernel, bias))
}
