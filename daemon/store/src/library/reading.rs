//! The bytes of a library's file: some of them, to resolve a doubt, or all of them, for its digests.

use super::look::look_of;
use crate::StoreError;
use crate::hashing::{Digests, Hashing};
use crate::rereading::{forget_cached, read_past_the_cache};
use paintbox_domain::{Blake3, FileLook};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of one piece of a sample.
const PIECE_BYTES: u64 = 4096;
/// The first and the last piece, and those between.
const PIECES: u64 = 6;
/// Bytes of one [`DigestReading::read`].
const STEP_BYTES: usize = 4 << 20;

/// BLAKE3 of a few pieces spread over a file, its beginning and its end among them. Two files of the same name, length
/// and time of change whose samples agree are taken for the same; a difference proves that they are not.
///
/// # Errors
/// When the file cannot be read.
pub fn sample(file: &File, size_bytes: u64) -> io::Result<Blake3> {
    let mut hash = blake3::Hasher::new();
    let mut piece = [0u8; PIECE_BYTES as usize];
    let last = size_bytes.saturating_sub(PIECE_BYTES);
    for index in 0..PIECES {
        let at = last / (PIECES - 1) * index;
        let at = if index == PIECES - 1 { last } else { at };
        let mut filled = 0;
        while filled < piece.len() {
            match file.read_at(&mut piece[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        hash.update(&piece[..filled]);
        if size_bytes <= PIECE_BYTES {
            break;
        }
    }
    hash.update(&size_bytes.to_le_bytes());
    Ok(Blake3::from_bytes(*hash.finalize().as_bytes()))
}

/// A file that is being read to its end, a few megabytes at a time, so that whoever reads can pause or stop in between.
/// Nothing that people work with is pushed out of memory for it.
#[derive(Debug)]
pub struct DigestReading {
    path: PathBuf,
    file: File,
    look: FileLook,
    hashing: Hashing,
    buffer: Vec<u8>,
}

impl DigestReading {
    /// # Errors
    /// [`StoreError::Io`].
    pub fn begin(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("open", path))?;
        let look = look_of(&file.metadata().map_err(StoreError::io("look at", path))?);
        read_past_the_cache(&file);
        Ok(Self { path: path.to_owned(), file, look, hashing: Hashing::default(), buffer: vec![0; STEP_BYTES] })
    }

    /// What the file looked like when it was opened.
    #[must_use]
    pub const fn look(&self) -> &FileLook {
        &self.look
    }

    /// Reads on. How many bytes were read; 0 at the end.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn read(&mut self) -> Result<u64, StoreError> {
        let at = self.hashing.size_bytes();
        let count = loop {
            match self.file.read_at(&mut self.buffer, at) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("read", &self.path)(error)),
            }
        };
        self.hashing.update(&self.buffer[..count]);
        forget_cached(&self.file);
        Ok(count as u64)
    }

    /// The digests of what was read, and what the file looked like from its first byte to its last; none if it changed
    /// meanwhile, so that the digests are of nothing that ever was.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn finish(self) -> Result<Option<(FileLook, Digests)>, StoreError> {
        let metadata = self.file.metadata().map_err(StoreError::io("look at", &self.path))?;
        let is_same = look_of(&metadata) == self.look && self.hashing.size_bytes() == self.look.size_bytes;
        Ok(is_same.then(|| (self.look, self.hashing.digests())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_tells_beginnings_ends_and_lengths_apart() {
        let folder = tempfile::tempdir().unwrap();
        let sample_of = |bytes: &[u8]| {
            let path = folder.path().join("file");
            std::fs::write(&path, bytes).unwrap();
            sample(&File::open(path).unwrap(), bytes.len() as u64).unwrap()
        };
        let whole = vec![7u8; 100_000];
        let first = sample_of(&whole);
        assert_eq!(sample_of(&whole), first);
        for at in [0, 4_095, 99_999] {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert_ne!(sample_of(&other), first, "byte {at}");
        }
        assert_ne!(sample_of(&whole[1..]), first);
        assert_ne!(sample_of(b""), sample_of(b"a"));
        assert_ne!(sample_of(b"a"), sample_of(b"b"));
    }

    #[test]
    fn digests_of_a_file_that_changes_while_it_is_read_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![1u8; STEP_BYTES + 5]).unwrap();
        let read = |change: &dyn Fn()| {
            let mut reading = DigestReading::begin(&path).unwrap();
            assert_eq!(reading.read().unwrap(), STEP_BYTES as u64);
            change();
            while reading.read().unwrap() > 0 {}
            reading.finish().unwrap()
        };
        let (look, digests) = read(&|| {}).unwrap();
        assert_eq!((look, digests.size_bytes), (super::super::look(&path).unwrap(), STEP_BYTES as u64 + 5));
        assert_eq!(read(&|| std::fs::write(&path, vec![1u8; STEP_BYTES + 6]).unwrap()), None);
        assert!(DigestReading::begin(&folder.path().join("absent")).is_err());
    }
}
