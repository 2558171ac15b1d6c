//! Previews: good pictures of each format, and what strangers may send instead.

use super::*;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;

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

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn blobs(store: &Store) -> usize {
    let shards = std::fs::read_dir(store.root().join("blobs/sha256")).unwrap();
    shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

#[test]
fn a_picture_of_each_format_is_stored_as_it_came_and_small() {
    let (_folder, store) = store();
    for format in FORMATS {
        let bytes = encode(&gradient(700, 350), format);
        let stored = store_preview(&store, &bytes).unwrap();
        assert_eq!(stored.media_type, format.media_type());
        assert_eq!((stored.width, stored.height), (700, 350));
        assert_eq!(std::fs::read(&stored.original.path).unwrap(), bytes);
        let small = decode(&std::fs::read(&stored.thumbnail.path).unwrap()).unwrap();
        assert_eq!((small.width, small.height), (512, 256), "{format:?}");
        assert_eq!(stored.thumbnail_media_type, small.format.media_type());
    }
}

#[test]
fn a_thumbnail_shows_what_the_picture_shows() {
    // Left half red, right half blue, large enough to be resized.
    let halves = RgbImage::from_fn(1024, 1024, |x, _| if x < 512 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
    let preview = decode(&encode(&halves.into(), PreviewFormat::Png)).unwrap();
    let small = decode(&thumbnail(&preview, 100).unwrap().bytes).unwrap();
    let Pixels::Rgb8(pixels) = small.pixels else { panic!("{:?}", small.pixels) };
    let pixel = |x: usize, y: usize| &pixels[3 * (100 * y + x)..][..3];
    assert_eq!((pixel(10, 50), pixel(90, 50)), (&[255, 0, 0][..], &[0, 0, 255][..]));
}

#[test]
fn transparent_pixels_do_not_colour_their_neighbours() {
    // Opaque white beside transparent green: no green may show at the border.
    let image = RgbaImage::from_fn(256, 256, |x, _| if x < 131 { Rgba([255; 4]) } else { Rgba([0, 255, 0, 0]) });
    let preview = decode(&encode(&image.into(), PreviewFormat::Png)).unwrap();
    let small = decode(&thumbnail(&preview, 64).unwrap().bytes).unwrap();
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
        let small = thumbnail(&preview, THUMBNAIL_MAX_SIDE_PX).unwrap();
        assert_eq!((small.width, small.height), wanted);
    }
}

#[test]
fn a_photo_is_turned_the_way_it_was_taken() {
    let jpeg = encode(&gradient(40, 20), PreviewFormat::Jpeg);
    // A little-endian TIFF with one entry: orientation (0x0112), short, one value, 6 (turn right).
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let segment = [&b"\xff\xe1\0"[..], &[u8::try_from(exif.len() + 2).unwrap()], exif].concat();
    let turned = decode(&[&jpeg[..2], &segment, &jpeg[2..]].concat()).unwrap();
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
    for (width, height) in [(50_000, 50_000), (16_385, 1), (1, 16_385), (8_001, 8_000)] {
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
fn the_limits_are_the_callers() {
    let bytes = encode(&gradient(100, 50), PreviewFormat::Png);
    let roomy = Limits { max_side_px: 100, max_pixels: 5_000, ..Limits::default() };
    assert!(decode_preview(&bytes, &roomy).is_ok());
    for tight in [
        Limits { max_side_px: 99, ..roomy },
        Limits { max_pixels: 4_999, ..roomy },
        Limits { max_alloc_bytes: 14_999, ..roomy },
    ] {
        assert_eq!(decode_preview(&bytes, &tight).unwrap_err().reason(), reason::PREVIEW_REFUSED);
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
            prop_assert!(thumbnail(&preview, 16).is_ok());
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
