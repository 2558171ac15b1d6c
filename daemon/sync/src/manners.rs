//! What waits for a better moment. The daemon does four kinds of things by itself ([`Chore`]), and each waits while the
//! machine is short of something that it would take ([`Chore::waits_for`]). What somebody asked for never waits.
//!
//! Whoever has something to do asks first; nobody looks around while there is nothing to do. While news wait, or downloads
//! that nobody asked for are under way, it is looked every half minute whether that has changed; who is in the middle of a
//! file looks by itself, and the less often the less anybody waits for it: a laptop may be on its battery for a day.

use crate::downloads::Outcome;
use crate::error::SyncError;
use crate::service::Sync;
use crate::settle::blocking;
use paintbox_catalogue::FollowId;
use paintbox_domain::{Chore, Shortage, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked whether what waits may go on, and whether what goes on had better wait.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// The same for who is in the middle of a file that was never read …
const READING_PAUSE: Duration = Duration::from_secs(15);
/// … and for whom nobody waits.
const CARE_PAUSE: Duration = Duration::from_secs(300);

/// How often who does many small things asks whether they may go on.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);

/// Whoever does many small things of a chore, one after the other.
#[derive(Debug)]
pub(crate) struct Steps {
    chore: Chore,
    asked: Option<Instant>,
}

impl Steps {
    pub(crate) const fn of(chore: Chore) -> Self {
        Self { chore, asked: None }
    }

    /// Waits until nothing keeps the next step from being taken. False when the daemon ends.
    pub(crate) async fn next(&mut self, sync: &Sync) -> Result<bool, SyncError> {
        if self.asked.is_some_and(|asked| asked.elapsed() < BETWEEN_QUESTIONS) {
            return Ok(!sync.inner.shutdown.is_cancelled());
        }
        let may = sync.when_it_may(self.chore).await;
        self.asked = Some(Instant::now());
        may
    }
}

/// Something that waits, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    pub chore: Chore,
    /// One at least.
    pub shortages: Vec<Shortage>,
    pub since: Timestamp,
}

/// What waits now.
#[derive(Debug, Default)]
pub(crate) struct Manners {
    waits: Mutex<BTreeMap<Chore, Wait>>,
    /// Something began to wait, or that can be made to wait.
    pub(crate) stirred: tokio::sync::Notify,
}

impl Manners {
    fn waits(&self) -> MutexGuard<'_, BTreeMap<Chore, Wait>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes for what a chore waits, if for anything.
    fn note(&self, chore: Chore, shortages: Vec<Shortage>, now: Timestamp) {
        let mut waits = self.waits();
        if shortages.is_empty() {
            if waits.remove(&chore).is_some() {
                tracing::info!(%chore, "waits no longer");
            }
            return;
        }
        let wait = waits.entry(chore).or_insert_with(|| {
            tracing::info!(%chore, ?shortages, "waits");
            Wait { chore, shortages: Vec::new(), since: now }
        });
        wait.shortages = shortages;
        drop(waits);
        self.stirred.notify_one();
    }
}

impl Sync {
    /// What waits now, and for what.
    #[must_use]
    pub fn waits(&self) -> Vec<Wait> {
        self.inner.manners.waits().values().cloned().collect()
    }

    /// Whether a chore has to wait now, for whoever has some of it to do. What waits is told by [`Self::waits`] until it is
    /// asked again, and taken up by [`Self::mind_surroundings`].
    pub(crate) async fn has_to_wait(&self, chore: Chore) -> Result<bool, SyncError> {
        let shortages = self.shortages_for(chore).await?;
        let waits = !shortages.is_empty();
        self.inner.manners.note(chore, shortages, self.inner.parts.clock.now());
        Ok(waits)
    }

    async fn shortages_for(&self, chore: Chore) -> Result<Vec<Shortage>, SyncError> {
        let surroundings = self.inner.parts.surroundings.clone();
        let mut shortages = blocking(move || surroundings.shortages()).await?;
        let settings = self.settings();
        let is_minded = |shortage| chore.waits_for(shortage) && !settings.ignored_shortages.contains(&shortage);
        shortages.retain(|shortage| is_minded(*shortage));
        Ok(shortages)
    }

    /// Waits until nothing keeps a chore from going on. False when the daemon ends.
    pub(crate) async fn when_it_may(&self, chore: Chore) -> Result<bool, SyncError> {
        let pause = match chore {
            Chore::Looks | Chore::Downloads => LOOK_INTERVAL,
            Chore::Reading => READING_PAUSE,
            Chore::Care => CARE_PAUSE,
        };
        while self.has_to_wait(chore).await? {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.inner.shutdown.cancelled() => return Ok(false),
            }
        }
        Ok(!self.inner.shutdown.is_cancelled())
    }

    /// Has what can wait wait, and go on, as the machine's surroundings change. Runs until shutdown.
    pub(crate) async fn mind_surroundings(&self) {
        loop {
            let news_wait = self.inner.manners.waits().keys().any(|chore| Self::is_news(*chore));
            let is_concerned = news_wait || self.inner.downloads.has_automatic_work();
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL), if is_concerned => {
                    if let Err(error) = self.look_around().await {
                        tracing::error!(%error, "cannot look what the machine is short of");
                    }
                }
                () = self.inner.manners.stirred.notified() => {}
                () = self.inner.shutdown.cancelled() => return,
            }
        }
    }

    /// Stops downloads that had better wait now, and takes up what waited and need not any longer.
    pub(crate) async fn look_around(&self) -> Result<(), SyncError> {
        let waited: Vec<Chore> =
            self.inner.manners.waits().keys().copied().filter(|chore| Self::is_news(*chore)).collect();
        if self.inner.downloads.has_automatic_work() && self.has_to_wait(Chore::Downloads).await? {
            self.inner.downloads.stop_automatic();
        }
        for chore in waited {
            if self.has_to_wait(chore).await? {
                continue;
            }
            match chore {
                Chore::Downloads => self.take_up_news().await?,
                _ => self.inner.nudge.notify_one(),
            }
        }
        Ok(())
    }

    /// Whether a chore is taken up by whoever looks around. Of the others, whoever is in the middle of them looks.
    const fn is_news(chore: Chore) -> bool {
        matches!(chore, Chore::Looks | Chore::Downloads)
    }

    /// Tells those who wait for downloads that nobody asked for that these wait.
    pub(crate) async fn hold_automatic(&self) -> Result<(), SyncError> {
        for (id, _) in self.inner.parts.catalogue.queued_automatic_downloads().await? {
            self.inner.downloads.end_waiting(id, Outcome::Held);
        }
        Ok(())
    }

    /// Begins runs for what follows want and what waited in the queue.
    async fn take_up_news(&self) -> Result<(), SyncError> {
        let queued = self.inner.parts.catalogue.queued_automatic_downloads().await?;
        let follows: BTreeSet<FollowId> = queued.into_iter().filter_map(|(_, follow)| follow).collect();
        for follow in follows {
            if let Some(plan) = self.news(follow).await? {
                self.start_automatic(follow, plan).await?;
            }
        }
        // Follows may have been deleted meanwhile.
        self.hand_out().await
    }
}
