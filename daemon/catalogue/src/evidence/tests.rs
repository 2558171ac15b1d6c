//! Tests of what recording keeps, dates and replaces.

use crate::testing::{clock_at, commit, file, model, new_artifact, opened, opened_with, repo, sha, version};
use crate::{Catalogue, FileState, ModelDetail, ModelId, StoredPreview};
use paintbox_domain::clock::ManualClock;
use paintbox_domain::hub::{FileSize, ModelState};
use paintbox_domain::{Classify, ErrorClass, Failure, GitSha1, Hub, ModelKind, Timestamp, reason};
use std::sync::Arc;
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
        "SELECT count(*) FROM model_snapshot",
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
async fn a_snapshot_is_kept_for_every_state_but_not_for_every_download() {
    let clock = clock_at(1_000);
    let (catalogue, _home) = opened_with(Arc::<ManualClock>::clone(&clock)).await;
    let mut given = model("1", "One");
    let states = [
        r#"{"id":1,"stats":{"downloadCount":1}}"#,
        r#"{"id":1,"stats":{"downloadCount":2}}"#,
        r#"{"id":1,"description":"new","stats":{"downloadCount":3}}"#,
        r#"{"id":1,"stats":{"downloadCount":4}}"#,
    ];
    let mut id = None;
    for raw in states {
        clock.advance(Duration::from_millis(1));
        given.raw = raw.to_owned();
        id = Some(record(&catalogue, &given).await);
    }
    let kept: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT raw, first_seen_ms, last_seen_ms FROM model_snapshot ORDER BY snapshot_id")
            .fetch_all(&catalogue.readers)
            .await
            .unwrap();
    assert_eq!(kept, [(states[0].to_owned(), 1_001, 1_004), (states[2].to_owned(), 1_003, 1_003)]);
    assert_eq!(catalogue.latest_raw(id.unwrap()).await.unwrap().as_deref(), Some(states[0]));
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
    catalogue.record_file_failure(files[2].id, &wrong).await.unwrap();
    let found = detail(&catalogue, id).await.versions[0].files.clone();
    let states: Vec<_> = found.iter().map(|file| file.state.as_str()).collect();
    assert_eq!(states, ["verified", "unverified", "mismatched"]);
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
    let any = Failure::new(ErrorClass::Internal, reason::INTERNAL, "x");
    let missing = catalogue.record_file_failure(crate::FileId::new(99), &any).await.unwrap_err();
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
    let stored = StoredPreview { original: crate::testing::asset(1), thumbnail: crate::testing::asset(2) };
    for _ in 0..2 {
        catalogue.record_preview(preview, &stored).await.unwrap();
    }
    let found = detail(&catalogue, id).await.versions[0].previews[0].clone();
    assert_eq!((found.original, found.thumbnail, found.failure), (Some(sha(1)), Some(sha(2)), None));
    // What was fetched stays linked when the page is read again.
    record(&catalogue, &model("1", "One")).await;
    assert_eq!(detail(&catalogue, id).await.versions[0].previews[0].original, Some(sha(1)));
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
    catalogue.create_follow(&"hf:org".parse().unwrap(), Default::default()).await.unwrap();
    let before = (detail(&catalogue, id).await, catalogue.follows().await.unwrap());
    catalogue.close().await;
    let path = home.path().join("catalogue.db");
    assert!(!home.path().join("catalogue.db-wal").exists(), "closing leaves one file");
    let catalogue = Catalogue::open(&path, clock_at(2_000)).await.unwrap();
    assert_eq!((detail(&catalogue, id).await, catalogue.follows().await.unwrap()), before);
    assert_eq!(catalogue.path(), path);
    assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
}
