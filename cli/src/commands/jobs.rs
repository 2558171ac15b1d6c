//! `paintbox jobs`.

mod queue;

use crate::client::{Client, LOCAL_DEADLINE, call, entries};
use crate::commands::sync_run;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::JobJson;
use crate::render::table::{Align, table};
use crate::render::{sanitize, units, words};
use crate::session::Session;
use paintbox_proto::v1;

const LARGEST_PAGE: usize = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// At most this many, 0 for all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Only generations of which this is true, such as 'state:failed' or 'prompt:fox created>2026-11'; with --syncs, sync
    /// runs; see below
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Only sync runs
    #[arg(long, conflicts_with = "deleted")]
    syncs: bool,
    /// Also generations that were deleted and can be had back
    #[arg(long)]
    deleted: bool,
    /// What waits, in the order in which it has its turn
    #[arg(long, conflicts_with_all = ["filter", "syncs", "deleted"])]
    queue: bool,
    /// Begin no further generation until --resume; what is being painted goes on
    #[arg(long, conflicts_with_all = ["filter", "syncs", "deleted", "queue", "resume"])]
    pause: bool,
    /// Go on
    #[arg(long, conflicts_with_all = ["filter", "syncs", "deleted", "queue"])]
    resume: bool,
}

pub(crate) const FILTERS: &str = "\
Filters: state, prompt, model, client, reason, seed, priority, created and ended, as in
  state:succeeded prompt:\"red fox\" created>2026-11-01 (seed:7 OR priority>0) -model:civitai:1
An asterisk at the end of model, client or reason stands for any rest; words alone are looked for in the prompts.
With --syncs: state, reason, planned, fetched, failed, bytes, created and ended, as in
  state:succeeded failed>0 created>2026-11-01
and words alone are looked for in what was asked for.";

/// A generation or a sync run.
pub(crate) enum Job {
    Generation(Box<v1::Generation>),
    SyncRun(Box<v1::SyncRun>),
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    if arguments.queue || arguments.pause || arguments.resume {
        return queue::run(arguments, &client, session).await;
    }
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let mut jobs: Vec<Job> = Vec::new();
    if !arguments.syncs {
        jobs.extend(generations(&client, arguments, limit).await?.into_iter().map(|g| Job::Generation(Box::new(g))));
    }
    if arguments.syncs || (arguments.filter.is_none() && !arguments.deleted) {
        jobs.extend(sync_runs(&client, arguments, limit).await?.into_iter().map(|run| Job::SyncRun(Box::new(run))));
    }
    // The sort is stable, so jobs of one moment keep the daemon's order.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.created()));
    jobs.truncate(limit);
    if session.json {
        for job in &jobs {
            session.out.json(&job.json())?;
        }
        return Ok(Exit::Done);
    }
    if jobs.is_empty() {
        session.note(if arguments.filter.is_some() { "No such jobs." } else { "No jobs yet." })?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = jobs.iter().map(|job| job.row(session)).collect();
    let titles = [("JOB", Align::Left), ("STATE", Align::Left), ("CREATED", Align::Left), ("WHAT", Align::Flexible)];
    for line in table(&titles, &rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

impl Job {
    pub(crate) fn json(&self) -> JobJson<'_> {
        match self {
            Self::Generation(generation) => JobJson::from(&**generation),
            Self::SyncRun(run) => JobJson::from(&**run),
        }
    }

    fn created(&self) -> (i64, i32) {
        let time = match self {
            Self::Generation(generation) => generation.create_time.as_ref(),
            Self::SyncRun(run) => run.create_time.as_ref(),
        };
        time.map_or((0, 0), |time| (time.seconds, time.nanos))
    }

    fn row(&self, session: &Session) -> Vec<String> {
        let (name, state, created) = match self {
            Self::Generation(job) => (&job.name, words::state(job.state().as_str_name()), job.create_time.as_ref()),
            Self::SyncRun(job) => (&job.name, words::state(job.state().as_str_name()), job.create_time.as_ref()),
        };
        vec![sanitize::line(name), sanitize::line(&state), units::relative(created, session.now), self.what()]
    }

    /// What it does or did, in one line.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Generation(generation) => {
                let spec = generation.spec.clone().unwrap_or_default();
                sanitize::line(&match spec.upscale {
                    Some(upscale) if spec.model.is_empty() => format!("a picture made larger by {}", upscale.upscaler),
                    _ => format!("“{}” with {}", spec.prompt, spec.model),
                })
            }
            Self::SyncRun(run) if run.state() == v1::sync_run::State::Succeeded => {
                sync_run::summary(&run.counts.unwrap_or_default())
            }
            Self::SyncRun(run) => match &run.failure {
                Some(failure) => sanitize::line(&failure.message),
                None => "sync".to_owned(),
            },
        }
    }
}

async fn generations(client: &Client, arguments: &Arguments, limit: usize) -> Result<Vec<v1::Generation>, CliError> {
    entries(limit, async |page_token| {
        let request = v1::ListGenerationsRequest {
            page_size: page_size(limit),
            page_token,
            filter: arguments.filter.clone().unwrap_or_default(),
            show_deleted: arguments.deleted,
        };
        let page = call("list the generations", LOCAL_DEADLINE, client.generations().list_generations(request)).await?;
        Ok((page.generations, page.next_page_token))
    })
    .await
}

async fn sync_runs(client: &Client, arguments: &Arguments, limit: usize) -> Result<Vec<v1::SyncRun>, CliError> {
    entries(limit, async |page_token| {
        let filter = arguments.filter.clone().unwrap_or_default();
        let request = v1::ListSyncRunsRequest { page_size: page_size(limit), page_token, filter };
        let page = call("list the sync runs", LOCAL_DEADLINE, client.sync().list_sync_runs(request)).await?;
        Ok((page.sync_runs, page.next_page_token))
    })
    .await
}

fn page_size(limit: usize) -> i32 {
    i32::try_from(limit.min(LARGEST_PAGE)).unwrap_or(0)
}
