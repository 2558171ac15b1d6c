//! The catalogue through the real programs: out as text and in again, killed, damaged, and restored.

use crate::{error, installation, json, ok};
use paintbox_testkit::wait_for;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_export_moves_a_catalogue_to_another_home_to_the_byte() {
    let (_hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "none"]);
    let text = installed.scratch().join("catalogue.ndjson");
    let text = text.to_str().unwrap();
    let told = &ok(&installed, &["catalogue", "export", text])[0];
    assert_eq!(told["bytes"], std::fs::metadata(text).unwrap().len());

    let (_other_hub, other) = installation().await;
    let imported = &ok(&other, &["catalogue", "import", text])[0];
    assert_eq!(imported["rows"], told["rows"]);
    assert!(imported["models"].as_u64().unwrap() > 0, "{imported}");
    let names = |found: Vec<serde_json::Value>| found.iter().map(|model| model["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(ok(&other, &["search", "emoji"])), names(ok(&installed, &["search", "emoji"])));
    assert_eq!(ok(&other, &["follows"])[0]["target"], "civitai:tiny_emoji");
    let again = other.scratch().join("again.ndjson");
    ok(&other, &["catalogue", "export", again.to_str().unwrap()]);
    assert!(std::fs::read(again).unwrap() == std::fs::read(text).unwrap(), "the exports differ");

    assert_eq!(error(&other, &["catalogue", "import", text])["reason"], "CATALOGUE_NOT_EMPTY");
    let whole = std::fs::read(text).unwrap();
    let cut = installed.scratch().join("cut.ndjson");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let refused = error(&other, &["catalogue", "import", cut.to_str().unwrap(), "--replace"]);
    assert_eq!(refused["reason"], "IMPORT_INVALID", "{refused}");
    assert_eq!(ok(&other, &["follows"]).len(), 1);
    ok(&other, &["catalogue", "import", text, "--replace"]);
    let kinds: Vec<_> = ok(&other, &["catalogue", "backups"]).iter().map(|backup| backup["kind"].clone()).collect();
    assert!(kinds.contains(&"replaced".into()), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_killed_daemons_catalogue_is_checked_and_a_damaged_one_is_restored() {
    let (_hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "none"]);
    let backup = ok(&installed, &["catalogue", "backup"])[0]["name"].as_str().unwrap().to_owned();
    let models = ok(&installed, &["daemon", "status"])[0]["models"].clone();
    let pid = installed.daemon_pid().unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    wait_for("a check after the kill", Duration::from_secs(30), async || {
        ok(&installed, &["daemon", "start"]);
        let catalogue = ok(&installed, &["daemon", "status"])[0]["catalogue"].clone();
        catalogue["ended_in_order"] == false && catalogue["state"] == "sound"
    })
    .await;
    assert_eq!(ok(&installed, &["catalogue", "check", "--full"])[0]["sound"], true);

    ok(&installed, &["daemon", "stop"]);
    let file = installed.home().join("state/catalogue.db");
    let sound = std::fs::read(&file).unwrap();
    std::fs::write(&file, &sound[..sound.len() / 2]).unwrap();
    let refused = error(&installed, &["follows"]);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("catalogue.db") && message.contains("paintbox catalogue restore"), "{message}");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), sound.len() as u64 / 2, "the damaged file is left alone");

    let nothing = error(&installed, &["catalogue", "restore", "catalogue-manual-20000101T000000Z.db"]);
    assert!(nothing["message"].as_str().unwrap().contains("no backup"), "{nothing}");
    assert_eq!(ok(&installed, &["catalogue", "restore", &backup])[0]["models"], models);
    assert_eq!(ok(&installed, &["follows"])[0]["target"], "civitai:tiny_emoji");
    let backups = ok(&installed, &["catalogue", "backups"]);
    let kept = backups.iter().find(|backup| backup["kind"] == "replaced").unwrap();
    assert_eq!(kept["size_bytes"], sound.len() as u64 / 2);
    let (_, stopped) = json(&installed, &["daemon", "stop"]);
    assert!(stopped.status.success());
    assert!(!installed.home().join("state/catalogue.db-wal").exists(), "an end in order leaves no log");
}
