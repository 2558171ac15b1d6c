//! `paintbox logout`.

use crate::client::{LOCAL_DEADLINE, call};
use crate::commands::login::{CredentialJson, Hub};
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::Session;
use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The hub
    hub: Hub,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let request = v1::DeleteHubCredentialRequest { hub: arguments.hub.as_str().to_owned() };
    call("forget the token", LOCAL_DEADLINE, client.daemon().delete_hub_credential(request)).await?;
    if session.json {
        session.out.json(&CredentialJson { hub: arguments.hub.as_str(), account: None })?;
    } else {
        session.out.line(&format!("The {} token is forgotten.", arguments.hub.title()))?;
    }
    Ok(Exit::Done)
}
