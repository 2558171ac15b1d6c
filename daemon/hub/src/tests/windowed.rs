//! Large files by several connections, and everything that can go wrong with one of them.

use super::hugging_face::{files, hf_token};
use super::*;
use crate::ResumeFrom;
use paintbox_domain::{ErrorClass, reason};
use paintbox_testkit::{FakeRepository, HF_TOKEN};
use std::ops::Range;

const PIECE: u64 = 4 << 20;

/// Bytes that repeat, but not at a distance that pieces have from each other.
fn large(megabytes: usize) -> Bytes {
    weights(1_000_003).repeat(megabytes).into()
}

/// A file of so many megabytes, and how it is asked for.
async fn offered(megabytes: usize) -> (FakeHub, Bytes, PublishedModel) {
    let hub = FakeHub::start().await;
    let bytes = large(megabytes);
    let model = published(&hub, "Grey", &bytes);
    (hub, bytes, model)
}

fn length(bytes: &Bytes) -> u64 {
    bytes.len() as u64
}

async fn opened(hubs: &Hubs, model: &PublishedModel, bytes: &Bytes) -> Download {
    hubs.download(Hub::Civitai, &locator(model), None, Some(length(bytes))).await.unwrap()
}

/// The ranges that a server was asked for, in the order of the file. One without an end goes on for ever.
fn ranges(hub: &FakeHub, server: Server) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = hub
        .requests_to(server)
        .iter()
        .map(|request| {
            let Some(range) = request.header("range") else { return 0..u64::MAX };
            let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            first.parse().unwrap()..last.parse::<u64>().map_or(u64::MAX, |last| last + 1)
        })
        .collect();
    ranges.sort_by_key(|range| (range.start, range.end));
    ranges
}

/// Whether the ranges are pieces that follow each other, from `first` to the end of the file.
fn are_pieces(ranges: &[Range<u64>], first: u64, end: u64) -> bool {
    let follow = ranges.windows(2).all(|pair| pair[0].end == pair[1].start);
    let bounded = ranges.iter().all(|range| range.end - range.start <= PIECE);
    follow
        && bounded
        && ranges.first().unwrap().start == first
        && (end..end + PIECE).contains(&ranges.last().unwrap().end)
}

/// Everything that comes before the error, and the error.
async fn broken(download: Download) -> (Bytes, HubError) {
    let mut body = download.body;
    let mut come = Vec::new();
    loop {
        match body.next().await {
            Some(Ok(chunk)) => come.extend_from_slice(&chunk),
            Some(Err(error)) => {
                assert!(body.next().await.is_none(), "nothing follows an error");
                return (come.into(), error);
            }
            None => panic!("the body ended without an error after {} bytes", come.len()),
        }
    }
}

#[tokio::test]
async fn a_large_file_comes_in_pieces_and_each_byte_is_asked_for_once() {
    let (hub, bytes, model) = offered(40).await;
    let hubs = hubs(&hub);
    civitai_token(&hubs, CIVITAI_TOKEN);
    let download = opened(&hubs, &model, &bytes).await;
    assert_eq!((download.offset, download.total_bytes), (0, Some(length(&bytes))));
    let validator = download.validator.clone();
    assert!(validator.is_some());
    assert!(whole(download).await.unwrap() == bytes);
    assert!(are_pieces(&ranges(&hub, Server::CivitaiStorage), 0, length(&bytes)));
    assert_eq!(hub.requests_to(Server::CivitaiSite).len(), 1, "the address is asked for once");
    let storage = hub.requests_to(Server::CivitaiStorage);
    assert_eq!(storage[0].header("if-range"), None);
    for request in &storage {
        for header in ["authorization", "referer", "cookie"] {
            assert_eq!(request.header(header), None, "{header}");
        }
        assert_eq!(request.header("accept-encoding"), Some("identity"));
    }
    assert!(storage[1..].iter().all(|request| request.header("if-range") == validator.as_deref()));
}

#[tokio::test]
async fn a_transfer_goes_on_in_pieces_where_it_ended() {
    let (hub, bytes, model) = offered(40).await;
    let hubs = hubs(&hub);
    let validator = opened(&hubs, &model, &bytes).await.validator;
    hub.clear_requests();
    let resume = async |offset| {
        let from = ResumeFrom { offset, validator: validator.clone() };
        hubs.download(Hub::Civitai, &locator(&model), Some(from), Some(length(&bytes))).await.unwrap()
    };
    let rest = resume(5_000_001).await;
    assert_eq!((rest.offset, rest.total_bytes), (5_000_001, Some(length(&bytes))));
    assert!(whole(rest).await.unwrap() == bytes.slice(5_000_001..));
    assert!(are_pieces(&ranges(&hub, Server::CivitaiStorage), 5_000_001, length(&bytes)));
    let storage = hub.requests_to(Server::CivitaiStorage);
    assert!(storage.iter().all(|request| request.header("if-range") == validator.as_deref()));

    // A file that is shorter than it was thought to be.
    let shorter = bytes.slice(..5_000_001);
    let short = published(&hub, "Short", &shorter);
    let validator = opened(&hubs, &short, &bytes).await.validator;
    let from = ResumeFrom { offset: 5_000_001, validator };
    let nothing = hubs.download(Hub::Civitai, &locator(&short), Some(from), Some(length(&bytes))).await.unwrap();
    assert_eq!((nothing.offset, nothing.total_bytes), (5_000_001, Some(5_000_001)));
    assert!(whole(nothing).await.unwrap().is_empty());
    assert!(whole(opened(&hubs, &short, &bytes).await).await.unwrap() == shorter);
}

#[tokio::test]
async fn a_small_file_or_one_of_unknown_length_is_asked_for_as_a_whole() {
    let (hub, bytes, model) = offered(17).await;
    let hubs = hubs(&hub);
    for hint in [None, Some(0), Some(16 << 20)] {
        hub.clear_requests();
        let download = hubs.download(Hub::Civitai, &locator(&model), None, hint).await.unwrap();
        assert!(whole(download).await.unwrap() == bytes);
        let storage = hub.requests_to(Server::CivitaiStorage);
        assert_eq!((storage.len(), storage[0].header("range")), (1, None), "{hint:?}");
    }
    // Enough of it is here for the rest to be small.
    let validator = opened(&hubs, &model, &bytes).await.validator;
    hub.clear_requests();
    let from = ResumeFrom { offset: 2_000_000, validator };
    let rest = hubs.download(Hub::Civitai, &locator(&model), Some(from), Some(length(&bytes))).await.unwrap();
    assert!(whole(rest).await.unwrap() == bytes.slice(2_000_000..));
    let storage = hub.requests_to(Server::CivitaiStorage);
    assert_eq!((storage.len(), storage[0].header("range")), (1, Some("bytes=2000000-")));
}

#[tokio::test]
async fn a_server_without_ranges_or_validators_gives_the_file_as_a_whole() {
    let (hub, bytes, model) = offered(20).await;
    let hubs = hubs(&hub);
    hub.faults().always(Server::CivitaiStorage, "/", Fault::IgnoreRange);
    assert!(whole(opened(&hubs, &model, &bytes).await).await.unwrap() == bytes);
    assert_eq!(hub.requests_to(Server::CivitaiStorage).len(), 1);
    hub.faults().clear();

    for (name, value) in [
        ("etag", "W/\"weak\"".to_owned()),
        ("content-range", format!("bytes 0-{}/*", PIECE - 1)),
        ("content-range", format!("bytes 1-{PIECE}/{}", bytes.len())),
    ] {
        hub.clear_requests();
        hub.faults().once(Server::CivitaiStorage, "/", Fault::Header { name: name.to_owned(), value });
        assert!(whole(opened(&hubs, &model, &bytes).await).await.unwrap() == bytes);
        assert_eq!(ranges(&hub, Server::CivitaiStorage), [0..PIECE, 0..u64::MAX], "{name}");
    }
    // A page of text is one in pieces, too.
    hub.faults().once(Server::CivitaiStorage, "/", Fault::HtmlLoginPage);
    let error = hubs.download(Hub::Civitai, &locator(&model), None, Some(length(&bytes))).await.unwrap_err();
    assert_eq!(error.reason(), reason::NOT_A_MODEL_FILE);
}

#[tokio::test]
async fn what_breaks_or_falls_silent_goes_on_at_the_byte_it_had_reached() {
    let (hub, bytes, model) = offered(40).await;
    let timeouts =
        Timeouts { first_retry: Duration::from_millis(1), stall: Duration::from_secs(1), ..Timeouts::default() };
    let hubs = Hubs::with_timeouts(config(&hub), timeouts).unwrap();
    for fault in [Fault::TruncateBodyAfter(1_500_000), Fault::StallBodyAfter(1_500_000)] {
        for broken_request in [0, 2] {
            hub.clear_requests();
            let rule = FaultRule::new(Server::CivitaiStorage, "/", fault.clone()).skip(broken_request).once();
            let rule = hub.faults().add(rule);
            assert!(whole(opened(&hubs, &model, &bytes).await).await.unwrap() == bytes, "{fault:?}");
            assert_eq!(rule.hits(), 1);
            let mut ranges = ranges(&hub, Server::CivitaiStorage);
            let again = ranges.iter().position(|range| range.start % PIECE != 0).expect("the rest was asked for");
            let (piece, rest) = (ranges[again - 1].clone(), ranges.remove(again));
            assert!(rest.end == piece.end && rest.start <= piece.start + 1_500_000, "{rest:?} of {piece:?}");
            assert!(are_pieces(&ranges, 0, length(&bytes)), "{fault:?}: {ranges:?}");
            hub.faults().clear();
        }
    }
}

#[tokio::test]
async fn a_piece_that_never_comes_ends_the_body_behind_what_came() {
    let (hub, bytes, model) = offered(40).await;
    let hubs = hubs(&hub);
    hub.faults().add(FaultRule::new(Server::CivitaiStorage, "/", Fault::HangUp).skip(3));
    let (come, error) = broken(opened(&hubs, &model, &bytes).await).await;
    assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
    assert!(come == bytes.slice(..come.len()) && length(&come) >= 3 * PIECE, "{}", come.len());
    let asked = ranges(&hub, Server::CivitaiStorage);
    assert!(asked.len() <= 3 + 4 + 4, "it is not asked for ever: {asked:?}");
}

#[tokio::test]
async fn a_server_that_forgets_about_ranges_is_asked_again_and_then_for_the_whole() {
    let (hub, bytes, model) = offered(20).await;
    let hubs = hubs(&hub);
    hub.faults().add(FaultRule::new(Server::CivitaiStorage, "/", Fault::IgnoreRange).skip(2).once());
    assert!(whole(opened(&hubs, &model, &bytes).await).await.unwrap() == bytes);
    hub.faults().add(FaultRule::new(Server::CivitaiStorage, "/", Fault::IgnoreRange).skip(1));
    let download = opened(&hubs, &model, &bytes).await;
    let validator = download.validator.clone();
    let (come, error) = broken(download).await;
    assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
    assert!(come == bytes.slice(..come.len()));
    let from = ResumeFrom { offset: length(&come), validator };
    let over = hubs.download(Hub::Civitai, &locator(&model), Some(from), Some(length(&bytes))).await.unwrap();
    assert_eq!(over.offset, 0);
    assert!(whole(over).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_body_that_is_dropped_gives_its_place_to_the_next() {
    let (hub, bytes, model) = offered(20).await;
    let hubs = hubs(&hub);
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut download = opened(&hubs, &model, &bytes).await;
        download.body.next().await.unwrap().unwrap();
        open.push(download);
    }
    let fifth = opened(&hubs, &model, &bytes);
    tokio::pin!(fifth);
    assert!(futures::poll!(fifth.as_mut()).is_pending());
    let before = hub.requests_to(Server::CivitaiSite).len();
    drop(open);
    let fifth = tokio::time::timeout(Duration::from_secs(30), fifth).await.unwrap();
    assert_eq!((before, hub.requests_to(Server::CivitaiSite).len()), (4, 5));
    assert!(whole(fifth).await.unwrap() == bytes);
}

#[tokio::test]
async fn another_part_than_was_asked_for_is_refused() {
    let (hub, bytes, model) = offered(40).await;
    let hubs = hubs(&hub);
    for (name, value) in
        [("content-range", "bytes 3-9/40000120"), ("content-range", "nonsense"), ("content-encoding", "br")]
    {
        let fault = Fault::Header { name: name.to_owned(), value: value.to_owned() };
        hub.faults().add(FaultRule::new(Server::CivitaiStorage, "/", fault).skip(4).once());
        let (come, error) = broken(opened(&hubs, &model, &bytes).await).await;
        assert_eq!((error.reason(), error.class()), (reason::HUB_PROTOCOL, ErrorClass::DataLoss), "{value}: {error}");
        assert!(come == bytes.slice(..come.len()));
        hub.faults().clear();
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_meanwhile_is_told_and_never_mixed() {
    let (hub, bytes, model) = offered(40).await;
    let hubs = hubs(&hub);
    let other = Fault::Header { name: "etag".to_owned(), value: "\"other\"".to_owned() };
    hub.faults().add(FaultRule::new(Server::CivitaiStorage, "/", other).skip(4).once());
    let (come, error) = broken(opened(&hubs, &model, &bytes).await).await;
    assert!(matches!(error, HubError::FileReplaced { .. }), "{error}");
    assert!(come == bytes.slice(..come.len()));
    hub.faults().clear();

    let download = opened(&hubs, &model, &bytes).await;
    let changed = large(20).slice(100..);
    assert!(hub.replace_file_bytes(model.versions[0].files[0], changed));
    let (come, error) = broken(download).await;
    assert!(matches!(error, HubError::FileReplaced { .. }), "{error}");
    // Whoever asks again is told to start over.
    assert_eq!((error.reason(), error.class()), (reason::HUB_PROTOCOL, ErrorClass::Unavailable));
    assert!(come == bytes.slice(..come.len()));
}

#[tokio::test]
async fn an_address_that_expires_is_asked_for_once_again() {
    let (hub, bytes, model) = offered(40).await;
    let hubs = hubs(&hub);
    for expired in [None, Some(status(302, "", &[("location", "https://example.org/")])), Some(status(410, "", &[]))] {
        hub.clear_requests();
        let download = opened(&hubs, &model, &bytes).await;
        match expired {
            None => hub.expire_signed_urls(),
            Some(fault) => {
                hub.faults().once(Server::CivitaiStorage, "/", fault);
            }
        }
        assert!(whole(download).await.unwrap() == bytes);
        assert_eq!(hub.requests_to(Server::CivitaiSite).len(), 2);
        hub.faults().clear();
    }

    // Trouble at the old address while the hub is being asked does not have it asked twice.
    hub.clear_requests();
    let download = opened(&hubs, &model, &bytes).await;
    let faults = hub.faults();
    faults.once(Server::CivitaiStorage, "/", status(410, "", &[]));
    faults.once(Server::CivitaiStorage, "/", status(503, "", &[]));
    let slow = faults.once(Server::CivitaiSite, "/", Fault::ReleaseAfter(Duration::from_millis(200)));
    assert!(whole(download).await.unwrap() == bytes);
    assert_eq!((slow.hits(), hub.requests_to(Server::CivitaiSite).len()), (1, 2));
    faults.clear();

    // A fresh address that is refused, too, is the end of it.
    let download = opened(&hubs, &model, &bytes).await;
    hub.expire_signed_urls();
    hub.faults().always(Server::CivitaiStorage, "/", status(403, "", &[]));
    let (come, error) = broken(download).await;
    assert!(matches!(error, HubError::ServerFailed { status: 403, .. }), "{error}");
    assert!(come == bytes.slice(..come.len()));
    assert!(!format!("{error:?}").contains("Signature"));
}

#[tokio::test]
async fn transfers_that_all_need_a_new_address_do_not_wait_for_each_other() {
    let (hub, bytes, model) = offered(20).await;
    let hubs = hubs(&hub);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(opened(&hubs, &model, &bytes).await);
    }
    hub.expire_signed_urls();
    let come = futures::future::join_all(open.into_iter().map(whole));
    let come = tokio::time::timeout(Duration::from_secs(60), come).await.unwrap();
    assert!(come.into_iter().all(|come| come.unwrap() == bytes));
}

#[tokio::test]
async fn a_slow_connection_gives_half_of_its_piece_to_another() {
    let (hub, bytes, model) = offered(40).await;
    let short = Duration::from_millis(50);
    let hubs = Hubs::with_timeouts(config(&hub), Timeouts { slow_piece: short, ..Timeouts::default() }).unwrap();
    let slow = Fault::SlowBody { chunk: 16 << 10, pause: Duration::from_millis(20) };
    hub.faults().once(Server::CivitaiStorage, "/", slow);
    assert!(whole(opened(&hubs, &model, &bytes).await).await.unwrap() == bytes);
    let ranges = ranges(&hub, Server::CivitaiStorage);
    let halves: Vec<_> = ranges.iter().filter(|range| range.start < PIECE).collect();
    assert!(halves.len() > 1, "{ranges:?}");
    assert_eq!(*halves[0], 0..PIECE);
    for half in &halves[1..] {
        assert!(half.end <= PIECE && half.end - half.start > 256 << 10, "{half:?}");
    }
}

#[tokio::test]
async fn a_server_that_serves_one_at_a_time_is_asked_by_one_connection() {
    let (hub, bytes, model) = offered(40).await;
    let hubs = hubs(&hub);
    let rule = hub.faults().always(Server::CivitaiStorage, "/", Fault::MostAtOnce(1));
    assert!(whole(opened(&hubs, &model, &bytes).await).await.unwrap() == bytes);
    // Ten pieces, three connections too many, and a few that were asked for before the last body had quite ended.
    assert!((10..=20).contains(&rule.hits()), "{}", rule.hits());
    hub.faults().clear();

    let busy = || status(429, "slow down", &[("retry-after", "0")]);
    hub.faults().add(FaultRule::new(Server::CivitaiStorage, "/", busy()).skip(1).times(2));
    assert!(whole(opened(&hubs, &model, &bytes).await).await.unwrap() == bytes);
    hub.faults().clear();
    let busy = status(429, "come back tomorrow", &[("retry-after", "86400")]);
    hub.faults().add(FaultRule::new(Server::CivitaiStorage, "/", busy).skip(1));
    let (_, error) = broken(opened(&hubs, &model, &bytes).await).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(86_400)), "{error}");
}

#[tokio::test]
async fn what_the_hub_keeps_itself_is_asked_of_it_with_the_token() {
    let bytes = large(20);
    let hub = FakeHub::start().await;
    let commit = hub.publish_repository(FakeRepository::new("studio/model", files(&[("notes.txt", bytes.clone())])));
    let locator = format!("/studio/model/resolve/{commit}/notes.txt");
    let hubs = hubs(&hub);
    hf_token(&hubs, HF_TOKEN);
    let download = hubs.download(Hub::HuggingFace, &locator, None, Some(length(&bytes))).await.unwrap();
    assert!(whole(download).await.unwrap() == bytes);
    let requests = hub.requests();
    assert!(requests.iter().all(|request| request.server == Server::HfEndpoint));
    assert!(requests.iter().all(|request| request.header("authorization") == Some(&format!("Bearer {HF_TOKEN}"))));
    // A piece is one request and the redirect that it leads to, within the hub.
    let mut ranges = ranges(&hub, Server::HfEndpoint);
    ranges.dedup();
    assert!(are_pieces(&ranges, 0, length(&bytes)), "{ranges:?}");
    assert_eq!((requests.len(), hubs.health(Hub::HuggingFace).requests), (10, 5));
}

#[tokio::test]
async fn a_large_file_of_hugging_face_comes_in_pieces_where_xet_does_not_bring_it() {
    let bytes = large(24);
    let hub = FakeHub::start().await;
    let commit =
        hub.publish_repository(FakeRepository::new("studio/model", files(&[("a.safetensors", bytes.clone())])));
    let locator = format!("/studio/model/resolve/{commit}/a.safetensors");
    let hubs = hubs(&hub);
    hf_token(&hubs, HF_TOKEN);
    let download = hubs.download(Hub::HuggingFace, &locator, None, Some(length(&bytes))).await.unwrap();
    assert!(whole(download).await.unwrap() == bytes);
    assert!(are_pieces(&ranges(&hub, Server::HfCdn), 0, length(&bytes)));
    assert_eq!(hub.requests_to(Server::HfEndpoint).len(), 1);
    assert!(hub.requests_to(Server::HfCdn).iter().all(|request| request.header("authorization").is_none()));

    // Xet that breaks off before the first byte and after some.
    hub.announce_xet(true);
    for objects in [0, 1] {
        hub.clear_requests();
        hub.faults().add(FaultRule::new(Server::HfCdn, "/xorbs/", status(500, "", &[])).skip(objects));
        let download = hubs.download(Hub::HuggingFace, &locator, None, Some(length(&bytes))).await.unwrap();
        assert!(whole(download).await.unwrap() == bytes);
        let plain: Vec<_> =
            hub.requests_to(Server::HfCdn).into_iter().filter(|r| !r.path().starts_with("/xorbs/")).collect();
        assert!(plain.len() > 4, "{}", plain.len());
        hub.faults().clear();
    }
}
