//! The interfaces of other programs through the real ones. What they take and refuse is shown in `daemon/rpc/src/compat`;
//! their own clients are asked in `tests/foreign`.

use crate::access::{BOTH, address, http};
use crate::{installation_with, ok};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn openais_and_a1111s_ways_lead_to_the_same_picture() {
    let (_hub, installed) = installation_with(BOTH).await;
    ok(&installed, &["pull", "civitai:64064"]);
    let token = ok(&installed, &["token", "create", "a front end", "--scope", "generate"]).remove(0);
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let web = address(&installed, "web");
    let headers = [("authorization", &*bearer), ("content-type", "application/json")];
    let post = async |path: &str, body: Value| {
        let (status, head, body) = http(&web, &format!("POST {path}"), &headers, &body.to_string()).await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map(str::to_owned);
        assert_eq!(length.and_then(|length| length.parse().ok()), Some(body.len()), "{head}");
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (status, models) = {
        let (status, _, body) = http(&web, "GET /v1/models", &headers[..1], "").await;
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let id = models["data"][0]["id"].as_str().unwrap().to_owned();
    assert!(status == 200 && id.starts_with("tiny-emoji.safetensors ["), "{models}");

    let asked = json!({"model": id, "prompt": "red heart", "seed": 7, "steps": 2, "sampler": "Euler", "size": "64x64"});
    let (status, openai) = post("/v1/images/generations", asked).await;
    assert_eq!((status, &openai["size"]), (200, &json!("64x64")), "{openai}");
    let asked = json!({
        "prompt": "red heart", "seed": 7, "steps": 2, "sampler_name": "Euler", "scheduler": "DDIM", "width": 64, "height": 64,
        "override_settings": {"sd_model_checkpoint": id},
    });
    let (status, a1111) = post("/sdapi/v1/txt2img", asked).await;
    assert_eq!(status, 200, "{a1111}");
    assert_eq!(openai["data"][0]["b64_json"], a1111["images"][0], "the model's own schedule is DDIM's");
    let info: Value = serde_json::from_str(a1111["info"].as_str().unwrap()).unwrap();
    assert_eq!((&info["seed"], &info["sd_model_name"]), (&json!(7), &json!("tiny-emoji")), "{info}");

    // Both are generations like any other.
    let jobs = ok(&installed, &["jobs"]);
    assert_eq!(
        jobs.iter().filter(|job| job["kind"] == "generation" && job["state"] == "succeeded").count(),
        2,
        "{jobs:#?}"
    );
    let (status, refused) = post("/v1/images/generations", json!({"model": id, "prompt": "x", "size": "63x64"})).await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("UNSUPPORTED_SETTING")), "{refused}");
    assert_eq!(http(&web, "GET /v1/models", &[], "").await.0, 401);
}
