//! Verbs that only look.

use super::fake::{GENERATION, SYNC_RUN, time};
use super::{Bench, assert_has, fields};
use crate::render::sanitize::is_hazard;
use paintbox_proto::v1;
use serde_json::json;

pub(super) const HOSTILE: &str = "Dream\x1b]0;owned\x07\x1b[31m\u{202e}Shaper\n";

pub(super) fn model(number: u32) -> v1::Model {
    let file = v1::ModelFile {
        file_name: "tiny\u{202e}.safetensors".into(),
        size_bytes: 16_600_000,
        sha256: "74720ba1e684fb89cb28fda39ed8e09adfd75972ee455e33b09dba5e3f94efba".into(),
        format: "safetensors".into(),
        state: v1::model_file::State::Verified.into(),
        paths: vec!["/store/a b/tiny.safetensors".into()],
        ..Default::default()
    };
    let preview = |generation_json: &str| v1::Preview {
        asset: "assets/aa".into(),
        thumbnail: "assets/bb".into(),
        small_thumbnail: "assets/cc".into(),
        blurhash: "UKTSUA~qfQ~q~qoffQoffQfQfQfQ~qoffQof".into(),
        width: 64,
        height: 48,
        nsfw_level: 1,
        generation_json: generation_json.into(),
    };
    let version = |id: u32| v1::ModelVersion {
        name: format!("models/civitai-{number}/versions/{id}"),
        r#ref: format!("civitai:{number}@{id}"),
        display_name: format!("v{id}"),
        base_model: "SD 1.5".into(),
        trained_words: vec!["emoji".into()],
        published_time: time(-86_400),
        early_access_until: Some(prost_types::Timestamp::default()),
        files: vec![file.clone()],
        previews: vec![
            preview(r#"{"prompt":"x","seed":12345678901234}"#),
            preview("not json"),
            preview("[1]"),
            v1::Preview::default(),
        ],
        ..Default::default()
    };
    v1::Model {
        name: format!("models/civitai-{number}"),
        r#ref: format!("civitai:{number}"),
        display_name: HOSTILE.into(),
        hub: "civitai".into(),
        kind: "checkpoint".into(),
        base_model: "SD 1.5".into(),
        creator: "konan".into(),
        downloaded: true,
        nsfw_level: 3,
        tags: vec!["anime".into(), "\x1b[2Jtag".into()],
        published_time: time(-3 * 86_400),
        downloads: Some(12_345),
        state: v1::model::State::Published.into(),
        description: "<p>Hello &#27;[2J <b>you</b></p><script>x</script>".into(),
        versions: vec![version(20), version(10)],
        ..Default::default()
    }
}

#[tokio::test]
async fn a_file_on_a_volume_that_is_not_connected_is_told_to_be_there() {
    let bench = Bench::new().await;
    let mut away = model(1);
    away.versions.truncate(1);
    away.versions[0].files[0].set_state(v1::model_file::State::Away);
    bench.world().models = vec![away];
    let page = bench.run(&["show", "civitai:1"]).await.out;
    let wanted = "
  tiny.safetensors  16.6 MB  safetensors  away  74720ba1e6
    /store/a b/tiny.safetensors
    here, but on a volume that is not connected now
";
    assert!(page.contains(wanted), "{page}");
    assert_eq!(bench.json(&["show", "civitai:1"]).await.object()["versions"][0]["files"][0]["state"], "away");
}

#[tokio::test]
async fn a_file_whose_header_was_edited_is_told_to_be_the_hubs_all_the_same() {
    let bench = Bench::new().await;
    let mut edited = model(1);
    edited.versions.truncate(1);
    let file = &mut edited.versions[0].files[0];
    (file.state, file.edited_header) = (v1::model_file::State::Unverified.into(), true);
    bench.world().models = vec![edited];
    let page = bench.run(&["show", "civitai:1"]).await.out;
    let wanted = "    the hub's file with an edited header: the same tensors, other bytes\n";
    assert!(page.contains(wanted), "{page}");
    let object = bench.json(&["show", "civitai:1"]).await.object();
    assert_eq!(object["versions"][0]["files"][0]["edited_header"], true);
}

#[tokio::test]
async fn search_reads_every_page_and_stops_at_the_limit() {
    let bench = Bench::new().await;
    bench.world().models = (1..=5).map(model).collect();
    let found = bench.json(&["search", "dream", "shap"]).await.objects();
    assert_eq!(
        found.iter().map(|model| model["ref"].as_str().unwrap()).collect::<Vec<_>>(),
        ["civitai:1", "civitai:2", "civitai:3", "civitai:4", "civitai:5"]
    );
    assert_has(
        &found[0],
        &[
            "ref",
            "name",
            "hub",
            "kind",
            "base_model",
            "architecture",
            "creator",
            "downloaded",
            "nsfw_level",
            "tags",
            "published_time",
            "stats",
        ],
    );
    assert_eq!((&found[0]["stats"]["downloads"], &found[0]["architecture"]), (&json!(12_345), &json!(null)));
    assert_eq!(found[0]["name"], HOSTILE, "JSON says every character");
    assert_eq!(bench.json(&["search", "--limit", "3"]).await.objects().len(), 3);
    assert!(bench.world().asked[0].contains(r#"query: "dream shap""#));
    bench
        .json(&[
            "search",
            "--kind",
            "lora",
            "--hub",
            "civitai",
            "--base",
            "SDXL 1.0",
            "--creator",
            "k",
            "--architecture",
            "sd1",
            "--downloaded",
        ])
        .await;
    let asked = bench.world().asked.last().unwrap().clone();
    for part in [
        r#"kind: "lora""#,
        r#"hub: "civitai""#,
        r#"base_model: "SDXL 1.0""#,
        r#"creator: "k""#,
        r#"architecture: "sd1""#,
        "downloaded: Some(true)",
    ] {
        assert!(asked.contains(part), "{part} in {asked}");
    }
}

#[tokio::test]
async fn a_search_says_what_it_means_in_one_filter() {
    let bench = Bench::new().await;
    bench.json(&["search", "--filter", "kind:lora OR kind:vae", "--sort", "newest"]).await;
    let asked = bench.world().asked.last().unwrap().clone();
    assert!(asked.contains(r#"filter: "kind:lora OR kind:vae", order_by: "created desc""#), "{asked}");
    let arguments = [
        "search",
        "--filter",
        "a",
        "--tag",
        "a \"b\"",
        "--tag",
        "c",
        "--nsfw",
        "soft",
        "--created-after",
        "2026-01",
        "--created-before",
        "2026",
        "--sort",
        "size:asc",
    ];
    bench.json(&arguments).await;
    let asked = bench.world().asked.last().unwrap().clone();
    let filter = r#"(a) AND tag:"a \"b\"" AND tag:"c" AND nsfw<="soft" AND created>="2026-01" AND created<"2026""#;
    assert!(asked.contains(&format!("filter: {filter:?}, order_by: \"size\"")), "{asked}");
    let ended = bench.json(&["search", "--filter", "kin:lora"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (2, &json!("FILTER_INVALID")));
    assert_eq!(bench.run(&["search", "--sort", "colour"]).await.code, 2);
}

#[tokio::test]
async fn what_is_found_is_counted_behind_the_models() {
    let bench = Bench::new().await;
    bench.world().models = (1..=5).map(model).collect();
    let found = bench.json(&["search", "--facets", "kind,base"]).await.objects();
    assert_eq!(found.len(), 7);
    assert_eq!(found[6]["facet"], "base");
    assert_eq!(found[5]["values"][0], json!({"value": "lora", "models": 1_200}));
    let page = bench.run(&["search", "new", "--facets", "kind", "--limit", "1"]).await;
    let lines: Vec<Vec<&str>> = page.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.windows(2).any(|two| two == [["KIND", "MODELS"], ["lora", "1,200"]]), "{}", page.out);
    assert!(page.notes.contains("The first 1 of 5") && page.notes.contains("still being made ready"), "{}", page.notes);
    assert!(!bench.run(&["search"]).await.out.contains("MODELS"));
}

#[tokio::test]
async fn words_that_were_put_right_are_said() {
    let bench = Bench::new().await;
    bench.world().models = vec![model(1)];
    let notes = bench.run(&["search", "draem"]).await.notes;
    assert!(notes.contains("Nothing matches `draem`; showing `dream"), "{notes}");
    assert!(!notes.chars().any(|c| c != '\n' && is_hazard(c)), "{notes}");
    assert_eq!(bench.json(&["search", "draem"]).await.objects().len(), 1);
    let found = bench.json(&["search", "draem", "--corrections"]).await.objects();
    assert_eq!((found.len(), &found[1]["corrected_query"]), (2, &json!("dream\u{1b}[2J")));
}

#[tokio::test]
async fn pages_that_lead_to_themselves_end_the_search() {
    let bench = Bench::new().await;
    let ended = bench.json(&["search", "loop"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("INTERNAL")));
}

#[tokio::test]
async fn nothing_a_hub_says_can_steer_the_terminal() {
    let mut bench = Bench::new().await;
    bench.world().models = vec![model(1)];
    for columns in [None, Some(60)] {
        bench.columns = columns;
        for words in
            [&["search"][..], &["show", "civitai:1"], &["jobs"], &["--json", "show", "civitai:1"], &["--json", "jobs"]]
        {
            let ended = bench.run(words).await;
            assert_eq!(ended.code, 0, "{ended:?}");
            assert!(!ended.out.chars().any(|c| c != '\n' && is_hazard(c)), "{words:?}: {}", ended.out);
        }
    }
}

#[tokio::test]
async fn search_results_fit_the_terminal() {
    let mut bench = Bench::new().await;
    let mut long = model(1);
    long.display_name = "日本語 ".repeat(30);
    bench.world().models = vec![long, model(2)];
    bench.columns = Some(100);
    let text = bench.run(&["search"]).await.out;
    let widths: Vec<usize> = text.lines().map(unicode_width::UnicodeWidthStr::width).collect();
    assert_eq!(widths.len(), 3);
    assert!(widths.iter().all(|width| *width <= 100), "{widths:?}\n{text}");
    assert!(text.contains("3 days ago") && text.contains("12,345"), "{text}");
    bench.world().models[0].r#ref = "hf:some-organisation/a-repository-with-a-name".into();
    bench.columns = Some(80);
    let text = bench.run(&["search"]).await.out;
    super::assert_fits(&text, 80);
    assert!(!text.contains("DOWNLOADS") && text.contains("NAME") && text.contains("HERE"), "{text}");
}

#[tokio::test]
async fn show_prints_the_whole_model() {
    let bench = Bench::new().await;
    bench.world().models = vec![model(1)];
    let shown = bench.json(&["show", "civitai:1"]).await.object();
    assert_has(&shown, &["ref", "name", "stats", "description", "licence", "versions", "selected_version"]);
    assert_eq!(shown["selected_version"], json!(null));
    let version = &shown["versions"][0];
    assert_has(version, &["ref", "name", "base_model", "trained_words", "published_time", "files", "previews"]);
    assert_eq!((&version["early_access"], &version["early_access_until"]), (&json!(true), &json!(null)));
    assert_has(&version["files"][0], &["name", "size_bytes", "sha256", "format", "state", "paths"]);
    let previews = version["previews"].as_array().unwrap();
    assert_eq!(previews[0]["generation"], json!({ "prompt": "x", "seed": 12_345_678_901_234_u64 }));
    assert_eq!(
        (&previews[1]["generation"], &previews[2]["generation"]),
        (&json!({}), &json!({})),
        "no object, no data"
    );
    for (key, known) in [
        ("asset", json!("aa")),
        ("thumbnail", json!("bb")),
        ("small_thumbnail", json!("cc")),
        ("blurhash", json!("UKTSUA~qfQ~q~qoffQoffQfQfQfQ~qoffQof")),
    ] {
        assert_eq!((&previews[0][key], &previews[3][key]), (&known, &json!(null)), "{key}");
    }
    let shown = bench.json(&["show", "civitai:1@10"]).await.object();
    assert_eq!(shown["selected_version"], "civitai:1@10");
}

#[tokio::test]
async fn show_reads_as_a_page() {
    let bench = Bench::new().await;
    bench.world().models = vec![model(1)];
    assert_eq!(
        bench.run(&["show", "civitai:1@10"]).await.out,
        "DreamShaper\n\
         reference   civitai:1\n\
         kind        checkpoint\n\
         base model  SD 1.5\n\
         creator     konan\n\
         published   3 days ago\n\
         downloads   12,345\n\
         rating      PG-13\n\
         tags        anime, tag\n\
         \n\
         Hello you\n\
         \n\
         v10  civitai:1@10  SD 1.5  1 day ago\n\
         \x20 early access, without a known end\n\
         \x20 trigger words: emoji\n\
         \x20 tiny.safetensors  16.6 MB  safetensors  verified  74720ba1e6\n\
         \x20   /store/a b/tiny.safetensors\n\
         \x20 4 example images, 3 of them here, 3 with a recipe (--json prints it)\n\
         \x20 prompt: x\n\
         \n\
         1 other version: `paintbox show civitai:1`\n\
         `paintbox show civitai:1 --history` says when and how its page changed\n"
    );
}

#[tokio::test]
async fn open_prints_the_page_or_the_folder() {
    let bench = Bench::new().await;
    bench.world().models = vec![model(1)];
    assert_eq!(bench.run(&["open", "civitai:1@10"]).await.out, "https://civitai.com/models/1?modelVersionId=10\n");
    assert_eq!(bench.json(&["open", "civitai:1", "--folder"]).await.object(), json!({ "path": "/store/a b" }));
}

#[tokio::test]
async fn a_file_that_no_hub_lists_has_a_folder_and_no_page() {
    let bench = Bench::new().await;
    let mut local = model(17);
    (local.hub, local.r#ref) = ("local".into(), "local:17".into());
    bench.world().models = vec![local];
    assert_eq!(bench.run(&["open", "local:17"]).await.out, "/store/a b\n");
    assert_eq!(bench.json(&["open", "local:17"]).await.object(), json!({ "path": "/store/a b" }));
    let page = bench.run(&["show", "local:17"]).await.out;
    assert!(page.contains("\nhub         none is known to list it\n"), "{page}");

    let identity = v1::LocalIdentity {
        state: v1::local_identity::State::Claimed.into(),
        claimed_ref: "civitai:4384@128713".into(),
        claimed_by: "a\u{202e}.civitai.info".into(),
        asked_time: time(-86_400),
    };
    bench.world().models[0].identity = Some(identity);
    let page = bench.run(&["show", "local:17"]).await.out;
    assert!(page.contains("says that it is civitai:4384@128713, which nothing confirms"), "{page}");
    assert!(!page.replace('\n', "").contains(is_hazard), "{page:?}");
    let object = bench.json(&["show", "local:17"]).await.object();
    assert_eq!(
        (&object["identity"]["state"], &object["identity"]["claimed_ref"]),
        (&json!("claimed"), &json!("civitai:4384@128713"))
    );
}

#[tokio::test]
async fn an_unknown_model_is_an_error_with_a_reason() {
    let bench = Bench::new().await;
    let ended = bench.json(&["show", "civitai:9"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    let error = ended.error();
    assert_eq!(
        (&error["reason"], &error["hint"], &error["metadata"]),
        (&json!("MODEL_NOT_FOUND"), &json!("do something else"), &json!({ "given": "x" }))
    );
    let text = bench.run(&["show", "civitai:9"]).await;
    assert_eq!(text.notes, "error: no model of that reference is in the catalogue\nhint: do something else\n");
}

#[tokio::test]
async fn jobs_are_newest_first_across_kinds() {
    let bench = Bench::new().await;
    let jobs = bench.json(&["jobs"]).await.objects();
    assert_eq!(
        jobs.iter().map(|job| job["name"].as_str().unwrap()).collect::<Vec<_>>(),
        [GENERATION, SYNC_RUN, GENERATION]
    );
    assert_eq!(
        (&jobs[0]["kind"], &jobs[0]["state"], &jobs[1]["kind"], &jobs[1]["bytes"]),
        (&json!("generation"), &json!("succeeded"), &json!("sync"), &json!(16_000_000))
    );
    assert_eq!(jobs[2]["error"]["reason"], "INTERRUPTED");
    assert_eq!(bench.json(&["jobs", "--limit", "1"]).await.objects().len(), 1);
    let runs = bench.json(&["jobs", "--syncs", "--filter", "state:succeeded"]).await.objects();
    assert_eq!((runs.len(), &runs[0]["kind"]), (1, &json!("sync")));
    let asked = bench.world().asked.last().cloned().unwrap();
    assert!(asked.starts_with("ListSyncRunsRequest") && asked.contains("\"state:succeeded\""), "{asked}");
    let text = bench.run(&["jobs"]).await.out;
    assert!(text.contains("“red heart” with civitai:1") && text.contains("1 minute ago"), "{text}");
}

#[tokio::test]
async fn a_job_is_found_by_its_name_or_by_what_is_behind_the_slash() {
    let bench = Bench::new().await;
    let generation = bench.json(&["job", GENERATION.split_once('/').unwrap().1]).await.object();
    assert_eq!((&generation["name"], &generation["images"][0]["seed"]), (&json!(GENERATION), &json!(7)));
    let run = bench.json(&["job", SYNC_RUN.split_once('/').unwrap().1]).await.object();
    assert_eq!((&run["name"], &run["state"]), (&json!(SYNC_RUN), &json!("running")));
    let ended = bench.json(&["job", "nothing"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("JOB_NOT_FOUND")));
    assert_eq!(bench.json(&["job", SYNC_RUN, "--cancel"]).await.object()["state"], "cancelled");
    assert_eq!(bench.json(&["job", GENERATION, "--cancel"]).await.object()["state"], "cancelled");
}

#[tokio::test]
async fn watching_a_job_ends_with_it() {
    let bench = Bench::new().await;
    let events = bench.json(&["job", GENERATION, "--watch"]).await.objects();
    assert_eq!(events.last().unwrap()["event"], "done");
    assert_eq!(events.last().unwrap()["images"][0]["path"], json!(null));
    let events = bench.json(&["job", SYNC_RUN, "--watch"]).await.objects();
    assert_eq!(fields(events.last().unwrap())[..3], ["already_had", "bytes", "event"]);
}
