//! Single models, from whichever of the two sites has them, and what became of models that a list no longer shows.

use super::page::Page;
use super::query::{MOST_PER_PAGE, ModelQuery};
use super::{Civitai, convert, parse, unexpected};
use crate::Presence;
use crate::error::{HubError, ServerWords};
use crate::refusal::Asked;
use crate::transport::Conditional;
use paintbox_domain::Hub;
use paintbox_domain::hub::HubModel;
use std::collections::HashMap;

/// The largest number that the API takes for a model (`src/pages/api/v1/models/[id].ts`).
const LARGEST_ID: u64 = i32::MAX as u64;

impl Civitai {
    pub(crate) async fn model(&self, external_id: &str) -> Result<HubModel, HubError> {
        self.model_on(external_id, false).await
    }

    async fn model_on(&self, external_id: &str, mature: bool) -> Result<HubModel, HubError> {
        let id = number(external_id).ok_or_else(|| HubError::ModelNotFound {
            hub: Hub::Civitai,
            model: external_id.chars().take(100).collect(),
            may_be_private: false,
            said: ServerWords::default(),
        })?;
        let Conditional::Changed(answer) = self.model_page(id, mature, None).await? else {
            let url = format!("{}/api/v1/models/{id}", self.sites.main.endpoint_text());
            return Err(HubError::UnexpectedAnswer {
                hub: Hub::Civitai,
                url,
                found: "“unchanged” where nothing is known",
            });
        };
        convert::model(&parse(&answer)?, answer.text.clone())
            .ok_or_else(|| unexpected(&answer, "a model without a number"))
    }

    /// A model's own page. It is missing only if every site that there is says so: if one says so and the other cannot be
    /// asked, that one's failure is the answer.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`, and whatever keeps a site from answering.
    pub(super) async fn model_page(
        &self,
        id: u64,
        mature: bool,
        validator: Option<&str>,
    ) -> Result<Conditional, HubError> {
        let path = format!("/api/v1/models/{id}");
        let id = id.to_string();
        let asked = Asked::Model(&id);
        let (first, second) = self.sites.look_ups(mature);
        let error = match self.transport.json_if_changed(first, &path, &asked, validator).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(second) = second else { return Err(error) };
        match self.transport.json_if_changed(second, &path, &asked, validator).await {
            Err(missing) if is_missing(&missing) => Err(error),
            Err(other) if is_missing(&error) => Err(other),
            Err(_) => Err(error),
            Ok(answer) => Ok(answer),
        }
    }

    /// A hundred at a time in lists, which is cheap, and then one by one those that no list shows: lists leave out what is
    /// not rated yet, or shows somebody real.
    pub(crate) async fn look_again(&self, external_ids: &[String], mature: bool) -> Result<Vec<Presence>, HubError> {
        let numbers: Vec<u64> = external_ids.iter().filter_map(|id| number(id)).collect();
        let mut listed: HashMap<String, HubModel> = HashMap::new();
        for ids in numbers.chunks(MOST_PER_PAGE as usize) {
            let found = self.listed_among(ids, mature).await?;
            listed.extend(found.into_iter().map(|model| (model.external_id.clone(), model)));
        }
        let mut found = Vec::with_capacity(external_ids.len());
        for external_id in external_ids {
            let model = match listed.remove(external_id) {
                Some(model) => Ok(model),
                None => self.model_on(external_id, mature).await,
            };
            found.push(match model {
                Ok(model) => Presence::Here(Box::new(model)),
                Err(error) if is_missing(&error) => Presence::Gone { external_id: external_id.clone() },
                Err(error) => return Err(error),
            });
        }
        Ok(found)
    }

    async fn listed_among(&self, ids: &[u64], mature: bool) -> Result<Vec<HubModel>, HubError> {
        let query = ModelQuery { ids: ids.to_vec(), nsfw: true, archived: true, ..ModelQuery::default() };
        let path = query.path(None);
        let (first, second) = self.sites.look_ups(mature);
        let asked = Asked::List;
        let answer = match (self.transport.json(first, &path, &asked).await, second) {
            (Err(error), Some(second)) => {
                tracing::warn!(%error, "one of CivitAI's sites cannot be asked; the other one is");
                self.transport.json(second, &path, &asked).await?
            }
            (answer, _) => answer?,
        };
        Ok(Page::read(&answer)?.models)
    }
}

fn number(external_id: &str) -> Option<u64> {
    external_id.parse().ok().filter(|id| (1..=LARGEST_ID).contains(id))
}

fn is_missing(error: &HubError) -> bool {
    matches!(error, HubError::ModelNotFound { .. })
}
