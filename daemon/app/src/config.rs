//! The configuration: defaults, then `config.toml`, then the environment. Read raw, checked, then resolved.

use crate::StartError;
use crate::home::Home;
use paintbox_domain::Secret;
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a followed creator is looked at.
const DEFAULT_INTERVAL_MINUTES: u32 = 60;
/// CivitAI's caches hold an answer for five minutes, so a shorter interval asks for the same bytes again.
const SHORTEST_INTERVAL_MINUTES: u32 = 15;
const DEFAULT_QUEUE_LENGTH: u32 = 200;

/// `config.toml` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    log: Option<String>,
    hubs: HubsTable,
    sync: SyncTable,
    generation: GenerationTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HubsTable {
    civitai: HubTable,
    huggingface: HubTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HubTable {
    endpoint: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SyncTable {
    automatic: Option<bool>,
    interval_minutes: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GenerationTable {
    max_queued: Option<u32>,
}

/// Everything resolved: what the parts are built from.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) home: Home,
    pub(crate) civitai_endpoint: String,
    pub(crate) hf_endpoint: String,
    pub(crate) civitai_token: Option<Secret>,
    pub(crate) hf_token: Option<Secret>,
    pub(crate) log_filter: String,
    /// None: only when asked.
    pub(crate) sync_interval: Option<Duration>,
    pub(crate) max_queued: u32,
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
        let interval = file.sync.interval_minutes.unwrap_or(DEFAULT_INTERVAL_MINUTES).max(SHORTEST_INTERVAL_MINUTES);
        Ok(Self {
            civitai_endpoint: endpoint("PAINTBOX_CIVITAI_ENDPOINT", file.hubs.civitai.endpoint, "https://civitai.com")?,
            hf_endpoint: endpoint("HF_ENDPOINT", file.hubs.huggingface.endpoint, "https://huggingface.co")?,
            civitai_token: variable("PAINTBOX_CIVITAI_TOKEN").and_then(|token| Secret::new(&token)),
            hf_token: variable("HF_TOKEN").and_then(|token| Secret::new(&token)),
            log_filter: variable("PAINTBOX_LOG").or(file.log).unwrap_or_else(|| "info".to_owned()),
            sync_interval: file.sync.automatic.unwrap_or(true).then(|| Duration::from_secs(u64::from(interval) * 60)),
            max_queued: file.generation.max_queued.unwrap_or(DEFAULT_QUEUE_LENGTH).max(1),
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
        let _ = writeln!(text, "civitai         {} (token {})", self.civitai_endpoint, token(&self.civitai_token));
        let _ = writeln!(text, "hugging face    {} (token {})", self.hf_endpoint, token(&self.hf_token));
        let _ = match self.sync_interval {
            Some(interval) => writeln!(text, "automatic sync  every {} minutes", interval.as_secs() / 60),
            None => writeln!(text, "automatic sync  off"),
        };
        let _ = write!(text, "queue           at most {} generations", self.max_queued);
        text
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
