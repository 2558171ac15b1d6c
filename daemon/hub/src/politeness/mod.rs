//! Politeness: how much is asked of a hub at once and in a row, and when it is left alone.
//!
//! Every request passes the [`Gate`] of the site it goes to. A call enters once ([`Gate::enter`]), which fails at once
//! while the site is known to be down or has asked for a pause, and then waits for a slot before each request it
//! makes ([`Pass::slot`]). What came of a request is told back to the gate, which learns from it when to ask again.

mod allowance;
mod circuit;
mod gate;
mod health;
mod limits;
mod rate_limit;

pub(crate) use gate::{Gate, Outcome, Pass, Permit, Slot};
pub use health::{HubHealth, HubState};
pub(crate) use limits::Limits;
pub(crate) use rate_limit::{pause_asked_for, retry_after};

/// What a request is for. Each kind has its own slots and its own pauses: an account that has downloaded too much may
/// still read lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A question to the hub's API.
    Question,
    /// The bytes of a file: the hub's own address first, then the storage that it names.
    Download,
    /// An example picture, which comes from a host of its own.
    Preview,
}
