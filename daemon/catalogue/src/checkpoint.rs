//! Moving the write-ahead log into the database file while an import goes on.
//!
//! SQLite does it by itself, inside the commit that makes the log too long, which then takes as long as ten others. An
//! import writes the same pages of the indexes over and over, so for every model a third of its time went there. A
//! connection of its own does it beside the writer instead; what SQLite finds left when the log is full is little.

use crate::open::Catalogue;
use crate::statements::statements;
use sqlx::SqlitePool;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Models whose rows fill some 25 MiB of log, a third to a half of what it may hold.
const MODELS: usize = 1_000;

statements! {
    /// Waits for nobody: what a reader still needs in the log stays there.
    CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)";
}

/// The connection that moves the log, and how much has been written since it last did.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    pool: SqlitePool,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    models: AtomicUsize,
    running: AtomicBool,
}

impl Checkpoints {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self { pool, state: Arc::default() }
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Catalogue {
    /// Takes note of models that were just written and, when they have become many, begins to move them from the log
    /// into the file. A failure harms nothing: SQLite does it when the log is full.
    pub(crate) fn written(&self, models: usize) {
        let Checkpoints { pool, state } = &self.checkpoints;
        let written = state.models.fetch_add(models, Ordering::Relaxed) + models;
        if written < MODELS || state.running.swap(true, Ordering::AcqRel) {
            return;
        }
        state.models.store(0, Ordering::Relaxed);
        let (pool, state) = (pool.clone(), Arc::clone(state));
        // Nobody waits for it; closing the catalogue does.
        drop(tokio::spawn(async move {
            if let Err(error) = sqlx::query(CHECKPOINT).execute(&pool).await {
                tracing::debug!(%error, "the log could not be moved into the catalogue's file now");
            }
            state.running.store(false, Ordering::Release);
        }));
    }
}
