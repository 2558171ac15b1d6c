//! What happens to repositories on Hugging Face while they are followed, and the cache that its own tools share.

use super::super::{DAY, World, attributes, contents, digest, everything, weights};
use super::{A_ROUND, file_of, repository};
use paintbox_catalogue::{FileState, Follow};
use paintbox_domain::{Classify as _, Hub, reason};
use paintbox_store::hf_cache::HfCache;
use paintbox_testkit::{FakeRepository, HF_TOKEN};
use std::path::PathBuf;

/// A world without rate limits, which count real time, in which an author with one repository is followed.
async fn studio() -> (World, Follow) {
    let world = World::new().await;
    world.hub.limit_rate(1_000_000, 1_000_000);
    world.hub.publish_repository(repository("studio/one", 1));
    world.moment();
    let follow = world.follow("hf:studio").await;
    world.pass(A_ROUND).await;
    (world, follow)
}

fn downloads(world: &World) -> usize {
    world.hub.requests().iter().filter(|request| request.path().contains("/resolve/")).count()
}

#[tokio::test]
async fn a_commit_that_changes_the_page_only_fetches_nothing() {
    let (world, _) = studio().await;
    let mut about = repository("studio/one", 1);
    about.files.insert("README.md".to_owned(), "# Said anew".into());
    let commit = world.hub.publish_repository(about);
    world.hub.clear_requests();
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([]));
    let known = world.repository("studio/one").await;
    assert_eq!(known.versions[0].external_id, commit, "the commit is on record");
    let plan = world.plan().await;
    assert!(plan.contains(&"skip model.safetensors same_content".to_owned()), "{plan:?}");
}

#[tokio::test]
async fn a_commit_with_other_weights_is_fetched() {
    let (world, _) = studio().await;
    let mut about = repository("studio/one", 2);
    about.files.insert("vae.safetensors".to_owned(), weights(3));
    world.hub.publish_repository(about);
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([2, 3]));
    let known = world.repository("studio/one").await;
    assert_eq!(known.versions.len(), 2);
    assert!(known.versions[0].files.iter().all(|file| file.state == FileState::Verified));
}

#[tokio::test]
async fn a_renamed_repository_stays_the_same_model_and_is_not_fetched_again() {
    let world = World::new().await;
    world.hub.limit_rate(1_000_000, 1_000_000);
    world.hub.publish_repository(repository("studio/one", 1));
    world.moment();
    let author = world.follow_with("hf:studio", &everything()).await;
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([1]));
    let before = world.repository("studio/one").await.summary.id;
    assert!(world.hub.edit_repository("studio/one", |about| {
        about.former_ids.push("studio/one".to_owned());
        about.id = "studio/uno".to_owned();
    }));
    world.hub.clear_requests();
    world.pass(A_ROUND).await;
    let after = world.repository("studio/uno").await;
    assert_eq!((after.summary.id, after.gone_at), (before, None));
    assert_eq!(file_of(&after.versions[0]).state, FileState::Verified);
    assert_eq!(world.catalogue.models_of_follow(author.id).await.unwrap().len(), 1);
    assert_eq!(downloads(&world), 0);
}

#[tokio::test]
async fn a_renamed_owner_is_followed_under_the_new_name() {
    let world = World::new().await;
    world.hub.limit_rate(1_000_000, 1_000_000);
    world.hub.publish_repository(repository("studio/one", 1));
    world.moment();
    let follow = world.follow_with("hf:studio", &everything()).await;
    world.pass(A_ROUND).await;
    let before = world.repository("studio/one").await.summary.id;
    assert!(world.hub.edit_repository("studio/one", |about| {
        about.former_ids.push("studio/one".to_owned());
        about.id = "atelier/one".to_owned();
    }));
    world.hub.clear_requests();
    world.pass(A_ROUND).await;
    assert_eq!(world.state(&follow).await.target.to_string(), "hf:atelier");
    assert_eq!(world.repository("atelier/one").await.summary.id, before);
    assert_eq!(downloads(&world), 0);
    world.hub.publish_repository(repository("atelier/two", 2));
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([1, 2]));
}

#[tokio::test]
async fn a_gate_is_told_of_before_anything_is_queued_and_opens() {
    let world = World::new().await;
    world.hub.limit_rate(1_000_000, 1_000_000);
    world.log_in(Hub::HuggingFace, HF_TOKEN);
    let gated = FakeRepository { gated: Some("manual".to_owned()), ..repository("studio/locked", 1) };
    world.hub.publish_repository(gated);
    world.moment();
    let follow = world.follow_with("hf:studio", &everything()).await;
    let plan = world.sync.plan(Some(&follow.name)).await.unwrap();
    let [step] = &plan.operations[..] else { panic!("{plan:?}") };
    assert_eq!(step.reason, "gated");
    assert!(step.detail.contains("https://huggingface.co/studio/locked"), "{}", step.detail);
    let runs = world.runs().await;
    let request = crate::SyncRequest { references: vec!["hf:studio/locked".to_owned()], ..Default::default() };
    let error = world.sync.start(&request).await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_ACCESS_DENIED, "{error}");
    world.pass(DAY).await;
    assert_eq!(world.runs().await, runs, "no run was made");
    assert_eq!(world.fetched().await, contents([]));

    world.hub.grant_access("studio/locked");
    // A gate that opens shows in no list: doors that were closed are tried once a day.
    world.hub.clear_requests();
    world.pass(DAY + A_ROUND).await;
    assert_eq!(world.fetched().await, contents([1]));
    assert_eq!(knocks(&world), 1);
    // An open one is not tried again.
    world.pass(DAY * 3).await;
    assert_eq!(knocks(&world), 1);
}

fn knocks(world: &World) -> usize {
    world.hub.requests().iter().filter(|request| request.path().ends_with("/auth-check")).count()
}

#[tokio::test]
async fn a_closed_gate_is_tried_once_a_day_and_whenever_somebody_asks() {
    let world = World::new().await;
    world.hub.limit_rate(1_000_000, 1_000_000);
    world.log_in(Hub::HuggingFace, HF_TOKEN);
    let gated = FakeRepository { gated: Some("manual".to_owned()), ..repository("studio/locked", 1) };
    world.hub.publish_repository(gated);
    world.moment();
    let follow = world.follow_with("hf:studio/locked", &everything()).await;
    world.hub.clear_requests();
    world.pass(DAY * 4 + A_ROUND).await;
    assert_eq!(knocks(&world), 4);
    world.hub.grant_access("studio/locked");
    let plan = world.sync.plan(Some(&follow.name)).await.unwrap();
    assert_eq!(plan.count(crate::OperationKind::Fetch), 1, "{plan:?}");
}

/// A world whose shared cache is a folder of its own, holding `blob` under the digest of content 1.
async fn with_cache(blob: &[u8]) -> (World, PathBuf, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let blobs = root.path().join("models--studio--one/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let path = blobs.join(digest(&weights(1)).to_hex());
    std::fs::write(&path, blob).unwrap();
    let cache = HfCache::new(vec![root.path().to_owned()]);
    let world = World::with(|parts, _| parts.hf_cache = cache).await;
    world.hub.limit_rate(1_000_000, 1_000_000);
    world.hub.publish_repository(repository("studio/one", 1));
    world.moment();
    (world, std::fs::canonicalize(path).unwrap(), root)
}

#[tokio::test]
async fn what_lies_in_the_shared_cache_is_used_in_place() {
    let (world, blob, root) = with_cache(&weights(1)).await;
    let keeps_attributes = attributes::are_kept_in(root.path());
    if keeps_attributes {
        attributes::put(&blob, "user.paintbox.quarantine", b"0083;6579a1b2;Safari;");
    }
    let before = attributes::everything_below(root.path());
    world.follow_with("hf:studio", &everything()).await;
    world.pass(A_ROUND).await;
    assert_eq!((downloads(&world), world.fetched().await), (0, contents([])));
    let known = world.repository("studio/one").await;
    let file = file_of(&known.versions[0]);
    assert_eq!(file.state, FileState::Verified);
    assert_eq!(file.artifact.as_ref().unwrap().paths, std::slice::from_ref(&blob));
    assert_eq!(attributes::of(&blob).contains_key("user.paintbox.quarantine"), keeps_attributes);
    assert_eq!(attributes::everything_below(root.path()), before);
    let entries = std::fs::read_dir(root.path().join("models--studio--one/blobs")).unwrap().count();
    assert_eq!((entries, std::fs::read_dir(root.path()).unwrap().count()), (1, 1));
}

#[tokio::test]
async fn a_wrong_blob_in_the_shared_cache_is_not_believed() {
    let (world, blob, _root) = with_cache(&weights(7)).await;
    world.follow_with("hf:studio", &everything()).await;
    world.pass(A_ROUND).await;
    assert_eq!(world.fetched().await, contents([1]));
    let known = world.repository("studio/one").await;
    assert_eq!(file_of(&known.versions[0]).state, FileState::Verified);
    assert_eq!(std::fs::read(&blob).unwrap(), weights(7), "what is there is its owner's");
}
