//! How far files on their way here are, as those who watch see it.

use crate::kind::closed_names;
use crate::{DownloadState, Failure};

closed_names! {
    /// Where a file of a sync run is.
    FilePhase {
        Transferring = "transferring",
        Verifying = "verifying",
        Done = "done",
    }
}

impl FilePhase {
    /// What a download's state is to a watcher of a sync; none before the first byte and after the last step.
    #[must_use]
    pub fn of(state: DownloadState) -> Option<Self> {
        match state {
            DownloadState::Transferring => Some(Self::Transferring),
            DownloadState::Verifying | DownloadState::Placing => Some(Self::Verifying),
            _ => None,
        }
    }
}

/// Bytes that have arrived of one file of a sync run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProgress {
    /// Reference of the version.
    pub version: String,
    pub file: String,
    pub bytes_done: u64,
    pub bytes_total: Option<u64>,
    pub phase: FilePhase,
}

/// A file, or a follow's check, that failed in a sync run.
#[derive(Debug, Clone, PartialEq)]
pub struct FileFailed {
    /// Reference of the version; a follow's target when looking at its creator failed.
    pub version: String,
    /// Empty when it is not about a file.
    pub file: String,
    pub failure: Failure,
}

/// Where a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferProgress {
    pub state: DownloadState,
    /// Bytes that are hashed and written; never fewer than were told before.
    pub bytes_done: u64,
    /// Of the whole file, if anybody said it.
    pub bytes_total: Option<u64>,
}
