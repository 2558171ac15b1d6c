//! The picture that a painting starts from, and a mask over it: prepared for the network and laid over what it painted,
//! as A1111 v1.10 does (`modules/processing.py`, `StableDiffusionProcessingImg2Img.init` and `apply_overlay`).
//!
//! diffusers differs in three ways that show. It makes masks hard before it shrinks them to the latents, by taking every
//! eighth pixel, where A1111 shrinks them smoothly and makes them hard then. It puts the kept latents back under the
//! first noise after each step, where A1111 puts them into what the network sees at each evaluation; with samplers that
//! add no noise that is the same. And it decodes kept parts anew, where A1111 lays the picture's own pixels over them.
//! A1111 is followed, but that networks made for inpainting are left alone with their mask, as in diffusers.

use crate::error::EngineError;
use crate::picture::{Mask, Region, Rgb, filled, softened};
use candle_core::{Device, Tensor};
use paintbox_domain::generation::{InitImage, Inpaint, InpaintArea, MaskedContent, PaintSettings};

/// What is painted over, at the size of the painting.
#[derive(Debug)]
pub(crate) struct Canvas {
    pub(crate) image: Rgb,
    /// Absent where all of it is painted.
    pub(crate) masked: Option<Masked>,
}

#[derive(Debug)]
pub(crate) struct Masked {
    content: MaskedContent,
    /// Softened, at the size of the painting.
    mask: Mask,
    /// What was given, and how much of the painting is seen where.
    original: Rgb,
    seen: Mask,
    /// The part of the original that the painting is of.
    region: Option<Region>,
}

impl Canvas {
    /// # Errors
    /// When bytes are missing, or nothing is masked.
    pub(crate) fn new(init: &InitImage, settings: &PaintSettings) -> Result<Self, EngineError> {
        let image = Rgb::new("init image bytes", init.width, init.height, init.rgb.clone())?;
        let Some(inpaint) = &init.inpaint else { return Ok(Self { image, masked: None }) };
        let mask = given_mask(init, inpaint)?;
        let (width, height) = (settings.width as usize, settings.height as usize);
        let (padding, is_part) = match inpaint.area {
            InpaintArea::Whole => (0, false),
            InpaintArea::OnlyMasked { padding } => (padding as usize, true),
        };
        // Also says that there is something to paint.
        let region = Region::around(&mask, padding, width, height)?;
        let masked = if is_part {
            let part = mask.cropped(region).inside(width, height)?;
            Masked { content: inpaint.content, mask: part, original: image, seen: mask, region: Some(region) }
        } else {
            // The soft edge lies outside of the mask, where the painting fades out.
            let doubled = mask.bytes.iter().map(|byte| byte.saturating_mul(2)).collect();
            let seen = Mask { bytes: doubled, ..mask };
            Masked { content: inpaint.content, mask, original: image, seen, region: None }
        };
        let mut image = match masked.region {
            Some(region) => masked.original.cropped(region).inside(width, height)?,
            None => masked.original.clone(),
        };
        if masked.content != MaskedContent::Original {
            image = filled(&image, &masked.mask);
        }
        Ok(Self { image, masked: Some(masked) })
    }

    /// The whole picture, now that its part is painted.
    pub(crate) fn finished(&self, painted: Rgb) -> Result<Rgb, EngineError> {
        let Some(masked) = &self.masked else { return Ok(painted) };
        let Some(region) = masked.region else { return Ok(masked.original.under(&painted, &masked.seen)) };
        let part = painted.covering(region.width(), region.height())?;
        Ok(masked.original.under(&masked.original.with(&part, region), &masked.seen))
    }
}

impl Masked {
    pub(crate) const fn content(&self) -> MaskedContent {
        self.content
    }

    /// 1 where latents are painted, 0 where they stay: `[1, 1, height, width]`.
    pub(crate) fn of_latents(&self, height: usize, width: usize) -> Result<Tensor, EngineError> {
        hard(&self.mask.resized_bicubic(width, height)?).map_err(EngineError::computing("shrinking the mask"))
    }

    /// 1 where pixels are painted, 0 where they stay: `[1, 1, height, width]`.
    pub(crate) fn of_pixels(&self) -> candle_core::Result<Tensor> {
        hard(&self.mask)
    }
}

fn hard(mask: &Mask) -> candle_core::Result<Tensor> {
    let values: Vec<f32> = mask.bytes.iter().map(|byte| if *byte > 127 { 1.0 } else { 0.0 }).collect();
    Tensor::from_vec(values, (1, 1, mask.height, mask.width), &Device::Cpu)
}

fn given_mask(init: &InitImage, inpaint: &Inpaint) -> Result<Mask, EngineError> {
    let mut mask = Mask::new("mask bytes", init.width, init.height, inpaint.mask.clone())?;
    if inpaint.invert {
        mask.bytes.iter_mut().for_each(|byte| *byte = u8::MAX - *byte);
    }
    Ok(softened(mask, inpaint.blur))
}
