//! Pictures beside files of libraries: previews of the pages of these.

use super::*;
use paintbox_catalogue::PreviewRecord;
use paintbox_domain::Sha256;
use paintbox_testkit::fixtures;

fn picture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join("pictures").join(name)).unwrap()
}

impl World {
    async fn previews(&self, name: &str) -> Vec<PreviewRecord> {
        let path = ModelRef::Path(self.models().join(name));
        let model = self.catalogue.resolve(&path).await.unwrap().model;
        self.catalogue.model(model).await.unwrap().versions[0].previews.clone()
    }

    fn has_blob(&self, sha256: Sha256) -> bool {
        self.sync.inner.parts.places.home().has_blob(&sha256).is_some()
    }
}

#[tokio::test]
async fn a_picture_beside_a_file_is_its_preview_and_stays_where_it_is() {
    let world = World::new().await;
    for name in ["a", "b", "c", "d"] {
        world.put(&format!("{name}.safetensors"), &weights(name.as_bytes()[0].into()));
    }
    world.put("a.png", &picture("cat-face.png"));
    world.put("a.preview.jpg", &picture("grey.jpg"));
    world.put("a.preview.mp4", b"a video");
    world.put("b.preview.png", b"<html>not found</html>");
    world.put("c.preview.png", &[]);
    let large = std::fs::File::create(world.models().join("d.png")).unwrap();
    large.set_len((32 << 20) + 1).unwrap();
    let library = world.adopt().await;
    world.scan(library).await.unwrap();
    world.sync.read_library_pictures().await.unwrap();

    let found = world.previews("a.safetensors").await;
    let urls: Vec<&str> = found.iter().map(|preview| preview.url.rsplit('/').next().unwrap()).collect();
    assert_eq!(urls, ["a.preview.jpg", "a.png"], "the one to show first comes first, and videos are left out");
    for preview in &found {
        let thumbnails = [preview.thumbnail.unwrap(), preview.small_thumbnail.unwrap()];
        assert!(thumbnails.into_iter().all(|thumbnail| world.has_blob(thumbnail)));
        assert!(
            preview.original.is_none() && preview.blurhash.is_some() && preview.width.is_some_and(|width| width > 0)
        );
    }
    assert!(!world.has_blob(digest(&picture("cat-face.png"))), "nothing is copied");
    for name in ["b", "c", "d"] {
        let found = world.previews(&format!("{name}.safetensors")).await;
        assert_eq!(found.len(), 1);
        let failure = found[0].failure.as_ref().expect("it is no picture that can be used");
        assert_eq!((failure.reason.as_str(), found[0].thumbnail), (reason::PREVIEW_REFUSED, None), "{name}");
    }
    assert!(world.catalogue.unread_library_pictures(None, 10).await.unwrap().is_empty());

    // Another picture under the name of the first, and none in the place of the second.
    world.put("a.preview.jpg", &picture("cat-face.png"));
    std::fs::remove_file(world.models().join("a.png")).unwrap();
    world.scan(library).await.unwrap();
    let changed = world.previews("a.safetensors").await;
    assert_eq!((changed.len(), changed[0].thumbnail), (1, None), "what it looked like before is not shown any more");
    world.sync.read_library_pictures().await.unwrap();
    let changed = world.previews("a.safetensors").await;
    assert!(changed[0].thumbnail.is_some() && changed[0].thumbnail != found[0].thumbnail);
    std::fs::remove_file(world.models().join("a.preview.jpg")).unwrap();
    world.scan(library).await.unwrap();
    assert!(world.previews("a.safetensors").await.is_empty());
}

#[tokio::test]
async fn a_picture_that_is_away_with_its_disk_is_read_when_it_is_back() {
    let world = World::new().await;
    world.put("a.safetensors", &weights(1));
    world.put("a.preview.png", &picture("cat-face.png"));
    let library = world.adopt().await;
    world.scan(library).await.unwrap();
    let elsewhere = world.home.path().join("elsewhere");
    std::fs::rename(world.models(), &elsewhere).unwrap();
    world.sync.read_library_pictures().await.unwrap();
    assert_eq!(world.previews("a.safetensors").await[0].failure, None);
    assert_eq!(world.scan(library).await, None);
    assert!(world.catalogue.unread_library_pictures(None, 10).await.unwrap().is_empty(), "nothing is read from there");
    std::fs::rename(&elsewhere, world.models()).unwrap();
    world.scan(library).await.unwrap();
    world.sync.read_library_pictures().await.unwrap();
    assert!(world.previews("a.safetensors").await[0].thumbnail.is_some());
}

#[tokio::test]
async fn the_page_of_a_hub_has_the_hubs_pictures() {
    let world = World::new().await;
    let published = world.publish("konan", "Ink Wash", 1);
    world.put("a.safetensors", &weights(1));
    world.put("a.preview.png", &picture("cat-face.png"));
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 1);
    world.sync.read_library_pictures().await.unwrap();
    assert!(world.previews("a.safetensors").await[0].thumbnail.is_some());
    world.sync.identify_library_files().await.unwrap();
    assert!(world.model(published.id).await.get() > 0);
    let of_the_page = world.previews("a.safetensors").await;
    assert!(of_the_page.iter().all(|preview| preview.url.starts_with("http")), "{of_the_page:?}");
}
