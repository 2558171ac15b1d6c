//! `paintbox daemon install|uninstall|start|stop|restart`: have the supervisor keep the daemon, or do it without one.

use super::print_json;
use crate::error::CliError;
use crate::exit::Exit;
use crate::paths;
use crate::render::json::{DaemonJson, SupervisorJson};
use crate::session::Session;
use crate::supervisor::{Inspected, Kind, Runner, Step, Verb, advice, described, plan};
use std::path::PathBuf;
use std::time::Duration;

/// Until a daemon that somebody wants started answers; a migration of a large catalogue takes its time.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a verb did.
pub(super) struct Done {
    pub(super) before: Inspected,
    pub(super) steps: Vec<Step>,
    pub(super) after: Inspected,
}

/// Carries out what `verb` wants with `program` as the daemon.
pub(super) async fn carry_out(verb: Verb, program: PathBuf, session: &Session) -> Result<Done, CliError> {
    here_alone(session)?;
    let look = || Inspected::look(&session.surroundings, &session.paths, Some(&program));
    let before = look().await?;
    let steps = plan(before.kind, verb, &before.seen);
    let (surroundings, paths) = (&session.surroundings, &session.paths);
    let runner = Runner { surroundings, paths, program: &program, before: &before, patience: PATIENCE };
    runner.carry_out(&steps).await?;
    let after = if steps.is_empty() { before.clone() } else { look().await? };
    Ok(Done { before, steps, after })
}

/// The daemon of `--socket` may be anybody's, and of no home that is known here.
fn here_alone(session: &Session) -> Result<(), CliError> {
    match &session.other_socket {
        Some(socket) if !session.may_start() => Err(CliError::Argument {
            argument: "--socket",
            given: socket.display().to_string(),
            problem: "a supervisor keeps the daemon of a home; PAINTBOX_HOME says which".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The program that a supervisor is to know.
fn own_program(session: &Session) -> Result<PathBuf, CliError> {
    match &session.daemon_program {
        Some(program) => Ok(program.clone()),
        None => paths::lasting_daemon_program(),
    }
}

/// The program that the supervisor knows, or would be told.
async fn known_program(session: &Session) -> Result<PathBuf, CliError> {
    program_of(&Inspected::look(&session.surroundings, &session.paths, None).await?, session)
}

/// The same, where the supervisor was asked already.
pub(super) fn program_of(inspected: &Inspected, session: &Session) -> Result<PathBuf, CliError> {
    match &inspected.program {
        Some(program) if program.is_there => Ok(program.path.clone()),
        _ => own_program(session),
    }
}

pub(super) async fn start(session: &mut Session) -> Result<Exit, CliError> {
    if !session.may_start() {
        // Whoever has that daemon started it.
        session.connect_only().await?;
        return started(false, None, session).await;
    }
    let done = carry_out(Verb::Start, known_program(session).await?, session).await?;
    started(done.before.process_id().is_none(), Some(&done.after), session).await
}

async fn started(was_started: bool, after: Option<&Inspected>, session: &mut Session) -> Result<Exit, CliError> {
    let status = session.knock().await?.status().await?;
    if session.json {
        print_json(&status, None, Some(was_started), after, session)?;
        return Ok(Exit::Done);
    }
    let process_id = status.info.as_ref().map_or(0, |info| info.process_id);
    let how = if was_started { "Started" } else { "Already running" };
    session.out.line(&format!("{how}, process {process_id}."))?;
    remark(after, session)?;
    Ok(Exit::Done)
}

/// What is not as it could be with the supervisor; that it has nothing installed is nothing to remark.
fn remark(inspected: Option<&Inspected>, session: &mut Session) -> Result<(), CliError> {
    let odd = inspected.filter(|inspected| {
        inspected.kind != Kind::Plain && inspected.seen.state != crate::supervisor::State::NotInstalled
    });
    match odd.and_then(|inspected| Some((inspected, advice(inspected)?))) {
        Some((inspected, advice)) => session.note(&format!("{}; {advice}.", described(inspected))),
        None => Ok(()),
    }
}

pub(super) async fn stop(session: &mut Session) -> Result<Exit, CliError> {
    let stopped = if session.may_start() {
        // Whoever stops it needs no program to start.
        let program = known_program(session).await.unwrap_or_default();
        !carry_out(Verb::Stop, program, session).await?.steps.is_empty()
    } else {
        crate::start::stop(&session.socket()).await?
    };
    if session.json {
        let socket = session.socket().display().to_string();
        session.out.json(&DaemonJson { socket, stopped: Some(stopped), ..DaemonJson::default() })?;
    } else {
        session.out.line(if stopped { "Stopped." } else { "It was not running." })?;
    }
    Ok(Exit::Done)
}

pub(super) async fn restart(session: &mut Session) -> Result<Exit, CliError> {
    let done = carry_out(Verb::Restart, known_program(session).await?, session).await?;
    started(true, Some(&done.after), session).await
}

pub(super) async fn install(session: &mut Session) -> Result<Exit, CliError> {
    let done = carry_out(Verb::Install, own_program(session)?, session).await?;
    let changed = done.steps.iter().any(|step| *step != Step::AwaitAnswer);
    if session.json {
        return print_change(changed, &done.after, session);
    }
    let after = &done.after;
    let file = after.file.as_ref().map(|file| file.display().to_string());
    let process_id = after.process_id().unwrap_or_default();
    match (after.kind, file) {
        (Kind::Plain, None) => session.say(&format!(
            "Neither launchd nor systemd keeps programs of yours here. The daemon runs, process {process_id}; commands start it."
        ))?,
        (Kind::Plain, Some(file)) => session.say(&format!(
            "Neither launchd nor a systemd of your own keeps programs here. The daemon runs, process {process_id}; commands \
             start it, and so does a desktop's login ({file})."
        ))?,
        (kind, file) => {
            let how = if changed { "Installed" } else { "Installed already" };
            let name = kind.name();
            session.say(&format!(
                "{how}: {name} starts the daemon at login and after a crash, and it runs, process {process_id} ({}).",
                file.unwrap_or_default()
            ))?;
        }
    }
    if after.kind == Kind::Systemd {
        session.note(
            "It ends with your last session on this machine, unless `loginctl enable-linger` keeps your services running.",
        )?;
    }
    remark(Some(after), session)?;
    Ok(Exit::Done)
}

pub(super) async fn uninstall(session: &mut Session) -> Result<Exit, CliError> {
    let done = carry_out(Verb::Uninstall, own_program(session).unwrap_or_default(), session).await?;
    let changed = !done.steps.is_empty();
    if session.json {
        return print_change(changed, &done.after, session);
    }
    session.say(if changed {
        "Uninstalled, and stopped. Commands start the daemon when they need it; nothing that it keeps was touched."
    } else {
        "It was not installed."
    })?;
    Ok(Exit::Done)
}

fn print_change(changed: bool, after: &Inspected, session: &mut Session) -> Result<Exit, CliError> {
    session.out.json(&DaemonJson {
        running: after.process_id().is_some(),
        socket: session.socket().display().to_string(),
        changed: Some(changed),
        supervisor: Some(SupervisorJson::new(after)),
        ..DaemonJson::default()
    })?;
    Ok(Exit::Done)
}
