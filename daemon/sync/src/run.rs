//! One sync run: look at the creators, plan, execute the plan, account for every operation.

use crate::Parts;
use crate::error::SyncError;
use crate::feed::{Feed, FileFailed, FilePhase, FileProgress};
use crate::fetch::{Fetcher, Observer};
use crate::plan::{Operation, OperationKind, Plan, Subject, plan};
use futures::StreamExt as _;
use paintbox_catalogue::{
    Asset, AssetOrigin, FileId, Follow, FollowCheck, FollowId, ModelId, PreviewId, Scope, StoredPreview, SyncCounts,
    WantedModel,
};
use paintbox_domain::{Classify as _, Failure, Hub, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// When a creator would be looked at again if syncing by itself were switched on.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(3600);
/// Files that are fetched side by side.
const FILES_AT_ONCE: usize = 3;
/// Previews that are fetched side by side.
const PREVIEWS_AT_ONCE: usize = 4;
/// Larger example images are not worth their bytes.
const LARGEST_PREVIEW_BYTES: u64 = 32 << 20;
/// Progress of a file is told at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

impl Parts {
    /// Asks the hub what `follow`'s creator has, page by page, and keeps it. The number is of versions not seen before.
    pub(crate) async fn check(&self, follow: &Follow) -> Result<u32, SyncError> {
        let started = self.clock.now();
        let result = self.record_pages(follow).await;
        let new_versions = self.catalogue.count_new_versions(follow.id, started).await?;
        let now = self.clock.now();
        let check = FollowCheck {
            at: now,
            next_at: now.plus(self.sync_interval.unwrap_or(DEFAULT_INTERVAL)),
            failure: result.as_ref().err().map(SyncError::failure),
            new_versions,
        };
        self.catalogue.record_follow_check(follow.id, &check).await?;
        result.map(|()| new_versions)
    }

    async fn record_pages(&self, follow: &Follow) -> Result<(), SyncError> {
        let mut pages = self.hubs.models_of(&follow.target);
        while let Some(page) = pages.next().await {
            self.catalogue.record_models(&page?, Some(follow.id)).await?;
        }
        Ok(())
    }

    /// The plan for `scope` as things are now. What each follow still wants is put on record with it.
    pub(crate) async fn plan(&self, scope: &Scope) -> Result<Plan, SyncError> {
        let wanted = self.catalogue.wanted(scope).await?;
        let store = self.store.clone();
        let digests: HashSet<Sha256> = wanted.iter().flat_map(digests_of).collect();
        let on_disk = tokio::task::spawn_blocking(move || {
            digests.into_iter().filter(|digest| store.has_blob(digest).is_some()).collect::<HashSet<_>>()
        })
        .await
        .map_err(|_| SyncError::WorkerLost)?;
        let plan = plan(&wanted, &on_disk, self.clock.now());
        self.record_pending(&wanted, &plan).await?;
        Ok(plan)
    }

    async fn record_pending(&self, wanted: &[WantedModel], plan: &Plan) -> Result<(), SyncError> {
        let mut pending: BTreeMap<FollowId, Vec<FileId>> = BTreeMap::new();
        let follow_of: HashMap<ModelId, FollowId> =
            wanted.iter().filter_map(|model| Some((model.model.id, model.follow.as_ref()?.id))).collect();
        for follow in follow_of.values() {
            pending.entry(*follow).or_default();
        }
        for operation in plan.operations.iter().filter(|operation| operation.kind == OperationKind::Fetch) {
            if let (Some(follow), Subject::File(file)) = (follow_of.get(&operation.model), &operation.subject) {
                pending.entry(*follow).or_default().push(file.id);
            }
        }
        for (follow, files) in pending {
            self.catalogue.record_follow_plan(follow, &files).await?;
        }
        Ok(())
    }

    /// Carries out `plan` and counts what came of it.
    pub(crate) async fn execute(&self, plan: &Plan, feed: &Feed, cancel: &CancellationToken) -> SyncCounts {
        let counts = Mutex::new(SyncCounts {
            planned: count(plan.count(OperationKind::Fetch)),
            already_had: count(plan.count(OperationKind::Keep)),
            skipped: count(plan.count(OperationKind::Skip)),
            ..SyncCounts::default()
        });
        let with_counts = |apply: &dyn Fn(&mut SyncCounts)| {
            apply(&mut counts.lock().unwrap_or_else(PoisonError::into_inner));
        };
        let fetches = plan.operations.iter().filter(|operation| operation.kind == OperationKind::Fetch);
        futures::stream::iter(fetches)
            .for_each_concurrent(FILES_AT_ONCE, async |operation| match self.fetch(operation, feed, cancel).await {
                Ok(bytes) => with_counts(&|counts| {
                    counts.fetched += 1;
                    counts.bytes += bytes;
                }),
                Err(SyncError::Cancelled) => {}
                Err(error) => {
                    with_counts(&|counts| counts.failed += 1);
                    self.fetch_failed(operation, &error, feed).await;
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

    async fn fetch(&self, operation: &Operation, feed: &Feed, cancel: &CancellationToken) -> Result<u64, SyncError> {
        let Subject::File(file) = &operation.subject else { return Ok(0) };
        if cancel.is_cancelled() {
            return Err(SyncError::Cancelled);
        }
        let observer = FileObserver {
            feed,
            version: operation.version.to_string(),
            file: operation.file.clone(),
            last: Mutex::default(),
        };
        let fetcher = Fetcher { hubs: &self.hubs, store: &self.store, catalogue: &self.catalogue, cancel };
        let bytes = fetcher.fetch(operation.hub, file, &observer).await?;
        observer.done();
        tracing::info!(version = %operation.version, file = %operation.file, bytes, "fetched and verified");
        Ok(bytes)
    }

    async fn fetch_failed(&self, operation: &Operation, error: &SyncError, feed: &Feed) {
        let failure = error.failure();
        tracing::warn!(version = %operation.version, file = %operation.file, reason = %failure.reason, "{failure}");
        if let Subject::File(file) = &operation.subject
            && let Err(error) = self.catalogue.record_file_failure(file.id, &failure).await
        {
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

fn digests_of(model: &WantedModel) -> impl Iterator<Item = Sha256> {
    model.versions.iter().map(|wanted| &wanted.version).flat_map(|version| {
        let files = version.files.iter().filter_map(|file| file.artifact.as_ref().map(|artifact| artifact.sha256));
        let previews = version.previews.iter().flat_map(|preview| [preview.original, preview.thumbnail]).flatten();
        files.chain(previews)
    })
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
