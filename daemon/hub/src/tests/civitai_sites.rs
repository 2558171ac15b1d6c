//! civitai.com and civitai.red: one hub, and nothing is gone because one of the two does not show it.

use super::*;
use crate::{HubState, Presence};
use paintbox_domain::reason;

/// A tame and a wild model by one creator; the main site shows the tame one only.
fn tame_and_wild(hub: &FakeHub) -> (PublishedModel, PublishedModel) {
    let (tame, wild) = (published(hub, "Tame", &weights(64)), published(hub, "Wild", &weights(65)));
    hub.set_nsfw_level(wild.id, 8);
    hub.filter_mature_on_main(true);
    (tame, wild)
}

async fn presence(hubs: &Hubs, id: u64, mature: bool) -> Result<Presence, HubError> {
    Ok(hubs.look_again(Hub::Civitai, &[id.to_string()], mature).await?.remove(0))
}

#[tokio::test]
async fn lists_come_from_the_site_that_has_what_is_asked_for() {
    let hub = FakeHub::start().await;
    let (_, wild) = tame_and_wild(&hub);
    hub.set_followed(&["painter"]);
    hub.set_favourites(&[wild.id]);
    let hubs = two_sites(&hub);
    for target in ["civitai:painter", "civitai:following"] {
        let request = |mature| ListRequest { mature, ..request(target) };
        assert_eq!(names(&listed(&hubs, request(true)).await.unwrap()).len(), 2, "{target}");
        assert_eq!(names(&listed(&hubs, request(false)).await.unwrap()), ["Tame"], "{target}");
    }
    assert_eq!(names(&listed(&hubs, request("civitai:collection:favourites")).await.unwrap()), ["Wild"]);
    let one = format!("civitai:{}", wild.id);
    assert_eq!(names(&listed(&hubs, request(&one)).await.unwrap()), ["Wild"]);
    hubs.account(Hub::Civitai).await.unwrap();
    for (server, mature) in [(Server::CivitaiSite, false), (Server::CivitaiMature, true)] {
        let lists = asked(&hub, server).into_iter().filter(|path| path.contains("username=painter"));
        assert_eq!(lists.count(), 1, "{mature}");
        assert!(hub.requests_to(server).iter().all(|request| request.header("authorization").is_some()));
    }
}

#[tokio::test]
async fn the_site_that_lists_has_to_know_the_account_too() {
    let hub = FakeHub::start().await;
    tame_and_wild(&hub);
    hub.set_followed(&["nobody_else"]);
    let hubs = two_sites(&hub);
    hub.faults().always(Server::CivitaiMature, "/api/v1/me", status(401, "{\"error\":\"Unauthorized\"}", &[]));
    let error = listed(&hubs, request("civitai:following")).await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_TOKEN_REJECTED);
    assert_eq!(asked(&hub, Server::CivitaiMature), ["/api/v1/me"], "its list would be everybody's");
}

#[tokio::test]
async fn a_reference_finds_what_the_main_site_does_not_show() {
    let hub = FakeHub::start().await;
    let (_, wild) = tame_and_wild(&hub);
    let hubs = two_sites(&hub);
    let by_model = hubs.resolve(&format!("civitai:{}", wild.id).parse().unwrap()).await.unwrap();
    assert_eq!(by_model.model.name, "Wild");
    let by_version = format!("https://civitai.com/api/download/models/{}", wild.versions[0].id);
    assert_eq!(hubs.resolve(&by_version.parse().unwrap()).await.unwrap().model.name, "Wild");
    let file = &by_model.model.versions[0].files[0];
    assert_eq!(hubs.resolve(&file.sha256.unwrap().to_hex().parse().unwrap()).await.unwrap().model.name, "Wild");
    hub.clear_requests();
    let bytes = whole(hubs.download(Hub::Civitai, &file.locator, None, None).await.unwrap()).await.unwrap();
    assert_eq!(bytes, weights(65));
    assert!(hub.requests_to(Server::CivitaiMature).is_empty(), "files come from the main site");
}

#[tokio::test]
async fn a_model_is_gone_only_if_every_site_says_so() {
    let hub = FakeHub::start().await;
    let (tame, wild) = tame_and_wild(&hub);
    let hubs = two_sites(&hub);
    for mature in [true, false] {
        assert!(matches!(presence(&hubs, wild.id, mature).await.unwrap(), Presence::Here(_)), "{mature}");
        assert!(matches!(presence(&hubs, 999_999, mature).await.unwrap(), Presence::Gone { .. }), "{mature}");
    }
    for fault in [status(500, "", &[]), status(403, "{\"error\":\"no\"}", &[])] {
        let hubs = two_sites(&hub);
        hub.faults().always(Server::CivitaiMature, "/", fault.clone());
        assert!(matches!(presence(&hubs, tame.id, true).await.unwrap(), Presence::Here(_)), "{fault:?}");
        for (id, mature) in [(wild.id, true), (wild.id, false), (999_999, true)] {
            let error = presence(&hubs, id, mature).await.unwrap_err();
            assert!(
                [reason::HUB_UNREACHABLE, reason::HUB_ACCESS_DENIED, reason::HUB_DOWN].contains(&error.reason()),
                "{id} {mature} {fault:?}: {error}"
            );
        }
        hub.faults().clear();
    }
    let hubs = two_sites(&hub);
    hub.faults().always(Server::CivitaiSite, "/", status(500, "", &[]));
    assert!(matches!(presence(&hubs, wild.id, true).await.unwrap(), Presence::Here(_)));
    assert!(presence(&hubs, 999_999, true).await.is_err(), "the main site could not be asked");
}

#[tokio::test]
async fn the_sites_fail_apart_from_each_other() {
    let hub = FakeHub::start().await;
    let (tame, _) = tame_and_wild(&hub);
    let hubs = two_sites(&hub);
    hub.faults().always(Server::CivitaiMature, "/", status(502, "", &[]));
    for _ in 0..5 {
        assert!(listed(&hubs, request("civitai:painter")).await.is_err());
    }
    assert_eq!(listed(&hubs, request("civitai:painter")).await.unwrap_err().reason(), reason::HUB_DOWN);
    assert_eq!(hubs.health(Hub::Civitai).state, HubState::Down);
    let tame_list = ListRequest { mature: false, ..request("civitai:painter") };
    assert_eq!(names(&listed(&hubs, tame_list).await.unwrap()), ["Tame"]);
    whole(hubs.download(Hub::Civitai, &locator(&tame), None, None).await.unwrap()).await.unwrap();
    hub.clear_requests();
    assert!(matches!(presence(&hubs, tame.id, true).await.unwrap(), Presence::Here(_)));
    assert!(hub.requests_to(Server::CivitaiMature).is_empty(), "it is left alone");
}

#[tokio::test]
async fn a_token_goes_along_between_the_sites_and_not_to_a_third() {
    let hub = FakeHub::start().await;
    let hubs = two_sites(&hub);
    let to = |server| Fault::RedirectTo(format!("{}/api/v1/me", hub.origin(server)));
    hub.faults().once(Server::CivitaiSite, "/api/v1/me", to(Server::CivitaiMature));
    assert_eq!(hubs.account(Hub::Civitai).await.unwrap(), "you");
    hub.clear_requests();
    hub.faults().always(Server::CivitaiSite, "/api/v1/me", to(Server::CivitaiStorage));
    hubs.account(Hub::Civitai).await.unwrap_err();
    assert_eq!(hub.requests_to(Server::CivitaiStorage)[0].header("authorization"), None);
}

#[test]
fn a_mature_endpoint_has_to_be_as_safe_as_the_main_one() {
    let config = |mature: &str| HubConfig {
        civitai_endpoint: "https://civitai.com".parse().unwrap(),
        civitai_mature_endpoint: Some(mature.parse().unwrap()),
        hf_endpoint: "https://huggingface.co".parse().unwrap(),
        civitai_token: None,
        hf_token: None,
        user_agent: "paintbox/0.1.0".to_owned(),
        clock: Arc::new(ManualClock::default()),
    };
    assert!(Hubs::new(config("https://civitai.red")).is_ok());
    assert_eq!(Hubs::new(config("http://civitai.red")).unwrap_err().reason(), reason::CONFIG_INVALID);
}
