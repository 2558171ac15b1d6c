//! Bandwidth caps: what the transfers of one follow, or all of them, may take together, as buckets of bytes that fill
//! at the cap.

use paintbox_catalogue::FollowId;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The buckets of everything that has a cap, or may get one.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    follows: Mutex<HashMap<FollowId, Arc<Throttle>>>,
    everything: Arc<Throttle>,
}

impl Throttles {
    /// The buckets that a transfer takes from: that of all transfers, and that of its follow.
    pub(crate) fn of(&self, follow: Option<FollowId>) -> Vec<Arc<Throttle>> {
        [self.everything.clone()].into_iter().chain(follow.map(|follow| self.of_follow(follow))).collect()
    }

    fn of_follow(&self, follow: FollowId) -> Arc<Throttle> {
        self.follows.lock().unwrap_or_else(PoisonError::into_inner).entry(follow).or_default().clone()
    }

    /// Caps the transfers of one follow together, those that are under way too.
    pub(crate) fn cap_follow(&self, follow: FollowId, bytes_per_second: Option<u64>) {
        self.of_follow(follow).cap(bytes_per_second);
    }

    /// Caps all transfers together in bytes a second; none: they are as fast as they come.
    pub(crate) fn cap(&self, bytes_per_second: Option<u64>) {
        self.everything.cap(bytes_per_second);
    }
}

#[derive(Debug)]
pub(crate) struct Throttle {
    account: Mutex<Account>,
    /// The cap is another one.
    changed: Notify,
}

/// Bytes that were taken, and those of them that have been paid for. In bytes and not in time, so that another cap holds for
/// what is owed already.
#[derive(Debug)]
struct Account {
    /// None: as fast as they come.
    bytes_per_second: Option<u64>,
    taken: u64,
    paid: f64,
    /// When it was last settled.
    at: Instant,
}

impl Account {
    /// Pays for what the time that has passed is worth. Time in which nothing is owed is worth nothing.
    fn settle(&mut self) {
        let (now, taken) = (Instant::now(), self.taken as f64);
        self.paid = match self.bytes_per_second {
            Some(cap) => (self.paid + now.duration_since(self.at).as_secs_f64() * cap as f64).min(taken),
            None => taken,
        };
        self.at = now;
    }
}

impl Default for Throttle {
    fn default() -> Self {
        let account = Account { bytes_per_second: None, taken: 0, paid: 0.0, at: Instant::now() };
        Self { account: Mutex::new(account), changed: Notify::new() }
    }
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        let this = Self::default();
        this.cap(Some(bytes_per_second));
        this
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cap(&self, bytes_per_second: Option<u64>) {
        let mut account = self.account();
        account.settle();
        account.bytes_per_second = bytes_per_second.map(|cap| cap.max(1));
        drop(account);
        self.changed.notify_waiters();
    }

    /// Takes `bytes` that have arrived. Until what it returns is [`Self::paid`], no more is to be read, which is what slows the
    /// sender down.
    pub(crate) fn take(&self, bytes: u64) -> Owed {
        let mut account = self.account();
        account.settle();
        account.taken += bytes;
        Owed { up_to: account.taken }
    }

    /// Waits until what was taken is paid for.
    pub(crate) async fn paid(&self, owed: &Owed) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before the look, so that no change falls between the two.
            changed.as_mut().enable();
            let Some(wait) = self.wait(owed) else { return };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    fn wait(&self, owed: &Owed) -> Option<Duration> {
        let mut account = self.account();
        account.settle();
        let missing = owed.up_to as f64 - account.paid;
        let cap = account.bytes_per_second?;
        // Less than a byte is what sums of fractions leave.
        (missing >= 1.0).then(|| Duration::from_secs_f64(missing / cap as f64))
    }
}

/// What somebody took from a bucket.
#[derive(Debug)]
pub(crate) struct Owed {
    /// Of all the bytes that anybody took.
    up_to: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long it takes until bytes that are taken now are paid for.
    async fn price(throttle: &Throttle, bytes: u64) -> Duration {
        let began = Instant::now();
        throttle.paid(&throttle.take(bytes)).await;
        began.elapsed()
    }

    fn is_about(seconds: f64, time: Duration) -> bool {
        (time.as_secs_f64() - seconds).abs() < 0.02
    }

    #[tokio::test(start_paused = true)]
    async fn transfers_of_one_follow_share_its_cap() {
        let throttles = Throttles::default();
        let follow = FollowId::new(1);
        throttles.cap_follow(follow, Some(1000));
        let start = Instant::now();
        let take = async |chunks: u64| {
            let throttle = throttles.of(Some(follow)).pop().unwrap();
            for _ in 0..chunks {
                price(&throttle, 500).await;
            }
        };
        tokio::join!(take(10), take(10));
        assert!(is_about(10.0, start.elapsed()), "{:?}", start.elapsed());
        // An idle bucket saves up nothing.
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        take(2).await;
        assert!(is_about(1.0, start.elapsed()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cap_on_everything_holds_beside_that_of_a_follow() {
        let throttles = Throttles::default();
        throttles.cap(Some(100));
        let [both, other] = [1, 2].map(|follow| {
            throttles.cap_follow(FollowId::new(follow), Some(1000));
            throttles.of(Some(FollowId::new(follow)))
        });
        assert_eq!(both.len(), 2);
        let taken = [both[0].take(100), other[0].take(100)];
        assert!(is_about(0.1, price(&both[1], 100).await));
        let start = Instant::now();
        both[0].paid(&taken[0]).await;
        assert!(is_about(0.9, start.elapsed()));
        other[0].paid(&taken[1]).await;
        assert!(is_about(1.9, start.elapsed()), "it is shared");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cap_that_changes_holds_for_what_is_owed_already() {
        let throttles = Throttles::default();
        let transfer = throttles.of(None).pop().unwrap();
        assert_eq!(price(&transfer, 1 << 30).await, Duration::ZERO, "nobody set one");
        // A mistake that would have taken days.
        throttles.cap(Some(1));
        let waits = price(&transfer, 1_000_000);
        let put_right = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            throttles.cap(Some(100_000));
        };
        let (waited, ()) = tokio::join!(waits, put_right);
        assert!(is_about(20.0, waited), "{waited:?}");
        let (waited, ()) = tokio::join!(price(&transfer, 1_000_000), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            throttles.cap(None);
        });
        assert!(is_about(1.0, waited), "{waited:?}");
    }
}
