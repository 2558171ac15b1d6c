//! gRPC over TCP: tokens, scopes, and nothing but HTTP/2.

use super::*;
use tonic::Code;

#[tokio::test]
async fn a_call_over_tcp_needs_a_token_that_somebody_has() {
    let stage = Stage::new().await;
    let answer = h2(stage.tcp, grpc(STATUS, &[])).await;
    assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::Unauthenticated, "TOKEN_REQUIRED"));
    let token = stage.token(Scope::Read).await;
    for wrong in ["paintbox_x", "", &token[..token.len() - 1], &format!("{token}x")] {
        let answer = stage.call(STATUS, wrong).await;
        assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::Unauthenticated, "TOKEN_INVALID"), "{wrong}");
    }
    let answer = stage.call(STATUS, &token).await;
    assert_eq!(answer.grpc().code(), Code::Ok, "{answer:?}");
    let id = stage.access.tokens.list()[0].id.clone();
    assert_eq!(answer.caller(), format!("token-{id}"));
}

#[tokio::test]
async fn a_token_may_do_what_its_scope_says_and_no_more() {
    let stage = Stage::new().await;
    for (scope, may) in [
        (Scope::Read, [true, false, false]),
        (Scope::Generate, [true, true, false]),
        (Scope::Admin, [true, true, true]),
    ] {
        let token = stage.token(scope).await;
        for (path, may) in [STATUS, CREATE, STOP].into_iter().zip(may) {
            let answer = stage.call(path, &token).await;
            let wanted = if may { Code::Ok } else { Code::PermissionDenied };
            assert_eq!(answer.grpc().code(), wanted, "{scope:?} {path}");
            if !may {
                let info = answer.grpc().get_details_error_info().unwrap();
                assert_eq!(info.reason, "TOKEN_SCOPE_MISSING");
                assert_eq!(info.metadata["scope"], scope.as_str());
            }
        }
    }
}

#[tokio::test]
async fn a_deleted_token_ends_its_streams_and_its_calls() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Read).await;
    let mut sender = connect_h2(stage.tcp).await;
    let stream = sender.send_request(grpc(WATCH, &bearer(&token))).await.unwrap();
    assert_eq!(stream.status(), 200);
    let id = stage.access.tokens.list()[0].id.clone();
    assert!(stage.access.tokens.delete(&id).await.unwrap());
    let answer = finish(stream).await;
    assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::Unauthenticated, "TOKEN_INVALID"));
    assert_eq!(ask(&mut sender, grpc(STATUS, &bearer(&token))).await.reason(), "TOKEN_INVALID");
    assert!(!stage.access.tokens.delete(&id).await.unwrap());
}

#[tokio::test]
async fn only_the_digest_of_a_token_is_kept_and_it_outlives_the_daemon() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Generate).await;
    let text = stage.file.text.lock().unwrap().clone().unwrap();
    assert!(!text.contains(&token) && !text.contains(token.trim_start_matches("paintbox_")), "{text}");
    let again = Access::open(stage.file.clone(), stage.clock.clone()).unwrap();
    assert!(again.by_token(&token).unwrap().caller.may(Scope::Generate));
    // When it was last used is kept at an orderly end.
    assert!(text.contains("\"last_used_ms\": null"), "{text}");
    assert_eq!(stage.call(STATUS, &token).await.grpc().code(), Code::Ok);
    stage.ending.cancel();
    tokio::time::timeout(PATIENCE, stage.serving).await.unwrap().unwrap();
    let text = stage.file.text.lock().unwrap().clone().unwrap();
    assert!(text.contains("\"last_used_ms\": 1000000"), "{text}");
}

#[tokio::test]
async fn a_damaged_file_of_tokens_is_set_aside_and_lets_nobody_in() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Admin).await;
    for damaged in ["", "{", "{\"tokens\":[{\"id\":\"x\"}]}", "[]"] {
        *stage.file.text.lock().unwrap() = Some(damaged.to_owned());
        let access = Access::open(stage.file.clone(), stage.clock.clone()).unwrap();
        assert_eq!(access.by_token(&token).unwrap_err().reason, "TOKEN_INVALID", "{damaged}");
        assert_eq!(stage.file.set_aside.lock().unwrap().as_deref(), Some(damaged));
    }
}

#[tokio::test]
async fn a_token_in_an_address_is_refused_even_beside_a_good_one() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Admin).await;
    for path in [format!("{STATUS}?token={token}"), format!("{STATUS}?access_token=x"), format!("{STATUS}?q={token}")] {
        let answer = stage.call(&path, &token).await;
        assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::InvalidArgument, "TOKEN_IN_URL"), "{path}");
        assert!(!answer.grpc().message().contains(&token));
    }
}

#[tokio::test]
async fn a_browser_cannot_speak_to_the_tcp_port() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Admin).await;
    for request in [
        format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", stage.tcp),
        format!("POST {STATUS} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\r\n", stage.tcp),
        "GET / HTTP/1.1\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n"
            .into(),
    ] {
        let answer = exchange(stage.tcp, request.as_bytes()).await;
        assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(stage.call(STATUS, &token).await.grpc().code(), Code::Ok, "the listener goes on");
}

#[tokio::test]
async fn the_socket_lets_this_user_in_without_a_token() {
    let stage = Stage::new().await;
    let path = stage.folder.path().join("paintbox.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let mut sender = speak_h2(tokio::net::UnixStream::connect(path).await.unwrap()).await;
    let answer = ask(&mut sender, grpc(STOP, &[])).await;
    assert_eq!((answer.grpc().code(), answer.caller()), (Code::Ok, "socket"));
}

#[tokio::test]
async fn what_is_no_grpc_has_no_way_in() {
    let stage = Stage::new().await;
    let token = stage.token(Scope::Admin).await;
    let mut plain = grpc(STATUS, &bearer(&token));
    plain.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    let answer = h2(stage.tcp, plain).await;
    assert_eq!((answer.status, &*answer.reason()), (415, "MEDIA_TYPE_UNSUPPORTED"));
    let answer = stage.call("/paintbox.v1.DaemonService/Explode", &token).await;
    assert_eq!((answer.grpc().code(), &*answer.reason()), (Code::Unimplemented, "METHOD_UNKNOWN"));
}
