//! Where A1111, Forge, InvokeAI and SwarmUI were told to look for models.

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

/// Arguments of A1111 and Forge that name a folder of models, or an installation whose models are used
/// (AUTOMATIC1111/stable-diffusion-webui @ 04b4508a66de `modules/cmd_args.py`; lllyasviel/stable-diffusion-webui-forge @
/// dfdcbab685e5 the same, `modules_forge/shared.py`, `extensions-builtin/sd_forge_lora/preload.py`).
const A1111_FOLDERS: &[&str] = &[
    "--ckpt-dir",
    "--vae-dir",
    "--lora-dir",
    "--embeddings-dir",
    "--hypernetwork-dir",
    "--text-encoder-dir",
    "--controlnet-dir",
    "--esrgan-models-path",
    "--realesrgan-models-path",
    "--models-dir",
    "--data-dir",
    "--forge-ref-a1111-home",
];

/// What `COMMANDLINE_ARGS` names in `webui-user.sh`: a shell script, from which only plain assignments are read. The
/// program splits the value once more (`modules/paths_internal.py`, `shlex.split`).
pub(super) fn a1111_models(program: &Path) -> Vec<PathBuf> {
    let Ok(text) = bounded::read_text(&program.join("webui-user.sh")) else { return Vec::new() };
    let mut named = Vec::new();
    for line in text.lines() {
        let Some(value) = line.trim().trim_start_matches("export ").trim_start().strip_prefix("COMMANDLINE_ARGS=")
        else {
            continue;
        };
        let arguments = words(value).into_iter().next().map(|value| words(&value)).unwrap_or_default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            if A1111_FOLDERS.contains(&name) {
                named.extend(value.or_else(|| arguments.next()).map(|path| absolute(program, &path)));
            }
        }
    }
    named
}

/// The words of a line as a shell splits them: by spaces, unless between quotes or behind a backslash.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}
