//! Whatever hubs put on record, every answer fits into a message, and all of it can be read.

use crate::grpc::channel;
use crate::{installation, ok};
use paintbox_proto::v1;
use paintbox_proto::v1::catalogue_service_client::CatalogueServiceClient;
use paintbox_proto::v1::follow_service_client::FollowServiceClient;
use paintbox_proto::v1::shelf_service_client::ShelfServiceClient;
use paintbox_proto::v1::sync_service_client::SyncServiceClient;
use paintbox_testkit::{FakeCivitaiModel, FakeFile, FakeHub, FakeImage, FakeVersion};
use prost::Message;
use serde_json::json;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_stream::StreamExt as _;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

const LARGEST_MESSAGE_BYTES: usize = 1 << 20;
const VERSIONS: usize = 10_000;
const FILES: usize = 5_000;
const PREVIEWS: usize = 10_000;

/// A model's number, with more of everything than any page of a hub has ever had.
fn hostile(hub: &FakeHub) -> u64 {
    let mut newest = FakeVersion::new(&"n".repeat(40_000), &"b".repeat(40_000));
    newest.trained_words = (0..2_000).map(|number| format!("word {number} {}", "w".repeat(500))).collect();
    newest.files.push(FakeFile::model("main.safetensors", "main"));
    let beside =
        |number: usize| FakeFile::beside(&format!("{number}{}", "f".repeat(240)), "Config", number.to_string());
    newest.files.extend((1..FILES).map(beside));
    let picture = |number: usize| FakeImage {
        bytes: number.to_string().into(),
        width: 1 + u32::try_from(number).unwrap(),
        height: 64,
        nsfw_level: 1,
        blurhash: Some("x".repeat(1_000)),
        meta: json!({ "prompt": "p".repeat(1_000), "seed": number }),
    };
    newest.images = (0..PREVIEWS).map(picture).collect();
    let mut model = FakeCivitaiModel::new("hoarder", "Checkpoint", &"N".repeat(200_000));
    model.description = Some("d".repeat(2 << 20));
    model.tags = (0..3_000).map(|number| format!("tag {number} {}", "t".repeat(1_500))).collect();
    // Lists leave out versions without files.
    let older = |number: usize| {
        let file = FakeFile::model(&format!("{number}.safetensors"), number.to_string());
        FakeVersion::new(&format!("v{number}"), "SDXL 1.0").file(file)
    };
    model.versions = (1..VERSIONS).map(older).collect();
    model.versions.push(newest);
    hub.publish(model).id
}

/// Every answer is measured.
struct Reader {
    largest: AtomicUsize,
}

impl Reader {
    fn read<A: Message>(&self, what: &str, answer: Result<Response<A>, Status>) -> A {
        let answer = answer.unwrap_or_else(|status| panic!("{what}: {status}")).into_inner();
        let bytes = answer.encoded_len();
        assert!(bytes <= LARGEST_MESSAGE_BYTES, "{what}: {bytes} bytes");
        self.largest.fetch_max(bytes, Ordering::Relaxed);
        answer
    }
}

/// The names on all pages.
macro_rules! every_page {
    ($reader:expr, $client:expr, $method:ident, $request:expr, $entries:ident, $key:expr) => {{
        let mut request = $request;
        let mut found = Vec::new();
        loop {
            let page = $reader.read(stringify!($method), $client.$method(request.clone()).await);
            assert!(!page.$entries.is_empty(), "a page of {} has nothing on it", stringify!($method));
            found.extend(page.$entries.iter().map($key));
            if page.next_page_token.is_empty() {
                break found;
            }
            request.page_token = page.next_page_token;
        }
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_largest_page_of_all_is_read_by_every_method_and_view() {
    let (hub, installed) = installation().await;
    let number = hostile(&hub);
    ok(&installed, &["follow", "civitai:hoarder"]);
    // Its own page has all files of a version, lists have the main ones alone.
    ok(&installed, &["follow", &format!("civitai:{number}")]);
    let channel = channel(&installed).await;
    let mut catalogue = CatalogueServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
    let reader = Reader { largest: AtomicUsize::new(0) };
    let name = format!("models/civitai-{number}");

    let facets = ["kind", "base", "creator", "hub", "architecture", "nsfw", "downloaded", "year", "state", "format"];
    let search = v1::SearchModelsRequest {
        page_size: 500,
        facets: facets.map(str::to_owned).to_vec(),
        facet_values: 500,
        ..Default::default()
    };
    let found = reader.read("SearchModels", catalogue.search_models(search).await);
    let told = found.models.iter().find(|model| model.name == name).unwrap();
    assert_eq!((told.display_name.len(), told.tags[0].len()), (1 << 10, 1 << 10));
    assert!(told.tags.len() > 40, "{} tags", told.tags.len());

    let now = prost_types::Timestamp { seconds: jiff::Timestamp::now().as_second(), nanos: 0 };
    for (view, read_time) in
        [(v1::ModelView::Basic, None), (v1::ModelView::Full, None), (v1::ModelView::Unspecified, Some(now))]
    {
        let request = v1::GetModelRequest { name: name.clone(), view: view.into(), read_time };
        let model = reader.read("GetModel", catalogue.get_model(request).await);
        if view == v1::ModelView::Basic {
            continue;
        }
        assert_eq!(model.description.len(), 256 << 10);
        assert_eq!(model.version_count as usize, VERSIONS);
        assert!((100..VERSIONS).contains(&model.versions.len()), "{} versions", model.versions.len());
        let newest = &model.versions[0];
        assert_eq!((newest.file_count as usize, newest.preview_count as usize), (FILES, PREVIEWS));
        assert_eq!((newest.files.len(), newest.previews.len()), (100, 20));
        assert_eq!(newest.files[0].file_name, "main.safetensors");
        assert_eq!((newest.display_name.len(), newest.base_model.len()), (1 << 10, 1 << 10));
    }
    let all = v1::ListModelVersionsRequest { name: name.clone(), page_size: 500, ..Default::default() };
    let versions = every_page!(reader, catalogue, list_model_versions, all, versions, |version| (
        version.name.clone(),
        version.r#ref.clone()
    ));
    assert_eq!((versions.len(), versions.iter().collect::<HashSet<_>>().len()), (VERSIONS, VERSIONS));
    let newest = versions[0].0.clone();
    let all = v1::ListModelFilesRequest { name: newest.clone(), page_size: 500, ..Default::default() };
    let files = every_page!(reader, catalogue, list_model_files, all, files, |file| file.name.clone());
    assert_eq!(files.iter().collect::<HashSet<_>>().len(), FILES);
    let all = v1::ListPreviewsRequest { name: newest.clone(), page_size: 500, ..Default::default() };
    let previews = every_page!(reader, catalogue, list_previews, all, previews, |preview| preview.width);
    assert_eq!(previews.iter().collect::<HashSet<_>>().len(), PREVIEWS);
    let then =
        v1::ListPreviewsRequest { name: newest.clone(), page_size: 500, read_time: Some(now), ..Default::default() };
    let page = reader.read("ListPreviews", catalogue.list_previews(then.clone()).await);
    assert_eq!((page.previews[0].width, page.previews.len()), (1, 500));
    let now_instead = v1::ListPreviewsRequest { read_time: None, page_token: page.next_page_token, ..then };
    let refused = catalogue.list_previews(now_instead).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "PAGE_TOKEN_INVALID");
    // What a reference names is there, however far down it stands.
    let (oldest, reference) = versions.last().unwrap();
    let request = v1::ResolveModelRequest { reference: reference.clone(), ..Default::default() };
    let resolved = reader.read("ResolveModel", catalogue.resolve_model(request).await);
    assert_eq!(&resolved.version, oldest);
    assert_eq!(&resolved.model.unwrap().versions.last().unwrap().name, oldest);
    let missing = v1::ListPreviewsRequest { name: format!("{name}/versions/1"), ..Default::default() };
    let refused = catalogue.list_previews(missing).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "VERSION_NOT_FOUND");
    let history = v1::ListModelHistoryRequest { name: name.clone(), ..Default::default() };
    reader.read("ListModelHistory", catalogue.list_model_history(history).await);

    let mut shelf = ShelfServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
    reader.read("GetStats", shelf.get_stats(v1::GetStatsRequest {}).await);
    reader.read("ListUpdates", shelf.list_updates(v1::ListUpdatesRequest::default()).await);
    reader.read("ListDuplicates", shelf.list_duplicates(v1::ListDuplicatesRequest::default()).await);
    let request = v1::ListCompanionsRequest { name: name.clone(), page_size: 500, ..Default::default() };
    reader.read("ListCompanions", shelf.list_companions(request).await);
    let mut sync = SyncServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
    let mut plan = sync.plan_sync(v1::PlanSyncRequest::default()).await.unwrap().into_inner();
    while let Some(operation) = plan.next().await {
        assert!(operation.unwrap().encoded_len() <= 16 << 10);
    }
    let mut follows = FollowServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
    reader.read("ListFollows", follows.list_follows(v1::ListFollowsRequest::default()).await);
    let policy = v1::FollowPolicy { include_tags: vec!["t".repeat(70_000)], ..Default::default() };
    for (target, policy, reason) in [
        ("x".repeat(5_000), None, "INVALID_REFERENCE"),
        ("civitai:tiny_emoji".to_owned(), Some(policy), "INVALID_ARGUMENT"),
    ] {
        let request = v1::CreateFollowRequest { target, policy, ..Default::default() };
        let refused = follows.create_follow(request).await.unwrap_err();
        assert_eq!(refused.get_details_error_info().unwrap().reason, reason, "{refused}");
    }
    let largest = reader.largest.into_inner();
    assert!(largest > 512 << 10, "the largest answer had {largest} bytes, so that nothing was tried");

    let shown = &ok(&installed, &["show", &format!("civitai:{number}")])[0];
    let versions = shown["versions"].as_array().unwrap();
    assert_eq!(versions.len(), VERSIONS);
    let counted = |list: &str| versions[0][list].as_array().unwrap().len();
    assert_eq!((counted("files"), counted("previews")), (FILES, PREVIEWS));
}
