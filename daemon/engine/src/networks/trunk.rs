//! The first half of the denoising U-Net: the embedding of the time, the way down and the middle. ControlNets are copies
//! of it.

use super::resnet::{Downsample, Resnet, ResnetShape};
use super::transformer::{SpatialTransformer, TransformerShape};
use super::unet::{Conditions, Level, UnetShape};
use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{Conv2d, Linear, silu, sinusoids};
use candle_core::{DType, Device, Result, Tensor};
use paintbox_weights::stable_diffusion::Middle;

/// A residual block and the attention behind it.
#[derive(Debug)]
pub(super) struct Slot {
    resnet: Resnet,
    attention: Option<SpatialTransformer>,
}

impl Slot {
    /// Block `number` of a level, which `depth` transformer blocks follow.
    pub(super) fn load(
        weights: &Weights<'_>,
        number: usize,
        inputs: usize,
        (shape, level): (&UnetShape, &Level),
        depth: usize,
    ) -> std::result::Result<Self, EngineError> {
        let (outputs, groups) = (level.channels, shape.groups);
        let resnet = ResnetShape { inputs, outputs, time: Some(shape.time_width()), groups, eps: shape.eps };
        let transformer = TransformerShape {
            channels: outputs,
            context: shape.context,
            heads: level.heads,
            depth,
            groups,
            linear_projection: shape.linear_projection,
        };
        let attention = || SpatialTransformer::load(&weights.scope(&format!("attentions.{number}")), transformer);
        Ok(Self {
            resnet: Resnet::load(&weights.scope(&format!("resnets.{number}")), resnet)?,
            attention: if depth > 0 { Some(attention()?) } else { None },
        })
    }

    pub(super) fn forward(&self, x: &Tensor, time: &Tensor, context: &Tensor) -> Result<Tensor> {
        let x = self.resnet.forward(x, Some(time))?;
        self.attention.as_ref().map_or(Ok(x.clone()), |attention| attention.forward(&x, context))
    }
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

/// A loaded first half.
#[derive(Debug)]
pub(super) struct Trunk {
    conv_in: Conv2d,
    time: Embedding,
    added: Option<Embedding>,
    down: Vec<(Vec<Slot>, Option<Downsample>)>,
    middle: Vec<Slot>,
    first: usize,
    device: Device,
    /// What it computes in.
    pub(super) dtype: DType,
    /// The channels of everything the way down hands to the way up, in order.
    pub(super) handed: Vec<usize>,
}

/// What the first half makes of latents.
pub(super) struct Halfway {
    /// Behind the middle.
    pub(super) x: Tensor,
    /// What is handed to the way up, in order.
    pub(super) skips: Vec<Tensor>,
    /// The embedded time, through its activation.
    pub(super) time: Tensor,
}

impl Trunk {
    pub(super) fn load(weights: &Weights<'_>, shape: &UnetShape) -> std::result::Result<Self, EngineError> {
        let first = shape.levels.first().map_or(0, |level| level.channels);
        let time = shape.time_width();
        let mut handed = vec![first];
        let mut channels = first;
        let mut down = Vec::with_capacity(shape.levels.len());
        for (i, level) in shape.levels.iter().enumerate() {
            let weights = weights.scope(&format!("down_blocks.{i}"));
            let mut slots = Vec::with_capacity(level.down.len());
            for (j, depth) in level.down.iter().enumerate() {
                slots.push(Slot::load(&weights, j, channels, (shape, level), *depth)?);
                channels = level.channels;
                handed.push(channels);
            }
            let downsample = if i + 1 < shape.levels.len() {
                handed.push(channels);
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
                middle.push(Slot::load(&weights, number, innermost.channels, (shape, innermost), *depth)?);
            }
        }

        let added = shape.added.map(|inputs| Embedding::load(&weights.scope("add_embedding"), inputs, time));
        Ok(Self {
            conv_in: Conv2d::load(&weights.scope("conv_in"), shape.in_channels, first, 3)?,
            time: Embedding::load(&weights.scope("time_embedding"), first, time)?,
            added: added.transpose()?,
            down,
            middle,
            first,
            device: weights.device().clone(),
            dtype: weights.dtype(),
            handed,
        })
    }

    /// Latents `[n, c, h, w]`, of the network's own type like everything else, at one (possibly fractional) training time, to which `hint` is added behind the first
    /// convolution.
    pub(super) fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditions: &Conditions,
        hint: Option<&Tensor>,
    ) -> Result<Halfway> {
        let mut time = self.time.forward(&sinusoids(timestep, self.first, &self.device)?.to_dtype(self.dtype)?)?;
        match (&self.added, &conditions.added) {
            (None, None) => {}
            (Some(embedding), Some(added)) => time = embedding.forward(added)?.broadcast_add(&time)?,
            _ => candle_core::bail!("what is added to the time does not fit the network"),
        }
        let (time, context) = (silu(&time)?, &conditions.context);

        let mut x = self.conv_in.forward(latents)?;
        if let Some(hint) = hint {
            x = x.broadcast_add(hint)?;
        }
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
        Ok(Halfway { x, skips, time })
    }
}
