//! `name.json` of A1111 and Forge: what is typed into a card's form (AUTOMATIC1111/stable-diffusion-webui @ 097140ac1a3c
//! `modules/ui_extra_networks_user_metadata.py`, `extensions-builtin/Lora/ui_edit_user_metadata.py`). CivitAI Browser+
//! adds `modelId` and `sha256` to it (BlafKing/sd-civitai-browser-plus @ 029cba905d19 `README.md`, version 1.11).
//!
//! A file of this name may be anything, such as a network's configuration; without one of the form's keys it says
//! nothing.

use super::claims::{Claims, Identity, Page, Personal};
use super::wire::{self, Object};

const KEYS: &[&str] =
    &["sd version", "activation text", "preferred weight", "negative text", "notes", "sd_version_str", "modelId"];

pub(super) fn read(object: &Object) -> Claims {
    // A description alone is what the form of a checkpoint writes.
    let is_form =
        KEYS.iter().any(|key| object.contains_key(*key)) || (object.len() == 1 && object.contains_key("description"));
    if !is_form {
        return Claims::default();
    }
    Claims {
        identity: Identity {
            civitai_model: wire::id(object, "modelId"),
            sha256: wire::digest(object, "sha256"),
            ..Identity::default()
        },
        page: Page {
            base_model: wire::name(object, "sd version")
                .or_else(|| wire::name(object, "sd_version_str"))
                .filter(|version| version != "Unknown"),
            trained_words: wire::texts(object, "activation text"),
            description: wire::text(object, "description"),
            ..Page::default()
        },
        personal: Personal {
            notes: wire::text(object, "notes"),
            preferred_weight: wire::weight(object, "preferred weight"),
            negative_words: wire::text(object, "negative text"),
            ..Personal::default()
        },
    }
}
