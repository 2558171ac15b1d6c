//! Example images end to end: pictures in two sizes, stills of videos, and what was lost.

use super::super::{World, everything};
use super::A_ROUND;
use crate::SyncRequest;
use bytes::Bytes;
use futures::StreamExt as _;
use paintbox_catalogue::PreviewRecord;
use paintbox_domain::Sha256;
use paintbox_domain::hub::PreviewMedia;
use paintbox_store::Store;
use paintbox_testkit::{FakeCivitaiModel, FakeImage, RecordedRequest, Server};
use serde_json::Value;

const A_HUBS_BLURHASH: &str = "UYM?@[-;$vSh~pShxWt7?GoL9an$I[WCxFWq";

impl World {
    /// Publishes a version with `image` and follows its creator, back catalogue and all.
    async fn with_image(&self, image: FakeImage) -> u64 {
        let version = self.version("One", 1).image(image);
        let model = self.hub.publish(FakeCivitaiModel::new("konan", "LORA", "One").version(version));
        self.follow_with("civitai:konan", &everything()).await;
        self.pass(A_ROUND).await;
        model.id
    }

    /// A run for all that is wanted, to its end.
    async fn run(&self) {
        let run = self.sync.start(&SyncRequest::default()).await.unwrap();
        self.sync.watch(&run.uid, None).await.unwrap().for_each(async |_| {}).await;
    }

    async fn preview(&self, model: u64) -> PreviewRecord {
        self.detail(model).await.versions[0].previews[0].clone()
    }

    fn store(&self) -> Store {
        Store::open(&self.home.path().join("store")).unwrap()
    }

    /// Pixels of a kept picture, across and down.
    async fn size(&self, picture: Option<Sha256>) -> (u32, u32) {
        let asset = self.catalogue.asset(&picture.unwrap()).await.unwrap().unwrap();
        assert_eq!(self.store().has_blob(&asset.sha256), Some(asset.size_bytes));
        (asset.width, asset.height)
    }
}

/// A GIF of 600 by 300 pixels, all of which but one are left out.
fn picture() -> FakeImage {
    let bytes = b"GIF89a\x58\x02\x2c\x01\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";
    let bytes = Bytes::from_static(bytes);
    FakeImage { bytes, width: 600, height: 300, nsfw_level: 4, blurhash: None, meta: Value::Null }
}

#[tokio::test]
async fn a_picture_comes_in_two_sizes_with_a_blurhash_and_its_maturity() {
    let world = World::new().await;
    let model = world.with_image(picture()).await;
    let preview = world.preview(model).await;
    assert_eq!(world.size(preview.original).await, (600, 300));
    assert_eq!(world.size(preview.thumbnail).await, (512, 256));
    assert_eq!(world.size(preview.small_thumbnail).await, (256, 128));
    assert_eq!(preview.blurhash.as_ref().map(String::len), Some(36));
    assert_eq!((preview.nsfw_level, preview.failure), (4, None));
}

#[tokio::test]
async fn how_a_picture_was_made_comes_with_it_for_one_question() {
    let world = World::new().await;
    let meta = serde_json::json!({"prompt": "red heart", "seed": 7});
    let model = world.with_image(FakeImage { meta: meta.clone(), ..picture() }).await;
    let generation = world.preview(model).await.generation.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&generation).unwrap(), meta);
    let questions = || {
        let pages = world.hub.requests().into_iter();
        pages.filter(|request| request.path().starts_with("/api/v1/model-versions/")).count()
    };
    assert_eq!(questions(), 1);
    world.run().await;
    assert_eq!(questions(), 1);

    // A picture whose poster hides it has none, and a hub that does not say is no reason to do without the picture.
    let world = World::new().await;
    let page = "/api/v1/model-versions/";
    world.hub.faults().always(Server::CivitaiSite, page, paintbox_testkit::Fault::HangUp);
    let model = world.with_image(FakeImage { meta, ..picture() }).await;
    let preview = world.preview(model).await;
    assert!(preview.generation.is_none() && preview.original.is_some());
}

#[tokio::test]
async fn a_blurhash_that_the_hub_gives_is_kept() {
    let world = World::new().await;
    let model = world.with_image(FakeImage { blurhash: Some(A_HUBS_BLURHASH.to_owned()), ..picture() }).await;
    let preview = world.preview(model).await;
    assert!(preview.small_thumbnail.is_some());
    assert_eq!(preview.blurhash.as_deref(), Some(A_HUBS_BLURHASH));
}

#[tokio::test]
async fn a_thumbnail_that_is_missing_is_made_from_the_original_that_is_here() {
    let world = World::new().await;
    let model = world.with_image(picture()).await;
    let before = world.preview(model).await;
    let lose = |picture: Option<Sha256>| world.store().remove_blob(&picture.unwrap()).unwrap();
    lose(before.small_thumbnail);
    world.hub.clear_requests();
    world.run().await;
    assert_eq!(world.preview(model).await, before);
    assert_eq!(world.size(before.small_thumbnail).await, (256, 128));
    assert_eq!(world.hub.requests_to(Server::CivitaiImages).len(), 0);
    // Without an original there is nothing to make it from.
    lose(before.small_thumbnail);
    lose(before.original);
    world.run().await;
    assert_eq!(world.size(before.small_thumbnail).await, (256, 128));
    assert_eq!(world.hub.requests_to(Server::CivitaiImages).len(), 1);
}

#[tokio::test]
async fn of_a_video_a_still_is_fetched_and_its_own_address_stays_on_record() {
    let world = World::new().await;
    let record = super::events::recorded("listitem-2025-04-lora-video-image-1161465.json");
    let creator = record["creator"]["username"].as_str().unwrap().to_owned();
    let model = world.hub.publish_recorded(record);
    world.follow_with(&format!("civitai:{creator}"), &everything()).await;
    world.pass(A_ROUND).await;
    let previews = world.detail(model).await.versions[0].previews.clone();
    let video = previews.iter().find(|preview| preview.media == PreviewMedia::Video).unwrap();
    assert_eq!(video.failure, None);
    assert_eq!(world.size(video.small_thumbnail).await, (1, 1), "every recorded picture of a fake hub is one pixel");
    assert!(video.url.ends_with("/width=450/52731948.jpeg"), "{}", video.url);
    let requests = world.hub.requests_to(Server::CivitaiImages);
    let paths = requests.iter().map(RecordedRequest::path);
    let asked: Vec<&str> = paths.filter(|path| path.contains("/52731948")).collect();
    let [asked] = asked[..] else { panic!("asked once: {asked:?}") };
    assert!(asked.ends_with("/anim=false,transcode=true,width=450/52731948.jpeg"), "{asked}");
}
