//! What is done for the files by itself, a little at a time: the trash is emptied of what has expired, and files are read
//! again, those first that were not read for the longest.

use crate::error::SyncError;
use crate::service::Sync;
use crate::throttle::Throttle;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How often it is looked whether there is something to do.
const INTERVAL: Duration = Duration::from_secs(600);
/// How often a file that is being read again looks whether downloads are under way, which go first.
const YIELD: Duration = Duration::from_secs(1);

/// How files are cared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Care {
    /// How long a removal can be undone.
    pub trash_for: Duration,
    /// A file is read again when it was not for this long; none: never by itself.
    pub reread_after: Option<Duration>,
    pub reread_bytes_per_second: u64,
}

impl Default for Care {
    /// A terabyte takes nine hours at this pace, of every ninety days; a disk that spins gives about five times as much.
    fn default() -> Self {
        Self { trash_for: DAY * 30, reread_after: Some(DAY * 90), reread_bytes_per_second: 32 << 20 }
    }
}

impl Sync {
    /// Runs until shutdown.
    pub async fn care(&self) {
        loop {
            if let Err(error) = self.care_once().await {
                tracing::error!(%error, "cannot look after the files");
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = self.inner.shutdown.cancelled() => return,
            }
        }
    }

    /// Does all that is due now: one turn of [`Self::care`].
    ///
    /// # Errors
    /// When the catalogue fails.
    pub async fn care_once(&self) -> Result<(), SyncError> {
        self.empty_expired_trash().await?;
        let parts = &self.inner.parts;
        let Some(after) = parts.care.reread_after else { return Ok(()) };
        let pace = Throttle::new(parts.care.reread_bytes_per_second.max(1));
        while !self.inner.shutdown.is_cancelled() {
            let due = parts.catalogue.at_rest(parts.clock.now().minus(after), None, false, 1).await?;
            let Some(place) = due.first() else { break };
            let found = self.reread(place, Some(&pace), |_| self.downloads_have_ended()).await?;
            if let Some((problem, error)) = found {
                self.attend_to_problem(place, problem, error, true).await?;
                self.look_at_volumes().await?;
            }
        }
        Ok(())
    }

    /// Waits while downloads are under way. False when the daemon ends.
    async fn downloads_have_ended(&self) -> bool {
        while self.inner.downloads.is_at_work() {
            tokio::select! {
                () = tokio::time::sleep(YIELD) => {}
                () = self.inner.shutdown.cancelled() => return false,
            }
        }
        true
    }
}
