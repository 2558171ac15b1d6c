//! Previews: good pictures of each format, and what strangers may send instead.

use super::cost::jpeg_has_end;
use super::*;
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, Frame, Rgb, RgbImage, Rgba, RgbaImage};
use paintbox_domain::{Classify, ErrorClass, reason};
use proptest::prelude::*;
use std::io::Cursor;

const FORMATS: [PreviewFormat; 4] = [PreviewFormat::Png, PreviewFormat::Jpeg, PreviewFormat::WebP, PreviewFormat::Gif];

fn gradient(width: u32, height: u32) -> DynamicImage {
    let channel = |at: u32, of: u32| u8::try_from(at * 255 / of.max(1)).unwrap();
    DynamicImage::from(RgbImage::from_fn(width, height, |x, y| Rgb([channel(x, width), channel(y, height), 90])))
}

fn encode(image: &DynamicImage, format: PreviewFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format.decoder_format()).unwrap();
    bytes.into_inner()
}

fn decode(bytes: &[u8]) -> Result<Preview, PreviewError> {
    decode_preview(bytes, &Limits::default())
}

fn thumbnail(preview: &Preview, max_side_px: u32) -> Vec<u8> {
    encoded(&shrunk(preview, max_side_px).unwrap()).unwrap().0
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn blobs(store: &Store) -> usize {
    let shards = std::fs::read_dir(store.blobs_folder().join("sha256")).unwrap();
    shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

#[test]
fn a_picture_of_each_format_is_stored_as_it_came_and_in_two_sizes() {
    let (_folder, store) = store();
    for format in FORMATS {
        let bytes = encode(&gradient(700, 350), format);
        let stored = store_preview(&store, &bytes).unwrap();
        assert_eq!(stored.original.media_type, format.media_type());
        assert_eq!((stored.original.width, stored.original.height), (700, 350));
        assert_eq!(std::fs::read(&stored.original.blob.path).unwrap(), bytes);
        for (made, side) in [(&stored.thumbnail, 512), (&stored.small_thumbnail, 256)] {
            let small = decode(&std::fs::read(&made.blob.path).unwrap()).unwrap();
            assert_eq!((small.width, small.height), (side, side / 2), "{format:?}");
            assert_eq!((made.width, made.height), (side, side / 2), "{format:?}");
            assert_eq!(made.media_type, small.format.media_type());
        }
        assert_eq!(stored.blurhash.len(), 36);
        assert_eq!(store_preview(&store, &bytes).unwrap(), stored, "the same bytes lead to the same blobs");
    }
}

#[test]
fn a_small_picture_stands_for_its_own_thumbnails() {
    let (_folder, store) = store();
    for ((width, height), (wanted, small)) in [
        ((200, 100), ((200, 100), (200, 100))),
        ((256, 256), ((256, 256), (256, 256))),
        ((300, 150), ((300, 150), (256, 128))),
    ] {
        let stored = store_preview(&store, &encode(&gradient(width, height), PreviewFormat::Jpeg)).unwrap();
        assert_eq!((stored.thumbnail.width, stored.thumbnail.height), wanted);
        assert_eq!((stored.small_thumbnail.width, stored.small_thumbnail.height), small);
        assert_eq!(stored.thumbnail.blob == stored.small_thumbnail.blob, wanted == small);
    }
}

#[test]
fn a_thumbnail_shows_what_the_picture_shows() {
    // Left half red, right half blue, large enough to be resized.
    let halves = RgbImage::from_fn(1024, 1024, |x, _| if x < 512 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
    let preview = decode(&encode(&halves.into(), PreviewFormat::Png)).unwrap();
    let small = decode(&thumbnail(&preview, 100)).unwrap();
    let Pixels::Rgb8(pixels) = small.pixels else { panic!("{:?}", small.pixels) };
    let pixel = |x: usize, y: usize| &pixels[3 * (100 * y + x)..][..3];
    assert_eq!((pixel(10, 50), pixel(90, 50)), (&[255, 0, 0][..], &[0, 0, 255][..]));
}

#[test]
fn transparent_pixels_do_not_colour_their_neighbours() {
    // Opaque white beside transparent green: no green may show at the border.
    let image = RgbaImage::from_fn(256, 256, |x, _| if x < 131 { Rgba([255; 4]) } else { Rgba([0, 255, 0, 0]) });
    let preview = decode(&encode(&image.into(), PreviewFormat::Png)).unwrap();
    let small = decode(&thumbnail(&preview, 64)).unwrap();
    let Pixels::Rgba8(pixels) = small.pixels else { panic!("{:?}", small.pixels) };
    for pixel in pixels.chunks_exact(4).filter(|pixel| pixel[3] > 32) {
        assert!(pixel[0] > 240 && pixel[2] > 240, "{pixel:?}");
    }
}

#[test]
fn small_pictures_are_not_made_larger_and_thin_ones_keep_a_pixel() {
    for (width, height, wanted) in
        [(64, 64, (64, 64)), (512, 3, (512, 3)), (2000, 1, (512, 1)), (1, 2000, (1, 512)), (513, 512, (512, 511))]
    {
        let preview = decode(&encode(&gradient(width, height), PreviewFormat::Png)).unwrap();
        let small = shrunk(&preview, THUMBNAIL_MAX_SIDE_PX).unwrap();
        assert_eq!((small.width, small.height), wanted);
    }
}

/// The same JPEG with an EXIF orientation of 6, which turns it right.
fn turned(jpeg: &[u8]) -> Vec<u8> {
    // A little-endian TIFF with one entry: orientation (0x0112), short, one value.
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let segment = [&b"\xff\xe1\0"[..], &[u8::try_from(exif.len() + 2).unwrap()], exif].concat();
    [&jpeg[..2], &segment, &jpeg[2..]].concat()
}

#[test]
fn a_photo_is_turned_the_way_it_was_taken() {
    let turned = decode(&turned(&encode(&gradient(40, 20), PreviewFormat::Jpeg))).unwrap();
    assert_eq!((turned.width, turned.height), (20, 40));
}

#[test]
fn sixteen_bits_and_grey_become_eight_bits_of_colour() {
    let deep = DynamicImage::from(gradient(8, 8).into_rgba16());
    assert!(
        matches!(decode(&encode(&deep, PreviewFormat::Png)).unwrap().pixels, Pixels::Rgba8(bytes) if bytes.len() == 256)
    );
    let grey = DynamicImage::from(gradient(8, 8).into_luma8());
    assert!(
        matches!(decode(&encode(&grey, PreviewFormat::Jpeg)).unwrap().pixels, Pixels::Rgb8(bytes) if bytes.len() == 192)
    );
}

#[test]
fn what_is_no_picture_is_refused_by_name_and_not_stored() {
    let (_folder, store) = store();
    for (bytes, looks_like) in [
        (&b""[..], "an empty file"),
        (b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script/></svg>", "an SVG drawing"),
        (b"\xef\xbb\xbf <?xml version=\"1.0\"?><SVG/>", "an SVG drawing"),
        (b"<!DOCTYPE html><title>Log in</title>", "an HTML or XML page"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0", "an MP4 video"),
        (b"\0\0\0\x20ftypavif\0\0\x02\0", "an AVIF picture"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0", "a WebM or Matroska video"),
        (b"{\"error\":\"Not found\"}", "JSON"),
        (b"RIFF\0\0\0\0WAVEfmt ", "an unknown file"),
        (b"BM\0\0\0\0", "an unknown file"),
    ] {
        let error = store_preview(&store, bytes).unwrap_err();
        assert_eq!(error.reason(), reason::PREVIEW_REFUSED);
        assert!(matches!(error, PreviewError::NotAPicture { looks_like: found } if found == looks_like), "{error}");
    }
    assert_eq!(blobs(&store), 0);
}

fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(&header);
    bytes.extend(crc32(&header).to_be_bytes());
    // An IDAT of no pixels, so that the decoder has something to begin with.
    bytes.extend(b"\0\0\0\x08IDAT\x78\x9c\x03\0\0\0\0\x01");
    bytes.extend(crc32(b"IDAT\x78\x9c\x03\0\0\0\0\x01").to_be_bytes());
    bytes.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
    bytes
}

/// The checksum of PNG chunks (PNG specification, annex D), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}

#[test]
fn pictures_made_to_fill_a_memory_are_refused_by_their_header() {
    for (width, height) in [(60_000, 60_000), (16_385, 1), (1, 16_385), (8_001, 8_000)] {
        let error = decode(&png_of(width, height)).unwrap_err();
        assert!(matches!(error, PreviewError::TooLarge { .. }), "{width} × {height}: {error:?}");
        assert_eq!(error.reason(), reason::PREVIEW_REFUSED);
    }
    // So wide that the decoder itself will not hold a row.
    let error = decode(&png_of(u32::MAX >> 1, u32::MAX >> 1)).unwrap_err();
    assert_eq!((error.class(), error.reason()), (ErrorClass::InvalidInput, reason::PREVIEW_REFUSED), "{error:?}");

    let mut gif = encode(&gradient(4, 4), PreviewFormat::Gif);
    gif[6..10].fill(0xff);
    let mut jpeg = encode(&gradient(4, 4), PreviewFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    // An extended WebP header whose canvas is 2^24 pixels a side.
    let webp = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff";
    for bytes in [&gif[..], &jpeg, webp] {
        let error = decode(bytes).unwrap_err();
        assert_eq!(error.reason(), reason::PREVIEW_REFUSED, "{error:?}");
    }
    assert!(matches!(decode(&gif).unwrap_err(), PreviewError::TooLarge { width: 65_535, height: 65_535, .. }));
    assert!(matches!(decode(&jpeg).unwrap_err(), PreviewError::TooLarge { width: 65_535, height: 65_535, .. }));
}

#[test]
fn sixty_four_megapixels_are_not_too_many() {
    let error = decode(&png_of(8_000, 8_000)).unwrap_err();
    assert_eq!(error.class(), ErrorClass::DataLoss, "only its pixels are missing: {error:?}");
}

#[test]
fn a_frame_larger_than_its_canvas_finds_no_room() {
    // Small canvases, so that the canvas alone would pass.
    let mut gif = encode(&gradient(4, 4), PreviewFormat::Gif);
    let frame = gif.windows(5).rposition(|bytes| bytes == [0x2c, 0, 0, 0, 0]).unwrap();
    gif[frame + 5..frame + 9].fill(0xff);
    let error = decode(&gif).unwrap_err();
    assert_eq!((error.class(), error.reason()), (ErrorClass::InvalidInput, reason::PREVIEW_REFUSED), "{error:?}");

    // A VP8 keyframe that says it is 16,383 pixels a side, in a canvas of one pixel, as a still and in an animation.
    let vp8 = chunk(b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f\0\0");
    let still = webp(0, std::slice::from_ref(&vp8));
    let animated = webp(0x02, &[chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &[&[0; 16], &vp8[..]].concat())]);
    for bytes in [still, animated] {
        let error = decode(&bytes).unwrap_err();
        let PreviewError::TooMuchMemory { width: 1, height: 1, needed_bytes, .. } = error else { panic!("{error:?}") };
        assert!(needed_bytes > 16_383 * 16_383);
        assert_eq!((error.class(), error.reason()), (ErrorClass::InvalidInput, reason::PREVIEW_REFUSED));
    }
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = vec![0; content.len() % 2];
    [name, &u32::try_from(content.len()).unwrap().to_le_bytes()[..], content, &padding].concat()
}

/// An extended WebP of one pixel.
fn webp(flags: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = chunk(b"VP8X", &[flags, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    chunk(b"RIFF", &[b"WEBP", &header[..], &chunks.concat()].concat())
}

#[test]
fn an_animation_is_shown_by_its_first_frame() {
    let frames = [[255, 0, 0, 255], [0, 0, 255, 255]].map(|color| RgbaImage::from_pixel(1, 1, Rgba(color)));
    let mut gif = Vec::new();
    GifEncoder::new(&mut gif).encode_frames(frames.clone().map(Frame::new)).unwrap();
    // A frame of a WebP begins with its place, its size less one, its duration and how it is laid on the canvas, here
    // without blending; then comes a still's only chunk.
    let frame = |image: RgbaImage| {
        let still = encode(&image.into(), PreviewFormat::WebP);
        chunk(b"ANMF", &[&[0; 15], &[0x02][..], &still[12..]].concat())
    };
    let [first, second] = frames.map(frame);
    let webp = webp(0x12, &[chunk(b"ANIM", &[0; 6]), first, second]);
    for bytes in [gif, webp] {
        let preview = decode(&bytes).unwrap();
        let Pixels::Rgba8(pixels) = preview.pixels else { panic!("{:?}", preview.pixels) };
        assert_eq!(pixels, [255, 0, 0, 255], "{:?}", preview.format);
    }
}

#[test]
fn the_limits_are_the_callers() {
    let bytes = encode(&gradient(100, 50), PreviewFormat::Png);
    let roomy = Limits { max_side_px: 100, max_pixels: 5_000, ..Limits::default() };
    assert!(decode_preview(&bytes, &roomy).is_ok());
    for tight in [Limits { max_side_px: 99, ..roomy }, Limits { max_pixels: 4_999, ..roomy }] {
        assert!(matches!(decode_preview(&bytes, &tight).unwrap_err(), PreviewError::TooLarge { .. }));
    }
}

#[test]
fn memory_is_counted_to_the_byte() {
    let picture = gradient(40, 20);
    let jpeg = encode(&picture, PreviewFormat::Jpeg);
    let mut progressive = jpeg.clone();
    let frame = progressive.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    progressive[frame + 1] = 0xc2;
    let deep = DynamicImage::from(picture.to_rgba16());
    for (case, bytes, needed) in [
        ("eight bits", encode(&picture, PreviewFormat::Png), 800 * 3),
        ("sixteen bits become eight", encode(&deep, PreviewFormat::Png), 800 * 8 + 800 * 4),
        ("grey becomes colour", encode(&picture.to_luma8().into(), PreviewFormat::Png), 800 + 800 * 3),
        ("row by row", jpeg.clone(), 800 * 3),
        ("turned", turned(&jpeg), 2 * 800 * 3),
        // Three components of five by three blocks, each of 64 coefficients of two bytes.
        ("in several scans", progressive, 800 * 3 + 3 * 5 * 3 * 64 * 2),
        ("lossless WebP without alpha", encode(&picture, PreviewFormat::WebP), 800 * 3 + 800 * 5),
        ("GIF", encode(&picture, PreviewFormat::Gif), 800 * 4),
    ] {
        let limits = |max_alloc_bytes| Limits { max_alloc_bytes, ..Limits::default() };
        let error = decode_preview(&bytes, &limits(needed - 1)).unwrap_err();
        let PreviewError::TooMuchMemory { needed_bytes, .. } = error else { panic!("{case}: {error:?}") };
        assert_eq!(needed_bytes, needed, "{case}");
        assert_eq!((error.class(), error.reason()), (ErrorClass::InvalidInput, reason::PREVIEW_REFUSED));
        // What a decoder says of pixels that were changed to another kind is its own affair.
        let enough = decode_preview(&bytes, &limits(needed));
        assert!(!matches!(enough, Err(PreviewError::TooMuchMemory { .. })), "{case}");
    }
}

#[test]
fn a_picture_that_ends_early_is_refused_wherever_it_ends() {
    for format in FORMATS {
        let bytes = encode(&gradient(60, 40), format);
        // The last bytes of a GIF or PNG are a trailer behind the pixels, which a decoder need not miss.
        let pixels_end = bytes.len() - 16;
        for cut in (0..pixels_end).step_by(7).chain([pixels_end - 1]) {
            let refused = decode(&bytes[..cut]);
            assert!(refused.is_err(), "{format:?} cut to {cut} of {} bytes", bytes.len());
        }
    }
    // With an EXIF thumbnail's end marker in front of the cut.
    let jpeg = encode(&gradient(60, 40), PreviewFormat::Jpeg);
    let with_thumbnail = [&jpeg[..2], b"\xff\xe1\0\x06ab\xff\xd9", &jpeg[2..]].concat();
    assert!(decode(&with_thumbnail).is_ok());
    assert!(matches!(decode(&with_thumbnail[..with_thumbnail.len() - 10]).unwrap_err(), PreviewError::CutShort));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn damaged_pictures_never_panic(
        which in 0usize..4,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = encode(&gradient(24, 24), FORMATS[which]);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(preview) = decode(&bytes) {
            let small = shrunk(&preview, 16).unwrap();
            prop_assert!(encoded(&small).is_ok());
            prop_assert_eq!(blurhash::of(&small).len(), 36);
        }
    }
}

#[test]
fn an_error_of_the_store_keeps_its_class() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("gone")).unwrap();
    std::fs::remove_dir_all(store.root()).unwrap();
    let error = store_preview(&store, &encode(&gradient(4, 4), PreviewFormat::Png)).unwrap_err();
    assert_eq!(error.reason(), reason::STORE_FAILED);
}

#[test]
fn jpeg_of_good_quality_has_an_end() {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 100).encode_image(&gradient(64, 64)).unwrap();
    assert!(jpeg_has_end(&bytes));
    assert!(!jpeg_has_end(&bytes[..bytes.len() - 2]));
    assert!(!jpeg_has_end(b"\xff\xd8"));
}
