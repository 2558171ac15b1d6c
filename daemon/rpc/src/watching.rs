//! What all watches have in common: where they go on, and signs of life while nothing happens.

use crate::status::invalid;
use futures::{Stream, StreamExt as _};
use std::time::Duration;
use tonic::Status;

/// A stream in which nothing happens says that it is still there as often.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LONGEST_REQUEST_ID_CHARS: usize = 64;

/// Where a watch goes on, as a caller says it.
pub(crate) struct Watch {
    pub(crate) after_sequence: u64,
    pub(crate) epoch: String,
}

impl Watch {
    /// The number behind which it goes on; none: from how things are now, which is all that can be said to somebody who
    /// knows another life of the daemon.
    pub(crate) fn after(&self, epoch: &str) -> Result<Option<u64>, Status> {
        if self.after_sequence > 0 && self.epoch.is_empty() {
            return Err(invalid("epoch", "a number of the stream says nothing without the epoch that it is of"));
        }
        Ok((self.after_sequence > 0 && self.epoch == epoch).then_some(self.after_sequence))
    }
}

/// The caller's own id for its request, if it gave one.
pub(crate) fn request_id(given: String) -> Result<Option<String>, Status> {
    if given.len() > LONGEST_REQUEST_ID_CHARS || !given.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(
            "request_id",
            format!("it is no UUID or other text of at most {LONGEST_REQUEST_ID_CHARS} characters"),
        ));
    }
    Ok(Some(given).filter(|id| !id.is_empty()))
}

/// What happens as messages of `epoch`, with signs of life; `message` puts one together from its number, epoch and event.
pub(crate) fn told<E: Clone + Send + 'static, M: Send + 'static>(
    events: impl Stream<Item = Result<(u64, E), Status>> + Send + 'static,
    epoch: String,
    heartbeat: E,
    message: impl Fn(u64, String, E) -> M + Send + 'static,
) -> impl Stream<Item = Result<M, Status>> + Send + 'static {
    let events = with_heartbeats(events, |(sequence, _)| *sequence, move |last| (last, heartbeat.clone()));
    events.map(move |told| told.map(|(sequence, event)| message(sequence, epoch.clone(), event)))
}

/// The stream, with `beat` of the last event's sequence number whenever nothing happened for a while.
fn with_heartbeats<T: Send + 'static>(
    events: impl Stream<Item = Result<T, Status>> + Send + 'static,
    sequence: impl Fn(&T) -> u64 + Send + 'static,
    beat: impl Fn(u64) -> T + Send + 'static,
) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
    async_stream::stream! {
        let mut events = std::pin::pin!(events);
        let mut last = 0;
        loop {
            match tokio::time::timeout(HEARTBEAT, events.next()).await {
                Ok(Some(event)) => {
                    last = event.as_ref().map_or(last, &sequence);
                    yield event;
                }
                Ok(None) => return,
                Err(_) => yield Ok(beat(last)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[test]
    fn a_watch_goes_on_only_in_the_life_that_it_knows() {
        let after = |after_sequence, epoch: &str| Watch { after_sequence, epoch: epoch.to_owned() }.after("now");
        assert_eq!(after(7, "now").unwrap(), Some(7));
        assert_eq!(after(7, "before").unwrap(), None);
        assert_eq!(after(0, "").unwrap(), None);
        assert_eq!(after(7, "").unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn request_ids_are_short_and_plain() {
        let uuid = "3f1c1c5e-1f43-4a53-9a86-0a7d5a1f3b11";
        assert_eq!(request_id(uuid.to_owned()).unwrap().as_deref(), Some(uuid));
        assert_eq!(request_id(String::new()).unwrap(), None);
        for bad in ["a b".to_owned(), "\u{0}".to_owned(), "x".repeat(65), "é".to_owned()] {
            assert_eq!(request_id(bad).unwrap_err().code(), Code::InvalidArgument);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_signs_of_life() {
        let events = async_stream::stream! {
            yield Ok(5_u64);
            tokio::time::sleep(2 * HEARTBEAT + Duration::from_secs(1)).await;
            yield Ok(9);
        };
        let seen: Vec<_> =
            with_heartbeats(events, |event| *event, |last| 100 + last).map(Result::unwrap).collect().await;
        assert_eq!(seen, [5, 105, 105, 9]);
    }
}
