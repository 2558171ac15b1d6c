//! What searches keep from one to the next, and let go of when nobody searched for a while.

use super::bits::Packed;
use super::columns::{Columns, TableState};
use super::tag_names::TagNames;
use super::test::Source;
use super::texts::Texts;
use crate::error::CatalogueError;
use crate::still::Still;
use sqlx::SqliteConnection;
use std::sync::{Arc, Weak};
use tokio::sync::Mutex;

/// Shared by all handles of a catalogue.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    kept: Mutex<Kept>,
    pub(crate) tag_names: TagNames,
    searches: Arc<Still>,
}

#[derive(Debug, Default)]
struct Kept {
    columns: Arc<Columns>,
    texts: Texts,
}

impl Memory {
    /// The rows as they are now.
    pub(crate) async fn columns(
        self: &Arc<Self>,
        connection: &mut SqliteConnection,
    ) -> Result<(TableState, Arc<Columns>), CatalogueError> {
        let memory = Arc::downgrade(self);
        self.searches.stirred(|| give_back(memory));
        let mut kept = self.kept.lock().await;
        let state = Columns::refresh(&mut kept.columns, connection).await?;
        Ok((state, Arc::clone(&kept.columns)))
    }

    pub(crate) async fn text(&self, source: &Source) -> Option<(i64, Packed)> {
        let Source::Match(expression) = source else { return None };
        self.kept.lock().await.texts.get(expression)
    }

    /// `changed` is the last change before the set was read.
    pub(crate) async fn keep_text(&self, source: &Source, changed: i64, models: Packed) {
        if let Source::Match(expression) = source {
            self.kept.lock().await.texts.keep(expression, changed, models);
        }
    }
}

async fn give_back(memory: Weak<Memory>) {
    let Some(memory) = memory.upgrade() else { return };
    *memory.kept.lock().await = Kept::default();
    memory.tag_names.forget();
}
