//! `paintbox follows`.

use crate::client::{ALL, Client, LARGEST_PAGE, LOCAL_DEADLINE, call, entries};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::FollowJson;
use crate::render::table::{Align, facts, remarked};
use crate::render::{policy, sanitize, units, words};
use crate::session::Session;
use paintbox_proto::v1;
use paintbox_proto::v1::follow::State;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Show everything of this follow; its target or its name
    name: Option<String>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    match &arguments.name {
        Some(name) => one(&client, name, session).await,
        None => all(&client, session).await,
    }
}

async fn all(client: &Client, session: &mut Session) -> Result<Exit, CliError> {
    let follows = list(client).await?;
    if session.json {
        for follow in &follows {
            session.out.json(&FollowJson::from(follow))?;
        }
        return Ok(Exit::Done);
    }
    if follows.is_empty() {
        session.note("Nothing is followed yet. `paintbox follow civitai:<username>` begins.")?;
        return Ok(Exit::Done);
    }
    for line in overview(&follows, session) {
        session.out.line(&line)?;
    }
    for follow in &follows {
        if let Some(failure) = &follow.failure {
            session.note(&format!("{}: {}", sanitize::line(&follow.target), problem(failure)))?;
        }
    }
    Ok(Exit::Done)
}

async fn one(client: &Client, name: &str, session: &mut Session) -> Result<Exit, CliError> {
    let request = v1::GetFollowRequest { name: name.to_owned() };
    let follow = call("find the follow", LOCAL_DEADLINE, client.follows().get_follow(request)).await?;
    if session.json {
        session.out.json(&FollowJson::from(&follow))?;
        return Ok(Exit::Done);
    }
    for line in page(&follow, session) {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

/// Every follow, page by page.
async fn list(client: &Client) -> Result<Vec<v1::Follow>, CliError> {
    entries(ALL, async |page_token| {
        let request = v1::ListFollowsRequest { page_size: LARGEST_PAGE, page_token };
        let page = call("list the follows", LOCAL_DEADLINE, client.follows().list_follows(request)).await?;
        Ok((page.follows, page.next_page_token))
    })
    .await
}

/// One row a follow.
fn overview(follows: &[v1::Follow], session: &Session) -> Vec<String> {
    let titles = [
        ("TARGET", Align::Flexible),
        ("STATE", Align::Left),
        ("NEW", Align::Right),
        ("PENDING", Align::Right),
        ("LAST CHECK", Align::Left),
        ("NEXT CHECK", Align::Left),
        ("FETCHES", Align::Flexible),
    ];
    let rows: Vec<Vec<String>> = follows.iter().map(|follow| row(follow, session)).collect();
    remarked(&titles, &rows, session.terminal.columns)
}

fn row(follow: &v1::Follow, session: &Session) -> Vec<String> {
    vec![
        sanitize::line(&follow.target),
        words::state(follow.state().as_str_name()),
        units::grouped(follow.new_versions.into()),
        units::grouped(follow.pending_files.into()),
        units::relative(follow.last_check_time.as_ref(), session.now),
        units::relative(follow.next_check_time.as_ref(), session.now),
        policy::short(follow.policy.as_ref()),
    ]
}

/// Everything of one follow.
fn page(follow: &v1::Follow, session: &Session) -> Vec<String> {
    let terminal = session.terminal;
    let time = |time: Option<&prost_types::Timestamp>, otherwise: &str| match time {
        Some(_) => units::relative(time, session.now),
        None => otherwise.to_owned(),
    };
    let mut about = vec![
        ("name", sanitize::line(&follow.name)),
        ("state", state(follow.state())),
        ("followed", time(follow.create_time.as_ref(), "")),
        ("last check", time(follow.last_check_time.as_ref(), "never yet")),
        ("next check", time(follow.next_check_time.as_ref(), "not planned")),
        ("new", format!("{} since the follow began", units::count(follow.new_versions.into(), "version"))),
        ("pending", units::count(follow.pending_files.into(), "wanted file") + " not here yet"),
    ];
    about.extend(follow.failure.as_ref().map(|failure| ("problem", problem(failure))));
    let mut lines = vec![terminal.bold(&sanitize::line(&follow.target))];
    lines.extend(facts(&about, terminal.columns));
    lines.push(String::new());
    lines.push(terminal.bold("What it fetches"));
    lines.extend(facts(&policy::long(follow.policy.as_ref()), terminal.columns));
    lines
}

fn state(state: State) -> String {
    match state {
        State::New => "new: its list was not read yet".to_owned(),
        State::Waiting => "waiting: its hub is down or asks for patience".to_owned(),
        State::Failing => "failing: the last check did not succeed".to_owned(),
        other => words::state(other.as_str_name()),
    }
}

/// What went wrong and what to do, in one line.
pub(crate) fn problem(failure: &v1::Error) -> String {
    let hint = if failure.hint.is_empty() { String::new() } else { format!(" ({})", failure.hint) };
    sanitize::line(&format!("{}{hint}", failure.message))
}
