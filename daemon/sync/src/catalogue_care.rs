//! The care of the catalogue's file, when nothing else is under way: a check if one is due, then the daily backup. Both run
//! beside the daily work and are broken off when the daemon ends.

use crate::error::SyncError;
use crate::service::Sync;
use paintbox_domain::Chore;
use std::time::Duration;

/// How often it is looked whether a check or the daily backup is due.
const REST: Duration = Duration::from_secs(2 * 3600);
/// The same while the machine is short of something.
const REST_IN_NEED: Duration = Duration::from_secs(900);

impl Sync {
    pub(crate) async fn mind_catalogue(&self) {
        while self.downloads_have_ended().await {
            if self.has_to_wait(Chore::Care).await.unwrap_or(false) {
                if !self.rest_until(self.inner.parts.clock.now().plus(REST_IN_NEED)).await {
                    return;
                }
                continue;
            }
            let cared = async {
                tokio::select! {
                    cared = self.care_for_catalogue() => cared,
                    () = self.inner.shutdown.cancelled() => Ok(()),
                }
            };
            if let Err(error) = cared.await {
                tracing::error!(%error, "cannot look after the catalogue");
            }
            if !self.rest_until(self.inner.parts.clock.now().plus(REST)).await {
                return;
            }
        }
    }

    /// Does for the catalogue's file all that is due now. A file that is damaged is not backed up: the copy would be no
    /// better, and would push a good one out.
    ///
    /// # Errors
    /// When the catalogue cannot be read, or there is no room for the backup.
    pub async fn care_for_catalogue(&self) -> Result<(), SyncError> {
        let parts = &self.inner.parts;
        parts.catalogue.check_if_due().await?;
        if parts.catalogue.last_check().await?.is_none_or(|check| check.is_sound()) {
            parts.catalogue.back_up_if_due(&self.settings().care.catalogue).await?;
        }
        Ok(())
    }
}
