//! ControlNet (Zhang et al. 2023; diffusers' `ControlNetModel`): a copy of the U-Net's first half that reads a picture
//! beside the latents, and says what to add to what the first half hands over.

use super::trunk::{Halfway, Trunk};
use super::unet::{Conditions, Residuals, UnetShape};
use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{Conv2d, silu};
use candle_core::{DType, Result, Tensor};

/// What a ControlNet looks like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ControlNetShape {
    /// Of the copy, of whose levels only the way down counts.
    pub(crate) trunk: UnetShape,
    pub(crate) image_channels: usize,
    /// Of the network that reads the picture; each level halves its sides.
    pub(crate) hint: Vec<usize>,
    /// Whether only the means of what is added count, as for a ControlNet that was trained on shuffled pictures.
    pub(crate) pooled: bool,
}

/// A loaded ControlNet.
#[derive(Debug)]
pub(crate) struct ControlNet {
    hint: Vec<Conv2d>,
    trunk: Trunk,
    skips: Vec<Conv2d>,
    middle: Conv2d,
    pooled: bool,
}

impl ControlNet {
    pub(crate) fn load(weights: &Weights<'_>, shape: &ControlNetShape) -> std::result::Result<Self, EngineError> {
        let trunk = Trunk::load(weights, &shape.trunk)?;
        let reader = weights.scope("controlnet_cond_embedding");
        let first = shape.hint.first().copied().unwrap_or_default();
        let mut hint = vec![Conv2d::load(&reader.scope("conv_in"), shape.image_channels, first, 3)?];
        for (step, pair) in shape.hint.windows(2).enumerate() {
            let block = |number: usize| reader.scope(&format!("blocks.{number}"));
            hint.push(Conv2d::load(&block(2 * step), pair[0], pair[0], 3)?);
            hint.push(Conv2d::load_with(&block(2 * step + 1), pair[0], pair[1], 3, 1, 2)?);
        }
        let last = shape.hint.last().copied().unwrap_or_default();
        let outermost = trunk.handed.first().copied().unwrap_or_default();
        hint.push(Conv2d::load(&reader.scope("conv_out"), last, outermost, 3)?);
        let point = |name: &str, channels: usize| Conv2d::load(&weights.scope(name), channels, channels, 1);
        let skips = trunk.handed.iter().enumerate();
        let skips = skips.map(|(number, channels)| point(&format!("controlnet_down_blocks.{number}"), *channels));
        let innermost = shape.trunk.levels.last().map_or(0, |level| level.channels);
        Ok(Self {
            hint,
            skips: skips.collect::<std::result::Result<_, _>>()?,
            middle: point("controlnet_mid_block", innermost)?,
            trunk,
            pooled: shape.pooled,
        })
    }

    /// What the picture, `[1, 3, H, W]` in 0 to 1, says to every step: `[1, c, h, w]` of the latents' size, in f32.
    pub(crate) fn read(&self, picture: &Tensor) -> Result<Tensor> {
        let Some((last, before)) = self.hint.split_last() else { candle_core::bail!("nothing reads the picture") };
        let mut x = picture.to_dtype(self.trunk.dtype)?;
        for conv in before {
            x = silu(&conv.forward(&x)?)?;
        }
        last.forward(&x)?.to_dtype(DType::F32)
    }

    /// What to add for latents `[n, c, h, w]`, times `strength`.
    pub(crate) fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditions: &Conditions,
        hint: &Tensor,
        strength: f64,
    ) -> Result<Residuals> {
        let dtype = self.trunk.dtype;
        let (latents, conditions) = (latents.to_dtype(dtype)?, conditions.to_dtype(dtype)?);
        let Halfway { x, skips, .. } =
            self.trunk.forward(&latents, timestep, &conditions, Some(&hint.to_dtype(dtype)?))?;
        let added = |conv: &Conv2d, x: &Tensor| -> Result<Tensor> {
            let added = (conv.forward(x)? * strength)?;
            if self.pooled { added.mean_keepdim((2, 3)) } else { Ok(added) }
        };
        let skips = self.skips.iter().zip(&skips).map(|(conv, skip)| added(conv, skip));
        Ok(Residuals { skips: skips.collect::<Result<_>>()?, middle: added(&self.middle, &x)? })
    }
}
