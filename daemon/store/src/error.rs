//! What can go wrong with files, with the path and the numbers that somebody needs to do something about it.

use paintbox_domain::{Classify, ErrorClass, Sha256, reason};
use std::io;
use std::path::{Path, PathBuf};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file system call failed. `action` reads after "cannot".
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// No room. `source` is absent when the room was counted before anything was written.
    #[error("the disk is full: cannot {action} {}{}", path.display(), room(*needed_bytes, *free_bytes, *kept_free_bytes))]
    DiskFull {
        action: &'static str,
        path: PathBuf,
        /// Bytes still to be written, as far as known.
        needed_bytes: u64,
        free_bytes: Option<u64>,
        /// Of those, what downloads leave to others.
        kept_free_bytes: u64,
        #[source]
        source: Option<io::Error>,
    },
    /// The folder is not the volume that it should be, such as while its disk is not connected.
    #[error("{} is not the volume that it should be", path.display())]
    VolumeAway { path: PathBuf },
    /// A folder that is to be a volume has other things in it.
    #[error("{} has other things in it", path.display())]
    FolderInUse { path: PathBuf },
    #[error("blob {sha256} is not at {}", path.display())]
    BlobMissing { sha256: Sha256, path: PathBuf },
    /// Somebody else, in this process or another, is writing the same partial.
    #[error("the partial download {key} is being written by somebody else")]
    PartialBusy { key: String, path: PathBuf },
    /// Bytes were appended before [`crate::Partial::begin`] said where they come from.
    #[error("bytes for the partial download {key} came before it was said where they belong")]
    NotBegun { key: String },
    /// A transfer starts neither at the first byte nor where the partial ends.
    #[error("the partial download {key} ends at byte {have_bytes}, so a transfer from byte {offset} does not fit")]
    WrongOffset { key: String, have_bytes: u64, offset: u64 },
    /// A transfer that should go on belongs to other bytes than the ones that are here.
    #[error("the partial download {key} holds bytes of {had}, but the transfer goes on with bytes of {given}")]
    SourceChanged { key: String, had: String, given: String },
    #[error("{key} has the {algorithm} {found}, not {expected}")]
    DigestMismatch { key: String, algorithm: &'static str, expected: String, found: String, size_bytes: u64 },
    /// More bytes, or another length, than announced.
    #[error("{key} should have {expected_bytes} bytes, not {found_bytes}")]
    LengthMismatch { key: String, expected_bytes: u64, found_bytes: u64 },
    /// Fewer bytes than announced; the rest may still be fetched.
    #[error("{key} ended after {received_bytes} of {expected_bytes} bytes")]
    Truncated { key: String, expected_bytes: u64, received_bytes: u64 },
}

fn room(needed_bytes: u64, free_bytes: Option<u64>, kept_free_bytes: u64) -> String {
    match (free_bytes, kept_free_bytes) {
        (Some(free), 0) => format!(" ({needed_bytes} more bytes needed, {free} free)"),
        (Some(free), kept) => {
            format!(" ({needed_bytes} more bytes needed, {free} free, of which {kept} are to stay free)")
        }
        (None, _) => format!(" ({needed_bytes} more bytes needed)"),
    }
}

impl StoreError {
    /// The error of a call that needed no room worth counting.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io_writing(action, path, 0)
    }

    /// The error of a call that still had `needed_bytes` to write.
    pub(crate) fn io_writing(action: &'static str, path: &Path, needed_bytes: u64) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                let free_bytes = crate::durable::free_bytes(path.parent().unwrap_or(&path)).ok();
                Self::DiskFull { action, path, needed_bytes, free_bytes, kept_free_bytes: 0, source: Some(source) }
            } else {
                Self::Io { action, path, source }
            }
        }
    }
}

impl Classify for StoreError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorClass::Precondition,
                // A path that leads nowhere is what somebody asked for, or what they did to a folder of ours.
                io::ErrorKind::NotADirectory
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::InvalidFilename
                | io::ErrorKind::InvalidInput => ErrorClass::Precondition,
                _ => ErrorClass::Internal,
            },
            Self::DiskFull { .. } => ErrorClass::Exhausted,
            Self::BlobMissing { .. } | Self::VolumeAway { .. } => ErrorClass::Precondition,
            Self::FolderInUse { .. } => ErrorClass::InvalidInput,
            Self::PartialBusy { .. } | Self::Truncated { .. } => ErrorClass::Unavailable,
            Self::NotBegun { .. } | Self::WrongOffset { .. } => ErrorClass::Internal,
            Self::SourceChanged { .. } | Self::DigestMismatch { .. } | Self::LengthMismatch { .. } => {
                ErrorClass::DataLoss
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::PartialBusy { .. } => reason::STORE_FAILED,
            Self::DiskFull { .. } => reason::DISK_FULL,
            Self::BlobMissing { .. } => reason::FILE_NOT_LOCAL,
            Self::VolumeAway { .. } => reason::VOLUME_AWAY,
            Self::FolderInUse { .. } => reason::INVALID_ARGUMENT,
            Self::NotBegun { .. } | Self::WrongOffset { .. } => reason::INTERNAL,
            Self::SourceChanged { .. } => reason::HUB_PROTOCOL,
            Self::DigestMismatch { .. } => reason::DIGEST_MISMATCH,
            Self::LengthMismatch { .. } => reason::LENGTH_MISMATCH,
            Self::Truncated { .. } => reason::TRUNCATED_BODY,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::DiskFull { kept_free_bytes: 1.., .. } => Some(
                "make room on the volume that holds the store, or lower keep_free_bytes in the configuration's [store] table"
                    .to_owned(),
            ),
            Self::DiskFull { .. } => Some("make room on the volume that holds the store, then try again".to_owned()),
            Self::Io { path, source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some(format!("make {} writable for the user that runs the daemon", path.display()))
                }
                _ => None,
            },
            Self::VolumeAway { .. } => {
                Some("connect its disk, or say where it is mounted by now: `paintbox volumes set`".to_owned())
            }
            Self::FolderInUse { .. } => Some("give a folder that is empty, or not there yet".to_owned()),
            Self::BlobMissing { .. } => Some("fetch it again with `paintbox pull`".to_owned()),
            Self::PartialBusy { .. }
            | Self::NotBegun { .. }
            | Self::WrongOffset { .. }
            | Self::SourceChanged { .. }
            | Self::DigestMismatch { .. }
            | Self::LengthMismatch { .. }
            | Self::Truncated { .. } => None,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.display().to_string();
        match self {
            Self::Io { action, path, .. } => vec![("action", (*action).to_owned()), ("path", text(path))],
            Self::DiskFull { action, path, needed_bytes, free_bytes, .. } => {
                let mut metadata = vec![
                    ("action", (*action).to_owned()),
                    ("path", text(path)),
                    ("needed_bytes", needed_bytes.to_string()),
                ];
                metadata.extend(free_bytes.map(|bytes| ("free_bytes", bytes.to_string())));
                metadata
            }
            Self::VolumeAway { path } => vec![("path", text(path))],
            Self::FolderInUse { path } => vec![("field", "path".to_owned()), ("path", text(path))],
            Self::BlobMissing { sha256, path } => vec![("sha256", sha256.to_hex()), ("path", text(path))],
            Self::PartialBusy { key, path } => vec![("key", key.clone()), ("path", text(path))],
            Self::NotBegun { key } => vec![("key", key.clone())],
            Self::WrongOffset { key, have_bytes, offset } => {
                vec![("key", key.clone()), ("have_bytes", have_bytes.to_string()), ("offset", offset.to_string())]
            }
            Self::SourceChanged { key, had, given } => {
                vec![("key", key.clone()), ("had", had.clone()), ("given", given.clone())]
            }
            Self::DigestMismatch { key, algorithm, expected, found, size_bytes } => vec![
                ("key", key.clone()),
                ("algorithm", (*algorithm).to_owned()),
                ("expected", expected.clone()),
                ("found", found.clone()),
                ("size_bytes", size_bytes.to_string()),
            ],
            Self::LengthMismatch { key, expected_bytes, found_bytes } => vec![
                ("key", key.clone()),
                ("expected_bytes", expected_bytes.to_string()),
                ("found_bytes", found_bytes.to_string()),
            ],
            Self::Truncated { key, expected_bytes, received_bytes } => vec![
                ("key", key.clone()),
                ("expected_bytes", expected_bytes.to_string()),
                ("received_bytes", received_bytes.to_string()),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_spent_quota_are_told_apart_from_other_failures() {
        // ENOSPC, EDQUOT and EIO as Linux numbers them; macOS has its own EDQUOT, so kinds are compared.
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let error = StoreError::io_writing("write", Path::new("/tmp/x"), 7)(kind.into());
            assert_eq!(error.class(), ErrorClass::Exhausted);
            assert_eq!(error.reason(), reason::DISK_FULL);
            assert!(error.metadata().contains(&("needed_bytes", "7".to_owned())));
            assert!(error.metadata().iter().any(|(name, _)| *name == "free_bytes"), "{error}");
        }
        let error = StoreError::io("read", Path::new("/tmp/x"))(io::ErrorKind::PermissionDenied.into());
        assert_eq!((error.class(), error.reason()), (ErrorClass::Precondition, reason::STORE_FAILED));
        assert_eq!(io::Error::from_raw_os_error(28).kind(), io::ErrorKind::StorageFull);
    }
}
