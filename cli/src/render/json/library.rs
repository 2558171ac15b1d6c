//! `library`.

use crate::render::units::rfc3339;
use crate::render::words;
use paintbox_proto::v1;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct LibraryJson<'a> {
    name: &'a str,
    path: &'a str,
    layout: &'a str,
    state: String,
    /// Names; a file that has several is counted once in what follows.
    paths: u64,
    files: u64,
    file_bytes: u64,
    read_files: u64,
    read_bytes: u64,
    listed_files: u64,
    unknown_files: u64,
    refused_files: u64,
    create_time: Option<String>,
    /// Null until all of it was looked at.
    scan_time: Option<String>,
    /// Null while it is there.
    away_since_time: Option<String>,
}

impl<'a> From<&'a v1::Library> for LibraryJson<'a> {
    fn from(library: &'a v1::Library) -> Self {
        Self {
            name: &library.name,
            path: &library.path,
            layout: &library.layout,
            state: words::state(library.state().as_str_name()),
            paths: library.paths,
            files: library.files,
            file_bytes: library.file_bytes,
            read_files: library.read_files,
            read_bytes: library.read_bytes,
            listed_files: library.listed_files,
            unknown_files: library.unknown_files,
            refused_files: library.refused_files,
            create_time: rfc3339(library.create_time.as_ref()),
            scan_time: rfc3339(library.scan_time.as_ref()),
            away_since_time: rfc3339(library.away_since_time.as_ref()),
        }
    }
}

/// One line of a stream of events.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum ScanLine<'a> {
    Progress {
        name: &'a str,
        #[serde(flatten)]
        found: FoundJson,
    },
    /// One library was looked at.
    Done {
        #[serde(flatten)]
        library: LibraryJson<'a>,
        #[serde(flatten)]
        found: FoundJson,
    },
}

/// What a look found, in names of files.
#[derive(Serialize)]
pub(crate) struct FoundJson {
    seen: u64,
    arrived: u64,
    /// Of those that arrived.
    known_again: u64,
    gone: u64,
    /// Of those that arrived.
    recorded: u64,
}

impl<'a> From<&'a v1::ScanLibrariesResponse> for ScanLine<'a> {
    fn from(message: &'a v1::ScanLibrariesResponse) -> Self {
        let v1::ScanLibrariesResponse { seen, arrived, known_again, gone, recorded, .. } = *message;
        let found = FoundJson { seen, arrived, known_again, gone, recorded };
        match &message.library {
            Some(library) => Self::Done { library: library.into(), found },
            None => Self::Progress { name: &message.name, found },
        }
    }
}

/// A library that is none any more.
#[derive(Serialize)]
pub(crate) struct ForgottenLibraryJson<'a> {
    pub(crate) name: &'a str,
    pub(crate) forgotten: bool,
}
