//! Hugging Face: lists, pages, cards and gates through our own transport; accounts, searches, branches and commits
//! through hf-hub.
//!
//! hf-hub 1.0 cannot give us lists and pages as we need them. Its answers carry neither validators nor `RateLimit`
//! headers, without which a creator who did nothing costs as much as one who did (`src/pagination.rs`). Its file tree
//! reads the LFS digest under the key `sha256` where the wire says `lfs.oid`, so every SHA-256 comes out empty
//! (`src/repository/files.rs` `BlobLfsInfo`); its `info` cannot ask for `blobs=true`; and its typed answers drop
//! whatever they do not know, while we keep a hub's words as evidence. One request of our own for
//! `…/revision/{rev}?blobs=true` resolves the revision to a commit, lists every file with size and digest, and is kept
//! verbatim.

mod card;
mod convert;
mod explore;
mod gate;
mod library;
mod list;
mod marks;
mod paging;
pub(crate) mod refusals;
mod xet;

pub use explore::{HfCommit, HfQuery, HfRef, HfRefs};
pub(crate) use gate::page_of;
pub(crate) use list::list;
pub(crate) use xet::download;

use crate::error::{HubError, ServerWords};
use crate::json;
use crate::refusal::Asked;
use crate::site::Site;
use crate::transport::{Conditional, JsonText, Transport};
use crate::{Presence, ResolvedModel};
use library::Library;
use paintbox_domain::hub::{HubModel, ModelState};
use paintbox_domain::{Classify, ErrorClass, Hub, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::sync::Arc;

/// What stands for itself in one segment of an address (RFC 3986's unreserved characters).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const DEFAULT_BRANCH: &str = "main";

#[derive(Debug)]
pub(crate) struct HuggingFace {
    transport: Transport,
    site: Arc<Site>,
    library: Library,
    distrusted: xet::Distrusted,
}

/// A page that was kept, read as it was when it came. Which branch it was asked for by is not on it.
pub(crate) fn read_kept(kept: &Value, raw: String) -> Option<HubModel> {
    let (page, text) = card::parted(kept);
    let completed = text.and_then(|text| card::completed(page, text));
    let model = convert::model(completed.as_ref().unwrap_or(page), raw, Some(DEFAULT_BRANCH))?;
    Some(HubModel { description: text.map(str::to_owned), ..model })
}

/// Whether a page that was kept says that its repository is for its owner alone.
pub(crate) fn is_private(kept: &Value) -> bool {
    json::truth(card::parted(kept).0, "private").unwrap_or(false)
}

impl HuggingFace {
    pub(crate) fn new(transport: Transport, site: Site, user_agent: String) -> Self {
        let library = Library::new(user_agent, transport.timeouts);
        Self { transport, site: Arc::new(site), library, distrusted: xet::Distrusted::default() }
    }

    pub(crate) fn set_token(&self, token: Option<Secret>) {
        self.site.set_token(token);
        self.library.forget();
    }

    pub(crate) fn line(&self) -> (&Transport, &Arc<Site>) {
        (&self.transport, &self.site)
    }

    pub(crate) async fn account(&self) -> Result<String, HubError> {
        if self.site.token().is_none() {
            let url = format!("{}/api/whoami-v2", self.site.endpoint_text());
            return Err(HubError::TokenRequired { hub: Hub::HuggingFace, url, said: ServerWords::default() });
        }
        self.library.account(&self.site).await
    }

    /// The repository with its card, and whether its gate is open. `revision` none means the default branch, which the
    /// Hub calls `main` everywhere.
    pub(crate) async fn model(&self, repo: &str, revision: Option<&str>) -> Result<HubModel, HubError> {
        let page = self.page(repo, revision).await?;
        Ok(self.complete(page).await?.model)
    }

    /// A repository's page at a revision.
    async fn page(&self, repo: &str, revision: Option<&str>) -> Result<Page, HubError> {
        let path = page_path(repo, revision)?;
        Page::read(self.transport.json(&self.site, &path, &asked(repo, revision)).await?, revision)
    }

    /// The same; none if it is still the one that `validator` came with.
    async fn page_if_changed(
        &self,
        repo: &str,
        revision: Option<&str>,
        validator: Option<&str>,
    ) -> Result<Option<Page>, HubError> {
        let path = page_path(repo, revision)?;
        let asked = asked(repo, revision);
        match self.transport.json_if_changed(&self.site, &path, &asked, validator).await? {
            Conditional::Changed(answer) => Page::read(answer, revision).map(Some),
            Conditional::Unchanged => Ok(None),
        }
    }

    /// The model of a page, with what takes requests of its own: whether its gate is open, and its card.
    ///
    /// # Errors
    /// A page without an id or a commit, and a Hub that cannot be asked about a gate. A card that does not come is no
    /// error: what is known of it stays.
    async fn complete(&self, page: Page) -> Result<Completed, HubError> {
        let mut model = page.model(&page.value)?;
        if page.revision == DEFAULT_BRANCH {
            model.list_mark = marks::list_mark(&page.value);
        }
        if model.state == ModelState::Gated {
            model.access_granted = self.is_let_in(&model.external_id).await?;
        }
        let mut whole = true;
        let may_read = model.state != ModelState::Disabled && model.access_granted != Some(false);
        let files = model.versions.first().map_or(&[][..], |version| &version.files);
        if let Some(file) = card::find(files).filter(|_| may_read) {
            match card::fetch(&self.transport, &self.site, file).await {
                Ok(text) => {
                    if let Some(value) = card::completed(&page.value, &text) {
                        let known = page.model(&value)?;
                        model = HubModel { list_mark: model.list_mark, access_granted: model.access_granted, ..known };
                    }
                    model.raw = card::kept_with(&model.raw, &text);
                    model.description = Some(text);
                }
                Err(error) => {
                    tracing::warn!(repository = model.external_id, %error, "the model card did not come");
                    if error.class().is_retryable() {
                        // Whoever looks at the list next is to ask for this page again.
                        model.list_mark = None;
                        whole = false;
                    }
                }
            }
        }
        Ok(Completed { model, whole })
    }

    /// Without a token the Hub answers the same for a private repository as for none, so neither can be told.
    pub(crate) async fn look_again(&self, external_ids: &[String]) -> Result<Vec<Presence>, HubError> {
        let mut found = Vec::with_capacity(external_ids.len());
        for external_id in external_ids {
            found.push(match self.model(external_id, None).await {
                Ok(model) => Presence::Here(Box::new(model)),
                Err(HubError::ModelNotFound { may_be_private: true, .. }) => {
                    Presence::OutOfSight { external_id: external_id.clone() }
                }
                Err(error) if error.class() == ErrorClass::NotFound => {
                    Presence::Gone { external_id: external_id.clone() }
                }
                Err(error) => return Err(error),
            });
        }
        Ok(found)
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
}

/// A repository's page as it came.
#[derive(Debug)]
struct Page {
    value: Value,
    answer: JsonText,
    /// Branch, tag or commit that was asked for.
    revision: String,
}

impl Page {
    fn read(answer: JsonText, revision: Option<&str>) -> Result<Self, HubError> {
        let value: Value = serde_json::from_str(&answer.text).map_err(|source| HubError::Malformed {
            hub: Hub::HuggingFace,
            url: answer.from.clone(),
            source,
        })?;
        Ok(Self { value, answer, revision: revision.unwrap_or(DEFAULT_BRANCH).to_owned() })
    }

    /// What `value`, which is the page or more than the page, says of the model.
    fn model(&self, value: &Value) -> Result<HubModel, HubError> {
        let model = convert::model(value, self.answer.text.clone(), Some(&self.revision));
        model.filter(|model| !model.versions.is_empty()).ok_or_else(|| HubError::UnexpectedAnswer {
            hub: Hub::HuggingFace,
            url: self.answer.from.clone(),
            found: "a repository without an id or a commit",
        })
    }
}

/// A model, and whether everything that belongs to it came.
#[derive(Debug)]
struct Completed {
    model: HubModel,
    whole: bool,
}

fn page_path(repo: &str, revision: Option<&str>) -> Result<String, HubError> {
    must_be_repository(repo)?;
    let revision = encoded(revision.unwrap_or(DEFAULT_BRANCH));
    Ok(format!("/api/models/{}/revision/{revision}?blobs=true", encoded_path(repo)))
}

fn asked<'a>(model: &'a str, revision: Option<&'a str>) -> Asked<'a> {
    revision.map_or(Asked::Model(model), |version| Asked::Version { model, version })
}

/// # Errors
/// [`HubError::ModelNotFound`] for a text that could lead out of the addresses of repositories.
fn must_be_repository(repo: &str) -> Result<(), HubError> {
    let id: Vec<&str> = repo.split('/').collect();
    if id.len() <= 2 && !id.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
        return Ok(());
    }
    Err(HubError::ModelNotFound {
        hub: Hub::HuggingFace,
        model: repo.chars().take(200).collect(),
        may_be_private: false,
        said: ServerWords::default(),
    })
}

/// One segment of an address; a slash in it is encoded too, as revisions like `refs/pr/1` need.
fn encoded(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// A path whose slashes stay: `%2F` is understood in file addresses, but counted against a far smaller limit.
fn encoded_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}
