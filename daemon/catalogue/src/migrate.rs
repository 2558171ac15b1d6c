//! Bringing an older catalogue to this build's layout: a backup first, then every step that is missing in one transaction,
//! so that a step which fails takes back the ones before it and the older build can still open the file.

use crate::backups::{self, BackupKind};
use crate::beside::Beside;
use crate::error::CatalogueError;
use crate::statements::statements;
use futures::future::BoxFuture;
use paintbox_domain::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

statements! {
    TABLES = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    IS_CATALOGUE = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'";
    LAYOUTS = "SELECT version FROM _sqlx_migrations ORDER BY version";
}

/// The layout that all of these steps lead to.
pub(crate) fn newest(migrations: &Migrator) -> i64 {
    migrations.iter().map(|step| step.version).max().unwrap_or_default()
}

/// The steps up to `layout`; none if no step leads to it.
pub(crate) fn steps_to(layout: i64) -> Option<Migrator> {
    let steps: Vec<_> = MIGRATIONS.iter().filter(|step| step.version <= layout).cloned().collect();
    steps.last().is_some_and(|step| step.version == layout).then(|| Migrator::with_migrations(steps))
}

/// What a file is, as far as its layout says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    /// It holds no table.
    Empty,
    /// It holds tables, but none of ours.
    Foreign,
    /// The steps that made it, in order.
    Steps(Vec<i64>),
}

impl Layout {
    pub(crate) async fn of(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let is_catalogue: i64 = sqlx::query_scalar(IS_CATALOGUE).fetch_one(&mut *connection).await?;
        if is_catalogue > 0 {
            return Ok(Self::Steps(sqlx::query_scalar(LAYOUTS).fetch_all(connection).await?));
        }
        let tables: i64 = sqlx::query_scalar(TABLES).fetch_one(connection).await?;
        Ok(if tables == 0 { Self::Empty } else { Self::Foreign })
    }

    pub(crate) fn newest(&self) -> i64 {
        match self {
            Self::Steps(steps) => steps.last().copied().unwrap_or_default(),
            Self::Empty | Self::Foreign => 0,
        }
    }
}

/// What lies at the catalogue's path, looked at without a change to it.
///
/// # Errors
/// `Unusable` for another program's database, `TooNew`, and `Open`.
pub(crate) async fn look(beside: &Beside, migrations: &Migrator) -> Result<Layout, CatalogueError> {
    let path = || beside.catalogue().to_owned();
    let opening = |source| CatalogueError::Open { path: path(), backup: backups::newest(beside), source };
    let options = SqliteConnectOptions::new().filename(beside.catalogue()).foreign_keys(false);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(opening)?;
    let layout = Layout::of(&mut connection).await.map_err(opening)?;
    connection.close().await.map_err(opening)?;
    if layout == Layout::Foreign {
        let problem = "it is another program's database";
        return Err(CatalogueError::Unusable { path: path(), problem, backup: backups::newest(beside) });
    }
    let known = newest(migrations);
    if layout.newest() > known {
        let (found, backup) = (layout.newest(), backups::newest_before(beside, known));
        return Err(CatalogueError::TooNew { path: path(), found, known, backup });
    }
    Ok(layout)
}

/// Brings the catalogue that `writer` has open from `layout` to the newest of `migrations`.
pub(crate) async fn migrate(
    writer: &mut SqliteConnection,
    layout: &Layout,
    beside: &Beside,
    now: Timestamp,
    migrations: &Migrator,
) -> Result<(), CatalogueError> {
    let mut backup = None;
    if let (Layout::Steps(steps), Some(next)) = (layout, next_step(migrations, layout))
        && !steps.is_empty()
    {
        let made = backups::make(writer, beside, BackupKind::BeforeMigration(next), now, 0).await?;
        tracing::info!(backup = %made.path.display(), "the catalogue was backed up before its layout changes");
        backup = Some(made.path);
    }
    let failed = |source| CatalogueError::Migrate { path: beside.catalogue().to_owned(), backup, source };
    apply(writer, migrations).await.map_err(failed)
}

fn next_step(migrations: &Migrator, layout: &Layout) -> Option<i64> {
    let Layout::Steps(applied) = layout else { return None };
    migrations.iter().map(|step| step.version).find(|step| !applied.contains(step))
}

/// Takes every missing step, or none. Each step's own transaction becomes a savepoint in this one.
///
/// Boxed, and past `Migrator::run`, because the compiler cannot see for itself that such a future may change threads
/// (github launchbadge/sqlx `sqlx-core/src/migrate/migrator.rs`, at `run_direct`).
pub(crate) fn apply<'a>(
    connection: &'a mut SqliteConnection,
    migrations: &'a Migrator,
) -> BoxFuture<'a, Result<(), MigrateError>> {
    Box::pin(async move {
        let mut whole = connection.begin_with("BEGIN IMMEDIATE").await?;
        migrations.run_direct(None, &mut *whole, false).await?;
        whole.commit().await?;
        Ok(())
    })
}
