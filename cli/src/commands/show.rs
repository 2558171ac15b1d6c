//! `paintbox show`.

use crate::client::{Client, HUB_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::ModelPageJson;
use crate::render::table::{Align, table, wrap};
use crate::render::{html, sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A model, version or file: civitai:4384, hf:org/repo, a digest, a page's address, or a unique name
    #[arg(value_name = "REF")]
    reference: String,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let (model, version) = resolve(&client, &arguments.reference).await?;
    if session.json {
        session.out.json(&ModelPageJson::new(&model, &version))?;
    } else {
        for line in page(&model, &version, session) {
            session.out.line(&line)?;
        }
    }
    Ok(Exit::Done)
}

/// The model that a reference names, and the resource name of the version in it, empty for the model as a whole.
pub(crate) async fn resolve(client: &Client, reference: &str) -> Result<(v1::Model, String), CliError> {
    let request = v1::ResolveModelRequest { reference: reference.to_owned() };
    let resolved = call("find the model", HUB_DEADLINE, client.catalogue().resolve_model(request)).await?;
    let model = resolved.model.ok_or(CliError::Nonsense { problem: "it found a model and did not send it" })?;
    Ok((model, resolved.version))
}

fn page(model: &v1::Model, selected: &str, session: &Session) -> Vec<String> {
    let terminal = session.terminal;
    let mut lines = vec![terminal.bold(&sanitize::line(&model.display_name))];
    lines.extend(facts(model, session));
    let description = match model.hub.as_str() {
        "hf" => html::text(html::without_front_matter(&model.description)),
        _ => html::text(&model.description),
    };
    if !description.is_empty() {
        lines.push(String::new());
        lines.extend(wrap(&description, terminal.text_columns()));
    }
    let chosen = model.versions.iter().filter(|version| selected.is_empty() || version.name == selected);
    for version in chosen {
        lines.push(String::new());
        lines.extend(release(version, session));
    }
    let others = model.versions.len() - model.versions.iter().filter(|version| version.name == selected).count();
    if !selected.is_empty() && others > 0 {
        lines.push(String::new());
        let others = units::count(others as u64, "other version");
        lines.push(terminal.dim(&format!("{others}: `paintbox show {}`", sanitize::line(&model.r#ref))));
    }
    lines
}

fn facts(model: &v1::Model, session: &Session) -> Vec<String> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![name.to_owned(), value]);
        }
    };
    fact("reference", sanitize::line(&model.r#ref));
    fact("kind", kind(model));
    fact("base model", sanitize::line(&model.base_model));
    fact("architecture", sanitize::line(&model.architecture));
    fact("creator", sanitize::line(&model.creator));
    fact(
        "published",
        model.published_time.as_ref().map(|time| units::relative(Some(time), session.now)).unwrap_or_default(),
    );
    fact("downloads", model.downloads.map(units::grouped).unwrap_or_default());
    fact("rating", rating(model.nsfw_level).to_owned());
    fact("licence", sanitize::line(&model.licence));
    fact("tags", sanitize::line(&model.tags.join(", ")));
    if model.state != "published" {
        fact("state", sanitize::line(&model.state).replace('_', " "));
    }
    if let Some(gone) = &model.gone_time {
        fact("gone", format!("the hub stopped listing it {}", units::relative(Some(gone), session.now)));
    }
    table(&[("", Align::Left), ("", Align::Left)], &rows, None)
}

fn kind(model: &v1::Model) -> String {
    let (kind, label) = (sanitize::line(&model.kind), sanitize::line(&model.kind_label));
    if label.is_empty() || label.eq_ignore_ascii_case(&kind) { kind } else { format!("{kind} ({label})") }
}

/// The strongest of CivitAI's ratings in a bit mask.
fn rating(nsfw_level: u32) -> &'static str {
    match nsfw_level {
        0 => "",
        level if level & 32 != 0 => "blocked",
        level if level & 16 != 0 => "XXX",
        level if level & 8 != 0 => "X",
        level if level & 4 != 0 => "R",
        level if level & 2 != 0 => "PG-13",
        _ => "PG",
    }
}

fn release(version: &v1::ModelVersion, session: &Session) -> Vec<String> {
    let terminal = session.terminal;
    let mut heading = terminal.bold(&sanitize::line(&version.display_name));
    heading.push_str(&format!("  {}", sanitize::line(&version.r#ref)));
    if !version.base_model.is_empty() {
        heading.push_str(&format!("  {}", sanitize::line(&version.base_model)));
    }
    if version.published_time.is_some() {
        heading.push_str(&format!("  {}", units::relative(version.published_time.as_ref(), session.now)));
    }
    let mut lines = vec![heading];
    if let Some(until) = &version.early_access_until {
        let end = if until.seconds == 0 {
            "without a known end".to_owned()
        } else {
            format!("free {}", units::relative(Some(until), session.now))
        };
        lines.push(format!("  early access, {end}"));
    }
    if !version.trained_words.is_empty() {
        let words = format!("trigger words: {}", sanitize::line(&version.trained_words.join(", ")));
        lines.extend(
            wrap(&words, terminal.text_columns().saturating_sub(2)).into_iter().map(|line| format!("  {line}")),
        );
    }
    let rows: Vec<Vec<String>> = version
        .files
        .iter()
        .map(|file| {
            let digest: String = sanitize::line(&file.sha256).chars().take(10).collect();
            vec![
                sanitize::line(&file.file_name),
                units::bytes(file.size_bytes),
                sanitize::line(&file.format),
                sanitize::line(&file.state),
                digest,
            ]
        })
        .collect();
    let titles = [("", Align::Flexible), ("", Align::Right), ("", Align::Left), ("", Align::Left), ("", Align::Left)];
    let columns = terminal.columns.map(|columns| columns.saturating_sub(2));
    for (line, file) in table(&titles, &rows, columns).into_iter().zip(&version.files) {
        lines.push(format!("  {line}"));
        lines.extend(file.paths.iter().map(|path| terminal.dim(&format!("    {}", sanitize::line(path)))));
        if let Some(failure) = &file.failure {
            lines.push(format!("    {}", sanitize::line(&failure.message)));
        }
    }
    if !version.previews.is_empty() {
        let here = version.previews.iter().filter(|preview| !preview.asset.is_empty()).count();
        let with_recipe = version.previews.iter().filter(|preview| !preview.generation_json.is_empty()).count();
        let images = units::count(version.previews.len() as u64, "example image");
        lines.push(format!("  {images}, {here} of them here, {with_recipe} with a recipe (--json prints it)"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_rating_counts() {
        assert_eq!([0, 1, 3, 7, 15, 31, 60].map(rating), ["", "PG", "PG-13", "R", "X", "XXX", "blocked"]);
    }
}
