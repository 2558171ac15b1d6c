//! The CLIP text encoder: single files wrap the transformers names, old ones without `text_model.`.

use super::{Component, Named, Take};

const PREFIX: &str = "text_model.";
/// Modules directly below `text_model`, which old files and some exports write without it.
const MODULES: [&str; 3] = ["embeddings.", "encoder.", "final_layer_norm."];
/// Buffers and the parts of the whole CLIP that a text encoder does not need.
const IGNORED: [&str; 2] = ["embeddings.position_ids", "logit_scale"];
/// From the last state to what is added to the timestep's embedding; only XL's second encoder is asked for it.
const PROJECTION: &str = "text_projection.weight";

pub(super) fn canonical(local: &str, component: Component) -> Named {
    let inner = local.strip_prefix(PREFIX).unwrap_or(local);
    if inner == PROJECTION && component == Component::TextEncoder2 {
        Named::one(PROJECTION.to_owned(), Take::Whole)
    } else if inner == PROJECTION || IGNORED.contains(&inner) {
        Named::Ignored
    } else if MODULES.iter().any(|module| inner.starts_with(module)) {
        Named::one(format!("{PREFIX}{inner}"), Take::Whole)
    } else {
        Named::NoPlace
    }
}

/// New files keep the canonical name behind their prefix.
pub(super) fn single_file(canonical: &str) -> Option<String> {
    let inner = canonical.strip_prefix(PREFIX)?;
    MODULES.iter().any(|module| inner.starts_with(module)).then(|| canonical.to_owned())
}
