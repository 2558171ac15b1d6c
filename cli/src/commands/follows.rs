//! `paintbox follows`.

use crate::client::{Client, LOCAL_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::FollowJson;
use crate::render::table::{Align, table};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;

pub(crate) async fn run(session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let follows = all(&client).await?;
    if session.json {
        for follow in &follows {
            session.out.json(&FollowJson::from(follow))?;
        }
        return Ok(Exit::Done);
    }
    if follows.is_empty() {
        session.note("Nobody is followed yet. `paintbox follow civitai:<username>` begins.")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = follows
        .iter()
        .map(|follow| {
            vec![
                sanitize::line(&follow.target),
                sanitize::line(&follow.state),
                units::grouped(follow.new_versions.into()),
                units::grouped(follow.pending_files.into()),
                follow.policy.as_ref().map(|policy| sanitize::line(&policy.backfill)).unwrap_or_default(),
                units::relative(follow.last_check_time.as_ref(), session.now),
                units::relative(follow.next_check_time.as_ref(), session.now),
            ]
        })
        .collect();
    let titles = [
        ("TARGET", Align::Flexible),
        ("STATE", Align::Left),
        ("NEW", Align::Right),
        ("PENDING", Align::Right),
        ("BACKFILL", Align::Left),
        ("CHECKED", Align::Left),
        ("NEXT CHECK", Align::Left),
    ];
    for line in table(&titles, &rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    for follow in &follows {
        if let Some(failure) = &follow.failure {
            let message = sanitize::line(&failure.message);
            session.note(&format!("{}: {message}", sanitize::line(&follow.target)))?;
        }
    }
    Ok(Exit::Done)
}

/// Every follow, page by page.
async fn all(client: &Client) -> Result<Vec<v1::Follow>, CliError> {
    let mut follows = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListFollowsRequest { page_size: 500, page_token: page_token.clone() };
        let page = call("list the follows", LOCAL_DEADLINE, client.follows().list_follows(request)).await?;
        follows.extend(page.follows);
        if page.next_page_token.is_empty() {
            return Ok(follows);
        }
        if page.next_page_token == page_token {
            return Err(CliError::Nonsense { problem: "a page of follows leads to itself" });
        }
        page_token = page.next_page_token;
    }
}
