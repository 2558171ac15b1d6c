//! `paintbox doctor`.

mod engine;
mod keeper;
mod redact;
mod report;

use crate::commands::daemon;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::table::facts;
use crate::render::{hub, sanitize, units};
use crate::session::Session;
use clap::Args;
use jiff::Timestamp;
use paintbox_proto::v1;
use serde::Serialize;
use std::path::PathBuf;

/// One checkpoint of today's size needs about this much.
const LITTLE_SPACE_BYTES: u64 = 10_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    state: Verdict,
    detail: String,
    hint: Option<String>,
}

impl Check {
    fn new(check: &'static str, state: Verdict, detail: impl Into<String>, hint: &str) -> Self {
        let hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
        Self { check, state, detail: detail.into(), hint }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Compute every kind of network on the daemon's device and compare it with the reference; this takes some seconds
    #[arg(long)]
    engine: bool,
    /// Write everything that a bug report needs into a new file, without tokens, names of people and addresses
    #[arg(long, value_name = "FILE", conflicts_with = "engine")]
    report: Option<PathBuf>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    if arguments.engine {
        return engine::run(session).await;
    }
    let (checks, status, unreachable) = examine(session).await?;
    if let Some(path) = &arguments.report {
        return report::write(path, &checks, status.as_ref(), session).await;
    }
    print(&checks, session)?;
    match unreachable {
        // For people the check has said it already.
        Some(error) => {
            if session.json {
                Err(error)
            } else {
                Ok(error.exit())
            }
        }
        None => Ok(if checks.iter().any(|check| check.state == Verdict::Failed) { Exit::Failed } else { Exit::Done }),
    }
}

/// Looks at everything; what the daemon says of itself, or why it says nothing.
async fn examine(session: &Session) -> Result<(Vec<Check>, Option<v1::DaemonStatus>, Option<CliError>), CliError> {
    let mut checks = vec![Check::new("command line", Verdict::Ok, concat!("paintbox ", env!("CARGO_PKG_VERSION")), "")];
    // Before it is called, which may start it.
    checks.extend(keeper::checks(session).await);
    // Whether it can be started is the first thing to know about a daemon that is not running.
    let connected = session.connect().await;
    let socket = session.socket().display().to_string();
    match connected {
        Ok(client) => {
            checks.push(Check::new("socket", Verdict::Ok, socket, ""));
            let status = client.status().await?;
            checks.extend(of_daemon(&status, session.now));
            Ok((checks, Some(status), None))
        }
        Err(error) => {
            checks.push(Check::new("socket", Verdict::Failed, error.message(), &error.hint().unwrap_or_default()));
            Ok((checks, None, Some(error)))
        }
    }
}

fn of_daemon(status: &v1::DaemonStatus, now: Timestamp) -> Vec<Check> {
    let info = status.info.clone().unwrap_or_default();
    let mut checks = Vec::new();
    checks.push(if info.version == env!("CARGO_PKG_VERSION") {
        Check::new("daemon", Verdict::Ok, format!("paintboxd {}, process {}", info.version, info.process_id), "")
    } else {
        let detail = format!("paintboxd {} is not of this command line's version", info.version);
        Check::new("daemon", Verdict::Warning, detail, "`paintbox daemon restart` starts the one that is installed")
    });
    if !info.api_packages.iter().any(|package| package == "paintbox.v1") {
        let detail = format!("it serves {}, not paintbox.v1", info.api_packages.join(", "));
        checks.push(Check::new("api", Verdict::Failed, detail, "install both programs from the same release"));
    }
    checks.push(Check::new("device", Verdict::Ok, format!("paints on {}", status.device), ""));
    let detail = format!("{} free, {} stored", units::bytes(status.free_bytes), units::bytes(status.stored_bytes));
    checks.push(if status.free_bytes < LITTLE_SPACE_BYTES {
        Check::new("disk", Verdict::Warning, detail, "a large checkpoint may not fit")
    } else {
        Check::new("disk", Verdict::Ok, detail, "")
    });
    checks.push(Check::new("sqlite", Verdict::Ok, status.sqlite_version.clone(), ""));
    checks.extend(status.catalogue.iter().flat_map(|health| [of_catalogue(health, now), of_backups(health, now)]));
    checks.extend(status.hubs.iter().map(|hub| of_hub(hub, now)));
    checks
}

fn of_catalogue(health: &v1::CatalogueHealth, now: Timestamp) -> Check {
    let end = if health.ended_in_order { "" } else { "; the daemon before this one did not end in order" };
    let Some(check) = &health.check else {
        return Check::new("catalogue", Verdict::Ok, format!("not checked yet{end}"), "");
    };
    let when = units::relative(check.check_time.as_ref(), now);
    if check.sound {
        return Check::new("catalogue", Verdict::Ok, format!("found sound {when}{end}"), "");
    }
    let error = CliError::of_check(check);
    let problems = units::count(check.problem_count.into(), "problem");
    let detail = format!("{}, found {when} ({problems})", error.message());
    Check::new("catalogue", Verdict::Failed, detail, &error.hint().unwrap_or_default())
}

fn of_backups(health: &v1::CatalogueHealth, now: Timestamp) -> Check {
    let detail = daemon::backups(health, now);
    if health.backup_problem.is_empty() {
        return Check::new("backups", Verdict::Ok, detail, "");
    }
    let detail = format!("{detail}; the last one was not made: {}", health.backup_problem);
    Check::new("backups", Verdict::Warning, detail, &health.backup_problem_hint)
}

fn of_hub(hub: &v1::HubStatus, now: Timestamp) -> Check {
    let (name, wants_token) = match hub.hub.as_str() {
        "civitai" => ("civitai", "`paintbox login civitai`: many downloads need a token"),
        "hf" => ("hugging face", "`paintbox login hf`: gated repositories need a token"),
        _ => ("hub", ""),
    };
    let detail = hub::words(hub, now);
    match hub.state() {
        v1::hub_status::State::Down => {
            let when = hub::retry(hub, now).unwrap_or_else(|| "later".to_owned());
            let hint = format!(
                "nothing is lost and it is asked again by itself {when}; if its page opens in a browser, look at this \
                 machine's network and proxy settings"
            );
            Check::new(name, Verdict::Warning, detail, &hint)
        }
        // Being asked for patience is normal, and heeded.
        _ if hub.credential == "none" => Check::new(name, Verdict::Ok, detail, wants_token),
        _ => Check::new(name, Verdict::Ok, detail, ""),
    }
}

fn print(checks: &[Check], session: &mut Session) -> Result<(), CliError> {
    if session.json {
        for check in checks {
            session.out.json(check)?;
        }
        return Ok(());
    }
    let names: Vec<String> = checks.iter().map(|check| format!("{:9}{}", check.state.word(), check.check)).collect();
    let rows: Vec<(&str, String)> = names
        .iter()
        .zip(checks)
        .map(|(name, check)| {
            let hint = check.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            (name.as_str(), sanitize::line(&format!("{}{hint}", check.detail)))
        })
        .collect();
    for line in facts(&rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    Ok(())
}
