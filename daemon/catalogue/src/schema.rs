//! Tests of the migrations as a whole: what they add up to, and that every statement fits it.

use crate::migrate::MIGRATIONS;
use crate::testing::opened;
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};
use std::path::Path;

/// Set it to any value to write `migrations/schema.sql` anew:
/// `PAINTBOX_WRITE_SCHEMA=1 cargo test -p paintbox-catalogue schema`.
const WRITE: &str = "PAINTBOX_WRITE_SCHEMA";

const HEADER: &str = "\
-- What the migrations add up to; not run by anything. A test compares it, and writes it anew with
-- PAINTBOX_WRITE_SCHEMA=1 cargo test -p paintbox-catalogue schema
";

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the variable asks a test to write a file of the repository")]
async fn the_migrations_add_up_to_the_schema_that_is_kept() {
    let (catalogue, _home) = opened().await;
    let statements: Vec<String> = sqlx::query_scalar(
        "SELECT sql FROM sqlite_schema
         WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_sqlx\\_%' ESCAPE '\\'
             AND name NOT LIKE 'model\\_search\\_%' ESCAPE '\\'
         ORDER BY tbl_name, type = 'index', name",
    )
    .fetch_all(&catalogue.readers)
    .await
    .unwrap();
    let mut found = HEADER.to_owned();
    for statement in statements {
        found.push('\n');
        found.push_str(&statement);
        found.push_str(";\n");
    }
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/schema.sql");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&kept, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&kept).unwrap();
    assert!(kept == found, "migrations/schema.sql is not what the migrations make; {WRITE}=1 writes it anew");
}

#[test]
fn migrations_are_in_order_and_only_go_forward() {
    let versions: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
    assert!(!versions.is_empty() && versions.is_sorted_by(|a, b| a < b));
    assert!(MIGRATIONS.iter().all(|migration| !migration.migration_type.is_down_migration()));
}

#[tokio::test]
async fn every_statement_prepares_against_the_schema() {
    let (catalogue, _home) = opened().await;
    let mut connection = catalogue.writer.acquire().await.unwrap();
    let modules = [
        crate::artifacts::STATEMENTS,
        crate::assets::STATEMENTS,
        crate::backups::STATEMENTS,
        crate::migrate::STATEMENTS,
        crate::import::STATEMENTS,
        crate::portable::STATEMENTS,
        crate::at_rest::STATEMENTS,
        crate::garbage::STATEMENTS,
        crate::removals::STATEMENTS,
        crate::requests::STATEMENTS,
        crate::volumes::STATEMENTS,
        crate::libraries::STATEMENTS,
        crate::libraries::changes::STATEMENTS,
        crate::libraries::claims::STATEMENTS,
        crate::libraries::content::STATEMENTS,
        crate::libraries::page::STATEMENTS,
        crate::libraries::pictures::STATEMENTS,
        crate::libraries::rot::STATEMENTS,
        crate::libraries::tensors::STATEMENTS,
        crate::listed::STATEMENTS,
        crate::local_names::STATEMENTS,
        crate::checkpoint::STATEMENTS,
        crate::checks::STATEMENTS,
        crate::companions::STATEMENTS,
        crate::detail::STATEMENTS,
        crate::downloads::STATEMENTS,
        crate::downloads::list::STATEMENTS,
        crate::duplicates::STATEMENTS,
        crate::evidence::STATEMENTS,
        crate::evidence::known::STATEMENTS,
        crate::evidence::links::STATEMENTS,
        crate::evidence::tags::STATEMENTS,
        crate::evidence::write::STATEMENTS,
        crate::files::STATEMENTS,
        crate::follows::STATEMENTS,
        crate::generations::STATEMENTS,
        crate::generations::history::STATEMENTS,
        crate::generations::queue::STATEMENTS,
        crate::health::STATEMENTS,
        crate::history::STATEMENTS,
        crate::notices::STATEMENTS,
        crate::open::STATEMENTS,
        crate::pulls::STATEMENTS,
        crate::resolve::STATEMENTS,
        crate::search::by_name::STATEMENTS,
        crate::search::card::STATEMENTS,
        crate::search::columns::STATEMENTS,
        crate::search::facts::STATEMENTS,
        crate::search::index::STATEMENTS,
        crate::search::spelling::STATEMENTS,
        crate::search::tag_names::STATEMENTS,
        crate::search::texts::STATEMENTS,
        crate::stats::STATEMENTS,
        crate::sync_runs::STATEMENTS,
        crate::updates::STATEMENTS,
        crate::versions::STATEMENTS,
        crate::wanted::STATEMENTS,
    ];
    let mut prepared = 0;
    for (name, sql) in modules.into_iter().flatten() {
        let statement = (&mut *connection).prepare(AssertSqlSafe((*sql).to_owned()).into_sql_str()).await;
        assert!(statement.is_ok(), "{name}: {}", statement.err().unwrap());
        prepared += 1;
    }
    assert!(prepared >= 80, "only {prepared} statements were found");
}

#[tokio::test]
async fn every_table_is_strict() {
    let (catalogue, _home) = opened().await;
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pragma_table_list
         WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE '%sqlx%' AND name NOT LIKE 'sqlite%'",
    )
    .fetch_all(&catalogue.readers)
    .await
    .unwrap();
    assert_eq!(loose, Vec::<String>::new());
}

/// What walks a whole listing, or asks every hour whether something is due, walks an index and does not look at every row.
#[tokio::test]
async fn listings_are_walked_by_their_index() {
    use crate::{at_rest, libraries, search};
    let (catalogue, _home) = opened().await;
    for (statements, name, index) in [
        (search::by_name::STATEMENTS, "WALK_UP", "model_by_name (name_key"),
        (search::by_name::STATEMENTS, "WALK_DOWN", "model_by_name (name_key"),
        (libraries::content::STATEMENTS, "UNREAD", "library_file_unread"),
        (libraries::content::STATEMENTS, "UNLISTED", "library_file_unasked"),
        (libraries::pictures::STATEMENTS, "UNREAD_PICTURES", "preview_unread_in_libraries"),
        (at_rest::STATEMENTS, "AT_REST", "observation_"),
    ] {
        let (_, sql) = statements.iter().find(|(found, _)| *found == name).unwrap();
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
            .fetch_all(&catalogue.readers)
            .await
            .unwrap();
        let plan: Vec<String> = plan.into_iter().map(|step| step.3).collect();
        let first = plan.iter().find(|step| step.starts_with("SCAN") || step.starts_with("SEARCH")).unwrap();
        assert!(first.contains(index), "{name}: {plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{name}: {plan:?}");
    }
}
