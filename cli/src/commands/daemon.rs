//! `paintbox daemon`.

use crate::client::{Client, LOCAL_DEADLINE, call};
use crate::commands::{later, logs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{DaemonJson, StatusJson, listener_kind};
use crate::render::table::facts;
use crate::render::{hub, sanitize, units, words};
use crate::session::Session;
use crate::{paths, start};
use paintbox_proto::v1;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Run it in the foreground
    Run,
    /// Start it in the background
    Start,
    /// Stop it in order, and wait until it has stopped
    Stop,
    /// Stop it, then start it again
    Restart,
    /// Say how it is; never starts it (exit code 4 when it is not running)
    Status,
    /// Print its log
    Logs(logs::Arguments),
    /// Start it at login (not in this release)
    Install(later::Words),
    /// No longer start it at login (not in this release)
    Uninstall(later::Words),
}

pub(crate) async fn run(action: &Action, session: &mut Session) -> Result<Exit, CliError> {
    match action {
        Action::Run => foreground(session),
        Action::Start => start(session).await,
        Action::Stop => {
            let stopped = stop(session).await?;
            print_stopped(stopped, session)
        }
        Action::Restart => {
            stop(session).await?;
            start(session).await
        }
        Action::Status => status(session).await,
        Action::Logs(arguments) => logs::run(arguments, session).await,
        Action::Install(_) => Err(later::refusal("daemon install")),
        Action::Uninstall(_) => Err(later::refusal("daemon uninstall")),
    }
}

/// Becomes the daemon, so that signals and supervisors meet the daemon itself.
fn foreground(session: &Session) -> Result<Exit, CliError> {
    if let Some(socket) = &session.other_socket {
        return Err(CliError::Argument {
            argument: "--socket",
            given: socket.display().to_string(),
            problem: "the daemon listens in its home; PAINTBOX_HOME moves that".to_owned(),
        });
    }
    let program = match &session.daemon_program {
        Some(program) => program.clone(),
        None => paths::daemon_program()?,
    };
    let source = Command::new(&program).arg("run").exec();
    Err(CliError::Spawn { program, source })
}

async fn start(session: &mut Session) -> Result<Exit, CliError> {
    let started = session.connect_only().await.is_err();
    let client = session.connect().await?;
    let status = client.status().await?;
    if session.json {
        print_json(&status, None, Some(started), session)?;
    } else {
        let process_id = status.info.as_ref().map_or(0, |info| info.process_id);
        let how = if started { "Started" } else { "Already running" };
        session.out.line(&format!("{how}, process {process_id}."))?;
    }
    Ok(Exit::Done)
}

/// Stops the daemon; false when there was none to stop.
async fn stop(session: &Session) -> Result<bool, CliError> {
    let client = match session.connect_only().await {
        Ok(client) => client,
        Err(CliError::Unreachable { source, .. }) if is_absent(&source) => return Ok(false),
        Err(error) => return Err(error),
    };
    let process_id = client.info(LOCAL_DEADLINE).await.map_or(0, |info| info.process_id);
    match call("stop", LOCAL_DEADLINE, client.daemon().stop_daemon(v1::StopDaemonRequest {})).await {
        // It may hang up before its answer is out, or be stopping already.
        Ok(_) | Err(CliError::ConnectionLost { .. }) => {}
        Err(error) if error.reason() == "SHUTTING_DOWN" => {}
        Err(error) => return Err(error),
    }
    // The daemon waits for its callers to hang up.
    drop(client);
    start::wait_until_stopped(&session.socket(), process_id).await?;
    Ok(true)
}

pub(super) fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused)
}

fn print_stopped(stopped: bool, session: &mut Session) -> Result<Exit, CliError> {
    if session.json {
        let socket = session.socket().display().to_string();
        session.out.json(&DaemonJson { socket, stopped: Some(stopped), ..DaemonJson::default() })?;
    } else {
        session.out.line(if stopped { "Stopped." } else { "It was not running." })?;
    }
    Ok(Exit::Done)
}

async fn status(session: &mut Session) -> Result<Exit, CliError> {
    let client: Client = match session.connect_only().await {
        Ok(client) => client,
        Err(error) => {
            if !matches!(&error, CliError::Unreachable { source, .. } if is_absent(source)) {
                return Err(error);
            }
            let socket = session.socket();
            if session.json {
                session.out.json(&DaemonJson { socket: socket.display().to_string(), ..DaemonJson::default() })?;
                return Err(error);
            }
            session.out.line(&format!("not running (nobody listens at {})", socket.display()))?;
            return Ok(Exit::Unreachable);
        }
    };
    let status = client.status().await?;
    let listeners = client.listeners().await?;
    if session.json {
        print_json(&status, listeners.as_deref(), None, session)?;
        return Ok(Exit::Done);
    }
    for line in page(&status, &listeners.unwrap_or_default(), session) {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

fn print_json(
    status: &v1::DaemonStatus,
    listeners: Option<&[v1::Listener]>,
    started: Option<bool>,
    session: &mut Session,
) -> Result<(), CliError> {
    let socket = if status.socket.is_empty() { session.socket().display().to_string() } else { status.socket.clone() };
    let status = Some(StatusJson::new(status));
    let listeners = listeners.map(|listeners| listeners.iter().map(Into::into).collect());
    session.out.json(&DaemonJson { running: true, socket, started, stopped: None, listeners, status })
}

fn page(status: &v1::DaemonStatus, listeners: &[v1::Listener], session: &Session) -> Vec<String> {
    let info = status.info.clone().unwrap_or_default();
    let since = units::relative(info.start_time.as_ref(), session.now);
    let daemon = format!("paintboxd {}, process {}, started {since}", info.version, info.process_id);
    let catalogue =
        format!("{}, {} here", units::count(status.models, "model"), units::grouped(status.downloaded_models));
    let store = format!("{}, {} free", units::bytes(status.stored_bytes), units::bytes(status.free_bytes));
    let mut rows = vec![("daemon", daemon), ("home", status.home.clone()), ("socket", status.socket.clone())];
    // The socket is always there and stands above.
    let others = listeners.iter().filter(|listener| listener.kind() != v1::ListenerKind::Socket);
    rows.extend(others.map(|listener| (listener_kind(listener), listening(listener))));
    rows.extend([
        ("paints on", status.device.clone()),
        ("jobs", jobs(status)),
        ("catalogue", catalogue),
        ("store", store),
    ]);
    rows.extend(status.waits.iter().map(|wait| ("waiting", waiting(wait, session.now))));
    rows.extend(status.catalogue.iter().map(|health| ("backups", backups(health, session.now))));
    rows.extend(status.catalogue.iter().filter_map(damage).map(|damage| ("DAMAGED", damage)));
    let names: Vec<String> = status.hubs.iter().map(|hub| sanitize::line(&hub.hub)).collect();
    let hubs = names.iter().zip(&status.hubs).map(|(name, hub)| (name.as_str(), hub::words(hub, session.now)));
    rows.extend(hubs);
    for (_, value) in &mut rows {
        *value = sanitize::line(value);
    }
    facts(&rows, session.terminal.columns)
}

/// `downloads of follows, until it is plugged in (since 3 minutes ago)`
fn waiting(wait: &v1::Wait, now: jiff::Timestamp) -> String {
    let chore = match wait.chore.as_str() {
        "looks" => "looks at follows",
        "downloads" => "downloads of follows",
        "reading" => "reading new files of libraries",
        "care" => "checks and backups",
        other => other,
    };
    let since = units::relative(wait.since_time.as_ref(), now);
    format!("{chore}, until {} (since {since})", words::until(wait))
}

/// `127.0.0.1:7861, TLS, 2 connections`
fn listening(listener: &v1::Listener) -> String {
    let tls = if listener.tls { ", TLS" } else { "" };
    format!("{}{tls}, {}", listener.address, units::count(listener.connections.into(), "connection"))
}

/// `7, 1.20 GB, the newest 3 hours ago`
pub(super) fn backups(health: &v1::CatalogueHealth, now: jiff::Timestamp) -> String {
    match health.backups {
        0 => "none of the catalogue yet".to_owned(),
        count => {
            let newest = units::relative(health.newest_backup_time.as_ref(), now);
            format!("{count} of the catalogue, {}, the newest {newest}", units::bytes(health.backup_bytes))
        }
    }
}

/// What the last check found, when it found damage.
fn damage(health: &v1::CatalogueHealth) -> Option<String> {
    let check = health.check.as_ref().filter(|check| !check.sound)?;
    let first = check.problems.first().map_or("", String::as_str);
    Some(format!("{}: {first}; `paintbox doctor` says what can be done", check.path))
}

fn jobs(status: &v1::DaemonStatus) -> String {
    let v1::DaemonStatus { queued_generations, running_generations, running_sync_runs, .. } = status;
    format!("{running_generations} painting, {queued_generations} waiting, {running_sync_runs} syncing")
}
