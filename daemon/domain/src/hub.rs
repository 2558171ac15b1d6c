//! A hub's answers in one shape: every field optional as on the wire, every label kept verbatim.

use crate::kind::{FileFormat, ModelKind, closed_names};
use crate::{Blake3, GitSha1, Sha256, Timestamp};
use std::fmt;

closed_names! {
    /// A site that models come from.
    Hub {
        Civitai = "civitai",
        HuggingFace = "hf",
    }
}

closed_names! {
    /// What the hub says of a model as a whole.
    ModelState {
        Published = "published",
        /// Kept by its owner without downloads; may come back.
        Archived = "archived",
        TakenDown = "taken_down",
        /// The hub asks people to request access first.
        Gated = "gated",
        Disabled = "disabled",
    }
}

closed_names! {
    /// What a preview's URL leads to.
    PreviewMedia {
        Image = "image",
        Video = "video",
        Audio = "audio",
        Unknown = "unknown",
    }
}

/// A model page as the hub gave it at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct HubModel {
    pub hub: Hub,
    /// CivitAI's number, or Hugging Face's canonical `org/name`.
    pub external_id: String,
    pub name: String,
    pub kind: ModelKind,
    /// The hub's own word for the kind, verbatim.
    pub kind_label: Option<String>,
    pub creator: Option<String>,
    /// The hub's number for the creator, which a new name does not change; CivitAI only, and not in every answer.
    pub creator_id: Option<String>,
    /// HTML on CivitAI; on Hugging Face the model card, Markdown behind YAML front matter. Untrusted either way.
    pub description: Option<String>,
    pub tags: Vec<String>,
    /// CivitAI's bitmask: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX, 32 blocked, 0 unrated.
    pub nsfw_level: u32,
    /// The licence as the hub words it (CivitAI: its permission fields as JSON; Hugging Face: the card's licence).
    pub licence: Option<String>,
    pub downloads: Option<u64>,
    pub likes: Option<u64>,
    pub state: ModelState,
    /// Of a gated model: whether this account may read its files; none when that was not asked.
    pub access_granted: Option<bool>,
    pub published_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    /// Newest first, as the hub lists them.
    pub versions: Vec<HubVersion>,
    /// What a list says of this model (Hugging Face: commit, date and gate); none where lists say everything. While it
    /// stays the same, the model's page need not be asked for again.
    pub list_mark: Option<String>,
    /// The hub's JSON, verbatim: the evidence that is kept.
    pub raw: String,
}

/// One published release of a model: a CivitAI version, or a Hugging Face commit.
#[derive(Debug, Clone, PartialEq)]
pub struct HubVersion {
    /// CivitAI's number, or the 40-digit commit.
    pub external_id: String,
    pub name: String,
    /// The hub's label, verbatim, such as `SDXL 1.0`.
    pub base_model: Option<String>,
    pub trained_words: Vec<String>,
    /// CivitAI's bitmask as on the model; 0 where it is not rated.
    pub nsfw_level: u32,
    pub published_at: Option<Timestamp>,
    pub early_access: Option<EarlyAccess>,
    /// False where the creator allows no download at all (CivitAI's `usageControl`).
    pub download_allowed: bool,
    pub files: Vec<HubFile>,
    pub previews: Vec<HubPreview>,
}

/// A version that must be paid for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyAccess {
    /// When it becomes free; none means no end is known.
    pub until: Option<Timestamp>,
}

/// One named file of a version.
#[derive(Debug, Clone, PartialEq)]
pub struct HubFile {
    /// CivitAI's file id, or the path in the repository.
    pub external_id: String,
    /// The name for people; untrusted, may hold any character.
    pub name: String,
    pub size: Option<FileSize>,
    pub sha256: Option<Sha256>,
    pub blake3: Option<Blake3>,
    /// Only for small Hugging Face files, which have no SHA-256 on the hub.
    pub git_sha1: Option<GitSha1>,
    /// CivitAI's digest of what follows the header: its first twelve digits, lower case.
    pub auto_v3: Option<String>,
    /// The hub's own word for the role, verbatim, such as `Training Data`.
    pub kind_label: Option<String>,
    pub format: FileFormat,
    /// `fp16`, `bf16`, … verbatim.
    pub precision: Option<String>,
    pub primary: bool,
    /// Path and query below the hub's endpoint; never a host, so that hub data cannot name one.
    pub locator: String,
}

/// A file's length in bytes, and whether the hub vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSize {
    Exact(u64),
    /// CivitAI's `sizeKB`, good for a progress bar only.
    About(u64),
}

impl FileSize {
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::Exact(bytes) | Self::About(bytes) => bytes,
        }
    }
}

/// An example image or video.
#[derive(Debug, Clone, PartialEq)]
pub struct HubPreview {
    pub external_id: Option<String>,
    pub url: String,
    pub media: PreviewMedia,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub nsfw_level: u32,
    pub blurhash: Option<String>,
    /// The generation data as JSON, verbatim.
    pub generation: Option<String>,
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
