//! `grpc.health.v1`, as supervisors and load balancers ask it (grpc/grpc `doc/health-checking.md`): each service of the API,
//! and all of them under the empty name, are SERVING until the daemon's end begins, and NOT_SERVING from then on.
//!
//! A hub that is down or a device that fails is no matter of this: whoever restarts what does not serve would restart a
//! daemon that is in order. `GetStatus` tells of such things.

use std::collections::BTreeSet;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// All services together.
const EVERYTHING: &str = "";

/// What is told of every service, to all listeners alike.
#[derive(Debug)]
pub(crate) struct Health {
    reporter: HealthReporter,
    names: BTreeSet<&'static str>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { reporter: HealthReporter::new(), names: BTreeSet::from([EVERYTHING]) }
    }

    /// From now on a service is told of.
    pub(crate) async fn serves<S: NamedService>(&mut self) {
        self.names.insert(S::NAME);
        self.reporter.set_serving::<S>().await;
    }

    /// The service that tells it.
    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// The end has begun: whoever asks or watches is told so of every service.
    pub(crate) async fn ends(&self) {
        for name in &self.names {
            self.reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use paintbox_proto::v1::daemon_service_server::DaemonServiceServer;
    use tonic::{Code, Request};
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};
    use tonic_health::pb::health_server::Health as _;

    fn of(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest { service: service.to_owned() })
    }

    #[tokio::test]
    async fn everybody_is_told_when_the_end_begins() {
        let mut health = Health::new();
        health.serves::<DaemonServiceServer<crate::server::Api>>().await;
        let names = ["", "paintbox.v1.DaemonService"];
        // Each listener has a service of its own, and both tell the same.
        let (one, other) = (
            HealthService::from_health_reporter(health.reporter.clone()),
            HealthService::from_health_reporter(health.reporter.clone()),
        );
        let mut watches = Vec::new();
        for name in names {
            assert_eq!(one.check(of(name)).await.unwrap().into_inner().status(), Serving, "{name}");
            let mut watch = other.watch(of(name)).await.unwrap().into_inner();
            assert_eq!(watch.next().await.unwrap().unwrap().status(), Serving, "{name}");
            watches.push(watch);
        }
        health.ends().await;
        for (name, watch) in names.into_iter().zip(&mut watches) {
            assert_eq!(one.check(of(name)).await.unwrap().into_inner().status(), NotServing, "{name}");
            assert_eq!(watch.next().await.unwrap().unwrap().status(), NotServing, "{name}");
        }
        assert_eq!(one.check(of("paintbox.v1.NoService")).await.unwrap_err().code(), Code::NotFound);
    }
}
