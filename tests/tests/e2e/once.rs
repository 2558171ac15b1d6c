//! Creating something once, however often it is asked for, with the same `request_id` (AIP-155).

use crate::grpc::channel;
use crate::{installation, ok};
use paintbox_proto::v1;
use paintbox_proto::v1::catalogue_care_service_client::CatalogueCareServiceClient;
use paintbox_proto::v1::follow_service_client::FollowServiceClient;
use paintbox_proto::v1::library_service_client::LibraryServiceClient;
use paintbox_proto::v1::store_service_client::StoreServiceClient;
use paintbox_testkit::{Fault, Server, wait_for};
use paintbox_tests::Installation;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// What there is to create, each with an id of its own.
struct Wishes {
    follow: v1::CreateFollowRequest,
    library: v1::CreateLibraryRequest,
    volume: v1::CreateVolumeRequest,
    backup: v1::CreateBackupRequest,
}

impl Wishes {
    fn new(installed: &Installation) -> Self {
        let folder = |name: &str| {
            let folder = installed.scratch().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            folder.display().to_string()
        };
        Self {
            follow: v1::CreateFollowRequest {
                target: "civitai:tiny_emoji".into(),
                request_id: "one".into(),
                ..Default::default()
            },
            library: v1::CreateLibraryRequest { path: folder("shelf"), request_id: "two".into() },
            volume: v1::CreateVolumeRequest {
                label: "fast".into(),
                path: folder("fast"),
                request_id: "three".into(),
                ..Default::default()
            },
            backup: v1::CreateBackupRequest { request_id: "four".into() },
        }
    }

    async fn create(&self, installed: &Installation) -> (v1::Follow, v1::Library, v1::Volume, v1::Backup) {
        let channel = channel(installed).await;
        let follow = FollowServiceClient::new(channel.clone()).create_follow(self.follow.clone()).await.unwrap();
        let library = LibraryServiceClient::new(channel.clone()).create_library(self.library.clone()).await.unwrap();
        let volume = StoreServiceClient::new(channel.clone()).create_volume(self.volume.clone()).await.unwrap();
        let backup = CatalogueCareServiceClient::new(channel).create_backup(self.backup.clone()).await.unwrap();
        (follow.into_inner(), library.into_inner(), volume.into_inner(), backup.into_inner())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_same_request_gets_the_same_answer_also_from_the_next_daemon() {
    let (_hub, installed) = installation().await;
    let wishes = Wishes::new(&installed);
    ok(&installed, &["follows"]);
    let first = wishes.create(&installed).await;
    assert_eq!(wishes.create(&installed).await, first);
    ok(&installed, &["daemon", "restart"]);
    assert_eq!(wishes.create(&installed).await, first);

    let channel = channel(&installed).await;
    let mut care = CatalogueCareServiceClient::new(channel.clone());
    let backups = care.list_backups(v1::ListBackupsRequest::default()).await.unwrap().into_inner().backups;
    let by_hand: Vec<_> = backups.into_iter().filter(|backup| backup.kind == "manual").collect();
    assert_eq!(by_hand, std::slice::from_ref(&first.3), "one backup was made");
    // The same id with another request, or for something else altogether.
    let mut follows = FollowServiceClient::new(channel.clone());
    let other = v1::CreateFollowRequest { target: "hf:tiny-emoji".into(), ..wishes.follow.clone() };
    let refused = follows.create_follow(other).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "REQUEST_ID_REUSED"));
    let other = v1::CreateBackupRequest { request_id: wishes.follow.request_id.clone() };
    assert_eq!(reason(&care.create_backup(other).await.unwrap_err()), "REQUEST_ID_REUSED");
    let refused = care.create_backup(v1::CreateBackupRequest { request_id: "a b".into() }).await.unwrap_err();
    assert_eq!(reason(&refused), "INVALID_ARGUMENT");
    // Without an id, what is there is told, and what was refused is not kept.
    let named = v1::CreateFollowRequest { request_id: String::new(), ..wishes.follow.clone() };
    assert_eq!(reason(&follows.create_follow(named).await.unwrap_err()), "FOLLOW_EXISTS");
    let again = v1::CreateFollowRequest { request_id: "five".into(), ..wishes.follow };
    assert_eq!(reason(&follows.create_follow(again.clone()).await.unwrap_err()), "FOLLOW_EXISTS");
    assert_eq!(reason(&follows.create_follow(again).await.unwrap_err()), "FOLLOW_EXISTS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn repetitions_that_come_meanwhile_wait_and_what_a_kill_broke_off_is_found() {
    let (hub, installed) = installation().await;
    let wishes = Wishes::new(&installed);
    ok(&installed, &["follows"]);
    let stalled = hub.faults().always(Server::CivitaiSite, "/api", Fault::Stall);
    let ask = |mut follows: FollowServiceClient<Channel>| {
        let request = wishes.follow.clone();
        tokio::spawn(async move { follows.create_follow(request).await })
    };
    let follows = FollowServiceClient::new(channel(&installed).await);
    let (one, two) = (ask(follows.clone()), ask(follows));
    wait_for("the hub to be asked", Duration::from_secs(30), async || stalled.hits() > 0).await;
    assert!(!one.is_finished() && !two.is_finished());
    let pid = installed.daemon_pid().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    assert!(one.await.unwrap().is_err() && two.await.unwrap().is_err());
    hub.faults().clear();
    let is_gone = async || tokio::net::UnixStream::connect(installed.socket()).await.is_err();
    wait_for("the daemon to be gone", Duration::from_secs(30), is_gone).await;

    assert_eq!(ok(&installed, &["follows"])[0]["target"], "civitai:tiny_emoji", "it is a follow already");
    let follows = FollowServiceClient::new(channel(&installed).await);
    let (one, two) = (ask(follows.clone()), ask(follows));
    let (one, two) = (one.await.unwrap().unwrap().into_inner(), two.await.unwrap().unwrap().into_inner());
    assert_eq!((one.target.as_str(), &one), ("civitai:tiny_emoji", &two));
}
