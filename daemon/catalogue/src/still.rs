//! Noticing that something has come to rest, such as searches or writes, to give back the memory that was kept for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Without a stir for as long, and twice that at most, it is at rest.
const WHILE: Duration = Duration::from_secs(60);

/// Of the whole process, since its memory is.
static GIVEN_BACK: Notify = Notify::const_new();

/// Returns when catalogues of this process have let go of memory that they kept, which the C library may still hold.
pub async fn memory_was_given_back() {
    GIVEN_BACK.notified().await;
}

/// Something that stirs now and then.
#[derive(Debug, Default)]
pub(crate) struct Still {
    stirs: AtomicU64,
    /// Whether somebody waits for it to come to rest.
    watched: AtomicBool,
}

impl Still {
    /// Notes that it stirred. When it has come to rest after that, `then` is done, once; a later stir begins anew.
    pub(crate) fn stirred<Then>(self: &Arc<Self>, then: impl FnOnce() -> Then + Send + 'static)
    where
        Then: Future<Output = ()> + Send,
    {
        self.stirs.fetch_add(1, Ordering::Relaxed);
        if self.watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let watched = Arc::downgrade(self);
        drop(tokio::spawn(async move {
            let mut before = None;
            loop {
                tokio::time::sleep(WHILE).await;
                let Some(this) = watched.upgrade() else { return };
                let now = Some(this.stirs.load(Ordering::Relaxed));
                if now == before {
                    this.watched.store(false, Ordering::Release);
                    drop(this);
                    then().await;
                    return GIVEN_BACK.notify_one();
                }
                before = now;
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_kept_is_given_back_once_when_nothing_stirs_any_more() {
        let (still, given_back) = (Arc::new(Still::default()), Arc::new(AtomicU64::new(0)));
        let stir = || {
            let given_back = Arc::clone(&given_back);
            still.stirred(move || async move { _ = given_back.fetch_add(1, Ordering::Relaxed) });
        };
        for round in 0..2 {
            for _ in 0..5 {
                stir();
                tokio::time::sleep(WHILE / 2).await;
                assert_eq!(given_back.load(Ordering::Relaxed), round);
            }
            tokio::time::sleep(WHILE * 5).await;
            assert_eq!(given_back.load(Ordering::Relaxed), round + 1);
            memory_was_given_back().await;
        }
    }
}
