//! systemd: a service and its socket at the user's own manager.
//!
//! The units lie in `~/.config/systemd/user` (`units`) and are handled by `systemctl --user`, whose jobs are waited for: the
//! service says when it is ready (`Type=notify`), so `start` ends when the daemon answers or has failed, and `stop` when it has
//! ended. What follows from systemd's ways:
//!
//! - To stop is to stop both units. The socket alone would start the service again when anybody knocks.
//! - A restart is of the service alone. The socket goes on listening, and whoever knocks meanwhile waits.
//! - What crashed too often is failed until `reset-failed`, and its socket with it.
//! - `disable` only keeps it from being started at login, so `start` still works and enables nothing; what is masked cannot be
//!   started at all, and only `install`, which asks for just that, takes it back.
//! - A user's manager ends with the user's last session unless `loginctl enable-linger` says otherwise. That is the user's
//!   choice: it is offered in words and never made here.

mod show;
mod units;

pub(super) use show::{PROPERTIES, shown};
pub(super) use units::{Units, program_of};

use super::{Ask, Disabled, Seen, State, Step, Verb, Written, restart, stop, stop_outside};

/// See [`super::plan`].
pub(super) fn plan(verb: Verb, seen: &Seen) -> Vec<Step> {
    match verb {
        Verb::Install => install(seen),
        Verb::Uninstall => uninstall(seen),
        Verb::Start => start(seen),
        Verb::Stop => stop(seen, &[Step::Ask(Ask::Stop)]),
        Verb::Restart => restart(seen, &RESTART, start),
        Verb::Upgrade { renewed } => upgrade(renewed, seen),
    }
}

const START: [Step; 2] = [Step::Ask(Ask::Start), Step::AwaitAnswer];
const RESTART: [Step; 2] = [Step::Ask(Ask::Restart), Step::AwaitAnswer];

fn install(seen: &Seen) -> Vec<Step> {
    let is_masked = seen.state == State::Disabled(Disabled::Masked);
    let is_other = seen.written != Written::Current || is_masked;
    let mut steps: Vec<Step> = stop_outside(seen).into_iter().collect();
    steps.extend(is_masked.then_some(Step::Ask(Ask::Unmask)));
    if is_other {
        // A socket that listens already is no longer the one that the new unit means.
        steps.extend(seen.state.is_loaded().then_some(Step::Ask(Ask::Stop)));
        steps.extend([Step::Write, Step::Ask(Ask::DaemonReload)]);
    }
    steps.extend((!seen.at_login || is_other).then_some(Step::Ask(Ask::EnableAtLogin)));
    steps.extend(has_failed(seen).then_some(Step::Ask(Ask::ResetFailed)));
    if matches!(seen.state, State::Running { .. } | State::Starting) && !is_other {
        steps.push(Step::AwaitAnswer);
    } else {
        steps.extend(START);
    }
    steps
}

fn uninstall(seen: &Seen) -> Vec<Step> {
    let mut steps = Vec::new();
    if seen.state == State::Disabled(Disabled::Masked) {
        steps.push(Step::Ask(Ask::Unmask));
    }
    if seen.state.is_loaded() {
        steps.push(Step::Ask(Ask::Stop));
    }
    if seen.written != Written::Nothing {
        steps.extend(seen.at_login.then_some(Step::Ask(Ask::DisableAtLogin)));
        steps.push(Step::Remove);
    }
    if !steps.is_empty() {
        steps.push(Step::Ask(Ask::DaemonReload));
    }
    steps.extend(has_failed(seen).then_some(Step::Ask(Ask::ResetFailed)));
    steps
}

fn start(seen: &Seen) -> Vec<Step> {
    if seen.outside.is_some() {
        return Vec::new();
    }
    match &seen.state {
        State::NotInstalled | State::Disabled(Disabled::Masked) => vec![Step::Spawn],
        State::Running { .. } | State::Starting => vec![Step::AwaitAnswer],
        State::NotLoaded | State::Disabled(_) | State::Waiting | State::Stopping => START.to_vec(),
        State::Crashed { .. } | State::GivenUp { .. } => [&[Step::Ask(Ask::ResetFailed)], &START[..]].concat(),
    }
}

fn upgrade(renewed: bool, seen: &Seen) -> Vec<Step> {
    let is_other = seen.written == Written::Other;
    let rewritten = [Step::Write, Step::Ask(Ask::DaemonReload)];
    let mut steps = Vec::new();
    match &seen.state {
        State::NotInstalled | State::Disabled(Disabled::Masked) => {
            if seen.outside.is_some() && renewed {
                steps.extend([Step::StopOutside, Step::Spawn]);
            }
        }
        State::NotLoaded | State::Disabled(_) => {
            steps.extend(stop_outside(seen));
            steps.extend(is_other.then_some(rewritten).into_iter().flatten());
            // It runs beside units that have it; the next one is the units'.
            steps.extend(seen.outside.map(|_| START).into_iter().flatten());
        }
        _ if is_other => {
            steps.extend(stop_outside(seen));
            steps.push(Step::Ask(Ask::Stop));
            steps.extend(rewritten);
            steps.extend(has_failed(seen).then_some(Step::Ask(Ask::ResetFailed)));
            steps.extend(START);
        }
        State::Running { .. } | State::Starting if renewed => steps.extend(RESTART),
        State::Crashed { .. } | State::GivenUp { .. } => {
            steps.extend(stop_outside(seen));
            steps.push(Step::Ask(Ask::ResetFailed));
            steps.extend(START);
        }
        State::Waiting | State::Running { .. } | State::Starting | State::Stopping => {}
    }
    steps
}

fn has_failed(seen: &Seen) -> bool {
    matches!(seen.state, State::Crashed { .. } | State::GivenUp { .. })
}
