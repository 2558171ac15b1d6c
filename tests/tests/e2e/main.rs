//! The whole line through the real programs: a hub on this machine, a private home, the real command line and
//! daemon. Few and broad; what can be shown beside the code is shown there.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod access;
mod bad_input;
mod canary;
mod catalogue_safety;
mod ending;
mod engine;
mod evidence;
mod following;
mod grpc;
mod health;
mod hub_down;
mod hugging_face;
mod interruption;
mod keeping;
mod large_answers;
mod library;
mod main_line;
mod once;
mod other_programs;
mod packaging;
mod queue;
mod recipes;
mod reloading;
mod requests;
mod supervised;
mod webhook;

use jiff::Timestamp;
use paintbox_testkit::{FakeFile, FakeHub, FakeVersion, RecordedRequest, Server, TinyModel};
use paintbox_tests::Installation;
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// Nothing happens behind a test's back.
const BY_HAND: &str = "[sync]\nautomatic = false\n";

/// A hub with the sample library, and an installation that knows no other.
async fn installation() -> (FakeHub, Installation) {
    installation_with("").await
}

/// The same with more in its configuration.
async fn installation_with(configuration: &str) -> (FakeHub, Installation) {
    let hub = FakeHub::with_sample_library().await;
    let installed = Installation::new(Path::new(env!("CARGO_BIN_EXE_demo")), &hub).unwrap();
    installed.configure(&format!("{BY_HAND}{configuration}")).unwrap();
    (hub, installed)
}

/// Runs `paintbox --json …`; the objects it printed, and how it ended.
fn json(installed: &Installation, arguments: &[&str]) -> (Vec<Value>, Output) {
    let output = tokio::task::block_in_place(|| installed.paintbox(["--json"].iter().chain(arguments)).unwrap());
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    let objects = lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")));
    (objects.collect(), output)
}

/// The same for a command that must succeed.
fn ok(installed: &Installation, arguments: &[&str]) -> Vec<Value> {
    let (objects, output) = json(installed, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    objects
}

/// The same for a command that must fail; its error object.
fn error(installed: &Installation, arguments: &[&str]) -> Value {
    let (_, output) = json(installed, arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let line = stderr.lines().last().unwrap_or_default();
    let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{stderr}: {e}"));
    value["error"].clone()
}

/// What `plan` says of a follow, as pairs of operation and reason with the file.
fn planned(installed: &Installation, arguments: &[&str]) -> Vec<(String, String, String)> {
    let plan = ok(installed, &[&["plan"], arguments].concat());
    let text = |op: &Value, key: &str| op[key].as_str().unwrap_or_default().to_owned();
    plan.iter().map(|op| (text(op, "op"), text(op, "reason"), text(op, "file"))).collect()
}

/// Requests for the bytes of a model's file, on whatever server.
fn downloads(hub: &FakeHub) -> Vec<RecordedRequest> {
    let is_download = |request: &RecordedRequest| match request.server {
        Server::CivitaiStorage | Server::HfCdn | Server::HfStore => true,
        Server::CivitaiSite | Server::CivitaiMature => request.path().starts_with("/api/download/"),
        Server::HfEndpoint => request.path().contains("/resolve/") || request.path().contains("/resolve-cache/"),
        Server::CivitaiImages => false,
    };
    hub.requests().into_iter().filter(is_download).collect()
}

/// A small model file that nobody else has: the LoRA with other weights at its end.
fn other_weights(last: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(TinyModel::lora()).unwrap();
    // The last of them, after the header: halves of two bytes, whose upper one is kept.
    let at = bytes.len() - 2;
    assert_ne!(bytes[at], last, "these would be the same bytes");
    bytes[at] = last;
    bytes
}

/// A version that its creator publishes now.
fn published_now(name: &str, file: &str, bytes: Vec<u8>) -> FakeVersion {
    let mut version = FakeVersion::new(name, "SD 1.5").file(FakeFile::model(file, bytes));
    version.published = Timestamp::now();
    version
}

/// A folder of the store, which a Mac's Spotlight passes by under another name.
fn store_folder(installed: &Installation, name: &str) -> std::path::PathBuf {
    let store = installed.home().join("store");
    let hidden = store.join(format!("{name}.noindex"));
    if hidden.exists() { hidden } else { store.join(name) }
}

/// The blobs that lie under a final name.
fn blobs(installed: &Installation) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![store_folder(installed, "blobs")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Every blob is what its name says.
fn assert_blobs_are_whole(installed: &Installation) {
    for path in blobs(installed) {
        let bytes = std::fs::read(&path).unwrap();
        let digest = format!("{:x}", <sha2::Sha256 as sha2::Digest>::digest(&bytes));
        assert_eq!(path.file_name().unwrap().to_string_lossy(), digest, "{}", path.display());
    }
}
