//! What a site says about its limits in the headers of an answer.
//!
//! `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), and Hugging Face's `RateLimit: "api";r=489;t=163` with
//! `RateLimit-Policy: "fixed window";"api";q=500;w=300` (Hub documentation, `rate-limits.md`).

use http::HeaderMap;
use jiff::fmt::rfc2822::DateTimeParser;
use paintbox_domain::Hub;
use std::time::Duration;

use super::Kind;

/// What CivitAI's operators ask for when an account has downloaded unusually much: they name no end and ask to stay
/// away for hours (github civitai/civitai `src/pages/api/download/models/[modelVersionId].ts` @ ebed661630d3).
const UNNAMED_PAUSE: Duration = Duration::from_secs(3600);
/// No header is believed beyond this.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The state of a window that requests are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// What is counted in it, if the site's name for it is known.
    pub(super) of: Option<Kind>,
    /// Requests that are left in it.
    pub(super) remaining: u32,
    /// How long it still lasts.
    pub(super) resets_in: Duration,
    /// Requests that it had at its beginning, if the site says so.
    pub(super) quota: Option<u32>,
}

impl Window {
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let limit = text(headers, "ratelimit")?;
        Some(Self {
            of: match limit.split(';').next().map(|name| name.trim().trim_matches('"')) {
                Some("api") => Some(Kind::Question),
                Some("resolvers") => Some(Kind::Download),
                _ => None,
            },
            remaining: field(limit, "r")?,
            resets_in: Duration::from_secs(u64::from(field(limit, "t")?)).min(LONGEST_PAUSE),
            quota: text(headers, "ratelimit-policy").and_then(|policy| field(policy, "q")),
        })
    }
}

/// How long the site asks to be left alone: `Retry-After`, or what is left of an exhausted window.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, "retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    match seconds.or_else(|| until_date(headers)) {
        Some(wait) => Some(wait.min(LONGEST_PAUSE)),
        None => exhausted(headers),
    }
}

/// How long it is until the date in `Retry-After`, by the clock of the site, which may differ from ours.
fn until_date(headers: &HeaderMap) -> Option<Duration> {
    let date = |name| DateTimeParser::new().parse_timestamp(text(headers, name)?.trim()).ok();
    let wait = date("retry-after")?.duration_since(date("date")?);
    Some(wait.try_into().unwrap_or_default())
}

/// What is left of a window in which nothing is left.
fn exhausted(headers: &HeaderMap) -> Option<Duration> {
    let window = Window::read(headers)?;
    // A window ends somewhere inside its last second.
    (window.remaining == 0).then(|| window.resets_in + Duration::from_secs(1))
}

/// How long to stay away after an answer with `status`, where the site asks for it or is known to expect it. The answer
/// that uses up a window is a good one, and the next would be refused.
pub(crate) fn pause_asked_for(hub: Hub, kind: Kind, status: u16, headers: &HeaderMap) -> Option<Duration> {
    match status {
        429 if hub == Hub::Civitai && kind == Kind::Download => Some(retry_after(headers).unwrap_or(UNNAMED_PAUSE)),
        429 | 503 => retry_after(headers),
        _ => exhausted(headers),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `r` of `"api";r=489;t=163`.
fn field(header: &str, name: &str) -> Option<u32> {
    header.split([';', ',']).find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn waits_come_from_either_header() {
        assert_eq!(retry_after(&headers(&[("retry-after", "2")])), Some(Duration::from_secs(2)));
        let exhausted = headers(&[("ratelimit", "\"api\";r=0;t=163")]);
        assert_eq!(retry_after(&exhausted), Some(Duration::from_secs(164)));
        assert_eq!(retry_after(&headers(&[("ratelimit", "\"api\";r=9;t=163")])), None);
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
        let forever = headers(&[("retry-after", "99999999999")]);
        assert_eq!(retry_after(&forever), Some(LONGEST_PAUSE));
    }

    #[test]
    fn a_date_is_read_by_the_clock_of_the_site() {
        let sent =
            |retry: &str| retry_after(&headers(&[("retry-after", retry), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")]));
        assert_eq!(sent("Sun, 06 Nov 1994 08:51:07 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(sent("Sun, 06 Nov 1994 08:40:00 GMT"), Some(Duration::ZERO), "it is over");
        assert_eq!(sent("Mon, 06 Nov 2034 08:40:00 GMT"), Some(LONGEST_PAUSE));
        assert_eq!(sent("Sun, 06 Nov 1994"), None);
        let undated = headers(&[("retry-after", "Sun, 06 Nov 1994 08:51:07 GMT")]);
        assert_eq!(retry_after(&undated), None);
    }

    #[test]
    fn a_window_is_read_with_its_quota() {
        let told = headers(&[
            ("ratelimit", "\"api\";r=489;t=163"),
            ("ratelimit-policy", "\"fixed window\";\"api\";q=500;w=300"),
        ]);
        let window =
            Window { of: Some(Kind::Question), remaining: 489, resets_in: Duration::from_secs(163), quota: Some(500) };
        assert_eq!(Window::read(&told), Some(window));
        let resolvers = Window::read(&headers(&[("ratelimit", "\"resolvers\";r=3;t=9")])).unwrap();
        assert_eq!((resolvers.of, resolvers.quota), (Some(Kind::Download), None));
        assert_eq!(Window::read(&headers(&[("ratelimit", "\"pages\";r=3;t=9")])).unwrap().of, None);
        assert_eq!(Window::read(&headers(&[("ratelimit", "\"api\";t=163")])), None);
        assert_eq!(Window::read(&headers(&[("ratelimit", "nonsense")])), None);
    }

    #[test]
    fn only_a_limit_on_downloads_is_given_an_end_that_nobody_named() {
        let none = HeaderMap::new();
        assert_eq!(pause_asked_for(Hub::Civitai, Kind::Download, 429, &none), Some(UNNAMED_PAUSE));
        assert_eq!(pause_asked_for(Hub::Civitai, Kind::Question, 429, &none), None);
        assert_eq!(pause_asked_for(Hub::HuggingFace, Kind::Download, 429, &none), None);
        let busy = headers(&[("retry-after", "2")]);
        assert_eq!(pause_asked_for(Hub::Civitai, Kind::Question, 503, &busy), Some(Duration::from_secs(2)));
        assert_eq!(pause_asked_for(Hub::Civitai, Kind::Question, 404, &busy), None);
        let last = headers(&[("ratelimit", "\"api\";r=0;t=9")]);
        assert_eq!(pause_asked_for(Hub::HuggingFace, Kind::Question, 200, &last), Some(Duration::from_secs(10)));
    }
}
