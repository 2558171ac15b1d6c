//! Hub files joined with what is here of them, and the results of fetching them.

use crate::artifacts::{self, ArtifactRecord, NewArtifact};
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{ArtifactId, FileId, VersionId};
use crate::libraries::content::{self, LibraryFileRecord};
use crate::open::Catalogue;
use crate::records::{FileRecord, FileState};
use crate::statements::statements;
use paintbox_domain::hub::FileSize;
use paintbox_domain::{Failure, FileFormat, Sha256, Timestamp, reason};
use serde::Deserialize;
use sqlx::SqliteConnection;
use std::collections::HashMap;

/// File rows `f` as one JSON array of [`FileRow`]: of a version, those that the hub lists come first, in its order.
macro_rules! files_json {
    () => {
        "json_group_array(json_object(\
            'file_id', f.file_id, 'version_id', f.version_id, 'external_id', f.external_id, 'name', f.name, \
            'size_bytes', f.size_bytes, 'size_exact', f.size_exact, 'sha256', hex(f.sha256), 'blake3', hex(f.blake3), \
            'git_sha1', hex(f.git_sha1), 'auto_v3', f.auto_v3, 'kind_label', f.kind_label, 'format', f.format, \
            'precision', f.precision, 'is_primary', f.is_primary, 'locator', f.locator, 'artifact_id', f.artifact_id, \
            'verified', f.verified, 'fetched_ms', f.fetched_ms, 'fetched_licence', f.fetched_licence, \
            'failure_json', f.failure_json, 'gone_ms', f.gone_ms, 'replaced_ms', f.replaced_ms, \
            'removed_ms', f.removed_ms, 'library_file_id', f.library_file_id) \
            ORDER BY f.gone_ms IS NOT NULL OR f.replaced_ms IS NOT NULL, f.position, f.file_id)"
    };
}
pub(crate) use files_json;

statements! {
    FILES_OF_VERSION = concat!("SELECT ", files_json!(), " FROM file f WHERE f.version_id = ?1");
    FILE_VERSION = "SELECT version_id FROM file WHERE file_id = ?1";
    LINK_FILE = "
        UPDATE file SET artifact_id = ?2, verified = ?3, fetched_ms = ?4, failure_json = NULL, removed_ms = NULL,
            fetched_licence = (SELECT m.licence FROM version v JOIN model m USING (model_id)
                               WHERE v.version_id = file.version_id)
        WHERE file_id = ?1";
    /// The same content under other names on the hubs is here too, and their digest is proof enough.
    LINK_SAME_CONTENT = "
        UPDATE file SET artifact_id = ?2, verified = 1, fetched_ms = ?3, failure_json = NULL,
            fetched_licence = (SELECT m.licence FROM version v JOIN model m USING (model_id)
                               WHERE v.version_id = file.version_id)
        WHERE sha256 = ?1 AND artifact_id IS NOT ?2 AND removed_ms IS NULL";
    SET_FILE_FAILURE = "UPDATE file SET failure_json = ?2 WHERE file_id = ?1";
}

#[derive(Deserialize)]
pub(crate) struct FileRow {
    file_id: i64,
    version_id: i64,
    external_id: String,
    name: String,
    size_bytes: Option<i64>,
    #[serde(deserialize_with = "codec::truth")]
    size_exact: bool,
    #[serde(deserialize_with = "codec::hex")]
    sha256: Option<Vec<u8>>,
    #[serde(deserialize_with = "codec::hex")]
    blake3: Option<Vec<u8>>,
    #[serde(deserialize_with = "codec::hex")]
    git_sha1: Option<Vec<u8>>,
    auto_v3: Option<String>,
    kind_label: Option<String>,
    format: String,
    precision: Option<String>,
    #[serde(deserialize_with = "codec::truth")]
    is_primary: bool,
    locator: String,
    artifact_id: Option<i64>,
    #[serde(deserialize_with = "codec::truth")]
    verified: bool,
    fetched_ms: Option<i64>,
    fetched_licence: Option<String>,
    failure_json: Option<String>,
    gone_ms: Option<i64>,
    replaced_ms: Option<i64>,
    removed_ms: Option<i64>,
    library_file_id: Option<i64>,
}

impl FileRow {
    fn record(
        self,
        artifact: Option<ArtifactRecord>,
        unread: Option<LibraryFileRecord>,
    ) -> Result<FileRecord, CatalogueError> {
        let sha256 = codec::optional_digest("a file's SHA-256", self.sha256.as_deref())?;
        let failure = match &unread {
            Some(unread) => unread.failure.clone(),
            None => codec::failure(self.failure_json.as_deref())?,
        };
        let edited_header = artifact.as_ref().is_some_and(|artifact| {
            let is_listed = sha256.is_none_or(|listed| listed == artifact.sha256);
            let is_here = !artifact.paths.is_empty() || !artifact.away_on.is_empty();
            is_here && !is_listed && self.auto_v3.is_some() && self.auto_v3 == artifact.auto_v3
        });
        Ok(FileRecord {
            id: FileId(self.file_id),
            version_id: VersionId(self.version_id),
            external_id: self.external_id,
            name: self.name,
            size: size(self.size_bytes, self.size_exact),
            sha256,
            blake3: codec::optional_digest("a file's BLAKE3", self.blake3.as_deref())?,
            git_sha1: codec::optional_digest("a file's git SHA-1", self.git_sha1.as_deref())?,
            auto_v3: self.auto_v3,
            kind_label: self.kind_label,
            format: FileFormat::from_name(&self.format).unwrap_or(FileFormat::Other),
            precision: self.precision,
            primary: self.is_primary,
            locator: self.locator,
            state: match &unread {
                Some(unread) if !unread.paths.is_empty() => FileState::Unverified,
                Some(unread) if !unread.away_on.is_empty() => FileState::Away,
                _ if edited_header && artifact.as_ref().is_some_and(|artifact| !artifact.paths.is_empty()) => {
                    FileState::Unverified
                }
                _ => state(sha256.as_ref(), self.verified, artifact.as_ref(), failure.as_ref()),
            },
            edited_header,
            artifact,
            unread,
            failure,
            fetched_at: codec::time(self.fetched_ms),
            licence_at_fetch: self.fetched_licence,
            gone_at: codec::time(self.gone_ms),
            replaced_at: codec::time(self.replaced_ms),
            removed_at: codec::time(self.removed_ms),
        })
    }
}

/// A length as it is stored.
pub(crate) fn size(bytes: Option<i64>, exact: bool) -> Option<FileSize> {
    let bytes = codec::counted(bytes?);
    Some(if exact { FileSize::Exact(bytes) } else { FileSize::About(bytes) })
}

/// The state is derived and never stored, so that it cannot disagree with the digests and paths it follows from.
fn state(
    listed: Option<&Sha256>,
    verified: bool,
    artifact: Option<&ArtifactRecord>,
    failure: Option<&Failure>,
) -> FileState {
    match artifact.filter(|artifact| !artifact.paths.is_empty()) {
        None if artifact.is_some_and(|artifact| !artifact.away_on.is_empty()) => FileState::Away,
        None if failure.is_some_and(|failure| failure.reason == reason::DIGEST_MISMATCH) => FileState::Mismatched,
        None => FileState::Absent,
        Some(artifact) => match listed {
            Some(listed) if *listed == artifact.sha256 => FileState::Verified,
            Some(_) => FileState::Mismatched,
            None if verified => FileState::Verified,
            None => FileState::Unverified,
        },
    }
}

/// The files of each version, with what is here of them.
pub(crate) async fn by_version(
    connection: &mut SqliteConnection,
    rows: Vec<FileRow>,
) -> Result<HashMap<i64, Vec<FileRecord>>, CatalogueError> {
    let artifacts = artifacts::by_id(&mut *connection, rows.iter().filter_map(|row| row.artifact_id)).await?;
    let is_unread = |row: &&FileRow| row.artifact_id.is_none();
    let unread = rows.iter().filter(is_unread).filter_map(|row| row.library_file_id);
    let unread = content::by_id(connection, unread).await?;
    let mut files: HashMap<i64, Vec<FileRecord>> = HashMap::new();
    for row in rows {
        let artifact = row.artifact_id.and_then(|id| artifacts.get(&id)).cloned();
        let unread = row.library_file_id.and_then(|id| unread.get(&id)).cloned();
        files.entry(row.version_id).or_default().push(row.record(artifact, unread)?);
    }
    Ok(files)
}

/// See [`Catalogue::record_file`].
pub(crate) async fn record(
    connection: &mut SqliteConnection,
    file: FileId,
    content: &NewArtifact,
    verified: bool,
    now: Timestamp,
) -> Result<ArtifactId, CatalogueError> {
    let failed = could_not("record a fetched file");
    let artifact = artifacts::record(connection, content, now).await?;
    let linked = sqlx::query(LINK_FILE)
        .bind(file.0)
        .bind(artifact.0)
        .bind(verified)
        .bind(now.unix_ms())
        .execute(&mut *connection)
        .await
        .map_err(&failed)?;
    if linked.rows_affected() == 0 {
        return Err(no_such_row(file));
    }
    link_same_content(connection, &content.sha256, artifact, now).await?;
    Ok(artifact)
}

/// Links every file that the hubs list with this digest to the content.
pub(crate) async fn link_same_content(
    connection: &mut SqliteConnection,
    sha256: &Sha256,
    artifact: ArtifactId,
    now: Timestamp,
) -> Result<(), CatalogueError> {
    let link = sqlx::query(LINK_SAME_CONTENT).bind(&sha256.as_bytes()[..]).bind(artifact.0).bind(now.unix_ms());
    link.execute(connection).await.map_err(could_not("link files of the same content")).map(drop)
}

/// Records why fetching a file failed; a later success clears it.
pub(crate) async fn record_failure(
    connection: &mut SqliteConnection,
    file: FileId,
    failure: &Failure,
) -> Result<(), CatalogueError> {
    let set = sqlx::query(SET_FILE_FAILURE).bind(file.0).bind(codec::failure_json(failure));
    let set = set.execute(connection).await.map_err(could_not("record a failed fetch"))?;
    if set.rows_affected() == 0 {
        return Err(no_such_row(file));
    }
    Ok(())
}

impl Catalogue {
    /// Records bytes that were verified and lie at `content.path`: the artifact, the sighting, and this file's link
    /// to it, in one transaction. Every other hub file with the same SHA-256 is linked too. `verified` says that the
    /// bytes were compared with some digest that the hub lists for this file.
    ///
    /// # Errors
    /// `FILE_NOT_FOUND` when there is no such file row; when the catalogue cannot be written.
    pub async fn record_file(
        &self,
        file: FileId,
        content: &NewArtifact,
        verified: bool,
    ) -> Result<ArtifactId, CatalogueError> {
        let attempt = "record a fetched file";
        let mut tx = self.write(attempt).await?;
        let artifact = record(&mut tx, file, content, verified, self.now()).await?;
        self.commit(tx, attempt).await?;
        Ok(artifact)
    }

    /// One file row.
    ///
    /// # Errors
    /// `FILE_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn file(&self, file: FileId) -> Result<FileRecord, CatalogueError> {
        let files = self.files_beside(file).await?;
        files.into_iter().find(|record| record.id == file).ok_or_else(|| no_such_row(file))
    }

    /// What the hub lists now where it listed `file`: that row, the one that replaced it, or nothing any more.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub async fn file_now(&self, file: FileId) -> Result<Option<FileRecord>, CatalogueError> {
        let files = self.files_beside(file).await?;
        let row = files.iter().find(|record| record.id == file).ok_or_else(|| no_such_row(file))?;
        let stands = |record: &&FileRecord| {
            record.external_id == row.external_id && record.gone_at.is_none() && record.replaced_at.is_none()
        };
        Ok(files.iter().find(stands).cloned())
    }

    /// Every file row of the version that has this one.
    async fn files_beside(&self, file: FileId) -> Result<Vec<FileRecord>, CatalogueError> {
        let attempt = "read a file";
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let version: Option<i64> =
            sqlx::query_scalar(FILE_VERSION).bind(file.0).fetch_optional(&mut *tx).await.map_err(could_not(attempt))?;
        let version = version.ok_or_else(|| no_such_row(file))?;
        let rows: String =
            sqlx::query_scalar(FILES_OF_VERSION).bind(version).fetch_one(&mut *tx).await.map_err(could_not(attempt))?;
        let mut files = by_version(&mut tx, codec::list("files", &rows)?).await?;
        Ok(files.remove(&version).unwrap_or_default())
    }
}

fn no_such_row(file: FileId) -> CatalogueError {
    CatalogueError::FileNotFound { of: "the catalogue".to_owned(), file: format!("row {file}") }
}
