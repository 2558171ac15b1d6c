//! `paintbox man`.

use crate::error::CliError;
use crate::exit::Exit;
use crate::session::Session;
use clap::CommandFactory as _;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder that gets them; it is made if need be
    folder: PathBuf,
}

/// A page of the program and one of each of its commands, such as `paintbox-daemon-start.1`.
pub(crate) fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).map_err(CliError::io("make", folder))?;
    clap_mangen::generate_to(crate::Arguments::command(), folder)
        .map_err(CliError::io("write man pages into", folder))?;
    if session.json {
        session.out.json(&serde_json::json!({ "folder": folder.display().to_string() }))?;
    } else {
        session.out.line(&format!("The man pages are in {}.", folder.display()))?;
    }
    Ok(Exit::Done)
}
