//! What `systemctl --user show` says of the two units, read.
//!
//! Properties are `Name=value` lines, a block a unit, in the order asked for, with an empty line between
//! (systemctl(1); org.freedesktop.systemd1(5) for the values). Whether systemd has given up is not always in `Result`: some
//! releases keep how the last process ended there (systemd/systemd#32203). A service that is `failed` and would be restarted
//! after failures was restarted as often as it may be.

use crate::supervisor::{Disabled, End, State};
use std::collections::HashMap;

/// What is asked for; `Id` tells the blocks apart.
pub(in crate::supervisor) const PROPERTIES: &str = "Id,LoadState,UnitFileState,ActiveState,SubState,Result,MainPID,\
                                                    ExecMainCode,ExecMainStatus,NRestarts,StatusText,FragmentPath";
/// `CLD_*` of siginfo_t, waitid(2).
const CODE_EXITED: &str = "1";
const CODE_KILLED: &str = "2";
const CODE_DUMPED: &str = "3";
/// Restarts within `StartLimitIntervalSec` that show that a failed service was not just stopped: `StartLimitBurst` less one.
const RESTARTS_AT_LIMIT: u32 = 4;

/// What systemd has of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Shown {
    pub(in crate::supervisor) state: State,
    pub(in crate::supervisor) at_login: bool,
    /// What the daemon itself says (`STATUS=`).
    pub(in crate::supervisor) status: Option<String>,
}

/// Reads what `show` says of `service` and `socket`. `is_written`: the service's unit lies where it belongs, of which systemd
/// knows nothing before it has read its units again.
pub(in crate::supervisor) fn shown(text: &str, service: &str, socket: &str, is_written: bool) -> Option<Shown> {
    let blocks: Vec<HashMap<&str, &str>> =
        text.split("\n\n").map(|block| block.lines().filter_map(|line| line.split_once('=')).collect()).collect();
    let block = |id: &str| blocks.iter().find(|block| block.get("Id") == Some(&id));
    let service = block(service)?;
    let get = |name: &str| service.get(name).copied().unwrap_or_default();
    let listens = block(socket).is_some_and(|socket| socket.get("ActiveState") == Some(&"active"));
    let at_login = matches!(get("UnitFileState"), "enabled" | "enabled-runtime");
    let state = state_of(&get, listens, at_login, is_written);
    let status = Some(get("StatusText").to_owned()).filter(|status| !status.is_empty());
    Some(Shown { state, at_login, status })
}

fn state_of<'a>(get: &impl Fn(&str) -> &'a str, listens: bool, at_login: bool, is_written: bool) -> State {
    match get("ActiveState") {
        "active" | "reloading" => match get("MainPID").parse() {
            Ok(process_id) if process_id > 0 => State::Running { process_id },
            _ => State::Starting,
        },
        "activating" if get("SubState") == "auto-restart" => State::Crashed { end: ended(get), again: true },
        "activating" => State::Starting,
        "deactivating" => State::Stopping,
        "failed" => {
            let is_limit = get("Result") == "start-limit-hit"
                || get("NRestarts").parse().is_ok_and(|restarts: u32| restarts >= RESTARTS_AT_LIMIT);
            if is_limit { State::GivenUp { end: ended(get) } } else { State::Crashed { end: ended(get), again: false } }
        }
        _ => match get("LoadState") {
            "masked" => State::Disabled(Disabled::Masked),
            "not-found" if is_written => State::NotLoaded,
            "not-found" => State::NotInstalled,
            _ if listens => State::Waiting,
            _ if !at_login => State::Disabled(Disabled::AtLogin),
            _ => State::NotLoaded,
        },
    }
}

fn ended<'a>(get: &impl Fn(&str) -> &'a str) -> End {
    let result = get("Result");
    let number = || get("ExecMainStatus").parse().ok();
    match (result, get("ExecMainCode")) {
        ("watchdog", _) => End::Watchdog,
        ("exit-code" | "start-limit-hit", CODE_EXITED) => number().map_or(End::Other(result.to_owned()), End::Exit),
        (_, CODE_KILLED | CODE_DUMPED) => number().map_or(End::Other(result.to_owned()), End::Signal),
        _ => End::Other(result.to_owned()),
    }
}
