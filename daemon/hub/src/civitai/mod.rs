//! CivitAI's REST API: which address answers which question, and how its lists are read to the end.
//!
//! Wire facts: the site's own source (github civitai/civitai @ ebed661630d3, `src/pages/api/v1/**`) and the
//! developer documentation (github civitai/civitai-developer-docs @ 9382513060e5).

mod convert;
mod directory;
mod hashes;
mod images;
mod list;
mod look_up;
mod mark;
mod page;
mod query;
pub(crate) mod refusals;
mod sites;

pub use directory::{CivitaiCreator, CivitaiEnums, CivitaiTag, NumberedPage};
pub use hashes::{Identified, IdentifiedNumbers, VersionNumbers};
pub(crate) use images::images;
pub use images::{CivitaiImage, ImageQuery};
pub(crate) use list::{list, models};
pub use query::{ModelPeriod, ModelQuery, ModelSort};
pub(crate) use sites::Sites;

use crate::ResolvedModel;
use crate::error::{HubError, ServerWords};
use crate::json;
use crate::politeness::HubHealth;
use crate::refusal::Asked;
use crate::site::Site;
use crate::transport::{JsonText, Transport};
use paintbox_domain::hub::HubModel;
use paintbox_domain::{Classify, ErrorClass, Hub, Secret};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Civitai {
    transport: Transport,
    sites: Sites,
}

/// A page that was kept, read as it was when it came.
pub(crate) fn read_kept(page: &Value, raw: String) -> Option<HubModel> {
    convert::model(page, raw)
}

impl Civitai {
    pub(crate) fn new(transport: Transport, sites: Sites) -> Self {
        Self { transport, sites }
    }

    pub(crate) fn set_token(&self, token: Option<&Secret>) {
        self.sites.set_token(token);
    }

    pub(crate) fn health(&self) -> HubHealth {
        self.sites.health()
    }

    /// Where files come from.
    pub(crate) fn line(&self) -> (&Transport, &Arc<Site>) {
        (&self.transport, &self.sites.main)
    }

    pub(crate) async fn account(&self) -> Result<String, HubError> {
        self.account_at(&self.sites.main).await
    }

    /// `/me` is the only address that refuses a bad token; everywhere else it silently counts as none.
    async fn account_at(&self, site: &Site) -> Result<String, HubError> {
        const PATH: &str = "/api/v1/me";
        if site.token().is_none() {
            let url = format!("{}{PATH}", site.endpoint_text());
            return Err(HubError::TokenRequired { hub: Hub::Civitai, url, said: ServerWords::default() });
        }
        let answer = self.transport.json(site, PATH, &Asked::Account).await?;
        let account = parse(&answer)?;
        json::text(&account, "username").ok_or_else(|| unexpected(&answer, "an account without a name"))
    }

    /// Makes sure that a list of the account's own is not everybody's: with a bad token the site would list all it has.
    /// The main site knows accounts best; the site that lists has to know this one, too.
    async fn must_know_us(&self, mature: bool) -> Result<(), HubError> {
        self.account().await?;
        if let Some(site) = self.sites.mature.as_ref().filter(|_| mature) {
            self.account_at(site).await?;
        }
        Ok(())
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
        let answer = self.version_page(&format!("/api/v1/model-versions/{version}"), &asked).await?;
        self.model_of_version(&answer).await
    }

    /// The generation data of example images of a version, by address.
    pub(crate) async fn generation_data(
        &self,
        version: u64,
        urls: &[String],
    ) -> Result<HashMap<String, String>, HubError> {
        let number = version.to_string();
        let asked = Asked::Version { model: "any model", version: &number };
        let answer = self.version_page(&format!("/api/v1/model-versions/{version}"), &asked).await?;
        let page = convert::version(&parse(&answer)?);
        let page = page.ok_or_else(|| unexpected(&answer, "a version without a number"))?;
        Ok(convert::generation_data(&page, urls))
    }

    /// A version's page, from the mature site if the main one does not have it.
    async fn version_page(&self, path: &str, asked: &Asked<'_>) -> Result<JsonText, HubError> {
        match (self.transport.json(&self.sites.main, path, asked).await, &self.sites.mature) {
            (Err(error), Some(mature)) if error.class() == ErrorClass::NotFound => {
                self.transport.json(mature, path, asked).await
            }
            (answer, _) => answer,
        }
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
