//! The queue of generations on the command line.

use super::Bench;
use super::fake::{GENERATION, SYNC_RUN};
use serde_json::json;

#[tokio::test]
async fn the_queue_is_shown_in_the_order_of_turns() {
    let bench = Bench::new().await;
    let shown = bench.run(&["jobs", "--queue"]).await;
    assert_eq!(shown.notes, "2 generations wait, and one is being painted.\n");
    let turns: Vec<_> = shown.out.lines().skip(1).map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(turns, ["first", "second"], "{}", shown.out);
    let objects = bench.json(&["jobs", "--queue"]).await.objects();
    assert_eq!((&objects[0]["event"], &objects[0]["queued"]), (&json!("queue"), &json!(2)));
    assert_eq!((&objects[1]["queue_position"], &objects[1]["client"]), (&json!(0), &json!("socket/paintbox")));
    let paused = bench.run(&["jobs", "--pause"]).await.notes;
    assert!(paused.contains("the queue is paused: `paintbox jobs --resume`"), "{paused}");
    assert_eq!(bench.json(&["jobs", "--resume"]).await.object()["paused"], false);
    assert_eq!(bench.run(&["jobs", "--pause", "--resume"]).await.code, 2);
}

#[tokio::test]
async fn a_filter_reaches_the_daemon_and_leaves_sync_runs_out() {
    let bench = Bench::new().await;
    let found = bench.json(&["jobs", "--filter", "state:failed", "--deleted"]).await.objects();
    assert!(found.iter().all(|job| job["kind"] == "generation"));
    let asked = bench.world().asked.join(" ");
    assert!(asked.contains(r#"filter: "state:failed""#) && asked.contains("show_deleted: true"), "{asked}");
}

#[tokio::test]
async fn a_generation_is_reordered_deleted_and_had_back() {
    let bench = Bench::new().await;
    let changed = bench.json(&["job", GENERATION, "--priority", "-5"]).await.object();
    assert_eq!(changed["priority"], -5);
    bench.json(&["job", GENERATION, "--first"]).await.object();
    bench.json(&["job", GENERATION, "--before", "other"]).await.object();
    let deleted = bench.run(&["job", GENERATION, "--delete"]).await.out;
    assert!(deleted.contains("gone for good"), "{deleted}");
    assert_eq!(bench.json(&["job", GENERATION, "--undelete"]).await.object()["delete_time"], json!(null));
    let asked = bench.world().asked.join(" ");
    for part in [r#"paths: ["priority"]"#, r#"before: """#, r#"before: "generations/other""#] {
        assert!(asked.contains(part), "{part} in {asked}");
    }
    for wrong in [&["job", GENERATION, "--first", "--delete"][..], &["job", SYNC_RUN, "--first"]] {
        assert_eq!(bench.run(wrong).await.code, 2, "{wrong:?}");
    }
}
