//! `paintbox daemon upgrade`: the program on disk takes over from the one that runs.
//!
//! The one that runs ends in order: a picture that is being painted is finished or goes back into the queue, as the
//! configuration says, the queue and downloads are rows and stay, and streams end with a word that lets their readers go on
//! where they were. Where a supervisor holds the socket, whoever knocks meanwhile waits; nobody is refused. What the supervisor
//! was told by an older Paintbox is told anew.
//!
//! Which program that is the supervisor's definition says, as long as the file is there. It is another than the one that runs
//! when it names another version, or when its file changed after the daemon had started.

use super::keeping::{Done, carry_out, program_of};
use crate::client::LOCAL_DEADLINE;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{DaemonJson, SupervisorJson};
use crate::render::sanitize;
use crate::session::Session;
use crate::supervisor::{Inspected, Step, Verb, Written};
use jiff::Timestamp;
use paintbox_proto::v1;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A program says its version at once.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

pub(super) async fn run(session: &mut Session) -> Result<Exit, CliError> {
    let inspected = Inspected::look(&session.surroundings, &session.paths, None).await?;
    let program = program_of(&inspected, session)?;
    let on_disk = version(&program).await?;
    let running = info(&inspected, session).await?;
    let renewed = running.as_ref().is_some_and(|running| is_renewed(running, &on_disk, &program));
    let done = carry_out(Verb::Upgrade { renewed }, program, session).await?;
    let before = running.map(|info| info.version);
    let now = info(&done.after, session).await?;
    if session.json {
        session.out.json(&DaemonJson {
            running: now.is_some(),
            socket: session.socket().display().to_string(),
            changed: Some(!done.steps.is_empty()),
            version_before: before,
            supervisor: Some(SupervisorJson::new(&done.after)),
            version_now: now.map(|info| info.version),
            ..DaemonJson::default()
        })?;
        return Ok(Exit::Done);
    }
    session.say(&sanitize::line(&words(&done, before.as_deref(), now.as_ref(), &on_disk)))?;
    Ok(Exit::Done)
}

/// What the daemon says of itself, where one runs.
async fn info(inspected: &Inspected, session: &Session) -> Result<Option<v1::ServerInfo>, CliError> {
    match inspected.process_id() {
        Some(_) => session.knock().await?.info(LOCAL_DEADLINE).await.map(Some),
        None => Ok(None),
    }
}

/// What was done, in a sentence.
fn words(done: &Done, before: Option<&str>, now: Option<&v1::ServerInfo>, on_disk: &str) -> String {
    let told_anew = done.steps.contains(&Step::Write) && done.before.seen.written == Written::Other;
    let also =
        if told_anew { format!(" What {} knows of it was renewed.", done.before.kind.name()) } else { String::new() };
    match (before, now) {
        (_, None) => format!("It is not running; paintboxd {on_disk} is the one that starts next.{also}"),
        (Some(before), Some(now)) if before != now.version => {
            format!("Upgraded from {before} to {}, process {}.{also}", now.version, now.process_id)
        }
        (_, Some(now)) if done.before.process_id() != Some(now.process_id) => {
            format!("paintboxd {} took over, process {}.{also}", now.version, now.process_id)
        }
        (_, Some(now)) => {
            format!("Nothing to upgrade: paintboxd {} runs, process {}.{also}", now.version, now.process_id)
        }
    }
}

/// Whether the file at `program` is another program than the one that runs.
fn is_renewed(running: &v1::ServerInfo, on_disk: &str, program: &Path) -> bool {
    let changed = program.metadata().and_then(|metadata| metadata.modified()).ok();
    let changed = changed.and_then(|time| Timestamp::try_from(time).ok());
    let started = running.start_time.as_ref().and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
    running.version != on_disk || changed.zip(started).is_some_and(|(changed, started)| changed > started)
}

/// The version that a program says it has: the last word of `paintboxd 0.1.0`.
async fn version(program: &PathBuf) -> Result<String, CliError> {
    let spawn = |source| CliError::Spawn { program: program.clone(), source };
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_LIMIT, command.output()).await;
    let output = output.map_err(|_| spawn(std::io::ErrorKind::TimedOut.into()))?.map_err(spawn)?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.split_whitespace().last() {
        Some(version) if output.status.success() => Ok(version.to_owned()),
        _ => Err(CliError::EndedAtOnce {
            program: program.clone(),
            status: output.status,
            tail: sanitize::line(&String::from_utf8_lossy(&output.stderr)),
        }),
    }
}
