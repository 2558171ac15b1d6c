//! Example pictures from strangers: what they are is read from their bytes, they are decoded within limits, and two
//! thumbnails and a blurhash are made of them.
//!
//! A hub says "image" of videos, pages of text and pictures made to fill a memory. Only PNG, JPEG, WebP and GIF are
//! decoded, all by Rust code; what a picture would cost is worked out from its headers, before a pixel has a place.
//! The original is kept as it came, because pictures carry their generation data in metadata that no re-encoding keeps.

mod blurhash;
mod cost;
mod decode;
mod error;
mod format;
mod thumbnail;

pub use decode::{Limits, decode_preview};
pub use error::PreviewError;
pub use format::PreviewFormat;

use crate::{Blob, Store};
use fast_image_resize::PixelType;
use image::ExtendedColorType;
use thumbnail::{encoded, shrunk};

/// The longer side of a stored thumbnail, in pixels: what a page shows.
pub const THUMBNAIL_MAX_SIDE_PX: u32 = 512;
/// The longer side of a stored small thumbnail, in pixels: what lists and grids show.
pub const SMALL_THUMBNAIL_MAX_SIDE_PX: u32 = 256;

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

/// A picture in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPicture {
    pub blob: Blob,
    pub media_type: &'static str,
    /// Pixels as shown, after orientation.
    pub width: u32,
    pub height: u32,
}

/// A preview in the store: as it came, in two sizes, and as a few colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPreview {
    pub original: StoredPicture,
    pub thumbnail: StoredPicture,
    /// The same blob as `thumbnail` where that is small enough already.
    pub small_thumbnail: StoredPicture,
    /// Of four by four components, as CivitAI's own are.
    pub blurhash: String,
}

/// The thumbnails of a picture that is not in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredThumbnails {
    /// Pixels of the picture as shown.
    pub width: u32,
    pub height: u32,
    pub thumbnail: StoredPicture,
    /// The same blob as `thumbnail` where that is small enough already.
    pub small_thumbnail: StoredPicture,
    /// Of four by four components.
    pub blurhash: String,
}

/// Decodes a picture within the default limits and stores it with its thumbnails. The same bytes always lead to the
/// same blobs.
///
/// # Errors
/// Any [`PreviewError`]; a picture that is refused leaves nothing in the store.
pub fn store_preview(store: &Store, bytes: &[u8]) -> Result<StoredPreview, PreviewError> {
    let preview = decode_preview(bytes, &Limits::default())?;
    let StoredThumbnails { width, height, thumbnail, small_thumbnail, blurhash } = thumbnails_of(store, &preview)?;
    let media_type = preview.format.media_type();
    let original = StoredPicture { blob: store.put_bytes(bytes)?, media_type, width, height };
    Ok(StoredPreview { original, thumbnail, small_thumbnail, blurhash })
}

/// Decodes a picture that somebody else keeps within the default limits, and stores its thumbnails alone.
///
/// # Errors
/// As [`store_preview`].
pub fn store_thumbnails(store: &Store, bytes: &[u8]) -> Result<StoredThumbnails, PreviewError> {
    thumbnails_of(store, &decode_preview(bytes, &Limits::default())?)
}

fn thumbnails_of(store: &Store, preview: &Preview) -> Result<StoredThumbnails, PreviewError> {
    let large = shrunk(preview, THUMBNAIL_MAX_SIDE_PX)?;
    // From the larger one, which is less work and looks the same.
    let small = shrunk(&large, SMALL_THUMBNAIL_MAX_SIDE_PX)?;
    let large_bytes = encoded(&large)?;
    let small_bytes = if small == large { large_bytes.clone() } else { encoded(&small)? };
    let keep = |bytes: &[u8], format: PreviewFormat, shown: &Preview| -> Result<StoredPicture, PreviewError> {
        let (width, height) = (shown.width, shown.height);
        Ok(StoredPicture { blob: store.put_bytes(bytes)?, media_type: format.media_type(), width, height })
    };
    Ok(StoredThumbnails {
        width: preview.width,
        height: preview.height,
        thumbnail: keep(&large_bytes.0, large_bytes.1, &large)?,
        small_thumbnail: keep(&small_bytes.0, small_bytes.1, &small)?,
        blurhash: blurhash::of(&small),
    })
}

#[cfg(test)]
mod tests;
