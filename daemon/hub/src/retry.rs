//! Asking again: only questions (never downloads), only when the hub or the line was at fault, at most four times.
//!
//! The number of tries and the longest wait are those of CivitAI's own command line client (github civitai/cli
//! `internal/api/retry.go` @ 618d5d3ac8), and so is the rule that a 429 counts only if it says when to come back. The
//! waits begin at the second that CivitAI's documentation asks for (github civitai/civitai-developer-docs
//! `site/guide/errors.md` @ 9382513060e5) and are drawn with full jitter: anything between nothing and the cap of that
//! try, so that clients that failed together come back spread over the whole time.

use crate::error::HubError;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

pub(crate) const MOST_TRIES: u32 = 4;
pub(crate) const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A hub that asks for more patience than this gets it from the scheduler, not from a call that somebody waits for.
pub(crate) const LONGEST_OBEYED_WAIT: Duration = Duration::from_secs(30);

/// Runs `ask` until it succeeds, fails for good, or has been tried [`MOST_TRIES`] times; `first_wait` caps the wait
/// after the first failure; the cap doubles after each.
pub(crate) async fn patiently<T, F>(first_wait: Duration, mut ask: impl FnMut() -> F) -> Result<T, HubError>
where
    F: Future<Output = Result<T, HubError>>,
{
    let mut tries = 1;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(wait) = wait_before_next(&error, tries, first_wait) else {
            return Err(error);
        };
        tracing::debug!(%error, tries, wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "asking again");
        tokio::time::sleep(wait).await;
        tries += 1;
    }
}

/// The wait after the `tries`-th failure, whatever it was, or none after the last.
pub(crate) fn backoff(tries: u32, first_wait: Duration) -> Option<Duration> {
    (tries < MOST_TRIES).then(|| up_to((first_wait * 2_u32.pow(tries.saturating_sub(1))).min(LONGEST_WAIT)))
}

/// How long to wait after the `tries`-th failure, or none to give up.
pub(crate) fn wait_before_next(error: &HubError, tries: u32, first_wait: Duration) -> Option<Duration> {
    let backoff = backoff(tries, first_wait)?;
    match error {
        HubError::RateLimited { retry_after, .. } => retry_after.filter(|wait| *wait <= LONGEST_OBEYED_WAIT),
        HubError::ServerFailed { retry_after: Some(wait), .. } => (*wait <= LONGEST_OBEYED_WAIT).then_some(*wait),
        HubError::ServerFailed { retry_after: None, .. }
        | HubError::Unreachable { .. }
        | HubError::Truncated { .. } => Some(backoff),
        _ => None,
    }
}

/// A time between nothing and `most`, every one as likely.
pub(crate) fn up_to(most: Duration) -> Duration {
    // Every `RandomState` is seeded differently by the standard library; nothing here needs better randomness.
    let random = RandomState::new().build_hasher().finish();
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random.checked_rem(nanos.saturating_add(1)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ServerWords;
    use paintbox_domain::Hub;
    use tokio::time::Instant;

    fn server_failed(retry_after: Option<u64>) -> HubError {
        HubError::ServerFailed {
            hub: Hub::Civitai,
            url: String::new(),
            status: 503,
            retry_after: retry_after.map(Duration::from_secs),
            said: ServerWords::default(),
        }
    }

    fn rate_limited(retry_after: Option<u64>) -> HubError {
        HubError::RateLimited {
            hub: Hub::Civitai,
            url: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
            said: ServerWords::default(),
        }
    }

    /// Tries and time until `patiently` is done with something that fails `failures` times.
    async fn run(failures: u32, error: impl Fn() -> HubError) -> (bool, u32, Duration) {
        let start = Instant::now();
        let mut tries = 0;
        let result = patiently(FIRST_WAIT, || {
            tries += 1;
            std::future::ready(if tries <= failures { Err(error()) } else { Ok(()) })
        })
        .await;
        (result.is_ok(), tries, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_server_is_asked_four_times_with_growing_waits() {
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            let (ok, tries, took) = run(9, || server_failed(None)).await;
            assert_eq!((ok, tries), (false, 4));
            // 1 + 2 + 4 s at most, and the timer's rounding up to whole milliseconds.
            assert!(took <= Duration::from_millis(7003), "{took:?}");
            longest = longest.max(took);
        }
        assert!(longest > Duration::from_secs(4), "{longest:?}");
        let (ok, tries, _) = run(2, || server_failed(None)).await;
        assert_eq!((ok, tries), (true, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_is_obeyed_when_it_says_how_long_and_final_otherwise() {
        let (ok, tries, took) = run(1, || rate_limited(Some(7))).await;
        assert_eq!((ok, tries, took.as_secs()), (true, 2, 7));
        let (ok, tries, _) = run(1, || rate_limited(None)).await;
        assert_eq!((ok, tries), (false, 1));
        let (ok, tries, _) = run(1, || rate_limited(Some(3600))).await;
        assert_eq!((ok, tries), (false, 1));
        let (ok, tries, took) = run(1, || server_failed(Some(2))).await;
        assert_eq!((ok, tries, took.as_secs()), (true, 2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_is_asked_for_once() {
        let (ok, tries, took) =
            run(9, || HubError::DigestNotFound { hub: Hub::Civitai, digest: "0".into(), said: ServerWords::default() })
                .await;
        assert_eq!((ok, tries, took), (false, 1, Duration::ZERO));
    }

    #[test]
    fn waits_are_drawn_from_the_whole_range() {
        let cap = Duration::from_secs(5);
        let drawn: Vec<Duration> = (0..1000).map(|_| up_to(cap)).collect();
        assert!(drawn.iter().all(|wait| *wait <= cap));
        for tenth in 0..10 {
            let range = cap * tenth / 10..=cap * (tenth + 1) / 10;
            let hits = drawn.iter().filter(|wait| range.contains(*wait)).count();
            assert!(hits > 40, "{hits} of 1000 waits in {range:?}");
        }
        assert_eq!(up_to(Duration::ZERO), Duration::ZERO);
    }
}
