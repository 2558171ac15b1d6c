//! What every gRPC call gets that tonic 0.14 does not give: a deadline over the whole of it, an end when its caller may
//! no longer call or the daemon ends (`until`), and a reason in errors that tonic itself makes.
//!
//! tonic looks at `grpc-timeout` in its own transport alone, until the head of the answer, and says CANCELLED
//! (tonic 0.14.9 `src/transport/service/grpc_timeout.rs`, `src/status.rs`). Here it covers streams as well and ends
//! with DEADLINE_EXCEEDED, as the protocol wants it (grpc/grpc `doc/PROTOCOL-HTTP2.md`, `doc/statuscodes.md`).

use super::refusal::Form;
use super::until::{Bounded, Until, too_late};
use crate::status::failure_status;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};
use http_body::Frame;
use paintbox_domain::{ErrorClass, Failure, reason};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status};

const STATUS: &str = "grpc-status";
const DETAILS: &str = "grpc-status-details-bin";
const TIMEOUT: &str = "grpc-timeout";
const ENCODING: &str = "grpc-encoding";

/// The middleware in front of all services.
pub(crate) async fn keep_to_the_protocol(request: Request, next: Next) -> Response {
    let asked = match Asked::of(&request) {
        Ok(asked) => asked,
        Err(failure) => return Form::wanted_by(&request).refuse(&failure),
    };
    let until = request.extensions().get::<Until>().cloned();
    let deadline = asked.timeout.map(|timeout| Instant::now() + timeout);
    let answer = next.run(request);
    let mut response = match deadline {
        None => answer.await,
        // The handler is dropped, as it is when the caller leaves.
        Some(deadline) => match tokio::time::timeout_at(deadline, answer).await {
            Ok(response) => response,
            Err(_) => return failure_status(&too_late()).into_http(),
        },
    };
    if let Some(status) = Status::from_header_map(response.headers())
        && let Some(better) = asked.explain(&status, response.headers())
    {
        response = better.into_http();
    }
    response.map(|body| Body::new(Bounded::new(body, until, deadline)))
}

/// What the head of a request says that its answer depends on.
struct Asked {
    uri: Uri,
    is_compressed: bool,
    timeout: Option<Duration>,
}

impl Asked {
    fn of(request: &Request) -> Result<Self, Failure> {
        let headers = request.headers();
        let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        if !kind.starts_with(b"application/grpc") {
            let message = "a call has the content type `application/grpc`";
            return Err(Failure::new(ErrorClass::Unsupported, reason::MEDIA_TYPE_UNSUPPORTED, message)
                .with("media_type", String::from_utf8_lossy(&kind[..kind.len().min(64)])));
        }
        let timeout = match headers.get(TIMEOUT) {
            None => None,
            Some(value) => Some(value.to_str().ok().and_then(timeout).ok_or_else(|| {
                let message = "`grpc-timeout` is 1 to 8 digits and one of H, M, S, m, u, n";
                Failure::new(ErrorClass::InvalidInput, reason::INVALID_ARGUMENT, message).with("field", TIMEOUT)
            })?),
        };
        let is_compressed = headers.get(ENCODING).is_some_and(|encoding| encoding != "identity");
        Ok(Self { uri: request.uri().clone(), is_compressed, timeout })
    }

    /// The status that says why, in the place of one that tonic made; none for one that is ours.
    fn explain(&self, status: &Status, headers: &HeaderMap) -> Option<Status> {
        if status.code() == Code::Ok || headers.contains_key(DETAILS) {
            return None;
        }
        let path = self.uri.path();
        let failure = match status.code() {
            Code::Unimplemented if self.is_compressed => {
                // Nothing is unpacked, so that nothing small becomes large.
                let message = "compressed messages are not taken; send them as they are";
                Failure::new(ErrorClass::Unsupported, reason::UNSUPPORTED_SETTING, message).with("field", ENCODING)
            }
            Code::Unimplemented => {
                let message = format!("this daemon has no method {path}");
                Failure::new(ErrorClass::Unsupported, reason::METHOD_UNKNOWN, message).with("method", path)
            }
            // What our handlers say has details, so this is what tonic says of bytes that are no message.
            Code::Internal => {
                let message = format!("the request cannot be read: {}", status.message());
                Failure::new(ErrorClass::InvalidInput, reason::INVALID_ARGUMENT, message)
            }
            Code::OutOfRange | Code::ResourceExhausted => too_large(status.message()),
            _ => return None,
        };
        Some(failure_status(&failure))
    }
}

fn too_large(said: &str) -> Failure {
    Failure::new(ErrorClass::Exhausted, reason::MESSAGE_TOO_LARGE, format!("no message is over 1 MiB: {said}"))
}

/// `Timeout → TimeoutValue TimeoutUnit` of PROTOCOL-HTTP2.md.
fn timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(value * 3600)),
        'M' => Some(Duration::from_secs(value * 60)),
        'S' => Some(Duration::from_secs(value)),
        'm' => Some(Duration::from_millis(value)),
        'u' => Some(Duration::from_micros(value)),
        'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// The end of a stream with a reason. A message that is too large to send is found out only there.
pub(super) fn explained(frame: Frame<Bytes>) -> Frame<Bytes> {
    let Some(status) = frame.trailers_ref().filter(|trailers| !trailers.contains_key(DETAILS)) else { return frame };
    match Status::from_header_map(status) {
        Some(status) if status.code() == Code::OutOfRange => {
            Frame::trailers(trailers(&failure_status(&too_large(status.message()))))
        }
        _ => frame,
    }
}

pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    if status.add_header(&mut headers).is_err() {
        // Only a status that no header can hold; its code always can.
        headers.insert(STATUS, (status.code() as i32).into());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_the_protocol_has_it() {
        assert_eq!(timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("1u"), Some(Duration::from_micros(1)));
        assert_eq!(timeout("0n"), Some(Duration::ZERO));
        for text in ["", "S", "5", "5s", "123456789S", "-1S", "1.5S", "+1S", "5µ"] {
            assert_eq!(timeout(text), None, "{text}");
        }
    }
}
