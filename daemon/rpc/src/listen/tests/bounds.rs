//! How much, how large, how long: each bound that a client can run into.

use super::*;
use futures::StreamExt as _;
use tonic::Code;

const FRAME_DATA: u8 = 0;
const FRAME_HEADERS: u8 = 1;
const FRAME_SETTINGS: u8 = 4;
const FRAME_GOAWAY: u8 = 7;
const FRAME_CONTINUATION: u8 = 9;
/// RFC 9113 §7.
const FRAME_SIZE_ERROR: u32 = 6;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn greeting() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(FRAME_SETTINGS, 0, 0, &[])].concat()
}

/// The error code of the GOAWAY that the other side ends with.
fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while let [a, b, c, kind, ..] = *bytes {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let payload = bytes.get(9..9 + length)?;
        if kind == FRAME_GOAWAY {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        bytes = &bytes[9 + length..];
    }
    None
}

#[tokio::test]
async fn an_oversized_frame_ends_its_connection_before_it_is_read() {
    let stage = Stage::new().await;
    for kind in [FRAME_DATA, FRAME_HEADERS, 0xfe] {
        let head = frame(kind, 0, 1, &[]);
        // 16,385 bytes are announced, and none has to come.
        let oversized = [&[0, 0x40, 0x01], &head[3..]].concat();
        let answer = exchange(stage.tcp, &[greeting(), oversized].concat()).await;
        assert_eq!(goaway(&answer), Some(FRAME_SIZE_ERROR), "{kind} {answer:?}");
    }
}

#[tokio::test]
async fn a_message_of_more_than_a_mebibyte_is_refused_by_its_prefix() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Read).await;
    let prefix = [&[0], &(2_u32 << 20).to_be_bytes()[..]].concat();
    let answer = h2(stage.tcp, grpc_with(CHECK, &bearer(&token), prefix)).await;
    assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
}

#[tokio::test]
async fn bytes_that_are_no_message_are_the_callers_mistake() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Read).await;
    // A field that ends too early, a flag that does not exist, and no message at all.
    for body in [framed(&[0x0a, 0x7f]), vec![9, 0, 0, 0, 0], Vec::new(), vec![0, 0]] {
        let answer = h2(stage.tcp, grpc_with(CHECK, &bearer(&token), body.clone())).await;
        assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::InvalidArgument, "INVALID_ARGUMENT"), "{body:?}");
    }
}

#[tokio::test]
async fn a_decompression_bomb_is_not_unpacked() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Read).await;
    let mut packed = framed(&[0x1f, 0x8b, 8, 0]);
    packed[0] = 1;
    for encoding in ["gzip", "deflate", "zstd", "br"] {
        let headers = [bearer(&token), vec![("grpc-encoding", encoding.to_owned())]].concat();
        let answer = h2(stage.tcp, grpc_with(CHECK, &headers, packed.clone())).await;
        assert_eq!(
            (answer.grpc().code(), &*answer.reason()),
            (Code::Unimplemented, "UNSUPPORTED_SETTING"),
            "{encoding}"
        );
    }
    let answer = h2(stage.tcp, grpc_with(CHECK, &bearer(&token), packed)).await;
    assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::InvalidArgument, "INVALID_ARGUMENT"));
}

#[tokio::test]
async fn a_flood_of_headers_is_refused_on_both_protocols() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Read).await;
    let long = "x".repeat(20 * 1024);
    let headers = [bearer(&token), vec![("x-flood", long.clone())]].concat();
    let answer = h2(stage.tcp, grpc(STATUS, &headers)).await;
    assert_eq!(answer.status, 431);
    let host = stage.web_authority();
    let many: Vec<(String, String)> = (0..100).map(|at| (format!("x-{at}"), "y".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    for flood in [vec![("x-flood", &*long)], many] {
        let answer = http1(stage.web, "GET", "/", &[&[("host", &*host)], &flood[..]].concat(), "").await;
        assert_eq!(answer.status, 431);
    }
}

#[tokio::test]
async fn a_flood_of_continuations_ends_its_connection() {
    let stage = Stage::new().await;
    // A literal field without indexing whose name and value are empty, again and again (CVE-2024-27316).
    let part = [0x00, 0x01, b'a', 0x00].repeat(1000);
    let head = frame(FRAME_HEADERS, 0, 1, &part);
    let more = frame(FRAME_CONTINUATION, 0, 1, &part).repeat(200);
    let answer = exchange(stage.tcp, &[greeting(), head, more].concat()).await;
    assert_eq!(goaway(&answer), Some(ENHANCE_YOUR_CALM), "{answer:?}");
}

#[tokio::test]
async fn a_deadline_covers_a_handler_that_does_not_answer() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Read).await;
    let headers = [bearer(&token), vec![("grpc-timeout", "20m".to_owned())]].concat();
    let answer = h2(stage.tcp, grpc(NEVER, &headers)).await;
    assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    let headers = [bearer(&token), vec![("grpc-timeout", "soon".to_owned())]].concat();
    assert_eq!(h2(stage.tcp, grpc(STATUS, &headers)).await.reason(), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_deadline_covers_a_stream_after_its_head() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Read).await;
    let headers = [bearer(&token), vec![("grpc-timeout", "1S".to_owned())]].concat();
    let mut sender = connect_h2(stage.tcp).await;
    let response = sender.send_request(grpc(WATCH, &headers)).await.unwrap();
    assert!(!response.headers().contains_key("grpc-status"), "the stream has begun");
    let answer = finish(response).await;
    assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(!answer.body.is_empty(), "what came before the deadline is kept");
}

#[tokio::test]
async fn a_stream_that_waits_is_told_of_the_daemons_end() {
    let stage = Stage::within(Limits { drain: Duration::from_secs(3600), ..Limits::USUAL }, None).await;
    let token = stage.token(Scope::Read).await;
    let mut sender = connect_h2(stage.tcp).await;
    let stream = sender.send_request(grpc(WATCH, &bearer(&token))).await.unwrap();
    stage.ending.cancel();
    let answer = finish(stream).await;
    assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::Unavailable, "SHUTTING_DOWN"));
    drop(sender);
    tokio::time::timeout(PATIENCE, stage.serving).await.expect("nothing had to be cut").unwrap();
}

#[tokio::test]
async fn an_end_of_the_daemon_does_not_wait_for_calls_that_never_end() {
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::USUAL };
    let stage = Stage::within(limits, None).await;
    let token = stage.token(Scope::Read).await;
    let mut sender = connect_h2(stage.tcp).await;
    // One that nobody reads, one that is never answered, and a connection that says nothing.
    let stream = sender.send_request(grpc(ENDLESS, &bearer(&token))).await.unwrap();
    let unanswered = tokio::spawn(sender.send_request(grpc(NEVER, &bearer(&token))));
    let silent = TcpStream::connect(stage.web).await.unwrap();
    assert_eq!(ask(&mut sender, grpc(STATUS, &bearer(&token))).await.grpc().code(), Code::Ok, "both are under way");
    stage.ending.cancel();
    tokio::time::timeout(PATIENCE, stage.serving).await.unwrap().unwrap();
    assert!(!stage.folder.path().join("paintbox.sock").exists());
    assert!(unanswered.await.unwrap().is_err() && stream.into_body().collect().await.is_err(), "both were cut");
    drop(silent);
}

#[tokio::test]
async fn a_reader_that_is_stuck_holds_its_own_connection_and_little_of_it() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Read).await;
    let mut stuck = connect_h2(stage.tcp).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(stuck.send_request(grpc(ENDLESS, &bearer(&token))).await.unwrap());
    }
    for _ in 0..200 {
        assert_eq!(stage.call(STATUS, &token).await.grpc().code(), Code::Ok);
    }
    // On the same connection too: the windows of streams are their own.
    assert_eq!(ask(&mut stuck, grpc(STATUS, &bearer(&token))).await.grpc().code(), Code::Ok);
    // hyper's client opens 2 MiB of a stream's window and 5 MiB of a connection's; the buffers come on top.
    let taken = stage.pieces.load(Ordering::Relaxed) * 16 * 1024;
    assert!(taken <= (5 << 20) + 20 * (256 << 10), "{taken} bytes were made for nobody");
    drop(streams);
}

#[tokio::test]
async fn more_calls_than_a_listener_takes_are_told_to_come_back() {
    let stage = Stage::within(Limits { calls: 2, ..Limits::USUAL }, None).await;
    let token = stage.token(Scope::Read).await;
    let mut sender = connect_h2(stage.tcp).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(sender.send_request(grpc(WATCH, &bearer(&token))).await.unwrap());
    }
    let answer = stage.call(STATUS, &token).await;
    assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::ResourceExhausted, "DAEMON_BUSY"));
    assert!(answer.grpc().get_details_retry_info().unwrap().retry_delay.is_some());
    // Whoever has no token does not get as far as that, and the other listeners have bounds of their own.
    assert_eq!(h2(stage.tcp, grpc(STATUS, &[])).await.reason(), "TOKEN_REQUIRED");
    let on_web = stage.web("GET", "/v1/models", &[("authorization", &*format!("Bearer {token}"))], "").await;
    assert_eq!(on_web.reason(), "TOKEN_SCOPE_MISSING");
    held.clear();
    let free = async { while stage.call(STATUS, &token).await.grpc().code() != Code::Ok {} };
    tokio::time::timeout(PATIENCE, free).await.unwrap();
}

#[tokio::test]
async fn more_connections_than_a_listener_takes_are_closed() {
    let stage = Stage::within(Limits { connections: 1, ..Limits::USUAL }, None).await;
    let token = stage.token(Scope::Read).await;
    let mut first = connect_h2(stage.tcp).await;
    assert_eq!(ask(&mut first, grpc(STATUS, &bearer(&token))).await.grpc().code(), Code::Ok);
    assert_eq!(exchange(stage.tcp, &[]).await, b"");
    assert_eq!(stage.web("GET", "/", &[], "").await.status, 200, "the other listeners have bounds of their own");
    drop(first);
    let again = async {
        loop {
            let stream = TcpStream::connect(stage.tcp).await.unwrap();
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut sender, connection) = handshake.await.unwrap();
            let connection = tokio::spawn(async move { drop(connection.await) });
            let answered = sender.send_request(grpc(STATUS, &bearer(&token))).await.is_ok();
            connection.abort();
            if answered {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let limits = Limits { greeting: Duration::from_millis(30), ..Limits::USUAL };
    let stage = Stage::within(limits, None).await;
    for address in [stage.tcp, stage.web] {
        for beginning in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
            let answer = exchange(address, beginning).await;
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
        }
    }
    let answer = exchange(stage.web, b"GET / HTTP/1.1\r\nhost: never-ends").await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_stops_is_not_waited_for_for_ever() {
    let stage = Stage::within(Limits { sending: Duration::from_millis(20), ..Limits::USUAL }, None).await;
    let token = stage.token(Scope::Generate).await;
    for (path, kind) in [("/sdapi/v1/img2img", "application/json"), (CHECK, "application/grpc-web+proto")] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\ncontent-type: {kind}\r\n",
            stage.web
        );
        for body in ["content-length: 100\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"] {
            // The other side closes: nothing else ends this.
            let answer = read_http1(&exchange(stage.web, format!("{head}{body}").as_bytes()).await);
            assert_eq!(answer.reason(), "BODY_TOO_SLOW", "{path} {body}");
            assert_eq!(answer.status, if path == CHECK { 200 } else { 408 }, "gRPC has the status in its headers");
        }
        let pieces = futures::stream::iter([Ok::<_, std::io::Error>("{")]).chain(futures::stream::pending());
        let request = Request::post(format!("http://{}{path}", stage.web)).header("content-type", kind);
        let request = request.header("authorization", format!("Bearer {token}")).body(Body::from_stream(pieces));
        assert_eq!(h2(stage.web, request.unwrap()).await.reason(), "BODY_TOO_SLOW", "{path}");
    }
    // What is there in time is taken.
    let sent = [("authorization", &*format!("Bearer {token}")), ("content-type", "application/json")];
    assert_eq!(stage.web("POST", "/sdapi/v1/img2img", &sent, &" ".repeat(300_000)).await.body, b"300000");
}

#[tokio::test]
async fn a_reader_over_http1_that_takes_nothing_is_not_served_for_ever() {
    let stage = Stage::within(Limits { silence: Duration::from_millis(20), ..Limits::USUAL }, None).await;
    let token = stage.token(Scope::Read).await;
    let body = String::from_utf8(framed(&[])).unwrap();
    let request = format!(
        "POST {ENDLESS} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/grpc-web+proto\r\ncontent-length: {}\r\n\r\n{body}",
        stage.web,
        body.len()
    );
    let mut stuck = TcpStream::connect(stage.web).await.unwrap();
    stuck.write_all(request.as_bytes()).await.unwrap();
    // The stream has begun; nothing more of it is read.
    let mut head = [0; 12];
    stuck.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let given_up = async {
        while stage.connections(ListenerKind::Web) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up).await.expect("nobody gives it up");
    drop(stuck);
    // What was buffered for it is all that was ever made.
    let made = stage.pieces.load(Ordering::Relaxed);
    assert_eq!(stage.web("GET", "/", &[], "").await.status, 200, "the listener goes on");
    assert_eq!(stage.pieces.load(Ordering::Relaxed), made);
}
