//! Domain values as column values and back. Everything that a row may hold passes through here, so that no other
//! module has to think about signs, digests as bytes, or texts that a damaged file may contain.

use crate::error::CatalogueError;
use paintbox_domain::{ErrorClass, Failure, Hub, ModelRef, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A count or length. SQLite's integers end at 2⁶³ − 1; a hub that claims more is not believed any further.
pub(crate) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn counted(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(crate) fn small(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

pub(crate) fn position(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

pub(crate) fn time(unix_ms: Option<i64>) -> Option<Timestamp> {
    unix_ms.map(Timestamp::from_unix_ms)
}

pub(crate) fn time_ms(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::unix_ms)
}

/// A digest from its bytes; `what` names the column.
pub(crate) fn digest<'a, D>(what: &'static str, bytes: &'a [u8]) -> Result<D, CatalogueError>
where
    D: TryFrom<&'a [u8]>,
{
    D::try_from(bytes).map_err(|_| CatalogueError::Corrupt { what, value: paintbox_domain::digest::to_hex(bytes) })
}

pub(crate) fn optional_digest<'a, D>(what: &'static str, bytes: Option<&'a [u8]>) -> Result<Option<D>, CatalogueError>
where
    D: TryFrom<&'a [u8]>,
{
    bytes.map(|bytes| digest(what, bytes)).transpose()
}

/// A value of a closed set of names.
pub(crate) fn named<T>(
    what: &'static str,
    text: &str,
    from_name: impl Fn(&str) -> Option<T>,
) -> Result<T, CatalogueError> {
    from_name(text).ok_or_else(|| CatalogueError::Corrupt { what, value: text.to_owned() })
}

pub(crate) fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// What every path below a folder begins with.
pub(crate) fn path_prefix(folder: &Path) -> Vec<u8> {
    [path_bytes(folder), b"/"].concat()
}

pub(crate) fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Row ids as a JSON array, for `IN (SELECT value FROM json_each(?))`: any number of them in one parameter.
pub(crate) fn id_list(ids: impl IntoIterator<Item = i64>) -> String {
    let mut list = String::from("[");
    for (index, id) in ids.into_iter().enumerate() {
        if index > 0 {
            list.push(',');
        }
        list.push_str(&id.to_string());
    }
    list.push(']');
    list
}

/// The same; none where there is no id, and so nothing to ask for.
pub(crate) fn some_ids(ids: impl IntoIterator<Item = i64>) -> Option<String> {
    let mut ids = ids.into_iter().peekable();
    ids.peek().is_some().then(|| id_list(ids))
}

/// Texts and numbers in one parameter.
pub(crate) fn json(values: &impl Serialize) -> String {
    serde_json::to_string(values).expect("texts and numbers always have a JSON form")
}

pub(crate) fn text_list(texts: &[String]) -> String {
    serde_json::Value::from(texts.to_vec()).to_string()
}

pub(crate) fn texts(what: &'static str, json: &str) -> Result<Vec<String>, CatalogueError> {
    serde_json::from_str(json).map_err(|_| CatalogueError::Corrupt { what, value: json.to_owned() })
}

/// What SQLite put into one answer.
pub(crate) fn list<'a, T: Deserialize<'a>>(what: &'static str, json: &'a str) -> Result<Vec<T>, CatalogueError> {
    serde_json::from_str(json).map_err(|error| CatalogueError::Corrupt { what, value: error.to_string() })
}

/// Bytes as SQLite's `hex` writes them.
pub(crate) fn bytes(what: &'static str, hex: &str) -> Result<Vec<u8>, CatalogueError> {
    let mut bytes = vec![0; hex.len() / 2];
    let is_hex = paintbox_domain::digest::from_hex(hex, &mut bytes);
    is_hex.then_some(bytes).ok_or_else(|| CatalogueError::Corrupt { what, value: hex.to_owned() })
}

/// SQLite's truth within JSON.
pub(crate) fn truth<'a, D: Deserializer<'a>>(number: D) -> Result<bool, D::Error> {
    i64::deserialize(number).map(|number| number != 0)
}

/// Bytes within JSON, as SQLite's `hex` writes them, which of NULL makes no text at all.
pub(crate) fn hex<'a, D: Deserializer<'a>>(text: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text: Cow<'a, str> = Deserialize::deserialize(text)?;
    if text.is_empty() {
        return Ok(None);
    }
    bytes("bytes", &text).map(Some).map_err(|_| D::Error::custom("no hexadecimal digits"))
}

/// What stands for a hub on the pages of files that no hub lists.
pub(crate) const LOCAL: &str = "local";

/// How a hub is stored; none for the page of a library's file.
pub(crate) fn hub(hub: Option<Hub>) -> &'static str {
    hub.map_or(LOCAL, Hub::as_str)
}

/// The hub that a model is on; none for the page of a library's file.
pub(crate) fn origin(text: &str) -> Result<Option<Hub>, CatalogueError> {
    if text == LOCAL { Ok(None) } else { named("a model's hub", text, Hub::from_name).map(Some) }
}

/// The reference that names a model.
pub(crate) fn model_reference(hub: Option<Hub>, external_id: &str) -> ModelRef {
    match (hub, external_id.parse()) {
        (Some(Hub::Civitai), Ok(model)) => ModelRef::Civitai { model, version: None },
        (None, Ok(file)) => ModelRef::Local(file),
        // CivitAI numbers its models; anything else cannot be asked for there and is only a name.
        (Some(Hub::Civitai) | None, Err(_)) => ModelRef::Name(external_id.to_owned()),
        (Some(Hub::HuggingFace), _) => {
            ModelRef::HuggingFace { repo: external_id.to_owned(), revision: None, path: None }
        }
    }
}

/// The reference that names a version of a model.
pub(crate) fn version_reference(hub: Option<Hub>, model_external_id: &str, version_external_id: &str) -> ModelRef {
    match (model_reference(hub, model_external_id), version_external_id.parse()) {
        (ModelRef::Civitai { model, .. }, Ok(version)) => ModelRef::Civitai { model, version: Some(version) },
        (ModelRef::HuggingFace { repo, .. }, _) => {
            ModelRef::HuggingFace { repo, revision: Some(version_external_id.to_owned()), path: None }
        }
        (other, _) => other,
    }
}

/// A failure as it is stored beside the job or file that failed.
#[derive(Serialize, Deserialize)]
struct StoredFailure {
    class: String,
    reason: String,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

pub(crate) fn failure_json(failure: &Failure) -> String {
    let stored = StoredFailure {
        class: failure.class.as_str().to_owned(),
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        hint: failure.hint.clone(),
        metadata: failure.metadata.clone(),
        retry_after_ms: failure.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
    };
    serde_json::to_string(&stored).expect("texts and numbers always have a JSON form")
}

pub(crate) fn failure(json: Option<&str>) -> Result<Option<Failure>, CatalogueError> {
    let Some(json) = json else { return Ok(None) };
    let stored: StoredFailure = serde_json::from_str(json)
        .map_err(|_| CatalogueError::Corrupt { what: "a failure", value: json.to_owned() })?;
    Ok(Some(Failure {
        class: ErrorClass::from_stored(&stored.class),
        reason: stored.reason,
        message: stored.message,
        hint: stored.hint,
        metadata: stored.metadata,
        retry_after: stored.retry_after_ms.map(Duration::from_millis),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_back_as_it_was_stored() {
        let mut stored = Failure::new(ErrorClass::Unavailable, "HUB_RATE_LIMITED", "slow down").with("status", "429");
        assert_eq!(failure(Some(&failure_json(&stored))).unwrap(), Some(stored.clone()));
        stored.hint = Some("wait".to_owned());
        stored.retry_after = Some(Duration::from_millis(1500));
        assert_eq!(failure(Some(&failure_json(&stored))).unwrap(), Some(stored));
        assert!(failure(Some("{")).is_err());
    }

    #[test]
    fn ids_are_a_list_or_none() {
        assert_eq!((id_list([3, -1]), some_ids([3, -1])), ("[3,-1]".to_owned(), Some("[3,-1]".to_owned())));
        assert_eq!((id_list([]), some_ids([])), ("[]".to_owned(), None));
    }

    #[test]
    fn paths_that_are_not_text_survive() {
        let odd = PathBuf::from(OsStr::from_bytes(b"/models/\xff\xfe.safetensors"));
        assert_eq!(path(path_bytes(&odd)), odd);
    }

    #[test]
    fn references_follow_the_hub() {
        let of = |hub, model, version| version_reference(hub, model, version).to_string();
        assert_eq!(of(Some(Hub::Civitai), "4384", "128713"), "civitai:4384@128713");
        assert_eq!(of(Some(Hub::HuggingFace), "org/repo", "abc"), "hf:org/repo@abc");
        assert_eq!(of(None, "17", "17"), "local:17");
        assert_eq!(model_reference(Some(Hub::Civitai), "x"), ModelRef::Name("x".to_owned()));
    }
}
