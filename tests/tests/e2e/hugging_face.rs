//! What is particular to Hugging Face: gates, and the cache that its own tools keep.

use crate::{blobs, downloads, error, installation, ok, planned};
use paintbox_testkit::{FakeRepository, HF_TOKEN, SAMPLE_ORGANISATION, TinyModel};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_closed_gate_is_told_before_anything_is_queued() {
    let (hub, installed) = installation().await;
    let page = format!("{}/{SAMPLE_ORGANISATION}/gated", hub.hf_endpoint());
    let refused = error(&installed, &["pull", "hf:tiny-emoji/gated"]);
    assert_eq!(refused["reason"], "HUB_TOKEN_REQUIRED", "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains(&page), "{refused}");

    let signed_in = installed.paintbox_reading(["login", "hf"], HF_TOKEN).unwrap();
    assert!(signed_in.status.success(), "{}", String::from_utf8_lossy(&signed_in.stderr));
    let refused = error(&installed, &["pull", "hf:tiny-emoji/gated"]);
    assert_eq!(refused["reason"], "HUB_ACCESS_DENIED", "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains(&page), "{refused}");
    assert!(ok(&installed, &["jobs"]).is_empty(), "no run was made");
    assert!(downloads(&hub).is_empty());

    hub.grant_access("tiny-emoji/gated");
    let done = ok(&installed, &["pull", "hf:tiny-emoji/gated"]).pop().unwrap();
    assert!(done["fetched"].as_u64().unwrap() > 0 && done["failed"] == 0, "{done}");
}

/// Every file below a folder, with its bytes, its time and where links lead.
fn everything_below(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64, Option<PathBuf>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let about = path.symlink_metadata().unwrap();
            if about.is_dir() {
                folders.push(path);
                continue;
            }
            let (bytes, link) = (std::fs::read(&path).unwrap(), std::fs::read_link(&path).ok());
            found.insert(path, (bytes, about.mtime(), about.mtime_nsec(), link));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_other_tools_downloaded_is_used_where_it_lies() {
    let (hub, mut installed) = installation().await;
    let files = TinyModel::diffusers_files();
    let commit = hub.publish_repository(FakeRepository::new("tiny-emoji/cached", files.clone()));
    // As the Python library lays it out: large files under their digest with a link to each, small ones in place.
    let hf_home = installed.scratch().join("hf-home");
    let repository = hf_home.join("hub/models--tiny-emoji--cached");
    std::fs::create_dir_all(repository.join("blobs")).unwrap();
    for (path, bytes) in &files {
        let name = repository.join("snapshots").join(&commit).join(path);
        std::fs::create_dir_all(name.parent().unwrap()).unwrap();
        if path.ends_with(".safetensors") {
            let digest = format!("{:x}", <sha2::Sha256 as sha2::Digest>::digest(bytes));
            let blob = repository.join("blobs").join(&digest);
            std::fs::write(&blob, bytes).unwrap();
            let up = "../".repeat(path.matches('/').count() + 2);
            std::os::unix::fs::symlink(format!("{up}blobs/{digest}"), &name).unwrap();
        } else {
            std::fs::write(&name, bytes).unwrap();
        }
    }
    let before = everything_below(&hf_home);
    installed.set("HF_HOME", hf_home.to_str().unwrap());

    ok(&installed, &["follow", "hf:tiny-emoji/cached", "--backfill", "all"]);
    let plan = planned(&installed, &["hf:tiny-emoji/cached"]);
    let weights = |(_, _, file): &&(String, String, String)| file.ends_with(".safetensors");
    assert_eq!(plan.iter().filter(weights).count(), 3, "{plan:?}");
    assert!(plan.iter().all(|(op, why, _)| op == "skip" || (op == "keep" && why == "in_hf_cache")), "{plan:?}");
    let done = ok(&installed, &["sync", "--wait"]).pop().unwrap();
    assert_eq!((&done["fetched"], &done["failed"], &done["bytes"]), (&0.into(), &0.into(), &0.into()), "{done}");
    assert!(done["already_had"].as_u64().unwrap() >= 3, "{done}");

    let shown = ok(&installed, &["show", "hf:tiny-emoji/cached"]).remove(0);
    let files = shown["versions"][0]["files"].as_array().unwrap();
    let unet = files.iter().find(|file| file["name"].as_str().unwrap().starts_with("unet/diffusion")).unwrap();
    assert_eq!(unet["state"], "verified", "{unet}");
    assert!(
        Path::new(unet["paths"][0].as_str().unwrap()).starts_with(std::fs::canonicalize(&hf_home).unwrap()),
        "{unet}"
    );
    // It is good enough to paint with.
    let picture = installed.scratch().join("tree.png");
    let size = ["--width", "64", "--height", "64", "--steps", "2"];
    let arguments = ["generate", "tree", "--model", "hf:tiny-emoji/cached", "-o", picture.to_str().unwrap()];
    ok(&installed, &[&arguments[..], &size].concat());

    assert_eq!(downloads(&hub).len(), 0, "{:#?}", downloads(&hub));
    assert!(before == everything_below(&hf_home), "somebody else's cache was touched");
    assert!(blobs(&installed).iter().all(|path| std::fs::metadata(path).unwrap().len() < 1_000_000), "it was copied");
}
