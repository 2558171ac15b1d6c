//! A model as a page of text.

use crate::render::table::{Align, facts, fit, table, wrap};
use crate::render::{html, licence, markdown, sanitize, units, words};
use crate::session::Session;
use paintbox_proto::v1;
use unicode_width::UnicodeWidthStr as _;

/// Prompts of one version that are shown, and how much of each, in columns.
const MOST_PROMPTS: usize = 2;
const LONGEST_PROMPT: usize = 300;

/// The page: facts, description, and the chosen version, or every one when none was chosen. `at` is the time as of
/// which the model is told, if that is not now.
pub(super) fn lines(
    model: &v1::Model,
    selected: &str,
    at: Option<&prost_types::Timestamp>,
    session: &Session,
) -> Vec<String> {
    let terminal = session.terminal;
    let mut lines = wrapped_bold(&model.display_name, session);
    lines.extend(facts(&about(model, at, session), terminal.columns));
    let description = description(model, session);
    if !description.is_empty() {
        lines.push(String::new());
        lines.extend(description);
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

fn wrapped_bold(text: &str, session: &Session) -> Vec<String> {
    let width = session.terminal.columns.unwrap_or(usize::MAX);
    wrap(&sanitize::line(text), width).iter().map(|line| session.terminal.bold(line)).collect()
}

/// How to see what changed. Of what no hub lists nothing is kept.
pub(super) fn history_hint(model: &v1::Model, session: &Session) -> Vec<String> {
    if model.hub == "local" {
        return Vec::new();
    }
    let reference = sanitize::line(&model.r#ref);
    let hint = format!("`paintbox show {reference} --history` says when and how its page changed");
    wrap(&hint, session.terminal.text_columns()).iter().map(|line| session.terminal.dim(line)).collect()
}

/// Hugging Face writes Markdown, CivitAI HTML.
fn description(model: &v1::Model, session: &Session) -> Vec<String> {
    let terminal = session.terminal;
    match model.hub.as_str() {
        "hf" => markdown::lines(&model.description, terminal),
        _ => wrap(&html::text(&model.description), terminal.text_columns()),
    }
}

fn about(model: &v1::Model, at: Option<&prost_types::Timestamp>, session: &Session) -> Vec<(&'static str, String)> {
    let relative = |time| units::relative(Some(time), session.now);
    let mut rows = vec![
        ("reference", sanitize::line(&model.r#ref)),
        ("kind", kind(model)),
        ("base model", sanitize::line(&model.base_model)),
        ("architecture", sanitize::line(&model.architecture)),
        ("creator", sanitize::line(&model.creator)),
        ("published", model.published_time.as_ref().map(relative).unwrap_or_default()),
        ("downloads", model.downloads.map(units::grouped).unwrap_or_default()),
        ("rating", rating(model.nsfw_level).to_owned()),
        ("licence", licence::words(&model.licence)),
        ("tags", sanitize::line(&model.tags.join(", "))),
    ];
    if model.hub == "local" {
        rows.push(("hub", identity(model.identity.as_ref(), session)));
    }
    if model.state() != v1::model::State::Published {
        rows.push(("state", words::state(model.state().as_str_name()).replace('_', " ")));
    }
    if let Some(gone) = &model.gone_time {
        rows.push(("gone", format!("the hub stopped listing it {}", relative(gone))));
    }
    if let Some(at) = at {
        let exactly = units::rfc3339(Some(at)).unwrap_or_default();
        rows.push(("as known", format!("{} ({exactly}); the files are shown as they are now", relative(at))));
    }
    rows
}

/// What is known of a file that no hub is known to list.
fn identity(identity: Option<&v1::LocalIdentity>, session: &Session) -> String {
    let mut words = "none is known to list it".to_owned();
    let Some(identity) = identity else { return words };
    match &identity.asked_time {
        Some(asked) => words.push_str(&format!(", asked {}", units::relative(Some(asked), session.now))),
        None => words.push_str(", and none was asked yet"),
    }
    if !identity.claimed_ref.is_empty() {
        let (reference, said_by) = (sanitize::line(&identity.claimed_ref), sanitize::line(&identity.claimed_by));
        words.push_str(&format!("; {said_by} says that it is {reference}, which nothing confirms"));
    }
    words
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
    let mut lines = heading(version, session);
    if let Some(gone) = &version.gone_time {
        lines.push(format!("  {}", no_longer_listed(gone, session)));
    }
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
        lines.extend(indented(&words, 2, session));
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
                words::state(file.state().as_str_name()),
                digest,
            ]
        })
        .collect();
    let titles = [("", Align::Flexible), ("", Align::Right), ("", Align::Left), ("", Align::Left), ("", Align::Left)];
    let columns = terminal.columns.map(|columns| columns.saturating_sub(2));
    for (line, file) in table(&titles, &rows, columns).into_iter().zip(&version.files) {
        lines.push(format!("  {line}"));
        lines.extend(file.paths.iter().map(|path| terminal.dim(&format!("    {}", sanitize::line(path)))));
        let mut remarks = Vec::new();
        if let Some(replaced) = &file.replaced_time {
            let when = units::relative(Some(replaced), session.now);
            remarks.push(format!("replaced on the hub {when} by another file"));
        }
        if file.edited_header {
            remarks.push("the hub's file with an edited header: the same tensors, other bytes".to_owned());
        }
        if file.state() == v1::model_file::State::Away {
            remarks.push("here, but on a volume that is not connected now".to_owned());
        }
        remarks.extend(file.gone_time.as_ref().map(|gone| no_longer_listed(gone, session)));
        remarks.extend(file.failure.as_ref().map(|failure| sanitize::line(&failure.message)));
        lines.extend(remarks.iter().flat_map(|remark| indented(remark, 4, session)));
    }
    if !version.previews.is_empty() {
        let here = version.previews.iter().filter(|preview| !preview.thumbnail.is_empty()).count();
        let with_recipe = version.previews.iter().filter(|preview| !preview.generation_json.is_empty()).count();
        let images = units::count(version.previews.len() as u64, "example image");
        let words = format!("{images}, {here} of them here, {with_recipe} with a recipe (--json prints it)");
        lines.extend(indented(&words, 2, session));
    }
    for prompt in prompts(version) {
        lines.extend(indented(&format!("prompt: {}", fit(&sanitize::line(&prompt), LONGEST_PROMPT)), 2, session));
    }
    lines
}

/// The first different prompts that example images were painted from.
fn prompts(version: &v1::ModelVersion) -> Vec<String> {
    let mut prompts = Vec::new();
    for preview in &version.previews {
        let recipe: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&preview.generation_json).unwrap_or_default();
        match recipe.get("prompt").and_then(serde_json::Value::as_str) {
            Some(prompt) if !prompt.trim().is_empty() && !prompts.iter().any(|known| known == prompt) => {
                prompts.push(prompt.to_owned());
            }
            _ => {}
        }
        if prompts.len() == MOST_PROMPTS {
            break;
        }
    }
    prompts
}

/// The version's name, reference, base model and age: on one line if that fits, else the rest below the name.
fn heading(version: &v1::ModelVersion, session: &Session) -> Vec<String> {
    let name = sanitize::line(&version.display_name);
    let mut rest = vec![sanitize::line(&version.r#ref)];
    if !version.base_model.is_empty() {
        rest.push(sanitize::line(&version.base_model));
    }
    if version.published_time.is_some() {
        rest.push(units::relative(version.published_time.as_ref(), session.now));
    }
    let rest = rest.join("  ");
    if session.terminal.columns.is_none_or(|columns| name.width() + 2 + rest.width() <= columns) {
        return vec![format!("{}  {rest}", session.terminal.bold(&name))];
    }
    let mut lines = wrapped_bold(&name, session);
    lines.extend(indented(&rest, 2, session));
    lines
}

fn no_longer_listed(gone: &prost_types::Timestamp, session: &Session) -> String {
    format!("no longer listed by the hub, which dropped it {}", units::relative(Some(gone), session.now))
}

fn indented(text: &str, indent: usize, session: &Session) -> Vec<String> {
    let width = session.terminal.text_columns().saturating_sub(indent);
    wrap(text, width).into_iter().map(|line| format!("{}{line}", " ".repeat(indent))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_rating_counts() {
        assert_eq!([0, 1, 3, 7, 15, 31, 60].map(rating), ["", "PG", "PG-13", "R", "X", "XXX", "blocked"]);
    }
}
