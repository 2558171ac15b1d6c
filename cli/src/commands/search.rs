//! `paintbox search`.

use crate::client::{LOCAL_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::ModelJson;
use crate::render::table::{Align, table};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;
use unicode_width::UnicodeWidthStr as _;

/// Models of one page; each is a few hundred bytes.
const PAGE_SIZE: usize = 200;
/// More than this scrolls past whoever reads.
const TERMINAL_LIMIT: usize = 50;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Words to look for; the last may be the beginning of one. Without any, everything is listed
    query: Vec<String>,
    /// checkpoint, lora, textual_inversion, vae, controlnet, upscaler, text_encoder, network or other
    #[arg(long)]
    kind: Option<String>,
    /// civitai or hf
    #[arg(long)]
    hub: Option<String>,
    /// A base model as the hub labels it, such as "SDXL 1.0"
    #[arg(long, value_name = "LABEL")]
    base: Option<String>,
    /// Only this creator's models
    #[arg(long)]
    creator: Option<String>,
    /// What the file was detected to be, such as sd1
    #[arg(long)]
    architecture: Option<String>,
    /// Only models with a file on this machine
    #[arg(long)]
    downloaded: bool,
    /// At most this many, 0 for all [default: 50 in a terminal, otherwise all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let limit = match arguments.limit {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if session.terminal.output && !session.json => TERMINAL_LIMIT,
        None => usize::MAX,
    };
    let mut request = v1::SearchModelsRequest {
        query: arguments.query.join(" "),
        kind: arguments.kind.clone().unwrap_or_default(),
        hub: arguments.hub.clone().unwrap_or_default(),
        base_model: arguments.base.clone().unwrap_or_default(),
        creator: arguments.creator.clone().unwrap_or_default(),
        architecture: arguments.architecture.clone().unwrap_or_default(),
        downloaded: arguments.downloaded.then_some(true),
        // The same on every page: a token belongs to the request it came from.
        page_size: i32::try_from(limit.min(PAGE_SIZE)).unwrap_or(0),
        page_token: String::new(),
    };
    let mut models: Vec<v1::Model> = Vec::new();
    let mut shown = 0;
    let more = loop {
        let mut catalogue = client.catalogue();
        let page = call("search the catalogue", LOCAL_DEADLINE, catalogue.search_models(request.clone())).await?;
        let left = limit - shown;
        let more = page.models.len() > left || !page.next_page_token.is_empty();
        for model in page.models.into_iter().take(left) {
            shown += 1;
            if session.json {
                session.out.json(&ModelJson::from(&model))?;
            } else {
                models.push(model);
            }
        }
        if shown == limit || page.next_page_token.is_empty() || session.out.is_closed() {
            break more;
        }
        if page.next_page_token == request.page_token {
            return Err(CliError::Nonsense { problem: "a page of models leads to itself" });
        }
        request.page_token = page.next_page_token;
    };
    if session.json {
        return Ok(Exit::Done);
    }
    print(&models, session)?;
    if models.is_empty() {
        session.note("No model fits.")?;
    } else if more {
        session.note(&format!("The first {shown}; --limit 0 shows all."))?;
    }
    Ok(Exit::Done)
}

fn print(models: &[v1::Model], session: &mut Session) -> Result<(), CliError> {
    if models.is_empty() {
        return Ok(());
    }
    let titles = [
        ("REF", Align::Left),
        ("NAME", Align::Flexible),
        ("KIND", Align::Left),
        ("BASE MODEL", Align::Flexible),
        ("CREATOR", Align::Flexible),
        ("DOWNLOADS", Align::Right),
        ("PUBLISHED", Align::Left),
        ("HERE", Align::Left),
    ];
    let rows: Vec<Vec<String>> = models
        .iter()
        .map(|model| {
            vec![
                sanitize::line(&model.r#ref),
                sanitize::line(&model.display_name),
                sanitize::line(&model.kind),
                or_dash(&model.base_model),
                or_dash(&model.creator),
                model.downloads.map_or_else(|| "-".to_owned(), units::grouped),
                units::relative(model.published_time.as_ref(), session.now),
                if model.downloaded { "yes" } else { "-" }.to_owned(),
            ]
        })
        .collect();
    for line in narrowed(titles.to_vec(), rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    Ok(())
}

/// The table without the columns that a narrow terminal has no room for, the least telling first.
fn narrowed(mut titles: Vec<(&str, Align)>, mut rows: Vec<Vec<String>>, columns: Option<usize>) -> Vec<String> {
    for least in ["DOWNLOADS", "PUBLISHED", "CREATOR", "BASE MODEL", "KIND"] {
        let lines = table(&titles, &rows, columns);
        if columns.is_none_or(|columns| lines.iter().all(|line| line.width() <= columns)) {
            return lines;
        }
        if let Some(at) = titles.iter().position(|(title, _)| *title == least) {
            titles.remove(at);
            for row in &mut rows {
                row.remove(at);
            }
        }
    }
    table(&titles, &rows, columns)
}

fn or_dash(text: &str) -> String {
    let text = sanitize::line(text);
    if text.is_empty() { "-".to_owned() } else { text }
}
