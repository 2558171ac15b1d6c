//! What is remembered of an answer, so that the next look at the same thing costs one request or none.
//!
//! A [`Mark`] stands for a whole answer: its `ETag`, with which the Hub may say "unchanged", and a digest of what the
//! answer says of the models. The digest is needed because every download and every like makes a new `ETag`. A
//! [`list_mark`] stands for one repository.
//!
//! The Hub sends weak validators, `W/"<length>-<digest of the body>"`, with its JSON: recorded headers in
//! `tests/fixtures/hubs/huggingface/api/*.headers.txt`.

use crate::json;
use serde_json::Value;
use std::fmt;

/// What other people do with a repository, and how the Hub serves it: it changes all day and makes no model another
/// one (names: huggingface_hub @ ee0a4510f4bc, `src/huggingface_hub/hf_api.py`, `ExpandModelProperty_T`).
const COUNTERS: &[&str] = &[
    "childrenModelCount",
    "downloads",
    "downloadsAllTime",
    "inference",
    "inferenceProviderMapping",
    "likes",
    "likes30d",
    "spaces",
    "trendingScore",
];

/// Told apart from texts that something else wrote.
const FORM: &str = "hf1";

/// An answer that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    digest: String,
    etag: Option<String>,
}

impl Mark {
    /// The mark of an answer that came with `etag`.
    pub(super) fn of(answer: &Value, etag: Option<String>) -> Self {
        let mut lasting = answer.clone();
        match &mut lasting {
            Value::Array(entries) => entries.iter_mut().for_each(drop_counters),
            single => drop_counters(single),
        }
        Self { digest: blake3::hash(lasting.to_string().as_bytes()).to_hex().to_string(), etag }
    }

    /// Reads what [`fmt::Display`] wrote; anything else is no mark, and the answer is then asked for whole.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        let (FORM, digest, etag) = (words.next()?, words.next()?, words.next()?) else {
            return None;
        };
        Some(Self { digest: digest.to_owned(), etag: Some(etag.to_owned()).filter(|etag| !etag.is_empty()) })
    }

    pub(super) fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// Whether both answers say the same of the models.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM} {} {}", self.digest, self.etag.as_deref().unwrap_or_default())
    }
}

fn drop_counters(entry: &mut Value) {
    if let Value::Object(keys) = entry {
        keys.retain(|key, _| !COUNTERS.contains(&key.as_str()));
    }
}

/// The state of one repository as a list's entry or its own page tells it; none without a commit, which is the one
/// thing that a state cannot be told apart without.
pub(super) fn list_mark(entry: &Value) -> Option<String> {
    let commit = json::text(entry, "sha")?;
    let gated = match entry.get("gated") {
        Some(Value::String(word)) => word.as_str(),
        Some(Value::Bool(true)) => "true",
        _ => "false",
    };
    let is = |key: &str| json::truth(entry, key).unwrap_or(false);
    let touched = json::text(entry, "lastModified").unwrap_or_default();
    Some(format!("{commit} {touched} gated={gated} private={} disabled={}", is("private"), is("disabled")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(downloads: u64, gated: &Value) -> Value {
        json!({"id": "a/b", "sha": "0123", "lastModified": "2026-01-01T00:00:00.000Z", "downloads": downloads,
               "likes": downloads, "trendingScore": 0.5, "gated": gated})
    }

    #[test]
    fn counters_leave_a_mark_as_it_is_and_a_gate_does_not() {
        let mark = |downloads, gated: &Value| Mark::of(&json!([entry(downloads, gated)]), None);
        let first = mark(1, &json!(false));
        assert!(first.says_the_same(&mark(2, &json!(false))));
        assert!(!first.says_the_same(&mark(1, &json!("auto"))));
        assert!(!first.says_the_same(&Mark::of(&json!([]), None)));
        assert!(Mark::of(&entry(1, &json!(false)), None).says_the_same(&Mark::of(&entry(9, &json!(false)), None)));
    }

    #[test]
    fn marks_come_back_as_they_went() {
        for etag in [Some("W/\"5a0e-tegNDBDQ3jRLSh5VG9QAhzW2+yk\"".to_owned()), Some("\"a b\"".to_owned()), None] {
            let mark = Mark::of(&json!([1]), etag);
            assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        }
        for foreign in ["", "hf1", "hf1 abc", "civitai 1 2"] {
            assert_eq!(Mark::parse(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn a_repositorys_mark_holds_what_makes_its_page_another() {
        let plain = list_mark(&entry(1, &json!(false))).unwrap();
        assert_eq!(plain, "0123 2026-01-01T00:00:00.000Z gated=false private=false disabled=false");
        assert_eq!(list_mark(&entry(7, &json!(null))), Some(plain.clone()));
        for (key, value) in [
            ("sha", json!("4567")),
            ("lastModified", json!("2026-01-02T00:00:00.000Z")),
            ("gated", json!("manual")),
            ("private", json!(true)),
            ("disabled", json!(true)),
        ] {
            let mut changed = entry(1, &json!(false));
            changed[key] = value;
            assert_ne!(list_mark(&changed), Some(plain.clone()), "{key}");
        }
        assert_eq!(list_mark(&json!({"id": "a/b"})), None);
    }
}
