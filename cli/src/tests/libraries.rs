//! `library`.

use super::doing::interrupted;
use super::fake::{Fate, time};
use super::looking::HOSTILE;
use super::{Bench, assert_fits};
use crate::render::sanitize::is_hazard;
use paintbox_proto::v1;
use serde_json::json;

fn library(number: u32, path: &str) -> v1::Library {
    v1::Library {
        name: format!("libraries/{number}"),
        path: path.into(),
        layout: "comfyui".into(),
        state: v1::library::State::Present.into(),
        paths: 430,
        files: 412,
        file_bytes: 1_240_000_000_000,
        read_files: 100,
        read_bytes: 310_000_000_000,
        listed_files: 97,
        unknown_files: 12,
        refused_files: 3,
        create_time: time(-86_400),
        scan_time: time(-60),
        away_since_time: None,
    }
}

fn libraries() -> Vec<v1::Library> {
    let away = v1::Library {
        state: v1::library::State::Away.into(),
        layout: "plain".into(),
        away_since_time: time(-3 * 86_400),
        read_files: 412,
        ..library(3, "/media/usb/models")
    };
    vec![library(1, "/mnt/models"), away]
}

fn far(recorded: u64) -> v1::ScanLibrariesResponse {
    v1::ScanLibrariesResponse { seen: 430, arrived: 12, known_again: 4, gone: 2, recorded, ..Default::default() }
}

#[tokio::test]
async fn the_list_says_how_far_each_is_known_and_which_is_away() {
    let mut bench = Bench::new().await;
    bench.world().libraries.known = libraries();
    let wanted = "\
NO  STATE            LAYOUT   FILES     SIZE   READ  ON A HUB  UNKNOWN  REFUSED  PATH
 1  present          comfyui    412  1.24 TB   25 %        97       12        3  /mnt/models
 3  away for 3 days  plain      412  1.24 TB  100 %        97       12        3  /media/usb/models
";
    for words in [&["library"][..], &["library", "list"]] {
        let ended = bench.run(words).await;
        assert_eq!((ended.out.as_str(), ended.code), (wanted, 0));
        assert_eq!(
            ended.notes,
            "What is known of a library that is away stays, and its files count again once it is back.\n"
        );
    }
    bench.columns = Some(84);
    let ended = bench.run(&["library"]).await;
    assert_fits(&ended.out, 84);
    assert!(ended.out.contains("\n  /media/usb/models\n"), "{}", ended.out);
    bench.world().libraries.known.clear();
    bench.columns = None;
    let none = bench.run(&["library"]).await;
    let wanted = "No folder is adopted yet. `paintbox library add DIR` adopts one where it is.\n";
    assert_eq!((none.out.as_str(), none.notes.as_str()), ("", wanted));
}

#[tokio::test]
async fn as_json_each_library_is_one_object() {
    let bench = Bench::new().await;
    bench.world().libraries.known = libraries();
    let found = bench.json(&["library", "list"]).await.objects();
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[1],
        json!({
            "name": "libraries/3", "path": "/media/usb/models", "layout": "plain", "state": "away", "paths": 430,
            "files": 412, "file_bytes": 1_240_000_000_000_u64, "read_files": 412, "read_bytes": 310_000_000_000_u64,
            "listed_files": 97, "unknown_files": 12, "refused_files": 3, "create_time": "2025-12-31T00:00:00Z",
            "scan_time": "2025-12-31T23:59:00Z", "away_since_time": "2025-12-29T00:00:00Z",
        })
    );
    assert_eq!(found[0]["away_since_time"], json!(null));
}

#[tokio::test]
async fn adding_tells_what_was_found_and_what_follows() {
    let bench = Bench::new().await;
    bench.world().libraries.far = vec![far(0), far(12)];
    bench.world().libraries.found = library(0, "");
    let ended = bench.run(&["library", "add", "/mnt/a", "/mnt/b"]).await;
    let one = "\
layout    comfyui
files     412 files under 430 names, 1.24 TB
known     397 by their headers, 12 unknown, 3 refused, because they are broken or hold code
on a hub  97
";
    let wanted = format!("library   1\npath      /mnt/a\n{one}library   2\npath      /mnt/b\n{one}");
    assert_eq!((ended.out.as_str(), ended.code), (wanted.as_str(), 0));
    assert!(ended.notes.contains("read in the background") && ended.notes.contains("search --downloaded"));
    let asked = bench.world().asked.clone();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert_eq!(
        asked[2..],
        [
            r#"CreateLibraryRequest { path: "/mnt/b", request_id: "" }"#.to_owned(),
            r#"ScanLibrariesRequest { names: ["libraries/2"] }"#.to_owned(),
        ]
    );
    let exists = bench.json(&["library", "add", "/mnt/a"]).await;
    let error = exists.error();
    assert_eq!((exists.code, &error["reason"]), (1, &json!("LIBRARY_EXISTS")));
    assert_eq!(error["hint"], "`paintbox library list` lists the libraries");
}

#[tokio::test]
async fn a_look_says_what_is_different() {
    let bench = Bench::new().await;
    bench.world().libraries.known = vec![library(1, "/mnt/models")];
    bench.world().libraries.far = vec![far(12)];
    let ended = bench.run(&["library", "scan", "/mnt/models/"]).await;
    assert_eq!(
        (ended.out.as_str(), ended.notes.as_str()),
        ("1  /mnt/models: 430 names seen, 12 came, 4 of them of files known before, 2 went\n", "")
    );
    bench.world().libraries.far.clear();
    bench.world().libraries.known = libraries();
    let ended = bench.run(&["library", "scan"]).await;
    assert_eq!(
        (ended.out.as_str(), ended.code),
        (
            "1  /mnt/models: 0 names seen, nothing is different\n3  /media/usb/models: not there now; what is known of \
             it stays\n",
            0
        )
    );
    assert_eq!(bench.world().asked.last().unwrap(), "ScanLibrariesRequest { names: [] }");
}

#[tokio::test]
async fn as_json_a_look_is_progress_and_then_one_end_for_each_library() {
    let bench = Bench::new().await;
    bench.world().libraries.known = libraries();
    bench.world().libraries.far = vec![far(5)];
    let ended = bench.json(&["library", "scan", "3", "libraries/1"]).await;
    let found = ended.objects();
    assert_eq!((found.len(), ended.code, ended.notes.as_str()), (4, 0, ""));
    assert_eq!(
        found[0],
        json!({
            "event": "progress", "name": "libraries/1", "seen": 430, "arrived": 12, "known_again": 4, "gone": 2,
            "recorded": 5,
        })
    );
    assert_eq!((&found[1]["event"], &found[1]["name"]), (&json!("done"), &json!("libraries/1")));
    assert_eq!((&found[3]["state"], &found[3]["gone"], &found[3]["files"]), (&json!("away"), &json!(2), &json!(412)));
    assert_eq!(bench.world().asked[0], r#"ScanLibrariesRequest { names: ["libraries/3", "libraries/1"] }"#);
}

#[tokio::test]
async fn libraries_are_named_by_number_or_path() {
    let bench = Bench::new().await;
    bench.world().libraries.known = libraries();
    let ended = bench.run(&["library", "remove", "/mnt/models"]).await;
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "Library 1 is forgotten. Its folder and the files in it stay as they are.\n")
    );
    let forgotten = bench.json(&["library", "remove", "3"]).await.object();
    assert_eq!(forgotten, json!({ "name": "libraries/3", "forgotten": true }));
    let gone = bench.json(&["library", "remove", "9"]).await;
    assert_eq!((gone.code, &gone.error()["reason"]), (1, &json!("LIBRARY_NOT_FOUND")));
    let unknown = bench.json(&["library", "scan", "/mnt/other"]).await;
    assert_eq!((unknown.code, &unknown.error()["reason"]), (2, &json!("INVALID_ARGUMENT")));
}

#[tokio::test]
async fn a_relative_folder_is_made_absolute_and_detours_are_followed() {
    let bench = Bench::new().await;
    std::fs::create_dir_all(bench.folder.path().join("real/models")).unwrap();
    std::os::unix::fs::symlink(bench.folder.path().join("real/models"), bench.folder.path().join("link")).unwrap();
    let here = std::env::current_dir().unwrap();
    let added = bench.json(&["library", "add", "some/models"]).await.object();
    assert_eq!(added["path"], here.join("some/models").to_str().unwrap());
    // `..` behind a link leads to where the link leads.
    let detour = bench.json(&["library", "add", &bench.file("link/../models")]).await.object();
    let real = bench.folder.path().join("real/models").canonicalize().unwrap();
    assert_eq!(detour["path"], real.to_str().unwrap());
    let nowhere = bench.json(&["library", "add", "/no/such/../folder"]).await;
    assert_eq!((nowhere.code, &nowhere.error()["reason"]), (1, &json!("LOCAL_IO_FAILED")));
}

#[tokio::test]
async fn leaving_says_that_the_look_goes_on() {
    let bench = Bench::new().await;
    bench.world().fate = Fate::Hangs;
    bench.world().libraries.far = vec![far(1)];
    let ended = interrupted(&bench, &["--json", "library", "add", "/mnt/models"]).await;
    let error = ended.error();
    assert_eq!((ended.code, &error["reason"]), (130, &json!("STOPPED_WAITING")));
    assert_eq!(error["message"], "stopped waiting; the daemon goes on looking through /mnt/models");
}

#[tokio::test]
async fn an_answer_cut_short_is_no_look() {
    let bench = Bench::new().await;
    bench.world().fate = Fate::BreaksOff;
    bench.world().libraries.known = libraries();
    for (far, words) in [(vec![far(1)], &["library", "scan"][..]), (vec![], &["library", "scan", "1"])] {
        bench.world().libraries.far = far;
        let ended = bench.json(words).await;
        assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("INTERNAL")), "{words:?}");
    }
}

#[tokio::test]
async fn what_a_library_is_called_does_not_steer_the_terminal() {
    let bench = Bench::new().await;
    let hostile = v1::Library { path: HOSTILE.into(), layout: HOSTILE.into(), state: 900, ..library(1, "") };
    bench.world().libraries.known = vec![hostile];
    for words in [&["library"][..], &["library", "scan"]] {
        let text = bench.run(words).await.out;
        assert!(text.contains("DreamShaper") && !text.chars().any(|c| c != '\n' && is_hazard(c)), "{text:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_never_reaches_the_daemon() {
    let bench = Bench::new().await;
    for words in
        [&["library", "add"][..], &["library", "add", ""], &["library", "remove"], &["library", "adopt", "/mnt"]]
    {
        let ended = bench.json(words).await;
        assert_eq!((ended.code, &ended.error()["reason"]), (2, &json!("INVALID_ARGUMENT")), "{words:?}");
    }
    assert!(bench.world().asked.is_empty());
}
