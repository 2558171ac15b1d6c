//! One page of CivitAI's model list.

use super::{convert, malformed, unexpected};
use crate::error::HubError;
use crate::json;
use crate::transport::JsonText;
use paintbox_domain::hub::HubModel;
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Debug)]
pub(super) struct Page {
    pub(super) models: Vec<HubModel>,
    /// The cursor of the next page. None is the end; an empty page is not, because filters run after the fetch.
    pub(super) next: Option<String>,
}

/// The list as it is on the wire; items stay text so that they can be kept verbatim.
#[derive(serde::Deserialize)]
struct Wire {
    #[serde(default)]
    items: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    metadata: Option<Value>,
}

impl Page {
    /// # Errors
    /// [`HubError::Malformed`] and [`HubError::UnexpectedAnswer`] for an answer that is no list.
    pub(super) fn read(answer: &JsonText) -> Result<Self, HubError> {
        let wire: Wire = serde_json::from_str(&answer.text).map_err(|source| malformed(&answer.from, source))?;
        let Some(items) = wire.items else {
            return Err(unexpected(answer, "a list without items"));
        };
        let mut models = Vec::with_capacity(items.len());
        for item in items {
            let value: Value = serde_json::from_str(item.get()).map_err(|source| malformed(&answer.from, source))?;
            match convert::model(&value, item.get().to_owned()) {
                Some(model) => models.push(model),
                // Nothing could ever refer to it, and one such item must not hide the rest.
                None => tracing::warn!(url = answer.from, "CivitAI listed a model without a number"),
            }
        }
        Ok(Self { models, next: wire.metadata.as_ref().and_then(|metadata| json::text(metadata, "nextCursor")) })
    }
}
