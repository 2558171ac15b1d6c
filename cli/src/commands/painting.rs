//! Following a generation to its end, for `generate` and `job`.

use crate::commands::generate::pictures;
use crate::commands::sync_run::unexplained;
use crate::error::{CliError, Failure};
use crate::render::json::GenerationLine;
use crate::render::progress::{Measure, Progress};
use crate::render::sanitize;
use crate::session::Session;
use paintbox_proto::v1;
use paintbox_proto::v1::generation::State;
use paintbox_proto::v1::generation_event::Event;
use std::io::Write as _;
use std::path::Path;
use tonic::Streaming;

const DOING: &str = "paint";

/// Shows progress until the generation has ended, and returns it when it succeeded. `name` is set as soon as the
/// daemon has said it. Previews, where they were asked for, become the file `preview`.
pub(crate) async fn follow(
    mut events: Streaming<v1::GenerationEvent>,
    name: &mut Option<String>,
    preview: Option<&Path>,
    session: &mut Session,
) -> Result<v1::Generation, CliError> {
    let mut progress = Progress::new(session.watched());
    let mut last: Option<v1::Generation> = None;
    while let Some(event) = events.message().await.map_err(|status| CliError::of_status(DOING, status))? {
        match event.event {
            Some(Event::Generation(generation)) => {
                name.get_or_insert_with(|| generation.name.clone());
                // The first event of a generation under way says how far it is.
                let known = generation.progress.clone();
                let queued = || v1::GenerationProgress { phase: "queued".to_owned(), ..Default::default() };
                if let Some(now) = known.or_else(|| (generation.state() == State::Queued).then(queued)) {
                    show(&now, &generation.name, &mut progress, session)?;
                }
                last = Some(generation);
            }
            Some(Event::Progress(now)) => show(&now, name.as_deref().unwrap_or_default(), &mut progress, session)?,
            Some(Event::Preview(look)) => {
                if let Some(path) = preview {
                    write_preview(path, &look.jpeg)?;
                }
            }
            // A sign of life, or an event of a newer daemon.
            Some(Event::Heartbeat(_)) | None => {}
        }
    }
    progress.clear();
    match last {
        Some(generation) if !matches!(generation.state(), State::Queued | State::Running) => {
            for warning in &generation.warnings {
                session.note(&sanitize::line(warning))?;
            }
            ended(generation)
        }
        _ => Err(CliError::AnswerCutShort { doing: DOING }),
    }
}

/// Whole, so that whoever looks at the file never sees half of a picture.
fn write_preview(path: &Path, jpeg: &[u8]) -> Result<(), CliError> {
    let written = pictures::temporary(pictures::folder_of(path)).and_then(|mut file| {
        file.write_all(jpeg).map_err(CliError::io("write the preview to", path))?;
        file.persist(path).map_err(|error| CliError::io("write the preview to", path)(error.error))
    });
    written.map(drop)
}

fn show(
    now: &v1::GenerationProgress,
    name: &str,
    progress: &mut Progress,
    session: &mut Session,
) -> Result<(), CliError> {
    if session.json {
        return session.out.json(&GenerationLine::Progress {
            phase: &now.phase,
            step: now.step,
            total_steps: now.total_steps,
            image: now.image_index,
            image_count: now.image_count,
            generation: name,
        });
    }
    let mut label = now.phase.replace('_', " ");
    if now.image_count > 1 {
        label.push_str(&format!(" ({} of {})", now.image_index.saturating_add(1), now.image_count));
    }
    let counts = matches!(now.phase.as_str(), "sampling" | "upscaling");
    let total = if counts { now.total_steps } else { 0 };
    progress.advance("painting", &label, Measure::Steps, now.step.into(), total.into());
    Ok(())
}

/// A generation that has ended, unless it ended badly.
pub(crate) fn ended(generation: v1::Generation) -> Result<v1::Generation, CliError> {
    match generation.state() {
        State::Succeeded => Ok(generation),
        State::Cancelled => Err(CliError::JobCancelled { name: generation.name }),
        _ => {
            let failure = generation.failure.as_ref().map_or_else(unexplained, Failure::from);
            Err(CliError::JobFailed { name: generation.name, failure })
        }
    }
}
