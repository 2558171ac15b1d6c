//! The denoising U-Net of Stable Diffusion 1.x (Rombach et al. 2022; diffusers' `UNet2DConditionModel`).

use super::resnet::{Downsample, Resnet, ResnetShape, Upsample};
use super::transformer::{SpatialTransformer, TransformerShape};
use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{Conv2d, GroupNorm, Linear, silu, sinusoids};
use candle_core::{Device, Result, Tensor};

/// Sizes of a U-Net. Everything but heads, groups and eps is read from the tensors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UnetShape {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    /// From the outermost level to the innermost.
    pub(crate) levels: Vec<Level>,
    /// Residual blocks of a level on the way down; one more on the way up.
    pub(crate) layers_per_block: usize,
    /// Width of the prompt's states.
    pub(crate) context: usize,
    pub(crate) mid_heads: usize,
    pub(crate) mid_depth: usize,
    pub(crate) groups: usize,
    pub(crate) eps: f64,
    pub(crate) linear_projection: bool,
}

/// One resolution of the U-Net.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) channels: usize,
    pub(crate) heads: usize,
    /// Transformer blocks behind each residual block; zero means none of either.
    pub(crate) depth: usize,
}

#[derive(Debug)]
struct DownBlock {
    resnets: Vec<Resnet>,
    attentions: Vec<SpatialTransformer>,
    downsample: Option<Downsample>,
}

#[derive(Debug)]
struct UpBlock {
    resnets: Vec<Resnet>,
    attentions: Vec<SpatialTransformer>,
    upsample: Option<Upsample>,
}

/// A loaded U-Net: predicts the noise in latents.
#[derive(Debug)]
pub(crate) struct Unet {
    conv_in: Conv2d,
    time1: Linear,
    time2: Linear,
    down: Vec<DownBlock>,
    mid_first: Resnet,
    mid_attention: SpatialTransformer,
    mid_second: Resnet,
    up: Vec<UpBlock>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    time_width: usize,
    device: Device,
}

impl Unet {
    pub(crate) fn load(weights: &Weights<'_>, shape: &UnetShape) -> std::result::Result<Self, EngineError> {
        let first = shape.levels.first().map_or(0, |level| level.channels);
        let innermost = shape.levels.last().map_or(0, |level| level.channels);
        let time = 4 * first;
        let resnet = |weights: &Weights<'_>, inputs, outputs| {
            let shape = ResnetShape { inputs, outputs, time: Some(time), groups: shape.groups, eps: shape.eps };
            Resnet::load(weights, shape)
        };
        let transformer = |weights: &Weights<'_>, channels, heads, depth| {
            let (groups, linear_projection) = (shape.groups, shape.linear_projection);
            let shape = TransformerShape { channels, context: shape.context, heads, depth, groups, linear_projection };
            SpatialTransformer::load(weights, shape)
        };

        // The channels of everything the way down hands to the way up, in order.
        let mut skips = vec![first];
        let mut channels = first;
        let mut down = Vec::with_capacity(shape.levels.len());
        for (i, level) in shape.levels.iter().enumerate() {
            let weights = weights.scope(&format!("down_blocks.{i}"));
            let (mut resnets, mut attentions) = (Vec::new(), Vec::new());
            for j in 0..shape.layers_per_block {
                resnets.push(resnet(&weights.scope(&format!("resnets.{j}")), channels, level.channels)?);
                channels = level.channels;
                skips.push(channels);
                if level.depth > 0 {
                    let weights = weights.scope(&format!("attentions.{j}"));
                    attentions.push(transformer(&weights, channels, level.heads, level.depth)?);
                }
            }
            let downsample = if i + 1 < shape.levels.len() {
                skips.push(channels);
                Some(Downsample::load(&weights, channels, false)?)
            } else {
                None
            };
            down.push(DownBlock { resnets, attentions, downsample });
        }

        let mid = weights.scope("mid_block");
        let mid_first = resnet(&mid.scope("resnets.0"), innermost, innermost)?;
        let mid_attention = transformer(&mid.scope("attentions.0"), innermost, shape.mid_heads, shape.mid_depth)?;
        let mid_second = resnet(&mid.scope("resnets.1"), innermost, innermost)?;

        let mut up = Vec::with_capacity(shape.levels.len());
        for (i, level) in shape.levels.iter().rev().enumerate() {
            let weights = weights.scope(&format!("up_blocks.{i}"));
            let (mut resnets, mut attentions) = (Vec::new(), Vec::new());
            for j in 0..=shape.layers_per_block {
                let skip = skips.pop().unwrap_or_default();
                resnets.push(resnet(&weights.scope(&format!("resnets.{j}")), channels + skip, level.channels)?);
                channels = level.channels;
                if level.depth > 0 {
                    let weights = weights.scope(&format!("attentions.{j}"));
                    attentions.push(transformer(&weights, channels, level.heads, level.depth)?);
                }
            }
            let upsample = if i + 1 < shape.levels.len() { Some(Upsample::load(&weights, channels)?) } else { None };
            up.push(UpBlock { resnets, attentions, upsample });
        }

        Ok(Self {
            conv_in: Conv2d::load(&weights.scope("conv_in"), shape.in_channels, first, 3)?,
            time1: Linear::load(&weights.scope("time_embedding.linear_1"), first, time)?,
            time2: Linear::load(&weights.scope("time_embedding.linear_2"), time, time)?,
            down,
            mid_first,
            mid_attention,
            mid_second,
            up,
            norm_out: GroupNorm::load(&weights.scope("conv_norm_out"), shape.groups, first, shape.eps)?,
            conv_out: Conv2d::load(&weights.scope("conv_out"), first, shape.out_channels, 3)?,
            time_width: first,
            device: weights.device().clone(),
        })
    }

    /// The predicted noise of latents `[n, c, h, w]` at one (possibly fractional) training time, under the prompt
    /// states `[n, tokens, width]`.
    pub(crate) fn forward(&self, latents: &Tensor, timestep: f64, context: &Tensor) -> Result<Tensor> {
        let time = sinusoids(timestep, self.time_width, &self.device)?;
        let time = silu(&self.time2.forward(&silu(&self.time1.forward(&time)?)?)?)?;

        let mut x = self.conv_in.forward(latents)?;
        let mut skips = vec![x.clone()];
        for block in &self.down {
            for (j, resnet) in block.resnets.iter().enumerate() {
                x = resnet.forward(&x, Some(&time))?;
                if let Some(attention) = block.attentions.get(j) {
                    x = attention.forward(&x, context)?;
                }
                skips.push(x.clone());
            }
            if let Some(downsample) = &block.downsample {
                x = downsample.forward(&x)?;
                skips.push(x.clone());
            }
        }

        x = self.mid_first.forward(&x, Some(&time))?;
        x = self.mid_attention.forward(&x, context)?;
        x = self.mid_second.forward(&x, Some(&time))?;

        for block in &self.up {
            for (j, resnet) in block.resnets.iter().enumerate() {
                let Some(skip) = skips.pop() else {
                    candle_core::bail!("the way up has more blocks than the way down handed over");
                };
                x = resnet.forward(&Tensor::cat(&[&x, &skip], 1)?, Some(&time))?;
                if let Some(attention) = block.attentions.get(j) {
                    x = attention.forward(&x, context)?;
                }
            }
            if let (Some(upsample), Some(next)) = (&block.upsample, skips.last()) {
                let (height, width) = (next.dim(2)?, next.dim(3)?);
                x = upsample.forward(&x, height, width)?;
            }
        }
        self.conv_out.forward(&self.norm_out.forward_silu(&x)?)
    }
}
