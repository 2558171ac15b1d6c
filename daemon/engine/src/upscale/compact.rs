//! Real-ESRGAN's compact network: a row of convolutions at the small size, whose last makes the pixels of the large one.
//!
//! xinntao/Real-ESRGAN `realesrgan/archs/srvgg_arch.py`, `SRVGGNetCompact` with `prelu`.

use super::blueprint::CompactShape;
use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::Conv2d;
use candle_core::{Result, Tensor};

/// A loaded network.
#[derive(Debug)]
pub(super) struct Compact {
    /// Each with the slopes below zero of its channels, `[1, c, 1, 1]`.
    body: Vec<(Conv2d, Tensor)>,
    last: Conv2d,
    scale: usize,
}

impl Compact {
    pub(super) fn load(weights: &Weights<'_>, shape: CompactShape) -> std::result::Result<Self, EngineError> {
        let CompactShape { features, convolutions, scale } = shape;
        let mut body = Vec::with_capacity(convolutions);
        let mut channels = 3;
        for number in 0..convolutions {
            let conv = Conv2d::load(&weights.scope(&format!("body.{}", 2 * number)), channels, features, 3)?;
            let slopes = weights.tensor(&format!("body.{}.weight", 2 * number + 1), &[features])?;
            let slopes = slopes.reshape((1, features, 1, 1)).map_err(EngineError::computing("holding slopes"))?;
            body.push((conv, slopes));
            channels = features;
        }
        let last = weights.scope(&format!("body.{}", 2 * convolutions));
        Ok(Self { body, last: Conv2d::load(&last, channels, 3 * scale * scale, 3)?, scale })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, height, width) = x.dims4()?;
        let mut hidden = x.clone();
        for (conv, slopes) in &self.body {
            let made = conv.forward(&hidden)?;
            let below = made.minimum(0.0)?.broadcast_mul(slopes)?;
            hidden = (made.relu()? + below)?;
        }
        let change = candle_nn::ops::pixel_shuffle(&self.last.forward(&hidden)?, self.scale)?;
        change + x.upsample_nearest2d(self.scale * height, self.scale * width)?
    }
}
