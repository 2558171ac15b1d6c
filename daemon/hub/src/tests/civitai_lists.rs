//! Every list that can be followed on CivitAI, its mark, and its end.

use super::*;
use crate::{ModelQuery, ModelSort, Presence};
use paintbox_domain::{ErrorClass, reason};
use paintbox_testkit::CollectionFilter;

fn publish(hub: &FakeHub, creator: &str, name: &str, published: &str) -> PublishedModel {
    hub.publish(FakeCivitaiModel::new(creator, "LORA", name).version(version(published)))
}

fn version(published: &str) -> FakeVersion {
    let mut version = FakeVersion::new("v1", "SD 1.5").file(FakeFile::model("a.safetensors", weights(64)));
    version.published = format!("{published}T00:00:00Z").parse().unwrap();
    version
}

/// Ann's three and Bob's one, on pages of two.
fn several(hub: &FakeHub) -> Vec<PublishedModel> {
    hub.limit_pages_to(2);
    [("ann", "A1", "2026-08-01"), ("ann", "A2", "2026-08-02"), ("bob", "B1", "2026-08-03"), ("ann", "A3", "2026-08-04")]
        .map(|(creator, name, date)| publish(hub, creator, name, date))
        .to_vec()
}

fn with_mark(target: &str, pages: &[ListPage]) -> ListRequest {
    ListRequest { mark: pages[0].mark.clone(), ..request(target) }
}

#[tokio::test]
async fn every_kind_of_target_lists_its_models_newest_first() {
    let hub = FakeHub::start().await;
    let models = several(&hub);
    hub.edit_tags(models[0].id, &["ink wash"]);
    hub.edit_tags(models[2].id, &["ink wash", "other"]);
    hub.rename_model(models[1].id, "A2 red heart");
    hub.set_followed(&["bob"]);
    hub.set_favourites(&[models[3].id, models[0].id]);
    let hubs = hubs(&hub);
    civitai_token(&hubs, CIVITAI_TOKEN);
    for (target, wanted) in [
        ("civitai:ann", &["A3", "A2 red heart", "A1"][..]),
        ("civitai:tag:ink wash", &["B1", "A1"]),
        ("civitai:search:RED heart", &["A2 red heart"]),
        (&format!("civitai:{}", models[2].id), &["B1"]),
        ("civitai:following", &["B1"]),
        ("civitai:collection:favourites", &["A3", "A1"]),
    ] {
        let pages = listed(&hubs, request(target)).await.unwrap();
        assert_eq!(names(&pages), wanted, "{target}");
        assert!(pages[0].mark.is_some(), "{target}");
        assert!(pages[1..].iter().all(|page| page.mark.is_none()), "{target}");
    }
    let error = listed(&hubs, request("civitai:999999")).await.unwrap_err();
    assert_eq!(error.reason(), reason::MODEL_NOT_FOUND);
    let searches = asked(&hub, Server::CivitaiSite).into_iter().filter(|path| path.contains("query=RED"));
    assert_eq!(searches.collect::<Vec<_>>(), ["/api/v1/models?query=RED+heart&nsfw=true&limit=100"]);
}

#[tokio::test]
async fn a_search_is_read_past_its_first_page() {
    let hub = FakeHub::start().await;
    several(&hub);
    let pages = listed(&hubs(&hub), request("civitai:search:a")).await.unwrap();
    assert_eq!(names(&pages).len(), 3);
    assert!(asked(&hub, Server::CivitaiSite)[1].ends_with("&cursor=2"), "its cursor is a number");
}

#[tokio::test]
async fn an_unchanged_list_is_one_question_whether_visitors_come_or_not() {
    let hub = FakeHub::start().await;
    let models = several(&hub);
    let hubs = hubs(&hub);
    for target in ["civitai:ann".to_owned(), format!("civitai:{}", models[0].id)] {
        for visits in [false, true] {
            hub.count_visits(visits);
            let first = listed(&hubs, request(&target)).await.unwrap();
            hub.clear_requests();
            let again = listed(&hubs, with_mark(&target, &first)).await.unwrap();
            let [page] = &again[..] else { panic!("one page, not {}", again.len()) };
            assert!(page.unchanged_since_mark && page.models.is_empty(), "{target} {visits}");
            assert_eq!(hub.requests().len(), 1);
            assert!(hub.requests()[0].header("if-none-match").is_some());
            let third = listed(&hubs, with_mark(&target, &again)).await.unwrap();
            assert!(third[0].unchanged_since_mark, "the mark of an unchanged list is good again");
        }
        hub.count_visits(false);
    }
}

#[tokio::test]
async fn whatever_happens_to_a_model_unmakes_the_mark() {
    let hub = FakeHub::start().await;
    let models = several(&hub);
    let (model, version_id, file) = (models[3].id, models[3].versions[0].id, models[3].versions[0].files[0]);
    let hubs = hubs(&hub);
    hub.count_visits(true);
    let edits: [(&str, &dyn Fn() -> bool); 8] = [
        ("name", &|| hub.rename_model(model, "Other")),
        ("description", &|| hub.edit_description(model, Some("<p>x</p>"))),
        ("tags", &|| hub.edit_tags(model, &["x"])),
        ("rating", &|| hub.set_nsfw_level(model, 4)),
        ("file", &|| hub.replace_file(file, weights(99))),
        ("price", &|| hub.set_early_access(version_id, Some(None))),
        ("version", &|| hub.add_version(models[0].id, version("2026-08-09")).is_some()),
        ("gone", &|| hub.unpublish(model)),
    ];
    for (what, edit) in edits {
        let before = listed(&hubs, request("civitai:ann")).await.unwrap();
        assert!(edit());
        let after = listed(&hubs, with_mark("civitai:ann", &before)).await.unwrap();
        assert!(!after[0].unchanged_since_mark, "{what}");
        assert!(!names(&after).is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_mark_of_another_list_is_ignored() {
    let hub = FakeHub::start().await;
    several(&hub);
    let hubs = hubs(&hub);
    let ann = listed(&hubs, request("civitai:ann")).await.unwrap();
    let bob = listed(&hubs, with_mark("civitai:bob", &ann)).await.unwrap();
    assert_eq!(names(&bob), ["B1"]);
    let tame = ListRequest { mature: false, ..with_mark("civitai:ann", &ann) };
    assert_eq!(listed(&hubs, tame).await.unwrap()[0].models.len(), 2);
    for mark in ["", "nonsense", "c1;x;y;z", "\n"] {
        let request = ListRequest { mark: Some(mark.to_owned()), ..request("civitai:ann") };
        assert_eq!(names(&listed(&hubs, request).await.unwrap()).len(), 3, "{mark:?}");
    }
}

#[tokio::test]
async fn a_list_that_shifts_while_it_is_read_gives_each_model_once() {
    let hub = FakeHub::start().await;
    let models = several(&hub);
    let mut stream = hubs(&hub).list(request("civitai:tag:x"));
    for model in &models {
        hub.edit_tags(model.id, &["x"]);
    }
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(names(std::slice::from_ref(&first)), ["A3", "B1"]);
    // What was given moves behind the cursor.
    hub.edit(models[2].id, |model| model["lastVersionAt"] = "2026-07-30T00:00:00Z".into());
    let rest: Vec<ListPage> = stream.try_collect().await.unwrap();
    assert_eq!(names(&rest), ["A2", "A1"]);
}

#[tokio::test]
async fn without_mature_content_pg_13_is_listed_and_more_is_not() {
    let hub = FakeHub::start().await;
    for (name, level) in [("PG", 1), ("PG-13", 2), ("R", 4), ("mixed", 6)] {
        let id = publish(&hub, "ann", name, "2026-08-01").id;
        hub.set_nsfw_level(id, level);
    }
    let hubs = hubs(&hub);
    let request = |mature| ListRequest { mature, ..request("civitai:ann") };
    let mut tame: Vec<String> =
        names(&listed(&hubs, request(false)).await.unwrap()).into_iter().map(str::to_owned).collect();
    tame.sort();
    assert_eq!(tame, ["PG", "PG-13", "mixed"]);
    assert_eq!(names(&listed(&hubs, request(true)).await.unwrap()).len(), 4);
}

#[tokio::test]
async fn a_list_of_the_accounts_own_is_never_everybodys() {
    let hub = FakeHub::start().await;
    several(&hub);
    hub.set_followed(&["bob"]);
    let hubs = hubs(&hub);
    for target in ["civitai:following", "civitai:collection:favourites"] {
        hubs.set_token(Hub::Civitai, None);
        assert_eq!(listed(&hubs, request(target)).await.unwrap_err().reason(), reason::HUB_TOKEN_REQUIRED);
        civitai_token(&hubs, "wrong");
        assert_eq!(listed(&hubs, request(target)).await.unwrap_err().reason(), reason::HUB_TOKEN_REJECTED);
    }
    assert!(asked(&hub, Server::CivitaiSite).iter().all(|path| path == "/api/v1/me"), "no list was asked for");
}

#[tokio::test]
async fn a_refused_following_list_falls_back_to_the_creators_by_name() {
    let hub = FakeHub::start().await;
    several(&hub);
    hub.set_followed(&["ann", "bob"]);
    let hubs = hubs(&hub);
    civitai_token(&hubs, CIVITAI_TOKEN);
    for refusal in [400, 401, 403] {
        hub.refuse_followed(Some(refusal));
        let by_name = |creators: &[&str]| ListRequest {
            creators: creators.iter().map(|name| (*name).to_owned()).collect(),
            ..request("civitai:following")
        };
        let pages = listed(&hubs, by_name(&["bob", "gone", "ann"])).await.unwrap();
        assert_eq!(names(&pages), ["B1", "A3", "A2", "A1"], "{refusal}");
        assert!(pages.iter().all(|page| page.mark.is_none()), "the lists of several people have no mark");
        let error = listed(&hubs, by_name(&[])).await.unwrap_err();
        assert_eq!((error.reason(), error.class()), (reason::LIST_NOT_OFFERED, ErrorClass::Unsupported), "{error}");
        assert!(error.hint().unwrap().contains("paintbox follow civitai:<name>"));
        assert!(error.to_string().contains("not for the API"), "{error}");
    }
    hub.refuse_followed(Some(500));
    let error = listed(&hubs, request("civitai:following")).await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_UNREACHABLE, "a failure is no refusal");
}

#[tokio::test]
async fn a_collection_is_listed_only_if_the_site_really_narrows_its_list() {
    let hub = FakeHub::start().await;
    let models = several(&hub);
    hub.set_collection(77, &[models[3].id, models[2].id, models[0].id]);
    let hubs = hubs(&hub);
    let list = async || listed(&hubs, request("civitai:collection:77")).await;
    let error = list().await.unwrap_err();
    assert_eq!(error.reason(), reason::LIST_NOT_OFFERED, "{error}");
    assert_eq!(hub.requests().len(), 1);
    hub.filter_collections(CollectionFilter::Ignored);
    assert_eq!(list().await.unwrap_err().reason(), reason::LIST_NOT_OFFERED);
    // That one of its models is among the newest of all is no sign of an ignored filter.
    hub.filter_collections(CollectionFilter::Served);
    hub.set_collection(77, &[models[0].id, models[1].id, models[2].id]);
    assert_eq!(names(&list().await.unwrap()), ["B1", "A2", "A1"]);
    hub.set_collection(77, &[]);
    assert!(names(&list().await.unwrap()).is_empty());
    hub.set_collection(77, &[models[3].id]);
    assert_eq!(names(&list().await.unwrap()), ["A3"], "a short list is a narrowed one");
}

#[tokio::test]
async fn models_by_any_filter_are_paged_to_the_end() {
    let hub = FakeHub::start().await;
    let models = several(&hub);
    let hubs = hubs(&hub);
    let query = ModelQuery { nsfw: true, sort: Some(ModelSort::Oldest), limit: Some(3), ..ModelQuery::default() };
    let pages: Vec<Vec<HubModel>> = hubs.civitai_models(query.clone()).try_collect().await.unwrap();
    let names: Vec<&str> = pages.iter().flatten().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["A1", "A2", "B1", "A3"]);
    let by_id = ModelQuery { ids: vec![models[1].id, models[2].id], ..query };
    let pages: Vec<Vec<HubModel>> = hubs.civitai_models(by_id).try_collect().await.unwrap();
    assert_eq!(pages.concat().len(), 2);
    let followed = ModelQuery { followed: true, ..ModelQuery::default() };
    let error = hubs.civitai_models(followed).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_TOKEN_REQUIRED);
}

#[tokio::test]
async fn models_are_looked_at_again_in_batches_and_only_missing_ones_singly() {
    let hub = FakeHub::start().await;
    let mut ids: Vec<String> =
        (0..130).map(|at| publish(&hub, "ann", &format!("M{at}"), "2026-08-01").id.to_string()).collect();
    let number = |id: &String| id.parse::<u64>().unwrap();
    hub.archive(number(&ids[0]));
    hub.take_down(number(&ids[1]));
    hub.remove(number(&ids[2]));
    hub.unpublish(number(&ids[3]));
    hub.set_nsfw_level(number(&ids[4]), 0);
    ids.push("no number".to_owned());
    let hubs = hubs(&hub);
    let found = hubs.look_again(Hub::Civitai, &ids, true).await.unwrap();
    assert_eq!(found.len(), ids.len());
    for (at, (presence, id)) in found.iter().zip(&ids).enumerate() {
        let wanted = [2, 3, 130].contains(&at);
        let gone = Presence::Gone { external_id: id.clone() };
        let is_here = matches!(presence, Presence::Here(model) if model.external_id == *id);
        assert_eq!((*presence == gone, is_here), (wanted, !wanted), "{at}: {id}");
    }
    let asked = asked(&hub, Server::CivitaiSite);
    assert_eq!(asked.iter().filter(|path| path.contains("?ids=")).count(), 2);
    assert_eq!(asked.len(), 5, "two lists, and the three that no list shows: {asked:?}");
    assert!(asked[0].contains("&archived=true&nsfw=true&limit=100"));

    hub.faults().always(Server::CivitaiSite, "/api/v1/models/", status(500, "", &[]));
    let error = hubs.look_again(Hub::Civitai, &ids[2..3], true).await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_UNREACHABLE, "nothing is gone because the hub fails");
}
