//! Telling somebody else's server that something happened: one POST to an address that the user gave.
//!
//! Addresses of webhooks carry their secret in the path or the query (chat services do), so errors name the host only.

use crate::error::HubError;
use crate::site::is_on_this_machine;
use http::header::CONTENT_TYPE;
use std::fmt;
use std::time::Duration;
use url::Url;

/// Whoever takes longer than this has not got the message.
const PATIENCE: Duration = Duration::from_secs(10);

/// An address that messages are posted to.
pub struct Webhook {
    url: Url,
    client: reqwest::Client,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &shown(&self.url)).finish_non_exhaustive()
    }
}

impl Webhook {
    /// `user_agent` is `name/version`, as in [`crate::HubConfig`].
    ///
    /// # Errors
    /// [`HubError::WebhookUnusable`] unless the address is `https`, or `http` on this machine.
    pub fn new(url: Url, user_agent: &str) -> Result<Self, HubError> {
        let unusable = |problem| HubError::WebhookUnusable { url: shown(&url), problem };
        match url.scheme() {
            "https" => {}
            "http" if is_on_this_machine(&url) => {}
            "http" => return Err(unusable("http is allowed on this machine only")),
            _ => return Err(unusable("it is neither https nor http")),
        }
        let client = reqwest::Client::builder()
            .user_agent(user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(|_| unusable("no HTTP client for it could be made"))?;
        Ok(Self { url, client })
    }

    /// Posts `body`, which is JSON, once. No redirect is followed.
    ///
    /// # Errors
    /// [`HubError::WebhookFailed`] unless the answer is a success and comes within ten seconds.
    pub async fn post(&self, body: String) -> Result<(), HubError> {
        let failed = |status, source| HubError::WebhookFailed { url: shown(&self.url), status, source };
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(failed(Some(answer.status().as_u16()), None)),
            Err(source) => Err(failed(None, Some(source.without_url()))),
        }
    }
}

fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::{Classify, ErrorClass};
    use paintbox_testkit::{FakeHub, Fault, Server};

    const SECRET: &str = "hook-secret-4711";

    fn webhook(hub: &FakeHub) -> Webhook {
        let url = format!("{}/hooks/{SECRET}?key={SECRET}", hub.origin(Server::CivitaiStorage));
        Webhook::new(url.parse().unwrap(), "paintbox/0.1.0").unwrap()
    }

    fn answer(code: u16, headers: &[(&str, &str)]) -> Fault {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Fault::Status { code, body: String::new(), headers }
    }

    #[tokio::test]
    async fn a_message_arrives_as_json() {
        let hub = FakeHub::start().await;
        hub.faults().always(Server::CivitaiStorage, "/hooks/", answer(204, &[]));
        webhook(&hub).post("{\"event\":\"new\"}".to_owned()).await.unwrap();
        let [request] = &hub.requests()[..] else { panic!("one request") };
        assert_eq!((request.method.as_str(), request.header("content-type")), ("POST", Some("application/json")));
        assert_eq!(request.header("user-agent"), Some("paintbox/0.1.0"));
        assert_eq!(request.header("content-length"), Some("15"));
    }

    #[tokio::test]
    async fn anything_but_a_success_is_a_failure_that_keeps_the_secret() {
        let hub = FakeHub::start().await;
        let elsewhere = format!("{}/hooks/", hub.civitai_endpoint());
        for fault in [answer(500, &[]), answer(307, &[("location", &elsewhere)]), answer(404, &[]), Fault::HangUp] {
            hub.faults().once(Server::CivitaiStorage, "/hooks/", fault.clone());
            let error = webhook(&hub).post("{}".to_owned()).await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::Unavailable, "{fault:?}");
            let text = format!("{error} {error:?} {:?}", webhook(&hub));
            assert!(!text.contains(SECRET), "{text}");
            hub.faults().clear();
        }
        assert!(hub.requests_to(Server::CivitaiSite).is_empty(), "no redirect was followed");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_borne_for_ten_seconds() {
        let hub = FakeHub::start().await;
        hub.faults().always(Server::CivitaiStorage, "/hooks/", Fault::Stall);
        let start = tokio::time::Instant::now();
        let error = webhook(&hub).post("{}".to_owned()).await.unwrap_err();
        assert!(matches!(error, HubError::WebhookFailed { status: None, .. }), "{error:?}");
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[test]
    fn only_encrypted_or_local_addresses_are_taken() {
        for bad in ["http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd"] {
            let error = Webhook::new(bad.parse().unwrap(), "paintbox/0.1.0").unwrap_err();
            assert_eq!(error.class(), ErrorClass::InvalidInput, "{bad}");
        }
        assert!(Webhook::new("https://example.org/x".parse().unwrap(), "paintbox/0.1.0").is_ok());
    }
}
