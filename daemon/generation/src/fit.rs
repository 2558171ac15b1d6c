//! Pictures that front ends give, brought to the size of what is to be painted: the engine paints over pictures of exactly
//! that size, and A1111 and OpenAI take any.

use crate::error::GenerationError;
use crate::given::LEAST_OPAQUE;
use crate::recipe::EncodeError;
use image::codecs::png::PngEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage, RgbaImage};
use paintbox_domain::generation::PictureFormat;
use paintbox_store::preview::{Limits, Pixels, Preview, decode_preview};

/// How a picture of other proportions is brought to a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// A1111's "Just resize".
    Stretched,
    /// As much of the middle as fits: A1111's "Crop and resize".
    Cropped,
}

/// The picture at a size of so many pixels, as a PNG; the bytes themselves where it has that size already.
///
/// # Errors
/// When the picture cannot be decoded.
pub fn fitted(picture: &[u8], (width, height): (u32, u32), fit: Fit) -> Result<Vec<u8>, GenerationError> {
    let preview = decode_preview(picture, &Limits::default()).map_err(GenerationError::InitImage)?;
    if (preview.width, preview.height) == (width, height) {
        return Ok(picture.to_vec());
    }
    let image = image_of(preview)?;
    let image = match fit {
        Fit::Stretched => image.resize_exact(width, height, FilterType::Lanczos3),
        Fit::Cropped => image.resize_to_fill(width, height, FilterType::Lanczos3),
    };
    let mut bytes = Vec::new();
    let failed = |source| EncodeError::Other { format: PictureFormat::Png, width, height, source };
    image.write_with_encoder(PngEncoder::new(&mut bytes)).map_err(failed)?;
    Ok(bytes)
}

/// Whether a mask leaves anything out, as masks are read: whether any of it is transparent.
#[must_use]
pub fn has_transparency(picture: &[u8]) -> bool {
    match decode_preview(picture, &Limits::default()) {
        Ok(Preview { pixels: Pixels::Rgba8(rgba), .. }) => rgba.chunks_exact(4).any(|pixel| pixel[3] < LEAST_OPAQUE),
        Ok(Preview { pixels: Pixels::Rgb8(_), .. }) | Err(_) => false,
    }
}

fn image_of(preview: Preview) -> Result<DynamicImage, GenerationError> {
    let (width, height) = (preview.width, preview.height);
    let bytes = match &preview.pixels {
        Pixels::Rgb8(bytes) | Pixels::Rgba8(bytes) => bytes.len(),
    };
    let image = match preview.pixels {
        Pixels::Rgb8(rgb) => RgbImage::from_raw(width, height, rgb).map(DynamicImage::from),
        Pixels::Rgba8(rgba) => RgbaImage::from_raw(width, height, rgba).map(DynamicImage::from),
    };
    Ok(image.ok_or(EncodeError::Buffer { width, height, bytes })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_with_encoder(PngEncoder::new(&mut bytes)).unwrap();
        bytes
    }

    /// The left half red, the right half blue.
    fn halves(width: u32, height: u32) -> Vec<u8> {
        let colour = |x| if x < width / 2 { image::Rgb([255, 0, 0]) } else { image::Rgb([0, 0, 255]) };
        png(&RgbImage::from_fn(width, height, |x, _| colour(x)).into())
    }

    #[test]
    fn a_picture_of_the_right_size_is_left_as_it_is() {
        let picture = halves(16, 8);
        assert_eq!(fitted(&picture, (16, 8), Fit::Stretched).unwrap(), picture);
    }

    #[test]
    fn other_proportions_are_stretched_or_cropped() {
        let picture = halves(64, 16);
        for (fit, red_at_left) in [(Fit::Stretched, true), (Fit::Cropped, true)] {
            let fitted = image::load_from_memory(&fitted(&picture, (16, 16), fit).unwrap()).unwrap().into_rgb8();
            assert_eq!(fitted.dimensions(), (16, 16));
            assert_eq!(fitted.get_pixel(0, 8).0[0] > 200, red_at_left, "{fit:?}");
            assert!(fitted.get_pixel(15, 8).0[2] > 200);
        }
        // Of a wide picture whose ends are red, the middle is all that is left of it.
        let ends =
            RgbImage::from_fn(64, 16, |x, _| image::Rgb(if (20..44).contains(&x) { [0, 0, 255] } else { [255, 0, 0] }));
        let red = |fit| {
            let fitted = image::load_from_memory(&fitted(&png(&ends.clone().into()), (16, 16), fit).unwrap()).unwrap();
            fitted.into_rgb8().pixels().any(|pixel| pixel.0[0] > 200)
        };
        assert!(red(Fit::Stretched) && !red(Fit::Cropped));
    }

    #[test]
    fn transparency_outlasts_a_change_of_size() {
        let mask = RgbaImage::from_fn(8, 8, |x, _| image::Rgba([0, 0, 0, if x < 4 { 0 } else { 255 }]));
        let mask = fitted(&png(&mask.into()), (32, 32), Fit::Stretched).unwrap();
        assert!(has_transparency(&mask));
        assert!(!has_transparency(&halves(8, 8)) && !has_transparency(b"no picture"));
        let nearly = RgbaImage::from_pixel(8, 8, image::Rgba([0, 0, 0, LEAST_OPAQUE]));
        assert!(!has_transparency(&png(&nearly.into())));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let error = fitted(b"GIF89a and nothing", (8, 8), Fit::Stretched).unwrap_err();
        assert!(matches!(error, GenerationError::InitImage(_)), "{error}");
    }
}
