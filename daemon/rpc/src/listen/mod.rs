//! Where the daemon listens, and what has to be shown there.
//!
//! One stack of services (`server`) stands behind three kinds of listener, each with a gate of its own:
//!
//! | listener | speaks | lets in | as |
//! | --- | --- | --- | --- |
//! | Unix socket, always on | HTTP/2 | processes of this user (`socket`) | everything |
//! | TCP, `[listen] tcp` | HTTP/2 alone, which no page can make a browser speak in the clear | a token | its scope |
//! | web, `[listen] web` | HTTP/1.1 and HTTP/2: gRPC-Web, pictures, JSON (`web`) | a token, or a session of our own page | its scope |
//!
//! A request passes, in this order: the connection's bounds (`connection`), the gate (`gate`, `web::origin`), the
//! bound on calls at once (`door`), on the web listener the time for its body (`intake`), and, if it is gRPC, its deadline and
//! the reasons of its errors (`call`). Only then
//! does a handler see it, with its `Caller` among its extensions. Whatever is refused on the way is refused in the form
//! that its sender reads (`refusal`), and nothing that is logged holds a query, a header or a body.
//!
//! Addresses other than those of this machine are for TLS alone. An end of the daemon closes the listeners at once,
//! and gives connections a moment to end by themselves.

mod call;
mod connection;
mod door;
mod gate;
mod intake;
mod options;
mod patience;
mod refusal;
mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod until;
mod web;

pub(crate) use call::keep_to_the_protocol;
pub use options::{ListenOptions, TlsPem};
pub use socket::SocketFile;
pub(crate) use web::assets;

use crate::access::Access;
use crate::caller::Caller;
use axum::Router;
use connection::Connections;
use door::Door;
use gate::Gate;
use options::address;
use paintbox_domain::{Classify, ErrorClass, reason};
use paintbox_proto::v1::ListenerKind;
use socket::{LONGEST_SOCKET_PATH_BYTES, Socket};
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tls::Tls;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use web::Web;

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("the socket path {path} has {length} bytes; the system allows {LONGEST_SOCKET_PATH_BYTES}")]
    PathTooLong { path: PathBuf, length: usize },
    #[error("cannot {action} the socket {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// What a supervisor handed over is not what this home's callers knock at.
    #[error("the socket that the supervisor handed over {problem}, and {path} is this home's")]
    HandedOver { path: PathBuf, problem: String },
    #[error("[listen] {setting} = `{given}`: {problem}")]
    Setting { setting: &'static str, given: String, problem: String },
    #[error("[listen] {setting} = `{address}` is open to other machines, and no TLS is configured")]
    OpenWithoutTls { setting: &'static str, address: SocketAddr },
    #[error("cannot listen at {address}, which [listen] {setting} names")]
    Bind {
        setting: &'static str,
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("[listen.tls] {setting}: {problem}")]
    Tls { setting: &'static str, problem: String },
}

impl Classify for ListenError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::PathTooLong { .. } | Self::Io { .. } | Self::Bind { .. } | Self::HandedOver { .. } => {
                ErrorClass::Precondition
            }
            Self::Setting { .. } | Self::OpenWithoutTls { .. } | Self::Tls { .. } => ErrorClass::InvalidInput,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => reason::STORE_FAILED,
            Self::PathTooLong { .. }
            | Self::HandedOver { .. }
            | Self::Setting { .. }
            | Self::OpenWithoutTls { .. }
            | Self::Bind { .. }
            | Self::Tls { .. } => reason::CONFIG_INVALID,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::PathTooLong { .. } => Some("set PAINTBOX_HOME to a shorter path".to_owned()),
            Self::HandedOver { .. } => Some(
                "`paintbox daemon stop` and `start` have the supervisor bind it anew, `install` tells it where"
                    .to_owned(),
            ),
            Self::OpenWithoutTls { .. } => {
                Some("use 127.0.0.1, or name a certificate and its key in [listen.tls]".to_owned())
            }
            Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("something else listens there; choose another port".to_owned())
            }
            Self::Io { .. } | Self::Setting { .. } | Self::Bind { .. } | Self::Tls { .. } => None,
        }
    }
}

/// How much of anything a listener takes. The numbers are far above what a person's front ends need.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Over the socket; a connection of more is closed at once.
    pub(crate) own_connections: usize,
    /// The same for each of the other listeners.
    pub(crate) connections: usize,
    /// Of one connection; RFC 9113 §5.1.2. A watcher is a stream.
    pub(crate) streams: u32,
    /// Of all connections of a listener; one more is DAEMON_BUSY.
    pub(crate) calls: usize,
    /// Until a TCP connection has said what it speaks, TLS included, and for each head of HTTP/1.
    pub(crate) greeting: Duration,
    /// A peer that is silent is asked whether it is still there, and has as long again to answer. HTTP/1 has no way to ask: a
    /// peer that takes nothing of what is sent has both times together.
    pub(crate) silence: Duration,
    /// How long the sender of a request's body over HTTP may be waited for, where its bytes earn no more (`intake`).
    pub(crate) sending: Duration,
    pub(crate) sent_bytes_a_second: u32,
    /// How long a clock that was set, or a machine that slept, may hide that a session's time is over.
    pub(crate) look: Duration,
    /// How long connections may go on once the daemon is ending.
    pub(crate) drain: Duration,
}

impl Limits {
    /// What holds for everybody.
    const USUAL: Self = Self {
        own_connections: 2048,
        connections: 512,
        streams: 1024,
        calls: 4096,
        greeting: Duration::from_secs(10),
        silence: Duration::from_secs(20),
        sending: Duration::from_secs(20),
        sent_bytes_a_second: 500,
        look: Duration::from_secs(5),
        drain: Duration::from_secs(5),
    };
}

/// What is told of a listener.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) kind: ListenerKind,
    pub(crate) address: String,
    pub(crate) tls: bool,
    connections: Arc<Connections>,
}

impl Listening {
    pub(crate) fn connections(&self) -> u32 {
        self.connections.open()
    }
}

/// What [`Listeners::bind`] opened, for `Api`.
#[derive(Debug, Clone)]
pub struct ListenerFacts(Arc<[Listening]>);

impl ListenerFacts {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Listening> {
        self.0.iter()
    }
}

/// Bound and not yet served.
pub struct Listeners {
    socket: (Socket, Arc<Connections>),
    tcp: Option<(TcpListener, Arc<Connections>)>,
    web: Option<(TcpListener, Arc<Connections>, Arc<Web>)>,
    tls: Option<Tls>,
    limits: Limits,
    facts: ListenerFacts,
}

impl Listeners {
    /// Binds the socket, and what the options name beside it. The caller holds the home's lock, so a socket that is there
    /// already is a dead one's. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When an option cannot be, or an address is not to be had.
    pub fn bind(socket: &Path, options: &ListenOptions) -> Result<Self, ListenError> {
        Self::bind_within(socket, options, Limits::USUAL)
    }

    /// The same with a socket that a supervisor has bound at `socket` and holds: it stays when this daemon has ended, and
    /// whoever knocks meanwhile waits for the next one. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// As [`Listeners::bind`], and when `held` does not listen at `socket`.
    pub fn take_over(socket: &Path, held: UnixListener, options: &ListenOptions) -> Result<Self, ListenError> {
        Self::open(options, Limits::USUAL, || Socket::take_over(socket, held))
    }

    pub(crate) fn bind_within(socket: &Path, options: &ListenOptions, limits: Limits) -> Result<Self, ListenError> {
        Self::open(options, limits, || Socket::bind(socket))
    }

    fn open(
        options: &ListenOptions,
        limits: Limits,
        socket: impl FnOnce() -> Result<Socket, ListenError>,
    ) -> Result<Self, ListenError> {
        let tls = options.tls.as_ref().map(Tls::new).transpose()?;
        let socket = socket()?;
        let mut facts = Vec::new();
        let mut fact = |kind, address: String, tls| {
            let is_own = kind == ListenerKind::Socket;
            let most = if is_own { limits.own_connections } else { limits.connections };
            let connections = Arc::new(Connections::new(most));
            facts.push(Listening { kind, address, tls, connections: Arc::clone(&connections) });
            connections
        };
        let of_socket = fact(ListenerKind::Socket, socket.path().display().to_string(), false);
        let tcp = options.tcp.as_deref().map(|text| bind("tcp", text, tls.is_some())).transpose()?;
        let tcp =
            tcp.map(|(listener, address)| (listener, fact(ListenerKind::Tcp, address.to_string(), tls.is_some())));
        let web = options.web.as_deref().map(|text| bind("web", text, tls.is_some())).transpose()?;
        let web = match web {
            None => None,
            Some((listener, address)) => {
                let web = Web::new(address, tls.is_some(), &options.hosts, &options.origins)?;
                let connections = fact(ListenerKind::Web, web.uri(), tls.is_some());
                Some((listener, connections, Arc::new(web)))
            }
        };
        Ok(Self { socket: (socket, of_socket), tcp, web, tls, limits, facts: ListenerFacts(facts.into()) })
    }

    #[must_use]
    pub fn facts(&self) -> ListenerFacts {
        self.facts.clone()
    }

    /// Serves until `behind.ending` is cancelled, then gives open connections a moment and ends.
    pub(crate) async fn serve(self, behind: Behind) -> SocketFile {
        let Self { socket: (socket, of_socket), tcp, web, tls, limits, facts: _ } = self;
        let Behind { access, ending, trusted, grpc, http } = behind;
        let door = |gate, routes, connections| {
            Arc::new(Door::new(gate, routes, connections, access.clone(), ending.clone(), limits.clone()))
        };
        let at_socket = door(Gate::Socket(Caller::socket()), trusted.clone(), of_socket);
        let at_tcp = tcp.map(|(listener, connections)| (listener, door(Gate::Token, trusted, connections)));
        let at_web = web.map(|(listener, connections, web)| {
            let routes = web::routes(&access, &web, http, grpc);
            (listener, door(Gate::Web(web), routes, connections))
        });
        let over_tcp = serve_tcp(at_tcp, tls.as_ref().map(|tls| &tls.grpc), &ending);
        let over_web = serve_tcp(at_web, tls.as_ref().map(|tls| &tls.web), &ending);
        let over_socket = async {
            let file = connection::accept_socket(socket, &at_socket, &ending).await;
            at_socket.drain().await;
            file
        };
        let served = async { tokio::join!(over_socket, over_tcp, over_web).0 };
        let keeping_time = async {
            access.sessions.keep_time(limits.look).await;
            std::future::pending().await
        };
        let file = tokio::select! {
            file = served => file,
            file = keeping_time => file,
        };
        access.tokens.keep_uses().await;
        file
    }
}

/// What stands behind the listeners.
pub(crate) struct Behind {
    pub(crate) access: Access,
    /// Cancelled when the daemon ends.
    pub(crate) ending: CancellationToken,
    /// All services, for whoever may look around.
    pub(crate) trusted: Router,
    /// All services without reflection: what there is to call is no secret, but no page needs to be told.
    pub(crate) grpc: Router,
    /// What the web listener has beside gRPC-Web and its page: `/assets/…`, and under `/v1/` and `/sdapi/v1/` the HTTP
    /// APIs of other programs, for which the gate already has its rules.
    pub(crate) http: Router,
}

async fn serve_tcp(found: Option<(TcpListener, Arc<Door>)>, tls: Option<&TlsAcceptor>, ending: &CancellationToken) {
    if let Some((listener, door)) = found {
        connection::accept_tcp(listener, tls, &door, ending).await;
        door.drain().await;
    }
}

fn bind(setting: &'static str, text: &str, has_tls: bool) -> Result<(TcpListener, SocketAddr), ListenError> {
    let address = address(setting, text, has_tls)?;
    let failed = |source| ListenError::Bind { setting, address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    // Port 0 asks the system for one.
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
