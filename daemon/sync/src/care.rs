//! What is done for the files by itself, a little at a time: the trash is emptied of what has expired, backups are told what
//! to leave out, and files are read again, those first that were not read for the longest.

use crate::error::SyncError;
use crate::service::Sync;
use crate::throttle::Throttle;
use crate::verify::{By, Problem};
use paintbox_catalogue::{AtRestQuery, CatalogueCare, ObservationId};
use paintbox_domain::{Chore, Timestamp};
use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How often it is looked what time it is: a clock that was set, or a lid that was closed, delays nothing by more.
const INTERVAL: Duration = Duration::from_secs(300);
/// How often it is looked whether there is something to do for the files.
const FILES_REST: Duration = Duration::from_secs(6 * 3600);
/// Of the shortest, so that a catalogue that cannot be written makes nothing spin.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// How often it is looked which volumes are there.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Files whose rows are read at once.
const PAGE: u32 = 100;
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
    /// Whether hubs are asked, by digest, about what lies in libraries.
    pub identify: bool,
    /// Whether the system's backups leave out what can be fetched again.
    pub leave_out_of_backups: bool,
    /// How the catalogue's own file is.
    pub catalogue: CatalogueCare,
}

impl Default for Care {
    /// A terabyte takes nine hours at this pace, of every ninety days; a disk that spins gives about five times as much.
    fn default() -> Self {
        Self {
            trash_for: DAY * 30,
            reread_after: Some(DAY * 90),
            reread_bytes_per_second: 32 << 20,
            identify: true,
            leave_out_of_backups: true,
            catalogue: CatalogueCare::default(),
        }
    }
}

impl Sync {
    /// Runs until shutdown.
    pub async fn care(&self) {
        futures::join!(self.mind_volumes(), self.mind_files(), self.mind_catalogue(), self.mind_surroundings());
    }

    /// Notices disks that come and go.
    async fn mind_volumes(&self) {
        loop {
            let has_volumes = self.inner.parts.places.has_volumes();
            tokio::select! {
                () = tokio::time::sleep(if has_volumes { LOOK_INTERVAL } else { INTERVAL }) => {}
                () = self.inner.shutdown.cancelled() => return,
            }
            // Without volumes there is nothing to look at; the first one is looked at when it is added.
            if !has_volumes {
                continue;
            }
            let looked = async {
                self.look_at_volumes().await?;
                self.hand_out().await
            };
            if let Err(error) = looked.await {
                tracing::error!(%error, "cannot look at the volumes");
            }
        }
    }

    async fn mind_files(&self) {
        loop {
            if let Err(error) = self.care_once().await {
                tracing::error!(%error, "cannot look after the files");
            }
            // Both are counted in days, so nothing is late by more than a small part of what it waited.
            let Care { reread_after, trash_for, .. } = self.settings().care;
            let shortest = reread_after.unwrap_or(trash_for).min(trash_for);
            let rest = (shortest / 100).clamp(INTERVAL, FILES_REST);
            if !self.rest_until(self.inner.parts.clock.now().plus(rest)).await {
                return;
            }
        }
    }

    /// Does for the files all that is due now.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub async fn care_once(&self) -> Result<(), SyncError> {
        self.empty_expired_trash().await?;
        self.forget_unused_pictures().await?;
        self.mark_for_backups().await?;
        let parts = &self.inner.parts;
        let mut last = None;
        loop {
            let Some(after) = self.settings().care.reread_after else { return Ok(()) };
            let everything = AtRestQuery::unread_since(parts.clock.now().minus(after));
            // Those about which nothing can be done now, such as on a disk that fails, keep no other waiting.
            let query = AtRestQuery { after: last, limit: PAGE, ..everything };
            let due = parts.catalogue.at_rest(&query).await?;
            let Some(end) = due.last() else { return Ok(()) };
            last = Some((end.sound_at, end.id));
            for place in &due {
                if self.inner.shutdown.is_cancelled() {
                    return Ok(());
                }
                if self.unreadable().contains(&place.id) {
                    continue;
                }
                let pace = Throttle::new(self.settings().care.reread_bytes_per_second.max(1));
                let found = self.reread(place, Some(&pace), |_| self.may_care()).await?;
                if let Some((problem, error)) = found {
                    self.attend_to_problem(place, problem, error, By::Itself).await?;
                    if problem == Problem::Unreadable {
                        self.unreadable().insert(place.id);
                    }
                    self.look_at_volumes().await?;
                }
            }
        }
    }

    /// Waits for a time on the clock, or for other settings; nothing is read meanwhile. False when the daemon ends.
    pub(crate) async fn rest_until(&self, due: Timestamp) -> bool {
        let started = self.inner.parts.clock.now();
        let mut now = started;
        loop {
            tokio::select! {
                () = tokio::time::sleep(due.since(now).clamp(SHORTEST_REST, INTERVAL)) => {}
                () = self.inner.adopted.notified() => return true,
                () = self.inner.shutdown.cancelled() => return false,
            }
            now = self.inner.parts.clock.now();
            // A clock that was set back would make a long rest of it.
            if now >= due || now < started {
                return true;
            }
        }
    }

    fn unreadable(&self) -> MutexGuard<'_, HashSet<ObservationId>> {
        self.inner.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while downloads are under way or the machine is short of something. False when the daemon ends.
    async fn may_care(&self) -> bool {
        let may = self.downloads_have_ended().await;
        may && self.when_it_may(Chore::Care).await.unwrap_or(false)
    }

    /// Waits while downloads are under way. False when the daemon ends.
    pub(crate) async fn downloads_have_ended(&self) -> bool {
        while self.inner.downloads.is_at_work() {
            tokio::select! {
                () = tokio::time::sleep(YIELD) => {}
                () = self.inner.shutdown.cancelled() => return false,
            }
        }
        true
    }
}
