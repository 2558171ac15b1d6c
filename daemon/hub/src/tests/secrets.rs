//! A token must not be readable in anything that is printed, logged or sent anywhere but to its hub.

use super::*;
use paintbox_domain::Failure;
use paintbox_domain::classify::message_with_causes;

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
    let mut config = config(&hub);
    config.civitai_token = Secret::new(CANARY);
    config.hf_token = Secret::new(CANARY);
    assert!(!format!("{config:?}").contains(CANARY));
    let hubs = Hubs::with_timeouts(config, impatient()).unwrap();
    let echo = format!("{{\"error\":\"bad token {CANARY}\",\"message\":\"see ?token={CANARY}\"}}");
    let leaking = format!("https://example.org/x?token={CANARY}");
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
        hub.faults().always(Server::CivitaiSite, "/", fault.clone());
        hub.faults().always(Server::HfEndpoint, "/", fault);
        errors.extend(hubs.account(Hub::Civitai).await.err());
        errors.extend(hubs.account(Hub::HuggingFace).await.err());
        errors.extend(hubs.model(Hub::Civitai, "1", None).await.err());
        errors.extend(hubs.model(Hub::HuggingFace, "a/b", None).await.err());
        errors.extend(pages(&hubs, "civitai:painter").await.err());
        errors.extend(pages(&hubs, "hf:painter").await.err());
        errors.extend(hubs.download(Hub::Civitai, &locator(&model), None).await.err());
        hub.faults().clear();
    }
    let url = format!("{leaking}#{CANARY}");
    errors.extend(hubs.fetch_preview(Hub::Civitai, &url, 1).await.err());
    errors.extend(hubs.fetch_preview(Hub::Civitai, &format!("nowhere?{CANARY}"), 1).await.err());
    assert!(errors.len() > 70, "{} calls failed", errors.len());
    errors.iter().for_each(assert_silent);
    assert!(!format!("{hubs:?}").contains(CANARY), "{hubs:?}");
    // Only its own hub ever got it, and only as a header.
    for request in hub.requests() {
        assert!(!request.path_and_query.contains(CANARY), "{}", request.path_and_query);
        let own = matches!(request.server, Server::CivitaiSite | Server::HfEndpoint);
        assert!(own || request.header("authorization").is_none(), "{request:?}");
    }
}

#[test]
fn a_token_that_fits_no_header_is_refused_without_being_shown() {
    let error = crate::transport::bearer(&Secret::new(&format!("{CANARY}\u{7f}")).unwrap()).unwrap_err();
    assert_silent(&error);
}

/// hf-hub reads the environment for every option it is not given; HTTP clients read proxies from it.
#[test]
fn the_environment_changes_nothing() {
    let listing = "tests::hugging_face::every_repository_of_an_organisation_is_read_with_its_files";
    let nowhere = "http://127.0.0.1:9";
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", listing])
        .envs([("HF_TOKEN", CANARY), ("HF_ENDPOINT", nowhere), ("HF_HUB_USER_AGENT_ORIGIN", "elsewhere")])
        .envs([("HTTP_PROXY", nowhere), ("http_proxy", nowhere), ("ALL_PROXY", nowhere), ("all_proxy", nowhere)])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && output.contains("1 passed"), "{output}");
}
