//! The loop that makes new work arrive by itself: woken by a timer, takes no input, does one
//! ordinary sync run for the creators that are due.

use crate::service::{Sync, SyncRequest};
use paintbox_domain::Classify as _;
use std::time::Duration;

/// The longest wait for the next look at what is due: a clock that was set back, or a lid that was closed, delays
/// a sync by no more than this.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

impl Sync {
    /// Runs until shutdown. Returns at once when syncing by itself is switched off.
    pub async fn reconcile(&self) {
        if self.inner.parts.sync_interval.is_none() {
            return;
        }
        loop {
            match self.due().await {
                Ok(due) if !due.is_empty() => self.sync_due(due).await,
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "cannot tell which creators are due"),
            }
            tokio::select! {
                () = tokio::time::sleep(LONGEST_WAIT) => {}
                () = self.inner.shutdown.cancelled() => return,
            }
        }
    }

    /// Targets of the follows whose next check has come.
    async fn due(&self) -> Result<Vec<String>, crate::SyncError> {
        let now = self.inner.parts.clock.now();
        let follows = self.inner.parts.catalogue.follows().await?;
        let due = follows.into_iter().filter(|follow| self.next_check(follow).is_some_and(|next| next <= now));
        Ok(due.map(|follow| follow.target.to_string()).collect())
    }

    async fn sync_due(&self, follows: Vec<String>) {
        let request = SyncRequest { follows, ..SyncRequest::default() };
        let result = match self.start(&request).await {
            Ok(run) => self.wait(&run.uid).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::warn!(reason = error.reason(), "an automatic sync did not run: {error}");
        }
    }

    async fn wait(&self, uid: &str) -> Result<(), crate::SyncError> {
        use futures::StreamExt as _;
        let mut events = std::pin::pin!(self.watch(uid).await?);
        while let Some(event) = events.next().await {
            event?;
        }
        Ok(())
    }
}
