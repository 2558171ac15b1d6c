//! Scripted faults: what a server does wrong, to which requests, and how often.

use super::Server;
use super::bytes::{Incoming, Reply};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pieces that an untroubled body is sent in.
const PIECE_BYTES: usize = 64 * 1024;

/// How long what was written has to get out before the connection is closed in the middle of a body.
const BEFORE_A_CUT: Duration = Duration::from_millis(100);

/// One way for a server to misbehave.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Closes the connection after this many bytes of the body; the headers promise all of it.
    TruncateBodyAfter(u64),
    /// Flips the bits of the byte at this offset of the whole file, in ranged answers too.
    CorruptByteAt(u64),
    /// Status 200 and a login page, as a browser would be shown.
    HtmlLoginPage,
    /// Status 200 and these bytes where the file should be.
    Body(Bytes),
    /// This answer instead of the true one.
    Status { code: u16, body: String, headers: Vec<(String, String)> },
    /// The whole file with status 200, whatever range was asked for.
    IgnoreRange,
    /// No answer, not even headers, until [`FaultHandle::release`] or [`Faults::release`]; then the true one.
    Stall,
    /// No answer for this long, then the true one.
    ReleaseAfter(Duration),
    /// Headers and this many bytes of the body, then silence until released; then the rest.
    StallBodyAfter(u64),
    /// The body in pieces of `chunk` bytes with `pause` after each.
    SlowBody { chunk: usize, pause: Duration },
    /// A `Content-Length` that is not the body's.
    WrongContentLength(u64),
    /// Status 302 to this URL.
    RedirectTo(String),
    /// The true answer with another value of this header.
    Header { name: String, value: String },
    /// Status 503 to requests beside so many whose bodies are still being sent.
    MostAtOnce(usize),
    /// Closes the connection without an answer.
    HangUp,
}

/// Which requests meet a fault, and how many of them.
#[derive(Debug, Clone)]
pub struct FaultRule {
    server: Server,
    path_prefix: String,
    method: Option<Method>,
    skip: usize,
    times: Option<usize>,
    fault: Fault,
}

impl FaultRule {
    /// Every request to `server` whose path (with its query) starts with `path_prefix`.
    #[must_use]
    pub fn new(server: Server, path_prefix: impl Into<String>, fault: Fault) -> Self {
        Self { server, path_prefix: path_prefix.into(), method: None, skip: 0, times: None, fault }
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Leaves the first `count` matching requests alone.
    #[must_use]
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Troubles `count` requests, then no more.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.times = Some(count);
        self
    }

    /// Troubles one request only.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    fn matches(&self, request: &Incoming) -> bool {
        self.server == request.server
            && request.path_and_query.starts_with(&self.path_prefix)
            && self.method.as_ref().is_none_or(|method| *method == request.method)
    }
}

#[derive(Debug)]
struct Armed {
    rule: FaultRule,
    seen: AtomicUsize,
    hits: AtomicUsize,
    released: CancellationToken,
    places: Places,
}

/// How many bodies are being sent under [`Fault::MostAtOnce`].
#[derive(Debug, Clone, Default)]
struct Places(Arc<AtomicUsize>);

impl Places {
    fn take(&self, most: usize) -> Option<Place> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        Some(Place(self.clone()))
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
struct Place(Places);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A rule that was added: says how often it struck, and lets what it holds go on.
#[derive(Debug, Clone)]
pub struct FaultHandle(Arc<Armed>);

impl FaultHandle {
    /// How many requests it has troubled so far. A stalled request counts as soon as it stalls.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.0.hits.load(Ordering::SeqCst)
    }

    /// Lets everything that this rule holds back go on, now and later.
    pub fn release(&self) {
        self.0.released.cancel();
    }
}

/// The faults of one fake hub. Rules are tried in the order they were added; the first that matches strikes.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rules: Arc<Mutex<Vec<Arc<Armed>>>>,
}

impl Faults {
    /// Adds a rule.
    pub fn add(&self, rule: FaultRule) -> FaultHandle {
        let armed = Arc::new(Armed {
            rule,
            seen: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
            released: CancellationToken::new(),
            places: Places::default(),
        });
        self.lock().push(Arc::clone(&armed));
        FaultHandle(armed)
    }

    /// Troubles the next matching request only.
    pub fn once(&self, server: Server, path_prefix: &str, fault: Fault) -> FaultHandle {
        self.add(FaultRule::new(server, path_prefix, fault).once())
    }

    /// Troubles every matching request until [`Self::clear`].
    pub fn always(&self, server: Server, path_prefix: &str, fault: Fault) -> FaultHandle {
        self.add(FaultRule::new(server, path_prefix, fault))
    }

    /// Forgets every rule and lets go of what they hold.
    pub fn clear(&self) {
        for armed in self.lock().drain(..) {
            armed.released.cancel();
        }
    }

    /// Lets everything that any rule holds back go on.
    pub fn release(&self) {
        for armed in self.lock().iter() {
            armed.released.cancel();
        }
    }

    pub(super) fn strike(&self, request: &Incoming) -> Option<Struck> {
        for armed in self.lock().iter().filter(|armed| armed.rule.matches(request)) {
            let seen = armed.seen.fetch_add(1, Ordering::SeqCst);
            let end = armed.rule.times.map(|times| armed.rule.skip.saturating_add(times));
            if seen >= armed.rule.skip && end.is_none_or(|end| seen < end) {
                armed.hits.fetch_add(1, Ordering::SeqCst);
                let fault = armed.rule.fault.clone();
                let place = match fault {
                    Fault::MostAtOnce(most) => armed.places.take(most),
                    _ => None,
                };
                return Some(Struck { fault, released: armed.released.clone(), place });
            }
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Armed>>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault about to happen to one request.
#[derive(Debug)]
pub(super) struct Struck {
    pub(super) fault: Fault,
    released: CancellationToken,
    place: Option<Place>,
}

impl Struck {
    /// Waits as the fault demands before anything is answered.
    pub(super) async fn hold(&self) {
        match &self.fault {
            Fault::Stall => self.released.cancelled().await,
            Fault::ReleaseAfter(wait) => tokio::time::sleep(*wait).await,
            _ => {}
        }
    }

    /// The answer that takes the true one's place, if this fault has one.
    pub(super) fn instead(&self) -> Option<Reply> {
        match &self.fault {
            Fault::HtmlLoginPage => Some(Reply::html(StatusCode::OK, LOGIN_PAGE)),
            Fault::Status { code, body, headers } => {
                let code = StatusCode::from_u16(*code).expect("a scripted status is between 100 and 999");
                let kind = if body.starts_with(['{', '[']) { "application/json" } else { "text/plain; charset=utf-8" };
                let reply = Reply::new(code, kind, body.clone());
                Some(headers.iter().fold(reply, |reply, (name, value)| reply.with_named(name, value)))
            }
            Fault::Body(bytes) => Some(Reply::new(StatusCode::OK, "application/octet-stream", bytes.clone())),
            Fault::RedirectTo(url) => Some(Reply::redirect(StatusCode::FOUND, url)),
            Fault::MostAtOnce(_) if self.place.is_none() => {
                Some(Reply::text(StatusCode::SERVICE_UNAVAILABLE, "one at a time"))
            }
            // An answer with a body that can break: of one without, such as a 304, the head would get out.
            Fault::HangUp => Some(Reply::new(StatusCode::OK, "text/plain; charset=utf-8", "lost")),
            _ => None,
        }
    }

    /// Turns the true answer into what goes over the wire.
    pub(super) fn send(self, reply: Reply) -> Response {
        let first_byte = first_byte(&reply.headers);
        let length = reply.body.len();
        match self.fault {
            Fault::TruncateBodyAfter(count) => {
                let kept = reply.body.slice(..at_most(count, length));
                reply.into_streamed(length as u64, Body::from_stream(pieces(kept).chain(cut())))
            }
            Fault::CorruptByteAt(offset) => {
                let mut body = reply.body.to_vec();
                let inside = offset.checked_sub(first_byte).and_then(|index| usize::try_from(index).ok());
                if let Some(byte) = inside.and_then(|index| body.get_mut(index)) {
                    *byte ^= 0xff;
                }
                reply.into_streamed(length as u64, Body::from(body))
            }
            Fault::StallBodyAfter(count) => {
                let body = reply.body.clone();
                let (head, tail) = (body.slice(..at_most(count, length)), body.slice(at_most(count, length)..));
                let released = self.released;
                let rest = stream::once(async move {
                    released.cancelled().await;
                    Ok(tail)
                });
                reply.into_streamed(length as u64, Body::from_stream(pieces(head).chain(rest)))
            }
            Fault::SlowBody { chunk, pause } => {
                let body = reply.body.clone();
                let slow = stream::unfold((body, false), move |(mut rest, started)| async move {
                    if rest.is_empty() {
                        return None;
                    }
                    if started {
                        tokio::time::sleep(pause).await;
                    }
                    let piece = rest.split_to(chunk.max(1).min(rest.len()));
                    Some((Ok::<Bytes, std::io::Error>(piece), (rest, true)))
                });
                reply.into_streamed(length as u64, Body::from_stream(slow))
            }
            Fault::Header { name, value } => reply.with_named(&name, &value).into_response(),
            Fault::MostAtOnce(_) => {
                let body = Box::pin(pieces(reply.body.clone()));
                let held = stream::unfold((body, self.place), |(mut body, place)| async move {
                    let piece = body.next().await?;
                    Some((piece, (body, place)))
                });
                reply.into_streamed(length as u64, Body::from_stream(held))
            }
            Fault::WrongContentLength(claimed) => {
                let body = reply.body.clone();
                reply.into_streamed(claimed, Body::from_stream(pieces(body).chain(cut())))
            }
            Fault::HangUp => {
                // An answer without a body, such as 304, would be complete before it is cut off.
                let reply = Reply::new(StatusCode::OK, "application/octet-stream", Bytes::from_static(b"cut"));
                let cut = stream::once(async { Err::<Bytes, _>(std::io::Error::other("the scripted hang-up")) });
                reply.into_streamed(length.max(1) as u64, Body::from_stream(cut))
            }
            Fault::HtmlLoginPage
            | Fault::Body(_)
            | Fault::Status { .. }
            | Fault::IgnoreRange
            | Fault::Stall
            | Fault::ReleaseAfter(_)
            | Fault::RedirectTo(_) => reply.into_response(),
        }
    }
}

/// The login page that a browser is shown; also what `/login` answers.
pub(super) const LOGIN_PAGE: &str = "<!DOCTYPE html><html lang=\"en\"><head><title>Sign in</title></head><body><h1>Sign in</h1>\
     <p>You need to be logged in to download this file.</p></body></html>";

/// Without the `Range` header: what a server that knows no ranges sees.
pub(super) fn without_range(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(header::RANGE);
    headers.remove(header::IF_RANGE);
    headers
}

/// The end of a connection in the middle of a body. The pause before it is needed because the HTTP library throws away
/// what it still holds when a body fails.
fn cut() -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    stream::once(async {
        tokio::time::sleep(BEFORE_A_CUT).await;
        Err(std::io::Error::other("the scripted end of the body"))
    })
}

fn at_most(count: u64, length: usize) -> usize {
    usize::try_from(count).map_or(length, |count| count.min(length))
}

fn first_byte(headers: &HeaderMap) -> u64 {
    let range = headers.get(header::CONTENT_RANGE).map(HeaderValue::as_bytes).unwrap_or_default();
    let digits: Vec<u8> =
        range.iter().copied().skip_while(|b| !b.is_ascii_digit()).take_while(u8::is_ascii_digit).collect();
    String::from_utf8_lossy(&digits).parse().unwrap_or_default()
}

fn pieces(mut body: Bytes) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    stream::iter(std::iter::from_fn(move || (!body.is_empty()).then(|| Ok(body.split_to(PIECE_BYTES.min(body.len()))))))
}
