//! Hubs that are down, overloaded, endless or shrinking: nothing is lost, and nobody is hammered.

use super::{DAY, HOUR, World, contents, list_requests};
use paintbox_catalogue::{Follow, FollowState};
use paintbox_domain::{Hub, Timestamp, reason};
use paintbox_hub::HubState;
use paintbox_testkit::{Fault, FaultRule, PublishedModel, Server};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// So many followed creators with one work each, all of them looked at once.
async fn followed(world: &World, count: u64) -> (Vec<Follow>, Vec<PublishedModel>) {
    let models = (0..count).map(|n| world.publish(&format!("creator_{n}"), &format!("Work {n}"), n)).collect();
    world.clock.advance(MINUTE);
    world.tell_the_hub_the_time();
    let mut follows = Vec::new();
    for n in 0..count {
        follows.push(world.follow(&format!("civitai:creator_{n}")).await);
    }
    (follows, models)
}

/// A new version of each model, whose contents count on from `first`.
fn new_versions(world: &World, models: &[PublishedModel], first: u64) {
    world.tell_the_hub_the_time();
    for (model, content) in models.iter().zip(first..) {
        world.hub.add_version(model.id, world.version(&format!("v{content}"), content)).unwrap();
    }
}

fn status(code: u16, headers: &[(&str, &str)]) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Status { code, body: r#"{"error":"not now"}"#.to_owned(), headers }
}

/// Lets `time` pass as [`World::pass`] does, and counts the turns of the loop. None may be due at once again.
async fn count_turns(world: &World, time: Duration) -> usize {
    let end = world.now().plus(time);
    let mut turns = 0;
    loop {
        let now = world.now();
        let next = world.sync.tick().await.unwrap();
        turns += 1;
        match next {
            Some(next) if next <= end => {
                assert!(next > now, "a turn that is due at once again would spin");
                world.clock.advance(next.since(now));
            }
            _ => {
                world.clock.advance(end.since(now));
                return turns;
            }
        }
    }
}

#[tokio::test]
async fn an_hour_of_too_many_requests_costs_a_question_for_each_pause() {
    let world = World::new().await;
    let (follows, models) = followed(&world, 100).await;
    world.pass(2 * HOUR).await;
    let storm = world.hub.faults().always(Server::CivitaiSite, "/", status(429, &[("retry-after", "600")]));
    new_versions(&world, &models, 1_000);
    world.hub.clear_requests();
    world.pass(HOUR).await;
    // One question learns of a pause of ten minutes, and whoever comes meanwhile is told without asking. Six pauses
    // fill an hour, and one more may begin at its end.
    let asked = world.hub.requests().len();
    assert!((1..=7).contains(&asked), "{asked} requests in an hour of 429");
    assert_eq!(storm.hits(), asked);

    world.hub.faults().clear();
    world.pass(4 * HOUR).await;
    assert_eq!(world.fetched().await, contents(1_000..1_100));
    for follow in &follows {
        assert_eq!(world.state(follow).await.failure, None);
    }
}

#[tokio::test]
async fn a_day_without_an_answer_costs_a_few_dozen_calls_and_loses_nothing() {
    let world = World::new().await;
    let (follows, models) = followed(&world, 100).await;
    world.pass(2 * HOUR).await;
    world.hub.faults().always(Server::CivitaiSite, "/", Fault::HangUp);
    world.hub.clear_requests();
    for day_part in 0..4 {
        new_versions(&world, &models[day_part * 25..(day_part + 1) * 25], 1_000 + 25 * day_part as u64);
        world.pass(6 * HOUR).await;
    }
    // Five calls of up to four tries open the circuit. Then one request asks for all after each pause: one, two, four,
    // eight and sixteen minutes, and half an hour from then on, each shortened at random by at most a fifth.
    let asked = world.hub.requests().len();
    eprintln!("{asked} requests in a day without an answer");
    assert!((20..=5 * 4 + 5 + 60).contains(&asked), "{asked} requests in a day without an answer");
    assert_eq!(world.sync.hub_health(Hub::Civitai).state, HubState::Down);
    let waiting = world.state(&follows[7]).await;
    assert_eq!(waiting.state(), FollowState::Waiting, "{waiting:?}");

    world.hub.faults().clear();
    world.pass(4 * HOUR).await;
    assert_eq!(world.fetched().await, contents(1_000..1_100));
    assert_eq!(world.sync.hub_health(Hub::Civitai).state, HubState::Ok);
}

#[tokio::test]
async fn server_errors_pass_and_everything_arrives() {
    let world = World::new().await;
    let (follows, models) = followed(&world, 5).await;
    world.pass(HOUR).await;
    for code in [500, 502, 503, 524] {
        world.hub.faults().clear();
        world.hub.faults().always(Server::CivitaiSite, "/", status(code, &[]));
        world.pass(HOUR).await;
    }
    new_versions(&world, &models, 100);
    assert_eq!(world.state(&follows[0]).await.state(), FollowState::Waiting);
    assert_eq!(world.sync.hub_health(Hub::Civitai).state, HubState::Down);
    world.hub.faults().clear();
    world.pass(4 * HOUR).await;
    assert_eq!(world.fetched().await, contents(100..105));
    assert!(world.state(&follows[0]).await.failures == 0);
}

#[tokio::test]
async fn a_list_that_leads_in_circles_is_refused_and_heals() {
    let world = World::new().await;
    world.hub.limit_pages_to(1);
    for n in 0..3 {
        world.publish("konan", &format!("Work {n}"), n);
    }
    world.clock.advance(MINUTE);
    // The pages behind the newest send to themselves for ever.
    let page = r#"{"items":[],"metadata":{"nextCursor":"again","nextPage":"x"}}"#;
    let circle = Fault::Status { code: 200, body: page.to_owned(), headers: Vec::new() };
    world.hub.faults().add(FaultRule::new(Server::CivitaiSite, "/api/v1/models?", circle).skip(1));
    let follow = world.follow("civitai:konan").await;
    assert_eq!(list_requests(&world.hub).len(), 3, "the second time that a cursor comes ends it");
    assert_eq!(follow.failure.as_ref().unwrap().reason, reason::HUB_PROTOCOL, "{follow:?}");
    assert_eq!((follow.state(), &follow.list_mark, follow.seeded_at), (FollowState::Failing, &None, None));
    assert_eq!(world.catalogue.models_of_follow(follow.id).await.unwrap().len(), 1, "what was read stays");

    world.hub.faults().clear();
    world.clock.advance(MINUTE);
    world.publish("konan", "Fresh", 9);
    world.pass(DAY).await;
    let healed = world.state(&follow).await;
    assert_eq!((healed.state(), healed.failures), (FollowState::Active, 0), "{healed:?}");
    assert!(healed.list_mark.is_some());
    let models = world.catalogue.models_of_follow(follow.id).await.unwrap();
    assert_eq!(models.iter().map(|model| model.gone_at).collect::<Vec<_>>(), [None; 4]);
    assert_eq!(world.fetched().await, contents([9]));
}

/// Answers the second page late, and does `meanwhile` before it is answered.
async fn while_paging(world: &World, meanwhile: impl FnOnce()) -> Follow {
    let second =
        world.hub.faults().add(FaultRule::new(Server::CivitaiSite, "/api/v1/models?", Fault::Stall).skip(1).once());
    let target = "civitai:konan".parse().unwrap();
    let sync = world.sync.clone();
    let follow = tokio::spawn(async move { sync.follow(&target, &Default::default()).await.unwrap() });
    paintbox_testkit::wait_for("the second page to be asked for", Duration::from_secs(20), || {
        std::future::ready(second.hits() > 0)
    })
    .await;
    meanwhile();
    second.release();
    follow.await.unwrap()
}

#[tokio::test]
async fn a_list_that_shrinks_while_it_is_read_loses_nothing_else() {
    let world = World::new().await;
    world.hub.limit_pages_to(2);
    let models: Vec<PublishedModel> = (0..6).map(|n| world.publish("konan", &format!("Work {n}"), n)).collect();
    world.clock.advance(MINUTE);
    // Of equal dates the higher number comes first: models 5 and 4 are on the first page.
    let follow = while_paging(&world, || assert!(world.hub.unpublish(models[5].id))).await;
    assert_eq!(world.catalogue.models_of_follow(follow.id).await.unwrap().len(), 6);
    world.pass(9 * DAY).await;
    for (n, model) in models.iter().enumerate() {
        let known = world.catalogue.model(world.model(model.id).await).await.unwrap();
        assert_eq!(known.gone_at.is_some(), n == 5, "model {n}");
    }
    assert_eq!(world.fetched().await, contents([]));
}

#[tokio::test]
async fn a_first_contact_that_breaks_off_goes_on_and_knows_the_back_catalogue() {
    let world = World::new().await;
    world.hub.limit_pages_to(2);
    for n in 0..6 {
        world.publish("konan", &format!("Work {n}"), n);
    }
    world.clock.advance(MINUTE);
    let rule = FaultRule::new(Server::CivitaiSite, "/api/v1/models?", status(400, &[]));
    world.hub.faults().add(rule.skip(1).once());
    let follow = world.follow("civitai:konan").await;
    assert_eq!((follow.seeded_at, follow.list_mark.as_ref()), (None, None));
    assert_eq!(world.catalogue.models_of_follow(follow.id).await.unwrap().len(), 2);
    world.clock.advance(MINUTE);
    world.publish("konan", "Fresh", 9);
    world.pass(6 * HOUR).await;
    let state = world.state(&follow).await;
    assert_eq!((state.state(), state.new), (FollowState::Active, 1), "{state:?}");
    assert_eq!(world.catalogue.models_of_follow(follow.id).await.unwrap().len(), 7);
    assert_eq!(world.fetched().await, contents([9]), "the rest of the old list is no news");
}

#[tokio::test]
async fn five_hundred_idle_follows_cost_a_conditional_request_each_and_sleep_between() {
    let world = World::new().await;
    let (follows, _) = followed(&world, 500).await;
    world.pass(3 * HOUR).await;
    world.hub.clear_requests();
    let looks = |follow: &Follow| follow.last_check_at.unwrap();
    // Each follow is looked at once in its own interval: from one look of the slowest to the next is its business.
    let before: Vec<Timestamp> = world.catalogue.follows().await.unwrap().iter().map(looks).collect();
    let turns = count_turns(&world, HOUR.mul_f64(0.9)).await;
    let asked = world.hub.requests();
    let after: Vec<Timestamp> = world.catalogue.follows().await.unwrap().iter().map(looks).collect();
    let looked = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert_eq!(asked.len(), looked, "a look is one request");
    assert!((430..=follows.len()).contains(&looked), "{looked}");
    assert!(asked.iter().all(|request| request.header("if-none-match").is_some()));
    // A turn of the loop looks at something; the first one may find nothing due.
    assert!(turns <= looked + 1, "{turns} turns for {looked} looks");

    // Between two due times nothing is asked and nothing is written.
    let next = world.sync.tick().await.unwrap().unwrap();
    assert!(next > world.now());
    world.hub.clear_requests();
    let state = world.catalogue.follows().await.unwrap();
    world.clock.advance(next.since(world.now()).saturating_sub(Duration::from_millis(1)));
    assert_eq!(world.sync.tick().await.unwrap(), Some(next));
    assert_eq!(world.catalogue.follows().await.unwrap(), state);
    assert_eq!(world.hub.requests().len(), 0);
}

#[tokio::test]
async fn waking_up_after_three_days_makes_no_burst() {
    let world = World::new().await;
    let (follows, models) = followed(&world, 200).await;
    world.pass(2 * HOUR).await;
    new_versions(&world, &models[..20], 1_000);
    world.clock.advance(3 * DAY);
    world.hub.clear_requests();
    // Two hundred overdue follows in a quarter of an hour is one every four and a half seconds: at most fourteen in any
    // minute. Those that were looked at first come again after nine tenths of an hour.
    let mut most = 0;
    for _ in 0..60 {
        let before = list_requests(&world.hub).len();
        world.pass(MINUTE).await;
        most = most.max(list_requests(&world.hub).len() - before);
    }
    assert!((1..=15).contains(&most), "{most} list requests in a minute");
    for follow in &follows {
        let state = world.state(follow).await;
        assert!(world.now().since(state.last_check_at.unwrap()) <= HOUR, "{state:?}");
    }
    assert_eq!(world.fetched().await, contents(1_000..1_020));
}
