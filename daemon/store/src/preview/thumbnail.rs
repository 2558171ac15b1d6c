//! Small copies of a picture.

use super::{Pixels, Preview, PreviewError, PreviewFormat};
use fast_image_resize::Resizer;
use fast_image_resize::images::{Image, ImageRef};
use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use std::borrow::Cow;

/// A copy whose longer side is at most `max_side_px`; a smaller picture stays as it is.
///
/// # Errors
/// [`PreviewError::Resize`].
pub(super) fn shrunk(preview: &Preview, max_side_px: u32) -> Result<Cow<'_, Preview>, PreviewError> {
    let (width, height) = fit(preview.width, preview.height, max_side_px.max(1));
    if (width, height) == (preview.width, preview.height) {
        return Ok(Cow::Borrowed(preview));
    }
    let pixels = shrink(preview, width, height)?;
    Ok(Cow::Owned(Preview { format: preview.format, width, height, pixels }))
}

/// Lossless WebP, or PNG where that is smaller.
///
/// # Errors
/// [`PreviewError::Encode`].
pub(super) fn encoded(picture: &Preview) -> Result<(Vec<u8>, PreviewFormat), PreviewError> {
    let Preview { width, height, pixels, .. } = picture;
    let (width, height, color) = (*width, *height, pixels.encode_type());
    let failed = |source| PreviewError::Encode { width, height, source };
    let mut webp = Vec::new();
    WebPEncoder::new_lossless(&mut webp).write_image(pixels.bytes(), width, height, color).map_err(failed)?;
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive)
        .write_image(pixels.bytes(), width, height, color)
        .map_err(failed)?;
    Ok(if png.len() < webp.len() { (png, PreviewFormat::Png) } else { (webp, PreviewFormat::WebP) })
}

fn fit(width: u32, height: u32, max_side_px: u32) -> (u32, u32) {
    let longer = width.max(height);
    if longer <= max_side_px {
        return (width, height);
    }
    let scaled = |side: u32| {
        let rounded = (u64::from(side) * u64::from(max_side_px) + u64::from(longer) / 2) / u64::from(longer);
        u32::try_from(rounded).expect("a side no longer than the longer one scales to at most max_side_px").max(1)
    };
    (scaled(width), scaled(height))
}

fn shrink(preview: &Preview, width: u32, height: u32) -> Result<Pixels, PreviewError> {
    let kind = preview.pixels.resize_type();
    let source = ImageRef::new(preview.width, preview.height, preview.pixels.bytes(), kind)
        .expect("a decoded picture has as many bytes as its sides say");
    let mut small = Image::new(width, height, kind);
    // The default is Lanczos with three lobes, and colours weighted by alpha.
    Resizer::new().resize(&source, &mut small, None).map_err(|source| PreviewError::Resize {
        width: preview.width,
        height: preview.height,
        source,
    })?;
    let bytes = small.into_vec();
    Ok(match preview.pixels {
        Pixels::Rgb8(_) => Pixels::Rgb8(bytes),
        Pixels::Rgba8(_) => Pixels::Rgba8(bytes),
    })
}
