//! Intent + what the hubs say + what is on disk → a list of operations, each with its reason. Pure.
//!
//! `paintbox plan` prints the list; a sync run executes exactly it. Whether a version is wanted at all is decided in
//! `verdict`, which of its files in `choose`; here the two meet, and what one follow may take up is counted.

use crate::choose::{Candidate, Choice, choose};
use crate::places::Destinations;
use crate::verdict::{self, Refusal};
use paintbox_catalogue::{
    FileId, FileRecord, FileState, FollowId, FollowInterest, ModelId, PreviewId, PreviewRecord, VersionId, WantedModel,
    WantedVersion,
};
use paintbox_domain::follow::Backfill;
use paintbox_domain::hub::{FileSize, PreviewMedia};
use paintbox_domain::{DownloadState, Hub, ModelKind, ModelRef, Sha256, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

/// Reasons for leaving a file that will be fetched all the same.
const PAUSED: &str = "paused";
const RETRY_LATER: &str = "retry_later";
const VOLUME_AWAY: &str = "volume_away";
const REMOVED: &str = "removed";
/// Example images fetched for each version that is kept.
const PREVIEWS_PER_VERSION: usize = 4;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Download a file.
    Fetch,
    /// Nothing: the file is here, or another tool has it on this machine.
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
    /// Target of the follow that wants it or refuses it; none for a pull.
    pub follow: Option<String>,
    pub follow_id: Option<FollowId>,
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
    /// Higher first; the highest for a pull.
    pub priority: i32,
    pub subject: Subject,
}

impl Operation {
    /// The file that this operation fetches, or that is left for a while only.
    pub(crate) fn file_to_come(&self) -> Option<FileId> {
        let comes = self.kind == OperationKind::Fetch || [PAUSED, RETRY_LATER, VOLUME_AWAY].contains(&self.reason);
        match &self.subject {
            Subject::File(file) if comes => Some(file.id),
            Subject::File(_) | Subject::Version | Subject::Cached(..) | Subject::Preview(_) => None,
        }
    }
}

/// What an operation acts on.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    Version,
    File(Box<FileRecord>),
    /// A file that lies, under its name, in another tool's cache.
    Cached(Box<FileRecord>, PathBuf),
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

    /// Bytes of everything that is to be fetched, as far as the hubs say.
    #[must_use]
    pub fn fetch_bytes(&self) -> u64 {
        let fetches = self.operations.iter().filter(|operation| operation.kind == OperationKind::Fetch);
        fetches.fold(0, |sum, operation| sum.saturating_add(operation.size_bytes))
    }

    /// Whether carrying it out changes anything.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let works = |operation: &Operation| {
            matches!(operation.kind, OperationKind::Fetch | OperationKind::Preview)
                || matches!(operation.subject, Subject::Cached(..))
        };
        self.operations.iter().any(works)
    }
}

/// How things are, apart from what is wanted.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Content that is on this machine.
    pub on_disk: HashSet<Sha256>,
    /// Files whose download is paused, or failed and waits for its time.
    pub held_back: HashMap<FileId, DownloadState>,
    /// Files that another tool's cache holds under their name.
    pub cached: HashMap<FileId, PathBuf>,
    /// Bytes that each follow's files take up.
    pub held_bytes: HashMap<FollowId, u64>,
    /// Where files go, and what follows may still put there.
    pub destinations: Destinations,
    pub now: Timestamp,
    /// Of the local day.
    pub minute_of_day: u16,
}

/// Makes the plan for `wanted`.
#[must_use]
pub fn plan(wanted: &[WantedModel], facts: &Facts) -> Plan {
    let newest = newest_versions(wanted);
    let mut planner = Planner {
        facts,
        held_bytes: facts.held_bytes.clone(),
        destinations: facts.destinations.clone(),
        files: HashSet::new(),
        previews: HashSet::new(),
        operations: Vec::new(),
    };
    // Who comes first takes from the budgets first: the follow with the highest priority, and of one follow the newest.
    let mut order: Vec<(&WantedModel, &WantedVersion)> =
        wanted.iter().flat_map(|model| model.versions.iter().map(move |version| (model, version))).collect();
    let priority = |model: &WantedModel| model.follows.first().map_or(i32::MAX, |follow| follow.policy.priority);
    order.sort_by_key(|(model, wanted)| {
        (std::cmp::Reverse(priority(model)), std::cmp::Reverse(wanted.version.published_at))
    });
    for (model, version) in order {
        planner.version(model, version, &newest);
    }
    for model in wanted.iter().filter(|model| model.model.gone_at.is_some() && !model.follows.is_empty()) {
        planner.gone(model);
    }
    let mut operations = planner.operations;
    // Previews last: they are small, and people wait for models.
    operations.sort_by_key(|operation| operation.kind == OperationKind::Preview);
    Plan { operations }
}

/// For each follow with a numbered backfill, the versions that it covers: the newest over the whole follow.
fn newest_versions(wanted: &[WantedModel]) -> HashSet<(FollowId, VersionId)> {
    type Dated = (Option<Timestamp>, VersionId);
    let mut by_follow: BTreeMap<FollowId, (usize, Vec<Dated>)> = BTreeMap::new();
    for model in wanted {
        for follow in &model.follows {
            let Backfill::Newest(count) = follow.policy.backfill else { continue };
            let entry = by_follow.entry(follow.id).or_default();
            entry.0 = usize::try_from(count).unwrap_or(usize::MAX);
            entry.1.extend(model.versions.iter().map(|wanted| (wanted.version.published_at, wanted.version.id)));
        }
    }
    let mut covered = HashSet::new();
    for (follow, (count, mut versions)) in by_follow {
        versions.sort_unstable();
        covered.extend(versions.into_iter().rev().take(count).map(|(_, version)| (follow, version)));
    }
    covered
}

struct Planner<'a> {
    facts: &'a Facts,
    held_bytes: HashMap<FollowId, u64>,
    destinations: Destinations,
    /// What has its operation already: two intents may want the same.
    files: HashSet<FileId>,
    previews: HashSet<PreviewId>,
    operations: Vec<Operation>,
}

/// Who wants a version.
enum Wish<'a> {
    /// A pull: no policy has a say in it.
    Pull,
    /// These follows, the first one first.
    Follows(Vec<&'a FollowInterest>),
}

impl<'a> Wish<'a> {
    /// The follow that is named where one has to be; none for a pull.
    fn first(&self) -> Option<&'a FollowInterest> {
        match self {
            Self::Pull => None,
            Self::Follows(follows) => follows.first().copied(),
        }
    }
}

impl Planner<'_> {
    fn version(&mut self, model: &WantedModel, version: &WantedVersion, newest: &HashSet<(FollowId, VersionId)>) {
        let pulled = version.pulled || !version.pulled_files.is_empty();
        let wish = if pulled { Ok(Wish::Pull) } else { self.who_wants(model, version, newest).map(Wish::Follows) };
        match (wish, verdict::of_hub(model, version, pulled, self.facts.now)) {
            // A version that no follow would want anyway is refused for that, whatever the hub says: it is the better
            // explanation.
            (Err((follow, refusal)), _) => self.refuse(model, version, Some(follow), refusal),
            (Ok(_), Err(refusal)) => self.refuse(model, version, model.follows.first(), refusal),
            (Ok(wish), Ok(())) => {
                self.fetch_files(model, version, &wish);
                self.fetch_previews(model, version, &wish);
            }
        }
    }

    /// The follows whose policy wants a version; where all refuse it, the refusal of the first.
    fn who_wants<'m>(
        &self,
        model: &'m WantedModel,
        version: &WantedVersion,
        newest: &HashSet<(FollowId, VersionId)>,
    ) -> Result<Vec<&'m FollowInterest>, (&'m FollowInterest, Refusal)> {
        let mut willing = Vec::new();
        let mut refused = None;
        for follow in &model.follows {
            match verdict::of_follow(model, version, follow, newest, self.facts.minute_of_day) {
                Ok(()) => willing.push(follow),
                Err(refusal) => refused = refused.or(Some((follow, refusal))),
            }
        }
        match refused {
            Some(refused) if willing.is_empty() => Err(refused),
            _ => Ok(willing),
        }
    }

    /// A refused version: what is here of it is kept, the rest is skipped in one line.
    fn refuse(
        &mut self,
        model: &WantedModel,
        version: &WantedVersion,
        follow: Option<&FollowInterest>,
        refusal: Refusal,
    ) {
        for file in &version.version.files {
            if self.is_here(file) && self.files.insert(file.id) {
                self.keep(model, version, follow, file);
            }
        }
        let (reason, detail) = refusal;
        let skip = operation(model, &version.version.reference, follow, OperationKind::Skip, Subject::Version);
        self.operations.push(Operation { reason, detail, ..skip });
    }

    /// A model that the hub has no more: nothing can be fetched, and nothing is taken away.
    fn gone(&mut self, model: &WantedModel) {
        let follow = model.follows.first();
        let skip = operation(model, &model.model.reference, follow, OperationKind::Skip, Subject::Version);
        let detail = "the hub has it no more; what is here stays".to_owned();
        self.operations.push(Operation { reason: "gone", detail, ..skip });
    }

    fn is_here(&self, file: &FileRecord) -> bool {
        file.state != FileState::Mismatched
            && file.artifact.as_ref().is_some_and(|artifact| self.facts.on_disk.contains(&artifact.sha256))
    }

    fn keep(
        &mut self,
        model: &WantedModel,
        version: &WantedVersion,
        follow: Option<&FollowInterest>,
        file: &FileRecord,
    ) {
        let (reason, detail) = match file.state {
            FileState::Verified => ("have_verified", "here, with the digest that the hub lists"),
            _ if file.edited_header => {
                ("have_same_tensors", "here, with the tensors that the hub lists and a header that was edited")
            }
            _ => ("have_unverified", "here; the hub lists no digest to check it by"),
        };
        let subject = Subject::File(Box::new(file.clone()));
        let keep = operation(model, &version.version.reference, follow, OperationKind::Keep, subject);
        self.operations.push(Operation { reason, detail: detail.to_owned(), ..keep });
    }

    fn fetch_files(&mut self, model: &WantedModel, version: &WantedVersion, wish: &Wish<'_>) {
        let files = &version.version.files;
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
        let choices = choose(model.model.hub, model.model.kind, &candidates);
        let first = wish.first();
        let kind = model.model.kind;
        let news = News::of(version, &choices);
        for (file, choice) in files.iter().zip(choices) {
            if !self.files.insert(file.id) {
                continue;
            }
            if self.is_here(file) {
                self.keep(model, version, first, file);
                continue;
            }
            let named = version.pulled_files.contains(&file.id);
            let refusal = if file.removed_at.is_some() {
                Some((REMOVED, "you removed it; `paintbox pull` fetches it again".to_owned()))
            } else if let Some(away) = away_on(file) {
                Some((VOLUME_AWAY, format!("it lies on the volume {away}, which is away")))
            } else if !version.pulled_files.is_empty() && !named && !version.pulled {
                Some(("not_needed", "another file of this version was pulled".to_owned()))
            } else if choice == Choice::Wanted
                || (named && !matches!(choice, Choice::PickleRefused | Choice::ArchiveRefused))
            {
                None
            } else {
                Some((choice.reason(), choice.detail().to_owned()))
            };
            let subject = || Subject::File(Box::new(file.clone()));
            let reference = &version.version.reference;
            let (follow, outcome) = match (refusal, wish) {
                (Some(refusal), _) => (first, Err(refusal)),
                (None, Wish::Pull) => (None, Ok(())),
                (None, Wish::Follows(follows)) => {
                    self.of_policies(kind, file, follows, |follow| news.is_old(follow, file))
                }
            };
            if let Err((reason, detail)) = outcome {
                let skip = operation(model, reference, follow, OperationKind::Skip, subject());
                self.operations.push(Operation { reason, detail, ..skip });
                continue;
            }
            if let Some(path) = self.facts.cached.get(&file.id) {
                let subject = Subject::Cached(Box::new(file.clone()), path.clone());
                let keep = operation(model, reference, follow, OperationKind::Keep, subject);
                let detail = "on this machine already, in the Hugging Face cache; used where it lies".to_owned();
                self.operations.push(Operation { reason: "in_hf_cache", detail, ..keep });
                continue;
            }
            let bytes = file.size.map_or(0, FileSize::bytes);
            self.take(follow, kind, bytes);
            if let Some((reason, detail)) = self.held_back(kind, file) {
                let skip = operation(model, reference, follow, OperationKind::Skip, subject());
                self.operations.push(Operation { reason, detail, ..skip });
                continue;
            }
            let (reason, detail) = match follow {
                None => ("pulled", "pulled by you".to_owned()),
                Some(_) if version.replaced_files.contains(&file.name) => {
                    ("replaced", "the hub put other bytes under this name; the former file stays".to_owned())
                }
                Some(follow) => ("wanted", format!("new from {}", follow.target)),
            };
            let fetch = operation(model, reference, follow, OperationKind::Fetch, subject());
            self.operations.push(Operation { reason, detail, ..fetch });
        }
    }

    /// Why a file that is wanted has to wait.
    fn held_back(&self, kind: ModelKind, file: &FileRecord) -> Option<Refusal> {
        match (self.facts.held_back.get(&file.id), self.destinations.awaited(kind)) {
            (Some(DownloadState::Paused), _) => Some((PAUSED, "its download is paused".to_owned())),
            (Some(_), _) => Some((RETRY_LATER, "it failed a while ago, and is tried again in its time".to_owned())),
            (None, Some(label)) => Some((VOLUME_AWAY, format!("it belongs on the volume {label}, which is away"))),
            (None, None) => None,
        }
    }

    /// The first follow whose policy takes the file, or the refusal of the first of them.
    fn of_policies<'f>(
        &self,
        kind: ModelKind,
        file: &FileRecord,
        follows: &[&'f FollowInterest],
        is_old: impl Fn(&FollowInterest) -> bool,
    ) -> (Option<&'f FollowInterest>, Result<(), Refusal>) {
        let mut first = None;
        for follow in follows {
            let held = self.held_bytes.get(&follow.id).copied().unwrap_or_default();
            match verdict::of_file(file, follow, is_old(follow), held, self.destinations.room(kind)) {
                Ok(()) => return (Some(follow), Ok(())),
                Err(refusal) => first = first.or(Some((Some(*follow), Err(refusal)))),
            }
        }
        first.unwrap_or((None, Ok(())))
    }

    fn take(&mut self, follow: Option<&FollowInterest>, kind: ModelKind, bytes: u64) {
        if let Some(follow) = follow {
            *self.held_bytes.entry(follow.id).or_default() += bytes;
        }
        self.destinations.take(kind, bytes);
    }

    fn fetch_previews(&mut self, model: &WantedModel, version: &WantedVersion, wish: &Wish<'_>) {
        let follow = wish.first();
        let missing = |preview: &&PreviewRecord| {
            let there = [preview.original, preview.thumbnail, preview.small_thumbnail]
                .into_iter()
                .all(|digest| digest.is_some_and(|digest| self.facts.on_disk.contains(&digest)));
            // A failure that a later attempt cannot mend is not attempted again.
            !there && preview.failure.as_ref().is_none_or(|failure| failure.class.is_retryable())
        };
        let wanted: Vec<&PreviewRecord> = version
            .version
            .previews
            .iter()
            // A hub that lists videos gives stills of them.
            .filter(|preview| matches!(preview.media, PreviewMedia::Image | PreviewMedia::Video))
            .take(PREVIEWS_PER_VERSION)
            .filter(missing)
            .collect();
        for preview in wanted {
            if self.previews.insert(preview.id) {
                let subject = Subject::Preview(Box::new(preview.clone()));
                let fetch = operation(model, &version.version.reference, follow, OperationKind::Preview, subject);
                let detail = match preview.original {
                    Some(original) if self.facts.on_disk.contains(&original) => "a smaller copy of an example image",
                    _ => "an example image that is not here yet",
                };
                let detail = detail.to_owned();
                self.operations.push(Operation { reason: "preview_missing", detail, ..fetch });
            }
        }
    }
}

/// What of a version's content was not there when a follow began. A commit holds all files of its repository again,
/// changed or not.
struct News<'a> {
    version: &'a WantedVersion,
    /// The files that would be fetched if all were new.
    chosen: Vec<&'a FileRecord>,
    /// The files only work together.
    one_whole: bool,
}

impl<'a> News<'a> {
    fn of(version: &'a WantedVersion, choices: &[Choice]) -> Self {
        let files = &version.version.files;
        let wanted = |choice: &Choice| *choice == Choice::Wanted;
        let mut chosen: Vec<&FileRecord> =
            files.iter().zip(choices).filter(|(_, choice)| wanted(choice)).map(|(file, _)| file).collect();
        if chosen.iter().any(|file| file.format.is_weights()) {
            chosen.retain(|file| file.format.is_weights());
        }
        Self { version, chosen, one_whole: files.iter().any(|file| file.name == "model_index.json") }
    }

    fn is_old(&self, follow: &FollowInterest, file: &FileRecord) -> bool {
        let same = |file: &FileRecord| self.version.same_content.contains(&(follow.id, file.id));
        if self.one_whole || !file.format.is_weights() { self.chosen.iter().all(|file| same(file)) } else { same(file) }
    }
}

/// The volume that has a file, while that is away.
fn away_on(file: &FileRecord) -> Option<&str> {
    let artifact = file.artifact.as_ref().filter(|_| file.state == FileState::Away)?;
    artifact.away_on.first().map(String::as_str)
}

/// An operation without its reason.
fn operation(
    model: &WantedModel,
    version: &ModelRef,
    follow: Option<&FollowInterest>,
    kind: OperationKind,
    subject: Subject,
) -> Operation {
    let (file, size_bytes) = match &subject {
        Subject::Version => (String::new(), 0),
        Subject::File(file) | Subject::Cached(file, _) => (file.name.clone(), file.size.map_or(0, FileSize::bytes)),
        Subject::Preview(preview) => (preview.url.clone(), 0),
    };
    Operation {
        kind,
        follow: follow.map(|follow| follow.target.to_string()),
        follow_id: follow.map(|follow| follow.id),
        model: model.model.id,
        model_name: model.model.name.clone(),
        hub: model.model.hub,
        version: version.clone(),
        file,
        size_bytes,
        reason: "",
        detail: String::new(),
        priority: follow.map_or(i32::MAX, |follow| follow.policy.priority),
        subject,
    }
}

#[cfg(test)]
mod tests;
