//! Reading the catalogue from text, in the form that [`crate::portable`] describes, and restoring it from a backup: both
//! make a whole catalogue beside the one that is open, which the next opening installs ([`crate::install`]).
//!
//! An export is read into the layout that it was written in, which its header names, and then goes through the migrations
//! that came since, as a catalogue of that age would. Rows go in with nothing watching: references are checked when all are
//! there, and triggers, which would do again what is in the rows already, stand aside until then; so do indexes, which are
//! made of all rows in a fraction of the time that it takes to keep them right with each. What is derived is made
//! anew. Nothing gets the name under which it is installed before all of it was read, counted, checked and flushed.

use crate::aside::Aside;
use crate::backups;
use crate::beside::{self, blocking};
use crate::check::CheckDepth;
use crate::error::{CatalogueError, could_not};
use crate::evidence::links;
use crate::migrate::{self, Layout, MIGRATIONS};
use crate::open::Catalogue;
use crate::portable::{self, Cell, End, FORMAT, FORMAT_VERSION, Header, RowLine, SEQUENCES, Table, quoted};
use crate::statements::statements;
use crate::{health, install};
use paintbox_domain::classify::message_with_causes;
use sha2::{Digest, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// A longer line is refused; the longest rows hold a hub's page.
const LONGEST_LINE_BYTES: usize = 256 << 20;
const ATTEMPT: &str = "be built from what was given";

statements! {
    /// Indexes that belong to a table's own definition have no text.
    STAND_ASIDE = "
        SELECT type, name, sql FROM sqlite_schema WHERE type IN ('trigger', 'index') AND sql IS NOT NULL
        ORDER BY type DESC, name";
}

/// What was imported and waits for the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    pub rows: u64,
    /// The layout that the export was written in.
    pub layout: i64,
}

/// An import under way: takes the text piece by piece.
///
/// One that is dropped before [`Import::finish`] leaves the catalogue as it is.
#[derive(Debug)]
pub struct Import {
    catalogue: Catalogue,
    _alone: tokio::sync::OwnedMutexGuard<()>,
    /// Bytes that do not make a line yet.
    rest: Vec<u8>,
    line: u64,
    /// Of everything before the line that is being read.
    digest: Sha256,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun,
    Loading(Box<Loading>),
    Ended(Box<Loading>),
}

#[derive(Debug)]
struct Loading {
    connection: SqliteConnection,
    header: Header,
    tables: HashMap<String, Table>,
    /// What makes the triggers and indexes that were dropped.
    aside: Vec<String>,
    waiting: Waiting,
    loaded: BTreeMap<String, u64>,
}

/// Rows of one table that go in together, with the numbers of their lines: a statement costs a round trip to SQLite's
/// thread, which is several times what a row does.
#[derive(Debug, Default)]
struct Waiting {
    table: String,
    rows: Vec<(u64, Vec<(String, Cell)>)>,
}

impl Catalogue {
    /// Begins an import. Without `replaces`, only an empty catalogue takes one.
    ///
    /// # Errors
    /// `NotEmpty`; when the catalogue cannot be read.
    pub async fn begin_import(&self, replaces: bool) -> Result<Import, CatalogueError> {
        if !replaces && let Some(table) = self.table_with_rows().await? {
            return Err(CatalogueError::NotEmpty { table });
        }
        let alone = self.aside.building.clone().lock_owned().await;
        beside::remove_database(&self.aside.beside.building())?;
        let (catalogue, digest) = (self.clone(), Sha256::new());
        Ok(Import { catalogue, _alone: alone, rest: Vec::new(), line: 0, digest, state: State::Begun })
    }

    /// A table that holds more than it does in a new catalogue; none in one that is empty.
    async fn table_with_rows(&self) -> Result<Option<String>, CatalogueError> {
        let failed = could_not("be compared with an empty one");
        let mut fresh = SqliteConnection::connect("sqlite::memory:").await.map_err(&failed)?;
        migrate::apply(&mut fresh, &MIGRATIONS).await.map_err(|source| self.not_migrated(source))?;
        let mut connection = self.aside.connect("be compared with an empty one").await?;
        for table in portable::tables(&mut fresh).await.map_err(&failed)? {
            // Numbers that were given say nothing of what is there.
            if table.name == SEQUENCES {
                continue;
            }
            let count = format!("SELECT count(*) FROM {}", quoted(&table.name));
            let mut counts = [0_i64; 2];
            for (connection, found) in [&mut fresh, &mut *connection].into_iter().zip(&mut counts) {
                let count = sqlx::query_scalar(AssertSqlSafe(count.clone()));
                *found = count.fetch_one(connection).await.map_err(&failed)?;
            }
            if counts[1] > counts[0] {
                return Ok(Some(table.name));
            }
        }
        Ok(None)
    }

    fn not_migrated(&self, source: sqlx::migrate::MigrateError) -> CatalogueError {
        CatalogueError::Migrate { path: self.path().to_owned(), backup: None, source }
    }

    /// Makes a backup ready to take the catalogue's place at the next opening. `backup` is the name of one, or the path of
    /// any file that is a catalogue; that file stays as it is.
    ///
    /// # Errors
    /// `BackupNotFound`, `BackupDamaged`, `NoRoomForBackup`, `TooNew`; when files cannot be written.
    pub async fn stage_backup(&self, backup: &Path) -> Result<PathBuf, CatalogueError> {
        let _alone = self.aside.building.lock().await;
        stage(&self.aside, backup).await
    }

    /// The same for a catalogue that nobody has open, such as one that cannot be opened; and installs it.
    ///
    /// # Errors
    /// Those of [`Catalogue::stage_backup`].
    pub async fn restore(
        path: &Path,
        backup: &Path,
        clock: std::sync::Arc<dyn paintbox_domain::Clock>,
    ) -> Result<PathBuf, CatalogueError> {
        let (beside, now) = (beside::Beside::of(path), clock.now());
        let options = SqliteConnectOptions::new().filename(path);
        let aside = Aside::new(beside.clone(), options, false, now);
        let restored = stage(&aside, backup).await?;
        blocking(move || install::install(&beside, now)).await?;
        Ok(restored)
    }
}

async fn stage(aside: &Aside, backup: &Path) -> Result<PathBuf, CatalogueError> {
    let beside = &aside.beside;
    let from = if backup.is_absolute() { backup.to_owned() } else { beside.backups().join(backup) };
    if !from.is_file() {
        return Err(CatalogueError::BackupNotFound { backup: backup.display().to_string() });
    }
    let refused = |problem: String| CatalogueError::BackupDamaged { path: from.clone(), problem };
    let unreadable = |error: &sqlx::Error| refused(message_with_causes(error));
    // No journal mode is asked for, so that the file stays as it is.
    let options = SqliteConnectOptions::new().filename(&from).foreign_keys(false);
    let mut connection = open(options, aside).await.map_err(|error| unreadable(&error))?;
    let layout = Layout::of(&mut connection).await.map_err(|error| unreadable(&error))?;
    let (found, known) = (layout.newest(), migrate::newest(&MIGRATIONS));
    match layout {
        Layout::Empty | Layout::Foreign => return Err(refused("it is no catalogue".to_owned())),
        Layout::Steps(_) if found > known => {
            return Err(CatalogueError::TooNew { path: from.clone(), found, known, backup: None });
        }
        Layout::Steps(_) => {}
    }
    let building = beside.building();
    backups::copy(&mut connection, &building, 0).await.map_err(|error| match error {
        CatalogueError::Query { source, .. } if !is_full(&source) => unreadable(&source),
        other => other,
    })?;
    drop(connection.close().await);
    let mut copy = open(SqliteConnectOptions::new().filename(&building), aside).await.map_err(could_not(ATTEMPT))?;
    let problems = health::sound_pages(&mut copy).await?;
    drop(copy.close().await);
    if let Some(first) = problems.into_iter().next() {
        beside::remove_database(&building)?;
        return Err(refused(first));
    }
    let beside = beside.clone();
    blocking(move || install::stage(&beside)).await?;
    Ok(from)
}

fn is_full(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| code == "13"))
}

/// A connection that is broken off when the catalogue is closed.
async fn open(options: SqliteConnectOptions, aside: &Aside) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let closing = aside.closing();
    connection.lock_handle().await?.set_progress_handler(100_000, move || !closing.load(Ordering::Relaxed));
    Ok(connection)
}

impl Drop for Import {
    fn drop(&mut self) {
        // What was staged has another name by now; what was not is of no use. A failure leaves it to the next opening.
        drop(beside::remove_database(&self.catalogue.aside.beside.building()));
    }
}

impl Import {
    /// Takes the next piece of the text, of any length.
    ///
    /// # Errors
    /// `ImportInvalid` with the number of the line, `ExportTooNew`; when the new catalogue cannot be written. The import is
    /// over then.
    pub async fn push(&mut self, mut piece: &[u8]) -> Result<(), CatalogueError> {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = piece.split_at(end + 1);
            piece = rest;
            if self.rest.is_empty() {
                self.take(line).await?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.take(&whole).await?;
            }
        }
        if self.rest.len() + piece.len() > LONGEST_LINE_BYTES {
            self.line += 1;
            return Err(self.invalid(format!("it is longer than {LONGEST_LINE_BYTES} bytes")));
        }
        self.rest.extend_from_slice(piece);
        Ok(())
    }

    /// Ends the import: brings what was read to this build's layout, checks it, and names it for the next start.
    ///
    /// # Errors
    /// `ImportInvalid` when the text ended early or its rows do not fit together; when the new catalogue cannot be
    /// written.
    pub async fn finish(mut self) -> Result<Imported, CatalogueError> {
        let State::Ended(loading) = std::mem::replace(&mut self.state, State::Begun) else {
            self.line += 1;
            return Err(self.invalid("the end is missing"));
        };
        if !self.rest.is_empty() {
            self.line += 1;
            return Err(self.invalid("there is something behind the end"));
        }
        let Loading { mut connection, header, aside, loaded, .. } = *loading;
        let failed = could_not(ATTEMPT);
        for sql in aside {
            let made = sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await;
            made.map_err(|error| refused(self.line, error))?;
        }
        sqlx::query("COMMIT").execute(&mut connection).await.map_err(&failed)?;
        migrate::apply(&mut connection, &MIGRATIONS).await.map_err(|source| self.catalogue.not_migrated(source))?;
        // Rows for searches are made in the background, as after an upgrade.
        links::index_everything(&mut connection).await.map_err(&failed)?;
        let problems = health::problems(&mut connection, CheckDepth::Full).await?;
        if let Some(first) = problems.into_iter().next() {
            return Err(self.invalid(format!("its rows do not fit together: {first}")));
        }
        sqlx::query("PRAGMA optimize = 0x10002").execute(&mut connection).await.map_err(&failed)?;
        connection.close().await.map_err(&failed)?;
        let beside = self.catalogue.aside.beside.clone();
        blocking(move || install::stage(&beside)).await?;
        Ok(Imported { rows: loaded.values().sum(), layout: header.layout })
    }

    fn invalid(&self, problem: impl Into<String>) -> CatalogueError {
        CatalogueError::ImportInvalid { line: self.line, problem: problem.into() }
    }

    async fn take(&mut self, line: &[u8]) -> Result<(), CatalogueError> {
        self.line += 1;
        match std::mem::replace(&mut self.state, State::Begun) {
            State::Begun => {
                let header = serde_json::from_slice(line).map_err(|error| self.unreadable(&error))?;
                self.state = State::Loading(Box::new(self.begin(header).await?));
            }
            State::Loading(mut loading) if line.starts_with(b"{\"end\"") => {
                loading.write_waiting().await?;
                self.end(&loading, line)?;
                self.state = State::Ended(loading);
                return Ok(());
            }
            State::Loading(mut loading) => {
                let row = serde_json::from_slice(line).map_err(|error| self.unreadable(&error))?;
                self.load(&mut loading, row).await?;
                self.state = State::Loading(loading);
            }
            State::Ended(_) => return Err(self.invalid("there is something behind the end")),
        }
        self.digest.update(line);
        Ok(())
    }

    fn unreadable(&self, error: &serde_json::Error) -> CatalogueError {
        self.invalid(error.to_string())
    }

    /// Makes an empty catalogue of the layout that the header names.
    async fn begin(&self, header: Header) -> Result<Loading, CatalogueError> {
        if header.format != FORMAT {
            return Err(self.invalid(format!("it is `{}`, not a catalogue's export", header.format)));
        }
        let known = migrate::newest(&MIGRATIONS);
        if header.layout > known || header.format_version > FORMAT_VERSION {
            return Err(CatalogueError::ExportTooNew { found: header.layout, known });
        }
        let steps = migrate::steps_to(header.layout)
            .ok_or_else(|| self.invalid(format!("there never was a layout {}", header.layout)))?;
        let failed = could_not(ATTEMPT);
        // Nobody reads the file before it is whole, and it is flushed then; a kill before leaves what is swept away.
        let options = SqliteConnectOptions::new()
            .filename(self.catalogue.aside.beside.building())
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Memory)
            .synchronous(SqliteSynchronous::Off)
            .foreign_keys(false)
            // Sorting for an index goes to a file, since it may take more than there is memory.
            .pragma("cache_size", "-65536");
        let mut connection = open(options, &self.catalogue.aside).await.map_err(&failed)?;
        migrate::apply(&mut connection, &steps).await.map_err(|source| self.catalogue.not_migrated(source))?;
        let tables = portable::tables(&mut connection).await.map_err(&failed)?;
        let aside: Vec<(String, String, String)> =
            sqlx::query_as(STAND_ASIDE).fetch_all(&mut connection).await.map_err(&failed)?;
        let mut preparations = vec!["BEGIN IMMEDIATE".to_owned()];
        preparations.extend(aside.iter().map(|(kind, name, _)| format!("DROP {kind} {}", quoted(name))));
        // Migrations put rows of their own into some; what was exported has them too.
        preparations.extend(tables.iter().map(|table| format!("DELETE FROM {}", quoted(&table.name))));
        for statement in preparations {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.map_err(&failed)?;
        }
        let tables: HashMap<String, Table> = tables.into_iter().map(|table| (table.name.clone(), table)).collect();
        if let Some(unknown) = header.rows.keys().find(|name| !tables.contains_key(*name)) {
            return Err(self.invalid(format!("layout {} has no table `{unknown}`", header.layout)));
        }
        let aside = aside.into_iter().map(|(_, _, sql)| sql).collect();
        Ok(Loading { connection, header, tables, aside, waiting: Waiting::default(), loaded: BTreeMap::new() })
    }

    async fn load(&self, loading: &mut Loading, line: RowLine) -> Result<(), CatalogueError> {
        let Some(table) = loading.tables.get(&line.table) else {
            return Err(self.invalid(format!("there is no table `{}`", line.table)));
        };
        let cells = line.row.0;
        if !cells.iter().map(|(name, _)| name).eq(table.columns.iter()) {
            return Err(self.invalid(format!("`{}` has other columns, or in another order", table.name)));
        }
        let at_once = table.rows_at_once;
        if loading.waiting.table != line.table {
            loading.write_waiting().await?;
            loading.waiting.table.clone_from(&line.table);
        }
        if line.table == SEQUENCES && !loading.loaded.contains_key(SEQUENCES) {
            // SQLite noted the numbers of the rows that were just written.
            let cleared = sqlx::query(AssertSqlSafe(format!("DELETE FROM {SEQUENCES}")));
            cleared.execute(&mut loading.connection).await.map_err(could_not(ATTEMPT))?;
        }
        loading.waiting.rows.push((self.line, cells));
        if loading.waiting.rows.len() >= at_once {
            loading.write_waiting().await?;
        }
        *loading.loaded.entry(line.table).or_default() += 1;
        Ok(())
    }

    fn end(&self, loading: &Loading, line: &[u8]) -> Result<(), CatalogueError> {
        let end: End = serde_json::from_slice(line).map_err(|error| self.unreadable(&error))?;
        for (table, wanted) in &loading.header.rows {
            let found = loading.loaded.get(table).copied().unwrap_or_default();
            if found != *wanted {
                return Err(self.invalid(format!("`{table}` has {found} rows where the header says {wanted}")));
            }
        }
        if end.rows != loading.loaded.values().sum::<u64>() {
            return Err(self.invalid("there are rows of a table that the header does not name"));
        }
        if end.sha256 != format!("{:x}", self.digest.clone().finalize()) {
            return Err(self.invalid("the digest is that of another text"));
        }
        Ok(())
    }
}

impl Loading {
    async fn write_waiting(&mut self) -> Result<(), CatalogueError> {
        let rows = std::mem::take(&mut self.waiting.rows);
        let Some(table) = self.tables.get(&self.waiting.table) else { return Ok(()) };
        let is_plain = |(_, cells): &(u64, Vec<(String, Cell)>)| !cells.iter().any(|(_, cell)| cell.is_no_utf_8());
        if rows.len() == table.rows_at_once && rows.iter().all(is_plain) {
            let cells = rows.iter().flat_map(|(_, cells)| cells);
            match insert(&mut self.connection, &table.insert_many, cells).await {
                // One by one it shows which of them it is.
                Err(error) if is_of_a_row(&error) => {}
                done => return done.map_err(could_not(ATTEMPT)),
            }
        }
        for (line, cells) in &rows {
            let written = insert(&mut self.connection, &insert_of(table, cells), cells).await;
            written.map_err(|error| refused(*line, error))?;
        }
        Ok(())
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    sql: &str,
    cells: impl IntoIterator<Item = &(String, Cell)>,
) -> Result<(), sqlx::Error> {
    let mut statement = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for (_, cell) in cells {
        statement = match cell {
            Cell::Null => statement.bind(None::<i64>),
            Cell::Integer(value) => statement.bind(*value),
            Cell::Real(value) => statement.bind(*value),
            Cell::Text(value) => statement.bind(value.clone()),
            Cell::Bytes(value) | Cell::Blob(value) => statement.bind(value.clone()),
        };
    }
    statement.execute(connection).await.map(drop)
}

/// What it means that a row was not taken.
fn refused(line: u64, error: sqlx::Error) -> CatalogueError {
    if is_of_a_row(&error) {
        CatalogueError::ImportInvalid { line, problem: message_with_causes(&error) }
    } else {
        could_not(ATTEMPT)(error)
    }
}

/// Whether it is the row and not the disk: 19 CONSTRAINT, 20 MISMATCH.
fn is_of_a_row(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|refusal| matches!(primary_code(refusal), Some(19 | 20)))
}

/// The statement for one row.
fn insert_of(table: &Table, cells: &[(String, Cell)]) -> String {
    let place = |cell: &Cell| if cell.is_no_utf_8() { "CAST(? AS TEXT)" } else { "?" };
    let places: Vec<&str> = cells.iter().map(|(_, cell)| place(cell)).collect();
    format!("{} ({})", table.insert, places.join(", "))
}

fn primary_code(error: &dyn sqlx::error::DatabaseError) -> Option<u32> {
    error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff)
}
