//! What went wrong, before it is put into either interface's own form.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;
use paintbox_domain::{Classify, ErrorClass, Failure, reason};
use paintbox_generation::GenerationError;
use serde_json::Value;

/// A failure on its way to a caller over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) failure: Box<Failure>,
    /// Where HTTP has a word of its own for what happened.
    status: Option<StatusCode>,
}

impl Problem {
    /// A bad argument, by the name that the caller knows it by.
    pub(super) fn invalid(field: &str, problem: impl Into<String>) -> Self {
        let problem = format!("`{field}` cannot be used: {}", problem.into());
        Failure::new(ErrorClass::InvalidInput, reason::INVALID_ARGUMENT, problem).with("field", field).into()
    }

    /// Something that this interface has elsewhere and that is not done here.
    pub(super) fn unsupported(field: &str, problem: impl Into<String>) -> Self {
        let problem = format!("`{field}` is not supported: {}", problem.into());
        Failure::new(ErrorClass::InvalidInput, reason::UNSUPPORTED_SETTING, problem).with("field", field).into()
    }

    /// The same where the interface has a sentence of its own for it.
    pub(super) fn unprocessable(field: &str, message: impl Into<String>) -> Self {
        let failure = Failure::new(ErrorClass::InvalidInput, reason::UNSUPPORTED_SETTING, message);
        Self { failure: Box::new(failure.with("field", field)), status: Some(StatusCode::UNPROCESSABLE_ENTITY) }
    }

    pub(super) fn too_large(what: &str, limit_bytes: usize) -> Self {
        let message = format!("{what} is larger than {limit_bytes} bytes");
        let failure = Failure::new(ErrorClass::InvalidInput, reason::BODY_TOO_LARGE, message);
        let failure = failure.with("limit_bytes", limit_bytes.to_string());
        Self { failure: Box::new(failure), status: Some(StatusCode::PAYLOAD_TOO_LARGE) }
    }

    pub(super) fn no_such_route(path: &str) -> Self {
        let message = format!("there is nothing at {path}");
        Failure::new(ErrorClass::NotFound, reason::METHOD_UNKNOWN, message).with("path", path).into()
    }

    pub(super) fn wrong_method(method: &str, path: &str) -> Self {
        let message = format!("{path} does not take {method}");
        let failure = Failure::new(ErrorClass::InvalidInput, reason::METHOD_UNKNOWN, message);
        Self { failure: Box::new(failure.with("path", path)), status: Some(StatusCode::METHOD_NOT_ALLOWED) }
    }

    pub(super) fn wrong_media_type(wanted: &str) -> Self {
        let message = format!("the request's body must be {wanted}, and its content-type must say so");
        let failure = Failure::new(ErrorClass::Unsupported, reason::MEDIA_TYPE_UNSUPPORTED, message);
        Self { failure: Box::new(failure.with("wanted", wanted)), status: Some(StatusCode::UNSUPPORTED_MEDIA_TYPE) }
    }

    pub(super) fn shutting_down() -> Self {
        Failure::new(ErrorClass::Unavailable, reason::SHUTTING_DOWN, "the daemon is ending").into()
    }

    /// The status that says best what the failure's class means.
    pub(super) fn status(&self) -> StatusCode {
        self.status.unwrap_or(match self.failure.class {
            ErrorClass::InvalidInput | ErrorClass::Unsupported => StatusCode::BAD_REQUEST,
            ErrorClass::NotFound => StatusCode::NOT_FOUND,
            ErrorClass::AlreadyExists | ErrorClass::Conflict | ErrorClass::Cancelled => StatusCode::CONFLICT,
            ErrorClass::Precondition => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorClass::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorClass::AccessDenied => StatusCode::FORBIDDEN,
            ErrorClass::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorClass::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            ErrorClass::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            ErrorClass::DataLoss | ErrorClass::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        })
    }

    /// What happened and what to do about it, as text.
    pub(super) fn sentence(&self) -> String {
        match &self.failure.hint {
            Some(hint) => format!("{}; {hint}", self.failure.message),
            None => self.failure.message.clone(),
        }
    }

    /// The argument that is at fault, if one is.
    pub(super) fn field(&self) -> Option<&str> {
        self.failure.metadata.iter().find(|(key, _)| key == "field").map(|(_, field)| field.as_str())
    }

    /// An answer in an interface's own form, with what HTTP itself has to say.
    pub(super) fn response(&self, body: Value) -> Response {
        let mut response = (self.status(), axum::Json(body)).into_response();
        if let Some(after) = self.failure.retry_after {
            response.headers_mut().insert(RETRY_AFTER, after.as_secs().max(1).into());
        }
        response
    }

    /// The log gets faults of ours too, because nobody else will look into them.
    pub(super) fn log(&self) {
        if self.failure.class == ErrorClass::Internal {
            tracing::error!(reason = %self.failure.reason, "{}", self.failure.message);
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self { failure: Box::new(failure), status: None }
    }
}

impl From<GenerationError> for Problem {
    fn from(error: GenerationError) -> Self {
        error.failure().into()
    }
}

impl From<&dyn Classify> for Problem {
    fn from(error: &dyn Classify) -> Self {
        Failure::of(error).into()
    }
}
