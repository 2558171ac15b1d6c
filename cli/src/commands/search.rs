//! `paintbox search`.

use crate::client::{LOCAL_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{CorrectedJson, FacetJson, ModelJson};
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
    /// What must be true of a model, such as 'kind:lora base:"SDXL 1.0" nsfw<=soft created>2026-01 -tag:anime'
    ///
    /// Conditions side by side must all hold; OR, NOT (or -) and parentheses may be used, and OR binds more tightly than
    /// AND. Fields: kind, base, creator, hub, architecture, downloaded, nsfw, license.commercial, license.sell,
    /// license.derivatives, license.credit, tag, word, name, created, updated, downloads, likes, size, format,
    /// precision, state, gone, early_access, followed. Each takes : or =, and what has an order also <, <=, > and >=.
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// checkpoint, lora, textual_inversion, vae, controlnet, upscaler, text_encoder, network or other
    #[arg(long)]
    kind: Option<String>,
    /// civitai, hf, or local for what no hub is known to list
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
    /// Only models with this tag; may be given more than once
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Nothing rated more strongly than this: pg, pg13 (or soft), r (or mature), x or xxx
    #[arg(long, value_name = "RATING")]
    nsfw: Option<String>,
    /// Published then or later: a year, month, day or time, such as 2026-01
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Published before then
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// What comes first; `name` and `size:asc` begin at the other end
    #[arg(long, value_name = "best|newest|updated|downloads|likes|name|size", value_parser = order_by)]
    sort: Option<String>,
    /// Also count what is found by kind, base, creator, hub, architecture, nsfw, downloaded, year, state, format or precision
    #[arg(long, value_name = "FACETS", value_delimiter = ',')]
    facets: Vec<String>,
    /// With --json: where a word occurs nowhere, look for nearly the same one and say so in an object behind the models
    #[arg(long)]
    corrections: bool,
    /// At most this many, 0 for all [default: 50 in a terminal, otherwise all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// A way to sort in the daemon's words: the largest, newest and most come first unless asked otherwise, names in order.
fn order_by(text: &str) -> Result<String, String> {
    let (by, direction) = text.split_once(':').unwrap_or((text, ""));
    let by = match by.to_ascii_lowercase().as_str() {
        "newest" | "created" | "published" => "created",
        "best" if direction.is_empty() => return Ok("best".to_owned()),
        "updated" => "updated",
        "downloads" => "downloads",
        "likes" => "likes",
        "name" => "name",
        "size" => "size",
        _ => return Err("there are best, newest, updated, downloads, likes, name and size".to_owned()),
    };
    match direction.to_ascii_lowercase().as_str() {
        "" if by == "name" => Ok(by.to_owned()),
        "" | "desc" => Ok(format!("{by} desc")),
        "asc" => Ok(by.to_owned()),
        _ => Err("behind the colon stands asc or desc".to_owned()),
    }
}

impl Arguments {
    /// The filter that was given, and what other arguments say in its language.
    fn filter(&self) -> String {
        let mut parts: Vec<String> = self.filter.iter().map(|filter| format!("({filter})")).collect();
        parts.extend(self.tag.iter().map(|tag| format!("tag:{}", quoted(tag))));
        parts.extend(self.nsfw.iter().map(|rating| format!("nsfw<={}", quoted(rating))));
        parts.extend(self.created_after.iter().map(|time| format!("created>={}", quoted(time))));
        parts.extend(self.created_before.iter().map(|time| format!("created<{}", quoted(time))));
        match (self.filter.as_deref(), parts.as_slice()) {
            // As it was written, so that the place of a mistake is counted in what was written.
            (Some(alone), [_]) => alone.to_owned(),
            _ => parts.join(" AND "),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
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
        filter: arguments.filter(),
        order_by: arguments.sort.clone().unwrap_or_default(),
        facets: arguments.facets.clone(),
        facet_values: 0,
        // Whoever reads JSON takes what comes for what was asked for.
        as_written: session.json && !arguments.corrections,
        // The same on every page: a token belongs to the request it came from.
        page_size: i32::try_from(limit.min(PAGE_SIZE)).unwrap_or(0),
        page_token: String::new(),
    };
    let mut found = Found::default();
    let mut models: Vec<v1::Model> = Vec::new();
    let mut shown = 0;
    let more = loop {
        let mut catalogue = client.catalogue();
        let page = call("search the catalogue", LOCAL_DEADLINE, catalogue.search_models(request.clone())).await?;
        // Counts are of all pages, so the first says them all.
        if request.page_token.is_empty() {
            found = Found {
                total: page.total_size,
                partial: page.partial,
                facets: page.facets,
                corrected: page.corrected_query,
            };
            request.facets.clear();
        }
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
        found.facets.iter().try_for_each(|facet| session.out.json(&FacetJson::from(facet)))?;
        if !found.corrected.is_empty() {
            session.out.json(&CorrectedJson { corrected_query: &found.corrected })?;
        }
        return Ok(Exit::Done);
    }
    if !found.corrected.is_empty() {
        let (asked, shown) = (sanitize::line(&request.query), sanitize::line(&found.corrected));
        session.note(&format!("Nothing matches `{asked}`; showing `{shown}`."))?;
    }
    print(&models, session)?;
    print_facets(&found.facets, session)?;
    if models.is_empty() {
        session.note("No model fits.")?;
    } else if more {
        let of =
            u64::try_from(found.total).map_or_else(|_| String::new(), |total| format!(" of {}", units::grouped(total)));
        session.note(&format!("The first {shown}{of}; --limit 0 shows all."))?;
    }
    if found.partial {
        session.note("The catalogue is still being made ready for searches; some models may be missing.")?;
    }
    Ok(Exit::Done)
}

/// What the first page says of all of them.
#[derive(Default)]
struct Found {
    total: i64,
    partial: bool,
    facets: Vec<v1::FacetCounts>,
    /// What was looked for instead; empty where it was what was asked for.
    corrected: String,
}

fn print_facets(facets: &[v1::FacetCounts], session: &mut Session) -> Result<(), CliError> {
    for facet in facets.iter().filter(|facet| !facet.values.is_empty()) {
        session.out.line("")?;
        let title = facet.facet.to_uppercase();
        let titles = [(title.as_str(), Align::Flexible), ("MODELS", Align::Right)];
        let count = |value: &v1::FacetValue| units::grouped(u64::try_from(value.models).unwrap_or(0));
        let rows: Vec<Vec<String>> =
            facet.values.iter().map(|value| vec![or_dash(&value.value), count(value)]).collect();
        for line in table(&titles, &rows, session.terminal.columns) {
            session.out.line(&line)?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::order_by;

    #[test]
    fn the_most_comes_first_unless_asked_otherwise() {
        for (given, wanted) in [
            ("best", Some("best")),
            ("newest", Some("created desc")),
            ("Downloads", Some("downloads desc")),
            ("downloads:asc", Some("downloads")),
            ("name", Some("name")),
            ("name:desc", Some("name desc")),
            ("best:asc", None),
            ("colour", None),
            ("name:up", None),
        ] {
            assert_eq!(order_by(given).ok().as_deref(), wanted, "{given}");
        }
    }
}
