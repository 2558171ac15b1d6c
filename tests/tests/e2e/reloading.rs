//! The configuration read again by a daemon that runs.

use crate::{BY_HAND, error, grpc, installation, ok};
use paintbox_proto::v1;
use paintbox_proto::v1::generation_service_client::GenerationServiceClient;
use paintbox_testkit::wait_for;
use paintbox_tests::Installation;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const A_WHILE: Duration = Duration::from_secs(60);

async fn max_queued(installed: &Installation) -> u32 {
    let mut client = GenerationServiceClient::new(grpc::channel(installed).await);
    client.get_generation_queue(v1::GetGenerationQueueRequest {}).await.unwrap().into_inner().max_queued
}

fn pending(installed: &Installation) -> Value {
    ok(installed, &["daemon", "status"])[0]["pending_settings"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn settings_change_under_a_daemon_that_runs_and_mistakes_change_nothing() {
    let (_hub, installed) = installation().await;
    let configure = |more: &str| installed.configure(&format!("{BY_HAND}{more}")).unwrap();
    ok(&installed, &["daemon", "start"]);
    let process = installed.daemon_pid();
    let nothing = json!({"adopted": [], "pending": [], "overridden": []});
    assert_eq!(ok(&installed, &["daemon", "reload"]), [nothing]);

    let all = "[generation]\nmax_queued = 7\n[follow]\nbackfill = \"3\"\n[listen]\nweb = \"127.0.0.1:0\"\n";
    for (mistake, named) in [
        ("[generation]\nmax_queued = \"many\"\n", "max_queued"),
        ("[generaton]\nmax_queued = 7\n", "generaton"),
        ("[follow]\nbackfill = \"some\"\n", "`some` is not all"),
        ("[listen]\nweb = \"everywhere\"\n", "everywhere"),
        ("[notify]\nwebhook = \"nowhere\"\n", "webhook"),
    ] {
        // What is right in the same file is not taken either.
        configure(&format!("{mistake}[downloads]\nat_once = 1\n"));
        let refused = error(&installed, &["daemon", "reload"]);
        assert_eq!(refused["reason"], "CONFIG_INVALID", "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(named), "{refused}");
    }
    assert_eq!(max_queued(&installed).await, 1_000);

    configure(all);
    let reloaded =
        json!({"adopted": ["follow.backfill", "generation.max_queued"], "pending": ["listen.web"], "overridden": []});
    assert_eq!(ok(&installed, &["daemon", "reload"]), [reloaded]);
    assert_eq!(max_queued(&installed).await, 7);
    assert_eq!(pending(&installed), json!(["listen.web"]));
    let follow = ok(&installed, &["follow", "civitai:tiny_emoji"]).remove(0);
    assert_eq!(follow["policy"]["backfill"], "3", "{follow}");

    // By a signal, as supervisors send it.
    configure("[generation]\nmax_queued = 9\n");
    let signalled = || Command::new("kill").args(["-HUP", &process.unwrap().to_string()]).status().unwrap().success();
    assert!(signalled());
    wait_for("the file to be read again", A_WHILE, async || max_queued(&installed).await == 9).await;
    assert_eq!(pending(&installed), json!([]), "it is as it was at the start");

    // What was pending holds after the next start.
    configure(all);
    ok(&installed, &["daemon", "reload"]);
    assert_eq!(installed.daemon_pid(), process, "all of it was one daemon");
    ok(&installed, &["daemon", "restart"]);
    assert_eq!(pending(&installed), json!([]));
    let listeners = ok(&installed, &["daemon", "status"])[0]["listeners"].clone();
    assert!(listeners.as_array().unwrap().iter().any(|listener| listener["kind"] == "web"), "{listeners}");
}
