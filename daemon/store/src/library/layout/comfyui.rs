//! The folders that ComfyUI was told to look into as well: `extra_model_paths.yaml`.
//!
//! ```yaml
//! a1111:
//!     base_path: path/to/stable-diffusion-webui/
//!     checkpoints: models/Stable-diffusion
//!     loras: |
//!          models/Lora
//!          models/LyCORIS
//! ```
//!
//! Each group names folders from its `base_path`, one a line; without one, and if that is relative, from the file's own
//! folder (comfyanonymous/ComfyUI @ 02f13763cbc2 `extra_model_paths.yaml.example`, `utils/extra_config.py`).

use super::absolute;
use crate::library::beside::bounded;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// In the order of the file, as far as it can be read. `custom_nodes` holds code, not models.
pub(super) fn extra_paths(program: &Path) -> Vec<PathBuf> {
    let Ok(text) = bounded::read_text(&program.join("extra_model_paths.yaml")) else { return Vec::new() };
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
    };
    let Ok(Value::Object(groups)) = serde_saphyr::from_str_with_options::<Value>(&text, options) else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    for group in groups.values().filter_map(Value::as_object) {
        let base = match group.get("base_path").and_then(Value::as_str) {
            Some(base) => absolute(program, base.trim()),
            None => program.to_owned(),
        };
        let named =
            group.iter().filter(|(key, _)| !matches!(key.as_str(), "base_path" | "is_default" | "custom_nodes"));
        let lines = named.filter_map(|(_, value)| value.as_str()).flat_map(str::lines).map(str::trim);
        paths.extend(lines.filter(|line| !line.is_empty()).map(|line| absolute(&base, line)));
    }
    paths
}
