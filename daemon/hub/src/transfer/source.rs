//! Where the pieces of one file come from, and whether an answer is the piece that was asked for.

use crate::body::Body;
use crate::download::{content_range, is_encoded, is_range, piece_headers};
use crate::error::HubError;
use crate::refusal::Asked;
use crate::site::{Site, shown};
use crate::transport::{Transport, is_redirect};
use http::header::{ETAG, HeaderMap};
use http::{HeaderValue, StatusCode};
use paintbox_domain::Classify;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// One file of a hub, as the first answer described it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(super) transport: Transport,
    site: Arc<Site>,
    /// The hub's own address of the file, which leads to the storage.
    url: Url,
    file: FileMark,
}

/// What every answer has to say for its bytes to be of the same file.
#[derive(Debug)]
struct FileMark {
    /// The strong entity tag.
    validator: HeaderValue,
    total_bytes: u64,
}

/// Whom a piece is asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// The hub, which leads to the storage or has the file itself.
    Hub,
    /// The storage, where the hub led us before. The address may be signed.
    Storage(Url),
}

/// Why a piece does not come.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The storage does not know its own address any longer; the hub may know another.
    Outdated(Url),
    Failed {
        error: HubError,
        /// How long the server itself asks to be left alone.
        asked_pause: Option<Duration>,
    },
}

impl From<HubError> for Trouble {
    fn from(error: HubError) -> Self {
        let asked_pause = error.retry_after();
        Self::Failed { error, asked_pause }
    }
}

impl Source {
    /// # Errors
    /// [`HubError::InvalidLocator`].
    pub(crate) fn new(
        transport: &Transport,
        site: &Arc<Site>,
        locator: &str,
        validator: HeaderValue,
        total_bytes: u64,
    ) -> Result<Self, HubError> {
        let (url, file) = (site.url(locator)?, FileMark { validator, total_bytes });
        Ok(Self { transport: transport.clone(), site: Arc::clone(site), url, file })
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.file.total_bytes
    }

    /// How pieces beside one that came from `url` are asked for. What the hub has itself is asked of the hub, in its
    /// gate and with the token.
    pub(super) fn route_to(&self, url: &Url) -> Route {
        if self.site.is_own_origin(url) { Route::Hub } else { Route::Storage(url.clone()) }
    }

    /// Asks for `bytes` and makes sure that they are what comes.
    pub(super) async fn ask(&self, route: &Route, bytes: &Range<u64>) -> Result<Body, Trouble> {
        let headers = piece_headers(bytes, Some(&self.file.validator));
        let answer = match route {
            Route::Hub => self.transport.get_more(&self.site, self.url.clone(), &headers).await?,
            Route::Storage(url) => self.transport.get_part(&self.site, url.clone(), headers).await?,
        };
        let (hub, url, status) = (answer.hub, shown(&answer.url), answer.response.status());
        if let Route::Storage(url) = route
            && is_outdated(status)
        {
            return Err(Trouble::Outdated(url.clone()));
        }
        match self.file.judge(status, answer.response.headers(), bytes) {
            Verdict::Good => Ok(Body::new(&self.transport, answer, Some(bytes.end - bytes.start))),
            Verdict::Replaced => Err(HubError::FileReplaced { hub, url }.into()),
            Verdict::Whole => {
                let expected_bytes = Some(bytes.end - bytes.start);
                Err(HubError::Truncated { hub, url, received_bytes: 0, expected_bytes, source: None }.into())
            }
            Verdict::Other(found) => Err(HubError::UnexpectedAnswer { hub, url, found }.into()),
            Verdict::Refused => {
                let refusal = self.transport.refusal(answer).await;
                let asked_pause = refusal.retry_after;
                Err(Trouble::Failed { error: refusal.into_error(&Asked::File), asked_pause })
            }
        }
    }
}

/// Signed addresses expire, and storages have many words for it; one that sends us on is no longer the last address.
fn is_outdated(status: StatusCode) -> bool {
    is_redirect(status) || matches!(status.as_u16(), 400 | 401 | 403 | 404 | 410)
}

/// What an answer is to a question for a piece.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// By now there is another file.
    Replaced,
    /// The same file from its first byte. Not every server behind one name need know ranges, so another may be asked;
    /// and whoever goes on later, from what came, is given the whole.
    Whole,
    /// No refusal, and nothing that could be put between the other pieces.
    Other(&'static str),
    Refused,
}

impl FileMark {
    fn judge(&self, status: StatusCode, headers: &HeaderMap, bytes: &Range<u64>) -> Verdict {
        let is_answer = status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE;
        if !is_answer {
            return Verdict::Refused;
        }
        let found = content_range(headers);
        let total = found.and_then(|(_, total)| total);
        let is_other = headers.get(ETAG).is_some_and(|etag| *etag != self.validator);
        if is_other || total.is_some_and(|total| total != self.total_bytes) {
            return Verdict::Replaced;
        }
        if status == StatusCode::OK && headers.contains_key(ETAG) {
            return Verdict::Whole;
        }
        if status != StatusCode::PARTIAL_CONTENT {
            return Verdict::Other("something else than the part of the file that was asked for");
        }
        if is_encoded(headers) {
            return Verdict::Other("a compressed file, which was not asked for");
        }
        let range = found.and_then(|(range, _)| range);
        if total.is_none() || !range.is_some_and(|range| is_range(range, bytes)) {
            return Verdict::Other("another part of the file than was asked for");
        }
        if !headers.contains_key(ETAG) {
            return Verdict::Other("a part of a file without saying of which");
        }
        Verdict::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_part_of_the_very_file_is_taken() {
        let file = FileMark { validator: HeaderValue::from_static("\"a\""), total_bytes: 100 };
        let judge = |status: u16, pairs: &[(&'static str, &str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            file.judge(StatusCode::from_u16(status).unwrap(), &headers, &(10..20))
        };
        let (range, etag) = (("content-range", "bytes 10-19/100"), ("etag", "\"a\""));
        assert_eq!(judge(206, &[range, etag]), Verdict::Good);
        assert_eq!(judge(206, &[range, etag, ("content-encoding", "identity")]), Verdict::Good);
        for (status, headers) in [
            (206, &[range, ("etag", "\"b\"")][..]),
            (206, &[range, ("etag", "W/\"a\"")]),
            (206, &[("content-range", "bytes 10-19/101"), etag]),
            (200, &[("etag", "\"b\"")]),
            (416, &[("content-range", "bytes */5")]),
        ] {
            assert_eq!(judge(status, headers), Verdict::Replaced, "{status} {headers:?}");
        }
        assert_eq!(judge(200, &[etag]), Verdict::Whole);
        for (status, headers) in [
            (206, &[range][..]),
            (206, &[etag]),
            (206, &[("content-range", "bytes 11-19/100"), etag]),
            (206, &[("content-range", "bytes 10-20/100"), etag]),
            (206, &[("content-range", "bytes 10-18/100"), etag]),
            (206, &[("content-range", "bytes 10-19/*"), etag]),
            (206, &[("content-range", "bytes 10-18446744073709551615/100"), etag]),
            (206, &[range, etag, ("content-encoding", "gzip")]),
            (200, &[]),
            (204, &[]),
            (416, &[("content-range", "bytes */100")]),
        ] {
            assert!(matches!(judge(status, headers), Verdict::Other(_)), "{status} {headers:?}");
        }
        for status in [302, 403, 404, 429, 503] {
            assert_eq!(judge(status, &[]), Verdict::Refused, "{status}");
        }
    }
}
