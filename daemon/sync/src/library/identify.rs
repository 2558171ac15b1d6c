//! Asking the hubs whether they list what lies in libraries: by digest, many files to a question. What a hub lists gets
//! its page from there, with everything that the hub says; what none lists is asked about again after a while, because
//! models are published late, too.

use crate::error::SyncError;
use crate::service::Sync;
use paintbox_catalogue::UnlistedFile;
use paintbox_domain::{Hub, ModelRef, Sha256};
use paintbox_hub::Presence;
use std::collections::BTreeSet;
use std::time::Duration;

/// Files that are asked about at once.
const FILES_AT_ONCE: u32 = 1000;
/// Models whose pages are fetched and recorded at once.
const MODELS_AT_ONCE: usize = 100;
/// What no hub listed is asked about again after this.
const ASK_AGAIN: Duration = Duration::from_secs(30 * 24 * 3600);

impl Sync {
    /// Asks about everything that is due. What was answered before an error is on record.
    ///
    /// # Errors
    /// When the hub cannot be asked or the catalogue fails.
    pub(crate) async fn identify_library_files(&self) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        if !parts.care.identify {
            return Ok(());
        }
        loop {
            let before = parts.clock.now().minus(ASK_AGAIN);
            let files = parts.catalogue.unlisted_library_files(before, FILES_AT_ONCE).await?;
            if files.is_empty() || self.inner.shutdown.is_cancelled() {
                return Ok(());
            }
            self.ask_about(&files).await?;
            parts.catalogue.record_asked(&files.iter().map(|file| file.file).collect::<Vec<_>>()).await?;
        }
    }

    async fn ask_about(&self, files: &[UnlistedFile]) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        let digests: Vec<Sha256> = files.iter().map(|file| file.sha256).collect();
        let found = parts.hubs.identify_ids(&digests).await?;
        let (mut models, mut versions) = (BTreeSet::new(), BTreeSet::new());
        for numbers in found {
            match numbers.model {
                Some(model) => _ = models.insert(model),
                None => _ = versions.insert(numbers.version),
            }
        }
        let models: Vec<String> = models.into_iter().collect();
        let mut listed = 0;
        for models in models.chunks(MODELS_AT_ONCE) {
            let pages = parts.hubs.look_again(Hub::Civitai, models, true).await?;
            let pages = pages.into_iter().filter_map(|page| match page {
                Presence::Here(model) => Some(*model),
                Presence::Gone { .. } | Presence::OutOfSight { .. } => None,
            });
            let pages: Vec<_> = pages.collect();
            listed += pages.len();
            parts.catalogue.record_models(&pages, None).await?;
        }
        for version in versions {
            let Ok(version) = version.parse() else { continue };
            let found = parts.hubs.resolve(&ModelRef::CivitaiVersion { version }).await?;
            listed += 1;
            parts.catalogue.record_models(&[found.model], None).await?;
        }
        tracing::info!(files = files.len(), models = listed, "asked CivitAI about files in libraries");
        Ok(())
    }
}
