//! `paintbox daemon`.

mod keeping;
mod reload;
mod upgrade;

use crate::client::Client;
use crate::commands::logs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{DaemonJson, StatusJson, SupervisorJson, listener_kind};
use crate::render::table::facts;
use crate::render::{hub, sanitize, units, words};
use crate::session::Session;
use crate::start::is_absent;
use crate::supervisor::{Inspected, advice, described, may_be_installed};
use paintbox_proto::v1;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

/// Who only looks does not wait long for a daemon that may not be able to answer.
const FIRST_WORD_DEADLINE: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Run it in the foreground
    Run,
    /// Start it in the background
    Start,
    /// Stop it in order, and wait until it has stopped; at the next login an installed one is back
    Stop,
    /// Stop it, then start it again
    Restart,
    /// Have it read its configuration again; what needs a restart is said
    Reload,
    /// Say how it is, and who keeps it running; never starts it (exit code 4 when it is not running)
    Status,
    /// Print its log
    Logs(logs::Arguments),
    /// Start it at every login, and again after a crash: by launchd or the user's systemd, where there is one
    Install,
    /// Stop it, and no longer start it at login; nothing that it keeps is touched
    Uninstall,
    /// Have the program that is on disk now take over from the one that runs
    Upgrade,
}

pub(crate) async fn run(action: &Action, session: &mut Session) -> Result<Exit, CliError> {
    match action {
        Action::Run => foreground(session).await,
        Action::Start => keeping::start(session).await,
        Action::Stop => keeping::stop(session).await,
        Action::Restart => keeping::restart(session).await,
        Action::Reload => reload::run(session).await,
        Action::Status => status(session).await,
        Action::Logs(arguments) => logs::run(arguments, session).await,
        Action::Install => keeping::install(session).await,
        Action::Uninstall => keeping::uninstall(session).await,
        Action::Upgrade => upgrade::run(session).await,
    }
}

/// Becomes the daemon, so that signals and supervisors meet the daemon itself.
async fn foreground(session: &Session) -> Result<Exit, CliError> {
    if let Some(socket) = &session.other_socket {
        return Err(CliError::Argument {
            argument: "--socket",
            given: socket.display().to_string(),
            problem: "the daemon listens in its home; PAINTBOX_HOME moves that".to_owned(),
        });
    }
    if may_be_installed(&session.surroundings, session.paths.home.as_deref()) {
        let inspected = Inspected::look(&session.surroundings, &session.paths, None).await?;
        if inspected.seen.state.holds_socket() {
            return Err(CliError::Supervised { state: described(&inspected) });
        }
    }
    let program = session.daemon()?;
    let source = Command::new(&program).arg("run").exec();
    Err(CliError::Spawn { program, source })
}

async fn status(session: &mut Session) -> Result<Exit, CliError> {
    let inspected = look(session).await;
    let connected = match &inspected {
        // Its socket is the supervisor's, and knocking there would start it.
        Some(inspected) if inspected.seen.state.holds_socket() && inspected.process_id().is_none() => {
            Err(session.refused())
        }
        _ => session.knock().await,
    };
    let client: Client = match connected {
        Ok(client) => client,
        Err(error) => return not_running(error, inspected.as_ref(), session),
    };
    // A supervisor's socket also takes the calls of a daemon that is still starting, or crashes while it does.
    if let Err(error) = client.info(FIRST_WORD_DEADLINE).await {
        let inspected = look(session).await;
        return not_running(error, inspected.as_ref(), session);
    }
    let status = client.status().await?;
    let listeners = client.listeners().await?;
    if session.json {
        print_json(&status, listeners.as_deref(), None, inspected.as_ref(), session)?;
        return Ok(Exit::Done);
    }
    for line in page(&status, &listeners.unwrap_or_default(), inspected.as_ref(), session) {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

/// Who keeps the daemon; none where that cannot be said, which is no reason to say nothing else.
async fn look(session: &Session) -> Option<Inspected> {
    if !session.may_start() {
        return None;
    }
    Inspected::look(&session.surroundings, &session.paths, None).await.ok()
}

fn not_running(error: CliError, inspected: Option<&Inspected>, session: &mut Session) -> Result<Exit, CliError> {
    let is_absent = matches!(&error, CliError::Unreachable { source, .. } if is_absent(source));
    if !is_absent && inspected.is_none_or(|inspected| !inspected.seen.state.holds_socket()) {
        return Err(error);
    }
    let socket = session.socket().display().to_string();
    if session.json {
        let supervisor = inspected.map(SupervisorJson::new);
        session.out.json(&DaemonJson { socket, supervisor, ..DaemonJson::default() })?;
        return Err(error);
    }
    let held = inspected.is_some_and(|inspected| inspected.seen.state.holds_socket());
    session.out.line(&match (is_absent, held) {
        (false, _) => format!("not answering at {socket}: {}", error.message()),
        (true, true) => format!("not running (its supervisor listens for it at {socket})"),
        (true, false) => format!("not running (nobody listens at {socket})"),
    })?;
    for line in inspected.into_iter().flat_map(|inspected| [Some(described(inspected)), advice(inspected)]).flatten() {
        session.say(&sanitize::line(&line))?;
    }
    Ok(Exit::Unreachable)
}

fn print_json(
    status: &v1::DaemonStatus,
    listeners: Option<&[v1::Listener]>,
    started: Option<bool>,
    inspected: Option<&Inspected>,
    session: &mut Session,
) -> Result<(), CliError> {
    let socket = if status.socket.is_empty() { session.socket().display().to_string() } else { status.socket.clone() };
    let status = Some(StatusJson::new(status));
    let listeners = listeners.map(|listeners| listeners.iter().map(Into::into).collect());
    let supervisor = inspected.map(SupervisorJson::new);
    session.out.json(&DaemonJson {
        running: true,
        socket,
        started,
        supervisor,
        listeners,
        status,
        ..DaemonJson::default()
    })
}

fn page(
    status: &v1::DaemonStatus,
    listeners: &[v1::Listener],
    inspected: Option<&Inspected>,
    session: &Session,
) -> Vec<String> {
    let info = status.info.clone().unwrap_or_default();
    let since = units::relative(info.start_time.as_ref(), session.now);
    let daemon = format!("paintboxd {}, process {}, started {since}", info.version, info.process_id);
    let catalogue =
        format!("{}, {} here", units::count(status.models, "model"), units::grouped(status.downloaded_models));
    let store = format!("{}, {} free", units::bytes(status.stored_bytes), units::bytes(status.free_bytes));
    let mut rows = vec![("daemon", daemon)];
    rows.extend(inspected.map(|inspected| ("kept by", described(inspected))));
    rows.extend(inspected.and_then(advice).map(|advice| ("", advice)));
    rows.extend([("home", status.home.clone()), ("socket", status.socket.clone())]);
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
    rows.extend(pending(status).map(|pending| ("pending", pending)));
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

/// What was changed in the configuration and does not hold yet.
fn pending(status: &v1::DaemonStatus) -> Option<String> {
    let names = &status.pending_settings;
    (!names.is_empty()).then(|| format!("{}, until `paintbox daemon restart`", names.join(", ")))
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
