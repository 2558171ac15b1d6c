//! Rules about the files themselves.

use crate::root;
use std::path::{Path, PathBuf};

/// A longer file is a table or a mistake.
const LONGEST_FILE_LINES: usize = 600;

fn tracked_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else {
                found.push(path);
            }
        }
    }
    found
}

fn with_ending(ending: &str) -> Vec<(PathBuf, String)> {
    tracked_files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

/// The part of a source file that ships.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or_default()
}

#[test]
fn the_top_level_holds_only_what_it_may() {
    let allowed = [
        "Cargo.toml",
        "daemon",
        "proto",
        "cli",
        "migrations",
        "tests",
        "README.md", // the project
        "Cargo.lock",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "clippy.toml",
        "rustfmt.toml",
        "deny.toml",
        ".gitignore",
        ".cargo", // how SQLite is built, which cargo is told nowhere else
        ".ci",
        ".github",
        ".git",
        "target",
    ];
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(allowed.contains(&name.as_str()), "{name} does not belong at the top level");
    }
}

#[test]
fn every_module_says_why_it_exists() {
    for (path, text) in with_ending("rs") {
        assert!(text.starts_with("//!"), "{} opens without a module comment", path.display());
    }
}

#[test]
fn no_source_file_is_longer_than_a_sitting() {
    for (path, text) in with_ending("rs") {
        let lines = without_tests(&text).lines().count();
        assert!(lines <= LONGEST_FILE_LINES, "{} has {lines} lines", path.display());
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for (path, text) in with_ending("toml") {
        if path.ends_with("Cargo.toml")
            && text.contains("[package]")
            && !path.components().any(|c| c.as_os_str() == "fuzz")
        {
            assert!(text.contains("[lints]\nworkspace = true"), "{}", path.display());
        }
    }
}

#[test]
fn only_the_catalogue_writes_sql() {
    for (path, text) in with_ending("rs") {
        if path.components().any(|part| part.as_os_str() == "catalogue" || part.as_os_str() == "tests") {
            continue;
        }
        assert!(!without_tests(&text).contains("sqlx::"), "{} names sqlx", path.display());
    }
}

#[test]
fn candle_stays_in_the_engine() {
    for (path, text) in with_ending("rs") {
        if !path.components().any(|part| part.as_os_str() == "engine" || part.as_os_str() == "tests") {
            assert!(!text.contains("use candle"), "{} uses candle", path.display());
        }
    }
}

#[test]
fn the_architecture_page_stays_one_page() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() <= 200);
    for name in ["domain", "hub", "store", "weights", "catalogue", "sync", "engine", "generation", "rpc", "app"] {
        assert!(Path::new(&root().join("daemon").join(name)).is_dir());
        assert!(text.contains(&format!("`daemon/{name}`")), "{name} is not on the code map");
    }
}

#[test]
fn landed_migrations_are_never_edited() {
    // SHA-256 of every migration that has been released; a change needs a new file.
    let landed = [
        ("20261124000001_create_catalogue.sql", "67fc4c05b90ef5dce2cfcd40349044b7e8f20b6985d92135077c942f332d90ec"),
        ("20261125000001_follow_anything.sql", "6e6d5ff063644a6f927d85e7bcc2f4786a405a2a07b33ddde65e0064aa854375"),
        ("20261127000001_downloads.sql", "ea7e5eaa831122aeb538945dee0a62eec0bec48557105895c11fd1ecbe747e20"),
        ("20261127000002_preview_sizes.sql", "5a073de70cb8deaaca3f6ba0817ba430a4d13c1b8c8cf98f0484f971c88a048c"),
        ("20261127000003_volumes.sql", "c933461a2c8f6674038d35afea080eb8af3f3fb4d22834ba9bb00ad1c5daccb1"),
        ("20261128000002_search.sql", "4f7cf5a1fc6b15b19ab2c9c18b41cba8bee19cf7e7a5d35464caf89369fb2829"),
        ("20261128000003_libraries.sql", "31e38ffaf0fa1b3e94e2899de8cb29f21773810ed3c5b5f3e514d8012fa7487d"),
        ("20261128000004_shelf.sql", "11ff050e29911ab34e2eff58d5551994af9a6866e5369d0771811172f16bb4b0"),
        ("20261128000005_same_tensors.sql", "c3ba4de25810773979978317ece96605d09b7234ae356ea5a05f00bfe3987f41"),
        ("20261128000006_pictures_beside.sql", "07bbe7c637e011408eaef98beba78b863068d03ae3dcf079fa2483f2e3ba6ae3"),
        ("20261128000007_search_counters.sql", "c4899bce618d9fc3923b5a9c0433ed3e2353462fadbb4857bc3eae8e4ecbad24"),
        ("20261128000008_unused_indexes.sql", "fc05538a2fd5a769dca5801e062db2ae588664090fba80be72eb835bb9e312b3"),
        ("20261128000009_search_cards.sql", "37a13a579c49143ba43b5ac520e0415fc1bebc8282835873ea7201065bb64e59"),
    ];
    for (name, digest) in landed {
        let bytes = std::fs::read(root().join("migrations").join(name)).unwrap();
        let found = format!("{:x}", <sha2::Sha256 as sha2::Digest>::digest(&bytes));
        assert_eq!(found, digest, "{name} was edited after it landed");
    }
}
