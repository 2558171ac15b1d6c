//! Sync runs as rows: what was asked for, how far it came, how it ended.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::filter::{Field, Filtered, Holds, RowFilter};
use crate::journal::Happening;
use crate::open::Catalogue;
use crate::page;
use crate::statements::statements;
use paintbox_domain::generation::JobState;
use paintbox_domain::{Failure, Timestamp};
use sqlx::{FromRow, Sqlite, Transaction};

const KIND: &str = "sync run";

/// A sync that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSyncRun {
    /// Unique; made by the caller.
    pub uid: String,
    /// The client's own id for the request, by which a repetition is recognised.
    pub request_id: Option<String>,
    /// What to sync, in the caller's own JSON.
    pub scope_json: String,
}

/// What a run has done so far. Numbers of files, except `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncCounts {
    pub planned: u32,
    pub fetched: u32,
    pub already_had: u32,
    pub skipped: u32,
    pub failed: u32,
    /// Downloaded in this run.
    pub bytes: u64,
}

impl SyncCounts {
    pub fn add(&mut self, other: Self) {
        self.planned += other.planned;
        self.fetched += other.fetched;
        self.already_had += other.already_had;
        self.skipped += other.skipped;
        self.failed += other.failed;
        self.bytes += other.bytes;
    }
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncRunUpdate {
    pub state: JobState,
    pub counts: SyncCounts,
    pub failure: Option<Failure>,
}

/// A sync run.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncRunRecord {
    pub uid: String,
    pub request_id: Option<String>,
    pub scope_json: String,
    pub state: JobState,
    pub counts: SyncCounts,
    pub failure: Option<Failure>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

impl Filtered for SyncRunRecord {
    const EXAMPLE: &'static str = "state:failed created>2026-01";
    const FIELDS: &'static [Field<Self>] = &[
        Field {
            names: &["state"],
            holds: Holds::Name {
                all: || JobState::ALL.iter().map(|state| state.as_str()).collect(),
                of: |run| run.state.as_str(),
            },
        },
        Field {
            names: &["reason"],
            holds: Holds::Text(|run| run.failure.as_ref().map(|failure| failure.reason.clone())),
        },
        Field { names: &["planned"], holds: Holds::Count(|run| run.counts.planned.into()) },
        Field { names: &["fetched"], holds: Holds::Count(|run| run.counts.fetched.into()) },
        Field { names: &["failed"], holds: Holds::Count(|run| run.counts.failed.into()) },
        Field { names: &["bytes"], holds: Holds::Bytes(|run| Some(run.counts.bytes)) },
        Field { names: &["created", "create_time"], holds: Holds::Time(|run| Some(run.created_at)) },
        Field { names: &["ended", "end_time"], holds: Holds::Time(|run| run.ended_at) },
    ];

    /// The follows and references that it was asked for.
    fn texts(&self) -> String {
        self.scope_json.clone()
    }
}

/// Rows that are looked at together when most of them may not be wanted.
const BATCH: usize = 200;

/// Which sync runs to list.
#[derive(Debug, Default)]
pub struct SyncRunQuery {
    pub filter: RowFilter<SyncRunRecord>,
    /// 0 means 50; more than 500 means 500.
    pub page_size: u32,
    pub page_token: Option<String>,
}

/// One page of sync runs.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncRunPage {
    pub sync_runs: Vec<SyncRunRecord>,
    /// None on the last page.
    pub next_page_token: Option<String>,
}

macro_rules! columns {
    () => {
        "sync_run_id, uid, request_id, scope_json, state, planned, fetched, already_had, skipped, failed, bytes, \
         failure_json, created_ms, started_ms, ended_ms"
    };
}

statements! {
    INSERT_SYNC_RUN = concat!(
        "INSERT INTO sync_run (uid, request_id, scope_json, state, created_ms) VALUES (?1, ?2, ?3, 'queued', ?4) \
         RETURNING ", columns!()
    );
    SYNC_RUN_BY_REQUEST = concat!("SELECT ", columns!(), " FROM sync_run WHERE request_id = ?1");
    SYNC_RUN = concat!("SELECT ", columns!(), " FROM sync_run WHERE uid = ?1");
    SYNC_RUNS = concat!(
        "SELECT ", columns!(), " FROM sync_run WHERE sync_run_id < ?1 ORDER BY sync_run_id DESC LIMIT ?2"
    );
    /// A run that has ended never changes again.
    UPDATE_SYNC_RUN = "
        UPDATE sync_run SET
            state = ?2, planned = ?3, fetched = ?4, already_had = ?5, skipped = ?6, failed = ?7, bytes = ?8,
            failure_json = ?9,
            started_ms = iif(?2 = 'queued', started_ms, coalesce(started_ms, ?10)),
            ended_ms = iif(?2 IN ('succeeded', 'failed', 'cancelled'), ?10, NULL)
        WHERE uid = ?1 AND state IN ('queued', 'running')";
}

#[derive(FromRow)]
struct SyncRunRow {
    sync_run_id: i64,
    uid: String,
    request_id: Option<String>,
    scope_json: String,
    state: String,
    planned: i64,
    fetched: i64,
    already_had: i64,
    skipped: i64,
    failed: i64,
    bytes: i64,
    failure_json: Option<String>,
    created_ms: i64,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
}

impl SyncRunRow {
    fn record(self) -> Result<SyncRunRecord, CatalogueError> {
        Ok(SyncRunRecord {
            uid: self.uid,
            request_id: self.request_id,
            scope_json: self.scope_json,
            state: codec::named("a sync run's state", &self.state, JobState::from_name)?,
            counts: SyncCounts {
                planned: codec::small(self.planned),
                fetched: codec::small(self.fetched),
                already_had: codec::small(self.already_had),
                skipped: codec::small(self.skipped),
                failed: codec::small(self.failed),
                bytes: codec::counted(self.bytes),
            },
            failure: codec::failure(self.failure_json.as_deref())?,
            created_at: Timestamp::from_unix_ms(self.created_ms),
            started_at: codec::time(self.started_ms),
            ended_at: codec::time(self.ended_ms),
        })
    }
}

fn not_found(uid: &str) -> CatalogueError {
    CatalogueError::JobNotFound { kind: KIND, uid: uid.to_owned() }
}

impl Catalogue {
    /// Queues a sync run. The same request id with the same scope returns the run that it made before.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` when the request id came with another scope; when the catalogue cannot be written.
    pub async fn create_sync_run(&self, new: &NewSyncRun) -> Result<SyncRunRecord, CatalogueError> {
        let attempt = "queue a sync run";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        if let Some(request_id) = &new.request_id {
            let known: Option<SyncRunRow> =
                sqlx::query_as(SYNC_RUN_BY_REQUEST).bind(request_id).fetch_optional(&mut *tx).await.map_err(&failed)?;
            match known {
                Some(known) if known.scope_json == new.scope_json => return known.record(),
                Some(_) => {
                    return Err(CatalogueError::RequestIdReused { kind: KIND, request_id: request_id.clone() });
                }
                None => {}
            }
        }
        let row: SyncRunRow = sqlx::query_as(INSERT_SYNC_RUN)
            .bind(&new.uid)
            .bind(&new.request_id)
            .bind(&new.scope_json)
            .bind(self.now().unix_ms())
            .fetch_one(&mut *tx)
            .await
            .map_err(&failed)?;
        let record = row.record()?;
        self.commit_sync_run(tx, attempt, &record).await?;
        Ok(record)
    }

    /// Commits a change of a run and notes it.
    async fn commit_sync_run(
        &self,
        tx: Transaction<'static, Sqlite>,
        attempt: &'static str,
        record: &SyncRunRecord,
    ) -> Result<(), CatalogueError> {
        let _order = self.journal.in_order().await;
        tx.commit().await.map_err(could_not(attempt))?;
        self.journal.note(Happening::SyncRun(record.clone()));
        Ok(())
    }

    /// Records how far a run has come. One that has ended stays as it is. Returns the run as it is now.
    ///
    /// # Errors
    /// `JOB_NOT_FOUND`; when the catalogue cannot be written.
    pub async fn update_sync_run(&self, uid: &str, update: &SyncRunUpdate) -> Result<SyncRunRecord, CatalogueError> {
        let attempt = "record a sync run's progress";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let changed = sqlx::query(UPDATE_SYNC_RUN)
            .bind(uid)
            .bind(update.state.as_str())
            .bind(update.counts.planned)
            .bind(update.counts.fetched)
            .bind(update.counts.already_had)
            .bind(update.counts.skipped)
            .bind(update.counts.failed)
            .bind(codec::count(update.counts.bytes))
            .bind(update.failure.as_ref().map(codec::failure_json))
            .bind(self.now().unix_ms())
            .execute(&mut *tx)
            .await
            .map_err(&failed)?;
        let row: Option<SyncRunRow> =
            sqlx::query_as(SYNC_RUN).bind(uid).fetch_optional(&mut *tx).await.map_err(&failed)?;
        let record = row.ok_or_else(|| not_found(uid))?.record()?;
        if changed.rows_affected() > 0 {
            self.commit_sync_run(tx, attempt, &record).await?;
        }
        Ok(record)
    }

    /// # Errors
    /// `JOB_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn sync_run(&self, uid: &str) -> Result<SyncRunRecord, CatalogueError> {
        let row: Option<SyncRunRow> = sqlx::query_as(SYNC_RUN)
            .bind(uid)
            .fetch_optional(&self.readers)
            .await
            .map_err(could_not("read a sync run"))?;
        row.ok_or_else(|| not_found(uid))?.record()
    }

    /// Sync runs that pass, newest first.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID` when the token is from a listing with another filter; when the catalogue cannot be read.
    pub async fn sync_runs(&self, query: &SyncRunQuery) -> Result<SyncRunPage, CatalogueError> {
        let attempt = "read sync runs";
        let listing = format!("sync runs {}", query.filter.text());
        let [mut before] = page::keys(&listing, query.page_token.as_deref())?.unwrap_or([i64::MAX]);
        let size = page::size(query.page_size);
        let batch = BATCH.max(size + 1);
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let mut found = Vec::new();
        loop {
            let rows: Vec<SyncRunRow> = sqlx::query_as(SYNC_RUNS)
                .bind(before)
                .bind(codec::position(batch))
                .fetch_all(&mut *tx)
                .await
                .map_err(could_not(attempt))?;
            let is_last = rows.len() < batch;
            for row in rows {
                let id = row.sync_run_id;
                let record = row.record()?;
                if query.filter.passes(&record) {
                    if found.len() == size {
                        return Ok(SyncRunPage {
                            sync_runs: found,
                            next_page_token: Some(page::token(&listing, [before])),
                        });
                    }
                    found.push(record);
                }
                before = id;
            }
            if is_last {
                return Ok(SyncRunPage { sync_runs: found, next_page_token: None });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::opened;
    use paintbox_domain::{Classify, ErrorClass, reason};

    fn run(uid: &str, request_id: Option<&str>, scope: &str) -> NewSyncRun {
        NewSyncRun { uid: uid.into(), request_id: request_id.map(Into::into), scope_json: scope.into() }
    }

    #[tokio::test]
    async fn a_run_goes_from_queued_to_its_end_and_stays_there() {
        let (catalogue, _home) = opened().await;
        let made = catalogue.create_sync_run(&run("a", None, "{}")).await.unwrap();
        assert_eq!((made.state, made.started_at, made.ended_at), (JobState::Queued, None, None));
        let counts = SyncCounts { planned: 3, fetched: 1, bytes: u64::from(u32::MAX) + 1, ..SyncCounts::default() };
        let mut update = SyncRunUpdate { state: JobState::Running, counts, failure: None };
        let running = catalogue.update_sync_run("a", &update).await.unwrap();
        assert_eq!((running.state, running.counts, running.ended_at), (JobState::Running, counts, None));
        assert!(running.started_at.is_some());
        update.state = JobState::Failed;
        update.failure = Some(Failure::new(ErrorClass::Exhausted, reason::DISK_FULL, "no space"));
        let failed = catalogue.update_sync_run("a", &update).await.unwrap();
        assert_eq!((failed.state, &failed.failure), (JobState::Failed, &update.failure));
        update.state = JobState::Succeeded;
        update.failure = None;
        assert_eq!(catalogue.update_sync_run("a", &update).await.unwrap(), failed);
        assert_eq!(catalogue.sync_run("a").await.unwrap(), failed);
        assert_eq!(catalogue.sync_run("b").await.unwrap_err().reason(), reason::JOB_NOT_FOUND);
        assert_eq!(catalogue.update_sync_run("b", &update).await.unwrap_err().reason(), reason::JOB_NOT_FOUND);
    }

    #[tokio::test]
    async fn a_repeated_request_returns_the_same_run() {
        let (catalogue, _home) = opened().await;
        let first = catalogue.create_sync_run(&run("a", Some("r"), "{}")).await.unwrap();
        assert_eq!(catalogue.create_sync_run(&run("b", Some("r"), "{}")).await.unwrap(), first);
        let other = catalogue.create_sync_run(&run("c", Some("r"), "[]")).await.unwrap_err();
        assert_eq!((other.reason(), other.class()), (reason::REQUEST_ID_REUSED, ErrorClass::Conflict));
    }

    #[tokio::test]
    async fn runs_are_listed_newest_first_in_pages() {
        let (catalogue, _home) = opened().await;
        for uid in ["a", "b", "c"] {
            catalogue.create_sync_run(&run(uid, None, "{}")).await.unwrap();
        }
        let mut query = SyncRunQuery { page_size: 2, ..SyncRunQuery::default() };
        let first = catalogue.sync_runs(&query).await.unwrap();
        assert_eq!(first.sync_runs.iter().map(|run| run.uid.as_str()).collect::<Vec<_>>(), ["c", "b"]);
        query.page_token = first.next_page_token;
        let second = catalogue.sync_runs(&query).await.unwrap();
        assert_eq!((second.sync_runs[0].uid.as_str(), second.next_page_token), ("a", None));
        query.page_token = Some("00".into());
        assert_eq!(catalogue.sync_runs(&query).await.unwrap_err().reason(), reason::PAGE_TOKEN_INVALID);
    }

    #[tokio::test]
    async fn runs_are_found_by_what_is_on_record_of_them() {
        let (catalogue, _home) = opened().await;
        for (uid, scope) in [("a", r#"{"follows":["civitai:konan"]}"#), ("b", "{}"), ("c", "{}")] {
            catalogue.create_sync_run(&run(uid, None, scope)).await.unwrap();
        }
        let counts = SyncCounts { failed: 2, bytes: 3_000_000, ..SyncCounts::default() };
        let failure = Some(Failure::new(ErrorClass::Exhausted, reason::DISK_FULL, "no space"));
        catalogue.update_sync_run("b", &SyncRunUpdate { state: JobState::Failed, counts, failure }).await.unwrap();
        for (filter, wanted) in [
            ("", "c b a"),
            ("state:failed", "b"),
            ("state:queued", "c a"),
            ("reason:disk_full failed>1 bytes>=3MB", "b"),
            ("ended:1970", "b"),
            ("created:1970 -state:failed", "c a"),
            ("konan", "a"),
        ] {
            let mut query = SyncRunQuery { filter: RowFilter::parse(filter).unwrap(), page_size: 1, page_token: None };
            let mut found = Vec::new();
            loop {
                let page = catalogue.sync_runs(&query).await.unwrap();
                found.extend(page.sync_runs.into_iter().map(|run| run.uid));
                query.page_token = page.next_page_token;
                if query.page_token.is_none() {
                    break;
                }
            }
            assert_eq!(found.join(" "), wanted, "{filter}");
        }
        let first = catalogue.sync_runs(&SyncRunQuery { page_size: 1, ..SyncRunQuery::default() }).await.unwrap();
        let filter = RowFilter::parse("state:queued").unwrap();
        let other = SyncRunQuery { filter, page_size: 1, page_token: first.next_page_token };
        assert_eq!(catalogue.sync_runs(&other).await.unwrap_err().reason(), reason::PAGE_TOKEN_INVALID);
    }
}
