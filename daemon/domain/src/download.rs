//! A download's life, as a row in the catalogue and as a worker see it. Pure.
//!
//! ```text
//!          ┌──────────── resume, retry ◄─ paused, failed (with a time)
//!          ▼
//! queued ─► resolving ─► transferring ─► verifying ─► placing ─► done
//!              ▲  └───────────┼──────────────┘          │
//!              └── broken ────┴── not as listed         └─► failed, from anywhere
//! ```

use crate::kind::closed_names;
use std::time::Duration;

closed_names! {
    /// Where a download is.
    DownloadState {
        /// Nobody works on it; it waits for its turn, or for a time.
        Queued = "queued",
        /// The hub is asked where the bytes are.
        Resolving = "resolving",
        /// Bytes arrive.
        Transferring = "transferring",
        /// All bytes are here, and are compared with what the hub lists.
        Verifying = "verifying",
        /// They are right, and get their name.
        Placing = "placing",
        /// The file is in the store and on record.
        Done = "done",
        /// It did not work; with a time, it is tried again then.
        Failed = "failed",
        /// Somebody stopped it, and may let it go on.
        Paused = "paused",
        /// Nobody wants it any more.
        Cancelled = "cancelled",
    }
}

impl DownloadState {
    /// Whether a worker has it.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Resolving | Self::Transferring | Self::Verifying | Self::Placing)
    }

    /// The state after `step`; none when the step cannot be taken from here, because somebody else was quicker.
    #[must_use]
    pub fn after(self, step: DownloadStep) -> Option<Self> {
        use DownloadStep as Step;
        let next = match (self, step) {
            (Self::Queued, Step::Claim) => Self::Resolving,
            (Self::Resolving, Step::Receive) => Self::Transferring,
            (Self::Resolving | Self::Transferring, Step::Complete) => Self::Verifying,
            (Self::Verifying, Step::Approve) => Self::Placing,
            (Self::Placing, Step::Finish) => Self::Done,
            // What the hub lists now may be here already.
            (Self::Resolving, Step::Finish) => Self::Done,
            (Self::Resolving | Self::Transferring | Self::Verifying, Step::Break) => Self::Resolving,
            (state, Step::Fail) if state.is_under_way() => Self::Failed,
            (state, Step::Interrupt) if state.is_under_way() => Self::Queued,
            (Self::Queued | Self::Failed | Self::Resolving | Self::Transferring | Self::Verifying, Step::Pause) => {
                Self::Paused
            }
            (Self::Paused | Self::Failed, Step::Requeue) => Self::Queued,
            // The last step is a moment, and what it leads to is wanted by whoever asked for it until then.
            (Self::Placing | Self::Done | Self::Cancelled, Step::Cancel) => return None,
            (_, Step::Cancel) => Self::Cancelled,
            _ => return None,
        };
        Some(next)
    }
}

/// What moves a download from one state to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadStep {
    /// A worker takes it.
    Claim,
    /// The first byte of an answer is here.
    Receive,
    /// The last byte is here.
    Complete,
    /// The bytes are those that the hub lists.
    Approve,
    /// The bytes have their name.
    Finish,
    /// The transfer broke, or brought other bytes; it is tried again at once.
    Break,
    /// It is given up, for now or for good.
    Fail,
    /// Its worker ends without an outcome: the daemon ends, or all downloads are paused.
    Interrupt,
    /// Somebody stops it.
    Pause,
    /// Somebody lets it go on, or its time has come.
    Requeue,
    /// Nobody wants it any more.
    Cancel,
}

/// How long a download that failed for the `failures`-th time (from 1) is left alone. What may pass by itself is tried
/// again soon and then more rarely; what will not, such as bytes that are not those that the hub lists, once a day and
/// then once a week. A hub that names a time is left alone until then at least.
#[must_use]
pub fn wait_after_failure(failures: u32, may_pass: bool, named: Option<Duration>) -> Duration {
    let (first, factor, longest) = if may_pass {
        (Duration::from_secs(60), 4_u32, Duration::from_secs(6 * 3600))
    } else {
        (Duration::from_secs(24 * 3600), 2_u32, Duration::from_secs(7 * 24 * 3600))
    };
    let wait = first.saturating_mul(factor.saturating_pow(failures.saturating_sub(1).min(16))).min(longest);
    wait.max(named.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use DownloadStep as Step;

    const STEPS: [Step; 11] = [
        Step::Claim,
        Step::Receive,
        Step::Complete,
        Step::Approve,
        Step::Finish,
        Step::Break,
        Step::Fail,
        Step::Interrupt,
        Step::Pause,
        Step::Requeue,
        Step::Cancel,
    ];

    #[test]
    fn a_download_without_trouble_goes_through_every_state() {
        let steps = [Step::Claim, Step::Receive, Step::Complete, Step::Approve, Step::Finish];
        use DownloadState::{Done, Placing, Queued, Resolving, Transferring, Verifying};
        let mut state = Queued;
        let mut seen = vec![state];
        for step in steps {
            state = state.after(step).unwrap();
            seen.push(state);
        }
        assert_eq!(seen, [Queued, Resolving, Transferring, Verifying, Placing, Done]);
    }

    #[test]
    fn what_has_ended_never_changes() {
        for state in [DownloadState::Done, DownloadState::Cancelled] {
            assert!(STEPS.iter().all(|step| state.after(*step).is_none()), "{state}");
        }
    }

    #[test]
    fn every_state_that_has_not_ended_can_be_left_and_only_a_worker_leads_to_done() {
        for state in DownloadState::ALL.iter().copied() {
            let next: Vec<DownloadState> = STEPS.iter().filter_map(|step| state.after(*step)).collect();
            let ended = matches!(state, DownloadState::Done | DownloadState::Cancelled);
            assert_eq!(next.is_empty(), ended, "{state}");
            if next.contains(&DownloadState::Done) {
                assert!(state.is_under_way(), "{state}");
            }
        }
    }

    #[test]
    fn an_interrupted_worker_leaves_the_download_in_the_queue() {
        for state in DownloadState::ALL.iter().copied() {
            let after = state.after(Step::Interrupt);
            assert_eq!(after, state.is_under_way().then_some(DownloadState::Queued), "{state}");
        }
    }

    #[test]
    fn waits_grow_to_a_limit_and_heed_the_hub() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let passing: Vec<u64> =
            (1..=6).map(|failures| wait_after_failure(failures, true, None).as_secs() / 60).collect();
        assert_eq!(passing, [1, 4, 16, 64, 256, 360]);
        assert_eq!(wait_after_failure(u32::MAX, true, None), hours(6));
        assert_eq!(wait_after_failure(1, false, None), hours(24));
        assert_eq!(wait_after_failure(9, false, None), hours(7 * 24));
        assert_eq!(wait_after_failure(1, true, Some(hours(2))), hours(2));
    }
}
