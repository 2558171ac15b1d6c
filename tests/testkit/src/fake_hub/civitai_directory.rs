//! `GET /api/v1/creators`, `/users`, `/tags` and `/enums`: the site's directories.
//!
//! Behaviour: civitai/civitai at `ebed661630d3`, `src/pages/api/v1/{creators,users,tags,enums}.ts`.

use super::Shared;
use super::bytes::{Incoming, Reply};
use super::civitai_list::{MODEL_TYPES, next_page, read_limit, read_page};
use super::civitai_record::creator_of;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `GET /creators`: numbered pages only; the number of models is left out where it is 0.
pub(super) fn creators(shared: &Shared, request: &Incoming) -> Reply {
    let hub = shared.civitai();
    let mut counts: BTreeMap<&str, u64> = hub.creators.keys().map(|name| (name.as_str(), 0)).collect();
    for creator in hub.models.values().filter_map(creator_of) {
        if let Some(count) = counts.get_mut(creator) {
            *count += 1;
        }
    }
    let origin = request.own_origin();
    numbered(request, counts.into_iter(), |name, count| {
        let mut item =
            json!({"username": name, "link": format!("{origin}/api/v1/models?username={name}"), "image": null});
        if count > 0 {
            item["modelCount"] = json!(count);
        }
        item
    })
}

/// `GET /tags`: those that some model has.
pub(super) fn tags(shared: &Shared, request: &Incoming) -> Reply {
    let hub = shared.civitai();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let tags = hub.models.values().flat_map(|model| model["tags"].as_array().into_iter().flatten());
    for tag in tags.filter_map(Value::as_str) {
        *counts.entry(tag).or_default() += 1;
    }
    let origin = request.own_origin();
    numbered(
        request,
        counts.into_iter(),
        |name, count| json!({"name": name, "modelCount": count, "link": format!("{origin}/api/v1/models?tag={name}")}),
    )
}

/// `GET /users?ids=` or `?query=`: accounts by number or name.
pub(super) fn users(shared: &Shared, request: &Incoming) -> Reply {
    let hub = shared.civitai();
    let ids: Option<Vec<u64>> =
        request.parameter("ids").map(|ids| ids.split(',').filter_map(|id| id.trim().parse().ok()).collect());
    let query = request.parameter("query").map(|query| query.to_lowercase());
    let wanted = |name: &str, id: u64| {
        ids.as_ref().is_none_or(|ids| ids.contains(&id))
            && query.as_ref().is_none_or(|query| name.to_lowercase().contains(query))
    };
    let items: Vec<Value> = hub
        .creators
        .iter()
        .filter(|(name, id)| wanted(name, **id))
        .map(|(name, id)| json!({"id": id, "username": name, "avatarNsfw": "None"}))
        .collect();
    Reply::json(StatusCode::OK, &json!({ "items": items }))
}

/// `GET /enums`.
pub(super) fn enums() -> Reply {
    let base_models = ["SD 1.5", "SD 2.1", "SDXL 1.0", "Pony", "Illustrious", "Flux.1 D", "Qwen"];
    Reply::json(
        StatusCode::OK,
        &json!({
            "ModelType": MODEL_TYPES,
            "ModelFileType": ["Model", "Text Encoder", "Pruned Model", "Negative", "Training Data", "VAE", "Config"],
            "ActiveBaseModel": &base_models[2..],
            "BaseModel": base_models,
            "BaseModelType": ["Standard", "Inpainting", "Refiner", "Pix2Pix"],
        }),
    )
}

/// One page of names that hold `query`.
fn numbered<'a>(
    request: &Incoming,
    names: impl Iterator<Item = (&'a str, u64)>,
    item: impl Fn(&str, u64) -> Value,
) -> Reply {
    let read = read_limit(request, 1..=200, 20).and_then(|limit| Ok((limit, read_page(request, limit, false)?)));
    let (limit, page) = match read {
        Ok((limit, page)) => (limit, page.unwrap_or(1)),
        Err(refusal) => return *refusal,
    };
    let search = request.parameter("query").unwrap_or_default().to_lowercase();
    let found: Vec<(&str, u64)> = names.filter(|(name, _)| name.to_lowercase().contains(&search)).collect();
    let items: Vec<Value> =
        found.iter().skip((page - 1) * limit).take(limit).map(|(name, count)| item(name, *count)).collect();
    let pages = found.len().div_ceil(limit);
    let mut metadata = json!({"totalItems": found.len(), "currentPage": page, "pageSize": limit, "totalPages": pages});
    if page < pages {
        let link = next_page(request, &request.own_origin(), "page", &(page + 1).to_string());
        metadata["nextPage"] = json!(link);
    }
    Reply::json(StatusCode::OK, &json!({ "items": items, "metadata": metadata }))
}
