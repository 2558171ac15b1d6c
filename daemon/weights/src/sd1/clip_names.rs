//! The CLIP text encoder: single files wrap the transformers names, old ones without `text_model.`.

use super::{Named, Take};

const PREFIX: &str = "text_model.";
/// Modules directly below `text_model`, which old files and some exports write without it.
const MODULES: [&str; 3] = ["embeddings.", "encoder.", "final_layer_norm."];
/// Buffers and the parts of the whole CLIP that a text encoder does not need.
const IGNORED: [&str; 3] = ["embeddings.position_ids", "text_projection.weight", "logit_scale"];

pub(super) fn canonical(local: &str) -> Named {
    let inner = local.strip_prefix(PREFIX).unwrap_or(local);
    if IGNORED.contains(&inner) {
        Named::Ignored
    } else if MODULES.iter().any(|module| inner.starts_with(module)) {
        Named::As(format!("{PREFIX}{inner}"), Take::Whole)
    } else {
        Named::NoPlace
    }
}

/// New files keep the canonical name behind their prefix.
pub(super) fn single_file(canonical: &str) -> Option<String> {
    let inner = canonical.strip_prefix(PREFIX)?;
    MODULES.iter().any(|module| inner.starts_with(module)).then(|| canonical.to_owned())
}
