//! Bandwidth caps: what the transfers of one follow, or all of them, may take together, as buckets of bytes that fill
//! at the cap.

use paintbox_catalogue::FollowId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The buckets of everything that has a cap, or may get one.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    follows: Mutex<HashMap<FollowId, Arc<Throttle>>>,
    everything: Arc<Throttle>,
}

impl Throttles {
    /// The buckets that a transfer takes from: that of all transfers, and that of its follow, where this has a cap in bytes a
    /// second. A cap that changed holds for who takes from the bucket already, too.
    pub(crate) fn of(&self, follow: Option<(FollowId, u64)>) -> Vec<Arc<Throttle>> {
        let mut throttles = vec![self.everything.clone()];
        if let Some((follow, bytes_per_second)) = follow {
            let mut follows = self.follows.lock().unwrap_or_else(PoisonError::into_inner);
            let throttle = follows.entry(follow).or_default();
            throttle.cap(Some(bytes_per_second));
            throttles.push(throttle.clone());
        }
        throttles
    }

    /// Caps all transfers together; none: they are as fast as they come.
    pub(crate) fn cap(&self, bytes_per_second: Option<u64>) {
        self.everything.cap(bytes_per_second);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// 0: no cap.
    bytes_per_second: AtomicU64,
    /// When the bytes that were taken so far will have been paid for.
    paid_until: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        let this = Self::default();
        this.cap(Some(bytes_per_second));
        this
    }

    fn cap(&self, bytes_per_second: Option<u64>) {
        self.bytes_per_second.store(bytes_per_second.map_or(0, |cap| cap.max(1)), Ordering::Relaxed);
    }

    /// Takes `bytes` that have arrived, and says when they will be paid for, if they cost anything. Not reading on until then
    /// is what slows the sender down.
    pub(crate) fn take(&self, bytes: u64) -> Option<Instant> {
        let bytes_per_second = self.bytes_per_second.load(Ordering::Relaxed);
        if bytes_per_second == 0 {
            return None;
        }
        let price = Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
        let (mut paid_until, now) = (self.paid_until.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        *paid_until = Some(paid_until.map_or(now, |paid_until| paid_until.max(now)) + price);
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
            let throttle = throttles.of(follow).pop().unwrap();
            for _ in 0..chunks {
                tokio::time::sleep_until(throttle.take(500).unwrap()).await;
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
    }

    #[tokio::test(start_paused = true)]
    async fn a_cap_on_everything_holds_beside_that_of_a_follow() {
        let throttles = Throttles::default();
        throttles.cap(Some(100));
        let waits = |throttles: &[Arc<Throttle>]| -> Vec<Option<Duration>> {
            let taken = throttles.iter().map(|throttle| throttle.take(100));
            taken.map(|paid_until| Some(paid_until?.duration_since(Instant::now()))).collect()
        };
        let both = throttles.of(Some((FollowId::new(1), 1000)));
        assert_eq!(waits(&both), [Some(Duration::from_secs(1)), Some(Duration::from_millis(100))]);
        let other = throttles.of(Some((FollowId::new(2), 1000)));
        assert!(waits(&other)[0] >= Some(Duration::from_secs(2)), "it is shared");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cap_that_changes_holds_for_transfers_under_way() {
        let throttles = Throttles::default();
        let transfer = throttles.of(None).pop().unwrap();
        let takes = || Some(transfer.take(500)?.duration_since(Instant::now()));
        assert_eq!(takes(), None, "nobody set one");
        throttles.cap(Some(1000));
        assert_eq!(takes(), Some(Duration::from_millis(500)));
        throttles.cap(Some(100));
        assert_eq!(takes(), Some(Duration::from_millis(5_500)));
        throttles.cap(None);
        assert_eq!(takes(), None);
    }
}
