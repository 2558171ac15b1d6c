//! Hugging Face: routes, who may see what, and the metadata endpoints.
//!
//! Behaviour: huggingface_hub at `ee0a4510f4bc` (what the client relies on) and recorded answers under
//! `tests/fixtures/hubs/huggingface/api/`.

use super::bytes::{Incoming, Reply, decoded};
use super::hugging_face_files::{raw, resolve, resolve_cache};
use super::hugging_face_shapes::{
    EXPANDABLE, LIST_KEYS, Siblings, commit_item, database_id, full_info, has_folder, like_item, only, path_info, tree,
};
use super::rate_limit::{Bucket, Paid};
use super::repository::{Commit, HuggingFace, Repository};
use super::{HF_TOKEN, Shared, xet_store};
use http::{Method, StatusCode, header};
use paintbox_domain::digest::to_hex;
use serde_json::{Map, Value, json};

pub(super) const EXPOSED_HEADERS: &str = "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,\
     ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash";
/// Entries of a tree on one page.
const MOST_TREE_ENTRIES: usize = 1000;
const MOST_LISTED: usize = 1000;
const MOST_COMMITS: usize = 50;
const MOST_PATHS: usize = 2000;
/// Words that follow a repository's id in an API path; a model cannot be called so.
const API_WORDS: &[&str] = &["revision", "tree", "paths-info", "refs", "commits", "auth-check", "xet-read-token"];

pub(super) fn answer(shared: &Shared, request: &Incoming) -> Reply {
    let mut hub = shared.hugging_face();
    let is_api = request.path().starts_with("/api/");
    let paid = hub.rates.pay(if is_api { Bucket::Api } else { Bucket::Resolvers });
    let reply = if paid.within { validated(request, route(shared, &hub, request)) } else { Paid::refusal() };
    let id = format!("Root=1-{}", &to_hex(blake3::hash(request.path_and_query.as_bytes()).as_bytes())[..24]);
    paid.label(reply)
        .with_named("x-powered-by", "huggingface-moon")
        .with_named("x-request-id", &id)
        .with(header::REFERRER_POLICY, "strict-origin-when-cross-origin")
        .with(header::VARY, "Origin, Accept")
        .with(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS)
}

/// Gives JSON its weak validator, of the form that was recorded, and answers one that is known with 304.
fn validated(request: &Incoming, reply: Reply) -> Reply {
    let is_json =
        reply.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if reply.status != StatusCode::OK || !is_json || request.method != Method::GET {
        return reply;
    }
    let digest = blake3::hash(&reply.body);
    let etag = format!("W/\"{:x}-{}\"", reply.body.len(), &digest.to_hex()[..27]);
    if request.header(header::IF_NONE_MATCH).is_some_and(|known| known == etag) {
        return Reply { status: StatusCode::NOT_MODIFIED, body: ::bytes::Bytes::new(), ..reply }
            .with(header::ETAG, &etag);
    }
    reply.with(header::ETAG, &etag)
}

fn route(shared: &Shared, hub: &HuggingFace, request: &Incoming) -> Reply {
    let segments: Vec<&str> = request.path().split('/').skip(1).collect();
    match segments.as_slice() {
        ["api", "whoami-v2"] => whoami(request),
        ["api", "models"] => list(hub, request),
        ["api", kind @ ("users" | "organizations"), name, "overview"] => overview(hub, kind, &decoded(name)),
        ["api", "users", name, "likes"] => likes(hub, request, &decoded(name)),
        ["api", "resolve-cache", "models", rest @ ..] => resolve_cache(hub, request, rest),
        ["api", "models", rest @ ..] => {
            let (id, rest) = match rest {
                [name] => (decoded(name), &rest[1..]),
                [name, word, ..] if API_WORDS.contains(word) => (decoded(name), &rest[1..]),
                [namespace, name, ..] => (format!("{}/{}", decoded(namespace), decoded(name)), &rest[2..]),
                [] => return not_found(None, "Not Found", false),
            };
            with_repository(hub, request, &id, false, |repository| api(shared, hub, request, repository, rest))
        }
        [name, word @ ("resolve" | "raw"), revision, path @ ..] => {
            file(shared, hub, request, &decoded(name), word, revision, path)
        }
        [namespace, name, word @ ("resolve" | "raw"), revision, path @ ..] => {
            let id = format!("{}/{}", decoded(namespace), decoded(name));
            file(shared, hub, request, &id, word, revision, path)
        }
        _ => not_found(None, "Not Found", true),
    }
}

fn file(
    shared: &Shared,
    hub: &HuggingFace,
    request: &Incoming,
    id: &str,
    word: &str,
    revision: &str,
    path: &[&str],
) -> Reply {
    let path = decoded(&path.join("/"));
    with_repository(hub, request, id, true, |repository| match word {
        "raw" => raw(hub, request, repository, revision, &path),
        _ => resolve(shared, hub, request, repository, revision, &path),
    })
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Anonymous,
    Known,
    BadToken,
}

impl Access {
    pub(super) fn of(request: &Incoming) -> Self {
        match request.bearer() {
            None => Self::Anonymous,
            Some(HF_TOKEN) => Self::Known,
            Some(_) => Self::BadToken,
        }
    }

    /// Why the files of a repository that may be seen are still refused, if they are.
    pub(super) fn refusal_of_files(self, hub: &HuggingFace, repository: &Repository) -> Option<Reply> {
        let id = &repository.about.id;
        if repository.about.disabled {
            return Some(refusal(StatusCode::FORBIDDEN, None, "Access to this resource is disabled.", true));
        }
        if repository.about.gated.is_none() || (self == Self::Known && hub.granted.contains(id)) {
            return None;
        }
        let restricted = format!("Access to model {id} is restricted");
        Some(if self == Self::Known {
            let words = format!(
                "{restricted} and you are not in the authorized list. Visit https://huggingface.co/{id} to ask for access."
            );
            refusal(StatusCode::FORBIDDEN, Some("GatedRepo"), &words, true)
        } else {
            // A garbage token is answered as none is.
            let words =
                format!("{restricted}. You must have access to it and be authenticated to access it. Please log in.");
            refusal(StatusCode::UNAUTHORIZED, Some("GatedRepo"), &words, true)
        })
    }
}

/// Finds a repository under its present or a former id, or refuses as the hub does.
fn with_repository(
    hub: &HuggingFace,
    request: &Incoming,
    id: &str,
    is_file: bool,
    then: impl FnOnce(&Repository) -> Reply,
) -> Reply {
    let access = Access::of(request);
    if let Some(repository) = hub.repository(id) {
        let is_gated_file = is_file && repository.about.gated.is_some();
        if access == Access::BadToken && !is_gated_file {
            return bad_token(is_file);
        }
        if !repository.about.private || access == Access::Known {
            return then(repository);
        }
    } else if let Some(canonical) = hub.canonical_id(id) {
        let location = request.path_and_query.replacen(&format!("/{id}"), &format!("/{canonical}"), 1);
        return Reply::redirect(StatusCode::TEMPORARY_REDIRECT, &location);
    }
    match access {
        Access::Known => not_found(Some("RepoNotFound"), "Repository not found", is_file),
        Access::BadToken => bad_token(is_file),
        // Missing and private look the same to strangers, and the words speak of neither.
        Access::Anonymous => refusal(StatusCode::UNAUTHORIZED, None, "Invalid username or password.", is_file),
    }
}

fn bad_token(is_file: bool) -> Reply {
    refusal(StatusCode::UNAUTHORIZED, None, "Invalid credentials in Authorization header", is_file)
}

/// An error in the hub's form: words in a header, and as JSON below `/api/` or plain text for files.
fn refusal(status: StatusCode, code: Option<&str>, words: &str, is_file: bool) -> Reply {
    let mut reply =
        if is_file { Reply::text(status, words.to_owned()) } else { Reply::json(status, &json!({ "error": words })) };
    reply = reply.with_named("x-error-message", words);
    if let Some(code) = code {
        reply = reply.with_named("x-error-code", code);
    }
    if status == StatusCode::UNAUTHORIZED {
        let challenge = "Bearer realm=\"Authentication required\", charset=\"UTF-8\"";
        reply = reply.with(header::WWW_AUTHENTICATE, challenge);
    }
    reply
}

pub(super) fn not_found(code: Option<&str>, words: &str, is_file: bool) -> Reply {
    refusal(StatusCode::NOT_FOUND, code, words, is_file)
}

fn whoami(request: &Incoming) -> Reply {
    match Access::of(request) {
        Access::Known => Reply::json(
            StatusCode::OK,
            &json!({
                "type": "user", "id": database_id("you"), "name": "you", "fullname": "You", "isPro": false, "orgs": [],
                "auth": {"type": "access_token", "accessToken": {"displayName": "read", "role": "read"}},
            }),
        ),
        Access::BadToken => bad_token(false),
        Access::Anonymous => refusal(StatusCode::UNAUTHORIZED, None, "Invalid username or password.", false),
    }
}

/// Who an author is. Whoever has repositories here is an organisation; users are registered by name. The words of the
/// refusal are a guess: none was recorded.
fn overview(hub: &HuggingFace, kind: &str, name: &str) -> Reply {
    let is_organisation = hub.repositories.iter().any(|repository| repository.author() == name);
    match kind {
        "organizations" if is_organisation => Reply::json(
            StatusCode::OK,
            &json!({"_id": database_id(name), "name": name, "fullname": name, "type": "org"}),
        ),
        "users" if hub.users.contains(name) => {
            let body = json!({
                "_id": database_id(name), "user": name, "fullname": name, "type": "user", "isPro": false, "orgs": [],
            });
            Reply::json(StatusCode::OK, &body)
        }
        "users" => not_found(None, "This user does not exist", false),
        _ => not_found(None, "This organization does not exist", false),
    }
}

/// Public, like the repositories it names. Whoever likes nothing and has no account is unknown; the words are a guess.
fn likes(hub: &HuggingFace, request: &Incoming, name: &str) -> Reply {
    let items: Vec<Value> = hub.likes.iter().rev().filter(|like| like.user == name).map(like_item).collect();
    if items.is_empty() && !hub.users.contains(name) {
        return not_found(None, "This user does not exist", false);
    }
    page(hub, request, items, MOST_LISTED, MOST_LISTED)
}

/// What follows `/api/models/{id}`.
fn api(shared: &Shared, hub: &HuggingFace, request: &Incoming, repository: &Repository, rest: &[&str]) -> Reply {
    let revision = |name: &str, then: &dyn Fn(&Commit) -> Reply| {
        let name = decoded(name);
        match repository.commit(&name) {
            Some(commit) => then(commit),
            None => not_found(Some("RevisionNotFound"), &format!("Invalid rev id: {name}"), false),
        }
    };
    match rest {
        [] => info(request, repository, repository.main()),
        ["revision", name] => revision(name, &|commit| info(request, repository, commit)),
        ["tree", name, path @ ..] => {
            let path = decoded(&path.join("/"));
            revision(name, &|commit| tree_page(hub, request, commit, path.trim_matches('/')))
        }
        ["paths-info", name] if request.method == Method::POST => {
            revision(name, &|commit| paths_info(hub, request, commit))
        }
        ["refs"] => refs(request, repository),
        // The body was not recorded; clients read the status alone (huggingface_hub, `hf_api.py`, `auth_check`).
        ["auth-check"] => {
            let refusal = Access::of(request).refusal_of_files(hub, repository);
            refusal.unwrap_or_else(|| Reply::text(StatusCode::OK, "OK"))
        }
        ["commits", name] => revision(name, &|commit| {
            let until = repository.commits.iter().position(|other| other.id == commit.id);
            let on_branch = until.is_none().then_some(commit);
            let until = until.map_or(repository.commits.len(), |position| position + 1);
            let history = on_branch.into_iter().chain(repository.commits[..until].iter().rev());
            let items: Vec<Value> = history.map(commit_item).collect();
            let total = items.len();
            page(hub, request, items, MOST_COMMITS, MOST_COMMITS).with_named("x-total-count", &total.to_string())
        }),
        ["xet-read-token", name] => revision(name, &|_| {
            let refusal = Access::of(request).refusal_of_files(hub, repository);
            refusal.unwrap_or_else(|| xet_store::token(shared))
        }),
        _ => not_found(None, "Not Found", false),
    }
}

fn info(request: &Incoming, repository: &Repository, commit: &Commit) -> Reply {
    let expand = match expanded(request) {
        Ok(expand) => expand,
        Err(refusal) => return *refusal,
    };
    if let Some(expand) = expand {
        let mut keys: Vec<&str> = expand.iter().map(String::as_str).collect();
        keys.extend(["_id", "id"]);
        return Reply::json(StatusCode::OK, &only(full_info(repository, commit, Siblings::Names), &keys));
    }
    let is_on = |name| request.parameter(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1");
    let siblings = if is_on("blobs") { Siblings::Blobs } else { Siblings::Names };
    let mut info = full_info(repository, commit, siblings);
    if is_on("securityStatus") {
        info.insert("securityRepoStatus".to_owned(), json!({"scansDone": true, "filesWithIssues": []}));
    }
    Reply::json(StatusCode::OK, &Value::Object(info))
}

/// The keys of `expand`; none when it is not used.
fn expanded(request: &Incoming) -> Result<Option<Vec<String>>, Box<Reply>> {
    let mut keys = request.parameters("expand");
    keys.extend(request.parameters("expand[]"));
    if let Some(unknown) = keys.iter().find(|key| !EXPANDABLE.contains(&key.as_str())) {
        let words = format!("\"expand\" must not hold {unknown}");
        return Err(Box::new(refusal(StatusCode::BAD_REQUEST, None, &words, false)));
    }
    Ok((!keys.is_empty()).then_some(keys))
}

fn list(hub: &HuggingFace, request: &Incoming) -> Reply {
    let access = Access::of(request);
    if access == Access::BadToken {
        return bad_token(false);
    }
    let expand = match expanded(request) {
        Ok(expand) => expand,
        Err(refusal) => return *refusal,
    };
    let is_on = |name| request.parameter(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1");
    let search = request.parameter("search").unwrap_or_default().to_lowercase();
    let filters = request.parameters("filter");
    let mut found: Vec<(&Repository, Map<String, Value>)> = hub
        .repositories
        .iter()
        .filter(|repository| !repository.about.private || access == Access::Known)
        .filter(|repository| request.parameter("author").is_none_or(|author| repository.author() == author))
        .filter(|repository| repository.about.id.to_lowercase().contains(&search))
        .filter(|repository| {
            request.parameter("pipeline_tag").is_none_or(|tag| repository.about.pipeline_tag == Some(tag))
        })
        .map(|repository| (repository, full_info(repository, repository.main(), Siblings::Names)))
        .filter(|(_, info)| {
            filters
                .iter()
                .flat_map(|filter| filter.split(','))
                .all(|filter| info["tags"].as_array().into_iter().flatten().any(|tag| tag == filter))
        })
        .collect();
    match request.parameter("sort").as_deref() {
        None | Some("trendingScore" | "downloads" | "likes" | "likes30d" | "num_parameters" | "mainSize") => {}
        Some("lastModified" | "last_modified") => found.sort_by_key(|(a, _)| std::cmp::Reverse(a.main().time)),
        Some("createdAt" | "created_at") => {
            found.sort_by_key(|(a, _)| std::cmp::Reverse(a.commits.first().map(|commit| commit.time)));
        }
        Some("id") => found.sort_by(|(a, _), (b, _)| a.about.id.cmp(&b.about.id)),
        Some(other) => {
            let words = format!("\"sort\" must not be {other}");
            return refusal(StatusCode::BAD_REQUEST, None, &words, false);
        }
    }
    let items = found.into_iter().map(|(_, info)| {
        if let Some(expand) = &expand {
            let mut keys: Vec<&str> = expand.iter().map(String::as_str).collect();
            keys.extend(["_id", "id"]);
            return only(info, &keys);
        }
        let mut keys = LIST_KEYS.to_vec();
        if is_on("full") {
            keys.extend(["author", "gated", "disabled", "lastModified", "sha", "siblings"]);
        }
        keys.extend(["config", "cardData"].into_iter().filter(|key| is_on(key)));
        only(info, &keys)
    });
    page(hub, request, items.collect(), MOST_LISTED, MOST_LISTED)
}

fn tree_page(hub: &HuggingFace, request: &Incoming, commit: &Commit, path: &str) -> Reply {
    if !has_folder(commit, path) {
        let words = format!("{path} does not exist on \"{}\"", commit.id);
        return not_found(Some("EntryNotFound"), &words, false).with_named("x-repo-commit", &commit.id);
    }
    let is_on = |name| request.parameter(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1");
    let mut entries = tree(commit, path, is_on("recursive"), hub.announce_xet);
    let (most, usual) = if is_on("expand") { (100, 50) } else { (MOST_TREE_ENTRIES, MOST_TREE_ENTRIES) };
    if is_on("expand") {
        for entry in &mut entries {
            entry["lastCommit"] = json!({
                "id": commit.id, "title": commit.title, "date": super::hugging_face_shapes::time_text(commit),
            });
        }
    }
    page(hub, request, entries, usual, most).with_named("x-repo-commit", &commit.id)
}

fn paths_info(hub: &HuggingFace, request: &Incoming, commit: &Commit) -> Reply {
    let is_json = request.header(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    let paths: Vec<String> = if is_json {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        body["paths"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    } else {
        url::form_urlencoded::parse(&request.body)
            .filter(|(key, _)| key == "paths")
            .map(|(_, value)| value.into_owned())
            .collect()
    };
    if paths.len() > MOST_PATHS {
        return refusal(StatusCode::BAD_REQUEST, None, "Too many paths", false);
    }
    // A path that does not exist is left out without a word.
    let entries = paths.iter().filter_map(|path| path_info(commit, path, hub.announce_xet)).collect();
    Reply::json(StatusCode::OK, &Value::Array(entries))
}

fn refs(request: &Incoming, repository: &Repository) -> Reply {
    let main = json!({"name": "main", "ref": "refs/heads/main", "targetCommit": repository.main().id});
    let mut branches = vec![main];
    branches.extend(
        repository
            .branches
            .iter()
            .map(|(name, head)| json!({"name": name, "ref": format!("refs/heads/{name}"), "targetCommit": head.id})),
    );
    let mut body = json!({"branches": branches, "tags": [], "converts": []});
    if request.parameter("include_prs").is_some_and(|value| value == "1" || value == "true") {
        body["pullRequests"] = json!([]);
    }
    Reply::json(StatusCode::OK, &body)
}

/// A bare array, its next page named in a `Link` header.
fn page(hub: &HuggingFace, request: &Incoming, items: Vec<Value>, usual: usize, most: usize) -> Reply {
    let asked = request.parameter("limit").and_then(|text| text.parse().ok()).unwrap_or(usual);
    let cap = hub.most_items_per_page.map_or(most, |limit| limit.min(most));
    let size = asked.clamp(1, cap);
    let start = match request.parameter("cursor").map(|cursor| read_cursor(&cursor)) {
        None => 0,
        Some(Some(start)) => start,
        Some(None) => return refusal(StatusCode::BAD_REQUEST, None, "Invalid cursor", false),
    };
    let total = items.len();
    let items: Vec<Value> = items.into_iter().skip(start).take(size).collect();
    let reply = Reply::json(StatusCode::OK, &Value::Array(items));
    if start + size >= total {
        return reply;
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(url::form_urlencoded::parse(request.query().as_bytes()).filter(|(key, _)| key != "cursor"));
    query.append_pair("cursor", &cursor(start + size));
    let next = format!("<{}{}?{}>; rel=\"next\"", request.own_origin(), request.path(), query.finish());
    reply.with(header::LINK, &next)
}

/// Opaque on purpose: clients must pass it on as it came.
fn cursor(start: usize) -> String {
    to_hex(format!("{{\"$skip\":{start}}}").as_bytes())
}

fn read_cursor(text: &str) -> Option<usize> {
    let bytes: Option<Vec<u8>> =
        (0..text.len() / 2).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    String::from_utf8(bytes?).ok()?.strip_prefix("{\"$skip\":")?.strip_suffix('}')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_as_they_went() {
        assert_eq!(read_cursor(&cursor(1000)), Some(1000));
        assert_eq!(read_cursor("€uro"), None);
        assert_eq!(read_cursor("00"), None);
    }
}
