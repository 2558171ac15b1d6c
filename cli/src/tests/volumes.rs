//! `volumes`.

use super::fake::time;
use super::looking::HOSTILE;
use super::{Bench, assert_fits, assert_has};
use crate::render::sanitize::is_hazard;
use paintbox_proto::v1;
use serde_json::json;

fn volume(label: &str, path: &str) -> v1::Volume {
    v1::Volume {
        name: format!("volumes/{label}"),
        path: path.into(),
        state: v1::volume::State::Present.into(),
        free_bytes: Some(500_000_000_000),
        create_time: time(-86_400),
        ..Default::default()
    }
}

fn volumes() -> Vec<v1::Volume> {
    vec![
        v1::Volume { everything_else: true, files: 3, file_bytes: 16_600_000, ..volume("home", "/home/painter/store") },
        v1::Volume {
            kinds: vec!["lora".into(), "vae".into()],
            keep_free_bytes: Some(50_000_000_000),
            files: 1_412,
            file_bytes: 80_000_000_000,
            ..volume("fast", "/mnt/fast")
        },
        v1::Volume {
            state: v1::volume::State::Away.into(),
            free_bytes: None,
            away_since_time: time(-3 * 86_400),
            ..volume("usb", "/media/usb")
        },
    ]
}

#[tokio::test]
async fn the_list_says_what_goes_where_and_which_volume_is_away() {
    let bench = Bench::new().await;
    bench.world().store.volumes = volumes();
    let ended = bench.run(&["volumes"]).await;
    let wanted = "\
LABEL  STATE            TAKES            FILES     HELD    FREE  KEPT FREE  PATH
home   present          everything else      3  16.6 MB  500 GB          -  /home/painter/store
fast   present          lora, vae        1,412  80.0 GB  500 GB    50.0 GB  /mnt/fast
usb    away for 3 days  nothing              0      0 B       -          -  /media/usb
";
    assert_eq!((ended.out.as_str(), ended.code), (wanted, 0));
    assert_eq!(
        ended.notes,
        "What lies on a volume that is away waits for it. `paintbox volumes set LABEL --path DIR` says where it is by \
         now.\n"
    );
    bench.world().store.volumes.pop();
    assert_eq!(bench.run(&["volumes"]).await.notes, "");
}

#[tokio::test]
async fn a_narrow_terminal_shows_paths_below_and_nothing_steers_it() {
    let mut bench = Bench::new().await;
    let mut hostile = volumes();
    hostile[1].path = format!("/mnt/{HOSTILE}");
    hostile[2].state = 900;
    bench.world().store.volumes = hostile;
    bench.columns = Some(80);
    let ended = bench.run(&["volumes"]).await;
    assert_fits(&ended.out, 80);
    assert_fits(&ended.notes, 80);
    assert!(ended.out.contains("\n  /home/painter/store\n"), "{}", ended.out);
    assert!(!ended.out.chars().any(|c| c != '\n' && is_hazard(c)), "{}", ended.out);
}

#[tokio::test]
async fn as_json_each_volume_is_one_object() {
    let bench = Bench::new().await;
    bench.world().store.volumes = volumes();
    let found = bench.json(&["volumes"]).await.objects();
    assert_eq!(found.len(), 3);
    assert_eq!(
        found[1],
        json!({
            "name": "volumes/fast", "path": "/mnt/fast", "state": "present", "kinds": ["lora", "vae"],
            "everything_else": false, "keep_free_bytes": 50_000_000_000_u64, "free_bytes": 500_000_000_000_u64,
            "files": 1412, "file_bytes": 80_000_000_000_u64, "away_since_time": null,
            "create_time": "2025-12-31T00:00:00Z",
        })
    );
    assert_eq!(
        (&found[2]["state"], &found[2]["free_bytes"], &found[2]["away_since_time"]),
        (&json!("away"), &json!(null), &json!("2025-12-29T00:00:00Z"))
    );
}

#[tokio::test]
async fn a_folder_is_taken_as_it_was_written() {
    let bench = Bench::new().await;
    let words =
        ["volumes", "add", "fast", "/mnt/fast", "--kinds", "lora,vae", "--everything-else", "--keep-free", "50GB"];
    let ended = bench.run(&words).await;
    let wanted = "\
volume     fast
path       /mnt/fast
state      present
takes      lora, vae, everything else
holds      12 files, 80.0 GB
free       1.20 TB
kept free  50.0 GB
";
    assert_eq!((ended.out.as_str(), ended.notes.as_str(), ended.code), (wanted, "", 0));
    assert_eq!(
        bench.world().asked,
        [
            r#"CreateVolumeRequest { label: "fast", path: "/mnt/fast", kinds: ["lora", "vae"], everything_else: true, keep_free_bytes: Some(50000000000), request_id: "" }"#
        ]
    );
    let added = bench.json(&["volumes", "add", "slow", "/mnt/slow"]).await.object();
    assert_has(&added, &["name", "path", "state", "kinds", "files"]);
    assert_eq!((&added["kinds"], &added["keep_free_bytes"]), (&json!([]), &json!(null)));
}

#[tokio::test]
async fn a_relative_folder_is_made_absolute() {
    let bench = Bench::new().await;
    let here = std::env::current_dir().unwrap();
    let added = bench.json(&["volumes", "add", "fast", "some/models"]).await.object();
    assert_eq!(added["path"], here.join("some/models").to_str().unwrap());
    let set = bench.json(&["volumes", "set", "fast", "--path", "./models"]).await.object();
    assert_eq!(set["path"], here.join("models").to_str().unwrap());
}

#[tokio::test]
async fn only_what_was_given_is_changed() {
    let bench = Bench::new().await;
    for (words, fields, change) in [
        (vec!["--path", "/mnt/b"], r#"["path"]"#, r#"path: "/mnt/b""#),
        (vec!["--kinds", "lora", "--kinds", "vae"], r#"["kinds"]"#, r#"kinds: ["lora", "vae"]"#),
        (vec!["--kinds", "none"], r#"["kinds"]"#, "kinds: []"),
        (vec!["--everything-else"], r#"["everything_else"]"#, "everything_else: true"),
        (vec!["--everything-else=false"], r#"["everything_else"]"#, "everything_else: false"),
        (vec!["--keep-free", "1.5GiB"], r#"["keep_free_bytes"]"#, "keep_free_bytes: Some(1610612736)"),
        (vec!["--keep-free", "0"], r#"["keep_free_bytes"]"#, "keep_free_bytes: Some(0)"),
        (vec!["--keep-free", "default"], r#"["keep_free_bytes"]"#, "keep_free_bytes: None"),
        (
            vec!["--path", "/b", "--kinds", "vae", "--everything-else=true", "--keep-free", "1GB"],
            r#"["path", "kinds", "everything_else", "keep_free_bytes"]"#,
            "everything_else: true, keep_free_bytes: Some(1000000000)",
        ),
    ] {
        let ended = bench.json(&[&["volumes", "set", "volumes/fast"], &words[..]].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let asked = bench.world().asked.pop().unwrap();
        assert!(asked.contains(r#"name: "volumes/fast""#) && asked.contains(change), "{words:?}: {asked}");
        assert!(asked.contains(&format!("FieldMask {{ paths: {fields} }}")), "{words:?}: {asked}");
    }
}

#[tokio::test]
async fn forgetting_a_volume_says_that_its_files_stay() {
    let bench = Bench::new().await;
    let ended = bench.run(&["volumes", "remove", "fast"]).await;
    assert_eq!(
        (ended.code, ended.notes.as_str()),
        (
            1,
            "error: 12 files lie on the volume fast\nhint: `paintbox volumes remove LABEL --force` forgets it all the \
             same; what lies nowhere else is absent then\n"
        )
    );
    let ended = bench.run(&["volumes", "remove", "fast", "--force"]).await;
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "fast is no volume any more. Its folder and the files in it stay as they are.\n")
    );
    let forgotten = bench.json(&["volumes", "remove", "volumes/fast", "--force"]).await.object();
    assert_eq!(forgotten, json!({ "name": "volumes/fast", "forgotten": true }));
    assert_eq!(bench.world().asked.last().unwrap(), r#"DeleteVolumeRequest { name: "volumes/fast", force: true }"#);
}

#[tokio::test]
async fn what_the_daemon_refuses_comes_with_what_can_be_done() {
    let bench = Bench::new().await;
    let exists = bench.json(&["volumes", "add", "home", "/mnt/home"]).await;
    assert_eq!((exists.code, &exists.error()["reason"]), (1, &json!("VOLUME_EXISTS")));
    let missing = bench.json(&["volumes", "set", "nowhere", "--everything-else"]).await;
    assert_eq!((missing.code, &missing.error()["reason"]), (1, &json!("VOLUME_NOT_FOUND")));
    assert_eq!(missing.error()["hint"], "`paintbox volumes` lists the volumes");
}

#[tokio::test]
async fn what_cannot_be_read_never_reaches_the_daemon() {
    let bench = Bench::new().await;
    for words in [
        &["volumes", "add"][..],
        &["volumes", "add", "fast"],
        &["volumes", "add", "fast", ""],
        &["volumes", "add", "volumes/", "/mnt"],
        &["volumes", "add", "fast", "/mnt", "--kinds", "pictures"],
        &["volumes", "add", "fast", "/mnt", "--kinds", "none"],
        &["volumes", "add", "fast", "/mnt", "--keep-free", "50"],
        &["volumes", "set", "fast"],
        &["volumes", "set", "--path", "/mnt"],
        &["volumes", "set", "fast", "--kinds", "lora,none"],
        &["volumes", "set", "fast", "--kinds", "loras"],
        &["volumes", "set", "fast", "--everything-else=maybe"],
        &["volumes", "set", "fast", "--keep-free", "much"],
        &["volumes", "remove"],
        &["volumes", "rename", "fast"],
    ] {
        let ended = bench.json(words).await;
        assert_eq!((ended.code, &ended.error()["reason"]), (2, &json!("INVALID_ARGUMENT")), "{words:?}");
    }
    assert!(bench.world().asked.is_empty());
}
