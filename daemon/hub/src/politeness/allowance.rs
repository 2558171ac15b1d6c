//! How soon the next request may go: a bucket of tokens of our own, and the pace that the site's window leaves.
//!
//! Pure: it is told the time.

use super::limits::Pace;
use super::rate_limit::Window;
use std::time::Duration;
use tokio::time::Instant;

/// What may be asked, and when.
#[derive(Debug)]
pub(super) struct Allowance {
    pace: Option<Pace>,
    /// When the bucket will be full again if nothing more is taken.
    full_at: Instant,
    /// The distance that the site's window demands between requests; zero while there is plenty.
    spacing: Duration,
    /// When the next request may go as far as that distance is concerned.
    next_at: Instant,
    /// The end of a pause that the site asked for.
    paused_until: Instant,
}

impl Allowance {
    pub(super) fn new(pace: Option<Pace>, now: Instant) -> Self {
        Self { pace, full_at: now, spacing: Duration::ZERO, next_at: now, paused_until: now }
    }

    /// Takes the next place in the row: how long to wait for it. A place that is further away than `longest` is not
    /// taken.
    ///
    /// # Errors
    /// How long it would have been.
    pub(super) fn take(&mut self, now: Instant, longest: Duration) -> Result<Duration, Duration> {
        let mut at = self.next_at.max(self.paused_until).max(now);
        let mut full_at = self.full_at;
        if let Some(Pace { burst, refill }) = self.pace {
            // The bucket is empty while it needs `burst` refills to be full, so the token is there one refill earlier.
            let empty_for = refill * burst.saturating_sub(1);
            full_at = self.full_at.max(now) + refill;
            if let Some(token_at) = full_at.checked_sub(refill + empty_for) {
                at = at.max(token_at);
            }
        }
        let wait = at.saturating_duration_since(now);
        if wait > longest {
            return Err(wait);
        }
        self.full_at = full_at;
        self.next_at = at + self.spacing;
        Ok(wait)
    }

    /// Learns from a window that is not exhausted. The first half of it may be spent as it comes; the second half is
    /// spread over the time that is left, so that the end of the quota is never met.
    pub(super) fn learn(&mut self, window: Window, now: Instant) {
        let is_plenty = window.quota.is_some_and(|quota| window.remaining >= quota / 2);
        let spread = window.resets_in.checked_div(window.remaining);
        self.spacing = if is_plenty { Duration::ZERO } else { spread.unwrap_or_default() };
        // Answers that overlap must not each push the next request away.
        self.next_at = self.next_at.min(now + self.spacing);
    }

    /// Nothing goes for this long.
    pub(super) fn pause(&mut self, pause: Duration, now: Instant) {
        self.paused_until = self.paused_until.max(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_A_MINUTE: Duration = Duration::from_secs(30);

    fn window(remaining: u32, seconds: u64) -> Window {
        Window { of: None, remaining, resets_in: Duration::from_secs(seconds), quota: Some(500) }
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_pace() {
        let now = Instant::now();
        let refill = Duration::from_millis(500);
        let mut allowance = Allowance::new(Some(Pace { burst: 3, refill }), now);
        let waits: Vec<u128> = (0..6).map(|_| allowance.take(now, HALF_A_MINUTE).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500, 1000, 1500]);
        let later = now + Duration::from_secs(60);
        let waits: Vec<u128> = (0..4).map(|_| allowance.take(later, HALF_A_MINUTE).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500], "a rest fills the bucket and no more than that");
    }

    #[test]
    fn the_second_half_of_a_window_is_spread_over_what_is_left_of_it() {
        let now = Instant::now();
        let mut allowance = Allowance::new(None, now);
        allowance.learn(window(400, 200), now);
        assert_eq!(allowance.take(now, HALF_A_MINUTE), Ok(Duration::ZERO));
        assert_eq!(allowance.take(now, HALF_A_MINUTE), Ok(Duration::ZERO));
        allowance.learn(window(100, 200), now);
        let waits: Vec<u64> = (0..3).map(|_| allowance.take(now, HALF_A_MINUTE).unwrap().as_secs()).collect();
        assert_eq!(waits, [0, 2, 4]);
        allowance.learn(window(500, 300), now);
        assert_eq!(allowance.take(now, HALF_A_MINUTE), Ok(Duration::ZERO), "a new window begins");
    }

    #[test]
    fn a_pause_holds_whatever_the_window_says() {
        let now = Instant::now();
        let mut allowance = Allowance::new(None, now);
        allowance.pause(Duration::from_secs(21), now);
        allowance.learn(window(500, 300), now);
        allowance.pause(Duration::from_secs(3), now);
        assert_eq!(allowance.take(now, HALF_A_MINUTE), Ok(Duration::from_secs(21)));
        assert_eq!(allowance.take(now + Duration::from_secs(22), HALF_A_MINUTE), Ok(Duration::ZERO));
        allowance.pause(Duration::from_secs(100), now);
        assert_eq!(allowance.take(now, HALF_A_MINUTE), Err(Duration::from_secs(100)));
    }

    #[test]
    fn a_place_that_is_too_far_away_is_not_taken() {
        let now = Instant::now();
        let mut allowance = Allowance::new(Some(Pace { burst: 1, refill: Duration::from_secs(20) }), now);
        assert_eq!(allowance.take(now, HALF_A_MINUTE), Ok(Duration::ZERO));
        assert_eq!(allowance.take(now, HALF_A_MINUTE), Ok(Duration::from_secs(20)));
        assert_eq!(allowance.take(now, HALF_A_MINUTE), Err(Duration::from_secs(40)));
        assert_eq!(allowance.take(now, HALF_A_MINUTE), Err(Duration::from_secs(40)));
    }
}
