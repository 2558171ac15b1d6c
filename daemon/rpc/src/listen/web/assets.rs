//! `/assets/{sha256}`: pictures by address, for the images of a page.

use super::bare;
use crate::listen::refusal::Form;
use crate::server::Api;
use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use paintbox_domain::{Classify, ErrorClass, Failure, Sha256, reason};
use tokio_util::io::ReaderStream;

/// What a picture may be. Anything else would be sent as bytes, whatever the catalogue calls it.
const PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const OTHER: &str = "application/octet-stream";
/// What has a digest for its name never changes. Only this user's browser keeps it.
const FOR_EVER: &str = "private, max-age=31536000, immutable";
/// Should a browser ever show one as a page, it does nothing.
const POLICY: &str = "default-src 'none'; sandbox";
const PIECE_BYTES: usize = 64 * 1024;

pub(crate) fn routes(api: Api) -> Router {
    Router::new().route("/assets/{sha256}", get(read)).with_state(api)
}

async fn read(
    extract::State(api): extract::State<Api>,
    extract::Path(name): extract::Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    match answer(&api, &name, &headers).await {
        Ok(response) => response,
        Err(failure) => Form::Json.refuse(&failure),
    }
}

async fn answer(api: &Api, name: &str, headers: &HeaderMap) -> Result<Response<Body>, Failure> {
    let absent = || {
        let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
        let message = format!("there is no picture `{name}`; its name is the 64 hexadecimal digits of its SHA-256");
        Failure::new(ErrorClass::NotFound, reason::ASSET_NOT_FOUND, message).with("name", name)
    };
    let of = |error: &dyn Classify| Failure::of(error);
    // Nothing but a digest gets further, so that no name is ever a path.
    let sha256: Sha256 = name.parse().map_err(|_| absent())?;
    let asset = api.catalogue.asset(&sha256).await.map_err(|error| of(&error))?.ok_or_else(absent)?;
    let tag = format!("\"{sha256}\"");
    let is_known = headers
        .get(IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag));
    let mut response = if is_known {
        bare(StatusCode::NOT_MODIFIED)
    } else {
        let store = api.store.clone();
        let lost = |_| Failure::new(ErrorClass::Internal, reason::INTERNAL, "the work ended without an answer");
        let opened = tokio::task::spawn_blocking(move || store.open_blob(&sha256)).await.map_err(lost)?;
        let file = tokio::fs::File::from_std(opened.map_err(|error| of(&error))?);
        let mut response = Response::new(Body::from_stream(ReaderStream::with_capacity(file, PIECE_BYTES)));
        response.headers_mut().insert(CONTENT_LENGTH, asset.size_bytes.into());
        response
    };
    let media_type = PICTURES.into_iter().find(|known| *known == asset.media_type).unwrap_or(OTHER);
    let fixed = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, FOR_EVER), (CONTENT_SECURITY_POLICY, POLICY)];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // Hexadecimal digits in quotation marks are a header.
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}
