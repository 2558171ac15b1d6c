//! Settings that change while the daemon runs.

use super::{HOUR, World, contents, digest, everything, large_weights, weights};
use crate::{DownloadLimits, Settings};
use paintbox_domain::Shortage;
use paintbox_domain::follow::FollowPolicy;
use paintbox_domain::surroundings::Said;
use paintbox_store::Store;
use paintbox_testkit::{FakeCivitaiModel, FakeFile, FakeVersion, Fault, RecordedRequest, Server, wait_for};
use std::sync::Arc;
use std::time::Duration;

impl World {
    pub(super) fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::clone(&self.sync.settings());
        change(&mut settings);
        self.sync.adopt(settings);
    }
}

#[tokio::test]
async fn an_interval_that_became_shorter_holds_for_looks_that_were_set() {
    let world = World::with(|_, settings| settings.sync_interval = Some(20 * HOUR)).await;
    world.publish("konan", "Old", 100);
    world.moment();
    let follow = world.follow("civitai:konan").await;
    world.pass(HOUR).await;
    let far = world.state(&follow).await.next_check_at.unwrap();
    assert!(far.since(world.now()) > 15 * HOUR);
    world.change(|settings| settings.sync_interval = Some(HOUR));
    let next = world.sync.tick().await.unwrap().unwrap();
    assert!(next.since(world.now()) <= HOUR, "{next:?}");
    assert_eq!(world.state(&follow).await.next_check_at, Some(next));
    // Once it is set it stays.
    assert_eq!(world.sync.tick().await.unwrap(), Some(next));

    world.change(|settings| settings.sync_interval = None);
    assert_eq!(world.sync.next_check(&world.state(&follow).await), None);
    world.publish("konan", "New", 1);
    world.pass(40 * HOUR).await;
    assert_eq!(world.fetched().await, [].into());
}

#[tokio::test]
async fn the_reconciler_hears_of_it_while_it_rests() {
    let world = World::with(|_, settings| settings.sync_interval = None).await;
    world.publish("konan", "Old", 100);
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    world.clock.advance(HOUR);
    let resting = tokio::spawn({
        let sync = world.sync.clone();
        async move { sync.reconcile().await }
    });
    world.hub.clear_requests();
    world.change(|settings| settings.sync_interval = Some(HOUR));
    wait_for("a look", Duration::from_secs(20), async || !world.hub.requests().is_empty()).await;
    world.sync.shut_down().await;
    resting.await.unwrap();
}

#[tokio::test]
async fn what_waits_goes_on_when_its_reason_counts_no_longer() {
    let said = Arc::new(Said::default());
    let surroundings = Arc::clone(&said);
    let world = World::with(move |parts, _| parts.surroundings = surroundings).await;
    world.publish("konan", "Old", 100);
    world.moment();
    world.follow("civitai:konan").await;
    world.pass(HOUR).await;
    said.say(&[Shortage::Battery]);
    world.publish("konan", "New", 1);
    world.pass(2 * HOUR).await;
    assert_eq!((world.fetched().await, world.sync.waits().len()), ([].into(), 1));

    world.change(|settings| settings.ignored_shortages = vec![Shortage::Heat]);
    world.sync.look_around().await.unwrap();
    assert_eq!(world.sync.waits().len(), 1);
    world.change(|settings| settings.ignored_shortages = vec![Shortage::Battery]);
    world.sync.look_around().await.unwrap();
    world.sync.rest().await;
    assert_eq!((world.fetched().await, world.sync.waits()), (contents([1]), vec![]));
}

#[tokio::test]
async fn more_are_fetched_at_once_as_soon_as_the_limits_allow() {
    let limits = |at_once| DownloadLimits { at_once, per_hub: at_once, ..DownloadLimits::default() };
    let world = World::with(|_, settings| settings.limits = limits(1)).await;
    for number in 1..=3 {
        world.publish("konan", &format!("Model {number}"), number);
    }
    world.moment();
    let held = world.hub.faults().always(Server::CivitaiStorage, "", Fault::Stall);
    world.follow_with("civitai:konan", &everything()).await;
    let run = world.sync.start(&crate::SyncRequest::default()).await.unwrap();
    wait_for("the first", Duration::from_secs(20), async || held.hits() == 1).await;
    world.change(|settings| settings.limits = limits(3));
    world.sync.tick().await.unwrap();
    wait_for("all of them", Duration::from_secs(20), async || held.hits() == 3).await;
    world.sync.cancel(&run.uid).await.unwrap();
    world.sync.rest().await;
}

#[tokio::test]
async fn room_is_kept_on_every_volume_without_a_rule_of_its_own() {
    let world = World::new().await;
    let rules = |keep_free_bytes| paintbox_catalogue::VolumeRules { keep_free_bytes, ..Default::default() };
    for (label, keep) in [("strict", Some(77)), ("lax", None)] {
        world.sync.create_volume(label, &world.home.path().join(label), rules(keep)).await.unwrap();
    }
    world.change(|settings| settings.kept_free_bytes = 5_000);
    let stores = world.sync.inner.parts.places.present();
    let kept: Vec<u64> = stores.iter().map(Store::kept_free_bytes).collect();
    assert_eq!(kept, [5_000, 77, 5_000]);
    // A volume that comes back is none that was missed.
    world.sync.look_at_volumes().await.unwrap();
    world.change(|settings| settings.kept_free_bytes = u64::MAX);
    world.publish("konan", "Model", 1);
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    world.pass(HOUR).await;
    assert_eq!(world.fetched().await, [].into(), "{:?} has no room", weights(1).len());
    world.change(|settings| settings.kept_free_bytes = 0);
    world.pass(2 * HOUR).await;
    assert_eq!(world.fetched().await, contents([1]));
}

#[tokio::test]
async fn a_cap_that_is_taken_back_lets_a_download_under_way_go_on() {
    for of_follow in [true, false] {
        let world = World::with(|_, settings| {
            settings.limits.max_bytes_per_second = (!of_follow).then_some(1);
        })
        .await;
        let bytes = large_weights(6 << 20);
        let mut version = FakeVersion::new("v1", "SDXL 1.0").file(FakeFile::model("large.safetensors", bytes.clone()));
        version.published = super::date(world.now());
        world.hub.publish(FakeCivitaiModel::new("konan", "LORA", "Large").version(version));
        world.moment();
        let policy = FollowPolicy { max_bytes_per_second: of_follow.then_some(1), ..everything() };
        let follow = world.follow_with("civitai:konan", &policy).await;
        world.sync.start(&crate::SyncRequest::default()).await.unwrap();
        let is_asked = |request: &RecordedRequest| request.server == Server::CivitaiStorage;
        let asked = async || world.hub.requests().iter().any(is_asked);
        wait_for("the bytes to be asked for", Duration::from_secs(20), asked).await;
        // It would take weeks.
        if of_follow {
            world.sync.update_follow(&follow.name, &everything()).await.unwrap();
        } else {
            world.change(|settings| settings.limits.max_bytes_per_second = None);
        }
        world.sync.rest().await;
        assert_eq!(world.fetched().await, [digest(&bytes)].into());
    }
}
