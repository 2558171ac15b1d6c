//! The circuit of one site: after several failed calls in a row nobody asks it again until a stated time, and then one
//! call tries for all.
//!
//! Pure: it is told the time and what came of calls, and says who may ask.

use paintbox_domain::Timestamp;
use std::time::Duration;

/// So many calls in a row must have failed, each after its own retries.
pub(super) const FAILURES_THAT_OPEN: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 60);
/// What those who come while a call is trying are told to wait.
const WHILE_PROBING: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        /// Calls that failed since the last one that did not.
        failures: u32,
    },
    Open(Opening),
    /// One call has been let through to see whether the site is back.
    Probing(Opening),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening {
    /// When the first of the calls in a row failed that opened it.
    pub(super) since: Timestamp,
    pub(super) retry_at: Timestamp,
    /// How often it has been found down since.
    times: u32,
}

impl Opening {
    /// A time that is further away than any pause is long means that the clock was set back.
    fn is_over(&self, now: Timestamp) -> bool {
        self.retry_at <= now || self.retry_at.since(now) > LONGEST_PAUSE
    }
}

/// Whether a call may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Free,
    /// This call is the one that tries for all; it has to say what came of it.
    Probe,
    Shut {
        since: Timestamp,
        retry_at: Timestamp,
    },
}

#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    /// When the first of the failures in a row came.
    failing_since: Option<Timestamp>,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 }, failing_since: None }
    }
}

impl Circuit {
    /// `may_probe` is false for calls that would not tell whether the site itself is back.
    pub(super) fn enter(&mut self, now: Timestamp, may_probe: bool) -> Entry {
        match self.state {
            State::Closed { .. } => Entry::Free,
            State::Open(opening) if may_probe && opening.is_over(now) => {
                self.state = State::Probing(opening);
                Entry::Probe
            }
            State::Open(opening) | State::Probing(opening) => {
                let soonest = now.plus(WHILE_PROBING);
                let retry_at = if opening.is_over(now) { soonest } else { opening.retry_at };
                Entry::Shut { since: opening.since, retry_at }
            }
        }
    }

    /// The site answered, whatever it said: it is up.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// A call failed. `jitter` shortens a pause at random, so that many daemons do not come back at the same moment.
    pub(super) fn failed(&mut self, now: Timestamp, was_probe: bool, jitter: impl FnOnce(Duration) -> Duration) {
        let since = *self.failing_since.get_or_insert(now);
        match self.state {
            State::Closed { failures } if failures + 1 < FAILURES_THAT_OPEN => {
                self.state = State::Closed { failures: failures + 1 };
            }
            State::Closed { .. } => {
                self.state = State::Open(Opening { since, retry_at: now.plus(jitter(FIRST_PAUSE)), times: 1 });
            }
            State::Probing(Opening { since, times, .. }) if was_probe => {
                let pause = FIRST_PAUSE.saturating_mul(1 << times.min(10)).min(LONGEST_PAUSE);
                self.state = State::Open(Opening { since, retry_at: now.plus(jitter(pause)), times: times + 1 });
            }
            // A call that began before the circuit opened says nothing new.
            State::Open(_) | State::Probing(_) => {}
        }
    }

    /// The probing call was given up without having learnt anything: the next one may try.
    pub(super) fn abandoned(&mut self) {
        if let State::Probing(opening) = self.state {
            self.state = State::Open(opening);
        }
    }

    /// Some while nobody may ask.
    pub(super) fn opening(&self) -> Option<Opening> {
        match self.state {
            State::Closed { .. } => None,
            State::Open(opening) | State::Probing(opening) => Some(opening),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(0).plus(Duration::from_secs(seconds))
    }

    fn fail(circuit: &mut Circuit, now: Timestamp, was_probe: bool) {
        circuit.failed(now, was_probe, |pause| pause);
    }

    fn open(circuit: &mut Circuit) {
        for second in 0..u64::from(FAILURES_THAT_OPEN) {
            assert_eq!(circuit.enter(at(second), true), Entry::Free);
            fail(circuit, at(second), false);
        }
    }

    #[test]
    fn it_opens_after_several_failures_in_a_row_and_not_before() {
        let mut circuit = Circuit::default();
        for _ in 1..FAILURES_THAT_OPEN {
            fail(&mut circuit, at(0), false);
        }
        circuit.answered();
        open(&mut circuit);
        assert_eq!(circuit.enter(at(10), true), Entry::Shut { since: at(0), retry_at: at(64) });
    }

    #[test]
    fn exactly_one_call_tries_and_its_success_closes() {
        let mut circuit = Circuit::default();
        open(&mut circuit);
        assert_eq!(circuit.enter(at(64), false), Entry::Shut { since: at(0), retry_at: at(69) });
        assert_eq!(circuit.enter(at(64), true), Entry::Probe);
        assert_eq!(circuit.enter(at(64), true), Entry::Shut { since: at(0), retry_at: at(69) });
        circuit.answered();
        assert_eq!(circuit.enter(at(64), true), Entry::Free);
        assert_eq!(circuit.opening(), None);
    }

    #[test]
    fn each_failed_try_doubles_the_pause_up_to_half_an_hour() {
        let mut circuit = Circuit::default();
        open(&mut circuit);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let now = circuit.opening().unwrap().retry_at;
            assert_eq!(circuit.enter(now, true), Entry::Probe);
            fail(&mut circuit, now, true);
            pauses.push(circuit.opening().unwrap().retry_at.since(now).as_secs() / 60);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(circuit.opening().unwrap().since, at(0), "it has been down all the time");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_close_the_site_for_good() {
        let mut circuit = Circuit::default();
        circuit.failed(at(0), false, |pause| pause);
        for _ in 1..FAILURES_THAT_OPEN {
            fail(&mut circuit, at(1_000_000), false);
        }
        assert_eq!(circuit.enter(at(999_000), true), Entry::Shut { since: at(0), retry_at: at(1_000_060) });
        assert_eq!(circuit.enter(at(5), true), Entry::Probe);
    }

    #[test]
    fn a_given_up_probe_leaves_the_turn_to_the_next_call() {
        let mut circuit = Circuit::default();
        open(&mut circuit);
        assert_eq!(circuit.enter(at(100), true), Entry::Probe);
        circuit.abandoned();
        assert_eq!(circuit.enter(at(100), true), Entry::Probe);
    }

    #[test]
    fn late_failures_of_earlier_calls_change_nothing() {
        let mut circuit = Circuit::default();
        open(&mut circuit);
        let opening = circuit.opening();
        fail(&mut circuit, at(50), false);
        assert_eq!(circuit.opening(), opening);
        assert_eq!(circuit.enter(at(100), true), Entry::Probe);
        fail(&mut circuit, at(101), false);
        assert_eq!(circuit.enter(at(101), true), Entry::Shut { since: at(0), retry_at: at(106) });
    }
}
