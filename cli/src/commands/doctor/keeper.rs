//! Who keeps the daemon running, and whether that is as it was meant.

use super::{Check, Verdict};
use crate::paths;
use crate::session::Session;
use crate::supervisor::{Inspected, Kind, State, Written, advice, described};
use std::path::Path;

/// How its supervisor has the daemon, and whether it starts the program that belongs to this command line.
pub(super) async fn checks(session: &Session) -> Vec<Check> {
    if !session.may_start() {
        return Vec::new();
    }
    match Inspected::look(&session.surroundings, &session.paths, None).await {
        Ok(inspected) => of(&inspected, paths::lasting_daemon_program().ok().as_deref()),
        Err(error) => {
            vec![Check::new("kept by", Verdict::Warning, error.message(), &error.hint().unwrap_or_default())]
        }
    }
}

fn of(inspected: &Inspected, own: Option<&Path>) -> Vec<Check> {
    let seen = &inspected.seen;
    let is_lost = inspected.program.as_ref().is_some_and(|program| !program.is_there);
    let verdict = match &seen.state {
        State::Crashed { .. } | State::GivenUp { .. } => Verdict::Failed,
        _ if is_lost => Verdict::Failed,
        State::Disabled(_) => Verdict::Warning,
        State::NotInstalled => Verdict::Ok,
        // Without a supervisor every daemon runs like that.
        _ if inspected.kind != Kind::Plain && seen.outside.is_some() && seen.written != Written::Nothing => {
            Verdict::Warning
        }
        _ if seen.written == Written::Other => Verdict::Warning,
        _ => Verdict::Ok,
    };
    let mut checks = vec![Check::new("kept by", verdict, described(inspected), &advice(inspected).unwrap_or_default())];
    if let (Some(program), Some(own)) = (&inspected.program, own) {
        let path = program.path.display();
        checks.push(if program.path == own {
            Check::new("program", Verdict::Ok, path.to_string(), "")
        } else {
            let detail = format!("{path}; this command line's own is {}", own.display());
            Check::new("program", Verdict::Warning, detail, "`paintbox daemon install` names this command line's own")
        });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{End, Names, Program, Seen};

    fn inspected(state: State, written: Written, outside: Option<i32>) -> Inspected {
        Inspected::for_tests(Kind::Systemd, Seen { state, written, at_login: true, outside }, "/usr/bin/paintboxd")
    }

    #[test]
    fn each_way_of_being_kept_badly_is_told_with_what_to_do() {
        let own = Some(Path::new("/usr/bin/paintboxd"));
        let verdict = |inspected: &Inspected| {
            let checks = of(inspected, own);
            (checks[0].state, checks[0].detail.clone(), checks[0].hint.clone().unwrap_or_default())
        };
        let running = inspected(State::Running { process_id: 7 }, Written::Current, None);
        assert_eq!(
            verdict(&running),
            (Verdict::Ok, "systemd: running, process 7, started at login".to_owned(), String::new())
        );
        let crashed = inspected(State::GivenUp { end: End::Signal(9) }, Written::Current, None);
        let (found, detail, hint) = verdict(&crashed);
        assert_eq!(found, Verdict::Failed);
        assert!(detail.contains("crashed too often (signal 9)") && hint.contains("daemon logs"), "{detail}; {hint}");
        let outside = inspected(State::NotLoaded, Written::Current, Some(5));
        let (found, detail, hint) = verdict(&outside);
        assert_eq!(found, Verdict::Warning);
        assert!(
            detail.starts_with("process 5 runs without systemd") && hint.contains("daemon restart"),
            "{detail}; {hint}"
        );
        let seen = Seen { state: State::NotLoaded, written: Written::Current, at_login: true, outside: Some(5) };
        let plain = Inspected::for_tests(Kind::Plain, seen, "/usr/bin/paintboxd");
        assert_eq!(verdict(&plain).0, Verdict::Ok, "it is as it was meant");
        let older = inspected(State::Waiting, Written::Other, None);
        assert!(matches!(verdict(&older), (Verdict::Warning, _, hint) if hint.contains("daemon upgrade")));
        let mut lost = running;
        lost.program = Some(Program { path: "/gone/paintboxd".into(), is_there: false });
        assert!(matches!(verdict(&lost), (Verdict::Failed, _, hint) if hint.contains("/gone/paintboxd")));
        assert_eq!(of(&lost, own)[1].state, Verdict::Warning);
        assert_eq!(lost.names, Names::of(None));
    }
}
