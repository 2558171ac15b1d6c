//! A follow's bandwidth cap: what its transfers may take together, as a bucket of bytes that fills at the cap.

use paintbox_catalogue::FollowId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The buckets of all follows that have a cap.
#[derive(Debug, Default)]
pub(crate) struct Throttles(Mutex<HashMap<FollowId, Arc<Throttle>>>);

impl Throttles {
    /// The bucket of a follow, or none without a cap. A changed cap makes a new bucket.
    pub(crate) fn of(&self, follow: Option<FollowId>, bytes_per_second: Option<u64>) -> Option<Arc<Throttle>> {
        let (follow, cap) = (follow?, bytes_per_second?.max(1));
        let mut throttles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let throttle = throttles.entry(follow).or_insert_with(|| Arc::new(Throttle::new(cap)));
        if throttle.bytes_per_second != cap {
            *throttle = Arc::new(Throttle::new(cap));
        }
        Some(Arc::clone(throttle))
    }
}

#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: u64,
    /// When the bytes that were taken so far will have been paid for.
    paid_until: Mutex<Instant>,
}

impl Throttle {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, paid_until: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` that have arrived are paid for. Not reading on is what slows the sender down.
    pub(crate) async fn take(&self, bytes: u64) {
        let until = {
            let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
            let price = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            *paid_until = (*paid_until).max(Instant::now()) + price;
            *paid_until
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn transfers_of_one_follow_share_its_cap() {
        let throttles = Throttles::default();
        let follow = Some(FollowId::new(1));
        let start = Instant::now();
        let take = async |chunks: u64| {
            let throttle = throttles.of(follow, Some(1000)).unwrap();
            for _ in 0..chunks {
                throttle.take(500).await;
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
        assert!(throttles.of(follow, None).is_none() && throttles.of(None, Some(1)).is_none());
    }
}
