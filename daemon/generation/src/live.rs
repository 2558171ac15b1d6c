//! What is not a row of a generation that waits or is being painted: the wish to stop it, and looks at its picture.

use paintbox_catalogue::{Catalogue, GenerationRecord, Happening};
use paintbox_domain::Timestamp;
use paintbox_domain::generation::{Cancellation, Control, PaintPreview, Progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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

/// Of one generation.
pub(crate) struct Live {
    uid: String,
    catalogue: Catalogue,
    cancelled: Arc<AtomicBool>,
    /// Cancelled when nothing is done for it any more.
    ended: CancellationToken,
    expires_at: Option<Timestamp>,
    preview: watch::Sender<Option<Arc<PaintPreview>>>,
    /// Somebody waits for a preview.
    is_preview_wanted: AtomicBool,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("uid", &self.uid).finish_non_exhaustive()
    }
}

impl Live {
    pub(crate) fn new(catalogue: &Catalogue, uid: &str, expires_at: Option<Timestamp>) -> Arc<Self> {
        Arc::new(Self {
            uid: uid.to_owned(),
            catalogue: catalogue.clone(),
            cancelled: Arc::default(),
            ended: CancellationToken::new(),
            expires_at,
            preview: watch::Sender::new(None),
            is_preview_wanted: AtomicBool::new(false),
        })
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// Nothing is done for it any more.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether somebody wished it to stop, and not only its time is over.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Looks at the picture while it is painted, for one watcher.
    pub(crate) fn looks(self: &Arc<Self>) -> Looks {
        Looks { previews: self.preview.subscribe(), live: Arc::clone(self), due: Instant::now() }
    }
}

impl Control for Live {
    fn cancellation(&self) -> Cancellation {
        let (cancelled, catalogue, expires_at) = (self.cancelled.clone(), self.catalogue.clone(), self.expires_at);
        Cancellation::when(move || {
            cancelled.load(Ordering::SeqCst) || expires_at.is_some_and(|at| catalogue.now() >= at)
        })
    }

    fn progress(&self, progress: Progress) {
        self.catalogue.journal().note(Happening::GenerationProgress { uid: self.uid.clone(), progress });
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
