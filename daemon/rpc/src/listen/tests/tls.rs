//! TLS on the TCP and web listeners.

use super::*;
use crate::listen::ListenError;
use rustls::pki_types::ServerName;
use std::net::Ipv4Addr;
use tonic::Code;

fn pem() -> (TlsPem, rustls::pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = TlsPem { certificate: made.cert.pem().into_bytes(), key: made.signing_key.serialize_pem().into_bytes() };
    (pem, made.cert.der().clone())
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_calls_with_its_token() {
    let (pem, certificate) = pem();
    let stage = Stage::within(Limits::USUAL, Some(pem)).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let token = stage.token(Scope::Read).await;
    let stream = TcpStream::connect(stage.tcp).await.unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let mut sender = speak_h2(stream).await;
    assert_eq!(ask(&mut sender, grpc(STATUS, &bearer(&token))).await.grpc().code(), Code::Ok);
    assert_eq!(ask(&mut sender, grpc(STATUS, &[])).await.reason(), "TOKEN_REQUIRED", "TLS is no token");
    let cookies = async {
        let (code, _) = stage.access.sessions.issue_code(Scope::Read).unwrap();
        let stream = TcpStream::connect(stage.web).await.unwrap();
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let mut sender = speak_h2(stream).await;
        let uri = format!("https://localhost:{}/session", stage.web.port());
        let body = Body::from(format!("{{\"code\":\"{code}\"}}"));
        let request = Request::post(uri).header("content-type", "application/json").body(body).unwrap();
        ask(&mut sender, request).await.headers["set-cookie"].to_str().unwrap().to_owned()
    };
    assert!(cookies.await.contains("; Secure"));
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_where_tls_is_configured() {
    let stage = Stage::within(Limits::USUAL, Some(pem().0)).await;
    for address in [stage.tcp, stage.web] {
        let answer = exchange(address, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    }
}

#[tokio::test]
async fn an_address_of_other_machines_is_bound_with_tls_alone() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let open = ListenOptions { tcp: Some(format!("{}:0", Ipv4Addr::UNSPECIFIED)), ..Default::default() };
    let refused = Listeners::bind(&socket, &open).err().unwrap();
    assert!(matches!(refused, ListenError::OpenWithoutTls { setting: "tcp", .. }), "{refused:?}");
    let with_tls = ListenOptions { tls: Some(pem().0), ..open };
    assert!(Listeners::bind(&socket, &with_tls).is_ok());
}

#[tokio::test]
async fn a_certificate_or_key_that_is_none_is_an_error_that_quotes_neither() {
    let folder = tempfile::tempdir().unwrap();
    let (good, _) = pem();
    let (other, _) = pem();
    let secret = "c2VjcmV0";
    for tls in [
        TlsPem { certificate: Vec::new(), ..good.clone() },
        TlsPem { certificate: secret.into(), ..good.clone() },
        TlsPem { key: secret.into(), ..good.clone() },
        TlsPem {
            key: format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n").into(),
            ..good.clone()
        },
        TlsPem { key: other.key, ..good.clone() },
    ] {
        let options = ListenOptions { tls: Some(tls), ..Default::default() };
        let refused = Listeners::bind(&folder.path().join("s"), &options).err().unwrap();
        let text = paintbox_domain::classify::message_with_causes(&refused);
        assert!(matches!(refused, ListenError::Tls { .. }) && !text.contains(secret), "{text}");
    }
}
