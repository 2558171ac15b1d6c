//! `plan`: one object an operation for programs; for people what matters first, and why the rest is left.

use super::looking::HOSTILE;
use super::{Bench, assert_fits, assert_has};
use crate::render::sanitize::is_hazard;
use paintbox_proto::v1;
use serde_json::json;

fn operation(op: &str, version: &str, file: &str, size_bytes: u64, reason: &str) -> v1::PlanOperation {
    v1::PlanOperation {
        op: op.into(),
        follow: "civitai:konan".into(),
        version: version.into(),
        file: file.into(),
        size_bytes,
        reason: reason.into(),
        detail: format!("because of {reason}"),
        model_name: HOSTILE.into(),
    }
}

/// A model with something new, one with nothing but earlier work, and one of which a whole version is left.
fn plan() -> Vec<v1::PlanOperation> {
    let mut plan = vec![
        operation("fetch", "civitai:1@2", "a.safetensors", 16_600_000, "wanted"),
        operation("skip", "civitai:1@2", "a.pickle", 10, "pickle_refused"),
        operation("preview", "civitai:1@2", "https://example.org/1.png", 0, "preview_missing"),
        operation("preview", "civitai:1@2", "https://example.org/2.png", 0, "preview_missing"),
    ];
    plan.extend((10..15).map(|id| operation("skip", &format!("civitai:1@{id}"), "", 1_000, "before_follow")));
    plan.push(operation("skip", "civitai:7@8", "", 0, "before_follow"));
    plan.push(operation("skip", "civitai:9@9", "", 0, "gated"));
    plan
}

#[tokio::test]
async fn a_plan_is_one_object_an_operation() {
    let bench = Bench::new().await;
    bench.world().operations = plan();
    let objects = bench.json(&["plan", "civitai:konan"]).await.objects();
    assert_eq!(objects.len(), plan().len());
    assert_has(&objects[0], &["op", "follow", "version", "file", "size_bytes", "reason", "detail", "model"]);
    assert_eq!(objects[1]["reason"], "pickle_refused");
    assert!(bench.world().asked[0].contains("civitai:konan"));
}

#[tokio::test]
async fn a_plan_says_what_is_new_and_sums_up_what_is_left() {
    let bench = Bench::new().await;
    bench.world().operations = plan();
    let ended = bench.run(&["plan"]).await;
    assert_eq!(
        ended.out,
        "DreamShaper  civitai:1  (follow civitai:konan)\n\
         \x20 fetch    a.safetensors     2  16.6 MB  because of wanted\n\
         \x20 skip     a.pickle          2     10 B  because of pickle_refused\n\
         \x20 preview  2 example images              because of preview_missing\n\
         \x20 skip     5 versions           5.00 kB  published before you followed\n\
         DreamShaper  civitai:9  (follow civitai:konan)\n\
         \x20 skip  the whole version  9    because of gated\n\
         1 file to fetch, 16.6 MB; 0 kept; 8 skipped; 2 example images\n\
         \x20 6 skipped: published before you followed civitai:konan\n\
         \x20 1 skipped: Python pickles, which can run anything when they are opened\n\
         \x20 1 skipped: behind terms that have to be accepted on their page\n"
    );
    assert_eq!(
        ended.notes,
        "1 model with nothing but earlier work not listed; `--only skip` lists everything skipped.\n"
    );
}

#[tokio::test]
async fn only_one_sort_of_operation_is_shown_when_asked_for() {
    let bench = Bench::new().await;
    bench.world().operations = plan();
    for (only, count) in [("fetch", 1), ("skip", 8), ("keep", 0), ("preview", 2)] {
        let objects = bench.json(&["plan", "--only", only]).await.objects();
        assert_eq!(objects.len(), count, "{only}");
        assert!(objects.iter().all(|object| object["op"] == only), "{only}");
    }
    let skipped = bench.run(&["plan", "--only", "skip"]).await;
    assert!(skipped.out.contains("civitai:7") && !skipped.out.contains("a.safetensors"), "{}", skipped.out);
    assert!(skipped.out.contains("\n1 file to fetch, 16.6 MB;"), "the sum is of the whole plan: {}", skipped.out);
    assert_eq!(skipped.notes, "", "nothing is left out");
    let ended = bench.json(&["plan", "--only", "fetched"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (2, &json!("INVALID_ARGUMENT")));
}

#[tokio::test]
async fn a_plan_fits_the_terminal_and_does_not_steer_it() {
    let mut bench = Bench::new().await;
    let mut long = operation("skip", "civitai:1@2", &"long name ".repeat(20), 5, "too_large");
    long.model_name = format!("{HOSTILE} {}", "日本語 ".repeat(20));
    long.detail = "many words ".repeat(20);
    bench.world().operations = [plan(), vec![long]].concat();
    for columns in [40, 80] {
        bench.columns = Some(columns);
        let ended = bench.run(&["plan"]).await;
        assert_fits(&ended.out, columns);
        assert_fits(&ended.notes, columns);
        assert!(!ended.out.chars().any(|c| c != '\n' && is_hazard(c)), "{}", ended.out);
    }
}
