//! What every server of the fake hub was asked, in order of arrival.

use super::Server;
use http::HeaderMap;
use std::sync::{Mutex, PoisonError};

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    pub server: Server,
    pub method: String,
    /// As on the request line: percent-encoding untouched.
    pub path_and_query: String,
    pub headers: HeaderMap,
}

impl RecordedRequest {
    /// A header's text; none when it is absent or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }
}

/// The requests so far.
#[derive(Debug, Default)]
pub(super) struct Log {
    requests: Mutex<Vec<RecordedRequest>>,
}

impl Log {
    pub(super) fn record(&self, request: RecordedRequest) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }

    pub(super) fn all(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn clear(&self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
