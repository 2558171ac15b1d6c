//! What can go wrong with the catalogue, and what a caller should make of it.

use paintbox_domain::{Classify, ErrorClass, reason};
use std::path::PathBuf;

/// A failure of the catalogue. Every variant carries what was attempted.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("the catalogue {} cannot be opened", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("the catalogue {} cannot be brought to this version's layout", path.display())]
    Migrate {
        path: PathBuf,
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    #[error("the catalogue {} was written by a newer Paintbox (its layout is {found}, this one knows up to {known})", path.display())]
    TooNew { path: PathBuf, found: i64, known: i64 },
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
    Other,
}

/// Primary result codes: sqlite.org/rescode.html (5 BUSY, 6 LOCKED, 11 CORRUPT, 13 FULL, 26 NOTADB); the extended
/// code carries the primary one in its low byte.
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
        _ => Trouble::Other,
    }
}

impl CatalogueError {
    fn storage_trouble(&self) -> Trouble {
        match self {
            Self::Open { source, .. } | Self::Query { source, .. } => trouble(source),
            Self::Migrate { source: sqlx::migrate::MigrateError::Execute(source), .. }
            | Self::Migrate { source: sqlx::migrate::MigrateError::ExecuteMigration(source, _), .. } => trouble(source),
            Self::Corrupt { .. } => Trouble::Damaged,
            Self::Migrate { .. }
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
            | Self::RequestIdReused { .. }
            | Self::PageTokenInvalid => Trouble::Other,
        }
    }
}

impl Classify for CatalogueError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Open { .. } | Self::Migrate { .. } | Self::Query { .. } | Self::Corrupt { .. } => {
                match self.storage_trouble() {
                    Trouble::Busy => ErrorClass::Unavailable,
                    Trouble::Full => ErrorClass::Exhausted,
                    Trouble::Damaged => ErrorClass::DataLoss,
                    Trouble::Other => ErrorClass::Internal,
                }
            }
            Self::TooNew { .. } | Self::TrashEmptied { .. } => ErrorClass::Precondition,
            Self::SqliteTooOld { .. } => ErrorClass::Internal,
            Self::FollowExists { .. } | Self::VolumeExists { .. } => ErrorClass::AlreadyExists,
            Self::FollowNotFound { .. }
            | Self::ModelNotFound { .. }
            | Self::VersionNotFound { .. }
            | Self::FileNotFound { .. }
            | Self::VolumeNotFound { .. }
            | Self::LibraryNotFound { .. }
            | Self::RemovalNotFound { .. }
            | Self::JobNotFound { .. } => ErrorClass::NotFound,
            Self::AmbiguousName { .. } | Self::PageTokenInvalid => ErrorClass::InvalidInput,
            Self::RequestIdReused { .. } => ErrorClass::Conflict,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Open { .. } | Self::Migrate { .. } | Self::Query { .. } | Self::Corrupt { .. } => {
                match self.storage_trouble() {
                    Trouble::Full => reason::DISK_FULL,
                    Trouble::Busy | Trouble::Damaged | Trouble::Other => reason::CATALOGUE_FAILED,
                }
            }
            Self::SqliteTooOld { .. } => reason::CATALOGUE_FAILED,
            Self::TooNew { .. } => reason::CATALOGUE_TOO_NEW,
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
            Self::RequestIdReused { .. } => reason::REQUEST_ID_REUSED,
            Self::PageTokenInvalid => reason::PAGE_TOKEN_INVALID,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Open { .. } | Self::Migrate { .. } | Self::Query { .. } | Self::Corrupt { .. } => {
                match self.storage_trouble() {
                    Trouble::Full => "free some space on the volume that holds the catalogue",
                    Trouble::Busy => "another program holds the catalogue; try again when it has finished",
                    Trouble::Damaged => "the file is damaged; restore it from a backup, or move it away and sync again",
                    Trouble::Other => return None,
                }
            }
            Self::TooNew { .. } => "start the newer Paintbox, or give this one another PAINTBOX_HOME",
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
            Self::RequestIdReused { .. } => "use a new request id for a new request",
            Self::PageTokenInvalid => "start again without a page token, and keep every other field as it was",
        };
        Some(hint.to_owned())
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Open { path, .. } | Self::Migrate { path, .. } => vec![("path", path.display().to_string())],
            Self::TooNew { path, found, known } => {
                vec![("path", path.display().to_string()), ("found", found.to_string()), ("known", known.to_string())]
            }
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
            Self::JobNotFound { kind, uid } => vec![("kind", (*kind).to_owned()), ("job", uid.clone())],
            Self::RequestIdReused { kind, request_id } => {
                vec![("kind", (*kind).to_owned()), ("request_id", request_id.clone())]
            }
            Self::PageTokenInvalid => Vec::new(),
        }
    }
}

/// Turns a failed statement into an error that says what it was for.
pub(crate) fn could_not(attempt: &'static str) -> impl Fn(sqlx::Error) -> CatalogueError {
    move |source| CatalogueError::Query { attempt, source }
}
