//! A daemon with a scripted world behind the real wire: the generated services over a real Unix socket.

mod access;
mod assets;
mod catalogue_care;
mod downloads;
mod engine;
mod follows;
mod libraries;
mod models;
mod shelf;
mod store;

use super::NOW_SECONDS;
use futures::stream::{self, BoxStream, StreamExt as _};
use paintbox_proto::{ERROR_DOMAIN, v1};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

type Answer<T> = Result<Response<T>, Status>;
type Events<T> = BoxStream<'static, Result<T, Status>>;

pub(super) const PICTURE: &[u8] = b"\x89PNG, as far as anybody here is concerned";
pub(super) const GENERATION: &str = "generations/0b0e7a52-5d0c-4b54-9e2a-000000000001";
pub(super) const SYNC_RUN: &str = "syncRuns/0b0e7a52-5d0c-4b54-9e2a-000000000002";

/// How jobs go in this world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Fate {
    #[default]
    Well,
    /// A sync in which one file fails; a generation that fails.
    Badly,
    /// A run that fails as a whole; a picture whose bytes are not its own.
    Worse,
    /// Nothing ever happens.
    Hangs,
    /// The stream ends in mid-job.
    BreaksOff,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) fate: Fate,
    pub(super) follows: Vec<v1::Follow>,
    /// What the hub lists of whatever is followed.
    pub(super) listed: v1::BackfillPreview,
    /// Leaves the list's size out of answers that were not about it.
    pub(super) is_terse: bool,
    /// What the configuration says where a policy says nothing.
    pub(super) configured_backfill: String,
    pub(super) models: Vec<v1::Model>,
    pub(super) changes: Vec<v1::ModelChange>,
    /// In the place of two hubs that are well.
    pub(super) hubs: Vec<v1::HubStatus>,
    pub(super) waits: Vec<v1::Wait>,
    pub(super) operations: Vec<v1::PlanOperation>,
    pub(super) access: access::Access,
    pub(super) store: store::Store,
    /// How the catalogue's file is.
    pub(super) health: Option<v1::CatalogueHealth>,
    pub(super) backups: Vec<v1::Backup>,
    /// What any picture says.
    pub(super) recipe: v1::ReadRecipeResponse,
    pub(super) check: v1::CatalogueCheck,
    /// What an export consists of.
    pub(super) exported: Vec<&'static [u8]>,
    pub(super) imported: Vec<u8>,
    pub(super) libraries: libraries::Libraries,
    pub(super) shelf: shelf::Shelf,
    /// Every request with something in it, as `Debug` prints it.
    pub(super) asked: Vec<String>,
    pub(super) uploaded_bytes: usize,
    /// What the engine says of its networks.
    pub(super) engine_checks: Vec<v1::EngineCheck>,
    /// In the place of `PICTURE`.
    pub(super) picture: Vec<u8>,
    /// Stops listening when told to.
    pub(super) stop: Option<tokio::sync::oneshot::Sender<()>>,
}

#[derive(Clone)]
pub(super) struct Fake {
    world: Arc<Mutex<World>>,
    socket: String,
}

impl Fake {
    pub(super) fn listen(socket: &Path, world: Arc<Mutex<World>>) -> tokio::task::JoinHandle<()> {
        let listener = UnixListener::bind(socket).unwrap();
        let fake = Self { world, socket: socket.display().to_string() };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        fake.world().stop = Some(stop);
        let socket = socket.to_owned();
        tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(v1::access_service_server::AccessServiceServer::new(fake.clone()))
                .add_service(v1::follow_service_server::FollowServiceServer::new(fake.clone()))
                .add_service(v1::sync_service_server::SyncServiceServer::new(fake.clone()))
                .add_service(v1::catalogue_service_server::CatalogueServiceServer::new(fake.clone()))
                .add_service(v1::catalogue_care_service_server::CatalogueCareServiceServer::new(fake.clone()))
                .add_service(v1::generation_service_server::GenerationServiceServer::new(fake.clone()))
                .add_service(v1::engine_service_server::EngineServiceServer::new(fake.clone()))
                .add_service(v1::asset_service_server::AssetServiceServer::new(fake.clone()))
                .add_service(v1::download_service_server::DownloadServiceServer::new(fake.clone()))
                .add_service(v1::store_service_server::StoreServiceServer::new(fake.clone()))
                .add_service(v1::shelf_service_server::ShelfServiceServer::new(fake.clone()))
                .add_service(v1::library_service_server::LibraryServiceServer::new(fake.clone()))
                .add_service(v1::daemon_service_server::DaemonServiceServer::new(fake))
                .serve_with_incoming_shutdown(UnixListenerStream::new(listener), async {
                    // A sender that is dropped unused means that nobody stops it.
                    if stopped.await.is_err() {
                        std::future::pending::<()>().await;
                    }
                })
                .await
                .unwrap();
            std::fs::remove_file(socket).unwrap();
        })
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// A policy with what the configuration says where it says nothing.
    fn effective(&self, policy: Option<v1::FollowPolicy>) -> v1::FollowPolicy {
        let mut policy = policy.unwrap_or_default();
        if policy.backfill.is_empty() {
            policy.backfill.clone_from(&self.world().configured_backfill);
        }
        if policy.backfill.is_empty() {
            policy.backfill = "none".into();
        }
        policy
    }

    fn note<T: std::fmt::Debug>(&self, request: &T) {
        self.world().asked.push(format!("{request:?}"));
    }
}

pub(super) fn refusal(code: Code, reason: &str, message: &str) -> Status {
    let metadata =
        [("hint", "do something else"), ("given", "x")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata))
}

/// A refusal that leaves it to the command line what can be done.
fn unhinted(code: Code, reason: &str, message: &str) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, ERROR_DOMAIN, []))
}

pub(super) fn failure(reason: &str, message: &str) -> v1::Error {
    let metadata = [("file".to_owned(), "a.safetensors".to_owned())].into();
    v1::Error { reason: reason.into(), message: message.into(), hint: "look closer".into(), metadata }
}

#[expect(clippy::unnecessary_wraps, reason = "times on the wire are optional")]
pub(super) fn time(seconds_from_now: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: NOW_SECONDS + seconds_from_now, nanos: 0 })
}

pub(super) fn picture_digest() -> String {
    format!("{:x}", Sha256::digest(PICTURE))
}

fn answer<T>(value: T) -> Answer<T> {
    Ok(Response::new(value))
}

fn events<T: Send + 'static>(items: Vec<T>, go_on: bool) -> Answer<Events<T>> {
    let items = stream::iter(items.into_iter().map(Ok));
    answer(if go_on { items.chain(stream::pending()).boxed() } else { items.boxed() })
}

#[tonic::async_trait]
impl v1::sync_service_server::SyncService for Fake {
    type PlanSyncStream = Events<v1::PlanOperation>;
    type WatchSyncRunStream = Events<v1::SyncEvent>;

    async fn plan_sync(&self, request: Request<v1::PlanSyncRequest>) -> Answer<Self::PlanSyncStream> {
        self.note(request.get_ref());
        events(self.world().operations.clone(), false)
    }

    async fn create_sync_run(&self, request: Request<v1::CreateSyncRunRequest>) -> Answer<v1::SyncRun> {
        self.note(request.get_ref());
        if request.get_ref().references.iter().any(|reference| reference == "civitai:999999") {
            return Err(refusal(Code::NotFound, "MODEL_NOT_FOUND", "no model civitai:999999"));
        }
        answer(sync_run(v1::sync_run::State::Queued, 0))
    }

    async fn get_sync_run(&self, request: Request<v1::GetSyncRunRequest>) -> Answer<v1::SyncRun> {
        if request.get_ref().name == SYNC_RUN {
            answer(sync_run(v1::sync_run::State::Running, 0))
        } else {
            Err(refusal(Code::NotFound, "JOB_NOT_FOUND", "no such job"))
        }
    }

    async fn list_sync_runs(&self, request: Request<v1::ListSyncRunsRequest>) -> Answer<v1::ListSyncRunsResponse> {
        self.note(request.get_ref());
        answer(v1::ListSyncRunsResponse {
            sync_runs: vec![sync_run(v1::sync_run::State::Succeeded, 0)],
            ..Default::default()
        })
    }

    async fn cancel_sync_run(&self, request: Request<v1::CancelSyncRunRequest>) -> Answer<v1::SyncRun> {
        self.note(request.get_ref());
        answer(sync_run(v1::sync_run::State::Cancelled, 0))
    }

    async fn watch_sync_run(&self, _: Request<v1::WatchSyncRunRequest>) -> Answer<Self::WatchSyncRunStream> {
        use v1::sync_event::Event;
        let fate = self.world().fate;
        let progress = |phase: &str, bytes_done| {
            Event::Progress(v1::FileProgress {
                version: "civitai:1@2".into(),
                file: "tiny.safetensors".into(),
                bytes_done,
                bytes_total: 16_000_000,
                phase: phase.into(),
            })
        };
        let mut list = vec![Event::Run(sync_run(v1::sync_run::State::Running, 0)), progress("transferring", 8_000_000)];
        let failed = Event::FileFailed(v1::FileFailed {
            version: "civitai:1@2".into(),
            file: "bad.safetensors".into(),
            failure: Some(failure("DIGEST_MISMATCH", "the digest of bad.safetensors is not the hub's")),
        });
        let mut broken = sync_run(v1::sync_run::State::Failed, 0);
        broken.failure = Some(failure("HUB_UNREACHABLE", "civitai did not answer"));
        match fate {
            Fate::Well => {
                list.extend([progress("done", 16_000_000), Event::Run(sync_run(v1::sync_run::State::Succeeded, 0))]);
            }
            Fate::Badly => list.extend([
                progress("done", 16_000_000),
                failed,
                Event::Run(sync_run(v1::sync_run::State::Succeeded, 1)),
            ]),
            Fate::Worse => list.push(Event::Run(broken)),
            Fate::Hangs | Fate::BreaksOff => {}
        }
        let list = list.into_iter().zip(1..).map(|(event, sequence)| v1::SyncEvent {
            sequence,
            epoch: "e".to_owned(),
            event: Some(event),
        });
        events(list.collect(), fate == Fate::Hangs)
    }
}

fn sync_run(state: v1::sync_run::State, failed: u32) -> v1::SyncRun {
    let counts =
        v1::SyncCounts { planned: 1 + failed, fetched: 1, already_had: 2, skipped: 5, failed, bytes: 16_000_000 };
    v1::SyncRun {
        name: SYNC_RUN.into(),
        state: state.into(),
        counts: Some(counts),
        create_time: time(-3600),
        end_time: if state == v1::sync_run::State::Running { None } else { time(-3500) },
        ..Default::default()
    }
}

#[tonic::async_trait]
impl v1::generation_service_server::GenerationService for Fake {
    type WatchGenerationStream = Events<v1::GenerationEvent>;
    type GenerateImagesStream = Events<v1::GenerationEvent>;

    async fn create_generation(&self, _: Request<v1::CreateGenerationRequest>) -> Answer<v1::Generation> {
        Err(Status::unimplemented("the command line uses GenerateImages"))
    }

    async fn get_generation(&self, request: Request<v1::GetGenerationRequest>) -> Answer<v1::Generation> {
        if request.get_ref().name == GENERATION {
            answer(generation("succeeded", 1))
        } else {
            Err(refusal(Code::NotFound, "JOB_NOT_FOUND", "no such job"))
        }
    }

    async fn list_generations(
        &self,
        request: Request<v1::ListGenerationsRequest>,
    ) -> Answer<v1::ListGenerationsResponse> {
        self.note(request.get_ref());
        if request.get_ref().filter == "state:queued" {
            let waiting = |position, prompt: &str| v1::Generation {
                queue_position: Some(position),
                client: "socket/paintbox".to_owned(),
                spec: Some(v1::GenerationSpec { prompt: prompt.to_owned(), ..Default::default() }),
                ..generation("queued", 0)
            };
            let generations = vec![waiting(1, "second"), waiting(0, "first\u{1b}[2J")];
            return answer(v1::ListGenerationsResponse { generations, ..Default::default() });
        }
        let mut failed = generation("failed", 0);
        failed.failure = Some(failure("INTERRUPTED", "the daemon ended while it was painting"));
        failed.create_time = time(-7200);
        answer(v1::ListGenerationsResponse {
            generations: vec![generation("succeeded", 1), failed],
            ..Default::default()
        })
    }

    async fn update_generation(&self, request: Request<v1::UpdateGenerationRequest>) -> Answer<v1::Generation> {
        self.note(request.get_ref());
        let priority = request.into_inner().generation.unwrap().priority;
        answer(v1::Generation { priority, ..generation("queued", 0) })
    }

    async fn reorder_generation(&self, request: Request<v1::ReorderGenerationRequest>) -> Answer<v1::Generation> {
        self.note(request.get_ref());
        answer(generation("queued", 0))
    }

    async fn delete_generation(&self, request: Request<v1::DeleteGenerationRequest>) -> Answer<v1::Generation> {
        self.note(request.get_ref());
        answer(v1::Generation { delete_time: time(0), purge_time: time(2_592_000), ..generation("succeeded", 1) })
    }

    async fn undelete_generation(&self, request: Request<v1::UndeleteGenerationRequest>) -> Answer<v1::Generation> {
        self.note(request.get_ref());
        answer(generation("succeeded", 1))
    }

    async fn get_generation_queue(&self, _: Request<v1::GetGenerationQueueRequest>) -> Answer<v1::GenerationQueue> {
        answer(v1::GenerationQueue { queued: 2, running: GENERATION.to_owned(), max_queued: 9, ..Default::default() })
    }

    async fn pause_generation_queue(
        &self,
        request: Request<v1::PauseGenerationQueueRequest>,
    ) -> Answer<v1::GenerationQueue> {
        self.note(request.get_ref());
        answer(v1::GenerationQueue { paused: true, ..Default::default() })
    }

    async fn resume_generation_queue(
        &self,
        request: Request<v1::ResumeGenerationQueueRequest>,
    ) -> Answer<v1::GenerationQueue> {
        self.note(request.get_ref());
        answer(v1::GenerationQueue::default())
    }

    async fn cancel_generation(&self, request: Request<v1::CancelGenerationRequest>) -> Answer<v1::Generation> {
        self.note(request.get_ref());
        answer(generation("cancelled", 0))
    }

    async fn watch_generation(&self, _: Request<v1::WatchGenerationRequest>) -> Answer<Self::WatchGenerationStream> {
        let fate = self.world().fate;
        events(painting(fate, 1), fate == Fate::Hangs)
    }

    async fn generate_images(&self, request: Request<v1::GenerateImagesRequest>) -> Answer<Self::GenerateImagesStream> {
        self.note(request.get_ref());
        let spec = request.into_inner().spec.unwrap();
        if spec.sampler == "magic" {
            return Err(refusal(Code::Unimplemented, "UNSUPPORTED_SETTING", "there is no sampler `magic`"));
        }
        let fate = self.world().fate;
        events(painting(fate, spec.count), fate == Fate::Hangs)
    }

    async fn read_recipe(
        &self,
        request: Request<tonic::Streaming<v1::ReadRecipeRequest>>,
    ) -> Answer<v1::ReadRecipeResponse> {
        let mut parts = request.into_inner();
        while let Some(part) = parts.message().await? {
            self.note(&part);
        }
        answer(self.world().recipe.clone())
    }

    async fn get_model_capabilities(
        &self,
        request: Request<v1::GetModelCapabilitiesRequest>,
    ) -> Answer<v1::ModelCapabilities> {
        self.note(request.get_ref());
        answer(engine::capabilities())
    }
}

fn painting(fate: Fate, count: u32) -> Vec<v1::GenerationEvent> {
    use v1::generation_event::Event;
    let progress = |phase: &str, step| {
        Event::Progress(v1::GenerationProgress {
            phase: phase.into(),
            step,
            total_steps: 25,
            image_index: 0,
            image_count: count,
        })
    };
    let mut list =
        vec![Event::Generation(generation("queued", 0)), progress("loading_model", 0), progress("sampling", 1)];
    match fate {
        Fate::Well => list.push(Event::Generation(generation("succeeded", count))),
        Fate::Badly => {
            let mut failed = generation("failed", 0);
            failed.failure = Some(failure("UNSUPPORTED_ARCHITECTURE", "this release paints with sd1 only"));
            list.push(Event::Generation(failed));
        }
        Fate::Worse => {
            let mut damaged = generation("succeeded", 1);
            damaged.images[0].asset = format!("assets/{}", "0".repeat(64));
            list.push(Event::Generation(damaged));
        }
        Fate::Hangs | Fate::BreaksOff => {}
    }
    list.into_iter()
        .zip(1..)
        .map(|(event, sequence)| v1::GenerationEvent { sequence, epoch: "e".to_owned(), event: Some(event) })
        .collect()
}

fn generation(state: &str, images: u32) -> v1::Generation {
    let spec =
        v1::GenerationSpec { model: "civitai:1".into(), prompt: "red \x1b[31mheart".into(), ..Default::default() };
    let image = |index: u32| v1::GeneratedImage {
        asset: format!("assets/{}", picture_digest()),
        seed: 7 + u64::from(index),
        width: 64,
        height: 64,
        ..Default::default()
    };
    v1::Generation {
        name: GENERATION.into(),
        state: v1::generation::State::from_str_name(&format!("STATE_{}", state.to_uppercase())).unwrap().into(),
        spec: Some(spec),
        images: (0..images).map(image).collect(),
        warnings: if state == "succeeded" { vec!["the network\x1b[0m computed twice".into()] } else { Vec::new() },
        create_time: time(-60),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl v1::daemon_service_server::DaemonService for Fake {
    async fn get_server_info(&self, _: Request<v1::GetServerInfoRequest>) -> Answer<v1::ServerInfo> {
        answer(v1::ServerInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            api_packages: vec!["paintbox.v1".into()],
            epoch: "e1".into(),
            process_id: 4242,
            start_time: time(-60),
        })
    }

    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Answer<v1::DaemonStatus> {
        let info = self.get_server_info(Request::new(v1::GetServerInfoRequest {})).await?.into_inner();
        let hub = |hub: &str, endpoint: &str, credential: &str| v1::HubStatus {
            hub: hub.into(),
            endpoint: endpoint.into(),
            credential: credential.into(),
            state: v1::hub_status::State::Ok.into(),
            ..Default::default()
        };
        let mut hubs = self.world().hubs.clone();
        if hubs.is_empty() {
            hubs = vec![hub("civitai", "https://civitai.com", "stored"), hub("hf", "https://huggingface.co", "none")];
        }
        let (catalogue, waits) = {
            let world = self.world();
            (world.health.clone(), world.waits.clone())
        };
        answer(v1::DaemonStatus {
            info: Some(info),
            home: "/home/painter/paintbox".into(),
            socket: self.socket.clone(),
            device: "cpu".into(),
            models: 1234,
            downloaded_models: 3,
            stored_bytes: 16_000_000,
            free_bytes: 500_000_000_000,
            hubs,
            sqlite_version: "3.51.3".into(),
            catalogue,
            waits,
            ..Default::default()
        })
    }

    async fn reload_config(&self, request: Request<v1::ReloadConfigRequest>) -> Answer<v1::ReloadConfigResponse> {
        self.note(request.get_ref());
        let adopted = vec!["downloads.at_once".to_owned()];
        answer(v1::ReloadConfigResponse { adopted, pending: vec!["listen.web".to_owned()], overridden: Vec::new() })
    }

    async fn stop_daemon(&self, _: Request<v1::StopDaemonRequest>) -> Answer<v1::StopDaemonResponse> {
        let stop = self.world().stop.take();
        if let Some(stop) = stop {
            stop.send(()).unwrap();
        }
        answer(v1::StopDaemonResponse {})
    }

    async fn set_hub_credential(&self, request: Request<v1::SetHubCredentialRequest>) -> Answer<v1::HubCredential> {
        self.note(request.get_ref());
        let v1::SetHubCredentialRequest { hub, token } = request.into_inner();
        if token == "wrong" {
            return Err(refusal(Code::FailedPrecondition, "HUB_TOKEN_REJECTED", "civitai does not accept this token"));
        }
        answer(v1::HubCredential { hub, account: "painter".into() })
    }

    async fn delete_hub_credential(
        &self,
        request: Request<v1::DeleteHubCredentialRequest>,
    ) -> Answer<v1::HubCredential> {
        answer(v1::HubCredential { hub: request.into_inner().hub, account: String::new() })
    }
}
