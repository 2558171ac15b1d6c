//! `paintbox gc`.

mod classes;

use crate::client::Client;
use crate::commands::follows::problem;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::GarbageLine;
use crate::render::progress::spin;
use crate::render::table::{Align, remarked};
use crate::render::{sanitize, units};
use crate::session::Session;
use clap::builder::PossibleValuesParser;
use classes::{CLASSES, TRASH, words};
use paintbox_proto::v1;

const DOING: &str = "look for what nobody needs";

/// What stands for every class.
const ALL: &str = "all";

/// A class with more files than this is told by its sum, unless all is to be told.
const MOST_TOLD: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Free it: expired_trash, partial, unrecorded, quarantine, picture, trash, or all; may be repeated
    #[arg(
        long,
        value_parser = PossibleValuesParser::new(CLASSES.iter().chain([&ALL])),
        value_delimiter = ',',
        num_args = 1..,
        value_name = "CLASS",
        hide_possible_values = true
    )]
    free: Vec<String>,
    /// Tell of every file, however many there are
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let is_all = arguments.free.iter().any(|class| class == ALL);
    let free: Vec<String> =
        if is_all { CLASSES.iter().map(ToString::to_string).collect() } else { arguments.free.clone() };
    let client = session.connect().await?;
    let found = if session.json {
        collect(&client, free, |garbage| session.out.json(&GarbageLine::from(garbage))).await?
    } else {
        let label = if free.is_empty() { "looking for what nobody needs" } else { "freeing what nobody needs" };
        let asked = collect(&client, free, |_| Ok(()));
        spin(session.watched(), label, asked).await?
    };
    let sums = Sums::of(&found);
    if session.json {
        session.out.json(&GarbageLine::Done { bytes: sums.bytes, freed_bytes: sums.freed })?;
    } else {
        print(&found, &sums, arguments, session)?;
    }
    Ok(if found.iter().any(|garbage| garbage.error.is_some()) { Exit::Failed } else { Exit::Done })
}

async fn collect(
    client: &Client,
    free: Vec<String>,
    mut tell: impl FnMut(&v1::Garbage) -> Result<(), CliError>,
) -> Result<Vec<v1::Garbage>, CliError> {
    let lost = |status| CliError::of_status(DOING, status);
    let request = v1::CollectGarbageRequest { free };
    let mut stream = client.store().collect_garbage(request).await.map_err(lost)?.into_inner();
    let mut found = Vec::new();
    while let Some(garbage) = stream.message().await.map_err(lost)? {
        tell(&garbage)?;
        found.push(garbage);
    }
    Ok(found)
}

/// Bytes of everything, of what was freed, and of what was to be freed and is still there.
struct Sums {
    bytes: u64,
    freed: u64,
    failed: u64,
}

impl Sums {
    fn of(found: &[v1::Garbage]) -> Self {
        Self {
            bytes: bytes(found.iter()),
            freed: bytes(found.iter().filter(|garbage| garbage.freed)),
            failed: bytes(found.iter().filter(|garbage| garbage.error.is_some())),
        }
    }
}

fn bytes<'a>(found: impl Iterator<Item = &'a v1::Garbage>) -> u64 {
    found.fold(0, |sum, garbage| sum.saturating_add(garbage.size_bytes))
}

fn print(found: &[v1::Garbage], sums: &Sums, arguments: &Arguments, session: &mut Session) -> Result<(), CliError> {
    if found.is_empty() {
        return session.note("Every byte is needed. There is nothing to free.");
    }
    let mut is_short = false;
    for class in order(found) {
        let files: Vec<&v1::Garbage> = found.iter().filter(|garbage| garbage.class == class).collect();
        session.say(&heading(class, &files, session))?;
        let is_told = arguments.verbose || files.len() <= MOST_TOLD;
        is_short |= !is_told;
        // Those that could not be freed are always told.
        let told: Vec<&v1::Garbage> = files.into_iter().filter(|garbage| is_told || garbage.error.is_some()).collect();
        for line in list(&told, session) {
            session.out.line(&format!("  {line}"))?;
        }
    }
    for sentence in totals(found, sums, !arguments.free.is_empty()) {
        session.say(&sentence)?;
    }
    if is_short {
        session.note("`paintbox gc --verbose` tells of every file.")?;
    }
    Ok(())
}

/// The classes that were found: those that are known in their order, then those of a newer daemon.
fn order(found: &[v1::Garbage]) -> Vec<&str> {
    let is_there = |class: &&str| found.iter().any(|garbage| garbage.class == *class);
    let mut classes: Vec<&str> = CLASSES.into_iter().filter(is_there).collect();
    for garbage in found {
        if !classes.contains(&garbage.class.as_str()) {
            classes.push(&garbage.class);
        }
    }
    classes
}

/// `partial: 3 files, 1.20 GB, the beginning of …`
fn heading(class: &str, files: &[&v1::Garbage], session: &Session) -> String {
    let name = session.terminal.bold(&sanitize::line(class));
    let size = units::bytes(bytes(files.iter().copied()));
    let meaning = words(class).map(|words| format!(" ({words})")).unwrap_or_default();
    let freed = files.iter().filter(|garbage| garbage.freed).count();
    let freed = match freed {
        0 => String::new(),
        freed if freed == files.len() => ", freed".to_owned(),
        freed => format!(", {} of them freed", units::grouped(freed as u64)),
    };
    format!("{name}: {}, {size}{freed}{meaning}", units::count(files.len() as u64, "file"))
}

/// Path, size and why.
fn list(files: &[&v1::Garbage], session: &Session) -> Vec<String> {
    let rows: Vec<Vec<String>> = files
        .iter()
        .map(|garbage| {
            let why = match &garbage.error {
                Some(error) => format!("could not be freed: {}", problem(error)),
                None => sanitize::line(&garbage.detail),
            };
            vec![sanitize::line(&garbage.path), units::bytes(garbage.size_bytes), why]
        })
        .collect();
    let columns = session.terminal.columns.map(|columns| columns.saturating_sub(2));
    // Paths stay whole, so that they can be looked at.
    remarked(&[("", Align::Left), ("", Align::Right), ("", Align::Flexible)], &rows, columns)
}

/// What was freed, what was not, and how to free the rest.
fn totals(found: &[v1::Garbage], sums: &Sums, freeing: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    if freeing {
        sentences.push(format!("Freed {}.", units::bytes(sums.freed)));
    }
    if sums.failed > 0 {
        sentences.push(format!("{} could not be freed.", units::bytes(sums.failed)));
    }
    let left = || found.iter().filter(|garbage| !garbage.freed && garbage.error.is_none());
    let classes: Vec<&str> =
        CLASSES.into_iter().filter(|class| left().any(|garbage| garbage.class == *class)).collect();
    if classes.is_empty() {
        return sentences;
    }
    // What is of a class that a newer daemon knows is told, but this command line cannot name it.
    let size = units::bytes(bytes(left().filter(|garbage| classes.contains(&garbage.class.as_str()))));
    let more = if freeing { " more" } else { "" };
    sentences.push(format!("{size}{more} could be freed: `paintbox gc --free {}` does it.", classes.join(",")));
    if classes.contains(&TRASH) {
        sentences.push("What is freed of the trash cannot be undone any more.".to_owned());
    }
    sentences
}
