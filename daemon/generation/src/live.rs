//! What a running generation tells its watchers. The latest progress wins; the state is a row and is never lost.

use paintbox_catalogue::GenerationRecord;
use paintbox_domain::generation::{Control, Progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq)]
pub enum GenerationEvent {
    /// First, and whenever the state changes; the last event of a generation.
    State(Box<GenerationRecord>),
    Progress(Progress),
}

/// The part of a generation that is not a row: its progress, its changes, the wish to cancel it.
#[derive(Debug)]
pub(crate) struct Live {
    cancelled: AtomicBool,
    now: watch::Sender<Now>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Now {
    /// Grows with each change of the row.
    pub(crate) state_changes: u64,
    /// Grows with every change; the `sequence` of the API.
    pub(crate) sequence: u64,
    pub(crate) progress: Option<Progress>,
    pub(crate) ended: bool,
}

impl Live {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { cancelled: AtomicBool::new(false), now: watch::Sender::new(Now::default()) })
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Now> {
        self.now.subscribe()
    }

    pub(crate) fn latest_progress(&self) -> Option<Progress> {
        self.now.borrow().progress
    }

    pub(crate) fn state_changed(&self) {
        self.now.send_modify(|now| {
            now.state_changes += 1;
            now.sequence += 1;
        });
    }

    pub(crate) fn end(&self) {
        self.now.send_modify(|now| {
            now.state_changes += 1;
            now.sequence += 1;
            now.ended = true;
        });
    }
}

impl Control for Live {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn progress(&self, progress: Progress) {
        self.now.send_modify(|now| {
            now.sequence += 1;
            now.progress = Some(progress);
        });
    }
}
