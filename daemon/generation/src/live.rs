//! What a running generation tells its watchers. The latest progress wins; the state is a row and is never lost.

use paintbox_catalogue::GenerationRecord;
use paintbox_domain::generation::{Cancellation, Control, PaintPreview, Progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Previews come no closer together; of those between, the last is seen.
const BETWEEN_PREVIEWS: Duration = Duration::from_millis(500);

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq)]
pub enum GenerationEvent {
    /// First, and whenever the state changes; the last event of a generation.
    State(Box<GenerationRecord>),
    Progress(Progress),
    /// Only for those who asked for previews.
    Preview(Arc<PaintPreview>),
}

/// The part of a generation that is not a row: its progress, its changes, the wish to cancel it.
#[derive(Debug)]
pub(crate) struct Live {
    cancelled: Arc<AtomicBool>,
    now: watch::Sender<Now>,
    preview: watch::Sender<Option<Arc<PaintPreview>>>,
    /// Somebody waits for a preview.
    is_preview_wanted: AtomicBool,
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
        Arc::new(Self {
            cancelled: Arc::default(),
            now: watch::Sender::new(Now::default()),
            preview: watch::Sender::new(None),
            is_preview_wanted: AtomicBool::new(false),
        })
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Now> {
        self.now.subscribe()
    }

    /// Looks at the picture while it is painted, for one watcher.
    pub(crate) fn looks(self: &Arc<Self>) -> Looks {
        Looks { previews: self.preview.subscribe(), live: Arc::clone(self), due: Instant::now() }
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
    fn cancellation(&self) -> Cancellation {
        let cancelled = self.cancelled.clone();
        Cancellation::when(move || cancelled.load(Ordering::SeqCst))
    }

    fn progress(&self, progress: Progress) {
        self.now.send_modify(|now| {
            now.sequence += 1;
            now.progress = Some(progress);
        });
    }

    fn wants_preview(&self) -> bool {
        self.preview.receiver_count() > 0 && self.is_preview_wanted.swap(false, Ordering::SeqCst)
    }

    fn preview(&self, preview: PaintPreview) {
        self.preview.send_replace(Some(Arc::new(preview)));
    }
}

/// One watcher's looks at a picture.
pub(crate) struct Looks {
    previews: watch::Receiver<Option<Arc<PaintPreview>>>,
    live: Arc<Live>,
    due: Instant,
}

impl Looks {
    /// The next preview, when it is time for one; never, if none comes. May be dropped and asked again.
    pub(crate) async fn next(&mut self) -> Arc<PaintPreview> {
        tokio::time::sleep_until(self.due).await;
        self.live.is_preview_wanted.store(true, Ordering::SeqCst);
        loop {
            if self.previews.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(preview) = self.previews.borrow_and_update().clone() {
                self.due = Instant::now() + BETWEEN_PREVIEWS;
                return preview;
            }
        }
    }
}
