//! `GET /v1/models`: what is here to paint with (`types/model.py`).

use crate::compat::Compat;
use crate::compat::problem::Problem;
use paintbox_domain::{ErrorClass, Failure, reason};
use paintbox_generation::ModelHere;
use serde_json::{Value, json};

pub(super) async fn list(compat: &Compat) -> Result<Value, Problem> {
    let here = compat.generations.models_here().await?;
    Ok(json!({ "object": "list", "data": here.iter().map(model).collect::<Vec<_>>() }))
}

/// By its id, or by any other name that a request may call it by.
pub(super) async fn one(compat: &Compat, id: &str) -> Result<Value, Problem> {
    let found = compat.generations.find_model_here(id).await?;
    found.as_ref().map(model).ok_or_else(|| {
        let shown: String = id.chars().take(200).collect();
        let message = format!("no model that is here is called `{shown}`");
        Failure::new(ErrorClass::NotFound, reason::MODEL_NOT_FOUND, message).with("field", "model").into()
    })
}

/// The id is the title, which a person can read and which names it alone. What OpenAI has no word for stands beside.
fn model(model: &ModelHere) -> Value {
    json!({
        "id": model.title,
        "object": "model",
        "created": model.since.unix_ms().div_euclid(1000),
        "owned_by": "paintbox",
        "name": model.name,
        "reference": model.reference,
        "architecture": model.architecture.as_str(),
    })
}
