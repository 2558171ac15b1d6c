//! Bandwidth caps: what the transfers of one follow, or all of them, may take together, as buckets of bytes that fill
//! at the cap.

use paintbox_catalogue::FollowId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The buckets of everything that has a cap.
#[derive(Debug, Default)]
pub(crate) struct Throttles(Mutex<HashMap<Capped, Arc<Throttle>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Capped {
    Follow(FollowId),
    Everything,
}

impl Throttles {
    /// The buckets that a transfer takes from: that of its follow, and that of all transfers, where they have a cap in
    /// bytes a second. A changed cap makes a new bucket.
    pub(crate) fn of(&self, follow: Option<(FollowId, u64)>, everything: Option<u64>) -> Vec<Arc<Throttle>> {
        let mut throttles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let follow = follow.map(|(follow, cap)| (Capped::Follow(follow), cap));
        let everything = everything.map(|cap| (Capped::Everything, cap));
        let mut bucket = |(capped, cap): (Capped, u64)| {
            let cap = cap.max(1);
            let throttle = throttles.entry(capped).or_insert_with(|| Arc::new(Throttle::new(cap)));
            if throttle.bytes_per_second != cap {
                *throttle = Arc::new(Throttle::new(cap));
            }
            Arc::clone(throttle)
        };
        [follow, everything].into_iter().flatten().map(&mut bucket).collect()
    }
}

#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: u64,
    /// When the bytes that were taken so far will have been paid for.
    paid_until: Mutex<Instant>,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, paid_until: Mutex::new(Instant::now()) }
    }

    /// Takes `bytes` that have arrived, and says when they will be paid for. Not reading on until then is what slows the
    /// sender down.
    pub(crate) fn take(&self, bytes: u64) -> Instant {
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let price = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        *paid_until = (*paid_until).max(Instant::now()) + price;
        *paid_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn transfers_of_one_follow_share_its_cap() {
        let throttles = Throttles::default();
        let follow = Some((FollowId::new(1), 1000));
        let start = Instant::now();
        let take = async |chunks: u64| {
            let throttle = throttles.of(follow, None).pop().unwrap();
            for _ in 0..chunks {
                tokio::time::sleep_until(throttle.take(500)).await;
            }
        };
        tokio::join!(take(10), take(10));
        let took = start.elapsed();
        assert!((Duration::from_millis(9_990)..Duration::from_millis(10_050)).contains(&took), "{took:?}");
        // An idle bucket saves up nothing.
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        take(2).await;
        assert!(start.elapsed() >= Duration::from_millis(990));
        assert!(throttles.of(None, None).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cap_on_everything_holds_beside_that_of_a_follow() {
        let throttles = Throttles::default();
        let both = throttles.of(Some((FollowId::new(1), 1000)), Some(100));
        let waits: Vec<_> = both.iter().map(|throttle| throttle.take(100).duration_since(Instant::now())).collect();
        assert_eq!(waits, [Duration::from_millis(100), Duration::from_secs(1)]);
        let other = throttles.of(Some((FollowId::new(2), 1000)), Some(100));
        assert!(other[1].take(100).duration_since(Instant::now()) >= Duration::from_secs(2), "it is shared");
    }
}
