//! Volumes: what goes there, and what happens when their disk is taken away and comes back.

use super::*;
use crate::tests::large_weights;
use paintbox_catalogue::{DownloadQuery, FileState, VolumeRules};
use paintbox_domain::{ErrorClass, ModelKind};
use paintbox_testkit::{FakeCivitaiModel, FakeFile, FakeVersion, Fault, Server, wait_for};
use std::time::Duration;

fn loras() -> VolumeRules {
    VolumeRules { kinds: vec![ModelKind::Lora], ..VolumeRules::default() }
}

impl World {
    fn take_away(&self, label: &str) {
        std::fs::rename(self.disk(label), self.disk("elsewhere")).unwrap();
        // An empty mount point stays behind.
        std::fs::create_dir(self.disk(label)).unwrap();
    }

    fn bring_back(&self, label: &str) {
        std::fs::remove_dir(self.disk(label)).unwrap();
        std::fs::rename(self.disk("elsewhere"), self.disk(label)).unwrap();
    }
}

#[tokio::test]
async fn files_go_to_the_volume_for_their_kind_and_pictures_stay_at_home() {
    let world = World::new().await;
    let volume = world.sync.create_volume("loras", &world.disk("disk"), loras()).await.unwrap();
    assert_eq!((volume.held.files, volume.away_since), (0, None));
    let id = world.publish("konan", "Model", 1).id;
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    assert_eq!(world.synced().await.fetched, 1);
    assert!(world.path(world.model(id).await).await.starts_with(world.disk("disk")));
    assert_eq!(world.synced().await.already_had, 1);
    let volumes = world.sync.volumes().await.unwrap();
    let shown: Vec<_> = volumes.iter().map(|volume| (volume.label.as_str(), volume.held.files)).collect();
    assert_eq!(shown, [("home", 0), ("loras", 1)]);
    assert!(volumes.iter().all(|volume| volume.free_bytes.is_some()));
}

#[tokio::test]
async fn what_lies_or_belongs_on_a_volume_that_is_away_waits_without_an_error() {
    let world = World::new().await;
    world.sync.create_volume("loras", &world.disk("disk"), loras()).await.unwrap();
    let first = world.publish("konan", "First", 1).id;
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    world.synced().await;

    world.take_away("disk");
    world.publish("konan", "Second", 2);
    world.moment();
    let counts = world.synced().await;
    assert_eq!((counts.fetched, counts.failed), (0, 0), "{counts:?}");
    assert_eq!(world.file(world.model(first).await).await.state, FileState::Away);
    let plan = world.plan().await;
    for name in ["First", "Second"] {
        assert!(plan.contains(&format!("skip {name}.safetensors volume_away")), "{plan:?}");
    }
    assert_eq!(std::fs::read_dir(world.disk("disk")).unwrap().count(), 0, "nothing is written to the mount point");
    assert!(world.sync.volumes().await.unwrap()[1].away_since.is_some());

    world.bring_back("disk");
    let counts = world.synced().await;
    assert_eq!((counts.fetched, counts.already_had), (1, 1), "nothing is fetched a second time: {counts:?}");
}

#[tokio::test]
async fn a_download_whose_disk_is_taken_away_goes_on_when_it_is_back() {
    let world = World::new().await;
    world.sync.create_volume("loras", &world.disk("disk"), loras()).await.unwrap();
    let bytes = large_weights(6 << 20);
    let version = FakeVersion::new("v1", "SDXL 1.0").file(FakeFile::model("large.safetensors", bytes.clone()));
    world.hub.publish(FakeCivitaiModel::new("konan", "LORA", "Large").version(version));
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    let slow = Fault::SlowBody { chunk: 256 << 10, pause: Duration::from_millis(20) };
    world.hub.faults().once(Server::CivitaiStorage, "", slow);
    let run = world.sync.start(&SyncRequest::default()).await.unwrap();
    wait_for("some bytes", Duration::from_secs(20), async || {
        let (_, progress) = world.sync.downloads(&DownloadQuery::default()).await.unwrap();
        progress.values().any(|progress| progress.bytes_done >= 1 << 20)
    })
    .await;
    world.take_away("disk");
    let mut events = std::pin::pin!(world.sync.watch(&run.uid, None).await.unwrap());
    let mut last = run.clone();
    while let Some(event) = events.next().await {
        if let SyncEvent::Run(run) = event.unwrap().1 {
            last = run;
        }
    }
    assert_eq!((last.counts.fetched, last.counts.failed), (0, 0), "a disk that is away is no failure");

    world.bring_back("disk");
    let counts = world.synced().await;
    assert_eq!(counts.fetched, 1);
    assert!(counts.bytes <= 5 << 20, "it went on where it was: {counts:?}");
}

#[tokio::test]
async fn a_volume_that_was_one_before_is_known_again() {
    let (world, models) = {
        let world = World::new().await;
        // As a shell completes it.
        let slashed = world.disk("disk").join("");
        let volume = world.sync.create_volume("loras", &slashed, loras()).await.unwrap();
        assert_eq!(volume.path.as_os_str(), world.disk("disk").as_os_str());
        let id = world.publish("konan", "Model", 1).id;
        world.moment();
        world.follow_with("civitai:konan", &everything()).await;
        world.synced().await;
        let model = world.model(id).await;
        (world, model)
    };
    let in_use = world.sync.delete_volume("loras", false).await.unwrap_err();
    assert_eq!(in_use.reason(), reason::VOLUME_IN_USE);
    world.sync.delete_volume("loras", true).await.unwrap();
    assert_eq!(world.file(models).await.state, FileState::Absent);
    let again = world.sync.create_volume("other", &world.disk("disk"), loras()).await.unwrap();
    assert_eq!(again.held.files, 1);
    assert_eq!(world.synced().await.already_had, 1);

    // Mounted elsewhere.
    std::fs::rename(world.disk("disk"), world.disk("disk 1")).unwrap();
    world.sync.look_at_volumes().await.unwrap();
    assert_eq!(world.file(models).await.state, FileState::Away);
    let wrong = world.sync.update_volume("other", Some(&world.disk("store")), |_| {}).await.unwrap_err();
    assert_eq!(wrong.reason(), reason::VOLUME_AWAY);
    let moved = world.sync.update_volume("other", Some(&world.disk("disk 1").join("")), |_| {}).await.unwrap();
    assert_eq!((moved.path, moved.held.files, moved.away_since), (world.disk("disk 1"), 1, None));
    assert!(world.path(models).await.starts_with(world.disk("disk 1")));
    assert_eq!(world.synced().await.already_had, 1);
}

#[tokio::test]
async fn labels_and_folders_that_would_do_harm_are_refused() {
    let world = World::new().await;
    std::fs::create_dir(world.disk("taken")).unwrap();
    std::fs::write(world.disk("taken").join("thesis.txt"), "").unwrap();
    let inside = world.disk("store").join("inside");
    for (label, path) in [
        ("home", world.disk("disk")),
        ("Big", world.disk("disk")),
        ("", world.disk("disk")),
        ("big", world.disk("taken")),
        ("big", inside),
        ("big", world.home.path().to_owned()),
        ("big", "relative".into()),
        ("big", "/disk\0".into()),
    ] {
        let error = world.sync.create_volume(label, &path, loras()).await.unwrap_err();
        assert_eq!(error.reason(), reason::INVALID_ARGUMENT, "{label} {}", path.display());
    }
    assert_eq!(std::fs::read_dir(world.disk("taken")).unwrap().count(), 1);
    assert!(!world.disk("disk").exists());
    let home = world.sync.delete_volume("home", true).await.unwrap_err();
    assert_eq!(home.reason(), reason::INVALID_ARGUMENT);
}

#[tokio::test]
async fn a_volume_below_a_file_is_the_callers_mistake() {
    let world = World::new().await;
    let file = world.disk("file");
    std::fs::write(&file, "no folder").unwrap();
    for path in [file.join("below"), file.join("far/below"), file.clone()] {
        let error = world.sync.create_volume("disk", &path, loras()).await.unwrap_err();
        let told = (error.class(), error.reason());
        assert_eq!(told, (ErrorClass::Precondition, reason::STORE_FAILED), "{}: {error}", path.display());
    }
    assert_eq!(world.sync.volumes().await.unwrap().len(), 1, "the home's own alone");
    assert_eq!(std::fs::read(&file).unwrap(), b"no folder");
}
