//! Following on Hugging Face: what a look costs, and what it brings.

use super::hugging_face::{files, hf_token, pipeline};
use super::*;
use crate::{HfQuery, ListPage, Presence};
use paintbox_domain::hub::FileSize;
use paintbox_domain::reason;
use paintbox_testkit::{FakeRepository, HF_TOKEN};
use serde_json::json;

/// What a follow remembers between two looks.
#[derive(Default)]
struct Memory {
    mark: Option<String>,
    known: std::collections::HashMap<String, String>,
}

impl Memory {
    /// Looks once, and remembers as a follow would: the first page's mark after the whole list was read.
    async fn look(&mut self, hubs: &Hubs, target: &str) -> Result<Vec<ListPage>, HubError> {
        let mut request = ListRequest::new(target.parse().unwrap());
        request.mark = self.mark.clone();
        request.known = self.known.clone();
        let pages: Vec<ListPage> = hubs.list(request).try_collect().await?;
        self.mark = pages[0].mark.clone();
        for model in pages.iter().flat_map(|page| &page.models) {
            match &model.list_mark {
                Some(mark) => self.known.insert(model.external_id.clone(), mark.clone()),
                None => self.known.remove(&model.external_id),
            };
        }
        Ok(pages)
    }
}

fn ids(pages: &[ListPage]) -> Vec<&str> {
    pages.iter().flat_map(|page| &page.models).map(|model| model.external_id.as_str()).collect()
}

fn paths(hub: &FakeHub) -> Vec<String> {
    hub.requests().iter().map(|request| request.path().to_owned()).collect()
}

fn bare(id: &str, text: &'static str) -> FakeRepository {
    FakeRepository::new(id, files(&[("a.txt", Bytes::from_static(text.as_bytes()))]))
}

#[tokio::test]
async fn an_author_who_did_nothing_costs_one_conditional_request() {
    let hub = FakeHub::start().await;
    for at in 0..3 {
        hub.publish_repository(pipeline(&format!("studio/model-{at}")));
    }
    let hubs = hubs(&hub);
    let mut memory = Memory::default();
    assert_eq!(memory.look(&hubs, "hf:studio").await.unwrap()[0].models.len(), 3);

    hub.clear_requests();
    let [page] = &memory.look(&hubs, "hf:studio").await.unwrap()[..] else { panic!("one page") };
    assert!(page.unchanged_since_mark && page.models.is_empty() && page.unchanged.is_empty());
    let [request] = &hub.requests()[..] else { panic!("one request") };
    assert!(request.header("if-none-match").unwrap().starts_with("W/\""));
    let asked = "/api/models?author=studio&sort=lastModified&full=true&cardData=true&limit=500";
    assert_eq!(request.path_and_query, asked);

    // Downloads and likes make another ETag and no other list.
    assert!(hub.count("studio/model-1", 1_000_000, 70));
    hub.clear_requests();
    let before = memory.mark.clone();
    let pages = memory.look(&hubs, "hf:studio").await.unwrap();
    assert!(pages[0].unchanged_since_mark);
    assert_eq!(hub.requests().len(), 1);
    assert_ne!(memory.mark, before, "the next look gives the new validator");
    let known = memory.mark.clone().unwrap();
    hub.clear_requests();
    memory.look(&hubs, "hf:studio").await.unwrap();
    assert_eq!(memory.mark.as_ref(), Some(&known));
    assert!(known.ends_with(hub.requests()[0].header("if-none-match").unwrap()));
}

#[tokio::test]
async fn only_what_changed_is_asked_for_again() {
    let hub = FakeHub::start().await;
    for name in ["one", "two", "three", "four"] {
        hub.publish_repository(bare(&format!("studio/{name}"), "first"));
    }
    let hubs = hubs(&hub);
    let mut memory = Memory::default();
    memory.look(&hubs, "hf:studio").await.unwrap();

    let commit = hub.publish_repository(bare("studio/two", "second"));
    hub.publish_repository(bare("studio/five", "new"));
    assert!(hub.edit_repository("studio/three", |about| about.disabled = true));
    hub.clear_requests();
    let pages = memory.look(&hubs, "hf:studio").await.unwrap();
    assert_eq!(pages.len(), 1);
    assert!(!pages[0].unchanged_since_mark);
    assert_eq!(ids(&pages), ["studio/five", "studio/two", "studio/three"]);
    assert_eq!(pages[0].models[1].versions[0].external_id, commit);
    let mut unchanged = pages[0].unchanged.clone();
    unchanged.sort();
    assert_eq!(unchanged, ["studio/four", "studio/one"]);
    let mut asked = paths(&hub);
    asked.sort();
    let page = |name: &str| format!("/api/models/studio/{name}/revision/main");
    assert_eq!(asked, ["/api/models".to_owned(), page("five"), page("three"), page("two")]);

    // A list that is read without a mark, as after a restore, still asks for nothing that is known.
    memory.mark = None;
    hub.clear_requests();
    let pages = memory.look(&hubs, "hf:studio").await.unwrap();
    assert!(ids(&pages).is_empty() && !pages[0].unchanged_since_mark);
    assert_eq!((pages[0].unchanged.len(), hub.requests().len()), (5, 1));
}

#[tokio::test]
async fn a_removed_repository_makes_another_list() {
    let hub = FakeHub::start().await;
    hub.publish_repository(bare("studio/one", "x"));
    hub.publish_repository(bare("studio/two", "x"));
    let hubs = hubs(&hub);
    let mut memory = Memory::default();
    memory.look(&hubs, "hf:studio").await.unwrap();
    assert!(hub.remove_repository("studio/one"));
    let pages = memory.look(&hubs, "hf:studio").await.unwrap();
    assert_eq!((pages[0].unchanged_since_mark, &pages[0].unchanged[..]), (false, &["studio/two".to_owned()][..]));
}

#[tokio::test]
async fn a_list_of_many_answers_is_read_to_its_end_and_given_in_pages() {
    let hub = FakeHub::start().await;
    for at in 0..45 {
        hub.publish_repository(bare(&format!("studio/model-{at}"), "x"));
    }
    hub.limit_pages_to(10);
    let hubs = hubs(&hub);
    let mut memory = Memory::default();
    let pages = memory.look(&hubs, "hf:studio").await.unwrap();
    assert_eq!(pages.iter().map(|page| page.models.len()).collect::<Vec<_>>(), [20, 20, 5]);
    assert_eq!(pages.iter().filter(|page| page.mark.is_some()).count(), 1, "the first page alone has the mark");
    let lists = hub.requests().iter().filter(|request| request.path() == "/api/models").count();
    assert_eq!(lists, 5);
    hub.clear_requests();
    assert!(memory.look(&hubs, "hf:studio").await.unwrap()[0].unchanged_since_mark);
    assert_eq!(hub.requests().len(), 1);
}

#[tokio::test]
async fn links_are_followed_on_the_hub_only_and_never_twice() {
    let hub = FakeHub::start().await;
    hub.publish_repository(bare("studio/one", "x"));
    let hubs = hubs(&hub);
    hf_token(&hubs, HF_TOKEN);
    let entry = r#"[{"id":"studio/one"}]"#;
    let again = format!("<{}/api/models?cursor=a>; rel=\"next\"", hub.hf_endpoint());
    hub.faults().always(Server::HfEndpoint, "/api/models?", status(200, entry, &[("link", &again)]));
    let error = pages(&hubs, "hf:studio").await.unwrap_err();
    assert!(matches!(&error, HubError::EndlessList { creator, .. } if creator == "studio"), "{error}");
    assert_eq!(hub.requests().len(), 2);

    hub.faults().clear();
    let away = format!("<{}/api/models?cursor=a>; rel=\"next\"", hub.civitai_endpoint());
    hub.faults().always(Server::HfEndpoint, "/api/models?", status(200, entry, &[("link", &away)]));
    assert_eq!(pages(&hubs, "hf:studio").await.unwrap_err().reason(), reason::REDIRECT_REFUSED);
    assert!(hub.requests_to(Server::CivitaiSite).is_empty());
}

#[tokio::test]
async fn an_entry_that_comes_again_is_given_once_and_a_bad_one_left_out() {
    let hub = FakeHub::start().await;
    hub.publish_repository(bare("studio/one", "x"));
    hub.publish_repository(bare("studio/two", "x"));
    // The list shifted by one between its two answers.
    let link = format!("<{}/api/models?cursor=a>; rel=\"next\"", hub.hf_endpoint());
    let first = r#"[{"id":"studio/two"},{"id":"../../etc"},{"name":"x"},null,{"id":"studio/one"}]"#;
    hub.faults().once(Server::HfEndpoint, "/api/models?author", status(200, first, &[("link", &link)]));
    hub.faults().once(Server::HfEndpoint, "/api/models?cursor", status(200, r#"[{"id":"studio/one"}]"#, &[]));
    let pages = Memory::default().look(&hubs(&hub), "hf:studio").await.unwrap();
    assert_eq!(ids(&pages), ["studio/two", "studio/one"]);
    hub.faults().once(Server::HfEndpoint, "/api/models?", status(200, r#"{"error":"no list"}"#, &[]));
    let error = Memory::default().look(&hubs(&hub), "hf:studio").await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_PROTOCOL);
}

#[tokio::test]
async fn likes_bring_models_in_once() {
    let hub = FakeHub::start().await;
    hub.publish_repository(bare("studio/one", "x"));
    hub.publish_repository(bare("studio/two", "x"));
    hub.like("me", "model", "studio/one");
    hub.like("me", "space", "studio/one");
    hub.like("me", "model", "studio/vanished");
    let hubs = hubs(&hub);
    let mut memory = Memory::default();
    let pages = memory.look(&hubs, "hf:likes:me").await.unwrap();
    assert_eq!(ids(&pages), ["studio/one"], "a space is no model, and what is gone hides nothing");
    hub.clear_requests();
    assert!(memory.look(&hubs, "hf:likes:me").await.unwrap()[0].unchanged_since_mark);
    assert_eq!(hub.requests().len(), 1);

    hub.like("me", "model", "studio/two");
    hub.clear_requests();
    let pages = memory.look(&hubs, "hf:likes:me").await.unwrap();
    assert_eq!((ids(&pages), &pages[0].unchanged[..]), (vec!["studio/two"], &["studio/one".to_owned()][..]));
    assert!(!paths(&hub).iter().any(|path| path.contains("studio/one")), "{:?}", paths(&hub));

    // No order is documented, so a list of several answers is always read whole.
    hub.limit_pages_to(2);
    memory.look(&hubs, "hf:likes:me").await.unwrap();
    assert_eq!(memory.mark, None);

    let error = memory.look(&hubs, "hf:likes:nobody").await.unwrap_err();
    assert_eq!(error.reason(), reason::CREATOR_NOT_FOUND);
    hub.add_hf_user("reader");
    assert!(ids(&Memory::default().look(&hubs, "hf:likes:reader").await.unwrap()).is_empty());
}

#[tokio::test]
async fn a_branch_of_a_repository_brings_its_new_commits() {
    let hub = FakeHub::start().await;
    hub.publish_repository(bare("studio/one", "main"));
    let work = |text: &'static str| files(&[("b.txt", Bytes::from_static(text.as_bytes()))]);
    let first = hub.publish_branch("studio/one", "dev/next", work("1")).unwrap();
    let hubs = hubs(&hub);
    let mut memory = Memory::default();
    let target = "hf:studio/one@dev/next";
    let pages = memory.look(&hubs, target).await.unwrap();
    let version = &pages[0].models[0].versions[0];
    assert_eq!((version.name.as_str(), &version.external_id), ("dev/next", &first));
    assert_eq!(pages[0].models[0].list_mark, None, "lists speak of the default branch");

    hub.clear_requests();
    hub.count("studio/one", 5, 5);
    assert!(memory.look(&hubs, target).await.unwrap()[0].unchanged_since_mark);
    assert!(memory.look(&hubs, target).await.unwrap()[0].unchanged_since_mark);
    let requests = hub.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].path(), "/api/models/studio/one/revision/dev%2Fnext");
    assert!(requests[1].header("if-none-match").is_some());

    let second = hub.publish_branch("studio/one", "dev/next", work("2")).unwrap();
    let pages = memory.look(&hubs, target).await.unwrap();
    assert_eq!(pages[0].models[0].versions[0].external_id, second);
    let error = memory.look(&hubs, "hf:studio/one@gone").await.unwrap_err();
    assert_eq!(error.reason(), reason::VERSION_NOT_FOUND);
}

#[tokio::test]
async fn a_followed_repository_agrees_with_its_authors_list() {
    let hub = FakeHub::start().await;
    let mut repository = bare("studio/one", "x");
    repository.former_ids = vec!["old-studio/one".to_owned()];
    hub.publish_repository(repository);
    let hubs = hubs(&hub);
    let mut memory = Memory::default();
    let pages = memory.look(&hubs, "hf:old-studio/one").await.unwrap();
    assert_eq!(ids(&pages), ["studio/one"], "keyed by its present name");
    // The author's list finds it as it is known, and so does the follow of the repository.
    memory.mark = None;
    assert_eq!(memory.look(&hubs, "hf:studio").await.unwrap()[0].unchanged, ["studio/one"]);
    memory.mark = None;
    assert_eq!(memory.look(&hubs, "hf:studio/one").await.unwrap()[0].unchanged, ["studio/one"]);
}

#[tokio::test]
async fn what_is_out_of_sight_is_not_taken_for_gone() {
    let hub = FakeHub::start().await;
    hub.publish_repository(bare("studio/open", "x"));
    let mut private = bare("studio/private", "x");
    private.private = true;
    hub.publish_repository(private);
    let hubs = hubs(&hub);
    let asked = ["studio/open", "studio/private", "studio/never"].map(str::to_owned);
    let look = async || hubs.look_again(Hub::HuggingFace, &asked, true).await.unwrap();
    let anonymous = look().await;
    assert!(matches!(&anonymous[0], Presence::Here(model) if model.external_id == "studio/open"));
    for (presence, id) in anonymous[1..].iter().zip(&asked[1..]) {
        assert_eq!(presence, &Presence::OutOfSight { external_id: id.clone() });
    }
    hf_token(&hubs, HF_TOKEN);
    let known = look().await;
    assert!(matches!(&known[1], Presence::Here(_)));
    assert_eq!(known[2], Presence::Gone { external_id: asked[2].clone() });
    hf_token(&hubs, "hf_wrong");
    let error = hubs.look_again(Hub::HuggingFace, &asked, true).await.unwrap_err();
    assert_eq!(error.reason(), reason::HUB_TOKEN_REJECTED);
}

#[tokio::test]
async fn a_gate_is_asked_before_anything_is_queued() {
    let hub = FakeHub::start().await;
    hub.publish_repository(pipeline("studio/open"));
    for kind in ["auto", "manual"] {
        let mut gated = pipeline(&format!("studio/{kind}"));
        gated.gated = Some(kind.to_owned());
        hub.publish_repository(gated);
    }
    let hubs = hubs(&hub);
    let check = async |id: &str| hubs.check_access(Hub::HuggingFace, id).await;
    check("studio/open").await.unwrap();
    hubs.check_access(Hub::Civitai, "4384").await.unwrap();
    let page = format!("{}/studio/auto", hub.hf_endpoint());
    let refused = async |wanted: &str, advice: &str| {
        let error = check("studio/auto").await.unwrap_err();
        assert_eq!(error.reason(), wanted, "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains(&page) && hint.contains(advice), "{hint}");
    };
    refused(reason::HUB_TOKEN_REQUIRED, "paintbox login hf").await;
    hf_token(&hubs, "hf_wrong");
    refused(reason::HUB_TOKEN_REJECTED, "make a new token").await;
    hf_token(&hubs, HF_TOKEN);
    refused(reason::HUB_ACCESS_DENIED, "accept its terms").await;
    hub.grant_access("studio/auto");
    check("studio/auto").await.unwrap();
    assert_eq!(check("studio/nothing").await.unwrap_err().reason(), reason::MODEL_NOT_FOUND);
    assert_eq!(check("../x").await.unwrap_err().reason(), reason::MODEL_NOT_FOUND);

    let mut memory = Memory::default();
    hub.clear_requests();
    let pages = memory.look(&hubs, "hf:studio").await.unwrap();
    let granted = |name: &str| pages[0].models.iter().find(|model| model.name == name).unwrap().access_granted;
    assert_eq!((granted("open"), granted("auto"), granted("manual")), (None, Some(true), Some(false)));
    let checks = paths(&hub).iter().filter(|path| path.ends_with("/auth-check")).count();
    assert_eq!(checks, 2, "one question for each gate");
    // A gate that closes is a change, a gate that stays costs nothing.
    hub.edit_repository("studio/open", |about| about.gated = Some("auto".to_owned()));
    hub.clear_requests();
    let pages = memory.look(&hubs, "hf:studio").await.unwrap();
    assert_eq!((ids(&pages), pages[0].models[0].access_granted), (vec!["studio/open"], Some(false)));
    assert_eq!(paths(&hub).iter().filter(|path| path.ends_with("/auth-check")).count(), 1);
}

#[tokio::test]
async fn a_hub_that_cannot_be_asked_about_gates_says_nothing_of_them() {
    let hub = FakeHub::start().await;
    let mut gated = pipeline("studio/gated");
    gated.gated = Some("auto".to_owned());
    hub.publish_repository(gated);
    let unknown = status(404, r#"{"error":"Not Found"}"#, &[]);
    hub.faults().always(Server::HfEndpoint, "/api/models/studio/gated/auth-check", unknown);
    let models = pages(&hubs(&hub), "hf:studio").await.unwrap().concat();
    assert_eq!(models[0].access_granted, None);
    hub.faults().clear();
    let down = status(503, "", &[("retry-after", "0")]);
    hub.faults().always(Server::HfEndpoint, "/api/models/studio/gated/auth-check", down);
    assert_eq!(pages(&hubs(&hub), "hf:studio").await.unwrap_err().reason(), reason::HUB_UNREACHABLE);
}

#[tokio::test]
async fn a_card_is_kept_front_matter_and_all() {
    let hub = FakeHub::start().await;
    let mut repository = pipeline("studio/model");
    repository.card.insert("instance_prompt".to_owned(), json!("sks cat"));
    repository.card_text = "# Cats\n\nPaints **cats**.\n".to_owned();
    let commit = hub.publish_repository(repository);
    hub.publish_repository(bare("studio/plain", "x"));
    let models = pages(&hubs(&hub), "hf:studio").await.unwrap().concat();
    assert_eq!((models[0].name.as_str(), models[0].description.as_deref()), ("plain", None));
    let card = models[1].description.as_deref().unwrap();
    assert!(card.starts_with("---\n") && card.ends_with("# Cats\n\nPaints **cats**.\n"), "{card}");
    assert_eq!(models[1].versions[0].trained_words, ["sks cat"]);
    let fetched = paths(&hub).into_iter().filter(|path| path.contains("README.md")).collect::<Vec<_>>();
    assert_eq!(fetched[0], format!("/studio/model/resolve/{commit}/README.md"));
    assert_eq!(fetched.len(), 2, "two hops of one file, and none for a repository without a card: {fetched:?}");
}

#[tokio::test]
async fn a_card_that_the_hub_did_not_read_is_read_here() {
    let hub = FakeHub::start().await;
    let card = "---\nlicense: openrail\nbase_model: org/base\ninstance_prompt: sks\ntags: [lora]\n---\ntext";
    hub.publish_repository(FakeRepository::new("me/it", files(&[("README.md", Bytes::from_static(card.as_bytes()))])));
    let read = hubs(&hub).model(Hub::HuggingFace, "me/it", None).await.unwrap();
    assert_eq!((read.licence.as_deref(), read.description.as_deref()), (Some("openrail"), Some(card)));
    assert_eq!(read.versions[0].base_model.as_deref(), Some("org/base"));
    assert_eq!(read.versions[0].trained_words, ["sks"]);
    let kept: serde_json::Value = serde_json::from_str(&read.raw).unwrap();
    assert!(!kept["page"].to_string().contains("openrail"), "the Hub's own words stay as they are");
    assert_eq!((kept["card"].as_str(), read.list_mark.is_some()), (Some(card), true));

    let broken = Bytes::from_static(b"---\nlicense: [\n---\n\xff text");
    hub.publish_repository(FakeRepository::new("me/it", files(&[("README.md", broken)])));
    let read = hubs(&hub).model(Hub::HuggingFace, "me/it", None).await.unwrap();
    assert_eq!(read.licence, None);
    assert_eq!(read.description.as_deref(), Some("---\nlicense: [\n---\n\u{fffd} text"));
}

#[tokio::test]
async fn a_card_that_does_not_come_costs_no_list_and_is_asked_for_again() {
    let hub = FakeHub::start().await;
    hub.publish_repository(pipeline("studio/model"));
    let hubs = hubs(&hub);
    let mut memory = Memory::default();
    let down = status(503, "", &[("retry-after", "0")]);
    hub.faults().always(Server::HfEndpoint, "/studio/model/resolve/", down);
    let pages = memory.look(&hubs, "hf:studio").await.unwrap();
    assert_eq!((ids(&pages), &pages[0].models[0].description), (vec!["studio/model"], &None));
    assert_eq!((memory.mark.as_deref(), memory.known.len()), (None, 0));
    hub.faults().clear();
    let pages = memory.look(&hubs, "hf:studio").await.unwrap();
    assert!(pages[0].models[0].description.is_some() && memory.mark.is_some());

    // One that is refused for good is not asked for again until the next commit.
    hub.publish_repository(pipeline("studio/model"));
    let refused = status(404, "Entry not found", &[("x-error-code", "EntryNotFound")]);
    hub.faults().always(Server::HfEndpoint, "/studio/model/resolve/", refused);
    let pages = memory.look(&hubs, "hf:studio").await.unwrap();
    assert_eq!(pages[0].models[0].description, None);
    assert!(memory.look(&hubs, "hf:studio").await.unwrap()[0].unchanged_since_mark);
}

#[tokio::test]
async fn a_closed_gate_keeps_its_card_and_is_not_knocked_at() {
    let hub = FakeHub::start().await;
    let mut gated = pipeline("studio/gated");
    gated.gated = Some("manual".to_owned());
    hub.publish_repository(gated);
    let models = pages(&hubs(&hub), "hf:studio").await.unwrap().concat();
    assert_eq!((models[0].access_granted, &models[0].description), (Some(false), &None));
    assert!(!paths(&hub).iter().any(|path| path.contains("README")), "{:?}", paths(&hub));
}

#[tokio::test]
async fn models_are_found_by_words_tasks_and_libraries() {
    let hub = FakeHub::start().await;
    hub.publish_repository(pipeline("studio/cats"));
    hub.publish_repository(pipeline("other/cats-and-dogs"));
    hub.publish_repository(bare("studio/words", "x"));
    let hubs = hubs(&hub);
    let query = HfQuery { author: None, search: None, pipeline_tag: None, library: None, limit: 10 };
    let found = async |query: HfQuery| {
        let models = hubs.hf_search(&query).await.unwrap();
        assert!(models.iter().all(|model| model.versions.is_empty()));
        models.into_iter().map(|model| model.external_id).collect::<Vec<_>>()
    };
    assert_eq!(found(HfQuery { limit: 2, ..query.clone() }).await.len(), 2);
    let cats = found(HfQuery { search: Some("cats".to_owned()), ..query.clone() }).await;
    assert_eq!(cats, ["studio/cats", "other/cats-and-dogs"]);
    let by = HfQuery { author: Some("studio".to_owned()), library: Some("diffusers".to_owned()), ..query.clone() };
    assert_eq!(found(by).await, ["studio/cats"]);
    let task = HfQuery { pipeline_tag: Some("text-to-image".to_owned()), ..query.clone() };
    assert_eq!(found(task).await.len(), 2);
    assert!(found(HfQuery { search: Some("nothing".to_owned()), ..query }).await.is_empty());
}

#[tokio::test]
async fn branches_commits_and_trees_can_be_looked_at() {
    let hub = FakeHub::start().await;
    let mut repository = pipeline("studio/one");
    repository.former_ids = vec!["studio/uno".to_owned()];
    let first = hub.publish_repository(repository.clone());
    repository.files.insert("vae/b.safetensors".to_owned(), weights(90));
    let second = hub.publish_repository(repository);
    let dev = hub.publish_branch("studio/one", "dev", files(&[("x.json", Bytes::from_static(b"{}"))])).unwrap();
    let hubs = hubs(&hub);
    let refs = hubs.hf_refs("studio/one").await.unwrap();
    let branches: Vec<_> = refs.branches.iter().map(|one| (one.name.as_str(), &one.commit)).collect();
    assert_eq!((branches, refs.tags.len()), (vec![("main", &second), ("dev", &dev)], 0));
    let commits = hubs.hf_commits("studio/one", None, 10).await.unwrap();
    assert_eq!(commits.iter().map(|commit| &commit.id).collect::<Vec<_>>(), [&second, &first]);
    assert_eq!((commits[0].title.as_str(), &commits[0].authors[..]), ("Upload files", &["system".to_owned()][..]));
    assert!(commits[0].time > commits[1].time);
    assert_eq!(hubs.hf_commits("studio/one", Some(&first), 1).await.unwrap().len(), 1);

    hub.limit_pages_to(2);
    let tree = hubs.hf_tree("studio/uno", None).await.unwrap();
    let page = hubs.model(Hub::HuggingFace, "studio/one", None).await.unwrap();
    assert_eq!(tree, page.versions[0].files, "the same files, digests and addresses as on the page");
    let unet = tree.iter().find(|file| file.external_id.starts_with("unet/")).unwrap();
    assert!(unet.sha256.is_some() && unet.size == Some(FileSize::Exact(50_000)));
    let dev_tree = hubs.hf_tree("studio/one", Some("dev")).await.unwrap();
    assert!(dev_tree[0].locator.contains(&dev) && dev_tree[0].git_sha1.is_some());
    for error in [
        hubs.hf_tree("studio/one", Some("gone")).await.unwrap_err(),
        hubs.hf_commits("studio/one", Some("gone"), 1).await.unwrap_err(),
    ] {
        assert_eq!(error.reason(), reason::VERSION_NOT_FOUND, "{error}");
    }
    assert_eq!(hubs.hf_refs("studio/nothing").await.unwrap_err().reason(), reason::MODEL_NOT_FOUND);
    assert_eq!(hubs.hf_tree("../x", None).await.unwrap_err().reason(), reason::MODEL_NOT_FOUND);
}

#[tokio::test]
async fn a_kept_page_reads_as_it_did_when_it_came_card_and_all() {
    let hub = FakeHub::start().await;
    let mut repository =
        FakeRepository::new("org/it", std::collections::BTreeMap::from([("a.safetensors".to_owned(), weights(64))]));
    repository.card.insert("license".to_owned(), serde_json::json!("apache-2.0"));
    repository.card_text = "# It\n".to_owned();
    hub.publish_repository(repository);
    let model = pages(&hubs(&hub), "hf:org").await.unwrap().concat().remove(0);
    assert!(model.description.as_deref().is_some_and(|card| card.contains("# It")));
    let kept = crate::read_kept(Hub::HuggingFace, model.raw.clone()).unwrap();
    assert_eq!(kept, HubModel { list_mark: None, access_granted: None, ..model.clone() });
    assert!(!crate::is_private(Hub::HuggingFace, &model.raw));
    assert!(crate::is_private(Hub::HuggingFace, &model.raw.replace("\"private\":false", "\"private\":true")));
    assert!(!crate::is_private(Hub::HuggingFace, "nonsense"));
}
