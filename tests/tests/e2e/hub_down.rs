//! A hub that is down is told of, left alone, and asked again when its time has come; the other hub goes on.

use crate::{error, installation, json, ok};
use jiff::Timestamp;
use paintbox_testkit::{Fault, Server, wait_for};
use paintbox_tests::Installation;
use serde_json::Value;
use std::time::Duration;

fn hub_status(installed: &Installation, hub: &str) -> Value {
    let status = ok(installed, &["daemon", "status"]).remove(0);
    let hubs = status["hubs"].as_array().unwrap();
    hubs.iter().find(|status| status["hub"] == hub).unwrap_or_else(|| panic!("{hubs:#?}")).clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_hub_that_hangs_up_is_down_until_it_answers_again() {
    let (hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji"]);
    let healthy = hub_status(&installed, "civitai");
    assert_eq!((&healthy["state"], healthy["problem"].is_null()), (&"ok".into(), true), "{healthy}");

    hub.faults().always(Server::CivitaiSite, "", Fault::HangUp);
    // Each of these is tried several times before it fails, and so many failures in a row close the gate.
    wait_for("the hub to be called down", Duration::from_secs(120), async || {
        let failed = error(&installed, &["pull", "civitai:64064"]);
        assert!(["HUB_UNREACHABLE", "HUB_DOWN"].contains(&failed["reason"].as_str().unwrap()), "{failed}");
        hub_status(&installed, "civitai")["state"] == "down"
    })
    .await;
    let down = hub_status(&installed, "civitai");
    let time = |key: &str| down[key].as_str().unwrap_or_else(|| panic!("{key}: {down}")).parse::<Timestamp>().unwrap();
    assert!(time("since_time") < time("retry_time") && !down["problem"].as_str().unwrap().is_empty(), "{down}");
    assert_eq!(hub_status(&installed, "hf")["state"], "ok");

    // It is left in peace, what was known stays, and the other hub is asked as ever.
    hub.clear_requests();
    let (events, output) = json(&installed, &["sync", "--wait"]);
    assert_eq!(output.status.code(), Some(1));
    let failed = events.iter().find(|event| event["event"] == "failed").unwrap_or_else(|| panic!("{events:#?}"));
    assert_eq!(failed["error"]["reason"], "HUB_DOWN", "{failed}");
    assert!(hub.requests_to(Server::CivitaiSite).is_empty());
    let follow = ok(&installed, &["follows"]).remove(0);
    assert_eq!((&follow["state"], &follow["error"]["reason"]), (&"waiting".into(), &"HUB_DOWN".into()), "{follow}");
    assert_eq!(ok(&installed, &["show", "civitai:64064"])[0]["name"], "Tiny Emoji");
    ok(&installed, &["follow", "hf:tiny-emoji"]);

    hub.faults().clear();
    let retry = time("retry_time");
    wait_for("the time at which it is asked again", Duration::from_secs(70), async || Timestamp::now() > retry).await;
    let done = ok(&installed, &["sync", "--wait"]).pop().unwrap();
    assert_eq!(done["failed"], 0, "{done}");
    let back = hub_status(&installed, "civitai");
    assert_eq!((&back["state"], back["retry_time"].is_null()), (&"ok".into(), true), "{back}");
    assert_eq!(ok(&installed, &["follows", "civitai:tiny_emoji"])[0]["state"], "active");
}
