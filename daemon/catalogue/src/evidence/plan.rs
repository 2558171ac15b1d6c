//! From what is known and what a hub answers to the rows that are to be written. Nothing is read or written here.

use super::Coverage;
use super::answer::Answer;
use super::known::{KnownFile, KnownModels, KnownParts, NextIds, take};
use crate::codec;
use paintbox_domain::Hub;
use paintbox_domain::hub::{HubFile, HubModel, HubPreview, HubVersion, ModelState};
use std::collections::{HashMap, HashSet};

/// Rows of one table: those that are not there yet, and those that are.
pub(super) struct Rows<N, K = N> {
    pub(super) new: Vec<N>,
    pub(super) known: Vec<K>,
}

impl<N, K> Default for Rows<N, K> {
    fn default() -> Self {
        Self { new: Vec::new(), known: Vec::new() }
    }
}

impl<T> Rows<T> {
    fn push(&mut self, row: T, known: bool) {
        if known {
            self.known.push(row);
        } else {
            self.new.push(row);
        }
    }
}

impl<T> Rows<T, (i64, T)> {
    /// Of rows that nothing points at yet: SQLite numbers the new ones.
    fn push_as(&mut self, row: T, known: Option<i64>) {
        match known {
            Some(id) => self.known.push((id, row)),
            None => self.new.push(row),
        }
    }
}

pub(super) struct ModelRow<'a> {
    pub(super) id: i64,
    pub(super) answer: &'a Answer<'a>,
}

impl ModelRow<'_> {
    /// Whether the answer says which tags the model has. An emptied page says nothing of them.
    pub(super) fn says_tags(&self) -> bool {
        !(is_emptied(self.answer.model) && self.answer.model.tags.is_empty())
    }
}

pub(super) struct VersionRow<'a> {
    pub(super) id: i64,
    pub(super) model: i64,
    pub(super) version: &'a HubVersion,
    /// None where the answer says nothing of the order and the version has its place.
    pub(super) position: Option<i64>,
    /// The page was emptied, so that a list without words does not mean that there are none.
    pub(super) keeps_words: bool,
    /// What the answer lists is not gone.
    pub(super) clears_gone: bool,
}

pub(super) struct FileRow<'a> {
    pub(super) version: i64,
    pub(super) file: &'a HubFile,
    pub(super) position: i64,
}

pub(super) struct PreviewRow<'a> {
    pub(super) version: i64,
    pub(super) preview: &'a HubPreview,
    pub(super) position: i64,
}

/// Everything that answers which differ from what is known change in the catalogue.
#[derive(Default)]
pub(super) struct Plan<'a> {
    pub(super) models: Rows<ModelRow<'a>>,
    pub(super) versions: Rows<VersionRow<'a>>,
    pub(super) files: Rows<FileRow<'a>, (i64, FileRow<'a>)>,
    pub(super) previews: Rows<PreviewRow<'a>, (i64, PreviewRow<'a>)>,
    pub(super) gone_versions: Vec<i64>,
    pub(super) gone_files: Vec<i64>,
    pub(super) gone_previews: Vec<i64>,
    /// Files under whose id the hub put other bytes.
    pub(super) replaced_files: Vec<i64>,
}

impl<'a> Plan<'a> {
    /// The ids of `answers` are all different; `parts` is what lies below those of them that are known.
    pub(super) fn new(answers: &[&'a Answer<'a>], known: &KnownModels, parts: &KnownParts, mut next: NextIds) -> Self {
        let mut plan = Self::default();
        for answer in answers {
            let found = known.of(answer).map(|known| known.model_id);
            let id = found.unwrap_or_else(|| take(&mut next.model));
            plan.models.push(ModelRow { id, answer }, found.is_some());
            plan.add_versions(answer, id, parts, &mut next);
        }
        plan
    }

    /// Every model of the plan.
    pub(super) fn all_models(&self) -> impl Iterator<Item = &ModelRow<'a>> {
        self.models.new.iter().chain(&self.models.known)
    }

    fn add_versions(&mut self, answer: &'a Answer<'a>, model: i64, parts: &KnownParts, next: &mut NextIds) {
        let known = parts.versions(model);
        let hub = answer.model.hub;
        let last = known.iter().map(|version| version.position).max();
        let mut after_last = last.map_or(0, |last| last.saturating_add(1));
        let by_id: HashMap<&str, _> = known.iter().map(|known| (known.external_id.as_str(), known)).collect();
        // Ids that a hub lists twice are taken once, or the two would replace each other for ever.
        let mut listed = HashSet::new();
        for version in &answer.model.versions {
            let position = codec::position(listed.len());
            if !listed.insert(version.external_id.as_str()) {
                continue;
            }
            let found = by_id.get(version.external_id.as_str());
            let id = found.map_or_else(|| take(&mut next.version), |known| known.version_id);
            let row = VersionRow {
                id,
                model,
                version,
                position: match answer.coverage {
                    Coverage::All => Some(position),
                    Coverage::Some => found.is_none().then(|| take(&mut after_last)),
                },
                keeps_words: is_emptied(answer.model),
                clears_gone: answer.coverage == Coverage::All || hub == Hub::Civitai,
            };
            self.versions.push(row, found.is_some());
            self.add_files(hub, id, &version.files, parts);
            self.add_previews(id, &version.previews, parts);
        }
        if answer.coverage == Coverage::All {
            let missing = known.iter().filter(|known| !known.gone && !listed.contains(known.external_id.as_str()));
            self.gone_versions.extend(missing.map(|known| known.version_id));
        }
    }

    fn add_files(&mut self, hub: Hub, version: i64, files: &'a [HubFile], parts: &KnownParts) {
        let known = parts.files(version);
        let mut by_id: HashMap<&str, Vec<&KnownFile>> = HashMap::new();
        known.iter().for_each(|known| by_id.entry(known.external_id.as_str()).or_default().push(known));
        let mut listed = HashSet::new();
        for file in files {
            let position = codec::position(listed.len());
            if !listed.insert(file.external_id.as_str()) {
                continue;
            }
            let of_this_id = by_id.get(file.external_id.as_str()).map_or(&[][..], Vec::as_slice);
            let current = of_this_id.iter().find(|known| !known.replaced);
            let found = match current {
                Some(current) if other_bytes(current, file) => {
                    self.replaced_files.push(current.file_id);
                    // The hub may have gone back to bytes that this id had before.
                    of_this_id.iter().rfind(|known| known.replaced && same_bytes(known, file))
                }
                current => current,
            };
            self.files.push_as(FileRow { version, file, position }, found.map(|known| known.file_id));
        }
        // A Hugging Face commit never changes; an answer that lists fewer files says nothing about the others.
        if hub == Hub::Civitai {
            let missing = known
                .iter()
                .filter(|known| !known.gone && !known.replaced && !listed.contains(known.external_id.as_str()));
            self.gone_files.extend(missing.map(|known| known.file_id));
        }
    }

    fn add_previews(&mut self, version: i64, previews: &'a [HubPreview], parts: &KnownParts) {
        let known = parts.previews(version);
        let by_identity: HashMap<&str, _> = known.iter().map(|known| (known.identity.as_str(), known)).collect();
        let mut listed = HashSet::new();
        for preview in previews {
            let position = codec::position(listed.len());
            if !listed.insert(identity(preview)) {
                continue;
            }
            let found = by_identity.get(identity(preview));
            self.previews.push_as(PreviewRow { version, preview, position }, found.map(|known| known.preview_id));
        }
        let missing = known.iter().filter(|known| !known.gone && !listed.contains(known.identity.as_str()));
        self.gone_previews.extend(missing.map(|known| known.preview_id));
    }
}

/// The hub's id for a picture, or its address where the hub gives none.
fn identity(preview: &HubPreview) -> &str {
    preview.external_id.as_deref().unwrap_or(&preview.url)
}

/// A page that the hub emptied is not an edit by its owner.
fn is_emptied(model: &HubModel) -> bool {
    matches!(model.state, ModelState::Archived | ModelState::TakenDown | ModelState::Disabled)
}

/// Whether a hub lists another digest for a file than it did.
fn other_bytes(known: &KnownFile, file: &HubFile) -> bool {
    differ(known.sha256.as_deref(), sha256(file)) || differ(known.git_sha1.as_deref(), git_sha1(file))
}

/// Whether both are known and are not the same.
fn differ(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}

fn same_bytes(known: &KnownFile, file: &HubFile) -> bool {
    known.sha256.as_deref() == sha256(file) && known.git_sha1.as_deref() == git_sha1(file)
}

pub(super) fn sha256(file: &HubFile) -> Option<&[u8]> {
    file.sha256.as_ref().map(|digest| &digest.as_bytes()[..])
}

pub(super) fn git_sha1(file: &HubFile) -> Option<&[u8]> {
    file.git_sha1.as_ref().map(|digest| &digest.as_bytes()[..])
}
