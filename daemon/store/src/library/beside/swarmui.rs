//! `name.swarm.json` of SwarmUI (mcmonkeyprojects/SwarmUI @ 062407c7 `src/Text2Image/T2IModel.cs`, `ToNetObject`,
//! `ResaveModel`; `src/WebAPI/ModelsAPI.cs`): ModelSpec's keys, each with `modelspec.` before it. It is written instead
//! of the metadata in a file's header, or by a download. The picture inside it is left alone.

use super::claims::{Claims, Identity, Page, Personal};
use super::wire::{self, Object};

pub(super) fn read(object: &Object) -> Claims {
    let spec: Object = object
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("modelspec.")?.to_owned(), value.clone())))
        .collect();
    let tags = match spec.get("tags").and_then(serde_json::Value::as_str) {
        // ModelSpec knows only texts, and a download writes one.
        Some(tags) => tags.split(',').filter_map(wire::clean_name).collect(),
        None => wire::texts(&spec, "tags"),
    };
    Claims {
        identity: Identity {
            // The digest of the tensors without the header, which is what AutoV3 abbreviates.
            auto_v3: wire::auto_v3(&spec, "hash_sha256"),
            ..Identity::default()
        },
        page: Page {
            model_name: wire::name(&spec, "title"),
            creator: wire::name(&spec, "author"),
            base_model: wire::name(&spec, "class").or_else(|| wire::name(&spec, "architecture")),
            trained_words: wire::texts(&spec, "trigger_phrase"),
            tags,
            description: wire::text(&spec, "description"),
            published_at: wire::time(&spec, "date"),
            licence: wire::text(&spec, "license"),
            ..Page::default()
        },
        personal: Personal {
            notes: wire::text(&spec, "usage_hint"),
            preferred_weight: wire::weight(&spec, "lora_default_weight"),
            ..Personal::default()
        },
    }
}
