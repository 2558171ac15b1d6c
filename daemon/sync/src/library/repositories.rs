//! Asking Hugging Face about what lies in its own cache. It cannot be asked by digest, but in its cache the folders around a
//! file say of which repository and commit it is. That page, as it was at that commit, lists a digest of every file of
//! weights, so a file is known by its digest here, too, and not by where it lies.

use super::identify::{ASK_AGAIN, FILES_AT_ONCE, is_of_the_answer, repository_of};
use crate::error::SyncError;
use crate::service::Sync;
use paintbox_catalogue::ClaimedRepository;
use paintbox_domain::{Classify as _, ErrorClass};
use std::collections::BTreeSet;

/// So many repositories in a row that the hub said nothing of: it is away, and not they.
const AWAY_AFTER: usize = 2;

/// Repositories that the hub said nothing of.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    pub(super) repositories: BTreeSet<ClaimedRepository>,
    /// What kept the hub from it, the last time.
    pub(super) error: Option<SyncError>,
}

impl Sync {
    /// Puts the pages on record of every repository that files which are due are said to be from.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub(super) async fn ask_about_repositories(&self) -> Result<Unanswered, SyncError> {
        let parts = &self.inner.parts;
        let mut unanswered = Unanswered::default();
        let mut failures = 0;
        for repository in self.due_repositories().await? {
            if failures == AWAY_AFTER || self.inner.shutdown.is_cancelled() {
                unanswered.repositories.insert(repository);
                continue;
            }
            match parts.hubs.resolve(&repository.reference()).await {
                Ok(found) => {
                    parts.catalogue.record_models(&[found.model], None).await?;
                    failures = 0;
                }
                // It was taken down, or is not for everybody's eyes.
                Err(error) if is_of_the_answer(error.class()) || error.class() == ErrorClass::AccessDenied => {
                    tracing::info!(%error, repository = repository.name, "no page of a repository");
                    failures = 0;
                }
                Err(error) => {
                    unanswered.repositories.insert(repository);
                    unanswered.error = Some(error.into());
                    failures += 1;
                }
            }
        }
        Ok(unanswered)
    }

    async fn due_repositories(&self) -> Result<BTreeSet<ClaimedRepository>, SyncError> {
        let parts = &self.inner.parts;
        let before = parts.clock.now().minus(ASK_AGAIN);
        let (mut due, mut last) = (BTreeSet::new(), None);
        loop {
            let files = parts.catalogue.unlisted_library_files(before, last.as_ref(), FILES_AT_ONCE).await?;
            due.extend(files.iter().filter_map(repository_of).cloned());
            match files.last() {
                Some(file) => last = Some(file.clone()),
                None => return Ok(due),
            }
        }
    }
}
