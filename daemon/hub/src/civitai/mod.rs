//! CivitAI's REST API: which address answers which question, and how its lists are read to the end.
//!
//! Wire facts: the site's own source (github civitai/civitai @ ebed661630d3, `src/pages/api/v1/**`) and the
//! developer documentation (github civitai/civitai-developer-docs @ 9382513060e5).

mod convert;
pub(crate) mod refusals;

use crate::error::{HubError, ServerWords};
use crate::json;
use crate::refusal::Asked;
use crate::site::Site;
use crate::transport::{JsonText, Transport};
use crate::{Inner, ResolvedModel};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use paintbox_domain::hub::HubModel;
use paintbox_domain::{Hub, Secret};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::sync::Arc;
use url::form_urlencoded;

/// The largest number that the API takes for a model (`src/pages/api/v1/models/[id].ts`).
const LARGEST_ID: u64 = i32::MAX as u64;

#[derive(Debug)]
pub(crate) struct Civitai {
    transport: Transport,
    site: Site,
}

impl Civitai {
    pub(crate) fn new(transport: Transport, site: Site) -> Self {
        Self { transport, site }
    }

    pub(crate) fn set_token(&self, token: Option<Secret>) {
        self.site.set_token(token);
    }

    pub(crate) fn line(&self) -> (&Transport, &Site) {
        (&self.transport, &self.site)
    }

    /// `/me` is the only address that refuses a bad token; everywhere else it silently counts as none.
    pub(crate) async fn account(&self) -> Result<String, HubError> {
        const PATH: &str = "/api/v1/me";
        if self.site.token().is_none() {
            let url = format!("{}{PATH}", self.site.endpoint_text());
            return Err(HubError::TokenRequired { hub: Hub::Civitai, url, said: ServerWords::default() });
        }
        let answer = self.transport.json(&self.site, PATH, &Asked::Account).await?;
        let account = parse(&answer)?;
        json::text(&account, "username").ok_or_else(|| unexpected(&answer, "an account without a name"))
    }

    pub(crate) async fn model(&self, external_id: &str) -> Result<HubModel, HubError> {
        let Some(id) = external_id.parse::<u64>().ok().filter(|id| (1..=LARGEST_ID).contains(id)) else {
            return Err(HubError::ModelNotFound {
                hub: Hub::Civitai,
                model: external_id.chars().take(100).collect(),
                may_be_private: false,
                said: ServerWords::default(),
            });
        };
        let asked = Asked::Model(external_id);
        let answer = self.transport.json(&self.site, &format!("/api/v1/models/{id}"), &asked).await?;
        let page = parse(&answer)?;
        convert::model(&page, answer.text.clone()).ok_or_else(|| unexpected(&answer, "a model without a number"))
    }

    pub(crate) async fn resolve_model(&self, id: u64, version: Option<u64>) -> Result<ResolvedModel, HubError> {
        let model = self.model(&id.to_string()).await?;
        let version = version.map(|version| version.to_string());
        if let Some(wanted) = &version
            && !model.versions.iter().any(|version| version.external_id == *wanted)
        {
            return Err(HubError::VersionNotFound {
                hub: Hub::Civitai,
                model: id.to_string(),
                version: wanted.clone(),
                said: ServerWords::default(),
            });
        }
        Ok(ResolvedModel { model, version, file: None })
    }

    pub(crate) async fn resolve_version(&self, version: u64) -> Result<ResolvedModel, HubError> {
        let number = version.to_string();
        let asked = Asked::Version { model: "any model", version: &number };
        let path = format!("/api/v1/model-versions/{version}");
        let answer = self.transport.json(&self.site, &path, &asked).await?;
        self.model_of_version(&answer).await
    }

    /// `digits` are hexadecimal: a SHA-256, or the short AutoV2 or AutoV3.
    pub(crate) async fn resolve_digest(&self, digits: &str) -> Result<ResolvedModel, HubError> {
        let path = format!("/api/v1/model-versions/by-hash/{}", digits.to_ascii_uppercase());
        let answer = self.transport.json(&self.site, &path, &Asked::Digest(digits)).await?;
        let mut resolved = self.model_of_version(&answer).await?;
        resolved.file = convert::file_with_digest(&parse(&answer)?, digits);
        Ok(resolved)
    }

    /// The model around a version's own page, with what only that page says added to it.
    async fn model_of_version(&self, answer: &JsonText) -> Result<ResolvedModel, HubError> {
        let page = parse(answer)?;
        let model = json::whole(&page, "modelId").ok_or_else(|| unexpected(answer, "a version without a model"))?;
        let version = convert::version(&page).ok_or_else(|| unexpected(answer, "a version without a number"))?;
        let mut model = self.model(&model.to_string()).await?;
        let version_id = version.external_id.clone();
        convert::add_version_page(&mut model, version);
        Ok(ResolvedModel { model, version: Some(version_id), file: None })
    }

    async fn page(&self, creator: &str, cursor: Option<&str>) -> Result<Page, HubError> {
        let path = list_path(creator, cursor);
        let answer = self.transport.json(&self.site, &path, &Asked::Creator(creator)).await?;
        let list: ModelList = serde_json::from_str(&answer.text).map_err(|source| malformed(&answer.from, source))?;
        let Some(items) = list.items else {
            return Err(unexpected(&answer, "a list without items"));
        };
        let mut models = Vec::with_capacity(items.len());
        for item in items {
            let value: Value = serde_json::from_str(item.get()).map_err(|source| malformed(&answer.from, source))?;
            match convert::model(&value, item.get().to_owned()) {
                Some(model) => models.push(model),
                // Nothing could ever refer to it, and one such item must not hide the rest.
                None => tracing::warn!(creator, "CivitAI listed a model without a number"),
            }
        }
        // The end is a cursor that is absent, not an empty page: filters run after the fetch.
        Ok(Page { models, next: list.metadata.as_ref().and_then(|metadata| json::text(metadata, "nextCursor")) })
    }
}

/// Without `nsfw=true` only models rated PG are listed. A cursor is good for one order only, so `sort` is said again
/// with it. `limit=100` is the most that the API gives.
fn list_path(creator: &str, cursor: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([("username", creator), ("nsfw", "true"), ("sort", "Newest"), ("limit", "100")]);
    query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
    format!("/api/v1/models?{}", query.finish())
}

/// The list as it is on the wire; items stay text so that they can be kept verbatim.
#[derive(serde::Deserialize)]
struct ModelList {
    #[serde(default)]
    items: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    metadata: Option<Value>,
}

struct Page {
    models: Vec<HubModel>,
    next: Option<String>,
}

/// Where a list stands between two pages.
struct Reading {
    inner: Arc<Inner>,
    creator: String,
    /// The cursor of the next page; the first page has none.
    next: Option<String>,
    seen: HashSet<String>,
    ended: bool,
}

pub(crate) fn models_of(inner: Arc<Inner>, creator: String) -> BoxStream<'static, Result<Vec<HubModel>, HubError>> {
    let reading = Reading { inner, creator, next: None, seen: HashSet::new(), ended: false };
    stream::try_unfold(reading, async |mut reading| {
        if reading.ended {
            return Ok(None);
        }
        let page = reading.inner.civitai.page(&reading.creator, reading.next.as_deref()).await?;
        if let Some(next) = &page.next
            && !reading.seen.insert(next.clone())
        {
            return Err(HubError::EndlessList {
                hub: Hub::Civitai,
                creator: reading.creator,
                repeated: format!("the cursor {}", next.chars().take(80).collect::<String>()),
            });
        }
        reading.ended = page.next.is_none();
        reading.next = page.next;
        Ok(Some((page.models, reading)))
    })
    .boxed()
}

fn parse(answer: &JsonText) -> Result<Value, HubError> {
    serde_json::from_str(&answer.text).map_err(|source| malformed(&answer.from, source))
}

fn malformed(url: &str, source: serde_json::Error) -> HubError {
    HubError::Malformed { hub: Hub::Civitai, url: url.to_owned(), source }
}

fn unexpected(answer: &JsonText, found: &'static str) -> HubError {
    HubError::UnexpectedAnswer { hub: Hub::Civitai, url: answer.from.clone(), found }
}
