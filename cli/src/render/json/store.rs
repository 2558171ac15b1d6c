//! `volumes`, `verify`, `rm` and `gc`.

use super::{ErrorJson, known};
use crate::render::units::rfc3339;
use crate::render::words;
use paintbox_proto::v1;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct VolumeJson<'a> {
    name: &'a str,
    path: &'a str,
    state: String,
    kinds: &'a [String],
    everything_else: bool,
    /// Null: as the configuration says.
    keep_free_bytes: Option<u64>,
    /// Null while it is away.
    free_bytes: Option<u64>,
    files: u64,
    file_bytes: u64,
    away_since_time: Option<String>,
    create_time: Option<String>,
}

impl<'a> From<&'a v1::Volume> for VolumeJson<'a> {
    fn from(volume: &'a v1::Volume) -> Self {
        Self {
            name: &volume.name,
            path: &volume.path,
            state: words::state(volume.state().as_str_name()),
            kinds: &volume.kinds,
            everything_else: volume.everything_else,
            keep_free_bytes: volume.keep_free_bytes,
            free_bytes: volume.free_bytes,
            files: volume.files,
            file_bytes: volume.file_bytes,
            away_since_time: rfc3339(volume.away_since_time.as_ref()),
            create_time: rfc3339(volume.create_time.as_ref()),
        }
    }
}

/// A volume that is none any more.
#[derive(Serialize)]
pub(crate) struct ForgottenVolumeJson<'a> {
    pub(crate) name: &'a str,
    pub(crate) forgotten: bool,
}

/// One line of a stream of events.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum VerifyLine<'a> {
    Progress {
        files_done: u64,
        files_total: u64,
        bytes_done: u64,
        bytes_total: u64,
    },
    Finding {
        /// Null when no hub's file is known for it.
        version: Option<&'a str>,
        file: Option<&'a str>,
        path: &'a str,
        problem: &'a str,
        action: &'a str,
        repair_queued: bool,
        error: Option<ErrorJson>,
    },
    Done {
        files: u64,
        bytes: u64,
        findings: usize,
    },
}

impl<'a> From<&'a v1::VerifyFinding> for VerifyLine<'a> {
    fn from(finding: &'a v1::VerifyFinding) -> Self {
        Self::Finding {
            version: known(&finding.version),
            file: known(&finding.file),
            path: &finding.path,
            problem: &finding.problem,
            action: &finding.action,
            repair_queued: finding.repair_queued,
            error: finding.error.as_ref().map(ErrorJson::from),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct RemovalJson<'a> {
    /// Null when nothing was done.
    name: Option<&'a str>,
    reference: &'a str,
    state: Option<String>,
    /// The first of them; `file_count` has all.
    files: Vec<RemovedFileJson<'a>>,
    file_count: u32,
    size_bytes: u64,
    create_time: Option<String>,
    expire_time: Option<String>,
    end_time: Option<String>,
}

#[derive(Serialize)]
struct RemovedFileJson<'a> {
    version: &'a str,
    file: &'a str,
    size_bytes: u64,
    bytes: &'a str,
}

impl<'a> From<&'a v1::Removal> for RemovalJson<'a> {
    fn from(removal: &'a v1::Removal) -> Self {
        let file = |file: &'a v1::RemovedFile| RemovedFileJson {
            version: &file.version,
            file: &file.file,
            size_bytes: file.size_bytes,
            bytes: &file.bytes,
        };
        Self {
            name: known(&removal.name),
            reference: &removal.reference,
            state: words::known_state(removal.state().as_str_name()),
            files: removal.files.iter().map(file).collect(),
            file_count: removal.file_count,
            size_bytes: removal.size_bytes,
            create_time: rfc3339(removal.create_time.as_ref()),
            expire_time: rfc3339(removal.expire_time.as_ref()),
            end_time: rfc3339(removal.end_time.as_ref()),
        }
    }
}

/// One line of a stream of events.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum GarbageLine<'a> {
    Garbage {
        class: &'a str,
        path: &'a str,
        size_bytes: u64,
        volume: &'a str,
        detail: &'a str,
        freed: bool,
        error: Option<ErrorJson>,
    },
    /// `bytes` of everything that was explained, `freed_bytes` among them.
    Done { bytes: u64, freed_bytes: u64 },
}

impl<'a> From<&'a v1::Garbage> for GarbageLine<'a> {
    fn from(garbage: &'a v1::Garbage) -> Self {
        Self::Garbage {
            class: &garbage.class,
            path: &garbage.path,
            size_bytes: garbage.size_bytes,
            volume: &garbage.volume,
            detail: &garbage.detail,
            freed: garbage.freed,
            error: garbage.error.as_ref().map(ErrorJson::from),
        }
    }
}
