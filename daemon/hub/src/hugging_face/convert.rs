//! A repository's page in the words of the domain: the repository is the model, a commit its one version.

use super::{encoded, encoded_path};
use crate::json;
use paintbox_domain::hub::{FileSize, HubFile, HubModel, HubVersion, ModelState};
use paintbox_domain::{FileFormat, Hub, ModelKind};
use serde_json::Value;

/// Older repositories all carry the moment at which the Hub began to record their creation.
const RECORDS_BEGIN: &str = "2022-03-02T23:29:04";

/// The model of a repository's page; none without an id. Without `revision`, or without a commit on the page, it has
/// no version.
pub(super) fn model(page: &Value, raw: String, revision: Option<&str>) -> Option<HubModel> {
    let id = json::text(page, "id").or_else(|| json::text(page, "modelId")).filter(|id| is_repository(id))?;
    let card = page.get("cardData").unwrap_or(&Value::Null);
    // The Hub adds its own to the card's; without the Hub's, the card's are all there are.
    let tags = if page.get("tags").is_some_and(Value::is_array) { page } else { card };
    let tags = json::texts(tags, "tags");
    let (namespace, name) = id.split_once('/').map_or((None, id.as_str()), |(space, name)| (Some(space), name));
    let class = pipeline_class(page, &tags);
    let disabled = json::truth(page, "disabled").unwrap_or(false);
    Some(HubModel {
        hub: Hub::HuggingFace,
        name: name.to_owned(),
        kind: kind(page, &tags, class.as_deref()),
        kind_label: class.or_else(|| json::text(page, "pipeline_tag")),
        creator: namespace.map(str::to_owned).or_else(|| json::text(page, "author")),
        creator_id: None,
        // The card's text is a file of the repository, and comes with a request of its own.
        description: None,
        // The Hub's only rating; R is the mildest level that CivitAI keeps out of its default list.
        nsfw_level: if tags.iter().any(|tag| tag == "not-for-all-audiences") { 4 } else { 0 },
        licence: licence(card, &tags),
        downloads: json::whole(page, "downloads"),
        likes: json::whole(page, "likes"),
        state: if disabled {
            ModelState::Disabled
        } else if is_gated(page) {
            ModelState::Gated
        } else {
            ModelState::Published
        },
        access_granted: None,
        list_mark: None,
        published_at: json::text(page, "createdAt")
            .filter(|text| !text.starts_with(RECORDS_BEGIN))
            .and_then(|_| json::time(page, "createdAt")),
        updated_at: json::time(page, "lastModified"),
        versions: revision
            .and_then(|revision| version(page, &id, revision, &tags, card, !disabled))
            .into_iter()
            .collect(),
        tags,
        raw,
        external_id: id,
    })
}

fn version(
    page: &Value,
    id: &str,
    revision: &str,
    tags: &[String],
    card: &Value,
    download_allowed: bool,
) -> Option<HubVersion> {
    let commit = commit(page)?;
    let files = json::list(page, "siblings").iter().filter_map(|entry| file(entry, &SIBLING, id, &commit)).collect();
    Some(HubVersion {
        // Commits are named by their first digits, as git prints them; branches and tags by themselves.
        name: if revision.len() >= 7 && is_hex(revision) && commit.starts_with(&revision.to_ascii_lowercase()) {
            commit[..8].to_owned()
        } else {
            revision.to_owned()
        },
        external_id: commit,
        base_model: base_model(tags, card),
        trained_words: json::texts(card, "instance_prompt"),
        nsfw_level: 0,
        published_at: json::time(page, "lastModified"),
        early_access: None,
        download_allowed,
        files,
        previews: Vec::new(),
    })
}

/// The commit that a page speaks of: 40 hexadecimal digits.
pub(super) fn commit(page: &Value) -> Option<String> {
    Some(json::text(page, "sha").filter(|sha| sha.len() == 40 && is_hex(sha))?.to_ascii_lowercase())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where a listing of files keeps what: the same facts have two names each on the Hub.
struct FileKeys {
    path: &'static str,
    blob: &'static str,
    sha256: &'static str,
}

/// `siblings` of a page.
const SIBLING: FileKeys = FileKeys { path: "rfilename", blob: "blobId", sha256: "sha256" };
/// An entry of a tree.
const TREE_ENTRY: FileKeys = FileKeys { path: "path", blob: "oid", sha256: "oid" };

/// A file of a tree at `revision`; none for folders.
pub(super) fn tree_file(entry: &Value, id: &str, revision: &str) -> Option<HubFile> {
    json::text(entry, "type").is_none_or(|kind| kind == "file").then(|| file(entry, &TREE_ENTRY, id, revision))?
}

/// None if its path could leave the repository.
fn file(entry: &Value, keys: &FileKeys, id: &str, commit: &str) -> Option<HubFile> {
    let path = json::text(entry, keys.path)?;
    let bad_segment = |segment: &str| matches!(segment, "" | "." | "..");
    // Git allows none of these, so a page that has them was not made by one.
    if path.split('/').any(bad_segment) || path.contains(|c: char| c.is_control() || c == '\\') {
        tracing::warn!(repository = id, path = path.escape_debug().to_string(), "a listed path is left out");
        return None;
    }
    let lfs = entry.get("lfs").filter(|lfs| !lfs.is_null());
    let digest = |value: &Value, key: &str| json::text(value, key);
    Some(HubFile {
        size: lfs.and_then(|lfs| json::whole(lfs, "size")).or_else(|| json::whole(entry, "size")).map(FileSize::Exact),
        sha256: lfs.and_then(|lfs| digest(lfs, keys.sha256)).and_then(|digest| digest.parse().ok()),
        blake3: None,
        // Of an LFS file this would be the digest of its pointer, not of its content.
        git_sha1: if lfs.is_some() { None } else { digest(entry, keys.blob).and_then(|digest| digest.parse().ok()) },
        auto_v3: None,
        kind_label: None,
        format: FileFormat::from_file_name(&path),
        precision: precision(&path),
        primary: false,
        locator: format!("/{}/resolve/{}/{}", encoded_path(id), encoded(commit), encoded_path(&path)),
        name: path.clone(),
        external_id: path,
    })
}

/// `model.fp16.safetensors` → `fp16`: diffusers names variants by an infix.
fn precision(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    name.split('.').rev().skip(1).find(|part| matches!(*part, "fp16" | "bf16" | "fp32" | "fp8")).map(str::to_owned)
}

pub(super) fn is_repository(id: &str) -> bool {
    let segments: Vec<&str> = id.split('/').collect();
    id.len() <= 200
        && segments.len() <= 2
        && segments.iter().all(|segment| {
            !matches!(*segment, "" | "." | "..")
                && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        })
}

/// `gated` is `false`, or a word that says how requests are answered.
fn is_gated(page: &Value) -> bool {
    match page.get("gated") {
        Some(Value::Bool(gated)) => *gated,
        Some(Value::String(word)) => word != "false",
        _ => false,
    }
}

/// The class of the diffusers pipeline or component, as its author's configuration names it.
fn pipeline_class(page: &Value, tags: &[String]) -> Option<String> {
    let configured = || {
        let diffusers = page.get("config")?.get("diffusers")?;
        json::text(diffusers, "_class_name").or_else(|| json::text(diffusers, "class_name"))
    };
    tags.iter().find_map(|tag| tag.strip_prefix("diffusers:").map(str::to_owned)).or_else(configured)
}

fn kind(page: &Value, tags: &[String], class: Option<&str>) -> ModelKind {
    let tagged = |names: &[&str]| tags.iter().any(|tag| names.contains(&tag.to_ascii_lowercase().as_str()));
    let has_file = |name: &str| {
        json::list(page, "siblings").iter().any(|entry| entry.get("rfilename").and_then(Value::as_str) == Some(name))
    };
    if tagged(&["lora"]) || tags.iter().any(|tag| tag.starts_with("base_model:adapter:")) {
        return ModelKind::Lora;
    }
    if tagged(&["textual_inversion", "textual-inversion"]) {
        return ModelKind::TextualInversion;
    }
    match class {
        Some(class) if class.starts_with("ControlNet") => return ModelKind::ControlNet,
        Some(class) if class.starts_with("Autoencoder") => return ModelKind::Vae,
        _ => {}
    }
    let is_diffusers = class.is_some() || tagged(&["diffusers"]);
    if has_file("model_index.json") {
        ModelKind::Checkpoint
    } else if tagged(&["controlnet"]) {
        ModelKind::ControlNet
    } else if is_diffusers || json::text(page, "library_name").is_some_and(|library| library == "diffusers") {
        ModelKind::Checkpoint
    } else {
        ModelKind::Unknown
    }
}

/// The model that this one derives from: the Hub's tag `base_model:[relation:]org/name`, which follows renamings, or
/// what the author wrote into the card.
fn base_model(tags: &[String], card: &Value) -> Option<String> {
    let tagged = tags.iter().find_map(|tag| tag.strip_prefix("base_model:")).and_then(|tag| tag.rsplit(':').next());
    tagged
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .or_else(|| json::texts(card, "base_model").into_iter().next())
}

/// `license` is an id, a list of them, or `other` with a name and a link beside it.
fn licence(card: &Value, tags: &[String]) -> Option<String> {
    let mut words = json::texts(card, "license");
    words.extend(json::text(card, "license_name"));
    words.extend(json::text(card, "license_link"));
    if words.is_empty() {
        words.extend(tags.iter().filter_map(|tag| tag.strip_prefix("license:")).map(str::to_owned));
    }
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
