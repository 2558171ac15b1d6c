//! Hugging Face: accounts and a creator's list through hf-hub, a repository's page through our own transport.
//!
//! hf-hub 1.0 cannot give us a repository's page as we need it: its file tree reads the LFS digest under the key
//! `sha256` where the wire says `lfs.oid`, so every SHA-256 comes out empty (`src/repository/files.rs` `BlobLfsInfo`);
//! its `info` cannot ask for `blobs=true`; and its typed answers drop whatever they do not know, while we keep a
//! hub's words as evidence. One request of our own for `…/revision/{rev}?blobs=true` answers all three: it resolves
//! the revision to a commit, lists every file with size and digest, and is kept verbatim.

mod convert;
mod library;
pub(crate) mod refusals;

use crate::error::{HubError, ServerWords};
use crate::refusal::Asked;
use crate::site::Site;
use crate::transport::Transport;
use crate::{Inner, ResolvedModel};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use library::Library;
use paintbox_domain::hub::HubModel;
use paintbox_domain::{Classify, ErrorClass, Hub, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::sync::Arc;

/// What stands for itself in one segment of an address (RFC 3986's unreserved characters).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const DEFAULT_BRANCH: &str = "main";
/// Each repository's page is a request of its own; so many make a page of ours, and so many run at once.
const REPOSITORIES_PER_PAGE: usize = 20;
const PAGES_AT_ONCE: usize = 4;

#[derive(Debug)]
pub(crate) struct HuggingFace {
    transport: Transport,
    site: Site,
    library: Library,
}

impl HuggingFace {
    pub(crate) fn new(transport: Transport, site: Site, user_agent: String) -> Self {
        let library = Library::new(user_agent, transport.timeouts);
        Self { transport, site, library }
    }

    pub(crate) fn set_token(&self, token: Option<Secret>) {
        self.site.set_token(token);
        self.library.forget();
    }

    pub(crate) fn line(&self) -> (&Transport, &Site) {
        (&self.transport, &self.site)
    }

    pub(crate) async fn account(&self) -> Result<String, HubError> {
        if self.site.token().is_none() {
            let url = format!("{}/api/whoami-v2", self.site.endpoint_text());
            return Err(HubError::TokenRequired { hub: Hub::HuggingFace, url, said: ServerWords::default() });
        }
        self.library.account(&self.site).await
    }

    /// `revision` none means the default branch, which the Hub calls `main` everywhere.
    pub(crate) async fn model(&self, repo: &str, revision: Option<&str>) -> Result<HubModel, HubError> {
        let id: Vec<&str> = repo.split('/').collect();
        if id.len() > 2 || id.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(HubError::ModelNotFound {
                hub: Hub::HuggingFace,
                model: repo.chars().take(200).collect(),
                may_be_private: false,
                said: ServerWords::default(),
            });
        }
        let asked = match revision {
            Some(version) => Asked::Version { model: repo, version },
            None => Asked::Model(repo),
        };
        let name = revision.unwrap_or(DEFAULT_BRANCH);
        let path = format!("/api/models/{}/revision/{}?blobs=true", encoded_path(repo), encoded(name));
        let answer = self.transport.json(&self.site, &path, &asked).await?;
        let page: Value = serde_json::from_str(&answer.text).map_err(|source| HubError::Malformed {
            hub: Hub::HuggingFace,
            url: answer.from.clone(),
            source,
        })?;
        let model = convert::model(&page, answer.text, Some(name));
        model.filter(|model| !model.versions.is_empty()).ok_or(HubError::UnexpectedAnswer {
            hub: Hub::HuggingFace,
            url: answer.from,
            found: "a repository without an id or a commit",
        })
    }

    pub(crate) async fn resolve(
        &self,
        repo: &str,
        revision: Option<&str>,
        path: Option<&str>,
    ) -> Result<ResolvedModel, HubError> {
        let model = self.model(repo, revision).await?;
        let version = model.versions.first().map(|version| version.external_id.clone());
        if let Some(path) = path
            && !model.versions.iter().flat_map(|version| &version.files).any(|file| file.external_id == path)
        {
            let url = format!("{}/{}:{path}", self.site.endpoint_text(), model.external_id);
            return Err(HubError::FileNotFound { hub: Hub::HuggingFace, url, said: ServerWords::default() });
        }
        Ok(ResolvedModel { model, version, file: path.map(str::to_owned) })
    }

    /// The page of a repository that was listed; if the Hub keeps the page from us, what the list said, without
    /// versions, so that one locked door does not hide the rest of a creator's work.
    async fn listed(&self, entry: &library::Listed) -> Result<HubModel, HubError> {
        let refused = match self.model(&entry.id, None).await {
            Ok(model) => return Ok(model),
            Err(error) => error,
        };
        match refused.class() {
            ErrorClass::NotFound | ErrorClass::AccessDenied | ErrorClass::Precondition => {
                tracing::warn!(repository = entry.id, error = %refused, "listed, but its page is refused");
                convert::model(&entry.info, entry.info.to_string(), None).ok_or(refused)
            }
            _ => Err(refused),
        }
    }
}

pub(crate) fn models_of(inner: Arc<Inner>, creator: String) -> BoxStream<'static, Result<Vec<HubModel>, HubError>> {
    let asked = Arc::clone(&inner);
    stream::once(async move { asked.hugging_face.library.list(&asked.hugging_face.site, &creator).await })
        .map_ok(move |entries| {
            let mut chunks: Vec<Vec<library::Listed>> = Vec::new();
            for entry in entries {
                match chunks.last_mut() {
                    Some(chunk) if chunk.len() < REPOSITORIES_PER_PAGE => chunk.push(entry),
                    _ => chunks.push(vec![entry]),
                }
            }
            let inner = Arc::clone(&inner);
            stream::iter(chunks).then(move |chunk| page(Arc::clone(&inner), chunk))
        })
        .try_flatten()
        .boxed()
}

async fn page(inner: Arc<Inner>, entries: Vec<library::Listed>) -> Result<Vec<HubModel>, HubError> {
    stream::iter(entries)
        .map(|entry| {
            let inner = Arc::clone(&inner);
            async move { inner.hugging_face.listed(&entry).await }
        })
        .buffered(PAGES_AT_ONCE)
        .try_collect()
        .await
}

/// One segment of an address; a slash in it is encoded too, as revisions like `refs/pr/1` need.
fn encoded(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// A path whose slashes stay: `%2F` is understood in file addresses, but counted against a far smaller limit.
fn encoded_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}
