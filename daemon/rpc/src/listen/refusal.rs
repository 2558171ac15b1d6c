//! Refusals in the form that the sender reads: a gRPC status for gRPC and gRPC-Web, JSON for everything else.

use crate::status::failure_status;
use axum::body::Body;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use paintbox_domain::{ErrorClass, Failure};
use serde_json::json;

/// How a client reads an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// With the content type of the answer, which gRPC-Web wants to be its own.
    Grpc(HeaderValue),
    Json,
}

impl Form {
    pub(super) fn wanted_by<T>(request: &Request<T>) -> Self {
        match request.headers().get(CONTENT_TYPE) {
            Some(kind) if kind.as_bytes().starts_with(b"application/grpc") => Self::Grpc(kind.clone()),
            _ => Self::Json,
        }
    }

    pub(super) fn refuse(&self, failure: &Failure) -> Response<Body> {
        match self {
            Self::Grpc(kind) => {
                // A status alone, without a body, which both protocols take from the head ("Trailers-Only").
                let mut response: Response<Body> = failure_status(failure).into_http();
                response.headers_mut().insert(CONTENT_TYPE, kind.clone());
                response
            }
            Self::Json => refuse_in_json(failure),
        }
    }
}

/// `code` and `type` are what clients of OpenAI's API look at; the other fields are those of `paintbox --json`.
fn refuse_in_json(failure: &Failure) -> Response<Body> {
    let metadata: serde_json::Map<String, serde_json::Value> =
        failure.metadata.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let status = http_status(failure.class);
    let body = json!({"error": {
        "reason": failure.reason,
        "message": failure.message,
        "hint": failure.hint,
        "metadata": metadata,
        "code": failure.reason,
        "type": failure.class.as_str(),
    }});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(after) = failure.retry_after {
        headers.insert(RETRY_AFTER, after.as_secs().max(1).into());
    }
    response
}

fn http_status(class: ErrorClass) -> StatusCode {
    match class {
        ErrorClass::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorClass::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorClass::NotFound => StatusCode::NOT_FOUND,
        ErrorClass::AlreadyExists | ErrorClass::Conflict => StatusCode::CONFLICT,
        ErrorClass::Precondition => StatusCode::PRECONDITION_FAILED,
        ErrorClass::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorClass::AccessDenied => StatusCode::FORBIDDEN,
        ErrorClass::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorClass::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        // A deadline of the caller's own is gRPC's; this one is for its body (RFC 9110 §15.5.9).
        ErrorClass::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        ErrorClass::DataLoss | ErrorClass::Cancelled | ErrorClass::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
