//! `name.civitai.info`: the answer of CivitAI's `/api/v1/model-versions/by-hash/`, word for word, written by Civitai
//! Helper for A1111 (butaixianran/Stable-Diffusion-Webui-Civitai-Helper @ bcbb4b7 `scripts/ch_lib/civitai.py`,
//! `scripts/ch_lib/model_action_civitai.py`). `{}` means that the hub does not know the file. Other tools keep the same
//! answer inside their own.

use super::claims::{Claims, Identity, Page};
use super::wire::{self, Object};
use paintbox_domain::Sha256;
use serde_json::Value;
use std::ffi::OsStr;

/// What an answer about a version says of `model`, a file of it by its name on this disk, and by its digest where a tool
/// has worked that out.
pub(super) fn version(answer: &Object, model: &OsStr, known: Option<Sha256>) -> Claims {
    let empty = Object::new();
    let page = wire::object(answer, "model").unwrap_or(&empty);
    let hashes = file(answer, model, known).and_then(|file| wire::object(file, "hashes")).unwrap_or(&empty);
    let creator = wire::object(answer, "creator").or_else(|| wire::object(page, "creator")).unwrap_or(&empty);
    Claims {
        identity: Identity {
            civitai_model: wire::id(answer, "modelId"),
            civitai_version: wire::id(answer, "id"),
            sha256: wire::digest::<Sha256>(hashes, "SHA256"),
            blake3: wire::digest(hashes, "BLAKE3"),
            auto_v3: wire::auto_v3(hashes, "AutoV3"),
        },
        page: Page {
            model_name: wire::name(page, "name"),
            version_name: wire::name(answer, "name"),
            creator: wire::name(creator, "username"),
            base_model: wire::name(answer, "baseModel"),
            kind_label: wire::name(page, "type"),
            declared_kind: None,
            trained_words: wire::texts(answer, "trainedWords"),
            tags: wire::texts(page, "tags"),
            description: wire::text(page, "description").or_else(|| wire::text(answer, "description")),
            nsfw_level: wire::nsfw_level(answer, "nsfwLevel")
                .or_else(|| wire::nsfw_level(page, "nsfwLevel"))
                .or_else(|| wire::nsfw_level_of_truth(page, "nsfw")),
            // Answers of 2023 have only `createdAt`.
            published_at: wire::time(answer, "publishedAt").or_else(|| wire::time(answer, "createdAt")),
            licence: permissions(page),
        },
        ..Claims::default()
    }
}

/// The file of a version that is meant: the one with the known digest; without one, the one with this name, else the one
/// that CivitAI calls primary, else the only one. Of several others none, since a digest of another file would be worse
/// than none.
fn file<'a>(answer: &'a Object, model: &OsStr, known: Option<Sha256>) -> Option<&'a Object> {
    let files = || wire::list(answer, "files");
    if known.is_some() {
        let digest = |file: &Object| wire::object(file, "hashes").and_then(|hashes| wire::digest(hashes, "SHA256"));
        return files().find(|file| digest(file) == known);
    }
    let named = |file: &&Object| file.get("name").and_then(Value::as_str).is_some_and(|name| OsStr::new(name) == model);
    files()
        .find(named)
        .or_else(|| files().find(|file| wire::truth(file, "primary") == Some(true)))
        .or_else(|| files().next().filter(|_| files().count() == 1))
}

/// The permission fields that are there, as JSON and otherwise untouched.
fn permissions(page: &Object) -> Option<String> {
    let known = ["allowNoCredit", "allowCommercialUse", "allowDerivatives", "allowDifferentLicense"];
    let found: Object = known
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), page.get(key).filter(|value| !value.is_null())?.clone())))
        .collect();
    if found.is_empty() {
        return None;
    }
    // Four words and lists of words; whatever is longer was not written by a hub.
    const LONGEST_BYTES: usize = 4096;
    Some(Value::Object(found).to_string()).filter(|text| text.len() <= LONGEST_BYTES)
}
