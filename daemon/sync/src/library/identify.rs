//! Asking the hubs whether they list what lies in libraries. Hugging Face cannot be asked by digest, but its own cache says
//! which repository a file is from ([`super::repositories`]). CivitAI is asked by digest, many files to a question, and then,
//! one file to a question, by the digest of the tensors alone, because tools rewrite headers. Where neither is listed, the
//! page that a tool's note names is looked at, and counts only if what it lists agrees. What a hub lists gets its page from
//! there, with everything that the hub says; what none lists is unknown, and asked about again after a while, because models
//! are published late, too.

use crate::error::SyncError;
use crate::service::Sync;
use paintbox_catalogue::{ClaimedRepository, LibraryFileId, UnlistedFile};
use paintbox_domain::{Classify as _, ErrorClass, FileFormat, Hub, ModelRef, Sha256};
use paintbox_hub::Presence;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// Files that are asked about at once.
pub(super) const FILES_AT_ONCE: u32 = 1000;
/// Files that are asked about one by one before what was answered is put on record.
const FILES_IN_A_LOT: usize = 50;
/// Models whose pages are fetched and recorded at once.
const MODELS_AT_ONCE: usize = 100;
/// What no hub listed is asked about again after this.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(30 * 24 * 3600);

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
    /// When a hub cannot be asked or the catalogue fails.
    pub(crate) async fn identify_library_files(&self) -> Result<(), SyncError> {
        if !self.settings().care.identify {
            return Ok(());
        }
        // One hub that is away does not keep the other from being asked.
        let unanswered = self.ask_about_repositories().await?;
        self.ask_civitai(&unanswered.repositories).await?;
        unanswered.error.map_or(Ok(()), Err)
    }

    /// Asks CivitAI about everything that is due, apart from what may be found in these repositories yet.
    async fn ask_civitai(&self, apart_from: &BTreeSet<ClaimedRepository>) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        let before = parts.clock.now().minus(ASK_AGAIN);
        let mut last = None;
        loop {
            let mut files = parts.catalogue.unlisted_library_files(before, last.as_ref(), FILES_AT_ONCE).await?;
            if files.is_empty() || self.inner.shutdown.is_cancelled() {
                return Ok(());
            }
            last = files.last().cloned();
            files.retain(|file| repository_of(file).is_none_or(|repository| !apart_from.contains(repository)));
            let listed = self.ask_by_digest(&files).await?;
            let (rest, done): (Vec<UnlistedFile>, Vec<UnlistedFile>) = files
                .into_iter()
                .partition(|file| !listed.contains(&file.sha256) && (may_be_edited(file) || file.claimed.is_some()));
            parts.catalogue.record_asked(&ids(&done)).await?;
            for files in rest.chunks(FILES_IN_A_LOT) {
                if self.inner.shutdown.is_cancelled() {
                    return Ok(());
                }
                let listed = self.ask_by_tensors(files).await?;
                let is_unlisted = |file: &&UnlistedFile| file.auto_v3.as_ref().is_none_or(|one| !listed.contains(one));
                self.ask_about_claims(files.iter().filter(is_unlisted)).await?;
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

    /// The digests of tensors that the hub lists; the pages that have them are on record.
    async fn ask_by_tensors(&self, files: &[UnlistedFile]) -> Result<HashSet<String>, SyncError> {
        let digests: BTreeSet<&String> =
            files.iter().filter(|file| may_be_edited(file)).filter_map(|file| file.auto_v3.as_ref()).collect();
        let (mut pages, mut listed) = (Pages::default(), HashSet::new());
        for digest in digests {
            match self.inner.parts.hubs.identify_tensors(digest).await {
                Ok(None) => {}
                Ok(Some(numbers)) => {
                    pages.models.insert(numbers.model);
                    listed.insert(digest.clone());
                }
                Err(error) if is_of_the_answer(error.class()) => {
                    tracing::warn!(%error, digest, "the hub's answer about some tensors is of no use");
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.record_pages(pages).await?;
        Ok(listed)
    }

    /// Looks at the pages that these files are said to be on, and links those on which what is listed agrees.
    async fn ask_about_claims(&self, files: impl Iterator<Item = &UnlistedFile>) -> Result<(), SyncError> {
        let (mut pages, mut claiming) = (Pages::default(), Vec::new());
        for file in files {
            let Some(claimed) = &file.claimed else { continue };
            claiming.push(file.file);
            match (claimed.model, claimed.version) {
                (Some(model), _) => _ = pages.models.insert(model.to_string()),
                (None, Some(version)) => _ = pages.versions.insert(version.to_string()),
                (None, None) => {}
            }
        }
        if claiming.is_empty() {
            return Ok(());
        }
        self.record_pages(pages).await?;
        Ok(self.inner.parts.catalogue.link_claimed_files(&claiming).await?)
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
            match parts.hubs.resolve(&ModelRef::CivitaiVersion { version }).await {
                Ok(found) => drop(parts.catalogue.record_models(&[found.model], None).await?),
                // It was taken down, or the number was never one.
                Err(error) if is_of_the_answer(error.class()) => {
                    tracing::info!(%error, version, "no page of a version");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

pub(super) fn repository_of(file: &UnlistedFile) -> Option<&ClaimedRepository> {
    file.claimed.as_ref()?.repository.as_ref()
}

/// Only safetensors have a header that can be rewritten with the tensors staying as they are.
fn may_be_edited(file: &UnlistedFile) -> bool {
    file.format == FileFormat::Safetensors && file.auto_v3.is_some()
}

/// Whether the same question would be answered alike by a hub that is well.
pub(super) fn is_of_the_answer(class: ErrorClass) -> bool {
    !matches!(
        class,
        ErrorClass::Unavailable | ErrorClass::AccessDenied | ErrorClass::Cancelled | ErrorClass::DeadlineExceeded
    )
}

fn ids(files: &[UnlistedFile]) -> Vec<LibraryFileId> {
    files.iter().map(|file| file.file).collect()
}
