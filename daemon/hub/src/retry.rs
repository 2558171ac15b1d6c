//! Asking again: only questions (never downloads), only when the hub or the line was at fault, at most four times.
//!
//! The waits are those of CivitAI's own command line client (github civitai/cli `internal/api/retry.go` @ 618d5d3ac8):
//! 250 ms, doubled each time, give or take a fifth, never more than 5 s; and a 429 counts only if it says when to
//! come back.

use crate::error::HubError;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

pub(crate) const MOST_TRIES: u32 = 4;
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A hub that asks for more patience than this gets it from the scheduler, not from a call that somebody waits for.
const LONGEST_OBEYED_WAIT: Duration = Duration::from_secs(30);

/// Runs `ask` until it succeeds, fails for good, or has been tried [`MOST_TRIES`] times; `first_wait` is the wait after
/// the first failure.
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

/// How long to wait after the `tries`-th failure, or none to give up.
fn wait_before_next(error: &HubError, tries: u32, first_wait: Duration) -> Option<Duration> {
    if tries >= MOST_TRIES {
        return None;
    }
    let backoff = with_jitter((first_wait * 2_u32.pow(tries - 1)).min(LONGEST_WAIT));
    match error {
        HubError::RateLimited { retry_after, .. } => retry_after.filter(|wait| *wait <= LONGEST_OBEYED_WAIT),
        HubError::ServerFailed { retry_after: Some(wait), .. } => (*wait <= LONGEST_OBEYED_WAIT).then_some(*wait),
        HubError::ServerFailed { retry_after: None, .. }
        | HubError::Unreachable { .. }
        | HubError::Truncated { .. } => Some(backoff),
        _ => None,
    }
}

/// Between 80 % and 120 % of `wait`, so that clients that failed together do not come back together.
fn with_jitter(wait: Duration) -> Duration {
    // Every `RandomState` is seeded differently by the standard library; nothing here needs better randomness.
    let random = RandomState::new().build_hasher().finish() % 401;
    wait * u32::try_from(800 + random).unwrap_or(1000) / 1000
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
        let (ok, tries, took) = run(9, || server_failed(None)).await;
        assert_eq!((ok, tries), (false, 4));
        // 250 + 500 + 1000 ms, give or take a fifth and the timer's rounding up to whole milliseconds.
        assert!((Duration::from_millis(1400)..=Duration::from_millis(2110)).contains(&took), "{took:?}");
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
}
