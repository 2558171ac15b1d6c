//! What a file is, told by its first bytes: a hub's words and a file's name say nothing certain. AVIF is known in order to be
//! refused by its name, since its decoders are C (github image-rs/image#2849); videos are not decoded either.

use image::ImageFormat;

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

    pub(super) fn decoder_format(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg => ImageFormat::Jpeg,
            Self::WebP => ImageFormat::WebP,
            Self::Gif => ImageFormat::Gif,
        }
    }
}

/// What somebody would call these bytes, for the message that refuses them.
pub(super) fn looks_like(bytes: &[u8]) -> &'static str {
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
