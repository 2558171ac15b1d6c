//! Example pictures from strangers: what they are is read from their bytes, they are decoded within limits, and a
//! thumbnail is made of them.
//!
//! A hub says "image" of videos, pages of text and pictures made to fill a memory. Only PNG, JPEG, WebP and GIF are
//! decoded, all by Rust code; dimensions are checked before a pixel is. The original is kept as it came, because
//! pictures carry their generation data in metadata that no re-encoding keeps.

use crate::{Blob, Store, StoreError};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{PixelType, Resizer};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat, ImageReader};
use paintbox_domain::{Classify, ErrorClass, reason};
use std::io::Cursor;

/// The longer side of a stored thumbnail, in pixels.
pub const THUMBNAIL_MAX_SIDE_PX: u32 = 512;

/// What a preview may cost to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_side_px: u32,
    pub max_pixels: u64,
    /// Memory for one picture's decoded pixels, and for what its decoder needs besides.
    pub max_alloc_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_side_px: 16_384, max_pixels: 64_000_000, max_alloc_bytes: 256 * 1024 * 1024 }
    }
}

/// A picture format that previews may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviewFormat {
    Png,
    Jpeg,
    WebP,
    Gif,
}

impl PreviewFormat {
    /// The format that the first bytes show.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Self::WebP)
        } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
            Some(Self::Gif)
        } else {
            None
        }
    }

    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
        }
    }

    fn decoder_format(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg => ImageFormat::Jpeg,
            Self::WebP => ImageFormat::WebP,
            Self::Gif => ImageFormat::Gif,
        }
    }
}

/// Decoded pixels, row by row from the top, eight bits a channel.
#[derive(Clone, PartialEq, Eq)]
pub enum Pixels {
    Rgb8(Vec<u8>),
    /// Alpha is not premultiplied.
    Rgba8(Vec<u8>),
}

impl Pixels {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Rgb8(bytes) | Self::Rgba8(bytes) => bytes,
        }
    }

    fn resize_type(&self) -> PixelType {
        match self {
            Self::Rgb8(_) => PixelType::U8x3,
            Self::Rgba8(_) => PixelType::U8x4,
        }
    }

    fn encode_type(&self) -> ExtendedColorType {
        match self {
            Self::Rgb8(_) => ExtendedColorType::Rgb8,
            Self::Rgba8(_) => ExtendedColorType::Rgba8,
        }
    }
}

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Rgb8(_) => "Rgb8",
            Self::Rgba8(_) => "Rgba8",
        };
        write!(f, "{name}({} bytes)", self.bytes().len())
    }
}

/// A decoded picture, turned the way its EXIF orientation asks for. Of an animation, its first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    pub format: PreviewFormat,
    pub width: u32,
    pub height: u32,
    pub pixels: Pixels,
}

/// A small encoded copy of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    pub bytes: Vec<u8>,
    pub media_type: &'static str,
    pub width: u32,
    pub height: u32,
}

/// A picture in the store, as it came and small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPreview {
    pub original: Blob,
    pub thumbnail: Blob,
    pub media_type: &'static str,
    /// Pixels as shown, after orientation.
    pub width: u32,
    pub height: u32,
    pub thumbnail_media_type: &'static str,
    pub thumbnail_width: u32,
    pub thumbnail_height: u32,
}

/// A preview that was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreviewError {
    #[error("{looks_like} is not a picture that previews may have (PNG, JPEG, WebP or GIF)")]
    NotAPicture { looks_like: &'static str },
    #[error("a picture of {width} × {height} pixels is larger than previews may be")]
    TooLarge { width: u32, height: u32, limits: Limits },
    #[error("the {} picture cannot be decoded", format.media_type())]
    Undecodable {
        format: PreviewFormat,
        #[source]
        source: ImageError,
    },
    #[error("the image/jpeg picture ends before its end marker")]
    CutShort,
    #[error("a picture of {width} × {height} pixels cannot be made smaller")]
    Resize {
        width: u32,
        height: u32,
        #[source]
        source: fast_image_resize::ResizeError,
    },
    #[error("a thumbnail of {width} × {height} pixels cannot be encoded")]
    Encode {
        width: u32,
        height: u32,
        #[source]
        source: ImageError,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for PreviewError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotAPicture { .. } => ErrorClass::Unsupported,
            Self::TooLarge { .. } | Self::Undecodable { source: ImageError::Limits(_), .. } => ErrorClass::InvalidInput,
            Self::Undecodable { .. } | Self::CutShort => ErrorClass::DataLoss,
            Self::Resize { .. } | Self::Encode { .. } => ErrorClass::Internal,
            Self::Store(error) => error.class(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotAPicture { .. } | Self::TooLarge { .. } | Self::Undecodable { .. } | Self::CutShort => {
                reason::PREVIEW_REFUSED
            }
            Self::Resize { .. } | Self::Encode { .. } => reason::INTERNAL,
            Self::Store(error) => error.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAPicture { .. }
            | Self::TooLarge { .. }
            | Self::Undecodable { .. }
            | Self::CutShort
            | Self::Resize { .. }
            | Self::Encode { .. } => None,
            Self::Store(error) => error.hint(),
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        let size = |width: &u32, height: &u32| vec![("width", width.to_string()), ("height", height.to_string())];
        match self {
            Self::NotAPicture { looks_like } => vec![("looks_like", (*looks_like).to_owned())],
            Self::TooLarge { width, height, limits } => {
                let mut metadata = size(width, height);
                metadata.push(("max_side_px", limits.max_side_px.to_string()));
                metadata.push(("max_pixels", limits.max_pixels.to_string()));
                metadata.push(("max_alloc_bytes", limits.max_alloc_bytes.to_string()));
                metadata
            }
            Self::Undecodable { format, .. } => vec![("media_type", format.media_type().to_owned())],
            Self::CutShort => vec![("media_type", PreviewFormat::Jpeg.media_type().to_owned())],
            Self::Resize { width, height, .. } | Self::Encode { width, height, .. } => size(width, height),
            Self::Store(error) => error.metadata(),
        }
    }
}

/// Decodes a picture.
///
/// # Errors
/// Any [`PreviewError`] but `Resize`, `Encode` and `Store`; what is too large is refused before it is decoded.
pub fn decode_preview(bytes: &[u8], limits: &Limits) -> Result<Preview, PreviewError> {
    let format =
        PreviewFormat::sniff(bytes).ok_or_else(|| PreviewError::NotAPicture { looks_like: looks_like(bytes) })?;
    let undecodable = |source| PreviewError::Undecodable { format, source };
    if format == PreviewFormat::Jpeg && !jpeg_has_end(bytes) {
        return Err(PreviewError::CutShort);
    }

    let mut decoder_limits = image::Limits::default();
    decoder_limits.max_alloc = Some(limits.max_alloc_bytes);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.decoder_format());
    reader.limits(decoder_limits.clone());
    let mut decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    if width > limits.max_side_px
        || height > limits.max_side_px
        || u64::from(width) * u64::from(height) > limits.max_pixels
        || decoder.total_bytes() > limits.max_alloc_bytes
    {
        return Err(PreviewError::TooLarge { width, height, limits: *limits });
    }
    // As the reader's own `decode` does: the picture's buffer counts as well.
    decoder_limits
        .reserve(decoder.total_bytes())
        .and_then(|()| decoder.set_limits(decoder_limits))
        .map_err(undecodable)?;
    // Metadata that cannot be read is no reason to refuse pixels that can.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    image.apply_orientation(orientation);

    let (width, height) = (image.width(), image.height());
    let pixels = if image.color().has_alpha() {
        Pixels::Rgba8(image.into_rgba8().into_raw())
    } else {
        Pixels::Rgb8(image.into_rgb8().into_raw())
    };
    Ok(Preview { format, width, height, pixels })
}

/// A copy whose longer side is at most `max_side_px`; a smaller picture keeps its size. Lossless WebP, or PNG where
/// that is smaller.
///
/// # Errors
/// [`PreviewError::Resize`] or [`PreviewError::Encode`].
pub fn thumbnail(preview: &Preview, max_side_px: u32) -> Result<Thumbnail, PreviewError> {
    let (width, height) = fit(preview.width, preview.height, max_side_px.max(1));
    let small;
    let pixels = if (width, height) == (preview.width, preview.height) {
        &preview.pixels
    } else {
        small = shrink(preview, width, height)?;
        &small
    };
    let failed = |source| PreviewError::Encode { width, height, source };
    let color = pixels.encode_type();
    let mut webp = Vec::new();
    WebPEncoder::new_lossless(&mut webp).write_image(pixels.bytes(), width, height, color).map_err(failed)?;
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive)
        .write_image(pixels.bytes(), width, height, color)
        .map_err(failed)?;
    let (bytes, format) = if png.len() < webp.len() { (png, PreviewFormat::Png) } else { (webp, PreviewFormat::WebP) };
    Ok(Thumbnail { bytes, media_type: format.media_type(), width, height })
}

/// Decodes a picture within the default limits and stores it with its thumbnail.
///
/// # Errors
/// Any [`PreviewError`]; a picture that is refused leaves nothing in the store.
pub fn store_preview(store: &Store, bytes: &[u8]) -> Result<StoredPreview, PreviewError> {
    let preview = decode_preview(bytes, &Limits::default())?;
    let small = thumbnail(&preview, THUMBNAIL_MAX_SIDE_PX)?;
    Ok(StoredPreview {
        original: store.put_bytes(bytes)?,
        thumbnail: store.put_bytes(&small.bytes)?,
        media_type: preview.format.media_type(),
        width: preview.width,
        height: preview.height,
        thumbnail_media_type: small.media_type,
        thumbnail_width: small.width,
        thumbnail_height: small.height,
    })
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

/// Whether a JPEG's pixels end in its end marker. Its decoder fills what is missing with grey and says nothing.
/// Within coded pixels 0xFF is always followed by something else (ITU-T T.81, B.1.1.5); the search starts behind the
/// headers because an EXIF thumbnail has an end marker of its own. Headers that cannot be followed are left to the
/// decoder.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xff, marker, after @ ..] = rest {
        rest = match (*marker, after) {
            (0xff, _) => &rest[1..],
            (START_OF_SCAN, coded) => return coded.windows(2).any(|pair| pair == [0xff, 0xd9]),
            (0x01 | 0xd0..=0xd9, after) => after,
            (_, [high, low, ..]) => {
                let segment_bytes = usize::from(u16::from_be_bytes([*high, *low])).max(2);
                after.get(segment_bytes..).unwrap_or_default()
            }
            _ => return false,
        };
    }
    rest.len() >= 2
}

/// What somebody would call these bytes, for the message that refuses them.
fn looks_like(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(1024)];
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start().to_ascii_lowercase();
    let holds = |words: &[u8]| text.windows(words.len()).any(|part| part == words);
    if bytes.is_empty() {
        "an empty file"
    } else if bytes.get(4..8) == Some(b"ftyp") {
        match bytes.get(8..12) {
            Some(b"avif" | b"avis") => "an AVIF picture",
            Some(b"heic" | b"heix" | b"mif1") => "a HEIF picture",
            _ => "an MP4 video",
        }
    } else if bytes.starts_with(b"\x1a\x45\xdf\xa3") {
        "a WebM or Matroska video"
    } else if text.starts_with(b"<") && holds(b"<svg") {
        "an SVG drawing"
    } else if text.starts_with(b"<") {
        "an HTML or XML page"
    } else if text.starts_with(b"{") || text.starts_with(b"[") {
        "JSON"
    } else {
        "an unknown file"
    }
}

#[cfg(test)]
mod tests;
