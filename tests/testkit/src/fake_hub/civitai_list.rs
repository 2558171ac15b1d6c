//! `GET /api/v1/models` and `/images`: parameters, filters and paging with the server's own refusals.
//!
//! Behaviour: civitai/civitai at `ebed661630d3`, `src/server/schema/model.schema.ts`,
//! `src/server/utils/pagination-helpers.ts` and `src/pages/api/v1/{models/index,images/index}.ts`.

use super::Shared;
use super::bytes::{Incoming, Reply};
use super::civitai::{error, is_shown, may_see_account, zod};
use super::civitai_record::{
    Civitai, CollectionFilter, LAST_VERSION_AT, OWNER, WITHHELD, creator_of, is_published, published_at, versions,
};
use super::civitai_shapes::{ListShape, count_visits, list_item};
use super::paging::{Direction, SortKey, compare, cursor_text, parse_cursor};
use http::StatusCode;
use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

pub(super) const MODEL_TYPES: &[&str] = &[
    "Checkpoint",
    "TextualInversion",
    "Hypernetwork",
    "AestheticGradient",
    "LORA",
    "LoCon",
    "DoRA",
    "Controlnet",
    "Upscaler",
    "MotionModule",
    "VAE",
    "TextEncoder",
    "UNet",
    "CLIPVision",
    "Poses",
    "Wildcards",
    "Workflows",
    "ComfyWorkflows",
    "Detection",
    "VisionLanguage",
    "CLIP",
    "LLM",
    "Other",
];
const SORTS: &[&str] = &[
    "Highest Rated",
    "Most Downloaded",
    "Most Liked",
    "Most Discussed",
    "Most Collected",
    "Most Images",
    "Newest",
    "Oldest",
];
const PERIODS: &[(&str, i64)] = &[("AllTime", 0), ("Year", 365), ("Month", 30), ("Week", 7), ("Day", 1)];
/// `page × limit` beyond this is refused.
const MOST_PAGED_ITEMS: usize = 1000;

pub(super) fn models(shared: &Shared, request: &Incoming) -> Reply {
    let hub = shared.civitai();
    let mut query = match Query::read(&hub, request) {
        Ok(query) => query,
        Err(refusal) => return *refusal,
    };
    for key in ["favorites", "hidden"] {
        if request.parameter(key).is_some() && !may_see_account(request) {
            return error(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
    }
    if let Some(name) = &query.username {
        let Some(creator) = hub.creators.keys().find(|creator| slug(creator) == *name) else {
            return Reply::json(StatusCode::NOT_FOUND, &json!({ "message": "User not found" }));
        };
        query.username = Some(creator.clone());
    }
    match page_of_models(&hub, &query, request) {
        Ok(page) => Reply::json(StatusCode::OK, &page),
        Err(refusal) => *refusal,
    }
}

/// Parameters of a list request, as the schema reads them.
#[derive(Debug)]
struct Query {
    limit: usize,
    page: Option<usize>,
    cursor: Option<String>,
    /// In lower case.
    search: Option<String>,
    /// Slugged, and then as the account writes it.
    username: Option<String>,
    types: Vec<String>,
    base_models: Vec<String>,
    ids: Option<Vec<u64>>,
    version_ids: Option<Vec<u64>>,
    sort: String,
    published_after: Option<Timestamp>,
    nsfw: bool,
    archived: bool,
    primary_file_only: bool,
    tag: Option<String>,
    /// Only models of the accounts that the caller follows.
    followed: bool,
    /// Only these models.
    collected: Option<BTreeSet<u64>>,
}

impl Query {
    fn read(hub: &Civitai, request: &Incoming) -> Result<Self, Box<Reply>> {
        let limit = read_limit(request, 0..=100, 100)?;
        let search = request.parameter("query").filter(|text| !text.is_empty());
        let page = read_page(request, limit, search.is_some())?;
        let types = request.parameters("types");
        for kind in &types {
            one_of("types", kind, MODEL_TYPES)?;
        }
        let sort = request.parameter("sort").unwrap_or_else(|| "Highest Rated".to_owned());
        one_of("sort", &sort, SORTS)?;
        let period = request.parameter("period").unwrap_or_else(|| "AllTime".to_owned());
        let names: Vec<&str> = PERIODS.iter().map(|(name, _)| *name).collect();
        one_of("period", &period, &names)?;
        let days = PERIODS.iter().find(|(name, _)| *name == period).map_or(0, |(_, days)| *days);
        let now = hub.now();
        // A stranger has nobody to follow: the filter is then not there, and the whole site is listed.
        let followed = is_on(request, "followed") && may_see_account(request);
        if let Some(status) = hub.followed_refusal.filter(|_| request.parameter("followed").is_some()) {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            return Err(Box::new(error(status, "The list of followed creators is not for the API")));
        }
        Ok(Self {
            limit,
            page,
            cursor: request.parameter("cursor").filter(|text| !text.is_empty()),
            search: search.map(|words| words.to_lowercase()),
            username: request.parameter("username").map(|name| slug(&name)),
            types,
            base_models: request.parameters("baseModels"),
            ids: numbers(request, "ids"),
            version_ids: numbers(request, "modelVersionIds"),
            sort,
            published_after: (days > 0).then(|| now.checked_sub((days * 24).hours()).unwrap_or(now)),
            nsfw: request.parameter("nsfw").is_some_and(|value| value == "true" || value == "1"),
            archived: coerced(request, "archived"),
            primary_file_only: coerced(request, "primaryFileOnly"),
            tag: request.parameter("tag"),
            followed,
            collected: collected(hub, request)?,
        })
    }

    /// What the database itself filters by; the rest is taken away after the page was cut. What tells most apart, and what
    /// costs least, is asked first: there may be thousands of models.
    fn matches(&self, hub: &Civitai, request: &Incoming, id: u64, model: &Value) -> bool {
        let is_tagged = |tag: &String| model["tags"].as_array().into_iter().flatten().any(|found| tag == found);
        let has_words = |words: &String| model["name"].as_str().unwrap_or_default().to_lowercase().contains(words);
        self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
            && (!self.followed || model[OWNER].as_u64().is_some_and(|owner| hub.followed.contains(&owner)))
            && self.collected.as_ref().is_none_or(|models| models.contains(&id))
            && (self.types.is_empty() || self.types.iter().any(|kind| model["type"] == **kind))
            && self.tag.as_ref().is_none_or(is_tagged)
            && self.search.as_ref().is_none_or(has_words)
            && (self.base_models.is_empty()
                || versions(model).any(|version| self.base_models.iter().any(|name| version["baseModel"] == **name)))
            && self.version_ids.as_ref().is_none_or(|ids| {
                versions(model).any(|version| version["id"].as_u64().is_some_and(|id| ids.contains(&id)))
            })
            && (self.archived || model["mode"] != "Archived")
            && model["poi"] != true
            && self.allows_level(level_of(model))
            && is_shown(hub, request, model)
            && self.published_after.is_none_or(|after| last_version_at(model).is_some_and(|time| time >= after))
    }

    /// What nobody has rated yet is listed nowhere.
    fn allows_level(&self, level: u64) -> bool {
        level != 0 && (self.nsfw || level & 1 != 0)
    }

    fn direction(&self) -> Direction {
        if self.sort == "Oldest" { Direction::Ascending } else { Direction::Descending }
    }

    fn key(&self, model: &Value) -> SortKey {
        let stat = |name: &str| Some(model["stats"][name].as_i64().unwrap_or_default());
        let id = model["id"].as_i64();
        match self.sort.as_str() {
            "Newest" | "Oldest" => vec![last_version_at(model).map(Timestamp::as_millisecond), id],
            "Most Downloaded" => vec![stat("downloadCount"), stat("thumbsUpCount"), id],
            "Most Discussed" => vec![stat("commentCount"), stat("thumbsUpCount"), id],
            _ => vec![stat("thumbsUpCount"), stat("downloadCount"), id],
        }
    }
}

fn page_of_models(hub: &Civitai, query: &Query, request: &Incoming) -> Result<Value, Box<Reply>> {
    let mut found: Vec<(SortKey, &Value)> = hub
        .models_of(query.username.as_deref())
        .filter(|(id, model)| query.matches(hub, request, *id, model))
        .map(|(_, model)| (query.key(model), model))
        .collect();
    let direction = query.direction();
    found.sort_by(|(a, _), (b, _)| compare(a, b, direction));
    let size = hub.most_items_per_page.map_or(query.limit, |most| most.min(query.limit));
    let start = match (&query.cursor, query.page) {
        (Some(cursor), _) if query.search.is_some() => cursor.parse().map_err(|_| bad_request("Invalid cursor"))?,
        (Some(cursor), _) => {
            let arity = if matches!(query.sort.as_str(), "Newest" | "Oldest") { 2 } else { 3 };
            let from = parse_cursor(cursor, arity).map_err(|words| bad_request(&words))?;
            found.iter().position(|(key, _)| compare(key, &from, direction).is_ge()).unwrap_or(found.len())
        }
        (None, Some(page)) => (page - 1) * size,
        (None, None) => 0,
    };
    let origin = request.own_origin();
    let shape = ListShape {
        origin: &origin,
        nsfw: query.nsfw,
        primary_file_only: query.primary_file_only,
        base_models: &query.base_models,
    };
    let items: Vec<Value> = found
        .iter()
        .skip(start)
        .take(size)
        .filter(|(_, model)| model[WITHHELD] != true)
        .map(|(_, model)| {
            let mut item = list_item(model, &shape);
            count_visits(&mut item, hub.visits.unwrap_or(0));
            item
        })
        .collect();
    let mut metadata = Map::new();
    let next = found.get(start.saturating_add(size)).filter(|_| size > 0);
    if let Some(page) = query.page.filter(|_| query.cursor.is_none()) {
        metadata.insert("currentPage".to_owned(), json!(page));
        metadata.insert("pageSize".to_owned(), json!(query.limit));
        if next.is_some() {
            let link = next_page(request, &origin, "page", &(page + 1).to_string());
            metadata.insert("nextPage".to_owned(), json!(link));
        }
    } else if let Some((key, _)) = next {
        // A text search counts items, and its cursor is a JSON number; the others are texts.
        let (cursor, written) = match query.search {
            Some(_) => (json!(start + size), (start + size).to_string()),
            None => (json!(cursor_text(key)), cursor_text(key)),
        };
        metadata.insert("nextCursor".to_owned(), cursor);
        metadata.insert("nextPage".to_owned(), json!(next_page(request, &origin, "cursor", &written)));
    }
    Ok(json!({ "items": items, "metadata": metadata }))
}

/// `GET /images`: generation data only when asked for.
pub(super) fn images(shared: &Shared, request: &Incoming) -> Reply {
    let hub = shared.civitai();
    let limit = match read_limit(request, 0..=200, 50) {
        Ok(limit) => limit,
        Err(refusal) => return *refusal,
    };
    let wanted =
        |value: &Value, name: &str| request.parameter(name).is_none_or(|asked| value.as_u64() == asked.parse().ok());
    let nsfw = request.parameter("nsfw").is_some_and(|value| value != "false" && value != "None");
    let with_meta = coerced(request, "withMeta");
    let mut found = Vec::new();
    for model in hub.models.values().filter(|model| is_shown(&hub, request, model)) {
        let by = creator_of(model).map(str::to_owned);
        if !wanted(&model["id"], "modelId") || request.parameter("username").is_some_and(|name| Some(name) != by) {
            continue;
        }
        for version in
            versions(model).filter(|version| is_published(version) && wanted(&version["id"], "modelVersionId"))
        {
            for image in version["images"].as_array().into_iter().flatten() {
                let level = image["nsfwLevel"].as_u64().unwrap_or(1);
                if (nsfw || level & 1 != 0) && wanted(&image["id"], "imageId") {
                    found.push(image_item(image, version, by.as_deref(), with_meta, level));
                }
            }
        }
    }
    let start = match request.parameter("cursor").map(|cursor| cursor.parse::<usize>()) {
        Some(Ok(start)) => start,
        Some(Err(_)) => return *bad_request("Invalid cursor"),
        None => 0,
    };
    let mut metadata = Map::new();
    let end = start.saturating_add(limit);
    if end < found.len() && limit > 0 {
        let link = next_page(request, &request.own_origin(), "cursor", &end.to_string());
        metadata.insert("nextCursor".to_owned(), json!(end));
        metadata.insert("nextPage".to_owned(), json!(link));
    }
    let items: Vec<Value> = found.into_iter().skip(start).take(limit).collect();
    Reply::json(StatusCode::OK, &json!({ "items": items, "metadata": metadata }))
}

fn image_item(image: &Value, version: &Value, username: Option<&str>, with_meta: bool, level: u64) -> Value {
    let word = ["None", "None", "Soft", "Soft", "Mature"].get(usize::try_from(level).unwrap_or(9)).unwrap_or(&"X");
    json!({
        "id": image["id"], "url": image["url"], "hash": image["hash"], "width": image["width"],
        "height": image["height"], "type": image["type"], "nsfw": level > 1, "nsfwLevel": word,
        "browsingLevel": level, "createdAt": published_at(version).map(|time| time.to_string()), "postId": null,
        "username": username, "baseModel": version["baseModel"], "modelVersionIds": [version["id"]],
        "stats": {"cryCount": 0, "laughCount": 0, "likeCount": 0, "dislikeCount": 0, "heartCount": 0, "commentCount": 0},
        "meta": if with_meta { image["meta"].clone() } else { Value::Null },
    })
}

/// The first space becomes `_`, everything else outside letters, digits and `_` goes, case is lost
/// (`src/utils/string-helpers.ts`).
pub(super) fn slug(username: &str) -> String {
    let name = username.trim().replacen(' ', "_", 1);
    name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>().to_ascii_lowercase()
}

fn last_version_at(model: &Value) -> Option<Timestamp> {
    model[LAST_VERSION_AT].as_str()?.parse().ok()
}

/// The level bitmask; records from before it have only `nsfw`.
pub(super) fn level_of(model: &Value) -> u64 {
    match model["nsfwLevel"].as_u64() {
        Some(level) => level,
        None if model["nsfw"] == true => 4,
        None => 1,
    }
}

pub(super) fn read_limit(
    request: &Incoming,
    allowed: std::ops::RangeInclusive<usize>,
    otherwise: usize,
) -> Result<usize, Box<Reply>> {
    let Some(text) = request.parameter("limit") else { return Ok(otherwise) };
    match text.parse() {
        Ok(limit) if allowed.contains(&limit) => Ok(limit),
        Ok(_) => Err(Box::new(zod("limit", &format!("Too big: expected number to be <={}", allowed.end())))),
        Err(_) => Err(Box::new(zod("limit", "Invalid input: expected number, received NaN"))),
    }
}

pub(super) fn read_page(request: &Incoming, limit: usize, is_search: bool) -> Result<Option<usize>, Box<Reply>> {
    let Some(text) = request.parameter("page") else { return Ok(None) };
    let Some(page) = text.parse().ok().filter(|page| *page >= 1) else {
        return Err(Box::new(zod("page", "Invalid input: expected number, received NaN")));
    };
    if is_search {
        let words = "Cannot use page param with query search. Use cursor-based pagination.";
        return Err(Box::new(error(StatusCode::BAD_REQUEST, words)));
    }
    if limit.saturating_mul(page) > MOST_PAGED_ITEMS {
        let words = "You've requested too many pages, please use cursors instead";
        return Err(Box::new(error(StatusCode::TOO_MANY_REQUESTS, words)));
    }
    Ok(Some(page))
}

fn one_of(field: &str, given: &str, allowed: &[&str]) -> Result<(), Box<Reply>> {
    if allowed.contains(&given) {
        return Ok(());
    }
    let list: Vec<String> = allowed.iter().map(|name| format!("\"{name}\"")).collect();
    Err(Box::new(zod(field, &format!("Invalid option: expected one of {}", list.join("|")))))
}

/// What goes wrong behind the schema is told in another envelope than what the schema refuses.
fn bad_request(words: &str) -> Box<Reply> {
    Box::new(Reply::json(StatusCode::BAD_REQUEST, &json!({ "message": words })))
}

fn numbers(request: &Incoming, name: &str) -> Option<Vec<u64>> {
    let text = request.parameters(name).join(",");
    (!text.is_empty()).then(|| text.split(',').filter_map(|id| id.trim().parse().ok()).collect())
}

/// The models that a bookmark list or a collection narrows to; none where nothing is narrowed.
fn collected(hub: &Civitai, request: &Incoming) -> Result<Option<BTreeSet<u64>>, Box<Reply>> {
    if is_on(request, "favorites") && may_see_account(request) {
        return Ok(Some(hub.favourites.clone()));
    }
    let Some(text) = request.parameter("collectionId") else { return Ok(None) };
    match hub.collection_filter {
        CollectionFilter::Refused => {
            Err(Box::new(zod("collectionId", "Invalid input: expected number, received string")))
        }
        CollectionFilter::Ignored => Ok(None),
        CollectionFilter::Served => {
            let id = text.parse().map_err(|_| bad_request("Invalid collection"))?;
            Ok(Some(hub.collections.get(&id).cloned().unwrap_or_default()))
        }
    }
}

/// How the schema reads the other switches.
fn is_on(request: &Incoming, name: &str) -> bool {
    request.parameter(name).is_some_and(|value| value == "true" || value == "1")
}

/// How the schema reads these switches: any text counts as true, `false` included.
fn coerced(request: &Incoming, name: &str) -> bool {
    request.parameter(name).is_some_and(|text| !text.is_empty())
}

/// The request's own URL with one parameter changed; everything else comes back, a token too.
pub(super) fn next_page(request: &Incoming, origin: &str, name: &str, value: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(url::form_urlencoded::parse(request.query().as_bytes()).filter(|(key, _)| key != name));
    query.append_pair(name, value);
    format!("{origin}{}?{}", request.path(), query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_server_slugs_them() {
        assert_eq!(slug("Tiny Emoji"), "tiny_emoji");
        assert_eq!(slug("a b c-d.é"), "a_bcd");
    }
}
