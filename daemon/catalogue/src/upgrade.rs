//! Tests that a catalogue of an earlier release comes through today's migrations with everything that it held.

use crate::migrate::MIGRATIONS;
use crate::migrate::{self, Layout};
use crate::testing::{clock_at, model};
use crate::{BackupKind, Catalogue, CatalogueError, FollowState, ModelId, portable};
use paintbox_domain::follow::{Backfill, FollowPolicy};
use paintbox_domain::hub::HubModel;
use paintbox_domain::{Classify as _, Failure, Hub, Timestamp};
use serde_json::Value;
use sqlx::migrate::{Migration, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr as _, SqliteConnection};
use std::path::Path;

/// The first release's rows: follows of every kind, models with versions and pages, one of which the hub lost.
///
/// Model 1 has one page, with the digest that the first release gave it; model 2 was edited; model 3 was edited and
/// changed back; model 4 was edited and is gone.
const FIRST_RELEASE: &str = r#"
    INSERT INTO follow (follow_id, name, hub, creator, backfill, backfill_newest, created_ms, last_check_ms,
                        next_check_ms, new_versions, failure_json)
    VALUES (1, 'civitai-konan', 'civitai', 'Konan', 'all', NULL, 1000, 5000, 9000, 2, NULL),
           (2, 'civitai-12345', 'civitai', '12345', 'newest', 3, 1000, 5000, 9000, 0, NULL),
           (3, 'hf-org', 'hf', '777', 'none', NULL, 1000, NULL, 1300, 0, NULL),
           (4, 'civitai-following', 'civitai', 'following', 'none', NULL, 1000, 5000, 9000, 0,
            '{"class":"unavailable","reason":"HUB_UNREACHABLE","message":"no answer"}'),
           (9, 'civitai-99999999999', 'civitai', '99999999999', 'none', NULL, 1000, 5000, 9000, 0, NULL);
    INSERT INTO model (model_id, hub, external_id, name, name_key, kind, kind_label, creator, nsfw_level, state,
                       first_seen_ms, last_seen_ms, gone_ms)
    VALUES (1, 'civitai', '1', 'One', 'one', 'checkpoint', 'Checkpoint', 'Konan', 1, 'published', 1000, 5000, NULL),
           (2, 'civitai', '2', 'Two', 'two', 'lora', 'LORA', 'Konan', 1, 'published', 1000, 5000, NULL),
           (3, 'civitai', '3', 'Three', 'three', 'lora', 'LORA', 'Konan', 1, 'published', 1000, 5000, NULL),
           (4, 'civitai', '4', 'Four', 'four', 'lora', 'LORA', 'Konan', 1, 'published', 1000, 3000, 4000);
    INSERT INTO version (version_id, model_id, external_id, name, trained_words, published_ms, early_access,
                         early_access_until_ms, download_allowed, position, first_seen_ms, last_seen_ms, gone_ms)
    VALUES (1, 1, '10', 'v10', '[]', 500, 0, NULL, 1, 0, 1000, 5000, NULL),
           (2, 2, '21', 'paid', '["two words"]', 2000, 1, 8000, 1, 0, 2000, 5000, NULL),
           (3, 2, '20', 'old', '[]', 400, 0, NULL, 0, 1, 1000, 5000, NULL),
           (4, 4, '40', 'undated', '[]', NULL, 0, NULL, 1, 0, 1000, 3000, 3500);
    INSERT INTO file (file_id, version_id, external_id, name, size_exact, sha256, format, is_primary, locator, position,
                      first_seen_ms, last_seen_ms, replaced_ms)
    VALUES (1, 1, '101', 'a.safetensors', 0, zeroblob(32), 'safetensors', 1, '/a', 0, 1000, 2000, 3000),
           (2, 1, '101', 'a.safetensors', 0, randomblob(32), 'safetensors', 1, '/a', 0, 3000, 5000, NULL);
    INSERT INTO preview (preview_id, version_id, identity, external_id, url, media, nsfw_level, position, first_seen_ms,
                         last_seen_ms)
    VALUES (1, 1, '107', '107', 'https://image.civitai.com/x/10/width=450/7.jpeg', 'image', 1, 0, 1000, 5000);
    INSERT INTO follow_model (follow_id, model_id, first_seen_ms) VALUES (1, 1, 1000), (1, 2, 1000), (1, 4, 1000);
    INSERT INTO follow_file (follow_id, file_id) VALUES (1, 2);
    INSERT INTO pull (pull_id, model_id, version_id, created_ms) VALUES (1, 1, 1, 1000);
    INSERT INTO model_search (rowid, name, creator, tags, trained_words)
    VALUES (1, 'One', 'Konan', '', ''), (2, 'Two', 'Konan', '', 'two words'), (3, 'Three', 'Konan', '', ''),
           (4, 'Four', 'Konan', '', '');
    INSERT INTO model_snapshot (model_id, digest, raw, first_seen_ms, last_seen_ms)
    VALUES (1, x'0101010101010101010101010101010101010101010101010101010101010101',
            '{"id":"1","name":"One","tags":[],"stats":{"downloadCount":1}}', 1000, 5000),
           (2, randomblob(32), '{"id":"2","name":"To"}', 1000, 1500),
           (2, randomblob(32), '{"id":"2","name":"Two"}', 2000, 5000),
           (3, randomblob(32), '{"id":"3","name":"Three"}', 1000, 5000),
           (3, randomblob(32), '{"id":"3","name":"Tree"}', 2000, 3000),
           (4, randomblob(32), '{"id":"4","name":"For"}', 1000, 1500),
           (4, randomblob(32), '{"id":"4","name":"Four"}', 2000, 3000);
"#;

/// A catalogue as the first release's migration left it, opened by today's code.
async fn upgraded(path: &Path) -> Catalogue {
    let first = MIGRATIONS.iter().next().unwrap().clone();
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    Migrator::with_migrations(vec![first]).run(&pool).await.unwrap();
    sqlx::raw_sql(FIRST_RELEASE).execute(&pool).await.unwrap();
    pool.close().await;
    Catalogue::open(path, clock_at(10_000)).await.unwrap()
}

/// What each later step could hold that the ones before could not.
const ADDED: [(i64, &str); 12] = [
    (
        20_261_125_000_001,
        "INSERT INTO follow_rename (follow_id, former_target, renamed_ms) VALUES (1, 'civitai:Conan', 2000);
         INSERT INTO notice (notice_id, follow_id, version_id, announcer, created_ms, attempts, due_ms, told_ms)
         VALUES (1, 1, 2, 'webhook', 2500, 3, 2600, NULL);
         INSERT INTO artifact (artifact_id, sha256, blake3, size_bytes, format, kind, architecture, created_ms)
         VALUES (1, randomblob(32), randomblob(32), 1234, 'safetensors', 'lora', 'sd1', 1000);
         INSERT INTO observation (observation_id, artifact_id, path, first_seen_ms, last_seen_ms)
         VALUES (1, 1, x'2fff2e', 1000, 2000);
         INSERT INTO asset (asset_id, sha256, media_type, size_bytes, width, height, origin, created_ms)
         VALUES (1, randomblob(32), 'image/png', 9, 1, 2, 'thumbnail', 1000);
         UPDATE preview SET thumbnail_asset_id = 1;",
    ),
    (
        20_261_127_000_001,
        "INSERT INTO download (download_id, file_id, follow_id, hub, state, priority, created_ms, due_ms)
         VALUES (7, 2, 1, 'civitai', 'failed', -1, 3000, 4000);
         UPDATE download_queue SET paused = 1;",
    ),
    (20_261_127_000_002, "UPDATE preview SET small_thumbnail_asset_id = 1"),
    (
        20_261_127_000_003,
        "INSERT INTO volume (volume_id, uid, label, path, kinds, everything_else, created_ms)
         VALUES (3, 'u', 'fast', x'2f66617374', '[\"lora\"]', 1, 5000);
         UPDATE observation SET volume_id = 3, checked_ms = 6000;
         INSERT INTO removal (removal_id, reference, state, created_ms, expires_ms) VALUES (5, 'civitai:1', 'trashed', 1, 2);
         INSERT INTO removed_file (removal_id, file_id, bytes, artifact_id, verified) VALUES (5, 1, 'trashed', 1, 1);",
    ),
    (20_261_128_000_002, "INSERT INTO search_label (label_id, field, text) VALUES (900, 'creator', 'Konan')"),
    (
        20_261_128_000_003,
        "INSERT INTO library (library_id, path, layout, device, inode, created_ms)
         VALUES (4, x'2f6d', 'comfyui', -1, 9, 1000);
         INSERT INTO library_file (library_file_id, device, inode, size_bytes, modified_ns, format, kind, architecture,
                                   page_json, asked_ms)
         VALUES (17, -1, 10, 1234, 5, 'safetensors', 'lora', 'sdxl', '{}', 2000);
         INSERT INTO library_path (library_id, path, library_file_id, beside, first_seen_ms)
         VALUES (4, x'6c6f7261732fff', 17, -3, 1000);
         UPDATE file SET library_file_id = 17 WHERE file_id = 1;",
    ),
    // Indexes alone, here and in the sixth.
    (20_261_128_000_004, ""),
    (20_261_128_000_005, "UPDATE file SET auto_v3 = '0123456789ab' WHERE file_id = 2"),
    (20_261_128_000_006, ""),
    // What the search has still to take in is no more after the next start.
    (20_261_128_000_007, ""),
    (20_261_128_000_008, ""),
    // Cards are made anew from the tables.
    (20_261_128_000_009, ""),
];

/// A catalogue of the layout `step`, with rows in everything that it has.
async fn landed(path: &Path, step: i64) -> Vec<Value> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    for migration in MIGRATIONS.iter().filter(|migration| migration.version <= step) {
        migrate::apply(&mut connection, &migrate::steps_to(migration.version).unwrap()).await.unwrap();
        let rows = match ADDED.iter().find(|(added, _)| *added == migration.version) {
            Some((_, rows)) => rows,
            None => FIRST_RELEASE,
        };
        sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
    }
    let held = rows_of(&mut connection).await;
    connection.close().await.unwrap();
    held
}

/// Every row of every table, as it is exported.
async fn rows_of(connection: &mut SqliteConnection) -> Vec<Value> {
    let mut lines = Vec::new();
    for table in portable::tables(connection).await.unwrap() {
        let rows = sqlx::query(AssertSqlSafe(table.select.clone())).fetch_all(&mut *connection).await.unwrap();
        rows.iter().for_each(|row| portable::push_row(&mut lines, &table, row).unwrap());
    }
    lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[tokio::test]
async fn every_landed_layout_keeps_what_it_holds_and_gets_the_usual_values() {
    // What the step after the first did away with is looked at below, one by one.
    for (step, _) in ADDED {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("catalogue.db");
        let held = landed(&path, step).await;
        let catalogue = Catalogue::open(&path, clock_at(10_000)).await.unwrap();
        let mut connection = catalogue.writer.acquire().await.unwrap();
        let now = rows_of(&mut connection).await;
        drop(connection);
        for row in &held {
            // A number that is never given again may have moved on.
            let kept = now.iter().any(|found| {
                let column = |(name, value): (&String, &Value)| found["row"].get(name) == Some(value);
                found["table"] == row["table"] && row["row"].as_object().unwrap().iter().all(column)
            });
            assert!(kept, "{step}: {row} is not there any more");
        }
        let one = |sql: &'static str| sqlx::query_scalar::<_, Option<i64>>(sql).fetch_one(&catalogue.readers);
        let paused = i64::from(step >= 20_261_127_000_001);
        assert_eq!(one("SELECT paused FROM download_queue").await.unwrap(), Some(paused), "{step}");
        let small = (step >= 20_261_127_000_002).then_some(1);
        assert_eq!(one("SELECT small_thumbnail_asset_id FROM preview").await.unwrap(), small, "{step}");
        let (volume, checked) = if step >= 20_261_127_000_003 { (Some(3), Some(6_000)) } else { (None, None) };
        assert_eq!(one("SELECT volume_id FROM observation").await.unwrap(), volume, "{step}");
        assert_eq!(one("SELECT checked_ms FROM observation").await.unwrap(), checked, "{step}");
        assert_eq!(one("SELECT max(removed_ms) FROM file").await.unwrap(), None, "{step}");
        assert_eq!(one("SELECT count(*) FROM removal").await.unwrap(), Some(volume.map_or(0, |_| 1)), "{step}");
        let asked = (step >= 20_261_128_000_003).then_some(2_000);
        assert_eq!(one("SELECT max(asked_ms) FROM library_file").await.unwrap(), asked, "{step}");
        let known = "SELECT count(*) FROM file WHERE auto_v3 = '0123456789ab'";
        let of_tensors = i64::from(step >= 20_261_128_000_005);
        assert_eq!(one(known).await.unwrap(), Some(of_tensors), "{step}");
        assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new(), "{step}");
        let next = MIGRATIONS.iter().map(|migration| migration.version).find(|version| *version > step);
        let backups = catalogue.backups().await.unwrap();
        assert_eq!(backups.iter().map(|backup| backup.kind).next(), next.map(BackupKind::BeforeMigration), "{step}");
    }
    let landed: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).skip(1).take(ADDED.len()).collect();
    assert_eq!(landed, ADDED.map(|(step, _)| step), "a step in between is not tested");
}

#[tokio::test]
async fn the_backup_from_before_is_the_old_catalogue() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("catalogue.db");
    let held = landed(&path, 20_261_125_000_001).await;
    let catalogue = Catalogue::open(&path, clock_at(10_000)).await.unwrap();
    let [backup] = &catalogue.backups().await.unwrap()[..] else { panic!() };
    assert!(backup.name().starts_with("catalogue-before-20261127000001-"), "{}", backup.name());
    let options = SqliteConnectOptions::new().filename(&backup.path);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    assert_eq!(rows_of(&mut connection).await, held);
    assert_eq!(Layout::of(&mut connection).await.unwrap().newest(), 20_261_125_000_001);
}

/// Today's steps, one more that does something, and one that cannot be taken.
fn with_a_step_that_fails() -> Migrator {
    let step = |version, sql: &'static str| {
        let kind = sqlx::migrate::MigrationType::Simple;
        Migration::new(version, "more".into(), kind, AssertSqlSafe(sql).into_sql_str(), false)
    };
    let mut steps: Vec<Migration> = MIGRATIONS.iter().cloned().collect();
    steps.push(step(99_990_101_000_001, "CREATE TABLE half_done (x INTEGER) STRICT"));
    steps.push(step(99_990_101_000_002, "INSERT INTO nowhere VALUES (1)"));
    Migrator::with_migrations(steps)
}

#[tokio::test]
async fn a_step_that_fails_leaves_the_catalogue_as_it_was_and_names_the_backup() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("catalogue.db");
    let newest = MIGRATIONS.iter().last().unwrap().version;
    Catalogue::open(&path, clock_at(1_000)).await.unwrap().close().await;
    let error = Catalogue::open_with(&path, clock_at(2_000), &with_a_step_that_fails()).await.unwrap_err();
    let CatalogueError::Migrate { backup: Some(backup), .. } = &error else { panic!("{error}") };
    assert!(backup.to_string_lossy().contains("before-99990101000001") && backup.exists());
    assert!(error.hint().unwrap().contains(&backup.display().to_string()));
    // The build that knows no such steps still opens it.
    let catalogue = Catalogue::open(&path, clock_at(3_000)).await.unwrap();
    let mut connection = catalogue.writer.acquire().await.unwrap();
    assert_eq!(Layout::of(&mut connection).await.unwrap().newest(), newest);
    let half_done: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'half_done'")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(half_done, 0);
}

#[tokio::test]
async fn when_the_backup_cannot_be_made_nothing_is_migrated() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("catalogue.db");
    Catalogue::open(&path, clock_at(1_000)).await.unwrap().close().await;
    // Where the folder should be lies something else, so that the copy cannot be written.
    std::fs::write(home.path().join("backups"), "a file").unwrap();
    let error = Catalogue::open_with(&path, clock_at(2_000), &with_a_step_that_fails()).await.unwrap_err();
    assert!(matches!(error, CatalogueError::File { .. }), "{error}");
    assert!(Catalogue::open(&path, clock_at(3_000)).await.is_ok());
}

async fn history(catalogue: &Catalogue, model: i64) -> Vec<(i64, Option<String>)> {
    let changes = catalogue.model_changes(ModelId::new(model)).await.unwrap();
    changes.into_iter().map(|change| (change.at.unix_ms(), change.raw)).collect()
}

fn named(id: &str, name: &str) -> Option<String> {
    Some(format!(r#"{{"id":"{id}","name":"{name}"}}"#))
}

#[tokio::test]
async fn follows_keep_their_targets_policies_and_state() {
    let home = tempfile::tempdir().unwrap();
    let catalogue = upgraded(&home.path().join("catalogue.db")).await;
    let follows = catalogue.follows().await.unwrap();
    let targets: Vec<(String, Backfill)> =
        follows.iter().map(|follow| (follow.target.to_string(), follow.policy.backfill)).collect();
    let wanted = [
        ("civitai:Konan", Backfill::All),
        ("civitai:user:12345", Backfill::Newest(3)),
        ("hf:777", Backfill::None),
        ("civitai:user:following", Backfill::None),
        ("civitai:99999999999", Backfill::None),
    ];
    assert_eq!(targets, wanted.map(|(target, backfill)| (target.to_owned(), backfill)));
    for follow in &follows {
        assert_eq!(follow.policy, FollowPolicy { backfill: follow.policy.backfill, ..FollowPolicy::default() });
        assert_eq!(catalogue.follow(&follow.target.to_string()).await.unwrap(), *follow);
        assert_eq!(catalogue.follow(&follow.name).await.unwrap(), *follow);
        assert_eq!((follow.failures, &follow.list_mark, follow.full_read_at), (0, &None, None));
    }
    assert_eq!(
        follows.iter().map(crate::Follow::state).collect::<Vec<_>>(),
        [FollowState::Active, FollowState::Active, FollowState::New, FollowState::Waiting, FollowState::Active]
    );
    assert_eq!(follows[0].seeded_at, Some(Timestamp::from_unix_ms(5_000)));
    assert_eq!(follows[0].next_check_at, Some(Timestamp::from_unix_ms(9_000)));
    assert_eq!((follows[0].new, follows[0].pending), (2, 1));
    assert_eq!(follows[3].seeded_at, None, "a list that could not be read last time is read as for the first time");
    assert_eq!(follows[3].failure.as_ref().map(|failure: &Failure| failure.message.as_str()), Some("no answer"));
    // A follow that ended keeps its number to itself.
    catalogue.delete_follow("civitai-99999999999").await.unwrap();
    let next = catalogue.create_follow(&"civitai:Other".parse().unwrap(), &FollowPolicy::default()).await.unwrap();
    assert_eq!(next.id.get(), 10);
}

#[tokio::test]
async fn the_ledger_holds_what_was_there_before_a_follow() {
    let home = tempfile::tempdir().unwrap();
    let catalogue = upgraded(&home.path().join("catalogue.db")).await;
    let seen: Vec<(i64, i64)> =
        sqlx::query_as("SELECT follow_id, version_id FROM follow_seen ORDER BY follow_id, version_id")
            .fetch_all(&catalogue.readers)
            .await
            .unwrap();
    assert_eq!(seen, [(1, 1), (1, 3), (1, 4)], "all but the version that came after the follow");
    let konan = catalogue.follow("civitai:konan").await.unwrap().id;
    let listed: Vec<i64> =
        catalogue.models_of_follow(konan).await.unwrap().iter().map(|model| model.id.get()).collect();
    assert_eq!(listed, [1, 2, 4]);
    let new = catalogue.new_versions(konan, Timestamp::from_unix_ms(0)).await.unwrap();
    assert_eq!(new.iter().map(|id| id.get()).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn models_versions_and_their_history_come_through() {
    let home = tempfile::tempdir().unwrap();
    let catalogue = upgraded(&home.path().join("catalogue.db")).await;
    assert_eq!(
        history(&catalogue, 1).await,
        [(1_000, Some(r#"{"id":"1","name":"One","tags":[],"stats":{"downloadCount":1}}"#.to_owned()))]
    );
    assert_eq!(history(&catalogue, 2).await, [(1_000, named("2", "To")), (2_000, named("2", "Two"))]);
    assert_eq!(
        history(&catalogue, 3).await,
        [(1_000, named("3", "Three")), (2_000, named("3", "Tree")), (5_000, named("3", "Three"))],
        "a state that was seen again after another came back"
    );
    assert_eq!(history(&catalogue, 4).await, [(1_000, named("4", "For")), (2_000, named("4", "Four")), (4_000, None)]);
    let gone = catalogue.model(ModelId::new(4)).await.unwrap();
    assert_eq!(gone.gone_at, Some(Timestamp::from_unix_ms(4_000)));
    assert_eq!(gone.versions[0].gone_at, Some(Timestamp::from_unix_ms(3_500)));
    let page = catalogue.model_page_at(ModelId::new(4), Timestamp::from_unix_ms(9_000)).await.unwrap().unwrap();
    assert_eq!(page.raw, named("4", "Four"));

    let two = catalogue.model(ModelId::new(2)).await.unwrap();
    let versions: Vec<_> = two
        .versions
        .iter()
        .map(|version| (version.name.as_str(), version.was_early_access, version.download_allowed, version.nsfw_level))
        .collect();
    assert_eq!(versions, [("paid", true, true, 0), ("old", false, false, 0)]);
    assert_eq!(two.versions[0].trained_words, ["two words"]);
    let one = catalogue.model(ModelId::new(1)).await.unwrap();
    let files: Vec<_> = one.versions[0].files.iter().map(|file| (file.id.get(), file.replaced_at.is_some())).collect();
    assert_eq!(files, [(2, false), (1, true)]);
    assert_eq!(one.versions[0].previews[0].external_id.as_deref(), Some("107"));
    assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_hub_says_next_goes_on_from_there() {
    let home = tempfile::tempdir().unwrap();
    let catalogue = upgraded(&home.path().join("catalogue.db")).await;
    let konan = catalogue.follow("civitai:konan").await.unwrap().id;
    let answer = |id: &str, name: &str, raw: &str| HubModel { raw: raw.to_owned(), ..model(id, name) };
    // The same page, with other counters, nothing written in another way, and a digest by other rules.
    let same = answer("1", "One", r#"{"id":"1","name":"One","stats":{"downloadCount":9}}"#);
    let edited = answer("2", "2nd", &named("2", "2nd").unwrap());
    let returned = answer("4", "Four", &named("4", "Four").unwrap());
    for _ in 0..2 {
        let ids =
            catalogue.record_models(&[same.clone(), edited.clone(), returned.clone()], Some(konan)).await.unwrap();
        assert_eq!(ids, [1, 2, 4].map(ModelId::new));
    }
    assert_eq!(history(&catalogue, 1).await.len(), 1, "no change was made of it");
    assert_eq!(history(&catalogue, 2).await[1..], [(2_000, named("2", "Two")), (10_000, named("2", "2nd"))]);
    assert_eq!(history(&catalogue, 4).await[2..], [(4_000, None), (10_000, named("4", "Four"))]);
    let found = catalogue.model(ModelId::new(4)).await.unwrap();
    assert_eq!((found.gone_at, found.summary.hub), (None, Some(Hub::Civitai)));
    assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
}
