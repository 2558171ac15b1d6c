//! How a hub is, for people who wonder why nothing arrives.

use paintbox_domain::Timestamp;

/// What keeps a hub from being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HubState {
    /// Nothing does.
    Ok,
    /// It asked for a pause in questions, downloads or previews; the others go on.
    Limited,
    /// It failed several times in a row; one call tries again at [`HubHealth::retry_at`].
    Down,
}

/// What is known of a hub from this process's own calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubHealth {
    pub state: HubState,
    /// When the state began; none while it is [`HubState::Ok`].
    pub since: Option<Timestamp>,
    /// When it will be asked again; none while it is [`HubState::Ok`].
    pub retry_at: Option<Timestamp>,
    /// What went wrong last, without secrets; none while it is [`HubState::Ok`].
    pub problem: Option<String>,
    /// Requests that were sent to it since the process began; a request and its redirects count once.
    pub requests: u64,
}

impl HubHealth {
    /// Of two sites of one hub: the worse state, and the requests to both.
    #[must_use]
    pub(crate) fn with(self, other: Self) -> Self {
        let requests = self.requests.saturating_add(other.requests);
        let worse = if other.state > self.state { other } else { self };
        Self { requests, ..worse }
    }
}
