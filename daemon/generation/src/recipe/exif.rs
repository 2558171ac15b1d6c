//! The EXIF block of a JPEG or WebP: a TIFF file without a picture, whose `UserComment` holds the recipe.
//!
//! Exif 2.32 (CIPA DC-008-2019), 4.6.5 `UserComment`, and TIFF 6.0, section 2.

/// The tag of IFD 0 that points to the camera's own fields.
const EXIF_IFD: u16 = 0x8769;
const USER_COMMENT: u16 = 0x9286;
/// TIFF's types of values.
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
}
