//! A token must not be readable in anything that is printed, logged or sent anywhere but to its hub.

use super::*;
use paintbox_domain::classify::message_with_causes;
use paintbox_domain::{Failure, Sha256};

const CANARY: &str = "canary-4711-do-not-print";

fn assert_silent(error: &HubError) {
    let failure = Failure::of(error);
    for text in [
        error.to_string(),
        format!("{error:?}"),
        format!("{error:#?}"),
        message_with_causes(error),
        format!("{failure:?}"),
    ] {
        assert!(!text.contains(CANARY), "{text}");
    }
}

#[tokio::test]
async fn no_error_and_no_debug_text_holds_the_token() {
    let hub = FakeHub::start().await;
    let model = published(&hub, "Grey", &weights(1000));
    let config = HubConfig {
        civitai_token: Secret::new(CANARY),
        hf_token: Secret::new(CANARY),
        civitai_mature_endpoint: Some(hub.civitai_mature_endpoint().parse().unwrap()),
        ..config(&hub)
    };
    assert!(!format!("{config:?}").contains(CANARY));
    let echo = format!("{{\"error\":\"bad token {CANARY}\",\"message\":\"see ?token={CANARY}\"}}");
    let leaking = format!("https://example.org/x?token={CANARY}");
    let query = crate::HfQuery { author: None, search: None, pipeline_tag: None, library: None, limit: 1 };
    let mut errors = Vec::new();
    for fault in [
        status(400, &echo, &[]),
        status(401, &echo, &[]),
        status(403, &echo, &[]),
        status(404, &echo, &[]),
        status(429, &echo, &[]),
        status(500, &echo, &[("retry-after", "100")]),
        status(401, "x", &[("x-error-message", &format!("Invalid credentials {CANARY}"))]),
        status(200, "nonsense", &[]),
        Fault::HtmlLoginPage,
        Fault::RedirectTo(leaking.clone()),
        Fault::Stall,
        Fault::HangUp,
    ] {
        // What one fault makes a hub's gate remember must not keep the next from being met.
        let hubs = Hubs::with_timeouts(config.clone(), impatient()).unwrap();
        hub.faults().always(Server::CivitaiSite, "/", fault.clone());
        hub.faults().always(Server::CivitaiMature, "/", fault.clone());
        hub.faults().always(Server::HfEndpoint, "/", fault);
        errors.extend(hubs.account(Hub::Civitai).await.err());
        errors.extend(hubs.account(Hub::HuggingFace).await.err());
        errors.extend(hubs.model(Hub::Civitai, "1", None).await.err());
        errors.extend(hubs.model(Hub::HuggingFace, "a/b", None).await.err());
        errors.extend(pages(&hubs, "civitai:painter").await.err());
        errors.extend(pages(&hubs, "hf:painter").await.err());
        errors.extend(pages(&hubs, "hf:likes:painter").await.err());
        errors.extend(pages(&hubs, "hf:a/b@dev").await.err());
        errors.extend(hubs.check_access(Hub::HuggingFace, "a/b").await.err());
        errors.extend(hubs.hf_search(&query).await.err());
        errors.extend(hubs.hf_refs("a/b").await.err());
        errors.extend(hubs.hf_commits("a/b", None, 1).await.err());
        errors.extend(hubs.hf_tree("a/b", None).await.err());
        errors.extend(hubs.download(Hub::HuggingFace, "/a/b/resolve/main/c.safetensors", None, None).await.err());
        errors.extend(hubs.download(Hub::Civitai, &locator(&model), None, None).await.err());
        errors.extend(pages(&hubs, "civitai:following").await.err());
        errors.extend(hubs.look_again(Hub::Civitai, &["1".to_owned()], true).await.err());
        errors.extend(hubs.identify(&[Sha256::from_bytes([1; 32])]).await.err());
        errors.extend(hubs.civitai_enums().await.err());
        for at in [Hub::Civitai, Hub::HuggingFace] {
            let health = format!("{:?} {hubs:?}", hubs.health(at));
            assert!(!health.contains(CANARY), "{health}");
        }
        hub.faults().clear();
    }
    let hubs = Hubs::with_timeouts(config, impatient()).unwrap();
    let url = format!("{leaking}#{CANARY}");
    errors.extend(hubs.fetch_preview(Hub::Civitai, &url, PreviewMedia::Image, 1).await.err());
    errors.extend(hubs.fetch_preview(Hub::Civitai, &format!("nowhere?{CANARY}"), PreviewMedia::Image, 1).await.err());
    assert!(errors.len() > 150, "{} calls failed", errors.len());
    errors.iter().for_each(assert_silent);
    assert!(!format!("{hubs:?}").contains(CANARY), "{hubs:?}");
    // Only its own hub ever got it, and only as a header.
    for request in hub.requests() {
        assert!(!request.path_and_query.contains(CANARY), "{}", request.path_and_query);
        let own = matches!(request.server, Server::CivitaiSite | Server::CivitaiMature | Server::HfEndpoint);
        assert!(own || request.header("authorization").is_none(), "{request:?}");
    }
}

#[test]
fn a_token_that_fits_no_header_is_refused_without_being_shown() {
    let error = crate::transport::bearer(&Secret::new(&format!("{CANARY}\u{7f}")).unwrap()).unwrap_err();
    assert_silent(&error);
}

/// hf-hub and the Xet libraries read the environment for every option they are not given, HTTP clients read proxies from
/// it, and caches are made in the home directory.
#[test]
fn the_environment_changes_nothing_and_the_home_stays_empty() {
    let nowhere = "http://127.0.0.1:9";
    for test in [
        "tests::hugging_face::every_repository_of_an_organisation_is_read_with_its_files",
        "tests::hugging_face_xet::a_large_file_comes_in_chunks_and_each_token_stays_where_it_belongs",
    ] {
        let home = tempfile::tempdir().unwrap();
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .envs([("HF_TOKEN", CANARY), ("HF_ENDPOINT", nowhere), ("HF_HUB_USER_AGENT_ORIGIN", "elsewhere")])
            .envs([("HF_XET_DATA_DEFAULT_CAS_ENDPOINT", nowhere), ("HF_XET_TARGET_CHUNK_SIZE", "1")])
            .envs([("HTTP_PROXY", nowhere), ("http_proxy", nowhere), ("ALL_PROXY", nowhere), ("all_proxy", nowhere)])
            .envs([("HOME", home.path()), ("HF_HOME", home.path()), ("XDG_CACHE_HOME", home.path())])
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && output.contains("1 passed"), "{output}");
        let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
