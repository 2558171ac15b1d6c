//! From files of libraries to content: which are to be read, what was read, and which the hubs are to be asked about.

use super::changes::{LookColumns, settle};
use super::claims::{self, Claimed};
use super::tensors::same_tensors;
use crate::artifacts::{self, NewArtifact};
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::evidence::tags::TagIds;
use crate::files::link_same_content;
use crate::ids::LibraryFileId;
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::{Architecture, Blake3, Failure, FileFormat, FileLook, ModelKind, Sha256, Timestamp};
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashMap;
use std::path::PathBuf;

/// A file of which not all was read yet, at one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadFile {
    pub file: LibraryFileId,
    pub path: PathBuf,
    pub look: FileLook,
}

/// The digests of a file that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    pub file: LibraryFileId,
    /// What it looked like while it was read.
    pub look: FileLook,
    pub sha256: Sha256,
    pub blake3: Blake3,
    pub auto_v3: Option<String>,
}

/// Content that no hub is known to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlistedFile {
    pub file: LibraryFileId,
    pub sha256: Sha256,
    pub format: FileFormat,
    /// Lower case.
    pub auto_v3: Option<String>,
    /// What lies beside or around it says that it is this.
    pub claimed: Option<Claimed>,
    /// When the hubs were last asked about it.
    pub asked_at: Option<Timestamp>,
}

/// A library's file that has a page of its own and of which not all was read yet.
#[derive(Debug, Clone, PartialEq)]
pub struct LibraryFileRecord {
    pub id: LibraryFileId,
    pub kind: ModelKind,
    pub architecture: Architecture,
    pub size_bytes: u64,
    pub failure: Option<Failure>,
    /// Where it is; empty while its library is away.
    pub paths: Vec<PathBuf>,
    /// Folders of the libraries that have it and are away.
    pub away_on: Vec<String>,
}

statements! {
    /// Small files first: most of what people have is known soonest so.
    UNREAD = "
        SELECT f.library_file_id, l.path AS library, p.path, f.device, f.inode, f.size_bytes, f.modified_ns
        FROM library_file f CROSS JOIN library_path p USING (library_file_id) CROSS JOIN library l USING (library_id)
        WHERE f.artifact_id IS NULL AND f.gone_ms IS NULL AND f.unreadable_ms IS NULL AND l.away_ms IS NULL
        GROUP BY f.size_bytes, f.library_file_id ORDER BY f.size_bytes, f.library_file_id LIMIT ?1";
    FILE_TO_READ = "
        SELECT device, inode, size_bytes, modified_ns, format, kind, architecture, precision, parameters, detail_json
        FROM library_file WHERE library_file_id = ?1 AND artifact_id IS NULL";
    SET_ARTIFACT = "UPDATE library_file SET artifact_id = ?2 WHERE library_file_id = ?1";
    OBSERVE_FILE = "
        INSERT INTO observation (artifact_id, path, first_seen_ms, last_seen_ms, library_id)
        SELECT ?2, CAST(l.path || CAST('/' AS BLOB) || p.path AS BLOB), ?3, ?3, l.library_id
        FROM library_path p JOIN library l USING (library_id) WHERE p.library_file_id = ?1
        ON CONFLICT (path) WHERE gone_ms IS NULL DO UPDATE SET
            last_seen_ms = excluded.last_seen_ms, library_id = excluded.library_id, artifact_id = excluded.artifact_id";
    SET_READ_FAILURE = "
        UPDATE library_file SET failure_json = ?2, unreadable_ms = ?3
        WHERE library_file_id = ?1 AND artifact_id IS NULL";
    SET_ASIDE = "
        UPDATE library_file SET unreadable_ms = ?2 WHERE library_file_id = ?1 AND artifact_id IS NULL";
    UNLISTED = concat!("
        SELECT f.library_file_id, a.sha256, a.format, a.auto_v3, f.page_json ->> '$.claimed' AS claimed, f.asked_ms
        FROM library_file f JOIN artifact a USING (artifact_id)
        WHERE f.artifact_id IS NOT NULL AND f.gone_ms IS NULL AND coalesce(f.asked_ms, 0) <= ?1
            AND NOT EXISTS (SELECT 1 FROM file h WHERE h.artifact_id = f.artifact_id AND h.library_file_id IS NULL)
            AND NOT EXISTS (SELECT 1 FROM file h WHERE ", same_tensors!(), ")
            AND (coalesce(f.asked_ms, 0), f.library_file_id) > (?3, ?4)
        ORDER BY coalesce(f.asked_ms, 0), f.library_file_id LIMIT ?2");
    SET_ASKED = "
        UPDATE library_file SET asked_ms = ?2 WHERE library_file_id IN (SELECT value FROM json_each(?1))";
    /// Those with the same content, and those with the same tensors.
    FILES_OF_MODELS = concat!("
        SELECT l.library_file_id FROM version v JOIN file f USING (version_id)
            JOIN library_file l ON l.artifact_id = f.artifact_id
        WHERE v.model_id IN (SELECT value FROM json_each(?1))
        UNION
        SELECT l.library_file_id FROM version v CROSS JOIN file h ON h.version_id = v.version_id
            CROSS JOIN artifact a CROSS JOIN library_file l ON l.artifact_id = a.artifact_id
        WHERE v.model_id IN (SELECT value FROM json_each(?1)) AND ", same_tensors!());
    HAS_LIBRARIES = "SELECT EXISTS (SELECT 1 FROM library_file)";
    FILES_WITH_PAGES = "
        SELECT library_file_id, kind, architecture, size_bytes, failure_json FROM library_file
        WHERE library_file_id IN (SELECT value FROM json_each(?1))";
    PATHS_OF_FILES = "
        SELECT p.library_file_id, l.path AS library, p.path, l.away_ms IS NOT NULL AS away
        FROM library_path p JOIN library l USING (library_id)
        WHERE p.library_file_id IN (SELECT value FROM json_each(?1)) ORDER BY p.first_seen_ms, p.path";
}

#[derive(FromRow)]
struct UnreadRow {
    library_file_id: i64,
    library: Vec<u8>,
    path: Vec<u8>,
    #[sqlx(flatten)]
    columns: LookColumns,
}

#[derive(FromRow)]
struct DescribedRow {
    #[sqlx(flatten)]
    columns: LookColumns,
    format: String,
    kind: String,
    architecture: String,
    precision: Option<String>,
    parameters: Option<i64>,
    detail_json: Option<String>,
}

#[derive(FromRow)]
struct UnlistedRow {
    library_file_id: i64,
    sha256: Vec<u8>,
    format: String,
    auto_v3: Option<String>,
    claimed: Option<String>,
    asked_ms: Option<i64>,
}

#[derive(FromRow)]
struct PagedRow {
    library_file_id: i64,
    kind: String,
    architecture: String,
    size_bytes: i64,
    failure_json: Option<String>,
}

#[derive(FromRow)]
struct PathRow {
    library_file_id: i64,
    library: Vec<u8>,
    path: Vec<u8>,
    away: bool,
}

impl Catalogue {
    /// Files that are to be read to their end, the smallest first, each at one of its names.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn unread_library_files(&self, limit: u32) -> Result<Vec<UnreadFile>, CatalogueError> {
        let rows: Vec<UnreadRow> = sqlx::query_as(UNREAD)
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read which files are to be read"))?;
        let unread = rows.into_iter().map(|row| UnreadFile {
            file: LibraryFileId(row.library_file_id),
            path: codec::path(&row.library).join(codec::path(&row.path)),
            look: row.columns.look(),
        });
        Ok(unread.collect())
    }

    /// Records the digests of files' contents, and that each lies at its names, in one transaction. Files that are other
    /// ones by now, or whose content is known, are left as they are; they are what is returned.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_read_files(&self, read: &[ReadFile]) -> Result<Vec<LibraryFileId>, CatalogueError> {
        let attempt = "record what the files of a library hold";
        let now = self.now();
        let mut tx = self.write(attempt).await?;
        let (mut recorded, mut left) = (Vec::new(), Vec::new());
        for read in read {
            let is_recorded = record_read(&mut tx, read, now).await?;
            if is_recorded { recorded.push(read.file.0) } else { left.push(read.file) }
        }
        settle(&mut tx, &self.tags, &recorded, now).await?;
        self.commit(tx, attempt).await?;
        Ok(left)
    }

    /// Records why a file cannot be read. It is not tried again until it looks otherwise.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_unreadable_file(&self, file: LibraryFileId, failure: &Failure) -> Result<(), CatalogueError> {
        let set =
            sqlx::query(SET_READ_FAILURE).bind(file.0).bind(codec::failure_json(failure)).bind(self.now().unix_ms());
        self.write_one("record that a file cannot be read", set).await.map(drop)
    }

    /// Has a file left alone until its library was looked at again, because it is another one than on record.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn set_aside_library_file(&self, file: LibraryFileId) -> Result<(), CatalogueError> {
        let set = sqlx::query(SET_ASIDE).bind(file.0).bind(self.now().unix_ms());
        self.write_one("set a file aside", set).await.map(drop)
    }

    /// Content of libraries that no hub is known to list and that was not asked about since then, what was not asked
    /// about for the longest first; from behind `after` on, as it was when it was listed.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn unlisted_library_files(
        &self,
        asked_before: Timestamp,
        after: Option<&UnlistedFile>,
        limit: u32,
    ) -> Result<Vec<UnlistedFile>, CatalogueError> {
        let rows: Vec<UnlistedRow> = sqlx::query_as(UNLISTED)
            .bind(asked_before.unix_ms())
            .bind(limit)
            .bind(after.map_or(-1, |file| file.asked_at.map_or(0, Timestamp::unix_ms)))
            .bind(after.map_or(0, |file| file.file.0))
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read which files no hub lists"))?;
        let unlisted = rows.into_iter().map(|row| {
            Ok(UnlistedFile {
                file: LibraryFileId(row.library_file_id),
                sha256: codec::digest("an artifact's SHA-256", &row.sha256)?,
                format: FileFormat::from_name(&row.format).unwrap_or(FileFormat::Other),
                auto_v3: row.auto_v3,
                claimed: row.claimed.as_deref().map(claims::from_json).transpose()?,
                asked_at: codec::time(row.asked_ms),
            })
        });
        unlisted.collect()
    }

    /// Records that the hubs were asked about these files.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_asked(&self, files: &[LibraryFileId]) -> Result<(), CatalogueError> {
        let list = codec::id_list(files.iter().map(|file| file.0));
        let set = sqlx::query(SET_ASKED).bind(list).bind(self.now().unix_ms());
        self.write_one("record what the hubs were asked about", set).await.map(drop)
    }
}

/// False when the file is another one by now, or its content is known.
async fn record_read(
    connection: &mut SqliteConnection,
    read: &ReadFile,
    now: Timestamp,
) -> Result<bool, CatalogueError> {
    let failed = could_not("record what a library's file holds");
    let row: Option<DescribedRow> =
        sqlx::query_as(FILE_TO_READ).bind(read.file.0).fetch_optional(&mut *connection).await.map_err(&failed)?;
    let Some(row) = row else { return Ok(false) };
    if !row.columns.look().is_same_file(&read.look) {
        return Ok(false);
    }
    let content = NewArtifact {
        sha256: read.sha256,
        blake3: read.blake3,
        auto_v3: read.auto_v3.clone(),
        size_bytes: read.look.size_bytes,
        format: FileFormat::from_name(&row.format).unwrap_or(FileFormat::Other),
        kind: ModelKind::from_name(&row.kind).unwrap_or(ModelKind::Unknown),
        architecture: Architecture::from_name(&row.architecture).unwrap_or(Architecture::Unknown),
        precision: row.precision,
        parameters: row.parameters.map(codec::counted),
        detail_json: row.detail_json,
        path: PathBuf::new(),
    };
    let artifact = artifacts::upsert(connection, &content, now).await?;
    sqlx::query(SET_ARTIFACT).bind(read.file.0).bind(artifact.0).execute(&mut *connection).await.map_err(&failed)?;
    let observe = sqlx::query(OBSERVE_FILE).bind(read.file.0).bind(artifact.0).bind(now.unix_ms());
    observe.execute(&mut *connection).await.map_err(&failed)?;
    link_same_content(connection, &read.sha256, artifact, now).await?;
    Ok(true)
}

/// Removes the pages of files that a hub lists by now, after the pages of `models` were written.
pub(crate) async fn give_way(
    connection: &mut SqliteConnection,
    tags: &TagIds,
    models: &[i64],
    now: Timestamp,
) -> Result<(), CatalogueError> {
    let failed = could_not("look which files of libraries are listed");
    // Most have no library, so that is asked first.
    let has_libraries: bool = sqlx::query_scalar(HAS_LIBRARIES).fetch_one(&mut *connection).await.map_err(&failed)?;
    if !has_libraries {
        return Ok(());
    }
    let models = codec::id_list(models.iter().copied());
    let files: Vec<i64> =
        sqlx::query_scalar(FILES_OF_MODELS).bind(&models).fetch_all(&mut *connection).await.map_err(&failed)?;
    if !files.is_empty() {
        claims::drop_refuted(connection, &models).await?;
    }
    settle(connection, tags, &files, now).await
}

/// Library files by row id, with where they are.
pub(crate) async fn by_id(
    connection: &mut SqliteConnection,
    ids: impl IntoIterator<Item = i64>,
) -> Result<HashMap<i64, LibraryFileRecord>, CatalogueError> {
    let failed = could_not("read the files of libraries");
    let Some(ids) = codec::some_ids(ids) else { return Ok(HashMap::new()) };
    let rows: Vec<PagedRow> =
        sqlx::query_as(FILES_WITH_PAGES).bind(&ids).fetch_all(&mut *connection).await.map_err(&failed)?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        found.insert(
            row.library_file_id,
            LibraryFileRecord {
                id: LibraryFileId(row.library_file_id),
                kind: ModelKind::from_name(&row.kind).unwrap_or(ModelKind::Unknown),
                architecture: Architecture::from_name(&row.architecture).unwrap_or(Architecture::Unknown),
                size_bytes: codec::counted(row.size_bytes),
                failure: codec::failure(row.failure_json.as_deref())?,
                paths: Vec::new(),
                away_on: Vec::new(),
            },
        );
    }
    let paths: Vec<PathRow> = sqlx::query_as(PATHS_OF_FILES).bind(&ids).fetch_all(connection).await.map_err(&failed)?;
    for path in paths {
        let library = codec::path(&path.library);
        let Some(record) = found.get_mut(&path.library_file_id) else { continue };
        if path.away {
            record.away_on.push(library.display().to_string());
        } else {
            record.paths.push(library.join(codec::path(&path.path)));
        }
    }
    Ok(found)
}
