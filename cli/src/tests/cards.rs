//! `show`: what is known now, what was known then, and what changed in between.

use super::fake::time;
use super::looking::model;
use super::{Bench, assert_fits};
use crate::render::sanitize::is_hazard;
use paintbox_proto::v1;
use serde_json::json;

#[tokio::test]
async fn a_model_is_shown_as_it_was_known_then() {
    let bench = Bench::new().await;
    bench.world().models = vec![model(1)];
    let shown = bench.json(&["show", "civitai:1", "--at", "3 days ago"]).await.object();
    assert_eq!(shown["at"], "2025-12-29T00:00:00Z");
    let asked = bench.world().asked.last().unwrap().clone();
    assert!(asked.contains("read_time: Some(Timestamp { seconds: 1766966400"), "{asked}");
    let text = bench.run(&["show", "civitai:1", "--at", "2025-12-20"]).await.out;
    assert!(
        text.contains("as known    11 days ago (2025-12-20T23:59:59Z); the files are shown as they are now\n"),
        "{text}"
    );
    assert!(bench.json(&["show", "civitai:1"]).await.object().get("at").is_none());
    assert!(bench.world().asked.last().unwrap().contains("read_time: None"));
}

#[tokio::test]
async fn what_does_not_fit_into_one_message_is_shown_all_the_same() {
    let bench = Bench::new().await;
    let mut large = model(1);
    let numbered = |number: usize| format!("models/civitai-1/versions/{number}");
    large.versions = (0..9).map(|number| v1::ModelVersion { name: numbered(number), ..Default::default() }).collect();
    let file = |number: usize| v1::ModelFile { file_name: format!("{number}.bin"), ..Default::default() };
    large.versions[7].files = (0..7).map(file).collect();
    large.versions[8].previews = vec![v1::Preview::default(); 11];
    bench.world().models = vec![large];
    let shown = bench.json(&["show", "civitai:1"]).await.object();
    let versions = shown["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 9);
    let names: Vec<_> =
        versions[7]["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["0.bin", "1.bin", "2.bin", "3.bin", "4.bin", "5.bin", "6.bin"]);
    assert_eq!(versions[8]["previews"].as_array().unwrap().len(), 11);
}

#[tokio::test]
async fn a_time_before_anything_was_known_is_an_error_of_its_own() {
    let bench = Bench::new().await;
    bench.world().models = vec![model(1)];
    let ended = bench.json(&["show", "civitai:1", "--at", "2025-01-01"]).await;
    let error = ended.error();
    assert_eq!((ended.code, &error["reason"]), (1, &json!("NOT_KNOWN_YET")));
    assert!(error["hint"].as_str().unwrap().contains("--history"), "{error}");
    bench.world().asked.clear();
    for wrong in ["soon", "2026-13-01", "2027-01-01"] {
        let ended = bench.json(&["show", "civitai:1", "--at", wrong]).await;
        let error = ended.error();
        assert_eq!((ended.code, &error["metadata"]["argument"]), (2, &json!("--at")), "{wrong}");
    }
    assert!(bench.world().asked.is_empty());
}

#[tokio::test]
async fn a_models_history_is_a_line_a_change() {
    let mut bench = Bench::new().await;
    let change = |seconds, event: &str, fields: &[&str]| v1::ModelChange {
        time: time(seconds),
        event: event.into(),
        fields: fields.iter().map(ToString::to_string).collect(),
    };
    bench.world().models = vec![model(1)];
    bench.world().changes = vec![
        change(-40 * 86_400, "seen", &[]),
        change(-3 * 86_400, "changed", &["name", "trained_words"]),
        change(-86_400, "gone", &[]),
        change(-60, "returned", &[]),
    ];
    let shown = bench.json(&["show", "civitai:1", "--history"]).await.object();
    assert_eq!(
        shown["history"][1],
        json!({ "time": "2025-12-29T00:00:00Z", "event": "changed", "fields": ["name", "trained_words"] })
    );
    assert_eq!(shown["history"].as_array().unwrap().len(), 4);
    assert!(bench.world().asked.last().unwrap().contains(r#"name: "models/civitai-1""#));
    assert_eq!(
        bench.run(&["show", "civitai:1", "--history"]).await.out,
        "DreamShaper  civitai:1\n\
         2025-11-22  1 month ago   seen for the first time\n\
         2025-12-29  3 days ago    changed: name, trained words\n\
         2025-12-31  1 day ago     gone from the hub\n\
         2025-12-31  1 minute ago  back on the hub\n"
    );
    assert!(bench.json(&["show", "civitai:1"]).await.object().get("history").is_none());
    bench.world().changes[1].fields = vec!["description".into(); 20];
    bench.columns = Some(50);
    assert_fits(&bench.run(&["show", "civitai:1", "--history"]).await.out, 50);
}

#[tokio::test]
async fn what_the_hub_replaced_or_dropped_is_said() {
    let bench = Bench::new().await;
    let mut model = model(1);
    model.versions[0].gone_time = time(-2 * 86_400);
    model.versions[0].files[0].replaced_time = time(-3 * 86_400);
    model.versions[1].files[0].gone_time = time(-3_600);
    bench.world().models = vec![model];
    let text = bench.run(&["show", "civitai:1"]).await.out;
    for line in [
        "  no longer listed by the hub, which dropped it 2 days ago",
        "    replaced on the hub 3 days ago by another file",
        "    no longer listed by the hub, which dropped it 1 hour ago",
    ] {
        assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line} in\n{text}");
    }
    let versions = bench.json(&["show", "civitai:1"]).await.object()["versions"].clone();
    assert_eq!(versions[0]["gone_time"], "2025-12-30T00:00:00Z");
    assert_eq!(versions[0]["files"][0]["replaced_time"], "2025-12-29T00:00:00Z");
    assert_eq!(
        (&versions[1]["gone_time"], &versions[1]["files"][0]["gone_time"]),
        (&json!(null), &json!("2025-12-31T23:00:00Z"))
    );
}

const CARD: &str = "---\nlicense: mit\n---\n# Emoji *Diffusion*\n\nA **tiny** model, see [the paper](https://arxiv.org/abs/1).\n\n\
    <img src=x><script>alert(1)</script>\n\n| steps | time |\n|---|---|\n| 25 | 3 s\x1b[2J |\n";

#[tokio::test]
async fn a_hugging_face_card_is_read_as_markdown() {
    let mut bench = Bench::new().await;
    let mut card = model(1);
    (card.hub, card.description) = ("hf".into(), CARD.into());
    bench.world().models = vec![card];
    let text = bench.run(&["show", "civitai:1"]).await.out;
    assert!(
        text.contains(
            "\n\nEmoji Diffusion\n\nA tiny model, see the paper (https://arxiv.org/abs/1).\n\nsteps  time\n25     3 s\n\nv20"
        ),
        "{text}"
    );
    assert_eq!(bench.json(&["show", "civitai:1"]).await.object()["description"], CARD, "JSON has every character");
    bench.styled = true;
    let styled = bench.run(&["show", "civitai:1"]).await.out;
    assert!(styled.contains("\x1b[1mEmoji Diffusion\x1b[0m\n\nA \x1b[1mtiny\x1b[0m model"), "{styled}");
    let plain = styled.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "");
    assert!(!plain.chars().any(|c| c != '\n' && is_hazard(c)), "{plain}");
}

#[tokio::test]
async fn a_page_fits_the_terminal() {
    let mut bench = Bench::new().await;
    let mut wide = model(1);
    wide.display_name = "a long name ".repeat(10);
    wide.tags = vec!["tag with words".into(); 20];
    wide.licence = "words ".repeat(40);
    wide.versions[0].display_name = "version ".repeat(10);
    wide.versions[0].trained_words = vec!["some words".into(); 20];
    wide.versions[0].files[0].file_name = "name".repeat(30);
    wide.versions[0].files[0].replaced_time = time(-86_400);
    wide.versions[0].gone_time = time(-86_400);
    for hub in ["hf", "civitai"] {
        (wide.hub, wide.description) = (hub.into(), "word ".repeat(60));
        bench.world().models = vec![wide.clone()];
        for columns in [60, 80] {
            bench.columns = Some(columns);
            assert_fits(&bench.run(&["show", "civitai:1", "--at", "yesterday"]).await.out, columns);
        }
    }
}
