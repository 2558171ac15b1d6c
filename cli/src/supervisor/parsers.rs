//! What supervisors are given, read by parsers that are not ours: Python's plistlib and systemd-analyze. A machine without one
//! of them leaves its test out, and says so.

use super::launchd::{LoginSession, agent, program_of as program_of_agent, session_of};
use super::systemd::{Units, program_of as program_of_service};
use super::{Definition, Kind, plain};
use crate::paths::Paths;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Paths that have to be quoted, escaped or doubled in one format or another.
const FOLDERS: [&str; 6] = ["plain", "with space", "50% \"off\"", r"back\slash", "$HOME & <co>", "größer"];

fn definition(folder: &Path) -> Definition {
    let program = folder.join("paintboxd");
    fs::create_dir_all(folder).unwrap();
    fs::copy("/bin/true", &program).unwrap();
    let paths = Paths::under(&folder.join("home"));
    Definition::new(&paths, vec![("PAINTBOX_HOME", folder.join("home").display().to_string())], program)
}

fn each(check: impl Fn(&Definition)) {
    let scratch = tempfile::tempdir().unwrap();
    for folder in FOLDERS {
        check(&definition(&scratch.path().join(folder)));
    }
}

#[test]
fn python_reads_the_agent_as_it_was_meant() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("LEFT OUT: python3 is missing, whose plistlib reads the agent");
        return;
    }
    each(|definition| {
        let script =
            "import json, plistlib, sys; print(json.dumps(plistlib.load(sys.stdin.buffer, fmt=plistlib.FMT_XML)))";
        let mut command = Command::new("python3");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = command.spawn().unwrap();
        python.stdin.take().unwrap().write_all(&agent(definition, LoginSession::Aqua)).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success());
        let read: Value = serde_json::from_slice(&output.stdout).unwrap();
        let shown = |path: &PathBuf| path.display().to_string();
        let wanted = json!({
            "Label": definition.names.label,
            "ProgramArguments": [shown(&definition.program), "run", "--give-way"],
            "EnvironmentVariables": { "PAINTBOX_HOME": definition.environment[0].1 },
            "RunAtLoad": true,
            "KeepAlive": { "SuccessfulExit": false },
            "ExitTimeOut": 30,
            "Sockets": { "paintbox": { "SockPathName": shown(&definition.socket), "SockPathMode": 384 } },
            "WorkingDirectory": "/",
            "Umask": 63,
            "StandardOutPath": shown(&definition.errors),
            "StandardErrorPath": shown(&definition.errors),
            "LimitLoadToSessionType": "Aqua",
        });
        assert_eq!(read, wanted);
    });
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("LEFT OUT: systemd-analyze is missing, which verifies the units");
        return;
    }
    each(|definition| {
        let mut definition = definition.clone();
        let plain = tempfile::tempdir().unwrap();
        if definition.unspeakable(Kind::Systemd).is_some() {
            // Such a program is refused; its home is not.
            definition.program = plain.path().join("paintboxd");
            fs::copy("/bin/true", &definition.program).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let units = Units::of(&definition);
        let (service, socket) =
            (folder.path().join(definition.names.service()), folder.path().join(definition.names.socket()));
        fs::write(&service, &units.service).unwrap();
        fs::write(&socket, &units.socket).unwrap();
        let mut command = Command::new("systemd-analyze");
        command.args(["--user", "verify", "--recursive-errors=one"]).args([&service, &socket]);
        // Where it looks for the units that are named, and what a user's manager always has.
        command.env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()));
        command.env("XDG_RUNTIME_DIR", folder.path()).env("SYSTEMD_COLORS", "0");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let about_ours: Vec<&str> = said.lines().filter(|line| line.contains(&definition.names.unit)).collect();
        assert!(output.status.success() && about_ours.is_empty(), "{}\n{said}\n{}", output.status, units.service);
    });
}

/// What a definition names is read back from its text, also by a later release.
#[test]
fn the_program_is_read_back() {
    each(|definition| {
        let program = Some(definition.program.clone());
        for session in [LoginSession::Aqua, LoginSession::Background] {
            let text = agent(definition, session);
            assert_eq!((program_of_agent(&text), session_of(&text)), (program.clone(), Some(session)));
        }
        assert_eq!(program_of_service(&Units::of(definition).service), program);
    });
    assert_eq!(program_of_agent(b"no property list"), None);
    assert_eq!(program_of_service("ExecStart=/somebody/elses --unit\n"), None);
}

/// A shell reads an entry's arguments as desktops do, once the file's own escapes are undone.
#[test]
fn an_autostart_entry_calls_the_command_line_with_its_home() {
    each(|definition| {
        let entry = plain::entry(&plain::command_line(&definition.program), &definition.environment);
        let line = entry.lines().find_map(|line| line.strip_prefix("Exec=")).unwrap();
        let unescaped = line.replace(r"\\", "\u{0}").replace('\u{0}', r"\").replace("%%", "%");
        let print = format!("print() {{ for word in \"$@\"; do printf '%s\\n' \"$word\"; done; }}; print {unescaped}");
        let output = Command::new("sh").args(["-c", &print]).output().unwrap();
        let words = String::from_utf8(output.stdout).unwrap();
        let home = format!("PAINTBOX_HOME={}", definition.environment[0].1);
        let program = definition.program.with_file_name("paintbox").display().to_string();
        let wanted = ["env", &home, &program, "daemon", "start"];
        assert_eq!(words.lines().collect::<Vec<_>>(), wanted, "{line}");
    });
}
