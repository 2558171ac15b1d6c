//! The mark of a list: enough of its first page to know it again.
//!
//! The `ETag` alone would not do, because the site counts visitors in every answer; a digest without the counters alone
//! would not save the transfer. So a mark holds both, and what it is a mark of.

use crate::json;
use serde_json::{Value, json as json_value};

/// Changes when the digest is made in another way, so that old marks are not compared with new ones.
const FORM: &str = "c1";
/// Digits of a digest that are kept: 128 bits tell pages apart.
const DIGITS: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    scope: String,
    digest: String,
    pub(super) validator: Option<String>,
}

impl Mark {
    /// `scope` says what list the page is the first of.
    pub(super) fn of(scope: &str, page: &str, validator: Option<String>) -> Self {
        Self { scope: short(scope.as_bytes()), digest: short(state(page).as_bytes()), validator }
    }

    /// A mark of an earlier look; none if it is of another list, or cannot be read.
    pub(super) fn read(text: &str, scope: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ';');
        let (form, of, digest, validator) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_ours = form == FORM && of == short(scope.as_bytes()) && digest.len() == DIGITS;
        let validator = (!validator.is_empty()).then(|| validator.to_owned());
        is_ours.then(|| Self { scope: of.to_owned(), digest: digest.to_owned(), validator })
    }

    /// Whether both are of the same state of the same list.
    pub(super) fn is_same_state(&self, other: &Self) -> bool {
        (&self.scope, &self.digest) == (&other.scope, &other.digest)
    }

    pub(super) fn to_text(&self) -> String {
        format!("{FORM};{};{};{}", self.scope, self.digest, self.validator.as_deref().unwrap_or_default())
    }
}

/// A page without what changes though nothing happened: counters, and all of `metadata` but where the next page begins.
fn state(page: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(page) else {
        return page.to_owned();
    };
    drop_counters(&mut value);
    if let Some(metadata) = value.get_mut("metadata") {
        *metadata = json_value!(json::text(metadata, "nextCursor"));
    }
    value.to_string()
}

/// The depth is bounded by the parser, which refuses JSON deeper than 128.
fn drop_counters(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("stats");
            members.values_mut().for_each(drop_counters);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_counters),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn short(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"items":[{"id":1,"stats":{"downloadCount":1}}],"metadata":{"nextCursor":"5|1"}}"#;

    #[test]
    fn counters_and_hosts_do_not_make_a_new_state_and_anything_else_does() {
        let mark = |page: &str| Mark::of("x", page, None);
        let visited = r#"{"items":[{"id":1,"stats":{"downloadCount":9}}],
            "metadata":{"nextCursor":"5|1","nextPage":"http://here/"}}"#;
        assert!(mark(PAGE).is_same_state(&mark(visited)));
        for changed in [
            r#"{"items":[{"id":1,"name":"new"}],"metadata":{"nextCursor":"5|1"}}"#,
            r#"{"items":[{"id":1}],"metadata":{"nextCursor":"6|1"}}"#,
            r#"{"items":[{"id":1}],"metadata":{}}"#,
            "not JSON",
        ] {
            assert!(!mark(PAGE).is_same_state(&mark(changed)), "{changed}");
        }
        assert!(!mark(PAGE).is_same_state(&Mark::of("y", PAGE, None)));
    }

    #[test]
    fn a_mark_is_read_back_for_its_own_list_only() {
        for validator in [None, Some("W/\"a;b\"".to_owned())] {
            let mark = Mark::of("civitai:Konan", PAGE, validator);
            assert_eq!(Mark::read(&mark.to_text(), "civitai:Konan"), Some(mark.clone()));
            assert_eq!(Mark::read(&mark.to_text(), "civitai:other"), None);
        }
        for bad in ["", "c1", "c1;;;", "c0;a;b;c", "nonsense;;;;;"] {
            assert_eq!(Mark::read(bad, ""), None, "{bad:?}");
        }
    }
}
