//! The queue of downloads: turns, limits, pauses, failures, restarts.

use super::{World, contents, digest, everything, large_weights, weights};
use crate::{DownloadLimits, Settings, Sync, SyncEvent, SyncRequest};
use bytes::Bytes;
use futures::StreamExt as _;
use paintbox_catalogue::{DownloadFilter, DownloadQuery, DownloadRecord, SyncRunRecord};
use paintbox_domain::generation::JobState;
use paintbox_domain::{DownloadState, reason};
use paintbox_testkit::{FakeCivitaiModel, FakeFile, FakeVersion, Fault, FaultRule, Server, wait_for};
use std::time::Duration;

const A_WHILE: Duration = Duration::from_secs(20);

impl World {
    async fn limited(at_once: usize, per_hub: usize) -> Self {
        Self::with(|_, settings| settings.limits = DownloadLimits { at_once, per_hub, ..DownloadLimits::default() })
            .await
    }

    /// A followed creator whose models are all wanted and not here.
    async fn with_models(&self, count: u64) {
        for number in 1..=count {
            self.publish("konan", &format!("Model {number}"), number);
        }
        self.moment();
        self.follow_with("civitai:konan", &everything()).await;
    }

    /// A followed creator with one model that takes a while.
    async fn with_a_large_model(&self) -> Bytes {
        let bytes = large_weights(6 << 20);
        let version = FakeVersion::new("v1", "SDXL 1.0").file(FakeFile::model("large.safetensors", bytes.clone()));
        self.hub.publish(FakeCivitaiModel::new("konan", "LORA", "Large").version(version));
        self.moment();
        self.follow_with("civitai:konan", &everything()).await;
        bytes
    }

    async fn start(&self) -> SyncRunRecord {
        self.sync.start(&SyncRequest::default()).await.unwrap()
    }

    /// Waits for the end of a run, and returns it with the bytes of each piece of progress on the way.
    async fn end_of(&self, run: &SyncRunRecord) -> (SyncRunRecord, Vec<u64>) {
        let mut events = std::pin::pin!(self.sync.watch(&run.uid, None).await.unwrap());
        let (mut last, mut bytes) = (run.clone(), Vec::new());
        while let Some(event) = events.next().await {
            match event.unwrap().1 {
                SyncEvent::Run(run) => last = run,
                SyncEvent::Progress(progress) => bytes.push(progress.bytes_done),
                SyncEvent::Failed(_) => {}
            }
        }
        (last, bytes)
    }

    async fn open_downloads(&self) -> Vec<DownloadRecord> {
        self.sync.downloads(&DownloadQuery::default()).await.unwrap().0.downloads
    }

    async fn states(&self) -> Vec<DownloadState> {
        self.open_downloads().await.iter().map(|download| download.state).collect()
    }

    /// Waits until exactly `count` downloads are under way.
    async fn under_way(&self, count: usize) {
        wait_for("downloads to be under way", A_WHILE, async || {
            self.states().await.iter().filter(|state| state.is_under_way()).count() == count
        })
        .await;
    }

    /// Another daemon on the same home.
    fn restarted(&self) -> Sync {
        Sync::new(self.sync.inner.parts.clone(), Settings::clone(&self.sync.settings()))
    }

    /// Waits until a download has something to lose.
    async fn some_bytes(&self) {
        wait_for("some bytes", A_WHILE, async || {
            let (_, progress) = self.sync.downloads(&DownloadQuery::default()).await.unwrap();
            progress.values().any(|progress| progress.bytes_done >= 1 << 20)
        })
        .await;
    }

    /// Where the last request began.
    fn resumed_at(&self) -> u64 {
        let ranges = self.ranges_asked();
        let range = ranges.last().unwrap().strip_prefix("bytes=").expect("only a part was asked for");
        range.split('-').next().unwrap().parse().unwrap()
    }

    fn ranges_asked(&self) -> Vec<String> {
        let asked = self.hub.requests().into_iter().filter(|request| request.server == Server::CivitaiStorage);
        asked.map(|request| request.header("range").unwrap_or("all").to_owned()).collect()
    }
}

#[tokio::test]
async fn no_more_are_fetched_at_once_than_the_limits_allow() {
    for (at_once, per_hub, most) in [(2, 5, 2), (5, 3, 3)] {
        let world = World::limited(at_once, per_hub).await;
        world.with_models(6).await;
        let held = world.hub.faults().always(Server::CivitaiStorage, "", Fault::Stall);
        let run = world.start().await;
        wait_for("the limit to be reached", A_WHILE, async || held.hits() == most).await;
        let states = world.states().await;
        assert_eq!(states.iter().filter(|state| **state == DownloadState::Queued).count(), 6 - most, "{states:?}");
        world.hub.faults().clear();
        let (run, _) = world.end_of(&run).await;
        assert_eq!((run.state, run.counts.fetched), (JobState::Succeeded, 6));
        assert_eq!(held.hits(), most);
        assert!(world.states().await.is_empty());
    }
}

#[tokio::test]
async fn one_that_is_paused_keeps_its_bytes_and_goes_on_with_them() {
    let world = World::new().await;
    let bytes = world.with_a_large_model().await;
    world.hub.faults().once(Server::CivitaiStorage, "", Fault::StallBodyAfter(2 << 20));
    let run = world.start().await;
    world.some_bytes().await;
    let id = world.open_downloads().await[0].id;
    assert_eq!(world.sync.pause_download(id).await.unwrap().state, DownloadState::Paused);
    let (run, _) = world.end_of(&run).await;
    assert_eq!((run.state, run.counts.fetched, run.counts.skipped), (JobState::Succeeded, 0, 1));
    world.sync.rest().await;
    assert_eq!(world.plan().await, ["skip large.safetensors paused"]);
    let (again, _) = world.end_of(&world.start().await).await;
    assert_eq!((again.counts.planned, again.counts.skipped), (0, 1), "a sync does not undo a pause");

    world.sync.resume_download(id).await.unwrap();
    world.sync.rest().await;
    assert_eq!(world.fetched().await, [digest(&bytes)].into());
    assert!(world.resumed_at() >= 1 << 20);
}

#[tokio::test]
async fn all_that_are_paused_stay_so_over_a_restart_and_for_new_ones() {
    let world = World::new().await;
    world.with_models(2).await;
    let held = world.hub.faults().always(Server::CivitaiStorage, "", Fault::Stall);
    let run = world.start().await;
    wait_for("both to begin", A_WHILE, async || held.hits() == 2).await;
    world.sync.set_downloads_paused(true).await.unwrap();
    let (run, _) = world.end_of(&run).await;
    assert_eq!((run.counts.fetched, run.counts.skipped), (0, 2));
    world.hub.faults().clear();

    let again = world.restarted();
    assert_eq!(again.take_up_downloads().await.unwrap(), 0, "they were put back");
    let run = again.start(&SyncRequest::default()).await.unwrap();
    wait_for("the run to end", A_WHILE, async || again.run(&run.uid).await.unwrap().state == JobState::Succeeded).await;
    assert_eq!(world.states().await, [DownloadState::Queued; 2]);
    again.set_downloads_paused(false).await.unwrap();
    again.rest().await;
    assert_eq!(world.fetched().await, contents([1, 2]));
}

#[tokio::test]
async fn what_was_under_way_when_the_daemon_ended_goes_on_by_itself_after_a_moment() {
    let world = World::new().await;
    world.with_models(2).await;
    let held = world.hub.faults().always(Server::CivitaiStorage, "", Fault::Stall);
    world.start().await;
    wait_for("both to begin", A_WHILE, async || held.hits() == 2).await;
    // As a kill leaves it: the rows say that somebody works on them.
    let again = world.restarted();
    assert_eq!(again.take_up_downloads().await.unwrap(), 2);
    world.sync.shut_down().await;
    world.hub.faults().clear();
    again.tick().await.unwrap();
    again.rest().await;
    assert_eq!(world.fetched().await, contents([]), "a start is not all disk and network");
    world.clock.advance(Duration::from_secs(61));
    again.tick().await.unwrap();
    again.rest().await;
    assert_eq!(world.fetched().await, contents([1, 2]));
}

#[tokio::test]
async fn one_that_failed_is_tried_again_in_its_time_and_not_before_by_itself() {
    let world = World::new().await;
    world.with_models(1).await;
    let down = Fault::Status { code: 503, body: String::new(), headers: Vec::new() };
    world.hub.faults().always(Server::CivitaiStorage, "", down);
    let (run, _) = world.end_of(&world.start().await).await;
    assert_eq!((run.state, run.counts.failed), (JobState::Succeeded, 1));
    let failed = world.open_downloads().await.remove(0);
    assert_eq!((failed.state, failed.failures), (DownloadState::Failed, 1));
    assert_eq!(failed.failure.unwrap().reason, reason::HUB_UNREACHABLE);
    assert_eq!(failed.due_at.unwrap().since(world.now()), Duration::from_secs(60));

    world.hub.faults().clear();
    world.hub.clear_requests();
    world.sync.tick().await.unwrap();
    world.sync.rest().await;
    assert!(world.ranges_asked().is_empty(), "its time has not come");
    world.pass(Duration::from_secs(120)).await;
    assert_eq!(world.fetched().await, contents([1]));
}

#[tokio::test]
async fn what_somebody_asks_for_does_not_wait_for_a_back_catalogue() {
    let world = World::limited(1, 1).await;
    let wanted = world.hub.publish(
        FakeCivitaiModel::new("somebody", "LORA", "Urgent")
            .version(FakeVersion::new("v1", "SDXL 1.0").file(FakeFile::model("urgent.safetensors", weights(9)))),
    );
    world.with_models(3).await;
    let held = world.hub.faults().once(Server::CivitaiStorage, "", Fault::Stall);
    world.hub.faults().add(FaultRule::new(Server::CivitaiStorage, "", Fault::Stall).skip(1));
    let backlog = world.start().await;
    wait_for("the first to begin", A_WHILE, async || held.hits() == 1).await;
    let pulled = SyncRequest { references: vec![format!("civitai:{}", wanted.id)], ..SyncRequest::default() };
    let pulled = world.sync.start(&pulled).await.unwrap();
    wait_for("it to be in the queue", A_WHILE, async || world.states().await.len() == 4).await;
    assert_eq!(world.open_downloads().await[1].file_name, "urgent.safetensors");
    held.release();
    let (pulled, _) = world.end_of(&pulled).await;
    assert_eq!(pulled.counts.fetched, 1);
    assert_eq!(world.fetched().await, contents([3, 9]), "the newest of the backlog had begun before");
    world.hub.faults().clear();
    assert_eq!(world.end_of(&backlog).await.0.counts.fetched, 3);
}

#[tokio::test]
async fn unfollowing_and_another_policy_give_up_what_is_not_wanted_any_more() {
    let world = World::limited(1, 1).await;
    world.with_models(3).await;
    let held = world.hub.faults().always(Server::CivitaiStorage, "", Fault::Stall);
    let run = world.start().await;
    wait_for("the first to begin", A_WHILE, async || held.hits() == 1).await;
    let small = paintbox_domain::follow::FollowPolicy { max_file_bytes: Some(1), ..everything() };
    world.sync.update_follow("civitai:konan", &small).await.unwrap();
    let (run, _) = world.end_of(&run).await;
    assert_eq!((run.counts.fetched, run.counts.skipped), (0, 3));
    assert!(world.states().await.is_empty());

    world.sync.update_follow("civitai:konan", &everything()).await.unwrap();
    let run = world.start().await;
    world.under_way(1).await;
    world.sync.unfollow("civitai:konan").await.unwrap();
    let (run, _) = world.end_of(&run).await;
    assert_eq!((run.counts.fetched, run.counts.skipped), (0, 3));
    assert!(world.states().await.is_empty());
}

#[tokio::test]
async fn a_run_that_is_cancelled_gives_up_its_downloads_and_keeps_their_bytes() {
    let world = World::new().await;
    world.with_a_large_model().await;
    world.hub.faults().once(Server::CivitaiStorage, "", Fault::StallBodyAfter(2 << 20));
    let run = world.start().await;
    world.some_bytes().await;
    let ended = world.sync.cancel(&run.uid).await.unwrap();
    assert_eq!(ended.state, JobState::Cancelled);
    assert!(world.states().await.is_empty());
    let (run, _) = world.end_of(&world.start().await).await;
    assert_eq!(run.counts.fetched, 1);
    assert!(world.resumed_at() >= 1 << 20);
}

#[tokio::test]
async fn progress_never_runs_backwards_whatever_happens_to_a_transfer() {
    let world = World::new().await;
    let bytes = world.with_a_large_model().await;
    world.hub.faults().once(Server::CivitaiStorage, "", Fault::TruncateBodyAfter(4 << 20));
    // The second answer begins at the first byte again.
    world.hub.faults().once(Server::CivitaiStorage, "", Fault::IgnoreRange);
    let (run, told) = world.end_of(&world.start().await).await;
    assert_eq!((run.counts.fetched, run.counts.failed), (1, 0));
    assert!(told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&(bytes.len() as u64)));
    let came = (4 << 20) + bytes.len() as u64;
    assert_eq!(run.counts.bytes, came, "what came is told as it was");
}

#[tokio::test]
async fn what_was_named_before_a_kill_is_put_on_record_and_not_fetched_again() {
    let world = World::new().await;
    world.with_models(2).await;
    let store = world.sync.inner.parts.places.home();
    store.put_bytes(&weights(1)).unwrap();
    // A disk damaged the other one.
    let damaged = store.put_bytes(&weights(2)).unwrap().path;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&damaged, permissions).unwrap();
    std::fs::write(&damaged, weights(3)).unwrap();
    let (run, _) = world.end_of(&world.start().await).await;
    assert_eq!((run.counts.fetched, run.counts.already_had), (1, 1));
    assert_eq!(world.ranges_asked(), ["all"]);
    assert_eq!(std::fs::read(damaged).unwrap(), weights(2));
    let records = world
        .sync
        .downloads(&DownloadQuery { filter: DownloadFilter::Ended, ..DownloadQuery::default() })
        .await
        .unwrap()
        .0
        .downloads;
    assert!(records.iter().all(|download| download.state == DownloadState::Done));
}
