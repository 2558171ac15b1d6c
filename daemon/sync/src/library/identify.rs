//! Asking the hubs whether they list what lies in libraries: by digest, many files to a question, and then, one file to a
//! question, by the digest of the tensors alone, because tools rewrite headers. What a hub lists gets its page from there,
//! with everything that the hub says; what none lists is asked about again after a while, because models are published
//! late, too.

use crate::error::SyncError;
use crate::service::Sync;
use paintbox_catalogue::{LibraryFileId, UnlistedFile};
use paintbox_domain::{Classify as _, ErrorClass, FileFormat, Hub, ModelRef, Sha256};
use paintbox_hub::Presence;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// Files that are asked about at once.
const FILES_AT_ONCE: u32 = 1000;
/// Files whose tensors are asked about before what was answered is put on record.
const TENSORS_AT_ONCE: usize = 50;
/// Models whose pages are fetched and recorded at once.
const MODELS_AT_ONCE: usize = 100;
/// What no hub listed is asked about again after this.
const ASK_AGAIN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Pages that are to be fetched, by the hub's numbers.
#[derive(Default)]
struct Pages {
    models: BTreeSet<String>,
    /// Where the hub did not say of which model.
    versions: BTreeSet<String>,
}

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
            let listed = self.ask_by_digest(&files).await?;
            let (rest, done): (Vec<UnlistedFile>, Vec<UnlistedFile>) =
                files.into_iter().partition(|file| !listed.contains(&file.sha256) && may_be_edited(file));
            parts.catalogue.record_asked(&ids(&done)).await?;
            for files in rest.chunks(TENSORS_AT_ONCE) {
                if self.inner.shutdown.is_cancelled() {
                    return Ok(());
                }
                self.ask_by_tensors(files).await?;
                parts.catalogue.record_asked(&ids(files)).await?;
            }
        }
    }

    /// The digests that the hub lists; the pages that have them are on record.
    async fn ask_by_digest(&self, files: &[UnlistedFile]) -> Result<HashSet<Sha256>, SyncError> {
        let digests: Vec<Sha256> = files.iter().map(|file| file.sha256).collect();
        let found = self.inner.parts.hubs.identify_ids(&digests).await?;
        let listed: HashSet<Sha256> = found.iter().map(|numbers| numbers.sha256).collect();
        let mut pages = Pages::default();
        for numbers in found {
            match numbers.model {
                Some(model) => _ = pages.models.insert(model),
                None => _ = pages.versions.insert(numbers.version),
            }
        }
        self.record_pages(pages).await?;
        tracing::info!(files = files.len(), listed = listed.len(), "asked CivitAI about files in libraries");
        Ok(listed)
    }

    async fn ask_by_tensors(&self, files: &[UnlistedFile]) -> Result<(), SyncError> {
        let digests: BTreeSet<&str> = files.iter().filter_map(|file| file.auto_v3.as_deref()).collect();
        let mut pages = Pages::default();
        for digest in digests {
            match self.inner.parts.hubs.identify_tensors(digest).await {
                Ok(found) => pages.models.extend(found.map(|numbers| numbers.model)),
                Err(error) if is_of_the_answer(error.class()) => {
                    tracing::warn!(%error, digest, "the hub's answer about some tensors is of no use");
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.record_pages(pages).await
    }

    async fn record_pages(&self, pages: Pages) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        let models: Vec<String> = pages.models.into_iter().collect();
        for models in models.chunks(MODELS_AT_ONCE) {
            let found = parts.hubs.look_again(Hub::Civitai, models, true).await?;
            let found = found.into_iter().filter_map(|page| match page {
                Presence::Here(model) => Some(*model),
                Presence::Gone { .. } | Presence::OutOfSight { .. } => None,
            });
            parts.catalogue.record_models(&found.collect::<Vec<_>>(), None).await?;
        }
        for version in pages.versions {
            let Ok(version) = version.parse() else { continue };
            let found = parts.hubs.resolve(&ModelRef::CivitaiVersion { version }).await?;
            parts.catalogue.record_models(&[found.model], None).await?;
        }
        Ok(())
    }
}

/// Only safetensors have a header that can be rewritten with the tensors staying as they are.
fn may_be_edited(file: &UnlistedFile) -> bool {
    file.format == FileFormat::Safetensors && file.auto_v3.is_some()
}

/// Whether the same question would be answered alike by a hub that is well.
fn is_of_the_answer(class: ErrorClass) -> bool {
    !matches!(
        class,
        ErrorClass::Unavailable | ErrorClass::AccessDenied | ErrorClass::Cancelled | ErrorClass::DeadlineExceeded
    )
}

fn ids(files: &[UnlistedFile]) -> Vec<LibraryFileId> {
    files.iter().map(|file| file.file).collect()
}
