//! Opening and closing: pools, pragmas, migrations, and the refusals that protect a catalogue from a build that
//! would harm it. A new catalogue is begun only where nothing speaks for an old one.

use crate::aside::Aside;
use crate::beside::{self, Beside, blocking};
use crate::checkpoint::Checkpoints;
use crate::detail::{Lines, Pages};
use crate::error::{CatalogueError, could_not};
use crate::evidence::tags::TagIds;
use crate::gathered::Gathered;
use crate::journal::Journal;
use crate::migrate::{self, Layout, MIGRATIONS};
use crate::readers::{Reader, Readers};
use crate::search::{Memory, Rest};
use crate::statements::statements;
use crate::still::Still;
use crate::{backups, install};
use paintbox_domain::{Clock, Timestamp, crash};
use sqlx::migrate::Migrator;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The first release without the WAL-reset bug, by which two connections could lose a committed write
/// (sqlite.org/wal.html#walresetbug).
const WANTED_SQLITE: (&str, (u32, u32, u32)) = ("3.51.3", (3, 51, 3));

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: usize = 4;
/// As many as there may be cores for. They are apart from the readers, so that what one search read is there for the next.
const SEARCHERS: usize = 2;
/// KiB of pages that a connection keeps, as SQLite writes it. An import comes back to the same pages of the indexes; what
/// searches come back to most is kept in memory in a form of its own, and the system has the file's pages anyway.
const WRITER_CACHE: &str = "-65536";
const READER_CACHE: &str = "-2048";
const SEARCHER_CACHE: &str = "-4096";
/// Pages in the write-ahead log before a commit moves them to the database file: the 64 MiB that the log may keep. An
/// import has them moved earlier and beside it; see [`crate::checkpoint`].
const CHECKPOINT_PAGES: &str = "16384";
/// Rows that `PRAGMA optimize` looks at per index when the catalogue is closed.
const ANALYSIS_LIMIT_ROWS: u32 = 400;

/// IMMEDIATE, because a transaction that reads first and writes later would be refused at once when another process wrote
/// in between, whatever the busy timeout.
const BEGIN_LASTING: &str = "PRAGMA synchronous = FULL; BEGIN IMMEDIATE";
const BEGIN_EVIDENCE: &str = "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE";

statements! {
    SQLITE_VERSION = "SELECT sqlite_version()";
    SHRINK = "PRAGMA shrink_memory";
}

/// A handle to the catalogue; clones share its connections.
#[derive(Debug, Clone)]
pub struct Catalogue {
    pub(crate) writer: SqlitePool,
    pub(crate) readers: Readers,
    searchers: Readers,
    pub(crate) pages: Arc<Gathered<Pages>>,
    pub(crate) lines: Arc<Gathered<Lines>>,
    clock: Arc<dyn Clock>,
    path: Arc<PathBuf>,
    pub(crate) aside: Arc<Aside>,
    pub(crate) tags: Arc<TagIds>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) search_memory: Arc<Memory>,
    pub(crate) search_rest: Arc<Rest>,
    pub(crate) journal: Journal,
    writes: Arc<Still>,
}

impl Catalogue {
    /// Opens the catalogue at `path`, creating it where none is (its folder must exist), and brings an older one to
    /// this version's layout, of which it makes a backup first. `clock` gives the time of every fact that is recorded.
    /// A file that was staged to take the catalogue's place takes it now.
    ///
    /// # Errors
    /// When the file is no catalogue, is damaged, was written by a newer Paintbox, or cannot be read and written; when
    /// there is no room for the backup. The file is then as it was.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, CatalogueError> {
        let catalogue = Self::open_with(path, clock, &MIGRATIONS).await?;
        catalogue.take_in_what_is_left().await?;
        Ok(catalogue)
    }

    pub(crate) async fn open_with(
        path: &Path,
        clock: Arc<dyn Clock>,
        migrations: &Migrator,
    ) -> Result<Self, CatalogueError> {
        let beside = Beside::of(path);
        let found = {
            let (beside, now) = (beside.clone(), clock.now());
            blocking(move || {
                beside.sweep()?;
                install::install(&beside, now)?;
                examine(&beside, now)
            })
            .await?
        };
        // SQLite removes the log when the last connection is closed in order.
        let was_left_open = beside::length(&beside.log()).is_some_and(|length| length > 0);
        let layout = match found {
            Found::Nothing => Layout::Empty,
            Found::File => migrate::look(&beside, migrations).await?,
        };
        let opening = |source| CatalogueError::Open { path: path.to_owned(), backup: backups::newest(&beside), source };
        // FULL, because follows and generations live here too and cannot be fetched again; see `write_evidence` for what
        // can. No memory map, because a stray write through one would damage the file.
        let shared = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(found == Found::Nothing)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("trusted_schema", "off")
            .pragma("cell_size_check", "on")
            .pragma("journal_size_limit", "67108864")
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("temp_store", "memory")
            .pragma("cache_size", WRITER_CACHE)
            .pragma("mmap_size", "0");
        // A connection into this process cannot break off between two uses, so it is not asked whether it did.
        let writer = SqlitePoolOptions::new()
            .test_before_acquire(false)
            .min_connections(1)
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.lock_handle().await?.set_commit_hook(|| {
                        crash::point("commit");
                        true
                    });
                    Ok(())
                })
            })
            .connect_with(shared.clone().optimize_on_close(true, ANALYSIS_LIMIT_ROWS))
            .await
            .map_err(opening)?;

        let found: String = sqlx::query_scalar(SQLITE_VERSION).fetch_one(&writer).await.map_err(opening)?;
        if release_number(&found) < Some(WANTED_SQLITE.1) {
            return Err(CatalogueError::SqliteTooOld { found, wanted: WANTED_SQLITE.0 });
        }
        let mut connection = writer.acquire().await.map_err(opening)?;
        migrate::migrate(&mut connection, &layout, &beside, clock.now(), migrations).await?;
        drop(connection);

        // Readers open once the layout stands, so that none of them prepares against an older one.
        let reading = |connections, cache| {
            let options = shared.clone().create_if_missing(false).pragma("query_only", "on");
            Readers::new(connections, options.pragma("cache_size", cache))
        };
        let (readers, searchers) = (reading(READERS, READER_CACHE), reading(SEARCHERS, SEARCHER_CACHE));
        drop(readers.acquire().await.map_err(opening)?);
        let aside = Arc::new(Aside::new(beside.clone(), shared.clone(), was_left_open, clock.now()));
        let checkpoints =
            SqlitePoolOptions::new().max_connections(1).connect_lazy_with(shared.create_if_missing(false));
        let search_memory: Arc<Memory> = Arc::default();
        tracing::debug!(path = %path.display(), sqlite = found, "catalogue open");
        Ok(Self {
            writer,
            pages: Arc::new(Gathered::new(readers.clone(), Pages(Arc::clone(&search_memory)))),
            lines: Arc::new(Gathered::new(readers.clone(), Lines(Arc::clone(&search_memory)))),
            readers,
            searchers,
            clock,
            path: Arc::new(path.to_owned()),
            aside,
            tags: Arc::default(),
            checkpoints: Checkpoints::new(checkpoints),
            search_memory,
            search_rest: Arc::default(),
            journal: Journal::default(),
            writes: Arc::default(),
        })
    }

    /// Waits for running statements, refreshes SQLite's statistics and closes every connection; what is called on
    /// any clone afterwards fails.
    pub async fn close(&self) {
        self.aside.close().await;
        self.checkpoints.close().await;
        self.searchers.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Where the catalogue lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The time by which facts are recorded.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What happens while this catalogue is open.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Notes a write, so that the writer keeps no pages when there are no more to come.
    pub(crate) fn wrote(&self) {
        let writer = self.writer.clone();
        self.writes.stirred(|| async move {
            if let Err(error) = sqlx::query(SHRINK).execute(&writer).await {
                tracing::debug!(%error, "the writer's memory could not be given back");
            }
        });
    }

    /// A write transaction, whose end waits until the disk has it.
    pub(crate) async fn write(&self, attempt: &'static str) -> Result<Transaction<'static, Sqlite>, CatalogueError> {
        self.writer.begin_with(BEGIN_LASTING).await.map_err(could_not(attempt))
    }

    /// A write transaction for what can be seen again where it was seen, such as a hub's page or a library's file. It is
    /// as whole as any other and survives a kill, but when the power fails the last of them may never have been; what is
    /// written after it never lasts without it. Waiting for the disk is a third of a first look at a library.
    pub(crate) async fn write_evidence(
        &self,
        attempt: &'static str,
    ) -> Result<Transaction<'static, Sqlite>, CatalogueError> {
        self.writer.begin_with(BEGIN_EVIDENCE).await.map_err(could_not(attempt))
    }

    /// Carries out one statement in a write transaction of its own; how many rows it changed.
    pub(crate) async fn write_one(
        &self,
        attempt: &'static str,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<u64, CatalogueError> {
        let mut tx = self.write(attempt).await?;
        let done = statement.execute(&mut *tx).await.map_err(could_not(attempt))?;
        self.commit(tx, attempt).await?;
        Ok(done.rows_affected())
    }

    /// Has the writer take the lock of a write and give it back, which shows that writes go on; nothing is written.
    ///
    /// # Errors
    /// When the writer cannot, or is not to be had for as long as a write may wait.
    pub async fn show_that_it_writes(&self) -> Result<(), CatalogueError> {
        let attempt = "show that it can be written";
        self.write(attempt).await?.rollback().await.map_err(could_not(attempt))
    }

    /// A connection for several statements; see [`Reader::snapshot`].
    pub(crate) async fn reader(&self, attempt: &'static str) -> Result<Reader, CatalogueError> {
        self.readers.acquire().await.map_err(could_not(attempt))
    }

    /// A connection for a search, whose statements need not see the same state; see [`crate::search::columns`].
    pub(crate) async fn searcher(&self, attempt: &'static str) -> Result<Reader, CatalogueError> {
        self.searchers.acquire().await.map_err(could_not(attempt))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    File,
}

/// Looks at the catalogue's path before SQLite does, which would begin a new database in an empty file.
///
/// An empty file is what a start leaves that was killed in the moment of creating it, and it is as good as none; but not
/// where a backup or a log shows that there was something in it.
fn examine(beside: &Beside, now: Timestamp) -> Result<Found, CatalogueError> {
    let path = beside.catalogue();
    let has_log = beside::length(&beside.log()).is_some_and(|length| length > 0);
    let unusable = |problem| {
        let backup = backups::newest(beside);
        Err(CatalogueError::Unusable { path: path.to_owned(), problem, backup })
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && has_log => {
            unusable("its log is there but the file is not")
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if let Some(backup) = backups::newest(beside) {
                tracing::warn!(newest_backup = %backup.display(), "there is no catalogue, so an empty one is begun");
            }
            Ok(Found::Nothing)
        }
        Err(source) => Err(beside::failed("look at", path)(source)),
        Ok(found) if !found.is_file() => unusable("it is no file"),
        Ok(found) if found.len() > 0 => {
            if has_log && !beside::is_log(&beside.log())? {
                let kept = backups::keep_log(beside, now)?;
                tracing::error!(log = %kept.display(), "the catalogue's log cannot be read: what was written last is not there");
            }
            Ok(Found::File)
        }
        Ok(_) if has_log => unusable("it is empty though its log is not"),
        Ok(_) if backups::newest(beside).is_some() => unusable("it is empty though there are backups of it"),
        Ok(_) => Ok(Found::Nothing),
    }
}

fn release_number(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.splitn(3, '.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{clock_at, model, opened};
    use paintbox_domain::{Classify, ErrorClass, reason};
    use sqlx::{Connection, SqliteConnection};

    #[test]
    fn release_numbers_compare_as_numbers() {
        assert!(release_number("3.9.0") < release_number("3.51.3"));
        assert!(release_number("3.100.0") > release_number("3.51.3"));
        assert_eq!(release_number("three"), None);
    }

    #[tokio::test]
    async fn pragmas_are_what_the_design_asks_for() {
        let (catalogue, _home) = opened().await;
        let writer = catalogue.writer.acquire().await.unwrap().detach();
        let reader = SqliteConnection::connect_with(catalogue.readers.options().1).await.unwrap();
        for (mut connection, query_only) in [(writer, 0), (reader, 1)] {
            for (pragma, wanted) in [
                ("PRAGMA foreign_keys", 1),
                ("PRAGMA synchronous", 2),
                ("PRAGMA trusted_schema", 0),
                ("PRAGMA cell_size_check", 1),
                ("PRAGMA temp_store", 2),
                ("PRAGMA busy_timeout", 5000),
                ("PRAGMA journal_size_limit", 67_108_864),
                ("PRAGMA wal_autocheckpoint", 16_384),
                ("PRAGMA query_only", query_only),
            ] {
                let found: i64 = sqlx::query_scalar(pragma).fetch_one(&mut connection).await.unwrap();
                assert_eq!(found, wanted, "{pragma}");
            }
            let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap();
            assert_eq!(journal, "wal");
        }
    }

    #[tokio::test]
    async fn only_what_can_be_seen_again_does_not_wait_for_the_disk() {
        let (catalogue, _home) = opened().await;
        let synchronous = async || {
            let level: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&catalogue.writer).await.unwrap();
            level
        };
        for _ in 0..2 {
            catalogue.record_models(&[model("1", "Seen")], None).await.unwrap();
            assert_eq!(synchronous().await, 1);
            catalogue.write("write something").await.unwrap().commit().await.unwrap();
            assert_eq!(synchronous().await, 2);
        }
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let (catalogue, _home) = opened().await;
        assert!(sqlx::query("DELETE FROM tag").execute(&catalogue.readers).await.is_err());
    }

    #[tokio::test]
    async fn a_newer_catalogue_is_refused_and_left_alone() {
        let (catalogue, home) = opened().await;
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (99990101000001, 'from the future', 1, x'00', 0)",
        )
        .execute(&catalogue.writer)
        .await
        .unwrap();
        catalogue.close().await;
        let error = Catalogue::open(&home.path().join("catalogue.db"), clock_at(1)).await.unwrap_err();
        assert_eq!(error.reason(), reason::CATALOGUE_TOO_NEW);
        assert_eq!(error.class(), ErrorClass::Precondition);
        assert!(matches!(error, CatalogueError::TooNew { found: 99_990_101_000_001, .. }));
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_with_its_path() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("catalogue.db");
        std::fs::write(&path, "not a database at all, but long enough to be read as a header of one".repeat(40))
            .unwrap();
        let error = Catalogue::open(&path, clock_at(1)).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::DataLoss);
        assert_eq!(error.reason(), reason::CATALOGUE_FAILED);
        assert!(error.to_string().contains("catalogue.db"));
    }

    #[tokio::test]
    async fn a_closed_catalogue_refuses_instead_of_waiting() {
        let (catalogue, _home) = opened().await;
        catalogue.close().await;
        assert!(catalogue.follows().await.is_err());
    }
}
