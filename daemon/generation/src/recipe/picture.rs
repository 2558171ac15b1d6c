//! A painted picture as a file that carries its recipe.
//!
//! Where the recipe lies: AUTOMATIC1111/stable-diffusion-webui 1.10, `modules/images.py` `save_image_with_geninfo`.

use super::exif;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};
use paintbox_domain::generation::{PaintPreview, PaintedImage, PictureFormat};

/// A JPEG's quality when nobody says.
const USUAL_QUALITY: u8 = 90;
/// A segment of a JPEG tells its length, with itself, in two bytes, and one of EXIF begins with six more.
const MOST_EXIF_BYTES_OF_JPEG: usize = 65_535 - 2 - 6;

/// A picture could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("{bytes} bytes are no {width}×{height} picture")]
    Buffer { width: u32, height: u32, bytes: usize },
    #[error("a JPEG has no room for a recipe of {bytes} bytes; {} is the most", MOST_EXIF_BYTES_OF_JPEG)]
    RecipeTooLong { bytes: usize },
    #[error("cannot write a {width}×{height} picture as PNG")]
    Png {
        width: u32,
        height: u32,
        #[source]
        source: png::EncodingError,
    },
    #[error("cannot write a {width}×{height} picture as {format}")]
    Other {
        format: PictureFormat,
        width: u32,
        height: u32,
        #[source]
        source: ImageError,
    },
}

/// The bytes that prompts take in a recipe of this format, and the most that fit beside the
/// settings; none where everything fits.
pub(crate) fn most_recipe_bytes<'a>(
    format: PictureFormat,
    prompts: impl Iterator<Item = &'a str>,
) -> Option<(usize, usize)> {
    /// Kept free for settings and the names and digests of a few dozen LoRAs.
    const SETTINGS_BYTES: usize = 8 * 1024;
    let units = prompts.map(|prompt| prompt.encode_utf16().count()).sum();
    match format {
        PictureFormat::Png | PictureFormat::Webp => None,
        PictureFormat::Jpeg => Some((exif::block_bytes(units), MOST_EXIF_BYTES_OF_JPEG - SETTINGS_BYTES)),
    }
}

/// A preview as a JPEG of at most so many bytes, for which it is made smaller; none if its bytes are no picture.
#[must_use]
pub fn preview_jpeg(preview: &PaintPreview, most_bytes: usize) -> Option<Vec<u8>> {
    /// Pixels of a side.
    const LARGEST_SIDE: u32 = 1024;
    const QUALITY: u8 = 80;
    let image = image::RgbImage::from_raw(preview.width, preview.height, preview.rgb.clone())?;
    let image = image::DynamicImage::from(image);
    let mut side = image.width().max(image.height()).min(LARGEST_SIDE);
    while side > 0 {
        let is_smaller = image.width().max(image.height()) > side;
        let shown = if is_smaller { image.thumbnail(side, side) } else { image.clone() };
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&shown.into_rgb8()).ok()?;
        if bytes.len() <= most_bytes {
            return Some(bytes);
        }
        side /= 2;
    }
    None
}

/// A preview as it is, as a file of this format that says nothing of how it was made; none if its bytes are no picture.
#[must_use]
pub fn preview_as(preview: &PaintPreview, format: PictureFormat) -> Option<Vec<u8>> {
    let PaintPreview { width, height, ref rgb, .. } = *preview;
    encode(&PaintedImage { seed: 0, width, height, rgb: rgb.clone() }, format, None, "").ok()
}

/// The picture as 8-bit RGB with its recipe. `quality` is a JPEG's, and none means the usual one.
///
/// # Errors
/// When the pixel buffer does not fit the size, or the recipe is longer than a JPEG can hold.
pub(crate) fn encode(
    image: &PaintedImage,
    format: PictureFormat,
    quality: Option<u8>,
    parameters: &str,
) -> Result<Vec<u8>, EncodeError> {
    let (width, height) = (image.width, image.height);
    let bytes = image.rgb.len();
    if u64::try_from(bytes).ok() != u64::from(width).checked_mul(u64::from(height)).and_then(|n| n.checked_mul(3)) {
        return Err(EncodeError::Buffer { width, height, bytes });
    }
    // Zeroes end texts in some readers, and prompts mean nothing by them.
    let parameters = parameters.replace('\0', " ");
    let mut file = Vec::with_capacity(bytes / 2);
    match format {
        PictureFormat::Png => png(image, &parameters, &mut file)?,
        PictureFormat::Jpeg => {
            let block = exif::with_user_comment(&parameters);
            if block.len() > MOST_EXIF_BYTES_OF_JPEG {
                return Err(EncodeError::RecipeTooLong { bytes: block.len() });
            }
            let encoder = JpegEncoder::new_with_quality(&mut file, quality.unwrap_or(USUAL_QUALITY));
            with_exif(encoder, block, image, format)?;
        }
        PictureFormat::Webp => {
            let block = exif::with_user_comment(&parameters);
            with_exif(WebPEncoder::new_lossless(&mut file), block, image, format)?;
        }
    }
    Ok(file)
}

fn with_exif(
    mut encoder: impl ImageEncoder,
    block: Vec<u8>,
    image: &PaintedImage,
    format: PictureFormat,
) -> Result<(), EncodeError> {
    let (width, height) = (image.width, image.height);
    let failed = |source| EncodeError::Other { format, width, height, source };
    encoder.set_exif_metadata(block).map_err(|error| failed(ImageError::Unsupported(error)))?;
    encoder.write_image(&image.rgb, width, height, ExtendedColorType::Rgb8).map_err(failed)
}

/// Text outside Latin-1 goes into an `iTXt` chunk, the rest into `tEXt`, as PNG (third edition, 11.3.3) wants and as
/// Pillow does for A1111.
fn png(image: &PaintedImage, parameters: &str, file: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (width, height) = (image.width, image.height);
    let failed = |source| EncodeError::Png { width, height, source };
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let latin1 = parameters.chars().all(|c| u32::from(c) < 256);
    if latin1 {
        encoder.add_text_chunk("parameters".to_owned(), parameters.to_owned()).map_err(failed)?;
    } else {
        encoder.add_itxt_chunk("parameters".to_owned(), parameters.to_owned()).map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&image.rgb).map_err(failed)?;
    writer.finish().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::ImageFormat;

    fn gradient(width: u32, height: u32) -> PaintedImage {
        let channel = |i: u32| u8::try_from(i % 256).unwrap();
        let rgb = (0..width * height).flat_map(|i| [channel(i), channel(i / 2), channel(255 - i % 256)]).collect();
        PaintedImage { seed: 1, width, height, rgb }
    }

    #[test]
    fn every_format_keeps_the_picture() {
        let image = gradient(16, 9);
        for (format, kind) in [
            (PictureFormat::Png, ImageFormat::Png),
            (PictureFormat::Jpeg, ImageFormat::Jpeg),
            (PictureFormat::Webp, ImageFormat::WebP),
        ] {
            let file = encode(&image, format, None, "red heart\nSteps: 1").unwrap();
            assert_eq!(image::guess_format(&file).unwrap(), kind);
            let decoded = image::load_from_memory(&file).unwrap().to_rgb8();
            assert_eq!(decoded.dimensions(), (16, 9));
            if format == PictureFormat::Jpeg {
                let difference: u32 = decoded.iter().zip(&image.rgb).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
                assert!(difference / (16 * 9 * 3) < 20, "{difference}");
            } else {
                assert_eq!(decoded.as_raw(), &image.rgb, "{format} is without loss");
            }
        }
    }

    #[test]
    fn a_better_quality_takes_more_bytes() {
        let image = gradient(64, 64);
        let bytes = |quality| encode(&image, PictureFormat::Jpeg, quality, "x").unwrap().len();
        assert!(bytes(Some(30)) < bytes(None) && bytes(None) < bytes(Some(100)));
        assert_eq!(bytes(None), bytes(Some(USUAL_QUALITY)));
    }

    #[test]
    fn a_jpeg_takes_a_recipe_up_to_the_last_byte_and_no_more() {
        let image = gradient(8, 8);
        let fits = (MOST_EXIF_BYTES_OF_JPEG - exif::block_bytes(0)) / 2;
        assert!(encode(&image, PictureFormat::Jpeg, None, &"x".repeat(fits)).is_ok());
        let error = encode(&image, PictureFormat::Jpeg, None, &"x".repeat(fits + 1)).unwrap_err();
        assert!(matches!(error, EncodeError::RecipeTooLong { .. }), "{error}");
        assert!(encode(&image, PictureFormat::Webp, None, &"x".repeat(fits + 1)).is_ok());
    }

    #[test]
    fn a_wrong_buffer_is_an_error_not_a_panic() {
        let image = PaintedImage { seed: 1, width: 2, height: 2, rgb: vec![0; 3] };
        for format in PictureFormat::ALL {
            assert!(matches!(encode(&image, *format, None, "x"), Err(EncodeError::Buffer { .. })));
        }
        let nothing = PaintedImage { seed: 1, width: 0, height: 0, rgb: Vec::new() };
        for format in PictureFormat::ALL {
            assert!(encode(&nothing, *format, None, "x").is_err());
        }
    }
}
