//! When and how what a hub says of a model changed.

use crate::client::{ALL, Client, LARGEST_PAGE, LOCAL_DEADLINE, call, entries};
use crate::error::CliError;
use crate::render::table::facts;
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;
use unicode_width::UnicodeWidthStr as _;

/// Every change, oldest first.
pub(super) async fn ask(client: &Client, name: &str) -> Result<Vec<v1::ModelChange>, CliError> {
    entries(ALL, async |page_token| {
        let request = v1::ListModelHistoryRequest { name: name.to_owned(), page_size: LARGEST_PAGE, page_token };
        let page = call("say what changed", LOCAL_DEADLINE, client.catalogue().list_model_history(request)).await?;
        Ok((page.changes, page.next_page_token))
    })
    .await
}

/// One line a change, oldest first: the day, how long ago that is, and what changed.
pub(super) fn lines(model: &v1::Model, changes: &[v1::ModelChange], session: &Session) -> Vec<String> {
    let (name, reference) = (sanitize::line(&model.display_name), sanitize::line(&model.r#ref));
    let mut lines = vec![format!("{}  {reference}", session.terminal.bold(&name))];
    if changes.is_empty() {
        lines.push("Nothing is recorded yet of when it changed.".to_owned());
        return lines;
    }
    let ages: Vec<String> = changes.iter().map(|change| units::relative(change.time.as_ref(), session.now)).collect();
    let widest = ages.iter().map(|age| age.width()).max().unwrap_or(0);
    let times: Vec<String> = changes
        .iter()
        .zip(&ages)
        .map(|(change, age)| {
            let time = change.time.as_ref().and_then(units::timestamp);
            let time = time.map_or_else(|| "-".repeat(10), |time| time.strftime("%Y-%m-%d").to_string());
            format!("{time}  {age:widest$}")
        })
        .collect();
    let rows: Vec<(&str, String)> = times.iter().map(String::as_str).zip(changes.iter().map(words)).collect();
    lines.extend(facts(&rows, session.terminal.columns));
    lines
}

fn words(change: &v1::ModelChange) -> String {
    match change.event.as_str() {
        "seen" => "seen for the first time".to_owned(),
        "changed" if change.fields.is_empty() => "changed".to_owned(),
        "changed" => format!("changed: {}", sanitize::line(&change.fields.join(", ")).replace('_', " ")),
        "gone" => "gone from the hub".to_owned(),
        "returned" => "back on the hub".to_owned(),
        other => sanitize::line(other),
    }
}
