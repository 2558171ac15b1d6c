//! Requests and answers as plain values, and the rules of serving a file: ranges, validators, not-modified.

use super::Server;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// One request, read to its end.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) server: Server,
    pub(super) method: Method,
    pub(super) path_and_query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Incoming {
    /// The path, percent-encoding untouched.
    pub(super) fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// The query, percent-encoding untouched.
    pub(super) fn query(&self) -> &str {
        self.path_and_query.split_once('?').map_or("", |(_, query)| query)
    }

    /// Every value of a query parameter.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        url::form_urlencoded::parse(self.query().as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }

    /// The last value of a query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).pop()
    }

    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The bearer token.
    pub(super) fn bearer(&self) -> Option<&str> {
        let value = self.header(header::AUTHORIZATION)?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// `http://host:port` as the client wrote it, which is what the real servers build their URLs from.
    pub(super) fn own_origin(&self) -> String {
        format!("http://{}", self.header(header::HOST).unwrap_or("localhost"))
    }
}

/// Undoes percent-encoding.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// One answer, its whole body at hand.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn new(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: HeaderMap::new(), body: body.into() }.with(header::CONTENT_TYPE, content_type)
    }

    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", value.to_string())
    }

    pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub(super) fn html(status: StatusCode, body: &'static str) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    pub(super) fn xml(status: StatusCode, body: String) -> Self {
        Self::new(status, "application/xml", body)
    }

    pub(super) fn redirect(status: StatusCode, location: &str) -> Self {
        Self::text(status, format!("{}. Redirecting to {location}", status.canonical_reason().unwrap_or_default()))
            .with(header::LOCATION, location)
    }

    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.insert(name, HeaderValue::from_str(value).expect("servers here write printable header values"));
        self
    }

    /// As [`Self::with`], for names that the library has no constant for.
    pub(super) fn with_named(self, name: &str, value: &str) -> Self {
        self.with(HeaderName::from_bytes(name.as_bytes()).expect("servers here write valid header names"), value)
    }

    pub(super) fn into_streamed(mut self, content_length: u64, body: Body) -> Response {
        self.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content_length));
        (self.status, self.headers, body).into_response()
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let length = self.body.len() as u64;
        let body = Body::from(self.body.clone());
        self.into_streamed(length, body)
    }
}

/// What a file server needs to know of one file.
#[derive(Debug, Clone)]
pub(super) struct ServedFile {
    pub(super) bytes: Bytes,
    /// With its quotes.
    pub(super) etag: String,
    pub(super) content_type: String,
}

/// Answers a GET or HEAD of a file: 200, 206, 304 or 416 as the request's range and validators ask.
pub(super) fn serve_file(request: &Incoming, file: &ServedFile) -> Reply {
    let total = file.bytes.len() as u64;
    let base = |status, body: Bytes| {
        Reply::new(status, &file.content_type, body)
            .with(header::ETAG, &file.etag)
            .with(header::ACCEPT_RANGES, "bytes")
            .with(header::LAST_MODIFIED, "Tue, 11 Aug 2026 21:25:04 GMT")
    };
    if is_known(request, &file.etag) {
        return base(StatusCode::NOT_MODIFIED, Bytes::new());
    }
    // A range that was made for another version of the file must not be mixed with this one (RFC 9110, 13.1.5).
    let range_applies = request.header(header::IF_RANGE).is_none_or(|tag| tag.trim() == file.etag);
    let range = request.header(header::RANGE).filter(|_| range_applies).and_then(|text| parse_range(text, total));
    match range {
        None => base(StatusCode::OK, file.bytes.clone()),
        Some(Range::Unsatisfiable) => base(StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new())
            .with(header::CONTENT_RANGE, &format!("bytes */{total}")),
        Some(Range::Inclusive { first, last }) => {
            let slice = file.bytes.slice(index(first)..index(last) + 1);
            base(StatusCode::PARTIAL_CONTENT, slice)
                .with(header::CONTENT_RANGE, &format!("bytes {first}-{last}/{total}"))
        }
    }
}

/// Whether the caller already has what `etag` stands for; weak and strong are the same here (RFC 9110, 13.1.2).
fn is_known(request: &Incoming, etag: &str) -> bool {
    let etag = etag.trim_start_matches("W/");
    request
        .header(header::IF_NONE_MATCH)
        .is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*"))
}

/// The reply with its validator, or 304 if the caller has it.
pub(super) fn unless_known(request: &Incoming, etag: &str, reply: Reply) -> Reply {
    let reply = reply.with(header::ETAG, etag);
    if !is_known(request, etag) {
        return reply;
    }
    let Reply { mut headers, .. } = reply;
    headers.remove(header::CONTENT_TYPE);
    Reply { status: StatusCode::NOT_MODIFIED, headers, body: Bytes::new() }
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Inclusive { first: u64, last: u64 },
    Unsatisfiable,
}

/// Reads a `Range` header; none for what a server may ignore (other units, several ranges, nonsense).
fn parse_range(text: &str, total: u64) -> Option<Range> {
    let spec = text.trim().strip_prefix("bytes=")?;
    let (first, last) = spec.split_once('-').filter(|_| !spec.contains(','))?;
    let (first, last) = if first.is_empty() {
        let count: u64 = last.parse().ok()?;
        if count == 0 {
            return Some(Range::Unsatisfiable);
        }
        (total.saturating_sub(count), total.checked_sub(1))
    } else {
        let last = if last.is_empty() { total.checked_sub(1) } else { Some(last.parse().ok()?) };
        (first.parse().ok()?, last.map(|last| last.min(total.saturating_sub(1))))
    };
    match last {
        Some(last) if first < total && first <= last => Some(Range::Inclusive { first, last }),
        _ => Some(Range::Unsatisfiable),
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("offsets inside a buffer fit its index")
}

/// The media type of a picture or model, from its bytes.
pub(super) fn content_type_of(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "video/mp4",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(HeaderName, &str)]) -> Incoming {
        Incoming {
            server: Server::HfCdn,
            method: Method::GET,
            path_and_query: "/file?a=1&a=2%7C3".to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
                .collect(),
            body: Bytes::new(),
        }
    }

    fn file() -> ServedFile {
        ServedFile {
            bytes: Bytes::from_static(b"0123456789"),
            etag: "\"tag\"".to_owned(),
            content_type: "application/octet-stream".to_owned(),
        }
    }

    #[test]
    fn ranges_are_answered_as_the_rfc_has_them() {
        let cases = [
            ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
            ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
            ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
            ("bytes=8-99", 206, "89", Some("bytes 8-9/10")),
            ("bytes=10-", 416, "", Some("bytes */10")),
            ("bytes=0-1,4-5", 200, "0123456789", None),
            ("lines=1-2", 200, "0123456789", None),
        ];
        for (range, status, body, content_range) in cases {
            let reply = serve_file(&request(&[(header::RANGE, range)]), &file());
            assert_eq!(reply.status.as_u16(), status, "{range}");
            assert_eq!(reply.body, body, "{range}");
            assert_eq!(reply.headers.get(header::CONTENT_RANGE).map(|v| v.to_str().unwrap()), content_range, "{range}");
        }
    }

    #[test]
    fn a_range_for_another_version_starts_over() {
        let same = serve_file(&request(&[(header::RANGE, "bytes=5-"), (header::IF_RANGE, "\"tag\"")]), &file());
        assert_eq!((same.status.as_u16(), same.body.len()), (206, 5));
        let other = serve_file(&request(&[(header::RANGE, "bytes=5-"), (header::IF_RANGE, "\"old\"")]), &file());
        assert_eq!((other.status.as_u16(), other.body.len()), (200, 10));
    }

    #[test]
    fn a_known_validator_is_not_sent_the_bytes_again() {
        let reply = serve_file(&request(&[(header::IF_NONE_MATCH, "W/\"x\", \"tag\"")]), &file());
        assert_eq!((reply.status.as_u16(), reply.body.len()), (304, 0));
    }

    #[test]
    fn repeated_and_encoded_parameters_are_read() {
        let request = request(&[]);
        assert_eq!(request.parameters("a"), ["1", "2|3"]);
        assert_eq!(request.parameter("b"), None);
        assert_eq!((request.path(), request.query()), ("/file", "a=1&a=2%7C3"));
    }
}
