//! The body of a request on its way in, whose sender is waited for, but not for ever. hyper reads a body of HTTP/1 for as long
//! as its sender likes, and HTTP/2's pings find those who have gone, and not those who dawdle.
//!
//! The rule is that of Apache's mod_reqtimeout (httpd 2.4, by default `RequestReadTimeout body=20,MinRate=500`): there are 20
//! seconds to wait in, and 500 bytes that come are worth one more. Other than there, nobody saves up more than those seconds,
//! so that a body that came fast is not waited for longer when it stops; and what a handler takes for itself, before it looks
//! for the next piece, is not counted against the sender.

use super::Limits;
use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use paintbox_domain::{ErrorClass, Failure, reason};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// How long a sender may still be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowance {
    left: Duration,
    most: Duration,
    bytes_a_second: u32,
}

impl Allowance {
    fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }

    fn earn(&mut self, bytes: usize) {
        let earned = Duration::from_secs_f64(bytes as f64 / f64::from(self.bytes_a_second.max(1)));
        self.left = self.left.saturating_add(earned).min(self.most);
    }
}

/// A request's body that does not wait for ever.
#[derive(Debug)]
pub(super) struct Awaited {
    body: Body,
    allowance: Allowance,
    /// Runs while nothing has come.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Tells that it was given up, once.
    gives_up: Option<oneshot::Sender<Failure>>,
    is_over: bool,
}

/// Why a body was given up; never, while it is not.
#[derive(Debug)]
pub(super) struct GivenUp(oneshot::Receiver<Failure>);

impl GivenUp {
    pub(super) async fn why(self) -> Failure {
        match self.0.await {
            Ok(failure) => failure,
            // The body came, or nobody wanted it.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Awaited {
    pub(super) fn new(body: Body, limits: &Limits) -> (Self, GivenUp) {
        let (gives_up, given_up) = oneshot::channel();
        let most = limits.sending;
        let allowance = Allowance { left: most, most, bytes_a_second: limits.sent_bytes_a_second };
        let awaited = Self { body, allowance, waiting: None, gives_up: Some(gives_up), is_over: false };
        (awaited, GivenUp(given_up))
    }

    /// Nothing more is read. Whoever listens answers the request and drops its handler; else the handler hears of it.
    fn give_up(&mut self) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_over = true;
        self.body = Body::empty();
        self.waiting = None;
        match self.gives_up.take().map(|gives_up| gives_up.send(too_slow())) {
            Some(Ok(())) => Poll::Pending,
            _ => self.broken(),
        }
    }

    fn broken(&self) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let error = io::Error::new(io::ErrorKind::TimedOut, too_slow().message);
        Poll::Ready(Some(Err(axum::Error::new(error))))
    }
}

fn too_slow() -> Failure {
    let message = "the body of the request came too slowly, or stopped before its end";
    Failure::new(ErrorClass::DeadlineExceeded, reason::BODY_TOO_SLOW, message)
}

impl http_body::Body for Awaited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.is_over {
            return this.broken();
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some((since, _)) = this.waiting.take() {
                this.allowance.spend(since.elapsed());
            }
            if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
                this.allowance.earn(data.len());
            }
            return Poll::Ready(frame);
        }
        let left = this.allowance.left;
        let (_, sleep) = this.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => this.give_up(),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.is_over && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use http_body_util::BodyExt as _;

    fn limits(sending: Duration) -> Limits {
        Limits { sending, ..Limits::USUAL }
    }

    #[test]
    fn bytes_buy_time_and_nobody_saves_it_up() {
        let most = Duration::from_secs(20);
        let mut allowance = Allowance { left: most, most, bytes_a_second: 500 };
        allowance.earn(96 << 20);
        assert_eq!(allowance.left, most);
        allowance.spend(Duration::from_secs(15));
        allowance.earn(1000);
        assert_eq!(allowance.left, Duration::from_secs(7));
        // A byte a minute is too little, and 500 a second are enough for ever.
        for _ in 0..1000 {
            allowance.spend(Duration::from_secs(1));
            allowance.earn(500);
        }
        assert_eq!(allowance.left, Duration::from_secs(7));
        allowance.spend(Duration::from_secs(60));
        allowance.earn(1);
        assert_eq!(allowance.left, Duration::from_millis(2));
    }

    #[tokio::test]
    async fn what_comes_is_passed_on_as_it_came() {
        let pieces = futures::stream::iter([Ok::<_, io::Error>("one"), Ok("two")]);
        let (body, given_up) = Awaited::new(Body::from_stream(pieces), &limits(Duration::ZERO));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "onetwo");
        assert!(futures::poll!(Box::pin(given_up.why())).is_pending());
    }

    #[tokio::test]
    async fn who_stops_is_given_up_and_so_is_whoever_reads_on() {
        let body = || {
            let pieces = futures::stream::iter([Ok::<_, io::Error>("one")]).chain(futures::stream::pending());
            Awaited::new(Body::from_stream(pieces), &limits(Duration::ZERO))
        };
        // Somebody listens: the reader hears nothing more.
        let (mut awaited, given_up) = body();
        assert_eq!(awaited.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        let reading = async {
            awaited.frame().await;
            unreachable!("the body is over, and the one who listens knows first")
        };
        let failure = tokio::select! {
            biased;
            failure = given_up.why() => failure,
            () = reading => unreachable!("it never ends"),
        };
        assert_eq!(failure.reason, reason::BODY_TOO_SLOW);
        // Nobody does.
        let (mut awaited, given_up) = body();
        drop(given_up);
        awaited.frame().await.unwrap().unwrap();
        for _ in 0..2 {
            assert!(awaited.frame().await.unwrap().is_err());
        }
    }
}
