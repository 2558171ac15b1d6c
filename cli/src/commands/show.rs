//! `paintbox show`.

mod capabilities;
mod companions;
mod history;
mod page;
mod picture;
mod rest;

use crate::client::{Client, HUB_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::moment;
use crate::render::json::ModelPageJson;
use crate::session::Session;
use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A model, version or file: civitai:4384, hf:org/repo, local:17, path:/…, a digest, a page's address, or a
    /// unique name
    #[arg(value_name = "REF")]
    reference: String,
    /// Show it as it was known then: a date (UTC), a time, or words such as "3 days ago"
    #[arg(long, value_name = "DATE")]
    at: Option<String>,
    /// Show when and how what the hub says of it changed
    #[arg(long)]
    history: bool,
    /// Show what it can be asked for: sizes, samplers, memory, and which LoRAs, ControlNets and upscalers go with it
    #[arg(long, conflicts_with_all = ["at", "history"])]
    capabilities: bool,
    /// Draw no example image, where the terminal can show one; of what is rated beyond PG-13 none is drawn anyway
    #[arg(long)]
    no_pictures: bool,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let at = arguments.at.as_deref().map(|text| read_time(text, session)).transpose()?;
    let client = session.connect().await?;
    if arguments.capabilities {
        let told = capabilities::ask(&client, &arguments.reference).await?;
        if session.json {
            session.out.json(&capabilities::CapabilitiesJson::from(&told))?;
            return Ok(Exit::Done);
        }
        for line in capabilities::lines(&told, session) {
            session.out.line(&line)?;
        }
        return Ok(Exit::Done);
    }
    let (model, version) = resolve_at(&client, &arguments.reference, at).await?;
    let changes = if arguments.history { Some(history::ask(&client, &model.name).await?) } else { None };
    let companions = match (&at, &changes) {
        (None, None) => Some(companions::ask(&client, &model.name).await?),
        // What goes with it is only known of now.
        _ => None,
    };
    if session.json {
        let (changes, companions) = (changes.as_deref(), companions.as_deref());
        session.out.json(&ModelPageJson::new(&model, &version, at.as_ref(), changes, companions))?;
        return Ok(Exit::Done);
    }
    let lines = match &changes {
        Some(changes) => history::lines(&model, changes, session),
        None => {
            if !arguments.no_pictures
                && let Some(drawn) = picture::drawn(&client, &model, &version, session).await
            {
                session.out.line(&drawn)?;
            }
            let mut lines = page::lines(&model, &version, at.as_ref(), session);
            lines.extend(companions::lines(&model, &companions.unwrap_or_default(), session));
            if at.is_none() {
                lines.extend(page::history_hint(&model, session));
            }
            lines
        }
    };
    for line in lines {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

fn read_time(text: &str, session: &Session) -> Result<prost_types::Timestamp, CliError> {
    let time = moment::past(text, session.now).map_err(|problem| CliError::Argument {
        argument: "--at",
        given: text.to_owned(),
        problem,
    })?;
    Ok(prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond().max(0) })
}

/// The model that a reference names, and the resource name of the version in it, empty for the model as a whole.
pub(crate) async fn resolve(client: &Client, reference: &str) -> Result<(v1::Model, String), CliError> {
    resolve_at(client, reference, None).await
}

async fn resolve_at(
    client: &Client,
    reference: &str,
    read_time: Option<prost_types::Timestamp>,
) -> Result<(v1::Model, String), CliError> {
    let request = v1::ResolveModelRequest { reference: reference.to_owned(), read_time, ..Default::default() };
    let resolved = call("find the model", HUB_DEADLINE, client.catalogue().resolve_model(request)).await?;
    let mut model = resolved.model.ok_or(CliError::Nonsense { problem: "it found a model and did not send it" })?;
    rest::ask(client, &mut model, read_time).await?;
    Ok((model, resolved.version))
}
