//! `paintbox dupes`.

use crate::client::{Client, DISK_DEADLINE, call, entries};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::DuplicateJson;
use crate::render::progress::spin;
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;

/// Content of one page, with its places.
const PAGE_SIZE: usize = 200;
/// More than this scrolls past whoever reads.
const TERMINAL_LIMIT: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// At most this many, 0 for all [default: 20 in a terminal, otherwise all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let limit = match arguments.limit {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if session.terminal.output && !session.json => TERMINAL_LIMIT,
        None => usize::MAX,
    };
    let asked = fetch(&client, limit);
    let (found, sums) = spin(session.watched(), "comparing", asked).await?;
    if session.json {
        for duplicate in &found {
            session.out.json(&DuplicateJson::from(duplicate))?;
        }
        return Ok(Exit::Done);
    }
    for duplicate in &found {
        session.say(&heading(duplicate))?;
        for line in places(duplicate) {
            session.out.line(&line)?;
        }
    }
    conclude(&found, &sums, session)?;
    Ok(Exit::Done)
}

/// The first of them, and the last page, which has the sums.
async fn fetch(client: &Client, limit: usize) -> Result<(Vec<v1::Duplicate>, v1::ListDuplicatesResponse), CliError> {
    let mut last = v1::ListDuplicatesResponse::default();
    let page_size = i32::try_from(limit.min(PAGE_SIZE)).unwrap_or(0);
    let found = entries(limit, async |page_token| {
        let request = v1::ListDuplicatesRequest { page_size, page_token };
        let mut shelf = client.shelf();
        last = call("compare what is here", DISK_DEADLINE, shelf.list_duplicates(request)).await?;
        Ok((std::mem::take(&mut last.duplicates), last.next_page_token.clone()))
    });
    Ok((found.await?, last))
}

/// `2.13 GB to win: DreamShaper (civitai:4384), checkpoint, 2 files of 2.13 GB`
fn heading(duplicate: &v1::Duplicate) -> String {
    let model = match duplicate.model.as_str() {
        "" => String::new(),
        model => format!(" ({model})"),
    };
    let told = duplicate.places.iter().map(|place| u64::from(place.file)).max().unwrap_or_default();
    // Not every place may be told, but every file but one could be won.
    let files = duplicate.spare_bytes.checked_div(duplicate.size_bytes).map_or(told, |spare| told.max(spare + 1));
    sanitize::line(&format!(
        "{} to win: {}{model}, {}, {} of {}",
        units::bytes(duplicate.spare_bytes),
        duplicate.display_name,
        duplicate.kind,
        units::count(files, "file"),
        units::bytes(duplicate.size_bytes)
    ))
}

/// The paths, the names of one file below each other.
fn places(duplicate: &v1::Duplicate) -> Vec<String> {
    let mut places: Vec<&v1::DuplicatePlace> = duplicate.places.iter().collect();
    places.sort_by_key(|place| place.file);
    let mut lines = Vec::new();
    let mut last = None;
    for place in places {
        let is_link = last.replace(place.file) == Some(place.file);
        let mut line = format!("  {}{}", if is_link { "= " } else { "  " }, sanitize::line(&place.path));
        if is_link {
            line.push_str("  the same file");
        }
        if place.away {
            line.push_str("  not there now");
        }
        lines.push(line);
    }
    let more = u64::from(duplicate.place_count).saturating_sub(duplicate.places.len() as u64);
    if more > 0 {
        lines.push(format!("    and {}, which the daemon does not tell", units::count(more, "more place")));
    }
    lines
}

fn conclude(found: &[v1::Duplicate], sums: &v1::ListDuplicatesResponse, session: &mut Session) -> Result<(), CliError> {
    let v1::ListDuplicatesResponse { contents, spare_bytes, linked_contents, unread_files, .. } = *sums;
    if contents == 0 {
        session.note("Nothing lies here twice.")?;
    } else {
        let size = units::bytes(spare_bytes);
        session.say(&format!(
            "{} at several places; one file of each would do, and win {size}.",
            units::count(contents, "content")
        ))?;
        let shown = found.len() as u64;
        if shown < contents {
            session.note(&format!("The first {}; --limit 0 shows all.", units::grouped(shown)))?;
        }
        session.note(
            "Nothing was removed: which of them goes is yours to say, and in folders of your own only you remove. Some \
             file systems share the bytes of copies (clones), which cannot be told from here; those win nothing.",
        )?;
    }
    if linked_contents > 0 {
        let contents = units::count(linked_contents, "content");
        session.note(&format!("{contents} more only have several names for one file, which takes no room."))?;
    }
    if unread_files > 0 {
        let files = units::count(unread_files, "file");
        session.note(&format!("{files} of libraries are not read yet, and may be the same as others."))?;
    }
    Ok(())
}
