//! Resource names (AIP-122) and what they stand for.
//!
//! A hub's own id can hold capitals and slashes, which resource names avoid; CivitAI's numbers are used as they
//! are, Hugging Face's `org/name` is spelled in lower-case hexadecimal behind `hf-`.

use crate::status::failure_status;
use paintbox_domain::digest::to_hex;
use paintbox_domain::{ErrorClass, Failure, Hub, Sha256, reason};
use tonic::Status;

/// How a hub is called; none stands for this machine, of whose libraries' files pages are made.
pub(crate) fn hub(hub: Option<Hub>) -> &'static str {
    hub.map_or("local", Hub::as_str)
}

/// None stands for the page of a library's file.
pub(crate) fn model(hub: Option<Hub>, external_id: &str) -> String {
    match hub {
        Some(Hub::Civitai) => format!("models/civitai-{external_id}"),
        Some(Hub::HuggingFace) => format!("models/hf-{}", to_hex(external_id.as_bytes())),
        None => format!("models/local-{external_id}"),
    }
}

pub(crate) fn version(model: &str, external_id: &str) -> String {
    format!("{model}/versions/{external_id}")
}

pub(crate) fn file(version: &str, id: i64) -> String {
    format!("{version}/files/{id}")
}

pub(crate) fn asset(sha256: &Sha256) -> String {
    format!("assets/{sha256}")
}

/// The hub and external id of `models/…`.
pub(crate) fn parse_model(name: &str) -> Result<(Option<Hub>, String), Status> {
    let is_number = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    let parsed = name.strip_prefix("models/").and_then(|id| id.split_once('-')).and_then(|(hub, id)| match hub {
        "civitai" => is_number(id).then(|| (Some(Hub::Civitai), id.to_owned())),
        "local" => is_number(id).then(|| (None, id.to_owned())),
        "hf" => from_hex_text(id).map(|id| (Some(Hub::HuggingFace), id)),
        _ => None,
    });
    parsed.ok_or_else(|| bad("model", name, reason::MODEL_NOT_FOUND))
}

/// The model's name and the version's external id of `models/…/versions/…`.
pub(crate) fn parse_version(name: &str) -> Result<(&str, &str), Status> {
    let parts = name.split_once("/versions/").filter(|(_, version)| !version.is_empty());
    parts.ok_or_else(|| bad("version", name, reason::VERSION_NOT_FOUND))
}

pub(crate) fn parse_asset(name: &str) -> Result<Sha256, Status> {
    name.strip_prefix("assets/")
        .and_then(|digest| digest.parse().ok())
        .ok_or_else(|| bad("asset", name, reason::ASSET_NOT_FOUND))
}

/// The id behind `collection/`, such as a job's UUID.
pub(crate) fn parse_job<'a>(collection: &str, name: &'a str) -> Result<&'a str, Status> {
    name.strip_prefix(collection)
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|uid| !uid.is_empty())
        .ok_or_else(|| bad("job", name, reason::JOB_NOT_FOUND))
}

/// The number behind `collection/`.
pub(crate) fn parse_number(collection: &str, what: &str, name: &str, why: &'static str) -> Result<i64, Status> {
    let number = name.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/')?.parse().ok());
    number.ok_or_else(|| bad(what, name, why))
}

/// The label behind `volumes/`.
pub(crate) fn parse_volume(name: &str) -> Result<&str, Status> {
    let label = name.strip_prefix("volumes/").filter(|label| !label.is_empty());
    label.ok_or_else(|| bad("volume", name, reason::VOLUME_NOT_FOUND))
}

fn bad(what: &str, name: &str, why: &str) -> Status {
    let name: String = name.chars().take(200).collect();
    let failure = Failure::new(ErrorClass::NotFound, why, format!("`{name}` is not the name of a {what}"));
    failure_status(&failure.with("name", name))
}

fn from_hex_text(hex: &str) -> Option<String> {
    if hex.is_empty() || !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return None;
    }
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for (hub, id) in [(Hub::Civitai, "4384"), (Hub::HuggingFace, "Black-Forest-Labs/FLUX.1-dev")] {
            assert_eq!(parse_model(&model(Some(hub), id)).unwrap(), (Some(hub), id.to_owned()));
        }
    }

    #[test]
    fn refuses_names_of_nothing() {
        for name in [
            "",
            "models/",
            "models/civitai-x",
            "models/hf-zz",
            "models/hf-ff",
            "models/hf-é",
            "models/local-",
            "assets/../x",
        ] {
            assert!(parse_model(name).is_err(), "{name}");
            assert!(parse_asset(name).is_err(), "{name}");
        }
    }
}
