//! The objects that `--json` prints: the contract with scripts.
//!
//! Fields may be added, none renamed. Times are RFC 3339 in UTC. A text that nobody knows is null; sizes that nobody
//! knows are 0, as on the wire.

use crate::error::{CliError, Failure};
use crate::render::units::rfc3339;
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
pub(crate) struct FollowJson<'a> {
    name: &'a str,
    target: &'a str,
    hub: &'a str,
    policy: PolicyJson<'a>,
    state: &'a str,
    create_time: Option<String>,
    last_check_time: Option<String>,
    next_check_time: Option<String>,
    new: u32,
    pending: u32,
    error: Option<ErrorJson>,
}

#[derive(Serialize)]
struct PolicyJson<'a> {
    backfill: &'a str,
}

impl<'a> From<&'a v1::Follow> for FollowJson<'a> {
    fn from(follow: &'a v1::Follow) -> Self {
        Self {
            name: &follow.name,
            target: &follow.target,
            hub: &follow.hub,
            policy: PolicyJson { backfill: follow.policy.as_ref().map_or("all", |policy| &policy.backfill) },
            state: &follow.state,
            create_time: rfc3339(follow.create_time.as_ref()),
            last_check_time: rfc3339(follow.last_check_time.as_ref()),
            next_check_time: rfc3339(follow.next_check_time.as_ref()),
            new: follow.new_versions,
            pending: follow.pending_files,
            error: follow.failure.as_ref().map(Into::into),
        }
    }
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

#[derive(Serialize)]
pub(crate) struct ModelJson<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    id: &'a str,
    name: &'a str,
    hub: &'a str,
    kind: &'a str,
    kind_label: Option<&'a str>,
    base_model: Option<&'a str>,
    architecture: Option<&'a str>,
    creator: Option<&'a str>,
    downloaded: bool,
    nsfw_level: u32,
    tags: &'a [String],
    published_time: Option<String>,
    stats: StatsJson,
    state: Option<&'a str>,
    gone_time: Option<String>,
}

#[derive(Serialize)]
struct StatsJson {
    downloads: Option<u64>,
}

impl<'a> From<&'a v1::Model> for ModelJson<'a> {
    fn from(model: &'a v1::Model) -> Self {
        Self {
            reference: &model.r#ref,
            id: &model.name,
            name: &model.display_name,
            hub: &model.hub,
            kind: &model.kind,
            kind_label: known(&model.kind_label),
            base_model: known(&model.base_model),
            architecture: known(&model.architecture),
            creator: known(&model.creator),
            downloaded: model.downloaded,
            nsfw_level: model.nsfw_level,
            tags: &model.tags,
            published_time: rfc3339(model.published_time.as_ref()),
            stats: StatsJson { downloads: model.downloads },
            state: known(&model.state),
            gone_time: rfc3339(model.gone_time.as_ref()),
        }
    }
}

/// A model with everything in it.
#[derive(Serialize)]
pub(crate) struct ModelPageJson<'a> {
    #[serde(flatten)]
    model: ModelJson<'a>,
    description: Option<&'a str>,
    licence: Option<&'a str>,
    /// Reference of the version that was asked for; null for the model as a whole.
    selected_version: Option<&'a str>,
    versions: Vec<VersionJson<'a>>,
}

impl<'a> ModelPageJson<'a> {
    pub(crate) fn new(model: &'a v1::Model, selected_version: &str) -> Self {
        let selected = model.versions.iter().find(|version| version.name == selected_version);
        Self {
            model: model.into(),
            description: known(&model.description),
            licence: known(&model.licence),
            selected_version: selected.map(|version| version.r#ref.as_str()),
            versions: model.versions.iter().map(Into::into).collect(),
        }
    }
}

#[derive(Serialize)]
struct VersionJson<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    name: &'a str,
    base_model: Option<&'a str>,
    trained_words: &'a [String],
    published_time: Option<String>,
    /// Must be paid for until `early_access_until`, or without a known end when that is null.
    early_access: bool,
    early_access_until: Option<String>,
    files: Vec<FileJson<'a>>,
    previews: Vec<PreviewJson<'a>>,
}

impl<'a> From<&'a v1::ModelVersion> for VersionJson<'a> {
    fn from(version: &'a v1::ModelVersion) -> Self {
        let until = version.early_access_until.as_ref();
        Self {
            reference: &version.r#ref,
            name: &version.display_name,
            base_model: known(&version.base_model),
            trained_words: &version.trained_words,
            published_time: rfc3339(version.published_time.as_ref()),
            early_access: until.is_some(),
            early_access_until: rfc3339(until.filter(|time| time.seconds != 0)),
            files: version.files.iter().map(Into::into).collect(),
            previews: version.previews.iter().map(Into::into).collect(),
        }
    }
}

#[derive(Serialize)]
struct FileJson<'a> {
    name: &'a str,
    size_bytes: u64,
    sha256: Option<&'a str>,
    format: &'a str,
    state: &'a str,
    paths: &'a [String],
    architecture: Option<&'a str>,
    kind: Option<&'a str>,
    error: Option<ErrorJson>,
}

impl<'a> From<&'a v1::ModelFile> for FileJson<'a> {
    fn from(file: &'a v1::ModelFile) -> Self {
        Self {
            name: &file.file_name,
            size_bytes: file.size_bytes,
            sha256: known(&file.sha256),
            format: &file.format,
            state: &file.state,
            paths: &file.paths,
            architecture: known(&file.architecture),
            kind: known(&file.kind),
            error: file.failure.as_ref().map(Into::into),
        }
    }
}

#[derive(Serialize)]
struct PreviewJson<'a> {
    /// SHA-256 of the original image; null until it was fetched.
    asset: Option<&'a str>,
    thumbnail: Option<&'a str>,
    width: u32,
    height: u32,
    nsfw_level: u32,
    blurhash: Option<&'a str>,
    generation: serde_json::Map<String, serde_json::Value>,
}

impl<'a> From<&'a v1::Preview> for PreviewJson<'a> {
    fn from(preview: &'a v1::Preview) -> Self {
        Self {
            asset: asset_sha256(&preview.asset),
            thumbnail: asset_sha256(&preview.thumbnail),
            width: preview.width,
            height: preview.height,
            nsfw_level: preview.nsfw_level,
            blurhash: known(&preview.blurhash),
            // What is not an object is no generation data; the catalogue keeps it verbatim all the same.
            generation: serde_json::from_str(&preview.generation_json).unwrap_or_default(),
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
        state: &'a str,
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
    Done { generation: &'a str, images: Vec<PictureJson<'a>> },
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
    state: &'a str,
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
    Generation { model: &'a str, prompt: &'a str, images: Vec<PictureJson<'a>> },
    SyncRun { planned: u32, fetched: u32, already_had: u32, skipped: u32, failed: u32, bytes: u64 },
}

impl<'a> From<&'a v1::Generation> for JobJson<'a> {
    fn from(generation: &'a v1::Generation) -> Self {
        let spec = generation.spec.as_ref();
        Self {
            name: &generation.name,
            kind: "generation",
            state: &generation.state,
            create_time: rfc3339(generation.create_time.as_ref()),
            start_time: rfc3339(generation.start_time.as_ref()),
            end_time: rfc3339(generation.end_time.as_ref()),
            error: generation.failure.as_ref().map(Into::into),
            rest: JobRest::Generation {
                model: spec.map_or("", |spec| &spec.model),
                prompt: spec.map_or("", |spec| &spec.prompt),
                images: generation.images.iter().map(|image| PictureJson::new(image, None)).collect(),
            },
        }
    }
}

impl<'a> From<&'a v1::SyncRun> for JobJson<'a> {
    fn from(run: &'a v1::SyncRun) -> Self {
        let counts = run.counts.unwrap_or_default();
        Self {
            name: &run.name,
            kind: "sync",
            state: &run.state,
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

/// The daemon, as `daemon status|start|stop` print it.
#[derive(Serialize, Default)]
pub(crate) struct DaemonJson<'a> {
    pub(crate) running: bool,
    pub(crate) socket: String,
    /// Set by `daemon start`: whether it had to be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<bool>,
    /// Set by `daemon stop`: whether there was one to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<bool>,
    #[serde(flatten)]
    pub(crate) status: Option<StatusJson<'a>>,
}

#[derive(Serialize)]
pub(crate) struct StatusJson<'a> {
    version: &'a str,
    process_id: i32,
    epoch: &'a str,
    start_time: Option<String>,
    home: &'a str,
    device: &'a str,
    queued_generations: u32,
    running_generations: u32,
    running_sync_runs: u32,
    models: u64,
    downloaded_models: u64,
    stored_bytes: u64,
    free_bytes: u64,
    sqlite_version: &'a str,
    hubs: Vec<HubJson<'a>>,
}

#[derive(Serialize)]
pub(crate) struct HubJson<'a> {
    hub: &'a str,
    endpoint: &'a str,
    credential: &'a str,
}

impl<'a> From<&'a v1::HubStatus> for HubJson<'a> {
    fn from(hub: &'a v1::HubStatus) -> Self {
        Self { hub: &hub.hub, endpoint: &hub.endpoint, credential: &hub.credential }
    }
}

impl<'a> StatusJson<'a> {
    pub(crate) fn new(status: &'a v1::DaemonStatus) -> Self {
        let info = status.info.as_ref();
        Self {
            version: info.map_or("", |info| &info.version),
            process_id: info.map_or(0, |info| info.process_id),
            epoch: info.map_or("", |info| &info.epoch),
            start_time: rfc3339(info.and_then(|info| info.start_time.as_ref())),
            home: &status.home,
            device: &status.device,
            queued_generations: status.queued_generations,
            running_generations: status.running_generations,
            running_sync_runs: status.running_sync_runs,
            models: status.models,
            downloaded_models: status.downloaded_models,
            stored_bytes: status.stored_bytes,
            free_bytes: status.free_bytes,
            sqlite_version: &status.sqlite_version,
            hubs: status.hubs.iter().map(Into::into).collect(),
        }
    }
}
