//! `config.toml` as written: which settings there are, and their types.

use super::Written;
use crate::StartError;
use paintbox_domain::Shortage;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `config.toml` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) log: Option<String>,
    pub(super) hubs: HubsTable,
    pub(super) sync: SyncTable,
    pub(super) follow: FollowTable,
    pub(super) notify: NotifyTable,
    pub(super) downloads: DownloadsTable,
    pub(super) store: StoreTable,
    pub(super) libraries: LibrariesTable,
    pub(super) catalogue: CatalogueTable,
    pub(super) generation: GenerationTable,
    pub(super) manners: MannersTable,
    pub(super) listen: ListenTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HubsTable {
    pub(super) civitai: CivitaiTable,
    pub(super) huggingface: HuggingFaceTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CivitaiTable {
    pub(super) endpoint: Option<String>,
    pub(super) mature_endpoint: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HuggingFaceTable {
    pub(super) endpoint: Option<String>,
    pub(super) cache: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
}

/// What follows do unless they say otherwise; the keys are those of the API's `FollowPolicy`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FollowTable {
    pub(super) backfill: String,
    pub(super) kinds: Vec<String>,
    pub(super) base_models: Vec<String>,
    pub(super) formats: Vec<String>,
    pub(super) max_file_bytes: Option<u64>,
    pub(super) max_total_bytes: Option<u64>,
    pub(super) keep_last: Option<u32>,
    pub(super) max_maturity: String,
    pub(super) early_access: String,
    pub(super) notify_only: Option<bool>,
    pub(super) include_tags: Vec<String>,
    pub(super) exclude_tags: Vec<String>,
    pub(super) quiet_hours: String,
    pub(super) max_bytes_per_second: Option<u64>,
    pub(super) priority: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NotifyTable {
    pub(super) desktop: bool,
    pub(super) webhook: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StoreTable {
    pub(super) keep_free_bytes: Option<u64>,
    pub(super) trash_days: Option<u32>,
    /// 0: never by itself.
    pub(super) verify_days: Option<u32>,
    pub(super) verify_bytes_per_second: Option<u64>,
    /// Whether Time Machine leaves out what can be fetched again.
    pub(super) leave_out_of_backups: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LibrariesTable {
    /// Whether CivitAI is asked, by digest, about files that lie in libraries.
    pub(super) identify: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CatalogueTable {
    /// 0: none by itself.
    pub(super) backups: Option<u16>,
    pub(super) backup_limit_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DownloadsTable {
    pub(super) at_once: Option<u16>,
    pub(super) per_hub: Option<u16>,
    pub(super) max_bytes_per_second: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SyncTable {
    pub(super) automatic: Option<bool>,
    pub(super) interval_minutes: Option<u32>,
}

/// What the daemon does by itself while the machine is short of something; false: the same as ever.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MannersTable {
    pub(super) mind_battery: Option<bool>,
    pub(super) mind_low_power: Option<bool>,
    pub(super) mind_heat: Option<bool>,
    pub(super) mind_memory: Option<bool>,
    pub(super) mind_metered_network: Option<bool>,
    pub(super) mind_painting: Option<bool>,
}

impl MannersTable {
    /// What is no reason to wait.
    pub(super) fn ignored(&self) -> Vec<Shortage> {
        let minded = |shortage: &Shortage| match shortage {
            Shortage::Battery => self.mind_battery,
            Shortage::LowPower => self.mind_low_power,
            Shortage::Heat => self.mind_heat,
            Shortage::Memory => self.mind_memory,
            Shortage::MeteredNetwork => self.mind_metered_network,
            Shortage::Painting => self.mind_painting,
        };
        Shortage::ALL.iter().filter(|shortage| minded(shortage) == Some(false)).copied().collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GenerationTable {
    pub(super) max_queued: Option<u32>,
    pub(super) max_queued_per_client: Option<u32>,
    pub(super) interrupted: Option<Interrupted>,
    /// 0: for ever.
    pub(super) history_days: Option<u32>,
    /// 0: as soon as nothing is queued.
    pub(super) keep_warm_minutes: Option<u32>,
    pub(super) memory_limit_bytes: Option<u64>,
    pub(super) full_precision: Vec<FullyPrecise>,
}

/// What becomes of a generation whose daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Interrupted {
    Requeue,
    Fail,
}

/// Where the daemon listens beside its socket: nowhere, unless it is said here.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListenTable {
    pub(super) tcp: Option<String>,
    pub(super) web: Option<String>,
    pub(super) hosts: Vec<String>,
    pub(super) origins: Vec<String>,
    pub(super) tls: Option<TlsTable>,
}

/// Files in PEM; paths are absolute, or start in the configuration's own folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsTable {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Networks that compute in f32 wherever they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FullyPrecise {
    TextEncoders,
    Unet,
}

/// What a file says, and what it says by names. One that is not there says nothing.
pub(super) fn read(path: &Path) -> Result<(File, Written), StartError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(StartError::ConfigUnreadable { path: path.to_owned(), source }),
    };
    let invalid = |source| StartError::ConfigInvalid { path: path.to_owned(), source: Box::new(source) };
    Ok((toml::from_str(&text).map_err(invalid)?, Written::of(text.parse().map_err(invalid)?)))
}
