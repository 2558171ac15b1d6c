//! What other tools wrote beside a model file: what they know of it, and pictures of it. Read, never written.
//!
//! Nothing here is trusted. Numbers and digests are claims that a hub or the bytes themselves confirm; texts are
//! bounded and without control characters; a file that is too long, no JSON or no plain file is left out and named with
//! the reason. There are no errors: whatever lies there, a scan goes on.
//!
//! # What is read, and what counts more
//!
//! Of `name.safetensors`, in this order:
//!
//! 1. `name.metadata.json`, ComfyUI-Lora-Manager: the hub's answer and what its user changed
//! 2. `name.civitai.info`, Civitai Helper for A1111: the hub's answer, word for word
//! 3. `name.cm-info.json`, StabilityMatrix
//! 4. `name.swarm.json`, SwarmUI
//! 5. `name.json`, A1111 and Forge
//! 6. Draw Things' `custom*.json`, of all files of a folder ([`draw_things`])
//! 7. `name.description.txt`, `name.txt`, `name.md`: notes
//!
//! What an earlier one does not say, a later one may. But a file that names another model, version or digest than the
//! ones before it is about another model: of such a file only what its user wrote counts (notes, weight, favourite),
//! and it is listed in [`Beside::disagreeing`].
//!
//! # Pictures
//!
//! First the one that LoRA-Manager's user chose; then those that are decoded here (`png`, `jpg`, `jpeg`, `webp`, `gif`),
//! then `avif`, `jxl`, `mp4` and `webm`; of each `name.preview.*`, `name.preview.<number>.*`, `name.*`, `name.thumb.*`
//! and `name.swarmpreview.*`.
//!
//! The names are those of AUTOMATIC1111/stable-diffusion-webui @ 00553368942c and
//! lllyasviel/stable-diffusion-webui-forge @ dfdcbab685e5 `modules/ui_extra_networks.py`, willmiao/ComfyUI-Lora-Manager @
//! 25e72b43 `py/utils/constants.py`, mcmonkeyprojects/SwarmUI @ 062407c7 `src/Text2Image/T2IModelHandler.cs`, and
//! CurtisDS/sd-model-preview-xd @ 1ba570b35a40 `README.md`.

mod a1111;
pub(crate) mod bounded;
mod civitai;
mod claims;
pub mod draw_things;
mod lora_manager;
mod siblings;
mod stability_matrix;
mod swarmui;
mod wire;

pub use bounded::{Skipped, read_picture};
pub use claims::{Claims, Identity, Page, Personal};
pub use siblings::{Siblings, is_model_name};

use siblings::{Format, Role};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What lies beside one model file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    /// What the files say, put together.
    pub claims: Claims,
    /// Pictures and videos, the one to show first. They have not been opened.
    pub pictures: Vec<PathBuf>,
    /// Names of the files that said something, the one that counts most first.
    pub sources: Vec<OsString>,
    /// Names of those that are about another model.
    pub disagreeing: Vec<OsString>,
    /// Names of those that were left out, and why.
    pub skipped: Vec<(OsString, Skipped)>,
}

impl Beside {
    /// Reads what belongs to `model`, a file's name in `folder`, whose listing is `siblings`.
    #[must_use]
    pub fn read(folder: &Path, model: &OsStr, siblings: &Siblings) -> Self {
        let mut beside = Self::default();
        let mut chosen = None;
        let mut pictures = Vec::new();
        let mut formats = Vec::new();
        for (sibling, role) in siblings.belonging_to(model) {
            match role {
                Role::Picture(rank) => pictures.push((rank, &sibling.name)),
                Role::Note(format) => formats.push((format, &sibling.name)),
            }
        }
        formats.sort_unstable();
        let mut register = siblings.register(folder).and_then(|register| register.of(model));
        for (format, name) in formats {
            if format > Format::DrawThings {
                beside.take_from_register(&mut register);
            }
            match read_one(&folder.join(name), format, model) {
                Ok(Some(read)) => {
                    chosen = chosen.or(read.chosen_picture);
                    beside.take(name.clone(), read.claims);
                }
                Ok(None) => {}
                Err(skipped) => beside.skipped.push((name.clone(), skipped)),
            }
        }
        beside.take_from_register(&mut register);
        pictures.sort_unstable_by_key(|(rank, name)| (chosen.as_ref() != Some(*name), *rank, *name));
        beside.pictures = pictures.into_iter().map(|(_, name)| folder.join(name)).collect();
        beside
    }

    /// A number that changes when something that belongs to `model` comes, goes, or gets another length or time, so
    /// that nothing is opened to find out that nothing happened. It may be stored: it is the same on every machine, and
    /// another one when a later Paintbox reads more than this one.
    #[must_use]
    pub fn stamp(model: &OsStr, siblings: &Siblings) -> u64 {
        siblings.stamp(model)
    }

    fn take_from_register(&mut self, register: &mut Option<(&OsStr, &Claims)>) {
        if let Some((name, claims)) = register.take() {
            self.take(name.to_owned(), claims.clone());
        }
    }

    fn take(&mut self, name: OsString, claims: Claims) {
        if self.claims.take(claims) {
            self.sources.push(name);
        } else {
            self.disagreeing.push(name);
        }
    }
}

/// What one file says.
#[derive(Debug, Default)]
struct Read {
    claims: Claims,
    /// The name of the picture that somebody chose.
    chosen_picture: Option<OsString>,
}

impl From<Claims> for Read {
    fn from(claims: Claims) -> Self {
        Self { claims, chosen_picture: None }
    }
}

/// None when the file says nothing of a model.
fn read_one(path: &Path, format: Format, model: &OsStr) -> Result<Option<Read>, Skipped> {
    if format == Format::Text {
        let notes = wire::long_text(&bounded::read_text(path)?);
        let personal = Personal { notes, ..Personal::default() };
        return Ok((personal != Personal::default()).then(|| Claims { personal, ..Claims::default() }.into()));
    }
    let object = bounded::read_object(path)?;
    let read: Read = match format {
        Format::LoraManager => lora_manager::read(&object, model),
        Format::CivitaiInfo => civitai::version(&object, model, None).into(),
        Format::StabilityMatrix => stability_matrix::read(&object).into(),
        Format::SwarmUi => swarmui::read(&object).into(),
        Format::A1111 => a1111::read(&object).into(),
        Format::DrawThings | Format::Text => Read::default(),
    };
    Ok((read.claims != Claims::default()).then_some(read))
}

#[cfg(test)]
#[path = "beside_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "beside_damage_tests.rs"]
mod damage_tests;
