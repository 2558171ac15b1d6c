//! Downloads as rows. Each step of one is a transaction of its own that names the state it leaves, so that of two who
//! would move it one finds that the other was quicker. The order of states is [`DownloadState::after`]'s.

pub(crate) mod list;

pub use list::{DownloadFilter, DownloadPage, DownloadQuery};

use crate::artifacts::NewArtifact;
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::files;
use crate::ids::{DownloadId, FileId, FollowId};
use crate::journal::Happening;
use crate::open::Catalogue;
use crate::statements::statements;
use crate::volumes::kinds_json;
use paintbox_domain::hub::FileSize;
use paintbox_domain::{DownloadState, DownloadStep, Failure, Hub, ModelKind, ModelRef, Timestamp};
use sqlx::query::QueryScalar;
use sqlx::sqlite::SqliteArguments;
use sqlx::{FromRow, Sqlite, SqliteConnection, Transaction};

/// A file that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDownload {
    pub file: FileId,
    pub hub: Hub,
    /// The follow whose limits hold for it; none for a pull.
    pub follow: Option<FollowId>,
    /// Higher first.
    pub priority: i32,
}

/// A download.
#[derive(Debug, Clone, PartialEq)]
pub struct DownloadRecord {
    pub id: DownloadId,
    pub file: FileId,
    pub follow: Option<FollowId>,
    pub hub: Hub,
    pub model_name: String,
    pub kind: ModelKind,
    pub version: ModelRef,
    pub file_name: String,
    pub size: Option<FileSize>,
    pub state: DownloadState,
    pub priority: i32,
    /// Nobody asked for it: it comes because it is followed, and can wait for a better moment.
    pub automatic: bool,
    pub failures: u32,
    /// What came over the network for it, whatever became of it.
    pub received_bytes: u64,
    /// Not before then.
    pub due_at: Option<Timestamp>,
    /// Why it failed the last time, until it is done.
    pub failure: Option<Failure>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// How a worker's download ended.
#[derive(Debug, Clone, PartialEq)]
pub enum DownloadEnd<'a> {
    /// The bytes lie under their name. `verified` says that they were compared with some digest that the hub lists.
    Placed { content: &'a NewArtifact, verified: bool },
    /// What the hub lists by now is here already.
    AlreadyHere,
    /// It is tried again at `retry_at`.
    Failed { failure: &'a Failure, retry_at: Timestamp },
}

macro_rules! columns {
    () => {
        "SELECT d.download_id, d.file_id, d.follow_id, d.hub, d.state, d.priority, d.automatic, d.failures, d.received_bytes, \
         d.due_ms, d.failure_json, d.created_ms, d.started_ms, d.ended_ms, coalesce(d.turn, d.download_id) AS turn, \
         f.name AS file_name, f.size_bytes, f.size_exact, v.external_id AS version_external_id, \
         m.external_id AS model_external_id, m.name AS model_name, m.kind AS model_kind \
         FROM download d JOIN file f USING (file_id) JOIN version v USING (version_id) JOIN model m USING (model_id) "
    };
}
pub(crate) use columns;

statements! {
    /// One that is there already keeps its place, unless it is wanted more or sooner now. `?6`: somebody asks for it, and
    /// waits neither for the time that a failure set nor for a better moment.
    ENQUEUE = "
        INSERT INTO download (file_id, follow_id, hub, state, priority, automatic, created_ms)
        VALUES (?1, ?2, ?3, 'queued', ?4, NOT ?6, ?5)
        ON CONFLICT (file_id) WHERE ended_ms IS NULL DO UPDATE SET
            priority = max(priority, excluded.priority),
            automatic = automatic AND excluded.automatic,
            follow_id = iif(excluded.follow_id IS NULL, NULL, follow_id),
            state = iif(?6 AND state = 'failed', 'queued', state),
            due_ms = iif(?6, NULL, due_ms)
        RETURNING download_id";
    DOWNLOAD = concat!(columns!(), "WHERE d.download_id = ?1");
    DOWNLOADS_BY_ID = concat!(columns!(), "WHERE d.download_id IN (SELECT value FROM json_each(?1))");
    NEXT_DOWNLOAD = concat!(
        columns!(),
        "WHERE d.state = 'queued' AND (d.due_ms IS NULL OR d.due_ms <= ?1) \
         AND d.hub NOT IN (SELECT value FROM json_each(?2)) AND m.kind NOT IN (SELECT value FROM json_each(?3)) \
         AND (NOT ?4 OR NOT d.automatic) ORDER BY d.priority DESC, coalesce(d.turn, d.download_id) LIMIT 1"
    );
    STEP_DOWNLOAD = "
        UPDATE download SET
            state = ?3, received_bytes = received_bytes + ?4, due_ms = ?5,
            failures = failures + (?3 = 'failed'),
            failure_json = CASE ?3 WHEN 'failed' THEN ?6 WHEN 'done' THEN NULL ELSE failure_json END,
            automatic = automatic AND NOT (?2 IN ('paused', 'failed') AND ?3 = 'queued'),
            started_ms = iif(?3 = 'resolving', coalesce(started_ms, ?7), started_ms),
            ended_ms = iif(?3 IN ('done', 'cancelled'), ?7, NULL)
        WHERE download_id = ?1 AND state = ?2";
    SET_DUE = "
        UPDATE download SET due_ms = ?2 WHERE download_id = ?1 AND state = 'queued' RETURNING download_id";
    SET_FILE = "
        UPDATE download SET file_id = ?2 WHERE download_id = ?1 AND ended_ms IS NULL
        AND NOT EXISTS (SELECT 1 FROM download WHERE file_id = ?2 AND ended_ms IS NULL) RETURNING download_id";
    SET_FIRST = "
        UPDATE download SET priority = ?2, automatic = 0, turn = (
            SELECT min(0, coalesce(min(coalesce(turn, download_id)), 0)) - 1 FROM download
            WHERE state = 'queued' AND priority = ?2)
        WHERE download_id = ?1 AND ended_ms IS NULL RETURNING download_id";
    STATE_OF_DOWNLOAD = "SELECT state FROM download WHERE download_id = ?1";
    REQUEUE_DUE = "
        UPDATE download SET state = 'queued', due_ms = NULL WHERE state IN ('failed', 'queued') AND due_ms <= ?1
        RETURNING download_id";
    REQUEUE_FAILED = "
        UPDATE download SET state = 'queued', due_ms = NULL WHERE state = 'failed' AND hub = ?1
        RETURNING download_id";
    NEXT_DUE_DOWNLOAD = "SELECT min(due_ms) FROM download WHERE due_ms IS NOT NULL";
    INTERRUPT_DOWNLOADS = "
        UPDATE download SET state = 'queued' WHERE state IN ('resolving', 'transferring', 'verifying', 'placing')";
    POSTPONE_QUEUED = "UPDATE download SET due_ms = ?1 WHERE state = 'queued' AND coalesce(due_ms, 0) < ?1";
    OPEN_OF_FOLLOW = "SELECT download_id FROM download WHERE follow_id = ?1 AND ended_ms IS NULL";
    QUEUED_AUTOMATIC = "
        SELECT download_id, follow_id FROM download WHERE state = 'queued' AND automatic AND coalesce(due_ms, 0) <= ?1";
    IS_PAUSED = "SELECT paused FROM download_queue";
    SET_PAUSED = "UPDATE download_queue SET paused = ?1";
    HELD_BACK = "
        SELECT file_id, state FROM download
        WHERE ended_ms IS NULL AND (state = 'paused' OR (state = 'failed' AND due_ms > ?1))";
}

#[derive(FromRow)]
struct DownloadRow {
    download_id: i64,
    file_id: i64,
    follow_id: Option<i64>,
    hub: String,
    state: String,
    priority: i32,
    automatic: bool,
    failures: i64,
    received_bytes: i64,
    due_ms: Option<i64>,
    failure_json: Option<String>,
    created_ms: i64,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    turn: i64,
    file_name: String,
    size_bytes: Option<i64>,
    size_exact: bool,
    version_external_id: String,
    model_external_id: String,
    model_name: String,
    model_kind: String,
}

impl DownloadRow {
    fn record(self) -> Result<DownloadRecord, CatalogueError> {
        let hub = codec::named("a download's hub", &self.hub, Hub::from_name)?;
        Ok(DownloadRecord {
            id: DownloadId(self.download_id),
            file: FileId(self.file_id),
            follow: self.follow_id.map(FollowId),
            hub,
            model_name: self.model_name,
            kind: ModelKind::from_name(&self.model_kind).unwrap_or(ModelKind::Unknown),
            version: codec::version_reference(Some(hub), &self.model_external_id, &self.version_external_id),
            file_name: self.file_name,
            size: files::size(self.size_bytes, self.size_exact),
            state: state(&self.state)?,
            priority: self.priority,
            automatic: self.automatic,
            failures: codec::small(self.failures),
            received_bytes: codec::counted(self.received_bytes),
            due_at: codec::time(self.due_ms),
            failure: codec::failure(self.failure_json.as_deref())?,
            created_at: Timestamp::from_unix_ms(self.created_ms),
            started_at: codec::time(self.started_ms),
            ended_at: codec::time(self.ended_ms),
        })
    }
}

/// What goes on record with a step.
#[derive(Default)]
struct Note {
    /// Bytes that came since the last step.
    received_bytes: u64,
    due_at: Option<Timestamp>,
    failure_json: Option<String>,
}

fn state(text: &str) -> Result<DownloadState, CatalogueError> {
    codec::named("a download's state", text, DownloadState::from_name)
}

async fn records_of(connection: &mut SqliteConnection, ids: &[DownloadId]) -> Result<Vec<DownloadRow>, sqlx::Error> {
    sqlx::query_as(DOWNLOADS_BY_ID).bind(codec::id_list(ids.iter().map(|id| id.0))).fetch_all(connection).await
}

fn not_found(id: DownloadId) -> CatalogueError {
    CatalogueError::JobNotFound { kind: "download", uid: id.to_string() }
}

impl Catalogue {
    /// Puts files into the queue, in order, and returns the download of each: the one that it has already, if that has
    /// not ended. `at_once` lets those that wait after a failure go on now.
    ///
    /// # Errors
    /// When a file is not known or the catalogue cannot be written; then none is in the queue that was not before.
    pub async fn enqueue_downloads(
        &self,
        downloads: &[NewDownload],
        at_once: bool,
    ) -> Result<Vec<DownloadId>, CatalogueError> {
        let attempt = "queue downloads";
        let mut tx = self.write(attempt).await?;
        let mut ids = Vec::with_capacity(downloads.len());
        for new in downloads {
            let id: i64 = sqlx::query_scalar(ENQUEUE)
                .bind(new.file.0)
                .bind(new.follow.map(FollowId::get))
                .bind(new.hub.as_str())
                .bind(new.priority)
                .bind(self.now().unix_ms())
                .bind(at_once)
                .fetch_one(&mut *tx)
                .await
                .map_err(could_not(attempt))?;
            ids.push(DownloadId(id));
        }
        let records = records_of(&mut tx, &ids).await.map_err(could_not(attempt))?;
        let _order = self.journal.in_order().await;
        tx.commit().await.map_err(could_not(attempt))?;
        self.note_downloads(records)?;
        Ok(ids)
    }

    fn note_downloads(&self, rows: Vec<DownloadRow>) -> Result<(), CatalogueError> {
        for row in rows {
            self.journal.note(Happening::Download(Box::new(row.record()?)));
        }
        Ok(())
    }

    /// Carries out one statement that changes downloads and returns their ids, and notes what they became; how many.
    async fn change_downloads(
        &self,
        attempt: &'static str,
        statement: QueryScalar<'_, Sqlite, i64, SqliteArguments>,
    ) -> Result<u64, CatalogueError> {
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let ids = statement.fetch_all(&mut *tx).await.map_err(&failed)?;
        let ids: Vec<DownloadId> = ids.into_iter().map(DownloadId).collect();
        let records = records_of(&mut tx, &ids).await.map_err(&failed)?;
        let _order = self.journal.in_order().await;
        tx.commit().await.map_err(&failed)?;
        self.note_downloads(records)?;
        Ok(ids.len() as u64)
    }

    /// # Errors
    /// `JOB_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn download(&self, id: DownloadId) -> Result<DownloadRecord, CatalogueError> {
        let row: Option<DownloadRow> = sqlx::query_as(DOWNLOAD)
            .bind(id.0)
            .fetch_optional(&self.readers)
            .await
            .map_err(could_not("read a download"))?;
        row.ok_or_else(|| not_found(id))?.record()
    }

    /// Those of `ids` that there are, in no order.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn downloads_by_id(&self, ids: &[DownloadId]) -> Result<Vec<DownloadRecord>, CatalogueError> {
        let attempt = "read downloads";
        let mut connection = self.readers.acquire().await.map_err(could_not(attempt))?;
        let rows = records_of(&mut connection, ids).await.map_err(could_not(attempt))?;
        rows.into_iter().map(DownloadRow::record).collect()
    }

    /// The download whose turn it is, of hubs that are not among `busy`, and of models whose files have a place to go to:
    /// those of the kinds `away` have none now. `only_asked`: of those alone that somebody asked for.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn next_download(
        &self,
        busy: &[Hub],
        away: &[ModelKind],
        only_asked: bool,
    ) -> Result<Option<DownloadRecord>, CatalogueError> {
        let busy: Vec<String> = busy.iter().map(ToString::to_string).collect();
        let row: Option<DownloadRow> = sqlx::query_as(NEXT_DOWNLOAD)
            .bind(self.now().unix_ms())
            .bind(codec::text_list(&busy))
            .bind(kinds_json(away))
            .bind(only_asked)
            .fetch_optional(&self.readers)
            .await
            .map_err(could_not("read whose turn it is"))?;
        row.map(DownloadRow::record).transpose()
    }

    /// Downloads that nobody asked for and that could be begun, with the follow of each.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn queued_automatic_downloads(&self) -> Result<Vec<(DownloadId, Option<FollowId>)>, CatalogueError> {
        let rows: Vec<(i64, Option<i64>)> = sqlx::query_as(QUEUED_AUTOMATIC)
            .bind(self.now().unix_ms())
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read which downloads wait"))?;
        Ok(rows.into_iter().map(|(id, follow)| (DownloadId(id), follow.map(FollowId))).collect())
    }

    /// Takes a download from `from` one step on; `received_bytes` came since the last one. None when it is not in that state any more, or the step leads
    /// nowhere from there.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn step_download(
        &self,
        id: DownloadId,
        from: DownloadState,
        step: DownloadStep,
        received_bytes: u64,
    ) -> Result<Option<DownloadState>, CatalogueError> {
        let attempt = "record a download's step";
        let Some(to) = from.after(step) else { return Ok(None) };
        let mut tx = self.write(attempt).await?;
        let note = Note { received_bytes, ..Note::default() };
        let moved = self.move_download(&mut tx, id, (from, to), &note).await.map_err(could_not(attempt))?;
        let records = records_of(&mut tx, &[id]).await.map_err(could_not(attempt))?;
        let _order = self.journal.in_order().await;
        tx.commit().await.map_err(could_not(attempt))?;
        if moved {
            self.note_downloads(records)?;
        }
        Ok(moved.then_some(to))
    }

    /// Ends a worker's download, together with what there is to say of its file. False when the download is not in
    /// `from` any more; then nothing was recorded.
    ///
    /// # Errors
    /// `FILE_NOT_FOUND` when there is no such file row; when the catalogue cannot be written.
    pub async fn end_download(
        &self,
        download: (DownloadId, FileId),
        from: DownloadState,
        received_bytes: u64,
        end: &DownloadEnd<'_>,
    ) -> Result<bool, CatalogueError> {
        let attempt = "record a download's end";
        let (id, file) = download;
        let (step, due_at) = match end {
            DownloadEnd::Placed { .. } | DownloadEnd::AlreadyHere => (DownloadStep::Finish, None),
            DownloadEnd::Failed { retry_at, .. } => (DownloadStep::Fail, Some(*retry_at)),
        };
        let Some(to) = from.after(step) else { return Ok(false) };
        let failure_json = match end {
            DownloadEnd::Failed { failure, .. } => Some(codec::failure_json(failure)),
            DownloadEnd::Placed { .. } | DownloadEnd::AlreadyHere => None,
        };
        let note = Note { received_bytes, due_at, failure_json };
        let mut tx = self.write(attempt).await?;
        let moved = self.move_download(&mut tx, id, (from, to), &note).await.map_err(could_not(attempt))?;
        if !moved {
            return Ok(false);
        }
        match end {
            DownloadEnd::Placed { content, verified } => {
                files::record(&mut tx, file, content, *verified, self.now()).await?;
            }
            DownloadEnd::Failed { failure, .. } => files::record_failure(&mut tx, file, failure).await?,
            DownloadEnd::AlreadyHere => {}
        }
        let records = records_of(&mut tx, &[id]).await.map_err(could_not(attempt))?;
        let _order = self.journal.in_order().await;
        self.commit(tx, attempt).await?;
        self.note_downloads(records)?;
        Ok(true)
    }

    /// Takes a download one step on from wherever it is, for somebody who is not its worker. Returns it as it is then,
    /// and the state that it left, if the step could be taken.
    ///
    /// # Errors
    /// `JOB_NOT_FOUND`; when the catalogue cannot be written.
    pub async fn steer_download(
        &self,
        id: DownloadId,
        step: DownloadStep,
    ) -> Result<(DownloadRecord, Option<DownloadState>), CatalogueError> {
        let attempt = "change a download";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let from: Option<String> =
            sqlx::query_scalar(STATE_OF_DOWNLOAD).bind(id.0).fetch_optional(&mut *tx).await.map_err(&failed)?;
        let from = state(&from.ok_or_else(|| not_found(id))?)?;
        let mut left = None;
        if let Some(to) = from.after(step) {
            self.move_download(&mut tx, id, (from, to), &Note::default()).await.map_err(&failed)?;
            left = Some(from);
        }
        let row: DownloadRow = sqlx::query_as(DOWNLOAD).bind(id.0).fetch_one(&mut *tx).await.map_err(&failed)?;
        let record = row.record()?;
        let _order = self.journal.in_order().await;
        tx.commit().await.map_err(&failed)?;
        if left.is_some() {
            self.journal.note(Happening::Download(Box::new(record.clone())));
        }
        Ok((record, left))
    }

    async fn move_download(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
        id: DownloadId,
        (from, to): (DownloadState, DownloadState),
        note: &Note,
    ) -> Result<bool, sqlx::Error> {
        let connection: &mut SqliteConnection = tx;
        let moved = sqlx::query(STEP_DOWNLOAD)
            .bind(id.0)
            .bind(from.as_str())
            .bind(to.as_str())
            .bind(codec::count(note.received_bytes))
            .bind(codec::time_ms(note.due_at))
            .bind(&note.failure_json)
            .bind(self.now().unix_ms())
            .execute(connection)
            .await?;
        Ok(moved.rows_affected() > 0)
    }

    /// Leaves a queued download alone until `due_at`.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn postpone_download(&self, id: DownloadId, due_at: Timestamp) -> Result<(), CatalogueError> {
        let set = sqlx::query_scalar(SET_DUE).bind(id.0).bind(due_at.unix_ms());
        self.change_downloads("postpone a download", set).await.map(drop)
    }

    /// Makes a download fetch another file, because the hub put that in the place of the first. False when that file
    /// has a download of its own.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn redirect_download(&self, id: DownloadId, file: FileId) -> Result<bool, CatalogueError> {
        let set = sqlx::query_scalar(SET_FILE).bind(id.0).bind(file.0);
        Ok(self.change_downloads("change a download's file", set).await? > 0)
    }

    /// Puts a download before all others.
    ///
    /// # Errors
    /// `JOB_NOT_FOUND` when there is no such download or it has ended; when the catalogue cannot be written.
    pub async fn put_download_first(&self, id: DownloadId) -> Result<(), CatalogueError> {
        let set = sqlx::query_scalar(SET_FIRST).bind(id.0).bind(i32::MAX);
        match self.change_downloads("put a download first", set).await? {
            0 => Err(not_found(id)),
            _ => Ok(()),
        }
    }

    /// Puts downloads whose time has come back into the queue.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn requeue_due_downloads(&self) -> Result<u64, CatalogueError> {
        // Most of the time there is none, and then nothing needs to be written.
        let now = self.now();
        if self.next_due_download().await?.is_none_or(|due| due > now) {
            return Ok(0);
        }
        self.change_downloads("queue downloads again", sqlx::query_scalar(REQUEUE_DUE).bind(now.unix_ms())).await
    }

    /// Puts what failed of a hub back into the queue, because something about that hub changed.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn requeue_failed_downloads(&self, hub: Hub) -> Result<u64, CatalogueError> {
        self.change_downloads("queue failed downloads again", sqlx::query_scalar(REQUEUE_FAILED).bind(hub.as_str()))
            .await
    }

    /// The earliest time that a download waits for.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn next_due_download(&self) -> Result<Option<Timestamp>, CatalogueError> {
        let next: Option<i64> = sqlx::query_scalar(NEXT_DUE_DOWNLOAD)
            .fetch_one(&self.readers)
            .await
            .map_err(could_not("read when a download is due"))?;
        Ok(codec::time(next))
    }

    /// At the daemon's start, when no worker can have them: puts what was under way back into the queue, of which
    /// nothing goes on by itself before `due_at`. Returns how many were under way.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn requeue_interrupted_downloads(&self, due_at: Timestamp) -> Result<u64, CatalogueError> {
        let attempt = "queue interrupted downloads again";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let interrupted = sqlx::query(INTERRUPT_DOWNLOADS).execute(&mut *tx).await.map_err(&failed)?.rows_affected();
        sqlx::query(POSTPONE_QUEUED).bind(due_at.unix_ms()).execute(&mut *tx).await.map_err(&failed)?;
        tx.commit().await.map_err(&failed)?;
        Ok(interrupted)
    }

    /// Downloads of a follow that have not ended.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn open_downloads_of(&self, follow: FollowId) -> Result<Vec<DownloadId>, CatalogueError> {
        let ids: Vec<i64> = sqlx::query_scalar(OPEN_OF_FOLLOW)
            .bind(follow.0)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read a follow's downloads"))?;
        Ok(ids.into_iter().map(DownloadId).collect())
    }

    /// Files whose download is paused, and those whose download failed and waits for its time.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn downloads_held_back(&self) -> Result<Vec<(FileId, DownloadState)>, CatalogueError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(HELD_BACK)
            .bind(self.now().unix_ms())
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read which downloads wait"))?;
        rows.into_iter().map(|(file, text)| Ok((FileId(file), state(&text)?))).collect()
    }

    /// Whether all downloads are paused.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn downloads_are_paused(&self) -> Result<bool, CatalogueError> {
        sqlx::query_scalar(IS_PAUSED)
            .fetch_one(&self.readers)
            .await
            .map_err(could_not("read whether downloads are paused"))
    }

    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn set_downloads_paused(&self, paused: bool) -> Result<(), CatalogueError> {
        self.write_one("pause or resume all downloads", sqlx::query(SET_PAUSED).bind(paused)).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
