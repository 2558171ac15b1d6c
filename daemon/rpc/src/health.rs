//! `grpc.health.v1`, as supervisors and load balancers ask it (grpc/grpc `doc/health-checking.md`): each service of the API,
//! and all of them under the empty name, are SERVING until the daemon's end begins, and NOT_SERVING from then on. A service
//! that is not here is SERVICE_UNKNOWN: as the reason of NOT_FOUND to `Check`, and to `Watch` as a status that stays, as
//! `grpc/health/v1/health.proto` wants it.
//!
//! A hub that is down or a device that fails is no matter of this: whoever restarts what does not serve would restart a
//! daemon that is in order. `GetStatus` tells of such things.

use crate::server::StreamOf;
use crate::status::failure_status;
use futures::{StreamExt as _, stream};
use paintbox_domain::{ErrorClass, Failure, reason};
use std::collections::BTreeSet;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response};
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
    pub(crate) fn service(&self) -> HealthServer<Told> {
        HealthServer::new(Told(HealthService::from_health_reporter(self.reporter.clone())))
    }

    /// The end has begun: whoever asks or watches is told so of every service.
    pub(crate) async fn ends(&self) {
        for name in &self.names {
            self.reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
    }
}

/// tonic's service, which refuses for one cause alone, that a service is unknown to it, and does not give the reason.
#[derive(Debug)]
pub(crate) struct Told(HealthService);

#[tonic::async_trait]
impl health_server::Health for Told {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.get_ref().service.clone();
        self.0.check(request).await.map_err(|_| {
            let message = "this daemon has no service of that name; the empty name is all of them";
            let failure = Failure::new(ErrorClass::NotFound, reason::SERVICE_UNKNOWN, message);
            failure_status(&failure.with("service", service))
        })
    }

    type WatchStream = StreamOf<HealthCheckResponse>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let stream: Self::WatchStream = match self.0.watch(request).await {
            Ok(known) => Box::pin(known.into_inner()),
            // No service comes later, so that this is all there is to say; the listener ends it when the daemon ends.
            Err(_) => {
                let status = health_check_response::ServingStatus::ServiceUnknown.into();
                Box::pin(stream::iter([Ok(HealthCheckResponse { status })]).chain(stream::pending()))
            }
        };
        Ok(Response::new(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use paintbox_proto::v1::daemon_service_server::DaemonServiceServer;
    use tonic::Code;
    use tonic_health::pb::health_check_response::ServingStatus::{NotServing, ServiceUnknown, Serving};
    use tonic_health::pb::health_server::Health as _;
    use tonic_types::StatusExt as _;

    fn of(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest { service: service.to_owned() })
    }

    #[tokio::test]
    async fn everybody_is_told_when_the_end_begins() {
        let mut health = Health::new();
        health.serves::<DaemonServiceServer<crate::server::Api>>().await;
        let names = ["", "paintbox.v1.DaemonService"];
        // Each listener has a service of its own, and both tell the same.
        let told = || Told(HealthService::from_health_reporter(health.reporter.clone()));
        let (one, other) = (told(), told());
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
    }

    #[tokio::test]
    async fn a_service_that_is_not_here_is_said_to_be_unknown() {
        let told = Told(HealthService::from_health_reporter(Health::new().reporter));
        let refused = told.check(of("paintbox.v1.NoService")).await.unwrap_err();
        let info = refused.get_details_error_info().unwrap();
        assert_eq!((refused.code(), info.reason.as_str()), (Code::NotFound, reason::SERVICE_UNKNOWN));
        assert_eq!(info.metadata["service"], "paintbox.v1.NoService");
        let mut watch = told.watch(of("paintbox.v1.NoService")).await.unwrap().into_inner();
        assert_eq!(watch.next().await.unwrap().unwrap().status(), ServiceUnknown);
        assert!(watch.next().now_or_never().is_none(), "it goes on");
    }
}
