//! Tests that an export read again is the same catalogue, and that nothing else is ever taken for one.

use crate::beside::with_ending;
use crate::migrate::{self, MIGRATIONS};
use crate::testing::{asset, clock_at, commit, model, new_artifact, opened, repo, sha};
use crate::{Catalogue, CatalogueError, Imported, NewGeneration, QueueLimits, SearchQuery};
use paintbox_domain::{Classify as _, reason};
use proptest::prelude::*;
use std::path::Path;

async fn exported(catalogue: &Catalogue) -> Vec<u8> {
    let (mut pieces, mut text) = (catalogue.export("test"), Vec::new());
    while let Some(piece) = pieces.recv().await {
        text.extend(piece.unwrap());
    }
    text
}

/// Reads an export in pieces of odd lengths.
async fn import(catalogue: &Catalogue, text: &[u8], replaces: bool) -> Result<Imported, CatalogueError> {
    let mut import = catalogue.begin_import(replaces).await?;
    for piece in text.chunks(1_013) {
        import.push(piece).await?;
    }
    import.finish().await
}

async fn reopened(catalogue: Catalogue) -> Catalogue {
    catalogue.close().await;
    Catalogue::open(catalogue.path(), clock_at(9_000)).await.unwrap()
}

/// How many models a search finds, once what is packed for searches was made, which is in the background.
async fn found(catalogue: &Catalogue, text: &str) -> usize {
    let query = SearchQuery { text: text.to_owned(), page_size: 5, ..Default::default() };
    loop {
        let page = catalogue.search(&query).await.unwrap();
        if !page.partial {
            return page.models.len();
        }
        tokio::task::yield_now().await;
    }
}

/// A catalogue with something in most tables.
async fn filled(catalogue: &Catalogue, home: &Path) {
    let follow = catalogue.create_follow(&"civitai:Konan".parse().unwrap(), &Default::default()).await.unwrap().id;
    let mut tagged = model("1", "some_thingXL");
    tagged.tags = vec!["ink wash".to_owned(), "少女".to_owned()];
    let models = [tagged, model("2", "Two"), repo("org/repo", vec![commit(&"a".repeat(40), 7)])];
    let ids = catalogue.record_models(&models, Some(follow)).await.unwrap();
    let file = catalogue.model(ids[0]).await.unwrap().versions[0].files[0].clone();
    let content = new_artifact(file.sha256.unwrap(), home.join("x"));
    catalogue.record_file(file.id, &content, true).await.unwrap();
    catalogue.record_asset(&asset(4)).await.unwrap();
    // A number that is never given again.
    let gone = catalogue.create_follow(&"civitai:Gone".parse().unwrap(), &Default::default()).await.unwrap();
    catalogue.delete_follow(&gone.name).await.unwrap();
}

#[tokio::test]
async fn an_export_that_is_read_again_is_the_same_to_the_byte() {
    let (catalogue, home) = opened().await;
    filled(&catalogue, home.path()).await;
    let text = exported(&catalogue).await;
    let (other, _other_home) = opened().await;
    let imported = import(&other, &text, false).await.unwrap();
    assert_eq!(imported.rows, text.iter().filter(|byte| **byte == b'\n').count() as u64 - 2);
    assert_eq!(other.counts().await.unwrap().models, 0, "the daemon that took it goes on with what it has");
    let other = reopened(other).await;
    assert_eq!(String::from_utf8(exported(&other).await).unwrap(), String::from_utf8(text).unwrap());
    assert_eq!(other.check_integrity().await.unwrap(), Vec::<String>::new());
    assert_eq!(found(&other, "thing xl").await, 1, "the search index was made anew");
    let next = other.create_follow(&"civitai:Other".parse().unwrap(), &Default::default()).await.unwrap();
    assert_eq!(next.id.get(), 3, "the number of a follow that is gone is not given again");
}

#[tokio::test]
async fn a_catalogue_with_something_in_it_is_replaced_only_when_that_is_asked_and_kept_then() {
    let (catalogue, home) = opened().await;
    filled(&catalogue, home.path()).await;
    let (empty, _empty_home) = opened().await;
    let text = exported(&empty).await;
    let error = import(&catalogue, &text, false).await.unwrap_err();
    assert_eq!(error.reason(), reason::CATALOGUE_NOT_EMPTY);
    import(&catalogue, &text, true).await.unwrap();
    let before = exported(&catalogue).await;
    let catalogue = reopened(catalogue).await;
    assert_eq!(exported(&catalogue).await, text);
    let [kept] = &catalogue.backups().await.unwrap()[..] else { panic!() };
    assert_eq!(kept.kind, crate::BackupKind::Replaced);
    // And back again.
    catalogue.stage_backup(Path::new(&kept.name())).await.unwrap();
    let catalogue = reopened(catalogue).await;
    assert_eq!(exported(&catalogue).await, before);
    assert_eq!(catalogue.backups().await.unwrap().len(), 2);
}

#[tokio::test]
async fn of_many_rows_the_one_that_cannot_be_is_named() {
    let (catalogue, _home) = opened().await;
    let models: Vec<_> = (1..400).map(|number| model(&number.to_string(), "One of many")).collect();
    catalogue.record_models(&models, None).await.unwrap();
    let text = exported(&catalogue).await;
    let (other, _other_home) = opened().await;
    import(&other, &text, false).await.unwrap();
    assert_eq!(exported(&reopened(other).await).await, text);

    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let first = lines.iter().position(|line| line.starts_with(b"{\"table\":\"model\",")).unwrap();
    lines[first + 50] = lines[first + 49];
    let (other, _other_home) = opened().await;
    let error = import(&other, &lines.concat(), false).await.unwrap_err();
    let CatalogueError::ImportInvalid { line, problem } = &error else { panic!("{error}") };
    assert_eq!(*line, first as u64 + 51, "{problem}");
    assert!(problem.contains("UNIQUE"), "{problem}");
}

#[tokio::test]
async fn what_is_not_the_whole_export_changes_nothing() {
    let (catalogue, home) = opened().await;
    filled(&catalogue, home.path()).await;
    let text = exported(&catalogue).await;
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let (other, other_home) = opened().await;
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for count in 0..lines.len() {
        cases.push((format!("the first {count} lines"), lines[..count].concat()));
    }
    cases.push(("half of the end".to_owned(), text[..text.len() - 5].to_vec()));
    cases.push(("more behind the end".to_owned(), [&text[..], b"{}\n"].concat()));
    cases.push(("one row less".to_owned(), [&lines[..3], &lines[4..]].concat().concat()));
    cases.push(("one row twice".to_owned(), [&lines[..4], &lines[3..]].concat().concat()));
    cases.push((
        "two rows in another order".to_owned(),
        [&lines[..2], &[lines[3], lines[2]], &lines[4..]].concat().concat(),
    ));
    cases.push((
        "another name".to_owned(),
        String::from_utf8(text.clone()).unwrap().replace("Konan", "Conan").into_bytes(),
    ));
    cases.push(("something else".to_owned(), b"{\"format\":\"cookbook\"}\n".to_vec()));
    for (what, case) in cases {
        let error = import(&other, &case, false).await.unwrap_err();
        assert_eq!(error.reason(), reason::IMPORT_INVALID, "{what}: {error}");
        assert!(error.hint().is_some());
    }
    let left: Vec<_> = std::fs::read_dir(other_home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("ing")), "{left:?}");
    assert_eq!(reopened(other).await.counts().await.unwrap().models, 0);
}

#[tokio::test]
async fn an_older_export_goes_through_the_migrations_and_a_newer_is_refused() {
    for layout in MIGRATIONS.iter().map(|step| step.version) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("catalogue.db");
        let steps = migrate::steps_to(layout).unwrap();
        let old = Catalogue::open_with(&path, clock_at(1_000), &steps).await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO model (model_id, hub, external_id, name, name_key, kind, nsfw_level, state, first_seen_ms, last_seen_ms)
             VALUES (1, 'civitai', '1', 'some_thingXL', 'x', 'lora', 1, 'published', 1000, 5000)",
        )
        .execute(&old.writer)
        .await
        .unwrap();
        let text = exported(&old).await;
        old.close().await;
        let (other, _other_home) = opened().await;
        assert_eq!(import(&other, &text, false).await.unwrap().layout, layout);
        let other = reopened(other).await;
        let upgraded = Catalogue::open(&path, clock_at(2_000)).await.unwrap();
        assert_eq!(exported(&other).await, exported(&upgraded).await, "{layout}");
        assert_eq!(found(&other, "thing").await, 1);
    }
    let (catalogue, _home) = opened().await;
    let newest = migrate::newest(&MIGRATIONS).to_string();
    let text = String::from_utf8(exported(&catalogue).await).unwrap();
    let error = import(&catalogue, text.replace(&newest, "99990101000001").as_bytes(), false).await.unwrap_err();
    assert_eq!(error.reason(), reason::CATALOGUE_TOO_NEW);
    let error = import(&catalogue, text.replace(&newest, "20261124000009").as_bytes(), false).await.unwrap_err();
    assert_eq!(error.reason(), reason::IMPORT_INVALID);
}

#[tokio::test]
async fn only_a_sound_catalogue_is_restored() {
    let (catalogue, home) = opened().await;
    filled(&catalogue, home.path()).await;
    let backup = catalogue.back_up(0).await.unwrap();
    let refused = async |path: &Path| catalogue.stage_backup(path).await.unwrap_err().reason();
    assert_eq!(refused(Path::new("catalogue-daily-20000101T000000Z.db")).await, reason::BACKUP_NOT_FOUND);
    let bad = home.path().join("bad.db");
    std::fs::write(&bad, "words").unwrap();
    assert_eq!(refused(&bad).await, reason::BACKUP_DAMAGED);
    let mut bytes = std::fs::read(&backup.path).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&bad, &bytes).unwrap();
    assert_eq!(refused(&bad).await, reason::BACKUP_DAMAGED);
    std::fs::remove_file(&bad).unwrap();
    sqlx::query("VACUUM INTO ?").bind(bad.to_str()).execute(&catalogue.writer).await.unwrap();
    assert!(!catalogue.aside.beside.incoming().exists());
    catalogue.stage_backup(&bad).await.unwrap();
    let catalogue = reopened(catalogue).await;
    assert_eq!(catalogue.counts().await.unwrap().models, 3);
    assert!(bad.exists() && !with_ending(&bad, "-wal").exists());
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just("\0".to_owned()),
        Just("\u{feff}\u{202e}مرحبا 😀\r\n\"\\\u{2028}".to_owned()),
        Just("'; DROP TABLE model; --".to_owned()),
        Just("{\"end\":true}\n{\"end\"".to_owned()),
        Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_rows_hold_comes_back(
        texts in prop::collection::vec(hostile(), 4),
        path in prop::collection::vec(any::<u8>(), 0..40),
        not_text in prop::collection::vec(any::<u8>(), 0..9),
        number in prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), Just(1 << 53)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (catalogue, _home) = opened().await;
            let mut odd = model("1", &texts[0]);
            odd.description = Some(texts[1].clone());
            odd.downloads = Some(number.unsigned_abs());
            catalogue.record_models(&[odd], None).await.unwrap();
            let new = NewGeneration {
                uid: texts[2].clone(), request_id: None, request_digest: sha(1), spec_json: texts[3].clone(),
                model: None, prompt: texts[1].clone(), client: texts[3].clone(), priority: -3, expires_at: None,
                is_tied: true, inputs: vec![sha(3)], limits: QueueLimits { all: 1, of_one_client: 1 },
            };
            catalogue.create_generation(&new).await.unwrap();
            sqlx::query("UPDATE generation SET created_ms = ?, prompt = CAST(? AS TEXT)")
                .bind(number).bind(&not_text).execute(&catalogue.writer).await.unwrap();
            sqlx::raw_sql("INSERT INTO artifact VALUES (9, zeroblob(32), zeroblob(32), NULL, 0, '', '', '', NULL, NULL, NULL, 0)")
                .execute(&catalogue.writer).await.unwrap();
            sqlx::query("INSERT INTO observation (artifact_id, path, first_seen_ms, last_seen_ms) VALUES (9, ?, ?, 0)")
                .bind(&path).bind(number).execute(&catalogue.writer).await.unwrap();
            let text = exported(&catalogue).await;
            let (other, _other_home) = opened().await;
            import(&other, &text, false).await.unwrap();
            assert_eq!(exported(&reopened(other).await).await, text);
        });
    }
}
