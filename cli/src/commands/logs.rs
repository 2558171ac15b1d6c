//! `paintbox daemon logs`.

use crate::error::CliError;
use crate::exit::Exit;
use crate::render::sanitize;
use crate::session::Session;
use crate::supervisor::{caught, last_lines};
use serde_json::Value;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Read at most this much from the end of a log.
const TAIL_BYTES: u64 = 4 * 1024 * 1024;
const POLL: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print this many of the last lines
    #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
    lines: usize,
    /// Go on with new lines as they come
    #[arg(short, long)]
    follow: bool,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let Some(mut path) = newest(session)? else {
        return supervisors(arguments, session).await;
    };
    let mut at = 0;
    let text = read_from(&path, &mut at, Some(TAIL_BYTES))?;
    if text.is_empty() && !arguments.follow {
        return supervisors(arguments, session).await;
    }
    for line in last_lines(&text, arguments.lines) {
        print(line, session)?;
    }
    while arguments.follow && !session.out.is_closed() {
        tokio::time::sleep(POLL).await;
        let text = read_from(&path, &mut at, None)?;
        for line in text.lines() {
            print(line, session)?;
        }
        // A new day has a new file.
        if let Some(newer) = newest(session)?.filter(|newer| *newer != path) {
            (path, at) = (newer, 0);
        }
    }
    Ok(Exit::Done)
}

/// The last lines of the log, in words.
pub(super) fn last(lines: usize, session: &Session) -> Result<Vec<String>, CliError> {
    let Some(path) = newest(session)? else { return Ok(Vec::new()) };
    let text = read_from(&path, &mut 0, Some(TAIL_BYTES))?;
    Ok(last_lines(&text, lines)
        .map(|line| serde_json::from_str(line).map_or_else(|_| sanitize::line(line), |entry| words(&entry)))
        .collect())
}

/// What the supervisor caught of a daemon that wrote no log of its own, such as one that cannot be started.
async fn supervisors(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let text = caught(&session.surroundings, &session.paths, arguments.lines).await;
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        let folder = session.paths.logs.display().to_string();
        session.note(&format!("The daemon has written no log in {folder} yet."))?;
        return Ok(Exit::Done);
    };
    session.note("The daemon's own log has nothing; this is what its supervisor caught.")?;
    for line in text.lines() {
        print(line, session)?;
    }
    Ok(Exit::Done)
}

/// The log that was written to last; what a daemon said while starting counts only when there is no other.
fn newest(session: &Session) -> Result<Option<PathBuf>, CliError> {
    let folder = &session.paths.logs;
    let start_log = session.paths.start_log();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(CliError::io("list", folder))?,
    };
    let logs = entries.flatten().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("paintboxd") && name.ends_with(".log") && *path != start_log
    });
    // The names carry dates, so among files of one moment the last name is the newest.
    let newest = logs.max_by_key(|path| (path.metadata().and_then(|data| data.modified()).ok(), path.clone()));
    Ok(newest.or_else(|| start_log.is_file().then_some(start_log)))
}

/// Whole lines from `at` on, which moves behind them. Without `at_most` the rest of the file is read.
fn read_from(path: &Path, at: &mut u64, at_most: Option<u64>) -> Result<String, CliError> {
    let read = || -> std::io::Result<(u64, Vec<u8>)> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        // A file that shrank was begun anew.
        let from = if *at > length { 0 } else { *at };
        let from = at_most.map_or(from, |most| from.max(length.saturating_sub(most)));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok((from, bytes))
    };
    let (from, mut bytes) = read().map_err(CliError::io("read the log", path))?;
    // A line that is still being written waits for its end.
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    *at = from + end as u64;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn print(line: &str, session: &mut Session) -> Result<(), CliError> {
    let entry: Option<serde_json::Map<String, Value>> = serde_json::from_str(line).ok();
    match entry {
        Some(entry) if session.json => session.out.json(&entry),
        Some(entry) => session.out.line(&words(&entry)),
        None if session.json => session.out.json(&serde_json::json!({ "text": line })),
        None => session.out.line(&sanitize::line(line)),
    }
}

/// A structured log entry as a line: time, level, message, then its values.
fn words(entry: &serde_json::Map<String, Value>) -> String {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let fields = entry.get("fields").and_then(Value::as_object);
    let message = text(fields.and_then(|fields| fields.get("message")));
    let mut line = format!("{} {} {message}", text(entry.get("timestamp")), text(entry.get("level")));
    for (name, value) in fields.into_iter().flatten().filter(|(name, _)| *name != "message") {
        line.push_str(&format!(" {name}={}", text(Some(value))));
    }
    sanitize::line(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_as_sentences() {
        let entry = serde_json::json!({
            "timestamp": "2026-01-02T03:04:05Z", "level": "WARN",
            "fields": { "message": "hub\u{1b}[31m busy", "hub": "civitai", "attempt": 2 },
        });
        assert_eq!(words(entry.as_object().unwrap()), "2026-01-02T03:04:05Z WARN hub busy attempt=2 hub=civitai");
    }

    #[test]
    fn a_line_without_an_end_is_left_for_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paintboxd.log");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let mut at = 0;
        assert_eq!(read_from(&path, &mut at, None).unwrap(), "one\ntwo\n");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(read_from(&path, &mut at, None).unwrap(), "three\n");
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(read_from(&path, &mut at, None).unwrap(), "new\n");
    }
}
