//! What a run tells its watchers beside its state: the latest progress of each file, and every failure.

use paintbox_catalogue::{Happening, Journal, SyncRunRecord};
use paintbox_domain::transfer::{FileFailed, FileProgress};

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq)]
pub enum SyncEvent {
    /// First, and whenever the state changes; the last event of a run.
    Run(SyncRunRecord),
    Progress(FileProgress),
    Failed(FileFailed),
}

/// A run's pen in the journal.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    journal: Journal,
    run: String,
}

impl Feed {
    pub(crate) fn of(journal: &Journal, run: &str) -> Self {
        Self { journal: journal.clone(), run: run.to_owned() }
    }

    pub(crate) fn progress(&self, progress: FileProgress) {
        self.journal.note(Happening::FileProgress { run: self.run.clone(), progress });
    }

    pub(crate) fn failed(&self, failed: FileFailed) {
        self.journal.note(Happening::FileFailed { run: self.run.clone(), failed });
    }
}
