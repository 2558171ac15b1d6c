//! Policies end to end, notices, restarts, and what a preview says.

use super::super::{DAY, HOUR, World, contents, everything, list_requests, weights};
use super::A_ROUND;
use crate::{Announcer, Parts, Settings, Sync};
use futures::future::BoxFuture;
use paintbox_catalogue::Notice;
use paintbox_domain::follow::{FollowPolicy, QuietHours};
use paintbox_domain::{Classify, ErrorClass, Failure, reason};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test]
async fn quiet_hours_hold_back_and_let_go() {
    let world = World::new().await;
    world.hub.add_creator("konan");
    let quiet_hours = QuietHours::parse("01:00-09:00");
    world.follow_with("civitai:konan", &FollowPolicy { quiet_hours, ..FollowPolicy::default() }).await;
    // The world begins at midnight.
    world.pass(HOUR).await;
    world.publish("konan", "One", 1);
    world.pass(HOUR * 7).await;
    assert_eq!(world.fetched().await, contents([]));
    assert!(world.plan().await.contains(&"skip  quiet_hours".to_owned()));
    world.model(list_id(&world).await).await;
    world.pass(HOUR * 3).await;
    assert_eq!(world.fetched().await, contents([1]));
}

/// The number of the one model that the first follow lists.
async fn list_id(world: &World) -> u64 {
    let follow = &world.catalogue.follows().await.unwrap()[0];
    let models = world.catalogue.models_of_follow(follow.id).await.unwrap();
    models[0].external_id.parse().unwrap()
}

#[tokio::test]
async fn a_budget_is_kept_and_the_newest_come_first() {
    let world = World::new().await;
    for content in 1..=3 {
        world.publish("konan", &format!("Work {content}"), content);
        world.moment();
    }
    let one = weights(1).len() as u64;
    // The site gives sizes in KiB with a fraction, so that a byte more is left for rounding.
    let policy = FollowPolicy { max_total_bytes: Some(2 * one + 2), ..everything() };
    let follow = world.follow_with("civitai:konan", &policy).await;
    world.pass(DAY).await;
    assert_eq!(world.fetched().await, contents([2, 3]));
    assert!(world.plan().await.contains(&"skip Work 1.safetensors over_budget".to_owned()));
    // More room is used.
    let policy = FollowPolicy { max_total_bytes: Some(4 * one), ..everything() };
    world.sync.update_follow(&follow.name, &policy).await.unwrap();
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([1, 2, 3]));
}

/// Keeps what it was told, and fails as often as it is made to.
#[derive(Debug, Default)]
struct Diary {
    told: Mutex<Vec<String>>,
    failures: Mutex<u32>,
}

/// Why it could not be told.
#[derive(Debug)]
struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the diary is full")
    }
}

impl std::error::Error for Full {}

impl Classify for Full {
    fn class(&self) -> ErrorClass {
        ErrorClass::Unavailable
    }

    fn reason(&self) -> &'static str {
        reason::HUB_UNREACHABLE
    }
}

impl Announcer for Diary {
    fn name(&self) -> &'static str {
        "diary"
    }

    fn announce<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Result<(), Failure>> {
        let mut failures = self.failures.lock().unwrap();
        let fails = *failures > 0;
        *failures = failures.saturating_sub(1);
        if !fails {
            self.told.lock().unwrap().push(format!("{} {}", notice.model_name, notice.version_name));
        }
        Box::pin(std::future::ready(if fails { Err(Failure::of(&Full)) } else { Ok(()) }))
    }
}

#[tokio::test]
async fn a_follow_that_only_tells_tells_once_and_fetches_nothing() {
    let diary = Arc::new(Diary::default());
    let announcer: Arc<dyn Announcer> = diary.clone();
    let world = World::with(|_, settings| settings.announcers.push(announcer)).await;
    let told = || diary.told.lock().unwrap().clone();
    let model = world.publish("konan", "One", 1);
    world.moment();
    world.follow_with("civitai:konan", &FollowPolicy { notify_only: true, ..everything() }).await;
    world.pass(A_ROUND).await;
    assert_eq!(told(), [] as [String; 0], "the back catalogue is no news");

    *diary.failures.lock().unwrap() = 2;
    world.hub.add_version(model.id, world.version("v2", 2)).unwrap();
    world.publish("konan", "Two", 3);
    world.pass(DAY).await;
    let mut news = told();
    news.sort();
    assert_eq!(news, ["One v2", "Two Two"]);
    assert_eq!(*diary.failures.lock().unwrap(), 0, "it was tried again after the failures");
    world.pass(DAY).await;
    assert_eq!(told().len(), 2);
    assert_eq!(world.fetched().await, contents([]));
    assert!(world.plan().await.contains(&"skip  notify_only".to_owned()));
}

#[tokio::test]
async fn what_two_follows_reach_is_fetched_once_for_the_one_that_wants_it() {
    let world = World::new().await;
    world.hub.add_creator("konan");
    world.follow_with("civitai:konan", &FollowPolicy { notify_only: true, ..FollowPolicy::default() }).await;
    world.publish("other", "Old", 1);
    world.moment();
    world.follow("civitai:tag:style").await;
    world.moment();
    world.publish("konan", "One", 2);
    world.hub.clear_requests();
    world.pass(A_ROUND * 2).await;
    assert_eq!(world.fetched().await, contents([2]));
    let downloads = world.hub.requests().iter().filter(|request| request.path().contains("/api/download/")).count();
    assert_eq!(downloads, 1);
}

#[tokio::test]
async fn a_later_backfill_fetches_the_back_catalogue_and_was_told_beforehand() {
    let world = World::new().await;
    for content in 1..=3 {
        world.publish("konan", &format!("Work {content}"), content);
    }
    world.moment();
    let bytes = weights(1).len() as u64;
    let preview = world.sync.preview_follow(&"civitai:konan".parse().unwrap(), &everything()).await.unwrap();
    assert_eq!((preview.listed_models, preview.listed_versions, preview.files), (3, 3, 3));
    assert!(preview.bytes.abs_diff(3 * bytes) <= 3, "{preview:?}");
    assert_eq!(world.catalogue.follows().await.unwrap(), []);
    let nothing = world.sync.preview_follow(&"civitai:konan".parse().unwrap(), &FollowPolicy::default()).await.unwrap();
    assert_eq!((nothing.listed_models, nothing.files, nothing.bytes), (3, 0, 0));
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([]));

    let follow = world.follow("civitai:konan").await;
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([]));
    let preview = world.sync.preview_update(&follow.name, &everything()).await.unwrap();
    assert_eq!(preview.files, 3);
    world.sync.update_follow(&follow.name, &everything()).await.unwrap();
    world.pass(Duration::from_secs(600)).await;
    assert_eq!(world.fetched().await, contents([1, 2, 3]));
    assert_eq!(world.state(&follow).await.pending, 0);
}

#[tokio::test]
async fn a_restart_goes_on_where_the_daemon_was() {
    let mut kept = None;
    let keep = |parts: &mut Parts, settings: &mut Settings| kept = Some((parts.clone(), settings.clone()));
    let mut world = World::with(keep).await;
    let (parts, settings) = kept.unwrap();
    let model = world.publish("konan", "One", 1);
    world.moment();
    let follow = world.follow("civitai:konan").await;
    world.pass(A_ROUND).await;
    let before = world.state(&follow).await;
    world.sync.shut_down().await;
    world.sync = Sync::new(parts, settings);
    world.hub.clear_requests();
    let next = world.sync.tick().await.unwrap();
    assert_eq!(next, before.next_check_at, "nothing is due because of a restart");
    assert_eq!(world.state(&follow).await, before);
    assert_eq!(world.hub.requests().len(), 0);

    world.hub.add_version(model.id, world.version("v2", 2)).unwrap();
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([2]));
    assert!(list_requests(&world.hub)[0].header("if-none-match").is_some(), "the mark outlived the restart");
    assert!(world.runs().await >= 1);
}
