//! Large files by Xet, and what happens when that breaks.

use super::hugging_face::{files, hf_token};
use super::*;
use crate::ResumeFrom;
use paintbox_domain::reason;
use paintbox_testkit::{FakeRepository, HF_TOKEN, XET_TOKEN};

/// Three stored objects, the last of them short.
const LENGTH: usize = 6_000_001;

/// Bytes that no compression shortens, as in weights.
fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = weights(8).to_vec();
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Every other word repeats, so that some of it is compressible all the same.
        bytes.extend_from_slice(&state.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
    }
    bytes.truncate(length);
    Bytes::from(bytes)
}

/// A hub that offers Xet, and the address of a large file on it.
async fn offered(bytes: &Bytes) -> (FakeHub, String) {
    let hub = FakeHub::start().await;
    let commit =
        hub.publish_repository(FakeRepository::new("studio/model", files(&[("a.safetensors", bytes.clone())])));
    hub.announce_xet(true);
    (hub, format!("/studio/model/resolve/{commit}/a.safetensors"))
}

async fn opened(hubs: &Hubs, locator: &str) -> Download {
    hubs.download(Hub::HuggingFace, locator, None, None).await.unwrap()
}

/// What the CDN was asked for: stored objects, and plain files with the range that was wanted of them.
fn cdn(hub: &FakeHub) -> (usize, Vec<Option<String>>) {
    let requests = hub.requests_to(Server::HfCdn);
    let (objects, plain): (Vec<_>, Vec<_>) =
        requests.into_iter().partition(|request| request.path().starts_with("/xorbs/"));
    (objects.len(), plain.iter().map(|request| request.header("range").map(str::to_owned)).collect())
}

#[tokio::test]
async fn a_large_file_comes_in_chunks_and_each_token_stays_where_it_belongs() {
    let bytes = noise(LENGTH);
    let (hub, locator) = offered(&bytes).await;
    let hubs = hubs(&hub);
    hf_token(&hubs, HF_TOKEN);
    let download = opened(&hubs, &locator).await;
    assert_eq!((download.offset, download.total_bytes), (0, Some(LENGTH as u64)));
    let validator = download.validator.clone();
    assert_eq!(whole(download).await.unwrap(), bytes);
    assert_eq!(cdn(&hub), (3, vec![]), "three objects and no plain file");
    let store = hub.requests_to(Server::HfStore);
    assert_eq!(store.len(), 1);
    assert_eq!(store[0].header("authorization").unwrap(), format!("Bearer {XET_TOKEN}"));
    for request in hub.requests_to(Server::HfCdn) {
        assert_eq!((request.header("authorization"), request.header("referer")), (None, None));
    }
    for request in hub.requests_to(Server::HfEndpoint) {
        assert_eq!(request.header("authorization").unwrap(), format!("Bearer {HF_TOKEN}"));
    }
    for request in hub.requests() {
        assert!(!request.path_and_query.contains(HF_TOKEN) && !request.path_and_query.contains(XET_TOKEN));
    }

    // Either way the same validator stands for the same bytes, so either may go on with what the other began.
    hub.announce_xet(false);
    assert_eq!(opened(&hubs, &locator).await.validator, validator);
    hub.announce_xet(true);
    hub.clear_requests();
    let from = ResumeFrom { offset: 5_000_000, validator };
    let rest = hubs.download(Hub::HuggingFace, &locator, Some(from), None).await.unwrap();
    assert_eq!(rest.offset, 5_000_000);
    assert_eq!(whole(rest).await.unwrap(), bytes.slice(5_000_000..));
    assert_eq!(cdn(&hub), (0, vec![Some("bytes=5000000-".to_owned())]));
    assert!(hub.requests_to(Server::HfStore).is_empty());
}

#[tokio::test]
async fn a_small_file_is_not_worth_the_questions() {
    let bytes = noise(100_000);
    let (hub, locator) = offered(&bytes).await;
    assert_eq!(whole(opened(&hubs(&hub), &locator).await).await.unwrap(), bytes);
    assert_eq!(cdn(&hub), (0, vec![None]));
    assert_eq!(hub.requests_to(Server::HfEndpoint).len(), 1);
}

#[tokio::test]
async fn whatever_fails_before_the_first_byte_costs_no_file() {
    let bytes = noise(LENGTH);
    let (hub, locator) = offered(&bytes).await;
    let hubs = hubs(&hub);
    let token = "/api/models/studio/model/xet-read-token/";
    let elsewhere = r#"{"accessToken": "x", "exp": 1, "casUrl": "https://evil.example"}"#;
    let far = r#"{"offset_into_first_range":0,"terms":[{"hash":"a","unpacked_length":6000001,"range":{"start":0,"end":1}}],
        "fetch_info":{"a":[{"range":{"start":0,"end":1},"url":"https://evil.example/a","url_range":{"start":0,"end":9}}]}}"#;
    // Chunks like any other, but of another part than was asked for.
    let stranger = "\u{0}\u{5}\u{0}\u{0}\u{0}\u{5}\u{0}\u{0}hello".repeat(50);
    for (server, path, fault) in [
        (Server::HfCdn, "/xorbs/", status(206, &stranger, &[("content-range", "bytes 0-649/700")])),
        (Server::HfCdn, "/xorbs/", status(206, &stranger, &[])),
        (Server::HfEndpoint, token, status(403, "{}", &[])),
        (Server::HfEndpoint, token, status(500, "", &[("retry-after", "0")])),
        (Server::HfEndpoint, token, status(200, "{}", &[])),
        (Server::HfEndpoint, token, status(200, elsewhere, &[])),
        (Server::HfEndpoint, token, Fault::HtmlLoginPage),
        (Server::HfStore, "/", status(401, "", &[])),
        (Server::HfStore, "/", status(501, "", &[])),
        (Server::HfStore, "/", status(200, "{\"terms\": 1}", &[])),
        (Server::HfStore, "/", status(200, far, &[])),
        (Server::HfStore, "/", Fault::RedirectTo(hub.origin(Server::CivitaiSite))),
        (Server::HfStore, "/", Fault::HangUp),
        (Server::HfCdn, "/xorbs/", status(403, "", &[])),
        (Server::HfCdn, "/xorbs/", Fault::IgnoreRange),
        (Server::HfCdn, "/xorbs/", Fault::TruncateBodyAfter(4)),
        (Server::HfCdn, "/xorbs/", Fault::Body(Bytes::from_static(b"nonsense that is no chunk"))),
    ] {
        hub.clear_requests();
        let rule = hub.faults().always(server, path, fault.clone());
        let download = opened(&hubs, &locator).await;
        assert_eq!((download.offset, download.total_bytes), (0, Some(LENGTH as u64)), "{fault:?}");
        assert!(whole(download).await.unwrap() == bytes, "{fault:?}");
        assert_eq!(cdn(&hub).1, [None], "{fault:?}");
        assert!(rule.hits() > 0, "{fault:?}");
        assert!(hub.requests_to(Server::CivitaiSite).is_empty());
        hub.faults().clear();
    }
}

#[tokio::test]
async fn what_breaks_off_goes_on_at_the_same_byte() {
    let bytes = noise(LENGTH);
    let (hub, locator) = offered(&bytes).await;
    let hubs = hubs(&hub);
    let second_object = |fault| FaultRule::new(Server::HfCdn, "/xorbs/", fault).skip(1);
    for fault in [
        status(403, "expired", &[]),
        Fault::TruncateBodyAfter(700_000),
        // The version of the first chunk that is sent, behind one of 27 bytes that is not.
        Fault::CorruptByteAt(27),
        Fault::Body(Bytes::from_static(b"nonsense that is no chunk")),
    ] {
        hub.clear_requests();
        hub.faults().add(second_object(fault.clone()));
        assert!(whole(opened(&hubs, &locator).await).await.unwrap() == bytes, "{fault:?}");
        let (_, plain) = cdn(&hub);
        let [Some(range)] = &plain[..] else { panic!("{fault:?}: {plain:?}") };
        let first: usize = range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap();
        assert!((40 * 65_536..LENGTH).contains(&first), "{fault:?}: {range}");
        hub.faults().clear();
    }

    // A server that knows no ranges gives the beginning again; nobody sees it twice.
    hub.faults().add(second_object(status(500, "", &[])));
    hub.faults().add(FaultRule::new(Server::HfCdn, "/xet-bridge-us/", Fault::IgnoreRange));
    assert!(whole(opened(&hubs, &locator).await).await.unwrap() == bytes);
    hub.faults().clear();

    // Silence counts as a break.
    let stalled = hub.faults().add(second_object(Fault::StallBodyAfter(100_000)));
    let timeouts = Timeouts { stall: Duration::from_secs(1), ..Timeouts::default() };
    let hubs = Hubs::with_timeouts(config(&hub), timeouts).unwrap();
    assert!(whole(opened(&hubs, &locator).await).await.unwrap() == bytes);
    stalled.release();
}

#[tokio::test]
async fn a_break_that_nothing_can_mend_is_told_with_how_far_it_came() {
    let bytes = noise(LENGTH);
    let (hub, locator) = offered(&bytes).await;
    let hubs = hubs(&hub);
    hub.faults().add(FaultRule::new(Server::HfCdn, "/xorbs/", status(500, "", &[])).skip(1));
    let other = Fault::Body(noise(700).slice(..));
    hub.faults().always(Server::HfCdn, "/xet-bridge-us/", other);
    let error = whole(opened(&hubs, &locator).await).await.unwrap_err();
    let HubError::Truncated { received_bytes, expected_bytes, .. } = error else { panic!("{error}") };
    assert_eq!((received_bytes, expected_bytes), (40 * 65_536, Some(LENGTH as u64)));
}

#[tokio::test]
async fn bytes_under_a_wrong_hash_are_told_and_come_another_way_next_time() {
    let bytes = noise(LENGTH);
    let (hub, locator) = offered(&bytes).await;
    let hubs = hubs(&hub);
    // Inside the first chunk of the file, which is stored as it is.
    hub.faults().add(FaultRule::new(Server::HfCdn, "/xorbs/", Fault::CorruptByteAt(120_000)).once());
    let error = whole(opened(&hubs, &locator).await).await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_PROTOCOL, "{error}");
    assert!(error.to_string().contains("Xet hash"), "{error}");
    hub.clear_requests();
    assert!(whole(opened(&hubs, &locator).await).await.unwrap() == bytes);
    assert_eq!(cdn(&hub), (0, vec![None]));
}
