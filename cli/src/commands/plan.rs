//! `paintbox plan`.

use crate::client::Client;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::OperationJson;
use crate::render::progress::spin;
use crate::render::table::{Align, table};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Plan for this follow alone; without it, for everything that is wanted
    follow: Option<String>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let follow = arguments.follow.clone().unwrap_or_default();
    if !session.json {
        let operations = spin(session.watched(), "asking the hubs what is new", collect(&client, follow)).await?;
        return print(&operations, session);
    }
    let mut stream = start(&client, follow).await?;
    while let Some(operation) = stream.message().await.map_err(|status| CliError::of_status(DOING, status))? {
        session.out.json(&OperationJson::from(&operation))?;
        if session.out.is_closed() {
            break;
        }
    }
    Ok(Exit::Done)
}

const DOING: &str = "make a plan";

async fn start(client: &Client, follow: String) -> Result<tonic::Streaming<v1::PlanOperation>, CliError> {
    let response = client.sync().plan_sync(v1::PlanSyncRequest { follow }).await;
    Ok(response.map_err(|status| CliError::of_status(DOING, status))?.into_inner())
}

async fn collect(client: &Client, follow: String) -> Result<Vec<v1::PlanOperation>, CliError> {
    let mut stream = start(client, follow).await?;
    let mut operations = Vec::new();
    while let Some(operation) = stream.message().await.map_err(|status| CliError::of_status(DOING, status))? {
        operations.push(operation);
    }
    Ok(operations)
}

/// One model's operations, in the order of the plan.
struct Group<'a> {
    model: &'a str,
    operations: Vec<&'a v1::PlanOperation>,
}

fn print(operations: &[v1::PlanOperation], session: &mut Session) -> Result<Exit, CliError> {
    for group in grouped(operations) {
        let name = group.operations.first().map(|first| sanitize::line(&first.model_name)).unwrap_or_default();
        let mut heading = format!("{}  {}", session.terminal.bold(&name), sanitize::line(group.model));
        let follow = group.operations.iter().find(|operation| !operation.follow.is_empty());
        if let Some(follow) = follow {
            heading.push_str(&format!("  (follow {})", sanitize::line(&follow.follow)));
        }
        session.out.line(&heading)?;
        let titles =
            [("", Align::Left), ("", Align::Flexible), ("", Align::Left), ("", Align::Right), ("", Align::Flexible)];
        let columns = session.terminal.columns.map(|columns| columns.saturating_sub(2));
        for line in table(&titles, &rows(&group), columns) {
            session.out.line(&format!("  {line}"))?;
        }
        if session.out.is_closed() {
            return Ok(Exit::Done);
        }
    }
    session.out.line(&totals(operations))?;
    Ok(Exit::Done)
}

fn grouped(operations: &[v1::PlanOperation]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for operation in operations {
        let model = operation.version.split('@').next().unwrap_or_default();
        let at = *places.entry(model).or_insert_with(|| {
            groups.push(Group { model, operations: Vec::new() });
            groups.len() - 1
        });
        groups[at].operations.push(operation);
    }
    groups
}

/// One row an operation; example images, of which there are many alike, share one for each reason.
fn rows(group: &Group<'_>) -> Vec<Vec<String>> {
    let version = |operation: &v1::PlanOperation| {
        let version = operation.version.split_once('@').map_or("", |(_, version)| version);
        // A commit is forty digits; the first ones tell versions of one repository apart.
        sanitize::line(version).chars().take(12).collect::<String>()
    };
    let is_preview = |operation: &&&v1::PlanOperation| operation.op == "preview";
    let mut rows: Vec<Vec<String>> = group
        .operations
        .iter()
        .filter(|operation| !is_preview(operation))
        .map(|operation| {
            let size = if operation.size_bytes == 0 { String::new() } else { units::bytes(operation.size_bytes) };
            let detail = sanitize::line(&operation.detail);
            vec![sanitize::line(&operation.op), sanitize::line(&operation.file), version(operation), size, detail]
        })
        .collect();
    let mut previews: Vec<(&str, String, u64)> = Vec::new();
    for operation in group.operations.iter().filter(is_preview) {
        match previews.iter_mut().find(|(reason, ..)| *reason == operation.reason) {
            Some((_, _, count)) => *count += 1,
            None => previews.push((&operation.reason, sanitize::line(&operation.detail), 1)),
        }
    }
    rows.extend(previews.into_iter().map(|(_, detail, count)| {
        vec!["preview".to_owned(), units::count(count, "example image"), String::new(), String::new(), detail]
    }));
    rows
}

fn totals(operations: &[v1::PlanOperation]) -> String {
    let of = |op: &'static str| operations.iter().filter(move |operation| operation.op == op);
    let fetch = of("fetch").count() as u64;
    let bytes: u64 = of("fetch").fold(0, |sum, operation| sum.saturating_add(operation.size_bytes));
    let unknown = of("fetch").filter(|operation| operation.size_bytes == 0).count() as u64;
    let mut text = match (fetch, unknown) {
        (0, _) => "Nothing to fetch".to_owned(),
        (_, 0) => format!("{} to fetch, {}", units::count(fetch, "file"), units::bytes(bytes)),
        _ => format!("{} to fetch, {} and {unknown} of unknown size", units::count(fetch, "file"), units::bytes(bytes)),
    };
    for (op, noun) in [("keep", "kept"), ("skip", "skipped")] {
        text.push_str(&format!("; {} {noun}", units::grouped(of(op).count() as u64)));
    }
    let previews = of("preview").count() as u64;
    if previews > 0 {
        text.push_str(&format!("; {}", units::count(previews, "example image")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(op: &str, version: &str, size_bytes: u64) -> v1::PlanOperation {
        v1::PlanOperation { op: op.into(), version: version.into(), size_bytes, ..Default::default() }
    }

    #[test]
    fn totals_say_what_is_fetched_kept_and_skipped() {
        let mut plan = vec![operation("fetch", "civitai:1@2", 16_000_000), operation("keep", "civitai:1@1", 5)];
        assert_eq!(totals(&plan), "1 file to fetch, 16.0 MB; 1 kept; 0 skipped");
        plan.push(operation("fetch", "civitai:1@3", 0));
        plan.push(operation("preview", "civitai:1@3", 0));
        assert_eq!(
            totals(&plan),
            "2 files to fetch, 16.0 MB and 1 of unknown size; 1 kept; 0 skipped; 1 example image"
        );
        assert_eq!(totals(&[]), "Nothing to fetch; 0 kept; 0 skipped");
    }

    #[test]
    fn operations_of_one_model_stand_together() {
        let plan = [
            operation("fetch", "civitai:1@2", 1),
            operation("fetch", "civitai:9@9", 1),
            operation("skip", "civitai:1@1", 1),
        ];
        let groups = grouped(&plan);
        assert_eq!(
            groups.iter().map(|group| (group.model, group.operations.len())).collect::<Vec<_>>(),
            [("civitai:1", 2), ("civitai:9", 1)]
        );
    }
}
