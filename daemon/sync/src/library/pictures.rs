//! Thumbnails of the pictures that lie beside files of libraries, for the pages that were made for these. The pictures
//! stay where they are, and are decoded within the limits that hubs' previews have.

use crate::error::SyncError;
use crate::previews::{LARGEST_PREVIEW_BYTES, asset};
use crate::service::Sync;
use crate::settle::blocking;
use paintbox_catalogue::{AssetOrigin, StoredThumbnails, UnreadPicture};
use paintbox_domain::{Classify as _, ErrorClass, Failure, reason};
use paintbox_store::library::beside::read_picture;
use paintbox_store::preview::store_thumbnails;

/// Pictures that are looked up at once.
const PICTURES_AT_ONCE: u32 = 64;

impl Sync {
    /// Makes the thumbnails that are missing. A picture that cannot be used is on record with the reason, and one that
    /// went away with its disk is left for the next time.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub(crate) async fn read_library_pictures(&self) -> Result<(), SyncError> {
        let mut after = None;
        loop {
            let pictures = self.inner.parts.catalogue.unread_library_pictures(after, PICTURES_AT_ONCE).await?;
            let Some(last) = pictures.last() else { return Ok(()) };
            after = Some(last.preview);
            for picture in pictures {
                if self.inner.shutdown.is_cancelled() {
                    return Ok(());
                }
                self.read_picture(picture).await?;
            }
        }
    }

    async fn read_picture(&self, picture: UnreadPicture) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        let path = picture.path.clone();
        let read = blocking(move || {
            let is_away = || path.parent().is_none_or(|folder| !folder.is_dir());
            read_picture(&path, LARGEST_PREVIEW_BYTES).map_err(|skipped| (skipped, is_away()))
        });
        let failure = match read.await? {
            Err((_, true)) => return Ok(()),
            Err((skipped, false)) => {
                let words = format!("{} is not used: {skipped}", picture.path.display());
                Failure::new(ErrorClass::InvalidInput, reason::PREVIEW_REFUSED, words)
            }
            Ok(bytes) => {
                let _naming = parts.places.naming.read().await;
                let store = parts.places.home().clone();
                match blocking(move || store_thumbnails(&store, &bytes)).await? {
                    Ok(stored) => {
                        let stored = StoredThumbnails {
                            width: stored.width,
                            height: stored.height,
                            thumbnail: asset(&stored.thumbnail, AssetOrigin::Thumbnail),
                            small_thumbnail: asset(&stored.small_thumbnail, AssetOrigin::Thumbnail),
                            blurhash: stored.blurhash,
                        };
                        parts.catalogue.record_thumbnails(picture.preview, &stored).await?;
                        return Ok(());
                    }
                    Err(source) => {
                        let url = picture.path.display().to_string();
                        SyncError::Preview { url, source }.failure()
                    }
                }
            }
        };
        tracing::info!(path = %picture.path.display(), reason = failure.reason, "no preview of a picture in a library");
        match parts.catalogue.record_preview_failure(picture.preview, &failure).await {
            // Its page has it no more.
            Err(error) if error.class() == ErrorClass::NotFound => Ok(()),
            recorded => Ok(recorded?),
        }
    }
}
