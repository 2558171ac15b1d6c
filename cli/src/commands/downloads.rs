//! `paintbox downloads`.

use crate::client::{Client, LOCAL_DEADLINE, call, entries};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::DownloadJson;
use crate::render::table::{Align, table};
use crate::render::{sanitize, units, words};
use crate::session::Session;
use clap::Subcommand;
use paintbox_proto::v1;
use paintbox_proto::v1::download::State;

const LARGEST_PAGE: usize = 200;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Args)]
struct List {
    /// What has ended, the latest first, instead of what is to come
    #[arg(long)]
    history: bool,
    /// At most this many, 0 for all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Only downloads of which this is true, such as 'state:failed' or 'size>2GB created>2026-11'; see below
    #[arg(long, value_name = "FILTER", default_value = "", hide_default_value = true)]
    filter: String,
}

pub(crate) const FILTERS: &str = "\
Filters: state, reason, hub, kind, version, file, size, failures, created and ended, as in
  state:failed size>2GB created>2026-11-01 -hub:hf file:emoji*
An asterisk at the end of a text stands for any rest; words alone are looked for in the names of models and files.";

#[derive(Debug, Subcommand)]
enum Action {
    /// Stop downloads, or all of them; what is here of them stays
    Pause(Which),
    /// Let paused downloads go on, or try failed ones again now
    Resume(Which),
    /// Put downloads before all others, the first one named first
    First(Named),
    /// Give downloads up; what a follow wants is fetched again by the next sync
    Cancel(Named),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Numbers, as the list shows them
    #[arg(required_unless_present = "all")]
    downloads: Vec<String>,
    /// All of them, those to come too
    #[arg(long, conflicts_with = "downloads")]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct Named {
    /// Numbers, as the list shows them
    #[arg(required = true)]
    downloads: Vec<String>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let mut service = client.downloads();
    let deadline = LOCAL_DEADLINE;
    match &arguments.action {
        None => return list(&arguments.list, &client, session).await,
        Some(Action::Pause(Which { all: true, .. })) => {
            call("pause all downloads", deadline, service.pause_downloads(v1::PauseDownloadsRequest {})).await?;
            session.note("All downloads are paused until `paintbox downloads resume --all`.")?;
        }
        Some(Action::Resume(Which { all: true, .. })) => {
            call("resume all downloads", deadline, service.resume_downloads(v1::ResumeDownloadsRequest {})).await?;
            session.note("Downloads go on, but for those that were paused by themselves.")?;
        }
        Some(Action::Pause(which)) => {
            for name in names(&which.downloads) {
                let asked = service.pause_download(v1::PauseDownloadRequest { name });
                tell(&call("pause a download", deadline, asked).await?, session)?;
            }
        }
        Some(Action::Resume(which)) => {
            for name in names(&which.downloads) {
                let asked = service.resume_download(v1::ResumeDownloadRequest { name });
                tell(&call("resume a download", deadline, asked).await?, session)?;
            }
        }
        Some(Action::First(named)) => {
            // Each goes before those that went first before it.
            for name in names(&named.downloads).rev() {
                let asked = service.put_download_first(v1::PutDownloadFirstRequest { name });
                tell(&call("put a download first", deadline, asked).await?, session)?;
            }
        }
        Some(Action::Cancel(named)) => {
            for name in names(&named.downloads) {
                let asked = service.cancel_download(v1::CancelDownloadRequest { name });
                tell(&call("cancel a download", deadline, asked).await?, session)?;
            }
        }
    }
    Ok(Exit::Done)
}

/// `7` and `downloads/7` are the same.
fn names(downloads: &[String]) -> impl DoubleEndedIterator<Item = String> {
    downloads.iter().map(|name| format!("downloads/{}", number(name)))
}

fn number(name: &str) -> &str {
    name.strip_prefix("downloads/").unwrap_or(name)
}

fn tell(download: &v1::Download, session: &mut Session) -> Result<(), CliError> {
    if session.json {
        return session.out.json(&DownloadJson::from(download));
    }
    let line = format!("{}  {}: {}", number(&download.name), download.file, state(download, session));
    session.out.line(&sanitize::line(&line))
}

async fn list(list: &List, client: &Client, session: &mut Session) -> Result<Exit, CliError> {
    let limit = if list.limit == 0 { usize::MAX } else { list.limit };
    let (downloads, paused) = fetch(client, list, limit).await?;
    if session.json {
        for download in &downloads {
            session.out.json(&DownloadJson::from(download))?;
        }
        return Ok(Exit::Done);
    }
    if downloads.is_empty() {
        session.note(if !list.filter.is_empty() {
            "No such downloads."
        } else if list.history {
            "Nothing was downloaded yet."
        } else {
            "Nothing is to be downloaded."
        })?;
    } else {
        let rows: Vec<Vec<String>> = downloads.iter().map(|download| row(download, session)).collect();
        let titles = [
            ("NO", Align::Right),
            ("STATE", Align::Left),
            ("SIZE", Align::Right),
            ("FILE", Align::Flexible),
            ("OF", Align::Left),
        ];
        for line in table(&titles, &rows, session.terminal.columns) {
            session.out.line(&line)?;
        }
    }
    if paused {
        session.note("All downloads are paused; `paintbox downloads resume --all` lets them go on.")?;
    }
    if downloads.iter().any(|download| download.automatic && download.state() == State::Queued) {
        let status = client.status().await?;
        for wait in status.waits.iter().filter(|wait| wait.chore == "downloads") {
            session.note(&format!(
                "What is followed waits until {}; `paintbox sync` fetches it now.",
                words::until(wait)
            ))?;
        }
    }
    Ok(Exit::Done)
}

async fn fetch(client: &Client, list: &List, limit: usize) -> Result<(Vec<v1::Download>, bool), CliError> {
    let mut paused = false;
    let found = entries(limit, async |page_token| {
        let page_size = i32::try_from(limit.min(LARGEST_PAGE)).unwrap_or(0);
        let filter = list.filter.clone();
        let request = v1::ListDownloadsRequest { ended: list.history, page_size, page_token, filter };
        let page = call("list the downloads", LOCAL_DEADLINE, client.downloads().list_downloads(request)).await?;
        paused = page.paused;
        Ok((page.downloads, page.next_page_token))
    })
    .await?;
    Ok((found, paused))
}

fn row(download: &v1::Download, session: &Session) -> Vec<String> {
    let size = if download.size_bytes > 0 { units::bytes(download.size_bytes) } else { String::new() };
    let cells = [number(&download.name), &state(download, session), &size, &download.file, &download.model_name];
    cells.map(sanitize::line).to_vec()
}

/// How it stands, in a few words.
fn state(download: &v1::Download, session: &Session) -> String {
    match download.state() {
        State::Transferring if download.size_bytes > 0 => {
            let percent = (u128::from(download.bytes_done) * 100 / u128::from(download.size_bytes)).min(100);
            format!("transferring, {percent} %")
        }
        State::Failed => {
            let why = download.failure.as_ref().map_or("", |failure| failure.reason.as_str());
            format!("failed ({why}), again {}", units::relative(download.due_time.as_ref(), session.now))
        }
        State::Queued if download.due_time.is_some() => {
            format!("queued, goes on {}", units::relative(download.due_time.as_ref(), session.now))
        }
        state @ (State::Done | State::Cancelled) => {
            format!(
                "{} {}",
                words::state(state.as_str_name()),
                units::relative(download.end_time.as_ref(), session.now)
            )
        }
        state => words::state(state.as_str_name()),
    }
}
