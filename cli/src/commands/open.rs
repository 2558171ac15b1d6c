//! `paintbox open`.

use crate::commands::show::resolve;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::Session;
use paintbox_proto::v1;
use serde::Serialize;
use std::path::Path;
use std::process::{Command, Stdio};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A model or version
    #[arg(value_name = "REF")]
    reference: String,
    /// Open the folder that its files are in, instead of its page; what no hub lists has no page, only a folder
    #[arg(long)]
    folder: bool,
}

#[derive(Serialize)]
struct OpenJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let (model, version) = resolve(&client, &arguments.reference).await?;
    let is_folder = arguments.folder || model.hub == "local";
    let place = if is_folder {
        folder(&model, &version)
            .ok_or_else(|| refuse(&arguments.reference, "none of its files is on this machine".to_owned()))?
    } else {
        let hubs = client.status().await?.hubs;
        let endpoint = hubs.iter().find(|hub| hub.hub == model.hub).map_or("", |hub| hub.endpoint.as_str());
        page(&model, &version, endpoint)
            .ok_or_else(|| refuse(&arguments.reference, format!("no page is known for {}", model.r#ref)))?
    };
    if session.json {
        let (url, path) = if is_folder { (None, Some(&*place)) } else { (Some(&*place), None) };
        session.out.json(&OpenJson { url, path })?;
        return Ok(Exit::Done);
    }
    // In a pipe the address itself is what is wanted.
    if session.terminal.output && session.terminal.desktop && open(&place) {
        session.note("Opened:")?;
    }
    session.out.line(&crate::render::sanitize::line(&place))?;
    Ok(Exit::Done)
}

fn refuse(reference: &str, problem: String) -> CliError {
    CliError::Argument { argument: "reference", given: reference.to_owned(), problem }
}

/// The address of a model's page on its hub. Built from the reference, never taken from the hub's data.
fn page(model: &v1::Model, selected: &str, endpoint: &str) -> Option<String> {
    let version = model.versions.iter().find(|version| version.name == selected);
    let version = version.and_then(|version| version.r#ref.split_once('@')).map(|(_, version)| version);
    let harmless = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'))
    };
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        return None;
    }
    let (hub, id) = model.r#ref.split_once(':')?;
    if !harmless(id) || !version.is_none_or(harmless) {
        return None;
    }
    match (hub, version) {
        ("civitai", None) => Some(format!("{endpoint}/models/{id}")),
        ("civitai", Some(version)) => Some(format!("{endpoint}/models/{id}?modelVersionId={version}")),
        ("hf", None) => Some(format!("{endpoint}/{id}")),
        ("hf", Some(version)) => Some(format!("{endpoint}/{id}/tree/{version}")),
        _ => None,
    }
}

fn folder(model: &v1::Model, selected: &str) -> Option<String> {
    let versions = model.versions.iter().filter(|version| selected.is_empty() || version.name == selected);
    let path = versions.flat_map(|version| &version.files).flat_map(|file| &file.paths).next()?;
    Some(Path::new(path).parent().filter(|folder| folder.is_absolute())?.display().to_string())
}

/// Whether something was found that opens it.
pub(super) fn open(place: &str) -> bool {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(place).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(reference: &str, version: &str) -> v1::Model {
        let version = v1::ModelVersion { name: "v".into(), r#ref: version.into(), ..Default::default() };
        v1::Model { r#ref: reference.into(), versions: vec![version], ..Default::default() }
    }

    #[test]
    fn pages_follow_from_references() {
        let civitai = model("civitai:4384", "civitai:4384@128713");
        assert_eq!(page(&civitai, "", "https://civitai.com").unwrap(), "https://civitai.com/models/4384");
        assert_eq!(
            page(&civitai, "v", "https://civitai.com").unwrap(),
            "https://civitai.com/models/4384?modelVersionId=128713"
        );
        assert_eq!(
            page(&model("hf:org/repo", ""), "", "https://huggingface.co").unwrap(),
            "https://huggingface.co/org/repo"
        );
    }

    #[test]
    fn nothing_but_a_plain_address_is_opened() {
        assert_eq!(page(&model("civitai:1&calc", ""), "", "https://civitai.com"), None);
        assert_eq!(page(&model("civitai:1", ""), "", "file:///etc"), None);
        assert_eq!(page(&model("path:/x", ""), "", "https://civitai.com"), None);
    }
}
