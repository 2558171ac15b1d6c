//! What one answer says as a whole, in a digest: while a hub says of a model what it said last, there is nothing to
//! record but that it was seen and how its counters stand.
//!
//! The digest of the raw JSON alone would not do. What is read out of it changes when Paintbox learns to read more,
//! and some answers carry what other requests added, such as a version's own page.

use super::Coverage;
use crate::history::Page;
use crate::snapshot::{push_text, sha256};
use paintbox_domain::hub::{FileSize, HubFile, HubModel, HubPreview, HubVersion};
use paintbox_domain::{Hub, Sha256, Timestamp};

/// A hub's answer and what identifies it.
pub(super) struct Answer<'a> {
    pub(super) model: &'a HubModel,
    pub(super) coverage: Coverage,
    /// The raw JSON, shared with threads that compress it.
    pub(super) page: Page,
    /// Of the raw JSON, by [`crate::snapshot::state_digest`].
    pub(super) state: Sha256,
    /// Of that and of what was read out of it: everything but the counters.
    pub(super) digest: Sha256,
}

impl<'a> Answer<'a> {
    /// `said` is [`digest`].
    pub(super) fn new(model: &'a HubModel, coverage: Coverage, page: Page, state: Sha256, said: &Sha256) -> Self {
        let digest = sha256(&[&state.as_bytes()[..], said.as_bytes()].concat());
        Self { model, coverage, page, state, digest }
    }

    /// What tells models apart.
    pub(super) fn key(&self) -> (Hub, &'a str) {
        (self.model.hub, &self.model.external_id)
    }
}

/// Of everything that was read out of an answer, but its counters. Every field is named, so that one that is added later cannot be
/// forgotten here.
pub(super) fn digest(model: &HubModel, coverage: Coverage) -> Sha256 {
    let HubModel {
        hub,
        external_id,
        name,
        kind,
        kind_label,
        creator,
        creator_id,
        description,
        tags,
        nsfw_level,
        licence,
        // The counters, and the mark of a list, are recorded whatever else the answer says.
        downloads: _,
        likes: _,
        list_mark: _,
        state,
        access_granted,
        published_at,
        updated_at,
        versions,
        // Has a digest of its own.
        raw: _,
    } = model;
    let mut bytes = Bytes(Vec::with_capacity(4_096));
    bytes.flag(coverage == Coverage::All);
    for word in [hub.as_str(), external_id, name, kind.as_str(), state.as_str()] {
        bytes.text(word);
    }
    for text in [kind_label, creator, creator_id, description, licence] {
        bytes.optional_text(text.as_deref());
    }
    bytes.texts(tags);
    bytes.number(u64::from(*nsfw_level));
    bytes.optional(access_granted.map(u64::from));
    bytes.time(*published_at);
    bytes.time(*updated_at);
    bytes.number(versions.len() as u64);
    versions.iter().for_each(|version| bytes.version(version));
    sha256(&bytes.0)
}

/// Values one after the other, each so that its end is known.
struct Bytes(Vec<u8>);

impl Bytes {
    fn version(&mut self, version: &HubVersion) {
        let HubVersion {
            external_id,
            name,
            base_model,
            trained_words,
            nsfw_level,
            published_at,
            early_access,
            download_allowed,
            files,
            previews,
        } = version;
        self.text(external_id);
        self.text(name);
        self.optional_text(base_model.as_deref());
        self.texts(trained_words);
        self.number(u64::from(*nsfw_level));
        self.time(*published_at);
        self.flag(early_access.is_some());
        self.time(early_access.and_then(|early| early.until));
        self.flag(*download_allowed);
        self.number(files.len() as u64);
        files.iter().for_each(|file| self.file(file));
        self.number(previews.len() as u64);
        previews.iter().for_each(|preview| self.preview(preview));
    }

    fn file(&mut self, file: &HubFile) {
        let HubFile {
            external_id,
            name,
            size,
            sha256,
            blake3,
            git_sha1,
            auto_v3,
            kind_label,
            format,
            precision,
            primary,
            locator,
        } = file;
        self.text(external_id);
        self.text(name);
        self.optional(size.map(FileSize::bytes));
        self.flag(matches!(size, Some(FileSize::Exact(_))));
        self.optional_bytes(sha256.as_ref().map(|digest| &digest.as_bytes()[..]));
        self.optional_bytes(blake3.as_ref().map(|digest| &digest.as_bytes()[..]));
        self.optional_bytes(git_sha1.as_ref().map(|digest| &digest.as_bytes()[..]));
        self.optional_text(auto_v3.as_deref());
        self.optional_text(kind_label.as_deref());
        self.text(format.as_str());
        self.optional_text(precision.as_deref());
        self.flag(*primary);
        self.text(locator);
    }

    fn preview(&mut self, preview: &HubPreview) {
        let HubPreview { external_id, url, media, width, height, nsfw_level, blurhash, generation } = preview;
        self.optional_text(external_id.as_deref());
        self.text(url);
        self.text(media.as_str());
        self.optional(width.map(u64::from));
        self.optional(height.map(u64::from));
        self.number(u64::from(*nsfw_level));
        self.optional_text(blurhash.as_deref());
        self.optional_text(generation.as_deref());
    }

    fn text(&mut self, text: &str) {
        push_text(&mut self.0, text);
    }

    fn texts(&mut self, texts: &[String]) {
        self.number(texts.len() as u64);
        texts.iter().for_each(|text| self.text(text));
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn optional(&mut self, number: Option<u64>) {
        self.flag(number.is_some());
        self.number(number.unwrap_or_default());
    }

    fn time(&mut self, time: Option<Timestamp>) {
        self.flag(time.is_some());
        self.0.extend_from_slice(&time.map_or(0, Timestamp::unix_ms).to_le_bytes());
    }

    fn optional_text(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        self.text(text.unwrap_or_default());
    }

    fn optional_bytes(&mut self, bytes: Option<&[u8]>) {
        self.number(bytes.map_or(0, |bytes| bytes.len() as u64));
        self.0.extend_from_slice(bytes.unwrap_or_default());
    }
}
