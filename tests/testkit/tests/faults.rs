//! Scripted faults as a client meets them.

#![expect(clippy::unwrap_used, reason = "a test whose client fails has failed")]

use paintbox_testkit::{
    FakeCivitaiModel, FakeFile, FakeHub, FakeVersion, Fault, FaultRule, Server, assert_close, wait_for,
};
use reqwest::header::{LOCATION, RANGE};
use reqwest::{Client, Method, Response};
use std::time::{Duration, Instant};

const LENGTH: usize = 200_000;
const SOON: Duration = Duration::from_secs(10);

fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).user_agent("testkit/0").build().unwrap()
}

/// A hub with one file of zeros, and the URL of its bytes.
async fn hub_with_a_file() -> (FakeHub, String) {
    let hub = FakeHub::start().await;
    let version = FakeVersion::new("v1", "SD 1.5").file(FakeFile::model("it.safetensors", vec![0; LENGTH]));
    let published = hub.publish(FakeCivitaiModel::new("Someone", "LORA", "It").version(version));
    let url = format!("{}/api/download/models/{}", hub.civitai_endpoint(), published.versions[0].id);
    let redirect = client().get(url).send().await.unwrap();
    (hub, redirect.headers()[LOCATION].to_str().unwrap().to_owned())
}

async fn get(url: &str) -> Response {
    client().get(url).send().await.unwrap()
}

#[tokio::test]
async fn a_truncated_body_ends_early_once_and_is_whole_the_next_time() {
    let (hub, url) = hub_with_a_file().await;
    let fault = hub.faults().once(Server::CivitaiStorage, "/", Fault::TruncateBodyAfter(1000));
    let mut response = get(&url).await;
    assert_eq!(response.content_length(), Some(LENGTH as u64));
    let mut received = 0;
    let ended = loop {
        match response.chunk().await {
            Ok(Some(piece)) => received += piece.len(),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(ended.is_err());
    assert_eq!((received, fault.hits()), (1000, 1));
    assert_eq!(get(&url).await.bytes().await.unwrap().len(), LENGTH);
    assert_eq!(fault.hits(), 1);
}

#[tokio::test]
async fn a_corrupt_byte_is_at_its_place_in_the_file_in_ranges_too() {
    let (hub, url) = hub_with_a_file().await;
    hub.faults().always(Server::CivitaiStorage, "/", Fault::CorruptByteAt(150));
    let whole = get(&url).await.bytes().await.unwrap();
    assert_eq!((whole[149], whole[150], whole[151]), (0, 0xff, 0));
    let part = client().get(&url).header(RANGE, "bytes=100-199").send().await.unwrap().bytes().await.unwrap();
    assert_eq!((part.len(), part[50]), (100, 0xff));
    let after = client().get(&url).header(RANGE, "bytes=151-").send().await.unwrap().bytes().await.unwrap();
    assert!(after.iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn answers_can_be_replaced() {
    let (hub, url) = hub_with_a_file().await;
    hub.faults().once(Server::CivitaiStorage, "/", Fault::HtmlLoginPage);
    let page = get(&url).await;
    assert_eq!(
        (page.status().as_u16(), page.headers()["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    assert!(page.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    let busy = Fault::Status {
        code: 503,
        body: "{\"error\":\"busy\"}".to_owned(),
        headers: vec![("Retry-After".to_owned(), "2".to_owned())],
    };
    hub.faults().once(Server::CivitaiSite, "/api/v1/models", busy);
    let refused = get(&format!("{}/api/v1/models?limit=1", hub.civitai_endpoint())).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "2"));
    hub.faults().once(Server::CivitaiStorage, "/", Fault::Body("other bytes".into()));
    let other = get(&url).await;
    assert_eq!((other.status().as_u16(), other.text().await.unwrap().as_str()), (200, "other bytes"));
    hub.faults().once(Server::CivitaiStorage, "/", Fault::RedirectTo("https://elsewhere.example/x".to_owned()));
    assert_eq!(get(&url).await.headers()[LOCATION], "https://elsewhere.example/x");
}

#[tokio::test]
async fn a_server_may_ignore_ranges_or_lie_about_the_length() {
    let (hub, url) = hub_with_a_file().await;
    hub.faults().once(Server::CivitaiStorage, "/", Fault::IgnoreRange);
    let whole = client().get(&url).header(RANGE, "bytes=10-").send().await.unwrap();
    assert_eq!((whole.status().as_u16(), whole.bytes().await.unwrap().len()), (200, LENGTH));
    hub.faults().once(Server::CivitaiStorage, "/", Fault::WrongContentLength(LENGTH as u64 + 5));
    assert!(get(&url).await.bytes().await.is_err());
    hub.faults().once(Server::CivitaiStorage, "/", Fault::WrongContentLength(7));
    assert_eq!(get(&url).await.bytes().await.unwrap().len(), 7);
    hub.faults().once(Server::CivitaiStorage, "/", Fault::HangUp);
    let hung_up = match client().get(&url).send().await {
        Ok(response) => response.bytes().await.is_err(),
        Err(_) => true,
    };
    assert!(hung_up);
}

#[tokio::test]
async fn a_stalled_request_waits_until_it_is_released() {
    let (hub, url) = hub_with_a_file().await;
    let fault = hub.faults().once(Server::CivitaiStorage, "/", Fault::Stall);
    let waiting = tokio::spawn(async move { get(&url).await.bytes().await.unwrap().len() });
    wait_for("the stall", SOON, || async { fault.hits() == 1 }).await;
    assert!(!waiting.is_finished());
    fault.release();
    assert_eq!(waiting.await.unwrap(), LENGTH);
}

#[tokio::test]
async fn a_body_may_stall_in_its_middle() {
    let (hub, url) = hub_with_a_file().await;
    let fault = hub.faults().once(Server::CivitaiStorage, "/", Fault::StallBodyAfter(1234));
    let mut response = get(&url).await;
    let mut received = 0;
    while received < 1234 {
        received += response.chunk().await.unwrap().unwrap().len();
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), response.chunk()).await.is_err());
    fault.release();
    while let Some(piece) = response.chunk().await.unwrap() {
        received += piece.len();
    }
    assert_eq!(received, LENGTH);
}

#[tokio::test]
async fn slowness_takes_its_time() {
    let (hub, url) = hub_with_a_file().await;
    let pause = Duration::from_millis(20);
    hub.faults().once(Server::CivitaiStorage, "/", Fault::SlowBody { chunk: LENGTH / 4, pause });
    let begun = Instant::now();
    assert_eq!(get(&url).await.bytes().await.unwrap().len(), LENGTH);
    assert!(begun.elapsed() >= 3 * pause, "{:?}", begun.elapsed());
    hub.faults().once(Server::CivitaiStorage, "/", Fault::ReleaseAfter(pause));
    let begun = Instant::now();
    assert_eq!(get(&url).await.status(), 200);
    assert_close(begun.elapsed().as_secs_f64(), pause.as_secs_f64(), 5.0);
    assert!(begun.elapsed() >= pause);
}

#[tokio::test]
async fn rules_can_be_for_one_method_for_some_requests_and_cleared() {
    let (hub, url) = hub_with_a_file().await;
    let error = |code| Fault::Status { code, body: String::new(), headers: Vec::new() };
    let rule = FaultRule::new(Server::CivitaiStorage, "/", error(500)).method(Method::GET).skip(1).times(2);
    let fault = hub.faults().add(rule);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(&url).await.status().as_u16());
    }
    assert_eq!((statuses, fault.hits()), (vec![200, 500, 500, 200], 2));
    hub.faults().always(Server::CivitaiStorage, "/", error(502));
    assert_eq!(get(&url).await.status(), 502);
    hub.faults().clear();
    assert_eq!(get(&url).await.status(), 200);
}

#[tokio::test]
async fn requests_are_remembered_as_they_came() {
    let hub = FakeHub::start().await;
    get(&format!("{}/api/v1/models?cursor=a%7Cb", hub.civitai_endpoint())).await;
    client().head(format!("{}/x/y/resolve/main/z", hub.hf_endpoint())).header("x-own", "1").send().await.unwrap();
    let requests = hub.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        (requests[0].server, requests[0].path_and_query.as_str()),
        (Server::CivitaiSite, "/api/v1/models?cursor=a%7Cb")
    );
    assert_eq!((requests[1].method.as_str(), requests[1].header("X-Own")), ("HEAD", Some("1")));
    hub.clear_requests();
    assert!(hub.requests().is_empty());
}

#[test]
fn a_test_may_block_its_thread_while_the_hub_answers() {
    use std::io::{Read, Write};
    let hub = FakeHub::start_blocking();
    let address = hub.civitai_endpoint().replace("http://", "");
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    write!(stream, "GET /api/v1/me HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401") && answer.ends_with("{\"error\":\"Unauthorized\"}"), "{answer}");
}
