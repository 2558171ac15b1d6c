//! `paintbox plan`.

mod reasons;

use crate::client::Client;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::OperationJson;
use crate::render::progress::spin;
use crate::render::table::{Align, fit, remarked, wrap};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;
use unicode_width::UnicodeWidthStr as _;

/// More skipped files of one model and reason than this are told together.
const MOST_ALIKE: usize = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Plan for this follow alone; without it, for everything that is wanted
    follow: Option<String>,
    /// Only operations of this sort: fetch, skip, keep or preview
    #[arg(long, value_enum, value_name = "SORT", hide_possible_values = true)]
    only: Option<Sort>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    Fetch,
    Skip,
    Keep,
    Preview,
}

impl Sort {
    /// As `PlanOperation.op` writes it.
    fn op(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Skip => "skip",
            Self::Keep => "keep",
            Self::Preview => "preview",
        }
    }
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let follow = arguments.follow.clone().unwrap_or_default();
    if !session.json {
        let operations = spin(session.watched(), "asking the hubs what is new", collect(&client, follow)).await?;
        return print(&operations, arguments.only, session);
    }
    let mut stream = start(&client, follow).await?;
    while let Some(operation) = stream.message().await.map_err(|status| CliError::of_status(DOING, status))? {
        if arguments.only.is_none_or(|only| only.op() == operation.op) {
            session.out.json(&OperationJson::from(&operation))?;
        }
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

impl Group<'_> {
    /// Nothing is to be said but that all of it was there before the follow.
    fn is_earlier_work(&self) -> bool {
        self.operations.iter().all(|operation| operation.op == "skip" && operation.reason == reasons::BEFORE_FOLLOW)
    }
}

fn print(operations: &[v1::PlanOperation], only: Option<Sort>, session: &mut Session) -> Result<Exit, CliError> {
    let wanted = operations.iter().filter(|operation| only.is_none_or(|only| only.op() == operation.op));
    let mut untold = 0;
    for group in grouped(wanted) {
        if only.is_none() && group.is_earlier_work() {
            untold += 1;
            continue;
        }
        for line in heading(&group, session) {
            session.out.line(&line)?;
        }
        let titles =
            [("", Align::Left), ("", Align::Flexible), ("", Align::Left), ("", Align::Right), ("", Align::Flexible)];
        let columns = session.terminal.columns.map(|columns| columns.saturating_sub(2));
        for line in remarked(&titles, &rows(&group), columns) {
            session.out.line(&format!("  {line}"))?;
        }
        if session.out.is_closed() {
            return Ok(Exit::Done);
        }
    }
    let width = session.terminal.columns.unwrap_or(usize::MAX);
    for line in wrap(&totals(operations), width) {
        session.out.line(&line)?;
    }
    for (count, words) in reasons::summary(operations) {
        for (at, line) in wrap(&format!("{} skipped: {words}", units::grouped(count)), width - 4).iter().enumerate() {
            session.out.line(&format!("{}{line}", if at == 0 { "  " } else { "    " }))?;
        }
    }
    if untold > 0 {
        let models = units::count(untold, "model");
        session.note(&format!(
            "{models} with nothing but earlier work not listed; `--only skip` lists everything skipped."
        ))?;
    }
    Ok(Exit::Done)
}

/// The model's name, its reference and the follow that wants it: on one line if that fits.
fn heading(group: &Group<'_>, session: &Session) -> Vec<String> {
    let name = group.operations.first().map(|first| sanitize::line(&first.model_name)).unwrap_or_default();
    let mut rest = sanitize::line(group.model);
    let follow = group.operations.iter().find(|operation| !operation.follow.is_empty());
    if let Some(follow) = follow {
        rest.push_str(&format!("  (follow {})", sanitize::line(&follow.follow)));
    }
    match session.terminal.columns {
        Some(columns) if name.width() + 2 + rest.width() > columns => {
            vec![session.terminal.bold(&fit(&name, columns)), format!("  {}", fit(&rest, columns.saturating_sub(2)))]
        }
        _ => vec![format!("{}  {rest}", session.terminal.bold(&name))],
    }
}

fn grouped<'a>(operations: impl Iterator<Item = &'a v1::PlanOperation>) -> Vec<Group<'a>> {
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

/// One row an operation. Example images, and files that are skipped alike, are many: from a few on they share one.
fn rows(group: &Group<'_>) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut told: Vec<(&str, &str)> = Vec::new();
    for operation in &group.operations {
        let key = (operation.op.as_str(), operation.reason.as_str());
        if told.contains(&key) {
            continue;
        }
        let alike: Vec<&v1::PlanOperation> = group
            .operations
            .iter()
            .copied()
            .filter(|other| (other.op.as_str(), other.reason.as_str()) == key)
            .collect();
        let most = match key.0 {
            "preview" => 0,
            "skip" => MOST_ALIKE,
            _ => usize::MAX,
        };
        if alike.len() <= most {
            rows.push(row(operation));
        } else {
            told.push(key);
            rows.push(shared_row(&alike));
        }
    }
    rows
}

fn row(operation: &v1::PlanOperation) -> Vec<String> {
    let version = operation.version.split_once('@').map_or("", |(_, version)| version);
    let file = match (operation.file.as_str(), version) {
        ("", "") => "the whole model".to_owned(),
        ("", _) => "the whole version".to_owned(),
        (file, _) => sanitize::line(file),
    };
    // A commit is forty digits; the first ones tell versions of one repository apart.
    let version = sanitize::line(version).chars().take(12).collect::<String>();
    vec![sanitize::line(&operation.op), file, version, size(operation.size_bytes), sanitize::line(&operation.detail)]
}

/// The row of operations that share their reason.
fn shared_row(alike: &[&v1::PlanOperation]) -> Vec<String> {
    let (Some(first), count) = (alike.first(), alike.len() as u64) else { return Vec::new() };
    let bytes = alike.iter().fold(0_u64, |sum, operation| sum.saturating_add(operation.size_bytes));
    let is_of_versions = alike.iter().all(|operation| operation.file.is_empty());
    let (noun, detail) = match first.op.as_str() {
        "preview" => ("example image", sanitize::line(&first.detail)),
        _ if is_of_versions => ("version", reasons::words(&first.reason, None)),
        _ => ("file", reasons::words(&first.reason, None)),
    };
    vec![sanitize::line(&first.op), units::count(count, noun), String::new(), size(bytes), detail]
}

/// Bytes, or nothing where nobody knows.
fn size(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { units::bytes(bytes) }
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
        let groups = grouped(plan.iter());
        assert_eq!(
            groups.iter().map(|group| (group.model, group.operations.len())).collect::<Vec<_>>(),
            [("civitai:1", 2), ("civitai:9", 1)]
        );
    }
}
