//! `gc`.

use super::fake::failure;
use super::looking::HOSTILE;
use super::{Bench, assert_fits};
use crate::render::sanitize::is_hazard;
use paintbox_proto::v1;
use serde_json::json;

fn garbage(class: &str, path: &str, size_bytes: u64, detail: &str) -> v1::Garbage {
    v1::Garbage {
        class: class.into(),
        path: path.into(),
        size_bytes,
        volume: "volumes/home".into(),
        detail: detail.into(),
        ..Default::default()
    }
}

/// Six small pictures, and one of everything else; the bad file cannot be freed.
fn world() -> Vec<v1::Garbage> {
    let stuck = v1::Garbage {
        error: Some(failure("STORE_FAILED", "the disk is read-only")),
        ..garbage("quarantine", "/q/bad", 3_000_000, "another digest")
    };
    let mut found: Vec<v1::Garbage> =
        (1..=6).map(|number| garbage("picture", &format!("/p/{number}"), 1_000, "its model is gone")).collect();
    found.push(garbage("trash", "/t/5", 16_600_000, "removed yesterday"));
    found.push(garbage("partial", "/d/a.part", 400_000_000, "no download of it for 31 days"));
    found.push(garbage("expired_trash", "/t/1", 2_000_000_000, "removed 31 days ago"));
    found.push(stuck);
    found.push(garbage("unrecorded", "/s/ab", 5_000_000, "left by a run that was killed"));
    found
}

#[tokio::test]
async fn every_byte_is_explained_and_nothing_is_freed() {
    let bench = Bench::new().await;
    bench.world().store.garbage = world();
    let ended = bench.run(&["gc"]).await;
    let wanted = "\
expired_trash: 1 file, 2.00 GB (removed, and the time to undo it has passed)
  /t/1  2.00 GB  removed 31 days ago
partial: 1 file, 400 MB (the beginning of a file that no download goes on with)
  /d/a.part  400 MB  no download of it for 31 days
unrecorded: 1 file, 5.00 MB (whole, but no file of the catalogue has these bytes)
  /s/ab  5.00 MB  left by a run that was killed
quarantine: 1 file, 3.00 MB (not the bytes that they should have been, and set aside)
  /q/bad  3.00 MB  another digest
picture: 6 files, 6.00 kB (pictures that nothing shows any more)
trash: 1 file, 16.6 MB (removed; until it is freed, `paintbox rm --undo` can take it back)
  /t/5  16.6 MB  removed yesterday
2.42 GB could be freed: `paintbox gc --free expired_trash,partial,unrecorded,quarantine,picture,trash` does it.
What is freed of the trash cannot be undone any more.
";
    assert_eq!((ended.out.as_str(), ended.code), (wanted, 0));
    assert_eq!(ended.notes, "`paintbox gc --verbose` tells of every file.\n");
    assert_eq!(bench.world().asked, ["CollectGarbageRequest { free: [] }"]);
}

#[tokio::test]
async fn verbose_tells_of_every_file() {
    let bench = Bench::new().await;
    bench.world().store.garbage = world();
    for flag in ["-v", "--verbose"] {
        let ended = bench.run(&["gc", flag]).await;
        assert!(ended.out.contains("  /p/1  1.00 kB  its model is gone\n"), "{}", ended.out);
        assert_eq!(ended.notes, "", "{flag}");
    }
}

#[tokio::test]
async fn what_was_freed_and_what_failed_is_told() {
    let bench = Bench::new().await;
    bench.world().store.garbage = world();
    let ended = bench.run(&["gc", "--free", "expired_trash,quarantine", "--free", "picture"]).await;
    assert_eq!(ended.code, 1, "something that was named is still there");
    for text in [
        "expired_trash: 1 file, 2.00 GB, freed (removed, ",
        "  /q/bad  3.00 MB  could not be freed: the disk is read-only (look closer)\n",
        "picture: 6 files, 6.00 kB, freed (pictures ",
        "partial: 1 file, 400 MB (the beginning ",
    ] {
        assert!(ended.out.contains(text), "{text} in {}", ended.out);
    }
    let wanted = "\
Freed 2.00 GB.
3.00 MB could not be freed.
422 MB more could be freed: `paintbox gc --free partial,unrecorded,trash` does it.
What is freed of the trash cannot be undone any more.
";
    assert!(ended.out.ends_with(wanted), "{}", ended.out);
    assert_eq!(bench.world().asked, [r#"CollectGarbageRequest { free: ["expired_trash", "quarantine", "picture"] }"#]);
}

#[tokio::test]
async fn all_stands_for_every_class() {
    let bench = Bench::new().await;
    let mut found = world();
    found.retain(|garbage| garbage.class != "quarantine");
    bench.world().store.garbage = found;
    let ended = bench.run(&["gc", "--free", "all"]).await;
    assert!(ended.out.ends_with("\nFreed 2.42 GB.\n"), "{}", ended.out);
    assert_eq!(ended.code, 0);
    let wanted = r#"free: ["expired_trash", "partial", "unrecorded", "quarantine", "picture", "trash"]"#;
    assert!(bench.world().asked[0].contains(wanted), "{:?}", bench.world().asked);
}

#[tokio::test]
async fn a_failure_among_many_is_told_even_when_the_rest_is_not() {
    let bench = Bench::new().await;
    let mut found = world();
    found[2].error = Some(failure("STORE_FAILED", "the disk is read-only"));
    bench.world().store.garbage = found;
    let out = bench.run(&["gc", "--free", "picture"]).await.out;
    let wanted = "\
picture: 6 files, 6.00 kB, 5 of them freed (pictures that nothing shows any more)
  /p/3  1.00 kB  could not be freed: the disk is read-only (look closer)
trash: ";
    assert!(out.contains(wanted), "{out}");
}

#[tokio::test]
async fn as_json_each_file_is_one_object_and_the_sum_comes_last() {
    let bench = Bench::new().await;
    bench.world().store.garbage = world().split_off(6);
    let ended = bench.json(&["gc", "--free", "partial,quarantine"]).await;
    let objects = ended.objects();
    assert_eq!((ended.code, ended.notes.as_str(), objects.len()), (1, "", 6));
    assert_eq!(
        objects[1],
        json!({
            "event": "garbage", "class": "partial", "path": "/d/a.part", "size_bytes": 400_000_000,
            "volume": "volumes/home", "detail": "no download of it for 31 days", "freed": true, "error": null,
        })
    );
    assert_eq!((&objects[0]["freed"], &objects[3]["error"]["reason"]), (&json!(false), &json!("STORE_FAILED")));
    assert_eq!(objects[5], json!({ "event": "done", "bytes": 2_424_600_000_u64, "freed_bytes": 400_000_000 }));
}

#[tokio::test]
async fn where_nothing_is_to_be_freed_that_is_said() {
    let bench = Bench::new().await;
    let ended = bench.run(&["gc"]).await;
    assert_eq!(
        (ended.code, ended.out.as_str(), ended.notes.as_str()),
        (0, "", "Every byte is needed. There is nothing to free.\n")
    );
    let done = bench.json(&["gc", "--free", "all"]).await.object();
    assert_eq!(done, json!({ "event": "done", "bytes": 0, "freed_bytes": 0 }));
}

#[tokio::test]
async fn classes_that_are_none_are_refused() {
    let bench = Bench::new().await;
    for words in [&["gc", "--free"][..], &["gc", "--free", "everything"], &["gc", "--free", "trash,"], &["gc", "trash"]]
    {
        let ended = bench.json(words).await;
        assert_eq!((ended.code, &ended.error()["reason"]), (2, &json!("INVALID_ARGUMENT")), "{words:?}");
    }
    assert!(bench.world().asked.is_empty());
}

#[tokio::test]
async fn a_class_of_a_newer_daemon_is_shown_and_steers_nothing() {
    let mut bench = Bench::new().await;
    let found = garbage(HOSTILE, "/x/1", 7, &format!("{HOSTILE} {}", "many words ".repeat(20)));
    bench.world().store.garbage = [world(), vec![found]].concat();
    bench.columns = Some(80);
    let ended = bench.run(&["gc"]).await;
    assert!(ended.out.contains("DreamShaper: 1 file, 7 B\n"), "{}", ended.out);
    assert!(!ended.out.chars().any(|c| c != '\n' && is_hazard(c)), "{}", ended.out);
    assert_fits(&ended.out, 80);
}
