//! The EXIF block of a picture: a TIFF file without a picture of its own, whose `UserComment` holds the recipe.
//!
//! Exif 2.32 (CIPA DC-008-2019), 4.6.5 `UserComment`, and TIFF 6.0, section 2. ComfyUI writes its graphs into the camera's
//! maker and model instead (comfyanonymous/ComfyUI, `comfy_extras/nodes_images.py`, `SaveAnimatedWEBP`).

/// The tag of IFD 0 that points to the camera's own fields.
const EXIF_IFD: u16 = 0x8769;
const USER_COMMENT: u16 = 0x9286;
/// Description, maker and model: texts that ComfyUI takes for its own, each beginning with its name and a colon.
const TEXTS: std::ops::RangeInclusive<u16> = 0x010e..=0x0110;
/// TIFF's types of values.
const ASCII: u16 = 2;
const LONG: u16 = 4;
const UNDEFINED: u16 = 7;
/// What a comment in UTF-16 begins with; eight bytes name the encoding.
const UNICODE: &[u8; 8] = b"UNICODE\0";
/// A header, one directory with one entry, and another one.
const COMMENT_AT: usize = 8 + 2 * DIRECTORY;
/// The number of entries, one entry, and where the next directory is.
const DIRECTORY: usize = 2 + 12 + 4;

/// A block with `text` as its comment, as piexif 1.1.3 makes it for A1111: big-endian throughout, the text as UTF-16.
pub(super) fn with_user_comment(text: &str) -> Vec<u8> {
    let comment: Vec<u8> = UNICODE.iter().copied().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    let length = u32::try_from(comment.len()).unwrap_or(u32::MAX);
    let mut block = Vec::with_capacity(COMMENT_AT + comment.len());
    block.extend(b"MM\0*");
    block.extend(8u32.to_be_bytes());
    directory(&mut block, EXIF_IFD, LONG, 1, 8 + DIRECTORY);
    directory(&mut block, USER_COMMENT, UNDEFINED, length, COMMENT_AT);
    block.extend(comment);
    block
}

/// A directory of one entry, and no other after it.
fn directory(block: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: usize) {
    block.extend(1u16.to_be_bytes());
    block.extend(tag.to_be_bytes());
    block.extend(kind.to_be_bytes());
    block.extend(count.to_be_bytes());
    block.extend(u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes());
    block.extend(0u32.to_be_bytes());
}

/// A text of the block: under `parameters` what the comment says, under ComfyUI's own names its graphs.
pub(super) struct Text {
    pub(super) key: String,
    pub(super) text: String,
}

/// The texts of a block in which recipes lie. What breaks TIFF's rules has none.
pub(super) fn texts(block: &[u8]) -> Vec<Text> {
    let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    let mut texts = Vec::new();
    let Some(tiff) = Tiff::of(block) else { return texts };
    let Some(first) = tiff.long(4) else { return texts };
    let mut exif = None;
    for entry in tiff.entries(first) {
        match entry.tag {
            EXIF_IFD if entry.kind == LONG => exif = tiff.long(entry.value_at),
            // Some programs write it here, where it does not belong.
            USER_COMMENT => texts.extend(tiff.comment(&entry)),
            tag if TEXTS.contains(&tag) && entry.kind == ASCII => texts.extend(tiff.named_text(&entry)),
            _ => {}
        }
    }
    let entries = exif.map(|at| tiff.entries(at)).unwrap_or_default();
    texts.extend(entries.iter().filter(|entry| entry.tag == USER_COMMENT).filter_map(|entry| tiff.comment(entry)));
    texts
}

/// Entries of a directory that are looked at; a camera writes some dozens.
const MOST_ENTRIES: u16 = 512;

struct Tiff<'a> {
    block: &'a [u8],
    is_big_endian: bool,
}

struct Entry {
    tag: u16,
    kind: u16,
    /// Values; here all of one byte, but for offsets.
    count: usize,
    /// Where the value is, or its offset if it has more than four bytes.
    value_at: usize,
}

impl<'a> Tiff<'a> {
    fn of(block: &'a [u8]) -> Option<Self> {
        let is_big_endian = match block.get(..4)? {
            b"MM\0*" => true,
            b"II*\0" => false,
            _ => return None,
        };
        Some(Self { block, is_big_endian })
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = self.block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<usize> {
        let bytes = self.block.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let number = if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        usize::try_from(number).ok()
    }

    fn entries(&self, at: usize) -> Vec<Entry> {
        let count = self.short(at).unwrap_or(0).min(MOST_ENTRIES);
        let entry = |index: u16| {
            let at = at.checked_add(2)?.checked_add(12 * usize::from(index))?;
            let value_at = at.checked_add(8)?;
            let count = self.long(at.checked_add(4)?)?;
            Some(Entry { tag: self.short(at)?, kind: self.short(at + 2)?, count, value_at })
        };
        (0..count).map_while(entry).collect()
    }

    /// The bytes of a value of which each takes one.
    fn bytes(&self, entry: &Entry) -> Option<&'a [u8]> {
        let at = if entry.count <= 4 { entry.value_at } else { self.long(entry.value_at)? };
        self.block.get(at..at.checked_add(entry.count)?)
    }

    fn comment(&self, entry: &Entry) -> Option<Text> {
        let text = user_comment(self.bytes(entry)?, self.is_big_endian)?;
        Some(Text { key: "parameters".to_owned(), text })
    }

    fn named_text(&self, entry: &Entry) -> Option<Text> {
        let text = String::from_utf8_lossy(self.bytes(entry)?);
        let (key, text) = text.trim_end_matches('\0').split_once(':')?;
        let key = key.trim().to_ascii_lowercase();
        matches!(key.as_str(), "prompt" | "workflow" | "parameters").then(|| Text { key, text: text.to_owned() })
    }
}

/// The text of a comment by the encoding that it names. UTF-16 has the byte order of its mark, else that in which more of
/// its upper bytes are zero, else the block's: programs disagree on it. A comment in JIS is read if it is plain ASCII.
fn user_comment(comment: &[u8], is_big_endian: bool) -> Option<String> {
    let (code, text) = comment.split_at_checked(8)?;
    let text = match code {
        _ if code == UNICODE => utf16(text, is_big_endian),
        b"JIS\0\0\0\0\0" if !text.is_ascii() || text.contains(&0x1b) => return None,
        // ASCII, undefined, or a code of somebody's own: UTF-8 in practice.
        _ => String::from_utf8_lossy(text).into_owned(),
    };
    let text = text.trim_matches('\0').trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn utf16(bytes: &[u8], is_big_endian: bool) -> String {
    let zeroes = |from: usize| bytes.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let (bytes, is_big_endian) = match bytes {
        [0xfe, 0xff, rest @ ..] => (rest, true),
        [0xff, 0xfe, rest @ ..] => (rest, false),
        _ if zeroes(0) == zeroes(1) => {
            // Some write UTF-8 under this name; text in UTF-16 without a single zero is hardly ever UTF-8 as well.
            match std::str::from_utf8(bytes) {
                Ok(text) if zeroes(0) == 0 => return text.to_owned(),
                _ => (bytes, is_big_endian),
            }
        }
        _ => (bytes, zeroes(0) > zeroes(1)),
    };
    let units = bytes.chunks_exact(2).map(|pair| {
        let pair = [pair[0], pair[1]];
        if is_big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    });
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Bytes that a block around a comment of so many UTF-16 units takes.
pub(super) fn block_bytes(units: usize) -> usize {
    COMMENT_AT + UNICODE.len() + 2 * units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_lies_where_its_directory_says() {
        let block = with_user_comment("赤 a");
        assert_eq!(block.len(), block_bytes(3));
        let comment = b"UNICODE\0\x8d\x64\0 \0a";
        let count = u32::try_from(comment.len()).unwrap().to_be_bytes();
        let wanted = [
            &b"MM\0*\0\0\0\x08"[..],
            b"\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0",
            b"\0\x01\x92\x86\0\x07",
            &count,
            b"\0\0\0\x2c\0\0\0\0",
            comment,
        ];
        assert_eq!(block, wanted.concat());
    }

    /// A little-endian block with one directory of these entries, each of bytes behind it.
    fn little_endian(entries: &[(u16, u16, &[u8])]) -> Vec<u8> {
        let mut block = [&b"II*\0\x08\0\0\0"[..], &u16::try_from(entries.len()).unwrap().to_le_bytes()].concat();
        let mut data_at = block.len() + 12 * entries.len() + 4;
        for (tag, kind, data) in entries {
            block.extend(tag.to_le_bytes());
            block.extend(kind.to_le_bytes());
            block.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            block.extend(u32::try_from(data_at).unwrap().to_le_bytes());
            data_at += data.len();
        }
        block.extend([0; 4]);
        entries.iter().for_each(|(_, _, data)| block.extend(*data));
        block
    }

    fn read(block: &[u8]) -> Vec<(String, String)> {
        texts(block).into_iter().map(|text| (text.key, text.text)).collect()
    }

    #[test]
    fn comments_are_read_in_every_encoding_and_order() {
        let utf16 = |text: &str, order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let text = "赤 heart\nSteps: 1";
        for (comment, wanted) in [
            ([&b"ASCII\0\0\0"[..], b"heart\0\0"].concat(), "heart"),
            ([&b"UNICODE\0"[..], &utf16(text, u16::to_be_bytes)].concat(), text),
            ([&b"UNICODE\0"[..], &utf16(text, u16::to_le_bytes)].concat(), text),
            ([&b"UNICODE\0\xff\xfe"[..], &utf16(text, u16::to_le_bytes)].concat(), text),
            ([&b"UNICODE\0\xfe\xff"[..], &utf16(text, u16::to_be_bytes)].concat(), text),
            ([&b"UNICODE\0"[..], text.as_bytes()].concat(), text),
            ([&b"\0\0\0\0\0\0\0\0"[..], text.as_bytes()].concat(), text),
            ([&b"UTF8\0\0\0\0"[..], text.as_bytes()].concat(), text),
            ([&b"JIS\0\0\0\0\0"[..], b"heart"].concat(), "heart"),
        ] {
            let block = little_endian(&[(USER_COMMENT, UNDEFINED, &comment)]);
            assert_eq!(read(&block), [("parameters".to_owned(), wanted.to_owned())], "{comment:?}");
        }
        for nothing in [&b"JIS\0\0\0\0\0\x1b$B"[..], b"ASCII", b"UNICODE\0\0\0"] {
            assert_eq!(read(&little_endian(&[(USER_COMMENT, UNDEFINED, nothing)])), []);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for text in ["赤いハート\nSteps: 1", "x", "\u{10ffff}é"] {
            let wanted = [("parameters".to_owned(), text.to_owned())];
            assert_eq!(read(&with_user_comment(text)), wanted);
            assert_eq!(read(&[b"Exif\0\0", &with_user_comment(text)[..]].concat()), wanted);
        }
    }

    #[test]
    fn comfyuis_graphs_are_found_by_their_names() {
        let block = little_endian(&[
            (0x010f, ASCII, b"workflow:{\"a\": 1}\0"),
            (0x0110, ASCII, b"prompt:{}\0"),
            (0x010e, ASCII, b"a camera\0"),
        ]);
        let found = read(&block);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], ("workflow".to_owned(), "{\"a\": 1}".to_owned()));
    }

    #[test]
    fn a_block_cut_short_anywhere_is_no_panic() {
        let block = with_user_comment("red heart");
        for length in 0..block.len() {
            assert!(texts(&block[..length]).is_empty(), "{length}");
        }
    }
}
