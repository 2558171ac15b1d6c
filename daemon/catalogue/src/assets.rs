//! Images that this machine keeps, by digest: previews as served, their thumbnails, painted pictures, uploads.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::{PreviewId, VersionId};
use crate::open::Catalogue;
use crate::records::PreviewRecord;
use crate::statements::statements;
use paintbox_domain::hub::PreviewMedia;
use paintbox_domain::{Failure, Sha256, Timestamp};
use serde::Deserialize;
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashMap;

/// Where an asset came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssetOrigin {
    /// A hub's example image, as served.
    Preview,
    /// Made here from a preview.
    Thumbnail,
    /// Painted here.
    Output,
    /// Sent by a client.
    Upload,
}

impl AssetOrigin {
    /// The stable name, as stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preview => "preview",
            Self::Thumbnail => "thumbnail",
            Self::Output => "output",
            Self::Upload => "upload",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Preview, Self::Thumbnail, Self::Output, Self::Upload].into_iter().find(|origin| origin.as_str() == name)
    }
}

/// An immutable image. The same bytes are one asset, whatever they came from first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    pub sha256: Sha256,
    /// Such as `image/png`.
    pub media_type: String,
    pub size_bytes: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    pub origin: AssetOrigin,
}

/// A preview that was fetched, decoded and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPreview {
    pub original: Asset,
    pub thumbnail: Asset,
    pub small_thumbnail: Asset,
    /// Made here; a hub's own is never replaced by it.
    pub blurhash: String,
}

/// Preview rows `p` as one JSON array of [`PreviewRow`]: of a version, those that the hub lists come first, in its order.
macro_rules! previews_json {
    () => {
        "json_group_array(json_object(\
            'preview_id', p.preview_id, 'version_id', p.version_id, 'external_id', p.external_id, 'url', p.url, \
            'media', p.media, 'width', p.width, 'height', p.height, 'nsfw_level', p.nsfw_level, 'blurhash', p.blurhash, \
            'generation', p.generation, 'failure_json', p.failure_json, 'gone_ms', p.gone_ms, \
            'original', hex((SELECT sha256 FROM asset WHERE asset_id = p.original_asset_id)), \
            'thumbnail', hex((SELECT sha256 FROM asset WHERE asset_id = p.thumbnail_asset_id)), \
            'small_thumbnail', hex((SELECT sha256 FROM asset WHERE asset_id = p.small_thumbnail_asset_id))) \
            ORDER BY p.gone_ms IS NOT NULL, p.position, p.preview_id)"
    };
}
pub(crate) use previews_json;

statements! {
    INSERT_ASSET = "
        INSERT INTO asset (sha256, media_type, size_bytes, width, height, origin, created_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (sha256) DO UPDATE SET sha256 = excluded.sha256
        RETURNING asset_id";
    ASSET_BY_SHA256 = "
        SELECT sha256, media_type, size_bytes, width, height, origin FROM asset WHERE sha256 = ?1";
    LINK_PREVIEW = "
        UPDATE preview SET original_asset_id = ?2, thumbnail_asset_id = ?3, small_thumbnail_asset_id = ?4,
               blurhash = coalesce(blurhash, ?5), failure_json = NULL
        WHERE preview_id = ?1";
    /// What a hub said first of how a picture was made is kept.
    SET_GENERATION_DATA = "UPDATE preview SET generation = coalesce(generation, ?2) WHERE preview_id = ?1";
    SET_PREVIEW_FAILURE = "UPDATE preview SET failure_json = ?2 WHERE preview_id = ?1";
}

#[derive(FromRow)]
struct AssetRow {
    sha256: Vec<u8>,
    media_type: String,
    size_bytes: i64,
    width: i64,
    height: i64,
    origin: String,
}

#[derive(Deserialize)]
pub(crate) struct PreviewRow {
    preview_id: i64,
    version_id: i64,
    external_id: Option<String>,
    url: String,
    media: String,
    width: Option<i64>,
    height: Option<i64>,
    nsfw_level: i64,
    blurhash: Option<String>,
    generation: Option<String>,
    #[serde(deserialize_with = "codec::hex")]
    original: Option<Vec<u8>>,
    #[serde(deserialize_with = "codec::hex")]
    thumbnail: Option<Vec<u8>>,
    #[serde(deserialize_with = "codec::hex")]
    small_thumbnail: Option<Vec<u8>>,
    failure_json: Option<String>,
    gone_ms: Option<i64>,
}

impl PreviewRow {
    fn record(self) -> Result<PreviewRecord, CatalogueError> {
        Ok(PreviewRecord {
            id: PreviewId(self.preview_id),
            version_id: VersionId(self.version_id),
            external_id: self.external_id,
            url: self.url,
            media: PreviewMedia::from_name(&self.media).unwrap_or(PreviewMedia::Unknown),
            width: self.width.map(codec::small),
            height: self.height.map(codec::small),
            nsfw_level: codec::small(self.nsfw_level),
            blurhash: self.blurhash,
            generation: self.generation,
            original: codec::optional_digest("an asset's SHA-256", self.original.as_deref())?,
            thumbnail: codec::optional_digest("an asset's SHA-256", self.thumbnail.as_deref())?,
            small_thumbnail: codec::optional_digest("an asset's SHA-256", self.small_thumbnail.as_deref())?,
            failure: codec::failure(self.failure_json.as_deref())?,
            gone_at: codec::time(self.gone_ms),
        })
    }
}

/// Inserts the asset if it is new, and returns its row id either way.
pub(crate) async fn record(
    connection: &mut SqliteConnection,
    asset: &Asset,
    now: Timestamp,
) -> Result<i64, CatalogueError> {
    sqlx::query_scalar(INSERT_ASSET)
        .bind(&asset.sha256.as_bytes()[..])
        .bind(&asset.media_type)
        .bind(codec::count(asset.size_bytes))
        .bind(asset.width)
        .bind(asset.height)
        .bind(asset.origin.as_str())
        .bind(now.unix_ms())
        .fetch_one(connection)
        .await
        .map_err(could_not("record an image"))
}

/// The previews of each version.
pub(crate) fn by_version(rows: Vec<PreviewRow>) -> Result<HashMap<i64, Vec<PreviewRecord>>, CatalogueError> {
    let mut previews: HashMap<i64, Vec<PreviewRecord>> = HashMap::new();
    for row in rows {
        previews.entry(row.version_id).or_default().push(row.record()?);
    }
    Ok(previews)
}

impl Catalogue {
    /// Records an image whose bytes are in the store. Recording it again changes nothing.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_asset(&self, asset: &Asset) -> Result<(), CatalogueError> {
        let attempt = "record an image";
        let mut tx = self.write(attempt).await?;
        record(&mut tx, asset, self.now()).await?;
        tx.commit().await.map_err(could_not(attempt))
    }

    /// The image with this digest.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn asset(&self, sha256: &Sha256) -> Result<Option<Asset>, CatalogueError> {
        let row: Option<AssetRow> = sqlx::query_as(ASSET_BY_SHA256)
            .bind(&sha256.as_bytes()[..])
            .fetch_optional(&self.readers)
            .await
            .map_err(could_not("read an image's record"))?;
        row.map(|row| {
            Ok(Asset {
                sha256: codec::digest("an asset's SHA-256", &row.sha256)?,
                media_type: row.media_type,
                size_bytes: codec::counted(row.size_bytes),
                width: codec::small(row.width),
                height: codec::small(row.height),
                origin: codec::named("an asset's origin", &row.origin, AssetOrigin::from_name)?,
            })
        })
        .transpose()
    }

    /// Records the images of a fetched preview and links them to it, in one transaction; its blurhash only where the hub
    /// gave none.
    ///
    /// # Errors
    /// `FILE_NOT_FOUND` when there is no such preview row; when the catalogue cannot be written.
    pub async fn record_preview(&self, preview: PreviewId, stored: &StoredPreview) -> Result<(), CatalogueError> {
        let attempt = "record a fetched preview";
        let now = self.now();
        let mut tx = self.write(attempt).await?;
        let original = record(&mut tx, &stored.original, now).await?;
        let thumbnail = record(&mut tx, &stored.thumbnail, now).await?;
        let small_thumbnail = record(&mut tx, &stored.small_thumbnail, now).await?;
        let linked = sqlx::query(LINK_PREVIEW)
            .bind(preview.0)
            .bind(original)
            .bind(thumbnail)
            .bind(small_thumbnail)
            .bind(&stored.blurhash)
            .execute(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        if linked.rows_affected() == 0 {
            return Err(no_such_row(preview));
        }
        tx.commit().await.map_err(could_not(attempt))
    }

    /// Records how pictures were made, as JSON, of those of which nothing was known yet.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn record_generation_data(&self, data: &[(PreviewId, &str)]) -> Result<(), CatalogueError> {
        let attempt = "record how pictures were made";
        let mut tx = self.write(attempt).await?;
        for (preview, generation) in data {
            let set = sqlx::query(SET_GENERATION_DATA).bind(preview.0).bind(*generation);
            set.execute(&mut *tx).await.map_err(could_not(attempt))?;
        }
        tx.commit().await.map_err(could_not(attempt))
    }

    /// Records why a preview could not be fetched; a later success clears it.
    ///
    /// # Errors
    /// `FILE_NOT_FOUND` when there is no such preview row; when the catalogue cannot be written.
    pub async fn record_preview_failure(&self, preview: PreviewId, failure: &Failure) -> Result<(), CatalogueError> {
        let set = sqlx::query(SET_PREVIEW_FAILURE).bind(preview.0).bind(codec::failure_json(failure));
        match self.write_one("record a failed preview", set).await? {
            0 => Err(no_such_row(preview)),
            _ => Ok(()),
        }
    }
}

fn no_such_row(preview: PreviewId) -> CatalogueError {
    CatalogueError::FileNotFound { of: "the catalogue".to_owned(), file: format!("preview row {preview}") }
}
