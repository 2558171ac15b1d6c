//! The residual block and the two changes of size that the UNet and the VAE share.

use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{Conv2d, GroupNorm, Linear, pad_right_bottom};
use candle_core::{Result, Tensor};

/// GroupNorm, SiLU and convolution twice, around a shortcut; in the UNet with the time added in between.
#[derive(Debug)]
pub(crate) struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

/// What a residual block looks like; `time` is the width of the time embedding, absent in a VAE.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResnetShape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) time: Option<usize>,
    pub(crate) groups: usize,
    pub(crate) eps: f64,
}

impl Resnet {
    pub(crate) fn load(weights: &Weights<'_>, shape: ResnetShape) -> std::result::Result<Self, EngineError> {
        let ResnetShape { inputs, outputs, time, groups, eps } = shape;
        let time = match time {
            Some(width) => Some(Linear::load(&weights.scope("time_emb_proj"), width, outputs)?),
            None => None,
        };
        let shortcut = if inputs == outputs {
            None
        } else {
            Some(Conv2d::load(&weights.scope("conv_shortcut"), inputs, outputs, 1)?)
        };
        Ok(Self {
            norm1: GroupNorm::load(&weights.scope("norm1"), groups, inputs, eps)?,
            conv1: Conv2d::load(&weights.scope("conv1"), inputs, outputs, 3)?,
            time,
            norm2: GroupNorm::load(&weights.scope("norm2"), groups, outputs, eps)?,
            conv2: Conv2d::load(&weights.scope("conv2"), outputs, outputs, 3)?,
            shortcut,
        })
    }

    /// `time` is `[batch, width]`, already through SiLU; it is ignored by a block without time.
    pub(crate) fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let mut hidden = self.conv1.forward(&self.norm1.forward_silu(x)?)?;
        if let (Some(project), Some(time)) = (&self.time, time) {
            hidden = hidden.broadcast_add(&project.forward(time)?.unsqueeze(2)?.unsqueeze(3)?)?;
        }
        let hidden = self.conv2.forward(&self.norm2.forward_silu(&hidden)?)?;
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x)? + hidden,
            None => x + hidden,
        }
    }
}

/// Halves the sides with a strided convolution.
#[derive(Debug)]
pub(crate) struct Downsample {
    conv: Conv2d,
    /// The VAE pads on the right and at the bottom only; the UNet on all sides.
    one_sided: bool,
}

impl Downsample {
    pub(crate) fn load(
        weights: &Weights<'_>,
        channels: usize,
        one_sided: bool,
    ) -> std::result::Result<Self, EngineError> {
        let padding = usize::from(!one_sided);
        let conv = Conv2d::load_with(&weights.scope("downsamplers.0.conv"), channels, channels, 3, padding, 2)?;
        Ok(Self { conv, one_sided })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.one_sided { self.conv.forward(&pad_right_bottom(x)?) } else { self.conv.forward(x) }
    }
}

/// Repeats pixels and smooths them with a convolution.
#[derive(Debug)]
pub(crate) struct Upsample(Conv2d);

impl Upsample {
    pub(crate) fn load(weights: &Weights<'_>, channels: usize) -> std::result::Result<Self, EngineError> {
        Ok(Self(Conv2d::load(&weights.scope("upsamplers.0.conv"), channels, channels, 3)?))
    }

    /// To `height` × `width`, which need not be exact doubles: sides that did not halve evenly come back this way.
    pub(crate) fn forward(&self, x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
        self.0.forward(&x.upsample_nearest2d(height, width)?)
    }
}
