//! `name.metadata.json` of ComfyUI-Lora-Manager (willmiao/ComfyUI-Lora-Manager @ 25e72b43
//! `docs/metadata-json-schema.md`, `py/utils/models.py`): what its user sees and can change, and below `civitai` the
//! hub's answer about the version, in which trained words may be the user's as well.

use super::Read;
use super::civitai;
use super::claims::{Claims, Identity, Page, Personal};
use super::wire::{self, Object};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::path::Path;

pub(super) fn read(object: &Object, model: &OsStr) -> Read {
    // Of the file as it is here.
    let sha256 = wire::digest(object, "sha256");
    let answer = wire::object(object, "civitai");
    let answer = answer.map(|answer| civitai::version(answer, model, sha256)).unwrap_or_default();
    // It writes the file's own name where it knows no other, and `Unknown` likewise.
    let file_name = wire::name(object, "file_name");
    let tips: Object = object
        .get("usage_tips")
        .and_then(Value::as_str)
        .and_then(|tips| serde_json::from_str(tips).ok())
        .unwrap_or_default();
    let mut page = Page {
        model_name: wire::name(object, "model_name").filter(|name| Some(name) != file_name.as_ref()),
        base_model: wire::name(object, "base_model").filter(|label| label != "Unknown"),
        tags: wire::texts(object, "tags"),
        description: wire::text(object, "modelDescription"),
        trained_words: wire::texts(object, "trainedWords"),
        ..Page::default()
    };
    page.take(answer.page);
    if page.kind_label.is_none() {
        page.kind_label = wire::name(object, "sub_type").or_else(|| wire::name(object, "model_type"));
    }
    let claims = Claims {
        identity: Identity {
            sha256: sha256.or(answer.identity.sha256),
            auto_v3: wire::auto_v3(object, "autov3").or(answer.identity.auto_v3),
            ..answer.identity
        },
        page,
        personal: Personal {
            notes: wire::text(object, "notes"),
            preferred_weight: wire::weight(&tips, "strength"),
            favourite: wire::truth(object, "favorite"),
            picture_nsfw_level: wire::nsfw_level(object, "preview_nsfw_level"),
            ..Personal::default()
        },
    };
    Read { claims, chosen_picture: chosen_picture(object) }
}

/// The name of the picture at `preview_url`, which is a path on the machine that wrote it.
fn chosen_picture(object: &Object) -> Option<OsString> {
    let path = object.get("preview_url")?.as_str()?;
    Path::new(path).file_name().map(OsStr::to_owned)
}
