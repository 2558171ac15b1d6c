//! The Hugging Face servers over real sockets, against what was recorded of the real ones.

#![expect(clippy::unwrap_used, reason = "a test whose client fails has failed")]

use bytes::Bytes;
use paintbox_testkit::{FakeHub, FakeRepository, HF_TOKEN, Server, TinyModel, fixtures};
use reqwest::header::{HeaderMap, IF_RANGE, LINK, LOCATION, RANGE};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

async fn ask(hub: &FakeHub, method: Method, path: &str, token: Option<&str>) -> Response {
    let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", hub.hf_endpoint()) };
    let request = client().request(method, url);
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.unwrap()
}

async fn get(hub: &FakeHub, path: &str) -> Response {
    ask(hub, Method::GET, path, None).await
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn recorded(name: &str) -> Bytes {
    std::fs::read(fixtures().join("hubs/huggingface/api").join(name)).unwrap().into()
}

/// Names of the headers in a recorded block, lower case; of the first answer only.
fn recorded_header_names(name: &str) -> Vec<String> {
    let text = String::from_utf8(recorded(name).to_vec()).unwrap();
    text.lines()
        .skip_while(|line| !line.starts_with("HTTP/"))
        .skip(1)
        .take_while(|line| !line.is_empty() && !line.starts_with("HTTP/"))
        .filter_map(|line| Some(line.split_once(": ")?.0.to_ascii_lowercase()))
        .collect()
}

/// Set by proxies and CDNs on the way, and CORS headers for browsers: no client of ours reads them.
const OF_THE_WAY: &[&str] = &[
    "via",
    "x-amz-cf-id",
    "x-amz-cf-pop",
    "x-cache",
    "x-hub-cache",
    "connection",
    "etag",
    "cross-origin-opener-policy",
    "access-control-max-age",
    "access-control-allow-origin",
    "content-security-policy",
];

#[tokio::test]
async fn a_small_file_is_behind_a_relative_redirect() {
    let hub = FakeHub::with_sample_library().await;
    let path = "/tiny-emoji/tiny-emoji/resolve/main/model_index.json";
    let redirect = ask(&hub, Method::HEAD, path, None).await;
    assert_eq!(redirect.status(), 307);
    let headers = redirect.headers();
    for name in recorded_header_names("headers-307-readme-2026-04.txt") {
        assert!(headers.contains_key(&name) || OF_THE_WAY.contains(&name.as_str()), "{name}");
    }
    let to = header(headers, "location");
    let commit = header(headers, "x-repo-commit");
    assert!(
        to.starts_with(&format!("/api/resolve-cache/models/tiny-emoji/tiny-emoji/{commit}/model_index.json?%2Ftiny"))
    );
    assert!(to.contains("=&etag=%22"), "{to}");
    assert!(header(headers, "ratelimit").starts_with("\"resolvers\";r=2999;t="));
    let file = get(&hub, to).await;
    assert_eq!(file.headers()["etag"], headers["x-linked-etag"]);
    let kept = std::fs::read(TinyModel::folder().join("diffusers/model_index.json")).unwrap();
    assert_eq!(file.bytes().await.unwrap(), kept);
    let known = client().get(format!("{}{to}", hub.hf_endpoint())).header("if-none-match", &headers["x-linked-etag"]);
    assert_eq!(known.send().await.unwrap().status(), 304);
}

#[tokio::test]
async fn a_large_file_is_behind_a_redirect_to_another_origin() {
    let hub = FakeHub::with_sample_library().await;
    let path = "/tiny-emoji/greyscale-lora/resolve/main/pytorch_lora_weights.safetensors";
    let redirect = ask(&hub, Method::HEAD, path, None).await;
    assert_eq!(redirect.status(), 302);
    let headers = redirect.headers();
    assert_eq!(header(headers, "x-linked-size"), "436200");
    // The digest that the model's own page gives.
    let wanted = "68d364a791118e595a96b4a68b82857ce41d1d30d838c76cf8418a14e28b0e4e";
    assert_eq!(header(headers, "x-linked-etag"), format!("\"{wanted}\""));
    assert!(!headers.contains_key("x-xet-hash"), "off at the start");
    assert_ne!(header(headers, "content-length"), "436200", "a redirect's length is its own");
    let to = headers[LOCATION].to_str().unwrap().to_owned();
    assert!(to.starts_with(&hub.origin(Server::HfCdn)), "{to}");

    let file = get(&hub, &to).await;
    let etag = file.headers()["etag"].clone();
    assert_ne!(etag, headers["x-linked-etag"], "the CDN names a file by its Xet hash");
    let bytes = file.bytes().await.unwrap();
    assert_eq!(bytes, std::fs::read(TinyModel::diffusers_lora()).unwrap());
    let rest = client().get(&to).header(RANGE, "bytes=436000-").header(IF_RANGE, etag).send().await.unwrap();
    assert_eq!((rest.status().as_u16(), rest.bytes().await.unwrap()), (206, bytes.slice(436_000..)));

    hub.expire_signed_urls();
    assert_eq!(get(&hub, &to).await.status(), 403);
    hub.announce_xet(true);
    let redirect = ask(&hub, Method::HEAD, path, None).await;
    for name in ["x-xet-hash", "link"] {
        assert!(redirect.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn digests_are_where_the_hub_has_them() {
    let hub = FakeHub::with_sample_library().await;
    let tree = json_of(get(&hub, "/api/models/tiny-emoji/tiny-emoji/tree/main?recursive=true").await).await;
    let entry = |path: &str| tree.as_array().unwrap().iter().find(|entry| entry["path"] == path).unwrap().clone();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let real: Value = serde_json::from_slice(&recorded("tree-entries-openai-community-gpt2.json")).unwrap();
    assert_eq!(keys(&entry("unet")), keys(&real[0]));
    assert_eq!(keys(&entry("model_index.json")), keys(&real[1]));
    let large = entry("unet/diffusion_pytorch_model.safetensors");
    let with_xet: Vec<String> = keys(&real[2]).into_iter().filter(|key| key != "xetHash").collect();
    assert_eq!(keys(&large), with_xet);

    let info = json_of(get(&hub, "/api/models/tiny-emoji/tiny-emoji?blobs=true").await).await;
    let sibling = info["siblings"].as_array().unwrap().iter().find(|one| one["rfilename"] == large["path"]).unwrap();
    assert_eq!((&sibling["lfs"]["sha256"], &sibling["blobId"]), (&large["lfs"]["oid"], &large["oid"]));
    let pointer = get(&hub, "/tiny-emoji/tiny-emoji/raw/main/unet/diffusion_pytorch_model.safetensors").await;
    assert!(pointer.text().await.unwrap().starts_with("version https://git-lfs.github.com/spec/v1\n"));
}

#[tokio::test]
async fn an_info_has_the_keys_of_a_recorded_one() {
    let hub = FakeHub::with_sample_library().await;
    let info = json_of(get(&hub, "/api/models/tiny-emoji/tiny-emoji").await).await;
    let real: Value = serde_json::from_slice(&recorded("model-info-CompVis-stable-diffusion-v1-4.json")).unwrap();
    for key in real.as_object().unwrap().keys() {
        assert!(info.get(key).is_some() || ["widgetData", "safetensors", "inference"].contains(&key.as_str()), "{key}");
    }
    assert_eq!(info["siblings"][0], json!({"rfilename": ".gitattributes"}));
    let expanded = json_of(get(&hub, "/api/models/tiny-emoji/tiny-emoji?expand=sha&expand=gated").await).await;
    assert_eq!(expanded.as_object().unwrap().keys().collect::<Vec<_>>(), ["_id", "gated", "id", "sha"]);
    assert_eq!(get(&hub, "/api/models/tiny-emoji/tiny-emoji?expand=everything").await.status(), 400);
}

#[tokio::test]
async fn lists_and_trees_are_paged_by_link() {
    let hub = FakeHub::with_sample_library().await;
    for first in [
        "/api/models?author=tiny-emoji&sort=lastModified",
        "/api/models/tiny-emoji/tiny-emoji/tree/main?recursive=true",
    ] {
        hub.limit_pages_to(1000);
        let whole = json_of(get(&hub, first).await).await;
        hub.limit_pages_to(2);
        let (mut url, mut found) = (first.to_owned(), Vec::new());
        loop {
            let page = get(&hub, &url).await;
            let next = header(page.headers(), LINK.as_str()).split(['<', '>']).nth(1).map(str::to_owned);
            found.extend(json_of(page).await.as_array().unwrap().clone());
            let Some(next) = next else { break };
            assert!(next.starts_with(&hub.hf_endpoint()), "the link is absolute");
            url = next;
        }
        assert_eq!(Value::Array(found), whole);
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_as_it_was_recorded() {
    let hub = FakeHub::with_sample_library().await;
    let entry = get(&hub, "/tiny-emoji/tiny-emoji/resolve/main/nothing.bin").await;
    assert_eq!((entry.status().as_u16(), header(entry.headers(), "x-error-code")), (404, "EntryNotFound"));
    assert_eq!(header(entry.headers(), "x-repo-commit").len(), 40);
    assert_eq!(entry.bytes().await.unwrap(), recorded("body-404-entry-not-found.txt"));

    let revision = get(&hub, "/api/models/tiny-emoji/tiny-emoji/revision/badrev").await;
    assert_eq!((revision.status().as_u16(), header(revision.headers(), "x-error-code")), (404, "RevisionNotFound"));
    assert_eq!(revision.bytes().await.unwrap(), recorded("error-404-revision-not-found.json"));

    let missing = get(&hub, "/api/models/tiny-emoji/nothing").await;
    assert_eq!((missing.status().as_u16(), header(missing.headers(), "x-error-code")), (401, ""));
    assert_eq!(missing.bytes().await.unwrap(), recorded("error-401-missing-or-private-repo.json"));
    let known = ask(&hub, Method::GET, "/api/models/tiny-emoji/nothing", Some(HF_TOKEN)).await;
    assert_eq!((known.status().as_u16(), header(known.headers(), "x-error-code")), (404, "RepoNotFound"));
    let bad = ask(&hub, Method::GET, "/api/models/tiny-emoji/tiny-emoji", Some("hf_bad")).await;
    assert_eq!(
        (bad.status().as_u16(), header(bad.headers(), "x-error-message")),
        (401, "Invalid credentials in Authorization header")
    );
}

#[tokio::test]
async fn a_gated_repository_is_readable_but_for_its_files() {
    let hub = FakeHub::with_sample_library().await;
    assert_eq!(json_of(get(&hub, "/api/models/tiny-emoji/gated").await).await["gated"], "manual");
    let path = "/tiny-emoji/gated/resolve/main/config.json";
    let refused = get(&hub, path).await;
    assert_eq!(refused.status(), 401);
    for name in recorded_header_names("headers-401-gated-anonymous.txt") {
        assert!(refused.headers().contains_key(&name) || OF_THE_WAY.contains(&name.as_str()), "{name}");
    }
    assert_eq!(header(refused.headers(), "x-error-code"), "GatedRepo");
    let words = String::from_utf8(recorded("body-401-gated-anonymous.txt").to_vec()).unwrap();
    let wanted = words.replace("meta-llama/Llama-3.1-8B-Instruct", "tiny-emoji/gated");
    assert_eq!(refused.text().await.unwrap(), wanted);
    let garbage = ask(&hub, Method::GET, path, Some("hf_bad")).await;
    assert_eq!(garbage.text().await.unwrap(), wanted, "a garbage token is answered as none is");
    let known = ask(&hub, Method::GET, path, Some(HF_TOKEN)).await;
    assert_eq!((known.status().as_u16(), header(known.headers(), "x-error-code")), (403, "GatedRepo"));
    hub.grant_access("tiny-emoji/gated");
    assert_eq!(ask(&hub, Method::GET, path, Some(HF_TOKEN)).await.status(), 307);
}

#[tokio::test]
async fn former_ids_lead_to_the_present_one() {
    let hub = FakeHub::with_sample_library().await;
    for (from, to) in [
        ("/api/models/emoji-diffusion", "/api/models/tiny-emoji/tiny-emoji"),
        ("/api/models/Tiny-Emoji/tiny-emoji?blobs=true", "/api/models/tiny-emoji/tiny-emoji?blobs=true"),
        ("/tiny-emoji/emoji-diffusion/resolve/main/a", "/tiny-emoji/tiny-emoji/resolve/main/a"),
    ] {
        let redirect = get(&hub, from).await;
        assert_eq!((redirect.status().as_u16(), header(redirect.headers(), "location")), (307, to));
        assert_eq!(redirect.text().await.unwrap(), format!("Temporary Redirect. Redirecting to {to}"));
    }
}

#[tokio::test]
async fn a_new_commit_moves_the_branch_and_keeps_the_old_one() {
    let hub = FakeHub::start().await;
    let state = |text: &'static [u8]| BTreeMap::from([("folder/a.bin".to_owned(), Bytes::from_static(text))]);
    let first = hub.publish_repository(FakeRepository::new("me/it", state(b"one")));
    let second = hub.publish_repository(FakeRepository::new("me/it", state(b"two")));
    let refs = json_of(get(&hub, "/api/models/me/it/refs").await).await;
    assert_eq!(refs["branches"][0]["targetCommit"], second);
    let commits = json_of(get(&hub, "/api/models/me/it/commits/main").await).await;
    assert_eq!((&commits[0]["id"], &commits[1]["id"]), (&json!(second), &json!(first)));
    for (revision, text) in [("main", "two"), (&first, "one"), (&first[..8], "one"), ("refs%2Fheads%2Fmain", "two")] {
        let redirect = get(&hub, &format!("/me/it/resolve/{revision}/folder/a.bin")).await;
        let body = get(&hub, header(redirect.headers(), "location")).await.text().await.unwrap();
        assert_eq!(body, text, "{revision}");
    }
    assert_eq!(get(&hub, "/api/models/me/it/tree/main/folder/a.bin").await.status(), 404, "a file is no folder");
    assert!(hub.remove_repository("me/it"));
}

#[tokio::test]
async fn path_infos_leave_out_what_is_missing() {
    let hub = FakeHub::with_sample_library().await;
    let url = format!("{}/api/models/tiny-emoji/tiny-emoji/paths-info/main", hub.hf_endpoint());
    let form = client().post(&url).header("content-type", "application/x-www-form-urlencoded");
    let infos =
        json_of(form.body("paths=vae&paths=none&paths=model_index.json&expand=false").send().await.unwrap()).await;
    assert_eq!(
        infos.as_array().unwrap().iter().map(|one| one["path"].clone()).collect::<Vec<_>>(),
        ["vae", "model_index.json"]
    );
    let body = client().post(&url).header("content-type", "application/json").body("{\"paths\":[\"vae/config.json\"]}");
    assert_eq!(json_of(body.send().await.unwrap()).await[0]["size"], 700);
}

#[tokio::test]
async fn an_author_is_an_organisation_or_a_registered_user() {
    let hub = FakeHub::with_sample_library().await;
    hub.add_hf_user("somebody");
    let status = async |path: &str| get(&hub, path).await.status().as_u16();
    assert_eq!(status("/api/organizations/tiny-emoji/overview").await, 200);
    assert_eq!(status("/api/users/tiny-emoji/overview").await, 404);
    assert_eq!(status("/api/users/somebody/overview").await, 200);
    assert_eq!(status("/api/organizations/somebody/overview").await, 404);
}

#[tokio::test]
async fn an_empty_budget_is_refused_until_the_window_ends() {
    let hub = FakeHub::start().await;
    hub.limit_rate(1, 1);
    assert_eq!(get(&hub, "/api/models").await.status(), 200);
    let refused = get(&hub, "/api/models").await;
    assert_eq!(refused.status(), 429);
    assert!(header(refused.headers(), "ratelimit").starts_with("\"api\";r=0;t="));
}

#[tokio::test]
async fn private_and_disabled_repositories_are_told_apart_by_who_asks() {
    let hub = FakeHub::start().await;
    let files = BTreeMap::from([("a.txt".to_owned(), Bytes::from_static(b"a"))]);
    let mut private = FakeRepository::new("me/private", files.clone());
    private.private = true;
    hub.publish_repository(private);
    let mut disabled = FakeRepository::new("me/disabled", files);
    disabled.disabled = true;
    hub.publish_repository(disabled);
    assert_eq!(get(&hub, "/api/models/me/private").await.status(), 401);
    assert_eq!(ask(&hub, Method::GET, "/api/models/me/private", Some(HF_TOKEN)).await.status(), 200);
    assert_eq!(json_of(get(&hub, "/api/models?author=me").await).await.as_array().unwrap().len(), 1);
    let info = json_of(get(&hub, "/api/models/me/disabled").await).await;
    assert_eq!(info["disabled"], true);
    let refused = get(&hub, "/me/disabled/resolve/main/a.txt").await;
    assert_eq!(
        (refused.status().as_u16(), refused.text().await.unwrap().as_str()),
        (403, "Access to this resource is disabled.")
    );
    let me = ask(&hub, Method::GET, "/api/whoami-v2", Some(HF_TOKEN)).await;
    assert_eq!(json_of(me).await["name"], "you");
    assert_eq!(get(&hub, "/api/whoami-v2").await.status(), 401);
}

#[tokio::test]
async fn json_has_a_weak_validator_that_counters_change() {
    let hub = FakeHub::with_sample_library().await;
    let list = "/api/models?author=tiny-emoji&sort=lastModified&full=true";
    let first = get(&hub, list).await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    // `W/"<length in hex>-<27 digits>"` is the form of every recorded one.
    assert!(etag.starts_with("W/\"") && etag.ends_with('"'), "{etag}");
    let digest = etag.split_once('-').unwrap().1;
    assert_eq!(digest.len(), "r7PCBmUJ9jp31RqAXVh6fIaaB9Y\"".len());
    let ask = async || {
        let url = format!("{}{list}", hub.hf_endpoint());
        client().get(url).header("if-none-match", &etag).send().await.unwrap()
    };
    let known = ask().await;
    assert_eq!((known.status().as_u16(), known.headers()["etag"].to_str().unwrap()), (304, etag.as_str()));
    assert!(known.headers().contains_key("ratelimit"), "a 304 is paid for, too");
    assert!(known.bytes().await.unwrap().is_empty());
    assert!(hub.count("tiny-emoji/tiny-emoji", 12, 3));
    let counted = json_of(ask().await).await;
    let entry = counted.as_array().unwrap().iter().find(|entry| entry["id"] == "tiny-emoji/tiny-emoji").unwrap();
    assert_eq!((&entry["downloads"], &entry["likes"]), (&json!(12), &json!(3)));
}

#[tokio::test]
async fn likes_are_listed_newest_first_with_their_kind() {
    let hub = FakeHub::start().await;
    hub.like("me", "model", "studio/one");
    hub.like("me", "space", "studio/show");
    hub.like("somebody", "model", "studio/two");
    let likes = json_of(get(&hub, "/api/users/me/likes").await).await;
    let repositories: Vec<Value> = likes.as_array().unwrap().iter().map(|like| like["repo"].clone()).collect();
    let wanted = [json!({"name": "studio/show", "type": "space"}), json!({"name": "studio/one", "type": "model"})];
    assert_eq!(repositories, wanted);
    assert_eq!(get(&hub, "/api/users/nobody/likes").await.status(), 404);
    hub.add_hf_user("nobody");
    assert_eq!(json_of(get(&hub, "/api/users/nobody/likes").await).await, json!([]));
}

#[tokio::test]
async fn an_access_check_refuses_as_a_file_does() {
    let hub = FakeHub::with_sample_library().await;
    let check = async |id: &str, token: Option<&str>| {
        let answer = ask(&hub, Method::GET, &format!("/api/models/{id}/auth-check"), token).await;
        (answer.status().as_u16(), header(answer.headers(), "x-error-code").to_owned())
    };
    assert_eq!(check("tiny-emoji/tiny-emoji", None).await, (200, String::new()));
    assert_eq!(check("tiny-emoji/gated", None).await, (401, "GatedRepo".to_owned()));
    assert_eq!(check("tiny-emoji/gated", Some(HF_TOKEN)).await, (403, "GatedRepo".to_owned()));
    hub.grant_access("tiny-emoji/gated");
    assert_eq!(check("tiny-emoji/gated", Some(HF_TOKEN)).await.0, 200);
    assert!(hub.edit_repository("tiny-emoji/gated", |about| about.gated = None));
    assert_eq!(check("tiny-emoji/gated", None).await.0, 200);
    assert_eq!(check("tiny-emoji/nothing", Some(HF_TOKEN)).await, (404, "RepoNotFound".to_owned()));
}

#[tokio::test]
async fn branches_stand_beside_the_main_line() {
    let hub = FakeHub::start().await;
    let state = |text: &'static [u8]| BTreeMap::from([("a.txt".to_owned(), Bytes::from_static(text))]);
    let main = hub.publish_repository(FakeRepository::new("me/it", state(b"main")));
    assert_eq!(hub.publish_branch("me/nothing", "dev", state(b"x")), None);
    let old = hub.publish_branch("me/it", "dev/one", state(b"old")).unwrap();
    let dev = hub.publish_branch("me/it", "dev/one", state(b"dev")).unwrap();
    assert_ne!(old, dev);
    let refs = json_of(get(&hub, "/api/models/me/it/refs").await).await;
    assert_eq!(refs["branches"][1], json!({"name": "dev/one", "ref": "refs/heads/dev/one", "targetCommit": dev}));
    let info = json_of(get(&hub, "/api/models/me/it/revision/dev%2Fone").await).await;
    assert_eq!(info["sha"], dev);
    assert_eq!(json_of(get(&hub, "/api/models/me/it").await).await["sha"], main);
    let commits = json_of(get(&hub, "/api/models/me/it/commits/dev%2Fone").await).await;
    assert_eq!((&commits[0]["id"], &commits[1]["id"]), (&json!(dev), &json!(main)));
    let redirect = get(&hub, &format!("/me/it/resolve/{dev}/a.txt")).await;
    let body = get(&hub, header(redirect.headers(), "location")).await.text().await.unwrap();
    assert_eq!(body, "dev");
}
