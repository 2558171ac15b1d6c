//! The trash: files that somebody removed. Their rows say so at once; their bytes stay where they are until the trash is
//! emptied, so that taking a removal back moves nothing.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{FileId, RemovalId};
use crate::open::Catalogue;
use crate::page;
use crate::statements::statements;
use paintbox_domain::{Hub, ModelRef, Timestamp};
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What became of a removed file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemovedBytes {
    /// They go when the trash is emptied.
    Trashed,
    /// They stay, because another file has the same.
    Shared,
    /// They stay, because they lie in another tool's folder.
    InPlace,
    /// There were none.
    Absent,
}

impl RemovedBytes {
    const ALL: [Self; 4] = [Self::Trashed, Self::Shared, Self::InPlace, Self::Absent];

    /// The stable name, as stored and sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trashed => "trashed",
            Self::Shared => "shared",
            Self::InPlace => "in_place",
            Self::Absent => "absent",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bytes| bytes.as_str() == name)
    }
}

/// Where a removal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemovalState {
    /// It can be undone.
    Trashed,
    /// Its bytes are being removed.
    Emptying,
    Restored,
    Emptied,
}

impl RemovalState {
    const ALL: [Self; 4] = [Self::Trashed, Self::Emptying, Self::Restored, Self::Emptied];

    /// The stable name, as stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trashed => "trashed",
            Self::Emptying => "emptying",
            Self::Restored => "restored",
            Self::Emptied => "emptied",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A removed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedFile {
    pub file: FileId,
    pub version: ModelRef,
    pub name: String,
    pub size_bytes: u64,
    pub bytes: RemovedBytes,
}

/// A place at which trashed bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedPlace {
    pub path: PathBuf,
    pub size_bytes: u64,
}

/// Files that were removed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalRecord {
    pub id: RemovalId,
    /// What was asked for.
    pub reference: String,
    pub state: RemovalState,
    pub created_at: Timestamp,
    /// The trash is emptied of it then.
    pub expires_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub files: Vec<RemovedFile>,
    /// Bytes that several of the files have are there once.
    pub places: Vec<RemovedPlace>,
}

impl RemovalRecord {
    /// Where its bytes lie.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.places.iter().map(|place| place.path.clone()).collect()
    }

    /// What emptying the trash of it frees.
    #[must_use]
    pub fn trashed_bytes(&self) -> u64 {
        self.places.iter().map(|place| place.size_bytes).sum()
    }
}

/// A page of removals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalPage {
    pub removals: Vec<RemovalRecord>,
    /// None on the last page.
    pub next_page_token: Option<String>,
}

macro_rules! removal_columns {
    () => {
        "SELECT removal_id, reference, state, created_ms, expires_ms, ended_ms FROM removal "
    };
}

/// Whether content lies in a store of our own: on a volume, or below ?2.
macro_rules! is_ours {
    () => {
        "o.gone_ms IS NULL AND (o.volume_id IS NOT NULL OR substr(o.path, 1, length(?2)) = ?2)"
    };
}

statements! {
    INSERT_REMOVAL = "
        INSERT INTO removal (reference, state, created_ms, expires_ms) VALUES (?1, 'trashed', ?2, ?3)
        RETURNING removal_id";
    /// What would become of each file of ?1; ?2 is the folder of our own store, with a slash.
    JUDGE_FILES = concat!("
        SELECT f.file_id, f.artifact_id,
            EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = f.artifact_id AND ", is_ours!(), ") AS ours,
            f.artifact_id IS NOT NULL AND EXISTS (
                SELECT 1 FROM file s WHERE s.artifact_id = f.artifact_id AND s.file_id NOT IN (SELECT value FROM json_each(?1))
            ) AS shared,
            EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = f.artifact_id AND o.gone_ms IS NULL) AS here
        FROM file f WHERE f.file_id IN (SELECT value FROM json_each(?1)) AND f.removed_ms IS NULL ORDER BY f.file_id");
    INSERT_REMOVED_FILE = "
        INSERT INTO removed_file (removal_id, file_id, bytes, artifact_id, verified, fetched_ms, fetched_licence)
        SELECT ?1, file_id, ?3, artifact_id, verified, fetched_ms, fetched_licence FROM file WHERE file_id = ?2";
    MARK_REMOVED = "
        UPDATE file SET removed_ms = ?2, artifact_id = NULL, verified = 0, fetched_ms = NULL, fetched_licence = NULL,
            failure_json = NULL
        WHERE file_id = ?1";
    /// Every path of our own stores at which the content ?1 lies.
    INSERT_REMOVED_PLACES = concat!("
        INSERT OR IGNORE INTO removed_place (removal_id, path, artifact_id, volume_id)
        SELECT ?3, o.path, o.artifact_id, o.volume_id FROM observation o WHERE o.artifact_id = ?1 AND ", is_ours!());
    END_OWN_OBSERVATIONS = concat!("
        UPDATE observation AS o SET gone_ms = ?3 WHERE o.artifact_id = ?1 AND ", is_ours!());
    REMOVAL = concat!(removal_columns!(), "WHERE removal_id = ?1");
    OPEN_REMOVALS = concat!(removal_columns!(), "WHERE removal_id < ?1 AND ended_ms IS NULL ORDER BY removal_id DESC LIMIT ?2");
    ALL_REMOVALS = concat!(removal_columns!(), "WHERE removal_id < ?1 ORDER BY removal_id DESC LIMIT ?2");
    EXPIRED_REMOVALS = concat!(
        removal_columns!(), "WHERE ended_ms IS NULL AND (expires_ms <= ?1 OR state = 'emptying') ORDER BY removal_id"
    );
    REMOVED_FILES = "
        SELECT r.removal_id, r.file_id, r.bytes, f.name, coalesce(a.size_bytes, f.size_bytes, 0) AS size_bytes,
            m.hub, m.external_id AS model_external_id, v.external_id AS version_external_id
        FROM removed_file r JOIN file f USING (file_id) JOIN version v USING (version_id) JOIN model m USING (model_id)
        LEFT JOIN artifact a ON a.artifact_id = r.artifact_id
        WHERE r.removal_id IN (SELECT value FROM json_each(?1)) ORDER BY r.removal_id, r.file_id";
    REMOVED_PLACES = "
        SELECT p.removal_id, p.path, a.size_bytes FROM removed_place p JOIN artifact a USING (artifact_id)
        WHERE p.removal_id IN (SELECT value FROM json_each(?1)) ORDER BY p.removal_id, p.path";
    SET_REMOVAL_STATE = "UPDATE removal SET state = ?3, ended_ms = ?4 WHERE removal_id = ?1 AND state = ?2";
    RESTORE_FILES = "
        UPDATE file SET removed_ms = NULL, artifact_id = coalesce(file.artifact_id, r.artifact_id),
            verified = max(file.verified, r.verified), fetched_ms = coalesce(file.fetched_ms, r.fetched_ms),
            fetched_licence = coalesce(file.fetched_licence, r.fetched_licence)
        FROM removed_file r WHERE r.removal_id = ?1 AND r.file_id = file.file_id";
    /// Files that were listed meanwhile and left out because the same content was removed from their model.
    RESTORE_LIKE = "
        UPDATE file SET removed_ms = NULL
        WHERE removed_ms IS NOT NULL AND sha256 IS NOT NULL AND file_id IN (
            SELECT g.file_id FROM removed_file r JOIN file f ON f.file_id = r.file_id
            JOIN version v ON v.version_id = f.version_id JOIN version w ON w.model_id = v.model_id
            JOIN file g ON g.version_id = w.version_id AND g.sha256 = f.sha256
            WHERE r.removal_id = ?1)
        AND NOT EXISTS (SELECT 1 FROM removed_file o JOIN removal USING (removal_id)
                        WHERE o.file_id = file.file_id AND o.removal_id <> ?1 AND removal.state <> 'restored')";
    /// The content of its files, also where that was trashed by a later removal, when the last of its names went.
    RESTORE_OBSERVATIONS = "
        INSERT INTO observation (artifact_id, path, first_seen_ms, last_seen_ms, volume_id)
        SELECT p.artifact_id, p.path, ?2, ?2, p.volume_id FROM removed_place p JOIN removal USING (removal_id)
        WHERE removal.state = 'trashed' AND p.artifact_id IN (SELECT artifact_id FROM removed_file WHERE removal_id = ?1)
        GROUP BY p.path
        ON CONFLICT (path) WHERE gone_ms IS NULL DO UPDATE SET last_seen_ms = excluded.last_seen_ms";
    /// Content is needed after all: it is known to lie there again, another removal can still be undone, or a picture has
    /// the same bytes.
    IS_NEEDED = "
        SELECT EXISTS (SELECT 1 FROM observation WHERE path = ?2 AND gone_ms IS NULL)
            OR EXISTS (SELECT 1 FROM removed_place p JOIN removal USING (removal_id)
                       WHERE p.path = ?2 AND p.removal_id <> ?1 AND removal.state = 'trashed')
            OR EXISTS (SELECT 1 FROM removed_place p JOIN artifact USING (artifact_id) JOIN asset USING (sha256)
                       WHERE p.removal_id = ?1 AND p.path = ?2 AND p.volume_id IS NULL)";
    WANT_AGAIN = "
        UPDATE file SET removed_ms = NULL WHERE removed_ms IS NOT NULL AND (file_id = ?3 OR (?3 IS NULL AND version_id IN (
            SELECT version_id FROM version WHERE model_id = ?1 AND (?2 IS NULL OR version_id = ?2))))";
}

#[derive(FromRow)]
struct Judged {
    file_id: i64,
    artifact_id: Option<i64>,
    ours: bool,
    shared: bool,
    here: bool,
}

impl Judged {
    fn bytes(&self) -> RemovedBytes {
        match (self.ours, self.shared, self.here) {
            (_, _, false) => RemovedBytes::Absent,
            (_, true, true) => RemovedBytes::Shared,
            (true, false, true) => RemovedBytes::Trashed,
            (false, false, true) => RemovedBytes::InPlace,
        }
    }
}

#[derive(FromRow)]
struct RemovalRow {
    removal_id: i64,
    reference: String,
    state: String,
    created_ms: i64,
    expires_ms: i64,
    ended_ms: Option<i64>,
}

#[derive(FromRow)]
struct RemovedFileRow {
    removal_id: i64,
    file_id: i64,
    bytes: String,
    name: String,
    size_bytes: i64,
    hub: String,
    model_external_id: String,
    version_external_id: String,
}

impl RemovedFileRow {
    fn file(self) -> Result<RemovedFile, CatalogueError> {
        let hub = codec::named("a model's hub", &self.hub, Hub::from_name)?;
        Ok(RemovedFile {
            file: FileId(self.file_id),
            version: codec::version_reference(Some(hub), &self.model_external_id, &self.version_external_id),
            name: self.name,
            size_bytes: codec::counted(self.size_bytes),
            bytes: codec::named("a removed file's bytes", &self.bytes, RemovedBytes::from_name)?,
        })
    }
}

async fn records(
    connection: &mut SqliteConnection,
    rows: Vec<RemovalRow>,
) -> Result<Vec<RemovalRecord>, CatalogueError> {
    let ids = codec::id_list(rows.iter().map(|row| row.removal_id));
    let failed = could_not("read removed files");
    let files: Vec<RemovedFileRow> =
        sqlx::query_as(REMOVED_FILES).bind(&ids).fetch_all(&mut *connection).await.map_err(&failed)?;
    let places: Vec<(i64, Vec<u8>, i64)> =
        sqlx::query_as(REMOVED_PLACES).bind(&ids).fetch_all(connection).await.map_err(&failed)?;
    let mut places_of: HashMap<i64, Vec<RemovedPlace>> = HashMap::new();
    for (removal, path, size_bytes) in places {
        let place = RemovedPlace { path: codec::path(&path), size_bytes: codec::counted(size_bytes) };
        places_of.entry(removal).or_default().push(place);
    }
    let mut by_removal: HashMap<i64, Vec<RemovedFile>> = HashMap::new();
    for row in files {
        by_removal.entry(row.removal_id).or_default().push(row.file()?);
    }
    rows.into_iter()
        .map(|row| {
            Ok(RemovalRecord {
                id: RemovalId(row.removal_id),
                reference: row.reference,
                state: codec::named("a removal's state", &row.state, RemovalState::from_name)?,
                created_at: Timestamp::from_unix_ms(row.created_ms),
                expires_at: Timestamp::from_unix_ms(row.expires_ms),
                ended_at: codec::time(row.ended_ms),
                files: by_removal.remove(&row.removal_id).unwrap_or_default(),
                places: places_of.remove(&row.removal_id).unwrap_or_default(),
            })
        })
        .collect()
}

/// What somebody pulls they want again, whatever they removed before.
pub(crate) async fn want_again(
    connection: &mut SqliteConnection,
    model: i64,
    version: Option<i64>,
    file: Option<i64>,
) -> Result<(), CatalogueError> {
    let want = sqlx::query(WANT_AGAIN).bind(model).bind(version).bind(file);
    want.execute(connection).await.map_err(could_not("want removed files again")).map(drop)
}

impl Catalogue {
    /// Puts files into the trash until `expires_at`. `store` is the folder of the home's own store: what lies neither
    /// there nor on a volume is somebody else's. None when none of them is left to be removed. With `only_tell` nothing
    /// is changed.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn remove_files(
        &self,
        reference: &str,
        files: &[FileId],
        store: &Path,
        expires_at: Timestamp,
        only_tell: bool,
    ) -> Result<Option<RemovalRecord>, CatalogueError> {
        let attempt = "remove files";
        let failed = could_not(attempt);
        let store = codec::path_prefix(store);
        let mut tx = self.write(attempt).await?;
        let judged: Vec<Judged> = sqlx::query_as(JUDGE_FILES)
            .bind(codec::id_list(files.iter().map(|file| file.0)))
            .bind(&store)
            .fetch_all(&mut *tx)
            .await
            .map_err(&failed)?;
        if judged.is_empty() {
            return Ok(None);
        }
        let now = self.now().unix_ms();
        let insert = sqlx::query_scalar(INSERT_REMOVAL).bind(reference).bind(now).bind(expires_at.unix_ms());
        let id: i64 = insert.fetch_one(&mut *tx).await.map_err(&failed)?;
        for file in &judged {
            let bytes = file.bytes();
            sqlx::query(INSERT_REMOVED_FILE)
                .bind(id)
                .bind(file.file_id)
                .bind(bytes.as_str())
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            let mark = sqlx::query(MARK_REMOVED).bind(file.file_id).bind(now);
            mark.execute(&mut *tx).await.map_err(&failed)?;
            if bytes == RemovedBytes::Trashed {
                let insert = sqlx::query(INSERT_REMOVED_PLACES).bind(file.artifact_id).bind(&store).bind(id);
                insert.execute(&mut *tx).await.map_err(&failed)?;
                let end = sqlx::query(END_OWN_OBSERVATIONS).bind(file.artifact_id).bind(&store).bind(now);
                end.execute(&mut *tx).await.map_err(&failed)?;
            }
        }
        let removal = removal(&mut tx, RemovalId(id)).await?;
        if !only_tell {
            self.commit(tx, attempt).await?;
        }
        Ok(Some(removal))
    }

    /// # Errors
    /// `REMOVAL_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn removal(&self, id: RemovalId) -> Result<RemovalRecord, CatalogueError> {
        let mut reader = self.reader("read a removal").await?;
        let mut tx = reader.snapshot("read a removal").await?;
        removal(&mut tx, id).await
    }

    /// Removals, the newest first: those that can be undone, or with `ended` all of them.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID`; when the catalogue cannot be read.
    pub async fn removals(
        &self,
        ended: bool,
        page_size: u32,
        page_token: Option<&str>,
    ) -> Result<RemovalPage, CatalogueError> {
        let attempt = "list removals";
        let (listing, statement) =
            if ended { ("all removals", ALL_REMOVALS) } else { ("open removals", OPEN_REMOVALS) };
        let size = page::size(page_size);
        let [before] = page::keys(listing, page_token)?.unwrap_or([i64::MAX]);
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let mut rows: Vec<RemovalRow> = sqlx::query_as(statement)
            .bind(before)
            .bind(codec::position(size + 1))
            .fetch_all(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        let more = rows.len() > size;
        rows.truncate(size);
        let next_page_token = rows.last().filter(|_| more).map(|last| page::token(listing, [last.removal_id]));
        Ok(RemovalPage { removals: records(&mut tx, rows).await?, next_page_token })
    }

    /// Removals whose time to be undone has passed, and those of which the trash was being emptied.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn expired_removals(&self) -> Result<Vec<RemovalRecord>, CatalogueError> {
        let attempt = "read which removals have expired";
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let rows: Vec<RemovalRow> = sqlx::query_as(EXPIRED_REMOVALS)
            .bind(self.now().unix_ms())
            .fetch_all(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        records(&mut tx, rows).await
    }

    /// Takes files out of the trash. One that was taken out before stays so.
    ///
    /// # Errors
    /// `REMOVAL_NOT_FOUND`; `TRASH_EMPTIED`; when the catalogue cannot be written.
    pub async fn undo_removal(&self, id: RemovalId) -> Result<RemovalRecord, CatalogueError> {
        let attempt = "undo a removal";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let found = removal(&mut tx, id).await?;
        match found.state {
            RemovalState::Trashed => {}
            RemovalState::Restored => return Ok(found),
            RemovalState::Emptying | RemovalState::Emptied => {
                return Err(CatalogueError::TrashEmptied { removal: id.to_string() });
            }
        }
        let now = self.now().unix_ms();
        sqlx::query(RESTORE_FILES).bind(id.0).execute(&mut *tx).await.map_err(&failed)?;
        sqlx::query(RESTORE_LIKE).bind(id.0).execute(&mut *tx).await.map_err(&failed)?;
        sqlx::query(RESTORE_OBSERVATIONS).bind(id.0).bind(now).execute(&mut *tx).await.map_err(&failed)?;
        sqlx::query(SET_REMOVAL_STATE)
            .bind(id.0)
            .bind(RemovalState::Trashed.as_str())
            .bind(RemovalState::Restored.as_str())
            .bind(now)
            .execute(&mut *tx)
            .await
            .map_err(&failed)?;
        let restored = removal(&mut tx, id).await?;
        self.commit(tx, attempt).await?;
        Ok(restored)
    }

    /// Says that the trash is being emptied of a removal, from where there is no way back, and which paths nobody needs
    /// any more. None when it was undone meanwhile.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn begin_to_empty(&self, removal: &RemovalRecord) -> Result<Option<Vec<PathBuf>>, CatalogueError> {
        let attempt = "empty the trash";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let set = sqlx::query(SET_REMOVAL_STATE)
            .bind(removal.id.0)
            .bind(removal.state.as_str())
            .bind(RemovalState::Emptying.as_str())
            .bind(None::<i64>);
        if set.execute(&mut *tx).await.map_err(&failed)?.rows_affected() == 0 {
            return Ok(None);
        }
        let mut paths: Vec<PathBuf> = Vec::new();
        for RemovedPlace { path, .. } in &removal.places {
            let needed = sqlx::query_scalar(IS_NEEDED).bind(removal.id.0).bind(codec::path_bytes(path));
            let needed: bool = needed.fetch_one(&mut *tx).await.map_err(&failed)?;
            if !needed {
                paths.push(path.clone());
            }
        }
        self.commit(tx, attempt).await?;
        Ok(Some(paths))
    }

    /// Says that the bytes of a removal are gone.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn end_emptying(&self, removal: RemovalId) -> Result<(), CatalogueError> {
        let set = sqlx::query(SET_REMOVAL_STATE)
            .bind(removal.0)
            .bind(RemovalState::Emptying.as_str())
            .bind(RemovalState::Emptied.as_str())
            .bind(self.now().unix_ms());
        self.write_one("empty the trash", set).await.map(drop)
    }
}

async fn removal(connection: &mut SqliteConnection, id: RemovalId) -> Result<RemovalRecord, CatalogueError> {
    let row: Option<RemovalRow> = sqlx::query_as(REMOVAL)
        .bind(id.0)
        .fetch_optional(&mut *connection)
        .await
        .map_err(could_not("read a removal"))?;
    let row = row.ok_or_else(|| CatalogueError::RemovalNotFound { removal: id.to_string() })?;
    let found = records(connection, vec![row]).await?.pop();
    found.ok_or_else(|| CatalogueError::RemovalNotFound { removal: id.to_string() })
}

#[cfg(test)]
mod tests;
