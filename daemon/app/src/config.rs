//! The configuration: defaults, then `config.toml`, then the environment. Read raw (`file`), checked, then resolved; `describe`
//! says it in words, and `changes` what another reading changes.

mod changes;
mod describe;
mod file;

pub(crate) use changes::{Written, changes};

use crate::home::Home;
use crate::logging;
use crate::{StartError, part};
use file::{
    CatalogueTable, DownloadsTable, FollowTable, FullyPrecise, GenerationTable, Interrupted, LibrariesTable,
    ListenTable, StoreTable,
};
use paintbox_catalogue::{CatalogueCare, Interruption, QueueLimits};
use paintbox_domain::follow::FollowPolicy;
use paintbox_domain::{Secret, Shortage};
use paintbox_engine::{EngineOptions, FullPrecision};
use paintbox_generation::{Retention, Settings};
use paintbox_rpc::{ListenOptions, TlsPem};
use paintbox_sync::{Care, DownloadLimits};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

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

/// Everything resolved: what the parts are built from.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) home: Home,
    /// What the file says.
    pub(crate) written: Written,
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
    pub(crate) webhook: Option<Url>,
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
    pub(crate) generation: Settings,
    pub(crate) engine: EngineOptions,
    /// What of a machine's shortages nothing waits for.
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
        let (file, mut written) = file::read(&home.config_file)?;
        let civitai_endpoint =
            endpoint("PAINTBOX_CIVITAI_ENDPOINT", file.hubs.civitai.endpoint, "https://civitai.com")?;
        let huggingface = HuggingFacePlaces::find(&home, file.hubs.huggingface.cache, file.hubs.huggingface.token_file);
        let interval = file.sync.interval_minutes.unwrap_or(DEFAULT_INTERVAL_MINUTES).max(SHORTEST_INTERVAL_MINUTES);
        let log_filter = variable("PAINTBOX_LOG").or(file.log).unwrap_or_else(|| "info".to_owned());
        logging::check(&log_filter)?;
        let listen = listen(file.listen, &home.config_file)?;
        listen.check().map_err(|error| part(&error))?;
        if let Some(tls) = &listen.tls {
            written.note_contents("listen.tls.certificate", &tls.certificate);
            written.note_contents("listen.tls.key", &tls.key);
        }
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
            webhook: file.notify.webhook.as_deref().map(webhook).transpose()?,
            download_limits: download_limits(&file.downloads),
            care,
            kept_free_bytes: file.store.keep_free_bytes.unwrap_or(DEFAULT_KEPT_FREE_BYTES),
            journal_stream: variable("JOURNAL_STREAM"),
            log_filter,
            sync_interval: file.sync.automatic.unwrap_or(true).then(|| Duration::from_secs(u64::from(interval) * 60)),
            generation: generation(&file.generation, care.trash_for),
            engine: EngineOptions {
                memory_limit_bytes: file.generation.memory_limit_bytes,
                full_precision: FullPrecision {
                    text_encoders: file.generation.full_precision.contains(&FullyPrecise::TextEncoders),
                    unet: file.generation.full_precision.contains(&FullyPrecise::Unet),
                },
                ..EngineOptions::default()
            },
            ignored_shortages: file.manners.ignored(),
            listen,
            written,
            home,
        })
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

/// Its query may hold a secret, so the text itself is not repeated.
fn webhook(text: &str) -> Result<Url, StartError> {
    let unreadable = |_| StartError::Setting { setting: "notify.webhook", problem: "it is no address".to_owned() };
    text.parse().map_err(unreadable)
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

fn generation(table: &GenerationTable, trash: Duration) -> Settings {
    let keep_warm_minutes = table.keep_warm_minutes.unwrap_or(DEFAULT_KEEP_WARM_MINUTES);
    Settings {
        limits: QueueLimits {
            all: table.max_queued.unwrap_or(DEFAULT_QUEUE_LENGTH).max(1),
            of_one_client: table.max_queued_per_client.unwrap_or(DEFAULT_QUEUE_LENGTH_OF_ONE).max(1),
        },
        interruption: match table.interrupted.unwrap_or(Interrupted::Requeue) {
            Interrupted::Requeue => Interruption::Requeue { most_attempts: MOST_ATTEMPTS },
            Interrupted::Fail => Interruption::Fail,
        },
        retention: Retention { keep: table.history_days.filter(|days| *days > 0).map(of_days), trash },
        keep_warm: Some(Duration::from_secs(u64::from(keep_warm_minutes) * 60)),
    }
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
        leave_out_of_backups: table.leave_out_of_backups.unwrap_or(usual.leave_out_of_backups),
        catalogue: CatalogueCare {
            backups: catalogue.backups.map_or(usual.catalogue.backups, usize::from),
            backup_limit_bytes: catalogue.backup_limit_bytes.unwrap_or(usual.catalogue.backup_limit_bytes),
            kept_free_bytes: table.keep_free_bytes.unwrap_or(DEFAULT_KEPT_FREE_BYTES),
        },
    }
}

fn endpoint(name: &'static str, from_file: Option<String>, default: &str) -> Result<String, StartError> {
    let text = variable(name).or(from_file).unwrap_or_else(|| default.to_owned());
    let text = text.trim().trim_end_matches('/').to_owned();
    if text.starts_with("https://") || text.starts_with("http://") {
        Ok(text)
    } else {
        Err(StartError::Setting { setting: name, problem: format!("`{text}` is not an http(s) address") })
    }
}

/// An environment variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "the daemon's one reader of the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
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
