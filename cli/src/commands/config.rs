//! `paintbox config`.

use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::HubJson;
use crate::render::table::facts;
use crate::render::{hub, sanitize};
use crate::session::Session;
use serde::Serialize;

#[derive(Serialize)]
struct ConfigJson<'a> {
    config_file: String,
    state: String,
    store: String,
    logs: String,
    socket: String,
    /// The hubs are known only from a daemon that runs.
    running: bool,
    hubs: Vec<HubJson<'a>>,
}

pub(crate) async fn run(session: &mut Session) -> Result<Exit, CliError> {
    let status = match session.connect_only().await {
        Ok(client) => Some(client.status().await?),
        Err(CliError::Unreachable { .. }) => None,
        Err(error) => return Err(error),
    };
    let hubs = status.as_ref().map(|status| status.hubs.as_slice()).unwrap_or_default();
    let show = |path: &std::path::Path| path.display().to_string();
    let config = ConfigJson {
        config_file: show(&session.paths.config_file),
        state: show(&session.paths.state),
        store: show(&session.paths.store),
        logs: show(&session.paths.logs),
        socket: show(&session.socket()),
        running: status.is_some(),
        hubs: hubs.iter().map(Into::into).collect(),
    };
    if session.json {
        session.out.json(&config)?;
        return Ok(Exit::Done);
    }
    let file = if session.paths.config_file.is_file() { "" } else { " (not there: every setting has its default)" };
    let mut rows = vec![
        ("config file", format!("{}{file}", config.config_file)),
        ("state", config.state),
        ("store", config.store),
        ("logs", config.logs),
        ("socket", config.socket),
    ];
    let names: Vec<String> = hubs.iter().map(|hub| sanitize::line(&hub.hub)).collect();
    rows.extend(names.iter().zip(hubs).map(|(name, hub)| (name.as_str(), hub::words(hub, session.now))));
    for line in facts(&rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    if !config.running {
        session.note("The daemon is not running; it knows which hubs are used.")?;
    }
    Ok(Exit::Done)
}
