//! What the catalogue says of bytes that perhaps nobody needs.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::AssetId;
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::{GitSha1, Hub, Sha256, Timestamp};
use sqlx::FromRow;
use std::collections::HashSet;

/// The file of a download that has not ended, by all that its partial may be called after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDownloadFile {
    pub hub: Hub,
    pub sha256: Option<Sha256>,
    pub git_sha1: Option<GitSha1>,
    pub locator: String,
}

/// A picture that nothing shows any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedPicture {
    pub id: AssetId,
    pub sha256: Sha256,
    pub size_bytes: u64,
}

statements! {
    /// Digests between ?1 and ?2 that something is on record for.
    DIGESTS_ON_RECORD = "
        SELECT a.sha256 FROM artifact a WHERE a.sha256 >= ?1 AND a.sha256 < ?2 AND (
            EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL)
            OR EXISTS (SELECT 1 FROM removed_file r JOIN removal USING (removal_id)
                       WHERE r.artifact_id = a.artifact_id AND removal.ended_ms IS NULL))
        UNION SELECT sha256 FROM asset WHERE sha256 >= ?1 AND sha256 < ?2
        UNION SELECT f.sha256 FROM download d JOIN file f USING (file_id)
            WHERE d.ended_ms IS NULL AND f.sha256 >= ?1 AND f.sha256 < ?2";
    FILES_OF_OPEN_DOWNLOADS = "
        SELECT d.hub, f.sha256, f.git_sha1, f.locator FROM download d JOIN file f USING (file_id)
        WHERE d.ended_ms IS NULL";
    IS_LISTED = "SELECT EXISTS (SELECT 1 FROM file WHERE sha256 = ?1)";
    UNUSED_PICTURES = "
        SELECT asset_id, sha256, size_bytes FROM asset
        WHERE created_ms < iif(origin IN ('preview', 'thumbnail'), ?1, ?2)
            AND asset_id NOT IN (SELECT original_asset_id FROM preview WHERE original_asset_id IS NOT NULL)
            AND asset_id NOT IN (SELECT thumbnail_asset_id FROM preview WHERE thumbnail_asset_id IS NOT NULL)
            AND asset_id NOT IN (SELECT small_thumbnail_asset_id FROM preview WHERE small_thumbnail_asset_id IS NOT NULL)
            AND asset_id NOT IN (SELECT asset_id FROM generation_image)
            AND asset_id NOT IN (SELECT asset_id FROM generation_input)";
    FORGET_PICTURE = "
        DELETE FROM asset WHERE asset_id = ?1
            AND NOT EXISTS (SELECT 1 FROM preview WHERE ?1 IN (original_asset_id, thumbnail_asset_id, small_thumbnail_asset_id))
            AND NOT EXISTS (SELECT 1 FROM generation_image g WHERE g.asset_id = ?1)
            AND NOT EXISTS (SELECT 1 FROM generation_input g WHERE g.asset_id = ?1)";
}

#[derive(FromRow)]
struct OpenDownloadRow {
    hub: String,
    sha256: Option<Vec<u8>>,
    git_sha1: Option<Vec<u8>>,
    locator: String,
}

impl Catalogue {
    /// Digests beginning with `first` of content that something is on record for: where it lies, a picture, a removal
    /// that was not emptied, or a download that has not ended.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn digests_on_record(&self, first: u8) -> Result<HashSet<Sha256>, CatalogueError> {
        // Behind every digest that begins with 255.
        let end = first.checked_add(1).map_or_else(|| vec![u8::MAX; 33], |next| vec![next]);
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(DIGESTS_ON_RECORD)
            .bind(vec![first])
            .bind(end)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read which content is on record"))?;
        rows.iter().map(|bytes| codec::digest("a SHA-256", bytes)).collect()
    }

    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn files_of_open_downloads(&self) -> Result<Vec<OpenDownloadFile>, CatalogueError> {
        let rows: Vec<OpenDownloadRow> = sqlx::query_as(FILES_OF_OPEN_DOWNLOADS)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read what is being downloaded"))?;
        rows.into_iter()
            .map(|row| {
                Ok(OpenDownloadFile {
                    hub: codec::named("a download's hub", &row.hub, Hub::from_name)?,
                    sha256: codec::optional_digest("a file's SHA-256", row.sha256.as_deref())?,
                    git_sha1: codec::optional_digest("a file's git SHA-1", row.git_sha1.as_deref())?,
                    locator: row.locator,
                })
            })
            .collect()
    }

    /// Whether some hub lists a file of this digest.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn is_listed(&self, sha256: &Sha256) -> Result<bool, CatalogueError> {
        let listed = sqlx::query_scalar(IS_LISTED).bind(&sha256.as_bytes()[..]);
        listed.fetch_one(&self.readers).await.map_err(could_not("look for a digest"))
    }

    /// Pictures that neither a preview nor a generation has: a hub's from before `shown_before`, and what was painted or
    /// handed over here before `made_before`.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn unused_pictures(
        &self,
        shown_before: Timestamp,
        made_before: Timestamp,
    ) -> Result<Vec<UnusedPicture>, CatalogueError> {
        let rows: Vec<(i64, Vec<u8>, i64)> = sqlx::query_as(UNUSED_PICTURES)
            .bind(shown_before.unix_ms())
            .bind(made_before.unix_ms())
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read which pictures are not used"))?;
        rows.into_iter()
            .map(|(id, sha256, size)| {
                Ok(UnusedPicture {
                    id: AssetId(id),
                    sha256: codec::digest("a picture's SHA-256", &sha256)?,
                    size_bytes: codec::counted(size),
                })
            })
            .collect()
    }

    /// Forgets a picture, unless it is used again. True if it was forgotten.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn forget_picture(&self, picture: AssetId) -> Result<bool, CatalogueError> {
        Ok(self.write_one("forget a picture", sqlx::query(FORGET_PICTURE).bind(picture.0)).await? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{asset, model, new_artifact, opened, sha};
    use crate::{Asset, AssetOrigin, NewDownload, StoredPreview};
    use std::path::Path;

    #[tokio::test]
    async fn what_is_on_record_is_told_by_the_first_byte() {
        let (catalogue, _home) = opened().await;
        let id = catalogue.record_models(&[model("1", "One")], None).await.unwrap()[0];
        let file = catalogue.model(id).await.unwrap().versions[0].files[0].clone();
        let digest = file.sha256.unwrap();
        let on_record = async || catalogue.digests_on_record(digest.as_bytes()[0]).await.unwrap().contains(&digest);
        assert!(!on_record().await, "it is only listed");
        assert!(catalogue.is_listed(&digest).await.unwrap() && !catalogue.is_listed(&sha(9)).await.unwrap());

        let download = NewDownload { file: file.id, hub: Hub::Civitai, follow: None, priority: 0 };
        let download = catalogue.enqueue_downloads(&[download], false).await.unwrap()[0];
        assert!(on_record().await, "it is on its way");
        assert_eq!(catalogue.files_of_open_downloads().await.unwrap()[0].sha256, Some(digest));
        catalogue.steer_download(download, paintbox_domain::DownloadStep::Cancel).await.unwrap();
        assert!(!on_record().await);

        let content = new_artifact(digest, "/store/a".into());
        catalogue.record_file(file.id, &content, true).await.unwrap();
        assert!(on_record().await, "it is here");
        let later = Timestamp::from_unix_ms(5_000);
        let removal = catalogue.remove_files("it", &[file.id], Path::new("/store"), later, false).await.unwrap();
        assert!(on_record().await, "it can be taken back");
        catalogue.begin_to_empty(&removal.clone().unwrap()).await.unwrap();
        catalogue.end_emptying(removal.unwrap().id).await.unwrap();
        assert!(!on_record().await);
    }

    #[tokio::test]
    async fn pictures_that_nothing_shows_are_found_and_forgotten() {
        let (catalogue, _home) = opened().await;
        let id = catalogue.record_models(&[model("1", "One")], None).await.unwrap()[0];
        let preview = catalogue.model(id).await.unwrap().versions[0].previews[0].id;
        let picture = |number| Asset { origin: AssetOrigin::Preview, ..asset(number) };
        let stored = |number| StoredPreview {
            original: picture(number),
            thumbnail: picture(number + 1),
            small_thumbnail: picture(number + 1),
            blurhash: String::new(),
        };
        catalogue.record_preview(preview, &stored(10)).await.unwrap();
        let unused = async |before: i64| {
            catalogue.unused_pictures(Timestamp::from_unix_ms(before), Timestamp::from_unix_ms(0)).await.unwrap()
        };
        assert!(unused(9_000).await.is_empty());
        catalogue.record_preview(preview, &stored(20)).await.unwrap();
        assert!(unused(1_000).await.is_empty(), "they are too new to be judged");
        let found = unused(9_000).await;
        assert_eq!(found.iter().map(|picture| picture.sha256).collect::<Vec<_>>(), [sha(10), sha(11)]);
        assert!(catalogue.forget_picture(found[0].id).await.unwrap());
        assert!(!catalogue.forget_picture(found[0].id).await.unwrap());
        assert_eq!(unused(9_000).await.len(), 1);
        assert!(catalogue.digests_on_record(255).await.unwrap().is_empty());
        assert!(catalogue.digests_on_record(20).await.unwrap().contains(&sha(20)));
    }
}
