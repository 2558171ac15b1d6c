//! The store of chunks, against Hugging Face's own client: what that one cannot read is no store.

use bytes::Bytes;
use paintbox_testkit::{FakeHub, FakeRepository, Server, XET_TOKEN};
use std::collections::BTreeMap;
use xet::xet_session::{XetConfig, XetFileInfo, XetSessionBuilder};

/// Three stored objects; half of it is compressible.
fn content() -> Bytes {
    (0..6_000_000_u32)
        .flat_map(|at| if at % 2 == 0 { [0] } else { [at.wrapping_mul(2_654_435_761).to_be_bytes()[0]] })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_reads_a_file_from_the_store() {
    let hub = FakeHub::start().await;
    let bytes = content();
    let files = BTreeMap::from([("a.safetensors".to_owned(), bytes.clone())]);
    hub.publish_repository(FakeRepository::new("me/it", files));
    hub.announce_xet(true);
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let hop = client.get(format!("{}/me/it/resolve/main/a.safetensors", hub.hf_endpoint())).send().await.unwrap();
    let hash = hop.headers()["x-xet-hash"].to_str().unwrap().to_owned();
    let link = hop.headers()["link"].to_str().unwrap();
    let token = link.split(['<', '>']).nth(1).unwrap();
    assert!(token.contains("/api/models/me/it/xet-read-token/"), "{link}");
    let access: serde_json::Value =
        serde_json::from_slice(&client.get(token).send().await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!((&access["casUrl"], &access["accessToken"]), (&hub.origin(Server::HfStore).into(), &XET_TOKEN.into()));

    // Nothing of the machine's: no configuration from the environment, no folder at home, no telemetry.
    let folder = tempfile::tempdir().unwrap();
    let mut config = XetConfig::default();
    config.telemetry.enabled = false;
    let session = XetSessionBuilder::new_with_config(config).with_cache_dir(folder.path()).build().unwrap();
    let group = session.new_download_stream_group().unwrap();
    let group = group
        .with_endpoint(hub.origin(Server::HfStore))
        .with_token_info(XET_TOKEN, access["exp"].as_u64().unwrap())
        .build()
        .await
        .unwrap();
    let file = XetFileInfo::new(hash, bytes.len() as u64);
    let mut stream = group.download_stream(file, None).await.unwrap();
    let mut found = Vec::new();
    while let Some(chunk) = stream.next().await.unwrap() {
        found.extend_from_slice(&chunk);
    }
    assert!(found == bytes, "{} of {} bytes, or other ones", found.len(), bytes.len());
    assert!(hub.requests_to(Server::HfStore).iter().any(|request| request.path().starts_with("/v1/reconstructions/")));
}

#[tokio::test]
async fn the_store_wants_its_own_token_and_the_signed_range() {
    let hub = FakeHub::start().await;
    let files = BTreeMap::from([("a.safetensors".to_owned(), content())]);
    hub.publish_repository(FakeRepository::new("me/it", files));
    hub.announce_xet(true);
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let hop = client.get(format!("{}/me/it/resolve/main/a.safetensors", hub.hf_endpoint())).send().await.unwrap();
    let hash = hop.headers()["x-xet-hash"].to_str().unwrap();
    let ask = async |token: &str| {
        let url = format!("{}/v1/reconstructions/{hash}", hub.origin(Server::HfStore));
        client.get(url).bearer_auth(token).send().await.unwrap()
    };
    assert_eq!(ask(paintbox_testkit::HF_TOKEN).await.status(), 401);
    let file: serde_json::Value = serde_json::from_slice(&ask(XET_TOKEN).await.bytes().await.unwrap()).unwrap();
    let fetch = &file["fetch_info"][file["terms"][0]["hash"].as_str().unwrap()][0];
    let get = async |range: String| {
        let request = client.get(fetch["url"].as_str().unwrap()).header("range", range);
        request.send().await.unwrap().status().as_u16()
    };
    let (start, end) = (fetch["url_range"]["start"].as_u64().unwrap(), fetch["url_range"]["end"].as_u64().unwrap());
    assert_eq!(get(format!("bytes={start}-{end}")).await, 206);
    assert_eq!(get(format!("bytes={start}-{}", end - 1)).await, 403);
    hub.expire_signed_urls();
    assert_eq!(get(format!("bytes={start}-{end}")).await, 403);
}
