//! Who keeps the daemon running: launchd, a systemd user manager, or nobody.
//!
//! Everything that decides is pure. `inspect` asks a supervisor's own program how things are and makes a [`Seen`] of what it
//! says; [`plan`] turns a verb and a [`Seen`] into a list of [`Step`]s, which tests compare as a table; `runner` carries the
//! steps out. The supervisor's programs (`launchctl`, `systemctl`) are looked for on the `PATH`, so that tests can put others
//! there that answer as recorded.
//!
//! What a supervisor is given ([`Definition`]) names the daemon's program by the path under which people call it, has only the
//! environment that decides where the home is, and lets the supervisor hold the socket: while one daemon makes room for the
//! next, callers wait in the socket's queue and nobody is refused. A supervised daemon is therefore stopped by taking the socket
//! away too (`bootout`, `systemctl stop` of both units); otherwise the next look at it would start it again. At the next login
//! it comes back by itself.
//!
//! Two daemons of one home, kept by different hands, never come up: every verb that hands the daemon to a supervisor first stops
//! one that runs without it, commands that start the daemon by themselves ask the supervisor where one has it, and in any case
//! the home's lock lets one live.
//!
//! A home of its own (`PAINTBOX_HOME`) has a label and units of its own, with the variable in them.

mod definition;
mod inspect;
mod launchd;
mod names;
mod plain;
mod runner;
mod systemd;
mod tool;
mod words;

pub(crate) use definition::{Definition, lasting};
pub(crate) use inspect::{Inspected, caught, last_lines};
pub(crate) use names::Names;
pub(crate) use runner::Runner;
pub(crate) use tool::{Surroundings, may_be_installed};
pub(crate) use words::{advice, code, described};

use std::path::PathBuf;

/// Who there is on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Launchd,
    Systemd,
    /// Neither: a background process that commands start when they need it.
    Plain,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Launchd, Self::Systemd, Self::Plain];

    /// As `PAINTBOX_SUPERVISOR` and `--json` name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Launchd => "launchd",
            Self::Systemd => "systemd",
            Self::Plain => "none",
        }
    }
}

/// How the supervisor has the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It does not know the daemon, and there is no definition that it would find.
    NotInstalled,
    /// There is a definition, and the supervisor has not taken it up: somebody stopped it, or nobody has logged in since.
    NotLoaded,
    /// Somebody has told the supervisor not to run it.
    Disabled(Disabled),
    /// Taken up, without a process: it starts when it is called.
    Waiting,
    Starting,
    Running {
        process_id: i32,
    },
    Stopping,
    /// It ended badly; `again` when the supervisor is about to start it again.
    Crashed {
        end: End,
        again: bool,
    },
    /// It ended badly so often that the supervisor starts it no more.
    GivenUp {
        end: End,
    },
}

impl State {
    /// Whether the supervisor holds the socket, so that knocking at it would start the daemon.
    pub(crate) fn holds_socket(&self) -> bool {
        match self {
            Self::Waiting | Self::Starting | Self::Running { .. } | Self::Stopping | Self::Crashed { .. } => true,
            Self::NotInstalled | Self::NotLoaded | Self::Disabled(_) | Self::GivenUp { .. } => false,
        }
    }

    /// Whether the supervisor has taken the definition up.
    fn is_loaded(&self) -> bool {
        self.holds_socket() || matches!(self, Self::GivenUp { .. })
    }
}

/// What keeps a supervisor from running the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disabled {
    /// launchd has an override: the switch in System Settings › General › Login Items, or `launchctl disable`.
    Override,
    /// systemd has it masked: it cannot be started at all.
    Masked,
    /// It is not started at login (`systemctl disable`, an autostart entry that is switched off); it can be started.
    AtLogin,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Exit(i32),
    Signal(i32),
    /// It did not say in time that it is alive.
    Watchdog,
    /// What the supervisor calls it.
    Other(String),
}

/// How the definition on disk compares with the one that this command line would write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Nothing,
    /// What the supervisor was given by another Paintbox, or names another program.
    Other,
    Current,
}

/// How things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: State,
    pub(crate) written: Written,
    /// Whether it is started at login.
    pub(crate) at_login: bool,
    /// The process of a daemon that answers at the home's socket without the supervisor.
    pub(crate) outside: Option<i32>,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Install,
    Uninstall,
    Start,
    Stop,
    Restart,
    /// `renewed`: the program on disk is another than the one that runs.
    Upgrade {
        renewed: bool,
    },
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Have the program read the configuration, and go no further if it cannot.
    CheckConfiguration,
    /// Have the daemon that runs without the supervisor end in order, and wait until it has.
    StopOutside,
    /// Have the supervised daemon end in order. Its socket stays, so that only the supervisor knows when it has.
    CallToEnd,
    /// Write the definition.
    Write,
    /// Remove the definition.
    Remove,
    /// Have the supervisor's own program do something.
    Ask(Ask),
    /// Wait until the supervisor no longer knows the daemon.
    AwaitUnloaded,
    /// Wait until the supervised process has ended.
    AwaitEnded,
    /// Wait until the daemon answers.
    AwaitAnswer,
    /// Start the daemon without a supervisor.
    Spawn,
}

/// What a supervisor's own program can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// launchd: take an override back.
    Enable,
    Bootstrap,
    Bootout,
    Kickstart,
    /// The same for a process that does not answer: it is ended first, in whatever way.
    KickstartAnew,
    /// systemd: read the units again.
    DaemonReload,
    EnableAtLogin,
    DisableAtLogin,
    Unmask,
    ResetFailed,
    Start,
    Stop,
    Restart,
}

/// The steps that bring about what `verb` wants. Nothing to do is an empty list. What ends a daemon to have another one start,
/// or has a supervisor start one, begins with a look at the configuration: a daemon that works is not given up for one that
/// could not start, and a supervisor is not left trying.
pub(crate) fn plan(kind: Kind, verb: Verb, seen: &Seen) -> Vec<Step> {
    let mut steps = steps(kind, verb, seen);
    let is_at_stake = |step: &Step| matches!(step, Step::StopOutside | Step::CallToEnd | Step::Ask(_));
    if !matches!(verb, Verb::Stop | Verb::Uninstall) && steps.iter().any(is_at_stake) {
        steps.insert(0, Step::CheckConfiguration);
    }
    steps
}

fn steps(kind: Kind, verb: Verb, seen: &Seen) -> Vec<Step> {
    match kind {
        Kind::Launchd => launchd::plan(verb, seen),
        Kind::Systemd => systemd::plan(verb, seen),
        Kind::Plain => plain::plan(verb, seen),
    }
}

/// A step if there is a daemon that runs without the supervisor.
fn stop_outside(seen: &Seen) -> Option<Step> {
    seen.outside.map(|_| Step::StopOutside)
}

/// To stop is to take the socket away too, by `unload`.
fn stop(seen: &Seen, unload: &[Step]) -> Vec<Step> {
    let unload = if seen.state.is_loaded() { unload } else { &[] };
    stop_outside(seen).into_iter().chain(unload.iter().copied()).collect()
}

/// A process makes way for the next by `renew`; where there is none, one is started.
fn restart(seen: &Seen, renew: &[Step], start: impl Fn(&Seen) -> Vec<Step>) -> Vec<Step> {
    let rest = match &seen.state {
        State::Running { .. } | State::Starting => renew.to_vec(),
        _ => start(&Seen { outside: None, ..seen.clone() }),
    };
    stop_outside(seen).into_iter().chain(rest).collect()
}

/// The program named by a definition, and whether it lies where it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) is_there: bool,
}

#[cfg(test)]
mod parsers;
#[cfg(test)]
mod tests;
