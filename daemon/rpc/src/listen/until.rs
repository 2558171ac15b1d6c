//! The answer of a call until something ends it: its deadline, the end of its caller's right to it, or the daemon's end.
//!
//! What a handler has ready goes out first, so that a stream whose handler knows of the end says so itself. The daemon's
//! end is for streams that wait for something to happen, as a watch of the health service does; the others come to an end
//! of their own, or are cut when their time is over.

use super::call::{explained, trailers};
use crate::access::Lease;
use crate::status::failure_status;
use axum::body::{Body, Bytes};
use http_body::Frame;
use paintbox_domain::{ErrorClass, Failure, reason};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// An extension of a request: until when its sender may be answered.
#[derive(Debug, Clone)]
pub(super) struct Until {
    /// Until a token is deleted, or a session is over; none for callers that have nothing to lose.
    pub(super) lease: Option<Lease>,
    /// Cancelled when the daemon ends.
    pub(super) ending: CancellationToken,
}

/// The body of an answer.
pub(super) struct Bounded {
    body: Body,
    is_over: bool,
    until: Option<Until>,
    deadline: Option<Instant>,
    /// Made only for an answer that has to wait, which most have not.
    waiting: Option<Pin<Box<dyn Future<Output = Failure> + Send>>>,
}

impl Bounded {
    pub(super) fn new(body: Body, until: Option<Until>, deadline: Option<Instant>) -> Self {
        Self { body, is_over: false, until, deadline, waiting: None }
    }

    /// Why an answer that is always ready has to end now.
    fn is_cut(&self) -> Option<Failure> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Some(too_late());
        }
        let lease = self.until.as_ref().and_then(|until| until.lease.as_ref());
        lease.filter(|lease| lease.over.is_cancelled()).map(Lease::why)
    }

    fn end(&mut self, failure: &Failure) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_over = true;
        // The handler's stream ends here; nobody reads it any more.
        self.body = Body::empty();
        self.waiting = None;
        Poll::Ready(Some(Ok(Frame::trailers(trailers(&failure_status(failure))))))
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        if let Some(failure) = this.is_cut() {
            return this.end(&failure);
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map(explained)));
        }
        let (until, deadline) = (&this.until, this.deadline);
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(end_of(until.clone(), deadline)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(failure) => this.end(&failure),
            Poll::Pending => Poll::Pending,
        }
    }

    // The length is not passed on: a status may have to follow earlier than promised.
    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }
}

async fn end_of(until: Option<Until>, deadline: Option<Instant>) -> Failure {
    let late = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let (lease, ending) = until.map_or((None, None), |until| (until.lease, Some(until.ending)));
    let taken = async {
        match lease {
            Some(lease) => {
                lease.over.cancelled().await;
                lease.why()
            }
            None => std::future::pending().await,
        }
    };
    let ended = async {
        match ending {
            Some(ending) => ending.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = late => too_late(),
        failure = taken => failure,
        () = ended => Failure::new(ErrorClass::Unavailable, reason::SHUTTING_DOWN, "the daemon is ending"),
    }
}

pub(super) fn too_late() -> Failure {
    Failure::new(ErrorClass::DeadlineExceeded, reason::DEADLINE_EXCEEDED, "the deadline that the caller set has passed")
}
