//! `catalogue`, and what `doctor` and `daemon status` say of the file.

use super::fake::{Fake, time};
use super::{Bench, assert_fits, assert_has};
use paintbox_proto::v1;
use serde_json::json;
use std::sync::Arc;

fn backup(name: &str, kind: &str, seconds_from_now: i64) -> v1::Backup {
    v1::Backup {
        name: name.into(),
        path: format!("/state/backups/{name}"),
        kind: kind.into(),
        create_time: time(seconds_from_now),
        size_bytes: 1_200_000,
    }
}

fn damaged() -> v1::CatalogueCheck {
    v1::CatalogueCheck {
        depth: "quick".into(),
        check_time: time(-7200),
        sound: false,
        problems: vec!["Tree 5 page\u{1b}[31m 9: never used".into(), "another".into()],
        problem_count: 2,
        path: "/state/catalogue.db".into(),
        newest_backup: "catalogue-daily-1.db".into(),
    }
}

/// A home in which another daemon starts when the first has made way.
async fn with_the_next_daemon() -> Bench {
    let mut bench = Bench::new().await;
    bench.script("touch \"$PAINTBOX_HOME/started\"; sleep 30");
    bench
}

/// Answers at the socket once somebody started the next daemon.
fn next_daemon(bench: &Bench) -> tokio::task::JoinHandle<()> {
    let (started, socket, world) =
        (bench.folder.path().join("started"), bench.paths().socket(), Arc::clone(&bench.world));
    tokio::spawn(async move {
        while !started.exists() {
            tokio::task::yield_now().await;
        }
        drop(Fake::listen(&socket, world));
    })
}

#[tokio::test]
async fn backups_are_listed_and_made() {
    let bench = Bench::new().await;
    assert!(bench.run(&["catalogue", "backups"]).await.notes.contains("no backup of the catalogue yet"));
    let refused = bench.json(&["catalogue", "backup"]).await;
    assert_eq!((refused.code, &refused.error()["reason"]), (1, &json!("DISK_FULL")));
    bench.world().backups = vec![
        backup("catalogue-daily-20251231T000000Z.db", "daily", -86_400),
        backup("catalogue-before-20261127000003-20251201T000000Z.db", "before_migration", -31 * 86_400),
    ];
    let listed = bench.json(&["catalogue", "backups"]).await.objects();
    assert_has(&listed[0], &["name", "path", "kind", "create_time", "size_bytes"]);
    assert_eq!((listed.len(), &listed[1]["kind"]), (2, &json!("before_migration")));
    let text = bench.run(&["catalogue", "backups"]).await;
    assert!(text.out.contains("before migration") && text.out.contains("1.20 MB"), "{text:?}");
    assert_eq!(text.notes, "They lie in /state/backups.\n");
    assert_eq!(bench.json(&["catalogue", "backup"]).await.object()["size_bytes"], 1_200_000);
}

#[tokio::test]
async fn a_check_says_what_is_wrong_and_what_puts_it_right() {
    let bench = Bench::new().await;
    bench.world().check = v1::CatalogueCheck { sound: true, path: "/state/catalogue.db".into(), ..Default::default() };
    assert_eq!(bench.run(&["catalogue", "check", "--full"]).await.out, "/state/catalogue.db is sound.\n");
    assert_eq!(bench.world().asked, ["CheckCatalogueRequest { full: true }"]);
    bench.world().check = damaged();
    let found = bench.json(&["catalogue", "check"]).await;
    assert_eq!((found.code, &found.objects()[0]["problem_count"]), (1, &json!(2)));
    let error = found.error();
    assert_eq!(error["reason"], "CATALOGUE_FAILED");
    assert!(error["hint"].as_str().unwrap().contains("paintbox catalogue restore catalogue-daily-1.db"), "{error}");
    assert_eq!(error["metadata"]["path"], "/state/catalogue.db");
    let text = bench.run(&["catalogue", "check"]).await;
    assert!(!text.out.contains('\u{1b}') && text.out.contains("never used"), "{text:?}");
}

#[tokio::test]
async fn doctor_and_status_tell_how_the_file_is() {
    let mut bench = Bench::new().await;
    let health = v1::CatalogueHealth {
        state: v1::catalogue_health::State::Damaged.into(),
        check: Some(damaged()),
        ended_in_order: false,
        backups: 3,
        backup_bytes: 3_600_000,
        newest_backup_time: time(-3600),
        backup_problem: "no room".into(),
        backup_problem_hint: "make room".into(),
    };
    bench.world().health = Some(health.clone());
    let checks = bench.json(&["doctor"]).await;
    assert_eq!(checks.code, 1);
    let of = |name: &str| checks.objects().into_iter().find(|check| check["check"] == name).unwrap();
    assert_eq!((&of("catalogue")["state"], &of("backups")["state"]), (&json!("failed"), &json!("warning")));
    assert!(of("catalogue")["hint"].as_str().unwrap().contains("nothing was deleted"));
    assert_eq!(of("backups")["hint"], "make room");
    let status = bench.json(&["daemon", "status"]).await.object();
    assert_eq!(
        (&status["catalogue"]["state"], &status["catalogue"]["backup_bytes"]),
        (&json!("damaged"), &json!(3_600_000))
    );
    bench.columns = Some(60);
    let text = bench.run(&["daemon", "status"]).await.out;
    assert!(text.contains("DAMAGED") && text.contains("3 of the catalogue, 3.60 MB, the newest 1 hour"), "{text}");
    assert_fits(&text, 60);
    let sound = v1::CatalogueCheck { sound: true, problems: Vec::new(), ..damaged() };
    bench.world().health = Some(v1::CatalogueHealth { check: Some(sound), backup_problem: String::new(), ..health });
    bench.columns = None;
    let text = bench.run(&["doctor"]).await;
    assert_eq!(text.code, 0);
    assert!(text.out.contains("found sound 2 hours ago; the daemon before"), "{text:?}");
}

const EXPORT: &[&[u8]] = &[b"{\"format\":\"paintbox-cat", b"alogue\"}\n{\"table\":\"tag\"}\n{\"end\":true}", b"\n"];

#[tokio::test]
async fn an_export_goes_to_a_file_whole_or_to_standard_output_as_it_is() {
    let bench = Bench::new().await;
    bench.world().exported = EXPORT.to_vec();
    let text = String::from_utf8(EXPORT.concat()).unwrap();
    for words in [&["catalogue", "export"][..], &["catalogue", "export", "-"]] {
        assert_eq!(bench.json(words).await.out, text);
    }
    let file = bench.file("export.ndjson");
    let told = bench.json(&["catalogue", "export", &file]).await.object();
    assert_eq!(told, json!({ "file": file, "rows": 1, "bytes": text.len() }));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    // What is cut short does not take the place of what is whole.
    bench.world().exported = EXPORT[..2].to_vec();
    let cut = bench.json(&["catalogue", "export", &file]).await;
    assert_eq!((cut.code, std::fs::read_to_string(&file).unwrap()), (1, text));
}

#[tokio::test]
async fn an_import_is_handed_over_and_the_next_daemon_answers() {
    let mut bench = with_the_next_daemon().await;
    let file = bench.file("export.ndjson");
    let text = "x".repeat(1_500_000);
    std::fs::write(&file, &text).unwrap();
    let refused = bench.json(&["catalogue", "import", &file]).await;
    assert_eq!((refused.code, &refused.error()["reason"]), (1, &json!("CATALOGUE_NOT_EMPTY")));
    let next = next_daemon(&bench);
    assert_eq!(
        bench.json(&["catalogue", "import", &file, "--replace"]).await.object(),
        json!({ "rows": 1, "models": 1234 })
    );
    next.await.unwrap();
    assert_eq!(bench.world().imported, text.as_bytes());
    bench.input = "y".into();
    assert_eq!(bench.json(&["catalogue", "import", "-"]).await.error()["reason"], "CATALOGUE_NOT_EMPTY");
    let missing = bench.json(&["catalogue", "import", &bench.file("none")]).await;
    assert_eq!((missing.code, &missing.error()["reason"]), (1, &json!("LOCAL_IO_FAILED")));
}

#[tokio::test]
async fn a_backup_is_restored_by_name_or_path() {
    let bench = with_the_next_daemon().await;
    assert_eq!(bench.json(&["catalogue", "restore", "bad.db"]).await.error()["reason"], "BACKUP_DAMAGED");
    let next = next_daemon(&bench);
    let restored = bench.json(&["catalogue", "restore", "catalogue-daily-1.db"]).await.object();
    assert_eq!(restored, json!({ "restored": "/state/backups/catalogue-daily-1.db", "models": 1234 }));
    next.await.unwrap();
    assert_eq!(bench.world().asked[1], "RestoreBackupRequest { backup: \"catalogue-daily-1.db\" }");
}

#[tokio::test]
async fn without_a_daemon_its_program_restores() {
    let mut bench = Bench::without_daemon();
    bench.paths().create().unwrap();
    bench.script(
        "if [ \"$1\" = run ]; then touch \"$PAINTBOX_HOME/started\"; sleep 30; exit; fi; \
         if [ \"$3\" = x.db ]; then echo \"paintboxd: there is no backup x.db\" >&2; echo \"hint: look again\" >&2; exit 1; fi; \
         echo \"$1 $2 $3\"",
    );
    let failed = bench.json(&["catalogue", "restore", "x.db"]).await;
    let error = failed.error();
    assert_eq!((failed.code, &error["reason"]), (1, &json!("CATALOGUE_FAILED")));
    assert_eq!((&error["message"], &error["hint"]), (&json!("there is no backup x.db"), &json!("look again")));
    let next = next_daemon(&bench);
    let restored = bench.json(&["catalogue", "restore", "./y.db"]).await.object();
    next.await.unwrap();
    let here = std::env::current_dir().unwrap().join("y.db");
    assert_eq!(restored["restored"], format!("restore-catalogue -- {}", here.display()));
}
