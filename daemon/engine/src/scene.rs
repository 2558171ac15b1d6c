//! What a painting starts from: noise alone or a picture under noise, what is kept of that picture, and what a network
//! that was made for more than text is shown beside the latents.

use crate::error::EngineError;
use crate::inpaint::{Canvas, Masked};
use crate::load::Inputs;
use crate::model::Model;
use crate::networks::VaeEncoding;
use crate::picture::Rgb;
use crate::sample::{Levels, PictureNoise};
use candle_core::{Device, Result as Computed, Tensor};
use paintbox_domain::generation::{InitImage, MaskedContent, PaintSettings};

/// What all images of a request have in common. Tensors are on the CPU.
pub(crate) struct Scene<'a> {
    model: &'a Model,
    levels: &'a Levels,
    /// Of the latents, `[1, c, h, w]`.
    shape: [usize; 4],
    canvas: Option<Canvas>,
    /// What is painted over; absent where the painting starts from noise alone.
    encoded: Option<VaeEncoding>,
    /// 1 where latents are painted, 0 where they stay.
    mask: Option<Tensor>,
    seen: Seen,
}

/// What a network is shown beside the latents.
enum Seen {
    Nothing,
    /// The mask, and the picture without what is masked, of which each image is shown another sample.
    Around {
        mask: Tensor,
        picture: VaeEncoding,
    },
    /// Latents of the picture that is changed, at their mean and, as in training, not scaled.
    Picture(Tensor),
}

/// What the sampling of one image begins with.
#[derive(Debug)]
pub(crate) struct Start {
    /// At the first noise level, on the CPU.
    pub(crate) latents: Tensor,
    pub(crate) kept: Option<Kept>,
    /// Further channels of the network's input, `[1, channels, h, w]`, on the device.
    pub(crate) beside: Option<Tensor>,
}

/// The latents of a picture that stay where a mask is 0.
#[derive(Debug)]
pub(crate) struct Kept {
    latents: Tensor,
    mask: Tensor,
}

impl Kept {
    /// `painted` where the mask is 1, the kept latents elsewhere.
    pub(crate) fn under(&self, painted: &Tensor) -> Computed<Tensor> {
        let masked = painted.broadcast_mul(&self.mask)?;
        masked + self.latents.broadcast_mul(&(1.0 - &self.mask)?)?
    }
}

impl<'a> Scene<'a> {
    /// Encodes the pictures that the request and the network ask for.
    pub(crate) fn new(
        model: &'a Model,
        levels: &'a Levels,
        settings: &PaintSettings,
        init: Option<&InitImage>,
    ) -> Result<Self, EngineError> {
        let (vae, inputs) = (&model.blueprint.vae, model.blueprint.inputs);
        let (height, width) = (settings.height as usize / vae.factor(), settings.width as usize / vae.factor());
        let canvas = init.map(|init| Canvas::new(init, settings)).transpose()?;
        let masked = canvas.as_ref().and_then(|canvas| canvas.masked.as_ref());
        // A network that sees the picture beside needs nothing of it beneath, if all of that is to go.
        let is_seen = match inputs {
            Inputs::Latents => false,
            Inputs::Inpainting => masked.is_some(),
            Inputs::Editing => masked.is_none(),
        };
        let is_anew = is_seen && settings.strength.is_some_and(|strength| strength >= 1.0);
        let encoded = canvas.as_ref().filter(|_| !is_anew).map(|canvas| encode(model, canvas.image.signal()));
        let mask = masked.map(|masked| masked.of_latents(height, width)).transpose()?;
        let seen = match inputs {
            Inputs::Latents => Seen::Nothing,
            Inputs::Editing => match &canvas {
                Some(canvas) => Seen::Picture(encode(model, canvas.image.signal())?.mean),
                None => Seen::Nothing,
            },
            Inputs::Inpainting => {
                let (mask, picture) = around(canvas.as_ref(), settings)
                    .and_then(|(mask, picture)| Ok((every(&mask, vae.factor())?, picture)))
                    .map_err(EngineError::computing("masking the init image"))?;
                Seen::Around { mask, picture: encode(model, Ok(picture))? }
            }
        };
        let shape = [1, vae.latent_channels, height, width];
        Ok(Self { model, levels, shape, encoded: encoded.transpose()?, mask, seen, canvas })
    }

    /// As in diffusers, the generator is asked for the sample of the picture's encoding, then for the noise, then for the
    /// sample of what is shown beside. `over` are latents that take the picture's place.
    pub(crate) fn start(&self, noise: &mut PictureNoise, over: Option<&Tensor>) -> Computed<Start> {
        let inputs = self.model.blueprint.inputs;
        let encoded = match over {
            Some(latents) => Some(latents.clone()),
            None => self.encoded.as_ref().map(|encoded| self.sampled(encoded, noise)).transpose()?,
        };
        let [_, channels, height, width] = self.shape;
        let first = noise.first((channels, height, width))?;
        let sigma = self.levels.steps.first().map_or(self.levels.last_sigma, |level| level.sigma);
        let content = self.canvas.as_ref().and_then(|canvas| canvas.masked.as_ref()).map(Masked::content);
        let kept = encoded.clone().zip(self.mask.clone()).map(|(latents, mask)| Kept { latents, mask });
        let under = match (&kept, content) {
            (Some(kept), Some(MaskedContent::Noise)) => Some(kept.under(&first)?),
            (Some(kept), Some(MaskedContent::Nothing)) => Some(kept.under(&first.zeros_like()?)?),
            _ => encoded,
        };
        let latents = match under {
            Some(under) => (under + (&first * sigma)?)?,
            None => (first * self.levels.initial_scale)?,
        };
        let beside = match &self.seen {
            Seen::Nothing => None,
            Seen::Around { mask, picture } => Some(Tensor::cat(&[mask, &self.sampled(picture, noise)?], 1)?),
            Seen::Picture(latents) => Some(latents.clone()),
        };
        let beside = beside.map(|beside| beside.to_device(&self.model.device)).transpose()?;
        Ok(Start { latents, kept: kept.filter(|_| inputs != Inputs::Inpainting), beside })
    }

    pub(crate) const fn canvas(&self) -> Option<&Canvas> {
        self.canvas.as_ref()
    }

    /// The finished picture, of which a part may have been painted.
    pub(crate) fn finished(&self, painted: Rgb) -> Result<Rgb, EngineError> {
        match &self.canvas {
            Some(canvas) => canvas.finished(painted),
            None => Ok(painted),
        }
    }

    fn sampled(&self, encoded: &VaeEncoding, noise: &mut PictureNoise) -> Computed<Tensor> {
        let drawn = (&encoded.deviation * noise.tensor(&self.shape)?)?;
        (&encoded.mean + drawn)? * self.model.blueprint.vae.scaling
    }
}

pub(crate) fn encode(model: &Model, image: Computed<Tensor>) -> Result<VaeEncoding, EngineError> {
    let vae = model.vae()?;
    let encoded = || -> Computed<VaeEncoding> {
        let VaeEncoding { mean, deviation } = vae.encode(&image?.to_device(&model.device)?)?;
        Ok(VaeEncoding { mean: mean.to_device(&Device::Cpu)?, deviation: deviation.to_device(&Device::Cpu)? })
    };
    encoded().map_err(EngineError::computing("encoding the init image"))
}

/// What is masked, 1 or 0 for each pixel, and the picture with grey in place of that. Where nothing is said, everything is
/// masked (A1111, `inpainting_image_conditioning`).
fn around(canvas: Option<&Canvas>, settings: &PaintSettings) -> Computed<(Tensor, Tensor)> {
    let (height, width) = (settings.height as usize, settings.width as usize);
    let masked = canvas.and_then(|canvas| canvas.masked.as_ref().map(|masked| (canvas, masked)));
    let Some((canvas, masked)) = masked else {
        let zeros = Tensor::zeros((1, 3, height, width), candle_core::DType::F32, &Device::Cpu)?;
        return Ok(((zeros.narrow(1, 0, 1)? + 1.0)?, zeros));
    };
    let mask = masked.of_pixels()?;
    let picture = canvas.image.signal()?.broadcast_mul(&(1.0 - &mask)?)?;
    Ok((mask, picture))
}

/// Every `step`-th value along both sides, from the first.
fn every(x: &Tensor, step: usize) -> Computed<Tensor> {
    let (_, channels, height, width) = x.dims4()?;
    let (rows, columns) = (height / step, width / step);
    let blocks = x.reshape((channels, rows, step, columns, step))?;
    blocks.narrow(2, 0, 1)?.narrow(4, 0, 1)?.reshape((1, channels, rows, columns))
}
