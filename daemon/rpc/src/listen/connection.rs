//! Connections: how many, what they may send before anybody knows who they are, and how they end.
//!
//! Every bound that HTTP/2 has is set, whatever the library's defaults are: streams, the sizes of frames and of
//! headers, what is buffered either way, and pings for peers that went silent. A peer that does not read holds up its
//! own connection and what that may buffer, and nobody else; and not for long, if it reads nothing at all (`patience`).

use super::door::Door;
use super::patience::Patient;
use super::socket::{Socket, SocketFile};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The least that RFC 9113 §4.2 lets a server allow; a longer frame is FRAME_SIZE_ERROR.
const LARGEST_FRAME_BYTES: u32 = 16 * 1024;
/// Of a request; more is answered with 431. A token, a cookie and what browsers add are 2 KiB.
const LONGEST_HEADERS_BYTES: u32 = 16 * 1024;
/// The same for HTTP/1, where hyper takes no less than 8 KiB.
const LONGEST_HEADERS_OF_HTTP1_BYTES: usize = 16 * 1024;
const MOST_HEADERS_OF_HTTP1: usize = 64;
/// What a client may send ahead of a handler that does not read, on a stream and on a connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What is buffered of a stream that its client does not read.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// Streams that a client took back before they were looked at (CVE-2023-44487), and that broke the rules.
const MOST_RESETS: usize = 64;
/// How long to wait when the system has no more files to give.
const PAUSE: Duration = Duration::from_millis(50);

/// How many connections a listener has.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    free: Arc<Semaphore>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self { most, free: Arc::new(Semaphore::new(most)) }
    }

    pub(super) fn open(&self) -> u32 {
        u32::try_from(self.most.saturating_sub(self.free.available_permits())).unwrap_or(u32::MAX)
    }

    fn take(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok();
        if permit.is_none() {
            tracing::warn!(open = self.most, "refused a connection: there are too many");
        }
        permit
    }
}

/// Takes connections until the end begins.
pub(super) async fn accept_socket(socket: Socket, door: &Arc<Door>, ending: &CancellationToken) -> SocketFile {
    loop {
        let accepted = tokio::select! {
            () = ending.cancelled() => return socket.close(),
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok(Some(stream)) => begin(door, std::future::ready(Ok(stream))),
            Ok(None) => {}
            Err(error) => pause(&error).await,
        }
    }
}

/// The same over TCP.
pub(super) async fn accept_tcp(
    listener: TcpListener,
    tls: Option<&TlsAcceptor>,
    door: &Arc<Door>,
    ending: &CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = ending.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                pause(&error).await;
                continue;
            }
        };
        // Answers are small and wanted now; without this they only are a little later.
        drop(stream.set_nodelay(true));
        // As long as HTTP/2 gives a peer that does not answer its pings: it is asked after one silence and has another.
        let (greeting, reading) = (door.limits().greeting, door.limits().silence * 2);
        match tls.cloned() {
            None => begin(door, std::future::ready(Ok(Patient::new(stream, greeting, reading)))),
            Some(tls) => begin(door, async move {
                let shaken = tokio::time::timeout(greeting, tls.accept(stream)).await;
                let stream = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                Ok(Patient::new(stream, greeting, reading))
            }),
        }
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot take a connection");
    tokio::time::sleep(PAUSE).await;
}

/// Serves a connection on a task of its own, unless there are too many.
fn begin<IO>(door: &Arc<Door>, greeting: impl Future<Output = io::Result<IO>> + Send + 'static)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(permit) = door.connections().take() else { return };
    let ours = Arc::clone(door);
    door.connection_tasks().spawn(async move {
        match greeting.await {
            Ok(stream) => serve(stream, &ours).await,
            Err(error) => tracing::debug!(%error, "a connection ended before it began"),
        }
        drop(permit);
    });
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, door: &Arc<Door>) {
    let ours = Arc::clone(door);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let door = Arc::clone(&ours);
        async move { Ok::<_, Infallible>(door.answer(request.map(axum::body::Body::new)).await) }
    });
    let builder = builder(door);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut is_ending = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = door.ending().cancelled(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = door.given_up().cancelled() => return,
        }
    }
}

fn builder(door: &Door) -> auto::Builder<TokioExecutor> {
    let limits = door.limits();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if !door.speaks_http1() {
        builder = builder.http2_only();
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_frame_size(LARGEST_FRAME_BYTES)
        .max_header_list_size(LONGEST_HEADERS_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MOST_RESETS)
        .max_local_error_reset_streams(MOST_RESETS)
        .keep_alive_interval(limits.silence)
        .keep_alive_timeout(limits.silence);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.greeting)
        .max_headers(MOST_HEADERS_OF_HTTP1)
        .max_buf_size(LONGEST_HEADERS_OF_HTTP1_BYTES);
    builder
}
