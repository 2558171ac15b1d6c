//! The body of one answer: bytes that are counted against what was announced.

use crate::error::HubError;
use crate::politeness::Slot;
use crate::site::shown;
use crate::transport::{Answer, Transport};
use bytes::Bytes;
use paintbox_domain::Hub;
use url::Url;

/// A body that knows how long it has to be.
pub(crate) struct Body {
    transport: Transport,
    hub: Hub,
    url: Url,
    response: reqwest::Response,
    received: u64,
    expected: Option<u64>,
    /// Others wait while this transfer runs.
    slot: Option<Slot>,
}

impl Body {
    /// The body of `answer`, which must bring `expected` bytes.
    pub(crate) fn new(transport: &Transport, answer: Answer, expected: Option<u64>) -> Self {
        let Answer { hub, response, url, slot, .. } = answer;
        Self { transport: transport.clone(), hub, url, response, received: 0, expected, slot }
    }

    /// Where the answer came from. It may be signed: [`shown`] makes it fit to be told.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Bytes of this body that have come.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received
    }

    /// The place among the transfers, for whoever goes on after this body.
    pub(crate) fn take_slot(&mut self) -> Option<Slot> {
        self.slot.take()
    }

    /// The next bytes; none after the last one that was announced.
    ///
    /// # Errors
    /// [`HubError::Truncated`] and [`HubError::TimedOut`] for what is missing, [`HubError::UnexpectedAnswer`] for more
    /// than was announced.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, HubError> {
        let Self { transport, hub, url, response, received, expected, .. } = self;
        let chunk = transport.file_chunk(*hub, url, response, *received, *expected).await?;
        match (&chunk, *expected) {
            (Some(chunk), _) => {
                *received += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                if expected.is_some_and(|expected| *received > expected) {
                    return Err(HubError::UnexpectedAnswer {
                        hub: *hub,
                        url: shown(url),
                        found: "more bytes than it announced",
                    });
                }
            }
            (None, Some(expected)) if *received < expected => return Err(self.truncated()),
            (None, _) => {}
        }
        Ok(chunk)
    }

    /// That it ended before its time.
    pub(crate) fn truncated(&self) -> HubError {
        HubError::Truncated {
            hub: self.hub,
            url: shown(&self.url),
            received_bytes: self.received,
            expected_bytes: self.expected,
            source: None,
        }
    }
}
