//! TAESD's decoder: latents to a picture in a hundredth of the VAE's time, with less detail.
//!
//! madebyollin/taesd `taesd.py` (`Decoder`) and diffusers 0.42 `models/autoencoders/vae.py` (`DecoderTiny`), in whose names
//! layers are counted without the clamp that comes first.

use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::Conv2d;
use candle_core::{Result, Tensor};

/// Features of every published one.
const WIDTH: usize = 64;
/// Blocks at each size, the smallest first.
const BLOCKS: [usize; 4] = [3, 3, 3, 1];
/// Latents are brought into ±3 before anything else.
const CLAMP: f64 = 3.0;

/// A loaded decoder.
#[derive(Debug)]
pub(crate) struct TaesdDecoder {
    first: Conv2d,
    /// The blocks at each size, and what follows them when the picture has become twice as large, or at the end.
    stages: Vec<(Vec<[Conv2d; 3]>, Conv2d)>,
}

impl TaesdDecoder {
    pub(crate) fn load(weights: &Weights<'_>, latent_channels: usize) -> std::result::Result<Self, EngineError> {
        let layer = |number: usize| weights.scope(&format!("layers.{number}"));
        let first = Conv2d::load(&layer(0), latent_channels, WIDTH, 3)?;
        // A layer without weights, the activation, lies behind the first convolution.
        let mut number = 2;
        let mut stages = Vec::with_capacity(BLOCKS.len());
        for (stage, count) in BLOCKS.iter().enumerate() {
            let mut blocks = Vec::with_capacity(*count);
            for _ in 0..*count {
                let conv = |part: usize| Conv2d::load(&layer(number).scope(&format!("conv.{part}")), WIDTH, WIDTH, 3);
                blocks.push([conv(0)?, conv(2)?, conv(4)?]);
                number += 1;
            }
            let last = stage + 1 == BLOCKS.len();
            let next = if last {
                Conv2d::load(&layer(number), WIDTH, 3, 3)?
            } else {
                // The upsampling counts as a layer.
                Conv2d::load_without_bias(&layer(number + 1), WIDTH, WIDTH, 3)?
            };
            number += 2;
            stages.push((blocks, next));
        }
        Ok(Self { first, stages })
    }

    /// Latents `[1, c, h, w]` as samplers see them to RGB `[1, 3, 8h, 8w]`, 0 to 1 but for what lies beyond.
    pub(crate) fn forward(&self, latents: &Tensor) -> Result<Tensor> {
        let clamped = ((latents / CLAMP)?.tanh()? * CLAMP)?;
        let mut x = self.first.forward(&clamped)?.relu()?;
        for (stage, (blocks, next)) in self.stages.iter().enumerate() {
            for [one, two, three] in blocks {
                let made = three.forward(&two.forward(&one.forward(&x)?.relu()?)?.relu()?)?;
                x = (made + x)?.relu()?;
            }
            if stage + 1 < self.stages.len() {
                let (_, _, height, width) = x.dims4()?;
                x = x.upsample_nearest2d(2 * height, 2 * width)?;
            }
            x = next.forward(&x)?;
        }
        Ok(x)
    }
}
