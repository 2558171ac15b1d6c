//! Following a sync run to its end, for `sync`, `pull` and `job`.

use crate::client::{Client, HUB_DEADLINE, call};
use crate::error::{CliError, Failure};
use crate::exit::Exit;
use crate::render::json::SyncLine;
use crate::render::progress::{Measure, Progress, spin};
use crate::render::{sanitize, units, words};
use crate::session::Session;
use paintbox_proto::v1;
use paintbox_proto::v1::sync_event::Event;
use paintbox_proto::v1::sync_run::State;

const DOING: &str = "sync";

/// Starts a run.
pub(crate) async fn create(
    client: &Client,
    mut request: v1::CreateSyncRunRequest,
    session: &Session,
) -> Result<v1::SyncRun, CliError> {
    request.request_id = uuid::Uuid::new_v4().to_string();
    let mut sync = client.sync();
    let asked = call("start a sync", HUB_DEADLINE, sync.create_sync_run(request));
    spin(session.watched(), "asking the hub", asked).await
}

/// Shows a run's progress until it has ended. Ctrl-C leaves the run going.
pub(crate) async fn wait(client: &Client, name: &str, session: &mut Session) -> Result<Exit, CliError> {
    let interrupts = session.interrupts.clone();
    tokio::select! {
        ended = follow(client, name, session) => ended,
        () = interrupts.wait() => Err(CliError::StoppedWaiting { name: name.to_owned() }),
    }
}

async fn follow(client: &Client, name: &str, session: &mut Session) -> Result<Exit, CliError> {
    let lost = |status| CliError::of_status(DOING, status);
    let request = v1::WatchSyncRunRequest { name: name.to_owned(), ..Default::default() };
    let mut events = client.sync().watch_sync_run(request).await.map_err(lost)?.into_inner();
    let mut view = View { progress: Progress::new(session.watched()), first_failure: None };
    let mut last = None;
    while let Some(event) = events.message().await.map_err(lost)? {
        match event.event {
            Some(Event::Progress(progress)) => view.progress(&progress, session)?,
            Some(Event::FileFailed(failed)) => view.failed(&failed, session)?,
            Some(Event::Run(run)) => last = Some(run),
            // An event of a newer daemon.
            Some(Event::Heartbeat(_)) | None => {}
        }
    }
    view.progress.clear();
    match last {
        Some(run) if is_terminal(&words::state(run.state().as_str_name())) => finish(&run, view.first_failure, session),
        _ => Err(CliError::AnswerCutShort { doing: DOING }),
    }
}

pub(crate) fn is_terminal(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled")
}

struct View {
    progress: Progress,
    first_failure: Option<Failure>,
}

impl View {
    fn progress(&mut self, event: &v1::FileProgress, session: &mut Session) -> Result<(), CliError> {
        let v1::FileProgress { version, file, bytes_done, bytes_total, phase } = event;
        if session.json {
            return session.out.json(&SyncLine::Progress {
                version,
                file,
                bytes_done: *bytes_done,
                bytes_total: *bytes_total,
                phase,
            });
        }
        let key = format!("{version}\n{file}");
        if phase == "done" {
            self.progress.finish(&key);
            let line = format!("  fetched  {}  {}", sanitize::line(file), units::bytes(*bytes_done));
            return self.progress.suspend(|| session.note(&line));
        }
        let label = if phase == "verifying" { format!("checking {file}") } else { file.clone() };
        self.progress.advance(&key, &label, Measure::Bytes, *bytes_done, *bytes_total);
        Ok(())
    }

    fn failed(&mut self, event: &v1::FileFailed, session: &mut Session) -> Result<(), CliError> {
        let v1::FileFailed { version, file, failure } = event;
        let failure = failure.clone().unwrap_or_default();
        let mut first: Failure = (&failure).into();
        first.metadata.insert("version".to_owned(), version.clone());
        first.metadata.insert("file".to_owned(), file.clone());
        self.first_failure.get_or_insert(first);
        if session.json {
            return session.out.json(&SyncLine::Failed { version, file, error: (&failure).into() });
        }
        self.progress.finish(&format!("{version}\n{file}"));
        let mut line = format!("  failed   {}  {}", sanitize::line(file), sanitize::line(&failure.message));
        if !failure.hint.is_empty() {
            line.push_str(&format!(" ({})", sanitize::line(&failure.hint)));
        }
        self.progress.suspend(|| session.note(&line))
    }
}

fn finish(run: &v1::SyncRun, first_failure: Option<Failure>, session: &mut Session) -> Result<Exit, CliError> {
    let v1::SyncCounts { planned, fetched, already_had, skipped, failed, bytes } = run.counts.unwrap_or_default();
    if session.json {
        session.out.json(&SyncLine::Done {
            run: &run.name,
            state: words::state(run.state().as_str_name()),
            planned,
            fetched,
            already_had,
            skipped,
            failed,
            bytes,
        })?;
    } else if run.state() == State::Succeeded {
        session.out.line(&summary(&run.counts.unwrap_or_default()))?;
    }
    match run.state() {
        State::Cancelled => Err(CliError::JobCancelled { name: run.name.clone() }),
        State::Failed => {
            let failure = run.failure.as_ref().map(Failure::from).or(first_failure).unwrap_or_else(unexplained);
            Err(CliError::JobFailed { name: run.name.clone(), failure })
        }
        _ if failed > 0 => {
            Err(CliError::FilesFailed { failed, planned, first: first_failure.unwrap_or_else(unexplained) })
        }
        _ => Ok(Exit::Done),
    }
}

/// The failure of a daemon that gave none.
pub(crate) fn unexplained() -> Failure {
    Failure {
        reason: "INTERNAL".to_owned(),
        message: "the daemon does not say why".to_owned(),
        hint: Some("`paintbox daemon logs` may".to_owned()),
        metadata: std::collections::BTreeMap::new(),
    }
}

/// A run's counts in words.
pub(crate) fn summary(counts: &v1::SyncCounts) -> String {
    let v1::SyncCounts { fetched, already_had, skipped, failed, bytes, .. } = *counts;
    let mut text = match fetched {
        0 => "Nothing was fetched".to_owned(),
        fetched => format!("Fetched {}, {}", units::count(fetched.into(), "file"), units::bytes(bytes)),
    };
    for (number, words) in [(already_had, "already here"), (skipped, "skipped"), (failed, "failed")] {
        if number > 0 {
            text.push_str(&format!("; {} {words}", units::grouped(number.into())));
        }
    }
    text.push('.');
    text
}
