//! `name.cm-info.json` of StabilityMatrix (LykosAI/StabilityMatrix @ c255230f
//! `StabilityMatrix.Core/Models/ConnectedModelInfo.cs`). Numbers are CivitAI's only if `Source` says so: it may as well
//! come from OpenModelDB or CivArchive. `Source` is written as the number of its place in
//! `ConnectedModelSource.cs`, and was not written before there was another.

use super::claims::{Claims, Identity, Page, Personal};
use super::wire::{self, Object};
use serde_json::Value;

pub(super) fn read(object: &Object) -> Claims {
    let from_civitai = match object.get("Source") {
        None | Some(Value::Null) => true,
        Some(Value::Number(number)) => number.as_u64() == Some(0),
        Some(Value::String(name)) => name == "Civitai",
        Some(_) => false,
    };
    let empty = Object::new();
    let hashes = wire::object(object, "Hashes").unwrap_or(&empty);
    Claims {
        identity: Identity {
            civitai_model: wire::id(object, "ModelId").filter(|_| from_civitai),
            civitai_version: wire::id(object, "VersionId").filter(|_| from_civitai),
            sha256: wire::digest(hashes, "SHA256"),
            blake3: wire::digest(hashes, "BLAKE3"),
            auto_v3: None,
        },
        page: Page {
            model_name: wire::name(object, "ModelName"),
            version_name: wire::name(object, "VersionName"),
            creator: wire::name(object, "AuthorUsername"),
            base_model: wire::name(object, "BaseModel"),
            kind_label: wire::name(object, "ModelType"),
            trained_words: wire::texts(object, "TrainedWords"),
            tags: wire::texts(object, "Tags"),
            description: wire::text(object, "ModelDescription").or_else(|| wire::text(object, "VersionDescription")),
            nsfw_level: wire::nsfw_level_of_truth(object, "Nsfw"),
            ..Page::default()
        },
        personal: Personal { title: wire::name(object, "UserTitle"), ..Personal::default() },
    }
}
