//! What a picture costs to decode, from its headers alone.
//!
//! The decoders of `image` 0.25 count the picture they return; what they allocate besides is theirs to know, and was
//! read from their sources: zune-jpeg 0.5.15 (`mcu.rs`, `mcu_prog.rs`), image-webp 0.2.4 (`decoder.rs`, `vp8.rs`,
//! `extended.rs`). PNG needs a few rows, and GIF's decoder accounts for its frame itself.

use super::PreviewFormat;
use image::ColorType;

/// All that decides how much memory one picture takes.
pub(super) struct Cost {
    pub(super) pixels: u64,
    /// The picture as its decoder returns it.
    pub(super) decoded_bytes: u64,
    pub(super) color: ColorType,
    pub(super) is_turned: bool,
    /// What the decoder needs besides.
    pub(super) scratch_bytes: u64,
}

impl Cost {
    /// The most that is held at one time, in bytes: while decoding, while changing to eight bits a channel, or while
    /// turning.
    pub(super) fn bytes(&self) -> u64 {
        let shown_bytes = self.pixels * if self.color.has_alpha() { 4 } else { 3 };
        let decoding = self.decoded_bytes + self.scratch_bytes;
        let converting = match self.color {
            ColorType::Rgb8 | ColorType::Rgba8 => 0,
            _ => self.decoded_bytes + shown_bytes,
        };
        let turning = if self.is_turned { 2 * shown_bytes } else { 0 };
        decoding.max(converting).max(turning)
    }
}

/// What the decoder of `format` allocates besides the picture, in bytes.
pub(super) fn scratch_bytes(format: PreviewFormat, bytes: &[u8], pixels: u64) -> u64 {
    match format {
        PreviewFormat::Png | PreviewFormat::Gif => 0,
        PreviewFormat::Jpeg => jpeg_coefficient_bytes(bytes, pixels),
        PreviewFormat::WebP => webp_scratch_bytes(bytes, pixels),
    }
}

/// The headers of a JPEG in front of its first scan (ITU-T T.81, B.1 and B.2).
struct JpegHeaders<'a> {
    is_progressive: bool,
    /// The parameters of the frame, behind their length.
    frame: &'a [u8],
    /// Behind the marker of the first scan: its parameters, then coded pixels.
    scan: &'a [u8],
}

/// Headers that cannot be followed.
enum JpegBroken {
    CutShort,
    /// Something else stands where a marker should.
    Lost,
}

fn jpeg_headers(bytes: &[u8]) -> Result<JpegHeaders<'_>, JpegBroken> {
    const START_OF_SCAN: u8 = 0xda;
    let (mut is_progressive, mut frame) = (false, &[][..]);
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xff, marker, after @ ..] = rest {
        rest = match (*marker, after) {
            (0xff, _) => &rest[1..],
            (START_OF_SCAN, scan) => return Ok(JpegHeaders { is_progressive, frame, scan }),
            (0x01 | 0xd0..=0xd9, after) => after,
            (_, [high, low, ..]) => {
                let segment_bytes = usize::from(u16::from_be_bytes([*high, *low])).max(2);
                // Every kind of frame has its marker between these two, which stand between two tables.
                if matches!(marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf) {
                    is_progressive = matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce);
                    frame = after.get(2..segment_bytes).unwrap_or_default();
                }
                after.get(segment_bytes..).unwrap_or_default()
            }
            _ => return Err(JpegBroken::CutShort),
        };
    }
    Err(if rest.len() < 2 { JpegBroken::CutShort } else { JpegBroken::Lost })
}

/// Whether a JPEG's pixels end in its end marker. Its decoder fills what is missing with grey and says nothing.
/// Within coded pixels 0xFF is always followed by something else (ITU-T T.81, B.1.1.5); the search starts behind the
/// headers because an EXIF thumbnail has an end marker of its own. Headers that cannot be followed are left to the
/// decoder.
pub(super) fn jpeg_has_end(bytes: &[u8]) -> bool {
    match jpeg_headers(bytes) {
        Ok(headers) => headers.scan.windows(2).any(|pair| pair == [0xff, 0xd9]),
        Err(JpegBroken::CutShort) => false,
        Err(JpegBroken::Lost) => true,
    }
}

/// All coefficients at once, two bytes each: so a picture is decoded that comes in several scans. One that comes in a
/// single scan is decoded row by row.
fn jpeg_coefficient_bytes(bytes: &[u8], pixels: u64) -> u64 {
    const MOST_COMPONENTS: u64 = 4;
    // Headers that a lenient decoder may yet follow are counted as the worst.
    let worst = 2 * MOST_COMPONENTS * pixels;
    let Ok(headers) = jpeg_headers(bytes) else { return worst };
    // Precision, height, width, then three bytes a component (T.81, B.2.2).
    let [_, y_high, y_low, x_high, x_low, count, components @ ..] = headers.frame else { return worst };
    let in_first_scan = headers.scan.get(2);
    if !headers.is_progressive && in_first_scan == Some(count) {
        return 0;
    }
    let samplings = || components.chunks_exact(3).take(usize::from(*count)).map(|component| component[1]);
    let across = |sampling: u8| u64::from(sampling >> 4);
    let down = |sampling: u8| u64::from(sampling & 0xf);
    let (most_across, most_down) = (samplings().map(across).max(), samplings().map(down).max());
    let (Some(most_across @ 1..), Some(most_down @ 1..)) = (most_across, most_down) else { return worst };
    let units = |high: u8, low: u8, most: u64| u64::from(u16::from_be_bytes([high, low])).div_ceil(8 * most);
    let blocks: u64 = samplings().map(|sampling| across(sampling) * down(sampling)).sum();
    2 * 64 * blocks * units(*x_high, *x_low, most_across) * units(*y_high, *y_low, most_down)
}

/// The planes of what is coded, and the copies in which alpha, a missing alpha or an animation's canvas come about.
fn webp_scratch_bytes(bytes: &[u8], pixels: u64) -> u64 {
    const IS_ANIMATED: u8 = 0x02;
    let (kind, flags) = (bytes.get(12..16).unwrap_or_default(), bytes.get(20).copied().unwrap_or_default());
    let bytes_per_pixel = match kind {
        b"VP8 " => 0,
        // Pixels with an alpha that is then left out, and the tables of transforms, of one entry in sixteen each.
        b"VP8L" => 4 + 1,
        // An alpha plane, from pixels of its own.
        _ if flags & IS_ANIMATED == 0 => 4 + 1 + 1,
        // Besides, the canvas and the frame on it.
        _ => 4 + 1 + 1 + 4 + 4,
    };
    bytes_per_pixel * pixels + vp8_plane_bytes(bytes.get(12..).unwrap_or_default())
}

/// Brightness and colour of the largest VP8 frame. Its own header counts: a decoder makes room before it compares that
/// with the canvas (RFC 9649, 2.5; RFC 6386, 9.1).
fn vp8_plane_bytes(mut chunks: &[u8]) -> u64 {
    const CHUNK_HEADER_BYTES: usize = 8;
    /// Position, sizes, duration and flags of a frame, in front of its own chunks (RFC 9649, 2.7.1.1).
    const ANIMATION_FRAME_BYTES: usize = 16;
    let mut largest = 0;
    while let [a, b, c, d, size0, size1, size2, size3, content @ ..] = chunks {
        let size = u32::from_le_bytes([*size0, *size1, *size2, *size3]);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let step = match (&[*a, *b, *c, *d], content) {
            // The chunks inside come next, as if they stood here.
            (b"ANMF", _) => CHUNK_HEADER_BYTES + ANIMATION_FRAME_BYTES,
            (b"VP8 ", [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..]) => {
                // Two bits of scale are not the decoder's business.
                let blocks = |low: u8, high: u8| u64::from(u16::from_le_bytes([low, high]) & 0x3fff).div_ceil(16);
                largest = largest.max(blocks(*w0, *w1) * blocks(*h0, *h1) * (256 + 64 + 64));
                CHUNK_HEADER_BYTES.saturating_add(size).saturating_add(size % 2)
            }
            _ => CHUNK_HEADER_BYTES.saturating_add(size).saturating_add(size % 2),
        };
        chunks = chunks.get(step..).unwrap_or_default();
    }
    largest
}
