//! The autoencoder between pixels and latents (diffusers' `AutoencoderKL`).

use super::resnet::{Downsample, Resnet, ResnetShape, Upsample};
use crate::error::EngineError;
use crate::load::Weights;
use crate::tensor::{Conv2d, GroupNorm, Linear, attention};
use candle_core::{Result, Tensor};

/// Every norm of the autoencoder.
const EPS: f64 = 1e-6;

/// Sizes of an autoencoder. Everything but groups and scaling is read from the tensors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VaeShape {
    /// From the pixels inwards.
    pub(crate) channels: Vec<usize>,
    /// Residual blocks of a level of the encoder; the decoder has one more.
    pub(crate) layers_per_block: usize,
    pub(crate) latent_channels: usize,
    pub(crate) groups: usize,
    /// Latents are kept multiplied by this.
    pub(crate) scaling: f64,
    /// Whether 1×1 convolutions stand between encoder, latents and decoder.
    pub(crate) quant: bool,
    /// Some autoencoders are handed out as decoders only.
    pub(crate) encoder: bool,
}

impl VaeShape {
    /// Pixels per latent along a side.
    pub(crate) fn factor(&self) -> usize {
        1 << self.channels.len().saturating_sub(1)
    }

    fn resnet(&self, weights: &Weights<'_>, inputs: usize, outputs: usize) -> std::result::Result<Resnet, EngineError> {
        Resnet::load(weights, ResnetShape { inputs, outputs, time: None, groups: self.groups, eps: EPS })
    }
}

/// One head over all pixels.
#[derive(Debug)]
struct PixelAttention {
    norm: GroupNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

impl PixelAttention {
    fn load(weights: &Weights<'_>, channels: usize, groups: usize) -> std::result::Result<Self, EngineError> {
        let linear = |name: &str| Linear::load(&weights.scope(name), channels, channels);
        Ok(Self {
            norm: GroupNorm::load(&weights.scope("group_norm"), groups, channels, EPS)?,
            query: linear("to_q")?,
            key: linear("to_k")?,
            value: linear("to_v")?,
            out: linear("to_out.0")?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let tokens = self.norm.forward(x)?.flatten_from(2)?.transpose(1, 2)?.contiguous()?;
        let of = |linear: &Linear| linear.forward(&tokens);
        let attended = attention(&of(&self.query)?, &of(&self.key)?, &of(&self.value)?, 1)?;
        let out = self.out.forward(&attended)?.transpose(1, 2)?.contiguous()?;
        x + out.reshape((batch, channels, height, width))?
    }
}

#[derive(Debug)]
struct Middle {
    first: Resnet,
    attention: PixelAttention,
    second: Resnet,
}

impl Middle {
    fn load(weights: &Weights<'_>, shape: &VaeShape, channels: usize) -> std::result::Result<Self, EngineError> {
        Ok(Self {
            first: shape.resnet(&weights.scope("resnets.0"), channels, channels)?,
            attention: PixelAttention::load(&weights.scope("attentions.0"), channels, shape.groups)?,
            second: shape.resnet(&weights.scope("resnets.1"), channels, channels)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.second.forward(&self.attention.forward(&self.first.forward(x, None)?)?, None)
    }
}

#[derive(Debug)]
struct Encoder {
    conv_in: Conv2d,
    down: Vec<(Vec<Resnet>, Option<Downsample>)>,
    middle: Middle,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    quant: Option<Conv2d>,
}

#[derive(Debug)]
struct Decoder {
    post_quant: Option<Conv2d>,
    conv_in: Conv2d,
    middle: Middle,
    up: Vec<(Vec<Resnet>, Option<Upsample>)>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

/// A loaded autoencoder.
#[derive(Debug)]
pub(crate) struct Vae {
    encoder: Option<Encoder>,
    decoder: Decoder,
}

/// The Gaussian that an image is encoded to; unscaled.
#[derive(Debug)]
pub(crate) struct VaeEncoding {
    pub(crate) mean: Tensor,
    pub(crate) deviation: Tensor,
}

impl Vae {
    pub(crate) fn load(weights: &Weights<'_>, shape: &VaeShape) -> std::result::Result<Self, EngineError> {
        Ok(Self {
            encoder: if shape.encoder { Some(Encoder::load(weights, shape)?) } else { None },
            decoder: Decoder::load(weights, shape)?,
        })
    }

    /// An RGB image `[n, 3, h, w]` in [−1, 1] to the distribution of its latents `[n, c, h/f, w/f]`.
    pub(crate) fn encode(&self, image: &Tensor) -> Result<VaeEncoding> {
        let moments = self.moments(image)?.chunk(2, 1)?;
        let deviation = (moments[1].clamp(-30.0, 20.0)? * 0.5)?.exp()?;
        Ok(VaeEncoding { mean: moments[0].clone(), deviation })
    }

    /// Mean and logarithm of the variance, stacked along the channels.
    pub(crate) fn moments(&self, image: &Tensor) -> Result<Tensor> {
        let Some(encoder) = &self.encoder else { candle_core::bail!("this VAE has no encoder") };
        let mut x = encoder.conv_in.forward(image)?;
        for (resnets, downsample) in &encoder.down {
            for resnet in resnets {
                x = resnet.forward(&x, None)?;
            }
            if let Some(downsample) = downsample {
                x = downsample.forward(&x)?;
            }
        }
        x = encoder.middle.forward(&x)?;
        let moments = encoder.conv_out.forward(&encoder.norm_out.forward_silu(&x)?)?;
        encoder.quant.as_ref().map_or_else(|| Ok(moments.clone()), |quant| quant.forward(&moments))
    }

    /// Unscaled latents to an RGB image in about [−1, 1].
    pub(crate) fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let decoder = &self.decoder;
        let mut x = match &decoder.post_quant {
            Some(post_quant) => decoder.conv_in.forward(&post_quant.forward(latents)?)?,
            None => decoder.conv_in.forward(latents)?,
        };
        x = decoder.middle.forward(&x)?;
        for (resnets, upsample) in &decoder.up {
            for resnet in resnets {
                x = resnet.forward(&x, None)?;
            }
            if let Some(upsample) = upsample {
                let (_, _, height, width) = x.dims4()?;
                x = upsample.forward(&x, 2 * height, 2 * width)?;
            }
        }
        decoder.conv_out.forward(&decoder.norm_out.forward_silu(&x)?)
    }
}

impl Encoder {
    fn load(weights: &Weights<'_>, shape: &VaeShape) -> std::result::Result<Self, EngineError> {
        let encoder = weights.scope("encoder");
        let mut channels = shape.channels.first().copied().unwrap_or_default();
        let conv_in = Conv2d::load(&encoder.scope("conv_in"), 3, channels, 3)?;
        let mut down = Vec::with_capacity(shape.channels.len());
        for (i, level) in shape.channels.iter().copied().enumerate() {
            let weights = encoder.scope(&format!("down_blocks.{i}"));
            let mut resnets = Vec::with_capacity(shape.layers_per_block);
            for j in 0..shape.layers_per_block {
                resnets.push(shape.resnet(&weights.scope(&format!("resnets.{j}")), channels, level)?);
                channels = level;
            }
            let last = i + 1 == shape.channels.len();
            let downsample = if last { None } else { Some(Downsample::load(&weights, channels, true)?) };
            down.push((resnets, downsample));
        }
        let moments = 2 * shape.latent_channels;
        Ok(Self {
            conv_in,
            down,
            middle: Middle::load(&encoder.scope("mid_block"), shape, channels)?,
            norm_out: GroupNorm::load(&encoder.scope("conv_norm_out"), shape.groups, channels, EPS)?,
            conv_out: Conv2d::load(&encoder.scope("conv_out"), channels, moments, 3)?,
            quant: shape.quant.then(|| Conv2d::load(&weights.scope("quant_conv"), moments, moments, 1)).transpose()?,
        })
    }
}

impl Decoder {
    fn load(weights: &Weights<'_>, shape: &VaeShape) -> std::result::Result<Self, EngineError> {
        let decoder = weights.scope("decoder");
        let latent = shape.latent_channels;
        let mut channels = shape.channels.last().copied().unwrap_or_default();
        let conv_in = Conv2d::load(&decoder.scope("conv_in"), latent, channels, 3)?;
        let middle = Middle::load(&decoder.scope("mid_block"), shape, channels)?;
        let mut up = Vec::with_capacity(shape.channels.len());
        for (i, level) in shape.channels.iter().copied().rev().enumerate() {
            let weights = decoder.scope(&format!("up_blocks.{i}"));
            let mut resnets = Vec::with_capacity(shape.layers_per_block + 1);
            for j in 0..=shape.layers_per_block {
                resnets.push(shape.resnet(&weights.scope(&format!("resnets.{j}")), channels, level)?);
                channels = level;
            }
            let last = i + 1 == shape.channels.len();
            let upsample = if last { None } else { Some(Upsample::load(&weights, channels)?) };
            up.push((resnets, upsample));
        }
        Ok(Self {
            post_quant: shape
                .quant
                .then(|| Conv2d::load(&weights.scope("post_quant_conv"), latent, latent, 1))
                .transpose()?,
            conv_in,
            middle,
            up,
            norm_out: GroupNorm::load(&decoder.scope("conv_norm_out"), shape.groups, channels, EPS)?,
            conv_out: Conv2d::load(&decoder.scope("conv_out"), channels, 3, 3)?,
        })
    }
}
