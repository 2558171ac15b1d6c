//! `follow`, `follows` and `unfollow`.

use super::fake::{failure, time};
use super::{Bench, assert_fits, assert_has};
use paintbox_proto::v1;
use serde_json::json;

const LISTED: v1::BackfillPreview = v1::BackfillPreview {
    listed_models: 12,
    listed_versions: 40,
    files: 34,
    bytes: 112_000_000_000,
    free_bytes: 300_000_000_000,
};

async fn bench_with_a_list() -> Bench {
    let bench = Bench::new().await;
    bench.world().listed = LISTED;
    bench
}

/// How often the daemon was asked to create a follow, and how often only what that would mean.
fn asked(bench: &Bench) -> (usize, usize) {
    let asked = bench.world().asked.clone();
    let of = |flag: &str| asked.iter().filter(|asked| asked.contains("Follow") && asked.contains(flag)).count();
    (of("validate_only: false"), of("validate_only: true"))
}

#[tokio::test]
async fn following_records_what_is_there_and_fetches_what_comes_after() {
    let bench = bench_with_a_list().await;
    let ended = bench.run(&["follow", "civitai:Konan"]).await;
    assert_eq!(
        ended.out,
        "Following civitai:Konan, from now on.\n\
         What is already there (12 models, 40 versions) is recorded as seen; only what comes after is fetched.\n"
    );
    assert!(ended.notes.contains("`paintbox follow civitai:Konan --update --backfill all`"), "{}", ended.notes);
    assert!(ended.notes.contains("The next check is in 5 minutes."), "{}", ended.notes);
    assert!(!ended.notes.contains("other flags"), "{}", ended.notes);
    let limited = bench.run(&["follow", "hf:me", "--format", "gguf"]).await.notes;
    assert!(limited.contains("with the other flags again"), "an update would drop them: {limited}");
    assert_eq!(asked(&bench), (2, 0), "the hub's list is not read twice for nothing");
    assert!(bench.world().asked[0].contains("backfill: \"\""), "the configuration decides");
}

#[tokio::test]
async fn commands_to_go_on_with_can_be_pasted() {
    let bench = bench_with_a_list().await;
    let notes = bench.run(&["follow", "civitai:search:it's ink"]).await.notes;
    assert!(notes.contains(r"`paintbox plan 'civitai:search:it'\''s ink'`"), "{notes}");
    assert!(notes.contains(r"`paintbox follow 'civitai:search:it'\''s ink' --update --backfill all`"), "{notes}");
}

#[tokio::test]
async fn follow_and_unfollow_print_the_follow() {
    let bench = bench_with_a_list().await;
    bench.world().is_terse = true;
    let follow = bench.json(&["follow", "civitai:Konan", "--backfill", "3"]).await.object();
    assert_has(
        &follow,
        &["name", "target", "hub", "policy", "state", "last_check_time", "next_check_time", "new", "pending", "error"],
    );
    assert_eq!(
        (&follow["name"], &follow["policy"]["backfill"], &follow["pending"], &follow["next_check_time"]),
        (&json!("follows/civitai-konan"), &json!("3"), &json!(3), &json!("2026-01-01T00:05:00Z"))
    );
    assert_eq!(
        follow["backfill_preview"],
        json!({ "listed_models": 12, "listed_versions": 40, "files": 34, "bytes": 112_000_000_000_u64, "free_bytes": 300_000_000_000_u64 })
    );
    assert_eq!(bench.json(&["unfollow", "civitai:Konan"]).await.object()["target"], "civitai:Konan");
    let ended = bench.json(&["unfollow", "civitai:Konan"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("FOLLOW_NOT_FOUND")));
    let follow = bench.json(&["follow", "hf:me"]).await.object();
    assert_eq!(follow["backfill_preview"], json!(null));
    assert_eq!(
        bench.run(&["unfollow", "hf:me"]).await.out,
        "No longer following hf:me. Nothing was deleted: what it brought stays.\n\
         It no longer waits for 3 files that had not arrived yet.\n"
    );
}

#[tokio::test]
async fn every_flag_reaches_the_daemon() {
    let bench = bench_with_a_list().await;
    let words = "follow civitai:Konan --backfill since:2026-01-31 --kind lora --kind checkpoint --format gguf \
                 --max-file-size 8GB --max-total-size 200GiB --keep-last 2 --max-maturity PG13 --early-access never \
                 --notify-only --tag art --exclude-tag meme --quiet-hours 22:00-7:00 --max-rate 5MB --priority -3";
    let mut words: Vec<&str> = words.split_whitespace().collect();
    words.extend(["--base-model", "SDXL 1.0"]);
    let policy = bench.json(&words).await.object()["policy"].clone();
    assert_eq!(
        policy,
        json!({
            "backfill": "since:2026-01-31",
            "kinds": ["lora", "checkpoint"],
            "base_models": ["SDXL 1.0"],
            "formats": ["gguf"],
            "max_file_bytes": 8_000_000_000_u64,
            "max_total_bytes": 214_748_364_800_u64,
            "keep_last": 2,
            "max_maturity": "pg13",
            "early_access": "never",
            "notify_only": true,
            "include_tags": ["art"],
            "exclude_tags": ["meme"],
            "quiet_hours": "22:00-07:00",
            "max_bytes_per_second": 5_000_000,
            "priority": -3,
        })
    );
    assert_eq!(asked(&bench), (1, 1));
    let unsaid = bench.json(&["follow", "hf:me"]).await.object()["policy"].clone();
    assert_eq!(
        (&unsaid["backfill"], &unsaid["early_access"], &unsaid["kinds"], &unsaid["quiet_hours"]),
        (&json!("none"), &json!("wait"), &json!([]), &json!(null))
    );
}

#[tokio::test]
async fn flags_that_make_no_sense_never_reach_the_daemon() {
    let bench = Bench::new().await;
    for words in [
        ["--backfill", "since:last week"],
        ["--kind", "sculpture"],
        ["--format", "pickle"],
        ["--max-file-size", "8"],
        ["--max-total-size", "lots"],
        ["--keep-last", "0"],
        ["--max-maturity", "xxxx"],
        ["--early-access", "always"],
        ["--quiet-hours", "22"],
        ["--max-rate", "0MB"],
        ["--priority", "high"],
    ] {
        let ended = bench.json(&[&["follow", "civitai:Konan"], &words[..]].concat()).await;
        assert_eq!((ended.code, &ended.error()["reason"]), (2, &json!("INVALID_ARGUMENT")), "{words:?}");
    }
    assert!(bench.world().asked.is_empty());
}

#[tokio::test]
async fn earlier_work_is_sized_up_before_it_is_asked_for() {
    let mut bench = bench_with_a_list().await;
    let size = "That is 34 files, 112 GB; 300 GB are free.\n";
    let words = ["follow", "civitai:Konan", "--backfill", "all"];
    bench.company = true;
    for no in ["n\n", "no\n", "what?\n", ""] {
        bench.input = no.into();
        let ended = bench.run(&words).await;
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{no:?}");
        assert!(ended.notes.starts_with(&format!("{size}Follow? [Y/n] ")), "{}", ended.notes);
        assert!(ended.notes.ends_with("Nothing is followed.\n"), "{}", ended.notes);
    }
    assert_eq!(asked(&bench), (0, 4), "no is no");
    for yes in ["\n", "y\n", "Yes\n"] {
        bench.input = yes.into();
        assert_eq!(bench.run(&words).await.out, "Following civitai:Konan, with all earlier work.\n", "{yes:?}");
        bench.world().follows.clear();
    }
    bench.input = String::new();
    let ended = bench.run(&[&words[..], &["--yes"]].concat()).await;
    assert!(ended.code == 0 && ended.notes.starts_with(size) && !ended.notes.contains("[Y/n]"), "{ended:?}");
    bench.world().follows.clear();
    assert_eq!(bench.json(&words).await.code, 0, "programs are not asked");
    bench.world().follows.clear();
    bench.company = false;
    let ended = bench.run(&words).await;
    assert!(ended.code == 0 && ended.notes.starts_with(size), "nobody is there to ask: {ended:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_unless_it_is_meant() {
    let mut bench = Bench::new().await;
    bench.world().listed = v1::BackfillPreview { free_bytes: 5_000_000_000, ..LISTED };
    bench.company = true;
    bench.input = "y\n".into();
    let words = ["follow", "civitai:Konan", "--backfill", "5"];
    let ended = bench.json(&words).await;
    let error = ended.error();
    assert_eq!((ended.code, &error["reason"]), (1, &json!("DISK_FULL")));
    assert_eq!(error["message"], "civitai:Konan would bring 34 files, 112 GB, and only 5.00 GB are free");
    assert_eq!(
        error["metadata"],
        json!({ "target": "civitai:Konan", "files": "34", "bytes": "112000000000", "free_bytes": "5000000000" })
    );
    assert_eq!(bench.run(&words).await.code, 1);
    assert_eq!(asked(&bench), (0, 2));
    assert_eq!(bench.run(&[&words[..], &["-y"]].concat()).await.code, 0);
    assert_eq!(asked(&bench), (1, 3));
}

#[tokio::test]
async fn a_configured_backfill_is_told_with_its_size() {
    let bench = bench_with_a_list().await;
    bench.world().configured_backfill = "5".into();
    assert_eq!(
        bench.run(&["follow", "civitai:Konan"]).await.out,
        "Following civitai:Konan, with the newest 5 of the earlier versions.\n\
         That is 34 files, 112 GB; 300 GB are free.\n"
    );
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let bench = bench_with_a_list().await;
    let words = ["follow", "civitai:Konan", "--dry-run"];
    let follow = bench.json(&words).await.object();
    assert_eq!(
        (&follow["name"], &follow["state"], &follow["backfill_preview"]["files"]),
        (&json!(null), &json!(null), &json!(34))
    );
    let text = bench.run(&[&words[..], &["--backfill", "all"]].concat()).await;
    assert_eq!(
        text.out,
        "Would follow civitai:Konan, with all earlier work.\nThat is 34 files, 112 GB; 300 GB are free.\n"
    );
    assert!(bench.run(&words).await.out.contains("is recorded as seen"));
    assert_eq!(asked(&bench).0, 0);
    assert!(bench.world().follows.is_empty());
}

#[tokio::test]
async fn an_update_replaces_the_policy() {
    let mut bench = bench_with_a_list().await;
    let ended = bench.json(&["follow", "civitai:Konan", "--update", "--kind", "lora"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("FOLLOW_NOT_FOUND")));
    bench.run(&["follow", "civitai:Konan", "--keep-last", "2"]).await;
    let ended = bench.json(&["follow", "civitai:Konan"]).await;
    let error = ended.error();
    assert_eq!((ended.code, &error["reason"]), (1, &json!("FOLLOW_EXISTS")));
    assert!(error["hint"].as_str().unwrap().contains("--update"), "{error}");
    let follow = bench.json(&["follow", "civitai:Konan", "--update", "--kind", "lora"]).await.object();
    assert_eq!(
        (&follow["policy"]["kinds"], &follow["policy"]["keep_last"], &follow["name"]),
        (&json!(["lora"]), &json!(null), &json!("follows/civitai-konan"))
    );
    bench.company = true;
    bench.input = "n\n".into();
    let ended = bench.run(&["follow", "civitai:Konan", "--update", "--backfill", "all"]).await;
    assert!(ended.notes.contains("Change it? [Y/n] Nothing was changed."), "{}", ended.notes);
    assert_eq!(bench.world().follows[0].policy.as_ref().unwrap().backfill, "none");
    bench.input = "\n".into();
    let ended = bench.run(&["follow", "civitai:Konan", "--update", "--backfill", "all"]).await;
    assert_eq!(ended.out, "Changed: following civitai:Konan, with all earlier work.\n");
    assert_eq!(bench.world().follows[0].policy.as_ref().unwrap().backfill, "all");
}

#[tokio::test]
async fn refusals_say_what_can_be_done() {
    let bench = Bench::new().await;
    for (target, code, reason, hint) in [
        ("nohub", 2, "INVALID_REFERENCE", "do something else"),
        ("civitai:nobody", 1, "CREATOR_NOT_FOUND", "do something else"),
        ("civitai:collection:7", 3, "LIST_NOT_OFFERED", "the hub shows this list on its pages only"),
        ("civitai:asleep", 1, "HUB_DOWN", "nothing is lost"),
    ] {
        let ended = bench.json(&["follow", target]).await;
        let error = ended.error();
        assert_eq!((ended.code, &error["reason"]), (code, &json!(reason)), "{target}");
        assert!(error["hint"].as_str().unwrap().starts_with(hint), "{error}");
    }
}

fn follows() -> Vec<v1::Follow> {
    let policy = v1::FollowPolicy {
        backfill: "all".into(),
        kinds: vec!["lora".into()],
        max_maturity: "r".into(),
        ..Default::default()
    };
    let failing = v1::Follow {
        name: "follows/hf-me".into(),
        target: "hf:me".into(),
        hub: "hf".into(),
        state: v1::follow::State::Failing.into(),
        policy: Some(policy),
        create_time: time(-3 * 86_400),
        last_check_time: time(-600),
        new_versions: 2,
        pending_files: 7,
        failure: Some(failure("HUB_UNREACHABLE", "no \x1b[2Janswer")),
        ..Default::default()
    };
    let well = v1::Follow {
        name: "follows/civitai-konan".into(),
        target: "civitai:Konan".into(),
        hub: "civitai".into(),
        state: v1::follow::State::Active.into(),
        next_check_time: time(1_800),
        ..Default::default()
    };
    vec![failing, well]
}

#[tokio::test]
async fn follows_are_printed_as_the_contract_says() {
    let bench = Bench::new().await;
    bench.world().follows = follows();
    let ended = bench.json(&["follows"]).await;
    let objects = ended.objects();
    assert_eq!((ended.code, objects.len()), (0, 2), "both pages are read");
    assert_has(
        &objects[0],
        &["name", "target", "hub", "policy", "state", "last_check_time", "next_check_time", "new", "pending", "error"],
    );
    assert_eq!(objects[0]["last_check_time"], "2025-12-31T23:50:00Z");
    assert_eq!((&objects[0]["next_check_time"], &objects[1]["error"]), (&json!(null), &json!(null)));
    assert_eq!(
        (&objects[0]["new"], &objects[0]["pending"], &objects[0]["policy"]["backfill"]),
        (&json!(2), &json!(7), &json!("all"))
    );
    assert_eq!(objects[1]["policy"]["backfill"], "none", "a follow that says nothing has the default");
    assert_eq!(objects[0]["error"]["reason"], "HUB_UNREACHABLE");
    assert!(objects[0].get("backfill_preview").is_none());
}

#[tokio::test]
async fn follows_are_a_table_with_the_policy_in_a_few_words() {
    let mut bench = Bench::new().await;
    bench.world().follows = follows();
    let ended = bench.run(&["follows"]).await;
    assert_eq!(
        ended.out,
        "TARGET         STATE    NEW  PENDING  LAST CHECK      NEXT CHECK     FETCHES\n\
         hf:me          failing    2        7  10 minutes ago  -              all work; lora; up to R\n\
         civitai:Konan  active     0        0  -               in 30 minutes  new work\n"
    );
    assert_eq!(ended.notes, "hf:me: no answer (look closer)\n");
    bench.columns = Some(75);
    let narrow = bench.run(&["follows"]).await;
    assert_fits(&narrow.out, 75);
    assert_eq!(narrow.out.lines().nth(2).unwrap(), "  all work; lora; up to R", "{}", narrow.out);
    bench.world().follows.clear();
    assert_eq!(
        bench.run(&["follows"]).await.notes,
        "Nothing is followed yet. `paintbox follow civitai:<username>` begins.\n"
    );
}

#[tokio::test]
async fn one_follow_is_shown_in_full() {
    let mut bench = Bench::new().await;
    bench.world().follows = follows();
    for name in ["hf:me", "follows/hf-me"] {
        assert_eq!(bench.json(&["follows", name]).await.object()["target"], "hf:me");
    }
    let text = bench.run(&["follows", "hf:me"]).await.out;
    for line in [
        "state       failing: the last check did not succeed",
        "followed    3 days ago",
        "last check  10 minutes ago",
        "next check  not planned",
        "new         2 versions since the follow began",
        "pending     7 wanted files not here yet",
        "problem     no answer (look closer)",
        "earlier work  all of it",
        "kinds         lora",
        "ratings       up to R",
        "quiet hours   none",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    bench.columns = Some(40);
    assert_fits(&bench.run(&["follows", "hf:me"]).await.out, 40);
    let ended = bench.json(&["follows", "hf:nobody"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("FOLLOW_NOT_FOUND")));
}

#[tokio::test]
async fn what_follow_says_fits_the_terminal() {
    let mut bench = bench_with_a_list().await;
    bench.columns = Some(50);
    for words in [&["follow", "civitai:Konan"][..], &["follow", "hf:me", "--backfill", "all"], &["unfollow", "hf:me"]] {
        let ended = bench.run(words).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_fits(&ended.out, 50);
        assert_fits(&ended.notes, 50);
    }
}
