//! Neither launchd nor a systemd user manager: a background process that commands start when they need it.
//!
//! `install` has it started at login all the same where a desktop does that: with an entry in `~/.config/autostart`
//! (freedesktop.org Desktop Application Autostart Specification 0.5), which runs `paintbox daemon start`. Nobody restarts it
//! after a crash; the next command does.

use super::{Seen, State, Step, Verb, Written};
use std::path::{Path, PathBuf};

/// See [`super::plan`]. Here [`Seen::outside`] is the daemon itself, since nobody keeps it.
pub(super) fn plan(verb: Verb, seen: &Seen) -> Vec<Step> {
    let is_running = seen.outside.is_some();
    match verb {
        Verb::Install => {
            let write = (seen.written != Written::Current || !seen.at_login).then_some(Step::Write);
            write.into_iter().chain((!is_running).then_some(Step::Spawn)).collect()
        }
        Verb::Uninstall => {
            let stop = is_running.then_some(Step::StopOutside);
            // A daemon without an entry was not installed, and is nobody's business here.
            let remove = (seen.written != Written::Nothing).then_some([Step::Remove]);
            remove.into_iter().flat_map(|remove| stop.into_iter().chain(remove)).collect()
        }
        Verb::Start if is_running => Vec::new(),
        Verb::Start => vec![Step::Spawn],
        Verb::Stop => is_running.then_some(Step::StopOutside).into_iter().collect(),
        Verb::Restart => is_running.then_some(Step::StopOutside).into_iter().chain([Step::Spawn]).collect(),
        Verb::Upgrade { renewed } => {
            let mut steps: Vec<Step> = (seen.written == Written::Other).then_some(Step::Write).into_iter().collect();
            if is_running && renewed {
                steps.extend([Step::StopOutside, Step::Spawn]);
            }
            steps
        }
    }
}

/// How an installation looks that nobody keeps.
pub(super) fn state(written: Written, at_login: bool, process_id: Option<i32>) -> State {
    match process_id {
        Some(process_id) => State::Running { process_id },
        None if written == Written::Nothing => State::NotInstalled,
        None if !at_login => State::Disabled(super::Disabled::AtLogin),
        None => State::NotLoaded,
    }
}

/// An autostart entry that starts the daemon at a desktop's login. `program` is `paintbox`.
pub(super) fn entry(program: &Path, environment: &[(&'static str, String)]) -> String {
    let variables: String =
        environment.iter().map(|(name, value)| format!(" {}", quoted(&format!("{name}={value}")))).collect();
    let through = if variables.is_empty() { String::new() } else { format!("env{variables} ") };
    let program = quoted(&program.display().to_string());
    format!(
        "\
[Desktop Entry]
Type=Application
Name=Paintbox daemon
Comment=Keeps the models people paint with
Exec={through}{program} daemon start
NoDisplay=true
Terminal=false
"
    )
}

/// An argument of `Exec=`: quoted for the shell's sake, its backslashes doubled once more for the file's, and `%` for the
/// field codes' (Desktop Entry Specification 1.5, "The Exec key").
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '`' | '$' => quoted.extend(["\\\\", &letter.to_string()]),
            '\\' => quoted.push_str("\\\\\\\\"),
            '%' => quoted.push_str("%%"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a desktop would start what an entry says; its own settings switch entries off in these ways.
pub(super) fn is_switched_on(entry: &str) -> bool {
    !entry.lines().any(|line| matches!(line.trim(), "Hidden=true" | "X-GNOME-Autostart-enabled=false"))
}

/// `paintbox` beside `paintboxd`.
pub(super) fn command_line(daemon: &Path) -> PathBuf {
    daemon.with_file_name("paintbox")
}
