//! Where one hub is, what it may send us to, and who gets to see its token.

use crate::error::HubError;
use crate::politeness::{Gate, Limits};
use paintbox_domain::{Clock, Hub, Secret};
use std::sync::{Arc, PoisonError, RwLock};
use url::{Host, Origin, Url};

/// One hub as this process may talk to it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) hub: Hub,
    endpoint: Url,
    /// The hub's other site, if it has two: they share their tokens.
    sibling: Option<Origin>,
    token: RwLock<Option<Secret>>,
    /// What keeps us from asking too much.
    pub(crate) gate: Arc<Gate>,
}

impl Site {
    /// # Errors
    /// [`HubError::InvalidConfig`] unless the endpoint is `https`, or `http` on this machine: a token must not cross
    /// a network in the clear.
    pub(crate) fn new(hub: Hub, endpoint: Url, token: Option<Secret>, clock: Arc<dyn Clock>) -> Result<Self, HubError> {
        let setting = match hub {
            Hub::Civitai => "civitai_endpoint",
            Hub::HuggingFace => "hf_endpoint",
        };
        let refuse = |problem| Err(HubError::InvalidConfig { setting, problem });
        match endpoint.scheme() {
            "https" => {}
            "http" if is_on_this_machine(&endpoint) => {}
            "http" => return refuse("http is allowed on this machine only"),
            _ => return refuse("it is neither https nor http"),
        }
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return refuse("it holds a user or a password");
        }
        if endpoint.query().is_some() || endpoint.fragment().is_some() {
            return refuse("it holds a query or a fragment");
        }
        let gate = Gate::new(hub, clock, &Limits::of(hub, is_on_this_machine(&endpoint)));
        Ok(Self { hub, endpoint, sibling: None, token: RwLock::new(token), gate })
    }

    /// Lets the token go to `other`'s origin, too: one hub, two sites.
    #[must_use]
    pub(crate) fn beside(mut self, other: &Url) -> Self {
        self.sibling = Some(other.origin());
        self
    }

    pub(crate) fn set_token(&self, token: Option<Secret>) {
        // A poisoned lock still holds a whole token: nothing is ever half-written here.
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    pub(crate) fn token(&self) -> Option<Secret> {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The endpoint without a slash at its end, as hf-hub wants it.
    pub(crate) fn endpoint_text(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// The address of `path_and_query` below the endpoint.
    ///
    /// # Errors
    /// [`HubError::InvalidLocator`] if the text does not start with a slash or climbs out of the endpoint.
    pub(crate) fn url(&self, path_and_query: &str) -> Result<Url, HubError> {
        let refuse = || HubError::InvalidLocator { hub: self.hub, locator: path_and_query.chars().take(200).collect() };
        if !path_and_query.starts_with('/') {
            return Err(refuse());
        }
        // Glued as text, not joined: `//host/…` must stay a path.
        let url = Url::parse(&format!("{}{path_and_query}", self.endpoint_text())).map_err(|_| refuse())?;
        if url.origin() == self.endpoint.origin() && url.path().starts_with(self.endpoint.path()) {
            Ok(url)
        } else {
            Err(refuse())
        }
    }

    /// Whether a token may go there: scheme, host and port are the endpoint's, or those of the hub's other site.
    pub(crate) fn is_own_origin(&self, url: &Url) -> bool {
        let origin = url.origin();
        origin == self.endpoint.origin() || self.sibling.as_ref() == Some(&origin)
    }

    /// Whether hub data may lead us to `url`; if not, why.
    pub(crate) fn may_visit(&self, url: &Url) -> Result<(), &'static str> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the address holds a user or a password");
        }
        if self.is_own_origin(url) {
            return Ok(());
        }
        // The user pointed us at this machine (a test hub, a local cache): its other servers are there too.
        if is_on_this_machine(&self.endpoint) && is_on_this_machine(url) && matches!(url.scheme(), "http" | "https") {
            return Ok(());
        }
        if url.scheme() != "https" {
            return Err("the address is not https");
        }
        match url.host() {
            Some(Host::Domain(host)) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let known = self
                    .known_hosts()
                    .iter()
                    .any(|known| host.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
                if known { Ok(()) } else { Err("the host does not belong to the hub") }
            }
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => Err("the address names a number instead of a host"),
            None => Err("the address names no host"),
        }
    }

    /// The domains that a hub's files and pictures come from, with everything below them.
    fn known_hosts(&self) -> &'static [&'static str] {
        match self.hub {
            // Storage: Cloudflare R2 and Backblaze B2 behind signed links.
            Hub::Civitai => &["civitai.com", "civitai.red", "r2.cloudflarestorage.com", "backblazeb2.com"],
            // The names of the content hosts change; their suffixes are documented as stable.
            Hub::HuggingFace => &["huggingface.co", "hf.co"],
        }
    }

    pub(crate) fn is_on_this_machine(&self) -> bool {
        is_on_this_machine(&self.endpoint)
    }
}

pub(crate) fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(host)) => host.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An address fit for errors and logs: no query, fragment or user part.
pub(crate) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}{}", url.scheme(), url.path()),
        None => format!("{}://{host}{}", url.scheme(), url.path()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::clock::ManualClock;

    fn try_site(hub: Hub, endpoint: &str) -> Result<Site, HubError> {
        Site::new(hub, endpoint.parse().unwrap(), None, Arc::new(ManualClock::default()))
    }

    fn site(hub: Hub, endpoint: &str) -> Site {
        try_site(hub, endpoint).unwrap()
    }

    fn visit(site: &Site, url: &str) -> Result<(), &'static str> {
        site.may_visit(&url.parse().unwrap())
    }

    #[test]
    fn an_endpoint_is_https_or_on_this_machine() {
        for good in ["https://civitai.com", "http://127.0.0.1:1", "http://localhost:80/hub/", "http://[::1]:9"] {
            assert!(try_site(Hub::Civitai, good).is_ok(), "{good}");
        }
        for bad in
            ["http://civitai.com", "http://192.168.1.2", "ftp://127.0.0.1", "https://a:b@civitai.com", "https://c/?q"]
        {
            assert!(try_site(Hub::Civitai, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn storage_and_picture_hosts_may_be_visited_and_nothing_else() {
        let civitai = site(Hub::Civitai, "https://civitai.com");
        let hf = site(Hub::HuggingFace, "https://huggingface.co");
        for url in [
            "https://civitai.com/x",
            "https://civitai.red/x",
            "https://image.civitai.com/x",
            "https://civitai-delivery-worker-prod.5ac0637cfd0766c97916cefa3764fbdf.r2.cloudflarestorage.com/f?X-Amz-Expires=1",
            "https://f004.backblazeb2.com/file",
        ] {
            assert_eq!(visit(&civitai, url), Ok(()), "{url}");
        }
        for url in
            ["https://us.aws.cdn.hf.co/x", "https://cas-server.xethub.hf.co/x", "https://cdn-lfs.huggingface.co/x"]
        {
            assert_eq!(visit(&hf, url), Ok(()), "{url}");
        }
        for url in [
            "http://image.civitai.com/x",
            "https://evilcivitai.com/x",
            "https://civitai.com.evil.example/x",
            "https://127.0.0.1/x",
            "https://[::1]/x",
            "https://localhost/x",
            "https://169.254.169.254/latest",
            "https://user:pass@civitai.com/x",
            "https://huggingface.co/x",
            "file:///etc/passwd",
        ] {
            assert!(visit(&civitai, url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_hub_on_this_machine_may_use_the_machine_and_the_real_storage_but_no_other_host() {
        let local = site(Hub::Civitai, "http://127.0.0.1:4000");
        assert_eq!(visit(&local, "http://127.0.0.1:4001/x"), Ok(()));
        assert_eq!(visit(&local, "https://b.r2.cloudflarestorage.com/x"), Ok(()));
        assert!(visit(&local, "http://192.168.0.1/x").is_err());
        assert!(!local.is_own_origin(&"http://127.0.0.1:4001/x".parse().unwrap()));
        assert!(!local.is_own_origin(&"https://127.0.0.1:4000/x".parse().unwrap()));
    }

    #[test]
    fn the_token_goes_to_both_sites_of_a_hub_and_locators_to_one() {
        let red: Url = "https://civitai.red".parse().unwrap();
        let both = site(Hub::Civitai, "https://civitai.com").beside(&red);
        for (url, own) in [
            ("https://civitai.com/x", true),
            ("https://civitai.red/x", true),
            ("http://civitai.red/x", false),
            ("https://image.civitai.com/x", false),
            ("https://x.civitai.red/x", false),
        ] {
            assert_eq!(both.is_own_origin(&url.parse().unwrap()), own, "{url}");
        }
        assert_eq!(both.url("/api/v1/me").unwrap().host_str(), Some("civitai.com"));
        assert!(!site(Hub::Civitai, "https://civitai.com").is_own_origin(&red));
    }

    #[test]
    fn a_locator_cannot_leave_the_endpoint() {
        let civitai = site(Hub::Civitai, "https://civitai.com");
        assert_eq!(civitai.url("/api/x?fileId=1").unwrap().as_str(), "https://civitai.com/api/x?fileId=1");
        assert_eq!(civitai.url("//evil.example/x").unwrap().host_str(), Some("civitai.com"));
        for bad in ["", "api/x", "@evil.example/x", ".evil.example/x", "https://evil.example/x"] {
            assert!(civitai.url(bad).is_err(), "{bad}");
        }
        let below = site(Hub::HuggingFace, "https://mirror.example/hf/");
        assert_eq!(below.url("/api/models").unwrap().as_str(), "https://mirror.example/hf/api/models");
        assert!(below.url("/../secrets").is_err());
    }

    #[test]
    fn shown_addresses_have_no_secrets() {
        let url = "https://u:p@civitai.com:444/a/b?token=s3cret#f".parse().unwrap();
        assert_eq!(shown(&url), "https://civitai.com:444/a/b");
    }
}
