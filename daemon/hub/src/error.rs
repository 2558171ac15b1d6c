//! Why a hub did not give what was asked: one variant for each thing that a caller or a person would do differently.
//!
//! Addresses in errors have neither query nor user part, because signed links and tokens live there.

use crate::hugging_face::page_of;
use paintbox_domain::{Classify, ErrorClass, Hub, Timestamp, reason};
use std::fmt;
use std::time::Duration;

/// What the server itself said about a refusal: cut short, on one line, with our token blotted out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerWords(Option<String>);

impl ServerWords {
    const MOST_CHARS: usize = 300;

    pub(crate) fn new(text: &str, token: Option<&str>) -> Self {
        let text = match token {
            Some(token) if !token.is_empty() => text.replace(token, "…"),
            _ => text.to_owned(),
        };
        let mut line = String::new();
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if line.chars().count() > Self::MOST_CHARS {
            line = line.chars().take(Self::MOST_CHARS).chain(['…']).collect();
        }
        Self((!line.is_empty()).then_some(line))
    }

    /// The text, if the server said anything.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Prints `: “…”` to stand behind a message, or nothing.
impl fmt::Display for ServerWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(words) => write!(f, ": “{words}”"),
            None => Ok(()),
        }
    }
}

/// A call to a hub that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("the hub setting {setting} cannot be used: {problem}")]
    InvalidConfig { setting: &'static str, problem: &'static str },
    #[error("no HTTP client for {hub} could be made")]
    ClientUnusable {
        hub: Hub,
        #[source]
        source: reqwest::Error,
    },
    /// hf-hub's own client refused its settings.
    #[error("no client for {endpoint} could be made")]
    HuggingFaceClientUnusable {
        endpoint: String,
        #[source]
        source: Box<hf_hub::HFError>,
    },
    #[error("`{reference}` names nothing on a hub")]
    NotAHubReference { reference: String },
    #[error("`{locator}` is not a place below {hub}'s endpoint")]
    InvalidLocator { hub: Hub, locator: String },
    #[error("{hub} knows no creator `{creator}`{said}")]
    CreatorNotFound {
        hub: Hub,
        creator: String,
        /// Names like it that the hub does know, if it was asked for them.
        similar: Vec<String>,
        said: ServerWords,
    },
    /// Hugging Face says the same of a private repository as of one that does not exist.
    #[error("{hub} has no model `{model}`{said}")]
    ModelNotFound { hub: Hub, model: String, may_be_private: bool, said: ServerWords },
    #[error("{hub} has no version `{version}` of {model}{said}")]
    VersionNotFound { hub: Hub, model: String, version: String, said: ServerWords },
    #[error("no file on {hub} has the digest {digest}{said}")]
    DigestNotFound { hub: Hub, digest: String, said: ServerWords },
    #[error("{hub} has no file at {url}{said}")]
    FileNotFound { hub: Hub, url: String, said: ServerWords },
    #[error("{hub} wants a token for {url}{said}")]
    TokenRequired { hub: Hub, url: String, said: ServerWords },
    #[error("{hub} does not accept the token for {url}{said}")]
    TokenRejected { hub: Hub, url: String, said: ServerWords },
    #[error("{hub} gives this account no access to {url} (status {status}){said}")]
    AccessDenied { hub: Hub, url: String, status: u16, said: ServerWords },
    /// The repository's owner grants access person by person.
    #[error("{hub} gives {url} only to people whose request was granted{said}")]
    Gated { hub: Hub, url: String, said: ServerWords },
    #[error("{url} is in early access on {hub}{said}")]
    EarlyAccess { hub: Hub, url: String, until: Option<Timestamp>, said: ServerWords },
    #[error("downloads of {url} are disabled on {hub}{said}")]
    DownloadDisabled { hub: Hub, url: String, said: ServerWords },
    #[error("the model of {url} is archived on {hub}{said}")]
    Archived { hub: Hub, url: String, said: ServerWords },
    #[error("{hub} does not serve this region{said}")]
    RegionBlocked { hub: Hub, url: String, said: ServerWords },
    /// The hub's public interface does not give such a list.
    #[error("{hub} does not offer the list {target}{said}")]
    ListNotOffered { hub: Hub, target: String, said: ServerWords },
    /// Several calls in a row failed, so the hub is not asked again before `retry_at`. No request was sent.
    #[error("{hub} is down ({problem}) and is asked again in {} s", .left.as_secs())]
    HubDown {
        hub: Hub,
        since: Timestamp,
        retry_at: Timestamp,
        /// From now until `retry_at`.
        left: Duration,
        /// What went wrong last.
        problem: String,
    },
    #[error("{hub} asks for fewer requests, at {url}{said}")]
    RateLimited { hub: Hub, url: String, retry_after: Option<Duration>, said: ServerWords },
    #[error("{hub} failed at {url} with status {status}{said}")]
    ServerFailed { hub: Hub, url: String, status: u16, retry_after: Option<Duration>, said: ServerWords },
    #[error("{hub} could not be reached at {url}")]
    Unreachable {
        hub: Hub,
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{hub} kept silent for {} s at {url} while we waited for {awaited}", .after.as_secs())]
    TimedOut { hub: Hub, url: String, awaited: &'static str, after: Duration },
    #[error("the transfer of {url} from {hub} ended after {received_bytes} of {} bytes", expected(.expected_bytes))]
    Truncated {
        hub: Hub,
        url: String,
        /// Bytes of this answer's body, not counting what was there before.
        received_bytes: u64,
        expected_bytes: Option<u64>,
        #[source]
        source: Option<reqwest::Error>,
    },
    /// What came so far is of another file than what the hub gives by now. Whoever asks again starts with its first
    /// byte.
    #[error("the file at {url} on {hub} was replaced while it was fetched")]
    FileReplaced { hub: Hub, url: String },
    #[error("{url} on {hub} should be a model file and is {found}")]
    NotAModelFile { hub: Hub, url: String, found: &'static str },
    #[error("{hub} sent us from {from} to {to}, which was refused: {problem}")]
    RedirectRefused { hub: Hub, from: String, to: String, problem: &'static str },
    #[error("the preview {url} on {hub} was refused: {problem}")]
    PreviewRefused { hub: Hub, url: String, problem: &'static str },
    #[error("{hub} answered {url} with the unexpected status {status}{said}")]
    UnexpectedStatus { hub: Hub, url: String, status: u16, said: ServerWords },
    #[error("{hub} answered {url} with {found}")]
    UnexpectedAnswer { hub: Hub, url: String, found: &'static str },
    #[error("{hub}'s answer to {url} cannot be read")]
    Malformed {
        hub: Hub,
        url: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{hub}'s list of `{creator}` leads in a circle: {repeated} came twice")]
    EndlessList { hub: Hub, creator: String, repeated: String },
    #[error("the webhook at {url} cannot be used: {problem}")]
    WebhookUnusable { url: String, problem: &'static str },
    /// `status` is none if there was no answer at all.
    #[error("the webhook at {url} did not take the message{}", with_status(.status))]
    WebhookFailed {
        url: String,
        status: Option<u16>,
        #[source]
        source: Option<reqwest::Error>,
    },
}

impl HubError {
    /// Nobody of that name is there, as the caller found out by other means than the hub's word.
    #[must_use]
    pub fn creator_not_found(hub: Hub, creator: &str) -> Self {
        Self::CreatorNotFound { hub, creator: creator.to_owned(), similar: Vec::new(), said: ServerWords::default() }
    }
}

fn expected(bytes: &Option<u64>) -> String {
    bytes.map_or_else(|| "an unknown number of".to_owned(), |bytes| bytes.to_string())
}

fn with_status(status: &Option<u16>) -> String {
    status.map_or_else(String::new, |status| format!(" (status {status})"))
}

impl Classify for HubError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::InvalidConfig { .. }
            | Self::NotAHubReference { .. }
            | Self::InvalidLocator { .. }
            | Self::WebhookUnusable { .. } => ErrorClass::InvalidInput,
            Self::CreatorNotFound { .. }
            | Self::ModelNotFound { .. }
            | Self::VersionNotFound { .. }
            | Self::DigestNotFound { .. }
            | Self::FileNotFound { .. } => ErrorClass::NotFound,
            Self::TokenRequired { .. } | Self::TokenRejected { .. } => ErrorClass::Precondition,
            Self::AccessDenied { .. }
            | Self::Gated { .. }
            | Self::EarlyAccess { .. }
            | Self::DownloadDisabled { .. }
            | Self::Archived { .. }
            | Self::RegionBlocked { .. } => ErrorClass::AccessDenied,
            Self::RateLimited { .. }
            | Self::HubDown { .. }
            | Self::ServerFailed { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Truncated { .. }
            | Self::FileReplaced { .. }
            | Self::WebhookFailed { .. } => ErrorClass::Unavailable,
            Self::PreviewRefused { .. } | Self::ListNotOffered { .. } => ErrorClass::Unsupported,
            Self::NotAModelFile { .. }
            | Self::RedirectRefused { .. }
            | Self::UnexpectedAnswer { .. }
            | Self::Malformed { .. }
            | Self::EndlessList { .. } => ErrorClass::DataLoss,
            Self::ClientUnusable { .. } | Self::HuggingFaceClientUnusable { .. } | Self::UnexpectedStatus { .. } => {
                ErrorClass::Internal
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::InvalidConfig { .. } | Self::WebhookUnusable { .. } => reason::CONFIG_INVALID,
            Self::ClientUnusable { .. } | Self::HuggingFaceClientUnusable { .. } => reason::INTERNAL,
            Self::NotAHubReference { .. } => reason::INVALID_REFERENCE,
            Self::InvalidLocator { .. } => reason::INVALID_ARGUMENT,
            Self::CreatorNotFound { .. } => reason::CREATOR_NOT_FOUND,
            Self::ModelNotFound { .. } | Self::DigestNotFound { .. } => reason::MODEL_NOT_FOUND,
            Self::VersionNotFound { .. } => reason::VERSION_NOT_FOUND,
            Self::FileNotFound { .. } => reason::FILE_NOT_FOUND,
            Self::TokenRequired { .. } => reason::HUB_TOKEN_REQUIRED,
            Self::TokenRejected { .. } => reason::HUB_TOKEN_REJECTED,
            Self::AccessDenied { .. } | Self::Gated { .. } => reason::HUB_ACCESS_DENIED,
            Self::EarlyAccess { .. } => reason::EARLY_ACCESS,
            Self::DownloadDisabled { .. } => reason::DOWNLOAD_DISABLED,
            Self::Archived { .. } => reason::MODEL_ARCHIVED,
            Self::RegionBlocked { .. } => reason::REGION_BLOCKED,
            Self::RateLimited { .. } => reason::HUB_RATE_LIMITED,
            Self::HubDown { .. } => reason::HUB_DOWN,
            Self::ListNotOffered { .. } => reason::LIST_NOT_OFFERED,
            Self::ServerFailed { .. } | Self::Unreachable { .. } | Self::TimedOut { .. } => reason::HUB_UNREACHABLE,
            Self::WebhookFailed { .. } => reason::WEBHOOK_FAILED,
            Self::Truncated { .. } => reason::TRUNCATED_BODY,
            Self::NotAModelFile { .. } => reason::NOT_A_MODEL_FILE,
            Self::RedirectRefused { .. } => reason::REDIRECT_REFUSED,
            Self::PreviewRefused { .. } => reason::PREVIEW_REFUSED,
            Self::FileReplaced { .. }
            | Self::UnexpectedStatus { .. }
            | Self::UnexpectedAnswer { .. }
            | Self::Malformed { .. }
            | Self::EndlessList { .. } => reason::HUB_PROTOCOL,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::InvalidConfig { .. } => "an endpoint is an https address, or http on this machine".to_owned(),
            Self::TokenRequired { hub, url, .. } => match page_of(*hub, url) {
                Some(page) => {
                    format!("run `paintbox login {hub}`; if {page} asks for it, accept its terms with that account")
                }
                None => format!("run `paintbox login {hub}`"),
            },
            Self::TokenRejected { hub, url, .. } => match page_of(*hub, url) {
                Some(page) => {
                    format!("make a new token on the site and run `paintbox login {hub}`; its account must see {page}")
                }
                None => format!("make a new token on the site and run `paintbox login {hub}`"),
            },
            Self::ModelNotFound { hub, may_be_private: true, .. } => {
                format!("if it is private, run `paintbox login {hub}` first")
            }
            Self::CreatorNotFound { similar, .. } if !similar.is_empty() => {
                format!("the name may have changed; there are {}", similar.join(", "))
            }
            Self::CreatorNotFound { .. } => {
                "the name may have changed; it is the one in the profile's address".to_owned()
            }
            Self::ListNotOffered { hub, .. } => format!("follow its creators by name: `paintbox follow {hub}:<name>`"),
            Self::WebhookUnusable { .. } => "a webhook is an https address, or http on this machine".to_owned(),
            Self::Gated { hub, url, .. } => match page_of(*hub, url) {
                Some(page) => {
                    format!("open {page}, accept its terms or ask for access there, then try again once it is granted")
                }
                None => "ask for access on the model's page, then try again".to_owned(),
            },
            Self::EarlyAccess { .. } => "it is fetched by itself once the early access has ended".to_owned(),
            Self::NotAModelFile { hub, .. } => format!("often a login page: try `paintbox login {hub}`"),
            Self::RateLimited { hub: Hub::HuggingFace, .. } => {
                "an account has higher limits: `paintbox login hf`".to_owned()
            }
            Self::NotAHubReference { .. } => {
                "write civitai:4384, civitai:4384@128713, hf:org/repo, a digest, or paste the page's address".to_owned()
            }
            Self::InvalidLocator { .. }
            | Self::ClientUnusable { .. }
            | Self::HuggingFaceClientUnusable { .. }
            | Self::ModelNotFound { .. }
            | Self::VersionNotFound { .. }
            | Self::DigestNotFound { .. }
            | Self::FileNotFound { .. }
            | Self::AccessDenied { .. }
            | Self::DownloadDisabled { .. }
            | Self::Archived { .. }
            | Self::RegionBlocked { .. }
            | Self::RateLimited { .. }
            | Self::HubDown { .. }
            | Self::ServerFailed { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Truncated { .. }
            | Self::FileReplaced { .. }
            | Self::WebhookFailed { .. }
            | Self::RedirectRefused { .. }
            | Self::PreviewRefused { .. }
            | Self::UnexpectedStatus { .. }
            | Self::UnexpectedAnswer { .. }
            | Self::Malformed { .. }
            | Self::EndlessList { .. } => return None,
        };
        Some(hint)
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        let hub = |hub: &Hub| ("hub", hub.to_string());
        let url = |url: &String| ("url", url.clone());
        match self {
            Self::InvalidConfig { setting, .. } => vec![("setting", (*setting).to_owned())],
            Self::ClientUnusable { hub: at, .. } => vec![hub(at)],
            Self::HuggingFaceClientUnusable { endpoint, .. } => vec![("endpoint", endpoint.clone())],
            Self::NotAHubReference { reference } => vec![("reference", reference.clone())],
            Self::InvalidLocator { hub: at, locator } => vec![hub(at), ("locator", locator.clone())],
            Self::CreatorNotFound { hub: at, creator, .. } => vec![hub(at), ("creator", creator.clone())],
            Self::ModelNotFound { hub: at, model, .. } => vec![hub(at), ("model", model.clone())],
            Self::VersionNotFound { hub: at, model, version, .. } => {
                vec![hub(at), ("model", model.clone()), ("version", version.clone())]
            }
            Self::DigestNotFound { hub: at, digest, .. } => vec![hub(at), ("digest", digest.clone())],
            Self::AccessDenied { hub: at, url: place, status, .. }
            | Self::ServerFailed { hub: at, url: place, status, .. }
            | Self::UnexpectedStatus { hub: at, url: place, status, .. } => {
                vec![hub(at), url(place), ("status", status.to_string())]
            }
            Self::EarlyAccess { hub: at, url: place, until, .. } => {
                let mut metadata = vec![hub(at), url(place)];
                metadata.extend(until.map(|until| ("until_unix_ms", until.unix_ms().to_string())));
                metadata
            }
            Self::Truncated { hub: at, url: place, received_bytes, expected_bytes, .. } => {
                let mut metadata = vec![hub(at), url(place), ("received_bytes", received_bytes.to_string())];
                metadata.extend(expected_bytes.map(|bytes| ("expected_bytes", bytes.to_string())));
                metadata
            }
            Self::RedirectRefused { hub: at, from, to, .. } => {
                vec![hub(at), ("from", from.clone()), ("to", to.clone())]
            }
            Self::ListNotOffered { hub: at, target, .. } => vec![hub(at), ("target", target.clone())],
            Self::HubDown { hub: at, since, retry_at, .. } => vec![
                hub(at),
                ("since_unix_ms", since.unix_ms().to_string()),
                ("retry_at_unix_ms", retry_at.unix_ms().to_string()),
            ],
            Self::WebhookUnusable { url: place, .. } => vec![url(place)],
            Self::WebhookFailed { url: place, status, .. } => {
                let mut metadata = vec![url(place)];
                metadata.extend(status.map(|status| ("status", status.to_string())));
                metadata
            }
            Self::EndlessList { hub: at, creator, repeated } => {
                vec![hub(at), ("creator", creator.clone()), ("repeated", repeated.clone())]
            }
            Self::FileNotFound { hub: at, url: place, .. }
            | Self::TokenRequired { hub: at, url: place, .. }
            | Self::TokenRejected { hub: at, url: place, .. }
            | Self::Gated { hub: at, url: place, .. }
            | Self::DownloadDisabled { hub: at, url: place, .. }
            | Self::Archived { hub: at, url: place, .. }
            | Self::RegionBlocked { hub: at, url: place, .. }
            | Self::RateLimited { hub: at, url: place, .. }
            | Self::Unreachable { hub: at, url: place, .. }
            | Self::TimedOut { hub: at, url: place, .. }
            | Self::FileReplaced { hub: at, url: place }
            | Self::NotAModelFile { hub: at, url: place, .. }
            | Self::PreviewRefused { hub: at, url: place, .. }
            | Self::UnexpectedAnswer { hub: at, url: place, .. }
            | Self::Malformed { hub: at, url: place, .. } => vec![hub(at), url(place)],
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::ServerFailed { retry_after, .. } => *retry_after,
            Self::HubDown { left, .. } => Some(*left),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_words_are_one_short_line_without_the_token() {
        let words = ServerWords::new("  bad\r\n\ttoken s3cret\u{0}here  ", Some("s3cret"));
        assert_eq!(words.as_text(), Some("bad token … here"));
        assert_eq!(words.to_string(), ": “bad token … here”");
        assert_eq!(ServerWords::new(" \n", None).to_string(), "");
        let long = ServerWords::new(&"é".repeat(1000), None);
        assert_eq!(long.as_text().unwrap().chars().count(), ServerWords::MOST_CHARS + 1);
    }
}
