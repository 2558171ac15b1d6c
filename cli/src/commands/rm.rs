//! `paintbox rm`.

use crate::client::{ALL, Client, DISK_DEADLINE, LARGEST_PAGE, LOCAL_DEADLINE, call, entries};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::RemovalJson;
use crate::render::progress::spin;
use crate::render::table::{Align, remarked};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;
use paintbox_proto::v1::removal::State;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(false)))]
pub(crate) struct Arguments {
    /// A model, a version or a file
    #[arg(value_name = "REF", group = "what")]
    reference: Option<String>,
    /// Tell what would be done, and do nothing
    #[arg(long, conflicts_with_all = ["undo", "list"])]
    dry_run: bool,
    /// Take everything of this removal out of the trash again; its number, as --list shows it
    #[arg(long, value_parser = number, value_name = "N", group = "what")]
    undo: Option<u64>,
    /// List removals that can be undone, the latest first
    #[arg(long, group = "what")]
    list: bool,
    /// With --list: also removals that were undone, or are gone for good
    #[arg(long, requires = "list", conflicts_with_all = ["reference", "undo"])]
    history: bool,
}

/// `3` and `removals/3` are the same.
fn number(text: &str) -> Result<u64, String> {
    short(text).parse().map_err(|_| "write the number that `paintbox rm --list` shows".to_owned())
}

fn short(name: &str) -> &str {
    name.strip_prefix("removals/").unwrap_or(name)
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let mut service = client.store();
    if let Some(number) = arguments.undo {
        let request = v1::UndoRemovalRequest { name: format!("removals/{number}") };
        let asked = call("undo the removal", DISK_DEADLINE, service.undo_removal(request));
        let removal = spin(session.watched(), "taking files out of the trash", asked).await?;
        return tell(&removal, Telling::Undone, session);
    }
    let Some(reference) = &arguments.reference else { return list(&client, arguments.history, session).await };
    let request = v1::RemoveFilesRequest { reference: reference.clone(), validate_only: arguments.dry_run };
    let asked = call("remove the files", DISK_DEADLINE, service.remove_files(request));
    let removal = spin(session.watched(), "looking at the files", asked).await?;
    tell(&removal, if arguments.dry_run { Telling::Planned } else { Telling::Removed }, session)
}

/// What there is to tell of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Planned,
    Removed,
    Undone,
}

fn tell(removal: &v1::Removal, telling: Telling, session: &mut Session) -> Result<Exit, CliError> {
    if session.json {
        session.out.json(&RemovalJson::from(removal))?;
        return Ok(Exit::Done);
    }
    let files = units::count(file_count(removal), "file");
    let reference = sanitize::line(&removal.reference);
    session.say(&match telling {
        Telling::Planned => format!("Removing {reference} would mean, for {files}:"),
        Telling::Removed => format!("Removed {reference}, {files}:"),
        Telling::Undone => format!("The removal of {reference}, {files}, is undone:"),
    })?;
    let titles = [("", Align::Flexible), ("", Align::Left), ("", Align::Right), ("", Align::Flexible)];
    let rows: Vec<Vec<String>> = removal.files.iter().map(|file| row(file, telling)).collect();
    let columns = session.terminal.columns.map(|columns| columns.saturating_sub(2));
    for line in remarked(&titles, &rows, columns) {
        session.out.line(&format!("  {line}"))?;
    }
    let more = file_count(removal) - removal.files.len() as u64;
    if more > 0 {
        session.out.line(&format!("  and {} more", units::grouped(more)))?;
    }
    match telling {
        Telling::Planned => {
            session.say(&frees(removal, "would be", session))?;
            session.note("Nothing was done; without --dry-run it is.")?;
        }
        Telling::Removed => {
            session.say(&frees(removal, "are", session))?;
            session.say(&undo(removal, session))?;
        }
        Telling::Undone => {}
    }
    Ok(Exit::Done)
}

/// All of its files, of which the daemon names the first only.
fn file_count(removal: &v1::Removal) -> u64 {
    u64::from(removal.file_count).max(removal.files.len() as u64)
}

fn row(file: &v1::RemovedFile, telling: Telling) -> Vec<String> {
    vec![
        sanitize::line(&file.file),
        sanitize::line(&file.version),
        units::bytes(file.size_bytes),
        fate(&file.bytes, telling),
    ]
}

/// What becomes of a file's bytes.
fn fate(bytes: &str, telling: Telling) -> String {
    let words = match (bytes, telling) {
        ("trashed", Telling::Planned) => "to the trash",
        ("trashed", Telling::Removed) => "in the trash",
        ("trashed", Telling::Undone) => "out of the trash",
        ("shared" | "in_place", Telling::Undone) => "known again; its bytes were never gone",
        ("shared", _) => "its bytes stay, because another file has the same",
        ("in_place", _) => "its bytes stay, because they lie in another tool's folder",
        ("absent", Telling::Undone) => "not here, but may be fetched again",
        ("absent", _) => "was not here; it is only not fetched any more",
        // A newer daemon's.
        (other, _) => return sanitize::line(other).replace('_', " "),
    };
    words.to_owned()
}

/// What it frees, and when.
fn frees(removal: &v1::Removal, are: &str, session: &Session) -> String {
    match (removal.size_bytes, when(removal, session)) {
        (0, _) => format!("No bytes {are} freed by it."),
        (bytes, Some(when)) => format!("{} {are} freed when the trash is emptied of it, {when}.", units::bytes(bytes)),
        (bytes, None) => format!("{} {are} freed when the trash is emptied of it.", units::bytes(bytes)),
    }
}

/// The command that undoes it, and until when it does.
fn undo(removal: &v1::Removal, session: &Session) -> String {
    let command = format!("`paintbox rm --undo {}`", sanitize::line(short(&removal.name)));
    match (removal.size_bytes, when(removal, session)) {
        (0, Some(when)) => format!("{command} undoes it; that can be done until the trash is emptied of it, {when}."),
        _ => format!("Until then, {command} undoes it."),
    }
}

/// When the trash is emptied of it: `in 1 month (2026-01-31 00:00 UTC)`.
fn when(removal: &v1::Removal, session: &Session) -> Option<String> {
    let time = units::timestamp(removal.expire_time.as_ref()?)?;
    let relative = units::relative(removal.expire_time.as_ref(), session.now);
    Some(format!("{relative} ({})", units::clock(time, session.now)))
}

async fn list(client: &Client, ended: bool, session: &mut Session) -> Result<Exit, CliError> {
    let removals = fetch(client, ended).await?;
    if session.json {
        for removal in &removals {
            session.out.json(&RemovalJson::from(removal))?;
        }
        return Ok(Exit::Done);
    }
    if removals.is_empty() {
        session.note(if ended { "Nothing was removed yet." } else { "The trash is empty." })?;
        return Ok(Exit::Done);
    }
    let titles = [
        ("NO", Align::Right),
        ("WHAT", Align::Flexible),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
        ("REMOVED", Align::Left),
        ("STATE", Align::Flexible),
    ];
    let rows: Vec<Vec<String>> = removals.iter().map(|removal| listed(removal, session)).collect();
    for line in remarked(&titles, &rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    if removals.iter().any(|removal| removal.state() == State::Trashed) {
        session.note("`paintbox rm --undo NO` takes what is in the trash out of it again.")?;
    }
    Ok(Exit::Done)
}

fn listed(removal: &v1::Removal, session: &Session) -> Vec<String> {
    let ended = units::relative(removal.end_time.as_ref(), session.now);
    let state = match removal.state() {
        State::Trashed => {
            let when = units::relative(removal.expire_time.as_ref(), session.now);
            format!("in the trash, emptied {when}")
        }
        State::Restored => format!("undone {ended}"),
        State::Emptied => format!("gone for good, {ended}"),
        // A newer daemon's.
        State::Unspecified => String::new(),
    };
    vec![
        sanitize::line(short(&removal.name)),
        sanitize::line(&removal.reference),
        units::grouped(file_count(removal)),
        units::bytes(removal.size_bytes),
        units::relative(removal.create_time.as_ref(), session.now),
        state,
    ]
}

/// Every removal, page by page.
async fn fetch(client: &Client, ended: bool) -> Result<Vec<v1::Removal>, CliError> {
    entries(ALL, async |page_token| {
        let request = v1::ListRemovalsRequest { ended, page_size: LARGEST_PAGE, page_token };
        let page = call("list the removals", LOCAL_DEADLINE, client.store().list_removals(request)).await?;
        Ok((page.removals, page.next_page_token))
    })
    .await
}
