//! What an error means to whoever has to react to it, apart from what it says.
//!
//! Every library error implements [`Classify`] by an exhaustive match. Retry policy, gRPC status and CLI exit
//! code derive from the class and nothing else, so that two parts never disagree about the same failure.

use std::time::Duration;

/// How a caller should react to an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The request itself is wrong; repeating it cannot help.
    InvalidInput,
    /// The request is sound, but this build does not do it.
    Unsupported,
    NotFound,
    AlreadyExists,
    /// Something must be done first: download the model, log in, start the daemon.
    Precondition,
    /// Somebody else changed the same thing first.
    Conflict,
    /// Whoever asks has not said who they are, or not so that it could be believed.
    Unauthenticated,
    /// Whoever asks may not: a hub refuses this account, or the daemon this client.
    AccessDenied,
    /// Down or rate-limited; later may work.
    Unavailable,
    /// Disk, memory or queue is full.
    Exhausted,
    /// Bytes are not what they were promised to be.
    DataLoss,
    Cancelled,
    DeadlineExceeded,
    /// A bug of ours.
    Internal,
}

impl ErrorClass {
    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unsupported => "unsupported",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Precondition => "precondition",
            Self::Conflict => "conflict",
            Self::Unauthenticated => "unauthenticated",
            Self::AccessDenied => "access_denied",
            Self::Unavailable => "unavailable",
            Self::Exhausted => "exhausted",
            Self::DataLoss => "data_loss",
            Self::Cancelled => "cancelled",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Internal => "internal",
        }
    }

    /// The class of a stored [`Self::as_str`]; a text that a newer version wrote reads as [`Self::Internal`].
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        match text {
            "invalid_input" => Self::InvalidInput,
            "unsupported" => Self::Unsupported,
            "not_found" => Self::NotFound,
            "already_exists" => Self::AlreadyExists,
            "precondition" => Self::Precondition,
            "conflict" => Self::Conflict,
            "unauthenticated" => Self::Unauthenticated,
            "access_denied" => Self::AccessDenied,
            "unavailable" => Self::Unavailable,
            "exhausted" => Self::Exhausted,
            "data_loss" => Self::DataLoss,
            "cancelled" => Self::Cancelled,
            "deadline_exceeded" => Self::DeadlineExceeded,
            _ => Self::Internal,
        }
    }
}

/// An error that can say how to react to it.
pub trait Classify: std::error::Error {
    fn class(&self) -> ErrorClass;

    /// One of the constants in [`crate::reason`]: stable, machine-readable, part of the API.
    fn reason(&self) -> &'static str;

    /// What the person can do about it, as a sentence.
    fn hint(&self) -> Option<String> {
        None
    }

    /// Every dynamic value of the message, by name. Never a token, never a signed URL.
    fn metadata(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// An error as plain data: what is stored with a failed job and handed over ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub class: ErrorClass,
    pub reason: String,
    /// The error and its causes, joined by `: `.
    pub message: String,
    pub hint: Option<String>,
    pub metadata: Vec<(String, String)>,
    pub retry_after: Option<Duration>,
}

impl Failure {
    #[must_use]
    pub fn of(error: &dyn Classify) -> Self {
        Self {
            class: error.class(),
            reason: error.reason().to_owned(),
            message: message_with_causes(error),
            hint: error.hint(),
            metadata: error.metadata().into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            retry_after: error.retry_after(),
        }
    }

    #[must_use]
    pub fn new(class: ErrorClass, reason: &str, message: impl Into<String>) -> Self {
        Self {
            class,
            reason: reason.to_owned(),
            message: message.into(),
            hint: None,
            metadata: Vec::new(),
            retry_after: None,
        }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.push((key.to_owned(), value.into()));
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error's own message followed by its causes, each said once.
#[must_use]
pub fn message_with_causes(error: &(impl std::error::Error + ?Sized)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = inner.source();
    }
    message
}
