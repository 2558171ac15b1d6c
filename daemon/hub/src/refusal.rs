//! What a status other than success means: the part that both hubs share, before each hub's own reading.

use crate::error::{HubError, ServerWords};
use crate::politeness::{Kind, pause_asked_for, retry_after};
use crate::{civitai, hugging_face, json};
use http::HeaderMap;
use paintbox_domain::{Hub, Secret};
use serde_json::Value;
use std::time::Duration;

/// What a request was for, so that a 404 can say what is missing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    Account,
    Creator(&'a str),
    Model(&'a str),
    Version {
        model: &'a str,
        version: &'a str,
    },
    Digest(&'a str),
    File,
    Preview,
    /// A list that belongs to nobody in particular.
    List,
}

impl Asked<'_> {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::File => Kind::Download,
            Self::Preview => Kind::Preview,
            Self::Account | Self::Creator(_) | Self::Model(_) | Self::Version { .. } | Self::Digest(_) | Self::List => {
                Kind::Question
            }
        }
    }
}

/// An answer that is not a success, read and cleaned.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) hub: Hub,
    pub(crate) url: String,
    /// False if the storage behind the hub answered.
    pub(crate) own_origin: bool,
    pub(crate) sent_token: bool,
    pub(crate) status: u16,
    /// Hugging Face's `X-Error-Code`, or CivitAI's `code`.
    pub(crate) code: Option<String>,
    pub(crate) said: ServerWords,
    /// The body as JSON; null if it is something else.
    pub(crate) body: Value,
    /// How long the hub asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(
        hub: Hub,
        url: String,
        own_origin: bool,
        token: Option<&Secret>,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = String::from_utf8_lossy(body);
        let json: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let words = header("x-error-message").or_else(|| spoken(&json)).or_else(|| plain(&text)).unwrap_or_default();
        Self {
            hub,
            url,
            own_origin,
            sent_token: own_origin && token.is_some(),
            status,
            code: header("x-error-code").or_else(|| json::text(&json, "code")),
            said: ServerWords::new(&words, token.map(Secret::expose)),
            retry_after: retry_after(headers),
            body: json,
        }
    }

    pub(crate) fn into_error(self, asked: &Asked<'_>) -> HubError {
        let Self { hub, status, .. } = self;
        match status {
            451 => HubError::RegionBlocked { hub, url: self.url, said: self.said },
            429 => {
                let retry_after = self.retry_after.or_else(|| {
                    // Some limits have no end in their answer, but one that is known.
                    pause_asked_for(hub, asked.kind(), status, &HeaderMap::new())
                });
                HubError::RateLimited { hub, url: self.url, retry_after, said: self.said }
            }
            408 | 500.. => {
                HubError::ServerFailed { hub, url: self.url, status, retry_after: self.retry_after, said: self.said }
            }
            // We come to the storage straight from the hub, so a link that has expired is the hub's slip.
            401 | 403 if !self.own_origin => {
                HubError::ServerFailed { hub, url: self.url, status, retry_after: None, said: self.said }
            }
            404 if !self.own_origin => HubError::FileNotFound { hub, url: self.url, said: self.said },
            400..408 if self.own_origin => match hub {
                Hub::Civitai => civitai::refusals::error(self, asked),
                Hub::HuggingFace => hugging_face::refusals::error(self, asked),
            },
            410 if self.own_origin => HubError::Archived { hub, url: self.url, said: self.said },
            _ => self.unexpected(),
        }
    }

    /// A status for which there is no reading.
    pub(crate) fn unexpected(self) -> HubError {
        HubError::UnexpectedStatus { hub: self.hub, url: self.url, status: self.status, said: self.said }
    }

    /// Something asked for is not there.
    pub(crate) fn missing(self, asked: &Asked<'_>) -> HubError {
        let Self { hub, said, .. } = self;
        match *asked {
            Asked::Creator(creator) => {
                HubError::CreatorNotFound { hub, creator: creator.to_owned(), similar: Vec::new(), said }
            }
            Asked::Model(model) => HubError::ModelNotFound {
                hub,
                model: model.to_owned(),
                may_be_private: hub == Hub::HuggingFace && !self.sent_token,
                said,
            },
            Asked::Version { model, version } => {
                HubError::VersionNotFound { hub, model: model.to_owned(), version: version.to_owned(), said }
            }
            Asked::Digest(digest) => HubError::DigestNotFound { hub, digest: digest.to_owned(), said },
            Asked::File | Asked::Preview => HubError::FileNotFound { hub, url: self.url, said },
            Asked::Account | Asked::List => {
                HubError::UnexpectedStatus { hub, url: self.url, status: self.status, said }
            }
        }
    }

    /// Whether the server's words hold `phrase`, in any case.
    pub(crate) fn says(&self, phrase: &str) -> bool {
        self.said.as_text().is_some_and(|words| words.to_lowercase().contains(phrase))
    }
}

/// `error` and `message` of a JSON body, which may be texts, lists or objects with a `message` of their own.
fn spoken(body: &Value) -> Option<String> {
    let part = |key: &str| match body.get(key)? {
        Value::Object(inner) => inner.get("message").and_then(json::as_text),
        Value::Array(_) => Some(json::texts(body, key).join("; ")),
        single => json::as_text(single),
    };
    let parts: Vec<String> = [part("error"), part("message").or_else(|| part("error_description"))]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

/// A body that is neither JSON nor markup.
fn plain(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && !text.starts_with(['<', '{', '['])).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_every_envelope() {
        for (body, wanted) in [
            (r#"{"error":"Unauthorized","message":"log in"}"#, Some("Unauthorized: log in")),
            (r#"{"message":"User not found"}"#, Some("User not found")),
            (r#"{"error":{"name":"ZodError","message":"[…]"}}"#, Some("[…]")),
            (r#"{"error":["a","b"]}"#, Some("a; b")),
            (r#"{"error":"insufficient_scope","error_description":"no"}"#, Some("insufficient_scope: no")),
            ("Entry not found", Some("Entry not found")),
            ("<html>524</html>", None),
            ("", None),
        ] {
            let refusal =
                Refusal::new(Hub::Civitai, String::new(), true, None, 400, &HeaderMap::new(), body.as_bytes());
            assert_eq!(refusal.said.as_text(), wanted, "{body}");
        }
    }
}
