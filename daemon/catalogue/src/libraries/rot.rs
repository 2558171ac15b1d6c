//! Files of libraries whose bytes are found to be other ones than were read, though nobody changed them.

use super::changes::settle;
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{LibraryFileId, ObservationId};
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::{Failure, FileLook};
use sqlx::SqliteConnection;

statements! {
    /// The file that has the name at which content was seen.
    FILE_AT_PLACE = "
        SELECT f.library_file_id, f.device, f.inode, f.size_bytes, f.modified_ns
        FROM observation o JOIN library l USING (library_id)
            JOIN library_path p ON p.library_id = l.library_id AND p.path = CAST(substr(o.path, length(l.path) + 2) AS BLOB)
            JOIN library_file f ON f.library_file_id = p.library_file_id
        WHERE o.observation_id = ?1";
    /// It is not read again until it looks otherwise.
    SET_DAMAGED = "
        UPDATE library_file SET artifact_id = NULL, failure_json = ?2, unreadable_ms = ?3 WHERE library_file_id = ?1";
    END_OBSERVATIONS_OF_FILE = "
        UPDATE observation SET gone_ms = ?2 WHERE gone_ms IS NULL AND path IN (
            SELECT CAST(l.path || CAST('/' AS BLOB) || p.path AS BLOB)
            FROM library_path p JOIN library l USING (library_id) WHERE p.library_file_id = ?1)";
}

impl Catalogue {
    /// The library file that content was seen as at a place, and what it looked like then; none where that is no library's.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn library_file_at(
        &self,
        place: ObservationId,
    ) -> Result<Option<(LibraryFileId, FileLook)>, CatalogueError> {
        let found: Option<(i64, i64, i64, i64, i64)> = sqlx::query_as(FILE_AT_PLACE)
            .bind(place.0)
            .fetch_optional(&self.readers)
            .await
            .map_err(could_not("look for a library's file"))?;
        Ok(found.map(|(id, device, inode, size_bytes, modified_ns)| {
            let (device, inode) = (device.cast_unsigned(), inode.cast_unsigned());
            (LibraryFileId(id), FileLook { device, inode, size_bytes: codec::counted(size_bytes), modified_ns })
        }))
    }

    /// Records that a file does not hold any more what was read from it. It is no content, under none of its names, until
    /// somebody puts another file in its place.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_damaged_library_file(
        &self,
        file: LibraryFileId,
        failure: &Failure,
    ) -> Result<(), CatalogueError> {
        let attempt = "record that a library's file is damaged";
        let now = self.now();
        let mut tx = self.write(attempt).await?;
        let connection: &mut SqliteConnection = &mut tx;
        let failed = could_not(attempt);
        let set = sqlx::query(SET_DAMAGED).bind(file.0).bind(codec::failure_json(failure)).bind(now.unix_ms());
        set.execute(&mut *connection).await.map_err(&failed)?;
        let end = sqlx::query(END_OBSERVATIONS_OF_FILE).bind(file.0).bind(now.unix_ms());
        end.execute(&mut *connection).await.map_err(&failed)?;
        settle(connection, &self.tags, &[file.0], now).await?;
        self.commit(tx, attempt).await
    }
}
