//! CivitAI's own refusals: the status alone says too little, its words decide.
//!
//! Source of the statuses and texts: github civitai/civitai @ ebed661630d3,
//! `src/pages/api/download/models/[modelVersionId].ts` and `src/server/services/file.service.ts`.

use crate::error::HubError;
use crate::json;
use crate::refusal::{Asked, Refusal};

pub(crate) fn error(refusal: Refusal, asked: &Asked<'_>) -> HubError {
    let until = json::time(&refusal.body, "deadline");
    match refusal.status {
        // A creator's switch, not a question of tokens, though it is answered with the same status.
        401 if refusal.says("disabled downloads") => {
            HubError::DownloadDisabled { hub: refusal.hub, url: refusal.url, said: refusal.said }
        }
        // A token that is bad counts as none on most addresses, so "log in" to somebody with one means a bad one.
        401 if refusal.sent_token => HubError::TokenRejected { hub: refusal.hub, url: refusal.url, said: refusal.said },
        401 => HubError::TokenRequired { hub: refusal.hub, url: refusal.url, said: refusal.said },
        403 if refusal.says("early access") => {
            HubError::EarlyAccess { hub: refusal.hub, url: refusal.url, until, said: refusal.said }
        }
        403 => HubError::AccessDenied { hub: refusal.hub, url: refusal.url, status: 403, said: refusal.said },
        404 => refusal.missing(asked),
        _ => refusal.unexpected(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use paintbox_domain::{Classify, Hub, Secret, Timestamp, reason};

    fn refuse(status: u16, body: &str, own_origin: bool, token: Option<&Secret>, asked: Asked<'_>) -> HubError {
        Refusal::new(
            Hub::Civitai,
            "https://civitai.com/api/download/models/1".to_owned(),
            own_origin,
            token,
            status,
            &HeaderMap::new(),
            body.as_bytes(),
        )
        .into_error(&asked)
    }

    #[test]
    fn every_documented_answer_of_the_download_endpoint_has_its_reason() {
        for (status, body, wanted) in [
            (403, r#"{"error":"Forbidden"}"#, reason::HUB_ACCESS_DENIED),
            (
                429,
                r#"{"error":"We've noticed an unusual amount of downloading from your account."}"#,
                reason::HUB_RATE_LIMITED,
            ),
            (400, r#"{"error":"bad fileId"}"#, reason::HUB_PROTOCOL),
            (404, r#"{"error":"File not found"}"#, reason::FILE_NOT_FOUND),
            (410, r#"{"error":"Model archived, not available for download"}"#, reason::MODEL_ARCHIVED),
            (
                401,
                r#"{"error":"Unauthorized","message":"The creator of this asset has disabled downloads on this file"}"#,
                reason::DOWNLOAD_DISABLED,
            ),
            (
                401,
                r#"{"error":"Unauthorized","message":"The creator of this asset requires you to be logged in to download it"}"#,
                reason::HUB_TOKEN_REQUIRED,
            ),
            (403, r#"{"error":"Early Access","message":"This asset is in Early Access."}"#, reason::EARLY_ACCESS),
            (403, r#"{"error":"You do not have access to download this file"}"#, reason::HUB_ACCESS_DENIED),
            (451, r#"{"error":"not here","code":"REGION_BLOCKED"}"#, reason::REGION_BLOCKED),
            (500, r#"{"error":"oops"}"#, reason::HUB_UNREACHABLE),
            (524, "<html>", reason::HUB_UNREACHABLE),
        ] {
            assert_eq!(refuse(status, body, true, None, Asked::File).reason(), wanted, "{status} {body}");
        }
    }

    #[test]
    fn early_access_carries_its_deadline_and_a_download_limit_a_long_pause() {
        let body = r#"{"error":"Early Access","deadline":"2024-12-11T03:00:32.969Z"}"#;
        let HubError::EarlyAccess { until, .. } = refuse(403, body, true, None, Asked::File) else { panic!() };
        assert_eq!(until, Some(Timestamp::from_unix_ms(1_733_886_032_969)));
        let limited = refuse(429, "{}", true, None, Asked::File);
        assert_eq!(limited.retry_after().map(|wait| wait.as_secs()), Some(3600));
        assert_eq!(refuse(429, "{}", true, None, Asked::Model("1")).retry_after(), None);
    }

    #[test]
    fn a_404_says_what_is_missing() {
        for (asked, wanted) in [
            (Asked::Creator("x"), reason::CREATOR_NOT_FOUND),
            (Asked::Model("1"), reason::MODEL_NOT_FOUND),
            (Asked::Version { model: "1", version: "2" }, reason::VERSION_NOT_FOUND),
            (Asked::Digest("ab"), reason::MODEL_NOT_FOUND),
            (Asked::File, reason::FILE_NOT_FOUND),
        ] {
            assert_eq!(refuse(404, r#"{"message":"User not found"}"#, true, None, asked).reason(), wanted, "{asked:?}");
        }
    }

    #[test]
    fn a_refused_token_is_told_from_a_missing_one_and_storage_from_the_site() {
        let token = Secret::new("s3cret");
        let body = r#"{"error":"Unauthorized for s3cret"}"#;
        let error = refuse(401, body, true, token.as_ref(), Asked::Account);
        assert_eq!(error.reason(), reason::HUB_TOKEN_REJECTED);
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert_eq!(refuse(403, "<Error/>", false, token.as_ref(), Asked::File).reason(), reason::HUB_UNREACHABLE);
        assert_eq!(refuse(404, "<Error/>", false, None, Asked::File).reason(), reason::FILE_NOT_FOUND);
        assert_eq!(refuse(400, "<Error/>", false, None, Asked::File).reason(), reason::HUB_PROTOCOL);
    }
}
