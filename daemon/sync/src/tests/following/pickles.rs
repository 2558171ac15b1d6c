//! Textual inversions that are pickles: fetched where they are what they are called, and refused by what they would run.

use super::file_of;
use crate::feed::Feed;
use crate::tests::{World, date, digest, everything};
use paintbox_catalogue::{FileState, Journal};
use paintbox_domain::follow::FollowPolicy;
use paintbox_domain::{FileFormat, ModelKind, reason};
use paintbox_testkit::{FakeCivitaiModel, FakeFile, FakeVersion, PublishedModel};
use std::collections::BTreeSet;
use tokio_util::sync::CancellationToken;

/// A file of `tests/goldens/make_torch.py`.
fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../tests/goldens/torch/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

impl World {
    fn publish_pickle(&self, name: &str, kind: &str, bytes: Vec<u8>) -> PublishedModel {
        let mut version = FakeVersion::new(name, "SD 1.5");
        version.published = date(self.now());
        let file = FakeFile::model(&format!("{name}.pt"), bytes);
        self.hub.publish(FakeCivitaiModel::new("konan", kind, name).version(version.file(file)))
    }
}

#[tokio::test]
async fn a_textual_inversion_is_fetched_and_a_pickle_that_would_run_something_gets_no_name() {
    let world = World::new().await;
    let lamp = world.publish_pickle("lamp", "TextualInversion", golden("a1111.pt"));
    let evil = world.publish_pickle("evil", "TextualInversion", golden("refused-system.pt"));
    let lora = world.publish_pickle("lora", "LORA", golden("a1111.pt"));
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    let plan = world.sync.plan(None).await.unwrap();
    let done = world
        .sync
        .execute(&plan, &Feed::of(&Journal::default(), "run"), &CancellationToken::new(), true)
        .await
        .unwrap();
    assert_eq!((done.fetched, done.failed), (1, 1));
    assert_eq!(world.fetched().await, BTreeSet::from([digest(&golden("a1111.pt"))]));

    let detail = world.detail(lamp.id).await;
    let file = file_of(&detail.versions[0]);
    let artifact = file.artifact.as_ref().unwrap();
    assert_eq!((file.state, artifact.kind), (FileState::Verified, ModelKind::TextualInversion));
    assert_eq!(file.format, FileFormat::Pickle);
    let detail = world.detail(evil.id).await;
    let failure = file_of(&detail.versions[0]).failure.as_ref().unwrap();
    assert_eq!(failure.reason, reason::UNSAFE_FORMAT);
    assert!(failure.message.contains("posix.system"), "{}", failure.message);
    assert!(file_of(&world.detail(lora.id).await.versions[0]).failure.is_none(), "it was never asked for");
}

#[tokio::test]
async fn a_follow_that_names_formats_leaves_pickles_out() {
    let world = World::new().await;
    world.publish_pickle("lamp", "TextualInversion", golden("a1111.pt"));
    world.moment();
    let policy = FollowPolicy { formats: vec![FileFormat::Safetensors], ..everything() };
    world.follow_with("civitai:konan", &policy).await;
    assert_eq!(world.plan().await, ["skip lamp.pt format_unwanted"]);
}
