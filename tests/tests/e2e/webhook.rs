//! A new version is told to an address of the user's: once, and again later if nobody took it.

use crate::{installation, ok, other_weights, published_now};
use paintbox_testkit::wait_for;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What somebody's server was sent: request line and body.
type Received = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that takes every message.
async fn receiver() -> (String, Received) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let received = Received::default();
    let into = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let message = read_message(stream).await;
            into.lock().unwrap().push(message);
        }
    });
    (origin, received)
}

/// Reads one request with a body of stated length, and takes it.
async fn read_message(mut stream: TcpStream) -> (String, Value) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the request ended early");
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
    (head.lines().next().unwrap_or_default().to_owned(), serde_json::from_str(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_new_version_is_told_once() {
    let (hub, installed) = installation().await;
    let (origin, received) = receiver().await;
    let notify = format!("{}[notify]\nwebhook = \"{origin}/hooks/mine\"\n", crate::BY_HAND);
    installed.configure(&notify).unwrap();
    ok(&installed, &["follow", "civitai:tiny_emoji", "--notify-only"]);
    let published =
        hub.add_version(64_065, published_now("v2", "greyscale-v2.safetensors", other_weights(0x44))).unwrap();
    let done = ok(&installed, &["sync", "--wait"]).pop().unwrap();
    assert_eq!(done["fetched"], 0, "this follow only tells: {done}");
    let count = || received.lock().unwrap().len();
    wait_for("the message", Duration::from_secs(20), async || count() > 0).await;
    let (line, message) = received.lock().unwrap()[0].clone();
    assert_eq!(line, "POST /hooks/mine HTTP/1.1");
    assert_eq!((&message["event"], &message["model_name"]), (&"new_version".into(), &"Greyscale".into()), "{message}");
    assert_eq!(message["version"], format!("civitai:64065@{}", published.id), "{message}");
    assert_eq!((&message["creator"], &message["kind"]), (&"tiny_emoji".into(), &"lora".into()), "{message}");
    assert_eq!(message["follow"], "civitai:tiny_emoji", "{message}");

    // The next one is told too; the first is not told again, and neither is what was there before the follow.
    hub.add_version(64_064, published_now("v2.0", "deluxe.safetensors", other_weights(0x55))).unwrap();
    ok(&installed, &["sync", "--wait"]);
    wait_for("the second message", Duration::from_secs(20), async || count() > 1).await;
    ok(&installed, &["sync", "--wait"]);
    ok(&installed, &["daemon", "stop"]);
    let names: Vec<Value> =
        received.lock().unwrap().iter().map(|(_, message)| message["version_name"].clone()).collect();
    assert_eq!(names, ["v2", "v2.0"]);
}
