//! Pictures that lie beside files of libraries: previews of the pages that were made for these files. They stay where
//! they are; of each, two thumbnails are kept. A picture that changed is another one.

use super::page::LocalPage;
use crate::assets::{self, Asset};
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::evidence::rows::{Statement, given, run, statements};
use crate::ids::PreviewId;
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use std::path::PathBuf;

/// A picture beside a file, and what it looked like when it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPicture {
    /// Whole, from the root of all.
    pub path: String,
    pub size_bytes: u64,
    pub modified_ns: i64,
}

impl LocalPicture {
    fn identity(&self) -> String {
        format!("{}\n{} {}", self.path, self.size_bytes, self.modified_ns)
    }
}

/// A picture of which no thumbnails were made yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadPicture {
    pub preview: PreviewId,
    pub path: PathBuf,
}

/// What is kept of a picture beside a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredThumbnails {
    /// Pixels of the picture itself.
    pub width: u32,
    pub height: u32,
    pub thumbnail: Asset,
    pub small_thumbnail: Asset,
    pub blurhash: String,
}

statements! {
    INSERT_PICTURES = concat!(
        "INSERT INTO preview (version_id, identity, url, media, nsfw_level, position, first_seen_ms)
         SELECT (SELECT version_id FROM version WHERE model_id = column1), column2, column3, 'image', column4, column5,
             column6 FROM ",
        given!("(?, ?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL ON CONFLICT (version_id, identity) DO UPDATE SET
             nsfw_level = excluded.nsfw_level, position = excluded.position"
    );
    /// ?1: a JSON array of models; ?2: one of the pictures that they have.
    DROP_OTHER_PICTURES = "
        DELETE FROM preview
        WHERE version_id IN (SELECT version_id FROM version WHERE model_id IN (SELECT value FROM json_each(?1)))
            AND identity NOT IN (SELECT value FROM json_each(?2))";
    /// Those behind ?1 whose library is there. The addresses of hubs' pictures do not begin like a path.
    UNREAD_PICTURES = "
        SELECT p.preview_id, p.url FROM preview p CROSS JOIN version v ON v.version_id = p.version_id
            CROSS JOIN model m ON m.model_id = v.model_id
        WHERE p.thumbnail_asset_id IS NULL AND p.failure_json IS NULL AND substr(p.url, 1, 1) = '/'
            AND p.preview_id > ?1 AND m.hub = 'local' AND EXISTS (
                SELECT 1 FROM library_path f JOIN library l USING (library_id)
                WHERE f.library_file_id = CAST(m.external_id AS INTEGER) AND l.away_ms IS NULL)
        ORDER BY p.preview_id LIMIT ?2";
    LINK_THUMBNAILS = "
        UPDATE preview SET thumbnail_asset_id = ?2, small_thumbnail_asset_id = ?3, blurhash = ?4, width = ?5,
            height = ?6, failure_json = NULL
        WHERE preview_id = ?1";
}

/// Gives pages the pictures that they have now, by model; `changed` are those that had some before.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    pages: &[(i64, &LocalPage)],
    changed: &[i64],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let pictures: Vec<(i64, &LocalPage, i64, &LocalPicture)> = pages
        .iter()
        .flat_map(|(model, page)| (0..).zip(&page.pictures).map(|(at, picture)| (*model, *page, at, picture)))
        .collect();
    if !changed.is_empty() {
        let kept: Vec<String> = pictures.iter().map(|(.., picture)| picture.identity()).collect();
        sqlx::query(DROP_OTHER_PICTURES)
            .bind(codec::id_list(changed.iter().copied()))
            .bind(codec::text_list(&kept))
            .execute(&mut *connection)
            .await?;
    }
    let insert = statements(INSERT_PICTURES, &pictures, |row: &mut Statement, (model, page, position, picture)| {
        row.bind(*model)
            .text(picture.identity().as_str())
            .text(picture.path.as_str())
            .bind(page.picture_nsfw_level.unwrap_or(page.nsfw_level))
            .bind(*position)
            .bind(now.unix_ms());
    });
    run(connection, insert).await
}

impl Catalogue {
    /// Pictures beside files of libraries that are to be read, in the order of their numbers, only those behind `after`.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn unread_library_pictures(
        &self,
        after: Option<PreviewId>,
        limit: u32,
    ) -> Result<Vec<UnreadPicture>, CatalogueError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(UNREAD_PICTURES)
            .bind(after.map_or(i64::MIN, |after| after.0))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read which pictures are to be read"))?;
        let unread = rows.into_iter();
        Ok(unread.map(|(id, path)| UnreadPicture { preview: PreviewId(id), path: path.into() }).collect())
    }

    /// Records the thumbnails of a picture that stays where it is. False when its page has it no more.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_thumbnails(
        &self,
        preview: PreviewId,
        stored: &StoredThumbnails,
    ) -> Result<bool, CatalogueError> {
        let attempt = "record the thumbnails of a picture";
        let now = self.now();
        let mut tx = self.write(attempt).await?;
        let thumbnail = assets::record(&mut tx, &stored.thumbnail, now).await?;
        let small_thumbnail = assets::record(&mut tx, &stored.small_thumbnail, now).await?;
        let linked = sqlx::query(LINK_THUMBNAILS)
            .bind(preview.0)
            .bind(thumbnail)
            .bind(small_thumbnail)
            .bind(&stored.blurhash)
            .bind(stored.width)
            .bind(stored.height)
            .execute(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        tx.commit().await.map_err(could_not(attempt))?;
        Ok(linked.rows_affected() > 0)
    }
}
