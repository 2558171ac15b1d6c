//! What happens to models and creators on CivitAI while they are followed.

use super::super::{DAY, World, contents, date, digest, everything, list_requests, weights};
use super::{A_ROUND, file_of, with_files};
use crate::HistoryEvent;
use paintbox_catalogue::{FileState, FollowState};
use paintbox_domain::hub::ModelState;
use paintbox_domain::{Timestamp, reason};
use paintbox_testkit::{FakeFile, FakeVersion, fixtures};
use serde_json::Value;

pub(super) fn recorded(name: &str) -> Value {
    let path = fixtures().join("hubs/civitai").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn what_is_unpublished_is_kept_and_welcomed_back() {
    let world = World::new().await;
    let model = world.publish("konan", "One", 1);
    world.publish("konan", "Two", 2);
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    world.pass(A_ROUND).await;
    let seen = world.now();
    assert!(world.hub.unpublish(model.id));
    world.pass(A_ROUND).await;
    let gone = world.detail(model.id).await;
    assert!(gone.gone_at.is_some());
    assert_eq!((gone.summary.name.as_str(), file_of(&gone.versions[0]).state), ("One", FileState::Verified));
    let while_gone = world.now();

    world.moment();
    assert!(world.hub.republish(model.id));
    world.hub.edit_description(model.id, Some("<p>back</p>"));
    world.pass(A_ROUND).await;
    assert_eq!(world.detail(model.id).await.gone_at, None);
    assert_eq!(world.fetched().await, contents([1, 2]));

    // The history tells all of it, and each day can be read again.
    let id = world.model(model.id).await;
    let history = world.sync.history(id).await.unwrap();
    let events: Vec<HistoryEvent> = history.iter().map(|entry| entry.event).collect();
    assert_eq!(events, [HistoryEvent::Seen, HistoryEvent::Gone, HistoryEvent::Returned]);
    assert!(history.is_sorted_by_key(|entry| entry.at));
    let said = async |at: Timestamp| {
        let then = world.sync.model_at(id, at).await.unwrap();
        (then.description.unwrap(), then.gone_at.is_some())
    };
    assert_eq!(said(seen).await, ("<p>One as it came out</p>".to_owned(), false));
    assert_eq!(said(while_gone).await, ("<p>One as it came out</p>".to_owned(), true));
    assert_eq!(said(world.now()).await, ("<p>back</p>".to_owned(), false));
    world.sync.model_at(id, Timestamp::from_unix_ms(0)).await.unwrap_err();
}

#[tokio::test]
async fn an_edit_is_dated_and_names_what_changed() {
    let world = World::new().await;
    let model = world.publish("konan", "One", 1);
    world.moment();
    world.follow("civitai:konan").await;
    world.pass(A_ROUND).await;
    let before = world.now();
    world.hub.edit_description(model.id, Some("<p>anew</p>"));
    world.hub.edit_tags(model.id, &["ink"]);
    world.pass(A_ROUND).await;
    let id = world.model(model.id).await;
    let history = world.sync.history(id).await.unwrap();
    let [seen, changed] = &history[..] else { panic!("{history:?}") };
    assert_eq!((seen.event, changed.event), (HistoryEvent::Seen, HistoryEvent::Changed));
    assert_eq!(changed.fields, ["description", "tags"]);
    assert!(changed.at > before);
    assert_eq!(world.sync.model_at(id, before).await.unwrap().summary.tags, ["style"]);
    assert_eq!(world.sync.model_at(id, world.now()).await.unwrap().summary.tags, ["ink"]);
}

#[tokio::test]
async fn what_is_archived_waits_and_what_is_taken_down_is_kept() {
    let world = World::new().await;
    let archived = world.publish("konan", "One", 1);
    let taken_down = world.publish("konan", "Two", 2);
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    world.hub.archive(archived.id);
    world.hub.take_down(taken_down.id);
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([]));
    assert_eq!(world.detail(archived.id).await.summary.state, ModelState::Archived);
    assert_eq!(world.detail(archived.id).await.gone_at, None);
    let plan = world.plan().await;
    assert!(plan.contains(&"skip  archived".to_owned()) && plan.contains(&"skip  taken_down".to_owned()), "{plan:?}");
    assert_eq!(world.detail(archived.id).await.versions[0].files.len(), 1, "what was listed before is still known");

    world.hub.restore(archived.id);
    world.hub.restore(taken_down.id);
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([1, 2]));
}

#[tokio::test]
async fn recorded_pages_of_closed_and_empty_models_fetch_nothing_and_say_why() {
    let world = World::new().await;
    for (name, creator, reason) in [
        ("model-2023-07-lora-takendown-12671.json", "Meenow", "skip  taken_down"),
        ("model-2023-07-checkpoint-pickle-danger-42.json", "civitai", "skip roboDiffusion_v1.ckpt pickle_refused"),
        ("model-2023-07-poses-archive-87316.json", "Cecily_cc", "skip buddhaBodhisattva_v10.zip archive_refused"),
    ] {
        let record = recorded(name);
        assert_eq!(record["creator"]["username"], creator, "{name}");
        world.hub.publish_recorded(record);
        let follow = world.follow_with(&format!("civitai:{creator}"), &everything()).await;
        let plan = world.sync.plan(Some(&follow.name)).await.unwrap();
        let lines: Vec<String> = plan
            .operations
            .iter()
            .map(|operation| format!("{} {} {}", operation.kind.as_str(), operation.file, operation.reason))
            .collect();
        assert!(lines.iter().any(|line| line == reason), "{name}: {lines:?}");
        assert_eq!(plan.count(crate::OperationKind::Fetch), 0, "{name}: {lines:?}");
    }
    // A model without versions is a model all the same.
    world.hub.publish_recorded(recorded("model-2023-07-checkpoint-no-versions-96216.json"));
    let empty = world.follow_with("civitai:96216", &everything()).await;
    let models = world.catalogue.models_of_follow(empty.id).await.unwrap();
    assert_eq!(models[0].name, "trillium");
}

#[tokio::test]
async fn other_bytes_under_the_same_name_are_fetched_beside_the_old_ones() {
    let world = World::new().await;
    let model = world.publish("konan", "One", 1);
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    world.pass(A_ROUND).await;
    assert!(world.hub.replace_file(model.versions[0].files[0], weights(2)));
    let plan = world.plan().await;
    assert!(plan.contains(&"fetch One.safetensors replaced".to_owned()), "{plan:?}");
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([1, 2]));
    let detail = world.detail(model.id).await;
    let of = |content: u64| {
        let wanted = Some(digest(&weights(content)));
        detail.versions[0].files.iter().find(|file| file.sha256 == wanted).expect("both are on record")
    };
    assert_eq!((of(1).replaced_at.is_some(), of(2).replaced_at), (true, None));
    assert_eq!([of(1), of(2)].map(|file| file.state), [FileState::Verified; 2]);
}

#[tokio::test]
async fn of_several_files_the_primary_and_its_companions_are_fetched() {
    let world = World::new().await;
    world.moment();
    world.hub.add_creator("konan");
    world.follow("civitai:konan").await;
    world.moment();
    let other = FakeFile { primary: false, ..FakeFile::model("full.safetensors", weights(2)) };
    let training = FakeFile::beside("data.zip", "Training Data", &b"PK"[..]);
    world.hub.publish(with_files(
        &world,
        "konan",
        "Many",
        vec![other, FakeFile::model("pruned.safetensors", weights(1)), training],
    ));
    let empty = world.hub.publish(with_files(&world, "konan", "None", Vec::new()));
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([1]));
    let plan = world.plan().await;
    for line in ["skip full.safetensors not_primary", "skip data.zip training_data"] {
        assert!(plan.iter().any(|found| found == line), "{line} in {plan:?}");
    }
    // The list leaves out versions without files, so that the model is known and has none.
    assert_eq!(world.detail(empty.id).await.versions, []);
    // The next version has one.
    world.hub.add_version(empty.id, world.version("late", 3)).unwrap();
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([1, 3]));
}

#[tokio::test]
async fn a_file_that_is_not_scanned_yet_gets_its_digest_later() {
    let world = World::new().await;
    world.hub.add_creator("konan");
    world.follow("civitai:konan").await;
    world.moment();
    let pending = FakeFile { scan_pending: true, ..FakeFile::model("a.safetensors", weights(1)) };
    let model = world.hub.publish(with_files(&world, "konan", "One", vec![pending]));
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([1]));
    assert_eq!(file_of(&world.detail(model.id).await.versions[0]).state, FileState::Unverified);
    // The scan is done; the same bytes are uploaded "again", which is how this hub writes digests down.
    assert!(world.hub.replace_file(model.versions[0].files[0], weights(1)));
    world.hub.clear_requests();
    world.pass(A_ROUND).await;
    let detail = world.detail(model.id).await;
    assert_eq!(detail.versions[0].files.len(), 1);
    assert_eq!(file_of(&detail.versions[0]).state, FileState::Verified);
    let downloads = world.hub.requests().iter().filter(|request| request.path().contains("/download/")).count();
    assert_eq!(downloads, 0, "what is here is not fetched again");
}

#[tokio::test]
async fn early_access_is_fetched_by_itself_once_it_has_ended() {
    let world = World::new().await;
    let model = world.publish("konan", "One", 1);
    world.moment();
    let follow = world.follow("civitai:konan").await;
    world.moment();
    let end = world.now().plus(DAY * 3);
    let paid = FakeVersion { paid_access: Some(Some(date(end))), ..world.version("v2", 2) };
    world.hub.add_version(model.id, paid).unwrap();
    let forever = FakeVersion { paid_access: Some(None), ..world.version("v3", 3) };
    world.hub.add_version(model.id, forever).unwrap();
    world.pass(DAY * 2).await;
    assert_eq!(world.fetched().await, contents([]));
    let plan = world.plan().await;
    assert_eq!(plan.iter().filter(|line| *line == "skip  early_access").count(), 2, "{plan:?}");
    assert_eq!(world.state(&follow).await.new, 2, "it is new all the same");
    // Nothing is attempted before: a refused download would be a failure on record.
    assert!(world.detail(model.id).await.versions.iter().all(|version| file_of(version).failure.is_none()));

    world.pass(DAY + A_ROUND).await;
    world.tell_the_hub_the_time();
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([2]));
}

#[tokio::test]
async fn a_creator_who_takes_another_name_is_followed_under_it() {
    let world = World::new().await;
    let model = world.publish("konan", "One", 1);
    world.moment();
    let follow = world.follow("civitai:konan").await;
    world.pass(A_ROUND).await;
    assert!(world.hub.rename_creator("konan", "konan_xl"));
    world.moment();
    world.hub.add_version(model.id, world.version("v2", 2)).unwrap();
    world.pass(A_ROUND).await;
    assert_eq!(world.state(&follow).await.target.to_string(), "civitai:konan_xl");
    assert_eq!(world.fetched().await, contents([2]));
    assert_eq!(world.detail(model.id).await.summary.creator.as_deref(), Some("konan_xl"));

    // Somebody else takes the name, which leads nobody astray: not even a follow that still has it.
    assert!(world.hub.rename_creator("konan_xl", "konan_again"));
    world.moment();
    let stranger = world.publish("konan_xl", "Stranger's", 3);
    world.pass(A_ROUND).await;
    assert_eq!(world.state(&follow).await.target.to_string(), "civitai:konan_again");
    assert_eq!(world.fetched().await, contents([2]));
    let known = world.catalogue.find_model(paintbox_domain::Hub::Civitai, &stranger.id.to_string()).await.unwrap();
    assert_eq!(known, None, "nothing of the stranger's is recorded");
}

#[tokio::test]
async fn a_creator_who_is_gone_is_looked_for_ever_more_rarely_and_loses_nothing() {
    let world = World::new().await;
    let model = world.publish("konan", "One", 1);
    world.moment();
    let follow = world.follow_with("civitai:konan", &everything()).await;
    world.pass(A_ROUND).await;
    world.hub.remove_creator("konan");
    world.hub.clear_requests();
    let mut looks = Vec::new();
    for _ in 0..3 {
        let before = list_requests(&world.hub).len();
        world.pass(DAY * 3).await;
        looks.push(list_requests(&world.hub).len() - before);
    }
    let state = world.state(&follow).await;
    assert_eq!(state.state(), FollowState::Failing);
    assert_eq!(state.failure.unwrap().reason, reason::CREATOR_NOT_FOUND);
    // Waits of 1, 2, 4, 8, 16 and then 24 hours: about eight looks in the first three days, and then one a day.
    assert!((5..=9).contains(&looks[0]), "{looks:?}");
    assert!(looks[1..].iter().all(|count| (2..=4).contains(count)), "{looks:?}");
    let kept = world.detail(model.id).await;
    assert_eq!((kept.gone_at, file_of(&kept.versions[0]).state), (None, FileState::Verified));
}

#[tokio::test]
async fn unfollowing_deletes_nothing_and_fetches_nothing_more() {
    let world = World::new().await;
    let model = world.publish("konan", "One", 1);
    world.moment();
    let follow = world.follow_with("civitai:konan", &everything()).await;
    world.pass(A_ROUND).await;
    world.catalogue.delete_follow(&follow.name).await.unwrap();
    world.hub.add_version(model.id, world.version("v2", 2)).unwrap();
    world.hub.clear_requests();
    world.pass(DAY).await;
    assert_eq!(world.hub.requests().len(), 0);
    assert_eq!(world.fetched().await, contents([1]));
    assert_eq!(file_of(&world.detail(model.id).await.versions[0]).state, FileState::Verified);
}
