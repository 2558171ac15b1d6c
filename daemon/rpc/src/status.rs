//! Errors → `google.rpc.Status`: the one place where a class becomes a gRPC code.

use paintbox_domain::{Classify, ErrorClass, Failure};
use paintbox_proto::{ERROR_DOMAIN, v1};
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Details travel in a trailer, which peers may cap at 8 KiB; a message longer than this is cut.
const LONGEST_MESSAGE_BYTES: usize = 2048;

/// The Status of any error of ours.
pub(crate) fn status(error: &dyn Classify) -> Status {
    failure_status(&Failure::of(error))
}

/// The Status of a failure, with its reason, metadata and hint as `ErrorInfo`.
pub(crate) fn failure_status(failure: &Failure) -> Status {
    let mut metadata: HashMap<String, String> =
        failure.metadata.iter().map(|(key, value)| (key.clone(), cut(value).to_owned())).collect();
    if let Some(hint) = &failure.hint {
        metadata.insert("hint".to_owned(), hint.clone());
    }
    let mut details = ErrorDetails::new();
    details.set_error_info(&failure.reason, ERROR_DOMAIN, metadata);
    if failure.class.is_retryable() || failure.retry_after.is_some() {
        details.set_retry_info(failure.retry_after);
    }
    if failure.class == ErrorClass::Internal {
        // The client gets the sentence; the log gets it too, because nobody else will look into it.
        tracing::error!(reason = %failure.reason, "{}", failure.message);
    }
    Status::with_error_details(code(failure.class), cut(&failure.message), details)
}

fn code(class: ErrorClass) -> Code {
    match class {
        ErrorClass::InvalidInput => Code::InvalidArgument,
        ErrorClass::Unsupported => Code::Unimplemented,
        ErrorClass::NotFound => Code::NotFound,
        ErrorClass::AlreadyExists => Code::AlreadyExists,
        ErrorClass::Precondition => Code::FailedPrecondition,
        ErrorClass::Conflict => Code::Aborted,
        ErrorClass::Unauthenticated => Code::Unauthenticated,
        ErrorClass::AccessDenied => Code::PermissionDenied,
        ErrorClass::Unavailable => Code::Unavailable,
        ErrorClass::Exhausted => Code::ResourceExhausted,
        ErrorClass::DataLoss => Code::DataLoss,
        ErrorClass::Cancelled => Code::Cancelled,
        ErrorClass::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorClass::Internal => Code::Internal,
    }
}

/// A failure as part of a resource.
pub(crate) fn error_message(failure: &Failure) -> v1::Error {
    v1::Error {
        reason: failure.reason.clone(),
        message: cut(&failure.message).to_owned(),
        hint: cut(failure.hint.as_deref().unwrap_or_default()).to_owned(),
        metadata: failure.metadata.iter().map(|(key, value)| (key.clone(), cut(value).to_owned())).collect(),
    }
}

/// A bad argument, named.
pub(crate) fn invalid(field: &str, problem: impl Into<String>) -> Status {
    failure_status(
        &Failure::new(ErrorClass::InvalidInput, paintbox_domain::reason::INVALID_ARGUMENT, problem)
            .with("field", field),
    )
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_MESSAGE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::reason;

    #[test]
    fn carries_exactly_one_error_info_with_reason_and_hint() {
        let failure = Failure::new(ErrorClass::Precondition, reason::FILE_NOT_LOCAL, "not here")
            .with_hint("paintbox pull civitai:1")
            .with("model", "civitai:1");
        let status = failure_status(&failure);
        assert_eq!(status.code(), Code::FailedPrecondition);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("FILE_NOT_LOCAL", "paintbox"));
        assert_eq!(info.metadata["hint"], "paintbox pull civitai:1");
        assert_eq!(info.metadata["model"], "civitai:1");
    }

    #[test]
    fn the_proto_lists_every_reason_and_no_other() {
        // Numbers are given out in tens, so that there are gaps.
        let mut listed: Vec<String> = (1..1000)
            .filter_map(|number| v1::ErrorReason::try_from(number).ok())
            .map(|value| value.as_str_name().trim_start_matches("ERROR_REASON_").to_owned())
            .collect();
        let mut known: Vec<String> = reason::ALL.iter().map(ToString::to_string).collect();
        listed.sort();
        known.sort();
        assert_eq!(listed, known);
    }
}
