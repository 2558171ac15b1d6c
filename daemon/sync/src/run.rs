//! Planning with the facts of this machine, and carrying a plan out: every operation is accounted for.

use crate::downloads::{DownloadProgress, Outcome, Ticket};
use crate::error::SyncError;
use crate::feed::Feed;
use crate::plan::{Facts, Operation, OperationKind, Plan, Subject, plan};
use crate::settle::blocking;
use crate::{Parts, Sync};
use paintbox_catalogue::{
    Extent, FileId, FileRecord, Follow, FollowId, FollowInterest, NewDownload, Scope, SyncCounts, WantedModel,
};
use paintbox_domain::transfer::{FileFailed, FilePhase, FileProgress};
use paintbox_domain::{DownloadState, Failure, ModelKind, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Progress of a file is told at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

impl Parts {
    /// The plan for `scope` as things are now. What each follow still wants is put on record with it.
    pub(crate) async fn plan(&self, scope: &Scope, extent: Extent) -> Result<Plan, SyncError> {
        let wanted = self.catalogue.wanted(scope, extent).await?;
        if wanted.is_empty() {
            return Ok(Plan::default());
        }
        let held_back = self.catalogue.downloads_held_back().await?.into_iter();
        // Whoever asks does not wait for the time that a failure set; what comes by itself does.
        let waits = |state: DownloadState| extent == Extent::News || state == DownloadState::Paused;
        let held_back = held_back.filter(|(_, state)| waits(*state)).collect();
        let plan = plan(&wanted, &Facts { held_back, ..self.facts(&wanted).await? });
        self.record_pending(&wanted, &plan).await?;
        Ok(plan)
    }

    /// How things are on this machine for what is wanted.
    pub(crate) async fn facts(&self, wanted: &[WantedModel]) -> Result<Facts, SyncError> {
        let has_budget = |follow: &FollowInterest| follow.policy.max_total_bytes.is_some();
        let held_bytes = match wanted.iter().flat_map(|model| &model.follows).any(has_budget) {
            true => self.catalogue.held_bytes().await?,
            false => HashMap::new(),
        };
        let (places, contents) = (self.places.clone(), contents_of(wanted));
        let kinds: Vec<ModelKind> = wanted.iter().map(|model| model.model.kind).collect();
        let (on_disk, destinations) = blocking(move || {
            // A file that lies where nothing is on record of it is taken into use by its download, which fetches nothing.
            let is_here = |content: &Content| match content {
                Content::Picture(sha256) => places.home().has_blob(sha256).is_some(),
                Content::File { bytes, paths, .. } => {
                    // A disk that was taken away a moment ago has what it had.
                    paths.iter().any(|path| match path.metadata() {
                        Ok(found) => found.len() == *bytes,
                        Err(_) => places.is_away(path),
                    })
                }
            };
            let on_disk = contents.iter().filter(|content| is_here(content)).map(Content::sha256).collect();
            (on_disk, places.destinations(kinds))
        })
        .await?;
        Ok(Facts {
            held_back: HashMap::new(),
            on_disk,
            cached: self.cached(wanted).await?,
            held_bytes,
            destinations,
            now: self.clock.now(),
            minute_of_day: self.clock.minute_of_day(),
        })
    }

    async fn record_pending(&self, wanted: &[WantedModel], plan: &Plan) -> Result<(), SyncError> {
        let mut pending: BTreeMap<FollowId, Vec<FileId>> = BTreeMap::new();
        for follow in wanted.iter().flat_map(|model| &model.follows) {
            pending.entry(follow.id).or_default();
        }
        for operation in &plan.operations {
            if let (Some(follow), Some(file)) = (operation.follow_id, operation.file_to_come()) {
                pending.entry(follow).or_default().push(file);
            }
        }
        for (follow, files) in pending {
            self.catalogue.record_follow_plan(follow, &files).await?;
        }
        Ok(())
    }

    /// The files of `plan` that are to be fetched, in order, and what was brought into use in place meanwhile.
    async fn to_fetch<'p>(&self, plan: &'p Plan) -> (Vec<(&'p Operation, &'p FileRecord)>, SyncCounts) {
        let mut counts = SyncCounts {
            planned: count(plan.count(OperationKind::Fetch)),
            already_had: count(plan.count(OperationKind::Keep)),
            skipped: count(plan.count(OperationKind::Skip)),
            ..SyncCounts::default()
        };
        let mut files = Vec::new();
        for operation in &plan.operations {
            match &operation.subject {
                Subject::File(file) if operation.kind == OperationKind::Fetch => files.push((operation, &**file)),
                Subject::Cached(file, path) => match self.adopt_cached(file, path).await {
                    Ok(true) => {}
                    // It was to be had in place, and was not.
                    Ok(false) => {
                        counts.planned += 1;
                        counts.already_had -= 1;
                        files.push((operation, &**file));
                    }
                    Err(error) => {
                        tracing::error!(file = %file.name, %error, "cannot use what the Hugging Face cache holds");
                        counts.failed += 1;
                    }
                },
                Subject::File(_) | Subject::Version | Subject::Preview(_) => {}
            }
        }
        (files, counts)
    }
}

/// Content that is said to be here.
enum Content {
    /// In the home's own store.
    Picture(Sha256),
    /// Where it was seen.
    File { sha256: Sha256, bytes: u64, paths: Vec<PathBuf> },
}

impl Content {
    fn sha256(&self) -> Sha256 {
        match self {
            Self::Picture(sha256) | Self::File { sha256, .. } => *sha256,
        }
    }
}

fn contents_of(wanted: &[WantedModel]) -> Vec<Content> {
    let versions = wanted.iter().flat_map(|model| &model.versions).map(|wanted| &wanted.version);
    versions
        .flat_map(|version| {
            let files = version.files.iter().filter_map(|file| file.artifact.as_ref()).map(|artifact| Content::File {
                sha256: artifact.sha256,
                bytes: artifact.size_bytes,
                paths: artifact.paths.clone(),
            });
            let pictures = version
                .previews
                .iter()
                .flat_map(|preview| [preview.original, preview.thumbnail, preview.small_thumbnail])
                .flatten();
            files.chain(pictures.map(Content::Picture))
        })
        .collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A look at a creator that failed, for the feed.
pub(crate) fn check_failed(follow: &Follow, failure: Failure) -> FileFailed {
    FileFailed { version: follow.target.to_string(), file: String::new(), failure }
}

impl Sync {
    /// Carries out `plan` and counts what came of it. `at_once`: files that failed before do not wait for their time.
    pub(crate) async fn execute(
        &self,
        plan: &Plan,
        feed: &Feed,
        cancel: &CancellationToken,
        at_once: bool,
    ) -> Result<SyncCounts, SyncError> {
        let parts = &self.inner.parts;
        let (files, mut counts) = parts.to_fetch(plan).await;
        let downloads: Vec<NewDownload> = files.iter().map(|(operation, file)| download(operation, file)).collect();
        let tickets = self.enqueue(&downloads, at_once).await?;
        let waits =
            files.iter().zip(tickets).map(|((operation, _), ticket)| self.attend(operation, ticket, feed, cancel));
        for (outcome, bytes) in futures::future::join_all(waits).await {
            counts.bytes += bytes;
            match outcome {
                Outcome::Fetched => counts.fetched += 1,
                Outcome::AlreadyHere => counts.already_had += 1,
                Outcome::Failed(_) => counts.failed += 1,
                Outcome::Held | Outcome::Cancelled => counts.skipped += 1,
            }
        }
        parts.fetch_previews(plan, cancel).await;
        Ok(counts)
    }

    /// Puts what a plan would fetch into the queue, where it waits for a better moment.
    pub(crate) async fn queue_for_later(&self, plan: &Plan) -> Result<(), SyncError> {
        let (files, _) = self.inner.parts.to_fetch(plan).await;
        let downloads: Vec<NewDownload> = files.iter().map(|(operation, file)| download(operation, file)).collect();
        self.enqueue(&downloads, false).await.map(drop)
    }

    /// Waits for one download, and tells how it comes along. Returns what became of it and the bytes that came.
    async fn attend(
        &self,
        operation: &Operation,
        ticket: Ticket,
        feed: &Feed,
        cancel: &CancellationToken,
    ) -> (Outcome, u64) {
        let Ticket { id, mut progress } = ticket;
        let tell = |now: &DownloadProgress, phase| {
            let (version, file) = (operation.version.to_string(), operation.file.clone());
            let (bytes_done, bytes_total) = (now.bytes_done, now.bytes_total);
            feed.progress(FileProgress { version, file, bytes_done, bytes_total, phase });
        };
        let mut told: Option<(FilePhase, Instant)> = None;
        let mut gives_up = false;
        loop {
            let now = progress.borrow_and_update().clone();
            if let Some(outcome) = now.outcome.clone() {
                match &outcome {
                    Outcome::Fetched => {
                        let bytes_total = now.bytes_total.or(Some(now.bytes_done));
                        tell(&DownloadProgress { bytes_total, ..now.clone() }, FilePhase::Done);
                    }
                    Outcome::Failed(failure) => {
                        let (version, file) = (operation.version.to_string(), operation.file.clone());
                        feed.failed(FileFailed { version, file, failure: failure.clone() });
                    }
                    Outcome::AlreadyHere | Outcome::Held | Outcome::Cancelled => {}
                }
                return (outcome, now.received_bytes);
            }
            if let Some(phase) = FilePhase::of(now.state)
                && told.is_none_or(|(before, at)| before != phase || at.elapsed() >= PROGRESS_INTERVAL)
            {
                told = Some((phase, Instant::now()));
                tell(&now, phase);
            }
            tokio::select! {
                changed = progress.changed() => if changed.is_err() {
                    return (Outcome::Held, now.received_bytes);
                },
                () = cancel.cancelled(), if !gives_up => match self.leave(id).await {
                    // Its worker ends with the bytes in flight, and says so.
                    Ok(true) => gives_up = true,
                    Ok(false) => return (Outcome::Held, now.received_bytes),
                    Err(error) => {
                        tracing::error!(%error, "cannot give up a download");
                        return (Outcome::Held, now.received_bytes);
                    }
                }
            }
        }
    }
}

fn download(operation: &Operation, file: &FileRecord) -> NewDownload {
    NewDownload { file: file.id, hub: operation.hub, follow: operation.follow_id, priority: operation.priority }
}
