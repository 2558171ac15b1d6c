//! `doctor --report`: one file with what a bug report needs, without what is nobody's business.

use super::redact::Redaction;
use super::{Check, Verdict};
use crate::commands::logs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::StatusJson;
use crate::session::Session;
use paintbox_proto::v1;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

/// What stands at its head, for whoever is about to send it.
const HEAD: &str = "Paintbox report. It has no tokens, addresses, user or host names and no prompts. Names of models and of \
     creators that are followed may be in the log below: read it before you send it.";
const LOG_LINES: usize = 300;
/// Programs that are asked about themselves or the system answer at once.
const LIMIT: Duration = Duration::from_secs(20);

/// Writes the report; a file that is there already stays as it is.
pub(super) async fn write(
    path: &Path,
    checks: &[Check],
    status: Option<&v1::DaemonStatus>,
    session: &mut Session,
) -> Result<Exit, CliError> {
    let text = text(checks, status, session).await?;
    let home = etcetera::home_dir().ok();
    let host = said("uname", "-n", session).await;
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

async fn text(checks: &[Check], status: Option<&v1::DaemonStatus>, session: &Session) -> Result<String, CliError> {
    let mut text = format!("made {}, by paintbox {}\n", session.now, env!("CARGO_PKG_VERSION"));
    let mut section = |title: &str, body: &str| {
        let _ = write!(text, "\n== {title}\n{}\n", body.trim_end());
    };
    let lines = |values: Vec<String>| values.join("\n");
    let told = |check: &Check| serde_json::to_string(check).unwrap_or_default();
    section("checks", &lines(checks.iter().map(told).collect()));
    let status = status.map(|status| serde_json::to_string_pretty(&StatusJson::new(status)).unwrap_or_default());
    section("daemon", status.as_deref().unwrap_or("it does not answer"));
    section("system", &said("uname", "-srm", session).await);
    section("configuration as it is understood", &configuration(session).await);
    section("log", &lines(logs::last(LOG_LINES, session)?));
    let start = std::fs::read_to_string(session.paths.start_log()).unwrap_or_default();
    section("what the daemon said while it started", &start);
    Ok(text)
}

/// `paintboxd check-config`, which tells no secrets, or why there is none.
async fn configuration(session: &Session) -> String {
    match session.daemon() {
        Ok(program) => said(&program.display().to_string(), "check-config", session).await,
        Err(error) => error.message(),
    }
}

/// All that a program says, or why it says nothing.
async fn said(program: &str, argument: &str, session: &Session) -> String {
    match session.surroundings.run(program, &[argument.to_owned()], LIMIT).await {
        Ok(said) => format!("{}{}", said.out, said.error).trim().to_owned(),
        Err(error) => error.message(),
    }
}
