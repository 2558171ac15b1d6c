//! Pictures that a request gives, from the store to what an engine takes.

use crate::error::GenerationError;
use crate::recipe::parameters_of;
use crate::resolve::ControlNetWeights;
use paintbox_domain::Sha256;
use paintbox_domain::generation::{
    ControlImage, ControlNetFile, ControlNetUse, GenerationSpec, InitImage, Inpaint, InpaintArea, InpaintUse,
    MaskedContent, PaintedImage,
};
use paintbox_store::Store;
use paintbox_store::preview::{Limits, Pixels, Preview, decode_preview};
use std::io::Read as _;

/// A1111's.
const DEFAULT_BLUR_PIXELS: u32 = 4;
/// A1111's.
const DEFAULT_PADDING_PIXELS: u32 = 32;
/// From here on A1111 takes a drawn pixel for a part of the mask.
pub(crate) const LEAST_OPAQUE: u8 = 129;

/// All images that a request names.
pub(crate) fn assets(spec: &GenerationSpec) -> impl Iterator<Item = Sha256> {
    let mask = spec.inpaint.as_ref().map(|inpaint| inpaint.mask);
    spec.init_image.into_iter().chain(mask).chain(spec.controls.iter().map(|control| control.image))
}

/// A ControlNet with the image that it leads by.
///
/// # Errors
/// When the image is not there or cannot be read.
pub(crate) fn control(
    store: &Store,
    control: &ControlNetUse,
    weights: ControlNetWeights,
) -> Result<ControlNetFile, GenerationError> {
    let Preview { width, height, pixels, .. } = decoded(store, control.image, GenerationError::ControlImage)?;
    let ControlNetWeights { file, name, config } = weights;
    Ok(ControlNetFile {
        name,
        path: file.path,
        sha256: file.sha256,
        config,
        image: ControlImage { width, height, rgb: opaque(pixels) },
        canny: control.canny,
        strength: control.strength.unwrap_or(1.0),
        start: control.start.unwrap_or(0.0),
        end: control.end.unwrap_or(1.0),
    })
}

/// The image to start from, and which part of it is painted.
///
/// # Errors
/// When an image is not there or cannot be read, or the mask is of another size.
pub(crate) fn init_image(store: &Store, spec: &GenerationSpec) -> Result<Option<InitImage>, GenerationError> {
    let Some(sha256) = spec.init_image else { return Ok(None) };
    let image = decoded(store, sha256, GenerationError::InitImage)?;
    let (width, height) = (image.width, image.height);
    let inpaint = spec.inpaint.as_ref().map(|inpaint| masked(store, inpaint, (width, height))).transpose()?;
    Ok(Some(InitImage { width, height, rgb: opaque(image.pixels), strength: spec.strength, inpaint }))
}

/// The image to make larger, and what it says of how it was made.
///
/// # Errors
/// When the image is not there or cannot be read.
pub(crate) fn with_recipe(store: &Store, spec: &GenerationSpec) -> Result<(PaintedImage, String), GenerationError> {
    let problem = || "there is no picture to make larger".to_owned();
    let sha256 = spec.init_image.ok_or_else(|| GenerationError::Invalid { field: "init_image", problem: problem() })?;
    let bytes = read(store, sha256)?;
    let Preview { width, height, pixels, .. } =
        decode_preview(&bytes, &Limits::default()).map_err(GenerationError::InitImage)?;
    let image = PaintedImage { seed: spec.seed.unwrap_or_default(), width, height, rgb: opaque(pixels) };
    Ok((image, parameters_of(&bytes)))
}

fn masked(store: &Store, inpaint: &InpaintUse, size: (u32, u32)) -> Result<Inpaint, GenerationError> {
    let image = decoded(store, inpaint.mask, GenerationError::Mask)?;
    if (image.width, image.height) != size {
        let problem = format!(
            "it has {}×{} pixels and must have those of the init image, {}×{}",
            image.width, image.height, size.0, size.1
        );
        return Err(GenerationError::Invalid { field: "inpaint.mask", problem });
    }
    let padding = inpaint.padding.unwrap_or(DEFAULT_PADDING_PIXELS);
    Ok(Inpaint {
        mask: mask(&image.pixels),
        invert: inpaint.invert,
        blur: inpaint.blur.unwrap_or(DEFAULT_BLUR_PIXELS),
        content: inpaint.content.unwrap_or(MaskedContent::Original),
        area: if inpaint.only_masked { InpaintArea::OnlyMasked { padding } } else { InpaintArea::Whole },
    })
}

fn decoded(
    store: &Store,
    sha256: Sha256,
    unreadable: fn(paintbox_store::preview::PreviewError) -> GenerationError,
) -> Result<Preview, GenerationError> {
    decode_preview(&read(store, sha256)?, &Limits::default()).map_err(unreadable)
}

fn read(store: &Store, sha256: Sha256) -> Result<Vec<u8>, GenerationError> {
    let mut bytes = Vec::new();
    let read = store.open_blob(&sha256)?.read_to_end(&mut bytes);
    read.map_err(|source| GenerationError::AssetUnreadable { sha256, source })?;
    Ok(bytes)
}

/// The pixels over white: networks know no transparency.
fn opaque(pixels: Pixels) -> Vec<u8> {
    let over_white = |channel: u8, alpha: u8| {
        let (channel, alpha) = (u32::from(channel), u32::from(alpha));
        u8::try_from((channel * alpha + 255 * (255 - alpha) + 127) / 255).unwrap_or(u8::MAX)
    };
    match pixels {
        Pixels::Rgb8(rgb) => rgb,
        Pixels::Rgba8(rgba) => {
            rgba.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]].map(|channel| over_white(channel, p[3]))).collect()
        }
    }
}

/// A mask of an image as A1111 reads it (`modules/processing.py`, `create_binary_mask`): what was drawn on a transparent
/// ground, or how light an opaque image is.
fn mask(pixels: &Pixels) -> Vec<u8> {
    match pixels {
        Pixels::Rgba8(rgba) if rgba.chunks_exact(4).any(|p| p[3] < u8::MAX) => {
            rgba.chunks_exact(4).map(|p| if p[3] >= LEAST_OPAQUE { u8::MAX } else { 0 }).collect()
        }
        Pixels::Rgba8(rgba) => rgba.chunks_exact(4).map(|p| lightness(p[0], p[1], p[2])).collect(),
        Pixels::Rgb8(rgb) => rgb.chunks_exact(3).map(|p| lightness(p[0], p[1], p[2])).collect(),
    }
}

/// ITU-R BT.601 in Pillow's whole numbers.
fn lightness(red: u8, green: u8, blue: u8) -> u8 {
    let sum = u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000;
    u8::try_from(sum >> 16).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_what_was_drawn_or_how_light_the_image_is() {
        let drawn = vec![0, 0, 0, 255, 255, 255, 255, 128, 255, 255, 255, 129, 9, 9, 9, 0];
        assert_eq!(mask(&Pixels::Rgba8(drawn)), [255, 0, 255, 0]);
        let opaque = vec![0, 0, 0, 255, 255, 255, 255, 255, 255, 0, 0, 255];
        assert_eq!(mask(&Pixels::Rgba8(opaque)), [0, 255, 76]);
        assert_eq!(mask(&Pixels::Rgb8(vec![0, 255, 0, 0, 0, 255, 128, 128, 128])), [150, 29, 128]);
    }

    #[test]
    fn what_is_transparent_is_white() {
        assert_eq!(opaque(Pixels::Rgba8(vec![0, 0, 0, 0, 10, 20, 30, 255])), [255, 255, 255, 10, 20, 30]);
    }
}
