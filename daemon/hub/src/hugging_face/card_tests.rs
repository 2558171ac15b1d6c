//! What becomes of real model cards, and of the traps among them.

use super::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/hubs")
}

/// Every recorded card by name.
fn cards() -> BTreeMap<String, String> {
    let folder = fixtures().join("huggingface/cards");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
        })
        .collect()
}

fn data_of(name: &str) -> Value {
    front_matter(&cards()[name]).unwrap_or_else(|| panic!("{name} has front matter"))
}

/// `SOURCES.md` says of each card what Python's YAML parser made of it.
#[test]
fn every_recorded_card_is_read_as_another_parser_reads_it() {
    let sources = std::fs::read_to_string(fixtures().join("SOURCES.md")).unwrap();
    let cards = cards();
    assert_eq!(cards.len(), 84);
    for (name, card) in &cards {
        let row = sources.lines().find(|line| line.contains(&format!("huggingface/cards/{name} |"))).unwrap();
        let found = front_matter(card);
        if row.contains("hand-written test card") {
            continue;
        }
        let is_broken = row.contains("INVALID YAML") || row.contains("no front matter");
        assert_eq!(found.is_none(), is_broken, "{name}: {row}");
        let Some((_, facts)) = row.split_once("front matter: ") else { continue };
        let facts = facts.split(" | ").next().unwrap().split(" — ").next().unwrap();
        let data = found.unwrap();
        for fact in facts.split(", ") {
            let Some((key, wanted)) = fact.split_once('=') else { continue };
            let value = &data[key];
            match value {
                Value::Array(items) => {
                    assert!(
                        wanted.starts_with(&format!("list[{}]", items.len())),
                        "{name}: {key} is {wanted}: {value}"
                    );
                }
                Value::Object(_) => assert_eq!(wanted, "map", "{name}: {key}"),
                Value::Null => assert_eq!(wanted, "null", "{name}: {key}"),
                Value::String(text) => {
                    // The table cuts long values and drops what would break its own cells; `no` is a truth value to
                    // YAML 1.1, which Python reads, and a language to 1.2.
                    let agrees = text.starts_with(wanted) || (wanted, text.as_str()) == ("false", "no");
                    assert!(agrees, "{name}: {key} is {wanted}: {text}");
                }
                other => assert_eq!(wanted, other.to_string(), "{name}: {key}"),
            }
        }
    }
}

#[test]
fn traps_among_cards_are_read_as_their_authors_meant() {
    assert_eq!(data_of("lllyasviel--flux1_dev.md")["license"], "other", "CRLF line ends");
    assert_eq!(data_of("diffusers--controlnet-depth-sdxl-1.0.md")["license"], "openrail++", "blank lines first");
    assert_eq!(data_of("prajjwal1--bert-mini.md")["license"], json!(["mit"]), "a list of licences");
    assert_eq!(data_of("MarinaraSpaghetti--NemoMix-Unleashed-12B.md")["base_model"], json!([]));
    assert_eq!(data_of("alvdansen--BandW-Manga.md")["instance_prompt"], Value::Null);
    assert_eq!(data_of("NbAiLab--nb-bert-base-ner.md")["language"], "no", "a language, not a truth value");
    assert_eq!(data_of("stabilityai--stable-cascade.md")["license_link"], "LICENSE");
    assert_eq!(data_of("sample_windows_line_breaks.md")["license"], "mit");
    assert_eq!(front_matter(&cards()["sample_no_metadata.md"]), None);
    assert_eq!(front_matter(&cards()["TencentARC--T2I-Adapter.md"]), None);
}

#[test]
fn texts_that_only_look_like_front_matter_have_none() {
    for card in [
        "",
        "---",
        "---\nlicense: mit\n",
        "# Title\n---\nlicense: mit\n---\n",
        "---\n- a\n- list\n---\n",
        "---\njust words\n---\n",
        "---\nlicense: [\n---\n",
        "----\nlicense: mit\n----\n",
    ] {
        assert_eq!(front_matter(card), None, "{card:?}");
    }
    assert_eq!(front_matter("---\nlicense: a\nlicense: b\n---\n"), Some(json!({"license": "b"})));
    assert_eq!(front_matter("\u{feff}\r\n---\r\nlicense: mit\r\n---\r\ntext"), Some(json!({"license": "mit"})));
}

#[test]
fn front_matter_that_would_swell_is_refused() {
    // Nine levels of nine aliases: a few hundred bytes that stand for billions of values.
    let mut bomb = "---\na0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..=9 {
        let below = vec![format!("*a{}", level - 1); 9].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    bomb.push_str("---\n");
    assert_eq!(front_matter(&bomb), None);
    let deep = format!("---\na: {}{}\n---\n", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(front_matter(&deep), None);
}

#[test]
fn a_card_is_a_file_of_its_name_and_of_a_bearable_size() {
    let file = |path: &str, bytes: u64| HubFile {
        external_id: path.to_owned(),
        name: path.to_owned(),
        size: Some(FileSize::Exact(bytes)),
        sha256: None,
        blake3: None,
        git_sha1: None,
        auto_v3: None,
        kind_label: None,
        format: paintbox_domain::FileFormat::Text,
        precision: None,
        primary: false,
        locator: format!("/a/b/resolve/0/{path}"),
    };
    assert_eq!(find(&[]), None);
    assert_eq!(find(&[file("docs/README.md", 10), file("readme.md", 10)]), None);
    assert_eq!(find(&[file("README.md", LARGEST_CARD_BYTES + 1)]), None);
    assert!(find(&[file("a.json", 1), file("README.md", LARGEST_CARD_BYTES)]).is_some());
}
