//! The digests that CivitAI lists for a file, computed as its scanner does.
//!
//! Rules: civitai/model-scanner at `afd1e03`, `orchestrator/ModelScanner/Tasks/HashTask.cs`.

use paintbox_domain::digest::to_hex;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

const MIB: usize = 1024 * 1024;
/// A header said to be longer than this is taken for no header.
const LONGEST_HEADER_BYTES: u64 = 16 * MIB as u64;

/// The `hashes` object of a file: upper-case hexadecimal, AutoV1 only from 2 MiB on.
pub(super) fn hashes(bytes: &[u8]) -> Map<String, Value> {
    let sha256 = upper(&Sha256::digest(bytes));
    let mut hashes = Map::new();
    let mut add = |name: &str, value: String| hashes.insert(name.to_owned(), Value::String(value));
    if bytes.len() >= 2 * MIB {
        add("AutoV1", upper(&Sha256::digest(&bytes[MIB..MIB + 0x10000]))[..8].to_owned());
    }
    add("AutoV2", sha256[..10].to_owned());
    add("SHA256", sha256);
    add("CRC32", format!("{:08X}", crc32(bytes)));
    add("BLAKE3", blake3::hash(bytes).to_hex().to_ascii_uppercase());
    add("AutoV3", upper(&Sha256::digest(after_header(bytes)))[..12].to_owned());
    hashes
}

/// What follows a safetensors header; all but the first eight bytes where there is none.
fn after_header(bytes: &[u8]) -> &[u8] {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return &[] };
    let length = u64::from_le_bytes(*length);
    let skipped = if length < LONGEST_HEADER_BYTES { usize::try_from(length).unwrap_or(usize::MAX) } else { 0 };
    rest.get(skipped..).unwrap_or_default()
}

fn upper(bytes: &[u8]) -> String {
    to_hex(bytes).to_ascii_uppercase()
}

/// CRC-32 as in zip and PNG (reflected polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|index| {
        (0..8).fold(u32::try_from(index).unwrap_or_default(), |value, _| {
            if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 }
        })
    });
    let step = |sum: u32, byte: &u8| table[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ sum >> 8;
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_crc32_comes_out() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn the_short_forms_belong_to_their_long_ones() {
        let mut bytes = 2u64.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"{}tensors");
        let hashes = hashes(&bytes);
        let text = |name: &str| hashes[name].as_str().unwrap().to_owned();
        assert!(text("SHA256").starts_with(&text("AutoV2")));
        assert_eq!(text("AutoV3"), upper(&Sha256::digest(b"tensors"))[..12]);
        assert!(!hashes.contains_key("AutoV1"), "the file is under 2 MiB");
    }

    #[test]
    fn a_file_without_a_header_is_hashed_from_its_ninth_byte() {
        assert_eq!(after_header(b"\xff\xff\xff\xff\xff\xff\xff\x7fabc"), b"abc");
        assert_eq!(after_header(b"short"), b"");
        assert_eq!(after_header(&[200, 0, 0, 0, 0, 0, 0, 0, 1]), b"");
    }
}
