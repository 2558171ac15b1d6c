//! Whose page sent a request, and which host it believes to speak to.

use super::bare;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use paintbox_domain::{ErrorClass, Failure, reason};

const SITE: &str = "sec-fetch-site";
/// What gRPC-Web and JSON clients send (grpc/grpc-web, connectrpc.com/docs/cors).
const ALLOWED_HEADERS: &str = "authorization, content-type, grpc-timeout, idempotency-key, x-grpc-web, x-user-agent";
/// What they read.
const EXPOSED_HEADERS: &str = "grpc-message, grpc-status, grpc-status-details-bin, retry-after";
/// How long a browser may remember what it was allowed. Chromium caps it at two hours.
const PREFLIGHT_SECONDS: &str = "7200";
/// Longest part of a header that a refusal repeats.
const LONGEST_SHOWN: usize = 128;

/// Who may send.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) scheme: &'static str,
    /// Lower-case, with ports.
    pub(super) hosts: Vec<String>,
    /// Lower-case.
    pub(super) origins: Vec<String>,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing<'a> {
    /// Our own page sent it.
    Own,
    /// A page of an origin that the configuration names sent it.
    Named(&'a str),
    /// No page says that it sent it: a program, a browser's address bar, or an image of our own page.
    Alone,
}

impl Standing<'_> {
    /// A cookie proves only that the browser has it, not whose page made it be sent.
    pub(super) fn may_use_cookies(self, headers: &HeaderMap) -> bool {
        match self {
            Self::Own => true,
            Self::Named(_) => false,
            Self::Alone => site(headers).is_some_and(|site| matches!(site, "same-origin" | "none")),
        }
    }
}

impl Sender {
    /// The host that the request names, if it is one of ours. HTTP/2 names it in `:authority`, HTTP/1 in `Host`, and
    /// a request may do both.
    pub(super) fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<String, Failure> {
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        let named = headers.get_all(HOST).into_iter().map(HeaderValue::as_bytes);
        let mut found = None;
        for given in authority.into_iter().chain(named) {
            let host = String::from_utf8_lossy(given).to_ascii_lowercase();
            let is_same = found.as_ref().is_none_or(|found| *found == host);
            if !is_same || !self.hosts.contains(&host) {
                return Err(forbidden_host(&host));
            }
            found = Some(host);
        }
        found.ok_or_else(|| forbidden_host(""))
    }

    pub(super) fn standing<T>(&self, host: &str, request: &Request<T>, is_page: bool) -> Result<Standing<'_>, Failure> {
        let headers = request.headers();
        let mut origins = headers.get_all(ORIGIN).into_iter();
        if let Some(origin) = origins.next() {
            let given = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
            if origins.next().is_some() {
                return Err(forbidden_origin(&given));
            }
            if given.strip_prefix(self.scheme).and_then(|rest| rest.strip_prefix("://")) == Some(host) {
                return Ok(Standing::Own);
            }
            let known = self.origins.iter().find(|known| **known == given);
            return known.map(|known| Standing::Named(known)).ok_or_else(|| forbidden_origin(&given));
        }
        match site(headers) {
            None | Some("same-origin" | "none") => Ok(Standing::Alone),
            // A link to the page is harmless: it holds nothing and does nothing before it is asked to.
            Some(_) if is_page && is_visit(request) => Ok(Standing::Alone),
            Some(_) => Err(forbidden("a page of another site asked, and does not say which")),
        }
    }
}

/// Somebody follows a link.
fn is_visit<T>(request: &Request<T>) -> bool {
    let is = |name: &str, wanted: &str| request.headers().get(name).is_some_and(|value| value == wanted);
    *request.method() == Method::GET && is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

/// An unreadable one is none that we know.
fn site(headers: &HeaderMap) -> Option<&str> {
    headers.get(SITE).map(|site| site.to_str().unwrap_or_default())
}

fn forbidden_host(host: &str) -> Failure {
    let host = shown(host);
    let message = format!("the request is for the host `{host}`, which is none of this listener's");
    Failure::new(ErrorClass::AccessDenied, reason::HOST_FORBIDDEN, message)
        .with("host", host)
        .with_hint("`[listen] hosts` in config.toml names further hosts, with their ports")
}

fn forbidden_origin(origin: &str) -> Failure {
    let origin = shown(origin);
    forbidden(&format!("pages of {origin} may not call this listener")).with("origin", origin)
}

pub(super) fn forbidden(message: &str) -> Failure {
    Failure::new(ErrorClass::AccessDenied, reason::ORIGIN_FORBIDDEN, message)
        .with_hint("`[listen] origins` in config.toml names the origins whose pages may")
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_SHOWN).collect()
}

/// What lets a page of a named origin read an answer. It may not send cookies.
#[derive(Debug)]
pub(in crate::listen) struct Cors<'a> {
    origin: &'a str,
}

impl<'a> Cors<'a> {
    pub(super) fn new(origin: &'a str) -> Self {
        Self { origin }
    }

    pub(super) fn origin(&self) -> &'a str {
        self.origin
    }

    pub(in crate::listen) fn allow(&self, headers: &mut HeaderMap) {
        if let Ok(origin) = HeaderValue::from_str(self.origin) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }

    pub(super) fn preflight(&self) -> Response<axum::body::Body> {
        let mut response = bare(StatusCode::NO_CONTENT);
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
            (ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender {
            scheme: "http",
            hosts: vec!["127.0.0.1:7860".to_owned(), "localhost:7860".to_owned()],
            origins: vec!["http://localhost:5173".to_owned()],
        }
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request = Request::builder().uri(uri);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn only_our_own_names_are_hosts() {
        let host = |uri: &str, headers: &[(&str, &str)]| {
            let request = request(uri, headers);
            sender().host(request.uri(), request.headers()).map_err(|failure| failure.reason)
        };
        assert_eq!(host("/", &[("host", "LocalHost:7860")]), Ok("localhost:7860".to_owned()));
        assert_eq!(host("http://localhost:7860/", &[]), Ok("localhost:7860".to_owned()));
        assert_eq!(host("http://localhost:7860/", &[("host", "localhost:7860")]), Ok("localhost:7860".to_owned()));
        let evil = [
            ("/", &[("host", "evil.example:7860")][..]),
            ("/", &[("host", "localhost")]),
            ("/", &[("host", "localhost:7861")]),
            ("/", &[("host", "localhost.:7860")]),
            ("/", &[("host", "localhost:7860.evil.example")]),
            ("/", &[("host", "")]),
            ("/", &[]),
            ("/", &[("host", "localhost:7860"), ("host", "evil.example")]),
            ("http://evil.example/", &[("host", "localhost:7860")]),
            ("http://localhost:7860/", &[("host", "127.0.0.1:7860")]),
            ("http://me@localhost:7860/", &[]),
        ];
        for (uri, headers) in evil {
            assert_eq!(host(uri, headers), Err("HOST_FORBIDDEN".to_owned()), "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_page_stands_by_its_origin_and_by_what_the_browser_says_of_it() {
        let standing = |headers: &[(&str, &str)], is_page| {
            let sender = sender();
            let request = request("/", headers);
            let found = sender.standing("localhost:7860", &request, is_page);
            found.map(|standing| (format!("{standing:?}"), standing.may_use_cookies(request.headers()))).ok()
        };
        let is = |standing: &str, cookies| Some((standing.to_owned(), cookies));
        assert_eq!(standing(&[("origin", "http://localhost:7860")], false), is("Own", true));
        assert_eq!(
            standing(&[("origin", "http://localhost:5173"), (SITE, "same-site")], false),
            is("Named(\"http://localhost:5173\")", false)
        );
        assert_eq!(standing(&[], false), is("Alone", false));
        assert_eq!(standing(&[(SITE, "same-origin")], false), is("Alone", true));
        assert_eq!(standing(&[(SITE, "none")], false), is("Alone", true));
        let visit = [(SITE, "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(standing(&visit, true), is("Alone", false));
        for headers in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "https://localhost:7860")],
            &[("origin", "http://127.0.0.1:7860")],
            &[("origin", "http://localhost:7860.evil.example")],
            &[("origin", "http://localhost:7860"), ("origin", "http://evil.example")],
            &[(SITE, "cross-site")],
            &[(SITE, "same-site")],
            &[(SITE, "")],
            &visit,
        ] {
            assert_eq!(standing(headers, false), None, "{headers:?}");
        }
        assert_eq!(standing(&[(SITE, "cross-site"), ("sec-fetch-mode", "no-cors")], true), None);
    }
}
