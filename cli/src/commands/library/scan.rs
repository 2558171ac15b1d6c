//! A look at libraries, followed to its end.

use super::short;
use crate::client::Client;
use crate::error::CliError;
use crate::render::json::ScanLine;
use crate::render::progress::{Measure, Progress, spin};
use crate::render::table::facts;
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;
use std::collections::BTreeSet;

const DOING: &str = "look through the library";

/// Looks at a library that is new, and tells what it is.
pub(super) async fn added(client: &Client, library: &v1::Library, session: &mut Session) -> Result<(), CliError> {
    for ended in follow(client, vec![library.name.clone()], &library.path, session).await? {
        let Some(library) = &ended.library else { continue };
        for line in facts(&about(library), session.terminal.columns) {
            session.out.line(&line)?;
        }
    }
    Ok(())
}

/// Looks at libraries, all if none is named, and tells what is different.
pub(super) async fn again(client: &Client, names: Vec<String>, session: &mut Session) -> Result<(), CliError> {
    let what = match &names[..] {
        [one] => format!("library {}", short(one)),
        _ => "the libraries".to_owned(),
    };
    let ended = follow(client, names, &what, session).await?;
    if ended.is_empty() && !session.json {
        return session.note("No folder is adopted yet. `paintbox library add DIR` adopts one where it is.");
    }
    for ended in ended {
        session.say(&difference(&ended))?;
    }
    Ok(())
}

/// What goes on behind the command, and where it shows.
pub(super) fn note_background(session: &mut Session) -> Result<(), CliError> {
    session.note(
        "The files are read in the background, the smallest first, to find out which of them a hub lists. `paintbox \
         library list` says how far that is, `paintbox search --downloaded` finds what is here.",
    )
}

/// The last message about each library; none with `--json`, where each was printed as it came.
async fn follow(
    client: &Client,
    names: Vec<String>,
    what: &str,
    session: &mut Session,
) -> Result<Vec<v1::ScanLibrariesResponse>, CliError> {
    let interrupts = session.interrupts.clone();
    let mut progress = Progress::new(session.watched());
    tokio::select! {
        ended = read(client, names, &mut progress, session) => ended,
        () = interrupts.wait() => Err(CliError::StoppedScanning { what: what.to_owned() }),
    }
}

async fn read(
    client: &Client,
    names: Vec<String>,
    progress: &mut Progress,
    session: &mut Session,
) -> Result<Vec<v1::ScanLibrariesResponse>, CliError> {
    let lost = |status| CliError::of_status(DOING, status);
    let mut open: BTreeSet<String> = names.iter().cloned().collect();
    let request = v1::ScanLibrariesRequest { names };
    let mut stream = client.libraries().scan_libraries(request).await.map_err(lost)?.into_inner();
    let mut ended = Vec::new();
    // Walking a large folder takes a while, and nothing can be told of it until it ends.
    let mut next = spin(session.watched(), "looking through the folders", stream.message()).await.map_err(lost)?;
    while let Some(message) = next {
        if session.json {
            session.out.json(&ScanLine::from(&message))?;
        }
        if message.library.is_some() {
            open.remove(&message.name);
            progress.finish(&message.name);
            if !session.json {
                ended.push(message);
            }
        } else {
            let v1::ScanLibrariesResponse { name, recorded, arrived, .. } = &message;
            let label = format!("library {}, {}", short(name), units::count(message.seen, "name"));
            progress.advance(name, &label, Measure::Steps, *recorded, *arrived);
            open.insert(message.name);
        }
        if session.out.is_closed() {
            return Ok(ended);
        }
        next = stream.message().await.map_err(lost)?;
    }
    if open.is_empty() { Ok(ended) } else { Err(CliError::AnswerCutShort { doing: DOING }) }
}

fn about(library: &v1::Library) -> [(&'static str, String); 6] {
    let v1::Library { paths, files, unknown_files, refused_files, .. } = *library;
    let names = if paths > files { format!(" under {}", units::count(paths, "name")) } else { String::new() };
    let mut known =
        vec![format!("{} by their headers", units::grouped(files - (unknown_files + refused_files).min(files)))];
    if unknown_files > 0 {
        known.push(format!("{} unknown", units::grouped(unknown_files)));
    }
    if refused_files > 0 {
        known.push(format!("{} refused, because they are broken or hold code", units::grouped(refused_files)));
    }
    [
        ("library", sanitize::line(short(&library.name))),
        ("path", sanitize::line(&library.path)),
        ("layout", sanitize::line(&library.layout)),
        ("files", format!("{}{names}, {}", units::count(files, "file"), units::bytes(library.file_bytes))),
        ("known", if files == 0 { String::new() } else { known.join(", ") }),
        ("on a hub", if library.listed_files == 0 { String::new() } else { units::grouped(library.listed_files) }),
    ]
}

/// `3  /mnt/models: 430 names seen, 12 came, 4 of them of files known before, 2 went`
fn difference(ended: &v1::ScanLibrariesResponse) -> String {
    let Some(library) = &ended.library else { return String::new() };
    let place = format!("{}  {}", sanitize::line(short(&library.name)), sanitize::line(&library.path));
    if library.state() == v1::library::State::Away {
        return format!("{place}: not there now; what is known of it stays");
    }
    let v1::ScanLibrariesResponse { seen, arrived, known_again, gone, .. } = *ended;
    let seen = units::count(seen, "name");
    if arrived == 0 && gone == 0 {
        return format!("{place}: {seen} seen, nothing is different");
    }
    let mut words = vec![format!("{seen} seen"), format!("{} came", units::grouped(arrived))];
    if known_again > 0 {
        words.push(format!("{} of them of files known before", units::grouped(known_again)));
    }
    words.push(format!("{} went", units::grouped(gone)));
    format!("{place}: {}", words.join(", "))
}
