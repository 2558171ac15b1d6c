//! The listing of a folder, in which what belongs to a model file is found without asking the disk.
//!
//! A name belongs to the model whose stem, its name without the last ending, it continues with an ending that some tool
//! gives. If it continues several, the longest stem has it: with `a.safetensors` and `a.preview.safetensors` in a folder,
//! `a.preview.png` is a picture of the second. Models with the same stem share what belongs to it. Stems are compared
//! byte by byte, endings without regard to capital letters.
//!
//! Each name is looked at once, so a folder with a hundred thousand of them costs no more for each than a small one.

use super::draw_things::{LISTS, Register};
use paintbox_domain::FileFormat;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

/// Changed when more is read than before, so that folders are read again that did not change.
const READER: u32 = 2;

/// Dots from the end of a name at which an ending may begin: `.preview.7.png` has three.
const MOST_PARTS: usize = 3;

/// The listing of one folder.
#[derive(Debug, Default)]
pub struct Siblings {
    /// What belongs to a stem, by stem; places in `kept`.
    belonging: HashMap<Vec<u8>, Vec<(usize, Role)>>,
    kept: Vec<Sibling>,
    /// Draw Things' lists that are here; places in `kept`.
    lists: Vec<usize>,
    register: OnceLock<Register>,
}

/// A file beside a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sibling {
    pub(super) name: OsString,
    size_bytes: u64,
    modified_ns: i64,
}

/// What a name is to its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A picture or video; the lowest rank is to be shown first.
    Picture(u32),
    Note(Format),
}

/// Formats of what tools write, the one that counts most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Format {
    LoraManager,
    CivitaiInfo,
    StabilityMatrix,
    SwarmUi,
    A1111,
    DrawThings,
    Text,
}

/// Endings of notes. Of several texts, a description counts most.
const NOTES: &[(&str, Format)] = &[
    (".metadata.json", Format::LoraManager),
    (".civitai.info", Format::CivitaiInfo),
    (".cm-info.json", Format::StabilityMatrix),
    (".swarm.json", Format::SwarmUi),
    (".json", Format::A1111),
    (".description.txt", Format::Text),
    (".txt", Format::Text),
    (".md", Format::Text),
];

/// Before a picture's last ending.
const PICTURES: &[&str] = &[".preview", "", ".thumb", ".swarmpreview"];

/// A picture's last ending: first what is decoded here.
const MEDIA: &[&str] = &[".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".jxl", ".mp4", ".webm"];

/// Of [`MEDIA`], how many are pictures that are decoded here.
const DECODED: usize = 5;

/// Whether a file of this name is a model, by the endings that tools keep models under: `safetensors`, `sft`, `gguf`,
/// `ckpt`, `pt`, `pth`, `bin`, `pkl`, `pt2` and `onnx`, in capital letters as well.
#[must_use]
pub fn is_model_name(name: &OsStr) -> bool {
    let Some((_, ending)) = split(name.as_bytes(), 1) else { return false };
    let Some(ending) = std::str::from_utf8(ending).ok().map(str::to_ascii_lowercase) else { return false };
    match FileFormat::from_file_name(&ending) {
        FileFormat::Safetensors | FileFormat::Gguf | FileFormat::Pickle | FileFormat::Onnx => true,
        FileFormat::Archive | FileFormat::Json | FileFormat::Text | FileFormat::Image | FileFormat::Other => {
            ending == ".pt2"
        }
    }
}

impl Siblings {
    /// Of a folder's plain files and links to such: each one's name, length in bytes, and time of last change in
    /// nanoseconds since 1970. Folders need not be left out, but those named like a picture would count as one.
    #[must_use]
    pub fn of(listing: impl IntoIterator<Item = (OsString, u64, i64)>) -> Self {
        let mut models = HashSet::new();
        let mut others = Vec::new();
        for (name, size_bytes, modified_ns) in listing {
            match split(name.as_bytes(), 1) {
                Some((stem, _)) if is_model_name(&name) => {
                    models.insert(stem.to_vec());
                }
                _ => others.push(Sibling { name, size_bytes, modified_ns }),
            }
        }
        let mut siblings = Self::default();
        for sibling in others {
            let place = siblings.kept.len();
            let name = sibling.name.as_bytes();
            // From the longest stem to the shortest.
            let owner = (1..=MOST_PARTS).find_map(|parts| {
                let (stem, ending) = split(name, parts)?;
                Some((stem.to_vec(), role(ending)?)).filter(|(stem, _)| models.contains(stem))
            });
            let is_list = LISTS.iter().any(|(list, _)| sibling.name == OsStr::new(list));
            if is_list {
                siblings.lists.push(place);
            }
            if let Some((stem, role)) = &owner {
                siblings.belonging.entry(stem.clone()).or_default().push((place, *role));
            }
            if is_list || owner.is_some() {
                siblings.kept.push(sibling);
            }
        }
        siblings
    }

    /// What belongs to a model file, in no order.
    pub(super) fn belonging_to(&self, model: &OsStr) -> impl Iterator<Item = (&Sibling, Role)> {
        let stem = split(model.as_bytes(), 1).map(|(stem, _)| stem);
        let places = stem.and_then(|stem| self.belonging.get(stem)).map_or(&[][..], Vec::as_slice);
        places.iter().map(|(place, role)| (&self.kept[*place], *role))
    }

    /// Draw Things' lists of this folder, read the first time that somebody asks; none if there are none.
    pub(super) fn register(&self, folder: &Path) -> Option<&Register> {
        if self.lists.is_empty() {
            return None;
        }
        let names = self.lists.iter().map(|place| self.kept[*place].name.as_os_str());
        Some(self.register.get_or_init(|| Register::read(folder, names)))
    }

    /// See [`super::Beside::stamp`].
    pub(super) fn stamp(&self, model: &OsStr) -> u64 {
        let lists = self.lists.iter().map(|place| &self.kept[*place]);
        // What lies in the lists of Draw Things concerns only its own files.
        let is_listed = model.as_bytes().ends_with(b".ckpt");
        let mut all: Vec<&Sibling> = self.belonging_to(model).map(|(sibling, _)| sibling).collect();
        all.extend(lists.filter(|_| is_listed));
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let mut hash = blake3::Hasher::new();
        hash.update(&READER.to_le_bytes());
        for sibling in all {
            hash.update(&(sibling.name.len() as u64).to_le_bytes());
            hash.update(sibling.name.as_bytes());
            hash.update(&sibling.size_bytes.to_le_bytes());
            hash.update(&sibling.modified_ns.to_le_bytes());
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}

/// A name before and from the dot that `parts` parts follow; none if it has fewer, or would be left empty.
fn split(name: &[u8], parts: usize) -> Option<(&[u8], &[u8])> {
    let dots = name.iter().enumerate().rev().filter(|(_, byte)| **byte == b'.').map(|(place, _)| place);
    let dot = dots.take(parts).nth(parts.checked_sub(1)?)?;
    (dot > 0).then(|| name.split_at(dot))
}

/// What an ending makes of a name; none if no tool gives it.
fn role(ending: &[u8]) -> Option<Role> {
    // The longest is shorter than this, and a number has at most six digits.
    const LONGEST: usize = 32;
    let ending = std::str::from_utf8(ending).ok().filter(|ending| ending.len() <= LONGEST)?.to_ascii_lowercase();
    if let Some((_, format)) = NOTES.iter().find(|(known, _)| *known == ending) {
        return Some(Role::Note(*format));
    }
    let (media, before) =
        MEDIA.iter().enumerate().find_map(|(place, known)| Some((place, ending.strip_suffix(known)?)))?;
    let (before, number) = match before.rsplit_once('.') {
        Some((".preview", number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            (".preview", number.parse::<u32>().ok().filter(|number| *number < 1_000_000)? + 1)
        }
        _ => (before, 0),
    };
    let place = PICTURES.iter().position(|known| *known == before)?;
    // Whether it is decoded, then where it is from, then its number, then its format.
    let rank = [usize::from(media >= DECODED), place, number as usize, media];
    let rank = rank
        .into_iter()
        .zip([2, PICTURES.len(), 1_000_001, MEDIA.len()])
        .fold(0, |all, (digit, base)| all * base + digit);
    u32::try_from(rank).ok().map(Role::Picture)
}

#[cfg(test)]
#[path = "siblings_tests.rs"]
mod tests;
