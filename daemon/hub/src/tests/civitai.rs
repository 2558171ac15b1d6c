//! CivitAI's lists, pages and look-ups.

use super::*;
use paintbox_domain::{ModelRef, reason};

fn publish_several(hub: &FakeHub, count: usize) -> Vec<String> {
    (0..count).map(|at| published(hub, &format!("Model {at}"), &weights(64)).id.to_string()).collect()
}

fn ids(pages: &[Vec<HubModel>]) -> Vec<String> {
    let mut ids: Vec<String> = pages.iter().flatten().map(|model| model.external_id.clone()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn every_page_of_a_creator_is_read() {
    let hub = FakeHub::start().await;
    let mut wanted = publish_several(&hub, 5);
    wanted.sort();
    hub.limit_pages_to(2);
    let pages = pages(&hubs(&hub), "civitai:painter").await.unwrap();
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(ids(&pages), wanted);
    let requests = hub.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert!(request.path_and_query.contains("username=painter&nsfw=true&sort=Newest&limit=100"));
        assert!(!request.path_and_query.contains('|'), "cursors are percent-encoded: {}", request.path_and_query);
        assert_eq!(request.header("user-agent"), Some("paintbox/0.1.0"));
        assert_eq!(request.header("authorization"), None);
    }
    assert!(requests[2].path_and_query.contains("&cursor="));
    let model = &pages[0][0];
    let raw: serde_json::Value = serde_json::from_str(&model.raw).unwrap();
    assert_eq!(raw["id"].to_string(), model.external_id);
}

#[tokio::test]
async fn an_empty_page_with_a_cursor_is_not_the_end() {
    let hub = FakeHub::start().await;
    let mut wanted = Vec::new();
    for at in 0..6 {
        let mut model = FakeCivitaiModel::new("painter", "LORA", &format!("Model {at}"));
        let file = FakeFile::model("a.safetensors", weights(64));
        model = model.version(FakeVersion::new("v1", "SD 1.5").file(file));
        model.withheld_from_lists = (2..4).contains(&at);
        let seen = !model.withheld_from_lists;
        let id = hub.publish(model).id.to_string();
        wanted.extend(seen.then_some(id));
    }
    wanted.sort();
    hub.limit_pages_to(2);
    let pages = pages(&hubs(&hub), "civitai:painter").await.unwrap();
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 2]);
    assert_eq!(ids(&pages), wanted);
}

#[tokio::test]
async fn an_unknown_creator_is_an_error_and_one_without_models_is_not() {
    let hub = FakeHub::start().await;
    hub.add_creator("beginner");
    let hubs = hubs(&hub);
    assert!(pages(&hubs, "civitai:beginner").await.unwrap().concat().is_empty());
    hub.clear_requests();
    let error = pages(&hubs, "civitai:nobody").await.unwrap_err();
    assert_eq!(error.reason(), reason::CREATOR_NOT_FOUND);
    assert!(error.to_string().contains("nobody"), "{error}");
    let lists = hub.requests().iter().filter(|request| request.path() == "/api/v1/models").count();
    assert_eq!(lists, 1, "what is not there is asked for once");
    assert!(error.hint().unwrap().contains("profile's address"), "{error:?}");
    let error = pages(&hubs, "civitai:begin").await.unwrap_err();
    assert!(error.hint().unwrap().contains("beginner"), "{error:?}");
}

#[tokio::test]
async fn a_list_that_leads_in_a_circle_is_left() {
    let hub = FakeHub::start().await;
    for cursor in ["\"1|2|3\"", "17"] {
        hub.faults().clear();
        hub.clear_requests();
        let body = format!("{{\"items\":[],\"metadata\":{{\"nextCursor\":{cursor}}}}}");
        hub.faults().always(Server::CivitaiSite, "/api/v1/models", status(200, &body, &[]));
        let error = pages(&hubs(&hub), "civitai:painter").await.unwrap_err();
        assert!(matches!(error, HubError::EndlessList { .. }), "{error}");
        assert_eq!(hub.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_failing_page_is_asked_for_again_and_never_skipped() {
    let hub = FakeHub::start().await;
    let mut wanted = publish_several(&hub, 4);
    wanted.sort();
    hub.limit_pages_to(2);
    let second_page = |fault| FaultRule::new(Server::CivitaiSite, "/api/v1/models", fault).skip(1);
    let once = hub.faults().add(second_page(status(502, "<html>Bad gateway</html>", &[])).once());
    assert_eq!(ids(&pages(&hubs(&hub), "civitai:painter").await.unwrap()), wanted);
    assert_eq!(once.hits(), 1);

    hub.faults().clear();
    let always = hub.faults().add(second_page(status(503, "{}", &[("retry-after", "0")])));
    let mut stream = hubs(&hub).list(ListRequest::new("civitai:painter".parse().unwrap()));
    assert_eq!(stream.next().await.unwrap().unwrap().models.len(), 2);
    assert_eq!(stream.next().await.unwrap().unwrap_err().reason(), reason::HUB_UNREACHABLE);
    assert!(stream.next().await.is_none());
    assert_eq!(always.hits(), 4);
}

#[tokio::test]
async fn a_rate_limit_without_an_end_is_final() {
    let hub = FakeHub::start().await;
    let limited = hub.faults().always(Server::CivitaiSite, "/api/v1/models", status(429, "{}", &[]));
    let error = pages(&hubs(&hub), "civitai:painter").await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_RATE_LIMITED);
    assert_eq!(limited.hits(), 1);
}

#[tokio::test]
async fn references_lead_to_model_version_and_file() {
    let hub = FakeHub::start().await;
    let bytes = weights(500);
    let published = published(&hub, "Grey", &bytes);
    let (model, version) = (published.id, published.versions[0].id);
    let hubs = hubs(&hub);
    let page = hubs.model(Hub::Civitai, &model.to_string(), None).await.unwrap();
    assert_eq!((page.name.as_str(), page.creator.as_deref()), ("Grey", Some("painter")));
    let file = page.versions[0].files[0].clone();
    assert_eq!(file.locator, locator(&published));
    let sha256 = file.sha256.unwrap();

    let by = async |text: &str| hubs.resolve(&text.parse().unwrap()).await.unwrap();
    let plain = by(&format!("civitai:{model}")).await;
    assert_eq!((plain.version, plain.file), (None, None));
    let with_version = by(&format!("civitai:{model}@{version}")).await;
    assert_eq!(with_version.version, Some(version.to_string()));
    let by_version = by(&format!("https://civitai.com/api/download/models/{version}")).await;
    assert_eq!((by_version.model.external_id, by_version.version), (model.to_string(), Some(version.to_string())));
    for digest in [sha256.to_hex(), sha256.auto_v2()] {
        let by_digest = by(&digest).await;
        assert_eq!(by_digest.model.external_id, model.to_string());
        assert_eq!(by_digest.version, Some(version.to_string()));
        assert_eq!(by_digest.file.as_deref(), Some(file.external_id.as_str()), "{digest}");
    }
}

#[tokio::test]
async fn a_versions_own_page_tells_that_it_cannot_be_downloaded() {
    let hub = FakeHub::start().await;
    let mut version = FakeVersion::new("v1", "SD 1.5").file(FakeFile::model("a.safetensors", weights(64)));
    version.usage_control = "Generation".to_owned();
    let published = hub.publish(FakeCivitaiModel::new("painter", "LORA", "Kept").version(version));
    let hubs = hubs(&hub);
    let resolved = hubs.resolve(&ModelRef::CivitaiVersion { version: published.versions[0].id }).await.unwrap();
    assert!(!resolved.model.versions[0].download_allowed);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let hub = FakeHub::start().await;
    let known = published(&hub, "Grey", &weights(64)).id;
    let hubs = hubs(&hub);
    for (reference, wanted, named) in [
        ("civitai:999999".to_owned(), reason::MODEL_NOT_FOUND, "999999"),
        (format!("civitai:{known}@777"), reason::VERSION_NOT_FOUND, "777"),
        ("https://civitai.com/api/download/models/888".to_owned(), reason::VERSION_NOT_FOUND, "888"),
        ("ab".repeat(32), reason::MODEL_NOT_FOUND, "abab"),
        ("Some Name".to_owned(), reason::INVALID_REFERENCE, "Some Name"),
        ("path:/models/a.safetensors".to_owned(), reason::INVALID_REFERENCE, "/models/a.safetensors"),
    ] {
        let error = hubs.resolve(&reference.parse().unwrap()).await.unwrap_err();
        assert_eq!(error.reason(), wanted, "{reference}: {error}");
        assert!(error.to_string().contains(named), "{reference}: {error}");
    }
    for id in ["0", "-1", "2147483648", "abc", "1/../2", ""] {
        let error = hubs.model(Hub::Civitai, id, None).await.unwrap_err();
        assert_eq!(error.reason(), reason::MODEL_NOT_FOUND, "{id}");
    }
}

#[tokio::test]
async fn an_account_is_the_one_behind_the_token() {
    let hub = FakeHub::start().await;
    let hubs = hubs(&hub);
    assert_eq!(hubs.account(Hub::Civitai).await.unwrap_err().reason(), reason::HUB_TOKEN_REQUIRED);
    assert!(hub.requests().is_empty());
    civitai_token(&hubs, "wrong");
    assert_eq!(hubs.account(Hub::Civitai).await.unwrap_err().reason(), reason::HUB_TOKEN_REJECTED);
    civitai_token(&hubs, CIVITAI_TOKEN);
    assert!(!hubs.account(Hub::Civitai).await.unwrap().is_empty());
    let sent = hub.requests();
    let wanted = format!("Bearer {CIVITAI_TOKEN}");
    assert_eq!(sent.last().unwrap().header("authorization"), Some(wanted.as_str()));
}

#[tokio::test]
async fn a_web_page_or_broken_json_is_no_answer() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(64)).id.to_string();
    let hubs = hubs(&hub);
    for (fault, wanted) in [
        (Fault::HtmlLoginPage, reason::HUB_PROTOCOL),
        (status(200, "{\"id\":", &[]), reason::HUB_PROTOCOL),
        (status(200, "[1]", &[]), reason::HUB_PROTOCOL),
        (status(200, "{}", &[]), reason::HUB_PROTOCOL),
        (status(451, "{\"error\":\"no\",\"code\":\"REGION_BLOCKED\"}", &[]), reason::REGION_BLOCKED),
    ] {
        hub.faults().once(Server::CivitaiSite, "/api/v1/models/", fault.clone());
        let error = hubs.model(Hub::Civitai, &model, None).await.unwrap_err();
        assert_eq!(error.reason(), wanted, "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn a_broken_line_is_tried_again() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(64)).id.to_string();
    let cut = hub.faults().once(Server::CivitaiSite, "/api/v1/models/", Fault::TruncateBodyAfter(20));
    assert_eq!(hubs(&hub).model(Hub::Civitai, &model, None).await.unwrap().name, "Grey");
    assert_eq!(cut.hits(), 1);
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_unreachable() {
    let hub = FakeHub::start().await;
    let hubs = hubs(&hub);
    drop(hub);
    let error = hubs.model(Hub::Civitai, "1", None).await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_UNREACHABLE);
    let error = pages(&hubs, "hf:nobody").await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_UNREACHABLE);
}
