//! Libraries: folders of models that people keep themselves. What lies in one is looked at and read, never written to.
//!
//! A *library file* is a file as the system describes it; its names are *library paths*. Both are known long before all
//! of its bytes were read: once they were, the file has its artifact, and each of its names is an observation of that.
//! A file that no hub lists has a page of its own (`model.hub` is `local`), which lasts as long as the file has a name.

pub(crate) mod changes;
pub(crate) mod claims;
pub(crate) mod content;
pub(crate) mod page;
pub(crate) mod pictures;
pub(crate) mod rot;
pub(crate) mod tensors;
#[cfg(test)]
mod tests;

use self::tensors::same_tensors;
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::LibraryId;
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::Timestamp;
use sqlx::FromRow;
use std::path::{Path, PathBuf};

/// A folder of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryRecord {
    pub id: LibraryId,
    pub path: PathBuf,
    /// Whose folder it is, such as `comfyui`.
    pub layout: String,
    /// The folder itself, by which it is told from an empty mount point.
    pub device: u64,
    pub inode: u64,
    pub created_at: Timestamp,
    /// When all of it was last looked at.
    pub walked_at: Option<Timestamp>,
    /// Since when it is not there.
    pub away_since: Option<Timestamp>,
}

/// How far a library is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LibraryCounts {
    /// Names; files that have several are counted once in what follows.
    pub paths: u64,
    pub files: u64,
    pub bytes: u64,
    /// All of their bytes were read.
    pub read_files: u64,
    pub read_bytes: u64,
    /// A hub lists them.
    pub listed: u64,
    /// Their headers say neither kind nor architecture.
    pub unknown: u64,
    /// They cannot be used.
    pub refused: u64,
}

statements! {
    LIBRARIES = "
        SELECT library_id, path, layout, device, inode, created_ms, walked_ms, away_ms FROM library ORDER BY library_id";
    INSERT_LIBRARY = "
        INSERT INTO library (path, layout, device, inode, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (path) DO NOTHING RETURNING library_id";
    SET_LIBRARY_AWAY = "
        UPDATE library SET away_ms = ?2 WHERE library_id = ?1 AND (away_ms IS NULL) <> (?2 IS NULL)";
    SET_WALKED = "
        UPDATE library SET layout = ?2, device = ?3, inode = ?4, walked_ms = ?5 WHERE library_id = ?1";
    /// What changed while it was read, without a failure, is read once more.
    TAKE_UP_SET_ASIDE = "
        UPDATE library_file SET unreadable_ms = NULL
        WHERE unreadable_ms IS NOT NULL AND failure_json IS NULL
            AND library_file_id IN (SELECT library_file_id FROM library_path WHERE library_id = ?1)";
    LIBRARY_COUNTS = concat!("
        SELECT count(*), coalesce(sum(paths), 0), coalesce(sum(size_bytes), 0),
            coalesce(sum(artifact_id IS NOT NULL), 0),
            coalesce(sum(iif(artifact_id IS NOT NULL, size_bytes, 0)), 0),
            coalesce(sum(artifact_id IS NOT NULL AND (EXISTS (
                SELECT 1 FROM file h WHERE h.artifact_id = listed.artifact_id AND h.library_file_id IS NULL)
                OR EXISTS (SELECT 1 FROM artifact a CROSS JOIN file h
                           WHERE a.artifact_id = listed.artifact_id AND ", same_tensors!(), "))), 0),
            coalesce(sum(kind = 'unknown' AND NOT refused), 0), coalesce(sum(refused), 0)
        FROM (SELECT f.size_bytes, f.artifact_id, f.kind, f.failure_json IS NOT NULL AS refused, count(*) AS paths
              FROM library_path p JOIN library_file f USING (library_file_id)
              WHERE p.library_id = ?1 GROUP BY f.library_file_id) AS listed");
    FILES_OF_LIBRARY = "SELECT DISTINCT library_file_id FROM library_path WHERE library_id = ?1";
    DELETE_LIBRARY_PATHS = "DELETE FROM library_path WHERE library_id = ?1";
    END_LIBRARY_OBSERVATIONS = "
        UPDATE observation SET library_id = NULL, gone_ms = coalesce(gone_ms, ?2) WHERE library_id = ?1";
    DELETE_LIBRARY = "DELETE FROM library WHERE library_id = ?1";
}

#[derive(FromRow)]
struct LibraryRow {
    library_id: i64,
    path: Vec<u8>,
    layout: String,
    device: i64,
    inode: i64,
    created_ms: i64,
    walked_ms: Option<i64>,
    away_ms: Option<i64>,
}

impl LibraryRow {
    fn record(self) -> LibraryRecord {
        LibraryRecord {
            id: LibraryId(self.library_id),
            path: codec::path(&self.path),
            layout: self.layout,
            device: self.device.cast_unsigned(),
            inode: self.inode.cast_unsigned(),
            created_at: Timestamp::from_unix_ms(self.created_ms),
            walked_at: codec::time(self.walked_ms),
            away_since: codec::time(self.away_ms),
        }
    }
}

impl Catalogue {
    /// Every library, the oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn libraries(&self) -> Result<Vec<LibraryRecord>, CatalogueError> {
        let rows: Vec<LibraryRow> =
            sqlx::query_as(LIBRARIES).fetch_all(&self.readers).await.map_err(could_not("read the libraries"))?;
        Ok(rows.into_iter().map(LibraryRow::record).collect())
    }

    /// # Errors
    /// `LIBRARY_NOT_FOUND`; when the catalogue cannot be read.
    pub async fn library(&self, id: LibraryId) -> Result<LibraryRecord, CatalogueError> {
        let found = self.libraries().await?.into_iter().find(|library| library.id == id);
        found.ok_or_else(|| CatalogueError::LibraryNotFound { library: id.to_string() })
    }

    /// Records a folder as a library; none when it has become one meanwhile. The caller has seen to it that it is in no other.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn add_library(
        &self,
        path: &Path,
        layout: &str,
        device: u64,
        inode: u64,
    ) -> Result<Option<LibraryId>, CatalogueError> {
        let attempt = "record a library";
        let mut tx = self.write(attempt).await?;
        let id: Option<i64> = sqlx::query_scalar(INSERT_LIBRARY)
            .bind(codec::path_bytes(path))
            .bind(layout)
            .bind(device.cast_signed())
            .bind(inode.cast_signed())
            .bind(self.now().unix_ms())
            .fetch_optional(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        self.commit(tx, attempt).await?;
        Ok(id.map(LibraryId))
    }

    /// Records that a library went away, or that it is back. False when that is known.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn set_library_away(&self, library: LibraryId, away: bool) -> Result<bool, CatalogueError> {
        let since = away.then(|| self.now().unix_ms());
        let set = sqlx::query(SET_LIBRARY_AWAY).bind(library.0).bind(since);
        Ok(self.write_one("record whether a library is there", set).await? > 0)
    }

    /// Records that all of a library was looked at, and what the folder itself looked like.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_walked(
        &self,
        library: LibraryId,
        layout: &str,
        device: u64,
        inode: u64,
    ) -> Result<(), CatalogueError> {
        let attempt = "record that a library was looked at";
        let mut tx = self.write(attempt).await?;
        let set = sqlx::query(SET_WALKED)
            .bind(library.0)
            .bind(layout)
            .bind(device.cast_signed())
            .bind(inode.cast_signed())
            .bind(self.now().unix_ms());
        for statement in [set, sqlx::query(TAKE_UP_SET_ASIDE).bind(library.0)] {
            statement.execute(&mut *tx).await.map_err(could_not(attempt))?;
        }
        self.commit(tx, attempt).await
    }

    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn library_counts(&self, library: LibraryId) -> Result<LibraryCounts, CatalogueError> {
        let (files, paths, bytes, read_files, read_bytes, listed, unknown, refused): (
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
        ) = sqlx::query_as(LIBRARY_COUNTS)
            .bind(library.0)
            .fetch_one(&self.readers)
            .await
            .map_err(could_not("count the files of a library"))?;
        Ok(LibraryCounts {
            paths: codec::counted(paths),
            files: codec::counted(files),
            bytes: codec::counted(bytes),
            read_files: codec::counted(read_files),
            read_bytes: codec::counted(read_bytes),
            listed: codec::counted(listed),
            unknown: codec::counted(unknown),
            refused: codec::counted(refused),
        })
    }

    /// Forgets a library and the names in it. What was learned of its files stays for a while, in case that they come
    /// back; the files themselves are not touched.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn delete_library(&self, library: LibraryId) -> Result<(), CatalogueError> {
        let attempt = "forget a library";
        let failed = could_not(attempt);
        let now = self.now();
        let mut tx = self.write(attempt).await?;
        let files: Vec<i64> =
            sqlx::query_scalar(FILES_OF_LIBRARY).bind(library.0).fetch_all(&mut *tx).await.map_err(&failed)?;
        for statement in [DELETE_LIBRARY_PATHS, END_LIBRARY_OBSERVATIONS] {
            let bound = sqlx::query(statement).bind(library.0).bind(now.unix_ms());
            bound.execute(&mut *tx).await.map_err(&failed)?;
        }
        changes::settle(&mut tx, &self.tags, &files, now).await?;
        sqlx::query(DELETE_LIBRARY).bind(library.0).execute(&mut *tx).await.map_err(&failed)?;
        self.commit(tx, attempt).await
    }
}
