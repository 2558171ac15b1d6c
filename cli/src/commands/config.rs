//! `paintbox config`.

use crate::commands::daemon::hub_words;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::HubJson;
use crate::render::sanitize;
use crate::render::table::{Align, table};
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
        vec!["config file".to_owned(), format!("{}{file}", config.config_file)],
        vec!["state".to_owned(), config.state],
        vec!["store".to_owned(), config.store],
        vec!["logs".to_owned(), config.logs],
        vec!["socket".to_owned(), config.socket],
    ];
    rows.extend(hubs.iter().map(|hub| vec![sanitize::line(&hub.hub), hub_words(hub)]));
    for line in table(&[("", Align::Left), ("", Align::Left)], &rows, None) {
        session.out.line(&line)?;
    }
    if !config.running {
        session.note("The daemon is not running; it knows which hubs are used.")?;
    }
    Ok(Exit::Done)
}
