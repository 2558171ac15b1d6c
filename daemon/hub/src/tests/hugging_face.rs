//! Hugging Face's lists, pages and files.

use super::*;
use crate::ResumeFrom;
use paintbox_domain::hub::{FileSize, ModelState};
use paintbox_domain::{ModelKind, reason};
use paintbox_testkit::{FakeRepository, HF_TOKEN};
use serde_json::json;
use std::collections::BTreeMap;

pub(super) fn files(entries: &[(&str, Bytes)]) -> BTreeMap<String, Bytes> {
    entries.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.clone())).collect()
}

pub(super) fn pipeline(id: &str) -> FakeRepository {
    let mut repository = FakeRepository::new(
        id,
        files(&[
            ("model_index.json", Bytes::from_static(b"{\"_class_name\": \"StableDiffusionPipeline\"}")),
            ("unet/diffusion_pytorch_model.safetensors", weights(50_000)),
        ]),
    );
    repository.library_name = Some("diffusers".to_owned());
    repository.pipeline_tag = Some("text-to-image".to_owned());
    repository.card.insert("license".to_owned(), json!("apache-2.0"));
    repository
}

pub(super) fn hf_token(hubs: &Hubs, token: &str) {
    hubs.set_token(Hub::HuggingFace, Secret::new(token));
}

#[tokio::test]
async fn every_repository_of_an_organisation_is_read_with_its_files() {
    let hub = FakeHub::start().await;
    let mut wanted: Vec<String> = (0..5).map(|at| format!("studio/model-{at}")).collect();
    for id in &wanted {
        hub.publish_repository(pipeline(id));
    }
    hub.publish_repository(pipeline("somebody-else/model"));
    hub.limit_pages_to(2);
    let hubs = hubs(&hub);
    let pages = pages(&hubs, "hf:studio").await.unwrap();
    let mut found: Vec<String> = pages.iter().flatten().map(|model| model.external_id.clone()).collect();
    assert_eq!(found.first().map(String::as_str), Some("studio/model-4"), "touched last, listed first");
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    for request in hub.requests() {
        assert_eq!(request.header("authorization"), None, "{}", request.path_and_query);
        assert_eq!(request.header("user-agent"), Some("paintbox/0.1.0"), "{}", request.path_and_query);
    }
    let model = &pages[0][0];
    assert_eq!((model.kind, model.creator.as_deref()), (ModelKind::Checkpoint, Some("studio")));
    assert_eq!((model.licence.as_deref(), model.state), (Some("apache-2.0"), ModelState::Published));
    assert!(model.raw.contains("siblings"), "the Hub's own words are kept");
    let version = &model.versions[0];
    assert_eq!((version.name.as_str(), version.external_id.len()), ("main", 40));
    let paths: Vec<&str> = version.files.iter().map(|file| file.external_id.as_str()).collect();
    assert_eq!(paths, ["README.md", "model_index.json", "unet/diffusion_pytorch_model.safetensors"]);
    let unet = &version.files[2];
    assert_eq!(unet.size, Some(FileSize::Exact(50_000)));
    assert!(unet.sha256.is_some() && unet.git_sha1.is_none());
    assert!(version.files[1].sha256.is_none() && version.files[1].git_sha1.is_some());
}

#[tokio::test]
async fn an_unknown_author_is_an_error() {
    let hub = FakeHub::start().await;
    let error = pages(&hubs(&hub), "hf:nobody").await.unwrap_err();
    assert_eq!(error.reason(), reason::CREATOR_NOT_FOUND);
    assert!(error.to_string().contains("nobody"), "{error}");
}

#[tokio::test]
async fn an_author_without_models_has_none() {
    let hub = FakeHub::start().await;
    let overview = status(200, r#"{"user":"beginner","fullname":"B","type":"user"}"#, &[]);
    hub.faults().always(Server::HfEndpoint, "/api/users/beginner/overview", overview);
    assert!(pages(&hubs(&hub), "hf:beginner").await.unwrap().concat().is_empty());
}

#[tokio::test]
async fn a_repository_whose_page_is_refused_is_kept_as_it_was_listed() {
    let hub = FakeHub::start().await;
    hub.publish_repository(pipeline("studio/open"));
    hub.publish_repository(pipeline("studio/shut"));
    let refusal = status(403, "{\"error\":\"no\"}", &[]);
    hub.faults().always(Server::HfEndpoint, "/api/models/studio/shut/", refusal);
    let pages = pages(&hubs(&hub), "hf:studio").await.unwrap();
    let shut = pages[0].iter().find(|model| model.name == "shut").unwrap();
    assert!(shut.versions.is_empty());
    assert_eq!(shut.kind, ModelKind::Checkpoint);
    let open = pages[0].iter().find(|model| model.name == "open").unwrap();
    assert_eq!(open.versions.len(), 1);
}

#[tokio::test]
async fn a_failing_page_ends_the_list_with_an_error() {
    let hub = FakeHub::start().await;
    hub.publish_repository(pipeline("studio/one"));
    let failing =
        hub.faults().always(Server::HfEndpoint, "/api/models/studio/one/", status(500, "", &[("retry-after", "0")]));
    assert_eq!(pages(&hubs(&hub), "hf:studio").await.unwrap_err().reason(), reason::HUB_UNREACHABLE);
    assert_eq!(failing.hits(), 4);
    hub.faults().clear();
    let limited = hub.faults().always(Server::HfEndpoint, "/api/models?", status(429, "", &[("retry-after", "999")]));
    // Too long for somebody who waits, so waiting is left to the caller.
    let error = pages(&hubs(&hub), "hf:studio").await.unwrap_err();
    assert_eq!((error.reason(), error.retry_after()), (reason::HUB_RATE_LIMITED, Some(Duration::from_secs(999))));
    assert_eq!(limited.hits(), 1);
}

#[tokio::test]
async fn revisions_resolve_to_commits_and_old_names_to_new_ones() {
    let hub = FakeHub::start().await;
    let first = hub.publish_repository(pipeline("studio/model"));
    let mut second = pipeline("studio/model");
    second.files.insert("vae/config.json".to_owned(), Bytes::from_static(b"{}"));
    second.former_ids = vec!["old-studio/model".to_owned()];
    let second = hub.publish_repository(second);
    let hubs = hubs(&hub);
    let by = async |text: &str| hubs.resolve(&text.parse().unwrap()).await.unwrap();
    let newest = by("hf:studio/model").await;
    assert_eq!(newest.version.as_deref(), Some(second.as_str()));
    assert_eq!(newest.model.versions[0].files.len(), 4);
    let oldest = by(&format!("hf:studio/model@{first}")).await;
    assert_eq!(oldest.version.as_deref(), Some(first.as_str()));
    assert_eq!((oldest.model.versions[0].files.len(), oldest.model.versions[0].name.as_str()), (3, &first[..8]));
    let renamed = by("hf:old-studio/model").await;
    assert_eq!(renamed.model.external_id, "studio/model");
    let file = by("hf:studio/model:vae/config.json").await;
    assert_eq!(file.file.as_deref(), Some("vae/config.json"));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let hub = FakeHub::start().await;
    hub.publish_repository(pipeline("studio/model"));
    let mut private = pipeline("studio/private");
    private.private = true;
    hub.publish_repository(private);
    let hubs = hubs(&hub);
    let refused = async |text: &str| hubs.resolve(&text.parse().unwrap()).await.unwrap_err();
    for (reference, wanted) in [
        ("hf:studio/nothing", reason::MODEL_NOT_FOUND),
        ("hf:studio/private", reason::MODEL_NOT_FOUND),
        ("hf:studio/model@v9", reason::VERSION_NOT_FOUND),
        ("hf:studio/model:nothing.safetensors", reason::FILE_NOT_FOUND),
    ] {
        let error = refused(reference).await;
        assert_eq!(error.reason(), wanted, "{reference}: {error}");
    }
    assert!(refused("hf:studio/private").await.hint().unwrap().contains("paintbox login hf"));
    hf_token(&hubs, HF_TOKEN);
    assert_eq!(refused("hf:studio/nothing").await.reason(), reason::MODEL_NOT_FOUND);
    assert_eq!(refused("hf:studio/nothing").await.hint(), None);
}

#[tokio::test]
async fn small_files_come_from_the_hub_and_large_ones_from_the_cdn_without_the_token() {
    let hub = FakeHub::start().await;
    hub.publish_repository(pipeline("studio/model"));
    let hubs = hubs(&hub);
    hf_token(&hubs, HF_TOKEN);
    let model = hubs.model(Hub::HuggingFace, "studio/model", None).await.unwrap();
    let file = |path: &str| model.versions[0].files.iter().find(|file| file.external_id == path).unwrap().clone();
    hub.clear_requests();

    let small = hubs.download(Hub::HuggingFace, &file("model_index.json").locator, None, None).await.unwrap();
    assert_eq!(whole(small).await.unwrap(), &b"{\"_class_name\": \"StableDiffusionPipeline\"}"[..]);
    let hops = hub.requests();
    assert_eq!(hops.len(), 2, "a relative redirect to the Hub's own cache was followed");
    assert!(hops.iter().all(|hop| hop.server == Server::HfEndpoint && hop.header("authorization").is_some()));

    let unet = file("unet/diffusion_pytorch_model.safetensors");
    let large = hubs.download(Hub::HuggingFace, &unet.locator, None, None).await.unwrap();
    let (total, validator) = (large.total_bytes, large.validator.clone());
    let bytes = whole(large).await.unwrap();
    assert_eq!((total, &bytes), (Some(50_000), &weights(50_000)));
    let cdn = hub.requests_to(Server::HfCdn);
    assert_eq!((cdn.len(), cdn[0].header("authorization"), cdn[0].header("referer")), (1, None, None));

    let from = ResumeFrom { offset: 20_000, validator };
    let rest = hubs.download(Hub::HuggingFace, &unet.locator, Some(from), None).await.unwrap();
    assert_eq!((rest.offset, rest.total_bytes), (20_000, Some(50_000)));
    assert_eq!(whole(rest).await.unwrap(), bytes.slice(20_000..));
}

#[tokio::test]
async fn gates_open_for_people_who_were_let_in() {
    let hub = FakeHub::start().await;
    let mut gated = pipeline("studio/gated");
    gated.gated = Some("manual".to_owned());
    hub.publish_repository(gated);
    let hubs = hubs(&hub);
    let model = hubs.model(Hub::HuggingFace, "studio/gated", None).await.unwrap();
    assert_eq!(model.state, ModelState::Gated);
    let locator = model.versions[0].files.last().unwrap().locator.clone();
    let refused = async || hubs.download(Hub::HuggingFace, &locator, None, None).await.unwrap_err();
    assert_eq!(refused().await.reason(), reason::HUB_TOKEN_REQUIRED);
    hf_token(&hubs, "hf_wrong");
    assert_eq!(refused().await.reason(), reason::HUB_TOKEN_REJECTED);
    hf_token(&hubs, HF_TOKEN);
    let error = refused().await;
    assert_eq!(error.reason(), reason::HUB_ACCESS_DENIED);
    let page = format!("open {}/studio/gated, accept its terms", hub.hf_endpoint());
    assert!(error.hint().unwrap().contains(&page), "{:?}", error.hint());
    hub.grant_access("studio/gated");
    let open = hubs.download(Hub::HuggingFace, &locator, None, None).await.unwrap();
    assert_eq!(whole(open).await.unwrap(), weights(50_000));
}

#[tokio::test]
async fn a_disabled_repository_says_so() {
    let hub = FakeHub::start().await;
    let mut disabled = pipeline("studio/gone");
    disabled.disabled = true;
    hub.publish_repository(disabled);
    let hubs = hubs(&hub);
    let model = hubs.model(Hub::HuggingFace, "studio/gone", None).await.unwrap();
    assert_eq!((model.state, model.versions[0].download_allowed), (ModelState::Disabled, false));
    let locator = &model.versions[0].files[0].locator;
    let error = hubs.download(Hub::HuggingFace, locator, None, None).await.unwrap_err();
    assert_eq!(error.reason(), reason::DOWNLOAD_DISABLED, "{error}");
}

#[tokio::test]
async fn a_missing_file_of_a_known_commit_is_missing() {
    let hub = FakeHub::start().await;
    let commit = hub.publish_repository(pipeline("studio/model"));
    let locator = format!("/studio/model/resolve/{commit}/nothing.safetensors");
    let error = hubs(&hub).download(Hub::HuggingFace, &locator, None, None).await.unwrap_err();
    assert_eq!(error.reason(), reason::FILE_NOT_FOUND);
}

#[tokio::test]
async fn an_account_is_the_one_behind_the_token() {
    let hub = FakeHub::start().await;
    let hubs = hubs(&hub);
    assert_eq!(hubs.account(Hub::HuggingFace).await.unwrap_err().reason(), reason::HUB_TOKEN_REQUIRED);
    hf_token(&hubs, "hf_wrong");
    assert_eq!(hubs.account(Hub::HuggingFace).await.unwrap_err().reason(), reason::HUB_TOKEN_REJECTED);
    hf_token(&hubs, HF_TOKEN);
    assert!(!hubs.account(Hub::HuggingFace).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_exhausted_window_says_when_it_opens_again() {
    let hub = FakeHub::start().await;
    hub.publish_repository(pipeline("studio/model"));
    hub.limit_rate(0, 0);
    let error = hubs(&hub).model(Hub::HuggingFace, "studio/model", None).await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_RATE_LIMITED, "{error}");
    assert!(error.retry_after().is_some());
}

#[tokio::test]
async fn a_list_that_leads_to_another_site_is_not_followed() {
    let hub = FakeHub::start().await;
    hub.publish_repository(pipeline("studio/model"));
    let hubs = hubs(&hub);
    hf_token(&hubs, HF_TOKEN);
    let away = Fault::RedirectTo("https://example.org/api/models".to_owned());
    hub.faults().once(Server::HfEndpoint, "/api/models?", away);
    let error = pages(&hubs, "hf:studio").await.unwrap_err();
    assert_eq!(error.reason(), reason::REDIRECT_REFUSED, "{error}");

    // Another server of this machine may be visited, but not with the token; and it has no such list.
    let aside = Fault::RedirectTo(format!("{}/api/models", hub.civitai_endpoint()));
    hub.faults().once(Server::HfEndpoint, "/api/models?", aside);
    assert_eq!(pages(&hubs, "hf:studio").await.unwrap_err().reason(), reason::FILE_NOT_FOUND);
    assert_eq!(hub.requests_to(Server::CivitaiSite)[0].header("authorization"), None);
}
