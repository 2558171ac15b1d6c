//! Real listeners on loopback, spoken to in bytes where that is what matters. What stands behind them is scripted;
//! `tests/tests/e2e/access.rs` has the daemon itself.

mod bounds;
mod tcp;
mod tls;
mod uid;
mod web;

use super::{
    Behind, Limits, ListenOptions, ListenerFacts, ListenerKind, Listeners, Listening, TlsPem, keep_to_the_protocol,
};
use crate::access::{Access, TokenFile};
use crate::caller::{Caller, Scope};
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use paintbox_domain::clock::ManualClock;
use paintbox_domain::{Failure, Timestamp};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_health::server::health_reporter;
use tonic_types::StatusExt as _;

/// Far more than anything here takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
const CREATE: &str = "/paintbox.v1.GenerationService/CreateGeneration";
const STATUS: &str = "/paintbox.v1.DaemonService/GetStatus";
const STOP: &str = "/paintbox.v1.DaemonService/StopDaemon";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// A stream without an end.
const ENDLESS: &str = "/paintbox.v1.AssetService/ReadAsset";
/// A handler that never answers.
const NEVER: &str = "/paintbox.v1.SyncService/GetSyncRun";
const PAGE_OF_A_FRIEND: &str = "http://friend.example:5173";

/// Keeps what was saved in memory.
#[derive(Debug, Default)]
struct MemoryFile {
    text: Mutex<Option<String>>,
    set_aside: Mutex<Option<String>>,
}

impl TokenFile for MemoryFile {
    fn load(&self) -> Result<Option<String>, Failure> {
        Ok(self.text.lock().unwrap().clone())
    }
    fn save(&self, text: &str) -> Result<(), Failure> {
        *self.text.lock().unwrap() = Some(text.to_owned());
        Ok(())
    }
    fn set_aside(&self) -> Result<(), Failure> {
        *self.set_aside.lock().unwrap() = self.text.lock().unwrap().take();
        Ok(())
    }
}

/// Listeners with something behind them.
struct Stage {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    file: Arc<MemoryFile>,
    access: Access,
    tcp: SocketAddr,
    web: SocketAddr,
    facts: ListenerFacts,
    ending: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    /// Pieces that were taken from the endless stream.
    pieces: Arc<AtomicUsize>,
}

impl Stage {
    async fn new() -> Self {
        Self::within(Limits::USUAL, None).await
    }

    async fn within(limits: Limits, tls: Option<TlsPem>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_000_000)));
        let file = Arc::new(MemoryFile::default());
        let access = Access::open(file.clone(), clock.clone()).unwrap();
        let options = ListenOptions {
            tcp: Some("127.0.0.1:0".into()),
            web: Some("127.0.0.1:0".into()),
            hosts: vec!["paintbox.local".into()],
            origins: vec![PAGE_OF_A_FRIEND.into()],
            tls,
        };
        let listeners = Listeners::bind_within(&folder.path().join("paintbox.sock"), &options, limits).unwrap();
        let address = |at: usize| {
            let listening = listeners.facts.iter().nth(at).unwrap();
            let text = listening.address.trim_end_matches('/');
            text.rsplit("//").next().unwrap().parse().unwrap()
        };
        let (tcp, web) = (address(1), address(2));
        let facts = listeners.facts();
        let ending = CancellationToken::new();
        let pieces = Arc::new(AtomicUsize::new(0));
        let grpc = scripted(Arc::clone(&pieces));
        let http = Router::new()
            .route("/assets/{sha256}", get(who))
            .route("/v1/models", get(who))
            .route("/v1/images/generations", post(who))
            .route("/v1/images/edits", post(who))
            .route("/sdapi/v1/txt2img", post(who))
            // Takes all that comes.
            .route("/sdapi/v1/img2img", post(|body: Bytes| async move { body.len().to_string() }));
        let behind = Behind { access: access.clone(), ending: ending.clone(), trusted: grpc.clone(), grpc, http };
        let serving = tokio::spawn(async move { drop(listeners.serve(behind).await) });
        Self { folder, clock, file, access, tcp, web, facts, ending, serving, pieces }
    }

    async fn token(&self, scope: Scope) -> String {
        let made = self.access.tokens.clone().create("a client".into(), scope).await;
        made.unwrap().1
    }

    /// A call over TCP with a token, to its end.
    async fn call(&self, path: &str, token: &str) -> Answer {
        h2(self.tcp, grpc(path, &bearer(token))).await
    }

    /// Of one kind of listener, how many are open.
    fn connections(&self, kind: ListenerKind) -> u32 {
        self.facts.iter().filter(|listening| listening.kind == kind).map(Listening::connections).sum()
    }

    fn web_authority(&self) -> String {
        self.web.to_string()
    }

    /// A request to the web listener by its own name.
    async fn web(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let host = self.web_authority();
        http1(self.web, method, path, &[&[("host", &*host)], headers].concat(), body).await
    }

    /// A signed-in browser's `name=value`.
    async fn sign_in(&self, scope: Scope) -> String {
        let (code, _) = self.access.sessions.issue_code(scope).unwrap();
        let answer = self.exchange(&code).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    async fn exchange(&self, code: &str) -> Answer {
        let body = format!("{{\"code\":\"{code}\"}}");
        self.web("POST", "/session", &[("content-type", "application/json")], &body).await
    }
}

/// gRPC that says who called, and worse.
fn scripted(pieces: Arc<AtomicUsize>) -> Router {
    let (_reporter, health) = health_reporter();
    let health = health.max_decoding_message_size(1 << 20);
    let endless = move || {
        let pieces = Arc::clone(&pieces);
        async move {
            let stream = futures::stream::repeat_with(move || {
                pieces.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(Bytes::from(framed(&[7; 16 * 1024])))
            });
            ([("content-type", "application/grpc")], Body::from_stream(stream)).into_response()
        }
    };
    let never = || async { std::future::pending::<Response>().await };
    let routes = tonic::service::Routes::new(health).prepare().into_axum_router();
    let routes = routes.route(CREATE, any(who)).route(STATUS, any(who)).route(STOP, any(who));
    let routes = routes.route(ENDLESS, any(endless)).route(NEVER, any(never));
    routes.layer(axum::middleware::from_fn(keep_to_the_protocol))
}

async fn who(Extension(caller): Extension<Caller>) -> Response {
    let headers = [("x-caller", caller.id().to_owned()), ("content-type", "application/grpc".to_owned())];
    (headers, [("grpc-status", "0")], "").into_response()
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

impl Answer {
    /// The gRPC status, wherever it stands.
    fn grpc(&self) -> Status {
        let status = Status::from_header_map(&self.trailers).or_else(|| Status::from_header_map(&self.headers));
        status.unwrap_or_else(|| panic!("no gRPC status in {self:?}"))
    }

    /// Why it was refused, in whatever form.
    fn reason(&self) -> String {
        let status = Status::from_header_map(&self.trailers).or_else(|| Status::from_header_map(&self.headers));
        if let Some(status) = status {
            return status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        }
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["error"]["reason"].as_str().unwrap_or_default().to_owned()
    }

    fn caller(&self) -> &str {
        self.headers.get("x-caller").and_then(|caller| caller.to_str().ok()).unwrap_or_default()
    }
}

fn bearer(token: &str) -> Vec<(&'static str, String)> {
    vec![("authorization", format!("Bearer {token}"))]
}

/// A message behind its gRPC prefix.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// A call with an empty message.
fn grpc(path: &str, headers: &[(&'static str, String)]) -> Request<Body> {
    grpc_with(path, headers, framed(&[]))
}

fn grpc_with(path: &str, headers: &[(&'static str, String)], body: Vec<u8>) -> Request<Body> {
    let mut request = Request::post(format!("http://paintbox{path}")).body(Body::from(body)).unwrap();
    let fixed = [("content-type", "application/grpc".to_owned()), ("te", "trailers".to_owned())];
    for (name, value) in fixed.iter().chain(headers) {
        request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    request
}

type Sender = hyper::client::conn::http2::SendRequest<Body>;

async fn connect_h2(address: SocketAddr) -> Sender {
    let stream = TcpStream::connect(address).await.unwrap();
    speak_h2(stream).await
}

async fn speak_h2(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static) -> Sender {
    let handshake = hyper::client::conn::http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender
}

/// One request over HTTP/2, to the end of its answer.
async fn h2(address: SocketAddr, request: Request<Body>) -> Answer {
    ask(&mut connect_h2(address).await, request).await
}

async fn ask(sender: &mut Sender, request: Request<Body>) -> Answer {
    let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    finish(response).await
}

async fn finish(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let collected = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let body = collected.to_bytes().to_vec();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body, trailers }
}

/// One request over HTTP/1.1 in plain bytes, with no header but those given and what ends it.
async fn http1(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("\r\n{body}"));
    let bytes = exchange(address, text.as_bytes()).await;
    read_http1(&bytes)
}

fn read_http1(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("{bytes:?}"));
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.parse::<HeaderName>().unwrap(), value.trim().parse::<HeaderValue>().unwrap())
    });
    Answer { status, headers: headers.collect(), body: bytes[end + 4..].to_vec(), trailers: HeaderMap::new() }
}

/// Sends bytes and reads until the other side closes. A side that closes early is no failure of the test.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap());
    answer
}
