//! Both hubs on this machine: seven servers on seven ports, which makes them seven origins, as the real ones are.
//!
//! The wire formats follow recorded responses and the hubs' own sources. The servers run on a thread of their own, so
//! that a test may block its thread on a child process that talks to them.

mod bytes;
mod civitai;
mod civitai_directory;
mod civitai_download;
mod civitai_edits;
mod civitai_hashes;
mod civitai_list;
mod civitai_record;
mod civitai_shapes;
mod faults;
mod git;
mod hugging_face;
mod hugging_face_files;
mod hugging_face_shapes;
mod log;
mod paging;
mod rate_limit;
mod repository;
mod sample;
mod signed_url;
mod xet_store;

pub use civitai_record::{
    CollectionFilter, FakeCivitaiModel, FakeFile, FakeImage, FakeVersion, PaidAccess, PublishedModel, PublishedVersion,
};
pub use faults::{Fault, FaultHandle, FaultRule, Faults};
pub use log::RecordedRequest;
pub use repository::FakeRepository;
pub use sample::{SAMPLE_CREATOR, SAMPLE_ORGANISATION, SAMPLE_RECORDED_CREATOR};
pub use xet_store::XET_TOKEN;

use self::bytes::{Incoming, Reply};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use repository::{Counters, Like};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The one token that the CivitAI servers know. Any other is treated as a bad one.
pub const CIVITAI_TOKEN: &str = "fake-civitai-token";
/// The one token that the Hugging Face servers know.
pub const HF_TOKEN: &str = "hf_fakeHuggingFaceToken";

/// Longest request body that is read.
const MOST_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// One of the fake hub's servers; each has an origin of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// civitai.com: the site, its API and the download endpoint.
    CivitaiSite,
    /// The object storage that downloads redirect to.
    CivitaiStorage,
    /// image.civitai.com.
    CivitaiImages,
    /// huggingface.co.
    HfEndpoint,
    /// The CDN that LFS files redirect to, and that objects of the store of chunks come from.
    HfCdn,
    /// civitai.red: the same site, whose lists have what civitai.com's leave out.
    CivitaiMature,
    /// The store of chunks: what a file is made of, for those who take it that way.
    HfStore,
}

/// How many servers there are.
const SERVERS: usize = 7;

impl Server {
    /// Every server.
    pub const ALL: [Self; SERVERS] = [
        Self::CivitaiSite,
        Self::CivitaiStorage,
        Self::CivitaiImages,
        Self::HfEndpoint,
        Self::HfCdn,
        Self::CivitaiMature,
        Self::HfStore,
    ];

    fn index(self) -> usize {
        match self {
            Self::CivitaiSite => 0,
            Self::CivitaiStorage => 1,
            Self::CivitaiImages => 2,
            Self::HfEndpoint => 3,
            Self::HfCdn => 4,
            Self::CivitaiMature => 5,
            Self::HfStore => 6,
        }
    }
}

/// What the servers share.
#[derive(Debug)]
pub(crate) struct Shared {
    addresses: [SocketAddr; SERVERS],
    log: log::Log,
    faults: Faults,
    signer: signed_url::Signer,
    civitai: Mutex<civitai_record::Civitai>,
    hugging_face: Mutex<repository::HuggingFace>,
}

impl Shared {
    pub(super) fn origin(&self, server: Server) -> String {
        format!("http://{}", self.addresses[server.index()])
    }

    pub(super) fn civitai(&self) -> MutexGuard<'_, civitai_record::Civitai> {
        self.civitai.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hugging_face(&self) -> MutexGuard<'_, repository::HuggingFace> {
        self.hugging_face.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// CivitAI and Hugging Face on loopback. The servers end when this is dropped.
#[derive(Debug)]
pub struct FakeHub {
    shared: Arc<Shared>,
    stopped: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl FakeHub {
    /// Starts empty hubs.
    ///
    /// # Panics
    /// When no loopback port can be had.
    #[expect(clippy::unused_async, reason = "callers await it, so that it may come to need awaiting")]
    pub async fn start() -> Self {
        Self::start_blocking()
    }

    /// [`Self::start`] for a thread without a runtime.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_blocking() -> Self {
        let listeners = Server::ALL.map(|server| {
            let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
            listener.set_nonblocking(true).expect("a fresh listener takes any mode");
            (server, listener)
        });
        let addresses =
            listeners.each_ref().map(|(_, listener)| listener.local_addr().expect("a bound listener has an address"));
        let shared = Arc::new(Shared {
            addresses,
            log: log::Log::default(),
            faults: Faults::default(),
            signer: signed_url::Signer::default(),
            civitai: Mutex::default(),
            hugging_face: Mutex::default(),
        });
        let stopped = CancellationToken::new();
        let (in_thread, until) = (Arc::clone(&shared), stopped.clone());
        let thread = std::thread::Builder::new()
            .name("fake-hub".to_owned())
            .spawn(move || serve(&in_thread, listeners, &until))
            .expect("a thread for the servers can be had");
        Self { shared, stopped, thread: Some(thread) }
    }

    /// Starts hubs that hold the sample library: what the demo and the end-to-end tests follow, sync and paint with.
    ///
    /// # Panics
    /// As [`Self::start`], and when the fixtures are missing or damaged.
    #[expect(clippy::unused_async, reason = "see `start`")]
    pub async fn with_sample_library() -> Self {
        Self::with_sample_library_blocking()
    }

    /// [`Self::with_sample_library`] for a thread without a runtime.
    ///
    /// # Panics
    /// As [`Self::with_sample_library`].
    #[must_use]
    pub fn with_sample_library_blocking() -> Self {
        let hub = Self::start_blocking();
        sample::publish(&hub);
        hub
    }

    /// What `PAINTBOX_CIVITAI_ENDPOINT` is set to: an origin without a path.
    #[must_use]
    pub fn civitai_endpoint(&self) -> String {
        self.origin(Server::CivitaiSite)
    }

    /// The same of the site that lists mature content.
    #[must_use]
    pub fn civitai_mature_endpoint(&self) -> String {
        self.origin(Server::CivitaiMature)
    }

    /// What `HF_ENDPOINT` is set to.
    #[must_use]
    pub fn hf_endpoint(&self) -> String {
        self.origin(Server::HfEndpoint)
    }

    /// `http://127.0.0.1:port` of one server.
    #[must_use]
    pub fn origin(&self, server: Server) -> String {
        self.shared.origin(server)
    }

    /// Everything that was asked so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.log.all()
    }

    /// What one server was asked so far.
    #[must_use]
    pub fn requests_to(&self, server: Server) -> Vec<RecordedRequest> {
        self.requests().into_iter().filter(|request| request.server == server).collect()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// The script of what goes wrong.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.shared.faults.clone()
    }

    /// Makes every signed storage and CDN URL handed out so far answer 403, as they do when their time is over.
    pub fn expire_signed_urls(&self) {
        self.shared.signer.expire();
    }

    /// Makes every CivitAI download want a token. Off at the start.
    pub fn require_download_token(&self, required: bool) {
        self.shared.civitai().require_download_token = required;
    }

    /// Caps what the list endpoints of both hubs put on one page, so that few models make many pages.
    pub fn limit_pages_to(&self, items: usize) {
        self.shared.civitai().most_items_per_page = Some(items.max(1));
        self.shared.hugging_face().most_items_per_page = Some(items.max(1));
    }

    /// Registers a CivitAI user without models. Publishing does so by itself.
    pub fn add_creator(&self, username: &str) {
        self.shared.civitai().add_creator(username);
    }

    /// Puts a model on the CivitAI site, its files on the storage and its pictures on the image server.
    pub fn publish(&self, model: FakeCivitaiModel) -> PublishedModel {
        let images = self.origin(Server::CivitaiImages);
        self.shared.civitai().publish(model, &images)
    }

    /// Puts one recorded model (an item of a recorded list, or a `/models/{id}` body) on the site and answers its id.
    /// Picture URLs are turned to this hub's image server; the rest is served as it was recorded.
    ///
    /// # Panics
    /// When `record` has no numeric `id`.
    pub fn publish_recorded(&self, record: Value) -> u64 {
        let images = self.origin(Server::CivitaiImages);
        self.shared.civitai().publish_recorded(record, &images)
    }

    /// Changes a published model's record in place: the widest JSON this hub keeps of it, from which every endpoint's
    /// shape is cut. Answers whether the model exists.
    pub fn edit(&self, model_id: u64, change: impl FnOnce(&mut Value)) -> bool {
        self.shared.civitai().record_mut(model_id).map(change).is_some()
    }

    /// Replaces the bytes of a published file without touching what the API says of it. Answers whether it exists.
    pub fn replace_file_bytes(&self, file_id: u64, bytes: impl Into<::bytes::Bytes>) -> bool {
        self.shared.civitai().replace_file_bytes(file_id, bytes.into())
    }

    /// Deletes a CivitAI model, as its owner would. Answers whether it existed.
    pub fn remove(&self, model_id: u64) -> bool {
        self.shared.civitai().remove(model_id)
    }

    /// Deletes a CivitAI account; its models stay behind without `creator`, as on the site.
    pub fn remove_creator(&self, username: &str) {
        self.shared.civitai().remove_creator(username);
    }

    /// Puts a repository on Hugging Face, or commits onto `main` of the one with this id. Answers the commit's id.
    pub fn publish_repository(&self, repository: FakeRepository) -> String {
        self.shared.hugging_face().publish(repository)
    }

    /// Commits onto a branch beside `main` of a published repository, making the branch if need be. Answers the commit's
    /// id; none when there is no such repository.
    pub fn publish_branch(&self, id: &str, branch: &str, files: BTreeMap<String, ::bytes::Bytes>) -> Option<String> {
        self.shared.hugging_face().publish_branch(id, branch, files)
    }

    /// Changes what a repository is without a commit: its gate, whether it is private or disabled. Answers whether it
    /// exists.
    pub fn edit_repository(&self, id: &str, change: impl FnOnce(&mut FakeRepository)) -> bool {
        self.shared.hugging_face().repository_mut(id).map(|repository| change(&mut repository.about)).is_some()
    }

    /// Sets what counters a repository shows. Answers whether it exists.
    pub fn count(&self, id: &str, downloads: u64, likes: u64) -> bool {
        let mut hub = self.shared.hugging_face();
        hub.repository_mut(id).map(|repository| repository.counters = Counters { downloads, likes }).is_some()
    }

    /// Lets somebody like a repository; `kind` is `model`, `dataset` or `space`.
    pub fn like(&self, user: &str, kind: &str, repository: &str) {
        let like = Like { user: user.to_owned(), kind: kind.to_owned(), repository: repository.to_owned() };
        self.shared.hugging_face().likes.push(like);
    }

    /// Registers a Hugging Face user. Publishing registers nobody: an author with repositories and no account counts as
    /// an organisation.
    pub fn add_hf_user(&self, name: &str) {
        self.shared.hugging_face().users.insert(name.to_owned());
    }

    /// Deletes a repository. Answers whether it existed.
    pub fn remove_repository(&self, id: &str) -> bool {
        self.shared.hugging_face().remove(id)
    }

    /// Gives the account of [`HF_TOKEN`] access to a gated repository.
    pub fn grant_access(&self, id: &str) {
        self.shared.hugging_face().grant(id);
    }

    /// Makes LFS files carry `X-Xet-Hash` and say where the store's token is, as the real hub's do. Off at the start:
    /// clients then use plain HTTP.
    pub fn announce_xet(&self, announced: bool) {
        self.shared.hugging_face().announce_xet = announced;
    }

    /// Sets how many requests Hugging Face's `api` and `resolvers` buckets take in one window of five minutes.
    pub fn limit_rate(&self, api: u32, resolvers: u32) {
        self.shared.hugging_face().rates.set_quotas(api, resolvers);
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.shared.faults.clear();
        self.stopped.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic in the servers' thread has been printed; a second one here would abort the test run.
            drop(thread.join());
        }
    }
}

/// Runs the servers until told to stop.
fn serve(shared: &Arc<Shared>, listeners: [(Server, TcpListener); SERVERS], stopped: &CancellationToken) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the servers can be made");
    runtime.block_on(async {
        for (server, listener) in listeners {
            let listener = tokio::net::TcpListener::from_std(listener).expect("the listener is in non-blocking mode");
            let app = axum::Router::new().fallback(answer).with_state((server, Arc::clone(shared)));
            tokio::spawn(async move { axum::serve(listener, app).await });
        }
        stopped.cancelled().await;
    });
}

/// Records a request, lets a scripted fault happen to it, and has the right server answer.
async fn answer(State((server, shared)): State<(Server, Arc<Shared>)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path_and_query = parts.uri.path_and_query().map_or("/", |text| text.as_str()).to_owned();
    shared.log.record(RecordedRequest {
        server,
        method: parts.method.to_string(),
        path_and_query: path_and_query.clone(),
        headers: parts.headers.clone(),
    });
    let Ok(body) = axum::body::to_bytes(body, MOST_REQUEST_BYTES).await else {
        return Reply::text(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large").into_response();
    };
    let mut request = Incoming { server, method: parts.method, path_and_query, headers: parts.headers, body };
    let Some(struck) = shared.faults.strike(&request) else {
        return route(&shared, &request).into_response();
    };
    struck.hold().await;
    if matches!(struck.fault, Fault::IgnoreRange) {
        request.headers = faults::without_range(&request.headers);
    }
    let reply = struck.instead().unwrap_or_else(|| route(&shared, &request));
    struck.send(reply)
}

fn route(shared: &Shared, request: &Incoming) -> Reply {
    match request.server {
        Server::CivitaiSite | Server::CivitaiMature => civitai::answer(shared, request),
        Server::CivitaiStorage => civitai_download::answer_storage(shared, request),
        Server::CivitaiImages => civitai_download::answer_images(shared, request),
        Server::HfEndpoint => hugging_face::answer(shared, request),
        Server::HfCdn => hugging_face_files::answer_cdn(shared, request),
        Server::HfStore => xet_store::answer(shared, request),
    }
}
