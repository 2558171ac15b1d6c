//! Recorded list items in the words of the domain. The hub crate's own conversion lies above the catalogue and is not
//! to be reached from here; this one reads the same members of the same JSON.

use paintbox_domain::hub::{
    EarlyAccess, FileSize, HubFile, HubModel, HubPreview, HubVersion, ModelState, PreviewMedia,
};
use paintbox_domain::{FileFormat, Hub, ModelKind, Timestamp};
use serde_json::Value;

pub(crate) fn model(item: &Value, raw: String) -> HubModel {
    let kind_label = text(item, "type");
    let versions: Vec<HubVersion> = list(item, "modelVersions").iter().map(version).collect();
    let licence: serde_json::Map<String, Value> =
        ["allowNoCredit", "allowCommercialUse", "allowDerivatives", "allowDifferentLicense"]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), item.get(key)?.clone())))
            .collect();
    HubModel {
        hub: Hub::Civitai,
        external_id: number(item, "id").unwrap_or_default().to_string(),
        name: text(item, "name").unwrap_or_default(),
        kind: match kind_label.as_deref() {
            Some("Checkpoint") => ModelKind::Checkpoint,
            Some("TextualInversion") => ModelKind::TextualInversion,
            _ => ModelKind::Lora,
        },
        kind_label,
        creator: item.get("creator").and_then(|creator| text(creator, "username")),
        creator_id: None,
        description: text(item, "description"),
        tags: texts(item, "tags"),
        nsfw_level: small(item, "nsfwLevel").unwrap_or_default(),
        licence: Some(Value::Object(licence).to_string()),
        downloads: item.get("stats").and_then(|stats| number(stats, "downloadCount")),
        likes: item.get("stats").and_then(|stats| number(stats, "thumbsUpCount")),
        state: ModelState::Published,
        access_granted: None,
        published_at: versions.iter().filter_map(|version| version.published_at).min(),
        updated_at: versions.iter().filter_map(|version| version.published_at).max(),
        versions,
        list_mark: None,
        raw,
    }
}

fn version(entry: &Value) -> HubVersion {
    let external_id = number(entry, "id").unwrap_or_default().to_string();
    let until = time(entry, "earlyAccessEndsAt");
    HubVersion {
        name: text(entry, "name").unwrap_or_default(),
        base_model: text(entry, "baseModel"),
        trained_words: texts(entry, "trainedWords"),
        nsfw_level: small(entry, "nsfwLevel").unwrap_or_default(),
        published_at: time(entry, "publishedAt"),
        early_access: until.is_some().then_some(EarlyAccess { until }),
        download_allowed: true,
        files: list(entry, "files").iter().map(|entry| file(entry, &external_id)).collect(),
        previews: list(entry, "images").iter().map(preview).collect(),
        external_id,
    }
}

fn file(entry: &Value, version: &str) -> HubFile {
    let external_id = number(entry, "id").unwrap_or_default().to_string();
    let hash = |name| entry.get("hashes").and_then(|hashes| text(hashes, name));
    let size = entry.get("sizeKB").and_then(Value::as_f64).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the crawl made it, and small")]
    let size = (size * 1024.0) as u64;
    let name = text(entry, "name").unwrap_or_default();
    HubFile {
        size: Some(FileSize::About(size)),
        sha256: hash("SHA256").and_then(|hash| hash.parse().ok()),
        blake3: hash("BLAKE3").and_then(|hash| hash.parse().ok()),
        git_sha1: None,
        auto_v3: None,
        kind_label: text(entry, "type"),
        format: FileFormat::from_file_name(&name),
        precision: entry.get("metadata").and_then(|metadata| text(metadata, "fp")),
        primary: entry.get("primary").and_then(Value::as_bool).unwrap_or_default(),
        locator: format!("/api/download/models/{version}?fileId={external_id}"),
        name,
        external_id,
    }
}

fn preview(image: &Value) -> HubPreview {
    HubPreview {
        external_id: number(image, "id").map(|id| id.to_string()),
        url: text(image, "url").unwrap_or_default(),
        media: if image.get("type").and_then(Value::as_str) == Some("video") {
            PreviewMedia::Video
        } else {
            PreviewMedia::Image
        },
        width: small(image, "width"),
        height: small(image, "height"),
        nsfw_level: small(image, "nsfwLevel").unwrap_or_default(),
        blurhash: text(image, "hash"),
        generation: image.get("meta").filter(|meta| !meta.is_null()).map(Value::to_string),
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key)?.as_u64()
}

fn small(value: &Value, key: &str) -> Option<u32> {
    number(value, key).and_then(|number| u32::try_from(number).ok())
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    list(value, key).iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn time(value: &Value, key: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = value.get(key)?.as_str()?.parse().ok()?;
    Some(Timestamp::from_unix_ms(time.as_millisecond()))
}
