//! Telling somebody that a new version is there. What is to be told is a row, so that it is told even if the daemon
//! ends in between; how it is told is the business of an [`Announcer`].

use crate::error::SyncError;
use crate::service::Sync;
use futures::future::BoxFuture;
use paintbox_catalogue::Notice;
use paintbox_domain::{Failure, Timestamp};
use std::time::Duration;

/// Attempts at one notice, the waits between them growing to half a day.
const MOST_ATTEMPTS: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(12 * 3600);
/// Notices that are told in one go.
const AT_ONCE: u32 = 50;

/// A way to tell somebody.
pub trait Announcer: Send + std::marker::Sync + std::fmt::Debug {
    /// The stable name under which its notices are kept: `desktop`, `webhook`.
    fn name(&self) -> &'static str;

    /// Tells of one new version. A failure is tried again later.
    fn announce<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Result<(), Failure>>;
}

impl Sync {
    /// Tells what is due: after every run, and in every round of the reconciler.
    pub(crate) async fn tell(&self) -> Result<(), SyncError> {
        let (parts, settings) = (&self.inner.parts, self.settings());
        if settings.announcers.is_empty() {
            return Ok(());
        }
        let _telling = self.inner.telling.lock().await;
        for notice in parts.catalogue.due_notices(parts.clock.now(), AT_ONCE).await? {
            let announcer = settings.announcers.iter().find(|announcer| announcer.name() == notice.announcer);
            let Some(announcer) = announcer else {
                // It was switched off since; what it has not told is not wanted any more.
                parts.catalogue.record_notice_failed(notice.id, None).await?;
                continue;
            };
            match announcer.announce(&notice).await {
                Ok(()) => parts.catalogue.record_notice_told(notice.id).await?,
                Err(failure) => {
                    let again = next_attempt(notice.attempts + 1, parts.clock.now());
                    tracing::warn!(announcer = announcer.name(), version = %notice.version, reason = %failure.reason, last = again.is_none(), "cannot tell of a new version: {failure}");
                    parts.catalogue.record_notice_failed(notice.id, again).await?;
                }
            }
        }
        Ok(())
    }
}

fn next_attempt(failed: u32, now: Timestamp) -> Option<Timestamp> {
    let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1).min(16))).min(LONGEST_WAIT);
    (failed < MOST_ATTEMPTS).then(|| now.plus(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_grow_apart_and_end() {
        let now = Timestamp::from_unix_ms(0);
        let waits: Vec<Option<u64>> =
            (1..=10).map(|failed| next_attempt(failed, now).map(|at| at.since(now).as_secs())).collect();
        assert_eq!(&waits[..3], [Some(60), Some(120), Some(240)]);
        assert!(waits[8] <= Some(LONGEST_WAIT.as_secs()) && waits[8] > waits[7]);
        assert_eq!(waits[9], None);
    }
}
