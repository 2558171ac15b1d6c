//! The CivitAI site: its routes, accounts, and the endpoints that answer with one thing.
//!
//! Behaviour: civitai/civitai at `ebed661630d3`, `src/pages/api/v1/**` and `src/server/utils/endpoint-helpers.ts`.

use super::bytes::{Incoming, Reply, decoded, unless_known};
use super::civitai_record::{Civitai, is_published, versions};
use super::civitai_shapes::{UNDEFINED_BASE, by_id, count_visits, oldest_first, text, version_body};
use super::faults::LOGIN_PAGE;
use super::{CIVITAI_TOKEN, Server, Shared, civitai_directory, civitai_download, civitai_list};
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

/// Most digests in one POST.
const MOST_HASHES: usize = 100;
const MOST_HASHES_FOR_IDS: usize = 10_000;
const LARGEST_ID: u64 = 2_147_483_647;

pub(super) fn answer(shared: &Shared, request: &Incoming) -> Reply {
    let path = request.path();
    let Some(api) = path.strip_prefix("/api/") else {
        return page(path);
    };
    if let Some(version) = api.strip_prefix("download/models/") {
        return civitai_download::answer_download(shared, request, version);
    }
    let segments: Vec<&str> = api.split('/').collect();
    let is_post =
        matches!(segments.as_slice(), ["v1", "model-versions", "by-hash"] | ["v1", "model-versions", "by-hash", "ids"]);
    let allowed = if is_post { Method::POST } else { Method::GET };
    if request.method == Method::OPTIONS {
        return Reply::text(StatusCode::OK, "");
    }
    if request.method != allowed && !(allowed == Method::GET && request.method == Method::HEAD) {
        return error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
    }
    if let Some(visits) = &mut shared.civitai().visits {
        *visits += 1;
    }
    let (is_mixed, reply) = match segments.as_slice() {
        ["v1", "models"] => (true, civitai_list::models(shared, request)),
        ["v1", "models", id] => (false, model(shared, request, id)),
        ["v1", "model-versions", "by-hash"] => (false, by_hashes(shared, request)),
        ["v1", "model-versions", "by-hash", "ids"] => (false, ids_by_hashes(shared, request)),
        ["v1", "model-versions", "by-hash", hash] => (false, by_hash(shared, request, hash)),
        ["v1", "model-versions", id] => (true, version(shared, request, id)),
        ["v1", "creators"] => (false, civitai_directory::creators(shared, request)),
        ["v1", "tags"] => (false, civitai_directory::tags(shared, request)),
        ["v1", "users"] => (false, civitai_directory::users(shared, request)),
        ["v1", "enums"] => (false, civitai_directory::enums()),
        ["v1", "images"] => (false, civitai_list::images(shared, request)),
        ["v1", "me"] => return me(request),
        _ => return Reply::html(StatusCode::NOT_FOUND, NOT_FOUND_PAGE),
    };
    let reply = if is_post { reply } else { labelled(request, reply) };
    let reply = reply.with(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    if is_mixed && may_see_account(request) {
        return reply;
    }
    reply.with(header::CACHE_CONTROL, "public, s-maxage=300, stale-while-revalidate=150")
}

/// With the `ETag` that the site's framework makes of every JSON body, and without the body if the caller has it (Next.js,
/// `packages/next/src/server/send-payload.ts`).
fn labelled(request: &Incoming, reply: Reply) -> Reply {
    if reply.status != StatusCode::OK {
        return reply;
    }
    let etag = format!("\"{}\"", &blake3::hash(&reply.body).to_hex()[..14]);
    unless_known(request, &etag, reply)
}

const NOT_FOUND_PAGE: &str =
    "<!DOCTYPE html><html lang=\"en\"><head><title>404</title></head><body><h1>404</h1></body></html>";
const MODEL_PAGE: &str = "<!DOCTYPE html><html lang=\"en\"><head><title>Model</title></head><body></body></html>";

/// What browsers see. Clients that look like one are sent here, and save it as a model.
fn page(path: &str) -> Reply {
    match path.split('/').nth(1) {
        Some("login") => Reply::html(StatusCode::OK, LOGIN_PAGE),
        Some("models" | "model-versions" | "user") => Reply::html(StatusCode::OK, MODEL_PAGE),
        _ => Reply::html(StatusCode::NOT_FOUND, NOT_FOUND_PAGE),
    }
}

/// `{"error": words}`.
pub(super) fn error(status: StatusCode, words: &str) -> Reply {
    Reply::json(status, &json!({ "error": words }))
}

/// The list endpoints' refusal of a parameter: an object, with JSON as text inside.
pub(super) fn zod(field: &str, words: &str) -> Reply {
    let issues = json!([{"code": "custom", "path": [field], "message": words}]);
    Reply::json(StatusCode::BAD_REQUEST, &json!({"error": {"name": "ZodError", "message": issues.to_string()}}))
}

/// The other endpoints' refusal of a parameter: text.
pub(super) fn prettified(field: &str, words: &str) -> Reply {
    error(StatusCode::BAD_REQUEST, &format!("✖ {words}\n  → at {field}"))
}

/// Whether the request carries the known token. The header wins; any other token makes the caller a stranger.
pub(super) fn may_see_account(request: &Incoming) -> bool {
    match request.bearer() {
        Some(token) => token == CIVITAI_TOKEN,
        None => request.parameter("token").is_some_and(|token| token == CIVITAI_TOKEN),
    }
}

fn me(request: &Incoming) -> Reply {
    if !may_see_account(request) {
        return error(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    Reply::json(
        StatusCode::OK,
        &json!({
            "id": 12345, "username": "you", "tier": "founder", "status": "active", "isMember": true,
            "subscriptions": ["monthly"],
        }),
    )
}

/// A path segment as an id, or the refusal.
fn read_id(segment: &str) -> Result<u64, Box<Reply>> {
    let words = "Invalid input: expected number, received NaN";
    let id: u64 = decoded(segment).trim().parse().map_err(|_| Box::new(prettified("id", words)))?;
    match id {
        0 => Err(Box::new(prettified("id", "Too small: expected number to be >=1"))),
        id if id > LARGEST_ID => {
            Err(Box::new(prettified("id", &format!("Too big: expected number to be <={LARGEST_ID}"))))
        }
        id => Ok(id),
    }
}

/// Whether a site shows a model to strangers at all.
pub(super) fn is_shown(hub: &Civitai, request: &Incoming, model: &Value) -> bool {
    let is_filtered = request.server == Server::CivitaiSite && hub.filter_mature_on_main;
    is_published(model) && !(is_filtered && civitai_list::level_of(model) & 0b11 == 0)
}

fn model(shared: &Shared, request: &Incoming, segment: &str) -> Reply {
    let id = match read_id(segment) {
        Ok(id) => id,
        Err(refusal) => return *refusal,
    };
    let hub = shared.civitai();
    match hub.model(id).filter(|model| is_shown(&hub, request, model)) {
        Some(model) => {
            let mut body = by_id(model);
            count_visits(&mut body, hub.visits.unwrap_or(0));
            Reply::json(StatusCode::OK, &body)
        }
        None => error(StatusCode::NOT_FOUND, &format!("No model with id {id}")),
    }
}

fn version(shared: &Shared, request: &Incoming, segment: &str) -> Reply {
    let id = match read_id(segment) {
        Ok(id) => id,
        Err(refusal) => return *refusal,
    };
    let hub = shared.civitai();
    // A version that nobody has rated yet has no level bit, so the query that asks for any bit does not find it.
    let found = hub.version(id).filter(|(model, version)| {
        version["nsfwLevel"] != 0 && is_published(version) && is_shown(&hub, request, model)
    });
    match found {
        Some((model, version)) => one_version(model, version, &request.own_origin()),
        None => error(StatusCode::NOT_FOUND, "Model not found"),
    }
}

fn one_version(model: &Value, version: &Value, origin: &str) -> Reply {
    let has_files = version["files"].as_array().is_some_and(|files| !files.is_empty());
    if !has_files && text(model, "mode").as_deref() != Some("Archived") {
        return error(StatusCode::NOT_FOUND, "Missing model file");
    }
    Reply::json(StatusCode::OK, &version_body(model, version, origin))
}

/// Versions with a file of this digest in any of its forms, oldest first.
fn find_by_hash<'a>(hub: &'a Civitai, hash: &str, forms: Option<&str>) -> Vec<(&'a Value, &'a Value)> {
    let mut found: Vec<(&Value, &Value)> = hub
        .models
        .values()
        .filter(|model| is_published(model))
        .flat_map(|model| versions(model).map(move |version| (model, version)))
        .filter(|(_, version)| is_published(version) && has_hash(version, hash, forms))
        .collect();
    found.sort_by(|(_, a), (_, b)| oldest_first(a, b));
    found
}

fn has_hash(version: &Value, hash: &str, form: Option<&str>) -> bool {
    version["files"].as_array().into_iter().flatten().any(|file| {
        file["hashes"].as_object().into_iter().flatten().any(|(name, value)| {
            form.is_none_or(|form| form == name) && value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(hash))
        })
    })
}

fn by_hash(shared: &Shared, request: &Incoming, hash: &str) -> Reply {
    match find_by_hash(&shared.civitai(), &decoded(hash), None).first() {
        Some((model, version)) => one_version(model, version, &request.own_origin()),
        None => error(StatusCode::NOT_FOUND, "Model not found"),
    }
}

/// The digests of a POST: a bare JSON array.
fn read_hashes(request: &Incoming, most: usize) -> Result<Vec<String>, Box<Reply>> {
    let refuse = |words: &str| {
        let words = format!("Request must include an array of SHA256 Hashes. {words}");
        Box::new(error(StatusCode::BAD_REQUEST, &words))
    };
    let body: Value = serde_json::from_slice(&request.body).map_err(|_| refuse("Invalid input: expected array"))?;
    let items = body.as_array().ok_or_else(|| refuse("Invalid input: expected array"))?;
    if items.len() > most {
        return Err(refuse("Too many hashes"));
    }
    let hashes: Option<Vec<String>> =
        items.iter().map(|item| item.as_str().filter(|hash| hash.len() == 64).map(str::to_ascii_uppercase)).collect();
    hashes.ok_or_else(|| refuse("Invalid hash"))
}

/// One entry per file found, not per hash asked: unknown hashes are missing, versions may come twice, and a version
/// without public files is `null`.
fn by_hashes(shared: &Shared, request: &Incoming) -> Reply {
    let hashes = match read_hashes(request, MOST_HASHES) {
        Ok(hashes) => hashes,
        Err(refusal) => return *refusal,
    };
    let hub = shared.civitai();
    let mut found: Vec<(&Value, &Value)> =
        hashes.iter().flat_map(|hash| find_by_hash(&hub, hash, Some("SHA256"))).collect();
    found.sort_by_key(|(_, version)| version["id"].as_u64());
    let bodies: Vec<Value> =
        found.into_iter().map(|(model, version)| version_body(model, version, UNDEFINED_BASE)).collect();
    Reply::json(StatusCode::OK, &Value::Array(bodies))
}

fn ids_by_hashes(shared: &Shared, request: &Incoming) -> Reply {
    let hashes = match read_hashes(request, MOST_HASHES_FOR_IDS) {
        Ok(hashes) => hashes,
        Err(refusal) => return *refusal,
    };
    let hub = shared.civitai();
    let mut found = Vec::new();
    for hash in &hashes {
        for (model, version) in find_by_hash(&hub, hash, Some("SHA256")) {
            found.push(json!({"modelVersionId": version["id"], "modelId": model["id"], "hash": hash}));
        }
    }
    Reply::json(StatusCode::OK, &Value::Array(found))
}
