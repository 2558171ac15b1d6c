//! `paintbox updates`.

use crate::client::{Client, DISK_DEADLINE, call, entries};
use crate::commands::pull;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::UpdateJson;
use crate::render::progress::spin;
use crate::render::table::{Align, remarked};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;

/// Models of one page; each may have fifty versions.
const PAGE_SIZE: i32 = 50;
/// More than this scrolls past whoever reads.
const TERMINAL_LIMIT: usize = 50;
/// A page that was looked at longer ago may have more by now.
const OLD_SECONDS: i64 = 7 * 86_400;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only versions for a base model that you have the model for
    #[arg(long)]
    same_base: bool,
    /// At most this many models, 0 for all [default: 50 in a terminal, otherwise all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Fetch them too: of each model the newest version for a base model that you have it for
    #[arg(long)]
    pull: bool,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let limit = match arguments.limit {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if session.terminal.output && !session.json => TERMINAL_LIMIT,
        None => usize::MAX,
    };
    let asked = fetch(&client, arguments.same_base, limit);
    let (models, more) = spin(session.watched(), "comparing", asked).await?;
    if session.json {
        for model in &models {
            session.out.json(&UpdateJson::from(model))?;
        }
        return if arguments.pull { pull_newest(&client, &models, session).await } else { Ok(Exit::Done) };
    }
    if models.is_empty() {
        session.note("Nothing newer is known of what is here.")?;
        return Ok(Exit::Done);
    }
    let titles = [
        ("PULL", Align::Left),
        ("MODEL", Align::Flexible),
        ("HAVE", Align::Flexible),
        ("NEWER", Align::Flexible),
        ("BASE MODEL", Align::Flexible),
        ("SIZE", Align::Right),
        ("PUBLISHED", Align::Left),
        ("", Align::Flexible),
    ];
    let rows: Vec<Vec<String>> = models
        .iter()
        .flat_map(|model| model.newer.iter().map(move |newer| (model, newer)))
        .map(|(model, newer)| row(model, newer, session))
        .collect();
    for line in remarked(&titles, &rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    if more {
        session.note(&format!("The first {} models; --limit 0 shows all.", models.len()))?;
    }
    if arguments.pull {
        return pull_newest(&client, &models, session).await;
    }
    session.note(
        "This is what the pages said when they were last looked at. `paintbox pull REF` fetches a version, --pull \
         all of them; a model that is followed is looked at by itself.",
    )?;
    Ok(Exit::Done)
}

/// Fetches the newest version of each model that suits what is here and may be fetched.
async fn pull_newest(client: &Client, models: &[v1::ModelUpdate], session: &mut Session) -> Result<Exit, CliError> {
    let suits = |newer: &&v1::NewerVersion| {
        newer.same_base_model && newer.download_allowed && newer.early_access_until.is_none()
    };
    let wanted: Vec<&v1::NewerVersion> = models.iter().filter_map(|model| model.newer.iter().find(suits)).collect();
    if wanted.is_empty() {
        session.note("None of these is for a base model that you have, and free to be fetched.")?;
        return Ok(Exit::Done);
    }
    let bytes: u64 = wanted.iter().map(|newer| newer.size_bytes).sum();
    let question = match wanted.len() {
        1 => format!("Fetch 1 version, {}?", units::bytes(bytes)),
        versions => format!("Fetch {versions} versions, {}?", units::bytes(bytes)),
    };
    if session.has_company() && !session.confirm(&question)? {
        return Ok(Exit::Done);
    }
    pull::pull(client, wanted.iter().map(|newer| newer.version.clone()).collect(), session).await
}

/// The first of them, and whether there are more.
async fn fetch(client: &Client, same_base: bool, limit: usize) -> Result<(Vec<v1::ModelUpdate>, bool), CliError> {
    let mut found = entries(limit.saturating_add(1), async |page_token| {
        let request = v1::ListUpdatesRequest { page_size: PAGE_SIZE, page_token };
        let mut shelf = client.shelf();
        let mut page = call("look for newer versions", DISK_DEADLINE, shelf.list_updates(request)).await?;
        for model in &mut page.models {
            model.newer.retain(|newer| !same_base || newer.same_base_model);
        }
        page.models.retain(|model| !model.newer.is_empty());
        Ok((page.models, page.next_page_token))
    })
    .await?;
    let are_more = found.len() > limit;
    found.truncate(limit);
    Ok((found, are_more))
}

fn row(model: &v1::ModelUpdate, newer: &v1::NewerVersion, session: &Session) -> Vec<String> {
    vec![
        sanitize::line(&newer.version),
        sanitize::line(&model.display_name),
        sanitize::line(&model.have_display_name),
        sanitize::line(&newer.display_name),
        sanitize::line(&newer.base_model),
        if newer.size_bytes == 0 { "-".to_owned() } else { units::bytes(newer.size_bytes) },
        units::relative(newer.published_time.as_ref(), session.now),
        remarks(model, newer, session),
    ]
}

/// What speaks against it, or is to be known of it.
fn remarks(model: &v1::ModelUpdate, newer: &v1::NewerVersion, session: &Session) -> String {
    let mut remarks = Vec::new();
    if !newer.same_base_model {
        remarks.push("for another base model".to_owned());
    }
    match &newer.early_access_until {
        Some(until) if until.seconds == 0 => remarks.push("early access, without a known end".to_owned()),
        Some(until) => remarks.push(format!("early access, free {}", units::relative(Some(until), session.now))),
        None => {}
    }
    if !newer.download_allowed {
        remarks.push("its creator does not let it be downloaded".to_owned());
    }
    let is_old = |time: &prost_types::Timestamp| session.now.as_second() - time.seconds >= OLD_SECONDS;
    if let Some(seen) = model.seen_time.as_ref().filter(|seen| is_old(seen)) {
        remarks.push(format!("its page was last looked at {}", units::relative(Some(seen), session.now)));
    }
    remarks.join("; ")
}
