//! Every state and every verb: what is done about it, as tables to read.

use super::*;

const VERBS: [Verb; 7] = [
    Verb::Install,
    Verb::Uninstall,
    Verb::Start,
    Verb::Stop,
    Verb::Restart,
    Verb::Upgrade { renewed: true },
    Verb::Upgrade { renewed: false },
];

fn end() -> End {
    End::Exit(1)
}

/// A state by its name in the tables. `*` behind it: the definition on disk is another Paintbox's. `+`: a daemon runs outside.
/// `!`: it is not started at login.
fn seen(name: &str) -> Seen {
    let word = name.trim_end_matches(['*', '+', '!']);
    let state = match word {
        "absent" => State::NotInstalled,
        "stopped" => State::NotLoaded,
        "switched-off" => State::Disabled(Disabled::Override),
        "masked" => State::Disabled(Disabled::Masked),
        "disabled" => State::Disabled(Disabled::AtLogin),
        "waiting" => State::Waiting,
        "starting" => State::Starting,
        "running" => State::Running { process_id: 7 },
        "stopping" => State::Stopping,
        "crashed" => State::Crashed { end: end(), again: false },
        "crash-loop" => State::Crashed { end: end(), again: true },
        "given-up" => State::GivenUp { end: end() },
        other => panic!("{other}"),
    };
    let written = match &state {
        State::NotInstalled | State::Disabled(Disabled::Masked) => Written::Nothing,
        _ if name.contains('*') => Written::Other,
        _ => Written::Current,
    };
    let at_login = !name.contains('!') && !matches!(state, State::Disabled(_));
    Seen { at_login, written, outside: name.contains('+').then_some(9), state }
}

fn short(steps: &[Step]) -> String {
    let words = steps.iter().map(|step| match step {
        Step::CheckConfiguration => "check".to_owned(),
        Step::StopOutside => "stop-outside".to_owned(),
        Step::CallToEnd => "call-to-end".to_owned(),
        Step::Write => "write".to_owned(),
        Step::Remove => "remove".to_owned(),
        Step::Ask(ask) => format!("{ask:?}").to_ascii_uppercase(),
        Step::AwaitUnloaded => "gone?".to_owned(),
        Step::AwaitEnded => "ended?".to_owned(),
        Step::AwaitAnswer => "up?".to_owned(),
        Step::Spawn => "spawn".to_owned(),
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}

/// Each line is a state and its plans, in the order of [`VERBS`].
fn check(kind: Kind, table: &str) {
    let mut wrong = String::new();
    for line in table.lines().filter(|line| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), VERBS.len() + 1, "{line}");
        let seen = seen(cells[0]);
        for (verb, wanted) in VERBS.into_iter().zip(&cells[1..]) {
            let got = short(&steps(kind, verb, &seen));
            if got != **wanted {
                wrong.push_str(&format!("{} {verb:?}: wanted `{wanted}`, got `{got}`\n", cells[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{kind:?}\n{wrong}");
}

/// The columns: install, uninstall, start, stop, restart, upgrade to another program, upgrade to the same.
#[test]
fn launchd_is_asked_for_what_the_state_needs() {
    check(
        Kind::Launchd,
        "
absent         | write BOOTSTRAP up?                     | - | spawn | - | spawn | - | -
absent+        | stop-outside write BOOTSTRAP up?        | - | - | stop-outside | stop-outside spawn | stop-outside spawn | -
absent!        | write ENABLE BOOTSTRAP up?              | - | spawn | - | spawn | - | -
stopped        | BOOTSTRAP up?                           | remove | BOOTSTRAP up? | - | BOOTSTRAP up? | - | -
stopped*       | write BOOTSTRAP up?                     | remove | BOOTSTRAP up? | - | BOOTSTRAP up? | write | write
stopped+       | stop-outside BOOTSTRAP up?              | remove | - | stop-outside | stop-outside BOOTSTRAP up? | stop-outside BOOTSTRAP up? | stop-outside BOOTSTRAP up?
switched-off   | ENABLE BOOTSTRAP up?                    | remove | spawn | - | spawn | - | -
switched-off*  | write ENABLE BOOTSTRAP up?              | remove | spawn | - | spawn | write | write
switched-off+  | stop-outside ENABLE BOOTSTRAP up?       | remove | - | stop-outside | stop-outside spawn | stop-outside spawn | -
waiting        | KICKSTART up?                           | BOOTOUT gone? remove | KICKSTART up? | BOOTOUT gone? | KICKSTART up? | - | -
waiting*       | write BOOTOUT gone? BOOTSTRAP up?       | BOOTOUT gone? remove | KICKSTART up? | BOOTOUT gone? | KICKSTART up? | write BOOTOUT gone? BOOTSTRAP up? | write BOOTOUT gone? BOOTSTRAP up?
starting       | up?                                     | BOOTOUT gone? remove | up? | BOOTOUT gone? | call-to-end ended? KICKSTART up? | call-to-end ended? KICKSTART up? | -
running        | up?                                     | BOOTOUT gone? remove | up? | BOOTOUT gone? | call-to-end ended? KICKSTART up? | call-to-end ended? KICKSTART up? | -
running!       | ENABLE up?                              | BOOTOUT gone? remove | up? | BOOTOUT gone? | call-to-end ended? KICKSTART up? | call-to-end ended? KICKSTART up? | -
running*       | write BOOTOUT gone? BOOTSTRAP up?       | BOOTOUT gone? remove | up? | BOOTOUT gone? | call-to-end ended? KICKSTART up? | write BOOTOUT gone? BOOTSTRAP up? | write BOOTOUT gone? BOOTSTRAP up?
crashed        | BOOTOUT gone? BOOTSTRAP up?             | BOOTOUT gone? remove | BOOTOUT gone? BOOTSTRAP up? | BOOTOUT gone? | BOOTOUT gone? BOOTSTRAP up? | BOOTOUT gone? BOOTSTRAP up? | BOOTOUT gone? BOOTSTRAP up?
crash-loop     | BOOTOUT gone? BOOTSTRAP up?             | BOOTOUT gone? remove | BOOTOUT gone? BOOTSTRAP up? | BOOTOUT gone? | BOOTOUT gone? BOOTSTRAP up? | BOOTOUT gone? BOOTSTRAP up? | BOOTOUT gone? BOOTSTRAP up?
crash-loop*    | write BOOTOUT gone? BOOTSTRAP up?       | BOOTOUT gone? remove | BOOTOUT gone? BOOTSTRAP up? | BOOTOUT gone? | BOOTOUT gone? BOOTSTRAP up? | write BOOTOUT gone? BOOTSTRAP up? | write BOOTOUT gone? BOOTSTRAP up?
",
    );
}

#[test]
fn systemd_is_asked_for_what_the_state_needs() {
    check(
        Kind::Systemd,
        "
absent         | write DAEMONRELOAD ENABLEATLOGIN START up?                   | - | spawn | - | spawn | - | -
absent+        | stop-outside write DAEMONRELOAD ENABLEATLOGIN START up?      | - | - | stop-outside | stop-outside spawn | stop-outside spawn | -
stopped        | START up?                                                    | DISABLEATLOGIN remove DAEMONRELOAD | START up? | - | START up? | - | -
stopped*       | write DAEMONRELOAD ENABLEATLOGIN START up?                   | DISABLEATLOGIN remove DAEMONRELOAD | START up? | - | START up? | write DAEMONRELOAD | write DAEMONRELOAD
stopped+       | stop-outside START up?                                       | DISABLEATLOGIN remove DAEMONRELOAD | - | stop-outside | stop-outside START up? | stop-outside START up? | stop-outside START up?
disabled       | ENABLEATLOGIN START up?                                      | remove DAEMONRELOAD | START up? | - | START up? | - | -
masked         | UNMASK write DAEMONRELOAD ENABLEATLOGIN START up?            | UNMASK DAEMONRELOAD | spawn | - | spawn | - | -
masked+        | stop-outside UNMASK write DAEMONRELOAD ENABLEATLOGIN START up? | UNMASK DAEMONRELOAD | - | stop-outside | stop-outside spawn | stop-outside spawn | -
waiting        | START up?                                                    | STOP DISABLEATLOGIN remove DAEMONRELOAD | START up? | STOP | START up? | - | -
waiting*       | STOP write DAEMONRELOAD ENABLEATLOGIN START up?              | STOP DISABLEATLOGIN remove DAEMONRELOAD | START up? | STOP | START up? | STOP write DAEMONRELOAD START up? | STOP write DAEMONRELOAD START up?
starting       | up?                                                          | STOP DISABLEATLOGIN remove DAEMONRELOAD | up? | STOP | RESTART up? | RESTART up? | -
running        | up?                                                          | STOP DISABLEATLOGIN remove DAEMONRELOAD | up? | STOP | RESTART up? | RESTART up? | -
running!       | ENABLEATLOGIN up?                                            | STOP remove DAEMONRELOAD | up? | STOP | RESTART up? | RESTART up? | -
running*       | STOP write DAEMONRELOAD ENABLEATLOGIN START up?              | STOP DISABLEATLOGIN remove DAEMONRELOAD | up? | STOP | RESTART up? | STOP write DAEMONRELOAD START up? | STOP write DAEMONRELOAD START up?
stopping       | START up?                                                    | STOP DISABLEATLOGIN remove DAEMONRELOAD | START up? | STOP | START up? | - | -
crashed        | RESETFAILED START up?                                        | STOP DISABLEATLOGIN remove DAEMONRELOAD RESETFAILED | RESETFAILED START up? | STOP | RESETFAILED START up? | RESETFAILED START up? | RESETFAILED START up?
crash-loop     | RESETFAILED START up?                                        | STOP DISABLEATLOGIN remove DAEMONRELOAD RESETFAILED | RESETFAILED START up? | STOP | RESETFAILED START up? | RESETFAILED START up? | RESETFAILED START up?
given-up       | RESETFAILED START up?                                        | STOP DISABLEATLOGIN remove DAEMONRELOAD RESETFAILED | RESETFAILED START up? | STOP | RESETFAILED START up? | RESETFAILED START up? | RESETFAILED START up?
given-up*      | STOP write DAEMONRELOAD ENABLEATLOGIN RESETFAILED START up?  | STOP DISABLEATLOGIN remove DAEMONRELOAD RESETFAILED | RESETFAILED START up? | STOP | RESETFAILED START up? | STOP write DAEMONRELOAD RESETFAILED START up? | STOP write DAEMONRELOAD RESETFAILED START up?
",
    );
}

#[test]
fn without_a_supervisor_the_same_verbs_do_it_themselves() {
    check(
        Kind::Plain,
        "
absent    | write spawn  | - | spawn | - | spawn | - | -
absent+   | write        | - | - | stop-outside | stop-outside spawn | stop-outside spawn | -
stopped   | spawn        | remove | spawn | - | spawn | - | -
stopped*  | write spawn  | remove | spawn | - | spawn | write | write
running+  | -            | stop-outside remove | - | stop-outside | stop-outside spawn | stop-outside spawn | -
disabled  | write spawn  | remove | spawn | - | spawn | - | -
",
    );
}

/// Carrying a plan out, and asking for the same again, comes to rest: whatever the state, a second install or stop has nothing
/// left to change.
#[test]
fn a_plan_that_was_carried_out_leaves_nothing_to_do() {
    let running =
        Seen { state: State::Running { process_id: 8 }, written: Written::Current, at_login: true, outside: None };
    let stopped = Seen { state: State::NotLoaded, ..running.clone() };
    let gone = Seen { state: State::NotInstalled, written: Written::Nothing, at_login: true, outside: None };
    for kind in [Kind::Launchd, Kind::Systemd] {
        let changes = |verb, seen: &Seen| plan(kind, verb, seen).iter().any(|step| *step != Step::AwaitAnswer);
        for verb in [Verb::Install, Verb::Start, Verb::Upgrade { renewed: false }] {
            assert!(!changes(verb, &running), "{kind:?} {verb:?}");
        }
        assert!(!changes(Verb::Stop, &stopped), "{kind:?}");
        assert!(!changes(Verb::Uninstall, &gone), "{kind:?}");
    }
}

/// Before a daemon is ended for another, or a supervisor is to start one, the configuration is looked at.
#[test]
fn no_daemon_is_given_up_for_one_that_could_not_start() {
    let of = |kind, verb, state: &str| short(&plan(kind, verb, &seen(state)));
    assert_eq!(of(Kind::Systemd, Verb::Restart, "running"), "check RESTART up?");
    assert_eq!(of(Kind::Launchd, Verb::Start, "crash-loop"), "check BOOTOUT gone? BOOTSTRAP up?");
    assert_eq!(of(Kind::Plain, Verb::Upgrade { renewed: true }, "running+"), "check stop-outside spawn");
    assert_eq!(of(Kind::Systemd, Verb::Start, "running"), "up?");
    assert_eq!(of(Kind::Plain, Verb::Start, "absent"), "spawn");
    assert_eq!(of(Kind::Launchd, Verb::Stop, "running"), "BOOTOUT gone?");
}

/// No plan starts a daemon at a supervisor while another one of the home may run, and none starts two.
#[test]
fn no_plan_brings_up_two_daemons() {
    let states = [
        "absent",
        "stopped",
        "switched-off",
        "masked",
        "disabled",
        "waiting",
        "starting",
        "running",
        "stopping",
        "crashed",
        "crash-loop",
        "given-up",
    ];
    let starts = |step: &Step| {
        matches!(step, Step::Spawn | Step::Ask(Ask::Bootstrap | Ask::Kickstart | Ask::Start | Ask::Restart))
    };
    for kind in Kind::ALL {
        for (state, extra) in states.iter().flat_map(|state| ["", "*", "+", "*+", "!"].map(|extra| (state, extra))) {
            let seen = seen(&format!("{state}{extra}"));
            if seen.outside.is_some() && seen.state.holds_socket() {
                // Whoever answers at a supervisor's socket is its own; `inspect` never says otherwise.
                continue;
            }
            for verb in VERBS {
                let steps = plan(kind, verb, &seen);
                assert!(steps.iter().filter(|step| starts(step)).count() <= 1, "{kind:?} {state}{extra} {verb:?}");
                let stop = steps.iter().position(|step| *step == Step::StopOutside);
                let start = steps.iter().position(starts);
                if let (Some(_), Some(start)) = (seen.outside, start) {
                    assert!(stop.is_some_and(|stop| stop < start), "{kind:?} {state}{extra} {verb:?}: {steps:?}");
                }
            }
        }
    }
}

mod recorded {
    //! What the programs were recorded to say (`tests/fixtures/supervisors`).

    use super::*;
    use crate::supervisor::launchd::{explained, is_disabled, printed};
    use crate::supervisor::systemd::shown;

    macro_rules! recorded {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/supervisors/", $name))
        };
    }

    #[test]
    fn launchctl_says_what_became_of_an_agent() {
        let crashed = |end, again| State::Crashed { end, again };
        let cases = [
            (recorded!("launchctl-print-running.txt"), State::Running { process_id: 1082 }, Some(1)),
            (recorded!("launchctl-print-running-macos-13.txt"), State::Running { process_id: 54109 }, Some(1)),
            (recorded!("launchctl-print-never-run.txt"), State::Waiting, Some(0)),
            (recorded!("launchctl-print-exit-0.txt"), State::Waiting, Some(18)),
            (recorded!("launchctl-print-exit-1.txt"), crashed(End::Exit(1), false), Some(4)),
            (recorded!("launchctl-print-spawn-scheduled.txt"), State::Starting, Some(311)),
            (recorded!("launchctl-print-crash-loop.txt"), crashed(End::Exit(1), true), Some(5282)),
            (recorded!("launchctl-print-ex-config.txt"), crashed(End::Exit(78), true), Some(54)),
            (recorded!("launchctl-print-killed-and-running.txt"), State::Running { process_id: 38837 }, Some(48)),
            (recorded!("launchctl-print-xpcproxy.txt"), State::Starting, Some(778)),
        ];
        for (text, state, runs) in cases {
            let found = printed(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((found.state, found.runs), (state, runs), "{text}");
        }
        let found = printed(recorded!("launchctl-print-running.txt")).unwrap();
        assert_eq!(found.program.as_deref(), Some("/Users/somebody/.go/bin/bn-vault-guard"));
        assert!(found.path.unwrap().ends_with("com.somebody.brainnotes-vault-guard.plist"));
    }

    #[test]
    fn a_signal_is_an_end_and_sigterm_is_none() {
        let ended = |line: &str| printed(&format!("x = {{\n\tstate = not running\n\t{line}\n}}\n")).unwrap().state;
        let crashed = |end| State::Crashed { end, again: false };
        assert_eq!(ended("last terminating signal = Segmentation fault: 11"), crashed(End::Signal(11)));
        assert_eq!(ended("last terminating signal = Terminated: 15"), State::Waiting);
        assert_eq!(ended("last exit reason = JETSAM"), crashed(End::Other("JETSAM".to_owned())));
        assert_eq!(printed("not what launchctl prints"), None);
        assert_eq!(printed(""), None);
    }

    #[test]
    fn overrides_are_read_in_every_form() {
        let newer = recorded!("launchctl-print-disabled.txt");
        assert!(is_disabled(newer, "com.flint.grow") && !is_disabled(newer, "com.flint.server"));
        assert!(!is_disabled(newer, "com.flint") && !is_disabled(newer, "local.paintbox.daemon"));
        assert!(is_disabled(recorded!("launchctl-print-disabled-older.txt"), "com.openssh.sshd"));
        let booleans = recorded!("launchctl-print-disabled-booleans.txt");
        assert!(is_disabled(booleans, "com.openssh.sshd") && !is_disabled(booleans, "com.apple.smbd"));
        let items = format!("{newer}login item associations = {{\n\t\"a\" => disabled\n}}\n");
        assert!(!is_disabled(&items, "a"));
    }

    #[test]
    fn what_launchctl_refuses_is_explained_where_anything_can_be_done() {
        let mut explained_codes = 0;
        for line in recorded!("launchctl-errors.tsv").lines().filter(|line| !line.starts_with('#')) {
            let [asked, code, _words] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let code: i32 = code.parse().unwrap();
            // That something is gone already is no failure.
            assert_eq!(explained(code).is_some(), code != 3, "{asked} {code}");
            explained_codes += 1;
        }
        assert_eq!(explained_codes, 8);
        assert!(explained(5).unwrap().contains("Login Items"));
    }

    /// A file of `systemctl --user show` of a service and its socket, as this project's own test recorded it.
    #[test]
    fn systemctl_says_what_became_of_the_units() {
        let process_id = |text: &str| -> i32 {
            text.lines().find_map(|line| line.strip_prefix("MainPID=")).unwrap().parse().unwrap()
        };
        let running = recorded!("systemctl-show-running.txt");
        let end = End::Exit(1);
        let cases = [
            (running, State::Running { process_id: process_id(running) }, true),
            (recorded!("systemctl-show-waiting.txt"), State::Waiting, true),
            (recorded!("systemctl-show-stopped.txt"), State::NotLoaded, true),
            (recorded!("systemctl-show-disabled.txt"), State::Disabled(Disabled::AtLogin), false),
            (recorded!("systemctl-show-masked.txt"), State::Disabled(Disabled::Masked), false),
            (recorded!("systemctl-show-restarting.txt"), State::Crashed { end: end.clone(), again: true }, true),
            (recorded!("systemctl-show-given-up.txt"), State::GivenUp { end }, true),
        ];
        for (text, state, at_login) in cases {
            let found = shown(text, "paintbox.service", "paintbox.socket", true).unwrap();
            assert_eq!((found.state, found.at_login), (state, at_login), "{text}");
        }
        let absent = recorded!("systemctl-show-not-installed.txt");
        for (is_written, state) in [(false, State::NotInstalled), (true, State::NotLoaded)] {
            let found = shown(absent, "paintbox.service", "paintbox.socket", is_written).unwrap();
            assert_eq!(found.state, state);
        }
        let status = shown(running, "paintbox.service", "paintbox.socket", true).unwrap().status;
        assert!(status.unwrap().starts_with("serves "));
        assert_eq!(shown("", "paintbox.service", "paintbox.socket", true), None);
    }
}
