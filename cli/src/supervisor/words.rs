//! How things are, in words, and what to do about it.

use super::{Disabled, End, Inspected, Kind, State, Written};

/// How the supervisor has the daemon, in half a sentence.
pub(crate) fn described(inspected: &Inspected) -> String {
    let Inspected { kind, seen, .. } = inspected;
    if *kind == Kind::Plain {
        let at_login = match seen.state {
            _ if seen.written == Written::Nothing => "commands start it",
            _ if seen.at_login => "commands and the desktop's login start it",
            _ => "commands start it; its entry for the desktop's login is switched off",
        };
        return format!("nobody keeps it: {at_login}");
    }
    let name = kind.name();
    if let Some(process_id) = seen.outside {
        return format!("process {process_id} runs without {name}, where it is {}", state(&seen.state));
    }
    let at_login = match (&seen.state, seen.at_login) {
        (State::NotInstalled | State::Disabled(_), _) => "",
        (_, true) => ", started at login",
        (_, false) => ", not started at login",
    };
    format!("{name}: {}{at_login}", state(&seen.state))
}

fn state(state: &State) -> String {
    match state {
        State::NotInstalled => "not installed".to_owned(),
        State::NotLoaded => "installed, and stopped".to_owned(),
        State::Disabled(Disabled::Override) => "installed, and switched off".to_owned(),
        State::Disabled(Disabled::Masked) => "masked".to_owned(),
        State::Disabled(Disabled::AtLogin) => "installed, stopped, and not started at login".to_owned(),
        State::Waiting => "not running; it starts when it is called".to_owned(),
        State::Starting => "starting".to_owned(),
        State::Running { process_id } => format!("running, process {process_id}"),
        State::Stopping => "stopping".to_owned(),
        State::Crashed { end, again: true } => format!("crashed ({}), and about to be started again", ended(end)),
        State::Crashed { end, again: false } => format!("crashed ({})", ended(end)),
        State::GivenUp { end } => format!("crashed too often ({}), and started no more", ended(end)),
    }
}

fn ended(end: &End) -> String {
    match end {
        // `paintboxd`'s exit code for it.
        End::Exit(5) => "another daemon keeps this home".to_owned(),
        End::Exit(code) => format!("exit code {code}"),
        End::Signal(number) => format!("signal {number}"),
        End::Watchdog => "it no longer said that it is alive".to_owned(),
        End::Other(words) => words.clone(),
    }
}

/// The state as a word for programs.
pub(crate) fn code(inspected: &Inspected) -> &'static str {
    if inspected.kind != Kind::Plain && inspected.seen.outside.is_some() {
        return "running_outside";
    }
    match inspected.seen.state {
        State::NotInstalled => "not_installed",
        State::NotLoaded => "not_loaded",
        State::Disabled(Disabled::Override) => "disabled",
        State::Disabled(Disabled::Masked) => "masked",
        State::Disabled(Disabled::AtLogin) => "disabled_at_login",
        State::Waiting => "waiting",
        State::Starting => "starting",
        State::Running { .. } => "running",
        State::Stopping => "stopping",
        State::Crashed { again: true, .. } => "crashed_restarting",
        State::Crashed { again: false, .. } => "crashed",
        State::GivenUp { .. } => "given_up",
    }
}

/// What the person can do, where something is not as it could be.
pub(crate) fn advice(inspected: &Inspected) -> Option<String> {
    let Inspected { kind, seen, program, .. } = inspected;
    if *kind == Kind::Plain {
        return None;
    }
    let name = kind.name();
    if let Some(program) = program.as_ref().filter(|program| !program.is_there) {
        let path = program.path.display();
        return Some(format!(
            "{path}, which {name} would start, is not there: `paintbox daemon install` names another"
        ));
    }
    Some(match &seen.state {
        _ if seen.outside.is_some() && seen.state != State::NotInstalled => {
            format!("`paintbox daemon restart` hands it over to {name}")
        }
        State::NotInstalled => "`paintbox daemon install` starts it at login".to_owned(),
        State::NotLoaded => "`paintbox daemon start` starts it; the next login does too".to_owned(),
        State::Disabled(Disabled::Override) => {
            "it is switched off in System Settings › General › Login Items: turn it on there, or `paintbox daemon install`"
                .to_owned()
        }
        State::Disabled(Disabled::Masked) => {
            format!("`paintbox daemon install` takes it back (`systemctl --user unmask {}`)", inspected.names.service())
        }
        State::Disabled(Disabled::AtLogin) => {
            "`paintbox daemon start` starts it now, `paintbox daemon install` at every login".to_owned()
        }
        State::Crashed { .. } | State::GivenUp { .. } => {
            "`paintbox daemon logs` may say why; `paintbox daemon start` tries again".to_owned()
        }
        _ if seen.written == Written::Other => {
            format!("{name} was told by another Paintbox: `paintbox daemon upgrade` renews what it knows")
        }
        _ if !seen.at_login => "`paintbox daemon install` has it started at login".to_owned(),
        State::Waiting | State::Starting | State::Running { .. } | State::Stopping => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Seen;
    use std::collections::HashSet;

    fn seen(state: State) -> Seen {
        let at_login = !matches!(state, State::Disabled(_));
        Seen { state, written: Written::Current, at_login, outside: None }
    }

    fn all() -> Vec<State> {
        let end = End::Signal(11);
        vec![
            State::NotInstalled,
            State::NotLoaded,
            State::Disabled(Disabled::Override),
            State::Disabled(Disabled::Masked),
            State::Disabled(Disabled::AtLogin),
            State::Waiting,
            State::Starting,
            State::Running { process_id: 7 },
            State::Stopping,
            State::Crashed { end: end.clone(), again: true },
            State::Crashed { end: end.clone(), again: false },
            State::GivenUp { end },
        ]
    }

    #[test]
    fn states_are_told_apart_in_words_and_for_programs() {
        for kind in [Kind::Launchd, Kind::Systemd] {
            let found: Vec<Inspected> =
                all().into_iter().map(|state| Inspected::for_tests(kind, seen(state), "/bin/paintboxd")).collect();
            let words: HashSet<String> = found.iter().map(described).collect();
            let codes: HashSet<&str> = found.iter().map(code).collect();
            assert_eq!((words.len(), codes.len()), (found.len(), found.len()), "{words:#?}");
        }
    }

    /// Whatever keeps the daemon from running or coming back has a way out, and names the command for it.
    #[test]
    fn what_is_not_as_it_could_be_comes_with_a_command() {
        for state in all() {
            let inspected = Inspected::for_tests(Kind::Launchd, seen(state.clone()), "/bin/paintboxd");
            let is_well = matches!(state, State::Waiting | State::Starting | State::Running { .. } | State::Stopping);
            match advice(&inspected) {
                None => assert!(is_well, "{state:?}"),
                Some(advice) => assert!(!is_well && advice.contains("`paintbox daemon "), "{state:?}: {advice}"),
            }
        }
        let off = Inspected::for_tests(Kind::Launchd, seen(State::Disabled(Disabled::Override)), "/bin/paintboxd");
        assert!(advice(&off).unwrap().contains("System Settings › General › Login Items"));
        let taken = seen(State::Crashed { end: End::Exit(5), again: false });
        let taken = Inspected::for_tests(Kind::Systemd, taken, "/bin/paintboxd");
        assert!(described(&taken).contains("another daemon keeps this home"));
    }
}
