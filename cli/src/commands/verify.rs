//! `paintbox verify`.

use crate::client::Client;
use crate::commands::follows::problem;
use crate::error::CliError;
use crate::exit::Exit;
use crate::moment;
use crate::render::json::VerifyLine;
use crate::render::progress::{Measure, Progress};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;
use std::time::Duration;

const DOING: &str = "read the files";

/// More versions than this are not all named in a remark.
const MOST_NAMED: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Models, versions or files; left out: every file on this machine
    #[arg(value_name = "REF")]
    references: Vec<String>,
    /// Fetch wrong and missing files again from their hub
    #[arg(long)]
    repair: bool,
    /// Leave out files that were read and right within this time, such as 7d or 12h
    #[arg(long, value_parser = moment::length, value_name = "DURATION")]
    unread_for: Option<Duration>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let interrupts = session.interrupts.clone();
    let mut view = View { progress: Progress::new(session.watched()), far: Far::default(), findings: Vec::new() };
    let ended = tokio::select! {
        ended = follow(&client, arguments, &mut view, session) => ended,
        // Leaving drops the call, at which the daemon stops reading.
        () = interrupts.wait() => {
            let Far { files_done, files_total, .. } = view.far;
            Err(CliError::StoppedVerifying { files_done, files_total })
        }
    };
    view.progress.clear();
    ended?;
    finish(arguments, &view, session)
}

async fn follow(
    client: &Client,
    arguments: &Arguments,
    view: &mut View,
    session: &mut Session,
) -> Result<(), CliError> {
    let lost = |status| CliError::of_status(DOING, status);
    let request = v1::VerifyFilesRequest {
        references: arguments.references.clone(),
        repair: arguments.repair,
        unread_for: arguments.unread_for.map(of_wire),
    };
    let mut stream = client.store().verify_files(request).await.map_err(lost)?.into_inner();
    while let Some(message) = stream.message().await.map_err(lost)? {
        view.advance(&message, session)?;
        if message.done || session.out.is_closed() {
            return Ok(());
        }
    }
    Err(CliError::AnswerCutShort { doing: DOING })
}

fn of_wire(length: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: i32::try_from(length.subsec_nanos()).unwrap_or(0) }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Far {
    files_done: u64,
    files_total: u64,
    bytes_done: u64,
    bytes_total: u64,
}

struct View {
    progress: Progress,
    far: Far,
    findings: Vec<v1::VerifyFinding>,
}

impl View {
    fn advance(&mut self, message: &v1::VerifyFilesResponse, session: &mut Session) -> Result<(), CliError> {
        let v1::VerifyFilesResponse { files_done, files_total, bytes_done, bytes_total, .. } = *message;
        let far = Far { files_done, files_total, bytes_done, bytes_total };
        // A message that only brings a finding, or the end, moves nothing.
        if std::mem::replace(&mut self.far, far) != far {
            if session.json {
                session.out.json(&VerifyLine::Progress { files_done, files_total, bytes_done, bytes_total })?;
            }
            let label = format!("{} of {}", units::grouped(files_done), units::count(files_total, "file"));
            self.progress.advance("files", &label, Measure::Bytes, bytes_done, bytes_total);
        }
        let Some(finding) = &message.finding else { return Ok(()) };
        self.findings.push(finding.clone());
        if session.json {
            return session.out.json(&VerifyLine::from(finding));
        }
        self.progress.suspend(|| {
            session.say(&sentence(finding))?;
            let reason = finding.error.as_ref().map(problem).filter(|reason| !reason.is_empty());
            reason.map_or(Ok(()), |reason| session.out.line(&format!("  {reason}")))
        })
    }
}

/// One finding: what is wrong with which file, and what became of it.
fn sentence(finding: &v1::VerifyFinding) -> String {
    let v1::VerifyFinding { version, file, path, .. } = finding;
    let of = if version.is_empty() { String::new() } else { format!(" of {version}") };
    let what = match (file.as_str(), path.as_str()) {
        (file, "") => format!("{file}{of}"),
        ("", path) => format!("{path}{of}"),
        (file, path) => format!("{file}{of} at {path}"),
    };
    let became = became(finding, finding.repair_queued);
    sanitize::line(&format!("{}: {what}; {became}", finding.problem))
}

fn became(finding: &v1::VerifyFinding, is_fetched: bool) -> String {
    let mut words = match (finding.problem.as_str(), finding.action.as_str()) {
        (_, "quarantined") => "set aside".to_owned(),
        (_, "forgotten") => "no longer taken to be here".to_owned(),
        ("away", "nothing") => "not looked at".to_owned(),
        (_, "nothing" | "") => "left as it is".to_owned(),
        // A newer daemon's.
        (_, other) => sanitize::line(other).replace('_', " "),
    };
    if is_fetched {
        words.push_str(", fetched again");
    }
    words
}

fn finish(arguments: &Arguments, view: &View, session: &mut Session) -> Result<Exit, CliError> {
    let Far { files_done, bytes_done, .. } = view.far;
    let exit = if view.findings.is_empty() { Exit::Done } else { Exit::Failed };
    if session.json {
        let findings = view.findings.len();
        session.out.json(&VerifyLine::Done { files: files_done, bytes: bytes_done, findings })?;
        return Ok(exit);
    }
    session.say(&summary(view.far, &view.findings))?;
    if !arguments.repair {
        note_repair(&view.findings, session)?;
    }
    Ok(exit)
}

/// `412 files, 1.20 TB read; 1 damaged and set aside, fetched again`
fn summary(far: Far, findings: &[v1::VerifyFinding]) -> String {
    let read = format!("{}, {} read", units::count(far.files_done, "file"), units::bytes(far.bytes_done));
    if findings.is_empty() {
        return format!("{read}; all as they should be");
    }
    let mut kinds: Vec<(&v1::VerifyFinding, u64)> = Vec::new();
    for finding in findings {
        let is_alike = |other: &v1::VerifyFinding| {
            (&other.problem, &other.action, other.repair_queued)
                == (&finding.problem, &finding.action, finding.repair_queued)
        };
        match kinds.iter_mut().find(|(first, _)| is_alike(first)) {
            Some((_, count)) => *count += 1,
            None => kinds.push((finding, 1)),
        }
    }
    let words = kinds.iter().map(|(finding, count)| {
        let problem = sanitize::line(&finding.problem);
        format!("{} {problem} and {}", units::grouped(*count), became(finding, finding.repair_queued))
    });
    std::iter::once(read).chain(words).collect::<Vec<_>>().join("; ")
}

/// Says how to get back what was found to be wrong, since a later `--repair` would not find it here any more.
fn note_repair(findings: &[v1::VerifyFinding], session: &mut Session) -> Result<(), CliError> {
    let mut versions: Vec<&str> = Vec::new();
    for finding in findings.iter().filter(|finding| matches!(finding.action.as_str(), "quarantined" | "forgotten")) {
        let version = finding.version.as_str();
        if is_plain(version) && !finding.repair_queued && !versions.contains(&version) {
            versions.push(version);
        }
    }
    if versions.is_empty() {
        return Ok(());
    }
    let more = if versions.len() > MOST_NAMED { " …" } else { "" };
    versions.truncate(MOST_NAMED);
    let versions = versions.join(" ");
    session.note(&format!("`paintbox pull {versions}{more}` fetches again what was lost; so does --repair by itself."))
}

/// Whether a reference can stand in a command that somebody pastes into a shell.
fn is_plain(reference: &str) -> bool {
    let is_harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '@' | '.' | '_' | '-');
    reference.starts_with(|c: char| c.is_ascii_alphanumeric()) && reference.chars().all(is_harmless)
}
