//! `token`, `web`, and the listeners of `daemon status`.

use super::fake::time;
use super::{Bench, assert_fits, assert_has};
use paintbox_proto::v1;
use serde_json::json;

fn token(id: &str, label: &str, scope: v1::AccessScope) -> v1::ClientToken {
    let name = format!("clientTokens/{id}");
    v1::ClientToken { name, label: label.into(), scope: scope.into(), create_time: time(-7200), ..Default::default() }
}

#[tokio::test]
async fn a_token_is_printed_once_alone_on_its_line() {
    let bench = Bench::new().await;
    let made = bench.run(&["token", "create", "open-webui"]).await;
    assert_eq!((made.code, made.out.as_str()), (0, "paintbox_secret\n"));
    assert!(made.notes.contains("open-webui, which may generate") && !made.notes.contains("secret"), "{made:?}");
    let object = bench.json(&["token", "create", "phone", "--scope", "read"]).await.object();
    assert_has(&object, &["name", "label", "scope", "create_time", "last_use_time", "token"]);
    assert_eq!((&object["scope"], &object["token"]), (&json!("read"), &json!("paintbox_secret")));
    let listed = bench.json(&["token", "list"]).await;
    assert!(listed.objects().iter().all(|token| token.get("token").is_none()), "{listed:?}");
    assert_eq!(bench.json(&["token", "create", "x", "--scope", "root"]).await.code, 2);
}

#[tokio::test]
async fn clients_are_listed_over_all_pages_and_told_apart() {
    let bench = Bench::new().await;
    assert!(bench.run(&["token", "list"]).await.notes.contains("No client has a token"));
    bench.world().access.tokens = vec![
        token("a1", "open-webui", v1::AccessScope::Generate),
        v1::ClientToken { last_use_time: time(-60), ..token("b2", "open-webui", v1::AccessScope::Read) },
        token("c3", "cat\u{1b}[2J", v1::AccessScope::Admin),
    ];
    let ended = bench.run(&["token", "list"]).await;
    for words in ["a1", "b2", "c3", "generate", "never", "1 minute ago", "2 hours ago"] {
        assert!(ended.out.contains(words), "{words} in {}", ended.out);
    }
    assert!(!ended.out.contains('\u{1b}'));
    assert_eq!(bench.json(&["token", "list"]).await.objects().len(), 3);
    let mut narrow = bench;
    narrow.columns = Some(60);
    assert_fits(&narrow.run(&["token", "list"]).await.out, 60);
}

#[tokio::test]
async fn a_token_is_taken_away_by_id_or_by_a_label_that_one_client_has() {
    let bench = Bench::new().await;
    bench.world().access.tokens = vec![
        token("a1", "open-webui", v1::AccessScope::Generate),
        token("b2", "open-webui", v1::AccessScope::Read),
        token("c3", "phone", v1::AccessScope::Read),
    ];
    for unclear in ["open-webui", "nobody"] {
        assert_eq!(bench.json(&["token", "rm", unclear]).await.code, 2, "{unclear}");
    }
    let removed = bench.json(&["token", "rm", "phone"]).await.object();
    assert_eq!(removed, json!({"name": "clientTokens/c3", "deleted": true}));
    assert_eq!(bench.run(&["token", "rm", "a1"]).await.code, 0);
    assert_eq!(bench.json(&["token", "rm", "clientTokens/b2"]).await.code, 0);
    assert!(bench.world().access.tokens.is_empty());
}

#[tokio::test]
async fn web_prints_an_address_whose_code_browsers_do_not_send() {
    let bench = Bench::new().await;
    let off = bench.json(&["web"]).await;
    assert_eq!((off.code, &off.error()["reason"]), (1, &json!("WEB_LISTENER_OFF")));
    bench.world().access.web = "http://127.0.0.1:7860/".into();
    let shown = bench.run(&["web"]).await;
    assert_eq!((shown.code, shown.out.as_str()), (0, "http://127.0.0.1:7860/#code=one-time\n"));
    let object = bench.json(&["web", "--scope", "admin"]).await.object();
    assert_eq!(object["address"], "http://127.0.0.1:7860/#code=one-time");
    assert_eq!(object["expire_time"], "2026-01-01T00:02:00Z");
    assert!(bench.world().asked.iter().any(|asked| asked.contains("scope: Admin")), "{:?}", bench.world().asked);
    assert_eq!(bench.json(&["web", "--sign-out"]).await.object(), json!({"sessions": 2}));
    assert!(bench.run(&["web", "--sign-out"]).await.out.contains("2 browsers"));
    bench.world().access.web = "javascript:alert(1)//".into();
    assert_eq!(bench.json(&["web"]).await.error()["reason"], "INTERNAL");
}

#[tokio::test]
async fn status_names_the_listeners() {
    let bench = Bench::new().await;
    assert_eq!(bench.json(&["daemon", "status"]).await.object()["listeners"], json!([]));
    let listener = |kind: v1::ListenerKind, address: &str, tls| v1::Listener {
        kind: kind.into(),
        address: address.into(),
        tls,
        connections: 1,
    };
    bench.world().access.listeners = vec![
        listener(v1::ListenerKind::Socket, "/run/paintbox.sock", false),
        listener(v1::ListenerKind::Tcp, "127.0.0.1:7861", true),
        listener(v1::ListenerKind::Web, "http://127.0.0.1:7860/", false),
    ];
    let listeners = bench.json(&["daemon", "status"]).await.object()["listeners"].clone();
    assert_eq!(listeners[1], json!({"kind": "tcp", "address": "127.0.0.1:7861", "tls": true, "connections": 1}));
    let text = bench.run(&["daemon", "status"]).await.out;
    for words in ["127.0.0.1:7861, TLS, 1 connection", "http://127.0.0.1:7860/, 1 connection"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}
