//! JSON of repositories, trees and commits as the Hugging Face API gives it.
//!
//! Shapes: recorded responses under `tests/fixtures/hubs/huggingface/api/`.

use super::git::ancestors;
use super::repository::{Commit, Entry, Like, Repository};
use paintbox_domain::digest::to_hex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Keys that `expand` knows (huggingface_hub at `ee0a4510f4bc`, `hf_api.py`, `ExpandModelProperty_T`).
pub(super) const EXPANDABLE: &[&str] = &[
    "author",
    "baseModels",
    "cardData",
    "childrenModelCount",
    "config",
    "createdAt",
    "disabled",
    "downloads",
    "downloadsAllTime",
    "evalResults",
    "gated",
    "gguf",
    "inference",
    "inferenceProviderMapping",
    "lastModified",
    "library_name",
    "likes",
    "mask_token",
    "model-index",
    "pipeline_tag",
    "private",
    "resourceGroup",
    "safetensors",
    "sha",
    "siblings",
    "spaces",
    "tags",
    "transformersInfo",
    "trendingScore",
    "usedStorage",
    "widgetData",
];

/// What an info answer is asked to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Siblings {
    Absent,
    Names,
    Blobs,
}

/// Every key that the hub tells of a repository at a commit.
pub(super) fn full_info(repository: &Repository, commit: &Commit, siblings: Siblings) -> Map<String, Value> {
    let about = &repository.about;
    let created = repository.commits.first().map_or(commit.time, |first| first.time);
    let size: u64 = commit.files.values().map(|entry| entry.size).sum();
    let mut info = Map::new();
    let mut set = |key: &str, value: Value| {
        info.insert(key.to_owned(), value);
    };
    set("_id", json!(database_id(&about.id)));
    set("id", json!(about.id));
    set("modelId", json!(about.id));
    set("author", json!(repository.author()));
    set("sha", json!(commit.id));
    set("lastModified", json!(time_text(repository.main())));
    set("createdAt", json!(created.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()));
    set("private", json!(about.private));
    set("gated", about.gated.as_ref().map_or(Value::Bool(false), |kind| json!(kind)));
    set("disabled", json!(about.disabled));
    set("tags", json!(tags(repository, commit)));
    set("downloads", json!(repository.counters.downloads));
    set("likes", json!(repository.counters.likes));
    set("model-index", Value::Null);
    set("usedStorage", json!(size));
    set("spaces", json!([]));
    if let Some(tag) = &about.pipeline_tag {
        set("pipeline_tag", json!(tag));
    }
    if let Some(name) = &about.library_name {
        set("library_name", json!(name));
    }
    if !about.card.is_empty() {
        set("cardData", Value::Object(about.card.clone()));
    }
    if let Some(class) = pipeline_class(commit) {
        set("config", json!({"diffusers": {"_class_name": class}}));
    }
    if siblings != Siblings::Absent {
        let list = commit.files.iter().map(|(path, entry)| sibling(path, entry, siblings));
        set("siblings", Value::Array(list.collect()));
    }
    info
}

/// The keys of [`full_info`] that an answer without `full` and `expand` has in a list.
pub(super) const LIST_KEYS: &[&str] =
    &["_id", "id", "modelId", "likes", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt"];

/// Only these keys, in the order the hub's object has them.
pub(super) fn only(info: Map<String, Value>, keys: &[&str]) -> Value {
    Value::Object(info.into_iter().filter(|(key, _)| keys.contains(&key.as_str())).collect())
}

fn sibling(path: &str, entry: &Entry, siblings: Siblings) -> Value {
    if siblings == Siblings::Names {
        return json!({ "rfilename": path });
    }
    let mut sibling = json!({"rfilename": path, "blobId": entry.oid, "size": entry.size});
    if let Some(lfs) = &entry.lfs {
        // The key is `sha256` here and `oid` in trees, for the same value.
        sibling["lfs"] = json!({"sha256": lfs.sha256, "size": entry.size, "pointerSize": lfs.pointer_size});
    }
    sibling
}

/// Entries below `folder`, folders included; all of them with `recursive`, otherwise only its own.
pub(super) fn tree(commit: &Commit, folder: &str, recursive: bool, show_xet: bool) -> Vec<Value> {
    let inside = |path: &str| -> Option<String> {
        if folder.is_empty() {
            Some(path.to_owned())
        } else {
            path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned)
        }
    };
    let mut entries = BTreeMap::new();
    for (path, id) in commit.folders.iter().filter(|(path, _)| !path.is_empty()) {
        if inside(path).is_some_and(|rest| recursive || !rest.contains('/')) {
            entries.insert(path.clone(), json!({"type": "directory", "oid": id, "size": 0, "path": path}));
        }
    }
    for (path, entry) in &commit.files {
        if inside(path).is_some_and(|rest| recursive || !rest.contains('/')) {
            entries.insert(path.clone(), tree_file(path, entry, show_xet));
        }
    }
    entries.into_values().collect()
}

/// A tree entry of a file.
pub(super) fn tree_file(path: &str, entry: &Entry, show_xet: bool) -> Value {
    let mut value = json!({"type": "file", "oid": entry.oid, "size": entry.size});
    if let Some(lfs) = &entry.lfs {
        value["lfs"] = json!({"oid": lfs.sha256, "size": entry.size, "pointerSize": lfs.pointer_size});
        if show_xet {
            value["xetHash"] = json!(lfs.xet_hash);
        }
    }
    value["path"] = json!(path);
    value
}

/// The entry of one path; none when the commit has no such file or folder.
pub(super) fn path_info(commit: &Commit, path: &str, show_xet: bool) -> Option<Value> {
    if let Some(entry) = commit.files.get(path) {
        return Some(tree_file(path, entry, show_xet));
    }
    let id = commit.folders.get(path)?;
    Some(json!({"type": "directory", "oid": id, "size": 0, "path": path}))
}

/// Whether a folder of this name is in the commit.
pub(super) fn has_folder(commit: &Commit, path: &str) -> bool {
    path.is_empty() || commit.files.keys().any(|file| ancestors(file).skip(1).any(|folder| folder == path))
}

/// An entry of somebody's likes (huggingface_hub at `ee0a4510f4bc`, `hf_api.py`, `list_liked_repos`).
pub(super) fn like_item(like: &Like) -> Value {
    json!({"createdAt": "2026-08-20T10:00:00.000Z", "repo": {"name": like.repository, "type": like.kind}})
}

pub(super) fn commit_item(commit: &Commit) -> Value {
    json!({
        "id": commit.id,
        "title": commit.title,
        "message": "",
        "authors": [{"user": "system", "avatar": null}],
        "date": time_text(commit),
    })
}

pub(super) fn time_text(commit: &Commit) -> String {
    commit.time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// The card's own tags and the facts that the hub derives.
fn tags(repository: &Repository, commit: &Commit) -> Vec<String> {
    let about = &repository.about;
    let mut tags = Vec::new();
    let mut add = |tag: String| {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    };
    about.library_name.iter().for_each(|name| add(name.clone()));
    if commit.files.keys().any(|path| path.ends_with(".safetensors")) {
        add("safetensors".to_owned());
    }
    about.pipeline_tag.iter().for_each(|tag| add(tag.clone()));
    let texts = |key: &str| -> Vec<String> {
        match about.card.get(key) {
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    };
    texts("tags").into_iter().for_each(&mut add);
    texts("license").into_iter().for_each(|name| add(format!("license:{name}")));
    let relation = about.card.get("base_model_relation").and_then(Value::as_str);
    for base in texts("base_model") {
        add(format!("base_model:{base}"));
        if let Some(relation) = relation {
            add(format!("base_model:{relation}:{base}"));
        }
    }
    if let Some(class) = pipeline_class(commit) {
        add(format!("diffusers:{class}"));
    }
    add("region:us".to_owned());
    tags
}

fn pipeline_class(commit: &Commit) -> Option<String> {
    let bytes = commit.files.get("model_index.json")?.bytes.as_ref()?;
    let index: Value = serde_json::from_slice(bytes).ok()?;
    index["_class_name"].as_str().map(str::to_owned)
}

/// A document id as the hub's database makes them: 24 hexadecimal digits that say nothing.
pub(super) fn database_id(id: &str) -> String {
    to_hex(&Sha256::digest(id))[..24].to_owned()
}
