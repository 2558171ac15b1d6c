//! Example images: fetched after the files, shrunk, and put on record.

use crate::Parts;
use crate::error::SyncError;
use crate::plan::{OperationKind, Plan, Subject};
use futures::StreamExt as _;
use paintbox_catalogue::{Asset, AssetOrigin, PreviewId, StoredPreview};
use paintbox_domain::{Classify as _, Hub};
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
        original: Asset {
            sha256: stored.original.sha256,
            media_type: stored.media_type.to_owned(),
            size_bytes: stored.original.size_bytes,
            width: stored.width,
            height: stored.height,
            origin: AssetOrigin::Preview,
        },
        thumbnail: Asset {
            sha256: stored.thumbnail.sha256,
            media_type: stored.thumbnail_media_type.to_owned(),
            size_bytes: stored.thumbnail.size_bytes,
            width: stored.thumbnail_width,
            height: stored.thumbnail_height,
            origin: AssetOrigin::Thumbnail,
        },
    }
}
