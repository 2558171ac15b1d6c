//! A folder of models that somebody keeps: adopted where it is, known from the hub, painted from, and followed when its
//! files move.

use super::*;
use paintbox_testkit::{FakeCivitaiModel, wait_for};
use std::path::Path;
use std::time::Duration;

const LONG_ENOUGH: Duration = Duration::from_secs(120);

/// Runs `command` until what it prints is as wanted. It may fail until then.
async fn until(installed: &Installation, what: &str, command: &[&str], wanted: impl Fn(&[Value]) -> bool) {
    let holds = || {
        let (objects, output) = json(installed, command);
        let holds = output.status.success() && wanted(&objects);
        async move { holds }
    };
    wait_for(what, LONG_ENOUGH, holds).await;
}

fn put(to: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::write(to, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[expect(clippy::disallowed_methods, reason = "people rename files, and so does this test")]
async fn a_folder_of_models_is_adopted_known_from_the_hub_and_painted_from() {
    let (hub, installed) = installation().await;
    let tiny = std::fs::read(TinyModel::single_file()).unwrap();
    let mine = other_weights(7);
    let published = hub.publish(
        FakeCivitaiModel::new("keeper", "Checkpoint", "Kept elsewhere")
            .version(FakeVersion::new("v1", "SD 1.5").file(FakeFile::model("kept.safetensors", tiny.clone()))),
    );
    let reference = format!("civitai:{}", published.id);
    let disk = tempfile::tempdir().unwrap();
    let models = disk.path().join("models");
    let listed = models.join("checkpoints/renamed by me.safetensors");
    put(&listed, &tiny);
    put(&models.join("loras/my own.safetensors"), &mine);
    put(&models.join("loras/old.ckpt"), b"\x80\x02}q\x00.");

    let added = ok(&installed, &["library", "add", models.to_str().unwrap()]);
    let done = added.last().unwrap();
    assert_eq!((&done["event"], &done["files"], &done["refused_files"]), (&"done".into(), &3.into(), &1.into()));
    assert_eq!(done["path"], models.to_str().unwrap());
    let found = ok(&installed, &["search", "--downloaded", "--kind", "lora"]);
    assert_eq!((found.len(), &found[0]["hub"], &found[0]["kind"]), (1, &"local".into(), &"lora".into()), "{found:?}");

    assert_eq!(ok(&installed, &["search", "--hub", "local", "--kind", "lora"]), found);

    // Its bytes are read, and the hub is asked which of them it lists.
    until(&installed, "the hub's page", &["search", "--downloaded", "kept"], |found| {
        found.iter().any(|model| model["ref"] == *reference && model["creator"] == "keeper")
    })
    .await;
    assert!(downloads(&hub).is_empty(), "nothing is fetched that is here");
    let library = &ok(&installed, &["library", "list"])[0];
    assert_eq!((&library["read_files"], &library["state"]), (&3.into(), &"present".into()), "{library}");
    let known_by = format!("path:{}", listed.display());
    let shown = &ok(&installed, &["show", &known_by])[0];
    assert_eq!(shown["ref"], *reference);
    let file = &shown["versions"][0]["files"][0];
    assert_eq!((&file["state"], &file["paths"]), (&"verified".into(), &serde_json::json!([listed])), "{shown:#}");

    // What is in the folder is painted with, whether a hub lists it or not.
    let picture = installed.scratch().join("heart.png");
    let lora = format!("{}:0.5", found[0]["ref"].as_str().unwrap());
    let painted = ok(
        &installed,
        &[
            "generate",
            "red heart",
            "--model",
            &known_by,
            "--lora",
            &lora,
            "--steps",
            "2",
            "--width",
            "64",
            "--height",
            "64",
            "-o",
            picture.to_str().unwrap(),
        ],
    );
    assert_eq!(painted.last().unwrap()["event"], "done");
    assert!(picture.is_file());

    // Somebody tidies up while the daemon runs.
    let moved = models.join("sd15/kept.safetensors");
    std::fs::create_dir(models.join("sd15")).unwrap();
    std::fs::rename(&listed, &moved).unwrap();
    let known_by = format!("path:{}", moved.display());
    until(&installed, "the new place", &["show", &known_by], |shown| {
        shown[0]["ref"] == *reference && shown[0]["versions"][0]["files"][0]["paths"] == serde_json::json!([moved])
    })
    .await;
    let scanned = ok(&installed, &["library", "scan", models.to_str().unwrap()]);
    assert_eq!((&scanned[0]["arrived"], &scanned[0]["gone"]), (&0.into(), &0.into()), "{scanned:?}");

    // A copy is noticed, and what it costs.
    std::fs::copy(&moved, models.join("copy.safetensors")).unwrap();
    until(&installed, "the copy", &["dupes"], |found| {
        found.len() == 1 && found[0]["ref"] == *reference && found[0]["spare_bytes"] == tiny.len()
    })
    .await;
    let stats = &ok(&installed, &["stats"])[0];
    assert_eq!((&stats["total"]["files"], &stats["refused"]["files"]), (&3.into(), &1.into()), "{stats:#}");
    assert!(ok(&installed, &["updates"]).is_empty());

    // Forgotten, and nothing in it was touched.
    ok(&installed, &["library", "remove", "1"]);
    assert!(ok(&installed, &["library"]).is_empty());
    assert!(ok(&installed, &["search", "--downloaded"]).is_empty());
    assert_eq!(error(&installed, &["show", &known_by])["reason"], "MODEL_NOT_FOUND");
    assert!(
        std::fs::read(&moved).unwrap() == tiny
            && std::fs::read(models.join("loras/my own.safetensors")).unwrap() == mine
    );
}
