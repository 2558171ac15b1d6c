//! What `launchctl print` and `print-disabled` say, read.
//!
//! Neither is a stable interface, so little is read and anything else is passed over. The fields of the service itself stand
//! behind one tab; blocks within it (`resource coalition`, `environment`) have lines of the same names behind two, and are not
//! looked at. How a process ended stands in one of two fields: `last exit code = 1`, `78: EX_CONFIG` or `(never exited)`; or, in
//! its stead, `last terminating signal = Killed: 9`. All forms are recorded in `tests/fixtures/supervisors`.

use crate::supervisor::{End, State};
use std::collections::HashMap;

/// SIGTERM: how launchd and people end what runs in order.
const TERMINATED: i32 = 15;

/// What launchd has of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Printed {
    pub(in crate::supervisor) state: State,
    /// The plist it was loaded from.
    pub(in crate::supervisor) path: Option<String>,
    pub(in crate::supervisor) program: Option<String>,
    pub(in crate::supervisor) runs: Option<u32>,
}

/// Reads what `launchctl print DOMAIN/LABEL` says of a service that is there; none of what says nothing about a service.
pub(in crate::supervisor) fn printed(text: &str) -> Option<Printed> {
    let mut lines = text.lines();
    lines.find(|line| line.ends_with(" = {"))?;
    let own = lines.filter_map(|line| line.strip_prefix('\t').filter(|line| !line.starts_with('\t')));
    let mut fields: HashMap<&str, &str> = HashMap::new();
    for (name, value) in own.filter_map(|line| line.split_once(" = ")) {
        fields.entry(name).or_insert(value.trim());
    }
    let state = *fields.get("state")?;
    let process_id = fields.get("pid").and_then(|pid| pid.parse().ok());
    let field = |name| fields.get(name).map(|value| (*value).to_owned());
    Some(Printed {
        state: state_of(state, process_id, ended(&fields)),
        path: field("path"),
        program: field("program"),
        runs: fields.get("runs").and_then(|runs| runs.parse().ok()),
    })
}

/// `state` is launchd's word: running, not running, waiting, exited, spawn scheduled, spawn failed, xpcproxy (which is about to
/// become the program).
fn state_of(state: &str, process_id: Option<i32>, end: Option<End>) -> State {
    match (state, process_id) {
        ("running", Some(process_id)) => State::Running { process_id },
        ("running" | "xpcproxy" | "spawning", _) => State::Starting,
        ("spawn scheduled", _) => match end {
            Some(end) => State::Crashed { end, again: true },
            None => State::Starting,
        },
        _ => match end {
            None | Some(End::Signal(TERMINATED)) => State::Waiting,
            Some(end) => State::Crashed { end, again: false },
        },
    }
}

/// How the last process ended, if it did so badly.
fn ended(fields: &HashMap<&str, &str>) -> Option<End> {
    if let Some(signal) = fields.get("last terminating signal") {
        let number = signal.rsplit(':').next().and_then(|number| number.trim().parse().ok());
        return Some(number.map_or_else(|| End::Other((*signal).to_owned()), End::Signal));
    }
    if let Some(code) = fields.get("last exit code") {
        let number: Option<i32> = code.split(':').next().and_then(|number| number.trim().parse().ok());
        return number.filter(|number| *number != 0).map(End::Exit);
    }
    fields.get("last exit reason").map(|reason| End::Other((*reason).to_owned()))
}

/// Whether `launchctl print-disabled DOMAIN` has an override against the service. Older systems say `true` and `false`, newer
/// ones `disabled` and `enabled`; a service without a line has no override.
pub(in crate::supervisor) fn is_disabled(text: &str, label: &str) -> bool {
    let quoted = format!("\"{label}\"");
    // What follows the first block is about login items, and has labels too.
    let overrides = text.lines().take_while(|line| !line.trim_start().starts_with("login item associations"));
    overrides
        .filter_map(|line| line.split_once("=>"))
        .any(|(name, value)| name.trim() == quoted && matches!(value.trim(), "disabled" | "true"))
}
