//! The objects that `--json` prints: the contract with scripts.
//!
//! Fields may be added, none renamed. Times are RFC 3339 in UTC. A text that nobody knows is null; sizes that nobody
//! knows are 0, as on the wire.

mod access;
mod catalogue;
mod daemon;
mod download;
mod follow;
mod library;
mod model;
mod recipe;
mod shelf;
mod store;

pub(crate) use access::{DeletedTokenJson, ListenerJson, SignedOutJson, TokenJson, WebJson, listener_kind};
pub(crate) use catalogue::{BackupJson, CheckJson, ExportedJson, HealthJson, InstalledJson};
pub(crate) use daemon::{DaemonJson, HubJson, ReloadedJson, StatusJson, SupervisorJson};
pub(crate) use download::DownloadJson;
pub(crate) use follow::{FollowJson, FollowedJson};
pub(crate) use library::{ForgottenLibraryJson, LibraryJson, ScanLine};
pub(crate) use model::{CorrectedJson, FacetJson, ModelJson, ModelPageJson};
pub(crate) use recipe::RecipeLine;
pub(crate) use shelf::{CompanionsJson, DuplicateJson, StatsJson, UpdateJson};
pub(crate) use store::{ForgottenVolumeJson, GarbageLine, RemovalJson, VerifyLine, VolumeJson};

use crate::error::{CliError, Failure};
use crate::render::units::rfc3339;
use crate::render::words;
use paintbox_proto::v1;
use serde::Serialize;
use std::collections::BTreeMap;

/// None for a text that the wire leaves empty.
pub(crate) fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// The digest in `assets/{sha256}`.
pub(crate) fn asset_sha256(name: &str) -> Option<&str> {
    known(name.strip_prefix("assets/").unwrap_or(name))
}

#[derive(Serialize)]
pub(crate) struct ErrorJson {
    reason: String,
    message: String,
    hint: Option<String>,
    metadata: BTreeMap<String, String>,
}

impl From<&CliError> for ErrorJson {
    fn from(error: &CliError) -> Self {
        let reason = error.reason().to_owned();
        Self { reason, message: error.message(), hint: error.hint(), metadata: error.metadata() }
    }
}

impl From<&v1::Error> for ErrorJson {
    fn from(error: &v1::Error) -> Self {
        let Failure { reason, message, hint, metadata } = error.into();
        Self { reason, message, hint, metadata }
    }
}

#[derive(Serialize)]
pub(crate) struct ErrorLine {
    pub(crate) error: ErrorJson,
}

#[derive(Serialize)]
pub(crate) struct OperationJson<'a> {
    op: &'a str,
    follow: Option<&'a str>,
    version: &'a str,
    file: &'a str,
    size_bytes: u64,
    reason: &'a str,
    detail: &'a str,
    model: &'a str,
}

impl<'a> From<&'a v1::PlanOperation> for OperationJson<'a> {
    fn from(operation: &'a v1::PlanOperation) -> Self {
        Self {
            op: &operation.op,
            follow: known(&operation.follow),
            version: &operation.version,
            file: &operation.file,
            size_bytes: operation.size_bytes,
            reason: &operation.reason,
            detail: &operation.detail,
            model: &operation.model_name,
        }
    }
}

/// One line of a stream of events.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum SyncLine<'a> {
    Progress {
        version: &'a str,
        file: &'a str,
        bytes_done: u64,
        bytes_total: u64,
        phase: &'a str,
    },
    Failed {
        version: &'a str,
        file: &'a str,
        error: ErrorJson,
    },
    Done {
        run: &'a str,
        state: String,
        planned: u32,
        fetched: u32,
        already_had: u32,
        skipped: u32,
        failed: u32,
        bytes: u64,
    },
}

/// One line of a stream of events.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum GenerationLine<'a> {
    Progress { phase: &'a str, step: u32, total_steps: u32, image: u32, image_count: u32, generation: &'a str },
    Done { generation: &'a str, images: Vec<PictureJson<'a>>, warnings: &'a [String] },
}

#[derive(Serialize)]
pub(crate) struct PictureJson<'a> {
    /// Where it was written; null when it was only looked at.
    path: Option<String>,
    seed: u64,
    width: u32,
    height: u32,
    sha256: Option<&'a str>,
}

impl<'a> PictureJson<'a> {
    pub(crate) fn new(image: &'a v1::GeneratedImage, path: Option<&std::path::Path>) -> Self {
        Self {
            path: path.map(|path| path.display().to_string()),
            seed: image.seed,
            width: image.width,
            height: image.height,
            sha256: asset_sha256(&image.asset),
        }
    }
}

/// A generation or sync run in `jobs` and `job`.
#[derive(Serialize)]
pub(crate) struct JobJson<'a> {
    name: &'a str,
    kind: &'static str,
    state: String,
    create_time: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    error: Option<ErrorJson>,
    #[serde(flatten)]
    rest: JobRest<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum JobRest<'a> {
    Generation {
        model: &'a str,
        prompt: &'a str,
        images: Vec<PictureJson<'a>>,
        client: &'a str,
        priority: i32,
        queue_position: Option<u32>,
        attempts: u32,
        expire_time: Option<String>,
        delete_time: Option<String>,
        purge_time: Option<String>,
    },
    SyncRun {
        planned: u32,
        fetched: u32,
        already_had: u32,
        skipped: u32,
        failed: u32,
        bytes: u64,
    },
}

impl<'a> From<&'a v1::Generation> for JobJson<'a> {
    fn from(generation: &'a v1::Generation) -> Self {
        let spec = generation.spec.as_ref();
        Self {
            name: &generation.name,
            kind: "generation",
            state: words::state(generation.state().as_str_name()),
            create_time: rfc3339(generation.create_time.as_ref()),
            start_time: rfc3339(generation.start_time.as_ref()),
            end_time: rfc3339(generation.end_time.as_ref()),
            error: generation.failure.as_ref().map(Into::into),
            rest: JobRest::Generation {
                model: spec.map_or("", |spec| &spec.model),
                prompt: spec.map_or("", |spec| &spec.prompt),
                images: generation.images.iter().map(|image| PictureJson::new(image, None)).collect(),
                client: &generation.client,
                priority: generation.priority,
                queue_position: generation.queue_position,
                attempts: generation.attempts,
                expire_time: rfc3339(generation.expire_time.as_ref()),
                delete_time: rfc3339(generation.delete_time.as_ref()),
                purge_time: rfc3339(generation.purge_time.as_ref()),
            },
        }
    }
}

/// The queue of generations, before those that wait in `jobs --queue`.
#[derive(Serialize)]
pub(crate) struct QueueJson<'a> {
    event: &'static str,
    paused: bool,
    queued: u32,
    running: &'a str,
    max_queued: u32,
    max_queued_per_client: u32,
}

impl<'a> From<&'a v1::GenerationQueue> for QueueJson<'a> {
    fn from(queue: &'a v1::GenerationQueue) -> Self {
        Self {
            event: "queue",
            paused: queue.paused,
            queued: queue.queued,
            running: &queue.running,
            max_queued: queue.max_queued,
            max_queued_per_client: queue.max_queued_per_client,
        }
    }
}

impl<'a> From<&'a v1::SyncRun> for JobJson<'a> {
    fn from(run: &'a v1::SyncRun) -> Self {
        let counts = run.counts.unwrap_or_default();
        Self {
            name: &run.name,
            kind: "sync",
            state: words::state(run.state().as_str_name()),
            create_time: rfc3339(run.create_time.as_ref()),
            start_time: None,
            end_time: rfc3339(run.end_time.as_ref()),
            error: run.failure.as_ref().map(Into::into),
            rest: JobRest::SyncRun {
                planned: counts.planned,
                fetched: counts.fetched,
                already_had: counts.already_had,
                skipped: counts.skipped,
                failed: counts.failed,
                bytes: counts.bytes,
            },
        }
    }
}
