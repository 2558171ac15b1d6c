//! What becomes of files that are here: volumes, checks at rest, the trash, and what could be freed.

use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// The file of the first version of a model, as `show` has it.
fn file(installed: &Installation, reference: &str) -> Value {
    let shown = ok(installed, &["show", reference]);
    shown[0]["versions"][0]["files"][0].clone()
}

fn path(file: &Value) -> PathBuf {
    file["paths"][0].as_str().unwrap().into()
}

fn last(objects: &[Value]) -> &Value {
    objects.last().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a disk that is taken away is a folder that is renamed")]
async fn files_lie_on_volumes_are_verified_repaired_removed_and_taken_back() {
    let (hub, installed) = installation().await;
    let disk = tempfile::tempdir().unwrap();
    let root = disk.path().join("paintbox");
    let text = root.to_str().unwrap();
    let volume = ok(&installed, &["volumes", "add", "big", text, "--kinds", "checkpoint"]);
    assert_eq!((&volume[0]["name"], &volume[0]["state"]), (&"volumes/big".into(), &"present".into()));
    let version = FakeVersion::new("v1", "SD 1.5")
        .file(FakeFile::model("tiny.safetensors", std::fs::read(TinyModel::single_file()).unwrap()));
    let published =
        hub.publish(paintbox_testkit::FakeCivitaiModel::new("keeper", "Checkpoint", "Kept").version(version));
    let reference = format!("civitai:{}", published.id);
    ok(&installed, &["pull", &reference]);
    let here = file(&installed, &reference);
    assert!(path(&here).starts_with(&root), "{here}");

    // Its disk is taken away and comes back.
    let elsewhere = disk.path().join("elsewhere");
    std::fs::rename(&root, &elsewhere).unwrap();
    let asked = downloads(&hub).len();
    let synced = ok(&installed, &["sync", "--wait"]);
    assert_eq!((&last(&synced)["fetched"], &last(&synced)["failed"]), (&0.into(), &0.into()));
    assert_eq!(file(&installed, &reference)["state"], "away");
    let volumes = ok(&installed, &["volumes"]);
    assert_eq!((&volumes[0]["name"], &volumes[1]["state"]), (&"volumes/home".into(), &"away".into()));
    std::fs::rename(&elsewhere, &root).unwrap();
    assert_eq!(last(&ok(&installed, &["sync", "--wait"]))["already_had"], 1);
    assert_eq!(downloads(&hub).len(), asked, "nothing was fetched for it");

    // A disk changes a bit.
    let at = path(&here);
    let mut bytes = std::fs::read(&at).unwrap();
    bytes[100_000] ^= 1;
    std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&at, &bytes).unwrap();
    let (found, output) = json(&installed, &["verify", "--repair"]);
    assert_eq!(output.status.code(), Some(1));
    let finding = found.iter().find(|object| object["event"] == "finding").unwrap();
    assert_eq!((&finding["problem"], &finding["action"]), (&"damaged".into(), &"quarantined".into()), "{finding}");
    assert_eq!((&finding["error"]["reason"], &finding["repair_queued"]), (&"DIGEST_MISMATCH".into(), &true.into()));
    ok(&installed, &["sync", "--wait"]);
    bytes[100_000] ^= 1;
    assert!(std::fs::read(&at).unwrap() == bytes, "it was fetched again");
    assert_eq!(last(&ok(&installed, &["verify"]))["findings"], 0);

    // Removed, and taken back.
    let removal = ok(&installed, &["rm", &reference]);
    assert_eq!((&removal[0]["state"], &removal[0]["files"][0]["bytes"]), (&"trashed".into(), &"trashed".into()));
    assert_eq!(file(&installed, &reference)["state"], "absent");
    assert!(planned(&installed, &[]).iter().any(|(op, reason, _)| op == "skip" && reason == "removed"));
    let listed = ok(&installed, &["rm", "--list"]);
    assert_eq!(listed, removal);
    let name = removal[0]["name"].as_str().unwrap();
    assert_eq!(ok(&installed, &["rm", "--undo", name])[0]["state"], "restored");
    assert_eq!(file(&installed, &reference)["state"], "verified");

    // What nobody needs is what was set aside, until it is named, and then what was removed again.
    let explained = ok(&installed, &["gc"]);
    assert_eq!((&explained[0]["class"], &explained[0]["volume"]), (&"quarantine".into(), &"volumes/big".into()));
    assert_eq!(last(&explained)["freed_bytes"], 0);
    ok(&installed, &["rm", &reference]);
    let freed = ok(&installed, &["gc", "--free", "quarantine,trash"]);
    assert_eq!(last(&freed)["freed_bytes"].as_u64(), Some(2 * bytes.len() as u64), "{freed:?}");
    assert!(!at.exists());
    let gone = error(&installed, &["rm", "--undo", "2"]);
    assert_eq!(gone["reason"], "TRASH_EMPTIED");
    ok(&installed, &["pull", &reference]);
    assert_eq!(file(&installed, &reference)["state"], "verified");
    let in_use = error(&installed, &["volumes", "remove", "big"]);
    assert_eq!(in_use["reason"], "VOLUME_IN_USE");
}
