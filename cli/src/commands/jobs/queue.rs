//! `paintbox jobs --queue`: what waits, in the order of turns, and whether anything is begun.

use super::Arguments;
use crate::client::{ALL, Client, LOCAL_DEADLINE, call, entries};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{JobJson, QueueJson};
use crate::render::table::{Align, table};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;

pub(super) async fn run(arguments: &Arguments, client: &Client, session: &mut Session) -> Result<Exit, CliError> {
    let mut service = client.generations();
    let queue = match (arguments.pause, arguments.resume) {
        (true, _) => {
            let request = v1::PauseGenerationQueueRequest {};
            call("pause the queue", LOCAL_DEADLINE, service.pause_generation_queue(request)).await?
        }
        (_, true) => {
            let request = v1::ResumeGenerationQueueRequest {};
            call("resume the queue", LOCAL_DEADLINE, service.resume_generation_queue(request)).await?
        }
        _ => {
            let request = v1::GetGenerationQueueRequest {};
            call("look at the queue", LOCAL_DEADLINE, service.get_generation_queue(request)).await?
        }
    };
    let mut waiting = if arguments.queue { waiting(client).await? } else { Vec::new() };
    waiting.sort_by_key(|generation| generation.queue_position);
    if session.json {
        session.out.json(&QueueJson::from(&queue))?;
        waiting.iter().try_for_each(|generation| session.out.json(&JobJson::from(generation)))?;
        return Ok(Exit::Done);
    }
    session.note(&words(&queue))?;
    if waiting.is_empty() {
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = waiting.iter().map(|generation| row(generation, session)).collect();
    let titles = [
        ("TURN", Align::Right),
        ("JOB", Align::Left),
        ("PRIORITY", Align::Right),
        ("CLIENT", Align::Left),
        ("CREATED", Align::Left),
        ("WHAT", Align::Flexible),
    ];
    for line in table(&titles, &rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

async fn waiting(client: &Client) -> Result<Vec<v1::Generation>, CliError> {
    entries(ALL, async |page_token| {
        let request = v1::ListGenerationsRequest {
            page_size: super::page_size(usize::MAX),
            page_token,
            filter: "state:queued".to_owned(),
            show_deleted: false,
        };
        let page = call("list the queue", LOCAL_DEADLINE, client.generations().list_generations(request)).await?;
        Ok((page.generations, page.next_page_token))
    })
    .await
}

fn words(queue: &v1::GenerationQueue) -> String {
    let waits = match queue.queued {
        0 => "Nothing waits".to_owned(),
        1 => "1 generation waits".to_owned(),
        queued => format!("{queued} generations wait"),
    };
    let paints = if queue.running.is_empty() { "nothing is being painted" } else { "one is being painted" };
    let begins = if queue.paused { "; the queue is paused: `paintbox jobs --resume` lets it go on" } else { "" };
    format!("{waits}, and {paints}{begins}.")
}

fn row(generation: &v1::Generation, session: &Session) -> Vec<String> {
    let prompt = generation.spec.as_ref().map_or("", |spec| spec.prompt.as_str());
    vec![
        generation.queue_position.map(|position| (position + 1).to_string()).unwrap_or_default(),
        sanitize::line(&generation.name),
        generation.priority.to_string(),
        sanitize::line(&generation.client),
        units::relative(generation.create_time.as_ref(), session.now),
        sanitize::line(prompt),
    ]
}
