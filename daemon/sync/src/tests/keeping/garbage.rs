//! What could be freed, and why.

use super::*;
use crate::{Garbage, GarbageClass};
use paintbox_store::PartialKey;
use std::collections::BTreeMap;

impl World {
    async fn garbage(&self, free: &[GarbageClass]) -> BTreeMap<&'static str, Garbage> {
        let items = self.sync.collect_garbage(free.to_vec()).collect::<Vec<_>>().await;
        let found: Vec<Garbage> = items.into_iter().map(Result::unwrap).collect();
        let by_class: BTreeMap<_, _> = found.iter().map(|item| (item.class.as_str(), item.clone())).collect();
        assert_eq!(by_class.len(), found.len(), "one of each: {found:#?}");
        by_class
    }
}

#[tokio::test]
async fn every_byte_is_explained_and_only_what_is_named_goes() {
    let (world, models) = World::stocked(3).await;
    assert!(world.garbage(GarbageClass::ALL).await.is_empty(), "all of it is needed");
    let store = world.sync.inner.parts.places.home().clone();
    // Removed; begun and left; damaged; and left by somebody who restored an older catalogue.
    let reference = world.catalogue.model(models[0]).await.unwrap().summary.reference.to_string();
    let removal = world.sync.remove(&reference, false).await.unwrap();
    let mut partial = store.partial(&PartialKey::new("civitai:somewhere")).unwrap();
    partial.begin(0, None, Some(10)).unwrap();
    partial.append(b"abc").unwrap();
    drop(partial);
    damage(&world.path(models[1]).await);
    let lost = store.put_bytes(b"nobody knows me").unwrap();
    let request = crate::VerifyRequest::default();
    world.sync.verify(&request).await.unwrap().collect::<Vec<_>>().await;
    assert!(!world.garbage(&[]).await.contains_key("unrecorded"), "it is too new to be judged");
    // The files' times are those of this machine's clock, which is after the world's.
    let written = std::fs::metadata(&lost.path).unwrap().modified().unwrap();
    let written = written.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let now = paintbox_domain::Timestamp::from_unix_ms(i64::try_from(written.as_millis()).unwrap());
    world.clock.set(now.plus(DAY).max(world.now()));
    let is_expired = removal.expires_at <= world.now();

    let found = world.garbage(&[]).await;
    let trash = if is_expired { "expired_trash" } else { "trash" };
    let mut classes = ["partial", "quarantine", "unrecorded", trash];
    classes.sort_unstable();
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), classes);
    assert!(
        found.values().all(|item| !item.freed && item.place == "home" && item.path.exists() && !item.detail.is_empty())
    );
    assert_eq!((found["partial"].size_bytes, found["unrecorded"].size_bytes), (3, 15));
    assert!(found[trash].detail.contains(&format!("rm --undo {}", removal.id)));

    let freed = world.garbage(&[GarbageClass::Partial, GarbageClass::Quarantine]).await;
    let gone = |item: &&Garbage| item.freed && !item.path.exists();
    assert_eq!(
        freed.values().filter(gone).map(|item| item.class.as_str()).collect::<Vec<_>>(),
        ["partial", "quarantine"]
    );
    let freed = world.garbage(GarbageClass::ALL).await;
    assert_eq!(freed.values().filter(gone).count(), 2, "{freed:#?}");
    assert!(world.garbage(GarbageClass::ALL).await.is_empty());
    assert_eq!(world.sync.undo_removal(removal.id).await.unwrap_err().reason(), reason::TRASH_EMPTIED);
    assert!(world.path(models[2]).await.exists());
}

#[tokio::test]
async fn what_is_being_fetched_is_not_garbage() {
    let world = World::new().await;
    let version = paintbox_testkit::FakeVersion::new("v1", "SDXL 1.0");
    let file = paintbox_testkit::FakeFile::model("large.safetensors", crate::tests::large_weights(6 << 20));
    world.hub.publish(paintbox_testkit::FakeCivitaiModel::new("konan", "LORA", "Large").version(version.file(file)));
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    let fault = paintbox_testkit::Fault::StallBodyAfter(3 << 20);
    world.hub.faults().always(paintbox_testkit::Server::CivitaiStorage, "", fault);
    let run = world.sync.start(&SyncRequest::default()).await.unwrap();
    paintbox_testkit::wait_for("some bytes", std::time::Duration::from_secs(20), async || {
        let partials = world.sync.inner.parts.places.home().partials().unwrap();
        partials.iter().any(|partial| partial.size_bytes > 0)
    })
    .await;
    assert!(world.garbage(GarbageClass::ALL).await.is_empty());
    let downloads = world.sync.downloads(&paintbox_catalogue::DownloadQuery::default()).await.unwrap().0.downloads;
    world.sync.pause_download(downloads[0].id).await.unwrap();
    assert!(world.garbage(GarbageClass::ALL).await.is_empty(), "a paused download goes on some day");
    world.sync.cancel_download(downloads[0].id).await.unwrap();
    world.sync.cancel(&run.uid).await.unwrap();
    world.sync.rest().await;
    assert_eq!(world.garbage(&[GarbageClass::Partial]).await.len(), 1);
    assert!(world.sync.inner.parts.places.home().partials().unwrap().is_empty());
}
