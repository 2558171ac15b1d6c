//! The HTTP clients: redirects by hand, a token only where it belongs, and a limit on every wait and size.
//!
//! reqwest's own redirects are off because they would follow hub data anywhere, its referrer because it would tell
//! the storage host our last address, and its system proxy because a variable in somebody's shell must not decide
//! where model files come from. It never reads `.netrc`.

use crate::error::HubError;
use crate::politeness::{Kind, Outcome, Pass, Permit, Slot};
use crate::refusal::{Asked, Refusal};
use crate::retry;
use crate::site::{Site, shown};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use paintbox_domain::{Hub, Secret};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use url::Url;

const MOST_REDIRECTS: usize = 5;
/// A full page of a hundred models is a few megabytes; this is a stop for hostile servers, not a budget.
pub(crate) const LARGEST_JSON_BYTES: usize = 64 << 20;
const LARGEST_REFUSAL_BYTES: usize = 64 << 10;

/// How long a silence is borne.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    /// From sending a request to the head of its answer, connecting included.
    pub answer: Duration,
    /// Between two pieces of a body.
    pub stall: Duration,
    /// The longest wait after the first of several failures; doubled after each.
    pub first_retry: Duration,
    /// A piece of a file that is waited for shorter than this is never slow, however fast the others were.
    pub slow_piece: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            first_retry: retry::FIRST_WAIT,
            slow_piece: Duration::from_secs(2),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Transport {
    client: reqwest::Client,
    /// For the bytes of files. It speaks HTTP/1.1 alone: with HTTP/2 every request to a host would share one
    /// connection, and one connection's pace is what several are to get around.
    files: reqwest::Client,
    received_file_bytes: Arc<AtomicU64>,
    pub(crate) timeouts: Timeouts,
}

/// The head of the last answer of a chain of redirects; its body is still to be read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) hub: Hub,
    pub(crate) response: reqwest::Response,
    pub(crate) url: Url,
    /// Whether the last hop was the hub itself rather than its storage.
    pub(crate) own_origin: bool,
    /// The token that was sent on the way; kept so that it can be blotted out of what the server says.
    pub(crate) token: Option<Secret>,
    /// Kept until the body was read.
    pub(crate) slot: Option<Slot>,
}

/// Where a chain of redirects ended.
#[derive(Debug)]
pub(crate) enum Reached<T> {
    Answer(Box<Answer>),
    /// At a redirect that said something better.
    Left(T),
}

impl Reached<Infallible> {
    fn into_answer(self) -> Answer {
        match self {
            Self::Answer(answer) => *answer,
            Self::Left(never) => match never {},
        }
    }
}

/// For those who want to be led to the end.
fn nothing_better(_: &Url, _: &HeaderMap) -> Option<Infallible> {
    None
}

/// A JSON body, unparsed, and what came with it.
#[derive(Debug)]
pub(crate) struct JsonText {
    pub(crate) text: String,
    /// Address for errors.
    pub(crate) from: String,
    /// `ETag`, strong or weak.
    pub(crate) validator: Option<String>,
    /// `Link`, where Hugging Face names the next page.
    pub(crate) link: Option<String>,
}

/// The answer to a conditional question.
#[derive(Debug)]
pub(crate) enum Conditional {
    Unchanged,
    Changed(JsonText),
}

impl Transport {
    pub(crate) fn new(user_agent: &str, timeouts: Timeouts) -> Result<Self, HubError> {
        let lower = user_agent.to_ascii_lowercase();
        // The words by which CivitAI takes a client for a browser and answers pages instead of errors.
        if ["mozilla", "chrome", "safari", "firefox", "opera", "edge"].iter().any(|browser| lower.contains(browser)) {
            return Err(HubError::InvalidConfig { setting: "user_agent", problem: "it looks like a browser's" });
        }
        if user_agent.trim().is_empty() || HeaderValue::from_str(user_agent).is_err() {
            return Err(HubError::InvalidConfig { setting: "user_agent", problem: "it is empty or not one line" });
        }
        let builder = || {
            reqwest::Client::builder()
                .user_agent(user_agent)
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .connect_timeout(timeouts.connect)
        };
        let unusable = |source| HubError::ClientUnusable { hub: Hub::Civitai, source };
        let client = builder().build().map_err(unusable)?;
        let files = builder().http1_only().build().map_err(unusable)?;
        Ok(Self { client, files, received_file_bytes: Arc::default(), timeouts })
    }

    pub(crate) fn received_file_bytes(&self) -> u64 {
        self.received_file_bytes.load(Ordering::Relaxed)
    }

    /// The next bytes of a file, counted.
    pub(crate) async fn file_chunk(
        &self,
        hub: Hub,
        url: &Url,
        response: &mut reqwest::Response,
        received_bytes: u64,
        expected_bytes: Option<u64>,
    ) -> Result<Option<Bytes>, HubError> {
        let chunk = self.chunk(hub, url, response, received_bytes, expected_bytes).await?;
        let bytes = chunk.as_ref().map_or(0, |chunk| u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        self.received_file_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(chunk)
    }

    /// Asks a question: sends a GET and follows its redirects as far as `site` allows. The answer may have any status.
    pub(crate) async fn get(&self, site: &Site, url: Url, headers: &HeaderMap) -> Result<Answer, HubError> {
        self.get_for(Kind::Question, site, url, headers).await
    }

    /// The same for what has limits of its own.
    pub(crate) async fn get_for(
        &self,
        kind: Kind,
        site: &Site,
        url: Url,
        headers: &HeaderMap,
    ) -> Result<Answer, HubError> {
        Ok(self.get_unless(kind, site, url, headers, nothing_better).await?.into_answer())
    }

    /// The same, unless one of the hub's own redirects says something better: `look` sees the address and the headers of
    /// each, and the first that it finds something in is not followed.
    pub(crate) async fn get_unless<T>(
        &self,
        kind: Kind,
        site: &Site,
        url: Url,
        headers: &HeaderMap,
        look: impl Fn(&Url, &HeaderMap) -> Option<T>,
    ) -> Result<Reached<T>, HubError> {
        let Permit { pass, slot } = site.gate.admit(kind).await?;
        self.follow(&pass, Some(slot), site, url, headers, look).await
    }

    /// Asks the hub for more of a file whose transfer is under way and keeps the slot it has. Transfers that waited for
    /// another slot each would wait for each other for ever.
    pub(crate) async fn get_more(&self, site: &Site, url: Url, headers: &HeaderMap) -> Result<Answer, HubError> {
        let pass = site.gate.enter(Kind::Download)?;
        pass.turn().await?;
        Ok(self.follow(&pass, None, site, url, headers, nothing_better).await?.into_answer())
    }

    /// One request and the redirects that it leads to.
    async fn follow<T>(
        &self,
        pass: &Pass,
        slot: Option<Slot>,
        site: &Site,
        url: Url,
        headers: &HeaderMap,
        look: impl Fn(&Url, &HeaderMap) -> Option<T>,
    ) -> Result<Reached<T>, HubError> {
        let token = site.token();
        let mut url = url;
        let mut redirects = 0;
        loop {
            let request = self.client_for(pass.kind()).get(url.clone()).headers(headers.clone());
            let response = self.send(pass, site, &url, token.as_ref(), request).await?;
            let own_origin = site.is_own_origin(&url);
            if !is_redirect(response.status()) {
                let answer = Answer { hub: site.hub, response, url, own_origin, token, slot };
                return Ok(Reached::Answer(Box::new(answer)));
            }
            if own_origin && let Some(found) = look(&url, response.headers()) {
                return Ok(Reached::Left(found));
            }
            let next = next_hop(site, &url, response.headers())?;
            redirects += 1;
            if redirects > MOST_REDIRECTS {
                return Err(refused(site.hub, &url, shown(&next), "there were too many redirects"));
            }
            url = next;
        }
    }

    /// Sends one request, with the token if its address is the hub's own, and tells the gate what came of it.
    async fn send(
        &self,
        pass: &Pass,
        site: &Site,
        url: &Url,
        token: Option<&Secret>,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, HubError> {
        let own_origin = site.is_own_origin(url);
        let request = match token {
            Some(token) if own_origin => request.header(AUTHORIZATION, bearer(token)?),
            _ => request,
        };
        let answered = self.exchange(site.hub, url, request).await;
        match &answered {
            Ok(response) => pass.heard(own_origin, &shown(url), response.status(), response.headers()),
            Err(error) if own_origin => pass.came_to(Outcome::Failed(error.to_string())),
            Err(_) => {}
        }
        answered
    }

    /// One GET at an address that an answer of the hub named, with no token but the one that is for that address. It
    /// leads no further. The hub's gate has no say in it: this is a storage's address.
    pub(crate) async fn get_there(
        &self,
        site: &Site,
        url: Url,
        mut headers: HeaderMap,
        token: Option<Secret>,
    ) -> Result<Answer, HubError> {
        site.may_visit(&url).map_err(|problem| refused(site.hub, &url, shown(&url), problem))?;
        if let Some(token) = &token {
            headers.insert(AUTHORIZATION, bearer(token)?);
        }
        let response = self.exchange(site.hub, &url, self.client.get(url.clone()).headers(headers)).await?;
        if is_redirect(response.status()) {
            return Err(refused(site.hub, &url, "elsewhere".to_owned(), "it was to be the last address"));
        }
        Ok(Answer { hub: site.hub, response, url, own_origin: false, token, slot: None })
    }

    /// Part of a file from the storage that an answer of the hub named. A redirect is an answer like any other: the
    /// storage's address is then no longer the last one.
    pub(crate) async fn get_part(&self, site: &Site, url: Url, headers: HeaderMap) -> Result<Answer, HubError> {
        site.may_visit(&url).map_err(|problem| refused(site.hub, &url, shown(&url), problem))?;
        let response = self.exchange(site.hub, &url, self.files.get(url.clone()).headers(headers)).await?;
        Ok(Answer { hub: site.hub, response, url, own_origin: false, token: None, slot: None })
    }

    fn client_for(&self, kind: Kind) -> &reqwest::Client {
        match kind {
            Kind::Download => &self.files,
            Kind::Question | Kind::Preview => &self.client,
        }
    }

    async fn exchange(
        &self,
        hub: Hub,
        url: &Url,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, HubError> {
        // The lengths and offsets we work with are those of the file, so no hop may compress it.
        let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        match tokio::time::timeout(self.timeouts.answer, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(source)) => Err(self.unreachable(hub, url, source)),
            Err(_elapsed) => {
                Err(HubError::TimedOut { hub, url: shown(url), awaited: "an answer", after: self.timeouts.answer })
            }
        }
    }

    /// The JSON below the endpoint at `path_and_query`, asked for patiently.
    ///
    /// # Errors
    /// What the hub's refusal means for what was `asked`; [`HubError::UnexpectedAnswer`] for a page of HTML.
    pub(crate) async fn json(
        &self,
        site: &Site,
        path_and_query: &str,
        asked: &Asked<'_>,
    ) -> Result<JsonText, HubError> {
        match self.json_if_changed(site, path_and_query, asked, None).await? {
            Conditional::Changed(text) => Ok(text),
            Conditional::Unchanged => {
                let from = shown(&site.url(path_and_query)?);
                Err(HubError::UnexpectedAnswer {
                    hub: site.hub,
                    url: from,
                    found: "“unchanged” where nothing is known",
                })
            }
        }
    }

    /// The same, unless the answer is still the one that `validator` came with.
    ///
    /// # Errors
    /// As [`Self::json`].
    pub(crate) async fn json_if_changed(
        &self,
        site: &Site,
        path_and_query: &str,
        asked: &Asked<'_>,
        validator: Option<&str>,
    ) -> Result<Conditional, HubError> {
        let url = site.url(path_and_query)?;
        let mut headers = HeaderMap::new();
        // A validator that is no header text came from nowhere: the answer is then asked for whole.
        if let Some(validator) = validator.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(IF_NONE_MATCH, validator);
        }
        let pass = site.gate.enter(asked.kind())?;
        self.patiently(&pass, || async {
            let slot = pass.slot().await?;
            let answer =
                self.follow(&pass, Some(slot), site, url.clone(), &headers, nothing_better).await?.into_answer();
            if answer.response.status() == StatusCode::NOT_MODIFIED && !headers.is_empty() {
                return Ok(Conditional::Unchanged);
            }
            self.json_of(&pass, answer, asked).await.map(Conditional::Changed)
        })
        .await
    }

    /// The JSON that answers a JSON question sent as a POST, asked for patiently: whatever is asked that way must be
    /// safe to ask twice. The body goes to the hub's own address and never follows a redirect.
    ///
    /// # Errors
    /// As [`Self::json`], and [`HubError::RedirectRefused`].
    pub(crate) async fn json_by_post(
        &self,
        site: &Site,
        path: &str,
        body: String,
        asked: &Asked<'_>,
    ) -> Result<JsonText, HubError> {
        let url = site.url(path)?;
        let body = Bytes::from(body);
        let pass = site.gate.enter(asked.kind())?;
        self.patiently(&pass, || async {
            let slot = pass.slot().await?;
            let token = site.token();
            let request = self.client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body.clone());
            let response = self.send(&pass, site, &url, token.as_ref(), request).await?;
            if is_redirect(response.status()) {
                let to =
                    next_hop(site, &url, response.headers()).map_or_else(|_| "elsewhere".to_owned(), |to| shown(&to));
                return Err(refused(site.hub, &url, to, "a question with a body goes nowhere else"));
            }
            let answer =
                Answer { hub: site.hub, response, url: url.clone(), own_origin: true, token, slot: Some(slot) };
            self.json_of(&pass, answer, asked).await
        })
        .await
    }

    /// Asks again as [`retry::patiently`] does, unless others are kept waiting for this call.
    async fn patiently<T, F>(&self, pass: &Pass, ask: impl Fn() -> F) -> Result<T, HubError>
    where
        F: Future<Output = Result<T, HubError>>,
    {
        if pass.is_probe() { ask().await } else { retry::patiently(self.timeouts.first_retry, ask).await }
    }

    async fn json_of(&self, pass: &Pass, answer: Answer, asked: &Asked<'_>) -> Result<JsonText, HubError> {
        let hub = answer.hub;
        if !answer.response.status().is_success() {
            return Err(self.refusal(answer).await.into_error(asked));
        }
        let from = shown(&answer.url);
        let content_type = content_type(answer.response.headers()).unwrap_or_default();
        if content_type.starts_with("text/html") {
            // A proxy's or a firewall's page, seen in front of both hubs.
            return Err(HubError::UnexpectedAnswer { hub, url: from, found: "a web page instead of JSON" });
        }
        let text_header = |name| Some(answer.response.headers().get(name)?.to_str().ok()?.to_owned());
        let (validator, link) = (text_header(ETAG), text_header(LINK));
        let body = self.whole_body(answer, LARGEST_JSON_BYTES).await.inspect_err(|error| {
            if matches!(error, HubError::TimedOut { .. } | HubError::Truncated { .. }) {
                pass.came_to(Outcome::Failed(error.to_string()));
            }
        })?;
        match String::from_utf8(body) {
            Ok(text) => Ok(JsonText { text, from, validator, link }),
            Err(_) => Err(HubError::UnexpectedAnswer { hub, url: from, found: "bytes that are not UTF-8 text" }),
        }
    }

    pub(crate) async fn whole_body(&self, answer: Answer, most_bytes: usize) -> Result<Vec<u8>, HubError> {
        let Answer { hub, mut response, url, slot: _slot, .. } = answer;
        let expected_bytes = response.content_length();
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(hub, &url, &mut response, length(&body), expected_bytes).await? {
            if body.len() + chunk.len() > most_bytes {
                return Err(HubError::UnexpectedAnswer { hub, url: shown(&url), found: "far too much text" });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(crate) async fn chunk(
        &self,
        hub: Hub,
        url: &Url,
        response: &mut reqwest::Response,
        received_bytes: u64,
        expected_bytes: Option<u64>,
    ) -> Result<Option<Bytes>, HubError> {
        match tokio::time::timeout(self.timeouts.stall, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(source)) => Err(HubError::Truncated {
                hub,
                url: shown(url),
                received_bytes,
                expected_bytes,
                source: Some(source.without_url()),
            }),
            Err(_elapsed) => Err(HubError::TimedOut {
                hub,
                url: shown(url),
                awaited: "more of the body",
                after: self.timeouts.stall,
            }),
        }
    }

    /// Reads what the server says about a status that is not a success.
    pub(crate) async fn refusal(&self, answer: Answer) -> Refusal {
        let Answer { hub, mut response, url, own_origin, token, slot: _slot } = answer;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        // A refusal is worth reporting even if its words break off.
        while let Ok(Some(chunk)) = self.chunk(hub, &url, &mut response, length(&body), None).await {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_REFUSAL_BYTES {
                body.truncate(LARGEST_REFUSAL_BYTES);
                break;
            }
        }
        Refusal::new(hub, shown(&url), own_origin, token.as_ref(), status, &headers, &body)
    }

    fn unreachable(&self, hub: Hub, url: &Url, source: reqwest::Error) -> HubError {
        if source.is_timeout() {
            let after = self.timeouts.connect;
            return HubError::TimedOut { hub, url: shown(url), awaited: "a connection", after };
        }
        HubError::Unreachable { hub, url: shown(url), source: source.without_url() }
    }
}

/// The header that carries a token; marked sensitive so that HTTP libraries do not print or index it.
pub(crate) fn bearer(token: &Secret) -> Result<HeaderValue, HubError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .map_err(|_| HubError::InvalidConfig { setting: "token", problem: "it holds characters that no token has" })?;
    value.set_sensitive(true);
    Ok(value)
}

/// `Content-Type` in lower case, parameters included.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(CONTENT_TYPE)?.to_str().ok()?.trim().to_ascii_lowercase())
}

fn length(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn next_hop(site: &Site, from: &Url, headers: &HeaderMap) -> Result<Url, HubError> {
    let Some(location) = headers.get(LOCATION) else {
        return Err(refused(site.hub, from, "nowhere".to_owned(), "the redirect names no address"));
    };
    // Relative addresses are normal: Hugging Face redirects that way to its own cache.
    let next = location.to_str().ok().and_then(|location| from.join(location).ok());
    let Some(next) = next else {
        return Err(refused(site.hub, from, "nowhere".to_owned(), "the redirect's address cannot be read"));
    };
    site.may_visit(&next).map_err(|problem| refused(site.hub, from, shown(&next), problem))?;
    Ok(next)
}

fn refused(hub: Hub, from: &Url, to: String, problem: &'static str) -> HubError {
    HubError::RedirectRefused { hub, from: shown(from), to, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browsers_user_agent_is_refused() {
        for bad in ["Mozilla/5.0 (X11)", "paintbox (like Chrome)", "", " ", "a\nb"] {
            let error = Transport::new(bad, Timeouts::default()).unwrap_err();
            assert!(matches!(error, HubError::InvalidConfig { setting: "user_agent", .. }), "{bad:?}: {error}");
        }
        assert!(Transport::new("paintbox/0.1.0", Timeouts::default()).is_ok());
    }

    #[test]
    fn redirects_are_joined_and_checked() {
        let clock = Arc::new(paintbox_domain::clock::ManualClock::default());
        let site = Site::new(Hub::HuggingFace, "https://huggingface.co".parse().unwrap(), None, clock).unwrap();
        let from: Url = "https://huggingface.co/org/repo/resolve/main/a.json".parse().unwrap();
        let hop = |location: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, location.parse().unwrap());
            next_hop(&site, &from, &headers)
        };
        let cache = "/api/resolve-cache/models/org/repo/abc/a.json?etag=%22x%22";
        assert_eq!(hop(cache).unwrap().as_str(), format!("https://huggingface.co{cache}"));
        assert!(hop("https://us.aws.cdn.hf.co/x?Signature=s").is_ok());
        for bad in ["//evil.example/x?s=1", "http://huggingface.co/x", "https://evil.example/?q=s3cret", "file:///x"] {
            let error = hop(bad).unwrap_err();
            assert!(matches!(error, HubError::RedirectRefused { .. }), "{bad}: {error}");
            assert!(!error.to_string().contains("s3cret"));
        }
        assert!(next_hop(&site, &from, &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_token_is_marked_sensitive_and_must_fit_a_header() {
        let value = bearer(&Secret::new("s3cret").unwrap()).unwrap();
        assert!(!format!("{value:?}").contains("s3cret"));
        let error = bearer(&Secret::new("s3\ncret").unwrap()).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("cret"));
    }
}
