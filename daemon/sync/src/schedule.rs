//! When each follow is looked at next. Pure: time and chance are given.
//!
//! Looks are spread over the interval, so that five hundred follows make an even trickle instead of an hourly burst.
//! After a sleep, when many are overdue at once, they are spread again. A hub that is down or asks for patience is
//! left alone until the moment it named, and then its follows come back one after another.

use crate::error::SyncError;
use paintbox_catalogue::FollowId;
use paintbox_domain::{Classify as _, Timestamp};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

/// More overdue follows than this at once are spread.
pub(crate) const BURST: usize = 5;
/// Overdue follows come one in this time, if that does not take longer than a quarter of the interval.
const OVERDUE_GAP: Duration = Duration::from_secs(5);
/// A follow that fails for its own reasons is looked at this much more rarely at most.
const RAREST: u32 = 24;

/// A number from 0 to 1 that is as good as random and the same for the same follow and time, so that a run can be
/// repeated.
fn chance(follow: FollowId, now: Timestamp) -> f64 {
    let mut hasher = DefaultHasher::new();
    (follow.get(), now.unix_ms()).hash(&mut hasher);
    let bits = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}

/// After a look that went well: an interval later, give or take a tenth.
pub(crate) fn after_success(follow: FollowId, now: Timestamp, interval: Duration) -> Timestamp {
    now.plus(interval.mul_f64(0.9 + 0.2 * chance(follow, now)))
}

/// No look that follows one that went well is further off.
pub(crate) fn longest(interval: Duration) -> Duration {
    interval.mul_f64(1.1)
}

/// For a follow whose next look was set when the interval was longer, or the clock showed another time: within an interval.
pub(crate) fn anew(follow: FollowId, now: Timestamp, interval: Duration) -> Timestamp {
    now.plus(interval.mul_f64(chance(follow, now)))
}

/// After a look that failed for the `failures`-th time in a row.
pub(crate) fn after_failure(
    follow: FollowId,
    now: Timestamp,
    interval: Duration,
    failures: u32,
    error: &SyncError,
) -> Timestamp {
    if error.class().is_retryable() {
        // The hub is the matter, not this follow: all of its follows wait for the same moment and then come spread
        // over an interval.
        let wait = error.retry_after().unwrap_or(interval / 4).max(Duration::from_secs(60));
        return now.plus(wait + interval.mul_f64(chance(follow, now)));
    }
    let factor = 2_u32.saturating_pow(failures.min(10)).min(RAREST);
    now.plus((interval * factor).mul_f64(0.9 + 0.2 * chance(follow, now)))
}

/// New times for follows that are overdue together; the first one stays due.
pub(crate) fn spread(overdue: &[FollowId], now: Timestamp, interval: Duration) -> Vec<(FollowId, Timestamp)> {
    let count = u32::try_from(overdue.len()).unwrap_or(u32::MAX).max(1);
    let gap = OVERDUE_GAP.min(interval / 4 / count);
    overdue
        .iter()
        .enumerate()
        .skip(1)
        .map(|(place, follow)| (*follow, now.plus(gap * u32::try_from(place).unwrap_or(u32::MAX))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);

    fn follows(count: i64) -> Vec<FollowId> {
        (0..count).map(FollowId::new).collect()
    }

    #[test]
    fn looks_drift_apart_but_keep_the_interval() {
        let times: Vec<Duration> =
            follows(500).into_iter().map(|follow| after_success(follow, NOW, HOUR).since(NOW)).collect();
        assert!(times.iter().all(|time| (HOUR.mul_f64(0.9)..=HOUR.mul_f64(1.1)).contains(time)));
        let mean = times.iter().sum::<Duration>() / 500;
        assert!(mean.abs_diff(HOUR) < Duration::from_secs(40), "{mean:?}");
        let most_in_a_minute = (0..15)
            .map(|minute| {
                let from = HOUR.mul_f64(0.9) + Duration::from_secs(60 * minute);
                times.iter().filter(|time| (from..from + Duration::from_secs(60)).contains(*time)).count()
            })
            .max();
        assert!(most_in_a_minute < Some(80), "{most_in_a_minute:?}");
    }

    #[test]
    fn a_hub_that_names_a_time_is_left_alone_until_then() {
        let down = SyncError::Hub(paintbox_hub::HubError::RateLimited {
            hub: paintbox_domain::Hub::Civitai,
            url: String::new(),
            retry_after: Some(Duration::from_secs(1800)),
            said: paintbox_hub::ServerWords::default(),
        });
        for follow in follows(50) {
            let wait = after_failure(follow, NOW, HOUR, 9, &down).since(NOW);
            assert!((HOUR / 2..=HOUR / 2 + HOUR).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn a_follow_that_leads_nowhere_is_looked_at_ever_more_rarely_but_daily() {
        let nobody = || SyncError::Hub(paintbox_hub::HubError::creator_not_found(paintbox_domain::Hub::Civitai, "x"));
        let wait = |failures| after_failure(FollowId::new(1), NOW, HOUR, failures, &nobody()).since(NOW);
        assert!(wait(0) < wait(1) && wait(1) < wait(3));
        for failures in [5, 50, u32::MAX] {
            assert!(wait(failures) <= HOUR.mul_f64(24.0 * 1.1));
        }
    }

    #[test]
    fn what_a_sleep_left_overdue_is_spread() {
        let due = spread(&follows(500), NOW, HOUR);
        assert_eq!(due.len(), 499);
        let last = due.iter().map(|(_, at)| at.since(NOW)).max().unwrap();
        assert!((HOUR / 5..=HOUR / 4).contains(&last), "{last:?}");
        assert!(due.is_sorted_by_key(|(_, at)| *at));
        let few = spread(&follows(3), NOW, HOUR);
        assert_eq!(few.iter().map(|(_, at)| at.since(NOW).as_secs()).collect::<Vec<_>>(), [5, 10]);
    }
}
