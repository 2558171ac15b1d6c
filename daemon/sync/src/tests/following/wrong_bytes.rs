//! Bytes that are not what the hub lists: replaced there, or damaged on the way.

use super::file_of;
use crate::Plan;
use crate::feed::Feed;
use crate::tests::{World, contents, digest, everything, weights};
use paintbox_catalogue::{FileState, Journal, SyncCounts};
use paintbox_domain::reason;
use paintbox_testkit::{Fault, PublishedModel, Server};
use tokio_util::sync::CancellationToken;

impl World {
    /// A model whose only file is to be fetched.
    async fn one_planned(&self) -> (PublishedModel, Plan) {
        let model = self.publish("konan", "One", 1);
        self.moment();
        self.follow_with("civitai:konan", &everything()).await;
        (model, self.sync.plan(None).await.unwrap())
    }

    /// Carries out a plan as it was made, whatever the hub says by now.
    async fn execute(&self, plan: &Plan) -> SyncCounts {
        self.sync.execute(plan, &Feed::of(&Journal::default(), "run"), &CancellationToken::new(), true).await.unwrap()
    }

    fn downloads(&self) -> usize {
        self.hub.requests().iter().filter(|request| request.server == Server::CivitaiStorage).count()
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_since_it_was_planned_is_fetched_once() {
    let world = World::new().await;
    let (model, plan) = world.one_planned().await;
    assert!(world.hub.replace_file(model.versions[0].files[0], weights(2)));

    let done = world.execute(&plan).await;
    assert_eq!((done.fetched, done.failed), (1, 0));
    assert_eq!(world.downloads(), 1, "what came is what the hub lists now");
    assert_eq!(world.fetched().await, contents([2]));
    let detail = world.detail(model.id).await;
    let file = file_of(&detail.versions[0]);
    assert_eq!((file.sha256, file.state), (Some(digest(&weights(2))), FileState::Verified));
    let old = detail.versions[0].files.iter().find(|file| file.replaced_at.is_some()).expect("it is on record");
    assert_eq!((old.state, &old.failure), (FileState::Absent, &None));
}

#[tokio::test]
async fn what_was_damaged_on_its_way_is_fetched_once_more() {
    let world = World::new().await;
    let (model, plan) = world.one_planned().await;
    world.hub.faults().once(Server::CivitaiStorage, "", Fault::CorruptByteAt(65));
    let done = world.execute(&plan).await;
    assert_eq!((done.fetched, done.failed, world.downloads()), (1, 0, 2));
    assert_eq!(world.fetched().await, contents([1]));
    assert_eq!(file_of(&world.detail(model.id).await.versions[0]).state, FileState::Verified);
}

#[tokio::test]
async fn what_stays_wrong_fails_with_both_digests() {
    let world = World::new().await;
    let (model, plan) = world.one_planned().await;
    world.hub.faults().always(Server::CivitaiStorage, "", Fault::CorruptByteAt(65));
    let done = world.execute(&plan).await;
    assert_eq!((done.fetched, done.failed, world.downloads()), (0, 1, 2));
    let detail = world.detail(model.id).await;
    let file = file_of(&detail.versions[0]);
    assert_eq!(file.state, FileState::Mismatched);
    let failure = file.failure.as_ref().unwrap();
    let mut damaged = weights(1).to_vec();
    damaged[65] ^= 0xff;
    assert_eq!(failure.reason, reason::DIGEST_MISMATCH);
    for told in [digest(&weights(1)), digest(&damaged)] {
        assert!(failure.message.contains(&told.to_hex()), "{told} in {failure}");
    }
}

#[tokio::test]
async fn a_hub_that_does_not_answer_leaves_the_doubt_as_it_was() {
    let world = World::new().await;
    let (model, plan) = world.one_planned().await;
    world.hub.faults().always(Server::CivitaiStorage, "", Fault::CorruptByteAt(65));
    world.hub.faults().always(
        Server::CivitaiSite,
        "/api/v1/",
        Fault::Status { code: 503, body: String::new(), headers: Vec::new() },
    );
    let done = world.execute(&plan).await;
    assert_eq!((done.failed, world.downloads()), (1, 1));
    let detail = world.detail(model.id).await;
    assert_eq!(file_of(&detail.versions[0]).failure.as_ref().unwrap().reason, reason::DIGEST_MISMATCH);
}
