//! What changes on the CivitAI site when somebody edits it, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test whose client fails has failed")]

use paintbox_testkit::{
    CIVITAI_TOKEN, CollectionFilter, FakeCivitaiModel, FakeFile, FakeHub, FakeVersion, PublishedModel, Server,
};
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Client, Response};
use serde_json::{Value, json};

const LIST: &str = "models?nsfw=true&sort=Newest";

fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).user_agent("testkit/0").build().unwrap()
}

async fn get(hub: &FakeHub, server: Server, path: &str, token: Option<&str>) -> (u16, Value) {
    let mut request = client().get(format!("{}/api/v1/{path}", hub.origin(server)));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

async fn api(hub: &FakeHub, path: &str) -> (u16, Value) {
    get(hub, Server::CivitaiSite, path, None).await
}

/// The names on a list, in its order.
fn names(list: &(u16, Value)) -> Vec<&str> {
    assert_eq!(list.0, 200, "{}", list.1);
    list.1["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

async fn download(hub: &FakeHub, version: u64) -> Response {
    client().get(format!("{}/api/download/models/{version}", hub.civitai_endpoint())).send().await.unwrap()
}

fn version(name: &str, published: &str) -> FakeVersion {
    let mut version =
        FakeVersion::new(name, "SD 1.5").file(FakeFile::model("it.safetensors", name.as_bytes().to_vec()));
    version.published = published.parse().unwrap();
    version
}

fn publish(hub: &FakeHub, creator: &str, name: &str) -> PublishedModel {
    hub.publish(FakeCivitaiModel::new(creator, "LORA", name).version(version("v1", "2026-08-01T00:00:00Z")))
}

#[tokio::test]
async fn an_unchanged_answer_is_not_sent_twice_unless_visits_count() {
    let hub = FakeHub::start().await;
    publish(&hub, "ann", "One");
    let ask = async |etag: Option<&str>| {
        let mut request = client().get(format!("{}/api/v1/{LIST}", hub.civitai_endpoint()));
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.unwrap();
        let etag = response.headers()[ETAG].to_str().unwrap().to_owned();
        (response.status().as_u16(), etag, response.bytes().await.unwrap())
    };
    let (status, etag, _) = ask(None).await;
    assert_eq!(status, 200);
    let (status, again, body) = ask(Some(&format!("W/{etag}"))).await;
    assert_eq!((status, &again, body.len()), (304, &etag, 0));
    hub.count_visits(true);
    let (status, first, _) = ask(Some(&etag)).await;
    assert_eq!(status, 200);
    let (status, second, body) = ask(Some(&first)).await;
    assert_eq!(status, 200);
    assert_ne!(first, second);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["items"][0]["stats"]["downloadCount"], 14);
    hub.count_visits(false);
    assert_eq!(ask(Some(&etag)).await.0, 304, "nothing real has changed");
}

#[tokio::test]
async fn lists_of_an_account_are_everybodys_without_its_token() {
    let hub = FakeHub::start().await;
    let model = publish(&hub, "ann", "By Ann");
    publish(&hub, "bob", "By Bob");
    hub.set_followed(&["ann"]);
    hub.set_favourites(&[model.id]);
    let ask = async |path: &str, token| get(&hub, Server::CivitaiSite, path, token).await;
    assert_eq!(names(&ask("models?followed=true", Some(CIVITAI_TOKEN)).await), ["By Ann"]);
    for token in [None, Some("wrong")] {
        assert_eq!(names(&ask("models?followed=true", token).await).len(), 2);
        assert_eq!(ask("models?favorites=true", token).await.0, 401);
    }
    assert_eq!(names(&ask("models?favorites=true", Some(CIVITAI_TOKEN)).await), ["By Ann"]);
    hub.rename_creator("ann", "anna");
    assert_eq!(names(&ask("models?followed=true", Some(CIVITAI_TOKEN)).await), ["By Ann"]);
    hub.refuse_followed(Some(403));
    assert_eq!(ask("models?followed=true", Some(CIVITAI_TOKEN)).await.0, 403);

    hub.set_collection(7, &[model.id]);
    assert_eq!(api(&hub, "models?collectionId=7").await.0, 400);
    hub.filter_collections(CollectionFilter::Ignored);
    assert_eq!(names(&api(&hub, "models?collectionId=7").await).len(), 2);
    hub.filter_collections(CollectionFilter::Served);
    assert_eq!(names(&api(&hub, "models?collectionId=7").await), ["By Ann"]);
}

#[tokio::test]
async fn a_renamed_creator_keeps_number_and_models_and_loses_the_old_name() {
    let hub = FakeHub::start().await;
    publish(&hub, "ann", "One");
    hub.add_creator("bob");
    let before = api(&hub, LIST).await.1["items"][0]["userId"].clone();
    assert!(!hub.rename_creator("ann", "bob"), "the name is taken");
    assert!(hub.rename_creator("ann", "anna"));
    assert_eq!(api(&hub, "models?username=ann").await, (404, json!({"message": "User not found"})));
    let item = api(&hub, "models?username=anna").await.1["items"][0].clone();
    assert_eq!((&item["creator"]["username"], &item["userId"]), (&json!("anna"), &before));
    publish(&hub, "anna", "Two");
    assert_eq!(api(&hub, "models?username=anna").await.1["items"][1]["userId"], before);
}

#[tokio::test]
async fn what_is_unpublished_is_nowhere_until_it_is_put_back() {
    let hub = FakeHub::start().await;
    let model = publish(&hub, "ann", "One");
    let (id, version) = (model.id, model.versions[0].id);
    assert!(hub.unpublish(id));
    assert!(names(&api(&hub, LIST).await).is_empty());
    assert_eq!(api(&hub, &format!("models/{id}")).await.0, 404);
    assert_eq!(api(&hub, &format!("model-versions/{version}")).await.0, 404);
    assert_eq!(download(&hub, version).await.status(), 404);
    assert!(hub.republish(id));
    assert_eq!(names(&api(&hub, LIST).await), ["One"]);
    assert_eq!(download(&hub, version).await.status(), 307);

    let second = hub.add_version(id, self::version("v2", "2026-08-02T00:00:00Z")).unwrap();
    assert_eq!(hub.version_ids(id), [second.id, version]);
    assert!(hub.unpublish_version(version));
    for page in [api(&hub, LIST).await.1["items"][0].clone(), api(&hub, &format!("models/{id}")).await.1] {
        let shown = page["modelVersions"].as_array().unwrap();
        assert_eq!((shown.len(), &shown[0]["id"]), (1, &json!(second.id)));
    }
    assert!(hub.republish_version(version));
    assert_eq!(api(&hub, LIST).await.1["items"][0]["modelVersions"].as_array().unwrap().len(), 2);
    assert!(!hub.unpublish(1) && !hub.unpublish_version(1) && hub.add_version(1, FakeVersion::new("", "")).is_none());
}

#[tokio::test]
async fn a_new_version_brings_its_model_to_the_front() {
    let hub = FakeHub::start().await;
    let old = publish(&hub, "ann", "Old");
    let mut newer = FakeCivitaiModel::new("ann", "LORA", "Newer");
    newer = newer.version(version("v1", "2026-08-05T00:00:00Z"));
    hub.publish(newer);
    assert_eq!(names(&api(&hub, LIST).await), ["Newer", "Old"]);
    hub.add_version(old.id, version("v2", "2026-08-09T00:00:00Z")).unwrap();
    let list = api(&hub, LIST).await;
    assert_eq!(names(&list), ["Old", "Newer"]);
    let versions: Vec<&Value> = list.1["items"][0]["modelVersions"].as_array().unwrap().iter().collect();
    assert_eq!(versions.iter().map(|version| &version["index"]).collect::<Vec<_>>(), [&json!(0), &json!(1)]);
    assert_eq!(versions[0]["name"], "v2");
}

#[tokio::test]
async fn a_silent_replacement_changes_size_and_digests_only() {
    let hub = FakeHub::start().await;
    let model = publish(&hub, "ann", "One");
    let file = model.versions[0].files[0];
    let before = api(&hub, LIST).await.1["items"][0]["modelVersions"][0]["files"][0].clone();
    assert!(hub.replace_file(file, vec![9; 2048]));
    let after = api(&hub, LIST).await.1["items"][0]["modelVersions"][0]["files"][0].clone();
    for key in ["id", "name", "type", "primary", "downloadUrl", "scannedAt"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(after["sizeKB"], 2.0);
    assert_ne!(before["hashes"]["SHA256"], after["hashes"]["SHA256"]);
    let storage = download(&hub, model.versions[0].id).await.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(client().get(storage).send().await.unwrap().bytes().await.unwrap(), vec![9; 2048]);
    assert!(!hub.replace_file(1, vec![]));
}

#[tokio::test]
async fn early_access_ends_by_the_sites_own_clock() {
    let hub = FakeHub::start().await;
    let model = publish(&hub, "ann", "One");
    let version = model.versions[0].id;
    hub.set_time("2026-08-02T00:00:00Z".parse().unwrap());
    assert!(hub.set_early_access(version, Some(Some("2026-08-08T00:00:00Z".parse().unwrap()))));
    assert_eq!(download(&hub, version).await.status(), 403);
    let paid = async || api(&hub, LIST).await.1["items"][0]["modelVersions"][0]["paidAccess"].clone();
    assert_eq!(paid().await["endsAt"], "2026-08-08T00:00:00Z");
    hub.set_time("2026-08-08T00:00:01Z".parse().unwrap());
    assert_eq!((paid().await, download(&hub, version).await.status().as_u16()), (Value::Null, 307));
    assert!(hub.set_early_access(version, Some(None)));
    hub.set_time("2099-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(download(&hub, version).await.status(), 403, "for ever");
    assert!(hub.set_early_access(version, None));
    assert_eq!(download(&hub, version).await.status(), 307);
}

#[tokio::test]
async fn the_main_site_may_leave_out_what_the_other_one_lists() {
    let hub = FakeHub::start().await;
    let tame = publish(&hub, "ann", "Tame");
    let wild = publish(&hub, "ann", "Wild");
    assert!(hub.set_nsfw_level(tame.id, 2) && hub.set_nsfw_level(wild.id, 12));
    assert_eq!(names(&api(&hub, LIST).await).len(), 2);
    hub.filter_mature_on_main(true);
    assert_eq!(names(&api(&hub, LIST).await), ["Tame"]);
    let page = format!("models/{}", wild.id);
    assert_eq!(api(&hub, &page).await.0, 404);
    assert_eq!(names(&get(&hub, Server::CivitaiMature, LIST, None).await).len(), 2);
    assert_eq!(get(&hub, Server::CivitaiMature, &page, None).await.0, 200);
    assert_eq!(download(&hub, wild.versions[0].id).await.status(), 307, "files come from either");
}

#[tokio::test]
async fn edits_of_a_model_show_everywhere() {
    let hub = FakeHub::start().await;
    let id = publish(&hub, "ann", "One").id;
    assert!(hub.rename_model(id, "Uno") && hub.edit_description(id, Some("<p>New</p>")) && hub.edit_tags(id, &["ink"]));
    for page in [api(&hub, LIST).await.1["items"][0].clone(), api(&hub, &format!("models/{id}")).await.1] {
        assert_eq!(
            (&page["name"], &page["description"], &page["tags"]),
            (&json!("Uno"), &json!("<p>New</p>"), &json!(["ink"]))
        );
    }
    assert_eq!(
        api(&hub, "tags").await.1["items"],
        json!([{"name": "ink", "modelCount": 1, "link": format!("{}/api/v1/models?tag=ink", hub.civitai_endpoint())}])
    );
    assert!(api(&hub, "enums").await.1["ModelType"].as_array().unwrap().contains(&json!("LORA")));
    assert!(hub.archive(id));
    assert!(names(&api(&hub, LIST).await).is_empty());
    assert_eq!(names(&api(&hub, &format!("{LIST}&archived=true&ids={id}")).await), ["Uno"]);
    assert!(hub.take_down(id));
    assert_eq!(api(&hub, LIST).await.1["items"][0]["mode"], "TakenDown");
    assert!(hub.restore(id));
    assert!(api(&hub, LIST).await.1["items"][0].get("mode").is_none());
}

/// As many as a simulation of a busy year follows: listing one of them must not touch the others.
#[tokio::test]
async fn many_creators_with_many_models_can_be_listed() {
    let hub = FakeHub::start().await;
    for creator in 0..200 {
        for model in 0..30 {
            publish(&hub, &format!("creator{creator}"), &format!("Model {model}"));
        }
    }
    let client = client();
    for creator in 0..200 {
        let url = format!("{}/api/v1/{LIST}&username=creator{creator}", hub.civitai_endpoint());
        let page = client.get(url).send().await.unwrap().bytes().await.unwrap();
        let page: Value = serde_json::from_slice(&page).unwrap();
        assert_eq!(page["items"].as_array().unwrap().len(), 30);
    }
}
