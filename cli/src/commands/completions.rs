//! `paintbox completions`.

use crate::error::CliError;
use crate::exit::Exit;
use crate::session::Session;
use clap::CommandFactory as _;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell that is to read it
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Arguments::command(), "paintbox", &mut script);
    let script = String::from_utf8_lossy(&script);
    if session.json {
        session.out.json(&serde_json::json!({ "shell": arguments.shell.to_string(), "script": script }))?;
    } else {
        session.out.line(script.trim_end())?;
    }
    Ok(Exit::Done)
}
