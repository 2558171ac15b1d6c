//! The services: every one of the API with its bounds, health, reflection, and streams that end with the daemon.

use crate::access::Access;
use crate::compat;
use crate::daemon::{Configuration, CredentialStore, DaemonFacts};
use crate::health::Health;
use crate::listen::{Behind, ListenerFacts, Listeners, SocketFile, assets, keep_to_the_protocol};
use crate::once::Answering;
use crate::room::Room;
use crate::status::{failure_status, invalid};
use arc_swap::ArcSwap;
use axum::Router;
use futures::{Stream, StreamExt as _};
use paintbox_catalogue::Catalogue;
use paintbox_domain::classify::message_with_causes;
use paintbox_domain::follow::FollowPolicy;
use paintbox_domain::{ErrorClass, Failure, reason};
use paintbox_generation::Generations;
use paintbox_proto::v1::access_service_server::AccessServiceServer;
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
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;

/// No message of the API is larger; tonic itself would send any size.
const LARGEST_MESSAGE_BYTES: usize = 1 << 20;

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
    pub default_policy: Arc<ArcSwap<FollowPolicy>>,
    pub configuration: Arc<dyn Configuration>,
    pub facts: Arc<DaemonFacts>,
    /// Who may call over anything but the socket.
    pub access: Access,
    /// Where it listens.
    pub listeners: ListenerFacts,
    /// What is being created for requests that have an id.
    pub answering: Answering,
    /// For what comes in pieces.
    pub room: Room,
    /// Cancelled by `StopDaemon`.
    pub stop: CancellationToken,
    /// Cancelled when streams must end.
    pub shutdown: CancellationToken,
}

/// Serves until `api.shutdown` is cancelled, then gives open calls a moment and ends. The socket's file is the caller's to drop,
/// once everything else has ended.
///
/// # Errors
/// When the services cannot be set up.
pub async fn serve(listeners: Listeners, api: Api) -> Result<SocketFile, Failure> {
    let mut health = Health::new();
    let shutdown = api.shutdown.clone();
    let ending = CancellationToken::new();
    let behind = Behind {
        access: api.access.clone(),
        ending: ending.clone(),
        trusted: grpc_routes(&api, &mut health, true).await?,
        grpc: grpc_routes(&api, &mut health, false).await?,
        http: assets::routes(api.clone()).merge(compat::routes(api)),
    };
    // Whoever watches the health is told of the end before their stream meets it.
    let told = async {
        shutdown.cancelled().await;
        health.ends().await;
        ending.cancel();
    };
    Ok(tokio::join!(listeners.serve(behind), told).0)
}

/// Every service of the API and health, behind what the protocol asks of all of them.
async fn grpc_routes(api: &Api, health: &mut Health, with_reflection: bool) -> Result<Router, Failure> {
    let mut routes = Routes::builder();
    macro_rules! add {
        ($service:expr) => {
            routes.add_service(
                $service
                    .max_decoding_message_size(LARGEST_MESSAGE_BYTES)
                    .max_encoding_message_size(LARGEST_MESSAGE_BYTES),
            )
        };
    }
    macro_rules! service {
        ($server:ident) => {{
            health.serves::<$server<Api>>().await;
            add!($server::new(api.clone()));
        }};
    }
    service!(AccessServiceServer);
    service!(CatalogueServiceServer);
    service!(CatalogueCareServiceServer);
    service!(FollowServiceServer);
    service!(SyncServiceServer);
    service!(DownloadServiceServer);
    service!(StoreServiceServer);
    service!(LibraryServiceServer);
    service!(ShelfServiceServer);
    service!(GenerationServiceServer);
    service!(EngineServiceServer);
    service!(EventServiceServer);
    service!(AssetServiceServer);
    service!(DaemonServiceServer);
    add!(health.service());
    if with_reflection {
        let failed = |error: tonic_reflection::server::Error| {
            let message = format!("cannot serve reflection: {}", message_with_causes(&error));
            Failure::new(ErrorClass::Internal, reason::INTERNAL, message)
        };
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(paintbox_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        add!(reflection().build_v1().map_err(failed)?);
        add!(reflection().build_v1alpha().map_err(failed)?);
    }
    let router = routes.routes().prepare().into_axum_router();
    Ok(router.layer(axum::middleware::from_fn(keep_to_the_protocol)))
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
