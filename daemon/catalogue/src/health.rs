//! The catalogue as a whole: its numbers, whether it is sound, and what a start has to put right.

use crate::check::CheckDepth;
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::{ErrorClass, Failure, reason};
use sqlx::{FromRow, Row, SqliteConnection};

/// How much there is of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueCounts {
    /// Models that their hubs still list.
    pub models: u64,
    /// Models with weights on this machine.
    pub downloaded_models: u64,
    /// Bytes of every artifact that is on this machine, each counted once.
    pub stored_bytes: u64,
    pub queued_generations: u32,
    pub running_generations: u32,
    pub running_sync_runs: u32,
    pub sqlite_version: String,
}

statements! {
    COUNTS = concat!(
        // All less the few that are gone, and from the weights to their models: no table is gone through.
        "SELECT (SELECT count(*) FROM model) - (SELECT count(*) FROM model WHERE gone_ms IS NOT NULL) AS models, \
         (SELECT count(DISTINCT m.model_id) FROM artifact here CROSS JOIN file hf ON hf.artifact_id = here.artifact_id \
            CROSS JOIN version m ON m.version_id = hf.version_id WHERE EXISTS (SELECT 1 ", crate::detail::local_weights!(),
        " AND la.artifact_id = here.artifact_id AND lv.version_id = m.version_id)) AS downloaded_models, \
         (SELECT coalesce(sum(size_bytes), 0) FROM artifact a WHERE EXISTS \
            (SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL)) AS stored_bytes, \
         (SELECT count(*) FROM generation WHERE state = 'queued') AS queued_generations, \
         (SELECT count(*) FROM generation WHERE state = 'running') AS running_generations, \
         (SELECT count(*) FROM sync_run WHERE state IN ('queued', 'running')) AS running_sync_runs, \
         sqlite_version() AS sqlite_version"
    );
    INTERRUPT_SYNC_RUNS = "
        UPDATE sync_run SET state = 'failed', failure_json = ?1, ended_ms = ?2 WHERE state IN ('queued', 'running')";
    /// FTS5's own check believes what its connection last read of the index, which a writer may have changed since
    /// (`fts5IntegrityMethod` of SQLite 3.51 opens no cursor, which is what looks for changes). A look at the index does.
    LOOK_AT_SEARCH = "SELECT rowid FROM model_search LIMIT 1";
    INTEGRITY_CHECK = "PRAGMA integrity_check";
    /// The same without comparing indexes with their tables.
    QUICK_CHECK = "PRAGMA quick_check";
    FOREIGN_KEY_CHECK = "SELECT \"table\", rowid, parent FROM pragma_foreign_key_check LIMIT 100";
    SEARCH_CHECK = "
        SELECT count(*) FROM model m
        WHERE NOT EXISTS (SELECT 1 FROM model_search_docsize d WHERE d.id = m.model_id)";
}

#[derive(FromRow)]
struct CountsRow {
    models: i64,
    downloaded_models: i64,
    stored_bytes: i64,
    queued_generations: i64,
    running_generations: i64,
    running_sync_runs: i64,
    sqlite_version: String,
}

impl Catalogue {
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn counts(&self) -> Result<CatalogueCounts, CatalogueError> {
        let row: CountsRow =
            sqlx::query_as(COUNTS).fetch_one(&self.readers).await.map_err(could_not("count what is there"))?;
        Ok(CatalogueCounts {
            models: codec::counted(row.models),
            downloaded_models: codec::counted(row.downloaded_models),
            stored_bytes: codec::counted(row.stored_bytes),
            queued_generations: codec::small(row.queued_generations),
            running_generations: codec::small(row.running_generations),
            running_sync_runs: codec::small(row.running_sync_runs),
            sqlite_version: row.sqlite_version,
        })
    }

    /// At the daemon's start, when nothing can be running: sync runs that claim to run are marked as failed, because their
    /// daemon ended before they did, and those that wait too, because the next one finds the same work. `why` is the
    /// message. How many those are.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn interrupt_sync_runs(&self, why: &str) -> Result<u64, CatalogueError> {
        let failure = codec::failure_json(
            &Failure::new(ErrorClass::Unavailable, reason::INTERRUPTED, why).with_hint("ask for it again"),
        );
        let statement = sqlx::query(INTERRUPT_SYNC_RUNS).bind(failure).bind(self.now().unix_ms());
        self.write_one("end the sync runs of a former daemon", statement).await
    }

    /// What is wrong with the file, in SQLite's words; nothing when it is sound. Reads the whole catalogue.
    ///
    /// # Errors
    /// When the catalogue cannot be read at all.
    pub async fn check_integrity(&self) -> Result<Vec<String>, CatalogueError> {
        let mut reader = self.reader("be checked").await?;
        let mut tx = reader.snapshot("be checked").await?;
        problems(&mut tx, CheckDepth::Full).await
    }
}

/// What is wrong with the pages and rows of a database of any layout.
pub(crate) async fn sound_pages(connection: &mut SqliteConnection) -> Result<Vec<String>, CatalogueError> {
    let found: Result<Vec<String>, _> = sqlx::query_scalar(QUICK_CHECK).fetch_all(connection).await;
    let mut problems = found.map_err(could_not("be checked"))?;
    problems.retain(|line| line != "ok");
    Ok(problems)
}

/// What is wrong with the database that a connection reads, a hundred problems of each sort at most.
pub(crate) async fn problems(
    connection: &mut SqliteConnection,
    depth: CheckDepth,
) -> Result<Vec<String>, CatalogueError> {
    let attempt = "be checked";
    let check = match depth {
        CheckDepth::Quick => QUICK_CHECK,
        CheckDepth::Full => INTEGRITY_CHECK,
    };
    sqlx::query(LOOK_AT_SEARCH).fetch_optional(&mut *connection).await.map_err(could_not(attempt))?;
    let mut problems: Vec<String> =
        sqlx::query_scalar(check).fetch_all(&mut *connection).await.map_err(could_not(attempt))?;
    problems.retain(|line| line != "ok");
    let dangling = sqlx::query(FOREIGN_KEY_CHECK).fetch_all(&mut *connection).await.map_err(could_not(attempt))?;
    for row in dangling {
        let table: String = row.try_get(0).map_err(could_not(attempt))?;
        let row_id: Option<i64> = row.try_get(1).map_err(could_not(attempt))?;
        let parent: String = row.try_get(2).map_err(could_not(attempt))?;
        let row_id = row_id.map_or_else(String::new, |id| format!(" row {id}"));
        problems.push(format!("{table}{row_id} points at nothing in {parent}"));
    }
    let unindexed: i64 = sqlx::query_scalar(SEARCH_CHECK).fetch_one(connection).await.map_err(could_not(attempt))?;
    if unindexed > 0 {
        problems.push(format!("{unindexed} models are missing from the search index"));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewSyncRun;
    use crate::testing::{clock_at, model, new_artifact, opened};
    use paintbox_domain::generation::JobState;

    #[tokio::test]
    async fn an_index_that_changed_since_a_reader_used_it_is_no_problem() {
        let (catalogue, _home) = opened().await;
        let mut models: Vec<_> =
            (0..300).map(|number| model(&number.to_string(), &format!("Model {number}"))).collect();
        for round in 0..4 {
            let mut readers = Vec::new();
            while readers.len() < catalogue.readers.options().0 {
                let mut reader = catalogue.readers.acquire().await.unwrap();
                sqlx::query("SELECT count(*) FROM model_search").fetch_one(&mut *reader).await.unwrap();
                readers.push(reader);
            }
            drop(readers);
            for model in &mut models {
                model.name = format!("Model {round} {}", model.external_id);
            }
            catalogue.record_models(&models, None).await.unwrap();
            assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
        }
    }

    #[tokio::test]
    async fn sync_runs_of_a_former_daemon_are_ended() {
        let (catalogue, home) = opened().await;
        for uid in ["s", "t"] {
            let run = NewSyncRun { uid: uid.into(), request_id: None, scope_json: "{}".into() };
            catalogue.create_sync_run(&run).await.unwrap();
        }
        catalogue.close().await;

        let catalogue = Catalogue::open(&home.path().join("catalogue.db"), clock_at(2_000)).await.unwrap();
        assert_eq!(catalogue.interrupt_sync_runs("the daemon ended").await.unwrap(), 2);
        let interrupted = catalogue.sync_run("s").await.unwrap();
        assert_eq!(interrupted.state, JobState::Failed);
        assert_eq!(interrupted.failure.unwrap().reason, reason::INTERRUPTED);
        assert_eq!(catalogue.interrupt_sync_runs("again").await.unwrap(), 0);
    }

    #[tokio::test]
    async fn numbers_follow_what_is_recorded() {
        let (catalogue, home) = opened().await;
        let ids = catalogue.record_models(&[model("1", "One"), model("2", "Two")], None).await.unwrap();
        let file = catalogue.model(ids[0]).await.unwrap().versions[0].files[0].clone();
        let content = new_artifact(file.sha256.unwrap(), home.path().join("x"));
        catalogue.record_file(file.id, &content, true).await.unwrap();
        let counts = catalogue.counts().await.unwrap();
        assert_eq!((counts.models, counts.downloaded_models, counts.stored_bytes), (2, 1, content.size_bytes));
        assert!(counts.sqlite_version.starts_with("3."));
        assert_eq!(catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn dangling_rows_are_reported() {
        let (catalogue, _home) = opened().await;
        catalogue.record_models(&[model("1", "One")], None).await.unwrap();
        let mut connection = catalogue.writer.acquire().await.unwrap();
        for statement in ["PRAGMA foreign_keys = off", "DELETE FROM model", "PRAGMA foreign_keys = on"] {
            sqlx::query(statement).execute(&mut *connection).await.unwrap();
        }
        drop(connection);
        let problems = catalogue.check_integrity().await.unwrap();
        assert!(
            problems.iter().any(|problem| problem.contains("version") && problem.contains("model")),
            "{problems:?}"
        );
    }
}
