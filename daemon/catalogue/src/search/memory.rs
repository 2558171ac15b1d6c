//! What searches keep from one to the next, and let go of when nobody searched for a while.

use super::bits::Packed;
use super::columns::{Columns, TableState};
use super::tag_names::TagNames;
use super::test::Source;
use super::texts::Texts;
use crate::error::CatalogueError;
use sqlx::SqliteConnection;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;

/// Without a search for as long, the memory is given back.
const IDLE: Duration = Duration::from_secs(120);

/// Shared by all handles of a catalogue.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    kept: Mutex<Kept>,
    pub(super) tag_names: TagNames,
    /// Searches so far.
    searches: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    columns: Arc<Columns>,
    texts: Texts,
    /// Whether somebody waits to give it back.
    watched: bool,
}

impl Memory {
    /// The rows as the transaction of `connection` sees them, or newer ones that another search brought.
    pub(crate) async fn columns(
        self: &Arc<Self>,
        connection: &mut SqliteConnection,
    ) -> Result<(TableState, Arc<Columns>), CatalogueError> {
        self.searches.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().await;
        let state = Columns::refresh(&mut kept.columns, connection).await?;
        if !kept.watched {
            kept.watched = true;
            drop(tokio::spawn(give_back_when_idle(Arc::downgrade(self))));
        }
        Ok((state, Arc::clone(&kept.columns)))
    }

    pub(crate) async fn text(&self, source: &Source) -> Option<(i64, Packed)> {
        let Source::Match(expression) = source else { return None };
        self.kept.lock().await.texts.get(expression)
    }

    /// `changed` is the last change that the transaction saw which the set was read in.
    pub(crate) async fn keep_text(&self, source: &Source, changed: i64, models: Packed) {
        if let Source::Match(expression) = source {
            self.kept.lock().await.texts.keep(expression, changed, models);
        }
    }
}

/// Waits for a while in which nobody searches.
async fn give_back_when_idle(memory: Weak<Memory>) {
    let mut before = None;
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(memory) = memory.upgrade() else { return };
        let now = Some(memory.searches.load(Ordering::Relaxed));
        if now == before {
            *memory.kept.lock().await = Kept::default();
            memory.tag_names.forget();
            return;
        }
        before = now;
    }
}
