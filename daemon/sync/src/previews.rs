//! Example images: fetched after the files, shrunk, and put on record, with the data that they were made from. Of a video it
//! is a still that the hub makes; its own address stays on record.

use crate::Parts;
use crate::error::SyncError;
use crate::plan::{Operation, OperationKind, Plan, Subject};
use crate::settle::blocking;
use futures::StreamExt as _;
use paintbox_catalogue::{Asset, AssetOrigin, PreviewRecord, StoredPreview};
use paintbox_domain::{Classify as _, Hub, ModelRef};
use paintbox_store::Store;
use paintbox_store::preview::{self as store, StoredPicture, store_preview};
use std::collections::HashMap;
use std::io::Read as _;
use tokio_util::sync::CancellationToken;

/// Previews that are fetched side by side.
const PREVIEWS_AT_ONCE: usize = 4;
/// Larger example images are not worth their bytes.
pub(crate) const LARGEST_PREVIEW_BYTES: u64 = 32 << 20;

impl Parts {
    /// Fetches the previews that `plan` wants.
    pub(crate) async fn fetch_previews(&self, plan: &Plan, cancel: &CancellationToken) {
        let previews = plan.operations.iter().filter(|operation| operation.kind == OperationKind::Preview);
        self.fetch_generation_data(previews.clone(), cancel).await;
        futures::stream::iter(previews)
            .for_each_concurrent(PREVIEWS_AT_ONCE, async |operation| {
                if cancel.is_cancelled() {
                    return;
                }
                if let Subject::Preview(preview) = &operation.subject
                    && let Err(error) = self.preview(operation.hub, preview).await
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

    /// Asks how the pictures were made of which no list said it: one question for each version. A hub that does not answer
    /// is no reason to do without the pictures.
    async fn fetch_generation_data<'p>(
        &self,
        previews: impl Iterator<Item = &'p Operation>,
        cancel: &CancellationToken,
    ) {
        let mut unknown: HashMap<&ModelRef, Vec<&PreviewRecord>> = HashMap::new();
        for operation in previews.filter(|operation| operation.hub == Hub::Civitai) {
            match &operation.subject {
                Subject::Preview(preview) if preview.generation.is_none() => {
                    unknown.entry(&operation.version).or_default().push(&**preview);
                }
                _ => {}
            }
        }
        for (version, previews) in unknown {
            if cancel.is_cancelled() {
                return;
            }
            let urls: Vec<String> = previews.iter().map(|preview| preview.url.clone()).collect();
            let data = match self.hubs.generation_data(version, &urls).await {
                Ok(data) => data,
                Err(error) => {
                    tracing::info!(%version, reason = error.reason(), "the hub does not say how its pictures were made");
                    continue;
                }
            };
            let told = previews.iter().filter_map(|preview| Some((preview.id, data.get(&preview.url)?.as_str())));
            if let Err(error) = self.catalogue.record_generation_data(&told.collect::<Vec<_>>()).await {
                tracing::error!(%error, "cannot record how pictures were made");
            }
        }
    }

    async fn preview(&self, hub: Hub, preview: &PreviewRecord) -> Result<(), SyncError> {
        let naming = self.places.naming.read().await;
        let kept = self.kept(preview).await?;
        drop(naming);
        let bytes = match &kept {
            Some(_) => None,
            None => Some(self.hubs.fetch_preview(hub, &preview.url, preview.media, LARGEST_PREVIEW_BYTES).await?),
        };
        let _naming = self.places.naming.read().await;
        let stored = match (kept, bytes) {
            (None, Some(bytes)) => {
                let stored = self.with_store(move |store| store_preview(store, &bytes)).await?;
                stored.map_err(|source| SyncError::Preview { url: preview.url.clone(), source })?
            }
            (kept, _) => kept.ok_or(SyncError::WorkerLost)?,
        };
        self.catalogue.record_preview(preview.id, &preview_assets(&stored)).await?;
        Ok(())
    }

    /// The preview made anew from its original, if that is here and still what it was: nothing is fetched for a
    /// thumbnail that is missing.
    async fn kept(&self, preview: &PreviewRecord) -> Result<Option<store::StoredPreview>, SyncError> {
        let Some(original) = preview.original else { return Ok(None) };
        self.with_store(move |store| {
            let mut bytes = Vec::new();
            store.open_blob(&original).ok()?.take(LARGEST_PREVIEW_BYTES).read_to_end(&mut bytes).ok()?;
            // Bytes that a disk has changed have another digest, or are no picture.
            store_preview(store, &bytes).ok().filter(|stored| stored.original.blob.sha256 == original)
        })
        .await
    }

    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, SyncError> {
        let store = self.places.home().clone();
        blocking(move || work(&store)).await
    }
}

fn preview_assets(stored: &store::StoredPreview) -> StoredPreview {
    StoredPreview {
        original: asset(&stored.original, AssetOrigin::Preview),
        thumbnail: asset(&stored.thumbnail, AssetOrigin::Thumbnail),
        small_thumbnail: asset(&stored.small_thumbnail, AssetOrigin::Thumbnail),
        blurhash: stored.blurhash.clone(),
    }
}

pub(crate) fn asset(picture: &StoredPicture, origin: AssetOrigin) -> Asset {
    Asset {
        sha256: picture.blob.sha256,
        media_type: picture.media_type.to_owned(),
        size_bytes: picture.blob.size_bytes,
        width: picture.width,
        height: picture.height,
        origin,
    }
}
