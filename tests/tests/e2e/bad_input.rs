//! Bad input from hubs and people: a clear error that names what was attempted, nothing stored, nothing lost.

use crate::{blobs, error, installation, json, ok};
use paintbox_testkit::{Fault, Server};
use serde_json::Value;

/// SHA-256 of the checkpoint, which is the name of its blob.
const CHECKPOINT: &str = "74720ba1e684fb89cb28fda39ed8e09adfd75972ee455e33b09dba5e3f94efba";

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn names_what_is_wrong_with_a_request() {
    let (_hub, installed) = installation().await;
    for (arguments, reason, named) in [
        (vec!["follow", "civitai:nobody_at_all"], "CREATOR_NOT_FOUND", "nobody_at_all"),
        (vec!["follow", "nohub"], "INVALID_REFERENCE", "nohub"),
        (vec!["unfollow", "civitai:nobody_at_all"], "FOLLOW_NOT_FOUND", "nobody_at_all"),
        (vec!["show", "civitai:999999"], "MODEL_NOT_FOUND", "999999"),
        (vec!["pull", "civitai:999999"], "MODEL_NOT_FOUND", "999999"),
        (vec!["pull", "hf:tiny-emoji/nothing-here"], "MODEL_NOT_FOUND", "tiny-emoji/nothing-here"),
        (vec!["show", "hf:../../etc"], "INVALID_REFERENCE", "../../etc"),
        (vec!["generate", "x", "--model", "no such model", "-o", "x.png"], "MODEL_NOT_FOUND", "no such model"),
    ] {
        let error = error(&installed, &arguments);
        assert_eq!(error["reason"], reason, "{arguments:?}: {error}");
        assert!(error["message"].as_str().unwrap().contains(named), "{arguments:?}: {error}");
    }
    assert!(ok(&installed, &["follows"]).is_empty());
    assert!(ok(&installed, &["search"]).is_empty());
}

/// Every way in which a download can be wrong, and the reason that its failure carries.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn stores_nothing_that_is_not_what_the_hub_promised() {
    let (hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"]);
    let mut left = Vec::new();
    let html = b"<!DOCTYPE html><html><title>Log in</title></html>".to_vec();
    let mut pickle = b"\x80\x02}q\x00X\x05\x00\x00\x00state".to_vec();
    pickle.resize(4096, b'.');
    let mut endless_header = (1_u64 << 63).to_le_bytes().to_vec();
    endless_header.extend(b"{\"a\":{}}");
    endless_header.resize(4096, b' ');
    for (fault, reason) in [
        (Fault::TruncateBodyAfter(100_000), "TRUNCATED_BODY"),
        (Fault::CorruptByteAt(10_000_000), "DIGEST_MISMATCH"),
        (Fault::HtmlLoginPage, "NOT_A_MODEL_FILE"),
        (Fault::Body(html.into()), "NOT_A_MODEL_FILE"),
        (Fault::Body(pickle.into()), "UNSAFE_FORMAT"),
        (Fault::Body(endless_header.into()), "MALFORMED_FILE"),
    ] {
        let described = format!("{fault:?}").chars().take(60).collect::<String>();
        hub.faults().always(Server::CivitaiStorage, "", fault);
        let (events, output) = json(&installed, &["sync", "--wait"]);
        hub.faults().clear();
        assert_eq!(output.status.code(), Some(1), "{described}");
        let failed: Vec<&Value> = events.iter().filter(|event| event["event"] == "failed").collect();
        let checkpoint = failed
            .iter()
            .find(|event| event["file"] == "tiny-emoji.safetensors")
            .unwrap_or_else(|| panic!("{described}: {events:#?}"));
        assert_eq!(checkpoint["error"]["reason"], reason, "{described}: {checkpoint}");
        assert!(checkpoint["error"]["message"].as_str().unwrap().contains("tiny-emoji.safetensors"), "{checkpoint}");
        left.extend(blobs(&installed).into_iter().map(|path| (path, described.clone())));
        let done = events.last().unwrap();
        assert!(done["failed"].as_u64().unwrap() > 0);
    }
    // With an honest hub everything arrives.
    let done = ok(&installed, &["sync", "--wait"]).pop().unwrap();
    assert_eq!(done["failed"], 0, "{done}");
    // And nothing was ever kept that is not among what an honest hub gives.
    let honest = blobs(&installed);
    assert!(honest.iter().any(|path| path.ends_with(CHECKPOINT)), "{honest:?}");
    for (path, described) in left {
        assert!(honest.contains(&path) && !path.ends_with(CHECKPOINT), "{described} left {}", path.display());
    }
}
