//! hf-hub's client, kept to our rules: no environment, no token beyond the Hub, no retries but ours.

use super::{HfQuery, refusals};
use crate::error::{HubError, ServerWords};
use crate::politeness::{Kind, Outcome};
use crate::refusal::{Asked, Refusal};
use crate::retry;
use crate::site::{Site, shown};
use crate::transport::{Timeouts, bearer};
use futures::TryStreamExt;
use hf_hub::repository::{GitCommitInfo, GitRefs, ModelInfo};
use hf_hub::{HFClient, HFError, split_id};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use paintbox_domain::{Hub, Secret};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use url::Url;

#[derive(Debug)]
pub(super) struct Library {
    user_agent: String,
    timeouts: Timeouts,
    /// Made at the first use and again after the token changes.
    client: Mutex<Option<HFClient>>,
}

impl Library {
    pub(super) fn new(user_agent: String, timeouts: Timeouts) -> Self {
        Self { user_agent, timeouts, client: Mutex::new(None) }
    }

    pub(super) fn forget(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) async fn account(&self, site: &Site) -> Result<String, HubError> {
        let client = self.client(site)?;
        let user = self
            .politely(site, || {
                let client = client.clone();
                async move { client.whoami().send().await.map_err(|error| self.read(site, error, &Asked::Account)) }
            })
            .await?;
        Ok(user.username)
    }

    /// A call of hf-hub's client, as patient as our own and under the same limits.
    async fn politely<T, F>(&self, site: &Site, ask: impl Fn() -> F) -> Result<T, HubError>
    where
        F: Future<Output = Result<T, HubError>>,
    {
        let pass = site.gate.enter(Kind::Question)?;
        retry::patiently(self.timeouts.first_retry, || async {
            let _slot = pass.slot().await?;
            let answer = ask().await;
            pass.came_to(Outcome::of(&answer));
            answer
        })
        .await
    }

    /// People and organisations have separate addresses and one space of names.
    ///
    /// # Errors
    /// [`HubError::CreatorNotFound`] if it is neither, and whatever keeps the Hub from answering.
    pub(super) async fn must_exist(&self, site: &Site, creator: &str) -> Result<(), HubError> {
        let client = self.client(site)?;
        self.politely(site, || {
            let client = client.clone();
            async move { self.must_exist_once(&client, site, creator).await }
        })
        .await
    }

    /// What the Hub lists for `query`, in the order in which it lists it, as hf-hub understands it.
    pub(super) async fn search(&self, site: &Site, query: &HfQuery) -> Result<Vec<ModelInfo>, HubError> {
        let client = self.client(site)?;
        let asked = Asked::Creator(query.author.as_deref().unwrap_or_default());
        self.politely(site, || async {
            let found = client
                .list_models()
                .maybe_author(query.author.clone())
                .maybe_search(query.search.clone())
                .maybe_pipeline_tag(query.pipeline_tag.clone())
                .maybe_filter(query.library.clone())
                .full(true)
                .card_data(true)
                .limit(query.limit)
                .send()
                .map_err(|error| self.read(site, error, &asked))?;
            found.map_err(|error| self.read(site, error, &asked)).try_collect().await
        })
        .await
    }

    pub(super) async fn refs(&self, site: &Site, repository: &str) -> Result<GitRefs, HubError> {
        let client = self.client(site)?;
        let (owner, name) = split_id(repository);
        self.politely(site, || async {
            let refs = client.model(owner, name).list_refs().send().await;
            refs.map_err(|error| self.read(site, error, &Asked::Model(repository)))
        })
        .await
    }

    /// At most `limit` commits up to `revision`, newest first.
    pub(super) async fn commits(
        &self,
        site: &Site,
        repository: &str,
        revision: &str,
        limit: usize,
    ) -> Result<Vec<GitCommitInfo>, HubError> {
        let client = self.client(site)?;
        let (owner, name) = split_id(repository);
        let asked = Asked::Version { model: repository, version: revision };
        self.politely(site, || async {
            let repository = client.model(owner, name);
            let commits = repository.list_commits().revision(revision).limit(limit).send();
            let commits = commits.map_err(|error| self.read(site, error, &asked))?;
            commits.map_err(|error| self.read(site, error, &asked)).try_collect().await
        })
        .await
    }

    fn client(&self, site: &Site) -> Result<HFClient, HubError> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*kept {
            return Ok(client.clone());
        }
        let client = self.make(site)?;
        *kept = Some(client.clone());
        Ok(client)
    }

    fn make(&self, site: &Site) -> Result<HFClient, HubError> {
        let endpoint: Url = site.url("/")?;
        let home = endpoint.origin();
        let mut headers = HeaderMap::new();
        if let Some(token) = site.token() {
            headers.insert(AUTHORIZATION, bearer(&token)?);
        }
        let http = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .default_headers(headers)
            .referer(false)
            .no_proxy()
            .connect_timeout(self.timeouts.connect)
            .read_timeout(self.timeouts.answer)
            // Renamed repositories redirect within the Hub; metadata has no business anywhere else.
            .redirect(reqwest::redirect::Policy::custom(move |attempt| {
                if attempt.previous().len() > 5 || attempt.url().origin() != home {
                    attempt.stop()
                } else {
                    attempt.follow()
                }
            }))
            .build()
            .map_err(|source| HubError::ClientUnusable { hub: Hub::HuggingFace, source })?;
        HFClient::builder()
            .client(http)
            .endpoint(site.endpoint_text())
            .user_agent(&self.user_agent)
            .cache_enabled(false)
            // Every option that is left out is looked up in the environment or the home directory, so none is. The
            // token travels in our own client's headers, where it is marked sensitive; the one given here cannot be
            // written into a header, which makes hf-hub send none of its own.
            .cache_dir("")
            .token("\n")
            .retry_max_attempts(0)
            .retry_base_delay(Duration::ZERO)
            .build()
            .map_err(|source| HubError::HuggingFaceClientUnusable {
                endpoint: shown(&endpoint),
                source: Box::new(source),
            })
    }

    async fn must_exist_once(&self, client: &HFClient, site: &Site, creator: &str) -> Result<(), HubError> {
        let is_missing = |error: &HFError| matches!(error, HFError::Http { context } if context.status.as_u16() == 404);
        let asked = Asked::Creator(creator);
        match client.user_overview().username(creator).send().await {
            Ok(_) => return Ok(()),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(self.read(site, error, &asked)),
        }
        match client.organization_overview().organization(creator).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.read(site, error, &asked)),
        }
    }

    /// hf-hub's error in our words. Its own texts hold whole addresses, so they are not passed on.
    fn read(&self, site: &Site, error: HFError, asked: &Asked<'_>) -> HubError {
        let hub = Hub::HuggingFace;
        let place = |url: Option<String>| {
            url.and_then(|url| Url::parse(&url).ok()).map_or_else(|| site.endpoint_text().to_owned(), |url| shown(&url))
        };
        let retry_after = match &error {
            HFError::RateLimited { retry_after, .. } => *retry_after,
            _ => None,
        };
        match error {
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::Conflict { context }
            | HFError::RateLimited { context, .. }
            | HFError::RepoNotFound { context: Some(context), .. }
            | HFError::RevisionNotFound { context: Some(context), .. }
            | HFError::EntryNotFound { context: Some(context), .. } => {
                let url = Url::parse(&context.url).ok();
                let token = site.token();
                let mut refusal = Refusal::new(
                    hub,
                    url.as_ref().map_or_else(|| site.endpoint_text().to_owned(), shown),
                    url.as_ref().is_none_or(|url| site.is_own_origin(url)),
                    token.as_ref(),
                    context.status.as_u16(),
                    &HeaderMap::new(),
                    context.body.as_bytes(),
                );
                refusal.code = context.error_code;
                refusal.retry_after = retry_after;
                if let Some(words) = context.server_message {
                    refusal.said = ServerWords::new(&words, token.as_ref().map(Secret::expose));
                }
                refusals::redirected_or(refusal, asked)
            }
            HFError::Request { source, url } if source.is_timeout() => {
                HubError::TimedOut { hub, url: place(url), awaited: "an answer", after: self.timeouts.answer }
            }
            HFError::Request { source, url } if source.is_decode() => {
                drop(source);
                HubError::UnexpectedAnswer { hub, url: place(url), found: "JSON that hf-hub cannot read" }
            }
            HFError::Request { source, url } => {
                HubError::Unreachable { hub, url: place(url), source: source.without_url() }
            }
            HFError::Json(source) => HubError::Malformed { hub, url: place(None), source },
            HFError::MalformedResponse { url, .. } => {
                HubError::UnexpectedAnswer { hub, url: place(url), found: "an answer that lacks what hf-hub needs" }
            }
            // What is left concerns caches, uploads and Xet, none of which is used here.
            _ => HubError::UnexpectedAnswer { hub, url: place(None), found: "something that hf-hub has no name for" },
        }
    }
}
