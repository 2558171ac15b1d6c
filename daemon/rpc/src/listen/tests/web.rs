//! The web listener against pages of other sites, and with our own.

use super::*;
use http::header;
use tonic::Code;

const JSON: (&str, &str) = ("content-type", "application/json");
const EVIL: &str = "http://evil.example";

fn authorization(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn after_dns_rebinding_the_host_is_the_attackers_and_nothing_answers() {
    let stage = Stage::new().await;
    let token = authorization(&stage.token(Scope::Admin).await);
    let port = stage.web.port();
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1", &format!("127.0.0.1:{}", port ^ 1), ""] {
        for path in ["/", "/session.js", "/icon.svg", "/assets/x", "/v1/models", STATUS] {
            let answer = http1(stage.web, "GET", path, &[("host", host), ("authorization", &token)], "").await;
            assert_eq!((answer.status, &*answer.reason()), (403, "HOST_FORBIDDEN"), "{host} {path}");
        }
        // The same as `:authority`.
        if !host.is_empty() {
            let mut request = grpc(STATUS, &[("authorization", token.clone())]);
            *request.uri_mut() = format!("http://{host}{STATUS}").parse().unwrap();
            let answer = h2(stage.web, request).await;
            assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::PermissionDenied, "HOST_FORBIDDEN"), "{host}");
        }
    }
    let twice = [("host", &*stage.web_authority()), ("host", "evil.example")];
    assert_eq!(http1(stage.web, "GET", "/", &twice, "").await.reason(), "HOST_FORBIDDEN");
    let absolute = format!("GET http://evil.example/ HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", stage.web);
    assert_eq!(read_http1(&exchange(stage.web, absolute.as_bytes()).await).reason(), "HOST_FORBIDDEN");
    for host in [format!("localhost:{port}"), format!("[::1]:{port}"), "paintbox.local".to_owned()] {
        assert_eq!(http1(stage.web, "GET", "/", &[("host", &host)], "").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_whatever_it_brings() {
    let stage = Stage::new().await;
    let token = authorization(&stage.token(Scope::Admin).await);
    let cookie = stage.sign_in(Scope::Admin).await;
    let other_port = format!("http://127.0.0.1:{}", stage.web.port() ^ 1);
    for origin in [EVIL, "null", &other_port, "http://127.0.0.1"] {
        for path in ["/v1/images/generations", "/session", STATUS] {
            let headers = [("origin", origin), ("authorization", &token), ("cookie", &cookie), JSON];
            let answer = stage.web("POST", path, &headers, "{}").await;
            assert_eq!((answer.status, &*answer.reason()), (403, "ORIGIN_FORBIDDEN"), "{origin} {path}");
            assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        }
        let preflight = [("origin", origin), ("access-control-request-method", "POST")];
        assert_eq!(stage.web("OPTIONS", "/v1/models", &preflight, "").await.status, 403, "{origin}");
    }
    // A page can leave out its origin, as in an image, but not where it comes from.
    for site in ["cross-site", "same-site"] {
        let headers = [("sec-fetch-site", site), ("cookie", &*cookie)];
        assert_eq!(stage.web("GET", "/assets/x", &headers, "").await.reason(), "ORIGIN_FORBIDDEN", "{site}");
    }
    // Over HTTP/2, as a browser would not speak it in the clear.
    let mut request = grpc(STATUS, &[("authorization", token.clone()), ("origin", EVIL.to_owned())]);
    *request.uri_mut() = format!("http://{}{STATUS}", stage.web).parse().unwrap();
    assert_eq!(h2(stage.web, request).await.reason(), "ORIGIN_FORBIDDEN");
}

#[tokio::test]
async fn a_drive_by_post_that_no_browser_asks_about_changes_nothing() {
    let stage = Stage::new().await;
    let cookie = stage.sign_in(Scope::Admin).await;
    let own = format!("http://{}", stage.web);
    let kinds = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""];
    for kind in kinds {
        let kind = ("content-type", kind);
        for path in ["/v1/images/generations", "/v1/images/edits", "/sdapi/v1/txt2img"] {
            // From another site, with the cookie that a browser of old would send along.
            let sent = [kind, ("cookie", &*cookie), ("origin", EVIL)];
            assert_eq!(stage.web("POST", path, &sent, "{}").await.reason(), "ORIGIN_FORBIDDEN", "{kind:?} {path}");
            // By a browser that says nothing of where it comes from.
            let sent = [kind, ("cookie", &*cookie)];
            assert_eq!(stage.web("POST", path, &sent, "{}").await.reason(), "TOKEN_REQUIRED", "{kind:?} {path}");
            // Even our own page asks in JSON.
            let sent = [kind, ("cookie", &*cookie), ("origin", &*own)];
            let answer = stage.web("POST", path, &sent, "{}").await;
            assert_eq!((answer.status, &*answer.reason()), (415, "MEDIA_TYPE_UNSUPPORTED"), "{kind:?} {path}");
        }
        let answer = stage.web("POST", "/session", &[kind], "{\"code\":\"x\"}").await;
        assert_eq!(answer.reason(), "MEDIA_TYPE_UNSUPPORTED", "{kind:?}");
        let sent = [kind, ("cookie", &*cookie), ("origin", &*own)];
        assert_eq!(stage.web("POST", STOP, &sent, "").await.status, 400, "{kind:?}");
    }
    let packed = [JSON, ("content-encoding", "gzip"), ("cookie", &*cookie), ("origin", &*own)];
    assert_eq!(stage.web("POST", "/v1/images/generations", &packed, "x").await.reason(), "MEDIA_TYPE_UNSUPPORTED");
    let asked = [JSON, ("cookie", &*cookie), ("origin", &*own)];
    assert_eq!(stage.web("POST", "/v1/images/generations", &asked, "{}").await.caller(), "web-session");
    // Pictures to edit come as form data, from programs with a token.
    let token = authorization(&stage.token(Scope::Generate).await);
    let edit = [("content-type", "multipart/form-data; boundary=x"), ("authorization", &*token)];
    assert_eq!(stage.web("POST", "/v1/images/edits", &edit, "--x--").await.status, 200);
    assert_eq!(stage.web("POST", "/v1/images/generations", &edit, "--x--").await.status, 415);
}

#[tokio::test]
async fn a_token_stands_in_its_header_and_nowhere_else() {
    let stage = Stage::new().await;
    let plain = stage.token(Scope::Generate).await;
    let token = authorization(&plain);
    assert_eq!(stage.web("GET", "/v1/models", &[], "").await.reason(), "TOKEN_REQUIRED");
    let answer = stage.web("GET", "/v1/models", &[("authorization", "Bearer paintbox_x")], "").await;
    assert_eq!((answer.status, &*answer.reason()), (401, "TOKEN_INVALID"));
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    for path in [format!("/v1/models?token={plain}"), format!("/v1/models?x={plain}"), format!("/assets/{plain}")] {
        for headers in [&[][..], &[("authorization", &*token)]] {
            let answer = stage.web("GET", &path, headers, "").await;
            assert_eq!((answer.status, &*answer.reason()), (400, "TOKEN_IN_URL"), "{path}");
            assert!(!String::from_utf8_lossy(&answer.body).contains(&plain));
        }
    }
    let read = authorization(&stage.token(Scope::Read).await);
    assert_eq!(stage.web("GET", "/v1/models", &[("authorization", &read)], "").await.reason(), "TOKEN_SCOPE_MISSING");
    assert_eq!(stage.web("GET", "/assets/x", &[("authorization", &read)], "").await.status, 200);
    // A1111's clients know a user and a password; "user:" + token.
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("user:{plain}"));
    let basic = format!("Basic {basic}");
    assert_eq!(stage.web("POST", "/sdapi/v1/txt2img", &[JSON, ("authorization", &basic)], "{}").await.status, 200);
    assert_eq!(stage.web("GET", "/v1/models", &[("authorization", &basic)], "").await.reason(), "TOKEN_INVALID");
    // They interrupt with nothing but that; a page's form says nothing either, but knows no token.
    assert_eq!(stage.web("POST", "/sdapi/v1/txt2img", &[("authorization", &basic)], "").await.status, 200);
    let said = stage.web("POST", "/sdapi/v1/txt2img", &[("authorization", &basic)], "{}").await;
    assert_eq!(said.reason(), "MEDIA_TYPE_UNSUPPORTED");
    assert_eq!(stage.web("POST", "/sdapi/v1/txt2img", &[], "").await.reason(), "TOKEN_REQUIRED");
    let cookie = stage.sign_in(Scope::Generate).await;
    let own = format!("http://{}", stage.web_authority());
    let of_page = stage.web("POST", "/sdapi/v1/txt2img", &[("cookie", &cookie), ("origin", &own)], "").await;
    assert_eq!(of_page.reason(), "MEDIA_TYPE_UNSUPPORTED");
}

#[tokio::test]
async fn a_code_signs_in_one_browser_once_and_not_for_long() {
    let stage = Stage::new().await;
    let (code, _) = stage.access.sessions.issue_code(Scope::Generate).unwrap();
    for wrong in ["", "x", &code[1..]] {
        let answer = stage.exchange(wrong).await;
        assert_eq!((answer.status, &*answer.reason()), (401, "CODE_INVALID"), "{wrong}");
    }
    let answer = stage.exchange(&code).await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let answer = stage.exchange(&code).await;
    assert_eq!((answer.status, &*answer.reason()), (401, "CODE_INVALID"), "a code is replayed");
    assert!(!answer.headers.contains_key("set-cookie"));
    let (late, _) = stage.access.sessions.issue_code(Scope::Generate).unwrap();
    stage.clock.advance(Duration::from_secs(120));
    assert_eq!(stage.exchange(&late).await.reason(), "CODE_INVALID");
    for body in ["", "[]", "{}", "{\"code\":1}", &"x".repeat(5000)] {
        let answer = stage.web("POST", "/session", &[JSON], body).await;
        assert_eq!((answer.status, &*answer.reason()), (400, "INVALID_ARGUMENT"), "{body:.20}");
    }
}

#[tokio::test]
async fn a_session_is_our_own_pages_and_ends() {
    let stage = Stage::new().await;
    let cookie = stage.sign_in(Scope::Generate).await;
    let own = format!("http://{}", stage.web);
    let sent = [("cookie", &*cookie), ("origin", &*own)];
    let of_image = [("cookie", &*cookie), ("sec-fetch-site", "same-origin")];
    assert_eq!(stage.web("GET", "/session", &sent, "").await.body, br#"{"client":"web-session","scope":"generate"}"#);
    assert_eq!(stage.web("GET", "/assets/x", &of_image, "").await.caller(), "web-session");
    assert_eq!(stage.web("GET", "/assets/x", &[("cookie", &cookie)], "").await.reason(), "TOKEN_REQUIRED");
    // A friend's page may call with a token of its own and never as our page.
    let of_friend = [("cookie", &*cookie), ("origin", PAGE_OF_A_FRIEND)];
    assert_eq!(stage.web("GET", "/assets/x", &of_friend, "").await.reason(), "TOKEN_REQUIRED");
    let other = cookie.replace('=', "=x");
    let answer = stage.web("GET", "/session", &[("cookie", &other), ("origin", &own)], "").await;
    assert_eq!((answer.status, &*answer.reason()), (401, "SESSION_EXPIRED"));
    let answer = stage.web("DELETE", "/session", &sent, "").await;
    assert_eq!(answer.status, 204);
    assert!(answer.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(stage.web("GET", "/session", &sent, "").await.reason(), "SESSION_EXPIRED");
    // Another one, whose time passes, and more than there may be.
    let cookie = stage.sign_in(Scope::Generate).await;
    stage.clock.advance(crate::access::SESSION_LIFE);
    let answer = stage.web("GET", "/session", &[("cookie", &cookie), ("origin", &own)], "").await;
    assert_eq!(answer.reason(), "SESSION_EXPIRED");
    let first = stage.sign_in(Scope::Generate).await;
    for _ in 0..32 {
        stage.sign_in(Scope::Generate).await;
    }
    assert_eq!(stage.web("GET", "/session", &[("cookie", &first), ("origin", &own)], "").await.status, 401);
    assert_eq!(stage.access.sessions.end_all(), 32);
}

#[tokio::test]
async fn a_session_ends_at_its_time_and_its_streams_with_it() {
    let stage = Stage::within(Limits { look: Duration::from_millis(5), ..Limits::USUAL }, None).await;
    let cookie = stage.sign_in(Scope::Read).await;
    let of_page = [("cookie", cookie), ("origin", format!("http://{}", stage.web))];
    let call = |path: &str| {
        let mut request = grpc(path, &of_page);
        *request.uri_mut() = format!("http://{}{path}", stage.web).parse().unwrap();
        request
    };
    let mut sender = connect_h2(stage.web).await;
    let watch = sender.send_request(call(WATCH)).await.unwrap();
    let mut events = watch.into_body();
    assert!(events.frame().await.unwrap().unwrap().is_data(), "it has begun");
    stage.clock.advance(crate::access::SESSION_LIFE - Duration::from_millis(1));
    assert_eq!(ask(&mut sender, call(STATUS)).await.caller(), "web-session", "not before its time");
    // Nobody asks for anything any more: the stream ends by itself.
    stage.clock.advance(Duration::from_millis(1));
    let rest = tokio::time::timeout(PATIENCE, events.collect()).await.expect("the stream outlives its session");
    let status = Status::from_header_map(rest.unwrap().trailers().unwrap()).unwrap();
    let info = status.get_details_error_info().unwrap();
    assert_eq!((status.code(), &*info.reason), (Code::Unauthenticated, "SESSION_EXPIRED"));
    assert_eq!(ask(&mut sender, call(STATUS)).await.reason(), "SESSION_EXPIRED");
    // Signing out ends them too.
    let cookie = stage.sign_in(Scope::Read).await;
    let own = format!("http://{}", stage.web);
    let mut request = grpc(WATCH, &[("cookie", cookie.clone()), ("origin", own.clone())]);
    *request.uri_mut() = format!("http://{}{WATCH}", stage.web).parse().unwrap();
    let watch = sender.send_request(request).await.unwrap();
    assert_eq!(stage.web("DELETE", "/session", &[("cookie", &cookie), ("origin", &own)], "").await.status, 204);
    assert_eq!(finish(watch).await.reason(), "SESSION_EXPIRED");
    // So does the end of all sessions.
    let of_page = [("cookie", stage.sign_in(Scope::Read).await), ("origin", own)];
    let mut request = grpc(WATCH, &of_page);
    *request.uri_mut() = format!("http://{}{WATCH}", stage.web).parse().unwrap();
    let watch = sender.send_request(request).await.unwrap();
    assert_eq!(stage.access.sessions.end_all(), 1);
    assert_eq!(finish(watch).await.reason(), "SESSION_EXPIRED");
}

#[tokio::test]
async fn a_page_that_the_configuration_names_may_read_answers() {
    let stage = Stage::new().await;
    let token = authorization(&stage.token(Scope::Generate).await);
    let preflight = [
        ("origin", PAGE_OF_A_FRIEND),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-grpc-web"),
        ("sec-fetch-site", "cross-site"),
    ];
    let answer = stage.web("OPTIONS", CREATE, &preflight, "").await;
    assert_eq!(
        (answer.status, &answer.headers["access-control-allow-origin"]),
        (204, &PAGE_OF_A_FRIEND.parse().unwrap())
    );
    assert!(answer.headers["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    let sent = [("origin", PAGE_OF_A_FRIEND), ("authorization", &*token), JSON];
    let answer = stage.web("POST", "/v1/images/generations", &sent, "{}").await;
    assert_eq!(
        (answer.status, &answer.headers["access-control-allow-origin"]),
        (200, &PAGE_OF_A_FRIEND.parse().unwrap())
    );
    assert_eq!(answer.headers["vary"], "origin");
    // It can read why it was refused, too.
    let answer = stage.web("POST", "/v1/images/generations", &[("origin", PAGE_OF_A_FRIEND), JSON], "{}").await;
    assert_eq!(
        (answer.status, &answer.headers["access-control-allow-origin"]),
        (401, &PAGE_OF_A_FRIEND.parse().unwrap())
    );
}

#[tokio::test]
async fn grpc_web_is_answered_as_grpc_web() {
    let stage = Stage::new().await;
    let token = authorization(&stage.token(Scope::Read).await);
    let kind = ("content-type", "application/grpc-web+proto");
    let body = String::from_utf8(framed(&[])).unwrap();
    let answer = stage.web("POST", CHECK, &[kind, ("authorization", &token)], &body).await;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "application/grpc-web+proto"));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("grpc-status:0"), "the trailers are in the body: {text:?}");
    let refused = stage.web("POST", CHECK, &[kind], &body).await;
    assert_eq!(
        (refused.status, refused.headers["content-type"].to_str().unwrap()),
        (200, "application/grpc-web+proto")
    );
    assert_eq!((refused.grpc().code(), &*refused.reason()), (Code::Unauthenticated, "TOKEN_REQUIRED"));
    // A deadline in the middle of a stream arrives as a trailer in the body.
    let late = [kind, ("authorization", &*token), ("grpc-timeout", "1S")];
    let text = String::from_utf8_lossy(&stage.web("POST", WATCH, &late, &body).await.body).into_owned();
    assert!(text.contains("grpc-status:4"), "{text:?}");
    // gRPC itself passes over HTTP/2.
    let mut request = grpc(STATUS, &[("authorization", token.clone())]);
    *request.uri_mut() = format!("http://{}{STATUS}", stage.web).parse().unwrap();
    assert_eq!(h2(stage.web, request).await.grpc().code(), Code::Ok);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_make_nothing_of_it() {
    let stage = Stage::new().await;
    for path in ["/", "/session.js", "/page.css", "/icon.svg", "/session", "/nothing", "/../etc/passwd"] {
        let answer = stage.web("GET", path, &[], "").await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    }
    let page = stage.web("GET", "/", &[], "").await;
    // Whatever the page is made of is there, for a browser that is not signed in too.
    let text = String::from_utf8(page.body.clone()).unwrap();
    let parts: Vec<&str> = text.split(['"']).filter(|part| part.starts_with('/')).collect();
    assert_eq!(parts, ["/icon.svg", "/page.css", "/session.js"]);
    for path in parts {
        assert_eq!(stage.web("GET", path, &[], "").await.status, 200, "{path}");
    }
    assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    let visit = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(stage.web("GET", "/", &visit, "").await.status, 200, "a link leads to the page");
    let token = authorization(&stage.token(Scope::Admin).await);
    let answer = stage.web("GET", "/nothing", &[("authorization", &token)], "").await;
    assert_eq!((answer.status, &*answer.reason()), (404, "METHOD_UNKNOWN"));
}

/// What the code logs while a token goes by in every way there is.
#[tokio::test]
async fn no_token_and_no_code_is_ever_logged() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = {
        let log = Arc::clone(&log);
        move || Shared(Arc::clone(&log))
    };
    // While there is one dispatcher alone, tracing asks the thread that first reaches a place in the code whether it is
    // heard, for all threads and for good; and another test's thread says no. With two, every dispatcher is asked.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(writer);
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let stage = Stage::new().await;
    let plain = stage.token(Scope::Generate).await;
    let token = authorization(&plain);
    let (code, _) = stage.access.sessions.issue_code(Scope::Generate).unwrap();
    let cookie = {
        let answer = stage.exchange(&code).await;
        answer.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    };
    stage.exchange(&code).await;
    stage.web("GET", &format!("/v1/models?token={plain}"), &[("authorization", &token)], "").await;
    stage.web("GET", "/v1/models", &[("authorization", &token), ("cookie", &cookie)], "").await;
    stage.web("GET", "/session", &[("cookie", &cookie), ("sec-fetch-site", "none")], "").await;
    stage.call(STOP, &plain).await;
    stage.call(&format!("{STATUS}?token={plain}"), &plain).await;
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    // The library's own frames are none of ours: the daemon's log leaves `h2` and `hyper` at what they warn of.
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("paintbox_rpc")).collect();
    assert!(ours.iter().any(|line| line.contains("TOKEN_IN_URL")), "something is logged: {text}");
    let value = cookie.split_once('=').unwrap().1;
    for line in ours {
        assert!(!line.contains(&plain) && !line.contains(&code) && !line.contains(value), "{line}");
    }
}

struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
