//! Connections for what takes long and may wait: backups, checks and exports. They read what is committed beside everybody
//! else, and are broken off when the catalogue is closed, so that an orderly end is never late because of them.

use crate::beside::Beside;
use crate::error::{CatalogueError, could_not};
use paintbox_domain::{Failure, Timestamp};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Sqlite, SqlitePool};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A backup, a check and an export at once, and one more.
const CONNECTIONS: u32 = 4;
/// SQLite's own measure: it asks this often whether to go on, which is some hundred times a second.
const STEPS_BETWEEN_QUESTIONS: i32 = 100_000;
/// Pages are read once, so they need not be remembered: 8 MiB.
const CACHE: &str = "-8192";

/// What goes on beside the daily work, shared by every handle of one catalogue.
#[derive(Debug)]
pub(crate) struct Aside {
    pub(crate) beside: Beside,
    pool: SqlitePool,
    closing: Arc<AtomicBool>,
    /// Whether whoever had the catalogue before did not close it.
    pub(crate) was_left_open: bool,
    pub(crate) opened_at: Timestamp,
    /// A check is running.
    pub(crate) checking: tokio::sync::Mutex<()>,
    /// A catalogue is being made that is to take this one's place.
    pub(crate) building: Arc<tokio::sync::Mutex<()>>,
    /// Why the last daily backup was not made; none when it was.
    pub(crate) backup_problem: std::sync::Mutex<Option<Failure>>,
}

impl Aside {
    pub(crate) fn new(
        beside: Beside,
        options: SqliteConnectOptions,
        was_left_open: bool,
        opened_at: Timestamp,
    ) -> Self {
        let closing = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&closing);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .idle_timeout(Duration::from_secs(10))
            .after_connect(move |connection, _| {
                let asked = Arc::clone(&asked);
                Box::pin(async move {
                    let goes_on = move || !asked.load(Ordering::Relaxed);
                    connection.lock_handle().await?.set_progress_handler(STEPS_BETWEEN_QUESTIONS, goes_on);
                    Ok(())
                })
            })
            .connect_lazy_with(options.create_if_missing(false).pragma("cache_size", CACHE));
        Self {
            beside,
            pool,
            closing,
            was_left_open,
            opened_at,
            checking: tokio::sync::Mutex::default(),
            building: Arc::default(),
            backup_problem: std::sync::Mutex::default(),
        }
    }

    pub(crate) async fn connect(&self, attempt: &'static str) -> Result<PoolConnection<Sqlite>, CatalogueError> {
        self.pool.acquire().await.map_err(could_not(attempt))
    }

    /// What a connection that does not belong here asks whether to go on.
    pub(crate) fn closing(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.closing)
    }

    pub(crate) async fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.pool.close().await;
    }
}
