//! The download queue at work: whose turn it is, how many at once, who works, and who watches.
//!
//! The rows are the queue; what is kept here is only who works on which of them now. Whoever changes a row, or ends a
//! piece of work, hands out what is free: there is no loop that could fall behind the rows.

use crate::error::SyncError;
use crate::fetch::Worker;
use crate::service::Sync;
use crate::throttle::Throttles;
use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _};
use paintbox_catalogue::{
    DownloadId, DownloadPage, DownloadQuery, DownloadRecord, Extent, Follow, FollowId, Happening, JobKind, NewDownload,
    Scope, Watched,
};
use paintbox_domain::transfer::TransferProgress;
use paintbox_domain::{Chore, DownloadState, DownloadStep, Failure, Hub};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a former daemon left in the queue goes on by itself after this, so that a start is not all disk and network;
/// whoever asks for it gets it at once.
const AFTER_START: Duration = Duration::from_secs(60);

/// What is in flight is written in a moment; a disk that takes longer is not waited for.
const STOPPING: Duration = Duration::from_secs(5);

/// How much is fetched side by side, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadLimits {
    /// Files, of all hubs together.
    pub at_once: usize,
    /// Files of one hub.
    pub per_hub: usize,
    /// Of all downloads together; none: as fast as they come.
    pub max_bytes_per_second: Option<u64>,
    /// Before a transfer that broke goes on for the first time; doubled each time after.
    pub first_pause: Duration,
}

impl Default for DownloadLimits {
    fn default() -> Self {
        Self { at_once: 4, per_hub: 3, max_bytes_per_second: None, first_pause: Duration::from_millis(500) }
    }
}

/// What a watcher of a download sees.
#[derive(Debug, Clone, PartialEq)]
pub enum DownloadEvent {
    /// First, and whenever the row changes; the last event of a download.
    State(Box<DownloadRecord>),
    Progress(TransferProgress),
}

/// Where a download is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DownloadProgress {
    pub(crate) state: DownloadState,
    /// Bytes that are hashed and written; never fewer than were told before.
    pub(crate) bytes_done: u64,
    /// Of the whole file, if anybody said it.
    pub(crate) bytes_total: Option<u64>,
    /// What came over the network since the work on it began.
    pub(crate) received_bytes: u64,
    pub(crate) outcome: Option<Outcome>,
}

impl DownloadProgress {
    pub(crate) fn transfer(&self) -> TransferProgress {
        TransferProgress { state: self.state, bytes_done: self.bytes_done, bytes_total: self.bytes_total }
    }
}

/// What became of a download that somebody waits for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// It came, and is in its place.
    Fetched,
    /// What the hub lists by now was here.
    AlreadyHere,
    /// It failed; its row says when it is tried again.
    Failed(Failure),
    /// Nobody works on it, and it may take long until somebody does.
    Held,
    Cancelled,
}

impl Outcome {
    /// What a row that nobody works on has to say to somebody who begins to wait for it.
    fn of(record: &DownloadRecord, now: paintbox_domain::Timestamp) -> Option<Self> {
        match record.state {
            DownloadState::Done => Some(Self::Fetched),
            DownloadState::Cancelled => Some(Self::Cancelled),
            DownloadState::Paused => Some(Self::Held),
            DownloadState::Failed => Some(record.failure.clone().map_or(Self::Held, Self::Failed)),
            DownloadState::Queued => record.due_at.is_some_and(|due| due > now).then_some(Self::Held),
            DownloadState::Resolving
            | DownloadState::Transferring
            | DownloadState::Verifying
            | DownloadState::Placing => None,
        }
    }
}

/// A download that somebody waits for.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: DownloadId,
    pub(crate) progress: watch::Receiver<DownloadProgress>,
}

/// Who works on what.
#[derive(Debug, Default)]
pub(crate) struct Downloads {
    live: Mutex<HashMap<DownloadId, Live>>,
    /// Held by whoever hands out turns.
    turn: tokio::sync::Mutex<()>,
    pub(crate) throttles: Throttles,
}

#[derive(Debug)]
struct Live {
    progress: watch::Sender<DownloadProgress>,
    worker: Option<Working>,
}

#[derive(Debug, Clone)]
struct Working {
    hub: Hub,
    /// Nobody asked for it.
    automatic: bool,
    cancel: CancellationToken,
}

impl Downloads {
    fn live(&self) -> MutexGuard<'_, HashMap<DownloadId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(live: &mut HashMap<DownloadId, Live>, id: DownloadId) -> &mut Live {
        live.entry(id).or_insert_with(|| {
            let nothing = DownloadProgress {
                state: DownloadState::Queued,
                bytes_done: 0,
                bytes_total: None,
                received_bytes: 0,
                outcome: None,
            };
            Live { progress: watch::Sender::new(nothing), worker: None }
        })
    }

    fn watch(&self, id: DownloadId) -> Ticket {
        let mut live = self.live();
        // Those whom nobody waits for any more and nobody works on have nothing to say.
        live.retain(|_, live| live.worker.is_some() || live.progress.receiver_count() > 0);
        Ticket { id, progress: Self::entry(&mut live, id).progress.subscribe() }
    }

    fn begin(&self, id: DownloadId, working: Working) -> watch::Sender<DownloadProgress> {
        let mut live = self.live();
        let entry = Self::entry(&mut live, id);
        entry.worker = Some(working);
        entry.progress.clone()
    }

    /// Tells everybody who waits what became of a download.
    fn end(&self, id: DownloadId, outcome: Outcome) {
        if let Some(live) = self.live().remove(&id) {
            live.progress.send_modify(|progress| progress.outcome = Some(outcome));
        }
    }

    /// Tells those who wait for a download that nobody works on what became of it.
    pub(crate) fn end_waiting(&self, id: DownloadId, outcome: Outcome) {
        let mut live = self.live();
        if live.get(&id).is_some_and(|live| live.worker.is_none())
            && let Some(live) = live.remove(&id)
        {
            live.progress.send_modify(|progress| progress.outcome = Some(outcome));
        }
    }

    /// Stops the work on a download, or tells those who wait for it `outcome` where nobody works on it. A worker finds
    /// out from the row why it was stopped.
    fn stop(&self, id: DownloadId, outcome: Outcome) {
        let worker = self.live().get(&id).and_then(|live| live.worker.clone());
        match worker {
            Some(working) => working.cancel.cancel(),
            None => self.end_waiting(id, outcome),
        }
    }

    /// How the work on a download that was told to stop comes along, if it has not stopped yet.
    fn worker_of(&self, id: DownloadId) -> Option<watch::Receiver<DownloadProgress>> {
        let live = self.live();
        let live = live.get(&id)?;
        live.worker.as_ref().filter(|working| working.cancel.is_cancelled()).map(|_| live.progress.subscribe())
    }

    /// Hubs that have all the downloads they may have; none when there may be no more of any.
    fn busy(&self, limits: &DownloadLimits) -> Option<Vec<Hub>> {
        let live = self.live();
        let hubs: Vec<Hub> = live.values().filter_map(|live| live.worker.as_ref()).map(|working| working.hub).collect();
        let is_busy = |hub: &Hub| hubs.iter().filter(|found| *found == hub).count() >= limits.per_hub.max(1);
        (hubs.len() < limits.at_once.max(1)).then(|| Hub::ALL.iter().copied().filter(is_busy).collect())
    }

    /// Whether anything is being fetched.
    pub(crate) fn is_at_work(&self) -> bool {
        self.live().values().any(|live| live.worker.is_some())
    }

    /// Whether anything is being fetched that nobody asked for.
    pub(crate) fn has_automatic_work(&self) -> bool {
        self.live().values().any(|live| live.worker.as_ref().is_some_and(|working| working.automatic))
    }

    /// Stops the work on what nobody asked for, which goes back into the queue.
    pub(crate) fn stop_automatic(&self) {
        let live = self.live();
        let working = live.values().filter_map(|live| live.worker.as_ref());
        working.filter(|working| working.automatic).for_each(|working| working.cancel.cancel());
    }

    pub(crate) fn ids(&self) -> Vec<DownloadId> {
        self.live().keys().copied().collect()
    }
}

impl Sync {
    /// To be called once before anything else: what was under way when the last daemon ended goes back into the queue.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn take_up_downloads(&self) -> Result<u64, SyncError> {
        let parts = &self.inner.parts;
        Ok(parts.catalogue.requeue_interrupted_downloads(parts.clock.now().plus(AFTER_START)).await?)
    }

    /// Puts files into the queue and returns a ticket for each. `at_once`: those that failed before do not wait for their
    /// time.
    pub(crate) async fn enqueue(&self, downloads: &[NewDownload], at_once: bool) -> Result<Vec<Ticket>, SyncError> {
        let parts = &self.inner.parts;
        if downloads.is_empty() {
            return Ok(Vec::new());
        }
        let ids = parts.catalogue.enqueue_downloads(downloads, at_once).await?;
        let tickets: Vec<Ticket> = ids.iter().map(|id| self.inner.downloads.watch(*id)).collect();
        // Only now, so that what ends or is paused from here on is told to the ticket.
        let now = parts.clock.now();
        for record in parts.catalogue.downloads_by_id(&ids).await? {
            if let Some(outcome) = Outcome::of(&record, now) {
                self.inner.downloads.end_waiting(record.id, outcome);
            }
        }
        if parts.catalogue.downloads_are_paused().await? {
            ids.iter().for_each(|id| self.inner.downloads.stop(*id, Outcome::Held));
        }
        self.hold_what_has_no_place().await?;
        self.hand_out().await?;
        Ok(tickets)
    }

    /// Starts work on whatever may be worked on now.
    // Boxed because whoever ends a piece of work hands out the next.
    pub(crate) fn hand_out(&self) -> BoxFuture<'_, Result<(), SyncError>> {
        async {
            let parts = &self.inner.parts;
            let downloads = &self.inner.downloads;
            let _turn = downloads.turn.lock().await;
            let away = parts.places.awaited_kinds();
            let mut only_asked = false;
            while !self.inner.shutdown.is_cancelled() && !parts.catalogue.downloads_are_paused().await? {
                let Some(busy) = downloads.busy(&self.settings().limits) else { break };
                let Some(next) = parts.catalogue.next_download(&busy, &away, only_asked).await? else { break };
                if next.automatic && self.has_to_wait(Chore::Downloads).await? {
                    only_asked = true;
                    self.hold_automatic().await?;
                    continue;
                }
                let follow = match next.follow {
                    Some(id) => parts.catalogue.follow_by_id(id).await?,
                    None => None,
                };
                if let Some(wait) = follow.as_ref().and_then(|follow| self.quiet_for(follow)) {
                    parts.catalogue.postpone_download(next.id, parts.clock.now().plus(wait)).await?;
                    self.inner.nudge.notify_one();
                    downloads.end(next.id, Outcome::Held);
                    continue;
                }
                let claimed = parts.catalogue.step_download(next.id, next.state, DownloadStep::Claim, 0).await?;
                if let Some(state) = claimed {
                    self.start_work(DownloadRecord { state, ..next }, follow.as_ref());
                }
            }
            Ok(())
        }
        .boxed()
    }

    /// How long a follow's quiet hours last from now, if it has some now.
    fn quiet_for(&self, follow: &Follow) -> Option<Duration> {
        let minute = self.inner.parts.clock.minute_of_day();
        let quiet = follow.policy.quiet_hours.filter(|hours| hours.holds(minute))?;
        let minutes = (quiet.to_minute + 1440 - minute) % 1440;
        Some(Duration::from_secs(60 * u64::from(minutes.max(1))))
    }

    fn start_work(&self, download: DownloadRecord, follow: Option<&Follow>) {
        let downloads = &self.inner.downloads;
        let cancel = self.inner.shutdown.child_token();
        let (id, first_pause) = (download.id, self.settings().limits.first_pause);
        let (hub, automatic) = (download.hub, download.automatic);
        let progress = downloads.begin(id, Working { hub, automatic, cancel: cancel.clone() });
        if automatic {
            self.inner.manners.stirred.notify_one();
        }
        if let Some(follow) = follow {
            downloads.throttles.cap_follow(follow.id, follow.policy.max_bytes_per_second);
        }
        let throttles = downloads.throttles.of(follow.map(|follow| follow.id));
        let this = self.clone();
        self.inner.tasks.spawn(async move {
            let worker = Worker::new(&this.inner.parts, download, throttles, first_pause, cancel, progress);
            let outcome = worker.work().await;
            let stays_away = matches!(outcome, Outcome::Held) && this.inner.parts.places.has_volumes();
            let comes_again = matches!(outcome, Outcome::Failed(_));
            this.inner.downloads.end(id, outcome);
            if comes_again {
                this.inner.nudge.notify_one();
            }
            let next = async {
                if stays_away {
                    // It may have been a disk that was taken away; whatever belongs there is not begun either, then.
                    this.look_at_volumes().await?;
                }
                this.hand_out().await
            };
            if let Err(error) = next.await {
                tracing::error!(%error, "cannot go on with the queue of downloads");
            }
        });
    }

    /// A page of the list of downloads, and how far those are that are under way.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID`; when the catalogue cannot be read.
    pub async fn downloads(
        &self,
        query: &DownloadQuery,
    ) -> Result<(DownloadPage, HashMap<DownloadId, TransferProgress>), SyncError> {
        let page = self.inner.parts.catalogue.downloads(query).await?;
        Ok((page, self.progress_of_downloads()))
    }

    /// Downloads that somebody works on, and how far they are.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn downloads_under_way(&self) -> Result<Vec<(DownloadRecord, TransferProgress)>, SyncError> {
        let progress = self.progress_of_downloads();
        let ids: Vec<DownloadId> = progress.keys().copied().collect();
        let records = self.inner.parts.catalogue.downloads_by_id(&ids).await?;
        Ok(records
            .into_iter()
            .filter_map(|record| Some((*progress.get(&record.id)?, record)))
            .map(|(p, r)| (r, p))
            .collect())
    }

    fn progress_of_downloads(&self) -> HashMap<DownloadId, TransferProgress> {
        let live = self.inner.downloads.live();
        let under_way = live.iter().filter(|(_, live)| live.worker.is_some());
        under_way.map(|(id, live)| (*id, live.progress.borrow().transfer())).collect()
    }

    /// # Errors
    /// `JOB_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn download(&self, id: DownloadId) -> Result<DownloadRecord, SyncError> {
        Ok(self.inner.parts.catalogue.download(id).await?)
    }

    /// How a download is at once, and then each change, each with its sequence number; ends with the download. With `after`,
    /// what happened behind that number in place of how it is, as far as that is known.
    ///
    /// # Errors
    /// `JOB_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn watch_download(
        &self,
        id: DownloadId,
        after: Option<u64>,
    ) -> Result<impl Stream<Item = Result<(u64, DownloadEvent), SyncError>> + Send + use<>, SyncError> {
        let catalogue = self.inner.parts.catalogue.clone();
        let kind = JobKind {
            look_up: Box::new(move || {
                let catalogue = catalogue.clone();
                Box::pin(async move { Ok(Box::new(catalogue.download(id).await?)) })
            }),
            concerns: Box::new(move |happening| match happening {
                Happening::Download(record) => record.id == id,
                Happening::DownloadProgress { id: of, .. } => *of == id,
                _ => false,
            }),
            state: |happening| match happening {
                Happening::Download(record) => Some(record.clone()),
                _ => None,
            },
            has_ended: |record| record.ended_at.is_some(),
        };
        let watched = self.inner.parts.catalogue.journal().watch_job::<_, SyncError>(after, kind).await?;
        Ok(watched.filter_map(async |item| match item {
            Ok((sequence, Watched::State(record))) => Some(Ok((sequence, DownloadEvent::State(record)))),
            Ok((sequence, Watched::Other(entry))) => match entry.happening {
                Happening::DownloadProgress { progress, .. } => Some(Ok((sequence, DownloadEvent::Progress(progress)))),
                _ => None,
            },
            Err(error) => Some(Err(error)),
        }))
    }

    /// Stops a download until [`Self::resume_download`]; what is here of it stays. One that has ended stays as it is.
    ///
    /// # Errors
    /// `JOB_NOT_FOUND`; when the catalogue cannot be written.
    pub async fn pause_download(&self, id: DownloadId) -> Result<DownloadRecord, SyncError> {
        self.steer(id, DownloadStep::Pause, Outcome::Held).await
    }

    /// Lets a paused download go on, or one that failed try again now.
    ///
    /// # Errors
    /// As [`Self::pause_download`].
    pub async fn resume_download(&self, id: DownloadId) -> Result<DownloadRecord, SyncError> {
        // Whoever was stopped a moment ago still has the partial.
        if let Some(mut progress) = self.inner.downloads.worker_of(id) {
            let stopped = progress.wait_for(|progress| progress.outcome.is_some());
            drop(tokio::time::timeout(STOPPING, stopped).await);
        }
        let (record, _) = self.inner.parts.catalogue.steer_download(id, DownloadStep::Requeue).await?;
        self.hand_out().await?;
        Ok(record)
    }

    /// Gives a download up; what is here of it stays for the next one of the same file.
    ///
    /// # Errors
    /// As [`Self::pause_download`].
    pub async fn cancel_download(&self, id: DownloadId) -> Result<DownloadRecord, SyncError> {
        self.steer(id, DownloadStep::Cancel, Outcome::Cancelled).await
    }

    async fn steer(&self, id: DownloadId, step: DownloadStep, outcome: Outcome) -> Result<DownloadRecord, SyncError> {
        let (record, left) = self.inner.parts.catalogue.steer_download(id, step).await?;
        if left.is_some() {
            self.inner.downloads.stop(id, outcome);
        }
        Ok(record)
    }

    /// Puts a download before all others.
    ///
    /// # Errors
    /// As [`Self::pause_download`].
    pub async fn put_download_first(&self, id: DownloadId) -> Result<DownloadRecord, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        catalogue.put_download_first(id).await?;
        Ok(catalogue.download(id).await?)
    }

    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn downloads_are_paused(&self) -> Result<bool, SyncError> {
        Ok(self.inner.parts.catalogue.downloads_are_paused().await?)
    }

    /// Stops all downloads, those to come too, or lets them go on. Those that were paused by themselves stay so.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn set_downloads_paused(&self, paused: bool) -> Result<(), SyncError> {
        self.inner.parts.catalogue.set_downloads_paused(paused).await?;
        if paused {
            self.inner.downloads.ids().into_iter().for_each(|id| self.inner.downloads.stop(id, Outcome::Held));
        }
        self.hand_out().await
    }

    /// Stops following, and gives up what is being fetched for that alone. What is here stays.
    ///
    /// # Errors
    /// When there is no such follow, or the catalogue cannot be written.
    pub async fn unfollow(&self, name: &str) -> Result<Follow, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let open = catalogue.open_downloads_of(catalogue.follow(name).await?.id).await?;
        let follow = catalogue.delete_follow(name).await?;
        for id in open {
            self.cancel_download(id).await?;
        }
        Ok(follow)
    }

    /// Gives a download up for somebody who waited for it. False, and nothing given up, when others wait for it too or the
    /// daemon ends.
    pub(crate) async fn leave(&self, id: DownloadId) -> Result<bool, SyncError> {
        let waiting = |live: &Live| live.progress.receiver_count();
        let others_wait = self.inner.downloads.live().get(&id).map_or(0, waiting) > 1;
        if others_wait || self.inner.shutdown.is_cancelled() {
            return Ok(false);
        }
        self.cancel_download(id).await.map(|_| true)
    }

    /// Gives up what is being fetched for a follow that does not want it any more.
    pub(crate) async fn give_up_unwanted(&self, follow: FollowId) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        let open = parts.catalogue.open_downloads_of(follow).await?;
        if open.is_empty() {
            return Ok(());
        }
        let plan = parts.plan(&Scope::Follows(vec![follow]), Extent::All).await?;
        let wanted: HashSet<_> = plan.operations.iter().filter_map(crate::Operation::file_to_come).collect();
        for record in parts.catalogue.downloads_by_id(&open).await? {
            if !wanted.contains(&record.file) {
                self.cancel_download(record.id).await?;
            }
        }
        Ok(())
    }

    /// Waits until nobody works on anything.
    #[cfg(test)]
    pub(crate) async fn rest(&self) {
        while !self.inner.tasks.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
