//! One listener's way in: its gate, the bound on calls at once, and what stands behind them.

use super::Limits;
use super::connection::Connections;
use super::gate::{Gate, Verdict};
use super::intake::Awaited;
use super::refusal::Form;
use super::until::Until;
use super::web::make_harmless;
use crate::access::Access;
use axum::Router;
use axum::body::{Body, Bytes};
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use paintbox_domain::{ErrorClass, Failure, reason};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

#[derive(Debug)]
pub(super) struct Door {
    gate: Gate,
    access: Access,
    routes: Router,
    calls: Arc<Semaphore>,
    connections: Arc<Connections>,
    tasks: TaskTracker,
    limits: Limits,
    /// Cancelled when connections should end.
    ending: CancellationToken,
    /// Cancelled when they have to.
    given_up: CancellationToken,
}

impl Door {
    pub(super) fn new(
        gate: Gate,
        routes: Router,
        connections: Arc<Connections>,
        access: Access,
        ending: CancellationToken,
        limits: Limits,
    ) -> Self {
        Self {
            gate,
            access,
            routes,
            calls: Arc::new(Semaphore::new(limits.calls)),
            connections,
            tasks: TaskTracker::new(),
            limits,
            ending,
            given_up: CancellationToken::new(),
        }
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(super) fn connection_tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    pub(super) fn given_up(&self) -> &CancellationToken {
        &self.given_up
    }

    pub(super) fn speaks_http1(&self) -> bool {
        matches!(self.gate, Gate::Web(_))
    }

    /// Answers whatever comes; nothing that a client sends is an error of the connection.
    pub(super) async fn answer(&self, mut request: Request<Body>) -> Response<Body> {
        let form = Form::wanted_by(&request);
        let (verdict, cors) = self.gate.judge(&self.access, &request);
        let mut response = match verdict {
            Verdict::Pass(None) => self.pass(request, &form).await,
            Verdict::Pass(Some(admitted)) => {
                let caller = &admitted.caller;
                tracing::trace!(caller = caller.id(), label = caller.label(), path = request.uri().path(), "call");
                request.extensions_mut().insert(admitted.caller);
                request.extensions_mut().insert(Until { lease: admitted.until, ending: self.ending.clone() });
                self.pass(request, &form).await
            }
            Verdict::Answer(response) => response,
            Verdict::Refuse(failure) => {
                tracing::debug!(reason = failure.reason, path = request.uri().path(), "refused");
                form.refuse(&failure)
            }
        };
        if let Gate::Web(_) = self.gate {
            make_harmless(response.headers_mut());
        }
        if let Some(cors) = cors {
            cors.allow(response.headers_mut());
        }
        response
    }

    async fn pass(&self, request: Request<Body>, form: &Form) -> Response<Body> {
        let Ok(permit) = Arc::clone(&self.calls).try_acquire_owned() else {
            let message = format!("this listener answers {} calls already", self.limits.calls);
            let mut failure = Failure::new(ErrorClass::Exhausted, reason::DAEMON_BUSY, message);
            failure.retry_after = Some(Duration::from_secs(1));
            return form.refuse(&failure);
        };
        let Ok(response) = match (&self.gate, request.body().is_end_stream()) {
            (Gate::Web(_), false) => {
                let (parts, body) = request.into_parts();
                let (body, given_up) = Awaited::new(body, &self.limits);
                tokio::select! {
                    biased;
                    // The handler is dropped, as it is when the caller leaves.
                    failure = given_up.why() => return form.refuse(&failure),
                    response = self.routes.clone().oneshot(Request::from_parts(parts, Body::new(body))) => response,
                }
            }
            _ => self.routes.clone().oneshot(request).await,
        };
        response.map(|body| Body::new(Counted { body, _permit: permit }))
    }

    /// Waits for connections to end, and ends those that do not: hyper would wait for an open stream for ever
    /// (github hyperium/hyper#4170).
    pub(super) async fn drain(&self) {
        self.tasks.close();
        if tokio::time::timeout(self.limits.drain, self.tasks.wait()).await.is_err() {
            tracing::info!(connections = self.tasks.len(), "connections that did not end are closed");
            self.given_up.cancel();
            self.tasks.wait().await;
        }
    }
}

/// An answer that counts as a call until its last byte is sent.
#[derive(Debug)]
struct Counted {
    body: Body,
    _permit: OwnedSemaphorePermit,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
