//! What the catalogue hands out about models, versions, files and previews.

use crate::artifacts::ArtifactRecord;
use crate::ids::{FileId, ModelId, PreviewId, VersionId};
use crate::libraries::claims::LocalIdentity;
use crate::libraries::content::LibraryFileRecord;
use paintbox_domain::hub::{EarlyAccess, FileSize, ModelState, PreviewMedia};
use paintbox_domain::{
    Architecture, Blake3, Failure, FileFormat, GitSha1, Hub, ModelKind, ModelRef, Sha256, Timestamp,
};

/// A model page as last known: what deciding about it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRecord {
    pub id: ModelId,
    pub hub: Hub,
    pub external_id: String,
    /// The reference people write, such as `civitai:4384`.
    pub reference: ModelRef,
    pub name: String,
    pub kind: ModelKind,
    pub kind_label: Option<String>,
    pub creator: Option<String>,
    pub nsfw_level: u32,
    pub licence: Option<String>,
    pub state: ModelState,
    pub published_at: Option<Timestamp>,
    /// When the hub says that it last changed.
    pub updated_at: Option<Timestamp>,
    pub first_seen_at: Timestamp,
    /// Since when the hub no longer lists it.
    pub gone_at: Option<Timestamp>,
    /// Of a gated model: whether this machine's account may read its files; none while that is not known.
    pub access_granted: Option<bool>,
    pub tags: Vec<String>,
}

/// A model as a line in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSummary {
    pub id: ModelId,
    /// None: the page of a library's file that no hub is known to list.
    pub hub: Option<Hub>,
    pub external_id: String,
    pub reference: ModelRef,
    pub name: String,
    pub kind: ModelKind,
    pub kind_label: Option<String>,
    /// The hub's label of the newest version that has one, verbatim.
    pub base_model: Option<String>,
    /// What the weights on this machine were detected to be.
    pub architecture: Option<Architecture>,
    pub creator: Option<String>,
    /// Whether weights of this model (safetensors or GGUF, not mismatched) are on this machine.
    pub downloaded: bool,
    pub nsfw_level: u32,
    /// In the hub's order.
    pub tags: Vec<String>,
    pub published_at: Option<Timestamp>,
    pub downloads: Option<u64>,
    pub state: ModelState,
    pub gone_at: Option<Timestamp>,
}

/// Everything known about a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelDetail {
    pub summary: ModelSummary,
    /// HTML (CivitAI) or Markdown (Hugging Face); untrusted.
    pub description: Option<String>,
    pub licence: Option<String>,
    pub likes: Option<u64>,
    pub first_seen_at: Timestamp,
    /// When the hub says that it last changed.
    pub updated_at: Option<Timestamp>,
    pub gone_at: Option<Timestamp>,
    /// Of a page that was made for a library's file: how far it is known what that is.
    pub identity: Option<LocalIdentity>,
    /// Newest first; those that the hub no longer lists come last.
    pub versions: Vec<VersionRecord>,
}

/// One release of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionRecord {
    pub id: VersionId,
    pub model_id: ModelId,
    pub external_id: String,
    /// Such as `civitai:4384@128713` or `hf:org/repo@<commit>`.
    pub reference: ModelRef,
    pub name: String,
    pub base_model: Option<String>,
    pub trained_words: Vec<String>,
    pub published_at: Option<Timestamp>,
    pub early_access: Option<EarlyAccess>,
    /// Whether it had to be paid for at any time that was seen.
    pub was_early_access: bool,
    /// CivitAI's bitmask, as on the model; 0 where it is not rated.
    pub nsfw_level: u32,
    pub download_allowed: bool,
    pub first_seen_at: Timestamp,
    pub gone_at: Option<Timestamp>,
    pub files: Vec<FileRecord>,
    pub previews: Vec<PreviewRecord>,
}

/// How a hub's file stands on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileState {
    /// Here, and compared with a digest that the hub lists.
    Verified,
    /// Here, but the hub lists no digest, or of what is here another tool rewrote the header.
    Unverified,
    /// The bytes are not those that the hub lists.
    Mismatched,
    /// Not here.
    Absent,
    /// On a volume that is not there now.
    Away,
}

impl FileState {
    /// Whether usable bytes are on this machine.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(self, Self::Verified | Self::Unverified)
    }
}

/// A hub's file, and what is here of it.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRecord {
    pub id: FileId,
    pub version_id: VersionId,
    pub external_id: String,
    pub name: String,
    pub size: Option<FileSize>,
    /// As the hub lists it; what is here has its own in `artifact`.
    pub sha256: Option<Sha256>,
    pub blake3: Option<Blake3>,
    pub git_sha1: Option<GitSha1>,
    /// Twelve digits, lower case.
    pub auto_v3: Option<String>,
    pub kind_label: Option<String>,
    pub format: FileFormat,
    pub precision: Option<String>,
    pub primary: bool,
    pub locator: String,
    /// The content that was fetched for it. Its `paths` are empty when it has left this machine since.
    pub artifact: Option<ArtifactRecord>,
    /// Of a library's file of which not all was read yet: what is known of it.
    pub unread: Option<LibraryFileRecord>,
    pub state: FileState,
    /// What is here has the tensors of the file that the hub lists, and another header.
    pub edited_header: bool,
    /// Why the last attempt to fetch it failed.
    pub failure: Option<Failure>,
    pub fetched_at: Option<Timestamp>,
    /// The model's licence when the bytes came here.
    pub licence_at_fetch: Option<String>,
    pub gone_at: Option<Timestamp>,
    /// When the hub put other bytes under the same id; the newer row is a file of its own.
    pub replaced_at: Option<Timestamp>,
    /// When somebody removed it; it is not fetched again until they pull it.
    pub removed_at: Option<Timestamp>,
}

/// An example image, and what is here of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PreviewRecord {
    pub id: PreviewId,
    pub version_id: VersionId,
    pub external_id: Option<String>,
    pub url: String,
    pub media: PreviewMedia,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub nsfw_level: u32,
    /// The hub's, or made here where it gives none.
    pub blurhash: Option<String>,
    /// The generation data as JSON, verbatim.
    pub generation: Option<String>,
    /// The asset as the hub served it.
    pub original: Option<Sha256>,
    pub thumbnail: Option<Sha256>,
    /// None also of what was fetched before there were two sizes.
    pub small_thumbnail: Option<Sha256>,
    pub failure: Option<Failure>,
    pub gone_at: Option<Timestamp>,
}
