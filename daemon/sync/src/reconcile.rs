//! The loop that makes new work arrive by itself: woken by a timer, takes no input, looks at the follows that are due
//! and fetches what is new. Between two due times it sleeps and reads nothing: whoever makes something due sooner nudges.

use crate::check::Occasion;
use crate::error::SyncError;
use crate::plan::Plan;
use crate::schedule;
use crate::service::Sync;
use paintbox_catalogue::{Extent, Follow, FollowId, Scope};
use paintbox_domain::{Chore, Classify as _, Timestamp};
use std::time::Duration;

/// The longest that a round which failed is waited for.
const AFTER_FAILURE: Duration = Duration::from_secs(300);
/// Without a nudge and with nothing due, a look is worth its while no more often than this.
const LONGEST_REST: Duration = Duration::from_secs(6 * 3600);

impl Sync {
    /// Runs until shutdown.
    pub async fn reconcile(&self) {
        loop {
            let next = self.tick().await;
            let now = self.inner.parts.clock.now();
            let due = match next {
                Ok(next) => next.map_or(now.plus(LONGEST_REST), |next| next.min(now.plus(LONGEST_REST))),
                Err(error) => {
                    tracing::error!(%error, "the automatic sync could not do its round");
                    now.plus(AFTER_FAILURE)
                }
            };
            tokio::select! {
                goes_on = self.rest_until(due) => if !goes_on { return },
                () = self.inner.nudge.notified() => {}
            }
        }
    }

    /// Does everything that is due at the clock's present time, once, and says when something is due next: one turn of
    /// [`Self::reconcile`].
    ///
    /// # Errors
    /// When the catalogue fails. A hub that fails is on record with its follows.
    pub async fn tick(&self) -> Result<Option<Timestamp>, SyncError> {
        let parts = &self.inner.parts;
        self.look_at_volumes().await?;
        parts.catalogue.requeue_due_downloads().await?;
        self.hand_out().await?;
        // What has to wait is nudged when it need not any longer.
        let looks = match self.settings().sync_interval {
            Some(interval) => self.look_at_due(interval).await?,
            None => false,
        };
        self.tell().await?;
        let mut next = vec![parts.catalogue.next_due_download().await?, parts.catalogue.next_notice().await?];
        if looks {
            next.push(parts.catalogue.next_due().await?);
        }
        Ok(next.into_iter().flatten().min())
    }

    /// Looks at the follows that are due and fetches what they want. False, and nothing done, when that has to wait.
    async fn look_at_due(&self, interval: Duration) -> Result<bool, SyncError> {
        let parts = &self.inner.parts;
        let now = parts.clock.now();
        let late = parts.catalogue.follows_due_after(now.plus(schedule::longest(interval))).await?;
        if !late.is_empty() {
            let sooner: Vec<_> =
                late.into_iter().map(|follow| (follow, schedule::anew(follow, now, interval))).collect();
            parts.catalogue.schedule_checks(&sooner).await?;
        }
        let mut due = parts.catalogue.due_follows(now).await?;
        if !due.is_empty() && self.has_to_wait(Chore::Looks).await? {
            return Ok(false);
        }
        if due.len() > schedule::BURST {
            parts.catalogue.schedule_checks(&schedule::spread(&due, now, interval)).await?;
            due.truncate(1);
        }
        for id in due {
            if self.inner.shutdown.is_cancelled() {
                return Ok(true);
            }
            // It may have been deleted, or looked at by hand, since the round began.
            let Some(follow) = parts.catalogue.follow_by_id(id).await? else { continue };
            if follow.next_check_at.unwrap_or(follow.created_at) <= now {
                self.attend_to(&follow).await?;
            }
        }
        Ok(true)
    }

    /// Looks at one follow and fetches what it wants.
    async fn attend_to(&self, follow: &Follow) -> Result<(), SyncError> {
        match self.check(follow, Occasion::Due).await {
            Ok(()) => {}
            Err(SyncError::Catalogue(error)) => return Err(error.into()),
            Err(error) => {
                tracing::info!(follow = %follow.target, reason = error.reason(), "cannot look at it now: {error}");
                // A hub that does not answer questions hands out no files either.
                if error.class().is_retryable() {
                    return Ok(());
                }
            }
        }
        self.fetch_news(follow.id).await
    }

    /// Fetches what a follow wants and has not got, new or left over: a version whose early access ended, a file that
    /// failed, or what quiet hours held back. Costs one query when there is nothing.
    async fn fetch_news(&self, follow: FollowId) -> Result<(), SyncError> {
        let Some(plan) = self.news(follow).await? else { return Ok(()) };
        if self.has_to_wait(Chore::Downloads).await? {
            return self.queue_for_later(&plan).await;
        }
        let run = self.start_automatic(follow, plan).await?;
        self.wait(&run.uid).await
    }

    /// What there is to fetch for a follow.
    pub(crate) async fn news(&self, follow: FollowId) -> Result<Option<Plan>, SyncError> {
        let plan = self.inner.parts.plan(&Scope::Follows(vec![follow]), Extent::News).await?;
        Ok(Some(plan).filter(Plan::has_work))
    }

    async fn wait(&self, uid: &str) -> Result<(), SyncError> {
        use futures::StreamExt as _;
        let mut events = std::pin::pin!(self.watch(uid, None).await?);
        while let Some(event) = events.next().await {
            event?;
        }
        Ok(())
    }
}
