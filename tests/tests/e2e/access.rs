//! Who may talk to the daemon: tokens from the command line, a browser's session, and addresses that are refused.
//! What listeners refuse in bytes is shown in `daemon/rpc/src/listen/tests`.

use crate::{error, installation_with, json, ok};
use hyper_util::rt::TokioIo;
use paintbox_proto::v1;
use paintbox_proto::v1::asset_service_client::AssetServiceClient;
use paintbox_proto::v1::daemon_service_client::DaemonServiceClient;
use paintbox_tests::Installation;
use rustls::pki_types::{CertificateDer, ServerName};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// Ports that the system chooses, so that tests run beside each other.
pub(crate) const BOTH: &str = "[listen]\ntcp = \"127.0.0.1:0\"\nweb = \"127.0.0.1:0\"\n";

/// Where the daemon listens, `127.0.0.1:port`.
pub(crate) fn address(installed: &Installation, kind: &str) -> String {
    let status = ok(installed, &["daemon", "status"]).remove(0);
    let listeners = status["listeners"].as_array().unwrap();
    let found = listeners.iter().find(|listener| listener["kind"] == kind).unwrap_or_else(|| panic!("{listeners:?}"));
    let text = found["address"].as_str().unwrap();
    text.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", MetadataValue::try_from(format!("Bearer {token}")).unwrap());
    request
}

/// A call over TCP that needs `read`, and one that needs `admin`.
async fn try_both(address: &str, token: &str) -> (Result<String, Status>, Result<(), Status>) {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut daemon = DaemonServiceClient::new(channel.clone());
    let asked = daemon.get_server_info(with_token(v1::GetServerInfoRequest {}, token)).await;
    let refused = daemon.delete_hub_credential(with_token(v1::DeleteHubCredentialRequest { hub: "hf".into() }, token));
    (asked.map(|answer| answer.into_inner().version), refused.await.map(|_| ()))
}

pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// A request in plain bytes: status, head and body.
pub(crate) async fn http(address: &str, request: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, Vec<u8>) {
    let mut text = format!("{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), bytes[end + 4..].to_vec())
}

/// Everything that the daemon has written into its logs.
fn logged(installed: &Installation) -> String {
    let files = std::fs::read_dir(installed.home().join("logs")).unwrap();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_token_from_the_command_line_opens_the_tcp_port_until_it_is_taken_away() {
    let (_hub, installed) = installation_with(BOTH).await;
    let made = ok(&installed, &["token", "create", "a front end", "--scope", "read"]).remove(0);
    let token = made["token"].as_str().unwrap().to_owned();
    let file = installed.home().join("state/clients.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains(&token), "only its digest is kept");
    for _ in 0..2 {
        let (asked, refused) = try_both(&address(&installed, "tcp"), &token).await;
        assert_eq!(asked.unwrap(), env!("CARGO_PKG_VERSION"));
        let refused = refused.unwrap_err();
        assert_eq!((refused.code(), &*reason(&refused)), (Code::PermissionDenied, "TOKEN_SCOPE_MISSING"));
        // A token outlives the daemon.
        ok(&installed, &["daemon", "restart"]);
    }
    let listed = ok(&installed, &["token", "list"]).remove(0);
    assert!(listed["last_use_time"].is_string() && listed.get("token").is_none(), "{listed}");
    let tcp = address(&installed, "tcp");
    let (refused, _) = try_both(&tcp, "paintbox_guessed").await;
    assert_eq!(reason(&refused.unwrap_err()), "TOKEN_INVALID");
    ok(&installed, &["token", "rm", "a front end"]);
    let (refused, _) = try_both(&tcp, &token).await;
    assert_eq!(reason(&refused.unwrap_err()), "TOKEN_INVALID");
    assert!(!logged(&installed).contains(&token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn pictures_are_had_by_digest_and_no_name_is_a_path() {
    let (_hub, installed) = installation_with(BOTH).await;
    let token = ok(&installed, &["token", "create", "x", "--scope", "generate"]).remove(0);
    let token = token["token"].as_str().unwrap().to_owned();
    let mut png = Vec::new();
    let picture = image::DynamicImage::from(image::RgbImage::new(40, 30));
    picture.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    let tcp = format!("http://{}", address(&installed, "tcp"));
    let mut assets = AssetServiceClient::new(Endpoint::from_shared(tcp).unwrap().connect().await.unwrap());
    let upload = with_token(v1::UploadAssetRequest { data: png.clone() }, &token);
    let name = assets.upload_asset(upload).await.unwrap().into_inner().name;
    let web = address(&installed, "web");
    let bearer = format!("Bearer {token}");
    let authorized = [("authorization", &*bearer)];
    let (status, head, body) = http(&web, &format!("GET /{name}"), &authorized, "").await;
    assert_eq!((status, &body), (200, &png));
    for line in ["content-type: image/png", "x-content-type-options: nosniff", "immutable", "content-length: "] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let known = [authorized[0], ("if-none-match", &*tag)];
    assert_eq!(http(&web, &format!("GET /{name}"), &known, "").await.0, 304);
    assert_eq!(http(&web, &format!("GET /{name}"), &[], "").await.0, 401);
    let (status, _, body) = http(&web, &format!("HEAD /{name}"), &authorized, "").await;
    assert_eq!((status, body.len()), (200, 0));
    let other_digest = "0".repeat(64);
    for path in [
        "/assets/../state/clients.json",
        "/assets/..%2f..%2fstate%2fclients.json",
        "/assets/%2e%2e/%2e%2e/state/clients.json",
        "/assets/..%5c..%5cstate",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets/%00",
        "/assets/",
        "/assets/clients.json",
        &format!("/assets/{other_digest}"),
        &format!("/assets/{other_digest}/../x"),
        &format!("/assets/{}", "f".repeat(4000)),
    ] {
        let (status, _, body) = http(&web, &format!("GET {path}"), &authorized, "").await;
        let body = String::from_utf8_lossy(&body);
        assert_eq!(status, 404, "{path}: {body}");
        assert!(body.contains("ASSET_NOT_FOUND") || body.contains("METHOD_UNKNOWN"), "{path}: {body}");
        assert!(!body.contains("sha256\"") && !body.contains("root:"), "{path}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_browser_signs_in_with_a_code_once_and_is_signed_out() {
    let (_hub, installed) = installation_with(BOTH).await;
    let made = ok(&installed, &["web"]).remove(0);
    let text = made["address"].as_str().unwrap();
    let (page, code) = text.split_once("#code=").unwrap();
    let web = address(&installed, "web");
    assert_eq!(page, format!("http://{web}/"));
    let (status, _, body) = http(&web, "GET /", &[], "").await;
    assert!(status == 200 && String::from_utf8(body).unwrap().contains("<title>Paintbox</title>"));
    let sent = format!("{{\"code\":\"{code}\"}}");
    let origin = format!("http://{web}");
    let json_from_page = [("content-type", "application/json"), ("origin", &*origin)];
    let (status, head, _) = http(&web, "POST /session", &json_from_page, &sent).await;
    assert_eq!(status, 200);
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    // A name and digits are the same in lower case; the value is taken from the head as it was sent.
    assert!(cookie.starts_with("paintbox-session-") && cookie.contains("httponly; samesite=strict"), "{cookie}");
    let (status, _, body) = http(&web, "POST /session", &json_from_page, &sent).await;
    assert!(status == 401 && String::from_utf8(body).unwrap().contains("CODE_INVALID"), "a code is replayed");
    assert_eq!(ok(&installed, &["web", "--sign-out"])[0]["sessions"], 1);
    assert!(!logged(&installed).contains(code));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_interfaces_of_other_programs_stand_behind_the_same_gate() {
    let (_hub, installed) = installation_with(BOTH).await;
    let token = |scope| {
        let made = ok(&installed, &["token", "create", scope, "--scope", scope]).remove(0);
        format!("Bearer {}", made["token"].as_str().unwrap())
    };
    let (generate, read) = (token("generate"), token("read"));
    let web = address(&installed, "web");
    for path in ["/v1/models", "/sdapi/v1/samplers", "/sdapi/v1/options"] {
        let request = format!("GET {path}");
        let (status, head, body) = http(&web, &request, &[("authorization", &generate)], "").await;
        assert_eq!(status, 200, "{path}: {head}");
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok(), "{path}");
        assert_eq!(http(&web, &request, &[("authorization", &read)], "").await.0, 403, "{path}");
        assert_eq!(http(&web, &request, &[], "").await.0, 401, "{path}");
        let of_page = [("authorization", &*generate), ("origin", "http://evil.example")];
        assert_eq!(http(&web, &request, &of_page, "").await.0, 403, "{path}");
    }
    let form = [("authorization", &*generate), ("content-type", "text/plain")];
    assert_eq!(http(&web, "POST /v1/images/generations", &form, "{}").await.0, 415);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_but_the_socket_is_open_unless_it_is_asked_for() {
    let (_hub, installed) = installation_with("").await;
    ok(&installed, &["daemon", "start"]);
    let status = ok(&installed, &["daemon", "status"]).remove(0);
    let kinds: Vec<_> = status["listeners"].as_array().unwrap().iter().map(|listener| &listener["kind"]).collect();
    assert_eq!(kinds, ["socket"]);
    assert_eq!(error(&installed, &["web"])["reason"], "WEB_LISTENER_OFF");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_address_of_other_machines_without_tls_is_refused_at_the_start() {
    for wrong in
        ["tcp = \"0.0.0.0:0\"", "web = \"[::]:0\"", "web = \"localhost:0\"", "origins = [\"*\"]\nweb = \"127.0.0.1:0\""]
    {
        let (_hub, installed) = installation_with(&format!("[listen]\n{wrong}\n")).await;
        let (_, output) = json(&installed, &["daemon", "start"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("[listen]"), "{wrong}: {said}");
    }
}

/// A connection over TLS, whose other side shows one of these certificates for `localhost`.
async fn encrypted(
    address: &str,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn encrypted_channel(
    address: &str,
    trusted: &CertificateDer<'static>,
) -> Result<Channel, tonic::transport::Error> {
    let (address, trusted) = (address.to_owned(), trusted.clone());
    // The scheme is the channel's affair, and this one does not know that its connection is encrypted.
    let connect = tower::service_fn(move |_| {
        let (address, trusted) = (address.clone(), trusted.clone());
        async move { encrypted(&address, &trusted, b"h2").await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connect).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn with_a_certificate_in_its_configuration_the_daemon_speaks_tls_and_wants_a_token_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = format!("[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let (_hub, installed) = installation_with(&format!("{BOTH}{tls}")).await;
    let token = ok(&installed, &["token", "create", "another machine", "--scope", "read"]).remove(0);
    let token = token["token"].as_str().unwrap().to_owned();
    let status = ok(&installed, &["daemon", "status"]).remove(0);
    let listeners: Vec<_> =
        status["listeners"].as_array().unwrap().iter().map(|one| (&one["kind"], &one["tls"])).collect();
    assert_eq!(serde_json::json!(listeners), serde_json::json!([["socket", false], ["tcp", true], ["web", true]]));
    let tcp = address(&installed, "tcp");

    let trusted = made.cert.der();
    let channel = encrypted_channel(&tcp, trusted).await.unwrap();
    let mut daemon = DaemonServiceClient::new(channel);
    let answer = daemon.get_server_info(with_token(v1::GetServerInfoRequest {}, &token)).await.unwrap();
    assert_eq!(answer.into_inner().version, env!("CARGO_PKG_VERSION"));
    let refused = daemon.get_server_info(v1::GetServerInfoRequest {}).await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unauthenticated, "TOKEN_REQUIRED"));

    // In the clear nothing is understood, with a token or without.
    let plain = Endpoint::from_shared(format!("http://{tcp}")).unwrap().connect_lazy();
    let refused =
        DaemonServiceClient::new(plain).get_server_info(with_token(v1::GetServerInfoRequest {}, &token)).await;
    let refused = refused.unwrap_err();
    assert!(refused.get_details_error_info().is_none(), "the daemon answered in the clear: {refused:?}");
    // Nor is any other certificate taken for the daemon's.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let error = encrypted(&tcp, other.cert.der(), b"h2").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");

    // The web listener too: its page is https, and so is what `paintbox web` prints.
    let link = ok(&installed, &["web"]).remove(0)["address"].as_str().unwrap().to_owned();
    let web = link.strip_prefix("https://").unwrap().split('/').next().unwrap().to_owned();
    let mut stream = encrypted(&web, trusted, b"http/1.1").await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: {web}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<title>Paintbox</title>"), "{page}");
    let mut clear = TcpStream::connect(&web).await.unwrap();
    clear.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    drop(clear.read_to_end(&mut answer).await);
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
}
