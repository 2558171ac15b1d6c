//! Why a preview was not made.

use super::{Limits, PreviewFormat};
use crate::StoreError;
use image::ImageError;
use paintbox_domain::{Classify, ErrorClass, reason};

/// A preview that was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreviewError {
    #[error("{looks_like} is not a picture that previews may have (PNG, JPEG, WebP or GIF)")]
    NotAPicture { looks_like: &'static str },
    #[error("a picture of {width} × {height} pixels is larger than previews may be")]
    TooLarge { width: u32, height: u32, limits: Limits },
    #[error(
        "a picture of {width} × {height} pixels takes {needed_bytes} bytes of memory to decode, more than the \
         {max_alloc_bytes} that previews may"
    )]
    TooMuchMemory { width: u32, height: u32, needed_bytes: u64, max_alloc_bytes: u64 },
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
            Self::TooLarge { .. }
            | Self::TooMuchMemory { .. }
            | Self::Undecodable { source: ImageError::Limits(_), .. } => ErrorClass::InvalidInput,
            Self::Undecodable { .. } | Self::CutShort => ErrorClass::DataLoss,
            Self::Resize { .. } | Self::Encode { .. } => ErrorClass::Internal,
            Self::Store(error) => error.class(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotAPicture { .. }
            | Self::TooLarge { .. }
            | Self::TooMuchMemory { .. }
            | Self::Undecodable { .. }
            | Self::CutShort => reason::PREVIEW_REFUSED,
            Self::Resize { .. } | Self::Encode { .. } => reason::INTERNAL,
            Self::Store(error) => error.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAPicture { .. }
            | Self::TooLarge { .. }
            | Self::TooMuchMemory { .. }
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
                metadata
            }
            Self::TooMuchMemory { width, height, needed_bytes, max_alloc_bytes } => {
                let mut metadata = size(width, height);
                metadata.push(("needed_bytes", needed_bytes.to_string()));
                metadata.push(("max_alloc_bytes", max_alloc_bytes.to_string()));
                metadata
            }
            Self::Undecodable { format, .. } => vec![("media_type", format.media_type().to_owned())],
            Self::CutShort => vec![("media_type", PreviewFormat::Jpeg.media_type().to_owned())],
            Self::Resize { width, height, .. } | Self::Encode { width, height, .. } => size(width, height),
            Self::Store(error) => error.metadata(),
        }
    }
}
