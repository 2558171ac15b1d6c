//! A new user's way: follow, look at the plan, and have what is published afterwards, and no more than was asked for.

use crate::{blobs, downloads, error, installation, installation_with, ok, other_weights, planned, published_now};
use paintbox_testkit::{CIVITAI_TOKEN, SAMPLE_CREATOR};

/// The sample creator's LoRA, and its only version.
const GREYSCALE: u64 = 64_065;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_follow_fetches_what_comes_after_it_and_nothing_else() {
    let (hub, installed) = installation().await;
    let follow = ok(&installed, &["follow", "civitai:tiny_emoji"]).remove(0);
    assert_eq!(follow["backfill_preview"]["listed_models"], 3, "{follow}");
    assert_eq!(follow["backfill_preview"]["files"], 0, "{follow}");

    // All of what was there is left alone, and the plan says why.
    let plan = ok(&installed, &["plan"]);
    assert_eq!(plan.len(), 3, "{plan:#?}");
    for op in &plan {
        assert_eq!((&op["op"], &op["reason"]), (&"skip".into(), &"before_follow".into()), "{op}");
        assert_eq!(op["detail"], "published before you followed civitai:tiny_emoji");
        assert_eq!(op["follow"], "civitai:tiny_emoji");
        assert!(op["version"].as_str().unwrap().starts_with("civitai:6406"), "{op}");
    }
    let done = ok(&installed, &["sync", "--wait"]).pop().unwrap();
    assert_eq!((&done["planned"], &done["fetched"]), (&0.into(), &0.into()), "{done}");
    assert!(downloads(&hub).is_empty() && blobs(&installed).is_empty());

    // What the contract promises of a follow.
    let follow = ok(&installed, &["follows"]).remove(0);
    for key in
        ["name", "target", "hub", "policy", "state", "last_check_time", "next_check_time", "new", "pending", "error"]
    {
        assert!(follow.get(key).is_some(), "{key} is missing in {follow}");
    }
    assert_eq!((&follow["name"], &follow["hub"]), (&"follows/civitai-tiny_emoji".into(), &"civitai".into()));
    assert_eq!((&follow["state"], &follow["policy"]["backfill"]), (&"active".into(), &"none".into()));
    assert!(follow["last_check_time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{follow}");
    // Nothing is looked at by itself here.
    assert!(follow["next_check_time"].is_null() && follow["error"].is_null(), "{follow}");
    assert_eq!((&follow["new"], &follow["pending"]), (&0.into(), &0.into()));

    hub.add_version(GREYSCALE, published_now("v2", "greyscale-v2.safetensors", other_weights(0x11))).unwrap();
    let done = ok(&installed, &["sync", "--wait"]).pop().unwrap();
    assert_eq!((&done["planned"], &done["fetched"], &done["failed"]), (&1.into(), &1.into(), &0.into()), "{done}");
    let shown = ok(&installed, &["show", "civitai:64065"]).remove(0);
    assert_eq!(shown["versions"][0]["files"][0]["state"], "verified", "{shown:#}");
    assert_eq!(shown["versions"][1]["files"][0]["state"], "absent", "{shown:#}");
    let follow = ok(&installed, &["follows", "civitai:tiny_emoji"]).remove(0);
    assert_eq!((&follow["new"], &follow["pending"]), (&1.into(), &0.into()), "{follow}");
    ok(&installed, &["sync", "--wait"]);
    assert_eq!(ok(&installed, &["follows"])[0]["new"], 1, "a version is new once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_size_of_earlier_work_is_told_before_any_of_it_is_fetched() {
    let (hub, installed) = installation().await;
    let tried = ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all", "--dry-run"]).remove(0);
    let seen = &tried["backfill_preview"];
    assert!(tried["name"].is_null() && tried["policy"]["backfill"] == "all", "{tried}");
    assert!(seen["bytes"].as_u64().unwrap() > 16_000_000 && seen["free_bytes"].as_u64().unwrap() > 0, "{tried}");
    assert!(ok(&installed, &["follows"]).is_empty(), "trying follows nobody");

    // People read it; nothing was fetched when they do.
    let said = installed.paintbox(["follow", "civitai:tiny_emoji", "--backfill", "all"]).unwrap();
    let notes = String::from_utf8(said.stderr).unwrap();
    assert!(said.status.success() && notes.contains(&format!("That is {} files, ", seen["files"])), "{notes}");
    assert!(notes.contains(" are free."), "{notes}");
    assert!(downloads(&hub).is_empty());

    let plan = ok(&installed, &["plan", "--only", "fetch"]);
    assert_eq!(plan.len() as u64, seen["files"].as_u64().unwrap(), "{plan:#?}");
    let bytes: u64 = plan.iter().map(|op| op["size_bytes"].as_u64().unwrap()).sum();
    assert_eq!(bytes, seen["bytes"].as_u64().unwrap());
    assert_eq!(error(&installed, &["follow", "civitai:tiny_emoji"])["reason"], "FOLLOW_EXISTS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_policy_comes_from_the_configuration_and_can_be_changed() {
    let table = "[follow]\nbackfill = \"all\"\nkinds = [\"lora\"]\nmax_file_bytes = 8000000\nquiet_hours = \"off\"\n";
    let (_hub, installed) = installation_with(table).await;
    let follow = ok(&installed, &["follow", "civitai:tiny_emoji"]).remove(0);
    let policy = &follow["policy"];
    assert_eq!((&policy["backfill"], &policy["kinds"][0]), (&"all".into(), &"lora".into()), "{policy}");
    assert_eq!(policy["max_file_bytes"], 8_000_000);
    let reasons = |file: &str| {
        let plan = planned(&installed, &["civitai:tiny_emoji"]);
        plan.into_iter().filter(|(_, _, of)| of == file).map(|(op, reason, _)| (op, reason)).collect::<Vec<_>>()
    };
    let pair = |op: &str, reason: &str| vec![(op.to_owned(), reason.to_owned())];
    assert_eq!(reasons("greyscale.safetensors"), pair("fetch", "wanted"));
    let refused = planned(&installed, &[]);
    assert_eq!(refused.iter().filter(|(op, why, _)| op == "skip" && why == "kind_unwanted").count(), 2, "{refused:?}");

    // Asking first changes nothing.
    let update = ["follow", "civitai:tiny_emoji", "--update", "--kind", "checkpoint", "--max-file-size", "1GB"];
    let tried = ok(&installed, &[&update[..], &["--dry-run"]].concat()).remove(0);
    assert!(tried["backfill_preview"]["bytes"].as_u64().unwrap() > 16_000_000, "{tried}");
    assert_eq!(ok(&installed, &["follows"])[0]["policy"]["kinds"][0], "lora");
    // What the command line says wins; what it leaves out is the configuration's.
    let changed = ok(&installed, &update).remove(0);
    assert_eq!((&changed["policy"]["kinds"][0], &changed["policy"]["backfill"]), (&"checkpoint".into(), &"all".into()));
    assert_eq!(reasons("tiny-emoji.safetensors"), pair("fetch", "wanted"));
    assert_eq!(reasons("greyscale.safetensors"), []);
    // 16 MB are more than the configuration allows.
    ok(&installed, &["follow", "civitai:tiny_emoji", "--update", "--kind", "checkpoint"]);
    assert_eq!(reasons("tiny-emoji.safetensors"), pair("skip", "too_large"));
    let missing = ["follow", "civitai:Konan", "--update", "--keep-last", "1"];
    assert_eq!(error(&installed, &missing)["reason"], "FOLLOW_NOT_FOUND");

    // A table that cannot be read keeps the daemon from starting, with what is wrong in it.
    ok(&installed, &["daemon", "stop"]);
    installed.configure("[follow]\nbackfill = \"sometimes\"\n").unwrap();
    let refused = error(&installed, &["follows"]);
    assert!(refused["message"].as_str().unwrap().contains("sometimes"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_account_that_is_signed_in_brings_whom_it_follows() {
    let (hub, installed) = installation().await;
    hub.set_followed(&[SAMPLE_CREATOR]);
    let refused = error(&installed, &["follow", "civitai:following"]);
    assert_eq!(refused["reason"], "HUB_TOKEN_REQUIRED", "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains("paintbox login civitai"), "{refused}");
    assert!(ok(&installed, &["follows"]).is_empty());

    let signed_in = installed.paintbox_reading(["login", "civitai"], &format!("{CIVITAI_TOKEN}\n")).unwrap();
    assert!(signed_in.status.success(), "{}", String::from_utf8_lossy(&signed_in.stderr));
    let follow = ok(&installed, &["follow", "civitai:following"]).remove(0);
    assert_eq!(follow["backfill_preview"]["listed_models"], 3, "only the models of whom the account follows: {follow}");
    hub.add_version(GREYSCALE, published_now("v2", "greyscale-v2.safetensors", other_weights(0x22))).unwrap();
    let done = ok(&installed, &["sync", "civitai:following", "--wait"]).pop().unwrap();
    assert_eq!((&done["planned"], &done["fetched"]), (&1.into(), &1.into()), "{done}");
}
