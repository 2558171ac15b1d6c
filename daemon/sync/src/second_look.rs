//! What follows when the bytes of a file are not those that its hub lists. The hub is asked again, because it may have
//! replaced the file since; what came is set aside meanwhile and taken back if it is what the hub lists now. Where
//! nothing was replaced, the bytes were damaged on their way, and are fetched once more.

use crate::Parts;
use crate::error::SyncError;
use paintbox_catalogue::FileRecord;
use paintbox_domain::{Classify as _, ModelRef, reason};

/// Whether an error says that other bytes came than the hub lists.
pub(crate) fn is_due(error: &SyncError) -> bool {
    let of_bytes = [reason::DIGEST_MISMATCH, reason::LENGTH_MISMATCH].contains(&error.reason());
    match error {
        SyncError::Store { .. } => of_bytes,
        SyncError::Inspect { as_listed, .. } => !as_listed,
        _ => false,
    }
}

impl Parts {
    /// What the hub lists now where it listed `file`; none when it lists nothing there any more or does not answer, so
    /// that `doubt` is all there is to tell.
    pub(crate) async fn listed_now(
        &self,
        version: &ModelRef,
        file: &FileRecord,
        doubt: &SyncError,
    ) -> Option<FileRecord> {
        tracing::info!(%version, file = %file.name, %doubt, "asking the hub again");
        match self.look_at(version, file).await {
            Ok(Some(listed)) => {
                let replaced = listed.id != file.id;
                tracing::info!(%version, file = %listed.name, replaced, "fetching what the hub lists now");
                Some(listed)
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%version, file = %file.name, %error, "the hub does not say whether the file was replaced");
                None
            }
        }
    }

    async fn look_at(&self, version: &ModelRef, file: &FileRecord) -> Result<Option<FileRecord>, SyncError> {
        let found = self.hubs.resolve(version).await?;
        self.record_resolved(version, &found.model).await?;
        Ok(self.catalogue.file_now(file.id).await?)
    }
}
