//! Files whose header another tool rewrote: the hub's, by their tensors.

use super::*;
use crate::tests::{DAY, everything};

/// The same tensors as [`weights`] under a header with a note in it.
fn edited(content: u64, note: &str) -> Vec<u8> {
    let header =
        format!(r#"{{"__metadata__":{{"note":"{note}"}},"a":{{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}}}"#);
    let mut bytes = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&content.to_le_bytes());
    bytes
}

#[tokio::test]
async fn a_file_with_an_edited_header_is_found_on_the_hub_by_its_tensors() {
    let world = World::new().await;
    let published = world.publish("konan", "Ink Wash", 1);
    world.put("edited.safetensors", &edited(1, "mine"));
    world.put("copy/edited.safetensors", &edited(1, "mine"));
    world.put("mine.safetensors", &edited(2, "mine"));
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 3);
    world.sync.identify_library_files().await.unwrap();
    assert_eq!(world.names().await, ["Ink Wash", "mine"]);
    let model = world.catalogue.model(world.model(published.id).await).await.unwrap();
    assert!(model.summary.downloaded);
    let file = &model.versions[0].files[0];
    assert_eq!((file.state, file.edited_header), (FileState::Unverified, true));
    let artifact = file.artifact.as_ref().unwrap();
    assert_eq!((artifact.sha256, artifact.paths.len()), (digest(&edited(1, "mine")), 2));
    assert_eq!(file.sha256, Some(digest(&weights(1))), "the hub's digest is still the hub's");

    // A follow that wants everything has it already.
    world.follow_with("civitai:konan", &everything()).await;
    assert_eq!(world.plan().await, ["keep Ink Wash.safetensors have_same_tensors"]);
    assert!(!world.home.path().join("store/quarantine").exists() || world.fetched().await.is_empty());
    let twice = world.catalogue.duplicates(10, None).await.unwrap();
    assert_eq!(twice.duplicates.len(), 1, "the two copies of the edited file are the same as each other");
    assert_eq!(twice.duplicates[0].sha256, digest(&edited(1, "mine")));

    // Each content is asked about once, and what nobody lists only after a month.
    let by_tensors = || {
        let is_one = |path: &str| path.starts_with("/api/v1/model-versions/by-hash/") && !path.ends_with("/ids");
        world.hub.requests().iter().filter(|request| is_one(request.path())).count()
    };
    assert_eq!(by_tensors(), 2);
    world.sync.identify_library_files().await.unwrap();
    assert_eq!(by_tensors(), 2);
    world.clock.advance(DAY * 31);
    world.sync.identify_library_files().await.unwrap();
    assert_eq!(by_tensors(), 3, "what is listed is not asked about again");
}

#[tokio::test]
async fn without_the_edited_file_its_original_is_fetched_and_then_comes_first() {
    let world = World::new().await;
    world.publish("konan", "Ink Wash", 1);
    world.put("edited.safetensors", &edited(1, "mine"));
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 1);
    world.follow_with("civitai:konan", &everything()).await;
    assert_eq!(
        world.plan().await,
        ["keep Ink Wash.safetensors have_same_tensors"],
        "a page that was read says it, too"
    );
    std::fs::remove_file(world.models().join("edited.safetensors")).unwrap();
    world.scan(library).await.unwrap();
    assert_eq!(world.plan().await, ["fetch Ink Wash.safetensors wanted"]);
    world.pass(DAY).await;
    assert_eq!(world.fetched().await, [digest(&weights(1))].into());
    world.put("edited.safetensors", &edited(1, "again"));
    assert_eq!(world.scan_and_read(library).await, 1);
    assert_eq!(world.plan().await, ["keep Ink Wash.safetensors have_verified"]);
    assert_eq!(world.names().await, ["Ink Wash"]);
}

#[tokio::test]
async fn a_hub_that_fails_over_one_file_is_asked_again_and_one_that_answers_nonsense_is_not() {
    use paintbox_testkit::{Fault, Server};
    let world = World::new().await;
    world.put("mine.safetensors", &edited(2, "mine"));
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 1);
    let tensors = "/api/v1/model-versions/by-hash/";
    let whole_files = "/api/v1/model-versions/by-hash/ids";
    let answer = |code: u16, body: &str| Fault::Status { code, body: body.into(), headers: Vec::new() };
    for (code, body, is_asked_again) in [(503, "down", true), (200, "[]", false)] {
        world.hub.faults().always(Server::CivitaiSite, whole_files, answer(200, "[]"));
        world.hub.faults().always(Server::CivitaiSite, tensors, answer(code, body));
        assert_eq!(world.sync.identify_library_files().await.is_err(), is_asked_again, "{code}");
        let due = world.catalogue.unlisted_library_files(world.now().minus(DAY), None, 10).await.unwrap();
        assert_eq!(due.len(), usize::from(is_asked_again), "{code}");
        world.hub.faults().clear();
    }
}
