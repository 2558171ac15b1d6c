//! What supervisors hear of the daemon's end.

use crate::access::reason;
use crate::grpc::channel;
use crate::{installation, ok};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_health_service_says_that_the_daemon_ends() {
    let (_hub, installed) = installation().await;
    ok(&installed, &["daemon", "start"]);
    let mut health = HealthClient::new(channel(&installed).await);
    let mut watches = Vec::new();
    for service in ["", "paintbox.v1.GenerationService"] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let mut watch = health.watch(asked).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving, "{service}");
        watches.push((service, watch));
    }
    ok(&installed, &["daemon", "stop"]);
    for (service, mut watch) in watches {
        let last = watch.message().await.unwrap().unwrap();
        assert_eq!(last.status(), ServingStatus::NotServing, "{service}");
        let end = watch.message().await.unwrap_err();
        assert_eq!((end.code(), &*reason(&end)), (Code::Unavailable, "SHUTTING_DOWN"), "{service}");
    }
}
