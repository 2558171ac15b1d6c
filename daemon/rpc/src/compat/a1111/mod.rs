//! What front ends use of AUTOMATIC1111's `/sdapi/v1`: Open WebUI and SillyTavern, and whatever else speaks it.
//!
//! Shapes and meanings are those of AUTOMATIC1111/stable-diffusion-webui 1.10 (`modules/api/api.py` and `models.py`,
//! `modules/processing.py`) and of Forge (lllyasviel/stable-diffusion-webui-forge dfdcbab6) where it adds to them. What those
//! have for a whole server, here each caller has for itself: the options, the progress, and whom an interruption reaches.
//!
//! - Where a request says nothing of steps, guidance or size, what suits the model is taken, and not A1111's 50, 7 and 512.
//! - What would be missing in the picture is refused by its name (`restore_faces`, `tiling`, refiners, scripts); what A1111
//!   itself lets pass unnoticed, such as styles, is ignored with a remark in `info`. Fields of no A1111 are neither read nor
//!   repeated: SillyTavern sends the address and password of the server along.
//! - One checkpoint is the caller's current one: that of its options, else the first by name.
//! - What its caller interrupts or skips is answered with 200 and the pictures that were done by then, as there; but one that
//!   is not done is not decoded for it, so that where A1111 sends a half-painted picture, none comes. What somebody else
//!   cancels is 409, because its caller wants to know.
//! - No grid is added to the pictures, and pictures are always kept as any other generation's.

mod answer;
mod asked;
mod control;
mod extras;
mod hires;
mod image;
mod lists;
mod options;
mod progress;
#[cfg(test)]
mod tests;

use super::Compat;
use super::aside;
use super::body;
use super::caller::CallerId;
use super::job::succeeded;
use super::problem::Problem;
use answer::Answer;
use asked::Asked;
use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{Method, Uri};
use paintbox_catalogue::GenerationRecord;
use paintbox_domain::ErrorClass;
use paintbox_domain::generation::{GenerationSpec, JobState};
use paintbox_generation::GenerationEvent;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Compat> {
    Router::new()
        .route("/sdapi/v1/txt2img", post(text_to_image).fallback(wrong_method))
        .route("/sdapi/v1/img2img", post(image_to_image).fallback(wrong_method))
        .route("/sdapi/v1/extra-single-image", post(enlarge).fallback(wrong_method))
        .route("/sdapi/v1/png-info", post(png_info).fallback(wrong_method))
        .route("/sdapi/v1/options", get(get_options).post(set_options).fallback(wrong_method))
        .route("/sdapi/v1/progress", get(get_progress).fallback(wrong_method))
        .route("/sdapi/v1/interrupt", post(interrupt).fallback(wrong_method))
        .route("/sdapi/v1/skip", post(skip).fallback(wrong_method))
        // What is here is always as it is, so that there is nothing to read anew.
        .route("/sdapi/v1/refresh-checkpoints", post(nothing_to_do).fallback(wrong_method))
        .route("/sdapi/v1/refresh-vae", post(nothing_to_do).fallback(wrong_method))
        .route("/sdapi/v1/refresh-loras", post(nothing_to_do).fallback(wrong_method))
        .route("/sdapi/v1/refresh-embeddings", post(nothing_to_do).fallback(wrong_method))
        .route("/sdapi/v1/{*list}", get(list).fallback(nothing))
}

/// A1111's form of an error (`modules/api/api.py`, `handle_exception`), with our reason beside it.
struct Refused(Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.log();
        let sentence = self.0.sentence();
        let body = json!({
            "error": if self.0.failure.class == ErrorClass::Internal { "InternalError" } else { "HTTPException" },
            "detail": sentence,
            "body": "",
            "errors": sentence,
            "reason": self.0.failure.reason,
        });
        self.0.response(body)
    }
}

async fn text_to_image(State(compat): State<Compat>, caller: CallerId, request: Request) -> Result<Response, Refused> {
    let (fields, _taken) = body::json(&compat.room, request).await?;
    let asked = Asked::read(&compat, &caller, &fields).await?;
    let answer = Answer::new(&asked, &fields, false);
    Ok(painted(&compat, &caller, asked, answer, "txt2img").await?)
}

async fn image_to_image(State(compat): State<Compat>, caller: CallerId, request: Request) -> Result<Response, Refused> {
    let (fields, _taken) = body::json(&compat.room, request).await?;
    let mut asked = Asked::read(&compat, &caller, &fields).await?;
    image::read(&compat, &fields, &mut asked).await?;
    let answer = Answer::new(&asked, &fields, fields.flag("include_init_images")?.unwrap_or(false));
    Ok(painted(&compat, &caller, asked, answer, "img2img").await?)
}

async fn painted(
    compat: &Compat,
    caller: &CallerId,
    asked: Asked,
    answer: Answer,
    job: &'static str,
) -> Result<Response, Problem> {
    let (record, is_interrupted) = ended(compat, caller, &asked.spec, job).await?;
    let whole = if is_interrupted && record.state == JobState::Cancelled {
        answer.interrupted().whole(compat, &record).await?
    } else {
        answer.whole(compat, &succeeded(record)?).await?
    };
    aside::json(whole).await
}

/// Asks the queue and waits, seen by the caller's progress and within reach of its interruptions: how it ended, and whether
/// the caller interrupted it.
async fn ended(
    compat: &Compat,
    caller: &CallerId,
    spec: &GenerationSpec,
    name: &'static str,
) -> Result<(GenerationRecord, bool), Problem> {
    let job = compat.ask(caller, spec, None, true).await?;
    let waiting = compat.callers.waits(caller, &job.uid, name);
    let see = |event: &GenerationEvent| {
        if let GenerationEvent::Preview(preview) = event {
            waiting.sees(Arc::clone(preview));
        }
    };
    let record = job.ended(see).await?;
    Ok((record, waiting.is_interrupted()))
}

async fn enlarge(State(compat): State<Compat>, caller: CallerId, request: Request) -> Result<Response, Refused> {
    let (fields, _taken) = body::json(&compat.room, request).await?;
    let spec = extras::read(&compat, &fields).await?;
    let (record, _) = ended(&compat, &caller, &spec, "extras").await?;
    let record = succeeded(record)?;
    let image =
        match record.images.first().filter(|_| fields.flag("show_extras_results").is_ok_and(|on| on != Some(false))) {
            Some(image) => Some(compat.base64_of(image.asset).await?),
            None => None,
        };
    Ok(aside::json(json!({ "html_info": "", "image": image })).await?)
}

async fn png_info(State(compat): State<Compat>, request: Request) -> Result<Response, Refused> {
    let (fields, _taken) = body::json(&compat.room, request).await?;
    Ok(axum::Json(aside::aside(move || extras::png_info(&fields)).await??).into_response())
}

async fn get_options(State(compat): State<Compat>, caller: CallerId) -> Result<Response, Refused> {
    Ok(axum::Json(options::all(&compat, &caller).await?).into_response())
}

async fn set_options(State(compat): State<Compat>, caller: CallerId, request: Request) -> Result<Response, Refused> {
    let (fields, _taken) = body::json(&compat.room, request).await?;
    options::set(&compat, &caller, &fields).await?;
    Ok(axum::Json(Value::Null).into_response())
}

async fn get_progress(
    State(compat): State<Compat>,
    caller: CallerId,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let skips = query.get("skip_current_image").is_some_and(|flag| ["true", "True", "1"].contains(&flag.as_str()));
    axum::Json(progress::of(&compat, &caller, !skips)).into_response()
}

async fn interrupt(State(compat): State<Compat>, caller: CallerId) -> Result<Response, Refused> {
    progress::stop(&compat, &caller, usize::MAX).await?;
    Ok(axum::Json(json!({})).into_response())
}

async fn skip(State(compat): State<Compat>, caller: CallerId) -> Result<Response, Refused> {
    progress::stop(&compat, &caller, 1).await?;
    Ok(axum::Json(Value::Null).into_response())
}

async fn nothing_to_do() -> Response {
    axum::Json(Value::Null).into_response()
}

async fn list(State(compat): State<Compat>, Path(name): Path<String>, address: Uri) -> Result<Response, Refused> {
    match lists::named(&compat, &name).await? {
        Some(list) => Ok(axum::Json(list).into_response()),
        None => Err(Problem::no_such_route(address.path()).into()),
    }
}

async fn nothing(address: Uri) -> Refused {
    Problem::no_such_route(address.path()).into()
}

async fn wrong_method(method: Method, address: Uri) -> Refused {
    Problem::wrong_method(method.as_str(), address.path()).into()
}
