//! What can go wrong with the catalogue, and what a caller should make of it.

use paintbox_domain::{Classify, ErrorClass, reason};
use std::path::{Path, PathBuf};

/// A failure of the catalogue. Every variant carries what was attempted.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("the catalogue {} cannot be opened", path.display())]
    Open {
        path: PathBuf,
        /// The newest backup of it.
        backup: Option<PathBuf>,
        #[source]
        source: sqlx::Error,
    },
    /// `path` holds something that no catalogue is opened over.
    #[error("the catalogue {} cannot be opened: {problem}", path.display())]
    Unusable { path: PathBuf, problem: &'static str, backup: Option<PathBuf> },
    /// Nothing of it was changed.
    #[error("the catalogue {} cannot be brought to this version's layout and is as it was", path.display())]
    Migrate {
        path: PathBuf,
        /// The copy that was made before, if one was.
        backup: Option<PathBuf>,
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    #[error("the catalogue {} was written by a newer Paintbox (its layout is {found}, this one knows up to {known})", path.display())]
    TooNew { path: PathBuf, found: i64, known: i64, backup: Option<PathBuf> },
    #[error("there is no room in {} for a copy of the catalogue: it takes {needed_bytes} bytes, and {free_bytes} are free", folder.display())]
    NoRoomForBackup { folder: PathBuf, needed_bytes: u64, free_bytes: u64 },
    /// A file beside the catalogue.
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("there is no backup `{backup}`")]
    BackupNotFound { backup: String },
    #[error("{} cannot take the catalogue's place: {problem}", path.display())]
    BackupDamaged { path: PathBuf, problem: String },
    #[error("the catalogue is not empty: {table} has rows")]
    NotEmpty { table: String },
    #[error("the export cannot be read: line {line}: {problem}")]
    ImportInvalid { line: u64, problem: String },
    #[error("the export was written by a newer Paintbox (its layout is {found}, this one knows up to {known})")]
    ExportTooNew { found: i64, known: i64 },
    #[error("this build carries SQLite {found}, which is older than {wanted} and can lose writes")]
    SqliteTooOld { found: String, wanted: &'static str },
    /// A statement failed; `attempt` says what for, as an infinitive.
    #[error("the catalogue could not {attempt}")]
    Query {
        attempt: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// A stored value is none of those that this crate writes.
    #[error("the catalogue holds `{value}` as {what}, which means nothing")]
    Corrupt { what: &'static str, value: String },
    #[error("{target} is followed already, as {name}")]
    FollowExists { target: String, name: String },
    #[error("`{given}` is not followed")]
    FollowNotFound { given: String },
    #[error("the catalogue knows no model `{reference}`")]
    ModelNotFound { reference: String },
    #[error("the catalogue knows no version `{version}` of {model}")]
    VersionNotFound { model: String, version: String },
    #[error("the catalogue knows no file `{file}` of {of}")]
    FileNotFound { of: String, file: String },
    /// `candidates` are references, the likeliest first, at most ten of them.
    #[error("`{name}` names {found} models: {}", candidates.join(", "))]
    AmbiguousName { name: String, found: usize, candidates: Vec<String> },
    #[error("there is no library {library}")]
    LibraryNotFound { library: String },
    #[error("there is no volume `{label}`")]
    VolumeNotFound { label: String },
    #[error("that is the volume `{label}` already")]
    VolumeExists { label: String },
    #[error("there is no removal `{removal}`")]
    RemovalNotFound { removal: String },
    #[error("the trash was emptied of removal {removal}")]
    TrashEmptied { removal: String },
    #[error("there is no {kind} `{uid}`")]
    JobNotFound { kind: &'static str, uid: String },
    #[error("the {kind} `{uid}` does not wait for its turn")]
    JobNotQueued { kind: &'static str, uid: String },
    #[error("the {kind} `{uid}` has not ended")]
    JobNotEnded { kind: &'static str, uid: String },
    #[error(
        "{queued} generations wait{} already, and no more than {limit} may",
        client.as_ref().map(|client| format!(" for {client}")).unwrap_or_default()
    )]
    QueueFull { queued: u32, limit: u32, client: Option<String> },
    #[error("request id `{request_id}` was used for another {kind} before")]
    RequestIdReused { kind: &'static str, request_id: String },
    #[error("the page token does not continue this listing")]
    PageTokenInvalid,
}

/// What SQLite itself reports, as far as it makes a difference to the caller.
enum Trouble {
    Busy,
    Full,
    Damaged,
    /// The file or its folder may not be written or read by this user.
    Denied,
    /// The work was broken off because the catalogue is being closed.
    Interrupted,
    Other,
}

/// Primary result codes: sqlite.org/rescode.html (3 PERM, 5 BUSY, 6 LOCKED, 8 READONLY, 9 INTERRUPT, 11 CORRUPT, 13 FULL,
/// 14 CANTOPEN, 26 NOTADB); the extended code carries the primary one in its low byte.
fn trouble(error: &sqlx::Error) -> Trouble {
    let code = match error {
        sqlx::Error::Database(database) => database.code().and_then(|code| code.parse::<u32>().ok()),
        sqlx::Error::PoolTimedOut => return Trouble::Busy,
        _ => None,
    };
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => Trouble::Busy,
        Some(13) => Trouble::Full,
        Some(11 | 26) => Trouble::Damaged,
        Some(3 | 8 | 14) => Trouble::Denied,
        Some(9) => Trouble::Interrupted,
        _ => Trouble::Other,
    }
}

impl CatalogueError {
    /// Whether the file itself is not as SQLite left it.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self.storage_trouble(), Trouble::Damaged)
    }

    fn storage_trouble(&self) -> Trouble {
        match self {
            Self::Open { source, .. } | Self::Query { source, .. } => trouble(source),
            Self::Migrate { source: sqlx::migrate::MigrateError::Execute(source), .. }
            | Self::Migrate { source: sqlx::migrate::MigrateError::ExecuteMigration(source, _), .. } => trouble(source),
            Self::Corrupt { .. } | Self::Unusable { .. } => Trouble::Damaged,
            Self::File { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Trouble::Full,
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Trouble::Denied,
                _ => Trouble::Other,
            },
            Self::NoRoomForBackup { .. } => Trouble::Full,
            Self::Migrate { .. }
            | Self::BackupNotFound { .. }
            | Self::BackupDamaged { .. }
            | Self::NotEmpty { .. }
            | Self::ImportInvalid { .. }
            | Self::ExportTooNew { .. }
            | Self::TooNew { .. }
            | Self::SqliteTooOld { .. }
            | Self::FollowExists { .. }
            | Self::FollowNotFound { .. }
            | Self::ModelNotFound { .. }
            | Self::VersionNotFound { .. }
            | Self::FileNotFound { .. }
            | Self::AmbiguousName { .. }
            | Self::VolumeNotFound { .. }
            | Self::LibraryNotFound { .. }
            | Self::VolumeExists { .. }
            | Self::RemovalNotFound { .. }
            | Self::TrashEmptied { .. }
            | Self::JobNotFound { .. }
            | Self::JobNotQueued { .. }
            | Self::JobNotEnded { .. }
            | Self::QueueFull { .. }
            | Self::RequestIdReused { .. }
            | Self::PageTokenInvalid => Trouble::Other,
        }
    }
}

impl Classify for CatalogueError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Open { .. }
            | Self::Unusable { .. }
            | Self::Migrate { .. }
            | Self::Query { .. }
            | Self::Corrupt { .. }
            | Self::NoRoomForBackup { .. }
            | Self::File { .. } => match self.storage_trouble() {
                Trouble::Busy => ErrorClass::Unavailable,
                Trouble::Full => ErrorClass::Exhausted,
                Trouble::Damaged => ErrorClass::DataLoss,
                Trouble::Denied => ErrorClass::Precondition,
                Trouble::Interrupted => ErrorClass::Unavailable,
                Trouble::Other => ErrorClass::Internal,
            },
            Self::TooNew { .. } | Self::ExportTooNew { .. } | Self::NotEmpty { .. } | Self::TrashEmptied { .. } => {
                ErrorClass::Precondition
            }
            Self::BackupDamaged { .. } => ErrorClass::DataLoss,
            Self::SqliteTooOld { .. } => ErrorClass::Internal,
            Self::FollowExists { .. } | Self::VolumeExists { .. } => ErrorClass::AlreadyExists,
            Self::FollowNotFound { .. }
            | Self::ModelNotFound { .. }
            | Self::VersionNotFound { .. }
            | Self::FileNotFound { .. }
            | Self::VolumeNotFound { .. }
            | Self::LibraryNotFound { .. }
            | Self::RemovalNotFound { .. }
            | Self::BackupNotFound { .. }
            | Self::JobNotFound { .. } => ErrorClass::NotFound,
            Self::AmbiguousName { .. } | Self::PageTokenInvalid | Self::ImportInvalid { .. } => {
                ErrorClass::InvalidInput
            }
            Self::RequestIdReused { .. } => ErrorClass::Conflict,
            Self::JobNotQueued { .. } | Self::JobNotEnded { .. } => ErrorClass::Precondition,
            Self::QueueFull { .. } => ErrorClass::Exhausted,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Open { .. }
            | Self::Unusable { .. }
            | Self::Migrate { .. }
            | Self::Query { .. }
            | Self::Corrupt { .. }
            | Self::NoRoomForBackup { .. }
            | Self::File { .. } => match self.storage_trouble() {
                Trouble::Full => reason::DISK_FULL,
                Trouble::Interrupted => reason::SHUTTING_DOWN,
                Trouble::Busy | Trouble::Damaged | Trouble::Denied | Trouble::Other => reason::CATALOGUE_FAILED,
            },
            Self::SqliteTooOld { .. } => reason::CATALOGUE_FAILED,
            Self::TooNew { .. } | Self::ExportTooNew { .. } => reason::CATALOGUE_TOO_NEW,
            Self::BackupNotFound { .. } => reason::BACKUP_NOT_FOUND,
            Self::BackupDamaged { .. } => reason::BACKUP_DAMAGED,
            Self::NotEmpty { .. } => reason::CATALOGUE_NOT_EMPTY,
            Self::ImportInvalid { .. } => reason::IMPORT_INVALID,
            Self::FollowExists { .. } => reason::FOLLOW_EXISTS,
            Self::FollowNotFound { .. } => reason::FOLLOW_NOT_FOUND,
            Self::ModelNotFound { .. } => reason::MODEL_NOT_FOUND,
            Self::VersionNotFound { .. } => reason::VERSION_NOT_FOUND,
            Self::FileNotFound { .. } => reason::FILE_NOT_FOUND,
            Self::AmbiguousName { .. } => reason::AMBIGUOUS_NAME,
            Self::VolumeNotFound { .. } => reason::VOLUME_NOT_FOUND,
            Self::LibraryNotFound { .. } => reason::LIBRARY_NOT_FOUND,
            Self::VolumeExists { .. } => reason::VOLUME_EXISTS,
            Self::RemovalNotFound { .. } => reason::REMOVAL_NOT_FOUND,
            Self::TrashEmptied { .. } => reason::TRASH_EMPTIED,
            Self::JobNotFound { .. } => reason::JOB_NOT_FOUND,
            Self::JobNotQueued { .. } => reason::JOB_NOT_QUEUED,
            Self::JobNotEnded { .. } => reason::JOB_NOT_ENDED,
            Self::QueueFull { .. } => reason::QUEUE_FULL,
            Self::RequestIdReused { .. } => reason::REQUEST_ID_REUSED,
            Self::PageTokenInvalid => reason::PAGE_TOKEN_INVALID,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Open { backup, .. } | Self::Unusable { backup, .. } if self.is_damage() => {
                return Some(restore_hint(backup.as_deref()));
            }
            Self::NoRoomForBackup { needed_bytes, .. } => {
                return Some(format!(
                    "free {needed_bytes} bytes on that disk, or move old backups away; nothing was changed"
                ));
            }
            Self::Migrate { backup: Some(backup), .. } => {
                return Some(format!("the copy that was made before is {}", backup.display()));
            }
            Self::Open { .. }
            | Self::Unusable { .. }
            | Self::Migrate { .. }
            | Self::Query { .. }
            | Self::Corrupt { .. }
            | Self::File { .. } => match self.storage_trouble() {
                Trouble::Full => "free some space on the volume that holds the catalogue",
                Trouble::Busy => "another program holds the catalogue; try again when it has finished",
                Trouble::Damaged => {
                    "the file is damaged: `paintbox catalogue check` says how badly, `paintbox catalogue backups` lists \
                     what can be restored"
                }
                Trouble::Denied => "see that the file and its folder belong to this user and may be written",
                Trouble::Interrupted => "ask again when the daemon runs",
                Trouble::Other => return None,
            },
            Self::TooNew { backup: Some(backup), .. } => {
                return Some(format!(
                    "start the newer Paintbox; or `paintbox catalogue restore {}` goes back to what it was before that one",
                    backup.display()
                ));
            }
            Self::ExportTooNew { .. } => "import it with the newer Paintbox",
            Self::BackupNotFound { .. } => "`paintbox catalogue backups` lists them",
            Self::BackupDamaged { .. } => "`paintbox catalogue backups` lists others; nothing was changed",
            Self::NotEmpty { .. } => {
                "--replace puts the export in its place; what is there now is kept beside the backups"
            }
            Self::ImportInvalid { .. } => "it may be cut short or edited; export it again; nothing was changed",
            Self::TooNew { backup: None, .. } => "start the newer Paintbox, or give this one another PAINTBOX_HOME",
            Self::SqliteTooOld { .. } => "build with the SQLite that is bundled",
            Self::FollowExists { .. } => "`paintbox follows` shows it",
            Self::FollowNotFound { .. } => "`paintbox follows` lists what is followed",
            Self::ModelNotFound { .. } => {
                "`paintbox search` finds what is known; `paintbox pull` adds a model by its reference"
            }
            Self::VersionNotFound { .. } | Self::FileNotFound { .. } => "`paintbox show` lists versions and files",
            Self::AmbiguousName { .. } => "say which one by its reference",
            Self::VolumeNotFound { .. } | Self::VolumeExists { .. } => "`paintbox volumes` lists them",
            Self::LibraryNotFound { .. } => "`paintbox library list` lists them",
            Self::RemovalNotFound { .. } => "`paintbox rm --list` lists what can be undone",
            Self::TrashEmptied { .. } => "`paintbox pull` fetches it again",
            Self::JobNotFound { .. } => "`paintbox jobs` lists them",
            Self::JobNotQueued { .. } => "`paintbox jobs` says how it is",
            Self::JobNotEnded { .. } => "wait for its end, or cancel it",
            Self::QueueFull { .. } => "wait for one to end, or cancel some: `paintbox jobs`",
            Self::RequestIdReused { .. } => "use a new request id for a new request",
            Self::PageTokenInvalid => "start again without a page token, and keep every other field as it was",
        };
        Some(hint.to_owned())
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Open { path, backup, .. }
            | Self::Unusable { path, backup, .. }
            | Self::Migrate { path, backup, .. } => with_backup(path, backup.as_deref()),
            Self::TooNew { path, found, known, backup } => {
                let mut metadata = with_backup(path, backup.as_deref());
                metadata.extend([("found", found.to_string()), ("known", known.to_string())]);
                metadata
            }
            Self::ExportTooNew { found, known } => vec![("found", found.to_string()), ("known", known.to_string())],
            Self::NoRoomForBackup { folder, needed_bytes, free_bytes } => vec![
                ("path", folder.display().to_string()),
                ("needed_bytes", needed_bytes.to_string()),
                ("free_bytes", free_bytes.to_string()),
            ],
            Self::File { path, .. } | Self::BackupDamaged { path, .. } => vec![("path", path.display().to_string())],
            Self::BackupNotFound { backup } => vec![("backup", backup.clone())],
            Self::NotEmpty { table } => vec![("table", table.clone())],
            Self::ImportInvalid { line, .. } => vec![("line", line.to_string())],
            Self::SqliteTooOld { found, wanted } => vec![("found", found.clone()), ("wanted", (*wanted).to_owned())],
            Self::Query { attempt, .. } => vec![("attempt", (*attempt).to_owned())],
            Self::Corrupt { what, value } => vec![("what", (*what).to_owned()), ("value", value.clone())],
            Self::FollowExists { target, name } => vec![("target", target.clone()), ("follow", name.clone())],
            Self::FollowNotFound { given } => vec![("follow", given.clone())],
            Self::ModelNotFound { reference } => vec![("reference", reference.clone())],
            Self::VersionNotFound { model, version } => vec![("model", model.clone()), ("version", version.clone())],
            Self::FileNotFound { of, file } => vec![("version", of.clone()), ("file", file.clone())],
            Self::AmbiguousName { name, found, candidates } => {
                vec![("name", name.clone()), ("found", found.to_string()), ("candidates", candidates.join(", "))]
            }
            Self::VolumeNotFound { label } | Self::VolumeExists { label } => vec![("volume", label.clone())],
            Self::LibraryNotFound { library } => vec![("library", library.clone())],
            Self::RemovalNotFound { removal } | Self::TrashEmptied { removal } => vec![("removal", removal.clone())],
            Self::JobNotFound { kind, uid } | Self::JobNotQueued { kind, uid } | Self::JobNotEnded { kind, uid } => {
                vec![("kind", (*kind).to_owned()), ("job", uid.clone())]
            }
            Self::QueueFull { queued, limit, client } => {
                let mut facts = vec![("queued", queued.to_string()), ("limit", limit.to_string())];
                facts.extend(client.clone().map(|client| ("client", client)));
                facts
            }
            Self::RequestIdReused { kind, request_id } => {
                vec![("kind", (*kind).to_owned()), ("request_id", request_id.clone())]
            }
            Self::PageTokenInvalid => Vec::new(),
        }
    }
}

/// What puts a damaged catalogue right. The command works on a daemon that does not start, too.
fn restore_hint(backup: Option<&Path>) -> String {
    match backup {
        Some(backup) => format!(
            "nothing was deleted; `paintbox catalogue restore {}` puts the newest backup in its place and keeps this file",
            backup.display()
        ),
        None => {
            "nothing was deleted, and there is no backup of it; move the file away to begin with an empty catalogue"
                .to_owned()
        }
    }
}

fn with_backup(path: &Path, backup: Option<&Path>) -> Vec<(&'static str, String)> {
    let mut metadata = vec![("path", path.display().to_string())];
    metadata.extend(backup.map(|backup| ("backup", backup.display().to_string())));
    metadata
}

/// Turns a failed statement into an error that says what it was for.
pub(crate) fn could_not(attempt: &'static str) -> impl Fn(sqlx::Error) -> CatalogueError {
    move |source| CatalogueError::Query { attempt, source }
}
