//! Work on whole pictures, which may take a moment for tens of megabytes: it is done on threads of its own, so that nobody
//! else's answer waits for it.

use super::problem::Problem;
use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use paintbox_domain::{ErrorClass, Failure, reason};
use serde_json::Value;

/// What the work comes to.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    // Work that panics: the log has what it said.
    let lost = |_| Failure::new(ErrorClass::Internal, reason::INTERNAL, "the work ended without an answer");
    Ok(tokio::task::spawn_blocking(work).await.map_err(lost)?)
}

/// An answer with pictures in it.
pub(super) async fn json(answer: Value) -> Result<Response, Problem> {
    let bytes = aside(move || answer.to_string().into_bytes()).await?;
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
