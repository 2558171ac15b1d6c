//! Planning with the facts of this machine, and carrying a plan out: every operation is accounted for.

use crate::Parts;
use crate::error::SyncError;
use crate::feed::{Feed, FileFailed, FilePhase, FileProgress};
use crate::fetch::{Fetcher, Observer};
use crate::plan::{Facts, Operation, OperationKind, Plan, Subject, plan};
use crate::second_look;
use crate::throttle::Throttles;
use futures::StreamExt as _;
use paintbox_catalogue::{
    Asset, AssetOrigin, Extent, FileId, FileRecord, Follow, FollowId, FollowInterest, PreviewId, Scope, StoredPreview,
    SyncCounts, WantedModel,
};
use paintbox_domain::{Classify as _, Failure, Hub, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Files that are fetched side by side.
const FILES_AT_ONCE: usize = 3;
/// Previews that are fetched side by side.
const PREVIEWS_AT_ONCE: usize = 4;
/// Larger example images are not worth their bytes.
const LARGEST_PREVIEW_BYTES: u64 = 32 << 20;
/// Progress of a file is told at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

impl Parts {
    /// The plan for `scope` as things are now. What each follow still wants is put on record with it.
    pub(crate) async fn plan(&self, scope: &Scope, extent: Extent) -> Result<Plan, SyncError> {
        let wanted = self.catalogue.wanted(scope, extent).await?;
        if wanted.is_empty() {
            return Ok(Plan::default());
        }
        let plan = plan(&wanted, &self.facts(&wanted).await?);
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
        let (store, contents) = (self.store.clone(), contents_of(wanted));
        let (on_disk, room_bytes) = tokio::task::spawn_blocking(move || {
            let is_here = |content: &Content| {
                store.has_blob(&content.sha256).is_some()
                    || content.paths.iter().any(|path| path.metadata().is_ok_and(|found| found.len() == content.bytes))
            };
            let on_disk = contents.iter().filter(|content| is_here(content)).map(|content| content.sha256).collect();
            (on_disk, store.room_bytes().ok())
        })
        .await
        .map_err(|_| SyncError::WorkerLost)?;
        Ok(Facts {
            on_disk,
            cached: self.cached(wanted).await?,
            held_bytes,
            room_bytes,
            now: self.clock.now(),
            minute_of_day: self.clock.minute_of_day(),
        })
    }

    async fn record_pending(&self, wanted: &[WantedModel], plan: &Plan) -> Result<(), SyncError> {
        let mut pending: BTreeMap<FollowId, Vec<FileId>> = BTreeMap::new();
        for follow in wanted.iter().flat_map(|model| &model.follows) {
            pending.entry(follow.id).or_default();
        }
        for operation in plan.operations.iter().filter(|operation| operation.kind == OperationKind::Fetch) {
            if let (Some(follow), Subject::File(file)) = (operation.follow_id, &operation.subject) {
                pending.entry(follow).or_default().push(file.id);
            }
        }
        for (follow, files) in pending {
            self.catalogue.record_follow_plan(follow, &files).await?;
        }
        Ok(())
    }

    /// Carries out `plan` and counts what came of it.
    pub(crate) async fn execute(
        &self,
        plan: &Plan,
        throttles: &Throttles,
        feed: &Feed,
        cancel: &CancellationToken,
    ) -> SyncCounts {
        let counts = Mutex::new(SyncCounts {
            planned: count(plan.count(OperationKind::Fetch)),
            already_had: count(plan.count(OperationKind::Keep)),
            skipped: count(plan.count(OperationKind::Skip)),
            ..SyncCounts::default()
        });
        let with_counts = |apply: &dyn Fn(&mut SyncCounts)| {
            apply(&mut counts.lock().unwrap_or_else(PoisonError::into_inner));
        };
        let moves = |operation: &&Operation| {
            operation.kind == OperationKind::Fetch || matches!(operation.subject, Subject::Cached(..))
        };
        let transfers = plan.operations.iter().filter(moves);
        futures::stream::iter(transfers)
            .for_each_concurrent(FILES_AT_ONCE, async |operation| {
                match self.obtain(operation, throttles, feed, cancel).await {
                    Ok(Obtained::InPlace) => {}
                    Ok(Obtained::Fetched(bytes)) => with_counts(&|counts| {
                        counts.fetched += 1;
                        counts.bytes += bytes;
                        if operation.kind == OperationKind::Keep {
                            // It was to be had in place, and was not.
                            counts.planned += 1;
                            counts.already_had -= 1;
                        }
                    }),
                    Err(NotObtained { error: SyncError::Cancelled, .. }) => {}
                    Err(failed) => {
                        with_counts(&|counts| counts.failed += 1);
                        self.fetch_failed(operation, &failed, feed).await;
                    }
                }
            })
            .await;
        let previews = plan.operations.iter().filter(|operation| operation.kind == OperationKind::Preview);
        futures::stream::iter(previews)
            .for_each_concurrent(PREVIEWS_AT_ONCE, async |operation| {
                if cancel.is_cancelled() {
                    return;
                }
                if let Subject::Preview(preview) = &operation.subject
                    && let Err(error) = self.preview(operation.hub, preview.id, &preview.url).await
                {
                    // A picture that cannot be had does not make a sync fail; it is on record with the preview.
                    tracing::info!(url = %preview.url, reason = error.reason(), "no preview");
                    if let Err(error) = self.catalogue.record_preview_failure(preview.id, &error.failure()).await {
                        tracing::error!(%error, "cannot record a preview's failure");
                    }
                }
            })
            .await;
        counts.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings one file here, over the network or from where another tool has it.
    async fn obtain(
        &self,
        operation: &Operation,
        throttles: &Throttles,
        feed: &Feed,
        cancel: &CancellationToken,
    ) -> Result<Obtained, NotObtained> {
        let file = match &operation.subject {
            Subject::Cached(file, path) => {
                if self.adopt_cached(file, path).await.map_err(NotObtained::of(file))? {
                    return Ok(Obtained::InPlace);
                }
                file
            }
            Subject::File(file) => file,
            Subject::Version | Subject::Preview(_) => return Ok(Obtained::InPlace),
        };
        if cancel.is_cancelled() {
            return Err(NotObtained::of(file)(SyncError::Cancelled));
        }
        let observer = FileObserver {
            feed,
            version: operation.version.to_string(),
            file: operation.file.clone(),
            last: Mutex::default(),
        };
        let throttle = throttles.of(operation.follow_id, operation.max_bytes_per_second);
        let fetcher = Fetcher { hubs: &self.hubs, store: &self.store, catalogue: &self.catalogue, throttle, cancel };
        let bytes = match fetcher.fetch(operation.hub, file, &observer).await {
            Err(error) if second_look::is_due(&error) => {
                let listed = match self.listed_now(&operation.version, file, &error).await {
                    Some(listed) if listed.artifact.is_some() => return Ok(Obtained::InPlace),
                    Some(listed) => listed,
                    None => return Err(NotObtained::of(file)(error)),
                };
                fetcher.fetch(operation.hub, &listed, &observer).await.map_err(NotObtained::of(&listed))?
            }
            fetched => fetched.map_err(NotObtained::of(file))?,
        };
        observer.done();
        tracing::info!(version = %operation.version, file = %operation.file, bytes, "fetched and verified");
        Ok(Obtained::Fetched(bytes))
    }

    async fn fetch_failed(&self, operation: &Operation, failed: &NotObtained, feed: &Feed) {
        let failure = failed.error.failure();
        tracing::warn!(version = %operation.version, file = %operation.file, reason = %failure.reason, "{failure}");
        if let Err(error) = self.catalogue.record_file_failure(failed.file, &failure).await {
            tracing::error!(%error, "cannot record a file's failure");
        }
        let (version, file) = (operation.version.to_string(), operation.file.clone());
        feed.failed(FileFailed { version, file, failure });
    }

    async fn preview(&self, hub: Hub, id: PreviewId, url: &str) -> Result<(), SyncError> {
        let bytes = self.hubs.fetch_preview(hub, url, LARGEST_PREVIEW_BYTES).await?;
        let store = self.store.clone();
        let stored = tokio::task::spawn_blocking(move || paintbox_store::preview::store_preview(&store, &bytes))
            .await
            .map_err(|_| SyncError::WorkerLost)?
            .map_err(|source| SyncError::Preview { url: url.to_owned(), source })?;
        self.catalogue.record_preview(id, &preview_assets(&stored)).await?;
        Ok(())
    }
}

fn preview_assets(stored: &paintbox_store::preview::StoredPreview) -> StoredPreview {
    StoredPreview {
        original: Asset {
            sha256: stored.original.sha256,
            media_type: stored.media_type.to_owned(),
            size_bytes: stored.original.size_bytes,
            width: stored.width,
            height: stored.height,
            origin: AssetOrigin::Preview,
        },
        thumbnail: Asset {
            sha256: stored.thumbnail.sha256,
            media_type: stored.thumbnail_media_type.to_owned(),
            size_bytes: stored.thumbnail.size_bytes,
            width: stored.thumbnail_width,
            height: stored.thumbnail_height,
            origin: AssetOrigin::Thumbnail,
        },
    }
}

/// How a file came to be here.
enum Obtained {
    /// It was on this machine.
    InPlace,
    /// So many bytes came over the network.
    Fetched(u64),
}

/// Why a file is not here, and which it was: the hub may have replaced the one that was planned.
struct NotObtained {
    error: SyncError,
    file: FileId,
}

impl NotObtained {
    fn of(file: &FileRecord) -> impl Fn(SyncError) -> Self + use<> {
        let file = file.id;
        move |error| Self { error, file }
    }
}

/// Content that is said to be here.
struct Content {
    sha256: Sha256,
    bytes: u64,
    /// Where it was seen; pictures lie in the store alone.
    paths: Vec<PathBuf>,
}

fn contents_of(wanted: &[WantedModel]) -> Vec<Content> {
    let versions = wanted.iter().flat_map(|model| &model.versions).map(|wanted| &wanted.version);
    versions
        .flat_map(|version| {
            let files = version.files.iter().filter_map(|file| file.artifact.as_ref()).map(|artifact| Content {
                sha256: artifact.sha256,
                bytes: artifact.size_bytes,
                paths: artifact.paths.clone(),
            });
            let pictures = version.previews.iter().flat_map(|preview| [preview.original, preview.thumbnail]).flatten();
            files.chain(pictures.map(|sha256| Content { sha256, bytes: 0, paths: Vec::new() }))
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

struct FileObserver<'a> {
    feed: &'a Feed,
    version: String,
    file: String,
    last: Mutex<LastSeen>,
}

/// The latest bytes of a file, and when progress was last told.
#[derive(Debug, Clone, Copy, Default)]
struct LastSeen {
    told_at: Option<Instant>,
    bytes_done: u64,
    bytes_total: Option<u64>,
}

impl FileObserver<'_> {
    fn tell(&self, bytes_done: u64, bytes_total: Option<u64>, phase: FilePhase) {
        let (version, file) = (self.version.clone(), self.file.clone());
        self.feed.progress(FileProgress { version, file, bytes_done, bytes_total, phase });
    }

    fn done(&self) {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell(last.bytes_done, last.bytes_total.or(Some(last.bytes_done)), FilePhase::Done);
    }
}

impl Observer for FileObserver<'_> {
    fn bytes(&self, done: u64, total: Option<u64>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (last.bytes_done, last.bytes_total) = (done, total);
        if last.told_at.is_none_or(|told| told.elapsed() >= PROGRESS_INTERVAL) {
            last.told_at = Some(Instant::now());
            drop(last);
            self.tell(done, total, FilePhase::Transferring);
        }
    }

    fn verifying(&self, done: u64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (last.bytes_done, last.bytes_total) = (done, Some(done));
        drop(last);
        self.tell(done, Some(done), FilePhase::Verifying);
    }
}
