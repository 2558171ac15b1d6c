//! The UNet's spatial transformer: every pixel attends to every other pixel and to the prompt.

use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{Conv2d, GroupNorm, LayerNorm, Linear, attention, gated_gelu};
use candle_core::{Result, Tensor};

/// Layer norms inside the transformer; diffusers never configures them away from PyTorch's default.
const NORM_EPS: f64 = 1e-5;
/// The group norm in front of it.
const GROUP_NORM_EPS: f64 = 1e-6;

#[derive(Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
}

impl Attention {
    fn load(
        weights: &Weights<'_>,
        width: usize,
        context: usize,
        heads: usize,
    ) -> std::result::Result<Self, EngineError> {
        Ok(Self {
            query: Linear::load_without_bias(&weights.scope("to_q"), width, width)?,
            key: Linear::load_without_bias(&weights.scope("to_k"), context, width)?,
            value: Linear::load_without_bias(&weights.scope("to_v"), context, width)?,
            out: Linear::load(&weights.scope("to_out.0"), width, width)?,
            heads,
        })
    }

    fn forward(&self, x: &Tensor, context: &Tensor) -> Result<Tensor> {
        let (q, k, v) = (self.query.forward(x)?, self.key.forward(context)?, self.value.forward(context)?);
        self.out.forward(&attention(&q, &k, &v, self.heads)?)
    }
}

#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    to_itself: Attention,
    norm2: LayerNorm,
    to_prompt: Attention,
    norm3: LayerNorm,
    /// Twice as wide as the hidden layer: values and their gates.
    gated: Linear,
    out: Linear,
}

impl Block {
    fn load(
        weights: &Weights<'_>,
        width: usize,
        context: usize,
        heads: usize,
    ) -> std::result::Result<Self, EngineError> {
        let norm = |name: &str| LayerNorm::load(&weights.scope(name), width, NORM_EPS);
        Ok(Self {
            norm1: norm("norm1")?,
            to_itself: Attention::load(&weights.scope("attn1"), width, width, heads)?,
            norm2: norm("norm2")?,
            to_prompt: Attention::load(&weights.scope("attn2"), width, context, heads)?,
            norm3: norm("norm3")?,
            gated: Linear::load(&weights.scope("ff.net.0.proj"), width, 8 * width)?,
            out: Linear::load(&weights.scope("ff.net.2"), 4 * width, width)?,
        })
    }

    fn forward(&self, x: &Tensor, context: &Tensor) -> Result<Tensor> {
        let normed = self.norm1.forward(x)?;
        let x = (x + self.to_itself.forward(&normed, &normed)?)?;
        let x = (&x + self.to_prompt.forward(&self.norm2.forward(&x)?, context)?)?;
        let hidden = gated_gelu(&self.gated.forward(&self.norm3.forward(&x)?)?)?;
        x + self.out.forward(&hidden)?
    }
}

/// The projections around the blocks: 1×1 convolutions in Stable Diffusion 1, linear layers in later models.
#[derive(Debug)]
enum Projection {
    Convolution(Conv2d),
    Linear(Linear),
}

/// A stack of blocks over the pixels of `[n, c, h, w]`, around a shortcut.
#[derive(Debug)]
pub(crate) struct SpatialTransformer {
    norm: GroupNorm,
    proj_in: Projection,
    blocks: Vec<Block>,
    proj_out: Projection,
}

/// What a spatial transformer looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransformerShape {
    pub(crate) channels: usize,
    /// Width of the prompt's states.
    pub(crate) context: usize,
    pub(crate) heads: usize,
    pub(crate) depth: usize,
    pub(crate) groups: usize,
    pub(crate) linear_projection: bool,
}

impl SpatialTransformer {
    pub(crate) fn load(weights: &Weights<'_>, shape: TransformerShape) -> std::result::Result<Self, EngineError> {
        let TransformerShape { channels, context, heads, depth, groups, linear_projection } = shape;
        let projection = |name: &str| -> std::result::Result<Projection, EngineError> {
            let weights = weights.scope(name);
            Ok(if linear_projection {
                Projection::Linear(Linear::load(&weights, channels, channels)?)
            } else {
                Projection::Convolution(Conv2d::load(&weights, channels, channels, 1)?)
            })
        };
        Ok(Self {
            norm: GroupNorm::load(&weights.scope("norm"), groups, channels, GROUP_NORM_EPS)?,
            proj_in: projection("proj_in")?,
            blocks: (0..depth)
                .map(|i| Block::load(&weights.scope(&format!("transformer_blocks.{i}")), channels, context, heads))
                .collect::<std::result::Result<_, _>>()?,
            proj_out: projection("proj_out")?,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor, context: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let to_tokens = |x: &Tensor| x.flatten_from(2)?.transpose(1, 2)?.contiguous();
        let to_pixels = |x: &Tensor| x.transpose(1, 2)?.contiguous()?.reshape((batch, channels, height, width));
        let normed = self.norm.forward(x)?;
        let mut tokens = match &self.proj_in {
            Projection::Convolution(conv) => to_tokens(&conv.forward(&normed)?)?,
            Projection::Linear(linear) => linear.forward(&to_tokens(&normed)?)?,
        };
        for block in &self.blocks {
            tokens = block.forward(&tokens, context)?;
        }
        let out = match &self.proj_out {
            Projection::Convolution(conv) => conv.forward(&to_pixels(&tokens)?)?,
            Projection::Linear(linear) => to_pixels(&linear.forward(&tokens)?)?,
        };
        x + out
    }
}
