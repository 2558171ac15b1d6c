//! The CivitAI servers over real sockets: statuses, bodies and redirects as the site's source and recordings have them.

#![expect(clippy::unwrap_used, reason = "a test whose client fails has failed")]

use paintbox_testkit::{
    CIVITAI_TOKEN, FakeCivitaiModel, FakeFile, FakeHub, FakeVersion, SAMPLE_CREATOR, SAMPLE_RECORDED_CREATOR, Server,
    fixtures,
};
use reqwest::header::{AUTHORIZATION, IF_RANGE, LOCATION, RANGE, USER_AGENT};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

const AGENT: &str = "paintbox-testkit/0";

/// A client that follows nothing by itself.
fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).user_agent(AGENT).build().unwrap()
}

async fn json_of(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

async fn api(hub: &FakeHub, path: &str) -> (u16, Value) {
    json_of(client().get(format!("{}/api/v1/{path}", hub.civitai_endpoint()))).await
}

async fn download(hub: &FakeHub, path: &str) -> Response {
    client().get(format!("{}/api/download/models/{path}", hub.civitai_endpoint())).send().await.unwrap()
}

fn location(response: &Response) -> String {
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

fn recorded(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join("hubs/civitai").join(name)).unwrap()).unwrap()
}

/// A hub with `count` small models of one creator.
async fn hub_of(count: usize) -> FakeHub {
    let hub = FakeHub::start().await;
    for index in 0..count {
        let file = FakeFile::model("it.safetensors", vec![u8::try_from(index).unwrap(); 16]);
        let version = FakeVersion::new("v1", "SD 1.5").file(file);
        hub.publish(FakeCivitaiModel::new("Someone", "LORA", &format!("Model {index}")).version(version));
    }
    hub
}

#[tokio::test]
async fn pages_lead_to_the_end_and_every_model_is_on_one_of_them() {
    let hub = hub_of(7).await;
    let mut names = Vec::new();
    let mut url = format!("{}/api/v1/models?username=SOMEONE&nsfw=true&sort=Newest&limit=3", hub.civitai_endpoint());
    loop {
        let (status, page) = json_of(client().get(&url)).await;
        assert_eq!(status, 200);
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        match page["metadata"]["nextPage"].as_str() {
            Some(next) => {
                let cursor = page["metadata"]["nextCursor"].as_str().unwrap();
                assert_eq!(cursor.matches('|').count(), 1, "{cursor}");
                assert!(next.contains("%7C") && next.contains("username=SOMEONE"), "{next}");
                url = next.to_owned();
            }
            None => break,
        }
    }
    names.sort();
    assert_eq!(names, (0..7).map(|index| format!("Model {index}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_may_be_empty_and_not_the_last() {
    let hub = hub_of(1).await;
    let file = FakeFile::model("it.safetensors", vec![9; 16]);
    let mut version = FakeVersion::new("v1", "SD 1.5").file(file);
    version.published = "2027-01-01T00:00:00Z".parse().unwrap();
    let mut withheld = FakeCivitaiModel::new("Someone", "LORA", "Withheld").version(version);
    withheld.withheld_from_lists = true;
    hub.publish(withheld);
    hub.limit_pages_to(1);
    let (_, page) = api(&hub, "models?username=someone&sort=Newest").await;
    assert_eq!(page["items"], json!([]));
    assert!(page["metadata"]["nextCursor"].is_string());
}

#[tokio::test]
async fn a_text_search_counts_with_a_number() {
    let hub = hub_of(3).await;
    let (_, page) = api(&hub, "models?query=model&limit=2").await;
    assert_eq!(page["metadata"]["nextCursor"], 2);
    let (_, page) = api(&hub, "models?query=model&limit=2&cursor=2").await;
    assert_eq!((page["items"].as_array().unwrap().len(), page["metadata"].get("nextCursor")), (1, None));
}

#[tokio::test]
async fn requests_that_the_schema_refuses_are_refused_in_its_words() {
    let hub = hub_of(1).await;
    let cases = [
        ("models?limit=abc", 400),
        ("models?limit=101", 400),
        ("models?types=LORA,DoRA", 400),
        ("models?sort=Best", 400),
        ("models?page=11&limit=100", 429),
        ("models?page=1&query=a", 400),
        ("models?favorites=false", 401),
        ("models?cursor=1%7C2%7C3&sort=Newest", 400),
        ("models?username=nobody", 404),
        ("models/0", 400),
        ("models/2147483648", 400),
        ("models/99", 404),
        ("model-versions/99", 404),
        ("model-versions/by-hash/ABCDEF0123", 404),
        ("me", 401),
    ];
    for (path, wanted) in cases {
        let (status, body) = api(&hub, path).await;
        assert_eq!(status, wanted, "{path}: {body}");
        assert!(body.get("error").or(body.get("message")).is_some(), "{path}: {body}");
    }
    assert_eq!(api(&hub, "models?username=nobody").await.1, json!({"message": "User not found"}));
    assert_eq!(api(&hub, "models/99").await.1, json!({"error": "No model with id 99"}));
    assert_eq!(api(&hub, "models?limit=abc").await.1["error"]["name"], "ZodError");
    assert_eq!(api(&hub, "me").await.1, recorded("errors/401-me.json"));
}

#[tokio::test]
async fn a_bad_token_makes_a_stranger_and_no_error() {
    let hub = hub_of(1).await;
    let ask = |token: &str, path: &str| {
        client()
            .get(format!("{}/api/v1/{path}", hub.civitai_endpoint()))
            .header(AUTHORIZATION, format!("Bearer {token}"))
    };
    assert_eq!(json_of(ask("revoked", "models?username=someone")).await.0, 200);
    assert_eq!(json_of(ask("revoked", "me")).await.0, 401);
    assert_eq!(json_of(ask(CIVITAI_TOKEN, "me")).await.1["username"], "you");
}

#[tokio::test]
async fn models_that_are_not_for_everyone_are_listed_on_request_only() {
    let hub = hub_of(0).await;
    let file = FakeFile::model("it.safetensors", vec![1; 16]);
    let mut model = FakeCivitaiModel::new("Someone", "LORA", "X").version(FakeVersion::new("v1", "SD 1.5").file(file));
    model.nsfw_level = 8;
    hub.publish(model);
    assert_eq!(api(&hub, "models?username=someone").await.1["items"].as_array().unwrap().len(), 0);
    assert_eq!(api(&hub, "models?username=someone&nsfw=true").await.1["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_recorded_item_is_served_as_it_was_recorded() {
    let hub = FakeHub::start().await;
    let name = "listitem-2026-08-lora-paidaccess-null-2851602.json";
    hub.publish_recorded(recorded(name));
    let (_, page) = api(&hub, "models?username=Konan&nsfw=true").await;
    let mut wanted = recorded(name);
    let version = &mut wanted["modelVersions"][0];
    let image = version["images"][0]["url"]
        .as_str()
        .unwrap()
        .replace("https://image.civitai.com", &hub.origin(Server::CivitaiImages));
    version["images"][0]["url"] = json!(image);
    version["files"][0]["downloadUrl"] = json!(format!("{}/api/download/models/3220243", hub.civitai_endpoint()));
    assert_eq!(page["items"][0], wanted);
    let picture = client().get(image).send().await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/png", "whatever ending the name has");
    let (_, body) = api(&hub, "models/2851602").await;
    assert_eq!(body["modelVersions"][0]["downloadUrl"], "https://civitai.com/api/download/models/3220243");
    assert!(
        body["modelVersions"][0].get("vaeId").is_none() && body["modelVersions"][0]["images"][0].get("id").is_none()
    );
    assert_eq!(api(&hub, "model-versions/3220243").await.0, 404, "nobody has rated it yet");
    assert_eq!(api(&hub, "model-versions/by-hash/96a7fb4abc").await.1["modelId"], 2_851_602);
}

#[tokio::test]
async fn a_recorded_model_by_id_keeps_its_keys() {
    let hub = FakeHub::start().await;
    let wanted = recorded("model-by-id-2025-09-lora-1231067.json");
    hub.publish_recorded(wanted.clone());
    let (_, body) = api(&hub, "models/1231067").await;
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&body), keys(&wanted));
    assert_eq!(keys(&body["modelVersions"][0]), keys(&wanted["modelVersions"][0]));
    assert_eq!(body["modelVersions"][0]["files"], wanted["modelVersions"][0]["files"]);
    let version = api(&hub, "model-versions/1387174").await.1;
    let recorded = recorded("model-version-by-id-2025-03-1387174.json");
    for (key, value) in recorded.as_object().unwrap() {
        let same_kind = version.get(key).is_some_and(|found| {
            found.is_null() || value.is_null() || std::mem::discriminant(found) == std::mem::discriminant(value)
        });
        // These two were not in the 2025-09 record that this hub was given.
        assert!(same_kind || ["updatedAt", "description"].contains(&key.as_str()), "{key}: {:?}", version.get(key));
    }
    assert_eq!(version["air"], recorded["air"]);
}

#[tokio::test]
async fn many_digests_are_asked_for_at_once_with_the_servers_mistake() {
    let hub = hub_of(2).await;
    let (_, page) = api(&hub, "models?username=someone&sort=Oldest").await;
    let sha256 = page["items"][0]["modelVersions"][0]["files"][0]["hashes"]["SHA256"].as_str().unwrap();
    let ask = |path: &str, body: Value| {
        let url = format!("{}/api/v1/model-versions/{path}", hub.civitai_endpoint());
        json_of(client().post(url).body(body.to_string()))
    };
    let (_, found) = ask("by-hash", json!([sha256.to_lowercase(), "0".repeat(64)])).await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    let url = found[0]["files"][0]["downloadUrl"].as_str().unwrap();
    assert!(url.starts_with("https://undefined/api/download/models/"), "{url}");
    let (_, ids) = ask("by-hash/ids", json!([sha256])).await;
    assert_eq!((&ids[0]["modelId"], &ids[0]["hash"]), (&page["items"][0]["id"], &json!(sha256)));
    assert_eq!(ask("by-hash", json!(["short"])).await.0, 400);
    assert_eq!(api(&hub, "model-versions/by-hash").await.0, 405);
}

#[tokio::test]
async fn a_download_leads_to_a_signed_url_on_another_origin() {
    let hub = FakeHub::start().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let version = FakeVersion::new("v1", "SD 1.5").file(FakeFile::model("it.safetensors", bytes.clone()));
    let published = hub.publish(FakeCivitaiModel::new("Someone", "LORA", "It").version(version));
    let path = format!("{}?fileId={}", published.versions[0].id, published.versions[0].files[0]);
    let redirect = download(&hub, &path).await;
    assert_eq!((redirect.status().as_u16(), &redirect.headers()["cache-control"]), (307, &"no-store".parse().unwrap()));
    let url = location(&redirect);
    assert!(url.starts_with(&hub.origin(Server::CivitaiStorage)), "{url}");

    let whole = client().get(&url).send().await.unwrap();
    assert_eq!(whole.headers()["content-disposition"], "attachment; filename=\"it.safetensors\"");
    let etag = whole.headers()["etag"].clone();
    assert_eq!(whole.bytes().await.unwrap(), bytes);

    let rest = client().get(&url).header(RANGE, "bytes=4000-").header(IF_RANGE, &etag).send().await.unwrap();
    assert_eq!(
        (rest.status().as_u16(), &rest.headers()["content-range"]),
        (206, &"bytes 4000-4999/5000".parse().unwrap())
    );
    assert_eq!(rest.bytes().await.unwrap(), bytes[4000..]);
    let past = client().get(&url).header(RANGE, "bytes=5000-").send().await.unwrap();
    assert_eq!(past.status(), 416);

    let with_token = client().get(&url).header(AUTHORIZATION, "Bearer x").send().await.unwrap();
    assert_eq!(with_token.status(), 400);
    assert!(with_token.text().await.unwrap().contains("<Code>InvalidRequest</Code>"));

    hub.replace_file_bytes(published.versions[0].files[0], vec![7; 5000]);
    let changed = client().get(&url).header(RANGE, "bytes=4000-").header(IF_RANGE, &etag).send().await.unwrap();
    assert_eq!((changed.status().as_u16(), changed.bytes().await.unwrap().len()), (200, 5000));

    hub.expire_signed_urls();
    assert_eq!(client().get(&url).send().await.unwrap().status(), 403);
    let forged = url.replace("X-Amz-Signature=", "X-Amz-Signature=0");
    assert_eq!(client().get(forged).send().await.unwrap().status(), 403);
    let requests = hub.requests_to(Server::CivitaiStorage);
    assert_eq!(requests.iter().filter(|request| request.header("authorization").is_some()).count(), 1);
}

#[tokio::test]
async fn downloads_are_refused_in_the_servers_order() {
    let hub = FakeHub::start().await;
    let publish = |change: &dyn Fn(&mut FakeCivitaiModel, &mut FakeVersion)| {
        let mut model = FakeCivitaiModel::new("Someone", "LORA", "It");
        let mut version = FakeVersion::new("v1", "SD 1.5").file(FakeFile::model("it.safetensors", vec![0; 16]));
        change(&mut model, &mut version);
        hub.publish(model.version(version)).versions[0].id
    };
    let archived = publish(&|model, _| model.mode = Some("Archived".to_owned()));
    let disabled = publish(&|_, version| version.usage_control = "Generation".to_owned());
    let paid = publish(&|_, version| version.paid_access = Some(None));
    let private = publish(&|_, version| version.availability = "Private".to_owned());
    let open = publish(&|_, _| {});
    let once = publish(&|_, version| version.paid_access = Some(Some("2020-01-01T00:00:00Z".parse().unwrap())));
    let cases = [
        (archived, 410, "Model archived, not available for download"),
        (disabled, 401, "The creator of this asset has disabled downloads on this file"),
        (paid, 403, "This asset is in Early Access. You can use Buzz access it now!"),
        (private, 403, "You do not have access to download this file"),
        (99, 404, "File not found"),
    ];
    for (version, status, words) in cases {
        let response = download(&hub, &version.to_string()).await;
        assert_eq!(response.status().as_u16(), status);
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(body.get("message").unwrap_or(&body["error"]), words);
    }
    assert_eq!(download(&hub, &open.to_string()).await.status(), 307);
    assert_eq!(download(&hub, &once.to_string()).await.status(), 307, "what was paid for once is free now");
    assert_eq!(download(&hub, &format!("{open}?fileId=1")).await.status(), 404);
    assert_eq!(download(&hub, &format!("{open}?type=Sculpture")).await.status(), 400);
    assert_eq!(download(&hub, &format!("{open}?type=Model&fp=fp8")).await.status(), 404);
    assert_eq!(download(&hub, "it").await.status(), 400);

    hub.require_download_token(true);
    assert_eq!(download(&hub, &archived.to_string()).await.status(), 410, "before the token is looked at");
    let refused = download(&hub, &open.to_string()).await;
    assert_eq!(refused.status(), 401);
    let body: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert_eq!(body, recorded("errors/401-download-login-required.json"));
    assert_eq!(download(&hub, &format!("{open}?token={CIVITAI_TOKEN}")).await.status(), 307);
}

#[tokio::test]
async fn a_client_that_looks_like_a_browser_is_sent_to_pages() {
    let hub = FakeHub::start().await;
    hub.require_download_token(true);
    let version = FakeVersion::new("v1", "SD 1.5").file(FakeFile::model("it.safetensors", vec![0; 16]));
    let id = hub.publish(FakeCivitaiModel::new("Someone", "LORA", "It").version(version)).versions[0].id;
    let url = format!("{}/api/download/models/{id}", hub.civitai_endpoint());
    let redirect = client().get(&url).header(USER_AGENT, "Mozilla/5.0 (X11)").send().await.unwrap();
    let to = location(&redirect);
    assert!(to.starts_with("/login?") && to.ends_with("reason=download-auth"), "{to}");
    let page = client().get(format!("{}{to}", hub.civitai_endpoint())).send().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), &page.headers()["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
}

#[tokio::test]
async fn deleted_models_and_accounts_leave_what_the_site_leaves() {
    let hub = hub_of(2).await;
    let (_, page) = api(&hub, "models?username=someone").await;
    let id = page["items"][0]["id"].as_u64().unwrap();
    assert!(hub.remove(id) && !hub.remove(id));
    assert_eq!(api(&hub, &format!("models/{id}")).await.0, 404);
    hub.remove_creator("Someone");
    assert_eq!(api(&hub, "models?username=someone").await.0, 404);
    let (_, page) = api(&hub, "models").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert!(page["items"][0].get("creator").is_none());
}

#[tokio::test]
async fn the_sample_library_has_a_creator_to_sync_and_one_to_skip() {
    let hub = FakeHub::with_sample_library().await;
    let (_, page) = api(&hub, &format!("models?username={SAMPLE_CREATOR}&nsfw=true&sort=Newest&limit=100")).await;
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    for item in items {
        for file in item["modelVersions"][0]["files"].as_array().unwrap() {
            let path = format!("{}?fileId={}", item["modelVersions"][0]["id"], file["id"]);
            let redirect = download(&hub, &path).await;
            let bytes = client().get(location(&redirect)).send().await.unwrap().bytes().await.unwrap();
            assert_eq!(file["sizeKB"].as_f64().unwrap() * 1024.0, f64::from(u32::try_from(bytes.len()).unwrap()));
            assert_eq!(file["hashes"]["SHA256"].as_str().unwrap().len(), 64);
        }
    }
    let checkpoint = items.iter().find(|item| item["type"] == "Checkpoint").unwrap();
    // The digest that the model's own page gives.
    let wanted = "74720BA1E684FB89CB28FDA39ED8E09ADFD75972EE455E33B09DBA5E3F94EFBA";
    assert_eq!(checkpoint["modelVersions"][0]["files"][0]["hashes"]["SHA256"], wanted);
    let (_, version) = api(&hub, &format!("model-versions/{}", checkpoint["modelVersions"][0]["id"])).await;
    assert_eq!(version["images"][0]["meta"]["prompt"], "red heart");

    let creator = format!("models?username={SAMPLE_RECORDED_CREATOR}&nsfw=true&sort=Newest");
    let listed = api(&hub, &creator).await.1["items"].as_array().unwrap().len();
    let with_archived = api(&hub, &format!("{creator}&archived=true")).await.1["items"].as_array().unwrap().len();
    assert_eq!((listed, with_archived), (8, 9));
}

#[tokio::test]
async fn creators_and_images_are_listed() {
    let hub = FakeHub::with_sample_library().await;
    let (_, page) = api(&hub, "creators?query=tiny&limit=1").await;
    assert_eq!(page["items"][0]["username"], SAMPLE_CREATOR);
    assert_eq!((&page["items"][0]["modelCount"], &page["metadata"]["totalPages"]), (&json!(3), &json!(1)));
    let (_, page) = api(&hub, "images?modelId=64064&limit=2").await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["metadata"]["nextCursor"]), (2, &json!(2)));
    assert!(page["items"][0]["meta"].is_null());
    let (_, page) = api(&hub, "images?modelId=64064&withMeta=true&cursor=2").await;
    assert_eq!(page["items"][0]["meta"]["prompt"], "pizza");
}
