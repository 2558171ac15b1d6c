//! Hugging Face's own refusals: first its error code, then its words, then the status.
//!
//! The order is the official client's (github huggingface/huggingface_hub @ ee0a4510f4bc,
//! `src/huggingface_hub/utils/_http.py`).

use crate::error::HubError;
use crate::refusal::{Asked, Refusal};

pub(crate) fn error(refusal: Refusal, asked: &Asked<'_>) -> HubError {
    let Refusal { hub, status, sent_token, .. } = refusal;
    let code = refusal.code.clone().unwrap_or_default();
    match (code.as_str(), status) {
        // A token that the Hub does not know gets the very same answer as none.
        ("GatedRepo", 401) if sent_token => HubError::TokenRejected { hub, url: refusal.url, said: refusal.said },
        ("GatedRepo", 401) => HubError::TokenRequired { hub, url: refusal.url, said: refusal.said },
        ("GatedRepo", _) => HubError::Gated { hub, url: refusal.url, said: refusal.said },
        ("RepoNotFound", _) => match *asked {
            Asked::Version { model, .. } => refusal.missing(&Asked::Model(model)),
            _ => refusal.missing(asked),
        },
        ("RevisionNotFound" | "EntryNotFound", _) => refusal.missing(asked),
        (_, 401) if refusal.says("invalid credentials") => {
            HubError::TokenRejected { hub, url: refusal.url, said: refusal.said }
        }
        // «Invalid username or password.» to somebody without a token: the repository is missing or private, and
        // the Hub does not tell which.
        (_, 401) if !sent_token => match *asked {
            Asked::Model(model) | Asked::Version { model, .. } => refusal.missing(&Asked::Model(model)),
            _ => HubError::TokenRequired { hub, url: refusal.url, said: refusal.said },
        },
        (_, 401) => HubError::TokenRejected { hub, url: refusal.url, said: refusal.said },
        (_, 403) if refusal.says("is disabled") => {
            HubError::DownloadDisabled { hub, url: refusal.url, said: refusal.said }
        }
        (_, 403) => HubError::AccessDenied { hub, url: refusal.url, status, said: refusal.said },
        (_, 404) => refusal.missing(asked),
        _ => refusal.unexpected(),
    }
}

/// As [`Refusal::into_error`], for an answer of hf-hub's client, which stops at redirects that leave the Hub.
pub(super) fn redirected_or(refusal: Refusal, asked: &Asked<'_>) -> HubError {
    if (300..400).contains(&refusal.status) {
        return HubError::RedirectRefused {
            hub: refusal.hub,
            from: refusal.url,
            to: "another site".to_owned(),
            problem: "a list leads nowhere outside the hub",
        };
    }
    refusal.into_error(asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use paintbox_domain::{Classify, Hub, Secret, reason};

    fn refuse(status: u16, code: Option<&str>, body: &str, token: Option<&Secret>, asked: Asked<'_>) -> HubError {
        let mut headers = HeaderMap::new();
        if let Some(code) = code {
            headers.insert("x-error-code", code.parse().unwrap());
        }
        Refusal::new(
            Hub::HuggingFace,
            "https://huggingface.co/org/repo/resolve/main/a.json".to_owned(),
            true,
            token,
            status,
            &headers,
            body.as_bytes(),
        )
        .into_error(&asked)
    }

    #[test]
    fn every_documented_refusal_has_its_reason_with_and_without_a_token() {
        let model = Asked::Model("org/repo");
        let version = Asked::Version { model: "org/repo", version: "v9" };
        let anonymous = r#"{"error":"Invalid username or password."}"#;
        for (status, code, body, asked, without, with) in [
            (401, Some("GatedRepo"), "restricted", Asked::File, reason::HUB_TOKEN_REQUIRED, reason::HUB_TOKEN_REJECTED),
            (403, Some("GatedRepo"), "not listed", Asked::File, reason::HUB_ACCESS_DENIED, reason::HUB_ACCESS_DENIED),
            (401, None, anonymous, model, reason::MODEL_NOT_FOUND, reason::HUB_TOKEN_REJECTED),
            (401, None, anonymous, version, reason::MODEL_NOT_FOUND, reason::HUB_TOKEN_REJECTED),
            (401, None, anonymous, Asked::File, reason::HUB_TOKEN_REQUIRED, reason::HUB_TOKEN_REJECTED),
            (404, Some("RepoNotFound"), "", version, reason::MODEL_NOT_FOUND, reason::MODEL_NOT_FOUND),
            (404, Some("RevisionNotFound"), "", version, reason::VERSION_NOT_FOUND, reason::VERSION_NOT_FOUND),
            (
                404,
                None,
                r#"{"error":"Invalid rev id: v9"}"#,
                version,
                reason::VERSION_NOT_FOUND,
                reason::VERSION_NOT_FOUND,
            ),
            (
                404,
                Some("EntryNotFound"),
                "Entry not found",
                Asked::File,
                reason::FILE_NOT_FOUND,
                reason::FILE_NOT_FOUND,
            ),
            (
                401,
                None,
                "Invalid credentials in Authorization header",
                model,
                reason::HUB_TOKEN_REJECTED,
                reason::HUB_TOKEN_REJECTED,
            ),
            (
                403,
                None,
                "Access to this resource is disabled.",
                Asked::File,
                reason::DOWNLOAD_DISABLED,
                reason::DOWNLOAD_DISABLED,
            ),
            (403, None, "no scope", Asked::File, reason::HUB_ACCESS_DENIED, reason::HUB_ACCESS_DENIED),
            (429, None, "slow down", model, reason::HUB_RATE_LIMITED, reason::HUB_RATE_LIMITED),
            (503, None, "", model, reason::HUB_UNREACHABLE, reason::HUB_UNREACHABLE),
        ] {
            let token = Secret::new("hf_s3cret");
            assert_eq!(refuse(status, code, body, None, asked).reason(), without, "{status} {code:?} {asked:?}");
            assert_eq!(refuse(status, code, body, token.as_ref(), asked).reason(), with, "{status} {code:?} {asked:?}");
        }
    }

    #[test]
    fn a_missing_repository_may_be_private_only_for_somebody_without_a_token() {
        let hint = |token: Option<&Secret>| refuse(404, Some("RepoNotFound"), "", token, Asked::Model("a/b")).hint();
        assert!(hint(None).unwrap().contains("paintbox login hf"));
        assert_eq!(hint(Secret::new("t").as_ref()), None);
    }
}
