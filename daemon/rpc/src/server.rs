//! The server: services on the socket, health, reflection, and an end that does not wait for open streams.

use crate::caller::{Caller, Scope};
use crate::daemon::{CredentialStore, DaemonFacts};
use crate::listener::Socket;
use crate::status::{failure_status, invalid};
use futures::{Stream, StreamExt as _};
use paintbox_catalogue::Catalogue;
use paintbox_domain::follow::FollowPolicy;
use paintbox_domain::{ErrorClass, Failure, reason};
use paintbox_generation::Generations;
use paintbox_proto::v1::asset_service_server::AssetServiceServer;
use paintbox_proto::v1::catalogue_care_service_server::CatalogueCareServiceServer;
use paintbox_proto::v1::catalogue_service_server::CatalogueServiceServer;
use paintbox_proto::v1::daemon_service_server::DaemonServiceServer;
use paintbox_proto::v1::download_service_server::DownloadServiceServer;
use paintbox_proto::v1::engine_service_server::EngineServiceServer;
use paintbox_proto::v1::event_service_server::EventServiceServer;
use paintbox_proto::v1::follow_service_server::FollowServiceServer;
use paintbox_proto::v1::generation_service_server::GenerationServiceServer;
use paintbox_proto::v1::library_service_server::LibraryServiceServer;
use paintbox_proto::v1::shelf_service_server::ShelfServiceServer;
use paintbox_proto::v1::store_service_server::StoreServiceServer;
use paintbox_proto::v1::sync_service_server::SyncServiceServer;
use paintbox_store::Store;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::service::InterceptorLayer;
use tonic::transport::Server;
use tonic::{Request, Status};

/// No message of the API is larger; tonic itself would send any size.
const LARGEST_MESSAGE_BYTES: usize = 1 << 20;
/// How long calls may go on once the daemon is ending.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The answer type of a streaming method.
pub(crate) type StreamOf<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// Everything that the services answer from.
#[derive(Debug, Clone)]
pub struct Api {
    pub catalogue: Catalogue,
    pub store: Store,
    pub sync: paintbox_sync::Sync,
    pub generations: Generations,
    pub credentials: Arc<dyn CredentialStore>,
    /// What a follow's policy says where its request says nothing.
    pub default_policy: Arc<FollowPolicy>,
    pub facts: Arc<DaemonFacts>,
    /// Cancelled by `StopDaemon`.
    pub stop: CancellationToken,
    /// Cancelled when streams must end.
    pub shutdown: CancellationToken,
}

/// Serves until `api.shutdown` is cancelled, then gives open calls a moment and ends.
///
/// # Errors
/// When the server cannot be set up or its listener breaks.
pub async fn serve(socket: Socket, api: Api) -> Result<(), Failure> {
    let (health_reporter, health) = tonic_health::server::health_reporter();
    macro_rules! service {
        ($server:ident) => {{
            health_reporter.set_serving::<$server<Api>>().await;
            $server::new(api.clone())
                .max_decoding_message_size(LARGEST_MESSAGE_BYTES)
                .max_encoding_message_size(LARGEST_MESSAGE_BYTES)
        }};
    }
    let failed = |what: &str, error: &dyn std::error::Error| {
        Failure::new(
            ErrorClass::Internal,
            reason::INTERNAL,
            format!("{what}: {}", paintbox_domain::classify::message_with_causes(error)),
        )
    };
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(paintbox_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection_v1 = reflection().build_v1().map_err(|error| failed("cannot serve reflection", &error))?;
    let reflection_v1alpha = reflection().build_v1alpha().map_err(|error| failed("cannot serve reflection", &error))?;
    let router = Server::builder()
        .layer(InterceptorLayer::new(known_by_the_socket))
        .add_service(health)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha)
        .add_service(service!(CatalogueServiceServer))
        .add_service(service!(CatalogueCareServiceServer))
        .add_service(service!(FollowServiceServer))
        .add_service(service!(SyncServiceServer))
        .add_service(service!(DownloadServiceServer))
        .add_service(service!(StoreServiceServer))
        .add_service(service!(LibraryServiceServer))
        .add_service(service!(ShelfServiceServer))
        .add_service(service!(GenerationServiceServer))
        .add_service(service!(EngineServiceServer))
        .add_service(service!(EventServiceServer))
        .add_service(service!(AssetServiceServer))
        .add_service(service!(DaemonServiceServer));
    let (incoming, _socket_file) = socket.incoming();
    let shutdown = api.shutdown.clone();
    let serving = router.serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    // Hyper waits for every open connection, for ever if need be (hyperium/hyper#4170); the daemon does not.
    let capped = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_TIME).await;
    };
    tokio::select! {
        result = serving => result.map_err(|error| failed("the API server ended", &error)),
        () = capped => Ok(()),
    }
}

/// The socket lets this user's processes in and nobody else.
#[expect(clippy::unnecessary_wraps, reason = "the form of tonic's interceptors")]
fn known_by_the_socket(mut request: Request<()>) -> Result<Request<()>, Status> {
    let caller = Caller::socket();
    tracing::trace!(caller = caller.id(), label = caller.label(), admin = caller.may(Scope::Admin), "call");
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// A stream that ends with a clear error when the daemon does.
pub(crate) fn bounded<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
    shutdown: CancellationToken,
) -> StreamOf<T> {
    Box::pin(async_stream::stream! {
        let mut stream = std::pin::pin!(stream);
        loop {
            tokio::select! {
                biased;
                item = stream.next() => match item {
                    Some(item) => yield item,
                    None => return,
                },
                () = shutdown.cancelled() => {
                    let failure = Failure::new(ErrorClass::Unavailable, reason::SHUTTING_DOWN, "the daemon is ending");
                    yield Err(failure_status(&failure));
                    return;
                }
            }
        }
    })
}

/// AIP-158: 0 means 50, more than 500 means 500, negative is an error.
pub(crate) fn page_size(given: i32) -> Result<u32, Status> {
    match u32::try_from(given) {
        Ok(0) => Ok(50),
        Ok(size) => Ok(size.min(500)),
        Err(_) => Err(invalid("page_size", format!("{given} is negative"))),
    }
}

/// Work on another thread ended without an answer: a bug, and the log has its panic.
pub(crate) fn lost() -> Status {
    failure_status(&Failure::new(ErrorClass::Internal, reason::INTERNAL, "the work ended without an answer"))
}
