//! Decoding within limits.

use super::cost::Cost;
use super::format::looks_like;
use super::{Pixels, Preview, PreviewError, PreviewFormat, cost};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader};
use std::io::Cursor;

/// What a preview may cost to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_side_px: u32,
    pub max_pixels: u64,
    /// Memory for one picture at any one time: its pixels, their copies on the way to eight bits and the right way up,
    /// and what the decoder needs besides.
    pub max_alloc_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_side_px: 16_384, max_pixels: 64_000_000, max_alloc_bytes: 256 * 1024 * 1024 }
    }
}

/// Decodes a picture; of an animation, its first frame.
///
/// # Errors
/// Any [`PreviewError`] but `Resize`, `Encode` and `Store`; what is too large is refused before it is decoded.
pub fn decode_preview(bytes: &[u8], limits: &Limits) -> Result<Preview, PreviewError> {
    let format =
        PreviewFormat::sniff(bytes).ok_or_else(|| PreviewError::NotAPicture { looks_like: looks_like(bytes) })?;
    let undecodable = |source| PreviewError::Undecodable { format, source };
    if format == PreviewFormat::Jpeg && !cost::jpeg_has_end(bytes) {
        return Err(PreviewError::CutShort);
    }

    let mut decoder_limits = image::Limits::default();
    decoder_limits.max_alloc = Some(limits.max_alloc_bytes);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.decoder_format());
    reader.limits(decoder_limits.clone());
    let mut decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if width > limits.max_side_px || height > limits.max_side_px || pixels > limits.max_pixels {
        return Err(PreviewError::TooLarge { width, height, limits: *limits });
    }
    // Metadata that cannot be read is no reason to refuse pixels that can.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let cost = Cost {
        pixels,
        decoded_bytes: decoder.total_bytes(),
        color: decoder.color_type(),
        is_turned: is_turned(orientation),
        scratch_bytes: cost::scratch_bytes(format, bytes, pixels),
    };
    if cost.bytes() > limits.max_alloc_bytes {
        let (needed_bytes, max_alloc_bytes) = (cost.bytes(), limits.max_alloc_bytes);
        return Err(PreviewError::TooMuchMemory { width, height, needed_bytes, max_alloc_bytes });
    }
    // As the reader's own `decode` does: the picture's buffer counts as well.
    decoder_limits
        .reserve(decoder.total_bytes())
        .and_then(|()| decoder.set_limits(decoder_limits))
        .map_err(undecodable)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    let mut image = if decoded.color().has_alpha() {
        DynamicImage::from(decoded.into_rgba8())
    } else {
        DynamicImage::from(decoded.into_rgb8())
    };
    image.apply_orientation(orientation);

    let (width, height) = (image.width(), image.height());
    let pixels = match image {
        DynamicImage::ImageRgba8(image) => Pixels::Rgba8(image.into_raw()),
        image => Pixels::Rgb8(image.into_rgb8().into_raw()),
    };
    Ok(Preview { format, width, height, pixels })
}

/// Whether sides change places, which needs a second picture; all else is done in place.
fn is_turned(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}
