//! Backups: whole copies of the catalogue, each an ordinary SQLite file that anything can open.
//!
//! A copy is made by `VACUUM INTO` on a connection of its own. That reads one committed state, the log included, so that
//! neither readers nor the writer wait; while it goes on, the log keeps what is written meanwhile and grows by it. The
//! copy is flushed before it gets its name, and its name before anything relies on it.
//!
//! What hubs took away cannot be fetched again, so everything is copied and not only what people asked for. The search
//! index comes along: a copy that must be rebuilt before it serves is no backup. Copies are not compressed, because what is
//! large in them, the pages of hubs, is compressed already.

use crate::beside::{self, Beside, blocking, failed, unfinished};
use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::statements::statements;
use jiff::tz::TimeZone;
use paintbox_domain::{Timestamp, crash};
use sqlx::SqliteConnection;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// UTC; sorts as it reads.
const STAMP: &str = "%Y%m%dT%H%M%SZ";

statements! {
    /// A path that is no Unicode arrives as the bytes that it is.
    COPY = "VACUUM INTO CAST(?1 AS TEXT)";
    LENGTH_BYTES = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
}

/// Why a backup was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupKind {
    /// By itself; the oldest give way to newer ones.
    Daily,
    /// Somebody asked for it; it stays until they remove it.
    Manual,
    /// Before the migration of this number changed the layout.
    BeforeMigration(i64),
    /// It was the catalogue until another file took its place; it stays until somebody removes it.
    Replaced,
}

impl BackupKind {
    /// `daily`, `manual`, `before_migration` or `replaced`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Manual => "manual",
            Self::BeforeMigration(_) => "before_migration",
            Self::Replaced => "replaced",
        }
    }

    fn in_name(self) -> String {
        match self {
            Self::BeforeMigration(migration) => format!("before-{migration}"),
            other => other.as_str().to_owned(),
        }
    }

    fn of_name(text: &str) -> Option<Self> {
        match text {
            "daily" => Some(Self::Daily),
            "manual" => Some(Self::Manual),
            "replaced" => Some(Self::Replaced),
            _ => Some(Self::BeforeMigration(text.strip_prefix("before-")?.parse().ok()?)),
        }
    }
}

/// A file in the folder of backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub kind: BackupKind,
    pub path: PathBuf,
    /// To the second, as its name says.
    pub made_at: Timestamp,
    pub size_bytes: u64,
}

impl Backup {
    /// The file's name, by which it can be restored.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn found(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (kind, stamp) = name.strip_prefix("catalogue-")?.strip_suffix(".db")?.rsplit_once('-')?;
        let time = jiff::fmt::strtime::parse(STAMP, stamp).ok()?.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(Self {
            kind: BackupKind::of_name(kind)?,
            made_at: Timestamp::from_unix_ms(time.timestamp().as_millisecond()),
            size_bytes: beside::length(&path)?,
            path,
        })
    }
}

/// Where a backup of this kind lies that is made now; nothing is there yet.
pub(crate) fn place(beside: &Beside, kind: BackupKind, now: Timestamp) -> Result<PathBuf, CatalogueError> {
    named(beside, &kind.in_name(), now)
}

/// Keeps a log that cannot be read, which SQLite would write over.
pub(crate) fn keep_log(beside: &Beside, now: Timestamp) -> Result<PathBuf, CatalogueError> {
    let kept = beside::with_ending(&named(beside, "unreadable", now)?, "-wal");
    beside::rename(&beside.log(), &kept)?;
    Ok(kept)
}

fn named(beside: &Beside, kind: &str, now: Timestamp) -> Result<PathBuf, CatalogueError> {
    let folder = beside.make_backups()?;
    let mut seconds = now.unix_ms().div_euclid(1000);
    loop {
        let time = jiff::Timestamp::from_second(seconds)
            .map_err(|error| failed("name a backup in", &folder)(std::io::Error::other(error)))?;
        let path = folder.join(format!("catalogue-{kind}-{}.db", time.strftime(STAMP)));
        // A replaced catalogue moves in parts, its log first.
        if !path.exists() && !beside::with_ending(&path, "-wal").exists() {
            return Ok(path);
        }
        seconds += 1;
    }
}

/// Every backup, newest first.
pub(crate) fn list(beside: &Beside) -> Vec<Backup> {
    let entries = std::fs::read_dir(beside.backups()).into_iter().flatten().flatten();
    let mut found: Vec<Backup> = entries.filter_map(|entry| Backup::found(entry.path())).collect();
    found.sort_by(|a, b| b.made_at.cmp(&a.made_at).then_with(|| b.path.cmp(&a.path)));
    found
}

/// The newest backup from which a damaged catalogue can be restored. One that was replaced is none: nobody knows whether
/// it was sound.
pub(crate) fn newest(beside: &Beside) -> Option<PathBuf> {
    list(beside).into_iter().find(|backup| backup.kind != BackupKind::Replaced).map(|backup| backup.path)
}

/// The newest backup that was made before a migration which this build does not know.
pub(crate) fn newest_before(beside: &Beside, known: i64) -> Option<PathBuf> {
    let is_older = |kind| matches!(kind, BackupKind::BeforeMigration(migration) if migration > known);
    list(beside).into_iter().find(|backup| is_older(backup.kind)).map(|backup| backup.path)
}

/// Copies what `connection` sees to a new backup. `kept_free_bytes` of the disk stay free.
pub(crate) async fn make(
    connection: &mut SqliteConnection,
    beside: &Beside,
    kind: BackupKind,
    now: Timestamp,
    kept_free_bytes: u64,
) -> Result<Backup, CatalogueError> {
    let path = place(beside, kind, now)?;
    // Taken before: what is written while the copy is made is not in it.
    let changed_at = beside.changed_at();
    copy(connection, &unfinished(&path), kept_free_bytes).await?;
    blocking(move || {
        let fresh = unfinished(&path);
        // A backup carries the time of the last change that is in it, by which it is known that nothing changed since.
        if let Some(changed_at) = changed_at {
            let file = File::options().write(true).open(&fresh).map_err(failed("open", &fresh))?;
            file.set_modified(changed_at).map_err(failed("date", &fresh))?;
        }
        beside::flush(&fresh)?;
        beside::rename(&fresh, &path)?;
        let size_bytes = beside::length(&path).unwrap_or_default();
        Ok(Backup { kind, made_at: Timestamp::from_unix_ms(now.unix_ms().div_euclid(1000) * 1000), size_bytes, path })
    })
    .await
}

/// Writes what `connection` sees to a file that is not there yet. What cannot be finished is removed again.
pub(crate) async fn copy(
    connection: &mut SqliteConnection,
    to: &Path,
    kept_free_bytes: u64,
) -> Result<(), CatalogueError> {
    let attempt = "be copied";
    let folder = to.parent().unwrap_or_else(|| Path::new(".")).to_owned();
    let length: i64 = sqlx::query_scalar(LENGTH_BYTES).fetch_one(&mut *connection).await.map_err(could_not(attempt))?;
    let needed_bytes = u64::try_from(length).unwrap_or_default();
    let free_bytes = beside::room(&folder)?.free_bytes.saturating_sub(kept_free_bytes);
    if needed_bytes > free_bytes {
        return Err(CatalogueError::NoRoomForBackup { folder, needed_bytes, free_bytes });
    }
    beside::remove_database(to)?;
    crash::point("copy the catalogue");
    let copied = sqlx::query(COPY).bind(to.as_os_str().as_bytes()).execute(connection).await;
    if let Err(error) = copied {
        beside::remove_database(to)?;
        return Err(could_not(attempt)(error));
    }
    Ok(())
}

impl Catalogue {
    /// Makes a backup now, which stays until somebody removes it; `kept_free_bytes` of the disk stay free.
    ///
    /// # Errors
    /// `NoRoomForBackup`; when the catalogue cannot be read or the copy not be written.
    pub async fn back_up(&self, kept_free_bytes: u64) -> Result<Backup, CatalogueError> {
        self.back_up_as(BackupKind::Manual, kept_free_bytes).await
    }

    pub(crate) async fn back_up_as(&self, kind: BackupKind, kept_free_bytes: u64) -> Result<Backup, CatalogueError> {
        let mut connection = self.aside.connect("be copied").await?;
        let backup = make(&mut connection, &self.aside.beside, kind, self.now(), kept_free_bytes).await?;
        tracing::info!(backup = %backup.path.display(), bytes = backup.size_bytes, "the catalogue was backed up");
        Ok(backup)
    }

    /// The folder that backups lie in; it may not be there yet.
    #[must_use]
    pub fn backup_folder(&self) -> PathBuf {
        self.aside.beside.backups()
    }

    /// Every backup, newest first.
    ///
    /// # Errors
    /// When the work is lost with its thread.
    pub async fn backups(&self) -> Result<Vec<Backup>, CatalogueError> {
        let beside = self.aside.beside.clone();
        blocking(move || Ok(list(&beside))).await
    }
}

/// Removes what newer backups make needless: all but the `daily` newest daily ones, and those from before a migration
/// that are older than `migrations_for`, except the newest of them. Others are never removed. Bytes that were freed.
pub(crate) fn prune(
    beside: &Beside,
    daily: usize,
    migrations_for: Duration,
    now: Timestamp,
) -> Result<u64, CatalogueError> {
    let (mut dailies, mut migrations, mut freed) = (0, 0, 0);
    for backup in list(beside) {
        let is_needed = match backup.kind {
            BackupKind::Daily => {
                dailies += 1;
                dailies <= daily
            }
            BackupKind::BeforeMigration(_) => {
                migrations += 1;
                migrations == 1 || now.since(backup.made_at) <= migrations_for
            }
            BackupKind::Manual | BackupKind::Replaced => true,
        };
        if !is_needed {
            beside::remove(&backup.path)?;
            freed += backup.size_bytes;
        }
    }
    Ok(freed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{clock_at, model, opened};

    fn kept(beside: &Beside) -> Vec<String> {
        list(beside).iter().map(Backup::name).collect()
    }

    #[test]
    fn names_say_kind_and_time_and_others_are_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let beside = Beside::of(&home.path().join("catalogue.db"));
        let now = Timestamp::from_unix_ms(1_795_780_245_999);
        let mut made = Vec::new();
        for kind in [BackupKind::Daily, BackupKind::Daily, BackupKind::BeforeMigration(20_261_128_000_001)] {
            let path = place(&beside, kind, now).unwrap();
            std::fs::write(&path, "x").unwrap();
            made.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
        assert_eq!(
            made,
            [
                "catalogue-daily-20261127T115045Z.db",
                "catalogue-daily-20261127T115046Z.db",
                "catalogue-before-20261128000001-20261127T115045Z.db"
            ]
        );
        for name in ["catalogue-daily-never.db", "notes.txt", "catalogue-odd-20261127T115045Z.db"] {
            std::fs::write(beside.backups().join(name), "x").unwrap();
        }
        let found = list(&beside);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].made_at, Timestamp::from_unix_ms(1_795_780_246_000));
        assert_eq!(found[2].kind, BackupKind::BeforeMigration(20_261_128_000_001));
    }

    #[test]
    fn seven_days_stay_and_what_people_made_is_never_removed() {
        let home = tempfile::tempdir().unwrap();
        let beside = Beside::of(&home.path().join("catalogue.db"));
        let day = |number: i64| Timestamp::from_unix_ms(number * 86_400_000);
        for number in 1..=40 {
            for kind in [BackupKind::Daily, BackupKind::Manual, BackupKind::Replaced, BackupKind::BeforeMigration(7)] {
                std::fs::write(place(&beside, kind, day(number)).unwrap(), "xx").unwrap();
            }
        }
        let freed = prune(&beside, 7, Duration::from_secs(30 * 86_400), day(40)).unwrap();
        let count = |word: &str| kept(&beside).iter().filter(|name| name.contains(word)).count();
        assert_eq!((count("daily"), count("manual"), count("replaced"), count("before-7")), (7, 40, 40, 31));
        assert_eq!(freed, (33 + 9) * 2);
        assert!(
            kept(&beside)[3].contains("19700210") && !kept(&beside).iter().any(|name| name.contains("daily-19700202"))
        );
        // The newest from before a migration stays however old it is.
        prune(&beside, 1, Duration::from_secs(86_400), day(4_000)).unwrap();
        assert_eq!((count("daily"), count("before-7")), (1, 1));
    }

    #[tokio::test]
    async fn a_backup_is_the_catalogue_and_nothing_unfinished_is_left() {
        let (catalogue, home) = opened().await;
        catalogue.record_models(&[model("1", "One")], None).await.unwrap();
        let backup = catalogue.back_up(0).await.unwrap();
        assert_eq!(catalogue.backups().await.unwrap(), std::slice::from_ref(&backup));
        catalogue.record_models(&[model("2", "Two")], None).await.unwrap();
        let elsewhere = home.path().join("elsewhere.db");
        std::fs::copy(&backup.path, &elsewhere).unwrap();
        let copy = Catalogue::open(&elsewhere, clock_at(1)).await.unwrap();
        assert_eq!(copy.counts().await.unwrap().models, 1);
        assert_eq!(copy.check_integrity().await.unwrap(), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(catalogue.backup_folder()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn no_backup_is_made_where_there_is_no_room_for_it() {
        let (catalogue, _home) = opened().await;
        let error = catalogue.back_up(u64::MAX).await.unwrap_err();
        assert!(
            matches!(error, CatalogueError::NoRoomForBackup { needed_bytes: 4096.., free_bytes: 0, .. }),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(catalogue.backup_folder()).unwrap().count(), 0);
    }
}
