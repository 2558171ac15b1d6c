//! Intent + what the hubs say + what is on disk → a list of operations, each with its reason. Pure.
//!
//! `paintbox plan` prints the list; a sync run executes exactly it.

use crate::choose::{Candidate, Choice, choose};
use paintbox_catalogue::{
    FileId, FileRecord, FileState, FollowId, ModelId, PreviewId, PreviewRecord, VersionId, WantedModel, WantedVersion,
};
use paintbox_domain::follow::Backfill;
use paintbox_domain::hub::{FileSize, ModelState, PreviewMedia};
use paintbox_domain::{Hub, ModelRef, Sha256, Timestamp};
use std::collections::{BTreeMap, HashSet};

/// Example images fetched for each version that is kept.
const PREVIEWS_PER_VERSION: usize = 4;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Download a file.
    Fetch,
    /// Nothing: the file is here.
    Keep,
    /// Nothing, deliberately.
    Skip,
    /// Download an example image.
    Preview,
}

impl OperationKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Keep => "keep",
            Self::Skip => "skip",
            Self::Preview => "preview",
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub kind: OperationKind,
    /// Target of the follow that wants it; none for a pull.
    pub follow: Option<String>,
    pub model: ModelId,
    pub model_name: String,
    pub hub: Hub,
    pub version: ModelRef,
    /// File name, or a preview's URL; empty where a version as a whole is skipped.
    pub file: String,
    pub size_bytes: u64,
    /// Stable code; the list stands with `PlanOperation.reason` in `sync.proto`.
    pub reason: &'static str,
    /// The reason in words.
    pub detail: String,
    pub subject: Subject,
}

/// What an operation acts on.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    Version,
    File(Box<FileRecord>),
    Preview(Box<PreviewRecord>),
}

/// A list of operations, in the order in which they are carried out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub operations: Vec<Operation>,
}

impl Plan {
    #[must_use]
    pub fn count(&self, kind: OperationKind) -> usize {
        self.operations.iter().filter(|operation| operation.kind == kind).count()
    }
}

/// Makes the plan for `wanted`. `on_disk` holds the blobs that the store really has; `now` decides early access.
#[must_use]
pub fn plan(wanted: &[WantedModel], on_disk: &HashSet<Sha256>, now: Timestamp) -> Plan {
    let newest = newest_versions(wanted);
    let mut operations = Vec::new();
    let mut planned_files: HashSet<FileId> = HashSet::new();
    let mut planned_previews: HashSet<PreviewId> = HashSet::new();
    for model in wanted {
        for version in &model.versions {
            let context = Context { model, version, on_disk };
            match version_verdict(model, version, &newest, now) {
                Err((reason, detail)) => operations.extend(context.skip_version(reason, detail)),
                Ok(()) => {
                    let mut files = context.files();
                    // Two follows may want the same model; the first one gets it.
                    files.retain(|operation| match &operation.subject {
                        Subject::File(file) => planned_files.insert(file.id),
                        Subject::Preview(preview) => planned_previews.insert(preview.id),
                        Subject::Version => true,
                    });
                    operations.append(&mut files);
                }
            }
        }
    }
    // Previews last: they are small, and people wait for models.
    operations.sort_by_key(|operation| operation.kind == OperationKind::Preview);
    Plan { operations }
}

/// For each follow with a numbered backfill, the versions that it covers: the newest over the creator's whole work.
fn newest_versions(wanted: &[WantedModel]) -> HashSet<(FollowId, VersionId)> {
    type Dated = (Option<Timestamp>, VersionId);
    let mut by_follow: BTreeMap<FollowId, (usize, Vec<Dated>)> = BTreeMap::new();
    for model in wanted {
        let Some(follow) = &model.follow else { continue };
        let Backfill::Newest(count) = follow.policy.backfill else { continue };
        let entry = by_follow.entry(follow.id).or_default();
        entry.0 = usize::try_from(count).unwrap_or(usize::MAX);
        entry.1.extend(model.versions.iter().map(|wanted| (wanted.version.published_at, wanted.version.id)));
    }
    let mut covered = HashSet::new();
    for (follow, (count, mut versions)) in by_follow {
        versions.sort_unstable();
        covered.extend(versions.into_iter().rev().take(count).map(|(_, version)| (follow, version)));
    }
    covered
}

type Refusal = (&'static str, String);

fn version_verdict(
    wanted: &WantedModel,
    wanted_version: &WantedVersion,
    newest: &HashSet<(FollowId, VersionId)>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let version = &wanted_version.version;
    let pulled = wanted_version.pulled || !wanted_version.pulled_files.is_empty();
    match wanted.model.state {
        ModelState::Archived => {
            return Err(("archived", "its owner archived it, so the hub hands out no files".into()));
        }
        ModelState::TakenDown => return Err(("taken_down", "the hub took it down".into())),
        ModelState::Disabled => return Err(("taken_down", "the hub disabled access to it".into())),
        ModelState::Gated if !pulled => {
            let detail = "its owner asks for a request of access first; ask on its page, then pull it".into();
            return Err(("gated", detail));
        }
        ModelState::Published | ModelState::Gated => {}
    }
    if !version.download_allowed {
        return Err(("download_disabled", "its creator allows no downloads of this version".into()));
    }
    if let Some(early_access) = version.early_access {
        match early_access.until {
            Some(until) if until <= now => {}
            Some(until) => {
                let days = (until.unix_ms() - now.unix_ms()).div_euclid(86_400_000) + 1;
                let detail = format!("in early access for about {days} more days; fetched when it becomes free");
                return Err(("early_access", detail));
            }
            None => return Err(("early_access", "in early access, and the hub names no end".into())),
        }
    }
    if version.files.is_empty() {
        return Err(("no_files", "the hub lists no files for this version".into()));
    }
    let Some(follow) = wanted.follow.as_ref().filter(|_| !pulled) else { return Ok(()) };
    let after_follow = version.published_at.is_some_and(|published| published >= follow.followed_at);
    let covered = match follow.policy.backfill {
        Backfill::All => true,
        Backfill::None => false,
        Backfill::Newest(_) => newest.contains(&(follow.id, version.id)),
    };
    if covered || after_follow {
        Ok(())
    } else {
        Err(("before_follow", "published before you followed its creator".into()))
    }
}

struct Context<'a> {
    model: &'a WantedModel,
    version: &'a WantedVersion,
    on_disk: &'a HashSet<Sha256>,
}

impl Context<'_> {
    fn operation(
        &self,
        kind: OperationKind,
        reason: &'static str,
        detail: impl Into<String>,
        subject: Subject,
    ) -> Operation {
        let (file, size_bytes) = match &subject {
            Subject::Version => (String::new(), 0),
            Subject::File(file) => (file.name.clone(), file.size.map_or(0, FileSize::bytes)),
            Subject::Preview(preview) => (preview.url.clone(), 0),
        };
        Operation {
            kind,
            follow: self.model.follow.as_ref().map(|follow| follow.target.to_string()),
            model: self.model.model.id,
            model_name: self.model.model.name.clone(),
            hub: self.model.model.hub,
            version: self.version.version.reference.clone(),
            file,
            size_bytes,
            reason,
            detail: detail.into(),
            subject,
        }
    }

    /// A refused version: what is here of it is kept, the rest is skipped in one line.
    fn skip_version(&self, reason: &'static str, detail: String) -> Vec<Operation> {
        let mut operations: Vec<Operation> =
            self.version.version.files.iter().filter(|file| self.is_here(file)).map(|file| self.keep(file)).collect();
        operations.push(self.operation(OperationKind::Skip, reason, detail, Subject::Version));
        operations
    }

    fn is_here(&self, file: &FileRecord) -> bool {
        file.state != FileState::Mismatched
            && file.artifact.as_ref().is_some_and(|artifact| self.on_disk.contains(&artifact.sha256))
    }

    fn keep(&self, file: &FileRecord) -> Operation {
        let (reason, detail) = if file.state == FileState::Verified {
            ("have_verified", "here, with the digest that the hub lists")
        } else {
            ("have_unverified", "here; the hub lists no digest to check it by")
        };
        self.operation(OperationKind::Keep, reason, detail, Subject::File(Box::new(file.clone())))
    }

    fn files(&self) -> Vec<Operation> {
        let files = &self.version.version.files;
        let candidates: Vec<Candidate<'_>> = files
            .iter()
            .map(|file| Candidate {
                name: &file.name,
                format: file.format,
                kind_label: file.kind_label.as_deref(),
                primary: file.primary,
                size_bytes: file.size.map(FileSize::bytes),
            })
            .collect();
        let choices = choose(self.model.model.hub, self.model.model.kind, &candidates);
        let mut operations = Vec::new();
        for (file, choice) in files.iter().zip(choices) {
            let boxed = || Subject::File(Box::new(file.clone()));
            let named = self.version.pulled_files.contains(&file.id);
            operations.push(if self.is_here(file) {
                self.keep(file)
            } else if !self.version.pulled_files.is_empty() && !named {
                self.operation(OperationKind::Skip, "not_needed", "another file of this version was pulled", boxed())
            } else if choice == Choice::Wanted {
                let (reason, detail) = match &self.model.follow {
                    Some(follow) => ("wanted", format!("new from {}", follow.target)),
                    None => ("pulled", "pulled by you".to_owned()),
                };
                self.operation(OperationKind::Fetch, reason, detail, boxed())
            } else if named && !matches!(choice, Choice::PickleRefused | Choice::ArchiveRefused) {
                self.operation(OperationKind::Fetch, "pulled", "pulled by you", boxed())
            } else {
                self.operation(OperationKind::Skip, choice.reason(), choice.detail(), boxed())
            });
        }
        operations.extend(self.previews());
        operations
    }

    fn previews(&self) -> impl Iterator<Item = Operation> {
        let missing = |preview: &&PreviewRecord| {
            let there = [preview.original, preview.thumbnail]
                .into_iter()
                .all(|digest| digest.is_some_and(|digest| self.on_disk.contains(&digest)));
            // A failure that a later attempt cannot mend is not attempted again.
            !there && preview.failure.as_ref().is_none_or(|failure| failure.class.is_retryable())
        };
        self.version
            .version
            .previews
            .iter()
            .filter(|preview| preview.media == PreviewMedia::Image)
            .take(PREVIEWS_PER_VERSION)
            .filter(missing)
            .map(|preview| {
                let subject = Subject::Preview(Box::new(preview.clone()));
                self.operation(
                    OperationKind::Preview,
                    "preview_missing",
                    "an example image that is not here yet",
                    subject,
                )
            })
    }
}

#[cfg(test)]
mod tests;
