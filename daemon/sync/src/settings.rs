//! What people decide about syncing, and may decide otherwise while the daemon runs.
//!
//! Whoever needs a setting asks for it when it is needed and keeps no copy for later, so that [`Sync::adopt`] exchanges all
//! of them at one moment. What is under way is not begun anew: a download goes on, at the pace that holds by now.

use crate::care::Care;
use crate::downloads::DownloadLimits;
use crate::notify::Announcer;
use crate::service::Sync;
use paintbox_domain::Shortage;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How often each follow is looked at by itself; none means only when asked.
    pub sync_interval: Option<Duration>,
    pub limits: DownloadLimits,
    /// What downloads leave free on a volume that has no rule of its own.
    pub kept_free_bytes: u64,
    pub care: Care,
    /// What the machine may be short of without anything waiting for it.
    pub ignored_shortages: Vec<Shortage>,
    /// Who is told of new versions.
    pub announcers: Vec<Arc<dyn Announcer>>,
}

impl Sync {
    /// The settings that hold now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.inner.settings.load_full()
    }

    /// Goes on with other settings.
    pub fn adopt(&self, settings: Settings) {
        self.take_to_parts(&settings);
        self.inner.settings.store(Arc::new(settings));
        // Each of them rests until something is due, which may be sooner by now.
        self.inner.nudge.notify_one();
        self.inner.manners.stirred.notify_one();
        self.inner.adopted.notify_waiters();
    }

    /// Tells those parts of their settings that are asked at every piece of a file.
    pub(crate) fn take_to_parts(&self, settings: &Settings) {
        let places = &self.inner.parts.places;
        places.keep_free(settings.kept_free_bytes);
        places.set_leave_out_of_backups(settings.care.leave_out_of_backups);
        self.inner.downloads.throttles.cap(settings.limits.max_bytes_per_second);
    }
}
