//! hf-hub's client, kept to our rules: no environment, no token beyond the Hub, no retries but ours.

use super::refusals;
use crate::error::{HubError, ServerWords};
use crate::refusal::{Asked, Refusal};
use crate::retry;
use crate::site::{Site, shown};
use crate::transport::{Timeouts, bearer};
use futures::TryStreamExt;
use hf_hub::{HFClient, HFError};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use paintbox_domain::{Hub, Secret};
use serde_json::Value;
use std::collections::HashSet;
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

/// A repository in a creator's list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    /// What hf-hub understood of the entry, as JSON.
    pub(super) info: Value,
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
        let user = retry::patiently(self.timeouts.first_retry, || {
            let client = client.clone();
            async move { client.whoami().send().await.map_err(|error| self.read(site, error, &Asked::Account)) }
        })
        .await?;
        Ok(user.username)
    }

    /// Every repository of a creator, the one touched last first.
    ///
    /// The list is read whole before anything else is asked: hf-hub takes a thousand entries a page, and a list that
    /// is read slowly shifts under the reader.
    pub(super) async fn list(&self, site: &Site, creator: &str) -> Result<Vec<Listed>, HubError> {
        let client = self.client(site)?;
        let entries = retry::patiently(self.timeouts.first_retry, || {
            let client = client.clone();
            async move { self.list_once(&client, site, creator).await }
        })
        .await?;
        if entries.is_empty() {
            // A creator that does not exist has an empty list, too.
            retry::patiently(self.timeouts.first_retry, || {
                let client = client.clone();
                async move { self.must_exist(&client, site, creator).await }
            })
            .await?;
        }
        Ok(entries)
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

    async fn list_once(&self, client: &HFClient, site: &Site, creator: &str) -> Result<Vec<Listed>, HubError> {
        let asked = Asked::Creator(creator);
        let entries = client
            .list_models()
            .author(creator)
            .sort("lastModified")
            .full(true)
            .card_data(true)
            .send()
            .map_err(|error| self.read(site, error, &asked))?;
        let mut entries = std::pin::pin!(entries);
        let mut seen = HashSet::new();
        let mut listed = Vec::new();
        while let Some(info) = entries.try_next().await.map_err(|error| self.read(site, error, &asked))? {
            // hf-hub follows `next` wherever it leads, so a circle is noticed by what comes again.
            if !seen.insert(info.id.clone()) {
                return Err(HubError::EndlessList {
                    hub: Hub::HuggingFace,
                    creator: creator.to_owned(),
                    repeated: info.id,
                });
            }
            let id = info.id.clone();
            let info = serde_json::to_value(info).unwrap_or(Value::Null);
            listed.push(Listed { id, info });
        }
        Ok(listed)
    }

    /// People and organisations have separate addresses and one space of names.
    async fn must_exist(&self, client: &HFClient, site: &Site, creator: &str) -> Result<(), HubError> {
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
