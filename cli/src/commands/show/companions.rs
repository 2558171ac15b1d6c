//! What of everything that is here goes with a model.

use crate::client::{Client, DISK_DEADLINE, call};
use crate::error::CliError;
use crate::render::table::{Align, table, wrap};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;

/// Of each kind; all of them are found by a search.
const TOLD: i32 = 5;

pub(super) async fn ask(client: &Client, name: &str) -> Result<Vec<v1::Companions>, CliError> {
    let request = v1::ListCompanionsRequest { name: name.to_owned(), page_size: TOLD, ..Default::default() };
    let mut shelf = client.shelf();
    Ok(call("say what goes with it", DISK_DEADLINE, shelf.list_companions(request)).await?.kinds)
}

/// A heading and a line for each; none when nothing goes with it.
pub(super) fn lines(model: &v1::Model, kinds: &[v1::Companions], session: &Session) -> Vec<String> {
    if kinds.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), session.terminal.bold("Goes with it")];
    let rows: Vec<Vec<String>> =
        kinds.iter().flat_map(|of| of.files.iter().map(|companion| row(&of.kind, companion, session))).collect();
    let titles =
        [("", Align::Left), ("", Align::Left), ("", Align::Flexible), ("", Align::Flexible), ("", Align::Left)];
    let columns = session.terminal.columns.map(|columns| columns.saturating_sub(2));
    lines.extend(table(&titles, &rows, columns).iter().map(|line| format!("  {line}")));
    for of in kinds {
        let more = of.total.saturating_sub(of.files.len() as u64);
        if more > 0 {
            let (more, kind) = (units::grouped(more), sanitize::line(&of.kind));
            let architecture = match model.architecture.as_str() {
                "" => String::new(),
                architecture => format!(" --architecture {}", sanitize::line(architecture)),
            };
            let hint = format!("{more} more: `paintbox search --downloaded --kind {kind}{architecture}`");
            let width = session.terminal.text_columns().saturating_sub(2);
            lines.extend(wrap(&hint, width).iter().map(|line| session.terminal.dim(&format!("  {line}"))));
        }
    }
    lines
}

fn row(kind: &str, companion: &v1::Companion, session: &Session) -> Vec<String> {
    let base_model = sanitize::line(&companion.base_model);
    vec![
        sanitize::line(kind),
        sanitize::line(&companion.version),
        sanitize::line(&companion.display_name),
        if companion.by_label { format!("{base_model} (by label)") } else { base_model },
        units::relative(companion.use_time.as_ref(), session.now),
    ]
}
