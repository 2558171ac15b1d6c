//! Files at rest, read again to see whether their bytes are still what they were.

use crate::StoreError;
use paintbox_domain::Sha256;
use sha2::Digest as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of one [`Rereading::read`].
const STEP_BYTES: usize = 4 << 20;

/// A file that is being read again, a few megabytes at a time, so that whoever reads can pause or stop in between.
#[derive(Debug)]
pub struct Rereading {
    path: PathBuf,
    file: File,
    hash: sha2::Sha256,
    buffer: Vec<u8>,
    read_bytes: u64,
}

impl Rereading {
    /// # Errors
    /// [`StoreError::Io`].
    pub fn begin(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("open", path))?;
        read_past_the_cache(&file);
        Ok(Self {
            path: path.to_owned(),
            file,
            hash: sha2::Sha256::default(),
            buffer: vec![0; STEP_BYTES],
            read_bytes: 0,
        })
    }

    /// Reads on. How many bytes were read; 0 at the end.
    ///
    /// # Errors
    /// [`StoreError::Io`], such as from a device that no longer gives these bytes.
    pub fn read(&mut self) -> Result<u64, StoreError> {
        let count = loop {
            match self.file.read(&mut self.buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("read", &self.path)(error)),
            }
        };
        self.hash.update(&self.buffer[..count]);
        self.read_bytes += count as u64;
        forget_cached(&self.file);
        Ok(count as u64)
    }

    /// Compares what was read with what should be there.
    ///
    /// # Errors
    /// [`StoreError::LengthMismatch`] and [`StoreError::DigestMismatch`].
    pub fn compare(self, sha256: &Sha256, size_bytes: u64) -> Result<(), StoreError> {
        let key = self.path.display().to_string();
        if self.read_bytes != size_bytes {
            return Err(StoreError::LengthMismatch { key, expected_bytes: size_bytes, found_bytes: self.read_bytes });
        }
        let found = Sha256::from_bytes(self.hash.finalize().into());
        if found != *sha256 {
            return Err(StoreError::DigestMismatch {
                key,
                algorithm: "SHA-256",
                expected: sha256.to_hex(),
                found: found.to_hex(),
                size_bytes,
            });
        }
        Ok(())
    }
}

/// The device that a file lies on; none when it is not there. Files of one device are not read side by side: that is
/// what a disk that spins is slowest at.
#[must_use]
pub fn device_of(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| metadata.dev())
}

/// What is checked is what the device gives, not what the system remembers of it, and nothing that people work with is
/// pushed out of memory for it. A system that does not know the request reads as it always does.
#[cfg(target_vendor = "apple")]
pub(crate) fn read_past_the_cache(file: &File) {
    let _unknown = rustix::fs::fcntl_nocache(file, true);
}

#[cfg(not(target_vendor = "apple"))]
pub(crate) fn read_past_the_cache(file: &File) {
    forget_cached(file);
}

#[cfg(target_vendor = "apple")]
pub(crate) fn forget_cached(_file: &File) {}

#[cfg(not(target_vendor = "apple"))]
pub(crate) fn forget_cached(file: &File) {
    let _unknown = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashing::sha256_of;
    use paintbox_domain::{Classify as _, reason};

    fn reread(path: &Path, sha256: &Sha256, size_bytes: u64) -> Result<(), StoreError> {
        let mut rereading = Rereading::begin(path)?;
        while rereading.read()? > 0 {}
        rereading.compare(sha256, size_bytes)
    }

    #[test]
    fn damage_of_one_bit_and_a_missing_end_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut bytes = vec![7u8; STEP_BYTES * 2 + 5];
        let (sha256, size) = (sha256_of(&bytes), bytes.len() as u64);
        std::fs::write(&path, &bytes).unwrap();
        reread(&path, &sha256, size).unwrap();
        bytes[STEP_BYTES + 1] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(reread(&path, &sha256, size).unwrap_err().reason(), reason::DIGEST_MISMATCH);
        std::fs::write(&path, &bytes[1..]).unwrap();
        assert_eq!(reread(&path, &sha256, size).unwrap_err().reason(), reason::LENGTH_MISMATCH);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(reread(&path, &sha256, size).unwrap_err().reason(), reason::STORE_FAILED);
        assert_eq!(device_of(&path), None);
        assert!(device_of(folder.path()).is_some());
    }
}
