//! What the two hubs say, and the bytes they hand out: CivitAI and Hugging Face behind one handle.
//!
//! This crate is the only one that speaks to the network outside. It answers in the words of
//! [`paintbox_domain::hub`] and decides nothing: which files are wanted, when to ask again and where bytes go is
//! the business of the sync crate.
//!
//! Four promises hold for every request:
//!
//! - A token goes to the hub's own origin and nowhere else; that is decided anew at every redirect.
//! - Hub data never widens what may be contacted: redirects are followed by hand, at most five, to an allow-list.
//! - No hub is asked more than it bears: requests wait for their turn, pauses that a hub asks for are kept, and one that
//!   is down is left alone ([`HubError::HubDown`], [`Hubs::health`]).
//! - Nothing is read from the environment, `.netrc` or system proxy settings; what is in [`HubConfig`] is all there is.

mod body;
mod civitai;
mod download;
mod error;
mod hugging_face;
mod json;
mod listing;
mod politeness;
mod preview;
mod refusal;
mod retry;
mod site;
mod transfer;
mod transport;
mod webhook;

#[cfg(test)]
mod tests;

pub use civitai::{
    CivitaiCreator, CivitaiEnums, CivitaiImage, CivitaiTag, Identified, IdentifiedNumbers, ImageQuery, ModelPeriod,
    ModelQuery, ModelSort, NumberedPage, VersionNumbers,
};
pub use download::{Download, ResumeFrom};
pub use error::{HubError, ServerWords};
pub use hugging_face::{HfCommit, HfQuery, HfRef, HfRefs};
pub use listing::{ListPage, ListRequest, Presence};
pub use politeness::{HubHealth, HubState};
pub use webhook::Webhook;

use futures::stream::BoxStream;
use paintbox_domain::hub::{HubFile, HubModel, PreviewMedia};
use paintbox_domain::{Clock, Hub, ModelRef, Secret, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
pub use transport::Timeouts;
use transport::Transport;
use url::Url;

/// Where the hubs are and who we are to them.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// `https://civitai.com`, or an `http` address on this machine.
    pub civitai_endpoint: Url,
    /// `https://civitai.red`, or an `http` address on this machine: the same models, accounts and numbers, with those
    /// that are rated beyond PG-13 in the lists. Without it the first endpoint is asked for everything.
    pub civitai_mature_endpoint: Option<Url>,
    /// `https://huggingface.co`, or an `http` address on this machine.
    pub hf_endpoint: Url,
    pub civitai_token: Option<Secret>,
    pub hf_token: Option<Secret>,
    /// `name/version (+address)`. CivitAI answers a browser with login pages instead of errors, so a text that
    /// looks like a browser's is refused.
    pub user_agent: String,
    /// Tells when a hub that was left alone may be asked again.
    pub clock: Arc<dyn Clock>,
}

/// A page that was kept, [`HubModel::raw`], read again as it was read when it came. None if it is no page of a model.
#[must_use]
pub fn read_kept(hub: Hub, raw: String) -> Option<HubModel> {
    let page = serde_json::from_str(&raw).ok()?;
    match hub {
        Hub::Civitai => civitai::read_kept(&page, raw),
        Hub::HuggingFace => hugging_face::read_kept(&page, raw),
    }
}

/// Whether a page that was kept says that its model is for its owner alone: somebody who is nobody to the hub is then
/// told the same as of a model that is gone.
#[must_use]
pub fn is_private(hub: Hub, raw: &str) -> bool {
    let page: Option<serde_json::Value> = serde_json::from_str(raw).ok();
    hub == Hub::HuggingFace && page.is_some_and(|page| hugging_face::is_private(&page))
}

/// A model that a reference led to, and which part of it the reference named.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedModel {
    pub model: HubModel,
    /// `external_id` of the version that the reference names; none means the model as a whole.
    pub version: Option<String>,
    /// `external_id` of the file that the reference names.
    pub file: Option<String>,
}

/// Both hubs. Cloning is cheap; clones share connections and tokens.
#[derive(Debug, Clone)]
pub struct Hubs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    civitai: civitai::Civitai,
    hugging_face: hugging_face::HuggingFace,
}

impl Hubs {
    /// # Errors
    /// [`HubError::InvalidConfig`] for an endpoint that is neither `https` nor on this machine, or a user agent that
    /// looks like a browser's; [`HubError::ClientUnusable`] if the TLS set-up fails.
    pub fn new(config: HubConfig) -> Result<Self, HubError> {
        Self::with_timeouts(config, Timeouts::default())
    }

    /// The same with another wait before the first repetition of a question that failed: shorter waits suit a hub on
    /// this machine.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_first_retry(config: HubConfig, first_retry: Duration) -> Result<Self, HubError> {
        Self::with_timeouts(config, Timeouts { first_retry, ..Timeouts::default() })
    }

    /// The same with other limits on waiting.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_timeouts(config: HubConfig, timeouts: Timeouts) -> Result<Self, HubError> {
        let transport = Transport::new(&config.user_agent, timeouts)?;
        let hugging_face =
            site::Site::new(Hub::HuggingFace, config.hf_endpoint, config.hf_token, Arc::clone(&config.clock))?;
        let civitai = civitai::Sites::new(
            &config.civitai_endpoint,
            config.civitai_mature_endpoint.as_ref(),
            config.civitai_token.as_ref(),
            &config.clock,
        )?;
        Ok(Self {
            inner: Arc::new(Inner {
                civitai: civitai::Civitai::new(transport.clone(), civitai),
                hugging_face: hugging_face::HuggingFace::new(transport, hugging_face, config.user_agent),
            }),
        })
    }

    /// Bytes of files that came since the beginning, kept or not. Previews and answers to questions do not count.
    #[must_use]
    pub fn received_file_bytes(&self) -> u64 {
        let (transport, _) = self.at(Hub::Civitai);
        transport.received_file_bytes()
    }

    /// How a hub is, as far as this process's own calls tell. Asks nothing.
    #[must_use]
    pub fn health(&self, hub: Hub) -> HubHealth {
        match hub {
            Hub::Civitai => self.inner.civitai.health(),
            Hub::HuggingFace => self.inner.hugging_face.line().1.gate.health(),
        }
    }

    /// Replaces the token of one hub; requests that are under way keep the one they started with.
    pub fn set_token(&self, hub: Hub, token: Option<Secret>) {
        match hub {
            Hub::Civitai => self.inner.civitai.set_token(token.as_ref()),
            Hub::HuggingFace => self.inner.hugging_face.set_token(token),
        }
    }

    /// The name of the account behind the token.
    ///
    /// # Errors
    /// `HUB_TOKEN_REQUIRED` without a token, `HUB_TOKEN_REJECTED` if the hub does not know it.
    pub async fn account(&self, hub: Hub) -> Result<String, HubError> {
        match hub {
            Hub::Civitai => self.inner.civitai.account().await,
            Hub::HuggingFace => self.inner.hugging_face.account().await,
        }
    }

    /// What a follow's target lists, newest activity first, page by page. After an error the stream ends: a page is
    /// retried, but never skipped, so an end without an error means that all was seen. An open target's list
    /// ([`FollowTarget::is_open`]) is as long as the site; whoever reads it stops when nothing new comes.
    ///
    /// Besides whatever keeps a hub from answering, the stream's errors are `CREATOR_NOT_FOUND` and `MODEL_NOT_FOUND` for
    /// what is not there, `HUB_TOKEN_REQUIRED` and `HUB_TOKEN_REJECTED` for lists of the account's own, and
    /// `LIST_NOT_OFFERED` for those that the hub gives nobody. CivitAI's list of followed creators is not documented;
    /// if it is refused, [`ListRequest::creators`] are listed one by one, without a mark.
    ///
    /// CivitAI's pages are what it lists, so `usageControl` and the examples' generation data are missing in them.
    /// Hugging Face's models carry one version each: the present commit of the followed branch with all its files, and
    /// the model card as the description. A gate that opens shows in no list: [`Self::check_access`] tells.
    ///
    /// [`FollowTarget::is_open`]: paintbox_domain::follow::FollowTarget::is_open
    pub fn list(&self, request: ListRequest) -> BoxStream<'static, Result<ListPage, HubError>> {
        let inner = Arc::clone(&self.inner);
        match request.target.hub() {
            Hub::Civitai => civitai::list(inner, request),
            Hub::HuggingFace => hugging_face::list(inner, request),
        }
    }

    /// What became of models that a list no longer shows. Only a hub's own "there is no such model" counts as gone, and
    /// what it hides from us may be there ([`Presence::OutOfSight`]); whatever else keeps it from answering is an error
    /// of the whole call.
    ///
    /// # Errors
    /// Whatever keeps the hub from answering.
    pub async fn look_again(&self, hub: Hub, external_ids: &[String], mature: bool) -> Result<Vec<Presence>, HubError> {
        match hub {
            Hub::Civitai => self.inner.civitai.look_again(external_ids, mature).await,
            Hub::HuggingFace => self.inner.hugging_face.look_again(external_ids).await,
        }
    }

    /// What a creator is called now, by the hub's number for them ([`HubModel::creator_id`]); none if nobody has it, or
    /// the hub numbers nobody.
    ///
    /// # Errors
    /// Whatever keeps the hub from answering.
    pub async fn creator_name(&self, hub: Hub, creator_id: &str) -> Result<Option<String>, HubError> {
        match hub {
            Hub::Civitai => self.inner.civitai.username(creator_id).await,
            Hub::HuggingFace => Ok(None),
        }
    }

    /// The hub's number for a creator; none if nobody has that name, or the hub numbers nobody.
    ///
    /// # Errors
    /// Whatever keeps the hub from answering.
    pub async fn creator_id(&self, hub: Hub, name: &str) -> Result<Option<String>, HubError> {
        match hub {
            Hub::Civitai => self.inner.civitai.user_id(name).await,
            Hub::HuggingFace => Ok(None),
        }
    }

    /// One model with everything that the hub shows of it. `revision` is a branch, tag or commit on Hugging Face,
    /// whose model then carries that one version; CivitAI has no such thing and ignores it.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`, `VERSION_NOT_FOUND`, and whatever keeps the hub from answering.
    pub async fn model(&self, hub: Hub, external_id: &str, revision: Option<&str>) -> Result<HubModel, HubError> {
        match hub {
            Hub::Civitai => self.inner.civitai.model(external_id).await,
            Hub::HuggingFace => self.inner.hugging_face.model(external_id, revision).await,
        }
    }

    /// Whether the account may fetch the files of a model, to be asked before they are queued. Hugging Face has a
    /// question for that, at the price of one request; CivitAI tells it in every version, so nothing is asked.
    ///
    /// # Errors
    /// `HUB_TOKEN_REQUIRED`, `HUB_TOKEN_REJECTED` or `HUB_ACCESS_DENIED`, whose hints name the page on which something
    /// can be done about it; `MODEL_NOT_FOUND`, and whatever keeps the hub from answering.
    pub async fn check_access(&self, hub: Hub, external_id: &str) -> Result<(), HubError> {
        match hub {
            Hub::Civitai => Ok(()),
            Hub::HuggingFace => self.inner.hugging_face.check_access(external_id).await,
        }
    }

    /// Models of Hugging Face that match `query`, as a list shows them: without versions, which are on a model's page.
    ///
    /// # Errors
    /// Whatever keeps the hub from answering.
    pub async fn hf_search(&self, query: &HfQuery) -> Result<Vec<HubModel>, HubError> {
        self.inner.hugging_face.search(query).await
    }

    /// The branches and tags of a Hugging Face repository.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`, and whatever keeps the hub from answering.
    pub async fn hf_refs(&self, repository: &str) -> Result<HfRefs, HubError> {
        self.inner.hugging_face.refs(repository).await
    }

    /// At most `limit` commits that lead to `revision` (none: the default branch), newest first.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`, `VERSION_NOT_FOUND`, and whatever keeps the hub from answering.
    pub async fn hf_commits(
        &self,
        repository: &str,
        revision: Option<&str>,
        limit: usize,
    ) -> Result<Vec<HfCommit>, HubError> {
        self.inner.hugging_face.commits(repository, revision, limit).await
    }

    /// Every file of a Hugging Face repository at `revision` (none: the default branch) with its size and digest.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`, `VERSION_NOT_FOUND`, and whatever keeps the hub from answering.
    pub async fn hf_tree(&self, repository: &str, revision: Option<&str>) -> Result<Vec<HubFile>, HubError> {
        self.inner.hugging_face.tree(repository, revision).await
    }

    /// The model that a reference leads to. Digests are looked up on CivitAI; Hugging Face has no such search.
    ///
    /// # Errors
    /// [`HubError::NotAHubReference`] for a name or a path; `MODEL_NOT_FOUND`, `VERSION_NOT_FOUND` or
    /// `FILE_NOT_FOUND` for what the hub does not have.
    pub async fn resolve(&self, reference: &ModelRef) -> Result<ResolvedModel, HubError> {
        match reference {
            ModelRef::Civitai { model, version } => self.inner.civitai.resolve_model(*model, *version).await,
            ModelRef::CivitaiVersion { version } => self.inner.civitai.resolve_version(*version).await,
            ModelRef::Digest(digest) => self.inner.civitai.resolve_digest(&digest.to_hex()).await,
            ModelRef::ShortDigest(digits) => self.inner.civitai.resolve_digest(digits).await,
            ModelRef::HuggingFace { repo, revision, path } => {
                self.inner.hugging_face.resolve(repo, revision.as_deref(), path.as_deref()).await
            }
            ModelRef::Path(_) | ModelRef::Local(_) | ModelRef::Name(_) => {
                Err(HubError::NotAHubReference { reference: reference.to_string() })
            }
        }
    }

    /// How the example images at `urls` of a version were made, as JSON by their addresses, as far as the hub says it.
    /// CivitAI's lists leave that out; a version's own page has it of up to ten images. Hugging Face has no such thing.
    ///
    /// # Errors
    /// `VERSION_NOT_FOUND`, and whatever keeps the hub from answering.
    pub async fn generation_data(
        &self,
        version: &ModelRef,
        urls: &[String],
    ) -> Result<HashMap<String, String>, HubError> {
        match version {
            ModelRef::Civitai { version: Some(version), .. } | ModelRef::CivitaiVersion { version } => {
                self.inner.civitai.generation_data(*version, urls).await
            }
            _ => Ok(HashMap::new()),
        }
    }

    /// The CivitAI files that have one of the digests, a hundred to a question, in the order of the digests. Digests that
    /// the hub does not know are missing; one that several versions have comes several times, oldest version first.
    ///
    /// # Errors
    /// Whatever keeps the hub from answering.
    pub async fn identify(&self, digests: &[Sha256]) -> Result<Vec<Identified>, HubError> {
        self.inner.civitai.identify(digests).await
    }

    /// The numbers of the CivitAI versions that have one of the digests, ten thousand to a question, in any order.
    ///
    /// # Errors
    /// Whatever keeps the hub from answering.
    pub async fn identify_ids(&self, digests: &[Sha256]) -> Result<Vec<IdentifiedNumbers>, HubError> {
        self.inner.civitai.identify_ids(digests).await
    }

    /// A CivitAI version that has a file with these tensors, by the twelve digits of AutoV3; the oldest, if several do.
    ///
    /// # Errors
    /// Whatever keeps the hub from answering.
    pub async fn identify_tensors(&self, auto_v3: &str) -> Result<Option<VersionNumbers>, HubError> {
        self.inner.civitai.identify_tensors(auto_v3).await
    }

    /// CivitAI's models by any of its filters, page by page as [`Self::list`] does; pages may be empty.
    pub fn civitai_models(&self, query: ModelQuery) -> BoxStream<'static, Result<Vec<HubModel>, HubError>> {
        civitai::models(Arc::clone(&self.inner), query)
    }

    /// Pictures posted on CivitAI with their generation data, page by page; pages may be empty.
    pub fn civitai_images(&self, query: ImageQuery) -> BoxStream<'static, Result<Vec<CivitaiImage>, HubError>> {
        civitai::images(Arc::clone(&self.inner), query)
    }

    /// CivitAI's creators whose name holds `query`; `page` counts from 1.
    ///
    /// # Errors
    /// Whatever keeps the hub from answering.
    pub async fn civitai_creators(
        &self,
        query: Option<&str>,
        page: u32,
    ) -> Result<NumberedPage<CivitaiCreator>, HubError> {
        self.inner.civitai.creators(query, page).await
    }

    /// CivitAI's tags whose name holds `query`; `page` counts from 1.
    ///
    /// # Errors
    /// Whatever keeps the hub from answering.
    pub async fn civitai_tags(&self, query: Option<&str>, page: u32) -> Result<NumberedPage<CivitaiTag>, HubError> {
        self.inner.civitai.tags(query, page).await
    }

    /// The words that CivitAI uses for kinds of models, files and base models today.
    ///
    /// # Errors
    /// Whatever keeps the hub from answering.
    pub async fn civitai_enums(&self) -> Result<CivitaiEnums, HubError> {
        self.inner.civitai.enums().await
    }

    /// Opens the bytes of a file at [`paintbox_domain::hub::HubFile::locator`].
    ///
    /// With `from`, asks for the rest of a file whose beginning is already here. That needs the validator of the
    /// answer the beginning came from; without one, or if the file has changed, [`Download::offset`] is 0.
    ///
    /// `size_hint` is what the file's length is thought to be, in bytes. If much is left to fetch by it and the server
    /// can serve parts, up to four connections bring pieces beside each other; the body has them in order all the same,
    /// and what has come in order is given before an error is told. Wrong hints cost nothing but a question.
    ///
    /// Hugging Face's large files come by Xet where it is offered and works, and by plain HTTP otherwise, at any byte.
    ///
    /// # Errors
    /// Everything a hub refuses a file for, `NOT_A_MODEL_FILE` for a page of text where weights should be, and
    /// `REDIRECT_REFUSED`. The body's own errors are [`HubError::Truncated`] and [`HubError::TimedOut`]; of a body in
    /// pieces also [`HubError::FileReplaced`] and whatever the hub refuses a piece for.
    pub async fn download(
        &self,
        hub: Hub,
        locator: &str,
        from: Option<ResumeFrom>,
        size_hint: Option<u64>,
    ) -> Result<Download, HubError> {
        match hub {
            Hub::Civitai => {
                let (transport, site) = self.at(hub);
                download::open(transport, site, locator, from, size_hint).await
            }
            Hub::HuggingFace => hugging_face::download(Arc::clone(&self.inner), locator, from, size_hint).await,
        }
    }

    /// The bytes of an example image, in the size that the hub keeps ready for lists; of a video, one still picture.
    /// `media` is what the hub says that `url` leads to.
    ///
    /// # Errors
    /// [`HubError::PreviewRefused`] for an address outside the hub, more than `max_bytes`, text, or a video of which the
    /// hub gives no still.
    pub async fn fetch_preview(
        &self,
        hub: Hub,
        url: &str,
        media: PreviewMedia,
        max_bytes: u64,
    ) -> Result<Vec<u8>, HubError> {
        let (transport, site) = self.at(hub);
        preview::fetch(transport, site, url, media, max_bytes).await
    }

    fn at(&self, hub: Hub) -> (&Transport, &Arc<site::Site>) {
        match hub {
            Hub::Civitai => self.inner.civitai.line(),
            Hub::HuggingFace => self.inner.hugging_face.line(),
        }
    }
}
