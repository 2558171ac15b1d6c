//! Every digest of a file in one pass over its bytes.
//!
//! AutoV3 is CivitAI's digest of a file without its header, which survives edits to a LoRA's metadata: SHA-256 of
//! what follows byte 8 + N, N being the little-endian length in the first eight bytes; from byte 8 when N is 16 MiB or
//! more, as in files that have no such header (civitai/model-scanner @ afd1e03,
//! `orchestrator/ModelScanner/Tasks/HashTask.cs`). Its first twelve digits are what people quote.

use crate::StoreError;
use paintbox_domain::{Blake3, GitSha1, Sha256, digest};
use sha2::Digest;
use std::io::{self, Read};

/// A header of this length or more is taken for something that is not a header.
const AUTO_V3_HEADER_LIMIT_BYTES: u64 = 16 * 1024 * 1024;
const AUTO_V3_DIGITS: usize = 12;
const READ_BUFFER_BYTES: usize = 1024 * 1024;

/// The digests of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    pub sha256: Sha256,
    pub blake3: Blake3,
    /// Twelve hexadecimal digits, upper case as CivitAI prints them; absent when nothing follows the header.
    pub auto_v3: Option<String>,
    pub size_bytes: u64,
}

/// What a hub says about a file. What it does not say is not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The exact length in bytes; a rounded one must not be given.
    pub size: Option<u64>,
    pub sha256: Option<Sha256>,
    pub git_sha1: Option<GitSha1>,
}

impl Expected {
    /// Compares digests with what was expected of `key`. `git_sha1` is asked for git's digest only if that is expected,
    /// because it takes another read.
    pub(crate) fn compare(
        &self,
        key: &str,
        digests: &Digests,
        git_sha1: impl FnOnce() -> Result<GitSha1, StoreError>,
    ) -> Result<(), StoreError> {
        let mismatch = |algorithm, expected: String, found: String| StoreError::DigestMismatch {
            key: key.to_owned(),
            algorithm,
            expected,
            found,
            size_bytes: digests.size_bytes,
        };
        if let Some(wanted) = self.sha256.filter(|wanted| *wanted != digests.sha256) {
            return Err(mismatch("SHA-256", wanted.to_hex(), digests.sha256.to_hex()));
        }
        if let Some(wanted) = self.git_sha1 {
            let found = git_sha1()?;
            if found != wanted {
                return Err(mismatch("git SHA-1", wanted.to_hex(), found.to_hex()));
            }
        }
        Ok(())
    }
}

/// Hashing that goes on as bytes arrive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hashing {
    sha256: sha2::Sha256,
    blake3: blake3::Hasher,
    tensors: TensorHashing,
    size_bytes: u64,
}

impl Hashing {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.blake3.update(bytes);
        self.tensors.update(bytes);
        self.size_bytes += bytes.len() as u64;
    }

    /// Reads to the end, and shows every piece to `see`.
    pub(crate) fn update_from(&mut self, reader: &mut impl Read, mut see: impl FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.update(&buffer[..count]);
                    see(&buffer[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The digests so far. Hashing may go on afterwards.
    pub(crate) fn digests(&self) -> Digests {
        Digests {
            sha256: Sha256::from_bytes(self.sha256.clone().finalize().into()),
            blake3: Blake3::from_bytes(*self.blake3.finalize().as_bytes()),
            auto_v3: self.tensors.auto_v3(),
            size_bytes: self.size_bytes,
        }
    }
}

/// The SHA-256 of `bytes`, for things too small to need the other digests.
pub(crate) fn sha256_of(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// Git's id of `size_bytes` bytes from `reader`. The length comes first in what is hashed, so this cannot be done
/// while a body of unknown length arrives; hubs give it for small files only, where a second read costs nothing.
pub(crate) fn git_sha1_of(reader: &mut impl Read, size_bytes: u64) -> io::Result<GitSha1> {
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {size_bytes}\0"));
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(GitSha1::from_bytes(hash.finalize().into())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// SHA-256 of what follows the header, whose length is known once eight bytes are here.
#[derive(Debug, Clone, Default)]
struct TensorHashing {
    length_field: [u8; 8],
    length_field_filled: usize,
    header_bytes_left: u64,
    hash: sha2::Sha256,
    hashed_any: bool,
}

impl TensorHashing {
    fn update(&mut self, mut bytes: &[u8]) {
        if self.length_field_filled < 8 {
            let taken = bytes.len().min(8 - self.length_field_filled);
            self.length_field[self.length_field_filled..][..taken].copy_from_slice(&bytes[..taken]);
            self.length_field_filled += taken;
            bytes = &bytes[taken..];
            if self.length_field_filled < 8 {
                return;
            }
            let header_bytes = u64::from_le_bytes(self.length_field);
            self.header_bytes_left = if header_bytes < AUTO_V3_HEADER_LIMIT_BYTES { header_bytes } else { 0 };
        }
        let skipped = usize::try_from(self.header_bytes_left).unwrap_or(usize::MAX).min(bytes.len());
        self.header_bytes_left -= skipped as u64;
        let bytes = &bytes[skipped..];
        if !bytes.is_empty() {
            self.hash.update(bytes);
            self.hashed_any = true;
        }
    }

    fn auto_v3(&self) -> Option<String> {
        self.hashed_any.then(|| {
            let mut digits = digest::to_hex(&self.hash.clone().finalize());
            digits.truncate(AUTO_V3_DIGITS);
            digits.to_ascii_uppercase()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digests_of(bytes: &[u8]) -> Digests {
        let mut hashing = Hashing::default();
        hashing.update(bytes);
        hashing.digests()
    }

    #[test]
    fn digests_agree_with_other_tools() {
        // `printf abc | sha256sum`, `| b3sum`, `| git hash-object --stdin`.
        let digests = digests_of(b"abc");
        assert_eq!(digests.sha256.to_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digests.blake3.to_hex(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        assert_eq!(digests.size_bytes, 3);
        assert_eq!(digests.auto_v3, None);
        let git = git_sha1_of(&mut &b"abc"[..], 3).unwrap();
        assert_eq!(git.to_hex(), "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f");
    }

    #[test]
    fn the_tiny_model_has_the_digests_that_python_finds() {
        // hashlib over tests/fixtures/tiny-model/tiny-emoji.safetensors: the whole file, what follows its header, and
        // the file behind git's "blob <length>\0".
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tiny-model/tiny-emoji.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let digests = digests_of(&bytes);
        assert_eq!(digests.size_bytes, 16_138_214);
        assert_eq!(digests.sha256.to_hex(), "74720ba1e684fb89cb28fda39ed8e09adfd75972ee455e33b09dba5e3f94efba");
        assert_eq!(digests.auto_v3.as_deref(), Some("E15E846F1547"));
        let git = git_sha1_of(&mut &bytes[..], digests.size_bytes).unwrap();
        assert_eq!(git.to_hex(), "2e2173bf003e26966ffa752642fdbdb56e05eac0");
    }

    #[test]
    fn auto_v3_leaves_out_the_header_unless_it_cannot_be_one() {
        let short = |bytes: &[u8]| sha256_of(bytes).to_hex()[..12].to_ascii_uppercase();
        let with_length = |length: u64, rest: &[u8]| [&length.to_le_bytes()[..], rest].concat();

        assert_eq!(digests_of(&with_length(3, b"{} tensors")).auto_v3, Some(short(b"tensors")));
        assert_eq!(digests_of(&with_length(0, b"tensors")).auto_v3, Some(short(b"tensors")));
        let limit = AUTO_V3_HEADER_LIMIT_BYTES;
        assert_eq!(digests_of(&with_length(limit, b"pickle")).auto_v3, Some(short(b"pickle")));
        assert_eq!(digests_of(&with_length(u64::MAX, b"pickle")).auto_v3, Some(short(b"pickle")));
        // Nothing behind the header, and a header that the file is too short for.
        assert_eq!(digests_of(&with_length(2, b"{}")).auto_v3, None);
        assert_eq!(digests_of(&with_length(limit - 1, b"{}")).auto_v3, None);
        assert_eq!(digests_of(b"").auto_v3, None);
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_digests_of_the_whole(
            header_bytes in 0u64..40,
            rest in proptest::collection::vec(any::<u8>(), 0..200),
            cuts in proptest::collection::vec(0usize..250, 0..8),
        ) {
            let whole = [&header_bytes.to_le_bytes()[..], &rest].concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let mut hashing = Hashing::default();
            for pair in cuts.windows(2) {
                hashing.update(&whole[pair[0]..pair[1]]);
            }
            prop_assert_eq!(hashing.digests(), digests_of(&whole));
        }
    }
}
