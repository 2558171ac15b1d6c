//! The texts of a picture in which programs keep recipes, by the names they give them. The pixels are not looked at.
//!
//! PNG (third edition), 11.3.3; JPEG (ITU-T T.81), B.1; WebP container (RFC 9649), 2.7.

use super::exif;
use flate2::read::ZlibDecoder;
use std::io::Read as _;

/// Bytes of one text, unpacked; a large ComfyUI graph has some hundred thousand.
pub(super) const LONGEST_TEXT: usize = 4 << 20;
/// Texts of one picture that are looked at.
const MOST_TEXTS: usize = 64;

/// Names of PNG's texts that hold recipes.
const KNOWN: [&str; 5] = ["parameters", "prompt", "workflow", "invokeai_metadata", "sui_image_params"];

#[derive(Debug, PartialEq)]
pub(super) struct Field {
    pub(super) key: String,
    pub(super) text: String,
}

/// The texts of a picture in the order in which they stand; none if it is no PNG, JPEG or WebP. What is cut short or
/// breaks its format's rules ends the search.
pub(super) fn of_picture(bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = if let Some(chunks) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") {
        of_png(chunks)
    } else if let Some(segments) = bytes.strip_prefix(b"\xff\xd8") {
        of_jpeg(segments)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        of_webp(&bytes[12..])
    } else {
        return None;
    };
    fields.retain(|field| !field.text.trim().is_empty());
    fields.truncate(MOST_TEXTS);
    Some(fields)
}

fn of_png(mut rest: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    // Length, type, data, and a checksum: what a broken one would tell is told by the text itself.
    while let Some((length, after)) = rest.split_first_chunk() {
        let Some((kind, after)) = after.split_first_chunk::<4>() else { break };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((data, after)) = after.split_at_checked(length) else { break };
        match kind {
            b"tEXt" => fields.extend(latin1_text(data)),
            b"zTXt" => fields.extend(packed_text(data)),
            b"iTXt" => fields.extend(international_text(data)),
            b"eXIf" => fields.extend(of_exif(data)),
            b"IEND" => break,
            _ => {}
        }
        if fields.len() >= MOST_TEXTS {
            break;
        }
        rest = after.get(4..).unwrap_or_default();
    }
    fields
}

/// The name that a text chunk begins with, if it is one of those that hold recipes, and what follows the zero behind it.
fn named(data: &[u8]) -> Option<(&'static str, &[u8])> {
    let end = data.iter().take(80).position(|byte| *byte == 0)?;
    let key = KNOWN.iter().find(|known| known.as_bytes() == &data[..end])?;
    Some((key, &data[end + 1..]))
}

fn field(key: &str, text: String) -> Option<Field> {
    (text.len() <= LONGEST_TEXT).then(|| Field { key: key.to_owned(), text })
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().take(LONGEST_TEXT + 1).map(|byte| char::from(*byte)).collect()
}

fn latin1_text(data: &[u8]) -> Option<Field> {
    let (key, text) = named(data)?;
    field(key, latin1(text))
}

fn packed_text(data: &[u8]) -> Option<Field> {
    let (key, rest) = named(data)?;
    // The one method there is.
    field(key, latin1(&unpacked(rest.strip_prefix(b"\0")?)?))
}

/// A flag for packing, the method, a language, the name in that language, and the text in UTF-8.
fn international_text(data: &[u8]) -> Option<Field> {
    let (key, rest) = named(data)?;
    let (&[is_packed, _method], rest) = rest.split_first_chunk()?;
    let mut parts = rest.splitn(3, |byte| *byte == 0);
    let text = parts.nth(2)?;
    let text = if is_packed == 0 { text.get(..LONGEST_TEXT.min(text.len()))?.to_vec() } else { unpacked(text)? };
    field(key, String::from_utf8(text).ok()?)
}

/// None for what cannot be unpacked, or is longer than any recipe.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let most = u64::try_from(LONGEST_TEXT).ok()? + 1;
    ZlibDecoder::new(bytes).take(most).read_to_end(&mut text).ok()?;
    (text.len() <= LONGEST_TEXT).then_some(text)
}

fn of_jpeg(mut rest: &[u8]) -> Vec<Field> {
    const EXIF: u8 = 0xe1;
    const START_OF_SCAN: u8 = 0xda;
    let mut fields = Vec::new();
    while let Some((&[0xff, marker], after)) = rest.split_first_chunk() {
        match marker {
            // Any number of them may stand before a marker.
            0xff => {
                rest = &rest[1..];
                continue;
            }
            // Markers without a segment.
            0x01 | 0xd0..=0xd8 => {
                rest = after;
                continue;
            }
            START_OF_SCAN => break,
            _ => {}
        }
        let Some((length, _)) = after.split_first_chunk() else { break };
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((segment, after)) = after.split_at_checked(length).filter(|_| length >= 2) else { break };
        if marker == EXIF && segment[2..].starts_with(b"Exif\0\0") {
            fields.extend(of_exif(&segment[2..]));
        }
        if fields.len() >= MOST_TEXTS {
            break;
        }
        rest = after;
    }
    fields
}

fn of_webp(mut rest: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    while let Some((kind, after)) = rest.split_first_chunk::<4>() {
        let Some((length, after)) = after.split_first_chunk() else { break };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((data, after)) = after.split_at_checked(length) else { break };
        if kind == b"EXIF" {
            fields.extend(of_exif(data));
        }
        if fields.len() >= MOST_TEXTS {
            break;
        }
        // Chunks begin at even bytes.
        rest = after.get(length % 2..).unwrap_or_default();
    }
    fields
}

fn of_exif(block: &[u8]) -> Vec<Field> {
    let texts = exif::texts(block).into_iter().filter(|text| text.text.len() <= LONGEST_TEXT);
    texts.map(|exif::Text { key, text }| Field { key, text }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use std::io::Write as _;

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length[..], kind, data, b"\0\0\0\0"].concat()
    }

    fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
        [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat(), chunk(b"IEND", b"")].concat()
    }

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Vec<(String, String)> {
        of_picture(bytes).unwrap().into_iter().map(|field| (field.key, field.text)).collect()
    }

    #[test]
    fn every_kind_of_png_text_is_read_and_strangers_are_left() {
        let bytes = png(&[
            chunk(b"IHDR", &[0; 13]),
            chunk(b"tEXt", b"Software\0somebody"),
            chunk(b"tEXt", b"parameters\0caf\xe9"),
            chunk(b"zTXt", &[&b"prompt\0\0"[..], &packed(b"{\"1\": 2}")].concat()),
            chunk(b"iTXt", "workflow\0\0\0ja\0名\0{}".as_bytes()),
            chunk(b"iTXt", &[&b"invokeai_metadata\0\x01\0\0\0"[..], &packed("赤".as_bytes())].concat()),
        ]);
        let wanted =
            [("parameters", "café"), ("prompt", "{\"1\": 2}"), ("workflow", "{}"), ("invokeai_metadata", "赤")];
        assert_eq!(read(&bytes), wanted.map(|(key, text)| (key.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_text_that_unpacks_without_end_is_not_taken() {
        let bomb = packed(&vec![b'x'; LONGEST_TEXT + 1]);
        assert!(bomb.len() < 10_000);
        assert_eq!(read(&png(&[chunk(b"zTXt", &[&b"parameters\0\0"[..], &bomb].concat())])), []);
        let fits = packed(&vec![b'x'; LONGEST_TEXT]);
        assert_eq!(read(&png(&[chunk(b"zTXt", &[&b"parameters\0\0"[..], &fits].concat())])).len(), 1);
        assert_eq!(read(&png(&[chunk(b"zTXt", b"parameters\0\0not packed")])), []);
    }

    #[test]
    fn a_file_cut_short_anywhere_is_read_as_far_as_it_goes() {
        let bytes = png(&[chunk(b"tEXt", b"parameters\0red heart")]);
        for length in 8..bytes.len() {
            let found = read(&bytes[..length]);
            assert!(found.is_empty() || found[0].1 == "red heart", "{length}");
        }
        assert_eq!(of_picture(b"GIF89a"), None);
        assert_eq!(of_picture(b""), None);
        assert_eq!(read(b"\xff\xd8\xff\xe1\xff\xff"), []);
        assert_eq!(read(b"RIFF\0\0\0\0WEBPEXIF\xff\xff\xff\xff"), []);
    }
}
