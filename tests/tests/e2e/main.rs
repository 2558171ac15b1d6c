//! The whole line through the real programs: a hub on this machine, a private home, the real command line and
//! daemon. Few and broad; what can be shown beside the code is shown there.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod bad_input;
mod grpc;
mod interruption;
mod main_line;

use paintbox_testkit::FakeHub;
use paintbox_tests::Installation;
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// A hub with the sample library, and an installation that knows no other.
async fn installation() -> (FakeHub, Installation) {
    let hub = FakeHub::with_sample_library().await;
    let installed = Installation::new(Path::new(env!("CARGO_BIN_EXE_demo")), &hub).unwrap();
    // Nothing happens behind a test's back.
    std::fs::create_dir_all(installed.home()).unwrap();
    std::fs::write(installed.home().join("config.toml"), "[sync]\nautomatic = false\n").unwrap();
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

/// The blobs that lie under a final name.
fn blobs(installed: &Installation) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![installed.home().join("store/blobs")];
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
