//! The denoising U-Net of Stable Diffusion 1.x, 2.x and XL (Rombach et al. 2022, Podell et al. 2023; diffusers'
//! `UNet2DConditionModel`).

use super::resnet::Upsample;
use super::trunk::{Halfway, Slot, Trunk};
use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{Conv2d, GroupNorm};
use candle_core::{DType, Result, Tensor};
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

impl UnetShape {
    /// Width of the embedded time.
    pub(super) fn time_width(&self) -> usize {
        4 * self.levels.first().map_or(0, |level| level.channels)
    }
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

/// What a prompt and the sizes of a picture say to the network.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    /// States of the prompt, `[n, tokens, width]`.
    pub(crate) context: Tensor,
    /// What is added to the timestep's embedding, `[n, width]`; there if and only if the network asks for it.
    pub(crate) added: Option<Tensor>,
}

impl Conditions {
    pub(super) fn to_dtype(&self, dtype: DType) -> Result<Self> {
        let added = self.added.as_ref().map(|added| added.to_dtype(dtype)).transpose()?;
        Ok(Self { context: self.context.to_dtype(dtype)?, added })
    }
}

/// What ControlNets add to what the way down hands over, in its order, and to what leaves the middle.
#[derive(Debug, Clone)]
pub(crate) struct Residuals {
    pub(crate) skips: Vec<Tensor>,
    pub(crate) middle: Tensor,
}

impl Residuals {
    /// Both together, as several ControlNets act.
    pub(crate) fn and(self, other: &Self) -> Result<Self> {
        let skips = self.skips.iter().zip(&other.skips).map(|(ours, theirs)| ours.broadcast_add(theirs));
        Ok(Self { skips: skips.collect::<Result<_>>()?, middle: self.middle.broadcast_add(&other.middle)? })
    }
}

/// A loaded U-Net: predicts the noise in latents, or their velocity.
#[derive(Debug)]
pub(crate) struct Unet {
    trunk: Trunk,
    up: Vec<(Vec<Slot>, Option<Upsample>)>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Unet {
    pub(crate) fn load(weights: &Weights<'_>, shape: &UnetShape) -> std::result::Result<Self, EngineError> {
        let trunk = Trunk::load(weights, shape)?;
        let mut skips = trunk.handed.clone();
        let mut channels = shape.levels.last().map_or(0, |level| level.channels);
        let mut up = Vec::with_capacity(shape.levels.len());
        for (i, level) in shape.levels.iter().rev().enumerate() {
            let weights = weights.scope(&format!("up_blocks.{i}"));
            let mut slots = Vec::with_capacity(level.up.len());
            for (j, depth) in level.up.iter().enumerate() {
                let skip = skips.pop().unwrap_or_default();
                slots.push(Slot::load(&weights, j, channels + skip, (shape, level), *depth)?);
                channels = level.channels;
            }
            let upsample = if i + 1 < shape.levels.len() { Some(Upsample::load(&weights, channels)?) } else { None };
            up.push((slots, upsample));
        }
        Ok(Self {
            trunk,
            up,
            norm_out: GroupNorm::load(&weights.scope("conv_norm_out"), shape.groups, channels, shape.eps)?,
            conv_out: Conv2d::load(&weights.scope("conv_out"), channels, shape.out_channels, 3)?,
        })
    }

    /// The prediction for latents `[n, c, h, w]` at one (possibly fractional) training time, led by `residuals`; f32, like
    /// the latents, whatever is computed in.
    pub(crate) fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditions: &Conditions,
        residuals: Option<&Residuals>,
    ) -> Result<Tensor> {
        let dtype = self.trunk.dtype;
        let (latents, conditions) = (latents.to_dtype(dtype)?, conditions.to_dtype(dtype)?);
        let Halfway { mut x, mut skips, time } = self.trunk.forward(&latents, timestep, &conditions, None)?;
        if let Some(residuals) = residuals {
            let led = skips.iter().zip(&residuals.skips).map(|(skip, residual)| skip.broadcast_add(residual));
            skips = led.collect::<Result<_>>()?;
            x = x.broadcast_add(&residuals.middle)?;
        }
        for (slots, upsample) in &self.up {
            for slot in slots {
                let Some(skip) = skips.pop() else {
                    candle_core::bail!("the way up has more blocks than the way down handed over");
                };
                x = slot.forward(&Tensor::cat(&[&x, &skip], 1)?, &time, &conditions.context)?;
            }
            if let (Some(upsample), Some(next)) = (upsample, skips.last()) {
                let (height, width) = (next.dim(2)?, next.dim(3)?);
                x = upsample.forward(&x, height, width)?;
            }
        }
        self.conv_out.forward(&self.norm_out.forward_silu(&x)?)?.to_dtype(DType::F32)
    }
}
