//! The dependency table: what ARCHITECTURE.md says is what `cargo metadata` shows.

use crate::root;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

const DAEMON_PARTS: &[&str] =
    &["domain", "hub", "store", "weights", "catalogue", "sync", "engine", "generation", "rpc"];

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

/// The table of ARCHITECTURE.md: crate → what it may depend on.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("## Dependencies").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut table = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let allowed: BTreeSet<String> = match cells[1] {
            "nothing of ours" => BTreeSet::new(),
            list => list
                .split(", ")
                .flat_map(|name| match name {
                    "everything in `daemon/`" => DAEMON_PARTS.to_vec(),
                    name => vec![name],
                })
                .map(str::to_owned)
                .collect(),
        };
        for name in cells[0].split(", ") {
            table.insert(name.to_owned(), allowed.clone());
        }
    }
    table
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    let metadata = metadata();
    let table = table();
    let mut seen = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let name = package.name.trim_start_matches("paintbox-").to_owned();
        if name == "tests" || name == "testkit" {
            continue;
        }
        let allowed = table.get(&name).unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for {name}"));
        for dependency in &package.dependencies {
            let Some(part) = dependency.name.strip_prefix("paintbox-") else { continue };
            if dependency.kind == DependencyKind::Development && part == "testkit" {
                continue;
            }
            assert!(allowed.contains(part), "{name} may not depend on {part}");
        }
        seen.insert(name);
    }
    assert_eq!(seen, table.keys().cloned().collect::<BTreeSet<_>>(), "each row has its crate and each crate its row");
}

#[test]
fn heavy_dependencies_have_one_home() {
    let homes: &[(&str, &[&str])] = &[
        ("sqlx", &["catalogue"]),
        ("libsqlite3-sys", &["catalogue"]),
        ("reqwest", &["hub"]),
        ("hf-hub", &["hub"]),
        ("candle-core", &["engine"]),
        ("candle-nn", &["engine"]),
        ("tokenizers", &["engine"]),
        ("tonic", &["rpc", "cli", "proto", "tests"]),
        ("clap", &["app", "cli"]),
    ];
    for package in metadata().workspace_packages() {
        let name = package.name.trim_start_matches("paintbox-");
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            if let Some((_, allowed)) = homes.iter().find(|(heavy, _)| *heavy == dependency.name) {
                assert!(allowed.contains(&name), "{} belongs to {allowed:?}, not to {name}", dependency.name);
            }
        }
    }
}

#[test]
fn libraries_below_the_async_parts_know_no_tokio() {
    for package in metadata().workspace_packages() {
        let name = package.name.trim_start_matches("paintbox-");
        if ["domain", "weights", "store", "engine"].contains(&name) {
            let found = package.dependencies.iter().find(|d| d.kind == DependencyKind::Normal && d.name == "tokio");
            assert!(found.is_none(), "{name} must not know tokio");
        }
    }
}

#[test]
fn candle_is_pinned_to_the_version_that_was_checked() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for name in ["candle-core", "candle-nn", "candle-transformers"] {
        assert!(manifest.contains(&format!("{name} = \"=0.11.1\"")), "{name}");
    }
}
