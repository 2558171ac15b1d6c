//! CivitAI's pages in the words of the domain. Every field may be absent, null or of another type than last year.

use crate::json;
use paintbox_domain::hub::{
    EarlyAccess, FileSize, HubFile, HubModel, HubPreview, HubVersion, ModelState, PreviewMedia,
};
use paintbox_domain::{FileFormat, Hub, ModelKind, Timestamp};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use url::Url;

/// A model of a list or of its own page; none if it has no number.
pub(super) fn model(page: &Value, raw: String) -> Option<HubModel> {
    let external_id = json::whole(page, "id")?.to_string();
    let stats = page.get("stats").unwrap_or(&Value::Null);
    let kind_label = json::text(page, "type");
    let versions: Vec<HubVersion> = json::list(page, "modelVersions").iter().filter_map(version).collect();
    let version_times = || versions.iter().filter_map(|version| version.published_at);
    Some(HubModel {
        hub: Hub::Civitai,
        name: json::text(page, "name").unwrap_or_else(|| external_id.clone()),
        kind: kind_label.as_deref().map_or(ModelKind::Unknown, kind),
        kind_label,
        creator: page.get("creator").and_then(|creator| json::text(creator, "username")),
        creator_id: json::whole(page, "userId").map(|id| id.to_string()),
        description: json::text(page, "description"),
        tags: json::texts(page, "tags"),
        nsfw_level: json::small(page, "nsfwLevel").unwrap_or(0),
        licence: licence(page),
        downloads: json::whole(stats, "downloadCount"),
        likes: json::whole(stats, "thumbsUpCount").or_else(|| json::whole(stats, "favoriteCount")),
        state: match page.get("mode").and_then(Value::as_str) {
            Some("Archived") => ModelState::Archived,
            Some("TakenDown") => ModelState::TakenDown,
            _ => ModelState::Published,
        },
        access_granted: None,
        list_mark: None,
        published_at: json::time(page, "publishedAt")
            .or_else(|| json::time(page, "createdAt"))
            .or_else(|| version_times().min()),
        updated_at: json::time(page, "lastVersionAt").or_else(|| version_times().max()),
        versions,
        raw,
        external_id,
    })
}

/// A version inside a model, or on its own page; none if it has no number.
pub(super) fn version(page: &Value) -> Option<HubVersion> {
    let external_id = json::whole(page, "id")?.to_string();
    // Answers of 2023 have only `createdAt`.
    let published_at = json::time(page, "publishedAt").or_else(|| json::time(page, "createdAt"));
    Some(HubVersion {
        name: json::text(page, "name").unwrap_or_else(|| external_id.clone()),
        base_model: json::text(page, "baseModel"),
        trained_words: json::texts(page, "trainedWords"),
        nsfw_level: json::small(page, "nsfwLevel").unwrap_or(0),
        published_at,
        early_access: early_access(page, published_at),
        // Only a version's own page says it; what is not forbidden is tried.
        download_allowed: json::text(page, "usageControl").is_none_or(|control| control == "Download"),
        files: json::list(page, "files").iter().filter_map(|entry| file(entry, &external_id)).collect(),
        previews: json::list(page, "images").iter().filter_map(preview).collect(),
        external_id,
    })
}

/// Adds what a version's own page says beyond the model's: `usageControl` and the examples' generation data.
pub(super) fn add_version_page(model: &mut HubModel, page: HubVersion) {
    let Some(known) = model.versions.iter_mut().find(|version| version.external_id == page.external_id) else {
        model.versions.push(page);
        return;
    };
    known.download_allowed = page.download_allowed;
    known.early_access = known.early_access.or(page.early_access);
    for preview in &mut known.previews {
        let same = page.previews.iter().find(|other| picture_of(&other.url) == picture_of(&preview.url));
        if let (None, Some(other)) = (&preview.generation, same) {
            preview.generation.clone_from(&other.generation);
        }
    }
    if known.previews.is_empty() {
        known.previews = page.previews;
    }
}

/// What a version's own page says of how the pictures at `urls` were made.
pub(super) fn generation_data(page: &HubVersion, urls: &[String]) -> HashMap<String, String> {
    let known = |url: &String| {
        let same = |preview: &&HubPreview| picture_of(&preview.url).is_some_and(|one| Some(one) == picture_of(url));
        Some((url.clone(), page.previews.iter().find(same)?.generation.clone()?))
    };
    urls.iter().filter_map(known).collect()
}

/// The number of the file on a version's page that one of the page's digests names.
pub(super) fn file_with_digest(version: &Value, digits: &str) -> Option<String> {
    let names_it = |file: &&Value| {
        file.get("hashes").and_then(Value::as_object).is_some_and(|hashes| {
            hashes.values().filter_map(Value::as_str).any(|hash| {
                // AutoV3 is given in 12 digits now and in 64 in older answers.
                hash.get(..digits.len()).is_some_and(|head| head.eq_ignore_ascii_case(digits))
            })
        })
    };
    json::list(version, "files").iter().find(names_it).and_then(|file| json::whole(file, "id")).map(|id| id.to_string())
}

/// 23 kinds in August 2026 and growing (github civitai/civitai `packages/civitai-db-schema/src/enums.ts`).
fn kind(label: &str) -> ModelKind {
    match label {
        "Checkpoint" => ModelKind::Checkpoint,
        "LORA" | "LoCon" | "DoRA" => ModelKind::Lora,
        "TextualInversion" => ModelKind::TextualInversion,
        "VAE" => ModelKind::Vae,
        "Controlnet" => ModelKind::ControlNet,
        "Upscaler" => ModelKind::Upscaler,
        "TextEncoder" | "CLIP" => ModelKind::TextEncoder,
        "UNet" => ModelKind::Network,
        "Hypernetwork" | "AestheticGradient" | "MotionModule" | "CLIPVision" | "Poses" | "Wildcards" | "Workflows"
        | "ComfyWorkflows" | "Detection" | "VisionLanguage" | "LLM" | "Other" => ModelKind::Other,
        _ => ModelKind::Unknown,
    }
}

/// The permission fields that are there, as JSON and otherwise untouched.
fn licence(page: &Value) -> Option<String> {
    let fields: serde_json::Map<String, Value> =
        ["allowNoCredit", "allowCommercialUse", "allowDerivatives", "allowDifferentLicense"]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), page.get(key).filter(|value| !value.is_null())?.clone())))
            .collect();
    (!fields.is_empty()).then(|| Value::Object(fields).to_string())
}

/// Whether a version must be paid for, by every way in which CivitAI has said so over the years.
///
/// Since July 2026 `paidAccess` decides: null means free, though older fields may linger beside it. The older fields
/// stay in an answer after their time, so `until` may lie in the past: who knows the time has to compare.
fn early_access(version: &Value, published_at: Option<Timestamp>) -> Option<EarlyAccess> {
    match version.get("paidAccess") {
        Some(Value::Null) => return None,
        Some(paid @ Value::Object(_)) => {
            let permanent = json::truth(paid, "permanent").unwrap_or(false);
            return Some(EarlyAccess { until: if permanent { None } else { json::time(paid, "endsAt") } });
        }
        _ => {}
    }
    let days = json::whole(version, "earlyAccessTimeFrame").filter(|days| (1..=3650).contains(days));
    let until = json::time(version, "earlyAccessEndsAt")
        .or_else(|| json::time(version, "earlyAccessDeadline"))
        .or_else(|| Some(published_at?.plus(Duration::from_secs(days? * 24 * 60 * 60))));
    let labelled = json::text(version, "availability").is_some_and(|availability| availability == "EarlyAccess");
    (labelled || until.is_some()).then_some(EarlyAccess { until })
}

fn file(entry: &Value, version_id: &str) -> Option<HubFile> {
    let external_id = json::whole(entry, "id")?.to_string();
    let none = Value::Null;
    let metadata = entry.get("metadata").unwrap_or(&none);
    let hash = |name: &str| {
        let hashes = entry.get("hashes")?.as_object()?;
        hashes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?.1.as_str()
    };
    let name = json::text(entry, "name").unwrap_or_else(|| external_id.clone());
    Some(HubFile {
        // `sizeKB` counts KiB and 0 stands for "not known".
        size: json::float(entry, "sizeKB")
            .and_then(|kib| json::whole_of(kib * 1024.0))
            .filter(|bytes| *bytes > 0)
            .map(FileSize::About),
        sha256: hash("SHA256").and_then(|hash| hash.parse().ok()),
        blake3: hash("BLAKE3").and_then(|hash| hash.parse().ok()),
        git_sha1: None,
        auto_v3: hash("AutoV3").and_then(auto_v3),
        kind_label: json::text(entry, "type"),
        format: format(&name, json::text(metadata, "format").as_deref()),
        precision: json::text(metadata, "fp")
            .or_else(|| json::text(metadata, "quantType").filter(|quantisation| quantisation != "None")),
        primary: json::truth(entry, "primary").unwrap_or(false),
        // Built from numbers: the `downloadUrl` beside them varies in host and carries queries that fail.
        locator: format!("/api/download/models/{version_id}?fileId={external_id}"),
        name,
        external_id,
    })
}

/// Whether some file on a version's page has these tensors.
pub(super) fn has_auto_v3(page: &Value, digits: &str) -> bool {
    let version = version(page);
    let files = version.iter().flat_map(|version| &version.files);
    files.filter_map(|file| file.auto_v3.as_deref()).any(|known| known.eq_ignore_ascii_case(digits))
}

/// Given in twelve digits now and in 64 in older answers.
fn auto_v3(digits: &str) -> Option<String> {
    let digits = digits.get(..12).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    Some(digits.to_ascii_lowercase())
}

fn format(name: &str, label: Option<&str>) -> FileFormat {
    let by_name = FileFormat::from_file_name(name);
    match (by_name, label) {
        // Two voices differ about something dangerous: believe the one that warns.
        (FileFormat::Safetensors | FileFormat::Gguf | FileFormat::Other, Some("PickleTensor")) => FileFormat::Pickle,
        (FileFormat::Other, Some("SafeTensor")) => FileFormat::Safetensors,
        (FileFormat::Other, Some("GGUF")) => FileFormat::Gguf,
        (FileFormat::Other, Some("ONNX")) => FileFormat::Onnx,
        _ => by_name,
    }
}

pub(super) fn preview(image: &Value) -> Option<HubPreview> {
    let url = json::text(image, "url")?;
    Some(HubPreview {
        // A model's own page leaves the number out, but it is still the name in the address.
        external_id: json::whole(image, "id").map(|id| id.to_string()).or_else(|| number_in(&url)),
        media: match image.get("type").and_then(Value::as_str) {
            Some("image") => PreviewMedia::Image,
            Some("video") => PreviewMedia::Video,
            Some("audio") => PreviewMedia::Audio,
            Some(_) => PreviewMedia::Unknown,
            // Before there were videos there was no `type`.
            None => PreviewMedia::Image,
        },
        width: json::small(image, "width"),
        height: json::small(image, "height"),
        nsfw_level: json::small(image, "nsfwLevel")
            .or_else(|| image.get("nsfw").and_then(Value::as_str).and_then(old_nsfw_level))
            .unwrap_or(0),
        blurhash: json::text(image, "hash"),
        generation: image.get("meta").filter(|meta| !meta.is_null()).map(Value::to_string),
        url,
    })
}

/// The four words of 2023 in today's bits.
pub(super) fn old_nsfw_level(word: &str) -> Option<u32> {
    match word {
        "None" => Some(1),
        "Soft" => Some(2),
        "Mature" => Some(4),
        "X" => Some(8),
        _ => None,
    }
}

fn number_in(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let (stem, _) = url.path_segments()?.next_back()?.rsplit_once('.')?;
    (!stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit())).then(|| stem.to_owned())
}

/// What stays the same in all addresses of one picture: everything but the size that is asked for.
fn picture_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let segments: Vec<&str> = url.path_segments()?.collect();
    segments.get(1).map(|uuid| (*uuid).to_owned())
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
