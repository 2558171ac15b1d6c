//! `/session`: a browser signs in with a one-time code, asks what it may, and signs out.

use super::{State, bare};
use crate::access::SESSION_LIFE;
use crate::caller::Caller;
use crate::listen::refusal::Form;
use axum::Extension;
use axum::body::Body;
use axum::extract;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use paintbox_domain::{ErrorClass, Failure, reason};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// A code has 43 characters.
const LARGEST_BODY_BYTES: usize = 1024;
/// For a body from whoever has shown nothing yet.
const BODY_TIME: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct SignIn {
    code: String,
}

/// `POST {"code": CODE}`: what the browser may, and a cookie.
pub(super) async fn sign_in(extract::State(state): extract::State<State>, body: Body) -> Response<Body> {
    match exchange(&state, body).await {
        Ok(response) => response,
        Err(failure) => Form::Json.refuse(&failure),
    }
}

async fn exchange(state: &State, body: Body) -> Result<Response<Body>, Failure> {
    let invalid = |problem: &str| Failure::new(ErrorClass::InvalidInput, reason::INVALID_ARGUMENT, problem);
    let bytes = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, LARGEST_BODY_BYTES)).await;
    let bytes =
        bytes.ok().and_then(Result::ok).ok_or_else(|| invalid("the body is cut short, or longer than any code"))?;
    let asked: SignIn =
        serde_json::from_slice(&bytes).map_err(|_| invalid("the body is not of the form {\"code\": CODE}"))?;
    let (cookie, caller) = state.access.sessions.exchange(&asked.code)?;
    let mut response = about(&caller);
    response.headers_mut().insert(SET_COOKIE, state.cookie(&cookie, SESSION_LIFE.as_secs()));
    Ok(response)
}

/// `GET`: what the browser may.
pub(super) async fn show(Extension(caller): Extension<Caller>) -> Response<Body> {
    about(&caller)
}

/// `DELETE`: the session is over at once, with its streams.
pub(super) async fn sign_out(extract::State(state): extract::State<State>, headers: HeaderMap) -> Response<Body> {
    if let Some(cookie) = state.web.cookie_of(&headers) {
        state.access.sessions.end(&cookie);
    }
    let mut response = bare(StatusCode::NO_CONTENT);
    response.headers_mut().insert(SET_COOKIE, state.cookie("", 0));
    response
}

fn about(caller: &Caller) -> Response<Body> {
    let body = json!({"client": caller.id(), "scope": caller.scope().as_str()});
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl State {
    /// Of this host alone, unseen by scripts, and sent with no request that another site caused.
    fn cookie(&self, value: &str, seconds: u64) -> HeaderValue {
        let secure = if self.web.has_tls { "; Secure" } else { "" };
        let name = &self.web.cookie;
        let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        // Its parts are plain ASCII.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}
