//! `downloads`.

use super::{Bench, assert_has};
use serde_json::json;

#[tokio::test]
async fn the_list_shows_what_is_to_come_in_a_table_and_says_that_all_is_paused() {
    let bench = Bench::new().await;
    let ended = bench.run(&["downloads"]).await;
    let wanted = "\
NO  STATE                                            SIZE  FILE                OF
 4  transferring, 25 %                            6.46 GB  file-4.safetensors  Ink wash
 5  queued                                        6.46 GB  file-5.safetensors  Ink wash
 6  queued, goes on in 1 hour                     6.46 GB  file-6.safetensors  Ink wash
 9  failed (HUB_UNREACHABLE), again in 4 minutes  6.46 GB  file-9.safetensors  Ink wash
 7  paused                                        6.46 GB  file-7.safetensors  Ink wash
";
    assert_eq!((ended.out.as_str(), ended.code), (wanted, 0));
    assert_eq!(ended.notes, "All downloads are paused; `paintbox downloads resume --all` lets them go on.\n");
    bench.run(&["downloads", "--filter", "state:failed"]).await;
    assert!(bench.world().asked.last().unwrap().contains("filter: \"state:failed\""), "{:?}", bench.world().asked);
    let history = bench.run(&["downloads", "--history"]).await.out;
    assert!(history.contains("3  done 2 hours ago  6.46 GB  file-3.safetensors"), "{history}");
}

#[tokio::test]
async fn as_json_each_download_is_one_object() {
    let bench = Bench::new().await;
    let found = bench.json(&["downloads", "--limit", "0"]).await.objects();
    assert_eq!(found.len(), 5);
    assert_has(&found[0], &["name", "version", "model", "file", "state", "bytes_done", "size_bytes", "priority"]);
    assert_eq!((&found[0]["bytes_done"], &found[0]["error"]), (&json!(1_615_000_000), &json!(null)));
    assert_eq!((&found[3]["error"]["reason"], &found[3]["failures"]), (&json!("HUB_UNREACHABLE"), &json!(2)));
    assert!(found[3]["due_time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(bench.json(&["downloads", "--limit", "2"]).await.objects().len(), 2);
}

#[tokio::test]
async fn downloads_are_steered_by_number_or_all_together() {
    let bench = Bench::new().await;
    assert_eq!(bench.run(&["downloads", "pause", "4"]).await.out, "4 file-4.safetensors: paused\n");
    assert_eq!(bench.json(&["downloads", "cancel", "downloads/4"]).await.object()["state"], "cancelled");
    bench.run(&["downloads", "first", "4", "5"]).await;
    bench.run(&["downloads", "pause", "--all"]).await;
    bench.run(&["downloads", "resume", "--all"]).await;
    bench.run(&["downloads", "resume", "4"]).await;
    let asked = bench.world().asked.join("\n");
    let wanted = [
        r#"PauseDownloadRequest { name: "downloads/4" }"#,
        r#"CancelDownloadRequest { name: "downloads/4" }"#,
        r#"PutDownloadFirstRequest { name: "downloads/5" }"#,
        r#"PutDownloadFirstRequest { name: "downloads/4" }"#,
        "PauseDownloadsRequest",
        "ResumeDownloadsRequest",
        r#"ResumeDownloadRequest { name: "downloads/4" }"#,
    ];
    assert_eq!(asked, wanted.join("\n"));

    let missing = bench.json(&["downloads", "pause", "99"]).await;
    assert_eq!((missing.code, &missing.error()["reason"]), (1, &json!("JOB_NOT_FOUND")));
    for words in [&["downloads", "pause"][..], &["downloads", "pause", "4", "--all"], &["downloads", "first"]] {
        assert_eq!(bench.run(words).await.code, 2, "{words:?}");
    }
}
