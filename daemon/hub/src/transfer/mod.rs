//! A large file by several connections, handed on as one body.
//!
//! ```text
//!   Window: which bytes are next ──► ask a Source for them ──► bytes come ──► Window ──► handed on in order
//!               ▲                            │                     │
//!               └── the rest of a piece ◄────┴─── trouble ◄────────┘
//! ```
//!
//! Everything happens while the body is waited for, in the task of whoever reads it: there are no tasks of its own, so
//! dropping the body ends every connection, and a slow reader slows the servers down.

mod breadth;
mod source;
mod window;

pub(crate) use source::Source;

use crate::body::Body;
use crate::error::HubError;
use crate::politeness::Slot;
use crate::retry::{self, LONGEST_OBEYED_WAIT};
use breadth::Breadth;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt, TryStreamExt};
use source::{Route, Trouble};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use window::{Left, PieceId, Sizes, Window};

/// Enough to fill a home line from servers that give each connection a share only, and what browsers ask of one host.
const CONNECTIONS: usize = 4;
/// Long enough that asking costs little beside it: a tenth of a second is a fifth of its time at 10 MB/s.
const PIECE_BYTES: u64 = 4 << 20;
const SIZES: Sizes =
    Sizes { piece_bytes: PIECE_BYTES, window_bytes: PIECE_BYTES * CONNECTIONS as u64, least_halved_bytes: 512 << 10 };
/// With less than this left to fetch, one connection is done before others would have paid.
const WORTH_PIECES_BYTES: u64 = 16 << 20;
/// An answer that brought this much was worth asking for, so the failures before it do not count any longer.
const PROGRESS_BYTES: u64 = 64 << 10;

/// What to ask for first of a file that is here up to `offset` and whose length is thought to be `size_hint`. None if it
/// is not worth several connections, or nobody knows.
pub(crate) fn first_piece(offset: u64, size_hint: Option<u64>) -> Option<Range<u64>> {
    let left = size_hint?.saturating_sub(offset);
    (left > WORTH_PIECES_BYTES).then(|| offset..offset.saturating_add(PIECE_BYTES))
}

/// The file from `offset` on. `first` brings its first piece, of which `beginning` was read before.
pub(crate) fn in_pieces(
    source: Source,
    offset: u64,
    beginning: Option<Bytes>,
    first: Body,
) -> BoxStream<'static, Result<Bytes, HubError>> {
    let transfer = Transfer::begin(source, offset, beginning, first);
    stream::try_unfold(transfer, async |mut transfer| Ok(transfer.next().await?.map(|bytes| (bytes, transfer))))
        .into_stream()
        .boxed()
}

struct Transfer {
    source: Arc<Source>,
    window: Window,
    address: Address,
    /// One for each piece that is being brought: the next thing that happens to it.
    under_way: FuturesUnordered<BoxFuture<'static, Event>>,
    /// How many of those read a body.
    reading: usize,
    /// How many there may be under way.
    breadth: Breadth,
    /// Failures in a row of a piece that made no progress.
    failures: HashMap<PieceId, u32>,
    /// Nothing new is asked for earlier.
    quiet_until: Instant,
    /// How long the reader was kept waiting since the beginning. Pieces are timed by it, so that no connection counts
    /// as slow because its reader is.
    waited: Duration,
    /// What ends the body once everything before it was handed on.
    failure: Option<HubError>,
    /// Others wait while this transfer runs.
    _slot: Option<Slot>,
}

/// Where the storage is.
#[derive(Debug, PartialEq, Eq)]
enum Address {
    Known(Url),
    /// The hub has to be asked again.
    Outdated,
    /// It is being asked, together with a piece. The others wait.
    Asked,
}

struct Event {
    piece: PieceId,
    came: Came,
}

enum Came {
    /// The head of the right answer.
    Answer(Route, Body),
    Bytes(Body, Bytes),
    /// There was no right answer.
    Refusal(Route, Trouble),
    /// The body ended before its time.
    Break(Body, HubError),
}

impl Transfer {
    fn begin(source: Source, offset: u64, beginning: Option<Bytes>, mut first: Body) -> Self {
        let mut transfer = Self {
            window: Window::new(offset, source.total_bytes(), SIZES),
            source: Arc::new(source),
            address: Address::Known(first.url().clone()),
            under_way: FuturesUnordered::new(),
            reading: 0,
            breadth: Breadth::new(CONNECTIONS),
            failures: HashMap::new(),
            quiet_until: Instant::now(),
            waited: Duration::ZERO,
            failure: None,
            _slot: first.take_slot(),
        };
        if let Some((piece, _)) = transfer.window.claim(transfer.waited) {
            transfer.reading += 1;
            transfer.take_in(Event { piece, came: Came::Bytes(first, beginning.unwrap_or_default()) });
        }
        transfer
    }

    /// The next bytes of the file; none after the last.
    async fn next(&mut self) -> Result<Option<Bytes>, HubError> {
        loop {
            self.ask();
            // What has come is taken in before anything is handed on, so that no connection waits for the reader.
            while let Some(Some(event)) = self.under_way.next().now_or_never() {
                self.take_in(event);
                self.ask();
            }
            if let Some(bytes) = self.window.take() {
                return Ok(Some(bytes));
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if self.window.is_done() {
                return Ok(None);
            }
            self.wait().await;
        }
    }

    /// Waits until something happens, or until the piece that everything waits for has become slow.
    async fn wait(&mut self) {
        let began = Instant::now();
        let slow_from = self.window.slow_from(self.source.transport.timeouts.slow_piece).filter(|_| self.has_idle());
        let event = match slow_from.map(|from| from.saturating_sub(self.waited)) {
            Some(left) => tokio::time::timeout(left, self.under_way.next()).await,
            None => Ok(self.under_way.next().await),
        };
        self.waited += began.elapsed();
        match event {
            Ok(event) => event.into_iter().for_each(|event| self.take_in(event)),
            Err(_slow) => self.window.halve_head(self.waited),
        }
    }

    /// Whether there is a connection to spare. All that may be asked for is asked for by then.
    fn has_idle(&self) -> bool {
        self.under_way.len() < self.breadth.connections() && self.address != Address::Asked
    }

    /// Asks for as many pieces as may be under way.
    fn ask(&mut self) {
        while self.failure.is_none() && self.has_idle() {
            let Some((piece, bytes)) = self.window.claim(self.waited) else {
                return;
            };
            let route = match &self.address {
                Address::Known(url) => self.source.route_to(url),
                Address::Outdated | Address::Asked => {
                    self.address = Address::Asked;
                    Route::Hub
                }
            };
            let (source, quiet_until) = (Arc::clone(&self.source), self.quiet_until);
            self.under_way.push(
                async move {
                    if quiet_until > Instant::now() {
                        tokio::time::sleep_until(quiet_until).await;
                    }
                    let came = match source.ask(&route, &bytes).await {
                        Ok(body) => Came::Answer(route, body),
                        Err(trouble) => Came::Refusal(route, trouble),
                    };
                    Event { piece, came }
                }
                .boxed(),
            );
        }
    }

    fn take_in(&mut self, Event { piece, came }: Event) {
        match came {
            Came::Answer(route, body) => {
                self.reading += 1;
                if route == Route::Hub {
                    self.address = Address::Known(body.url().clone());
                }
                self.read(piece, body);
            }
            Came::Bytes(body, bytes) => match self.window.arrived(piece, bytes, self.waited) {
                Left::More => self.read(piece, body),
                // Dropping the body closes its connection, unless it was read to its end.
                Left::Nothing => {
                    self.reading -= 1;
                    self.failures.remove(&piece);
                    self.breadth.finished();
                }
            },
            Came::Refusal(_, Trouble::Outdated(url)) => {
                self.window.lost(piece);
                // Of several that find the same address outdated only the first has it asked for again.
                if self.address == Address::Known(url) {
                    tracing::debug!("the storage's address has expired; the hub is asked for another");
                    self.address = Address::Outdated;
                }
            }
            Came::Refusal(route, Trouble::Failed { error, asked_pause }) => {
                self.window.lost(piece);
                if route == Route::Hub && self.address == Address::Asked {
                    self.address = Address::Outdated;
                }
                self.bear(piece, error, asked_pause);
            }
            Came::Break(body, error) => {
                self.window.lost(piece);
                self.reading -= 1;
                if body.received_bytes() >= PROGRESS_BYTES {
                    self.failures.remove(&piece);
                    self.retry(piece, error);
                } else {
                    self.bear(piece, error, None);
                }
            }
        }
    }

    /// Has the next bytes of a body read.
    fn read(&self, piece: PieceId, mut body: Body) {
        self.under_way.push(
            async move {
                let came = match body.next().await {
                    Ok(Some(bytes)) => Came::Bytes(body, bytes),
                    Ok(None) => {
                        let error = body.truncated();
                        Came::Break(body, error)
                    }
                    Err(error) => Came::Break(body, error),
                };
                Event { piece, came }
            }
            .boxed(),
        );
    }

    /// A piece came no further. While others come, that is taken for a server that bears no more connections, and does
    /// not count against the piece.
    fn bear(&mut self, piece: PieceId, error: HubError, asked_pause: Option<Duration>) {
        self.breadth.refused(self.under_way.len());
        if self.reading == 0 || !is_passing(&error) || asked_pause.is_some_and(|pause| pause > LONGEST_OBEYED_WAIT) {
            return self.retry(piece, error);
        }
        tracing::debug!(%error, connections = self.breadth.connections(), "one connection fewer");
        self.be_quiet_for(asked_pause.unwrap_or_default());
    }

    /// The piece is asked for again after a pause, or the transfer ends.
    fn retry(&mut self, piece: PieceId, error: HubError) {
        let failures = self.failures.entry(piece).or_default();
        *failures += 1;
        match pause_after(&error, *failures, self.source.transport.timeouts.first_retry) {
            Some(pause) => {
                tracing::debug!(%error, failures, "a piece is asked for again");
                self.be_quiet_for(pause);
            }
            None => {
                self.under_way.clear();
                self.failure = Some(error);
            }
        }
    }

    fn be_quiet_for(&mut self, pause: Duration) {
        self.quiet_until = self.quiet_until.max(Instant::now() + pause);
    }
}

/// Whether the line or the server was at fault, and not what was asked for.
fn is_passing(error: &HubError) -> bool {
    matches!(
        error,
        HubError::RateLimited { .. }
            | HubError::ServerFailed { .. }
            | HubError::Unreachable { .. }
            | HubError::TimedOut { .. }
            | HubError::Truncated { .. }
    )
}

/// How long to wait after so many failures of a piece, or none to give up.
fn pause_after(error: &HubError, failures: u32, first_wait: Duration) -> Option<Duration> {
    match error {
        // An address that the hub has just named is not better for being named once more.
        HubError::ServerFailed { status: 401 | 403, .. } => None,
        // What is there already is kept, so that a silent connection costs no more than a broken one.
        HubError::TimedOut { .. } => retry::backoff(failures, first_wait),
        error => retry::wait_before_next(error, failures, first_wait),
    }
}
