//! Each thing that can be followed: first contact fetches nothing, what comes after arrives, and a look at a list that
//! has not changed is one conditional request.

use super::super::{World, contents, everything, list_requests};
use super::{A_ROUND, repository};
use paintbox_catalogue::Follow;
use paintbox_domain::follow::FollowPolicy;
use paintbox_domain::{Classify as _, Hub, reason};
use paintbox_testkit::{CIVITAI_TOKEN, CollectionFilter, HF_TOKEN, RecordedRequest, Server};
use std::time::Duration;

/// Follows `target`, which lists `known` models, lets `news` happen, and expects exactly `arrived` to be fetched.
/// Returns the requests of the next look, which finds nothing new.
async fn is_followed(
    world: &World,
    target: &str,
    known: usize,
    news: impl FnOnce(&World),
    arrived: &[u64],
) -> (Follow, Vec<RecordedRequest>) {
    world.moment();
    let follow = world.follow(target).await;
    assert_eq!(world.catalogue.models_of_follow(follow.id).await.unwrap().len(), known, "{target}");
    assert!(follow.seeded_at.is_some() && follow.new == 0, "{target}: {follow:?}");
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([]), "{target}: the back catalogue is not fetched");

    world.moment();
    news(world);
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents(arrived.iter().copied()), "{target}");
    assert_eq!(world.state(&follow).await.new, u32::try_from(arrived.len()).unwrap(), "{target}");

    // Whatever the news led to is settled with the look after it.
    world.pass(A_ROUND).await;
    (follow.clone(), one_look(world, &follow).await)
}

/// The requests of the next look at `follow`.
async fn one_look(world: &World, follow: &Follow) -> Vec<RecordedRequest> {
    world.hub.clear_requests();
    let before = world.state(follow).await.last_check_at;
    let due = world.state(follow).await.next_check_at.unwrap();
    world.clock.advance(due.since(world.now()));
    world.sync.tick().await.unwrap();
    let after = world.state(follow).await;
    assert!(after.last_check_at > before && after.failure.is_none(), "{after:?}");
    world.hub.requests()
}

#[track_caller]
fn assert_one_conditional(requests: &[RecordedRequest]) {
    let [request] = requests else { panic!("one request, not {:?}", paths(requests)) };
    assert!(request.header("if-none-match").is_some(), "{}", request.path_and_query);
}

fn paths(requests: &[RecordedRequest]) -> Vec<&str> {
    requests.iter().map(|request| request.path_and_query.as_str()).collect()
}

#[tokio::test]
async fn a_civitai_creator() {
    let world = World::new().await;
    world.publish("konan", "One", 1);
    let old = world.publish("konan", "Two", 2);
    world.publish("other", "Three", 3);
    let news = |world: &World| {
        world.publish("konan", "Four", 4);
        world.hub.add_version(old.id, world.version("v2", 5)).unwrap();
        world.publish("other", "Six", 6);
    };
    let (_, look) = is_followed(&world, "civitai:konan", 2, news, &[4, 5]).await;
    assert_one_conditional(&look);
}

#[tokio::test]
async fn visitors_make_no_look_dearer() {
    let world = World::new().await;
    world.publish("konan", "One", 1);
    world.hub.count_visits(true);
    let news = |world: &World| drop(world.publish("konan", "Two", 2));
    let (_, look) = is_followed(&world, "civitai:konan", 1, news, &[2]).await;
    assert_one_conditional(&look);
}

#[tokio::test]
async fn a_civitai_tag() {
    let world = World::new().await;
    world.publish("konan", "One", 1);
    let other = world.publish("other", "Two", 2);
    let news = |world: &World| {
        world.publish("somebody", "Three", 3);
        let unrelated = world.publish("somebody", "Four", 4);
        assert!(world.hub.edit_tags(unrelated.id, &["photo"]));
    };
    assert!(world.hub.edit_tags(other.id, &["photo"]));
    let (_, look) = is_followed(&world, "civitai:tag:style", 1, news, &[3]).await;
    assert_one_conditional(&look);
}

#[tokio::test]
async fn a_civitai_search() {
    let world = World::new().await;
    world.publish("konan", "Red heart", 1);
    world.publish("konan", "Blue heart", 2);
    let news = |world: &World| {
        world.publish("other", "Dark red house", 3);
        world.publish("other", "Green house", 4);
    };
    let (_, look) = is_followed(&world, "civitai:search:red", 1, news, &[3]).await;
    assert_one_conditional(&look);
}

#[tokio::test]
async fn one_civitai_model() {
    let world = World::new().await;
    let model = world.publish("konan", "One", 1);
    let news = |world: &World| {
        world.publish("konan", "Two", 2);
        world.hub.add_version(model.id, world.version("v2", 3)).unwrap();
    };
    let (_, look) = is_followed(&world, &format!("civitai:{}", model.id), 1, news, &[3]).await;
    assert_one_conditional(&look);
}

#[tokio::test]
async fn a_model_that_is_not_there_is_not_followed() {
    let world = World::new().await;
    for (target, wanted) in [
        ("civitai:999999", reason::MODEL_NOT_FOUND),
        ("civitai:nobody", reason::CREATOR_NOT_FOUND),
        ("hf:nobody", reason::CREATOR_NOT_FOUND),
        ("hf:nobody/nothing", reason::MODEL_NOT_FOUND),
    ] {
        let error = world.sync.follow(&target.parse().unwrap(), &FollowPolicy::default()).await.unwrap_err();
        assert_eq!(error.reason(), wanted, "{target}");
    }
    assert_eq!(world.catalogue.follows().await.unwrap(), []);
}

#[tokio::test]
async fn the_accounts_favourites() {
    let world = World::new().await;
    world.log_in(Hub::Civitai, CIVITAI_TOKEN);
    let first = world.publish("konan", "One", 1);
    let second = world.publish("other", "Two", 2);
    world.publish("other", "Three", 3);
    world.hub.set_favourites(&[first.id]);
    // A model that is bookmarked later is new to the list, however old it is: its newest version is what was meant.
    let news = |world: &World| world.hub.set_favourites(&[first.id, second.id]);
    let (follow, look) = is_followed(&world, "civitai:collection:favourites", 1, news, &[2]).await;
    // The account is asked for first: without one the site would list everything.
    assert_eq!(look.len(), 2, "{:?}", paths(&look));
    let lists = list_requests(&world.hub);
    assert_one_conditional(&lists);
    assert_eq!(lists[0].header("authorization"), Some(format!("Bearer {CIVITAI_TOKEN}").as_str()));

    // What is not bookmarked any more stays, and what its creator adds to it is not wanted.
    world.hub.set_favourites(&[second.id]);
    world.pass(A_ROUND).await;
    world.hub.add_version(first.id, world.version("v2", 4)).unwrap();
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([2]));
    assert_eq!(world.catalogue.models_of_follow(follow.id).await.unwrap().len(), 2);
    assert_eq!(world.detail(first.id).await.gone_at, None);
}

#[tokio::test]
async fn a_collection_that_the_site_does_not_list_is_refused_and_not_followed() {
    let world = World::new().await;
    for content in 0..3 {
        world.publish("konan", &format!("Work {content}"), content);
    }
    world.hub.limit_pages_to(2);
    world.hub.set_collection(7, &[1]);
    // Refused outright, and ignored, which would list the whole site.
    for filter in [CollectionFilter::Refused, CollectionFilter::Ignored] {
        world.hub.filter_collections(filter);
        let target = "civitai:collection:7".parse().unwrap();
        let error = world.sync.follow(&target, &everything()).await.unwrap_err();
        assert_eq!(error.reason(), reason::LIST_NOT_OFFERED, "{filter:?}: {error}");
        assert_eq!(world.catalogue.follows().await.unwrap(), []);
    }
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([]));
}

#[tokio::test]
async fn a_collection_that_the_site_lists() {
    let world = World::new().await;
    world.hub.filter_collections(CollectionFilter::Served);
    let models: Vec<u64> = (1..4).map(|n| world.publish("konan", &format!("Work {n}"), n).id).collect();
    world.hub.set_collection(7, &models[..1]);
    let news = |world: &World| world.hub.set_collection(7, &models[..2]);
    let (_, look) = is_followed(&world, "civitai:collection:7", 1, news, &[2]).await;
    assert_one_conditional(&look);
}

#[tokio::test]
async fn whoever_the_account_follows() {
    let world = World::new().await;
    world.log_in(Hub::Civitai, CIVITAI_TOKEN);
    world.publish("ann", "One", 1);
    world.publish("bob", "Two", 2);
    world.hub.set_followed(&["ann"]);
    let news = |world: &World| {
        world.publish("ann", "Three", 3);
        world.publish("bob", "Four", 4);
    };
    let (follow, look) = is_followed(&world, "civitai:following", 1, news, &[3]).await;
    assert_eq!(look.len(), 2, "{:?}", paths(&look));
    assert_one_conditional(&list_requests(&world.hub));

    // Who is followed on the site from now on is followed here: the newest of each model arrives.
    world.hub.set_followed(&["ann", "bob"]);
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([2, 3, 4]));

    // The site stops giving the list out: those who are known are asked for one by one.
    world.hub.refuse_followed(Some(403));
    world.moment();
    world.publish("ann", "Five", 5);
    world.publish("bob", "Six", 6);
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([2, 3, 4, 5, 6]));
    let asked: Vec<String> = list_requests(&world.hub).iter().map(|request| request.path_and_query.clone()).collect();
    assert!(["ann", "bob"].iter().all(|name| asked.iter().any(|path| path.contains(&format!("username={name}")))));
    assert_eq!(world.state(&follow).await.failure, None);
}

#[tokio::test]
async fn a_bad_token_lists_nothing_of_the_site() {
    let world = World::new().await;
    world.log_in(Hub::Civitai, "another-token");
    let model = world.publish("ann", "One", 1);
    for target in ["civitai:following", "civitai:collection:favourites"] {
        let error = world.sync.follow(&target.parse().unwrap(), &everything()).await.unwrap_err();
        assert_eq!(error.reason(), reason::HUB_TOKEN_REJECTED, "{target}");
        assert!(!format!("{error:?}").contains("another-token"), "{error:?}");
    }
    assert_eq!(list_requests(&world.hub).len(), 0);
    assert_eq!(world.catalogue.follows().await.unwrap(), []);
    let known = world.catalogue.find_model(Hub::Civitai, &model.id.to_string()).await.unwrap();
    assert_eq!(known, None);

    // A token that goes bad later keeps the follow, which says so and lists nothing.
    world.log_in(Hub::Civitai, CIVITAI_TOKEN);
    world.hub.set_followed(&["ann"]);
    world.moment();
    let follow = world.follow("civitai:following").await;
    world.log_in(Hub::Civitai, "another-token");
    world.publish("stranger", "Two", 2);
    world.pass(A_ROUND).await;
    let state = world.state(&follow).await;
    assert_eq!(state.failure.unwrap().reason, reason::HUB_TOKEN_REJECTED);
    assert_eq!(world.catalogue.models_of_follow(follow.id).await.unwrap().len(), 1);
    // And the right one mends it.
    world.log_in(Hub::Civitai, CIVITAI_TOKEN);
    world.publish("ann", "Three", 3);
    world.pass(Duration::from_secs(24 * 3600)).await;
    assert_eq!(world.fetched().await, contents([3]));
}

#[tokio::test]
async fn a_hugging_face_author() {
    let world = World::new().await;
    world.hub.limit_rate(1_000_000, 1_000_000);
    world.hub.publish_repository(repository("studio/one", 1));
    world.hub.publish_repository(repository("other/two", 2));
    let news = |world: &World| {
        world.hub.publish_repository(repository("studio/three", 3));
        world.hub.publish_repository(repository("other/four", 4));
    };
    let (_, look) = is_followed(&world, "hf:studio", 1, news, &[3]).await;
    assert_one_conditional(&look);
}

#[tokio::test]
async fn what_somebody_likes_on_hugging_face() {
    let world = World::new().await;
    world.hub.limit_rate(1_000_000, 1_000_000);
    world.hub.publish_repository(repository("studio/one", 1));
    world.hub.publish_repository(repository("studio/two", 2));
    world.hub.add_hf_user("me");
    world.hub.like("me", "model", "studio/one");
    let news = |world: &World| world.hub.like("me", "model", "studio/two");
    let (_, look) = is_followed(&world, "hf:likes:me", 1, news, &[2]).await;
    assert_one_conditional(&look);
}

#[tokio::test]
async fn a_hugging_face_repository() {
    let world = World::new().await;
    world.hub.limit_rate(1_000_000, 1_000_000);
    world.log_in(Hub::HuggingFace, HF_TOKEN);
    world.hub.publish_repository(repository("studio/one", 1));
    let news = |world: &World| drop(world.hub.publish_repository(repository("studio/one", 2)));
    let (_, look) = is_followed(&world, "hf:studio/one", 1, news, &[2]).await;
    assert_one_conditional(&look);
    assert_eq!(look[0].server, Server::HfEndpoint);
}

#[tokio::test]
async fn a_branch_of_a_hugging_face_repository() {
    let world = World::new().await;
    world.hub.limit_rate(1_000_000, 1_000_000);
    let branch = |world: &World, content| {
        world.hub.publish_branch("studio/one", "dev", repository("", content).files).unwrap();
    };
    world.hub.publish_repository(repository("studio/one", 1));
    branch(&world, 2);
    let news = |world: &World| {
        branch(world, 3);
        // Somebody else's branch, as far as this follow goes.
        world.hub.publish_repository(repository("studio/one", 4));
    };
    let (_, look) = is_followed(&world, "hf:studio/one@dev", 1, news, &[3]).await;
    assert_one_conditional(&look);
}
