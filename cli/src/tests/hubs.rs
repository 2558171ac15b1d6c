//! What `daemon status`, `doctor` and `config` say of the hubs.

use super::fake::time;
use super::{Bench, assert_fits, assert_has};
use paintbox_proto::v1;
use serde_json::json;

fn hubs() -> Vec<v1::HubStatus> {
    let down = v1::HubStatus {
        hub: "civitai".into(),
        endpoint: "https://civitai.com".into(),
        credential: "keychain".into(),
        state: v1::hub_status::State::Down.into(),
        retry_time: time(600),
        since_time: time(-7_200),
        problem: "503 Service \x1b[31mUnavailable".into(),
        requests: 1_234,
    };
    let limited = v1::HubStatus {
        hub: "hf".into(),
        endpoint: "https://huggingface.co".into(),
        credential: "huggingface".into(),
        state: v1::hub_status::State::Limited.into(),
        retry_time: time(120),
        ..Default::default()
    };
    vec![down, limited]
}

#[tokio::test]
async fn status_says_how_each_hub_is() {
    let mut bench = Bench::new().await;
    bench.world().hubs = hubs();
    let status = bench.json(&["daemon", "status"]).await.object();
    assert_has(&status["hubs"][0], &["hub", "endpoint", "credential", "state", "retry_time", "since_time", "problem"]);
    assert_eq!(
        (&status["hubs"][0]["retry_time"], &status["hubs"][0]["requests"], &status["hubs"][1]["problem"]),
        (&json!("2026-01-01T00:10:00Z"), &json!(1_234), &json!(null))
    );
    let text = bench.run(&["daemon", "status"]).await.out;
    for line in [
        "civitai    https://civitai.com, token in the keychain, 1,234 requests since the daemon started, down since \
         22:00 UTC (2 hours ago), next try in 10 minutes: 503 Service Unavailable",
        "hf         https://huggingface.co, token of `hf auth login`, asks for patience until 00:02 UTC (in 2 minutes)",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    bench.columns = Some(60);
    let text = bench.run(&["daemon", "status"]).await.out;
    // A socket's path stays whole, so that it can be copied.
    let rest: Vec<&str> = text.lines().filter(|line| !line.starts_with("socket ")).collect();
    assert_fits(&rest.join("\n"), 60);
    let config = bench.json(&["config"]).await.object();
    assert_eq!(config["hubs"][1]["state"], "limited");
}

#[tokio::test]
async fn status_says_what_waits_and_what_for() {
    let bench = Bench::new().await;
    bench.world().waits = vec![
        v1::Wait {
            chore: "downloads".into(),
            shortages: vec!["battery".into(), "metered_network".into()],
            since_time: time(-180),
        },
        // Of a daemon that knows more than this program.
        v1::Wait { chore: "dusting".into(), shortages: vec!["brooms".into()], since_time: time(-60) },
    ];
    let status = bench.json(&["daemon", "status"]).await.object();
    let first = json!({
        "chore": "downloads", "shortages": ["battery", "metered_network"], "since_time": "2025-12-31T23:57:00Z"
    });
    assert_eq!(status["waits"][0], first);
    let text = bench.run(&["daemon", "status"]).await.out;
    for line in [
        "waiting    downloads of follows, until it is plugged in and the network is not metered (since 3 minutes ago)",
        "waiting    dusting, until brooms (since 1 minute ago)",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn doctor_warns_of_a_hub_that_is_down_and_says_what_to_do() {
    let bench = Bench::new().await;
    bench.world().hubs = hubs();
    let ended = bench.json(&["doctor"]).await;
    assert_eq!(ended.code, 0, "a hub that is down is not this machine's fault");
    let checks = ended.objects();
    let of = |name: &str| checks.iter().find(|check| check["check"] == name).unwrap();
    assert_eq!((&of("civitai")["state"], &of("hugging face")["state"]), (&json!("warning"), &json!("ok")));
    let hint = of("civitai")["hint"].as_str().unwrap();
    assert!(hint.contains("asked again by itself in 10 minutes") && hint.contains("proxy"), "{hint}");
    assert!(of("civitai")["detail"].as_str().unwrap().contains("down since"));
    let text = bench.run(&["doctor"]).await.out;
    assert!(text.lines().any(|line| line.starts_with("warning  civitai")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("ok       hugging face")), "{text}");
}
