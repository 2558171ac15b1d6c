//! OpenAI's Images API: `POST /v1/images/generations`, `POST /v1/images/edits`, `GET /v1/models`.
//!
//! As the `openai` client for Python has it (openai/openai-python, package `openai` 3.57.0: `resources/images.py` and
//! `types/image_*.py` for the requests, answers and events, `_exceptions.py` for errors, `_streaming.py` for how a stream
//! is read). Fields that are not known are ignored, as are those that mean nothing here (`user`, `moderation`, …). Pictures
//! are always sent in base64, also where `response_format` asks for an address: whoever fetches an address sends its token
//! along.
//!
//! `model` is a model reference or a name that `GET /v1/models` or the catalogue knows; without one, the only model that is
//! here. Beyond OpenAI's own fields these are understood: `negative_prompt`, `seed`, `steps`, `guidance_scale`, `sampler`,
//! `schedule`, and in edits `strength`. A request with an `Idempotency-Key` may be repeated; see [`super`] for what becomes
//! of one whose caller leaves.

mod answer;
mod edit;
mod models;
mod stream;
#[cfg(test)]
mod tests;
mod wanted;

use super::Compat;
use super::aside;
use super::body::{self, LARGEST_FORM_BYTES};
use super::caller::CallerId;
use super::job::Job;
use super::problem::Problem;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};

use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use paintbox_domain::ErrorClass;
use serde_json::json;
use wanted::Wanted;

pub(super) fn routes() -> Router<Compat> {
    let images = Router::new()
        .route("/v1/images/generations", post(generations).fallback(wrong_method))
        .route("/v1/images/edits", post(edits).fallback(wrong_method))
        // Each part of a form has its own limit.
        .layer(DefaultBodyLimit::max(LARGEST_FORM_BYTES));
    Router::new()
        .route("/v1/models", get(models).fallback(wrong_method))
        .route("/v1/models/{*id}", get(model).fallback(wrong_method))
        .route("/v1/{*rest}", any(nothing))
        .merge(images)
}

/// OpenAI's form of an error (`_exceptions.py`, `APIError`), with the reason as its code.
struct Refused(Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.log();
        let mut response = self.0.response(json!({ "error": error(&self.0) }));
        // The client repeats by itself what it takes for a passing fault, and would paint again what cannot be painted.
        let passes = match self.0.failure.class {
            ErrorClass::Unavailable => Some("true"),
            ErrorClass::Exhausted => None,
            _ => Some("false"),
        };
        if let Some(passes) = passes {
            response.headers_mut().insert("x-should-retry", HeaderValue::from_static(passes));
        }
        response
    }
}

fn error(problem: &Problem) -> serde_json::Value {
    let kind = match problem.status() {
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    json!({
        "message": problem.sentence(),
        "type": kind,
        "param": problem.field(),
        "code": problem.failure.reason,
    })
}

async fn generations(State(compat): State<Compat>, caller: CallerId, request: Request) -> Result<Response, Refused> {
    let key = key(request.headers())?;
    let (fields, _taken) = body::json(&compat.room, request).await?;
    let wanted = Wanted::read(&compat, &fields).await?;
    Ok(respond(compat, &caller, wanted, key.as_deref()).await?)
}

async fn edits(State(compat): State<Compat>, caller: CallerId, request: Request) -> Result<Response, Refused> {
    let key = key(request.headers())?;
    let form = body::form(&compat.room, request).await?;
    let wanted = edit::read(&compat, form).await?;
    Ok(respond(compat, &caller, wanted, key.as_deref()).await?)
}

/// Asks the queue, and answers with all pictures at the end or with events on the way.
async fn respond(compat: Compat, caller: &CallerId, wanted: Wanted, key: Option<&str>) -> Result<Response, Problem> {
    let Wanted { spec, answer, stream } = wanted;
    let job: Job = compat.ask(caller, &spec, key, stream.is_some_and(|partials| partials > 0)).await?;
    match stream {
        Some(partials) => Ok(stream::respond(compat, job, answer, partials)),
        None => {
            let record = job.finished().await?;
            aside::json(answer.whole(&compat, &record).await?).await
        }
    }
}

async fn models(State(compat): State<Compat>) -> Result<Response, Refused> {
    Ok(axum::Json(models::list(&compat).await?).into_response())
}

async fn model(State(compat): State<Compat>, Path(id): Path<String>) -> Result<Response, Refused> {
    Ok(axum::Json(models::one(&compat, &id).await?).into_response())
}

async fn nothing(address: Uri) -> Refused {
    Problem::no_such_route(address.path()).into()
}

async fn wrong_method(method: Method, address: Uri) -> Refused {
    Problem::wrong_method(method.as_str(), address.path()).into()
}

/// The name that the caller gave its request.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    const NAME: &str = "Idempotency-Key";
    let Some(value) = headers.get(NAME) else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim).filter(|key| !key.is_empty());
    text.map(|key| Some(key.to_owned())).ok_or_else(|| Problem::invalid(NAME, "it is empty or no plain text"))
}
