//! Time as a port: libraries are told the time, so tests can move it.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z; the form in which times are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    #[must_use]
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    #[must_use]
    pub fn minus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// The current time. The daemon has one real clock; tests have one that they set.
pub trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> Timestamp;

    /// Minutes since midnight on the wall of whoever runs this, for quiet hours. Without a wall it is UTC.
    fn minute_of_day(&self) -> u16 {
        let minute = self.now().unix_ms().div_euclid(60_000).rem_euclid(1440);
        u16::try_from(minute).unwrap_or_default()
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug, Default)]
pub struct ManualClock(std::sync::atomic::AtomicI64);

impl ManualClock {
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self(std::sync::atomic::AtomicI64::new(time.unix_ms()))
    }

    pub fn set(&self, time: Timestamp) {
        self.0.store(time.unix_ms(), std::sync::atomic::Ordering::SeqCst);
    }

    pub fn advance(&self, duration: std::time::Duration) {
        let step = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(step, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}
