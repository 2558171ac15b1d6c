//! `verify`.

use super::Bench;
use super::doing::interrupted;
use super::fake::{Fate, failure};
use super::looking::HOSTILE;
use crate::render::sanitize::is_hazard;
use paintbox_proto::v1;
use serde_json::json;

fn far(files_done: u64, finding: Option<v1::VerifyFinding>) -> v1::VerifyFilesResponse {
    v1::VerifyFilesResponse {
        files_done,
        files_total: 412,
        bytes_done: files_done * 3_000_000_000,
        bytes_total: 412 * 3_000_000_000,
        finding,
        done: false,
    }
}

fn done() -> v1::VerifyFilesResponse {
    v1::VerifyFilesResponse { done: true, ..far(412, None) }
}

fn finding(problem: &str, action: &str) -> v1::VerifyFinding {
    v1::VerifyFinding {
        version: "civitai:1@2".into(),
        file: "tiny.safetensors".into(),
        path: "/store/ab/cd".into(),
        problem: problem.into(),
        action: action.into(),
        ..Default::default()
    }
}

fn unreadable() -> v1::VerifyFinding {
    let error = Some(failure("STORE_FAILED", "the disk does not give it"));
    v1::VerifyFinding { version: String::new(), file: String::new(), error, ..finding("unreadable", "nothing") }
}

#[tokio::test]
async fn files_that_are_all_sound_end_with_one_sentence() {
    let bench = Bench::new().await;
    bench.world().store.verified = vec![far(1, None), far(200, None), done()];
    let ended = bench.run(&["verify"]).await;
    assert_eq!(
        (ended.code, ended.out.as_str(), ended.notes.as_str()),
        (0, "412 files, 1.24 TB read; all as they should be\n", "")
    );
    assert_eq!(bench.world().asked, ["VerifyFilesRequest { references: [], repair: false, unread_for: None }"]);
}

#[tokio::test]
async fn what_is_found_is_told_at_once_and_summed_up() {
    let bench = Bench::new().await;
    let repaired = v1::VerifyFinding { repair_queued: true, ..finding("damaged", "quarantined") };
    bench.world().store.verified = vec![
        far(1, Some(repaired.clone())),
        far(2, Some(repaired)),
        far(3, Some(unreadable())),
        far(4, Some(finding("missing", "forgotten"))),
        far(4, Some(finding("away", "nothing"))),
        done(),
    ];
    let ended = bench.run(&["verify", "--repair", "--unread-for", "7d", "civitai:1", "hf:org/repo"]).await;
    let wanted = "\
damaged: tiny.safetensors of civitai:1@2 at /store/ab/cd; set aside, fetched again
damaged: tiny.safetensors of civitai:1@2 at /store/ab/cd; set aside, fetched again
unreadable: /store/ab/cd; left as it is
  the disk does not give it (look closer)
missing: tiny.safetensors of civitai:1@2 at /store/ab/cd; no longer taken to be here
away: tiny.safetensors of civitai:1@2 at /store/ab/cd; not looked at
412 files, 1.24 TB read; 2 damaged and set aside, fetched again; 1 unreadable and left as it is; 1 missing and no longer taken to be here; 1 away and not looked at
";
    assert_eq!((ended.out.as_str(), ended.notes.as_str(), ended.code), (wanted, "", 1));
    let asked = bench.world().asked[0].clone();
    assert!(asked.contains(r#"references: ["civitai:1", "hf:org/repo"], repair: true"#), "{asked}");
    assert!(asked.contains("unread_for: Some(Duration { seconds: 604800, nanos: 0 })"), "{asked}");
}

#[tokio::test]
async fn what_was_lost_and_not_repaired_can_be_fetched_by_a_command() {
    let bench = Bench::new().await;
    let other = v1::VerifyFinding { version: "civitai:7@8".into(), ..finding("missing", "forgotten") };
    let lost = [finding("damaged", "quarantined"), finding("damaged", "quarantined"), other, unreadable()];
    bench.world().store.verified = lost.into_iter().map(|lost| far(1, Some(lost))).chain([done()]).collect();
    let ended = bench.run(&["verify"]).await;
    assert_eq!(
        (ended.code, ended.notes.as_str()),
        (1, "`paintbox pull civitai:1@2 civitai:7@8` fetches again what was lost; so does --repair by itself.\n")
    );
}

#[tokio::test]
async fn as_json_progress_findings_and_the_end_are_events() {
    let bench = Bench::new().await;
    bench.world().store.verified =
        vec![far(1, None), far(2, Some(finding("damaged", "quarantined"))), far(2, Some(unreadable())), done()];
    let ended = bench.json(&["verify"]).await;
    let progress = |files_done: u64| {
        json!({
            "event": "progress", "files_done": files_done, "files_total": 412,
            "bytes_done": files_done * 3_000_000_000, "bytes_total": 1_236_000_000_000_u64,
        })
    };
    let wanted = [
        progress(1),
        progress(2),
        json!({
            "event": "finding", "version": "civitai:1@2", "file": "tiny.safetensors", "path": "/store/ab/cd",
            "problem": "damaged", "action": "quarantined", "repair_queued": false, "error": null,
        }),
        json!({
            "event": "finding", "version": null, "file": null, "path": "/store/ab/cd", "problem": "unreadable",
            "action": "nothing", "repair_queued": false,
            "error": {
                "reason": "STORE_FAILED", "message": "the disk does not give it", "hint": "look closer",
                "metadata": { "file": "a.safetensors" },
            },
        }),
        progress(412),
        json!({ "event": "done", "files": 412, "bytes": 1_236_000_000_000_u64, "findings": 2 }),
    ];
    assert_eq!((ended.objects(), ended.notes.as_str(), ended.code), (wanted.to_vec(), "", 1));
}

#[tokio::test]
async fn an_interrupted_check_says_that_what_was_read_is_on_record() {
    let bench = Bench::new().await;
    bench.world().fate = Fate::Hangs;
    bench.world().store.verified = vec![far(31, Some(unreadable()))];
    let ended = interrupted(&bench, &["--json", "verify"]).await;
    let error = ended.error();
    assert_eq!((ended.code, &error["reason"]), (130, &json!("CANCELLED")));
    assert_eq!(error["metadata"], json!({ "files_done": "31", "files_total": "412" }));
    assert!(ended.objects().iter().all(|object| object["event"] != "done"), "{ended:?}");
    let ended = interrupted(&bench, &["verify"]).await;
    let wanted = "error: stopped; what was read is on record (31 of 412 files)\nhint: the same command begins with what \
                  was not read for the longest; `--unread-for 1d` leaves out what was read today\n";
    assert_eq!((ended.code, ended.notes.as_str()), (130, wanted));
}

#[tokio::test]
async fn an_answer_cut_short_is_no_clean_bill() {
    let bench = Bench::new().await;
    bench.world().store.verified = vec![far(31, None)];
    let ended = bench.json(&["verify"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("INTERNAL")));
    let ended = bench.json(&["verify", "civitai:999999"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("MODEL_NOT_FOUND")));
}

#[tokio::test]
async fn a_length_of_time_that_is_none_is_refused() {
    let bench = Bench::new().await;
    for words in [&["verify", "--unread-for", "soon"][..], &["verify", "--unread-for", "0d"], &["verify", "--all"]] {
        let ended = bench.json(words).await;
        assert_eq!((ended.code, &ended.error()["reason"]), (2, &json!("INVALID_ARGUMENT")), "{words:?}");
    }
    assert!(bench.world().asked.is_empty());
}

#[tokio::test]
async fn findings_do_not_steer_the_terminal() {
    let mut bench = Bench::new().await;
    let hostile = v1::VerifyFinding {
        version: HOSTILE.into(),
        file: HOSTILE.into(),
        path: HOSTILE.into(),
        problem: HOSTILE.into(),
        action: HOSTILE.into(),
        error: Some(failure("STORE_FAILED", HOSTILE)),
        repair_queued: false,
    };
    bench.world().store.verified = vec![far(1, Some(hostile)), done()];
    bench.columns = Some(40);
    let text = bench.run(&["verify"]).await.out;
    assert!(text.contains("DreamShaper") && !text.chars().any(|c| c != '\n' && is_hazard(c)), "{text:?}");
}

#[tokio::test]
async fn a_command_is_proposed_of_plain_references_only() {
    let bench = Bench::new().await;
    for version in [HOSTILE, "civitai:1@2; reboot", "hf:a/b@$(reboot)", "--repair", ""] {
        let lost = v1::VerifyFinding { version: version.into(), ..finding("damaged", "quarantined") };
        bench.world().store.verified = vec![far(1, Some(lost)), done()];
        assert_eq!(bench.run(&["verify"]).await.notes, "", "{version}");
    }
}
