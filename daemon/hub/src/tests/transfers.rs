//! Bytes from both hubs' storages, previews, and everything that can come instead of them.

use super::*;
use crate::ResumeFrom;
use paintbox_domain::{ErrorClass, reason};

async fn opened(hubs: &Hubs, locator: &str) -> Download {
    hubs.download(Hub::Civitai, locator, None, None).await.unwrap()
}

#[tokio::test]
async fn a_download_is_whole_and_its_storage_never_sees_the_token() {
    let hub = FakeHub::start().await;
    let bytes = weights(300_000);
    let model = published(&hub, "Grey", &bytes);
    hub.require_download_token(true);
    let hubs = hubs(&hub);
    civitai_token(&hubs, CIVITAI_TOKEN);
    let download = opened(&hubs, &locator(&model)).await;
    assert_eq!((download.offset, download.total_bytes), (0, Some(300_000)));
    assert!(download.validator.as_deref().unwrap().starts_with('"'));
    assert_eq!(whole(download).await.unwrap(), bytes);
    let site = hub.requests_to(Server::CivitaiSite);
    assert!(site[0].header("authorization").is_some());
    let storage = hub.requests_to(Server::CivitaiStorage);
    assert_eq!(storage.len(), 1);
    for header in ["authorization", "referer", "cookie", "range"] {
        assert_eq!(storage[0].header(header), None, "{header}");
    }
    assert_eq!(storage[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_transfer_goes_on_where_it_ended() {
    let hub = FakeHub::start().await;
    let bytes = weights(100_000);
    let model = published(&hub, "Grey", &bytes);
    let hubs = hubs(&hub);
    let validator = opened(&hubs, &locator(&model)).await.validator;
    assert!(validator.is_some());
    let resume = async |offset| {
        let from = ResumeFrom { offset, validator: validator.clone() };
        hubs.download(Hub::Civitai, &locator(&model), Some(from), None).await.unwrap()
    };
    hub.clear_requests();
    let rest = resume(40_000).await;
    assert_eq!((rest.offset, rest.total_bytes), (40_000, Some(100_000)));
    assert_eq!(rest.validator, validator);
    assert_eq!(whole(rest).await.unwrap(), bytes.slice(40_000..));
    let storage = hub.requests_to(Server::CivitaiStorage);
    assert_eq!(storage[0].header("range"), Some("bytes=40000-"));
    assert_eq!(storage[0].header("if-range"), validator.as_deref());

    let nothing_left = resume(100_000).await;
    assert_eq!((nothing_left.offset, nothing_left.total_bytes), (100_000, Some(100_000)));
    assert!(whole(nothing_left).await.unwrap().is_empty());

    let too_much = resume(100_001).await;
    assert_eq!(too_much.offset, 0);
    assert_eq!(whole(too_much).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_changed_file_or_a_server_without_ranges_starts_over() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(1000));
    let hubs = hubs(&hub);
    let validator = opened(&hubs, &locator(&model)).await.validator;
    let resume = async |validator: &Option<String>| {
        let from = ResumeFrom { offset: 400, validator: validator.clone() };
        hubs.download(Hub::Civitai, &locator(&model), Some(from), None).await.unwrap()
    };
    hub.faults().once(Server::CivitaiStorage, "/", Fault::IgnoreRange);
    assert_eq!(resume(&validator).await.offset, 0);
    hub.clear_requests();
    assert_eq!(resume(&None).await.offset, 0, "nothing tells whether the beginning is of the same file");
    assert_eq!(hub.requests_to(Server::CivitaiStorage)[0].header("range"), None);

    let changed = weights(700).slice(..);
    assert!(hub.replace_file_bytes(model.versions[0].files[0], changed.clone()));
    let over = resume(&validator).await;
    assert_eq!((over.offset, over.total_bytes), (0, Some(700)));
    assert_eq!(whole(over).await.unwrap(), changed);
}

#[tokio::test]
async fn a_page_of_text_is_not_taken_for_weights() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(1000));
    let hubs = hubs(&hub);
    let error_text = "{\"error\":\"Unauthorized\"}";
    for (server, fault) in [
        (Server::CivitaiSite, Fault::HtmlLoginPage),
        (Server::CivitaiStorage, Fault::HtmlLoginPage),
        (Server::CivitaiSite, status(200, error_text, &[])),
        (Server::CivitaiSite, status(200, error_text, &[("content-type", "binary/octet-stream")])),
        (Server::CivitaiSite, status(200, " <html>", &[("content-type", "application/octet-stream")])),
    ] {
        hub.faults().once(server, "/", fault.clone());
        let error = hubs.download(Hub::Civitai, &locator(&model), None, None).await.unwrap_err();
        assert_eq!(error.reason(), reason::NOT_A_MODEL_FILE, "{fault:?}: {error}");
        hub.faults().clear();
    }
}

#[tokio::test]
async fn a_configuration_file_may_be_text() {
    let hub = FakeHub::start().await;
    let json = Bytes::from_static(b"{\"version\": \"1.0\"}");
    let version = FakeVersion::new("v1", "SD 1.5")
        .file(FakeFile::beside("tokenizer.json", "Config", json.clone()))
        .file(FakeFile::model("a.safetensors", weights(64)));
    let model = hub.publish(FakeCivitaiModel::new("painter", "Checkpoint", "Whole").version(version));
    let download = opened(&hubs(&hub), &locator(&model)).await;
    assert_eq!(whole(download).await.unwrap(), json);
}

#[tokio::test]
async fn a_body_that_ends_early_says_how_far_it_came() {
    let hub = FakeHub::start().await;
    // Large enough to leave the server's buffers before it hangs up.
    let model = published(&hub, "Grey", &weights(4_000_000));
    let hubs = hubs(&hub);
    for (fault, most, expected) in [
        (Fault::TruncateBodyAfter(3_000_000), 3_000_000, 4_000_000),
        (Fault::WrongContentLength(5_000_000), 4_000_000, 5_000_000),
    ] {
        hub.faults().once(Server::CivitaiStorage, "/", fault);
        let mut body = opened(&hubs, &locator(&model)).await.body;
        let mut received = 0;
        let error = loop {
            match body.next().await {
                Some(Ok(chunk)) => received += chunk.len() as u64,
                Some(Err(error)) => break error,
                None => panic!("the body ended without an error after {received} bytes"),
            }
        };
        assert_eq!((error.reason(), error.class()), (reason::TRUNCATED_BODY, ErrorClass::Unavailable), "{error}");
        let HubError::Truncated { received_bytes, expected_bytes, .. } = error else { panic!("{error}") };
        assert!(
            (1..=most).contains(&received_bytes) && received_bytes == received,
            "{received_bytes} of {most}, seen {received}"
        );
        assert_eq!(expected_bytes, Some(expected));
        assert!(body.next().await.is_none(), "nothing follows an error");
    }
}

#[tokio::test]
async fn silence_ends_a_call_and_a_transfer() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(200_000));
    let hubs = impatient_hubs(&hub);
    let stalled = hub.faults().once(Server::CivitaiStorage, "/", Fault::Stall);
    let error = hubs.download(Hub::Civitai, &locator(&model), None, None).await.unwrap_err();
    assert!(matches!(error, HubError::TimedOut { awaited: "an answer", .. }), "{error}");
    assert_eq!(error.reason(), reason::HUB_UNREACHABLE);
    stalled.release();
    let stalled = hub.faults().once(Server::CivitaiStorage, "/", Fault::StallBodyAfter(100_000));
    let error = whole(opened(&hubs, &locator(&model)).await).await.unwrap_err();
    assert!(matches!(error, HubError::TimedOut { awaited: "more of the body", .. }), "{error}");
    stalled.release();
}

#[tokio::test]
async fn redirects_to_strangers_and_in_circles_are_refused() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(64));
    let hubs = hubs(&hub);
    civitai_token(&hubs, CIVITAI_TOKEN);
    let here = format!("{}{}", hub.civitai_endpoint(), locator(&model));
    for target in ["http://192.168.0.1/x?secret=1", "https://example.org/x", "file:///etc/passwd", &here] {
        hub.clear_requests();
        let rule = hub.faults().always(Server::CivitaiSite, "/api/download/", Fault::RedirectTo(target.to_owned()));
        let error = hubs.download(Hub::Civitai, &locator(&model), None, None).await.unwrap_err();
        assert_eq!(error.reason(), reason::REDIRECT_REFUSED, "{target}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(rule.hits() <= 6);
        assert!(hub.requests_to(Server::CivitaiStorage).is_empty());
        hub.faults().clear();
    }
}

#[tokio::test]
async fn every_refusal_of_the_download_endpoint_has_its_reason() {
    let hub = FakeHub::start().await;
    let hubs = hubs(&hub);
    let file = || FakeFile::model("a.safetensors", weights(64));
    let publish = |version: FakeVersion| {
        hub.publish(FakeCivitaiModel::new("painter", "LORA", "Closed").version(version.file(file())))
    };
    let mut disabled = FakeVersion::new("v1", "SD 1.5");
    disabled.usage_control = "InternalGeneration".to_owned();
    let mut paid = FakeVersion::new("v1", "SD 1.5");
    paid.paid_access = Some(None);
    let mut archived = FakeCivitaiModel::new("painter", "LORA", "Archived");
    archived = archived.version(FakeVersion::new("v1", "SD 1.5").file(file()));
    archived.mode = Some("Archived".to_owned());
    for (model, wanted) in [
        (publish(disabled), reason::DOWNLOAD_DISABLED),
        (publish(paid), reason::EARLY_ACCESS),
        (hub.publish(archived), reason::MODEL_ARCHIVED),
    ] {
        // What a token could change is not what is tested.
        civitai_token(&hubs, CIVITAI_TOKEN);
        let error = hubs.download(Hub::Civitai, &locator(&model), None, None).await.unwrap_err();
        assert_eq!(error.reason(), wanted, "{error}");
    }
    hubs.set_token(Hub::Civitai, None);
    let open = published(&hub, "Open", &weights(64));
    hub.require_download_token(true);
    let error = hubs.download(Hub::Civitai, &locator(&open), None, None).await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_TOKEN_REQUIRED);
    assert!(error.hint().unwrap().contains("paintbox login civitai"));
    let error = hubs.download(Hub::Civitai, "/api/download/models/987654?fileId=1", None, None).await.unwrap_err();
    assert_eq!(error.reason(), reason::FILE_NOT_FOUND);
    for locator in ["", "https://example.org/x", "@example.org"] {
        let error = hubs.download(Hub::Civitai, locator, None, None).await.unwrap_err();
        assert_eq!(error.reason(), reason::INVALID_ARGUMENT, "{locator}");
    }
}

#[tokio::test]
async fn previews_are_fetched_in_list_size_and_within_limits() {
    let hub = FakeHub::start().await;
    let picture = Bytes::from_static(b"\x89PNG\r\n\x1a\nnot really a picture");
    let image = FakeImage {
        bytes: picture.clone(),
        width: 8,
        height: 8,
        nsfw_level: 1,
        blurhash: None,
        meta: serde_json::json!({"prompt": "red heart"}),
    };
    let version = FakeVersion::new("v1", "SD 1.5").file(FakeFile::model("a.safetensors", weights(64))).image(image);
    let model = hub.publish(FakeCivitaiModel::new("painter", "LORA", "Shown").version(version)).id.to_string();
    let hubs = hubs(&hub);
    civitai_token(&hubs, CIVITAI_TOKEN);
    let page = hubs.model(Hub::Civitai, &model, None).await.unwrap();
    let url = &page.versions[0].previews[0].url;
    assert!(url.contains("/original=true/"), "{url}");
    assert_eq!(hubs.fetch_preview(Hub::Civitai, url, PreviewMedia::Image, 1000).await.unwrap(), picture);
    let asked = hub.requests_to(Server::CivitaiImages);
    assert!(asked[0].path().contains("/width=450,optimized=true/"), "{}", asked[0].path());
    assert_eq!(asked[0].header("authorization"), None);

    let refused = async |url: &str, max_bytes| {
        let error = hubs.fetch_preview(Hub::Civitai, url, PreviewMedia::Image, max_bytes).await.unwrap_err();
        assert_eq!(error.reason(), reason::PREVIEW_REFUSED, "{url}: {error}");
    };
    refused(url, 10).await;
    refused("https://example.org/a.png", 1000).await;
    refused("http://169.254.169.254/latest", 1000).await;
    refused("not an address", 1000).await;
    hub.faults().once(Server::CivitaiImages, "/", Fault::HtmlLoginPage);
    refused(url, 1000).await;
    let video = status(200, "\u{0}ftyp", &[("content-type", "video/mp4")]);
    hub.faults().add(FaultRule::new(Server::CivitaiImages, "/", video.clone()).once());
    hub.clear_requests();
    assert_eq!(hubs.fetch_preview(Hub::Civitai, url, PreviewMedia::Image, 1000).await.unwrap(), picture);
    assert!(hub.requests()[1].path().contains("/anim=false,transcode=true,width=450/"));
    // What is said to be a video is asked for its still at once, whatever its name ends in.
    hub.clear_requests();
    assert_eq!(hubs.fetch_preview(Hub::Civitai, url, PreviewMedia::Video, 1000).await.unwrap(), picture);
    let asked = hub.requests();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].path().contains("/anim=false,transcode=true,width=450/"), "{}", asked[0].path());
    hub.faults().always(Server::CivitaiImages, "/", video);
    refused(url, 1000).await;
}
