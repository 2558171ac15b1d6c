//! Both hubs end to end, over loopback servers that speak their wire formats.

mod civitai;
mod civitai_directory;
mod civitai_lists;
mod civitai_sites;
mod hugging_face;
mod hugging_face_lists;
mod hugging_face_xet;
mod politeness;
mod secrets;
mod transfers;
mod windowed;

use crate::transport::Timeouts;
use crate::{Download, HubConfig, HubError, Hubs, ListPage, ListRequest};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use paintbox_domain::clock::ManualClock;
use paintbox_domain::hub::{HubModel, PreviewMedia};
use paintbox_domain::{Classify, Hub, Secret};
use paintbox_testkit::{
    CIVITAI_TOKEN, FakeCivitaiModel, FakeFile, FakeHub, FakeImage, FakeVersion, Fault, FaultRule, PublishedModel,
    SAMPLE_CREATOR, SAMPLE_ORGANISATION, SAMPLE_RECORDED_CREATOR, Server,
};
use std::sync::Arc;
use std::time::Duration;

fn config(hub: &FakeHub) -> HubConfig {
    HubConfig {
        civitai_endpoint: hub.civitai_endpoint().parse().unwrap(),
        hf_endpoint: hub.hf_endpoint().parse().unwrap(),
        civitai_mature_endpoint: None,
        civitai_token: None,
        hf_token: None,
        user_agent: "paintbox/0.1.0".to_owned(),
        clock: Arc::new(ManualClock::default()),
    }
}

fn hubs(hub: &FakeHub) -> Hubs {
    let timeouts = Timeouts { first_retry: Duration::from_millis(1), ..Timeouts::default() };
    Hubs::with_timeouts(config(hub), timeouts).unwrap()
}

/// The same with a clock that the test moves.
fn hubs_with_clock(hub: &FakeHub) -> (Hubs, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let config = HubConfig { clock: Arc::<ManualClock>::clone(&clock), ..config(hub) };
    let timeouts = Timeouts { first_retry: Duration::from_millis(1), ..Timeouts::default() };
    (Hubs::with_timeouts(config, timeouts).unwrap(), clock)
}

/// CivitAI with both of its sites, and its token.
fn two_sites(hub: &FakeHub) -> Hubs {
    let config = HubConfig {
        civitai_mature_endpoint: Some(hub.civitai_mature_endpoint().parse().unwrap()),
        civitai_token: Secret::new(CIVITAI_TOKEN),
        ..config(hub)
    };
    let timeouts = Timeouts { first_retry: Duration::from_millis(1), ..Timeouts::default() };
    Hubs::with_timeouts(config, timeouts).unwrap()
}

fn impatient_hubs(hub: &FakeHub) -> Hubs {
    Hubs::with_timeouts(config(hub), impatient()).unwrap()
}

fn impatient() -> Timeouts {
    let short = Duration::from_millis(150);
    let first_retry = Duration::from_millis(1);
    Timeouts { connect: Duration::from_secs(5), answer: short, stall: short, first_retry, ..Timeouts::default() }
}

/// Bytes that begin as a safetensors file does and then never repeat for long.
fn weights(length: usize) -> Bytes {
    let mut bytes = vec![16, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend((0..length.saturating_sub(8)).map(|at| u8::try_from((at * 7 + at / 251) % 251).unwrap()));
    Bytes::from(bytes)
}

/// One model by `painter` with one version and one file of weights.
fn published(hub: &FakeHub, name: &str, bytes: &Bytes) -> PublishedModel {
    let version = FakeVersion::new("v1", "SD 1.5").file(FakeFile::model(&format!("{name}.safetensors"), bytes.clone()));
    hub.publish(FakeCivitaiModel::new("painter", "LORA", name).version(version))
}

fn locator(model: &PublishedModel) -> String {
    let version = &model.versions[0];
    format!("/api/download/models/{}?fileId={}", version.id, version.files[0])
}

async fn pages(hubs: &Hubs, target: &str) -> Result<Vec<Vec<HubModel>>, HubError> {
    hubs.list(ListRequest::new(target.parse().unwrap())).map_ok(|page| page.models).try_collect().await
}

/// A list read to its end.
async fn listed(hubs: &Hubs, request: ListRequest) -> Result<Vec<ListPage>, HubError> {
    hubs.list(request).try_collect().await
}

fn request(target: &str) -> ListRequest {
    ListRequest::new(target.parse().unwrap())
}

/// The names on all pages, in their order.
fn names(pages: &[ListPage]) -> Vec<&str> {
    pages.iter().flat_map(|page| &page.models).map(|model| model.name.as_str()).collect()
}

/// Paths and queries that the site's API was asked for.
fn asked(hub: &FakeHub, server: Server) -> Vec<String> {
    hub.requests_to(server).into_iter().map(|request| request.path_and_query).collect()
}

async fn whole(download: Download) -> Result<Bytes, HubError> {
    let chunks: Vec<Bytes> = download.body.try_collect().await?;
    Ok(chunks.concat().into())
}

fn civitai_token(hubs: &Hubs, token: &str) {
    hubs.set_token(Hub::Civitai, Secret::new(token));
}

/// A status that the fake hub answers instead of the true one.
fn status(code: u16, body: &str, headers: &[(&str, &str)]) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Status { code, body: body.to_owned(), headers }
}

#[test]
fn handles_can_be_shared_between_tasks() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send>(_: T) {}
    shared::<Hubs>();
    // Never polled: that it compiles is the test.
    let _check = |hubs: Hubs| {
        sent(hubs.model(Hub::HuggingFace, "a/b", None));
        sent(hubs.download(Hub::Civitai, "/", None, None));
        sent(hubs.account(Hub::HuggingFace));
        sent(hubs.fetch_preview(Hub::Civitai, "", PreviewMedia::Image, 1));
    };
}

#[tokio::test]
async fn the_sample_library_can_be_read_whole() {
    let hub = FakeHub::with_sample_library().await;
    let hubs = hubs(&hub);
    let mut models = Vec::new();
    for target in [
        format!("civitai:{SAMPLE_CREATOR}"),
        format!("civitai:{SAMPLE_RECORDED_CREATOR}"),
        format!("hf:{SAMPLE_ORGANISATION}"),
    ] {
        let found = pages(&hubs, &target).await.unwrap().concat();
        assert!(!found.is_empty(), "{target}");
        models.extend(found);
    }
    for model in &models {
        let page = hubs.model(model.hub, &model.external_id, None).await.unwrap();
        assert_eq!((&page.name, page.kind), (&model.name, model.kind));
        let previews = page.versions.iter().flat_map(|version| &version.previews);
        for preview in previews.filter(|preview| preview.media == PreviewMedia::Image) {
            let bytes = hubs.fetch_preview(model.hub, &preview.url, PreviewMedia::Image, 10 << 20).await.unwrap();
            assert!(!bytes.is_empty(), "{}", preview.url);
        }
    }
}
