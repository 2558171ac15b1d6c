//! TLS for the TCP and web listeners: versions 1.2 and 1.3, with rustls's defaults and no client certificates.

use super::{ListenError, TlsPem};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What encrypts, for each kind of listener.
pub(super) struct Tls {
    /// Speaks HTTP/2 alone.
    pub(super) grpc: TlsAcceptor,
    /// Speaks both.
    pub(super) web: TlsAcceptor,
}

impl Tls {
    pub(super) fn new(pem: &TlsPem) -> Result<Self, ListenError> {
        let config = config(pem)?;
        let speaking = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsAcceptor::from(Arc::new(config))
        };
        Ok(Self { grpc: speaking(&[b"h2"]), web: speaking(&[b"h2", b"http/1.1"]) })
    }
}

fn config(pem: &TlsPem) -> Result<ServerConfig, ListenError> {
    let refuse = |setting, problem: String| ListenError::Tls { setting, problem };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.certificate).collect();
    let certificates =
        certificates.map_err(|error| refuse("certificate", format!("it is no chain of PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(refuse("certificate", "no certificate is in it".to_owned()));
    }
    // What is wrong with a key is not repeated, since it may quote it.
    let key =
        PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| refuse("key", "no private key is in it".to_owned()))?;
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|error| refuse("certificate", format!("it cannot be used with the key: {error}")))
}
