//! `kill -9` in the middle of a download: what was there is kept, nothing half-written is seen, sync resumes.

use crate::{assert_blobs_are_whole, blobs, installation, json, ok, store_folder};
use paintbox_testkit::{Fault, Server, wait_for};
use std::time::Duration;

const CHECKPOINT_BYTES: u64 = 16_138_214;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn resumes_from_the_partial_after_kill_nine() {
    let (hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"]);
    let slow = Fault::SlowBody { chunk: 64 * 1024, pause: Duration::from_millis(5) };
    hub.faults().always(Server::CivitaiStorage, "", slow);

    ok(&installed, &["sync"]);
    let partial_bytes = || {
        let folder = store_folder(&installed, "partials");
        let sizes = std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok());
        sizes.map(|metadata| metadata.len()).max().unwrap_or(0)
    };
    wait_for("a partial of some size", Duration::from_secs(30), async || partial_bytes() > 1_000_000).await;
    let pid = installed.daemon_pid().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());

    let kept = partial_bytes();
    assert!(kept > 0 && kept < CHECKPOINT_BYTES, "{kept}");
    assert_blobs_are_whole(&installed);
    assert!(blobs(&installed).iter().all(|path| !path.to_string_lossy().contains("74720ba1e684fb89")));

    hub.faults().clear();
    hub.clear_requests();
    // The daemon starts again by itself, and says that the checkpoint is not here.
    let found = ok(&installed, &["search", "emoji", "--kind", "checkpoint", "--hub", "civitai"]);
    assert_eq!(found[0]["downloaded"], false);
    let done = ok(&installed, &["sync", "--wait"]).pop().unwrap();
    assert_eq!(done["failed"], 0, "{done}");
    let resumed = hub
        .requests()
        .into_iter()
        .find_map(|request| request.header("range").map(str::to_owned))
        .expect("the download was resumed with a Range");
    let from: u64 = resumed.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
    // What the system had not yet written when the process died may be missing, never more.
    assert!(from > 0 && from <= kept, "resumed from {from}, had {kept}");
    assert!(done["bytes"].as_u64().unwrap() < CHECKPOINT_BYTES + 1_000_000, "{done}");
    assert_blobs_are_whole(&installed);
    let shown = &ok(&installed, &["show", found[0]["ref"].as_str().unwrap()])[0];
    assert_eq!(shown["versions"][0]["files"][0]["state"], "verified");
    let left: Vec<_> = std::fs::read_dir(store_folder(&installed, "partials")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_generation_that_was_running_is_said_to_be_interrupted() {
    let (_hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"]);
    ok(&installed, &["sync", "--wait"]);
    let model = ok(&installed, &["search", "emoji", "--kind", "checkpoint"])[0]["ref"].as_str().unwrap().to_owned();
    let mut running = installed
        .command("paintbox")
        .args(["generate", "tree", "--model", &model, "--steps", "1000", "--width", "64", "--height", "64"])
        .args(["-o", installed.scratch().join("tree.png").to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the generation to run", Duration::from_secs(30), async || {
        ok(&installed, &["jobs"]).iter().any(|job| job["state"] == "running")
    })
    .await;
    let pid = installed.daemon_pid().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    let status = tokio::task::block_in_place(|| running.wait().unwrap());
    assert!(!status.success());
    let jobs = ok(&installed, &["jobs"]);
    let job = jobs.iter().find(|job| job["state"] == "failed").unwrap_or_else(|| panic!("{jobs:#?}"));
    assert_eq!(job["error"]["reason"], "INTERRUPTED", "{job}");
    assert!(!installed.scratch().join("tree.png").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn cancels_within_a_step_and_stops_in_order() {
    let (_hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"]);
    ok(&installed, &["sync", "--wait"]);
    let model = ok(&installed, &["search", "emoji", "--kind", "checkpoint"])[0]["ref"].as_str().unwrap().to_owned();
    let mut running = installed
        .command("paintbox")
        .args(["--json", "generate", "tree", "--model", &model, "--steps", "1000", "--width", "64", "--height", "64"])
        .args(["-o", installed.scratch().join("tree.png").to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let job_name = || {
        let jobs = ok(&installed, &["jobs"]);
        jobs.iter().find(|job| job["state"] == "running").map(|job| job["name"].as_str().unwrap().to_owned())
    };
    wait_for("the generation to run", Duration::from_secs(30), async || job_name().is_some()).await;
    let name = job_name().unwrap();
    ok(&installed, &["job", &name, "--cancel"]);
    let status = tokio::task::block_in_place(|| running.wait().unwrap());
    assert!(!status.success());
    let (_, stopped) = json(&installed, &["daemon", "stop"]);
    assert!(stopped.status.success());
    assert!(!installed.socket().exists());
    // What was cancelled stays cancelled after a restart.
    let jobs = ok(&installed, &["jobs"]);
    assert!(jobs.iter().any(|job| job["name"] == name.as_str() && job["state"] == "cancelled"), "{jobs:#?}");
}
