//! What becomes of files once they are here: volumes, checks at rest, the trash, and what could be freed.

#![expect(clippy::disallowed_methods, reason = "disks that are taken away are folders that are renamed")]

mod garbage;
mod time_machine;
mod verify;
mod volumes;

use super::{DAY, World, everything, weights};
use crate::{SyncEvent, SyncRequest};
use futures::StreamExt as _;
use paintbox_catalogue::{FileRecord, ModelId, SyncCounts};
use paintbox_domain::{Classify as _, reason};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

impl World {
    /// So many models of one followed creator, here: their files contain 1, 2, …
    async fn stocked(count: u64) -> (Self, Vec<ModelId>) {
        let world = Self::new().await;
        let mut ids = Vec::new();
        for number in 1..=count {
            ids.push(world.publish("konan", &format!("Model {number}"), number).id);
        }
        world.moment();
        world.follow_with("civitai:konan", &everything()).await;
        world.synced().await;
        let mut models = Vec::new();
        for id in ids {
            models.push(world.model(id).await);
        }
        (world, models)
    }

    /// What came of a run for everything.
    async fn synced(&self) -> SyncCounts {
        let run = self.sync.start(&SyncRequest::default()).await.unwrap();
        let mut events = std::pin::pin!(self.sync.watch(&run.uid, None).await.unwrap());
        let mut last = run.clone();
        while let Some(event) = events.next().await {
            if let SyncEvent::Run(run) = event.unwrap().1 {
                last = run;
            }
        }
        last.counts
    }

    async fn file(&self, model: ModelId) -> FileRecord {
        self.catalogue.model(model).await.unwrap().versions[0].files[0].clone()
    }

    async fn path(&self, model: ModelId) -> PathBuf {
        self.file(model).await.artifact.unwrap().paths[0].clone()
    }

    fn disk(&self, label: &str) -> PathBuf {
        self.home.path().join(label)
    }
}

/// Changes a blob as a failing disk does.
fn damage(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(path, weights(999)).unwrap();
}

#[tokio::test]
async fn what_is_removed_is_not_fetched_again_until_it_is_taken_back_or_pulled() {
    let (world, models) = World::stocked(2).await;
    let reference = world.catalogue.model(models[0]).await.unwrap().summary.reference.to_string();
    let path = world.path(models[0]).await;
    assert!(world.sync.remove(&reference, true).await.unwrap().trashed_bytes() > 0);
    let removal = world.sync.remove(&reference, false).await.unwrap();
    assert_eq!(removal.expires_at, world.now().plus(DAY * 30));
    assert!(path.exists(), "the bytes stay where they are");
    let counts = world.synced().await;
    assert_eq!((counts.fetched, counts.already_had), (0, 1), "{counts:?}");
    assert!(world.plan().await.contains(&"skip Model 1.safetensors removed".to_owned()));
    assert_eq!(world.sync.remove(&reference, false).await.unwrap_err().reason(), reason::FILE_NOT_LOCAL);

    world.sync.undo_removal(removal.id).await.unwrap();
    assert_eq!(world.synced().await.already_had, 2);

    // Removed again, and wanted after all: its bytes are still here, so nothing is fetched.
    world.sync.remove(&reference, false).await.unwrap();
    let before = world.hub.requests().len();
    world.sync.pull(&reference).await.unwrap();
    let counts = world.synced().await;
    assert_eq!((counts.fetched, counts.bytes), (0, 0), "{counts:?}");
    assert!(world.file(models[0]).await.state.is_local());
    assert!(
        !world.hub.requests()[before..]
            .iter()
            .any(|request| request.server == paintbox_testkit::Server::CivitaiStorage)
    );
}

#[tokio::test]
async fn a_digest_of_what_is_known_fetches_what_has_it_and_nothing_newer() {
    let world = World::new().await;
    let old = world.version("first", 1);
    world.moment();
    let published = paintbox_testkit::FakeCivitaiModel::new("konan", "LORA", "Two")
        .version(old)
        .version(world.version("second", 2));
    let id = world.hub.publish(published).id;
    world.sync.pull(&format!("civitai:{id}")).await.unwrap();
    assert_eq!(world.synced().await.fetched, 1);
    let model = world.model(id).await;
    let versions = world.catalogue.model(model).await.unwrap().versions;
    let missing = versions.iter().flat_map(|version| &version.files).find(|file| !file.state.is_local()).unwrap();
    let digest = missing.sha256.unwrap();
    world.sync.pull(&digest.to_string()).await.unwrap();
    assert_eq!(world.synced().await.fetched, 1);
    let versions = world.catalogue.model(model).await.unwrap().versions;
    assert!(versions.iter().flat_map(|version| &version.files).all(|file| file.state.is_local()));
}

#[tokio::test]
async fn the_trash_is_emptied_when_its_time_has_come_and_only_of_what_nobody_has() {
    let (world, models) = World::stocked(3).await;
    let mut references = Vec::new();
    for model in &models {
        references.push(world.catalogue.model(*model).await.unwrap().summary.reference.to_string());
    }
    let paths = [world.path(models[0]).await, world.path(models[1]).await, world.path(models[2]).await];
    let first = world.sync.remove(&references[0], false).await.unwrap();
    let second = world.sync.remove(&references[1], false).await.unwrap();
    world.sync.care_once().await.unwrap();
    assert!(paths.iter().all(|path| path.exists()));
    world.sync.pull(&references[1]).await.unwrap();
    world.synced().await;

    world.clock.advance(DAY * 31);
    world.sync.care_once().await.unwrap();
    assert_eq!(paths.map(|path| path.exists()), [false, true, true]);
    for removal in [first.id, second.id] {
        assert_eq!(world.sync.undo_removal(removal).await.unwrap_err().reason(), reason::TRASH_EMPTIED);
    }
    world.sync.pull(&references[0]).await.unwrap();
    assert_eq!(world.synced().await.fetched, 1);
}
