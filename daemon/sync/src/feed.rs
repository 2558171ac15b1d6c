//! What a running sync tells its watchers: the latest progress of each file, and every failure.
//!
//! Progress is latest-wins; failures are kept until the run is forgotten. The run's state itself is a row in the
//! catalogue, so a watcher that comes late or loses its place reads that and misses nothing that matters.

use paintbox_catalogue::SyncRunRecord;
use paintbox_domain::{DownloadState, Failure};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Bytes that have arrived of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProgress {
    /// Reference of the version.
    pub version: String,
    pub file: String,
    pub bytes_done: u64,
    pub bytes_total: Option<u64>,
    pub phase: FilePhase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePhase {
    Transferring,
    Verifying,
    Done,
}

impl FilePhase {
    /// What a download's state is to a watcher of a sync; none before the first byte and after the last step.
    pub(crate) fn of(state: DownloadState) -> Option<Self> {
        match state {
            DownloadState::Transferring => Some(Self::Transferring),
            DownloadState::Verifying | DownloadState::Placing => Some(Self::Verifying),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transferring => "transferring",
            Self::Verifying => "verifying",
            Self::Done => "done",
        }
    }
}

/// A file, or a follow's check, that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct FileFailed {
    /// Reference of the version; a follow's target when looking at its creator failed.
    pub version: String,
    /// Empty when it is not about a file.
    pub file: String,
    pub failure: Failure,
}

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq)]
pub enum SyncEvent {
    /// First, and whenever the state changes; the last event of a run.
    Run(SyncRunRecord),
    Progress(FileProgress),
    Failed(FileFailed),
}

/// The feed of one run.
#[derive(Debug)]
pub(crate) struct Feed {
    content: Mutex<Content>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Content {
    progress: BTreeMap<(String, String), (u64, FileProgress)>,
    failures: Vec<FileFailed>,
    state_changes: u64,
    ended: bool,
}

/// How far a watcher has read.
#[derive(Debug, Default)]
pub(crate) struct Position {
    change: u64,
    failures: usize,
    state_changes: u64,
}

/// What is new since a position.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) progress: Vec<FileProgress>,
    pub(crate) failures: Vec<FileFailed>,
    /// The row has changed and should be read again.
    pub(crate) state_changed: bool,
    pub(crate) ended: bool,
}

impl Feed {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { content: Mutex::default(), changes: watch::Sender::new(0) })
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn progress(&self, progress: FileProgress) {
        self.change(|content, number| {
            content.progress.insert((progress.version.clone(), progress.file.clone()), (number, progress));
        });
    }

    pub(crate) fn failed(&self, failed: FileFailed) {
        self.change(|content, _| content.failures.push(failed));
    }

    pub(crate) fn state_changed(&self) {
        self.change(|content, _| content.state_changes += 1);
    }

    pub(crate) fn end(&self) {
        self.change(|content, _| {
            content.state_changes += 1;
            content.ended = true;
        });
    }

    fn change(&self, apply: impl FnOnce(&mut Content, u64)) {
        self.changes.send_modify(|number| {
            *number += 1;
            apply(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner), *number);
        });
    }

    pub(crate) fn since(&self, position: &mut Position) -> News {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed: Vec<&(u64, FileProgress)> =
            content.progress.values().filter(|(number, _)| *number > position.change).collect();
        changed.sort_by_key(|(number, _)| *number);
        let news = News {
            failures: content.failures[position.failures..].to_vec(),
            state_changed: content.state_changes > position.state_changes,
            ended: content.ended,
            progress: changed.iter().map(|(_, progress)| progress.clone()).collect(),
        };
        position.change = changed.last().map_or(position.change, |(number, _)| *number);
        position.failures = content.failures.len();
        position.state_changes = content.state_changes;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(file: &str, bytes_done: u64) -> FileProgress {
        FileProgress {
            version: "civitai:1@2".into(),
            file: file.into(),
            bytes_done,
            bytes_total: Some(10),
            phase: FilePhase::Transferring,
        }
    }

    #[test]
    fn a_slow_watcher_sees_the_latest_progress_and_every_failure() {
        let feed = Feed::new();
        let mut position = Position::default();
        feed.progress(progress("a", 1));
        feed.progress(progress("b", 1));
        feed.progress(progress("a", 5));
        for file in ["x", "y"] {
            let failure = Failure::new(paintbox_domain::ErrorClass::Internal, "INTERNAL", "no");
            feed.failed(FileFailed { version: "v".into(), file: file.into(), failure });
        }
        let news = feed.since(&mut position);
        assert_eq!(news.progress, [progress("b", 1), progress("a", 5)]);
        assert_eq!(news.failures.len(), 2);
        assert!(!news.ended);
        feed.end();
        let news = feed.since(&mut position);
        assert!(news.progress.is_empty() && news.failures.is_empty() && news.ended && news.state_changed);
    }
}
