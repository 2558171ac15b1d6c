//! `paintbox sync`.

use crate::commands::sync_run;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::JobJson;
use crate::session::Session;
use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Sync these follows alone; without them, everything that is wanted
    follows: Vec<String>,
    /// Show the progress and wait for the end
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let request = v1::CreateSyncRunRequest { follows: arguments.follows.clone(), ..Default::default() };
    let run = sync_run::create(&client, request, session).await?;
    if arguments.wait {
        return sync_run::wait(&client, &run.name, session).await;
    }
    if session.json {
        session.out.json(&JobJson::from(&run))?;
    } else {
        session.out.line(&run.name)?;
        session.note(&format!("The sync goes on in the daemon; `paintbox job {} --watch` shows it.", run.name))?;
    }
    Ok(Exit::Done)
}
