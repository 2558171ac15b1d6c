//! `rm`.

use super::fake::time;
use super::looking::HOSTILE;
use super::{Bench, assert_fits};
use crate::render::sanitize::is_hazard;
use paintbox_proto::v1;
use paintbox_proto::v1::removal::State;
use serde_json::json;

fn file(name: &str, size_bytes: u64, bytes: &str) -> v1::RemovedFile {
    v1::RemovedFile { version: "civitai:1@2".into(), file: name.into(), size_bytes, bytes: bytes.into() }
}

fn files() -> Vec<v1::RemovedFile> {
    vec![
        file("tiny.safetensors", 16_600_000, "trashed"),
        file("vae.safetensors", 335_000_000, "shared"),
        file("base.gguf", 2_000_000_000, "in_place"),
        file("old.safetensors", 100, "absent"),
    ]
}

fn removal(number: u32, state: State) -> v1::Removal {
    v1::Removal {
        name: format!("removals/{number}"),
        reference: format!("civitai:{number}"),
        state: state.into(),
        files: files(),
        file_count: 4,
        size_bytes: 16_600_000,
        create_time: time(-86_400),
        expire_time: if state == State::Trashed { time(29 * 86_400) } else { None },
        end_time: if state == State::Trashed { None } else { time(-7_200) },
    }
}

#[tokio::test]
async fn a_removal_says_what_goes_what_stays_and_how_to_undo_it() {
    let bench = Bench::new().await;
    bench.world().store.removed = files();
    let ended = bench.run(&["rm", "civitai:1"]).await;
    let wanted = "\
Removed civitai:1, 4 files:
  tiny.safetensors  civitai:1@2  16.6 MB  in the trash
  vae.safetensors   civitai:1@2   335 MB  its bytes stay, because another file has the same
  base.gguf         civitai:1@2  2.00 GB  its bytes stay, because they lie in another tool's folder
  old.safetensors   civitai:1@2    100 B  was not here; it is only not fetched any more
16.6 MB are freed when the trash is emptied of it, in 1 month (2026-01-31 00:00 UTC).
Until then, `paintbox rm --undo 3` undoes it.
";
    assert_eq!((ended.out.as_str(), ended.notes.as_str(), ended.code), (wanted, "", 0));
    assert_eq!(bench.world().asked, [r#"RemoveFilesRequest { reference: "civitai:1", validate_only: false }"#]);
}

#[tokio::test]
async fn files_that_the_daemon_only_counts_are_counted() {
    let bench = Bench::new().await;
    bench.world().store.removed = vec![file("tiny.safetensors", 16_600_000, "trashed")];
    bench.world().store.uncounted = 1_999;
    let out = bench.run(&["rm", "civitai:1"]).await.out;
    assert!(out.starts_with("Removed civitai:1, 2,000 files:\n") && out.contains("\n  and 1,999 more\n"), "{out}");
}

#[tokio::test]
async fn a_dry_run_only_tells() {
    let bench = Bench::new().await;
    bench.world().store.removed = vec![file("tiny.safetensors", 16_600_000, "trashed")];
    let ended = bench.run(&["rm", "civitai:1@2", "--dry-run"]).await;
    let wanted = "\
Removing civitai:1@2 would mean, for 1 file:
  tiny.safetensors  civitai:1@2  16.6 MB  to the trash
16.6 MB would be freed when the trash is emptied of it, in 1 month (2026-01-31 00:00 UTC).
";
    assert_eq!((ended.out.as_str(), ended.code), (wanted, 0));
    assert_eq!(ended.notes, "Nothing was done; without --dry-run it is.\n");
    assert!(bench.world().asked[0].contains("validate_only: true"));
    let object = bench.json(&["rm", "civitai:1@2", "--dry-run"]).await.object();
    assert_eq!((&object["name"], &object["state"], &object["create_time"]), (&json!(null), &json!(null), &json!(null)));
}

#[tokio::test]
async fn a_removal_that_frees_nothing_can_be_undone_too() {
    let bench = Bench::new().await;
    bench.world().store.removed = vec![file("old.safetensors", 100, "absent")];
    let out = bench.run(&["rm", "civitai:1"]).await.out;
    let wanted = "No bytes are freed by it.\n`paintbox rm --undo 3` undoes it; that can be done until the trash is \
                  emptied of it, in 1 month (2026-01-31 00:00 UTC).\n";
    assert!(out.ends_with(wanted), "{out}");
}

#[tokio::test]
async fn as_json_a_removal_is_one_object() {
    let bench = Bench::new().await;
    bench.world().store.removed = files();
    let object = bench.json(&["rm", "civitai:1"]).await.object();
    assert_eq!(
        object,
        json!({
            "name": "removals/3", "reference": "civitai:1", "state": "trashed",
            "files": [
                { "version": "civitai:1@2", "file": "tiny.safetensors", "size_bytes": 16_600_000, "bytes": "trashed" },
                { "version": "civitai:1@2", "file": "vae.safetensors", "size_bytes": 335_000_000, "bytes": "shared" },
                { "version": "civitai:1@2", "file": "base.gguf", "size_bytes": 2_000_000_000, "bytes": "in_place" },
                { "version": "civitai:1@2", "file": "old.safetensors", "size_bytes": 100, "bytes": "absent" },
            ],
            "file_count": 4, "size_bytes": 16_600_000, "create_time": "2026-01-01T00:00:00Z", "expire_time": "2026-01-31T00:00:00Z",
            "end_time": null,
        })
    );
}

#[tokio::test]
async fn a_removal_is_undone_by_its_number() {
    let bench = Bench::new().await;
    bench.world().store.removed = files();
    let ended = bench.run(&["rm", "--undo", "3"]).await;
    let wanted = "\
The removal of civitai:1, 4 files, is undone:
  tiny.safetensors  civitai:1@2  16.6 MB  out of the trash
  vae.safetensors   civitai:1@2   335 MB  known again; its bytes were never gone
  base.gguf         civitai:1@2  2.00 GB  known again; its bytes were never gone
  old.safetensors   civitai:1@2    100 B  not here, but may be fetched again
";
    assert_eq!((ended.out.as_str(), ended.notes.as_str(), ended.code), (wanted, "", 0));
    assert_eq!(bench.json(&["rm", "--undo", "removals/3"]).await.object()["state"], "restored");
    let asked = r#"UndoRemovalRequest { name: "removals/3" }"#;
    assert_eq!(bench.world().asked, [asked, asked]);
    for (number, reason, hint) in [
        ("2", "TRASH_EMPTIED", "`paintbox pull REF` fetches it again"),
        (
            "9",
            "REMOVAL_NOT_FOUND",
            "`paintbox rm --list` lists what can be undone, with `--history` also what has ended",
        ),
    ] {
        let ended = bench.json(&["rm", "--undo", number]).await;
        assert_eq!((ended.code, &ended.error()["reason"], &ended.error()["hint"]), (1, &json!(reason), &json!(hint)));
    }
}

#[tokio::test]
async fn the_list_shows_what_is_in_the_trash_and_on_request_what_was() {
    let bench = Bench::new().await;
    bench.world().store.removals = vec![
        removal(9, State::Trashed),
        removal(8, State::Restored),
        removal(7, State::Trashed),
        removal(6, State::Emptied),
        removal(5, State::Trashed),
    ];
    let ended = bench.run(&["rm", "--list"]).await;
    let wanted = "\
NO  WHAT       FILES     SIZE  REMOVED    STATE
 9  civitai:9      4  16.6 MB  1 day ago  in the trash, emptied in 1 month
 7  civitai:7      4  16.6 MB  1 day ago  in the trash, emptied in 1 month
 5  civitai:5      4  16.6 MB  1 day ago  in the trash, emptied in 1 month
";
    assert_eq!((ended.out.as_str(), ended.code), (wanted, 0));
    assert_eq!(ended.notes, "`paintbox rm --undo NO` takes what is in the trash out of it again.\n");
    let all = bench.run(&["rm", "--list", "--history"]).await.out;
    assert!(all.contains("\n 8  civitai:8      4  16.6 MB  1 day ago  undone 2 hours ago\n"), "{all}");
    assert!(all.contains("\n 6  civitai:6      4  16.6 MB  1 day ago  gone for good, 2 hours ago\n"), "{all}");
    let objects = bench.json(&["rm", "--list", "--history"]).await.objects();
    assert_eq!(objects.len(), 5);
    assert_eq!((&objects[3]["state"], &objects[3]["end_time"]), (&json!("emptied"), &json!("2025-12-31T22:00:00Z")));
}

#[tokio::test]
async fn an_empty_trash_is_told_in_words() {
    let bench = Bench::new().await;
    assert_eq!(bench.run(&["rm", "--list"]).await.notes, "The trash is empty.\n");
    assert_eq!(bench.run(&["rm", "--list", "--history"]).await.notes, "Nothing was removed yet.\n");
    assert_eq!(bench.json(&["rm", "--list"]).await.out, "");
    let ended = bench.json(&["rm", "civitai:1"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("FILE_NOT_LOCAL")));
}

#[tokio::test]
async fn one_thing_at_a_time_is_removed_undone_or_listed() {
    let bench = Bench::new().await;
    for words in [
        &["rm"][..],
        &["rm", "--dry-run"],
        &["rm", "civitai:1", "civitai:2"],
        &["rm", "civitai:1", "--undo", "3"],
        &["rm", "civitai:1", "--list"],
        &["rm", "--undo", "3", "--list"],
        &["rm", "--undo", "3", "--dry-run"],
        &["rm", "--list", "--dry-run"],
        &["rm", "--undo"],
        &["rm", "--undo", "civitai:1"],
        &["rm", "--history"],
        &["rm", "civitai:1", "--history"],
    ] {
        let ended = bench.json(words).await;
        assert_eq!((ended.code, &ended.error()["reason"]), (2, &json!("INVALID_ARGUMENT")), "{words:?}");
    }
    assert!(bench.world().asked.is_empty());
}

#[tokio::test]
async fn what_was_removed_fits_the_terminal_and_does_not_steer_it() {
    let mut bench = Bench::new().await;
    let hostile =
        v1::RemovedFile { version: HOSTILE.into(), file: HOSTILE.repeat(9), size_bytes: 1, bytes: HOSTILE.into() };
    bench.world().store.removed = [files(), vec![hostile.clone()]].concat();
    let listed = v1::Removal { reference: HOSTILE.repeat(9), files: vec![hostile], ..removal(1, State::Trashed) };
    bench.world().store.removals = vec![listed, v1::Removal { state: 900, ..removal(2, State::Trashed) }];
    for columns in [60, 80] {
        bench.columns = Some(columns);
        for words in [&["rm", "civitai:1"][..], &["rm", "--undo", "3"], &["rm", "--list", "--history"]] {
            let ended = bench.run(words).await;
            assert_eq!(ended.code, 0, "{ended:?}");
            assert_fits(&ended.out, columns);
            assert_fits(&ended.notes, columns);
            assert!(!ended.out.chars().any(|c| c != '\n' && is_hazard(c)), "{}", ended.out);
        }
    }
}
