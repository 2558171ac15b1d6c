//! What systemd is told of the daemon (sd_notify(3)); nothing where nobody listens.
//!
//! `READY=1` once the catalogue is migrated and the socket served, `STOPPING=1` when the end begins, a status in words, and, where
//! the unit has a watchdog, `WATCHDOG=1` at half of its time: whenever the catalogue's writer shows that it writes. A daemon whose
//! writer hangs, or whose threads no longer turn, is so ended and started again. Feeding is the only thing that wakes an idle
//! daemon for systemd's sake, once in thirty seconds with the unit that `paintbox daemon install` writes.

use paintbox_catalogue::Catalogue;
use sd_notify::NotifyState;
use std::path::Path;
use std::time::Duration;

pub(crate) fn starting() {
    tell(&[NotifyState::Status("opening the catalogue")]);
}

pub(crate) fn ready(socket: &Path) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serves {}", socket.display()))]);
}

/// The configuration is being read again; [`ready`] says that it was, or why not.
pub(crate) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now().ok());
    tell(&states);
}

/// It goes on as it was.
pub(crate) fn not_reloaded(why: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("the configuration stays as it was: {why}"))]);
}

pub(crate) fn stopping() {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("ending: what is under way is finished or kept for the next start"),
    ]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the supervisor was not told");
    }
}

/// Feeds the watchdog for as long as writes go on; ends at once where there is none.
pub(crate) async fn feed_watchdog(catalogue: Catalogue) {
    let Some(time) = sd_notify::watchdog_enabled() else { return };
    feed(
        time / 2,
        || async { catalogue.show_that_it_writes().await.map_err(|error| error.to_string()) },
        || {
            tell(&[NotifyState::Watchdog]);
        },
    )
    .await;
}

async fn feed<Shown: Future<Output = Result<(), String>>>(
    interval: Duration,
    alive: impl Fn() -> Shown,
    fed: impl Fn(),
) {
    let mut ticks = tokio::time::interval(interval);
    // After a long write the next look is due an interval later, and not at once.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match alive().await {
            Ok(()) => fed(),
            Err(error) => tracing::error!(error, "the catalogue's writer does not answer; the watchdog is not fed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_at_half_its_time_and_only_while_writes_go_on() {
        let (looked, fed) = (AtomicU32::new(0), AtomicU32::new(0));
        let alive = || async {
            // It writes twice, then fails, then hangs.
            match looked.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Ok(()),
                2 => Err("broken".to_owned()),
                _ => std::future::pending().await,
            }
        };
        let feeding =
            feed(Duration::from_secs(30), alive, || fed.store(fed.load(Ordering::Relaxed) + 1, Ordering::Relaxed));
        let began = tokio::time::Instant::now();
        drop(tokio::time::timeout(Duration::from_secs(400), feeding).await);
        assert_eq!(began.elapsed(), Duration::from_secs(400));
        assert_eq!((looked.load(Ordering::Relaxed), fed.load(Ordering::Relaxed)), (4, 2));
    }
}
