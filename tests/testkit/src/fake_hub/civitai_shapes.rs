//! One record, several shapes: each CivitAI endpoint leaves out, adds or renames something. The differences are the
//! traps that clients fall into, so they are kept.

use super::civitai_record::{LAST_VERSION_AT, OWNER, WITHHELD, is_published, published_at};
use serde_json::{Map, Value, json};

/// `/models/{id}` builds URLs from this whatever host it was asked under (civitai/civitai, `models/[id].ts`).
const FIXED_BASE: &str = "https://civitai.com";
/// What `POST by-hash` makes of a header that does not exist (`by-hash/index.ts`).
pub(super) const UNDEFINED_BASE: &str = "https://undefined";
/// Pictures on a version body.
const MOST_VERSION_IMAGES: usize = 10;
const PG: u64 = 1;

/// What a list request asked for that changes the shape of its items.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListShape<'a> {
    pub(super) origin: &'a str,
    pub(super) nsfw: bool,
    pub(super) primary_file_only: bool,
    pub(super) base_models: &'a [String],
}

/// An item of `GET /models`: null and `[]` stay, pictures have an id and no generation data.
pub(super) fn list_item(model: &Value, shape: &ListShape<'_>) -> Value {
    let mut item = public(model);
    let mode = text(model, "mode");
    if mode.is_none() {
        item.remove("mode");
    }
    let versions = model["modelVersions"].as_array().into_iter().flatten().filter(|version| is_published(version));
    let versions = versions.filter_map(|version| {
        let lists_files = mode.as_deref() == Some("Archived") || !is_empty(&version["files"]);
        let wanted =
            shape.base_models.is_empty() || shape.base_models.iter().any(|name| version["baseModel"] == **name);
        (lists_files && wanted).then(|| list_version(version, mode.as_deref(), shape))
    });
    item.insert("modelVersions".to_owned(), Value::Array(versions.collect()));
    Value::Object(item)
}

fn list_version(version: &Value, mode: Option<&str>, shape: &ListShape<'_>) -> Value {
    let mut version = with_files(version, mode, shape.origin);
    for key in ["status", "createdAt", "updatedAt", "usageControl"] {
        // Records of 2023 have `createdAt` in place of `publishedAt`.
        if key != "createdAt" || version.contains_key("publishedAt") {
            version.remove(key);
        }
    }
    for file in array_mut(&mut version, "files") {
        drop_false_primary(file);
    }
    if shape.primary_file_only && mode != Some("Archived") {
        keep_primary(&mut version);
    }
    if let Some(images) = version.get_mut("images").and_then(Value::as_array_mut) {
        images.retain(|image| shape.nsfw || image["nsfwLevel"].as_u64().is_none_or(|level| level & PG != 0));
        images.iter_mut().for_each(|image| remove(image, "meta"));
    }
    Value::Object(version)
}

/// The body of `GET /models/{id}`: keys that are null or empty are gone from versions, pictures have lost their id.
pub(super) fn by_id(model: &Value) -> Value {
    let mut body = public(model);
    let mode = text(model, "mode");
    if mode.is_none() {
        body.remove("mode");
    }
    let versions = model["modelVersions"].as_array().into_iter().flatten().filter(|version| is_published(version));
    let versions = versions.map(|version| {
        let mut version = with_files(version, mode.as_deref(), FIXED_BASE);
        version.remove("usageControl");
        version.remove("updatedAt");
        for file in array_mut(&mut version, "files") {
            drop_false_primary(file);
        }
        for image in array_mut(&mut version, "images") {
            remove(image, "id");
            remove(image, "meta");
        }
        if mode.as_deref() != Some("Archived") {
            let url = format!("{FIXED_BASE}/api/download/models/{}", version["id"]);
            version.insert("downloadUrl".to_owned(), Value::String(url));
        }
        version.retain(|_, value| !value.is_null() && !is_empty(value));
        Value::Object(version)
    });
    body.insert("modelVersions".to_owned(), Value::Array(versions.collect()));
    Value::Object(body)
}

/// The body of `GET /model-versions/{id}` and of by-hash: the only one with generation data and `usageControl`.
pub(super) fn version_body(model: &Value, version: &Value, origin: &str) -> Value {
    let mode = text(model, "mode");
    let mut body = with_files(version, mode.as_deref(), origin);
    for key in ["availability", "index", "supportsGeneration", "covered", "flags", "vaeId"] {
        body.remove(key);
    }
    for (key, value) in [
        ("modelId", model["id"].clone()),
        ("trainingStatus", Value::Null),
        ("trainingDetails", Value::Null),
        ("earlyAccessEndsAt", early_access_ends(version)),
        ("earlyAccessConfig", Value::Null),
        ("uploadType", json!("Created")),
        ("usageControl", json!("Download")),
        ("air", json!(air(model, version))),
        ("model", pick(model, &["name", "type", "nsfw", "poi", "mode"])),
    ] {
        body.entry(key.to_owned()).or_insert(value);
    }
    for file in array_mut(&mut body, "files") {
        if file.get("primary").is_none() {
            file["primary"] = Value::Bool(false);
        }
    }
    if let Some(images) = body.get_mut("images").and_then(Value::as_array_mut) {
        images.truncate(MOST_VERSION_IMAGES);
        images.iter_mut().for_each(|image| remove(image, "id"));
    }
    let id = &version["id"];
    body.insert("downloadUrl".to_owned(), json!(format!("{origin}/api/download/models/{id}")));
    Value::Object(body)
}

/// Adds what so many visits did to a model's counters.
pub(super) fn count_visits(model: &mut Value, visits: u64) {
    let add = |stats: &mut Value| {
        if let Some(downloads) = stats["downloadCount"].as_u64() {
            stats["downloadCount"] = json!(downloads + visits);
        }
    };
    add(&mut model["stats"]);
    for version in model["modelVersions"].as_array_mut().into_iter().flatten() {
        add(&mut version["stats"]);
    }
}

/// The record without what no endpoint shows, and without the versions, which each endpoint cuts in its own way.
fn public(model: &Value) -> Map<String, Value> {
    let members = model.as_object().into_iter().flatten().filter(|(key, _)| *key != "modelVersions");
    let mut model: Map<String, Value> = members.map(|(key, value)| (key.clone(), value.clone())).collect();
    for key in [LAST_VERSION_AT, WITHHELD, OWNER, "status", "createdAt"] {
        model.remove(key);
    }
    model
}

/// A version with files and URLs as its model's mode allows: archived shows no files, taken down no pictures.
fn with_files(version: &Value, mode: Option<&str>, base: &str) -> Map<String, Value> {
    let mut version = version.as_object().cloned().unwrap_or_default();
    let id = version["id"].clone();
    match mode {
        Some("Archived") => {
            version.insert("files".to_owned(), json!([]));
            version.remove("downloadUrl");
        }
        Some("TakenDown") => {
            version.insert("images".to_owned(), json!([]));
        }
        _ => {}
    }
    for file in array_mut(&mut version, "files") {
        file["downloadUrl"] = match file.get("downloadUrl").and_then(Value::as_str).and_then(path_of) {
            Some(path) => json!(format!("{base}{path}")),
            None => json!(format!("{base}/api/download/models/{id}{}", file_query(file))),
        };
    }
    let path = version.get("downloadUrl").and_then(Value::as_str).and_then(path_of).map(str::to_owned);
    if let Some(path) = path {
        version.insert("downloadUrl".to_owned(), json!(format!("{base}{path}")));
    }
    version
}

/// Nothing for the primary file, otherwise the metadata that tells it from its neighbours.
fn file_query(file: &Value) -> String {
    if file["primary"] == true {
        return String::new();
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("type", file["type"].as_str().unwrap_or("Model"));
    for key in ["format", "size", "fp", "quantType"] {
        if let Some(value) = file["metadata"][key].as_str() {
            query.append_pair(key, value);
        }
    }
    format!("?{}", query.finish())
}

fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').map(|at| &rest[at..])
}

fn early_access_ends(version: &Value) -> Value {
    if let Some(ends) = version.get("earlyAccessEndsAt") {
        return ends.clone();
    }
    version["paidAccess"]["endsAt"].clone()
}

fn air(model: &Value, version: &Value) -> String {
    let base_model = version["baseModel"].as_str().unwrap_or_default();
    let ecosystem = match base_model {
        name if name.starts_with("SD 1") => "sd1".to_owned(),
        name if name.starts_with("SD 2") => "sd2".to_owned(),
        name if name.starts_with("SDXL") || name == "Pony" || name == "Illustrious" => "sdxl".to_owned(),
        name if name.starts_with("Flux.1") => "flux1".to_owned(),
        name => name.split(' ').next().unwrap_or_default().to_ascii_lowercase(),
    };
    let kind = match model["type"].as_str().unwrap_or_default() {
        "Checkpoint" => "checkpoint",
        "TextualInversion" => "embedding",
        "LORA" => "lora",
        "LoCon" => "lycoris",
        "DoRA" => "dora",
        "VAE" => "vae",
        "Controlnet" => "controlnet",
        "Hypernetwork" => "hypernet",
        "AestheticGradient" => "ag",
        "Upscaler" => "upscaler",
        _ => "unknown",
    };
    format!("urn:air:{ecosystem}:{kind}:civitai:{}@{}", model["id"], version["id"])
}

/// The order in which by-hash looks at the versions that have a file: the oldest wins.
pub(super) fn oldest_first(a: &Value, b: &Value) -> std::cmp::Ordering {
    published_at(a).cmp(&published_at(b))
}

pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn pick(value: &Value, keys: &[&str]) -> Value {
    let found =
        keys.iter().filter_map(|key| Some(((*key).to_owned(), value.get(*key).filter(|v| !v.is_null())?.clone())));
    Value::Object(found.collect())
}

fn array_mut<'a>(object: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

fn remove(value: &mut Value, key: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(key);
    }
}

fn drop_false_primary(file: &mut Value) {
    if file["primary"] == false {
        remove(file, "primary");
    }
}

fn keep_primary(version: &mut Map<String, Value>) {
    if let Some(files) = version.get_mut("files").and_then(Value::as_array_mut) {
        let keep = files.iter().position(|file| file["primary"] == true).unwrap_or(0);
        *files = files.drain(..).skip(keep).take(1).collect();
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Value {
        json!({
            "id": 7, "name": "It", "type": "LORA", "nsfw": false, "poi": false, "mode": null, "withheldFromLists": false,
            "modelVersions": [{
                "id": 8, "baseModel": "SD 1.5", "createdAt": "2026-01-01T00:00:00Z", "status": "Published",
                "publishedAt": "2026-01-01T00:00:00Z", "usageControl": "Download", "description": null,
                "trainedWords": [], "availability": "Public",
                "files": [
                    {"id": 1, "type": "Model", "primary": true, "metadata": {"format": "SafeTensor"}},
                    {"id": 2, "type": "Training Data", "primary": false, "metadata": {"format": "Other", "fp": null}},
                ],
                "images": [{"id": 3, "nsfwLevel": 1, "meta": {"seed": 1}}, {"id": 4, "nsfwLevel": 8}],
            }, {"id": 9, "baseModel": "SD 1.5", "files": [], "images": []}],
        })
    }

    fn shape(nsfw: bool) -> ListShape<'static> {
        ListShape { origin: "http://here", nsfw, primary_file_only: false, base_models: &[] }
    }

    #[test]
    fn lists_keep_null_and_empty_and_drop_versions_without_files() {
        let item = list_item(&model(), &shape(true));
        let version = &item["modelVersions"][0];
        assert_eq!(item["modelVersions"].as_array().unwrap().len(), 1);
        assert!(version["description"].is_null() && version.get("description").is_some());
        assert_eq!(version["trainedWords"], json!([]));
        assert!(version.get("usageControl").is_none() && version.get("status").is_none());
        assert_eq!(version["files"][0]["downloadUrl"], "http://here/api/download/models/8");
        let second = "http://here/api/download/models/8?type=Training+Data&format=Other";
        assert_eq!(version["files"][1]["downloadUrl"], second);
        assert!(version["files"][1].get("primary").is_none());
        assert_eq!(version["images"][0]["id"], 3);
        assert!(version["images"][0].get("meta").is_none());
        assert!(item.get(WITHHELD).is_none());
    }

    #[test]
    fn lists_for_everyone_leave_out_pictures_that_are_not() {
        let item = list_item(&model(), &shape(false));
        assert_eq!(item["modelVersions"][0]["images"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn by_id_drops_empty_keys_and_names_a_host_of_its_own() {
        let body = by_id(&model());
        let version = &body["modelVersions"][0];
        assert!(version.get("description").is_none() && version.get("trainedWords").is_none());
        assert!(version["images"][0].get("id").is_none());
        assert_eq!(version["downloadUrl"], "https://civitai.com/api/download/models/8");
    }

    #[test]
    fn a_version_body_has_generation_data_and_says_what_it_may_be_used_for() {
        let model = model();
        let body = version_body(&model, &model["modelVersions"][0], "http://here");
        assert_eq!(body["usageControl"], "Download");
        assert_eq!(body["images"][0]["meta"]["seed"], 1);
        assert!(body.get("availability").is_none());
        assert_eq!(body["files"][1]["primary"], false);
        assert_eq!(body["air"], "urn:air:sd1:lora:civitai:7@8");
        assert_eq!((&body["modelId"], &body["model"]["name"]), (&json!(7), &json!("It")));
    }

    #[test]
    fn an_archived_model_shows_no_files_and_no_url() {
        let mut model = model();
        model["mode"] = json!("Archived");
        let version = &list_item(&model, &shape(true))["modelVersions"][0];
        assert_eq!(version["files"], json!([]));
        assert!(version.get("downloadUrl").is_none());
    }
}
