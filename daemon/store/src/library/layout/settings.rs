//! Where InvokeAI and SwarmUI were told to keep their models.

use super::absolute;
use crate::library::beside::bounded;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// `models_dir` of `invokeai.yaml`, from the root if it is relative; none where it is not set
/// (invoke-ai/InvokeAI @ 8e71a8a51939 `invokeai/app/services/config/config_default.py`). Version 3 had it below
/// `InvokeAI: Paths:`.
pub(super) fn invokeai_models(program: &Path) -> Option<PathBuf> {
    let text = bounded::read_text(&program.join("invokeai.yaml")).ok()?;
    let settings: Value = serde_saphyr::from_str(&text).ok()?;
    let set = settings.get("models_dir").or_else(|| settings.pointer("/InvokeAI/Paths/models_dir"))?;
    Some(absolute(program, set.as_str()?.trim()))
}

/// `ModelRoot` below `Paths` of `Data/Settings.fds`: folders with semicolons between them, from the program's folder
/// (mcmonkeyprojects/SwarmUI @ 062407c7 `src/Core/Settings.cs`, `ModelRoot`, `ActualModelRoots`). The file has one
/// `key: value` a line, and lines that begin with `#` are comments.
pub(super) fn swarmui_models(program: &Path) -> Vec<PathBuf> {
    let Ok(text) = bounded::read_text(&program.join("Data/Settings.fds")) else { return Vec::new() };
    let set = text.lines().find_map(|line| line.trim().strip_prefix("ModelRoot:")).unwrap_or_default();
    set.split(';').map(str::trim).filter(|path| !path.is_empty()).map(|path| absolute(program, path)).collect()
}
