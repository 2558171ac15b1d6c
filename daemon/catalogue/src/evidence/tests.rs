//! Tests of what recording keeps, dates and replaces.

use crate::testing::{clock_at, commit, file, model, new_artifact, opened, opened_with, repo, sha, version};
use crate::{Catalogue, DownloadEnd, FileState, ModelDetail, ModelId, NewDownload, StoredPreview};
use paintbox_domain::hub::{FileSize, ModelState};
use paintbox_domain::{
    Classify, DownloadState, DownloadStep, ErrorClass, Failure, GitSha1, Hub, ModelKind, Timestamp, reason,
};
use std::time::Duration;

async fn record(catalogue: &Catalogue, model: &paintbox_domain::hub::HubModel) -> ModelId {
    catalogue.record_models(std::slice::from_ref(model), None).await.unwrap()[0]
}

async fn detail(catalogue: &Catalogue, id: ModelId) -> ModelDetail {
    catalogue.model(id).await.unwrap()
}

async fn rows(catalogue: &Catalogue) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in [
        "SELECT count(*) FROM model",
        "SELECT count(*) FROM model_state",
        "SELECT count(*) FROM model_change",
        "SELECT count(*) FROM version",
        "SELECT count(*) FROM file",
        "SELECT count(*) FROM preview",
        "SELECT count(*) FROM tag",
        "SELECT count(*) FROM model_tag",
        "SELECT count(*) FROM model_search",
    ] {
        counts.push(sqlx::query_scalar(table).fetch_one(&catalogue.readers).await.unwrap());
    }
    counts
}

#[tokio::test]
async fn everything_a_hub_says_comes_back() {
    let (catalogue, _home) = opened().await;
    let mut given = model("4384", "DreamShaper");
    given.tags = vec!["zebra".into(), "anime".into(), "zebra".into()];
    given.versions[0].trained_words = vec!["one, two".into(), "\"three\"".into()];
    given.versions[0].early_access =
        Some(paintbox_domain::hub::EarlyAccess { until: Some(Timestamp::from_unix_ms(9)) });
    given.versions[0].download_allowed = false;
    given.versions[0].files[0].name = "a\u{0}b/../c\n.safetensors".into();
    given.versions[0].files[0].size = Some(FileSize::About(u64::MAX));
    let id = record(&catalogue, &given).await;
    let found = detail(&catalogue, id).await;
    assert_eq!(found.summary.reference.to_string(), "civitai:4384");
    assert_eq!(found.summary.tags, ["zebra", "anime"]);
    assert_eq!((found.summary.downloads, found.likes), (Some(5), Some(2)));
    assert_eq!((found.description, found.licence), (given.description, given.licence));
    let (found, given) = (&found.versions[0], &given.versions[0]);
    assert_eq!(found.reference.to_string(), "civitai:4384@10");
    assert_eq!(found.trained_words, given.trained_words);
    assert_eq!((found.early_access, found.download_allowed), (given.early_access, false));
    assert_eq!(found.published_at, given.published_at);
    assert_eq!(found.files[0].name, given.files[0].name);
    assert_eq!(found.files[0].sha256, given.files[0].sha256);
    assert_eq!(found.files[0].locator, given.files[0].locator);
    assert_eq!(found.files[0].size, Some(FileSize::About(i64::MAX as u64)), "SQLite counts no further");
    assert_eq!((found.files[0].state, &found.files[0].artifact), (FileState::Absent, &None));
    assert_eq!(found.previews[0].generation, given.previews[0].generation);
    assert_eq!((found.previews[0].width, found.previews[0].height), (Some(512), Some(768)));
}

#[tokio::test]
async fn recording_twice_changes_nothing() {
    let (catalogue, _home) = opened().await;
    let mut models = [model("1", "One"), model("2", "Two"), repo("org/x", vec![commit(&"a".repeat(40), 1)])];
    models[0].tags = vec!["a".into(), "b".into()];
    let first = catalogue.record_models(&models, None).await.unwrap();
    let before = (rows(&catalogue).await, detail(&catalogue, first[0]).await);
    assert_eq!(catalogue.record_models(&models, None).await.unwrap(), first);
    assert_eq!((rows(&catalogue).await, detail(&catalogue, first[0]).await), before);
    assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_page_that_was_emptied_keeps_what_was_known() {
    let (catalogue, _home) = opened().await;
    let mut given = model("1", "One");
    given.tags = vec!["anime".into()];
    given.versions[0].trained_words = vec!["konan style".into()];
    let id = record(&catalogue, &given).await;
    let mut emptied = given.clone();
    emptied.state = ModelState::TakenDown;
    emptied.name = String::new();
    emptied.kind = ModelKind::Unknown;
    (emptied.kind_label, emptied.creator, emptied.description, emptied.licence) = (None, None, None, None);
    (emptied.downloads, emptied.likes, emptied.nsfw_level) = (None, None, 0);
    emptied.tags.clear();
    emptied.versions[0].trained_words.clear();
    emptied.versions[0].previews.clear();
    emptied.versions[0].base_model = None;
    assert_eq!(record(&catalogue, &emptied).await, id);
    let found = detail(&catalogue, id).await;
    assert_eq!(found.summary.state, ModelState::TakenDown);
    assert_eq!((found.summary.name.as_str(), found.summary.kind), ("One", ModelKind::Checkpoint));
    assert_eq!((found.description, found.licence), (given.description, given.licence));
    assert_eq!((found.summary.creator, found.summary.downloads), (given.creator, given.downloads));
    assert_eq!((found.summary.tags, found.summary.nsfw_level), (given.tags, 1));
    assert_eq!(found.versions[0].trained_words, ["konan style"]);
    assert_eq!(found.versions[0].base_model.as_deref(), Some("SD 1.5"));
    assert_eq!(found.versions[0].previews[0].generation, given.versions[0].previews[0].generation);
    assert!(found.versions[0].previews[0].gone_at.is_some());
}

#[tokio::test]
async fn what_vanishes_is_dated_and_what_comes_back_is_not() {
    let (catalogue, _home) = opened().await;
    let mut given = model("1", "One");
    given.versions = vec![version("11"), version("10")];
    given.versions[0].files.push(file("112", 7));
    let id = record(&catalogue, &given).await;
    let whole = detail(&catalogue, id).await;
    let mut less = given.clone();
    less.versions.remove(1);
    less.versions[0].files.remove(0);
    record(&catalogue, &less).await;
    let found = detail(&catalogue, id).await;
    assert_eq!((found.versions[0].gone_at, found.versions[1].gone_at.is_some()), (None, true));
    let files: Vec<_> = found.versions[0].files.iter().map(|f| (f.external_id.as_str(), f.gone_at.is_some())).collect();
    assert_eq!(files, [("112", false), ("111", true)]);
    assert!(catalogue.record_model_gone(Hub::Civitai, "1").await.unwrap());
    assert!(!catalogue.record_model_gone(Hub::Civitai, "1").await.unwrap());
    assert!(!catalogue.record_model_gone(Hub::Civitai, "2").await.unwrap());
    assert!(detail(&catalogue, id).await.gone_at.is_some());
    record(&catalogue, &given).await;
    assert_eq!(detail(&catalogue, id).await, whole);
}

#[tokio::test]
async fn other_bytes_under_the_same_id_are_another_file() {
    let (catalogue, home) = opened().await;
    let mut given = model("1", "One");
    given.versions[0].files = vec![file("5", 1)];
    let id = record(&catalogue, &given).await;
    let old = detail(&catalogue, id).await.versions[0].files[0].id;
    catalogue.record_file(old, &new_artifact(sha(1), home.path().join("one")), true).await.unwrap();

    given.versions[0].files[0].sha256 = Some(sha(2));
    record(&catalogue, &given).await;
    let found = detail(&catalogue, id).await;
    let [new, replaced] = &found.versions[0].files[..] else { panic!("{found:?}") };
    assert_eq!((replaced.id, replaced.state, replaced.sha256), (old, FileState::Verified, Some(sha(1))));
    assert!(replaced.replaced_at.is_some() && replaced.gone_at.is_none());
    assert_eq!((new.state, new.sha256, new.replaced_at), (FileState::Absent, Some(sha(2)), None));
    assert!(found.summary.downloaded, "the old bytes are still here");
    let new = new.id;

    // An answer without a digest says nothing about the bytes, and the old bytes may come back.
    given.versions[0].files[0].sha256 = None;
    record(&catalogue, &given).await;
    assert_eq!(detail(&catalogue, id).await.versions[0].files[0].sha256, Some(sha(2)));
    given.versions[0].files[0].sha256 = Some(sha(1));
    for _ in 0..3 {
        record(&catalogue, &given).await;
    }
    let found = detail(&catalogue, id).await;
    let files: Vec<_> = found.versions[0].files.iter().map(|f| (f.id, f.replaced_at.is_some())).collect();
    assert_eq!(files, [(old, false), (new, true)]);
}

#[tokio::test]
async fn ids_that_are_listed_twice_are_taken_once() {
    let (catalogue, _home) = opened().await;
    let mut given = model("1", "One");
    given.versions[0].files = vec![file("5", 1), file("5", 2)];
    given.versions.push(version("10"));
    for _ in 0..3 {
        let id = record(&catalogue, &given).await;
        let found = detail(&catalogue, id).await;
        assert_eq!((found.versions.len(), found.versions[0].files.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_picture_that_is_listed_twice_is_taken_once() {
    let (catalogue, _home) = opened().await;
    let mut given = model("1", "One");
    let mut again = given.versions[0].previews[0].clone();
    again.url = "https://image.civitai.com/x/other/7.jpeg".into();
    given.versions[0].previews.push(again);
    for _ in 0..2 {
        given.raw.push(' ');
        given.versions[0].name.push('+');
        let id = record(&catalogue, &given).await;
        let found = detail(&catalogue, id).await.versions[0].previews.clone();
        assert_eq!(found.iter().map(|p| p.url.as_str()).collect::<Vec<_>>(), [&given.versions[0].previews[0].url]);
    }
}

/// Changes a row behind the catalogue's back, so that a test sees whether it is written again.
async fn tamper(catalogue: &Catalogue, statement: &'static str) {
    sqlx::query(statement).execute(&catalogue.writer).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_changed_in_its_counters_only_writes_nothing_else() {
    let clock = clock_at(1_000);
    let (catalogue, _home) = opened_with(clock.clone()).await;
    let mut given = model("1", "One");
    let id = record(&catalogue, &given).await;
    tamper(&catalogue, "UPDATE version SET name = 'untouched'").await;
    clock.advance(Duration::from_millis(500));
    (given.downloads, given.likes, given.list_mark) = (Some(77), None, Some("mark".into()));
    given.raw = given.raw.replacen('{', r#"{"stats":{"downloadCount":77},"#, 1);
    assert_eq!(record(&catalogue, &given).await, id);
    let found = detail(&catalogue, id).await;
    assert_eq!((found.summary.downloads, found.likes), (Some(77), Some(2)));
    assert_eq!(found.versions[0].name, "untouched");
    let touched: (i64, String) =
        sqlx::query_as("SELECT last_seen_ms, list_mark FROM model").fetch_one(&catalogue.readers).await.unwrap();
    assert_eq!(touched, (1_500, "mark".to_owned()));
    assert_eq!(catalogue.model_changes(id).await.unwrap().len(), 1);

    // Whatever else an answer says is recorded, though its JSON be the same: other requests add to it.
    given.versions[0].download_allowed = false;
    record(&catalogue, &given).await;
    let found = detail(&catalogue, id).await;
    assert_eq!((found.versions[0].name.as_str(), found.versions[0].download_allowed), ("v10", false));
    given.versions[0].previews[0].generation = Some("{\"prompt\":\"added\"}".into());
    record(&catalogue, &given).await;
    let generation = detail(&catalogue, id).await.versions[0].previews[0].generation.clone();
    assert_eq!(generation, given.versions[0].previews[0].generation);
    assert_eq!(catalogue.model_changes(id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_words_about_part_of_a_model_are_not_the_same_answer() {
    let (catalogue, _home) = opened().await;
    let mut whole = model("1", "One");
    whole.versions = vec![version("11"), version("10")];
    let mut part = whole.clone();
    part.versions.remove(0);
    let id = record(&catalogue, &whole).await;
    assert_eq!(catalogue.record_model_in_part(&part).await.unwrap(), id);
    let present = async || {
        let versions = detail(&catalogue, id).await.versions;
        versions.into_iter().map(|v| (v.external_id, v.gone_at.is_some())).collect::<Vec<_>>()
    };
    let both = [("11".to_owned(), false), ("10".to_owned(), false)];
    assert_eq!(present().await, both, "nothing is said of the other version, nor of the order");
    record(&catalogue, &part).await;
    assert_eq!(present().await, [("10".to_owned(), false), ("11".to_owned(), true)]);
    let mut more = part.clone();
    more.versions = vec![version("30"), version("31")];
    catalogue.record_model_in_part(&more).await.unwrap();
    let ids: Vec<String> = present().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["10", "30", "31", "11"]);
    let places: Vec<i64> = sqlx::query_scalar("SELECT position FROM version WHERE gone_ms IS NULL ORDER BY version_id")
        .fetch_all(&catalogue.readers)
        .await
        .unwrap();
    assert_eq!(places, [0, 1, 2], "new versions of a part come last, in its order");
}

#[tokio::test]
async fn a_model_that_comes_twice_in_a_page_is_recorded_twice() {
    let (catalogue, _home) = opened().await;
    let renamed = model("1", "Renamed");
    let ids =
        catalogue.record_models(&[model("1", "One"), model("2", "Two"), renamed.clone(), renamed], None).await.unwrap();
    assert_eq!((ids[0], ids[0]), (ids[2], ids[3]));
    assert_ne!(ids[0], ids[1]);
    let names: Vec<String> = catalogue
        .model_changes(ids[0])
        .await
        .unwrap()
        .into_iter()
        .map(|change| change.raw.unwrap_or_default())
        .collect();
    assert_eq!(names, [model("1", "One").raw, model("1", "Renamed").raw]);
    assert_eq!(detail(&catalogue, ids[0]).await.summary.name, "Renamed");
    assert_eq!(catalogue.record_models(&[], None).await.unwrap(), []);
}

#[tokio::test]
async fn tags_of_a_page_that_was_not_recorded_are_not_taken_for_known() {
    let (catalogue, home) = opened().await;
    let other = Catalogue::open(&home.path().join("catalogue.db"), clock_at(1_000)).await.unwrap();
    let mut given = model("1", "One");
    given.tags = vec!["a\u{0}b".into(), "ink".into()];
    // Everything is written, and then the transaction cannot be committed.
    for statement in [
        "CREATE TABLE broken (model_id REFERENCES model DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER break AFTER INSERT ON model_change BEGIN INSERT INTO broken VALUES (-1); END",
    ] {
        tamper(&catalogue, statement).await;
    }
    let failed = catalogue.record_models(std::slice::from_ref(&given), None).await.unwrap_err();
    assert_eq!(failed.reason(), reason::CATALOGUE_FAILED);
    assert_eq!(rows(&catalogue).await, [0; 9]);
    tamper(&catalogue, "DROP TRIGGER break").await;
    // Somebody else takes the numbers that the tags would have had.
    let mut second = model("2", "Two");
    second.tags = vec!["first".into(), "second".into()];
    record(&other, &second).await;
    for (catalogue, id) in [(&catalogue, "1"), (&other, "3"), (&catalogue, "4")] {
        let given = paintbox_domain::hub::HubModel { tags: given.tags.clone(), ..model(id, "Any") };
        let id = record(catalogue, &given).await;
        assert_eq!(detail(catalogue, id).await.summary.tags, given.tags);
    }
    assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_page_may_be_longer_than_a_statement() {
    let (catalogue, _home) = opened().await;
    let rows_of_one = super::rows::ROWS;
    let mut models: Vec<_> = (0..rows_of_one + 1).map(|n| model(&n.to_string(), &format!("Model {n}"))).collect();
    models[0].tags = (0..rows_of_one * 2 + 1).map(|n| format!("tag {n}")).collect();
    let preview = models[0].versions[0].previews[0].clone();
    models[0].versions[0].previews = (0..rows_of_one * 2)
        .map(|n| paintbox_domain::hub::HubPreview { external_id: Some(n.to_string()), ..preview.clone() })
        .collect();
    for round in 0..2 {
        let ids = catalogue.record_models(&models, None).await.unwrap();
        for (id, model) in ids.iter().zip(&models) {
            assert_eq!(detail(&catalogue, *id).await.summary.external_id, model.external_id);
        }
        let found = detail(&catalogue, ids[0]).await;
        assert_eq!(found.summary.tags, models[0].tags);
        let pictures: Vec<_> = found.versions[0].previews.iter().map(|p| p.external_id.clone()).collect();
        assert_eq!(pictures, models[0].versions[0].previews.iter().map(|p| p.external_id.clone()).collect::<Vec<_>>());
        assert_eq!(rows(&catalogue).await[0], models.len() as i64);
        // Every model is edited, so that the second round updates what the first inserted.
        for model in &mut models {
            model.name = format!("{} {round}", model.name);
            model.versions[0].previews.reverse();
            model.raw = format!("{{\"name\":\"{}\"}}", model.name);
        }
    }
    assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn an_unchanged_model_still_joins_a_list_and_comes_back_to_it() {
    let (catalogue, _home) = opened().await;
    let given = model("1", "One");
    let id = record(&catalogue, &given).await;
    let follow = catalogue.create_follow(&"civitai:Konan".parse().unwrap(), &Default::default()).await.unwrap().id;
    let page = std::slice::from_ref(&given);
    catalogue.record_models(page, Some(follow)).await.unwrap();
    assert_eq!(catalogue.listed_by_follow(follow).await.unwrap(), ["1"]);
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM follow_seen").fetch_one(&catalogue.readers).await.unwrap();
    assert_eq!(seen, 1, "it is part of the back catalogue");
    catalogue.record_left(follow, &["1".to_owned()]).await.unwrap();
    assert!(catalogue.listed_by_follow(follow).await.unwrap().is_empty());
    assert_eq!(catalogue.record_models(page, Some(follow)).await.unwrap(), [id]);
    assert_eq!(catalogue.listed_by_follow(follow).await.unwrap(), ["1"]);
}

#[tokio::test]
async fn a_file_is_what_its_digest_says() {
    let (catalogue, home) = opened().await;
    let mut given = model("1", "One");
    given.versions[0].files = vec![file("1", 1), file("2", 2), file("3", 3)];
    given.versions[0].files[1].sha256 = None;
    let id = record(&catalogue, &given).await;
    let files = detail(&catalogue, id).await.versions[0].files.clone();
    catalogue.record_file(files[0].id, &new_artifact(sha(1), home.path().join("1")), true).await.unwrap();
    catalogue.record_file(files[1].id, &new_artifact(sha(2), home.path().join("2")), false).await.unwrap();
    let wrong = Failure::new(ErrorClass::DataLoss, reason::DIGEST_MISMATCH, "other bytes");
    let new = NewDownload { file: files[2].id, hub: Hub::Civitai, follow: None, priority: 0 };
    let download = (catalogue.enqueue_downloads(&[new], false).await.unwrap()[0], files[2].id);
    let (queued, resolving) = (DownloadState::Queued, DownloadState::Resolving);
    catalogue.step_download(download.0, queued, DownloadStep::Claim, 0).await.unwrap();
    let end = DownloadEnd::Failed { failure: &wrong, retry_at: Timestamp::from_unix_ms(9_000) };
    assert!(catalogue.end_download(download, resolving, 0, &end).await.unwrap());
    let found = detail(&catalogue, id).await.versions[0].files.clone();
    let states: Vec<_> = found.iter().map(|file| file.state).collect();
    assert_eq!(states, [FileState::Verified, FileState::Unverified, FileState::Mismatched]);
    assert_eq!(found[2].failure, Some(wrong));
    assert_eq!(found[0].licence_at_fetch, given.licence);
    assert_eq!(found[0].artifact.as_ref().unwrap().paths, [home.path().join("1")]);
    assert_eq!(catalogue.file(files[0].id).await.unwrap(), found[0]);

    // The hub lists a digest later: the right one, or another.
    given.versions[0].files[1].sha256 = Some(sha(2));
    record(&catalogue, &given).await;
    assert_eq!(catalogue.file(files[1].id).await.unwrap().state, FileState::Verified);

    assert!(catalogue.record_path_gone(&home.path().join("1")).await.unwrap());
    assert!(!catalogue.record_path_gone(&home.path().join("1")).await.unwrap());
    let left = catalogue.file(files[0].id).await.unwrap();
    assert_eq!((left.state, left.artifact.unwrap().paths.len()), (FileState::Absent, 0));
    let any = new_artifact(sha(9), home.path().join("9"));
    let missing = catalogue.record_file(crate::FileId::new(99), &any, true).await.unwrap_err();
    assert_eq!(missing.reason(), reason::FILE_NOT_FOUND);
}

#[tokio::test]
async fn a_digest_that_the_hub_lists_later_can_expose_a_mismatch() {
    let (catalogue, home) = opened().await;
    let mut given = model("1", "One");
    given.versions[0].files[0].sha256 = None;
    let id = record(&catalogue, &given).await;
    let file = detail(&catalogue, id).await.versions[0].files[0].id;
    catalogue.record_file(file, &new_artifact(sha(2), home.path().join("2")), false).await.unwrap();
    assert!(detail(&catalogue, id).await.summary.downloaded);
    given.versions[0].files[0].sha256 = Some(sha(3));
    record(&catalogue, &given).await;
    assert_eq!(catalogue.file(file).await.unwrap().state, FileState::Mismatched);
    assert!(!detail(&catalogue, id).await.summary.downloaded);
}

#[tokio::test]
async fn content_that_is_here_is_linked_wherever_a_hub_lists_it() {
    let (catalogue, home) = opened().await;
    let mut models = [model("1", "One"), model("2", "Two"), model("3", "Three")];
    for model in &mut models {
        model.versions[0].files = vec![file("1", 9)];
    }
    let early = catalogue.record_models(&models[..2], None).await.unwrap();
    let first = detail(&catalogue, early[0]).await.versions[0].files[0].id;
    let artifact = catalogue.record_file(first, &new_artifact(sha(9), home.path().join("x")), true).await.unwrap();
    let late = record(&catalogue, &models[2]).await;
    for id in [early[1], late] {
        let file = detail(&catalogue, id).await.versions[0].files[0].clone();
        assert_eq!((file.state, file.artifact.unwrap().id), (FileState::Verified, artifact));
    }
}

#[tokio::test]
async fn small_files_that_did_not_change_are_not_wanted_again_by_the_next_commit() {
    let (catalogue, home) = opened().await;
    let config = || {
        let mut config = file("model_index.json", 0);
        config.sha256 = None;
        config.git_sha1 = Some(GitSha1::from_bytes([4; 20]));
        config
    };
    let with_config = |sha1: &str| {
        let mut commit = commit(sha1, 1);
        commit.files.push(config());
        commit
    };
    let id = record(&catalogue, &repo("org/x", vec![with_config(&"a".repeat(40))])).await;
    let here = detail(&catalogue, id).await.versions[0].files[1].id;
    catalogue.record_file(here, &new_artifact(sha(5), home.path().join("c")), true).await.unwrap();
    record(&catalogue, &repo("org/x", vec![with_config(&"b".repeat(40))])).await;
    let found = detail(&catalogue, id).await;
    assert_eq!(found.versions[0].external_id, "b".repeat(40));
    assert_eq!(found.versions[0].files[1].state, FileState::Verified);
    assert_eq!(found.versions[0].files[0].state, FileState::Absent);
    // What arrives later is linked when the repository is seen again, changed or not.
    let mut second = with_config(&"b".repeat(40));
    second.files.push(paintbox_domain::hub::HubFile { git_sha1: Some(GitSha1::from_bytes([5; 20])), ..config() });
    second.files[2].external_id = "late.json".into();
    let mut third = second.clone();
    third.external_id = "d".repeat(40);
    for commit in [&second, &third] {
        record(&catalogue, &repo("org/x", vec![commit.clone()])).await;
    }
    let late = |found: &ModelDetail, version: usize| found.versions[version].files[2].clone();
    let of_third = late(&detail(&catalogue, id).await, 0).id;
    catalogue.record_file(of_third, &new_artifact(sha(6), home.path().join("l")), true).await.unwrap();
    record(&catalogue, &repo("org/x", vec![third])).await;
    let states: Vec<FileState> =
        detail(&catalogue, id).await.versions.iter().filter_map(|v| Some(v.files.get(2)?.state)).collect();
    assert_eq!(states, [FileState::Verified, FileState::Verified]);
    // Another repository may not vouch for it: its git id is a SHA-1.
    let other = record(&catalogue, &repo("org/y", vec![with_config(&"c".repeat(40))])).await;
    assert_eq!(detail(&catalogue, other).await.versions[0].files[1].state, FileState::Absent);
}

#[tokio::test]
async fn one_path_holds_one_content_and_remembers_the_others() {
    let (catalogue, home) = opened().await;
    let mut given = model("1", "One");
    given.versions[0].files = vec![file("1", 1), file("2", 2)];
    let id = record(&catalogue, &given).await;
    let files = detail(&catalogue, id).await.versions[0].files.clone();
    let path = home.path().join("same");
    for (file, digest) in [(0, 1), (1, 2), (1, 2)] {
        catalogue.record_file(files[file].id, &new_artifact(sha(digest), path.clone()), true).await.unwrap();
    }
    assert!(catalogue.artifact(&sha(1)).await.unwrap().unwrap().paths.is_empty());
    assert_eq!(catalogue.artifact(&sha(2)).await.unwrap().unwrap().paths, [path]);
    assert_eq!(catalogue.artifact(&sha(3)).await.unwrap(), None);
    let history: i64 =
        sqlx::query_scalar("SELECT count(*) FROM observation").fetch_one(&catalogue.readers).await.unwrap();
    assert_eq!(history, 2);
}

#[tokio::test]
async fn previews_are_linked_to_their_images() {
    let (catalogue, _home) = opened().await;
    let id = record(&catalogue, &model("1", "One")).await;
    let preview = detail(&catalogue, id).await.versions[0].previews[0].id;
    let refused = Failure::new(ErrorClass::InvalidInput, reason::PREVIEW_REFUSED, "not an image");
    catalogue.record_preview_failure(preview, &refused).await.unwrap();
    assert_eq!(detail(&catalogue, id).await.versions[0].previews[0].failure, Some(refused));
    let [original, thumbnail, small_thumbnail] = [1, 2, 3].map(crate::testing::asset);
    let stored = StoredPreview { original, thumbnail, small_thumbnail, blurhash: "made here".to_owned() };
    for _ in 0..2 {
        catalogue.record_preview(preview, &stored).await.unwrap();
    }
    let found = detail(&catalogue, id).await.versions[0].previews[0].clone();
    assert_eq!((found.original, found.thumbnail, found.failure), (Some(sha(1)), Some(sha(2)), None));
    assert_eq!((found.small_thumbnail, found.blurhash.as_deref()), (Some(sha(3)), Some("made here")));
    // What was fetched stays linked when the page is read again.
    record(&catalogue, &model("1", "One")).await;
    let found = detail(&catalogue, id).await.versions[0].previews[0].clone();
    assert_eq!((found.original, found.blurhash.as_deref()), (Some(sha(1)), Some("made here")));
    // A hub's own blurhash takes the place of ours, and is never given up for it.
    let mut given = model("1", "One");
    given.versions[0].previews[0].blurhash = Some("the hub's".to_owned());
    record(&catalogue, &given).await;
    catalogue.record_preview(preview, &stored).await.unwrap();
    assert_eq!(detail(&catalogue, id).await.versions[0].previews[0].blurhash.as_deref(), Some("the hub's"));
    let missing = catalogue.record_preview(crate::PreviewId::new(99), &stored).await.unwrap_err();
    assert_eq!(missing.reason(), reason::FILE_NOT_FOUND);
}

#[tokio::test]
async fn readers_see_the_last_committed_state_while_a_write_is_open() {
    let (catalogue, home) = opened().await;
    let other = Catalogue::open(&home.path().join("catalogue.db"), clock_at(1_000)).await.unwrap();
    let id = record(&catalogue, &model("1", "Before")).await;
    let mut tx = catalogue.write("test").await.unwrap();
    sqlx::query("UPDATE model SET name = 'After'").execute(&mut *tx).await.unwrap();
    for reader in [&catalogue, &other] {
        assert_eq!(detail(reader, id).await.summary.name, "Before");
    }
    tx.commit().await.unwrap();
    for reader in [&catalogue, &other] {
        assert_eq!(detail(reader, id).await.summary.name, "After");
    }
    // A write that is dropped half-way leaves nothing behind.
    let mut tx = catalogue.write("test").await.unwrap();
    sqlx::query("UPDATE model SET name = 'Lost'").execute(&mut *tx).await.unwrap();
    drop(tx);
    record(&other, &model("2", "Second")).await;
    assert_eq!(detail(&catalogue, id).await.summary.name, "After");
}

#[tokio::test]
async fn many_writers_wait_for_each_other() {
    let (catalogue, home) = opened().await;
    let other = Catalogue::open(&home.path().join("catalogue.db"), clock_at(1_000)).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let catalogue = if number % 2 == 0 { catalogue.clone() } else { other.clone() };
        tasks.spawn(async move { record(&catalogue, &model(&number.to_string(), "Any")).await });
    }
    assert_eq!(tasks.join_all().await.len(), 20);
    assert_eq!(rows(&catalogue).await[0], 20);
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let (catalogue, home) = opened().await;
    let id = record(&catalogue, &model("1", "One")).await;
    let file = detail(&catalogue, id).await.versions[0].files[0].clone();
    let content = new_artifact(file.sha256.unwrap(), home.path().join("blob"));
    catalogue.record_file(file.id, &content, true).await.unwrap();
    catalogue.create_follow(&"hf:org".parse().unwrap(), &Default::default()).await.unwrap();
    let before = (detail(&catalogue, id).await, catalogue.follows().await.unwrap());
    catalogue.close().await;
    let path = home.path().join("catalogue.db");
    assert!(!home.path().join("catalogue.db-wal").exists(), "closing leaves one file");
    let catalogue = Catalogue::open(&path, clock_at(2_000)).await.unwrap();
    assert_eq!((detail(&catalogue, id).await, catalogue.follows().await.unwrap()), before);
    assert_eq!(catalogue.path(), path);
    assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
}
