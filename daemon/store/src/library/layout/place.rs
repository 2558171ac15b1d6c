//! Where in a folder a tool's models are, told from the names in it.

use super::Layout;
use crate::library::beside::draw_things;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Folders that ComfyUI makes below `models` and no other tool names so.
const COMFYUI_FOLDERS: &[&str] = &[
    "checkpoints",
    "loras",
    "diffusion_models",
    "unet",
    "text_encoders",
    "clip_vision",
    "upscale_models",
    "style_models",
    "vae_approx",
    "model_patches",
    "audio_encoders",
    "latent_upscale_models",
];

/// Folders of InvokeAI 3 for base models, and those below for kinds
/// (invoke-ai/InvokeAI @ 8e71a8a51939 `invokeai/backend/model_manager/taxonomy.py`).
const INVOKEAI_BASES: &[&str] = &["any", "sd-1", "sd-2", "sd-3", "sdxl", "sdxl-refiner", "flux"];
const INVOKEAI_KINDS: &[&str] =
    &["main", "lora", "vae", "controlnet", "embedding", "ip_adapter", "t2i_adapter", "clip_vision", "onnx"];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A program's own folder, with models somewhere below.
    Program(PathBuf),
    /// A folder of models.
    Models(PathBuf),
}

/// The names in one folder; what a link leads to counts. A folder that cannot be read has none.
#[derive(Debug, Default)]
pub(super) struct Names {
    folders: BTreeSet<OsString>,
    files: BTreeSet<OsString>,
}

impl Names {
    pub(super) fn of(folder: &Path) -> Self {
        let mut names = Self::default();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(mut kind) = entry.file_type() else { continue };
            if kind.is_symlink() {
                let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
                kind = metadata.file_type();
            }
            if kind.is_dir() {
                names.folders.insert(entry.file_name());
            } else if kind.is_file() {
                names.files.insert(entry.file_name());
            }
        }
        names
    }

    pub(super) fn folders(&self) -> impl Iterator<Item = &OsStr> {
        self.folders.iter().map(OsString::as_os_str)
    }

    pub(super) fn folders_starting_with<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a OsStr> {
        let begins = move |name: &&OsStr| name.as_encoded_bytes().starts_with(start.as_bytes());
        self.folders().filter(begins)
    }

    fn has_folder(&self, name: &str) -> bool {
        self.folders.contains(OsStr::new(name))
    }

    fn has_file(&self, name: &str) -> bool {
        self.files.contains(OsStr::new(name))
    }

    fn count_of(&self, folders: &[&str]) -> usize {
        folders.iter().filter(|name| self.has_folder(name)).count()
    }
}

/// Where `layout` has its models, if `root` is one of its folders.
pub(super) fn of(layout: Layout, root: &Path, names: &Names) -> Option<Place> {
    // A program may lie one folder further down: the archives that people unpack have such a folder around it.
    let inner: &[&str] = match layout {
        Layout::ComfyUi => &["ComfyUI"],
        Layout::A1111 => &["webui"],
        Layout::StabilityMatrix => &["Data"],
        Layout::DrawThings => &["Models", "Documents/Models", "Data/Documents/Models"],
        Layout::HfCache => &["hub", "huggingface/hub"],
        Layout::InvokeAi | Layout::SwarmUi | Layout::Plain => &[],
    };
    here(layout, root, names).or_else(|| {
        inner.iter().find_map(|folder| {
            let below = root.join(folder);
            here(layout, &below, &Names::of(&below))
        })
    })
}

fn here(layout: Layout, root: &Path, names: &Names) -> Option<Place> {
    let (program, models) = match layout {
        Layout::ComfyUi => (
            names.has_file("folder_paths.py") || (names.has_folder("models") && names.has_folder("custom_nodes")),
            names.count_of(COMFYUI_FOLDERS) >= 2,
        ),
        Layout::A1111 => (
            names.has_folder("models")
                && (names.has_folder("extensions-builtin")
                    || ["webui.sh", "webui-user.sh", "webui-user.bat"].iter().any(|name| names.has_file(name))),
            names.has_folder("Stable-diffusion"),
        ),
        Layout::InvokeAi => (
            names.has_file("invokeai.yaml") || root.join("databases/invokeai.db").is_file(),
            names.count_of(&["model_images", ".download_cache", ".convert_cache"]) > 0 || is_invokeai_3(root, names),
        ),
        Layout::SwarmUi => (
            names.has_folder("Models")
                && (names.has_folder("dlbackend")
                    || names.has_file("launch-linux.sh")
                    || root.join("Data/Settings.fds").is_file()),
            names.has_folder("Stable-Diffusion"),
        ),
        Layout::StabilityMatrix => {
            (names.has_folder("Models") && names.has_folder("Packages"), names.has_folder("StableDiffusion"))
        }
        Layout::DrawThings => (false, draw_things::is_folder_of(root, names.files.iter().map(OsString::as_os_str))),
        Layout::HfCache => (false, names.folders_starting_with("models--").next().is_some()),
        Layout::Plain => (false, false),
    };
    match (program, models) {
        (true, _) => Some(Place::Program(root.to_owned())),
        (false, true) => Some(Place::Models(root.to_owned())),
        (false, false) => None,
    }
}

/// It always made `core`; a person may well have ordered models as `sdxl/lora`, too.
fn is_invokeai_3(root: &Path, names: &Names) -> bool {
    names.has_folder("core")
        && INVOKEAI_BASES
            .iter()
            .filter(|base| names.has_folder(base))
            .any(|base| Names::of(&root.join(base)).count_of(INVOKEAI_KINDS) > 0)
}
