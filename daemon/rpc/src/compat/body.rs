//! Requests' bodies, as large as pictures make them and no larger.

use super::aside::aside;
use super::fields::Fields;
use super::problem::Problem;
use crate::asset::LARGEST_PICTURE_BYTES;
use crate::room::{Room, Taken};
use axum::body::Body;
use axum::extract::{FromRequest as _, Multipart, Request};
use futures::StreamExt as _;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use std::error::Error;

/// What comes as JSON has its pictures in base64, which is a third longer: one of the largest kind, and a mask.
pub(super) const LARGEST_JSON_BYTES: usize = 96 << 20;
/// What comes as a form has them as they are.
pub(super) const LARGEST_FORM_BYTES: usize = 80 << 20;
/// Of a text in a form.
const LONGEST_TEXT_BYTES: usize = 256 << 10;
/// Parts of a form.
const MOST_PARTS: usize = 100;

/// A form's texts and files.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) fields: Fields,
    /// By name, in order; the brackets of `image[]` are left out.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Held as long as those are.
    pub(super) taken: Taken,
}

/// A JSON object, and what it takes of the room for as long as it is used.
pub(super) async fn json(room: &Room, request: Request) -> Result<(Fields, Taken), Problem> {
    if !media_type(&request).is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err(Problem::wrong_media_type("application/json"));
    }
    let mut taken = room.for_one();
    let bytes = whole(request.into_body(), &mut taken).await?;
    Ok((aside(move || Fields::read(&bytes)).await??, taken))
}

/// `multipart/form-data`.
pub(super) async fn form(room: &Room, request: Request) -> Result<Form, Problem> {
    if !media_type(&request).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/form-data")) {
        return Err(Problem::wrong_media_type("multipart/form-data"));
    }
    let refused = |problem: &dyn Error| Problem::invalid("body", format!("the form cannot be read: {problem}"));
    let mut parts = Multipart::from_request(request, &()).await.map_err(|error| refused(&error))?;
    let mut form = Form { fields: Fields::default(), files: Vec::new(), taken: room.for_one() };
    for _ in 0..MOST_PARTS {
        let Some(mut part) = parts.next_field().await.map_err(|error| part_problem(&error))? else { return Ok(form) };
        let name = part.name().unwrap_or_default().trim_end_matches("[]").to_owned();
        let is_file = part.file_name().is_some();
        let limit = if is_file { LARGEST_PICTURE_BYTES } else { LONGEST_TEXT_BYTES };
        let mut bytes = Vec::new();
        while let Some(piece) = part.chunk().await.map_err(|error| part_problem(&error))? {
            if bytes.len() + piece.len() > limit {
                return Err(Problem::too_large(&format!("`{name}`"), limit));
            }
            form.taken.more(piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        if is_file {
            form.files.push((name, bytes));
        } else {
            let text = String::from_utf8(bytes).map_err(|_| Problem::invalid(&name, "it is no text in UTF-8"))?;
            form.fields.put(name, text);
        }
    }
    Err(Problem::invalid("body", format!("it has more than {MOST_PARTS} parts")))
}

fn part_problem(error: &axum::extract::multipart::MultipartError) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("the request's body", LARGEST_FORM_BYTES),
        _ => Problem::invalid("body", format!("the form cannot be read: {}", error.body_text())),
    }
}

fn media_type(request: &Request) -> Option<&str> {
    let text = request.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    text.split(';').next().map(str::trim)
}

async fn whole(body: Body, taken: &mut Taken) -> Result<Vec<u8>, Problem> {
    let mut pieces = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Problem::invalid("body", format!("it did not come whole: {error}")))?;
        if bytes.len() + piece.len() > LARGEST_JSON_BYTES {
            return Err(Problem::too_large("the request's body", LARGEST_JSON_BYTES));
        }
        taken.more(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
