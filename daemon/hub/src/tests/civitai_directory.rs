//! CivitAI by digest, its directories, and its pictures.

use super::*;
use crate::{CivitaiImage, ImageQuery};
use paintbox_domain::{Sha256, reason};

/// What the site lists for the model's only file.
async fn digest(hubs: &Hubs, model: &PublishedModel) -> Sha256 {
    let page = hubs.model(Hub::Civitai, &model.id.to_string(), None).await.unwrap();
    page.versions[0].files[0].sha256.unwrap()
}

#[tokio::test]
async fn files_are_identified_by_their_digests() {
    let hub = FakeHub::start().await;
    let bytes = weights(100);
    let one = published(&hub, "One", &bytes);
    let two = published(&hub, "Two", &weights(200));
    // The same bytes again, in a version that came out earlier.
    let mut copy = FakeVersion::new("copy", "SD 1.5").file(FakeFile::model("copy.safetensors", bytes));
    copy.published = "2020-01-01T00:00:00Z".parse().unwrap();
    let copy = hub.publish(FakeCivitaiModel::new("thief", "LORA", "Copy").version(copy));
    let hubs = hubs(&hub);
    let (first, second) = (digest(&hubs, &one).await, digest(&hubs, &two).await);
    hub.clear_requests();
    let unknown = Sha256::from_bytes([7; 32]);
    let found = hubs.identify(&[second, unknown, first, second]).await.unwrap();
    let told: Vec<(Sha256, &str, &str)> =
        found.iter().map(|found| (found.sha256, found.model.as_str(), found.file.as_str())).collect();
    let file = |model: &PublishedModel| model.versions[0].files[0].to_string();
    let id = |model: &PublishedModel| model.id.to_string();
    assert_eq!(
        told,
        [
            (second, id(&two).as_str(), file(&two).as_str()),
            (first, id(&copy).as_str(), file(&copy).as_str()),
            (first, id(&one).as_str(), file(&one).as_str()),
        ]
    );
    assert_eq!(found[0].version.files[0].locator, locator(&two), "the server's own addresses are of no use");
    let [request] = &hub.requests()[..] else { panic!("one question") };
    assert_eq!((request.method.as_str(), request.path()), ("POST", "/api/v1/model-versions/by-hash"));
    assert_eq!(request.header("content-type"), Some("application/json"));

    let mut numbers = hubs.identify_ids(&[first, unknown]).await.unwrap();
    numbers.sort_by_key(|found| found.version.clone());
    assert_eq!(numbers.len(), 2);
    assert!(numbers.iter().all(|found| found.sha256 == first && found.model.is_some()));
    assert!(hubs.identify(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn tensors_are_known_under_any_header() {
    let hub = FakeHub::start().await;
    let bytes = weights(100);
    let one = published(&hub, "One", &bytes);
    let hubs = hubs(&hub);
    let page = hubs.model(Hub::Civitai, &one.id.to_string(), None).await.unwrap();
    let listed = &page.versions[0].files[0];
    let tensors = listed.auto_v3.clone().unwrap();
    assert_eq!((tensors.len(), tensors.to_ascii_lowercase()), (12, tensors.clone()));
    hub.clear_requests();
    let found = hubs.identify_tensors(&tensors).await.unwrap().unwrap();
    assert_eq!((found.model, found.version), (one.id.to_string(), page.versions[0].external_id.clone()));
    let asked: Vec<String> = hub.requests().iter().map(|request| request.path().to_owned()).collect();
    assert_eq!(asked, [format!("/api/v1/model-versions/by-hash/{}", tensors.to_ascii_uppercase())]);
    assert_eq!(hubs.identify_tensors("0123456789ab").await.unwrap(), None);
    // The short form of a whole file's digest is answered by the same address.
    assert_eq!(hubs.identify_tensors(&listed.sha256.unwrap().auto_v2()).await.unwrap(), None);
    let nothing = status(200, "{\"id\":1}", &[]);
    hub.faults().always(Server::CivitaiSite, "/api/v1/model-versions/by-hash/", nothing);
    assert_eq!(hubs.identify_tensors(&tensors).await.unwrap(), None);
}

#[tokio::test]
async fn many_digests_are_asked_for_a_hundred_at_a_time() {
    let hub = FakeHub::start().await;
    let digests: Vec<Sha256> = (0..250_u8).map(|at| Sha256::from_bytes([at; 32])).collect();
    let hubs = hubs(&hub);
    assert!(hubs.identify(&digests).await.unwrap().is_empty());
    assert_eq!(hub.requests().len(), 3);
    assert!(hubs.identify_ids(&digests).await.unwrap().is_empty());
    assert_eq!(hub.requests().len(), 4);
}

#[tokio::test]
async fn answers_to_digests_may_hold_anything() {
    let hub = FakeHub::start().await;
    let sha256 = Sha256::from_bytes([1; 32]);
    let hash = sha256.to_hex().to_uppercase();
    let entry = format!("{{\"id\":5,\"modelId\":4,\"files\":[{{\"id\":6,\"hashes\":{{\"SHA256\":\"{hash}\"}}}}]}}");
    let body = format!("[null,3,{{}},{{\"id\":9}},{entry},{entry}]");
    hub.faults().always(Server::CivitaiSite, "/api/v1/model-versions/by-hash", status(200, &body, &[]));
    let hubs = hubs(&hub);
    let found = hubs.identify(&[sha256]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].model.as_str(), found[0].file.as_str()), ("4", "6"));
    hub.faults().clear();
    let body =
        format!("[null,{{\"modelVersionId\":5,\"hash\":\"{hash}\"}},{{\"hash\":\"{hash}\"}},{{\"modelVersionId\":5}}]");
    hub.faults().always(Server::CivitaiSite, "/api/v1/model-versions/by-hash", status(200, &body, &[]));
    let found = hubs.identify_ids(&[sha256]).await.unwrap();
    assert_eq!((found.len(), found[0].model.as_deref(), found[0].version.as_str()), (1, None, "5"));
    hub.faults().clear();
    hub.faults().always(Server::CivitaiSite, "/", status(200, "{}", &[]));
    assert_eq!(hubs.identify(&[sha256]).await.unwrap_err().reason(), reason::HUB_PROTOCOL);
}

#[tokio::test]
async fn a_question_with_a_body_follows_no_redirect_and_is_asked_patiently() {
    let hub = FakeHub::start().await;
    let hubs = hubs(&hub);
    let digests = [Sha256::from_bytes([1; 32])];
    let elsewhere = Fault::RedirectTo(format!("{}/api/v1/model-versions/by-hash", hub.origin(Server::CivitaiStorage)));
    hub.faults().once(Server::CivitaiSite, "/", elsewhere);
    assert_eq!(hubs.identify(&digests).await.unwrap_err().reason(), reason::REDIRECT_REFUSED);
    assert!(hub.requests_to(Server::CivitaiStorage).is_empty());
    hub.faults().clear();
    let failing = hub.faults().add(FaultRule::new(Server::CivitaiSite, "/", status(503, "", &[])).times(2));
    assert!(hubs.identify(&digests).await.unwrap().is_empty());
    assert_eq!(failing.hits(), 2);
}

#[tokio::test]
async fn directories_are_read_page_by_page() {
    let hub = FakeHub::start().await;
    for at in 0..201 {
        hub.add_creator(&format!("person{at:03}"));
    }
    let id = published(&hub, "Grey", &weights(64)).id;
    hub.edit_tags(id, &["ink", "paper"]);
    let hubs = hubs(&hub);
    let first = hubs.civitai_creators(Some("person"), 1).await.unwrap();
    assert_eq!((first.items.len(), first.next_page), (200, Some(2)));
    let last = hubs.civitai_creators(Some("person"), 2).await.unwrap();
    assert_eq!((last.items[0].username.as_str(), last.items[0].models, last.next_page), ("person200", 0, None));
    assert_eq!(hubs.civitai_creators(Some("painter"), 1).await.unwrap().items[0].models, 1);
    let tags = hubs.civitai_tags(Some("in"), 1).await.unwrap();
    assert_eq!((tags.items[0].name.as_str(), tags.items[0].models), ("ink", Some(1)));
    let words = hubs.civitai_enums().await.unwrap();
    assert!(words.model_types.contains(&"LORA".to_owned()) && words.base_models.contains(&"SDXL 1.0".to_owned()));
    hub.faults().always(Server::CivitaiSite, "/", status(200, "[]", &[]));
    assert_eq!(hubs.civitai_enums().await.unwrap_err().reason(), reason::HUB_PROTOCOL);
    assert_eq!(hubs.civitai_tags(None, 1).await.unwrap_err().reason(), reason::HUB_PROTOCOL);
}

#[tokio::test]
async fn pictures_come_with_the_data_they_were_made_with() {
    let hub = FakeHub::start().await;
    let mut version = FakeVersion::new("v1", "SD 1.5").file(FakeFile::model("a.safetensors", weights(64)));
    for at in 0..3 {
        version = version.image(FakeImage {
            bytes: Bytes::from_static(b"\x89PNG"),
            width: 8,
            height: 8,
            nsfw_level: if at == 2 { 4 } else { 1 },
            blurhash: None,
            meta: serde_json::json!({"prompt": format!("heart {at}")}),
        });
    }
    let model = hub.publish(FakeCivitaiModel::new("painter", "LORA", "Shown").version(version));
    let hubs = hubs(&hub);
    let read = async |query: ImageQuery| -> Vec<CivitaiImage> {
        hubs.civitai_images(query).try_collect::<Vec<_>>().await.unwrap().concat()
    };
    let all = ImageQuery { model: Some(model.id), nsfw: true, limit: Some(2), ..ImageQuery::default() };
    let images = read(all.clone()).await;
    assert_eq!(images.len(), 3);
    assert!(images[0].preview.generation.as_deref().unwrap().contains("heart 0"));
    assert_eq!(images[2].preview.nsfw_level, 4);
    assert_eq!(
        (images[0].username.as_deref(), &images[0].versions),
        (Some("painter"), &vec![model.versions[0].id.to_string()])
    );
    assert_eq!(hub.requests().len(), 2, "two pages");
    assert_eq!(read(ImageQuery { nsfw: false, ..all.clone() }).await.len(), 2);
    assert!(read(ImageQuery { username: Some("nobody".to_owned()), ..all.clone() }).await.is_empty());
    let one = images[1].preview.external_id.as_deref().unwrap().parse().unwrap();
    assert_eq!(read(ImageQuery { image: Some(one), ..all.clone() }).await.len(), 1);

    let wrong = "{\"items\":[{\"id\":1,\"url\":\"https://x/1.jpeg\"}],\"metadata\":{}}";
    hub.faults().always(Server::CivitaiSite, "/api/v1/images", status(200, wrong, &[]));
    assert!(read(ImageQuery { image: Some(2), ..all.clone() }).await.is_empty(), "another picture than was asked for");
    hub.faults().clear();
    let circle = "{\"items\":[],\"metadata\":{\"nextCursor\":\"1|2\"}}";
    hub.faults().always(Server::CivitaiSite, "/api/v1/images", status(200, circle, &[]));
    let error = hubs.civitai_images(all).try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, HubError::EndlessList { .. }), "{error}");
}

/// Served as they were recorded, the directories are read without a loss.
#[tokio::test]
async fn recorded_directories_are_read_whole() {
    let hub = FakeHub::start().await;
    let hubs = hubs(&hub);
    let folder = paintbox_testkit::fixtures().join("hubs/civitai");
    let serve = |path: &str, name: &str| {
        hub.faults().clear();
        let body = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        hub.faults().always(Server::CivitaiSite, path, status(200, &body, &[]));
    };
    for (name, count) in [("creators-2023-wiki", 3), ("docs-2026-creators", 1)] {
        serve("/api/v1/creators", name);
        let page = hubs.civitai_creators(None, 1).await.unwrap();
        assert_eq!((page.items.len(), page.next_page), (count, Some(2)), "{name}");
    }
    for (name, count) in [("tags-2023-wiki", 3), ("docs-2026-tags", 1)] {
        serve("/api/v1/tags", name);
        assert_eq!(hubs.civitai_tags(None, 1).await.unwrap().items.len(), count, "{name}");
    }
    serve("/api/v1/enums", "enums-2026-03");
    let words = hubs.civitai_enums().await.unwrap();
    assert_eq!((words.model_types.len(), words.base_models.len()), (16, 77));
    assert!(!words.active_base_models.is_empty() && !words.file_types.is_empty() && !words.base_model_types.is_empty());
    serve("/api/v1/images", "images-2023-wiki");
    let mut images = hubs.civitai_images(ImageQuery::default());
    let page = images.next().await.unwrap().unwrap();
    assert_eq!(page[0].preview.external_id.as_deref(), Some("469632"));
    assert_eq!(page[0].preview.nsfw_level, 1, "the words of 2023 are read, too");
    assert!(page[0].preview.generation.as_deref().unwrap().contains("DPM++ SDE Karras"));
    serve("/api/v1/me", "docs-2026-me");
    civitai_token(&hubs, CIVITAI_TOKEN);
    assert_eq!(hubs.account(Hub::Civitai).await.unwrap(), "you");
}
