//! Upscalers: networks that make pictures larger, one tile at a time.

mod blueprint;
mod compact;
#[cfg(test)]
mod golden_tests;
mod rrdb;
mod source;
mod span;
mod tiles;

use crate::error::EngineError;
use crate::load::{TensorFile, Weights};
use crate::picture::Rgb;
use blueprint::{Blueprint, Design};
use candle_core::{Device, Result, Tensor};
use compact::Compact;
use paintbox_domain::generation::{ModelFile, PixelScaling, Upscaler};
use rrdb::Rrdb;
use source::UpscalerSource;
use span::Span;
use tiles::Tiling;

/// How often a network may enlarge what it enlarged before the rest is resized, as in A1111 (`modules/upscaler.py`).
const MOST_ROUNDS: usize = 3;
/// What finished pictures are enlarged by where neither a request nor a network says.
const USUAL_SCALE: f64 = 2.0;

/// Asked before each tile with how many are done, and how many there are; its error stops the work.
pub(crate) type Watch<'a> = dyn Fn(usize, usize) -> std::result::Result<(), EngineError> + 'a;

/// A loaded upscaler.
#[derive(Debug)]
pub(crate) struct Enlarger {
    network: Network,
    scale: usize,
    device: Device,
}

/// The size of a picture whose sides become `scale` times as long; without one, as the upscaler does.
pub(crate) fn enlarged_size(picture: &Rgb, upscaler: &Upscaler<&Enlarger>, scale: Option<f64>) -> (usize, usize) {
    let scale = scale.unwrap_or_else(|| upscaler.network().map_or(USUAL_SCALE, |network| network.scale as f64));
    let side = |side: usize| ((side as f64 * scale).round() as usize).max(1);
    (side(picture.width), side(picture.height))
}

/// A picture at another size, width first. A network enlarges until nothing is missing; the rest is Lanczos' filter, as in
/// A1111 (`modules/images.py`, `resize_image`).
///
/// # Errors
/// [`EngineError::TooLarge`] when the picture and what is made of it need more than `limit_bytes`, or what `watch` says.
pub(crate) fn enlarged(
    picture: &Rgb,
    upscaler: &Upscaler<&Enlarger>,
    (width, height): (usize, usize),
    limit_bytes: u64,
    watch: &Watch<'_>,
) -> std::result::Result<Rgb, EngineError> {
    tiles::check_size(picture, (width, height), limit_bytes)?;
    let network = match upscaler {
        Upscaler::Pixels(PixelScaling::Lanczos) => return picture.resized(width, height),
        Upscaler::Pixels(PixelScaling::Nearest) => return Ok(picture.resized_nearest(width, height)),
        Upscaler::Network(network) => network,
    };
    let mut made = network.upscale(picture, limit_bytes, watch)?;
    for _ in 1..MOST_ROUNDS {
        if made.width >= width && made.height >= height {
            break;
        }
        made = network.upscale(&made, limit_bytes, watch)?;
    }
    made.resized(width, height)
}

#[derive(Debug)]
enum Network {
    Rrdb(Rrdb),
    Compact(Compact),
    Span(Span),
}

impl Network {
    /// RGB `[1, 3, h, w]` in [0, 1] to the same, larger by the network's scale.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Rrdb(network) => network.forward(x),
            Self::Compact(network) => network.forward(x),
            Self::Span(network) => network.forward(x),
        }
    }
}

impl Enlarger {
    /// # Errors
    /// When the file is no upscaler of a design that is built here, or is broken.
    pub(crate) fn load(file: &ModelFile, device: &Device) -> std::result::Result<Self, EngineError> {
        let file = TensorFile::open(&file.name, &file.path)?;
        let blueprint = Blueprint::of(&file)?;
        let source = UpscalerSource { file: &file, blueprint: &blueprint };
        let weights = Weights::new(&source, device);
        let network = match blueprint.design {
            Design::Rrdb(shape) => Network::Rrdb(Rrdb::load(&weights, shape)?),
            Design::Compact(shape) => Network::Compact(Compact::load(&weights, shape)?),
            Design::Span(shape) => Network::Span(Span::load(&weights, shape)?),
        };
        Ok(Self { network, scale: blueprint.scale, device: device.clone() })
    }

    /// A picture, larger by the network's scale.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`] when the picture and what is made of it need more than `limit_bytes`, or what `watch` says.
    pub(crate) fn upscale(
        &self,
        picture: &Rgb,
        limit_bytes: u64,
        watch: &Watch<'_>,
    ) -> std::result::Result<Rgb, EngineError> {
        self.upscale_in(Tiling::usual(self.scale), picture, limit_bytes, watch)
    }

    fn upscale_in(
        &self,
        tiling: Tiling,
        picture: &Rgb,
        limit_bytes: u64,
        watch: &Watch<'_>,
    ) -> std::result::Result<Rgb, EngineError> {
        let side = |side: usize| side.saturating_mul(self.scale);
        tiles::check_size(picture, (side(picture.width), side(picture.height)), limit_bytes)?;
        tiling.run(picture, self.scale, watch, &|tile| {
            let made = self.network.forward(&tile.to_device(&self.device)?)?;
            // A GPU reports failed work only when it is waited for, and frees its pool only then.
            self.device.synchronize()?;
            made.to_device(&Device::Cpu)
        })
    }
}
