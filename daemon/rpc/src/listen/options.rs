//! What a configuration may ask of the listeners, read strictly: nothing here means "any".

use super::ListenError;
use super::tls::Tls;
use std::net::SocketAddr;

/// The `[listen]` table.
#[derive(Debug, Clone, Default)]
pub struct ListenOptions {
    /// Where gRPC is spoken over TCP; none for nowhere. `127.0.0.1:7861`
    pub tcp: Option<String>,
    /// Where gRPC-Web and HTTP are spoken; none for nowhere. `127.0.0.1:7860`
    pub web: Option<String>,
    /// Names, with their ports, by which the web listener is reached beside those of this machine.
    pub hosts: Vec<String>,
    /// Pages of other origins that may call the web listener with a token.
    pub origins: Vec<String>,
    /// What TCP and web listeners are encrypted with.
    pub tls: Option<TlsPem>,
}

impl ListenOptions {
    /// Whether all of it can be, as far as that can be said without listening anywhere.
    ///
    /// # Errors
    /// As `Listeners::bind`, but for addresses that are not to be had.
    pub fn check(&self) -> Result<(), ListenError> {
        let has_tls = self.tls.as_ref().map(Tls::new).transpose()?.is_some();
        for (setting, text) in [("tcp", &self.tcp), ("web", &self.web)] {
            text.as_deref().map(|text| address(setting, text, has_tls)).transpose()?;
        }
        self.hosts.iter().try_for_each(|text| host(text).map(drop))?;
        self.origins.iter().try_for_each(|text| origin(text).map(drop))
    }
}

/// A certificate chain and its key, both as PEM.
#[derive(Clone)]
pub struct TlsPem {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl std::fmt::Debug for TlsPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsPem(…)")
    }
}

/// A number and a port: a name may mean something else tomorrow.
pub(super) fn address(setting: &'static str, text: &str, has_tls: bool) -> Result<SocketAddr, ListenError> {
    let address: SocketAddr = text.parse().map_err(|_| ListenError::Setting {
        setting,
        given: text.to_owned(),
        problem: "write a number and a port, such as 127.0.0.1:7860 or [::1]:7860".to_owned(),
    })?;
    if !address.ip().is_loopback() && !has_tls {
        return Err(ListenError::OpenWithoutTls { setting, address });
    }
    Ok(address)
}

/// `name`, `name:port`, as browsers send it in `Host`.
pub(super) fn host(text: &str) -> Result<String, ListenError> {
    let refuse = |problem: &str| {
        Err(ListenError::Setting { setting: "hosts", given: text.to_owned(), problem: problem.to_owned() })
    };
    match text.parse::<http::uri::Authority>() {
        _ if text.contains('*') => refuse("names are compared whole, and none stands for all"),
        Ok(authority) if authority.as_str().contains('@') => refuse("a host has no user"),
        Ok(authority) => Ok(authority.as_str().to_ascii_lowercase()),
        Err(_) => refuse("write a name and, unless it is the usual one, a port, such as paintbox.local:7860"),
    }
}

/// `scheme://host` or `scheme://host:port`, as browsers send it in `Origin` (RFC 6454 §6.2).
pub(super) fn origin(text: &str) -> Result<String, ListenError> {
    let refuse = |problem: &str| {
        Err(ListenError::Setting { setting: "origins", given: text.to_owned(), problem: problem.to_owned() })
    };
    if text.contains('*') || text.eq_ignore_ascii_case("null") {
        return refuse("origins are compared whole, and none stands for all");
    }
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    match text.split_once("://") {
        Some((scheme, rest))
            if is_scheme(scheme) && rest.parse::<http::uri::Authority>().is_ok() && !rest.contains('@') =>
        {
            Ok(text.to_ascii_lowercase())
        }
        _ => refuse("write a scheme, a host and, unless it is the usual one, a port, such as http://localhost:5173"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_other_machines_needs_tls() {
        for text in ["127.0.0.1:0", "[::1]:80", "127.9.9.9:1"] {
            assert!(address("tcp", text, false).is_ok(), "{text}");
        }
        for text in ["0.0.0.0:80", "192.168.1.4:80", "[::]:80", "[::ffff:127.0.0.1]:80"] {
            assert!(matches!(address("web", text, false), Err(ListenError::OpenWithoutTls { .. })), "{text}");
            assert!(address("web", text, true).is_ok(), "{text}");
        }
        for text in ["localhost:80", "127.0.0.1", ":80", "*:80", ""] {
            assert!(matches!(address("web", text, true), Err(ListenError::Setting { .. })), "{text}");
        }
    }

    #[test]
    fn no_host_and_no_origin_stands_for_all() {
        assert_eq!(host("Paintbox.Local:7860").unwrap(), "paintbox.local:7860");
        assert_eq!(origin("http://LOCALHOST:5173").unwrap(), "http://localhost:5173");
        assert!(origin("app://obsidian.md").is_ok());
        for text in ["*", "*.example.org", "http://a", "me@host", "a b", ""] {
            assert!(host(text).is_err(), "{text}");
        }
        for text in
            ["*", "null", "http://*", "https://*.example.org", "localhost:5173", "http://a/b", "http://", "http://u@a"]
        {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
