//! The agent's property list (launchd.plist(5)), as a value and as XML.
//!
//! | key | value | why |
//! | --- | --- | --- |
//! | `Label` | as the file is called | it is the service's target, `gui/UID/LABEL` |
//! | `ProgramArguments` | the program's path, `run --give-way` | launchd knows no `PATH` and no `~`; see below |
//! | `EnvironmentVariables` | what decides the home, or left out | agents see nothing of a shell |
//! | `RunAtLoad` | true | syncs go by the clock, whether or not anybody calls |
//! | `KeepAlive` | `SuccessfulExit` false | a crash has it started again, an end in order does not |
//! | `ExitTimeOut` | 30 | seconds from SIGTERM to SIGKILL: twice what the daemon takes at most |
//! | `Sockets` | the home's socket, mode 0600 in decimal | held by launchd, so that callers wait while daemons change places |
//! | `WorkingDirectory`, `Umask` | `/`, 077 in decimal | no folder is kept busy; what is written is the user's own |
//! | `StandardOutPath`, `StandardErrorPath` | one file beside the logs | the words of a panic; the daemon empties it when it grows |
//! | `LimitLoadToSessionType` | `Aqua` | the session at the screen; `Background` where the agent was installed without one |
//!
//! Left out on purpose: `ProcessType`, since `Background` would slow painting down with everything else, `Nice` and
//! `LowPriorityIO` for the same reason, and `ThrottleInterval`, whose ten seconds between starts are right.
//!
//! `--give-way` has a daemon end in order that finds another one in its home. With any other exit code launchd would start it
//! every ten seconds for as long as the other runs.

use crate::supervisor::Definition;
use plist::{Dictionary, Value};
use std::path::PathBuf;

/// Under which `launch_activate_socket` finds the socket; the daemon's own word (`daemon/app/src/handed_over.rs`).
const SOCKET_KEY: &str = "paintbox";
/// 0600 and 077: property lists have no octal numbers.
const SOCKET_MODE: u64 = 0o600;
const UMASK: u64 = 0o077;
const EXIT_TIMEOUT_SECONDS: u64 = 30;

/// The kind of session that an agent is for (launchd.plist(5), `LimitLoadToSessionType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum LoginSession {
    /// Somebody is logged in at the screen; the domain `gui/UID`.
    Aqua,
    /// Nobody needs to be; the domain `user/UID`.
    Background,
}

impl LoginSession {
    fn name(self) -> &'static str {
        match self {
            Self::Aqua => "Aqua",
            Self::Background => "Background",
        }
    }

    /// The domain that agents for such sessions are loaded into.
    pub(in crate::supervisor) fn domain(self, user: u32) -> String {
        match self {
            Self::Aqua => format!("gui/{user}"),
            Self::Background => format!("user/{user}"),
        }
    }
}

/// The agent as XML.
pub(in crate::supervisor) fn agent(definition: &Definition, session: LoginSession) -> Vec<u8> {
    let text = |path: &PathBuf| Value::String(path.display().to_string());
    let mut keys = Dictionary::new();
    let mut set = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    set("Label", definition.names.label.clone().into());
    let arguments = [text(&definition.program), "run".into(), "--give-way".into()];
    set("ProgramArguments", Value::Array(arguments.to_vec()));
    if !definition.environment.is_empty() {
        let variables =
            definition.environment.iter().map(|(name, value)| ((*name).to_owned(), Value::String(value.clone())));
        set("EnvironmentVariables", Value::Dictionary(variables.collect()));
    }
    set("RunAtLoad", true.into());
    set("KeepAlive", dictionary([("SuccessfulExit", false.into())]));
    set("ExitTimeOut", EXIT_TIMEOUT_SECONDS.into());
    let socket = dictionary([("SockPathName", text(&definition.socket)), ("SockPathMode", SOCKET_MODE.into())]);
    set("Sockets", dictionary([(SOCKET_KEY, socket)]));
    set("WorkingDirectory", "/".into());
    set("Umask", UMASK.into());
    set("StandardOutPath", text(&definition.errors));
    set("StandardErrorPath", text(&definition.errors));
    set("LimitLoadToSessionType", session.name().into());
    let mut xml = Vec::new();
    // Writing to memory cannot fail, and every value above has its place in XML.
    drop(Value::Dictionary(keys).to_writer_xml(&mut xml));
    xml.push(b'\n');
    xml
}

fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dictionary(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The program that an agent's text names; none of what cannot be read.
pub(in crate::supervisor) fn program_of(agent: &[u8]) -> Option<PathBuf> {
    let keys = keys(agent)?;
    let program = keys.get("ProgramArguments")?.as_array()?.first()?.as_string()?;
    Some(PathBuf::from(program))
}

/// The session that an agent's text is for.
pub(in crate::supervisor) fn session_of(agent: &[u8]) -> Option<LoginSession> {
    let keys = keys(agent)?;
    let name = keys.get("LimitLoadToSessionType").and_then(Value::as_string).unwrap_or("Aqua").to_owned();
    Some(if name == "Background" { LoginSession::Background } else { LoginSession::Aqua })
}

fn keys(agent: &[u8]) -> Option<Dictionary> {
    Value::from_reader_xml(agent).ok()?.into_dictionary()
}
