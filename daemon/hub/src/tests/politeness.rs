//! Limits, pauses and the circuit, over real sockets.

use super::*;
use crate::{HubState, ResumeFrom};
use paintbox_domain::{ErrorClass, Timestamp, reason};
use paintbox_testkit::wait_for;

/// So many failed calls in a row open a circuit.
const FAILURES: usize = 5;

async fn fail(hubs: &Hubs) {
    for _ in 0..FAILURES {
        hubs.model(Hub::Civitai, "7", None).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_hub_that_is_down_is_left_alone_and_found_back_by_one_question() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(64));
    let id = model.id.to_string();
    let (hubs, clock) = hubs_with_clock(&hub);
    assert_eq!(hubs.health(Hub::Civitai).state, HubState::Ok);
    hub.faults().always(Server::CivitaiSite, "/", status(502, "<html>", &[]));
    clock.advance(Duration::from_secs(7));
    fail(&hubs).await;
    assert_eq!(hub.requests().len(), FAILURES * 4, "each call was patient");
    hub.clear_requests();

    let error = hubs.model(Hub::Civitai, &id, None).await.unwrap_err();
    assert_eq!((error.reason(), error.class()), (reason::HUB_DOWN, ErrorClass::Unavailable), "{error}");
    let left = error.retry_after().unwrap().as_secs();
    assert!((47..=60).contains(&left), "{left}");
    for error in [
        hubs.download(Hub::Civitai, &locator(&model), None, None).await.unwrap_err(),
        pages(&hubs, "civitai:painter").await.unwrap_err(),
        hubs.fetch_preview(Hub::Civitai, "http://127.0.0.1:1/x.png", PreviewMedia::Image, 1).await.unwrap_err(),
    ] {
        assert_eq!(error.reason(), reason::HUB_DOWN, "{error}");
    }
    assert!(hub.requests().is_empty(), "nothing is sent while it is down");
    let health = hubs.health(Hub::Civitai);
    assert_eq!((health.state, health.since), (HubState::Down, Some(Timestamp::from_unix_ms(7000))));
    assert!(health.retry_at.unwrap() > Timestamp::from_unix_ms(50_000));
    assert!(health.problem.unwrap().contains("502"));
    assert_eq!(health.requests, 20);
    assert_eq!(hubs.health(Hub::HuggingFace).state, HubState::Ok, "the other hub is another matter");

    clock.advance(Duration::from_secs(60));
    hubs.model(Hub::Civitai, &id, None).await.unwrap_err();
    assert_eq!(hub.requests().len(), 1, "a try for all is one request");
    hub.faults().clear();
    assert_eq!(hubs.model(Hub::Civitai, &id, None).await.unwrap_err().reason(), reason::HUB_DOWN);
    clock.advance(Duration::from_secs(120));
    hubs.model(Hub::Civitai, &id, None).await.unwrap();
    assert_eq!(hubs.health(Hub::Civitai).state, HubState::Ok);
    assert_eq!(hub.requests().len(), 2);
}

#[tokio::test]
async fn while_one_call_tries_the_others_fail_at_once() {
    let hub = FakeHub::start().await;
    let id = published(&hub, "Grey", &weights(64)).id.to_string();
    let (hubs, clock) = hubs_with_clock(&hub);
    hub.faults().always(Server::CivitaiSite, "/", status(500, "", &[]));
    fail(&hubs).await;
    hub.faults().clear();
    hub.clear_requests();
    clock.advance(Duration::from_secs(60));
    let stalled = hub.faults().once(Server::CivitaiSite, "/api/v1/models/", Fault::Stall);
    let trying = tokio::spawn({
        let (hubs, id) = (hubs.clone(), id.clone());
        async move { hubs.model(Hub::Civitai, &id, None).await }
    });
    wait_for("the try to arrive", Duration::from_secs(10), async || stalled.hits() == 1).await;
    for _ in 0..3 {
        assert_eq!(hubs.model(Hub::Civitai, &id, None).await.unwrap_err().reason(), reason::HUB_DOWN);
    }
    assert_eq!(hub.requests().len(), 1);
    stalled.release();
    trying.await.unwrap().unwrap();
    hubs.model(Hub::Civitai, &id, None).await.unwrap();
}

#[tokio::test]
async fn refusals_of_a_healthy_hub_are_no_failures() {
    let hub = FakeHub::start().await;
    let (hubs, _) = hubs_with_clock(&hub);
    let failing = status(500, "", &[]);
    for _ in 0..FAILURES {
        hub.faults().always(Server::CivitaiSite, "/", failing.clone());
        hubs.model(Hub::Civitai, "7", None).await.unwrap_err();
        hub.faults().clear();
        assert_eq!(hubs.model(Hub::Civitai, "7", None).await.unwrap_err().reason(), reason::MODEL_NOT_FOUND);
    }
    assert_eq!(hubs.health(Hub::Civitai).state, HubState::Ok);
}

#[tokio::test]
async fn an_unreachable_and_a_silent_hub_count_as_down() {
    let hub = FakeHub::start().await;
    for fault in [Fault::HangUp, Fault::Stall] {
        let hubs = impatient_hubs(&hub);
        hub.faults().always(Server::CivitaiSite, "/", fault.clone());
        fail(&hubs).await;
        let error = hubs.account(Hub::HuggingFace).await.unwrap_err();
        assert_eq!(error.reason(), reason::HUB_TOKEN_REQUIRED);
        assert_eq!(hubs.health(Hub::Civitai).state, HubState::Down, "{fault:?}");
        hub.faults().clear();
    }
}

#[tokio::test]
async fn the_storages_failures_do_not_close_the_hub() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(64));
    let (hubs, _) = hubs_with_clock(&hub);
    hub.faults().always(Server::CivitaiStorage, "/", status(503, "", &[("retry-after", "3600")]));
    for _ in 0..=FAILURES {
        let error = hubs.download(Hub::Civitai, &locator(&model), None, None).await.unwrap_err();
        assert_eq!(error.reason(), reason::HUB_UNREACHABLE);
    }
    assert_eq!(hubs.health(Hub::Civitai).state, HubState::Ok);
    assert_eq!(hub.requests_to(Server::CivitaiStorage).len(), FAILURES + 1);
}

#[tokio::test]
async fn a_long_pause_is_kept_without_asking_and_then_over() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(64));
    let id = model.id.to_string();
    let (hubs, clock) = hubs_with_clock(&hub);
    let limit = hub.faults().once(Server::CivitaiSite, "/", status(429, "{}", &[("retry-after", "300")]));
    let error = hubs.model(Hub::Civitai, &id, None).await.unwrap_err();
    assert_eq!((error.reason(), error.retry_after()), (reason::HUB_RATE_LIMITED, Some(Duration::from_secs(300))));
    assert_eq!(limit.hits(), 1, "a long pause is not waited for inside a call");
    clock.advance(Duration::from_secs(100));
    let error = hubs.model(Hub::Civitai, &id, None).await.unwrap_err();
    assert_eq!((error.reason(), error.retry_after()), (reason::HUB_RATE_LIMITED, Some(Duration::from_secs(200))));
    assert_eq!(hub.requests().len(), 1);
    let health = hubs.health(Hub::Civitai);
    assert_eq!((health.state, health.retry_at), (HubState::Limited, Some(Timestamp::from_unix_ms(300_000))));
    whole(hubs.download(Hub::Civitai, &locator(&model), None, None).await.unwrap()).await.unwrap();
    clock.advance(Duration::from_secs(200));
    hubs.model(Hub::Civitai, &id, None).await.unwrap();
    assert_eq!(hubs.health(Hub::Civitai).state, HubState::Ok);
}

#[tokio::test]
async fn an_account_that_downloaded_too_much_may_still_ask() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(64));
    let (hubs, clock) = hubs_with_clock(&hub);
    let words = "{\"error\":\"We've noticed an unusual amount of downloading from your account.\"}";
    let limit = hub.faults().always(Server::CivitaiSite, "/api/download/", status(429, words, &[]));
    let refused = async || hubs.download(Hub::Civitai, &locator(&model), None, None).await.unwrap_err();
    assert_eq!(refused().await.retry_after(), Some(Duration::from_secs(3600)));
    clock.advance(Duration::from_secs(600));
    assert_eq!(refused().await.retry_after(), Some(Duration::from_secs(3000)));
    assert_eq!(limit.hits(), 1);
    hubs.model(Hub::Civitai, &model.id.to_string(), None).await.unwrap();
}

#[tokio::test]
async fn the_picture_hosts_pause_is_kept_for_pictures() {
    let hub = FakeHub::start().await;
    let id = published(&hub, "Grey", &weights(64)).id.to_string();
    let (hubs, clock) = hubs_with_clock(&hub);
    let limit = hub.faults().once(Server::CivitaiImages, "/", status(429, "", &[("retry-after", "60")]));
    let picture = format!("{}/x.png", hub.origin(Server::CivitaiImages));
    let refused =
        async || hubs.fetch_preview(Hub::Civitai, &picture, PreviewMedia::Image, 1000).await.unwrap_err().reason();
    assert_eq!((refused().await, refused().await), (reason::HUB_RATE_LIMITED, reason::HUB_RATE_LIMITED));
    assert_eq!((limit.hits(), hub.requests().len()), (1, 1));
    hubs.model(Hub::Civitai, &id, None).await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert_eq!(refused().await, reason::FILE_NOT_FOUND, "it is asked again");
}

#[tokio::test]
async fn a_limit_without_an_end_is_not_remembered() {
    let hub = FakeHub::start().await;
    let id = published(&hub, "Grey", &weights(64)).id.to_string();
    let (hubs, _) = hubs_with_clock(&hub);
    hub.faults().once(Server::CivitaiSite, "/", status(429, "{}", &[]));
    assert_eq!(hubs.model(Hub::Civitai, &id, None).await.unwrap_err().retry_after(), None);
    hubs.model(Hub::Civitai, &id, None).await.unwrap();
}

#[tokio::test]
async fn an_exhausted_window_stops_questions_before_they_are_sent() {
    let hub = FakeHub::start().await;
    hub.limit_rate(1, 100);
    let (hubs, _) = hubs_with_clock(&hub);
    // The only question there is: its answer says that nothing is left.
    let error = hubs.model(Hub::HuggingFace, "studio/none", None).await.unwrap_err();
    assert_eq!(error.reason(), reason::MODEL_NOT_FOUND, "{error}");
    let before = hub.requests().len();
    let error = hubs.model(Hub::HuggingFace, "studio/none", None).await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_RATE_LIMITED, "{error}");
    assert!(error.retry_after().unwrap() > Duration::from_secs(200));
    assert_eq!(hub.requests().len(), before);
}

#[tokio::test]
async fn transfers_wait_for_each_other_and_not_for_questions() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(300_000));
    let (hubs, _) = hubs_with_clock(&hub);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(hubs.download(Hub::Civitai, &locator(&model), None, None).await.unwrap());
    }
    let fifth = tokio::spawn({
        let (hubs, locator) = (hubs.clone(), locator(&model));
        async move { hubs.download(Hub::Civitai, &locator, Some(ResumeFrom { offset: 0, validator: None }), None).await }
    });
    hubs.model(Hub::Civitai, &model.id.to_string(), None).await.unwrap();
    assert!(!fifth.is_finished());
    assert_eq!(hub.requests_to(Server::CivitaiStorage).len(), 4);
    whole(open.pop().unwrap()).await.unwrap();
    fifth.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_request_tells_where_we_come_from() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(64));
    hub.set_followed(&["painter"]);
    let hubs = two_sites(&hub);
    hubs.account(Hub::Civitai).await.unwrap();
    listed(&hubs, request("civitai:following")).await.unwrap();
    whole(hubs.download(Hub::Civitai, &locator(&model), None, None).await.unwrap()).await.unwrap();
    let requests = hub.requests();
    assert!(requests.len() >= 5);
    for request in requests {
        assert_eq!((request.header("referer"), request.header("cookie")), (None, None), "{request:?}");
        let is_hub = matches!(request.server, Server::CivitaiSite | Server::CivitaiMature);
        assert_eq!(request.header("authorization").is_some(), is_hub, "{request:?}");
    }
}

#[tokio::test]
async fn the_calls_of_hf_hubs_client_pass_the_same_gate() {
    let hub = FakeHub::start().await;
    let (hubs, _) = hubs_with_clock(&hub);
    let failing = hub.faults().always(Server::HfEndpoint, "/", status(502, "", &[]));
    for _ in 0..FAILURES {
        hubs.hf_refs("studio/model").await.unwrap_err();
    }
    assert_eq!(failing.hits(), FAILURES * 4);
    assert_eq!(hubs.hf_refs("studio/model").await.unwrap_err().reason(), reason::HUB_DOWN);
    assert_eq!(hubs.model(Hub::HuggingFace, "studio/model", None).await.unwrap_err().reason(), reason::HUB_DOWN);
    assert_eq!(failing.hits(), FAILURES * 4);
    assert_eq!(hubs.health(Hub::HuggingFace).requests, 20);
}
