//! What the two hubs say, and the bytes they hand out: CivitAI and Hugging Face behind one handle.
//!
//! This crate is the only one that speaks to the network outside. It answers in the words of
//! [`paintbox_domain::hub`] and decides nothing: which files are wanted, when to ask again and where bytes go is
//! the business of the sync crate.
//!
//! Three promises hold for every request:
//!
//! - A token goes to the hub's own origin and nowhere else; that is decided anew at every redirect.
//! - Hub data never widens what may be contacted: redirects are followed by hand, at most five, to an allow-list.
//! - Nothing is read from the environment, `.netrc` or system proxy settings; what is in [`HubConfig`] is all there is.

mod civitai;
mod download;
mod error;
mod hugging_face;
mod json;
mod preview;
mod refusal;
mod retry;
mod site;
mod transport;

#[cfg(test)]
mod tests;

pub use download::{Download, ResumeFrom};
pub use error::{HubError, ServerWords};

use futures::stream::BoxStream;
use paintbox_domain::follow::FollowTarget;
use paintbox_domain::hub::HubModel;
use paintbox_domain::{Hub, ModelRef, Secret};
use std::sync::Arc;
use transport::{Timeouts, Transport};
use url::Url;

/// Where the hubs are and who we are to them.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// `https://civitai.com`, or an `http` address on this machine.
    pub civitai_endpoint: Url,
    /// `https://huggingface.co`, or an `http` address on this machine.
    pub hf_endpoint: Url,
    pub civitai_token: Option<Secret>,
    pub hf_token: Option<Secret>,
    /// `name/version (+address)`. CivitAI answers a browser with login pages instead of errors, so a text that
    /// looks like a browser's is refused.
    pub user_agent: String,
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

    pub(crate) fn with_timeouts(config: HubConfig, timeouts: Timeouts) -> Result<Self, HubError> {
        let transport = Transport::new(&config.user_agent, timeouts)?;
        let civitai = site::Site::new(Hub::Civitai, config.civitai_endpoint, config.civitai_token)?;
        let hugging_face = site::Site::new(Hub::HuggingFace, config.hf_endpoint, config.hf_token)?;
        Ok(Self {
            inner: Arc::new(Inner {
                civitai: civitai::Civitai::new(transport.clone(), civitai),
                hugging_face: hugging_face::HuggingFace::new(transport, hugging_face, config.user_agent),
            }),
        })
    }

    /// Replaces the token of one hub; requests that are under way keep the one they started with.
    pub fn set_token(&self, hub: Hub, token: Option<Secret>) {
        match hub {
            Hub::Civitai => self.inner.civitai.set_token(token),
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

    /// Every model of a creator, newest activity first; one item is one page, which may be empty. After an error the
    /// stream ends: a page is retried, but never skipped, so an end without an error means that all was seen.
    ///
    /// CivitAI's pages are what it lists, so `usageControl` and the examples' generation data are missing in them.
    /// Hugging Face's models carry one version each: the present commit of the default branch with all its files.
    pub fn models_of(&self, target: &FollowTarget) -> BoxStream<'static, Result<Vec<HubModel>, HubError>> {
        let inner = Arc::clone(&self.inner);
        match target.hub {
            Hub::Civitai => civitai::models_of(inner, target.creator.clone()),
            Hub::HuggingFace => hugging_face::models_of(inner, target.creator.clone()),
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
            ModelRef::Path(_) | ModelRef::Name(_) => {
                Err(HubError::NotAHubReference { reference: reference.to_string() })
            }
        }
    }

    /// Opens the bytes of a file at [`paintbox_domain::hub::HubFile::locator`].
    ///
    /// With `from`, asks for the rest of a file whose beginning is already here. That needs the validator of the
    /// answer the beginning came from; without one, or if the file has changed, [`Download::offset`] is 0.
    ///
    /// # Errors
    /// Everything a hub refuses a file for, `NOT_A_MODEL_FILE` for a page of text where weights should be, and
    /// `REDIRECT_REFUSED`. The body's own errors are [`HubError::Truncated`] and [`HubError::TimedOut`].
    pub async fn download(&self, hub: Hub, locator: &str, from: Option<ResumeFrom>) -> Result<Download, HubError> {
        let (transport, site) = self.at(hub);
        download::open(transport, site, locator, from).await
    }

    /// The bytes of an example image, in the size that the hub keeps ready for lists; of a video, one still picture.
    ///
    /// # Errors
    /// [`HubError::PreviewRefused`] for an address outside the hub, more than `max_bytes`, or text.
    pub async fn fetch_preview(&self, hub: Hub, url: &str, max_bytes: u64) -> Result<Vec<u8>, HubError> {
        let (transport, site) = self.at(hub);
        preview::fetch(transport, site, url, max_bytes).await
    }

    fn at(&self, hub: Hub) -> (&Transport, &site::Site) {
        match hub {
            Hub::Civitai => self.inner.civitai.line(),
            Hub::HuggingFace => self.inner.hugging_face.line(),
        }
    }
}
