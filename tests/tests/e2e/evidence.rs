//! What a hub edits or replaces is kept as it was, with dates.

use crate::{blobs, installation, ok, other_weights, planned};
use jiff::Timestamp;

/// The sample creator's checkpoint.
const TINY_EMOJI: u64 = 64_064;
/// The file of the sample creator's LoRA.
const GREYSCALE_FILE: u64 = 6_406_511;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_page_is_shown_as_it_was_and_says_when_it_changed() {
    let (hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji"]);
    let before = Timestamp::now().to_string();
    assert!(hub.rename_model(TINY_EMOJI, "Tiny Emoji Deluxe"));
    assert!(hub.edit_description(TINY_EMOJI, Some("<p>Now in larger sizes.</p>")));
    ok(&installed, &["sync", "--wait"]);

    let now = ok(&installed, &["show", "civitai:64064"]).remove(0);
    assert_eq!(now["name"], "Tiny Emoji Deluxe");
    let then = ok(&installed, &["show", "civitai:64064", "--at", &before]).remove(0);
    assert_eq!(then["name"], "Tiny Emoji", "{then:#}");
    assert!(then["description"].as_str().unwrap().contains("very small"), "{then:#}");
    assert!(then["at"].as_str().is_some() && then["versions"][0]["ref"] == now["versions"][0]["ref"], "{then:#}");

    let shown = ok(&installed, &["show", "civitai:64064", "--history"]).remove(0);
    let history = shown["history"].as_array().unwrap();
    let events: Vec<&str> = history.iter().map(|change| change["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["seen", "changed"], "{history:#?}");
    let fields = history[1]["fields"].as_array().unwrap();
    assert!(fields.contains(&"name".into()) && fields.contains(&"description".into()), "{history:#?}");
    let time = |change: &serde_json::Value| change["time"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(time(&history[0]) < before.parse().unwrap() && time(&history[1]) > before.parse().unwrap(), "{history:#?}");
    let unknown = crate::error(&installed, &["show", "civitai:64064", "--at", "2020-01-01"]);
    assert_eq!(unknown["reason"], "NOT_KNOWN_YET", "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_replaced_file_stays_beside_the_new_one() {
    let (hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all", "--kind", "lora"]);
    ok(&installed, &["sync", "--wait"]);
    let was = ok(&installed, &["show", "civitai:64065"])[0]["versions"][0]["files"][0].clone();
    assert_eq!((&was["state"], was["replaced_time"].is_null()), (&"verified".into(), true), "{was}");

    assert!(hub.replace_file(GREYSCALE_FILE, other_weights(0x33)));
    let fetches = planned(&installed, &["--only", "fetch"]);
    let wanted = ("fetch".to_owned(), "replaced".to_owned(), "greyscale.safetensors".to_owned());
    assert_eq!(fetches, [wanted]);
    ok(&installed, &["sync", "--wait"]);
    let shown = ok(&installed, &["show", "civitai:64065"]).remove(0);
    let files = shown["versions"][0]["files"].as_array().unwrap();
    let [new, old] = &files[..] else { panic!("two files: {files:#?}") };
    assert!(new["replaced_time"].is_null() && new["state"] == "verified" && new["sha256"] != was["sha256"], "{new}");
    assert!(old["replaced_time"].is_string(), "{old}");
    assert_eq!((&old["sha256"], &old["state"], &old["paths"]), (&was["sha256"], &was["state"], &was["paths"]), "{old}");
    // Both are really there.
    for file in [new, old] {
        let digest = file["sha256"].as_str().unwrap();
        assert!(blobs(&installed).iter().any(|path| path.ends_with(digest)), "{file}");
    }
    let page = String::from_utf8(installed.paintbox(["show", "civitai:64065"]).unwrap().stdout).unwrap();
    assert!(page.contains("replaced"), "{page}");
}
