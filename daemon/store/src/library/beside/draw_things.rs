//! Models of Draw Things: SQLite databases named `.ckpt`, and the lists that say what the user's own ones are.
//!
//! Draw Things keeps tensors in databases of its library s4nnc (drawthingsai/draw-things-community @ bfafc68c
//! `Libraries/ModelZoo/Sources/ModelZoo.swift`: files such as `sd_v1.5_f16.ckpt`, all in one folder `Models`), so a
//! `.ckpt` there is neither a pickle nor anything that is painted with here. It is listed, with what is declared of it:
//!
//! | file | holds, as an array of objects with `name` and `file` |
//! | --- | --- |
//! | `custom.json` | checkpoints: `version`, `prefix`, `note` |
//! | `custom_lora.json` | LoRAs: `version`, `prefix`, `weight` (`value`), `note` |
//! | `custom_controlnet.json` | ControlNets: `version`, `type`, `note` |
//! | `custom_textual_inversions.json` | textual inversions: `version`, `keyword` |
//! | `custom_upscaler.json` | upscalers |
//!
//! (`*Zoo.swift` in the same folder, keys in snake_case; `version` is a name of `ModelVersion`,
//! `Libraries/SwiftDiffusion/Sources/Samplers/Sampler.swift`.) An entry that cannot be read is passed over, there and
//! here. What the program offers by itself is in none of these lists; of those the name of the file has to do.

use super::bounded;
use super::claims::{Claims, Page, Personal};
use super::wire::{self, Object};
use crate::library::layout::declared_by_file_name;
use paintbox_domain::ModelKind;
use serde_json::Value;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How a file of Draw Things begins, as every SQLite database does (sqlite.org, "Database File Format", 1.3).
pub const FIRST_BYTES: &[u8; 16] = b"SQLite format 3\0";

/// The lists, and the kind of what each holds.
pub(super) const LISTS: &[(&str, ModelKind)] = &[
    ("custom.json", ModelKind::Checkpoint),
    ("custom_lora.json", ModelKind::Lora),
    ("custom_controlnet.json", ModelKind::ControlNet),
    ("custom_textual_inversions.json", ModelKind::TextualInversion),
    ("custom_upscaler.json", ModelKind::Upscaler),
];

/// Files of a folder that are opened to find out whether it is one of Draw Things.
const MOST_OPENED: usize = 8;

/// Whether a file that begins so is a database rather than a model in a form that is read here.
#[must_use]
pub fn is_database(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(FIRST_BYTES)
}

/// Whether a folder with these files keeps models of Draw Things.
pub(crate) fn is_folder_of<'a>(folder: &Path, files: impl Iterator<Item = &'a OsStr>) -> bool {
    let checkpoints = files.filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "ckpt"));
    checkpoints.take(MOST_OPENED).any(|name| begins_as_database(&folder.join(name)))
}

fn begins_as_database(path: &Path) -> bool {
    let mut head = [0; FIRST_BYTES.len()];
    path.is_file() && File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok()) && is_database(&head)
}

/// What the lists of a folder say of its files.
#[derive(Debug, Default)]
pub(super) struct Register {
    said: HashMap<String, (OsString, Claims)>,
}

impl Register {
    /// Of the lists that are among `lists`, which are names in `folder`. One that cannot be read says nothing.
    pub(super) fn read<'a>(folder: &Path, lists: impl Iterator<Item = &'a OsStr>) -> Self {
        let mut register = Self::default();
        for name in lists {
            let Some((_, kind)) = LISTS.iter().find(|(list, _)| name == OsStr::new(list)) else { continue };
            let Ok(Value::Array(entries)) = bounded::read_json(&folder.join(name)) else { continue };
            for entry in entries.iter().filter_map(Value::as_object) {
                if let Some(Value::String(file)) = entry.get("file") {
                    let said = || (name.to_owned(), claims(entry, *kind));
                    register.said.entry(file.clone()).or_insert_with(said);
                }
            }
        }
        register
    }

    /// The list that names `file`, and what it says.
    pub(super) fn of(&self, file: &OsStr) -> Option<(&OsStr, &Claims)> {
        let (list, claims) = self.said.get(file.to_str()?)?;
        Some((list, claims))
    }
}

fn claims(entry: &Object, kind: ModelKind) -> Claims {
    let empty = Object::new();
    let weight = wire::object(entry, "weight").unwrap_or(&empty);
    // The words that are put before every prompt, or the word that calls an inversion.
    let mut trained_words = wire::texts(entry, "prefix");
    trained_words.extend(wire::texts(entry, "keyword"));
    let said = entry.get("file").and_then(Value::as_str).and_then(|file| declared_by_file_name(OsStr::new(file)));
    Claims {
        page: Page {
            model_name: wire::name(entry, "name"),
            base_model: wire::name(entry, "version"),
            // The list of checkpoints also takes what belongs to one, such as its autoencoder.
            declared_kind: if kind == ModelKind::Checkpoint { said.or(Some(kind)) } else { Some(kind) },
            trained_words,
            ..Page::default()
        },
        personal: Personal {
            notes: wire::text(entry, "note"),
            preferred_weight: wire::weight(weight, "value"),
            ..Personal::default()
        },
        ..Claims::default()
    }
}
