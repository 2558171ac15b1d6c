//! A model as it was known at a date, and what changed when: the catalogue keeps every state of a page word for word,
//! and a page is read again as it was read when it came.

use crate::error::SyncError;
use crate::service::Sync;
use paintbox_catalogue::{FileRecord, FileState, ModelDetail, ModelId, PreviewRecord, VersionRecord};
use paintbox_domain::hub::{HubFile, HubModel, HubPreview, HubVersion};
use paintbox_domain::{Hub, Timestamp};
use std::collections::HashMap;

/// One change of what a hub says of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    pub at: Timestamp,
    pub event: HistoryEvent,
    /// What is different from the state before, by stable names; only of [`HistoryEvent::Changed`].
    pub fields: Vec<&'static str>,
}

/// What happened to a model's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryEvent {
    Seen,
    Changed,
    Gone,
    Returned,
}

impl HistoryEvent {
    /// The stable name, as sent and printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Changed => "changed",
            Self::Gone => "gone",
            Self::Returned => "returned",
        }
    }
}

impl Sync {
    /// The model as it was known at `at`. What lies on this machine is told as it is now.
    ///
    /// # Errors
    /// [`SyncError::NotKnownYet`] when nothing was known of it then; when the catalogue cannot be read.
    pub async fn model_at(&self, id: ModelId, at: Timestamp) -> Result<ModelDetail, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let now = catalogue.model(id).await?;
        let unknown = || SyncError::NotKnownYet { model: now.summary.reference.to_string(), at };
        let page = catalogue.model_page_at(id, at).await?.ok_or_else(unknown)?;
        let last = catalogue.model_change_at(id, at).await?.ok_or_else(unknown)?;
        let gone_at = last.raw.is_none().then_some(last.at);
        let raw = page.raw.unwrap_or_default();
        let hub = now.summary.hub.ok_or_else(unknown)?;
        let then = paintbox_hub::read_kept(hub, raw).ok_or_else(unknown)?;
        Ok(as_it_was(now, hub, then, gone_at))
    }

    /// Every change of what the hub says of a model, oldest first. States in which nothing that is understood differs
    /// are passed over.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn history(&self, id: ModelId) -> Result<Vec<HistoryEntry>, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        // Only hubs' pages are kept.
        let Some(hub) = catalogue.model(id).await?.summary.hub else { return Ok(Vec::new()) };
        let mut entries: Vec<HistoryEntry> = Vec::new();
        let mut before: Option<HubModel> = None;
        let mut is_gone = false;
        for change in catalogue.model_changes(id).await? {
            let Some(raw) = change.raw else {
                is_gone = true;
                entries.push(HistoryEntry { at: change.at, event: HistoryEvent::Gone, fields: Vec::new() });
                continue;
            };
            let Some(model) = paintbox_hub::read_kept(hub, raw) else { continue };
            let fields = before.as_ref().map(|before| differences(before, &model)).unwrap_or_default();
            let event = match (before.is_some(), is_gone) {
                (false, _) => HistoryEvent::Seen,
                (true, true) => HistoryEvent::Returned,
                (true, false) => HistoryEvent::Changed,
            };
            if event != HistoryEvent::Changed || !fields.is_empty() {
                entries.push(HistoryEntry { at: change.at, event, fields });
            }
            is_gone = false;
            before = Some(model);
        }
        Ok(entries)
    }
}

/// What differs between two states, in the order in which a page shows it.
fn differences(before: &HubModel, after: &HubModel) -> Vec<&'static str> {
    let ids = |model: &HubModel| model.versions.iter().map(|version| version.external_id.clone()).collect::<Vec<_>>();
    // Nothing limits how many versions a hub lists.
    let new: HashMap<&str, &HubVersion> = by_id(&after.versions, |version| &version.external_id);
    let per_version = |differ: &dyn Fn(&HubVersion, &HubVersion) -> bool| {
        before.versions.iter().any(|old| new.get(old.external_id.as_str()).is_some_and(|new| differ(old, new)))
    };
    let files = |version: &HubVersion| {
        let facts = |file: &HubFile| (file.external_id.clone(), file.name.clone(), file.sha256, file.git_sha1);
        version.files.iter().map(facts).collect::<Vec<_>>()
    };
    let pictures = |version: &HubVersion| {
        version.previews.iter().map(|preview| (preview.url.clone(), preview.nsfw_level)).collect::<Vec<_>>()
    };
    let facts = |version: &HubVersion| {
        (version.name.clone(), version.base_model.clone(), version.published_at, version.nsfw_level)
    };
    let tests: [(&'static str, bool); 14] = [
        ("name", before.name != after.name),
        ("kind", before.kind_label != after.kind_label),
        ("creator", before.creator != after.creator),
        ("description", before.description != after.description),
        ("tags", before.tags != after.tags),
        ("rating", before.nsfw_level != after.nsfw_level),
        ("licence", before.licence != after.licence),
        ("state", before.state != after.state),
        ("versions", ids(before) != ids(after)),
        ("version details", per_version(&|old, new| facts(old) != facts(new))),
        ("trigger words", per_version(&|old, new| old.trained_words != new.trained_words)),
        ("early access", per_version(&|old, new| old.early_access != new.early_access)),
        ("files", per_version(&|old, new| files(old) != files(new))),
        ("pictures", per_version(&|old, new| pictures(old) != pictures(new))),
    ];
    tests.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// The entries by their ids; of those that a hub gave one id, the first.
fn by_id<T>(entries: &[T], id: impl Fn(&T) -> &str) -> HashMap<&str, &T> {
    let mut found = HashMap::with_capacity(entries.len());
    for entry in entries {
        found.entry(id(entry)).or_insert(entry);
    }
    found
}

/// `now` with everything that its hub says replaced by what it said then.
fn as_it_was(mut now: ModelDetail, hub: Hub, then: HubModel, gone_at: Option<Timestamp>) -> ModelDetail {
    now.summary.name = then.name;
    now.summary.kind = then.kind;
    now.summary.kind_label = then.kind_label;
    now.summary.creator = then.creator;
    now.summary.nsfw_level = then.nsfw_level;
    now.summary.tags = then.tags;
    now.summary.downloads = then.downloads;
    now.summary.published_at = then.published_at;
    now.summary.state = then.state;
    now.summary.gone_at = gone_at;
    now.summary.base_model = then.versions.iter().find_map(|version| version.base_model.clone());
    // A Hugging Face card is a file of its own, and may be missing beside a page that came without it.
    now.description = match hub {
        Hub::Civitai => then.description,
        Hub::HuggingFace => then.description.or(now.description),
    };
    now.licence = then.licence;
    now.likes = then.likes;
    now.updated_at = then.updated_at;
    now.gone_at = gone_at;
    let known = std::mem::take(&mut now.versions).into_iter();
    let mut known: HashMap<_, _> = known.map(|version| (version.external_id.clone(), version)).collect();
    let versions = then.versions.into_iter();
    now.versions =
        versions.filter_map(|version| Some(version_as_it_was(known.remove(&version.external_id)?, version))).collect();
    now
}

fn version_as_it_was(now: VersionRecord, then: HubVersion) -> VersionRecord {
    // A file that was replaced is known more than once.
    let mut known_files: HashMap<&str, Vec<&FileRecord>> = HashMap::new();
    for file in &now.files {
        known_files.entry(&file.external_id).or_default().push(file);
    }
    let files = then
        .files
        .into_iter()
        .filter_map(|file| {
            let same_bytes = |known: &&&FileRecord| {
                known.sha256 == file.sha256 || (file.sha256.is_none() && known.replaced_at.is_none())
            };
            let named = known_files.get(file.external_id.as_str())?;
            let known = named.iter().find(same_bytes).or_else(|| named.first())?;
            Some(file_as_it_was((*known).clone(), file))
        })
        .collect();
    let by_address = by_id(&now.previews, |preview| &preview.url);
    let numbered: Vec<_> =
        now.previews.iter().filter_map(|known| Some((known.external_id.as_deref()?, known))).collect();
    let by_number: HashMap<&str, &PreviewRecord> = numbered.into_iter().rev().collect();
    let previews = then
        .previews
        .into_iter()
        .filter_map(|preview| {
            let numbered = preview.external_id.as_deref().and_then(|number| by_number.get(number));
            let known = by_address.get(preview.url.as_str()).or(numbered)?;
            Some(preview_as_it_was((*known).clone(), preview))
        })
        .collect();
    VersionRecord {
        name: then.name,
        base_model: then.base_model,
        trained_words: then.trained_words,
        published_at: then.published_at,
        early_access: then.early_access,
        nsfw_level: then.nsfw_level,
        download_allowed: then.download_allowed,
        gone_at: None,
        files,
        previews,
        ..now
    }
}

fn file_as_it_was(now: FileRecord, then: HubFile) -> FileRecord {
    let state = if then.sha256.is_some() && now.sha256.is_some() && then.sha256 != now.sha256 {
        FileState::Absent
    } else {
        now.state
    };
    FileRecord {
        name: then.name,
        size: then.size,
        kind_label: then.kind_label,
        precision: then.precision,
        primary: then.primary,
        edited_header: now.edited_header && state == now.state,
        state,
        gone_at: None,
        ..now
    }
}

fn preview_as_it_was(now: PreviewRecord, then: HubPreview) -> PreviewRecord {
    PreviewRecord {
        url: then.url,
        media: then.media,
        width: then.width,
        height: then.height,
        nsfw_level: then.nsfw_level,
        gone_at: None,
        ..now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn page(versions: &[Value]) -> HubModel {
        let page = json!({ "id": 1, "name": "Ink", "type": "LORA", "modelVersions": versions });
        paintbox_hub::read_kept(Hub::Civitai, page.to_string()).unwrap()
    }

    fn version(id: usize, word: &str) -> Value {
        let file = json!({ "id": 10 * id, "name": format!("{id}.safetensors"), "type": "Model" });
        json!({ "id": id, "name": format!("v{id}"), "trainedWords": [word], "files": [file] })
    }

    #[test]
    fn each_version_is_compared_with_itself_wherever_it_stands() {
        let versions: Vec<Value> = (1..=500).map(|id| version(id, "ink")).collect();
        let before = page(&versions);
        assert_eq!(differences(&before, &before), Vec::<&str>::new());
        let mut turned = versions.clone();
        turned.reverse();
        assert_eq!(differences(&before, &page(&turned)), ["versions"]);
        turned[7] = version(493, "wash");
        assert_eq!(differences(&before, &page(&turned)), ["versions", "trigger words"]);
        // What only one of the states has differs from nothing.
        let mut fewer = versions.clone();
        fewer.truncate(499);
        fewer.push(version(501, "wash"));
        assert_eq!(differences(&before, &page(&fewer)), ["versions"]);
        let mut other_file = versions;
        other_file[3]["files"][0]["name"] = json!("other.safetensors");
        assert_eq!(differences(&before, &page(&other_file)), ["files"]);
    }

    #[test]
    fn of_entries_with_one_id_the_first_counts() {
        let entries = [("a", 1), ("b", 2), ("a", 3)];
        let found = by_id(&entries, |(id, _)| id);
        assert_eq!((found["a"].1, found["b"].1, found.len()), (1, 2, 2));
    }
}
