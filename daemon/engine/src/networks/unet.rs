//! The denoising U-Net of Stable Diffusion 1.x, 2.x and XL (Rombach et al. 2022, Podell et al. 2023; diffusers'
//! `UNet2DConditionModel`).

use super::resnet::{Downsample, Resnet, ResnetShape, Upsample};
use super::transformer::{SpatialTransformer, TransformerShape};
use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{Conv2d, GroupNorm, Linear, silu, sinusoids};
use candle_core::{Device, Result, Tensor};
use paintbox_weights::stable_diffusion::Middle;

/// Sizes of a U-Net. Everything but heads, groups and eps is read from the tensors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UnetShape {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    /// From the outermost level to the innermost.
    pub(crate) levels: Vec<Level>,
    pub(crate) middle: Middle,
    /// Width of the prompt's states.
    pub(crate) context: usize,
    /// Width of what is added to the timestep's embedding, in XL the pooled prompt and the sinusoids of sizes.
    pub(crate) added: Option<usize>,
    pub(crate) groups: usize,
    pub(crate) eps: f64,
    pub(crate) linear_projection: bool,
}

/// One resolution of the U-Net.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) channels: usize,
    pub(crate) heads: usize,
    /// Transformer blocks behind each residual block on the way down; zero means no attention there.
    pub(crate) down: Vec<usize>,
    /// The same on the way up, which has one residual block more.
    pub(crate) up: Vec<usize>,
}

/// A residual block and the attention behind it.
#[derive(Debug)]
struct Slot {
    resnet: Resnet,
    attention: Option<SpatialTransformer>,
}

impl Slot {
    fn forward(&self, x: &Tensor, time: &Tensor, context: &Tensor) -> Result<Tensor> {
        let x = self.resnet.forward(x, Some(time))?;
        self.attention.as_ref().map_or(Ok(x.clone()), |attention| attention.forward(&x, context))
    }
}

/// What a prompt and the sizes of a picture say to the network.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    /// States of the prompt, `[n, tokens, width]`.
    pub(crate) context: Tensor,
    /// What is added to the timestep's embedding, `[n, width]`; there if and only if the network asks for it.
    pub(crate) added: Option<Tensor>,
}

/// A loaded U-Net: predicts the noise in latents, or their velocity.
#[derive(Debug)]
pub(crate) struct Unet {
    conv_in: Conv2d,
    time: Embedding,
    added: Option<Embedding>,
    down: Vec<(Vec<Slot>, Option<Downsample>)>,
    middle: Vec<Slot>,
    up: Vec<(Vec<Slot>, Option<Upsample>)>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    time_width: usize,
    device: Device,
}

/// Two linear layers with an activation between them.
#[derive(Debug)]
struct Embedding {
    first: Linear,
    second: Linear,
}

impl Embedding {
    fn load(weights: &Weights<'_>, inputs: usize, width: usize) -> std::result::Result<Self, EngineError> {
        Ok(Self {
            first: Linear::load(&weights.scope("linear_1"), inputs, width)?,
            second: Linear::load(&weights.scope("linear_2"), width, width)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.second.forward(&silu(&self.first.forward(x)?)?)
    }
}

impl Unet {
    pub(crate) fn load(weights: &Weights<'_>, shape: &UnetShape) -> std::result::Result<Self, EngineError> {
        let first = shape.levels.first().map_or(0, |level| level.channels);
        let time = 4 * first;
        let slot = |weights: &Weights<'_>, number: usize, inputs: usize, level: &Level, depth: usize| {
            let (outputs, groups) = (level.channels, shape.groups);
            let resnet = ResnetShape { inputs, outputs, time: Some(time), groups, eps: shape.eps };
            let transformer = TransformerShape {
                channels: outputs,
                context: shape.context,
                heads: level.heads,
                depth,
                groups,
                linear_projection: shape.linear_projection,
            };
            let attention = || SpatialTransformer::load(&weights.scope(&format!("attentions.{number}")), transformer);
            Ok::<_, EngineError>(Slot {
                resnet: Resnet::load(&weights.scope(&format!("resnets.{number}")), resnet)?,
                attention: if depth > 0 { Some(attention()?) } else { None },
            })
        };

        // The channels of everything the way down hands to the way up, in order.
        let mut skips = vec![first];
        let mut channels = first;
        let mut down = Vec::with_capacity(shape.levels.len());
        for (i, level) in shape.levels.iter().enumerate() {
            let weights = weights.scope(&format!("down_blocks.{i}"));
            let mut slots = Vec::with_capacity(level.down.len());
            for (j, depth) in level.down.iter().enumerate() {
                slots.push(slot(&weights, j, channels, level, *depth)?);
                channels = level.channels;
                skips.push(channels);
            }
            let downsample = if i + 1 < shape.levels.len() {
                skips.push(channels);
                Some(Downsample::load(&weights, channels, false)?)
            } else {
                None
            };
            down.push((slots, downsample));
        }

        let mut middle = Vec::new();
        if let Some(innermost) = shape.levels.last() {
            let depths: &[usize] = match shape.middle {
                Middle::Nothing => &[],
                Middle::Resnet => &[0],
                Middle::Attention { depth } => &[depth, 0],
            };
            let weights = weights.scope("mid_block");
            for (number, depth) in depths.iter().enumerate() {
                middle.push(slot(&weights, number, innermost.channels, innermost, *depth)?);
            }
        }

        let mut up = Vec::with_capacity(shape.levels.len());
        for (i, level) in shape.levels.iter().rev().enumerate() {
            let weights = weights.scope(&format!("up_blocks.{i}"));
            let mut slots = Vec::with_capacity(level.up.len());
            for (j, depth) in level.up.iter().enumerate() {
                let skip = skips.pop().unwrap_or_default();
                slots.push(slot(&weights, j, channels + skip, level, *depth)?);
                channels = level.channels;
            }
            let upsample = if i + 1 < shape.levels.len() { Some(Upsample::load(&weights, channels)?) } else { None };
            up.push((slots, upsample));
        }

        let added = shape.added.map(|inputs| Embedding::load(&weights.scope("add_embedding"), inputs, time));
        Ok(Self {
            conv_in: Conv2d::load(&weights.scope("conv_in"), shape.in_channels, first, 3)?,
            time: Embedding::load(&weights.scope("time_embedding"), first, time)?,
            added: added.transpose()?,
            down,
            middle,
            up,
            norm_out: GroupNorm::load(&weights.scope("conv_norm_out"), shape.groups, first, shape.eps)?,
            conv_out: Conv2d::load(&weights.scope("conv_out"), first, shape.out_channels, 3)?,
            time_width: first,
            device: weights.device().clone(),
        })
    }

    /// The prediction for latents `[n, c, h, w]` at one (possibly fractional) training time.
    pub(crate) fn forward(&self, latents: &Tensor, timestep: f64, conditions: &Conditions) -> Result<Tensor> {
        let mut time = self.time.forward(&sinusoids(timestep, self.time_width, &self.device)?)?;
        match (&self.added, &conditions.added) {
            (None, None) => {}
            (Some(embedding), Some(added)) => time = embedding.forward(added)?.broadcast_add(&time)?,
            _ => candle_core::bail!("what is added to the time does not fit the network"),
        }
        let (time, context) = (silu(&time)?, &conditions.context);

        let mut x = self.conv_in.forward(latents)?;
        let mut skips = vec![x.clone()];
        for (slots, downsample) in &self.down {
            for slot in slots {
                x = slot.forward(&x, &time, context)?;
                skips.push(x.clone());
            }
            if let Some(downsample) = downsample {
                x = downsample.forward(&x)?;
                skips.push(x.clone());
            }
        }
        for slot in &self.middle {
            x = slot.forward(&x, &time, context)?;
        }
        for (slots, upsample) in &self.up {
            for slot in slots {
                let Some(skip) = skips.pop() else {
                    candle_core::bail!("the way up has more blocks than the way down handed over");
                };
                x = slot.forward(&Tensor::cat(&[&x, &skip], 1)?, &time, context)?;
            }
            if let (Some(upsample), Some(next)) = (upsample, skips.last()) {
                let (height, width) = (next.dim(2)?, next.dim(3)?);
                x = upsample.forward(&x, height, width)?;
            }
        }
        self.conv_out.forward(&self.norm_out.forward_silu(&x)?)
    }
}
