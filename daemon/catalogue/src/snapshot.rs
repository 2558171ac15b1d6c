//! When two answers of a hub are the same state of a page.
//!
//! Hubs put counters into every answer, so the texts differ on each request though nothing changed. The digest is
//! taken over the JSON without them; the text that is kept is the whole one.

use paintbox_domain::Sha256;
use serde_json::Value;
use sha2::{Digest, Sha256 as Sha256Hasher};

/// Members that count visitors: CivitAI's `stats`, Hugging Face's `downloads`, `downloadsAllTime`, `likes` and
/// `trendingScore`.
const COUNTERS: [&str; 5] = ["stats", "downloads", "downloadsAllTime", "likes", "trendingScore"];

/// A digest that stays the same while only counters change. Text that is not JSON is taken as it is.
pub(crate) fn state_digest(raw: &str) -> Sha256 {
    let state = serde_json::from_str::<Value>(raw).map(|mut value| {
        drop_counters(&mut value);
        value.to_string()
    });
    sha256(state.as_deref().unwrap_or(raw).as_bytes())
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(Sha256Hasher::digest(bytes).into())
}

/// The depth is bounded by the parser, which refuses JSON deeper than 128.
fn drop_counters(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for counter in COUNTERS {
                members.remove(counter);
            }
            members.values_mut().for_each(drop_counters);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_counters),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_do_not_make_a_new_state() {
        let monday = r#"{"id":1,"stats":{"downloadCount":1},"modelVersions":[{"id":2,"stats":{"downloadCount":1}}]}"#;
        let tuesday = r#"{"id":1,"stats":{"downloadCount":9},"modelVersions":[{"id":2,"stats":{"downloadCount":9}}]}"#;
        let renamed = r#"{"id":1,"name":"x","stats":{"downloadCount":9},"modelVersions":[{"id":2}]}"#;
        assert_eq!(state_digest(monday), state_digest(tuesday));
        assert_ne!(state_digest(monday), state_digest(renamed));
    }

    #[test]
    fn what_is_not_json_is_taken_as_it_is() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in ["", "{", "<html>", &deep] {
            assert_eq!(state_digest(text), sha256(text.as_bytes()));
        }
    }
}
