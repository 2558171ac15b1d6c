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

    /// A picture that leads the painting, at the size of the painting: as much of its middle as fits, or where a part is
    /// cut out of a picture of its size, that part of it (sd-webui-controlnet, "Crop input image based on A1111 mask").
    pub(crate) fn beside(canvas: Option<&Self>, picture: &Rgb, settings: &PaintSettings) -> Result<Rgb, EngineError> {
        let (width, height) = (settings.width as usize, settings.height as usize);
        let masked = canvas.and_then(|canvas| canvas.masked.as_ref());
        match masked.and_then(|masked| Some((&masked.original, masked.region?))) {
            Some((original, region)) if (original.width, original.height) == (picture.width, picture.height) => {
                picture.cropped(region).inside(width, height)
            }
            _ => picture.covering(width, height),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{blueprint, index};
    use crate::settings::defaults;
    use crate::testing::single_file;

    #[test]
    fn a_picture_beside_follows_the_part_that_is_cut_out() {
        let settings = defaults(&blueprint(&index(&single_file()).unwrap()).unwrap(), &[], &[]);
        let mask = (0..100 * 80).map(|at| if at % 100 >= 90 && at / 100 >= 70 { 255 } else { 0 }).collect();
        let (blur, content, area) = (0, MaskedContent::Original, InpaintArea::OnlyMasked { padding: 0 });
        let inpaint = Inpaint { mask, invert: false, blur, content, area };
        let rgb = vec![0; 100 * 80 * 3];
        let init = InitImage { width: 100, height: 80, rgb: rgb.clone(), strength: None, inpaint: Some(inpaint) };
        let canvas = Canvas::new(&init, &settings).unwrap();
        // White in the corner that is cut out.
        let white = |at: usize| if at % 100 >= 90 && at / 100 >= 70 { [255; 3] } else { [0; 3] };
        let picture = Rgb { width: 100, height: 80, bytes: (0..100 * 80).flat_map(white).collect() };
        let followed = Canvas::beside(Some(&canvas), &picture, &settings).unwrap();
        assert_eq!((followed.width, followed.height), (64, 64));
        assert!(followed.bytes.iter().all(|byte| *byte == 255));
        let whole = Canvas::beside(None, &picture, &settings).unwrap();
        assert!(whole.bytes.iter().filter(|byte| **byte == 255).count() < 1000);
    }
}
