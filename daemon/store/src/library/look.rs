//! Looking at files and folders without opening them.

use crate::StoreError;
use paintbox_domain::FileLook;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const NANOSECONDS: i64 = 1_000_000_000;

pub(crate) fn look_of(metadata: &Metadata) -> FileLook {
    FileLook {
        device: metadata.dev(),
        inode: metadata.ino(),
        size_bytes: metadata.len(),
        modified_ns: metadata.mtime().saturating_mul(NANOSECONDS).saturating_add(metadata.mtime_nsec()),
    }
}

/// The file behind a name, also through links.
///
/// # Errors
/// [`StoreError::Io`], such as when nothing is there.
pub fn look(path: &Path) -> Result<FileLook, StoreError> {
    Ok(look_of(&std::fs::metadata(path).map_err(StoreError::io("look at", path))?))
}

/// A library's folder itself, by which it is told from the empty folder that a disk leaves behind when it is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    pub device: u64,
    pub inode: u64,
}

impl Root {
    /// # Errors
    /// [`StoreError::Io`] when there is no such folder.
    pub fn of(path: &Path) -> Result<Self, StoreError> {
        let metadata = std::fs::metadata(path).map_err(StoreError::io("look at", path))?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}
