//! What the first bytes of a file are, whatever its name says. A pickle called `.safetensors` is found here.

use crate::pickle::begins_like_pickle;
use paintbox_domain::FileFormat;

/// What a file begins like. Only [`Sniffed::Safetensors`] and [`Sniffed::Gguf`] are ever opened further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sniffed {
    Safetensors,
    Gguf,
    /// A Python pickle, or a zip that holds one (what `torch.save` writes).
    Pickle,
    /// zip, gzip, xz, zstd, bzip2, 7z, rar or tar.
    Archive,
    /// A web page or other markup, such as a login page or a storage server's XML error.
    Html,
    Json,
    /// PNG, JPEG, WebP or GIF.
    Image,
    /// Readable text of no other kind, such as a Git LFS pointer.
    Text,
    Empty,
    Unknown,
}

impl Sniffed {
    /// The container format as the catalogue names it.
    #[must_use]
    pub fn format(self) -> FileFormat {
        match self {
            Self::Safetensors => FileFormat::Safetensors,
            Self::Gguf => FileFormat::Gguf,
            Self::Pickle => FileFormat::Pickle,
            Self::Archive => FileFormat::Archive,
            Self::Json => FileFormat::Json,
            Self::Html | Self::Text => FileFormat::Text,
            Self::Image => FileFormat::Image,
            Self::Empty | Self::Unknown => FileFormat::Other,
        }
    }

    /// What to call it in a sentence.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Self::Safetensors => "a safetensors file",
            Self::Gguf => "a GGUF file",
            Self::Pickle => "a Python pickle",
            Self::Archive => "an archive",
            Self::Html => "a web page",
            Self::Json => "a JSON document",
            Self::Image => "an image",
            Self::Text => "a text",
            Self::Empty => "an empty file",
            Self::Unknown => "an unknown kind of file",
        }
    }
}

impl std::fmt::Display for Sniffed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.described())
    }
}

/// Says what a file is from its first bytes; a few hundred are enough, fewer give a less certain answer.
#[must_use]
pub fn sniff(head: &[u8]) -> Sniffed {
    if head.is_empty() {
        return Sniffed::Empty;
    }
    if head.starts_with(b"GGUF") {
        return Sniffed::Gguf;
    }
    // Before pickles: a header of 640 bytes begins with 0x80 0x02, as a pickle of protocol 2 does.
    if begins_like_safetensors(head) {
        return Sniffed::Safetensors;
    }
    if begins_like_image(head) {
        return Sniffed::Image;
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return if names_a_pickle(head) { Sniffed::Pickle } else { Sniffed::Archive };
    }
    if begins_like_archive(head) {
        return Sniffed::Archive;
    }
    if begins_like_pickle(head) {
        return Sniffed::Pickle;
    }
    sniff_text(head)
}

/// A length that the reference implementation would accept, then an opening brace.
fn begins_like_safetensors(head: &[u8]) -> bool {
    let Some((prefix, rest)) = head.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*prefix) <= crate::safetensors::MAX_HEADER_BYTES && rest.first() == Some(&b'{')
        // A length of ASCII letters is text that happens to have a brace in the ninth place; no header is below two.
        && u64::from_le_bytes(*prefix) >= 2
}

fn begins_like_image(head: &[u8]) -> bool {
    head.starts_with(b"\x89PNG\r\n\x1a\n")
        || head.starts_with(b"\xff\xd8\xff")
        || head.starts_with(b"GIF87a")
        || head.starts_with(b"GIF89a")
        || (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP"))
}

fn begins_like_archive(head: &[u8]) -> bool {
    const TAR_MAGIC_OFFSET: usize = 257;
    let magics: [&[u8]; 6] =
        [b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"BZh", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"];
    magics.iter().any(|magic| head.starts_with(magic))
        || head.get(TAR_MAGIC_OFFSET..TAR_MAGIC_OFFSET + 5) == Some(b"ustar")
}

/// `torch.save` writes `<name>/data.pkl` as the zip's first entry, so the name is in the first bytes.
fn names_a_pickle(head: &[u8]) -> bool {
    head.windows(4).any(|window| window.eq_ignore_ascii_case(b".pkl"))
}

fn sniff_text(head: &[u8]) -> Sniffed {
    let without_mark = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = without_mark.trim_ascii_start();
    match text {
        [b'<', next, ..] if next.is_ascii_alphabetic() || matches!(next, b'!' | b'?') => Sniffed::Html,
        [b'{' | b'[', ..] => Sniffed::Json,
        _ if is_readable(without_mark) => Sniffed::Text,
        _ => Sniffed::Unknown,
    }
}

/// UTF-8 without control characters; the last character may be cut off by the end of the head.
fn is_readable(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|character| !character.is_control() || character.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safetensors_header_of_640_bytes_is_not_taken_for_a_pickle() {
        let mut head = 640_u64.to_le_bytes().to_vec();
        head.extend_from_slice(b"{\"a\":");
        assert_eq!(sniff(&head), Sniffed::Safetensors);
    }

    #[test]
    fn pickles_are_found_by_their_bytes() {
        // `pickle.dumps({"a": 1}, protocol)` of CPython, protocols 0 to 5.
        let dumps: [&[u8]; 6] = [
            b"(dp0\nVa\np1\nI1\ns.",
            b"}q\x00X\x01\x00\x00\x00aq\x01K\x01s.",
            b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s.",
            b"\x80\x03}q\x00X\x01\x00\x00\x00aq\x01K\x01s.",
            b"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s.",
            b"\x80\x05\x95\x0a\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s.",
        ];
        for dump in dumps {
            assert_eq!(sniff(dump), Sniffed::Pickle, "{}", dump.escape_ascii());
        }
        assert_eq!(sniff(b"cos\nsystem\n(S'true'\ntR."), Sniffed::Pickle);
        assert_eq!(sniff(b"c__builtin__\neval\np0\n(Vprint(1)\np1\ntp2\nRp3\n."), Sniffed::Pickle);
        // The legacy container of torch, a pickled magic number first.
        assert_eq!(sniff(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."), Sniffed::Pickle);
    }

    #[test]
    fn a_zip_that_names_a_pickle_is_a_pickle_and_another_is_an_archive() {
        let torch = b"PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x12\x00archive/data.pklFB";
        assert_eq!(sniff(torch), Sniffed::Pickle);
        assert_eq!(sniff(b"PK\x03\x04\x14\x00\x00\x00\x08\x00pose.png"), Sniffed::Archive);
        assert_eq!(sniff(b"\x1f\x8b\x08\x00"), Sniffed::Archive);
    }

    #[test]
    fn pages_texts_and_pictures_are_told_apart() {
        assert_eq!(sniff(b""), Sniffed::Empty);
        assert_eq!(sniff(b"\n  <!DOCTYPE html><html>"), Sniffed::Html);
        assert_eq!(sniff(b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>"), Sniffed::Html);
        assert_eq!(sniff(b"{\"error\":\"Unauthorized\"}"), Sniffed::Json);
        assert_eq!(sniff(b"\xef\xbb\xbf[1]"), Sniffed::Json);
        assert_eq!(sniff(b"version https://git-lfs.github.com/spec/v1\noid sha256:00"), Sniffed::Text);
        assert_eq!(sniff("Lizenz: für alle".as_bytes()), Sniffed::Text);
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n\0\0"), Sniffed::Image);
        assert_eq!(sniff(b"RIFF\x00\x00\x00\x00WEBPVP8 "), Sniffed::Image);
        assert_eq!(sniff(b"GGUF\x03\0\0\0"), Sniffed::Gguf);
        assert_eq!(sniff(b"\x00\x01\x02\x03\x04"), Sniffed::Unknown);
        assert_eq!(sniff(b"I am a sentence.\nAnd another."), Sniffed::Text);
        assert_eq!(sniff(b"N.B. this is a readme"), Sniffed::Text);
        assert_eq!(sniff(b"(c) 2024 somebody. All rights reserved."), Sniffed::Text);
    }
}
