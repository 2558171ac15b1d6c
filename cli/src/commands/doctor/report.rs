//! `doctor --report`: one file with what a bug report needs, without what is nobody's business.

use super::redact::Redaction;
use super::{Check, Verdict};
use crate::commands::logs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::paths;
use crate::render::json::StatusJson;
use crate::session::Session;
use paintbox_proto::v1;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What stands at its head, for whoever is about to send it.
const HEAD: &str = "Paintbox report. It has no tokens, addresses, user or host names and no prompts. Names of models and of \
     creators that are followed may be in the log below: read it before you send it.";
const LOG_LINES: usize = 300;

/// Writes the report; a file that is there already stays as it is.
pub(super) fn write(
    path: &Path,
    checks: &[Check],
    status: Option<&v1::DaemonStatus>,
    session: &mut Session,
) -> Result<Exit, CliError> {
    let text = text(checks, status, session)?;
    let home = etcetera::home_dir().ok();
    let host = said("uname", &["-n"]).unwrap_or_default();
    let redaction = Redaction::new(home.as_deref(), session.paths.home.as_deref(), &host);
    let redacted = format!("{HEAD}\n\n{}", redaction.of(&text));
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(path).map_err(CliError::io("make", path))?;
    file.write_all(redacted.as_bytes()).map_err(CliError::io("write", path))?;
    if session.json {
        session.out.json(&serde_json::json!({ "report": path.display().to_string(), "bytes": redacted.len() }))?;
    } else {
        session.out.line(&format!("The report is in {}. Read it before you send it.", path.display()))?;
    }
    Ok(if checks.iter().any(|check| check.state == Verdict::Failed) { Exit::Failed } else { Exit::Done })
}

fn text(checks: &[Check], status: Option<&v1::DaemonStatus>, session: &Session) -> Result<String, CliError> {
    let mut text = format!("made {}, by paintbox {}\n", session.now, env!("CARGO_PKG_VERSION"));
    let mut section = |title: &str, body: &str| {
        let _ = write!(text, "\n== {title}\n{}\n", body.trim_end());
    };
    let lines = |values: Vec<String>| values.join("\n");
    let told = |check: &Check| serde_json::to_string(check).unwrap_or_default();
    section("checks", &lines(checks.iter().map(told).collect()));
    let status = status.map(|status| serde_json::to_string_pretty(&StatusJson::new(status)).unwrap_or_default());
    section("daemon", status.as_deref().unwrap_or("it does not answer"));
    section("system", &said("uname", &["-srm"]).unwrap_or_else(|| std::env::consts::OS.to_owned()));
    section("configuration as it is understood", &configuration(session));
    section("log", &lines(logs::last(LOG_LINES, session)?));
    let start = std::fs::read_to_string(session.paths.start_log()).unwrap_or_default();
    section("what the daemon said while it started", &start);
    Ok(text)
}

/// `paintboxd check-config`, which tells no secrets, or why there is none.
fn configuration(session: &Session) -> String {
    let program = session.daemon_program.clone().map_or_else(paths::daemon_program, Ok);
    let program = match program {
        Ok(program) => program,
        Err(error) => return error.message(),
    };
    let mut command = Command::new(&program);
    command.arg("check-config").stdin(Stdio::null());
    if let Some(home) = &session.paths.home {
        command.env("PAINTBOX_HOME", home);
    }
    match command.output() {
        Ok(output) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            text(&output.stdout) + &text(&output.stderr)
        }
        Err(error) => format!("{} cannot be run: {error}", program.display()),
    }
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
