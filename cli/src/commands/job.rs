//! `paintbox job`.

use crate::client::{Client, LOCAL_DEADLINE, call};
use crate::commands::jobs::Job;
use crate::commands::{painting, sync_run};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{GenerationLine, PictureJson};
use crate::render::table::{Align, table};
use crate::render::{sanitize, units, words};
use crate::session::Session;
use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// generations/… or syncRuns/…, as `paintbox jobs` prints it; the part behind the slash is enough
    name: String,
    /// Show its progress until it has ended
    #[arg(long, conflicts_with = "change")]
    watch: bool,
    /// Stop it
    #[arg(long, group = "change")]
    cancel: bool,
    /// Give a generation that waits another priority: -100 to 100, higher first
    #[arg(long, value_name = "N", group = "change", allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-100..=100))]
    priority: Option<i32>,
    /// Put a generation that waits before all others of its client and priority
    #[arg(long, group = "change")]
    first: bool,
    /// Put it right before this one
    #[arg(long, value_name = "JOB", group = "change")]
    before: Option<String>,
    /// Take a generation that has ended out of the history; --undelete takes that back for as long as the trash is kept
    #[arg(long, group = "change")]
    delete: bool,
    /// Have a deleted generation back
    #[arg(long, group = "change")]
    undelete: bool,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let job = find(&client, &arguments.name).await?;
    if arguments.watch {
        return match job {
            Job::Generation(generation) => watch(&client, &generation.name, session).await,
            Job::SyncRun(run) => sync_run::wait(&client, &run.name, session).await,
        };
    }
    let job = change(arguments, &client, job).await?;
    if session.json {
        session.out.json(&job.json())?;
        return Ok(Exit::Done);
    }
    for line in page(&job, session) {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

async fn find(client: &Client, name: &str) -> Result<Job, CliError> {
    if name.starts_with("syncRuns/") {
        return sync_run(client, name.to_owned()).await;
    }
    if name.contains('/') {
        return generation(client, name.to_owned()).await;
    }
    match generation(client, format!("generations/{name}")).await {
        Err(error) if error.reason() == "JOB_NOT_FOUND" => sync_run(client, format!("syncRuns/{name}")).await,
        found => found,
    }
}

async fn generation(client: &Client, name: String) -> Result<Job, CliError> {
    let request = v1::GetGenerationRequest { name };
    let found = call("find the job", LOCAL_DEADLINE, client.generations().get_generation(request)).await?;
    Ok(Job::Generation(Box::new(found)))
}

async fn sync_run(client: &Client, name: String) -> Result<Job, CliError> {
    let request = v1::GetSyncRunRequest { name };
    let found = call("find the job", LOCAL_DEADLINE, client.sync().get_sync_run(request)).await?;
    Ok(Job::SyncRun(Box::new(found)))
}

/// The job as it is after what was asked to be done with it.
async fn change(arguments: &Arguments, client: &Client, job: Job) -> Result<Job, CliError> {
    let Arguments { name: _, watch: _, cancel: is_cancelled, priority, first, before, delete, undelete } = arguments;
    if *is_cancelled {
        return cancel(client, job).await;
    }
    if priority.is_none() && !first && before.is_none() && !delete && !undelete {
        return Ok(job);
    }
    let name = match job {
        Job::Generation(generation) => generation.name,
        Job::SyncRun(run) => {
            let message = format!("{} is a sync run, which has no turn and no history to be taken out of", run.name);
            return Err(CliError::Usage { message });
        }
    };
    let mut service = client.generations();
    let changed = if let Some(priority) = *priority {
        let generation = Some(v1::Generation { name, priority, ..v1::Generation::default() });
        let update_mask = Some(prost_types::FieldMask { paths: vec!["priority".to_owned()] });
        let request = v1::UpdateGenerationRequest { generation, update_mask };
        call("change its priority", LOCAL_DEADLINE, service.update_generation(request)).await?
    } else if *delete {
        let request = v1::DeleteGenerationRequest { name };
        call("delete the generation", LOCAL_DEADLINE, service.delete_generation(request)).await?
    } else if *undelete {
        let request = v1::UndeleteGenerationRequest { name };
        call("have the generation back", LOCAL_DEADLINE, service.undelete_generation(request)).await?
    } else {
        let before = before.as_ref().map_or_else(String::new, |other| match other.contains('/') {
            true => other.clone(),
            false => format!("generations/{other}"),
        });
        let request = v1::ReorderGenerationRequest { name, before };
        call("reorder the queue", LOCAL_DEADLINE, service.reorder_generation(request)).await?
    };
    Ok(Job::Generation(Box::new(changed)))
}

async fn cancel(client: &Client, job: Job) -> Result<Job, CliError> {
    const DOING: &str = "cancel the job";
    Ok(match job {
        Job::Generation(generation) => {
            let request = v1::CancelGenerationRequest { name: generation.name };
            let ended = call(DOING, LOCAL_DEADLINE, client.generations().cancel_generation(request)).await?;
            Job::Generation(Box::new(ended))
        }
        Job::SyncRun(run) => {
            let request = v1::CancelSyncRunRequest { name: run.name };
            Job::SyncRun(Box::new(call(DOING, LOCAL_DEADLINE, client.sync().cancel_sync_run(request)).await?))
        }
    })
}

/// Watches a generation; leaving does not cancel it, because whoever started it may still want it.
async fn watch(client: &Client, name: &str, session: &mut Session) -> Result<Exit, CliError> {
    let interrupts = session.interrupts.clone();
    let request = v1::WatchGenerationRequest { name: name.to_owned(), ..Default::default() };
    let mut service = client.generations();
    let events = call("watch the generation", LOCAL_DEADLINE, service.watch_generation(request)).await?;
    let mut known = Some(name.to_owned());
    let generation = tokio::select! {
        ended = painting::follow(events, &mut known, None, session) => ended?,
        () = interrupts.wait() => return Err(CliError::StoppedWaiting { name: name.to_owned() }),
    };
    if session.json {
        let images = generation.images.iter().map(|image| PictureJson::new(image, None)).collect();
        let warnings = &generation.warnings;
        session.out.json(&GenerationLine::Done { generation: &generation.name, images, warnings })?;
        return Ok(Exit::Done);
    }
    for line in page(&Job::Generation(Box::new(generation)), session) {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

fn page(job: &Job, session: &Session) -> Vec<String> {
    let mut rows = Vec::new();
    let mut fact = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    let (name, state, created, ended, failure) = match job {
        Job::Generation(job) => {
            (&job.name, words::state(job.state().as_str_name()), &job.create_time, &job.end_time, &job.failure)
        }
        Job::SyncRun(job) => {
            (&job.name, words::state(job.state().as_str_name()), &job.create_time, &job.end_time, &job.failure)
        }
    };
    fact("job", sanitize::line(name));
    fact("state", sanitize::line(&state));
    fact("what", job.what());
    fact("created", units::relative(created.as_ref(), session.now));
    if ended.is_some() {
        fact("ended", units::relative(ended.as_ref(), session.now));
    }
    match job {
        Job::Generation(generation) => {
            if let Some(position) = generation.queue_position {
                fact("turn", format!("{} in the queue, priority {}", position + 1, generation.priority));
            }
            fact("client", sanitize::line(&generation.client));
            if generation.attempts > 1 {
                fact("begun", format!("{} times", generation.attempts));
            }
            if generation.delete_time.is_some() {
                let until = units::relative(generation.purge_time.as_ref(), session.now);
                fact("deleted", format!("gone for good {until}"));
            }
            if let Some(v1::GenerationProgress { phase, step, total_steps, .. }) = &generation.progress {
                let phase = sanitize::line(phase).replace('_', " ");
                fact(
                    "progress",
                    if *total_steps > 0 { format!("{phase}, step {step} of {total_steps}") } else { phase },
                );
            }
            for warning in &generation.warnings {
                fact("noticed", sanitize::line(warning));
            }
            for image in &generation.images {
                let v1::GeneratedImage { asset, seed, width, height, .. } = image;
                fact("picture", format!("{width}×{height}  seed {seed}  {}", sanitize::line(asset)));
            }
        }
        Job::SyncRun(run) if state != "succeeded" => {
            if let Some(counts) = &run.counts {
                fact("so far", sync_run::summary(counts));
            }
        }
        Job::SyncRun(_) => {}
    }
    if let Some(failure) = failure {
        fact("error", sanitize::line(&failure.message));
        if !failure.hint.is_empty() {
            fact("hint", sanitize::line(&failure.hint));
        }
    }
    table(&[("", Align::Left), ("", Align::Left)], &rows, None)
}
