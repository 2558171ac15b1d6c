//! `paintbox pull`.

use crate::client::Client;
use crate::commands::sync_run;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::Session;
use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// civitai:4384, civitai:4384@128713, hf:org/repo, hf:org/repo:path/file.safetensors, an AIR, or a page's address
    #[arg(required = true, value_name = "REF")]
    references: Vec<String>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    pull(&client, arguments.references.clone(), session).await
}

/// Fetches what these references name, and waits for it.
pub(crate) async fn pull(client: &Client, references: Vec<String>, session: &mut Session) -> Result<Exit, CliError> {
    let request = v1::CreateSyncRunRequest { references, ..Default::default() };
    let run = sync_run::create(client, request, session).await?;
    sync_run::wait(client, &run.name, session).await
}
