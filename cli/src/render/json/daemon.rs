//! The daemon and its hubs, as `daemon` and `config` print them.

use super::{HealthJson, ListenerJson, known};
use crate::render::units::rfc3339;
use crate::render::words::known_state;
use crate::supervisor::{self, Inspected, Kind, Written};
use paintbox_proto::v1;
use serde::Serialize;

/// The daemon, as the verbs of `daemon` print it.
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
    /// Set by `daemon install|uninstall|upgrade`: whether there was anything to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed: Option<bool>,
    /// Set by `daemon upgrade`: the version that ran before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version_before: Option<String>,
    /// Set by `daemon upgrade`: the version that runs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version_now: Option<String>,
    /// Who keeps it running; not there where that cannot be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) supervisor: Option<SupervisorJson>,
    /// Where it listens; not there from a daemon that does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listeners: Option<Vec<ListenerJson<'a>>>,
    #[serde(flatten)]
    pub(crate) status: Option<StatusJson<'a>>,
}

/// Who keeps the daemon running.
#[derive(Serialize)]
pub(crate) struct SupervisorJson {
    /// launchd, systemd or none.
    kind: &'static str,
    /// What it is called there: launchd's label, systemd's service; null where nobody keeps it.
    name: Option<String>,
    /// not_installed, not_loaded, disabled, masked, disabled_at_login, waiting, starting, running, stopping,
    /// crashed_restarting, crashed, given_up, or running_outside: it runs, and not under this supervisor.
    state: &'static str,
    process_id: Option<i32>,
    at_login: bool,
    /// none, current, or other: as another Paintbox wrote it.
    definition: &'static str,
    file: Option<String>,
    /// The daemon's program as the definition has it, and whether it is there.
    program: Option<String>,
    program_found: Option<bool>,
    /// What the daemon last told its supervisor of itself.
    status: Option<String>,
    detail: String,
    hint: Option<String>,
}

impl SupervisorJson {
    pub(crate) fn new(inspected: &Inspected) -> Self {
        let show = |path: &std::path::PathBuf| path.display().to_string();
        Self {
            kind: inspected.kind.name(),
            name: match inspected.kind {
                Kind::Launchd => Some(inspected.names.label.clone()),
                Kind::Systemd => Some(inspected.names.service()),
                Kind::Plain => None,
            },
            state: supervisor::code(inspected),
            process_id: inspected.process_id(),
            at_login: inspected.seen.at_login && inspected.seen.written != Written::Nothing,
            definition: match inspected.seen.written {
                Written::Nothing => "none",
                Written::Other => "other",
                Written::Current => "current",
            },
            file: inspected.file.as_ref().filter(|_| inspected.seen.written != Written::Nothing).map(show),
            program: inspected.program.as_ref().map(|program| show(&program.path)),
            program_found: inspected.program.as_ref().map(|program| program.is_there),
            status: inspected.status.clone(),
            detail: supervisor::described(inspected),
            hint: supervisor::advice(inspected),
        }
    }
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
    /// How the catalogue's file is; null from a daemon that does not say.
    catalogue: Option<HealthJson<'a>>,
    /// What the daemon would do by itself and does not do now.
    waits: Vec<WaitJson<'a>>,
    /// Settings that hold from the next start on.
    pending_settings: &'a [String],
}

/// What another reading of the configuration changed, by names of settings.
#[derive(Serialize)]
pub(crate) struct ReloadedJson<'a> {
    adopted: &'a [String],
    /// They hold from the next start on.
    pending: &'a [String],
    /// A variable of the daemon's environment decides them.
    overridden: &'a [String],
}

impl<'a> From<&'a v1::ReloadConfigResponse> for ReloadedJson<'a> {
    fn from(reloaded: &'a v1::ReloadConfigResponse) -> Self {
        let v1::ReloadConfigResponse { adopted, pending, overridden } = reloaded;
        Self { adopted, pending, overridden }
    }
}

#[derive(Serialize)]
pub(crate) struct WaitJson<'a> {
    chore: &'a str,
    shortages: &'a [String],
    since_time: Option<String>,
}

impl<'a> From<&'a v1::Wait> for WaitJson<'a> {
    fn from(wait: &'a v1::Wait) -> Self {
        Self { chore: &wait.chore, shortages: &wait.shortages, since_time: rfc3339(wait.since_time.as_ref()) }
    }
}

#[derive(Serialize)]
pub(crate) struct HubJson<'a> {
    hub: &'a str,
    endpoint: &'a str,
    credential: &'a str,
    /// ok, limited or down; null from a daemon that does not say.
    state: Option<String>,
    since_time: Option<String>,
    retry_time: Option<String>,
    problem: Option<&'a str>,
    /// Since the daemon started.
    requests: u64,
}

impl<'a> From<&'a v1::HubStatus> for HubJson<'a> {
    fn from(hub: &'a v1::HubStatus) -> Self {
        Self {
            hub: &hub.hub,
            endpoint: &hub.endpoint,
            credential: &hub.credential,
            state: known_state(hub.state().as_str_name()),
            since_time: rfc3339(hub.since_time.as_ref()),
            retry_time: rfc3339(hub.retry_time.as_ref()),
            problem: known(&hub.problem),
            requests: hub.requests,
        }
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
            catalogue: status.catalogue.as_ref().map(Into::into),
            waits: status.waits.iter().map(Into::into).collect(),
            pending_settings: &status.pending_settings,
        }
    }
}
