//! Which tool a folder of models belongs to, and which folders below it hold models.
//!
//! A layout is told from what is really in the folder: a program's root, its folder of models, or a folder that holds
//! either. It decides where to look, and what a folder's name declares of the files in it; what a file is, its tensors
//! say.
//!
//! | layout | a program's root has | its folder of models has | source |
//! | --- | --- | --- | --- |
//! | `comfyui` | `folder_paths.py`, or `models` and `custom_nodes` | two of `checkpoints`, `loras`, … | comfyanonymous/ComfyUI @ 00db33f6b7fc `folder_paths.py` |
//! | `a1111` | `models` and `webui.sh`, `webui-user.*` or `extensions-builtin` | `Stable-diffusion` | AUTOMATIC1111/stable-diffusion-webui @ 04b4508a66de `modules/paths_internal.py`; lllyasviel/stable-diffusion-webui-forge @ dfdcbab685e5 `modules/sd_models.py` |
//! | `invokeai` | `invokeai.yaml` or `databases/invokeai.db` | `model_images`, `.download_cache`, `.convert_cache`, or, of version 3, `core` and `sd-1/lora` or the like | invoke-ai/InvokeAI @ 8e71a8a51939 `invokeai/app/services/config/config_default.py`, `model_install/model_install_default.py` |
//! | `swarmui` | `Models` and `Data/Settings.fds`, `dlbackend` or `launch-linux.sh` | `Stable-Diffusion` | mcmonkeyprojects/SwarmUI @ 062407c7 `src/Core/Settings.cs`, `src/Core/Program.cs` |
//! | `draw_things` | `Data/Documents/Models`, `Documents/Models` or `Models` that is one | `.ckpt` files that are SQLite databases | drawthingsai/draw-things-community @ bfafc68c `Libraries/ModelZoo/Sources/ModelZoo.swift` |
//! | `stability_matrix` | `Models` and `Packages`, or both below `Data` | `StableDiffusion` | LykosAI/StabilityMatrix @ c255230f `StabilityMatrix.Core/Models/SharedFolderType.cs`, `Services/SettingsManager.cs` |
//! | `hf_cache` | `hub` that is one | `models--org--name` | huggingface/huggingface_hub @ ee0a4510f4bc `docs/source/en/guides/manage-cache.md` |
//! | `plain` | anything else | | |
//!
//! Forge and its descendants are `a1111`: they keep models where it does. Names are compared letter by letter, since
//! `Stable-diffusion` and `Stable-Diffusion` are two tools.

mod comfyui;
mod declared;
mod part;
mod place;
mod settings;
mod snapshot;

pub use declared::declared_by_file_name;
pub use part::named_after_folders;
pub use snapshot::Snapshot;

use paintbox_domain::ModelKind;
use place::{Names, Place};
use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// A way of keeping models on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    ComfyUi,
    /// AUTOMATIC1111's web interface, Forge and its descendants.
    A1111,
    InvokeAi,
    SwarmUi,
    DrawThings,
    /// The folder that StabilityMatrix shares among the programs it installs.
    StabilityMatrix,
    /// The cache of Hugging Face's libraries.
    HfCache,
    /// Somebody's own order.
    Plain,
}

impl Layout {
    pub const ALL: &'static [Self] = &[
        Self::ComfyUi,
        Self::A1111,
        Self::InvokeAi,
        Self::SwarmUi,
        Self::DrawThings,
        Self::StabilityMatrix,
        Self::HfCache,
        Self::Plain,
    ];

    /// The stable name, as stored, sent and printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ComfyUi => "comfyui",
            Self::A1111 => "a1111",
            Self::InvokeAi => "invokeai",
            Self::SwarmUi => "swarmui",
            Self::DrawThings => "draw_things",
            Self::StabilityMatrix => "stability_matrix",
            Self::HfCache => "hf_cache",
            Self::Plain => "plain",
        }
    }

    /// The value of a stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|layout| layout.as_str() == name)
    }

    /// The layout of a folder as it is now. A folder that cannot be read, and one that fits nothing, is plain.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let names = Names::of(root);
        Self::ALL.iter().copied().find(|layout| layout.place(root, &names).is_some()).unwrap_or(Self::Plain)
    }

    /// The folders at or below `root` that hold models, none of them below another. What a program keeps beside them
    /// (its environment, what it painted, extensions, caches) is in none of them. A root that does not look like this
    /// layout any more is searched whole, so that nothing is lost from sight.
    #[must_use]
    pub fn roots(self, root: &Path) -> Vec<PathBuf> {
        let Some(place) = self.place(root, &Names::of(root)) else { return vec![root.to_owned()] };
        let mut roots = match place {
            Place::Models(models) => self.roots_in_models(models),
            Place::Program(program) => self.roots_in_program(&program),
        };
        roots.retain(|path| path.starts_with(root) && path.is_dir());
        roots.sort();
        // In this order a folder follows right after the ones it lies in.
        let mut outermost: Vec<PathBuf> = Vec::with_capacity(roots.len());
        for path in roots {
            if outermost.last().is_none_or(|last| !path.starts_with(last)) {
                outermost.push(path);
            }
        }
        outermost
    }

    /// Folders elsewhere that the program was told to look into as well. They are for a person to say yes to, and are
    /// not followed. One that begins with `~` or `$` stands as it is written; of the others, those that exist.
    #[must_use]
    pub fn suggestions(self, root: &Path) -> Vec<PathBuf> {
        let Some(Place::Program(program)) = self.place(root, &Names::of(root)) else { return Vec::new() };
        let mut named = match self {
            Self::ComfyUi => comfyui::extra_paths(&program),
            Self::InvokeAi => settings::invokeai_models(&program).into_iter().collect(),
            Self::SwarmUi => settings::swarmui_models(&program),
            Self::A1111 => settings::a1111_models(&program),
            Self::DrawThings | Self::StabilityMatrix | Self::HfCache | Self::Plain => Vec::new(),
        };
        named.retain(|path| !path.starts_with(root) && (is_unexpanded(path) || path.is_dir()));
        named.sort();
        named.dedup();
        named
    }

    /// What the folders on the way to a file declare it to be; `relative` is the file's path from the library's root.
    /// A declaration is shown as such and decides nothing.
    ///
    /// A tool means its own outermost folder: `models/loras/vae tests/a.safetensors` is declared a LoRA. In a plain
    /// folder the nearest name counts. Draw Things keeps everything in one folder, so there the file's own name speaks
    /// ([`declared_by_file_name`]).
    #[must_use]
    pub fn folder_kind(self, relative: &Path) -> Option<ModelKind> {
        let folders = || {
            let folders = relative.parent().into_iter().flat_map(Path::components);
            folders.filter_map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
        };
        match self {
            Self::DrawThings => declared_by_file_name(relative.file_name()?),
            // models--org--name/snapshots/<commit>/<component of a pipeline>/…
            Self::HfCache => {
                folders().skip_while(|name| *name != "snapshots").skip(2).find_map(declared::kind_of_component)
            }
            Self::Plain => folders().filter_map(declared::kind_of_folder).next_back(),
            Self::InvokeAi => folders().find_map(declared::kind_of_invokeai_folder),
            Self::ComfyUi | Self::A1111 | Self::SwarmUi | Self::StabilityMatrix => {
                folders().find_map(declared::kind_of_folder)
            }
        }
    }

    /// Which file of which repository a path in a cache of Hugging Face claims to be; `relative` is from the library's
    /// root. Of other layouts none.
    #[must_use]
    pub fn snapshot(self, relative: &Path) -> Option<Snapshot> {
        if self == Self::HfCache { Snapshot::of(relative) } else { None }
    }

    /// Whether a folder of this name, anywhere below a root, is passed over: it holds no models of anybody's, or copies
    /// that a program may throw away at any time.
    #[must_use]
    pub fn passes_over(self, folder: &OsStr) -> bool {
        let Some(name) = folder.to_str() else { return false };
        match name {
            ".git"
            | ".venv"
            | "venv"
            | "__pycache__"
            | "node_modules"
            | "site-packages"
            | ".cache"
            | ".Trash"
            | ".Trashes"
            | ".Spotlight-V100"
            | ".fseventsd"
            | "$RECYCLE.BIN"
            | "System Volume Information"
            | "lost+found"
            | "@eaDir" => true,
            // Half-done downloads, and copies in another format (InvokeAI, `config_default.py`).
            ".download_cache" | ".convert_cache" | "model_images" => self == Self::InvokeAi,
            // What is missing, and who holds a lock (huggingface_hub, `docs/source/en/guides/manage-cache.md`).
            ".no_exist" | ".locks" | "refs" | "trees" => self == Self::HfCache,
            _ => name.starts_with(".Trash-"),
        }
    }

    /// The picture that a program keeps of a model in another folder than the model's; `relative` is the path from
    /// `root`, one of [`Self::roots`], to the model's file.
    ///
    /// InvokeAI installs a model as `<key>/<file>` and keeps its picture as `model_images/<key>.webp`
    /// (invoke-ai/InvokeAI @ 8e71a8a51939 `invokeai/app/services/model_images/model_images_default.py`). The other tools
    /// put pictures beside models, or into a folder that only their settings know: LoRA-Manager's example pictures lie
    /// in `<example_images_path>/<sha256>/` (willmiao/ComfyUI-Lora-Manager @ 25e72b43
    /// `py/utils/example_images_paths.py`).
    #[must_use]
    pub fn picture_elsewhere(self, root: &Path, relative: &Path) -> Option<PathBuf> {
        if self != Self::InvokeAi {
            return None;
        }
        let mut parts = relative.components();
        let Some(Component::Normal(key)) = parts.next() else { return None };
        parts.next()?;
        let mut name = key.to_owned();
        name.push(".webp");
        let picture = root.join("model_images").join(name);
        picture.is_file().then_some(picture)
    }

    fn roots_in_models(self, models: PathBuf) -> Vec<PathBuf> {
        match self {
            Self::HfCache => {
                let names = Names::of(&models);
                names.folders_starting_with("models--").map(|name| models.join(name).join("snapshots")).collect()
            }
            _ => vec![models],
        }
    }

    fn roots_in_program(self, program: &Path) -> Vec<PathBuf> {
        let below = |folders: &[&str]| folders.iter().map(|folder| program.join(folder)).collect::<Vec<_>>();
        match self {
            Self::ComfyUi => {
                let mut roots = below(&["models"]);
                roots.extend(comfyui::extra_paths(program));
                roots
            }
            Self::A1111 => {
                let mut roots = below(&["models", "embeddings"]);
                // Such as sd-webui-controlnet's own folder, before it used the common one (Mikubill/sd-webui-controlnet,
                // `scripts/global_state.py`, `cn_models_dir_old`).
                let extensions = program.join("extensions");
                roots.extend(Names::of(&extensions).folders().map(|name| extensions.join(name).join("models")));
                roots.extend(settings::a1111_models(program));
                roots
            }
            Self::InvokeAi => {
                // `autoimport` is where version 3 took models from that lie elsewhere.
                let mut roots = below(&["models", "autoimport"]);
                roots.extend(settings::invokeai_models(program));
                roots
            }
            Self::SwarmUi => {
                let mut roots = below(&["Models", "dlbackend/comfy/ComfyUI/models", "dlbackend/ComfyUI/models"]);
                roots.extend(settings::swarmui_models(program));
                roots
            }
            Self::StabilityMatrix => {
                // A program that it installed has links into the shared folder, and whatever it got by itself.
                let mut roots = below(&["Models"]);
                let packages = program.join("Packages");
                for name in Names::of(&packages).folders() {
                    let package = packages.join(name);
                    match Self::of(&package) {
                        Self::Plain | Self::StabilityMatrix => {}
                        layout => roots.extend(layout.roots(&package)),
                    }
                }
                roots
            }
            Self::DrawThings | Self::HfCache | Self::Plain => vec![program.to_owned()],
        }
    }

    fn place(self, root: &Path, names: &Names) -> Option<Place> {
        place::of(self, root, names)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a path needs somebody's home or environment to be one.
fn is_unexpanded(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.starts_with(['~', '$']))
}

/// `path`, from `base` if it is relative, without `.` and `..`. Only text: nothing is looked up, so that a path is not
/// led elsewhere by a link.
fn absolute(base: &Path, path: &str) -> PathBuf {
    let path = Path::new(path);
    if is_unexpanded(path) {
        return path.to_owned();
    }
    let mut whole = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                whole.pop();
            }
            part => whole.push(part),
        }
    }
    whole
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
