//! Gates: whether the account may read a repository's files, asked before anything is queued.
//!
//! `GET /api/models/{id}/auth-check` answers 200 with nothing worth reading, or refuses as a file would
//! (huggingface_hub @ ee0a4510f4bc, `src/huggingface_hub/hf_api.py`, `auth_check`). Metadata and digests of a gated
//! repository are readable for everybody, so a page that can be read says nothing about its files.

use super::HuggingFace;
use super::encoded_path;
use crate::error::HubError;
use crate::refusal::Asked;
use crate::retry;
use http::HeaderMap;
use paintbox_domain::{Classify, ErrorClass, Hub};

impl HuggingFace {
    /// # Errors
    /// [`HubError::Gated`], [`HubError::TokenRequired`], [`HubError::TokenRejected`] or [`HubError::AccessDenied`] for
    /// a closed gate, [`HubError::ModelNotFound`], and whatever keeps the Hub from answering.
    pub(crate) async fn check_access(&self, repository: &str) -> Result<(), HubError> {
        super::must_be_repository(repository)?;
        let url = self.site.url(&format!("/api/models/{}/auth-check", encoded_path(repository)))?;
        retry::patiently(self.transport.timeouts.first_retry, || async {
            let answer = self.transport.get(&self.site, url.clone(), &HeaderMap::new()).await?;
            if answer.response.status().is_success() {
                return Ok(());
            }
            Err(self.transport.refusal(answer).await.into_error(&Asked::Model(repository)))
        })
        .await
    }

    /// Whether a gated repository, whose page was just read, lets this account in; none if the Hub does not say.
    ///
    /// # Errors
    /// A Hub that is not to be reached: the next question would fare no better.
    pub(super) async fn is_let_in(&self, repository: &str) -> Result<Option<bool>, HubError> {
        match self.check_access(repository).await {
            Ok(()) => Ok(Some(true)),
            Err(error) => match error.class() {
                ErrorClass::AccessDenied | ErrorClass::Precondition => Ok(Some(false)),
                ErrorClass::Unavailable => Err(error),
                // A mirror that knows the repository and not the question.
                _ => {
                    tracing::warn!(repository, %error, "whether its gate is open could not be asked");
                    Ok(None)
                }
            },
        }
    }
}

/// The page on which a person can do something about the refusal of `url`; none for addresses of no repository.
///
/// `…/api/models/{id}/auth-check`, `…/api/resolve-cache/models/{id}/…` and `…/{id}/resolve/…` are about `…/{id}`.
pub(crate) fn page_of(hub: Hub, url: &str) -> Option<String> {
    if hub != Hub::HuggingFace {
        return None;
    }
    let below = |prefix: &str| {
        let (endpoint, rest) = url.split_once(prefix)?;
        let mut segments = rest.split('/');
        let (owner, name) = (segments.next()?, segments.next()?);
        Some(format!("{endpoint}/{owner}/{name}"))
    };
    below("/api/resolve-cache/models/")
        .or_else(|| below("/api/models/"))
        .or_else(|| Some(url.split_once("/resolve/")?.0.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_address_leads_to_the_page_of_its_repository() {
        let page = Some("https://huggingface.co/org/repo".to_owned());
        for url in [
            "https://huggingface.co/api/models/org/repo/auth-check",
            "https://huggingface.co/api/models/org/repo/revision/main",
            "https://huggingface.co/org/repo/resolve/main/unet/a.safetensors",
            "https://huggingface.co/api/resolve-cache/models/org/repo/0123/a.json",
        ] {
            assert_eq!(page_of(Hub::HuggingFace, url), page, "{url}");
            assert_eq!(page_of(Hub::Civitai, url), None);
        }
        assert_eq!(page_of(Hub::HuggingFace, "https://huggingface.co/api/whoami-v2"), None);
        let mirror = page_of(Hub::HuggingFace, "https://mirror.example/hf/org/repo/resolve/main/a").unwrap();
        assert_eq!(mirror, "https://mirror.example/hf/org/repo");
    }
}
