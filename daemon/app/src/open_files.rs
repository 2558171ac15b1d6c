//! How many files the daemon may have open: a connection is one, and so is a model that is being read.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than all listeners take together. macOS lets nobody have more (`OPEN_MAX`, sys/syslimits.h), and starts with 256.
const WANTED: u64 = 10_240;

/// Raises what the system gives at first to what it allows.
pub(crate) fn allow_many() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(WANTED, |most| most.min(WANTED));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
        if let Err(error) = raised {
            tracing::warn!(%error, "the system lets no more files be open than before");
        }
    }
}
