//! The connection: gRPC over the daemon's Unix socket.

use crate::error::CliError;
use hyper_util::rt::TokioIo;
use paintbox_proto::v1;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

/// For calls that only look at or change what is on this machine.
pub(crate) const LOCAL_DEADLINE: Duration = Duration::from_secs(10);
/// For calls during which the daemon asks a hub.
pub(crate) const HUB_DEADLINE: Duration = Duration::from_secs(60);
/// For calls that hand over a picture, which the daemon decodes.
pub(crate) const UPLOAD_DEADLINE: Duration = Duration::from_secs(60);
/// For calls during which the daemon reads a whole list from a hub, page by page and no faster than the hub likes.
pub(crate) const LIST_DEADLINE: Duration = Duration::from_secs(600);
/// For calls during which the daemon looks through a disk, which may have to wake up first.
pub(crate) const DISK_DEADLINE: Duration = Duration::from_secs(600);

/// For calls during which the daemon paints or waits for a painting, which may take long on a slow machine.
pub(crate) const PAINTING_DEADLINE: Duration = Duration::from_secs(4 * 3600);

/// Largest answer that is read. Pages and pictures' parts are far smaller; only a broken daemon sends more.
const LARGEST_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// A part of an uploaded picture (900 KiB at most) and its envelope.
const LARGEST_QUESTION_BYTES: usize = 1024 * 1024;

type AccessService = v1::access_service_client::AccessServiceClient<Channel>;
type FollowService = v1::follow_service_client::FollowServiceClient<Channel>;
type SyncService = v1::sync_service_client::SyncServiceClient<Channel>;
type CatalogueService = v1::catalogue_service_client::CatalogueServiceClient<Channel>;
type CatalogueCareService = v1::catalogue_care_service_client::CatalogueCareServiceClient<Channel>;
type GenerationService = v1::generation_service_client::GenerationServiceClient<Channel>;
type AssetService = v1::asset_service_client::AssetServiceClient<Channel>;
type DownloadService = v1::download_service_client::DownloadServiceClient<Channel>;
type StoreService = v1::store_service_client::StoreServiceClient<Channel>;
type LibraryService = v1::library_service_client::LibraryServiceClient<Channel>;
type ShelfService = v1::shelf_service_client::ShelfServiceClient<Channel>;
type EngineService = v1::engine_service_client::EngineServiceClient<Channel>;
type DaemonService = v1::daemon_service_client::DaemonServiceClient<Channel>;

/// A connected daemon.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    channel: Channel,
}

impl Client {
    /// Connects to a daemon that is running.
    ///
    /// # Errors
    /// `Unreachable` when nobody listens.
    pub(crate) async fn connect(socket: &Path) -> Result<Self, CliError> {
        // tonic folds the error of its connector into its own; asked directly, the socket says what is wrong.
        let unreachable = |source| CliError::Unreachable { socket: socket.to_owned(), source, may_start: false };
        drop(UnixStream::connect(socket).await.map_err(unreachable)?);
        let handshake = |source| CliError::Handshake { socket: socket.to_owned(), source };
        let path = PathBuf::from(socket);
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { io::Result::Ok(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        // The address only names the authority; the connector decides where bytes go.
        let endpoint = Endpoint::from_static("http://paintboxd");
        let channel = endpoint.connect_with_connector(connector).await.map_err(handshake)?;
        Ok(Self { channel })
    }

    pub(crate) fn follows(&self) -> FollowService {
        FollowService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    pub(crate) fn sync(&self) -> SyncService {
        SyncService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    pub(crate) fn catalogue(&self) -> CatalogueService {
        CatalogueService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    pub(crate) fn catalogue_care(&self) -> CatalogueCareService {
        CatalogueCareService::new(self.channel.clone())
            .max_decoding_message_size(LARGEST_ANSWER_BYTES)
            .max_encoding_message_size(LARGEST_QUESTION_BYTES)
    }

    pub(crate) fn generations(&self) -> GenerationService {
        GenerationService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    pub(crate) fn assets(&self) -> AssetService {
        AssetService::new(self.channel.clone())
            .max_decoding_message_size(LARGEST_ANSWER_BYTES)
            .max_encoding_message_size(LARGEST_QUESTION_BYTES)
    }

    pub(crate) fn downloads(&self) -> DownloadService {
        DownloadService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    pub(crate) fn store(&self) -> StoreService {
        StoreService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    pub(crate) fn libraries(&self) -> LibraryService {
        LibraryService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    pub(crate) fn shelf(&self) -> ShelfService {
        ShelfService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    pub(crate) fn engine(&self) -> EngineService {
        EngineService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    pub(crate) fn access(&self) -> AccessService {
        AccessService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    pub(crate) fn daemon(&self) -> DaemonService {
        DaemonService::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    /// Who answers.
    pub(crate) async fn info(&self, deadline: Duration) -> Result<v1::ServerInfo, CliError> {
        let request = v1::GetServerInfoRequest {};
        call("say who it is", deadline, self.daemon().get_server_info(request)).await
    }

    pub(crate) async fn status(&self) -> Result<v1::DaemonStatus, CliError> {
        let request = v1::GetStatusRequest {};
        call("say how it is", LOCAL_DEADLINE, self.daemon().get_status(request)).await
    }

    /// Where it listens; none from a daemon that is too old to say.
    pub(crate) async fn listeners(&self) -> Result<Option<Vec<v1::Listener>>, CliError> {
        let request = v1::ListListenersRequest {};
        match call("say where it listens", LOCAL_DEADLINE, self.access().list_listeners(request)).await {
            Ok(answer) => Ok(Some(answer.listeners)),
            Err(CliError::NotServed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Entries of a page, at most; what the daemon gives at most.
pub(crate) const LARGEST_PAGE: i32 = 500;

/// For [`entries`]: as many as there are.
pub(crate) const ALL: usize = usize::MAX;

/// The first entries of a list, at most `limit`: `page` gets a token and answers with entries and the next token.
pub(crate) async fn entries<T>(
    limit: usize,
    mut page: impl AsyncFnMut(String) -> Result<(Vec<T>, String), CliError>,
) -> Result<Vec<T>, CliError> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let (entries, next) = page(token.clone()).await?;
        found.extend(entries);
        if found.len() >= limit || next.is_empty() {
            found.truncate(limit);
            return Ok(found);
        }
        if next == token {
            return Err(CliError::Nonsense { problem: "a page of a list leads to itself" });
        }
        token = next;
    }
}

/// One unary call within its deadline. `doing` completes "the daemon could not …".
pub(crate) async fn call<T>(
    doing: &'static str,
    deadline: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CliError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(CliError::of_status(doing, status)),
        Err(_) => Err(CliError::Deadline { doing, deadline }),
    }
}
