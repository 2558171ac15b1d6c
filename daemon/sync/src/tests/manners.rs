//! What waits while the machine is short of something, what does not, and how it goes on.

use super::{DAY, HOUR, World, contents, digest, everything, large_weights};
use crate::{SyncRequest, Wait};
use futures::StreamExt as _;
use paintbox_catalogue::DownloadQuery;
use paintbox_domain::surroundings::Said;
use paintbox_domain::{Chore, DownloadState, Shortage};
use paintbox_testkit::{FakeCivitaiModel, FakeFile, FakeVersion, Fault, Server, wait_for};
use std::sync::Arc;
use std::time::Duration;

const A_WHILE: Duration = Duration::from_secs(20);

async fn short_of(shortages: &[Shortage]) -> (World, Arc<Said>) {
    let said = Arc::new(Said::default());
    said.say(shortages);
    let surroundings = Arc::clone(&said);
    (World::with(move |parts, _| parts.surroundings = surroundings).await, said)
}

impl World {
    /// A creator whose earlier work nobody wants.
    async fn follows_somebody(&self) {
        self.publish("konan", "Old", 100);
        self.moment();
        self.follow("civitai:konan").await;
        self.pass(HOUR).await;
    }

    fn waits(&self) -> Vec<(Chore, Vec<Shortage>)> {
        self.sync.waits().into_iter().map(|Wait { chore, shortages, .. }| (chore, shortages)).collect()
    }

    async fn queued(&self) -> Vec<(DownloadState, bool)> {
        let page = self.sync.downloads(&DownloadQuery::default()).await.unwrap().0;
        page.downloads.iter().map(|download| (download.state, download.automatic)).collect()
    }

    async fn carry_out(&self, request: &SyncRequest) {
        let run = self.sync.start(request).await.unwrap();
        let mut events = std::pin::pin!(self.sync.watch(&run.uid, None).await.unwrap());
        while let Some(event) = events.next().await {
            event.unwrap();
        }
        self.sync.rest().await;
    }
}

#[tokio::test]
async fn on_a_battery_news_are_seen_and_queued_and_come_when_there_is_power() {
    let (world, said) = short_of(&[]).await;
    world.follows_somebody().await;
    said.say(&[Shortage::Battery]);
    world.publish("konan", "New", 1);
    world.pass(2 * HOUR).await;
    assert_eq!(world.fetched().await, [].into());
    assert_eq!(world.queued().await, [(DownloadState::Queued, true)]);
    assert_eq!(world.waits(), [(Chore::Downloads, vec![Shortage::Battery])]);
    // The next hours leave no runs behind that did nothing.
    let runs = world.catalogue.sync_runs(&paintbox_catalogue::SyncRunQuery::default()).await.unwrap().sync_runs.len();
    world.pass(6 * HOUR).await;
    assert_eq!(
        world.catalogue.sync_runs(&paintbox_catalogue::SyncRunQuery::default()).await.unwrap().sync_runs.len(),
        runs
    );
    assert_eq!(world.queued().await, [(DownloadState::Queued, true)]);

    said.say(&[]);
    world.sync.look_around().await.unwrap();
    world.sync.rest().await;
    assert_eq!(world.fetched().await, contents([1]));
    assert_eq!(world.waits(), []);
}

#[tokio::test]
async fn what_somebody_asks_for_waits_for_nothing() {
    let all: Vec<Shortage> = Shortage::ALL.to_vec();
    let (world, _said) = short_of(&all).await;
    world.publish("konan", "Followed", 1);
    let other = world.publish("rin", "Pulled", 2);
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    world.pass(HOUR).await;
    assert_eq!(world.fetched().await, [].into());
    let pull = SyncRequest { references: vec![format!("civitai:{}", other.id)], ..SyncRequest::default() };
    world.carry_out(&pull).await;
    assert_eq!(world.fetched().await, contents([2]));
    // A sync by hand takes over what waits.
    world.carry_out(&SyncRequest::default()).await;
    assert_eq!(world.fetched().await, contents([1, 2]));
}

#[tokio::test]
async fn one_that_is_resumed_or_put_first_was_asked_for() {
    let (world, said) = short_of(&[]).await;
    world.follows_somebody().await;
    said.say(&[Shortage::MeteredNetwork]);
    for number in 1..=2 {
        world.publish("konan", &format!("New {number}"), number);
    }
    world.pass(2 * HOUR).await;
    let page = world.sync.downloads(&DownloadQuery::default()).await.unwrap().0;
    let ids: Vec<_> = page.downloads.iter().map(|download| download.id).collect();
    assert_eq!(ids.len(), 2);
    world.sync.put_download_first(ids[0]).await.unwrap();
    world.sync.hand_out().await.unwrap();
    world.sync.rest().await;
    assert_eq!(world.fetched().await.len(), 1);
    world.sync.pause_download(ids[1]).await.unwrap();
    world.sync.resume_download(ids[1]).await.unwrap();
    world.sync.rest().await;
    assert_eq!(world.fetched().await, contents([1, 2]));
}

#[tokio::test]
async fn a_plug_that_is_pulled_stops_a_download_and_its_bytes_stay() {
    let (world, said) = short_of(&[]).await;
    world.follows_somebody().await;
    let bytes = large_weights(6 << 20);
    let mut version = FakeVersion::new("v1", "SDXL 1.0").file(FakeFile::model("large.safetensors", bytes.clone()));
    version.published = super::date(world.now());
    world.hub.publish(FakeCivitaiModel::new("konan", "LORA", "Large").version(version));
    world.hub.faults().once(Server::CivitaiStorage, "", Fault::StallBodyAfter(2 << 20));
    world.clock.advance(DAY);
    let ticking = tokio::spawn({
        let sync = world.sync.clone();
        async move { sync.tick().await }
    });
    wait_for("some bytes", A_WHILE, async || {
        let (_, progress) = world.sync.downloads(&DownloadQuery::default()).await.unwrap();
        progress.values().any(|progress| progress.bytes_done >= 1 << 20)
    })
    .await;
    said.say(&[Shortage::Battery]);
    world.sync.look_around().await.unwrap();
    ticking.await.unwrap().unwrap();
    world.sync.rest().await;
    assert_eq!(world.queued().await, [(DownloadState::Queued, true)]);
    assert_eq!(world.waits(), [(Chore::Downloads, vec![Shortage::Battery])]);
    said.say(&[]);
    world.sync.look_around().await.unwrap();
    world.sync.rest().await;
    assert_eq!(world.fetched().await, [digest(&bytes)].into());
    let asked = world.hub.requests().into_iter().rfind(|request| request.server == Server::CivitaiStorage).unwrap();
    assert!(asked.header("range").is_some_and(|range| !range.starts_with("bytes=0-")), "it went on where it was");
}

#[tokio::test]
async fn nobody_is_asked_for_news_while_power_is_to_be_saved() {
    let (world, said) = short_of(&[]).await;
    world.follows_somebody().await;
    said.say(&[Shortage::LowPower]);
    world.publish("konan", "New", 1);
    let before = world.hub.requests().len();
    // With a look that is overdue there is no next time, but for the nudge.
    world.pass(DAY).await;
    assert_eq!(world.hub.requests().len(), before);
    assert_eq!(world.waits(), [(Chore::Looks, vec![Shortage::LowPower])]);
    said.say(&[]);
    world.sync.look_around().await.unwrap();
    world.pass(HOUR).await;
    assert_eq!(world.fetched().await, contents([1]));
    assert_eq!(world.waits(), []);
}

#[tokio::test]
async fn what_waits_goes_on_by_itself() {
    let (world, said) = short_of(&[]).await;
    world.follows_somebody().await;
    said.say(&[Shortage::Heat]);
    world.publish("konan", "New", 1);
    world.pass(2 * HOUR).await;
    let minding = tokio::spawn({
        let sync = world.sync.clone();
        async move { sync.mind_surroundings().await }
    });
    said.say(&[]);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(31)).await;
    tokio::time::resume();
    wait_for("the file", A_WHILE, async || world.fetched().await == contents([1])).await;
    world.sync.inner.shutdown.cancel();
    minding.await.unwrap();
}

#[tokio::test]
async fn files_are_read_again_when_there_is_power() {
    let (world, said) = short_of(&[Shortage::Battery]).await;
    let kept = world.publish("konan", "Kept", 1);
    let pull = SyncRequest { references: vec![format!("civitai:{}", kept.id)], ..SyncRequest::default() };
    world.carry_out(&pull).await;
    assert_eq!((world.fetched().await, world.waits()), (contents([1]), vec![]));
    world.clock.advance(100 * DAY);
    let caring = tokio::spawn({
        let sync = world.sync.clone();
        async move { sync.care_once().await }
    });
    let waits = [(Chore::Care, vec![Shortage::Battery])];
    wait_for("the care to wait", A_WHILE, async || world.waits() == waits).await;
    assert!(!caring.is_finished());
    said.say(&[]);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(301)).await;
    tokio::time::resume();
    caring.await.unwrap().unwrap();
    assert_eq!(world.waits(), []);
}

#[test]
fn the_policy_is_this() {
    let table = [
        (Chore::Looks, "low_power"),
        (Chore::Downloads, "battery low_power heat metered_network"),
        (Chore::Reading, "heat memory painting"),
        (Chore::Care, "battery low_power heat memory painting"),
    ];
    for (chore, expected) in table {
        let waits_for: Vec<&str> = Shortage::ALL
            .iter()
            .filter(|shortage| chore.waits_for(**shortage))
            .map(|shortage| shortage.as_str())
            .collect();
        assert_eq!(waits_for.join(" "), expected, "{chore}");
    }
}
