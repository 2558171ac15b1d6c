//! launchd: a LaunchAgent of the user's own.
//!
//! The agent is `~/Library/LaunchAgents/LABEL.plist` (`agent`), and `launchctl` is asked in its words of today alone:
//! `bootstrap`, `bootout`, `kickstart`, `print`, `print-disabled` and `enable` (launchctl(1) of macOS 10.10 and later), whose
//! exit code is the error's number. `load` and `unload` hide errors and are not used. What follows from launchd's ways:
//!
//! - An agent that is loaded cannot be bootstrapped again, and `bootout` returns before the agent is gone: what changes is booted
//!   out, and bootstrapped once `print` no longer finds it.
//! - To stop is to boot out. launchd would hold the socket otherwise, and start the daemon when anybody knocks. The plist stays,
//!   so that the agent is loaded again at the next login.
//! - `kickstart -k` does not say how it ends the process, so a restart asks the daemon itself to end, which lets it finish in
//!   order, and then has it started. Its exit code is 0 then, and `KeepAlive` has `SuccessfulExit` false: launchd does not start
//!   it in between on its own account.
//! - Since macOS 13 everybody can switch an agent off in System Settings while its plist stays. `install` alone, which asks for
//!   just that, takes this back (`enable`).

mod agent;
mod print;

pub(super) use agent::{LoginSession, agent, program_of, session_of};
pub(super) use print::{Printed, is_disabled, printed};

use super::{Ask, Seen, State, Step, Verb, Written, restart, stop, stop_outside};

/// See [`super::plan`].
pub(super) fn plan(verb: Verb, seen: &Seen) -> Vec<Step> {
    match verb {
        Verb::Install => install(seen),
        Verb::Uninstall => uninstall(seen),
        Verb::Start => start(seen),
        Verb::Stop => stop(seen, &UNLOAD),
        Verb::Restart => restart(seen, &RENEW, start),
        Verb::Upgrade { renewed } => upgrade(renewed, seen),
    }
}

const RELOAD: [Step; 4] = [Step::Ask(Ask::Bootout), Step::AwaitUnloaded, Step::Ask(Ask::Bootstrap), Step::AwaitAnswer];
const LOAD: [Step; 2] = [Step::Ask(Ask::Bootstrap), Step::AwaitAnswer];
const KICK: [Step; 2] = [Step::Ask(Ask::Kickstart), Step::AwaitAnswer];
const UNLOAD: [Step; 2] = [Step::Ask(Ask::Bootout), Step::AwaitUnloaded];
const RENEW: [Step; 4] = [Step::CallToEnd, Step::AwaitEnded, Step::Ask(Ask::Kickstart), Step::AwaitAnswer];

fn install(seen: &Seen) -> Vec<Step> {
    let is_other = seen.written != Written::Current;
    let mut steps: Vec<Step> = stop_outside(seen).into_iter().collect();
    steps.extend(is_other.then_some(Step::Write));
    // Also of an agent that is long gone: overrides outlive what they are about.
    steps.extend((!seen.at_login).then_some(Step::Ask(Ask::Enable)));
    match &seen.state {
        State::NotInstalled | State::NotLoaded | State::Disabled(_) => steps.extend(LOAD),
        State::Waiting | State::Starting | State::Running { .. } if !is_other => {
            steps.extend(matches!(seen.state, State::Waiting).then_some(Step::Ask(Ask::Kickstart)));
            steps.push(Step::AwaitAnswer);
        }
        _ => steps.extend(RELOAD),
    }
    steps
}

fn uninstall(seen: &Seen) -> Vec<Step> {
    let mut steps = Vec::new();
    if seen.state.is_loaded() {
        steps.extend(UNLOAD);
    }
    steps.extend((seen.written != Written::Nothing).then_some(Step::Remove));
    steps
}

fn start(seen: &Seen) -> Vec<Step> {
    if seen.outside.is_some() {
        return Vec::new();
    }
    match &seen.state {
        // What somebody switched off is not switched on behind their back; the daemon runs until the session ends.
        State::NotInstalled | State::Disabled(_) => vec![Step::Spawn],
        State::NotLoaded => LOAD.to_vec(),
        State::Waiting => KICK.to_vec(),
        State::Starting | State::Running { .. } => vec![Step::AwaitAnswer],
        // Also what launchd has put off or refuses to run again; `kickstart` would only wait with it.
        State::Stopping | State::Crashed { .. } | State::GivenUp { .. } => RELOAD.to_vec(),
    }
}

fn upgrade(renewed: bool, seen: &Seen) -> Vec<Step> {
    let is_other = seen.written == Written::Other;
    let mut steps = Vec::new();
    match &seen.state {
        State::NotInstalled | State::Disabled(_) => {
            steps.extend(is_other.then_some(Step::Write));
            if seen.outside.is_some() && renewed {
                steps.extend([Step::StopOutside, Step::Spawn]);
            }
        }
        State::NotLoaded => {
            steps.extend(is_other.then_some(Step::Write));
            // It runs beside an agent that has it; the next one is the agent's.
            if seen.outside.is_some() {
                steps.push(Step::StopOutside);
                steps.extend(LOAD);
            }
        }
        _ if is_other => {
            steps.extend(stop_outside(seen));
            steps.push(Step::Write);
            steps.extend(RELOAD);
        }
        State::Running { .. } | State::Starting if renewed => steps.extend(RENEW),
        State::Crashed { .. } | State::GivenUp { .. } => {
            steps.extend(stop_outside(seen));
            steps.extend(RELOAD);
        }
        State::Waiting | State::Running { .. } | State::Starting | State::Stopping => {}
    }
    steps
}

/// `print` of a service that is not there, and `bootout` of one that is gone.
pub(super) const NO_SUCH_SERVICE: i32 = 113;

/// What an error number of launchctl's means for the person who reads it.
///
/// The numbers are errno's and launchd's own above 100: 3 ESRCH, 5 EIO, 36 EINPROGRESS, 37 EALREADY; 112 no such domain, 113 no
/// such service, 125 a domain that cannot do it (recorded in `tests/fixtures/supervisors`).
pub(super) fn explained(code: i32) -> Option<&'static str> {
    Some(match code {
        5 => {
            "launchd says this of an agent that is loaded already, that is switched off in System Settings › General › Login \
             Items, or whose plist or program it cannot read; `paintbox daemon status` tells which"
        }
        36 | 37 => "launchd is still busy with the agent; try again in a moment",
        112 | 125 => {
            "launchd has no session of yours here: agents need somebody logged in at the Mac's screen; commands start the daemon \
             without launchd meanwhile"
        }
        NO_SUCH_SERVICE => "launchd does not know the agent: `paintbox daemon install` hands it over again",
        _ => return None,
    })
}
