//! Example images: fetched after the files, shrunk, and put on record.

use crate::Parts;
use crate::error::SyncError;
use crate::plan::{OperationKind, Plan, Subject};
use futures::StreamExt as _;
use paintbox_catalogue::{Asset, AssetOrigin, PreviewId, StoredPreview};
use paintbox_domain::{Classify as _, Hub};
use paintbox_store::preview::StoredPicture;
use tokio_util::sync::CancellationToken;

/// Previews that are fetched side by side.
const PREVIEWS_AT_ONCE: usize = 4;
/// Larger example images are not worth their bytes.
const LARGEST_PREVIEW_BYTES: u64 = 32 << 20;

impl Parts {
    /// Fetches the previews that `plan` wants.
    pub(crate) async fn fetch_previews(&self, plan: &Plan, cancel: &CancellationToken) {
        let previews = plan.operations.iter().filter(|operation| operation.kind == OperationKind::Preview);
        futures::stream::iter(previews)
            .for_each_concurrent(PREVIEWS_AT_ONCE, async |operation| {
                if cancel.is_cancelled() {
                    return;
                }
                if let Subject::Preview(preview) = &operation.subject
                    && let Err(error) = self.preview(operation.hub, preview.id, &preview.url).await
                {
                    // A picture that cannot be had does not make a sync fail; it is on record with the preview.
                    tracing::info!(url = %preview.url, reason = error.reason(), "no preview");
                    if let Err(error) = self.catalogue.record_preview_failure(preview.id, &error.failure()).await {
                        tracing::error!(%error, "cannot record a preview's failure");
                    }
                }
            })
            .await;
    }

    async fn preview(&self, hub: Hub, id: PreviewId, url: &str) -> Result<(), SyncError> {
        let bytes = self.hubs.fetch_preview(hub, url, LARGEST_PREVIEW_BYTES).await?;
        let store = self.store.clone();
        let stored = tokio::task::spawn_blocking(move || paintbox_store::preview::store_preview(&store, &bytes))
            .await
            .map_err(|_| SyncError::WorkerLost)?
            .map_err(|source| SyncError::Preview { url: url.to_owned(), source })?;
        self.catalogue.record_preview(id, &preview_assets(&stored)).await?;
        Ok(())
    }
}

fn preview_assets(stored: &paintbox_store::preview::StoredPreview) -> StoredPreview {
    StoredPreview {
        original: asset(&stored.original, AssetOrigin::Preview),
        thumbnail: asset(&stored.thumbnail, AssetOrigin::Thumbnail),
    }
}

fn asset(picture: &StoredPicture, origin: AssetOrigin) -> Asset {
    Asset {
        sha256: picture.blob.sha256,
        media_type: picture.media_type.to_owned(),
        size_bytes: picture.blob.size_bytes,
        width: picture.width,
        height: picture.height,
        origin,
    }
}
