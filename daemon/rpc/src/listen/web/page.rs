//! The page that a browser signs in with, and on which it may try what it is allowed. It holds nothing that is not in this
//! repository, and speaks to nobody but the daemon.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};

/// The page itself and what it is made of; every one of them is public.
pub(super) const PATHS: [&str; 4] = ["/", "/session.js", "/page.css", "/icon.svg"];
/// Its own script and style, its own requests, pictures from here; nothing else, and in no frame. `data:` is a picture that an
/// answer brought along.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn page() -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, include_str!("page.html")).into_response()
}

pub(super) async fn script() -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("session.js")).into_response()
}

pub(super) async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page.css")).into_response()
}

pub(super) async fn icon() -> Response {
    let headers = [(CONTENT_TYPE, "image/svg+xml"), (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox")];
    (headers, include_str!("icon.svg")).into_response()
}
