//! The wish that a job stops.

use std::fmt;
use std::sync::Arc;

/// Whether somebody wants a job to stop. A handle of its own, so that it can be asked deep inside of the work, where
/// nobody knows the job.
#[derive(Clone)]
pub struct Cancellation(Arc<dyn Fn() -> bool + Send + Sync>);

impl Cancellation {
    /// Wanted from the moment on that `wanted` says so.
    pub fn when(wanted: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(wanted))
    }

    /// Never wanted.
    #[must_use]
    pub fn never() -> Self {
        Self::when(|| false)
    }

    #[must_use]
    pub fn is_wanted(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation").finish_non_exhaustive()
    }
}
