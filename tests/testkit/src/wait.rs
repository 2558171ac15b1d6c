//! Waiting for something with an end, and comparing numbers with a tolerance.

use std::future::Future;
use std::time::Duration;

/// How long to leave between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks `holds` until it says yes.
///
/// # Panics
/// When `timeout` passes first; the message names `what`.
#[track_caller]
pub fn wait_for<F, Fut>(what: &str, timeout: Duration, mut holds: F) -> impl Future<Output = ()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let caller = std::panic::Location::caller();
    async move {
        let asking = async {
            while !holds().await {
                tokio::time::sleep(PAUSE).await;
            }
        };
        if tokio::time::timeout(timeout, asking).await.is_err() {
            panic!("waited {timeout:?} in vain for {what} ({caller})");
        }
    }
}

/// Compares two numbers.
///
/// # Panics
/// When they differ by more than `tolerance`, or one is not a number.
#[track_caller]
pub fn assert_close(got: f64, wanted: f64, tolerance: f64) {
    let distance = (got - wanted).abs();
    assert!(distance <= tolerance, "{got} is {distance} away from {wanted}; {tolerance} was allowed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_when_the_thing_holds() {
        let mut looks = 0;
        wait_for("the third look", Duration::from_secs(5), || {
            looks += 1;
            let holds = looks == 3;
            async move { holds }
        })
        .await;
        assert_eq!(looks, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "in vain for a miracle")]
    async fn waiting_in_vain_says_for_what() {
        wait_for("a miracle", Duration::from_millis(20), || async { false }).await;
    }

    #[test]
    #[should_panic(expected = "was allowed")]
    fn a_missing_number_is_close_to_nothing() {
        assert_close(f64::NAN, 0.0, 1.0);
    }
}
