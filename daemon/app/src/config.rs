//! The configuration: defaults, then `config.toml`, then the environment. Read raw, checked, then resolved.

use crate::StartError;
use crate::home::Home;
use paintbox_catalogue::{CatalogueCare, Interruption, QueueLimits};
use paintbox_domain::follow::FollowPolicy;
use paintbox_domain::{Secret, Shortage};
use paintbox_engine::{EngineOptions, FullPrecision};
use paintbox_generation::Retention;
use paintbox_rpc::{ListenOptions, TlsPem};
use paintbox_sync::{Care, DownloadLimits};
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a followed creator is looked at.
const DEFAULT_INTERVAL_MINUTES: u32 = 60;
/// CivitAI's caches hold an answer for five minutes, so a shorter interval asks for the same bytes again.
const SHORTEST_INTERVAL_MINUTES: u32 = 15;
const DEFAULT_QUEUE_LENGTH: u32 = 1_000;
const DEFAULT_QUEUE_LENGTH_OF_ONE: u32 = 200;
/// A generation whose daemon ended is begun once more: what killed one daemon may kill the next.
const MOST_ATTEMPTS: u32 = 2;
/// Long enough for thinking about the next prompt.
const DEFAULT_KEEP_WARM_MINUTES: u32 = 15;
/// Enough for a system to go on with while somebody makes room.
const DEFAULT_KEPT_FREE_BYTES: u64 = 1 << 30;

/// `config.toml` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    log: Option<String>,
    hubs: HubsTable,
    sync: SyncTable,
    follow: FollowTable,
    notify: NotifyTable,
    downloads: DownloadsTable,
    store: StoreTable,
    libraries: LibrariesTable,
    catalogue: CatalogueTable,
    generation: GenerationTable,
    manners: MannersTable,
    listen: ListenTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HubsTable {
    civitai: CivitaiTable,
    huggingface: HuggingFaceTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CivitaiTable {
    endpoint: Option<String>,
    mature_endpoint: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HuggingFaceTable {
    endpoint: Option<String>,
    cache: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

/// What follows do unless they say otherwise; the keys are those of the API's `FollowPolicy`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FollowTable {
    backfill: String,
    kinds: Vec<String>,
    base_models: Vec<String>,
    formats: Vec<String>,
    max_file_bytes: Option<u64>,
    max_total_bytes: Option<u64>,
    keep_last: Option<u32>,
    max_maturity: String,
    early_access: String,
    notify_only: Option<bool>,
    include_tags: Vec<String>,
    exclude_tags: Vec<String>,
    quiet_hours: String,
    max_bytes_per_second: Option<u64>,
    priority: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NotifyTable {
    desktop: bool,
    webhook: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StoreTable {
    keep_free_bytes: Option<u64>,
    trash_days: Option<u32>,
    /// 0: never by itself.
    verify_days: Option<u32>,
    verify_bytes_per_second: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LibrariesTable {
    /// Whether CivitAI is asked, by digest, about files that lie in libraries.
    identify: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CatalogueTable {
    /// 0: none by itself.
    backups: Option<u16>,
    backup_limit_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DownloadsTable {
    at_once: Option<u16>,
    per_hub: Option<u16>,
    max_bytes_per_second: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SyncTable {
    automatic: Option<bool>,
    interval_minutes: Option<u32>,
}

/// What the daemon does by itself while the machine is short of something; false: the same as ever.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MannersTable {
    mind_battery: Option<bool>,
    mind_low_power: Option<bool>,
    mind_heat: Option<bool>,
    mind_memory: Option<bool>,
    mind_metered_network: Option<bool>,
    mind_painting: Option<bool>,
}

impl MannersTable {
    /// What is no reason to wait.
    fn ignored(&self) -> Vec<Shortage> {
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
struct GenerationTable {
    max_queued: Option<u32>,
    max_queued_per_client: Option<u32>,
    interrupted: Option<Interrupted>,
    /// 0: for ever.
    history_days: Option<u32>,
    /// 0: as soon as nothing is queued.
    keep_warm_minutes: Option<u32>,
    memory_limit_bytes: Option<u64>,
    full_precision: Vec<FullyPrecise>,
}

/// What becomes of a generation whose daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Interrupted {
    Requeue,
    Fail,
}

/// Where the daemon listens beside its socket: nowhere, unless it is said here.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ListenTable {
    tcp: Option<String>,
    web: Option<String>,
    hosts: Vec<String>,
    origins: Vec<String>,
    tls: Option<TlsTable>,
}

/// Files in PEM; paths are absolute, or start in the configuration's own folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    certificate: PathBuf,
    key: PathBuf,
}

/// Networks that compute in f32 wherever they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FullyPrecise {
    TextEncoders,
    Unet,
}

/// Everything resolved: what the parts are built from.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) home: Home,
    pub(crate) civitai_endpoint: String,
    /// Where CivitAI lists what is rated beyond PG-13.
    pub(crate) civitai_mature_endpoint: Option<String>,
    pub(crate) hf_endpoint: String,
    pub(crate) civitai_token: Option<Secret>,
    pub(crate) hf_token: Option<Secret>,
    /// Where Hugging Face's own tools keep a token.
    pub(crate) hf_token_file: Option<PathBuf>,
    /// Where they keep what they downloaded.
    pub(crate) hf_caches: Vec<PathBuf>,
    pub(crate) follow_policy: FollowPolicy,
    pub(crate) notify_desktop: bool,
    pub(crate) webhook: Option<String>,
    pub(crate) download_limits: DownloadLimits,
    /// What downloads leave free on the store's volume.
    pub(crate) kept_free_bytes: u64,
    /// How files at rest are looked after.
    pub(crate) care: Care,
    pub(crate) log_filter: String,
    /// `JOURNAL_STREAM`, by which systemd says that standard error goes to its journal.
    pub(crate) journal_stream: Option<String>,
    /// None: only when asked.
    pub(crate) sync_interval: Option<Duration>,
    pub(crate) queue_limits: QueueLimits,
    /// What becomes of a generation whose daemon ended.
    pub(crate) interruption: Interruption,
    /// How long generations are remembered.
    pub(crate) retention: Retention,
    /// How long a model stays in memory when nothing is queued.
    pub(crate) keep_warm: Duration,
    pub(crate) engine: EngineOptions,
    /// What of it nothing waits for.
    pub(crate) ignored_shortages: Vec<Shortage>,
    /// Where to listen beside the socket.
    pub(crate) listen: ListenOptions,
}

impl Config {
    pub(crate) fn load() -> Result<Self, StartError> {
        let home = match variable("PAINTBOX_HOME") {
            Some(root) => Home::under(&std::path::absolute(&root).map_err(|source| StartError::Io {
                action: "find",
                path: PathBuf::from(root),
                source,
            })?),
            None => Home::of_platform()?,
        };
        let file = read(&home.config_file)?;
        let civitai_endpoint =
            endpoint("PAINTBOX_CIVITAI_ENDPOINT", file.hubs.civitai.endpoint, "https://civitai.com")?;
        let huggingface = HuggingFacePlaces::find(&home, file.hubs.huggingface.cache, file.hubs.huggingface.token_file);
        let interval = file.sync.interval_minutes.unwrap_or(DEFAULT_INTERVAL_MINUTES).max(SHORTEST_INTERVAL_MINUTES);
        let care = care(&file.store, &file.libraries, &file.catalogue);
        Ok(Self {
            civitai_mature_endpoint: mature_endpoint(file.hubs.civitai.mature_endpoint, &civitai_endpoint),
            civitai_endpoint,
            hf_endpoint: endpoint("HF_ENDPOINT", file.hubs.huggingface.endpoint, "https://huggingface.co")?,
            civitai_token: variable("PAINTBOX_CIVITAI_TOKEN").and_then(|token| Secret::new(&token)),
            hf_token: variable("HF_TOKEN")
                .or_else(|| variable("HUGGING_FACE_HUB_TOKEN"))
                .and_then(|token| Secret::new(&token)),
            hf_token_file: huggingface.token_file,
            hf_caches: huggingface.caches,
            follow_policy: follow_policy(file.follow)?,
            notify_desktop: file.notify.desktop,
            webhook: file.notify.webhook,
            download_limits: download_limits(&file.downloads),
            care,
            kept_free_bytes: file.store.keep_free_bytes.unwrap_or(DEFAULT_KEPT_FREE_BYTES),
            journal_stream: variable("JOURNAL_STREAM"),
            log_filter: variable("PAINTBOX_LOG").or(file.log).unwrap_or_else(|| "info".to_owned()),
            sync_interval: file.sync.automatic.unwrap_or(true).then(|| Duration::from_secs(u64::from(interval) * 60)),
            queue_limits: QueueLimits {
                all: file.generation.max_queued.unwrap_or(DEFAULT_QUEUE_LENGTH).max(1),
                of_one_client: file.generation.max_queued_per_client.unwrap_or(DEFAULT_QUEUE_LENGTH_OF_ONE).max(1),
            },
            interruption: match file.generation.interrupted.unwrap_or(Interrupted::Requeue) {
                Interrupted::Requeue => Interruption::Requeue { most_attempts: MOST_ATTEMPTS },
                Interrupted::Fail => Interruption::Fail,
            },
            retention: Retention {
                keep: file.generation.history_days.filter(|days| *days > 0).map(of_days),
                trash: care.trash_for,
            },
            keep_warm: Duration::from_secs(
                u64::from(file.generation.keep_warm_minutes.unwrap_or(DEFAULT_KEEP_WARM_MINUTES)) * 60,
            ),
            engine: EngineOptions {
                memory_limit_bytes: file.generation.memory_limit_bytes,
                full_precision: FullPrecision {
                    text_encoders: file.generation.full_precision.contains(&FullyPrecise::TextEncoders),
                    unet: file.generation.full_precision.contains(&FullyPrecise::Unet),
                },
                ..EngineOptions::default()
            },
            ignored_shortages: file.manners.ignored(),
            listen: listen(file.listen, &home.config_file)?,
            home,
        })
    }

    /// The configuration in words, without secrets.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        let token = |token: &Option<Secret>| if token.is_some() { "from the environment" } else { "stored or none" };
        let _ = writeln!(text, "configuration   {}", self.home.config_file.display());
        let _ = writeln!(text, "state           {}", self.home.state.display());
        let _ = writeln!(text, "store           {}", self.home.store.display());
        let _ = writeln!(text, "socket          {}", self.home.socket().display());
        for (name, address) in [("tcp", &self.listen.tcp), ("web", &self.listen.web)] {
            let tls = if self.listen.tls.is_some() { " (TLS)" } else { "" };
            let _ = match address {
                Some(address) => writeln!(text, "{name:15} {address}{tls}"),
                None => writeln!(text, "{name:15} off"),
            };
        }
        let _ = writeln!(text, "civitai         {} (token {})", self.civitai_endpoint, token(&self.civitai_token));
        let _ = writeln!(text, "hugging face    {} (token {})", self.hf_endpoint, token(&self.hf_token));
        if let Some(mature) = &self.civitai_mature_endpoint {
            let _ = writeln!(text, "                {mature} for what is rated beyond PG-13");
        }
        for cache in &self.hf_caches {
            let _ = writeln!(text, "                {} is used in place", cache.display());
        }
        let told = [("desktop", self.notify_desktop), ("webhook", self.webhook.is_some())];
        let told: Vec<&str> = told.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
        let _ = writeln!(text, "notices         {}", if told.is_empty() { "none".to_owned() } else { told.join(", ") });
        let _ = match self.sync_interval {
            Some(interval) => writeln!(text, "automatic sync  every {} minutes", interval.as_secs() / 60),
            None => writeln!(text, "automatic sync  off"),
        };
        let limits = &self.download_limits;
        let _ = write!(text, "downloads       {} at once, {} of one hub", limits.at_once, limits.per_hub);
        let _ = match limits.max_bytes_per_second {
            Some(cap) => writeln!(text, ", {cap} bytes a second together"),
            None => writeln!(text),
        };
        let _ = writeln!(text, "kept free       {} bytes of each volume", self.kept_free_bytes);
        let _ = writeln!(text, "trash           emptied after {} days", days(self.care.trash_for));
        let _ = match self.care.reread_after {
            Some(after) => writeln!(
                text,
                "read again      every {} days, at {} bytes a second",
                days(after),
                self.care.reread_bytes_per_second
            ),
            None => writeln!(text, "read again      only when asked"),
        };
        let asked = if self.care.identify { "the hubs are asked" } else { "nobody is asked" };
        let _ = writeln!(text, "libraries       {asked} about the files in them");
        let CatalogueCare { backups, backup_limit_bytes, .. } = self.care.catalogue;
        let _ = match backups {
            0 => writeln!(text, "backups         of the catalogue only when asked"),
            _ => writeln!(
                text,
                "backups         {backups} daily ones of the catalogue, {backup_limit_bytes} bytes together"
            ),
        };
        let minded = Shortage::ALL.iter().filter(|shortage| !self.ignored_shortages.contains(shortage));
        let minded: Vec<&str> = minded.map(|shortage| shortage.as_str()).collect();
        let minded = if minded.is_empty() { "nothing".to_owned() } else { minded.join(", ") };
        let _ = writeln!(text, "manners         what can wait waits for {minded}");
        let QueueLimits { all, of_one_client } = self.queue_limits;
        let _ = writeln!(text, "queue           at most {all} generations, {of_one_client} of one client");
        let interrupted = match self.interruption {
            Interruption::Requeue { .. } => "are painted again, once",
            Interruption::Fail => "have failed",
        };
        let _ = writeln!(text, "interrupted     generations {interrupted}");
        let history = match self.retention.keep {
            Some(keep) => format!("for {} days", days(keep)),
            None => "for ever".to_owned(),
        };
        let _ = writeln!(text, "history         of generations is kept {history}");
        let _ = writeln!(text, "models          stay in memory for {} idle minutes", self.keep_warm.as_secs() / 60);
        let _ = match self.engine.memory_limit_bytes {
            Some(limit) => write!(text, "painting        takes at most {limit} bytes of memory"),
            None => write!(text, "painting        takes at most the memory that is free"),
        };
        text
    }
}

/// Where Hugging Face's own tools keep things (github huggingface/huggingface_hub @ ee0a4510f4bc
/// `src/huggingface_hub/constants.py`). What is named is always used; what is only usual, unless `PAINTBOX_HOME` keeps
/// this installation to itself.
struct HuggingFacePlaces {
    token_file: Option<PathBuf>,
    caches: Vec<PathBuf>,
}

impl HuggingFacePlaces {
    fn find(home: &Home, cache: Option<PathBuf>, token_file: Option<PathBuf>) -> Self {
        let usual = || home.is_of_platform.then(|| etcetera::base_strategy::Xdg::new().ok()).flatten();
        let hf_home = variable("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| usual().map(|base| etcetera::BaseStrategy::cache_dir(&base).join("huggingface")));
        let cache = variable("HF_HUB_CACHE")
            .or_else(|| variable("HUGGINGFACE_HUB_CACHE"))
            .map(PathBuf::from)
            .or(cache)
            .or_else(|| hf_home.as_ref().map(|home| home.join("hub")));
        let may_use_token = variable("HF_HUB_DISABLE_IMPLICIT_TOKEN")
            .is_none_or(|value| !matches!(value.to_ascii_lowercase().as_str(), "1" | "on" | "yes" | "true"));
        let token_file = variable("HF_TOKEN_PATH")
            .map(PathBuf::from)
            .or(token_file)
            .or_else(|| hf_home.as_ref().map(|home| home.join("token")))
            .filter(|_| may_use_token);
        Self { token_file, caches: cache.into_iter().collect() }
    }
}

/// civitai.com lists only what is rated PG and PG-13 since April 2026, and civitai.red lists everything. An endpoint of
/// somebody's own is asked for everything, unless they name a second one.
fn mature_endpoint(from_file: Option<String>, endpoint: &str) -> Option<String> {
    let text = from_file.or_else(|| (endpoint == "https://civitai.com").then(|| "https://civitai.red".to_owned()))?;
    let text = text.trim().trim_end_matches('/').to_owned();
    (!text.is_empty()).then_some(text)
}

fn follow_policy(table: FollowTable) -> Result<FollowPolicy, StartError> {
    let message = paintbox_proto::v1::FollowPolicy {
        backfill: table.backfill,
        kinds: table.kinds,
        base_models: table.base_models,
        formats: table.formats,
        max_file_bytes: table.max_file_bytes,
        max_total_bytes: table.max_total_bytes,
        keep_last: table.keep_last,
        max_maturity: table.max_maturity,
        early_access: table.early_access,
        notify_only: table.notify_only,
        include_tags: table.include_tags,
        exclude_tags: table.exclude_tags,
        quiet_hours: table.quiet_hours,
        max_bytes_per_second: table.max_bytes_per_second,
        priority: table.priority,
    };
    paintbox_rpc::read_policy(&message, &FollowPolicy::default())
        .map_err(|status| StartError::FollowPolicy { problem: status.message().to_owned() })
}

fn download_limits(table: &DownloadsTable) -> DownloadLimits {
    let usual = DownloadLimits::default();
    let or = |given: Option<u16>, usual| given.map_or(usual, |given| usize::from(given.max(1)));
    DownloadLimits {
        at_once: or(table.at_once, usual.at_once),
        per_hub: or(table.per_hub, usual.per_hub),
        max_bytes_per_second: table.max_bytes_per_second,
        ..usual
    }
}

fn listen(table: ListenTable, config_file: &Path) -> Result<ListenOptions, StartError> {
    let folder = config_file.parent().unwrap_or_else(|| Path::new("/"));
    let read = |path: &Path| {
        let path = folder.join(path);
        std::fs::read(&path).map_err(|source| StartError::Io { action: "read", path, source })
    };
    let tls = match table.tls {
        None => None,
        Some(files) => Some(TlsPem { certificate: read(&files.certificate)?, key: read(&files.key)? }),
    };
    let ListenTable { tcp, web, hosts, origins, .. } = table;
    Ok(ListenOptions { tcp, web, hosts, origins, tls })
}

const DAY_SECONDS: u64 = 24 * 3600;

fn of_days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * DAY_SECONDS)
}

fn days(time: Duration) -> u64 {
    time.as_secs() / DAY_SECONDS
}

fn care(table: &StoreTable, libraries: &LibrariesTable, catalogue: &CatalogueTable) -> Care {
    let usual = Care::default();
    Care {
        trash_for: table.trash_days.map_or(usual.trash_for, of_days),
        reread_after: match table.verify_days {
            Some(0) => None,
            Some(days) => Some(of_days(days)),
            None => usual.reread_after,
        },
        reread_bytes_per_second: table.verify_bytes_per_second.unwrap_or(usual.reread_bytes_per_second),
        identify: libraries.identify.unwrap_or(usual.identify),
        catalogue: CatalogueCare {
            backups: catalogue.backups.map_or(usual.catalogue.backups, usize::from),
            backup_limit_bytes: catalogue.backup_limit_bytes.unwrap_or(usual.catalogue.backup_limit_bytes),
            kept_free_bytes: table.keep_free_bytes.unwrap_or(DEFAULT_KEPT_FREE_BYTES),
        },
    }
}

fn read(path: &Path) -> Result<File, StartError> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text)
            .map_err(|source| StartError::ConfigInvalid { path: path.to_owned(), source: Box::new(source) }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(source) => Err(StartError::ConfigUnreadable { path: path.to_owned(), source }),
    }
}

fn endpoint(name: &'static str, from_file: Option<String>, default: &str) -> Result<String, StartError> {
    let text = variable(name).or(from_file).unwrap_or_else(|| default.to_owned());
    let text = text.trim().trim_end_matches('/').to_owned();
    if text.starts_with("https://") || text.starts_with("http://") {
        Ok(text)
    } else {
        Err(StartError::Endpoint { setting: name, problem: format!("`{text}` is not an http(s) address") })
    }
}

/// An environment variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "the daemon's one reader of the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_looked_for_beside_the_configuration() {
        let home = tempfile::tempdir().unwrap();
        let config_file = home.path().join("config.toml");
        let table = || -> ListenTable {
            let text = "web = \"127.0.0.1:7860\"\ntls = { certificate = \"tls/cert.pem\", key = \"tls/key.pem\" }";
            toml::from_str(text).unwrap()
        };
        let absent = listen(table(), &config_file).unwrap_err();
        assert!(absent.to_string().contains("tls/cert.pem"), "{absent}");
        std::fs::create_dir(home.path().join("tls")).unwrap();
        std::fs::write(home.path().join("tls/cert.pem"), "certificate").unwrap();
        std::fs::write(home.path().join("tls/key.pem"), "key").unwrap();
        let options = listen(table(), &config_file).unwrap();
        assert_eq!((options.web.as_deref(), options.tcp), (Some("127.0.0.1:7860"), None));
        let pem = options.tls.unwrap();
        assert_eq!((&*pem.certificate, &*pem.key), (&b"certificate"[..], &b"key"[..]));
        assert!(!format!("{pem:?}").contains("key\""));
        assert!(toml::from_str::<ListenTable>("allow_all = true").is_err(), "no setting lets all in");
    }
}
