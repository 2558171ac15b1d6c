//! When two answers of a hub are the same state of a page.
//!
//! Hubs put counters into every answer, so the texts differ on each request though nothing changed; and what is not
//! there they leave out in one answer and write as null or as an empty list in the next. The digest is taken over the
//! JSON without either; the text that is kept is the whole one.

use paintbox_domain::Sha256;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256 as Sha256Hasher};
use std::fmt;

/// Members that count visitors: CivitAI's `stats`, Hugging Face's `downloads`, `downloadsAllTime`, `likes` and
/// `trendingScore`.
const COUNTERS: [&str; 5] = ["stats", "downloads", "downloadsAllTime", "likes", "trendingScore"];

/// A digest that stays the same while only counters, the order of members, or the way in which nothing is written
/// change. Text that is not JSON is taken as it is.
pub(crate) fn state_digest(raw: &str) -> Sha256 {
    // What the encoding adds to each value is less than the punctuation and the spaces that it leaves out.
    let mut state = Vec::with_capacity(raw.len());
    let mut json = serde_json::Deserializer::from_str(raw);
    match Value(&mut state).deserialize(&mut json).and_then(|_| json.end()) {
        Ok(()) => sha256(&state),
        Err(_) => sha256(raw.as_bytes()),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(Sha256Hasher::digest(bytes).into())
}

/// Appends a text so that no other sequence of texts gives the same bytes.
pub(crate) fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// Reads one JSON value and appends its canonical bytes: each begins with a mark of its type, texts carry their
/// length, members are sorted. Whole answers are never held as trees: a crawl reads hundreds of thousands of them.
///
/// The depth is bounded by the parser, which refuses JSON deeper than 128.
struct Value<'b>(&'b mut Vec<u8>);

/// Whether a value says nothing: null, or an empty text, list or object.
type Nothing = bool;

impl Value<'_> {
    fn scalar(self, mark: u8, bytes: [u8; 8]) -> Nothing {
        self.0.push(mark);
        self.0.extend_from_slice(&bytes);
        false
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Nothing;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Nothing, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Nothing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Nothing, E> {
        self.0.push(b'0');
        Ok(true)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Nothing, E> {
        self.0.push(if value { b't' } else { b'f' });
        Ok(false)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Nothing, E> {
        Ok(self.scalar(b'u', value.to_le_bytes()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Nothing, E> {
        Ok(self.scalar(b'i', value.to_le_bytes()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Nothing, E> {
        Ok(self.scalar(b'd', value.to_le_bytes()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Nothing, E> {
        self.0.push(b's');
        push_text(self.0, value);
        Ok(value.is_empty())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Nothing, A::Error> {
        self.0.push(b'[');
        let mut empty = true;
        while items.next_element_seed(Value(self.0))?.is_some() {
            empty = false;
        }
        self.0.push(b']');
        Ok(empty)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut given: A) -> Result<Nothing, A::Error> {
        self.0.push(b'{');
        let mut members: Vec<Member> = Vec::with_capacity(16);
        while let Some(key) = given.next_key_seed(Key(self.0))? {
            if key.counts {
                given.next_value::<IgnoredAny>()?;
            }
            if key.counts || given.next_value_seed(Value(self.0))? {
                self.0.truncate(key.start);
            } else {
                members.push(Member { start: key.start, value: key.end, end: self.0.len() });
            }
        }
        sort(self.0, &mut members);
        self.0.push(b'}');
        Ok(members.is_empty())
    }
}

/// Reads a member's key and appends it.
struct Key<'b>(&'b mut Vec<u8>);

struct FoundKey {
    start: usize,
    end: usize,
    counts: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = FoundKey;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<FoundKey, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = FoundKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<FoundKey, E> {
        let start = self.0.len();
        push_text(self.0, key);
        Ok(FoundKey { start, end: self.0.len(), counts: COUNTERS.contains(&key) })
    }
}

/// Where a member's bytes lie: its key begins at `start`, its value at `value`.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    value: usize,
    end: usize,
}

/// Brings an object's members, which end the bytes, into the order of their keys. Of members with one key the last
/// counts, as in every JSON reader that builds a map.
fn sort(bytes: &mut Vec<u8>, members: &mut [Member]) {
    let same_key = |a: &Member, b: &Member| bytes[a.start..a.value] == bytes[b.start..b.value];
    let sorted = members.is_sorted_by(|a, b| bytes[a.start..a.value] < bytes[b.start..b.value]);
    let (false, Some(first)) = (sorted, members.first().map(|member| member.start)) else { return };
    members.sort_by(|a, b| bytes[a.start..a.value].cmp(&bytes[b.start..b.value]));
    let mut ordered = Vec::with_capacity(bytes.len() - first);
    for (index, member) in members.iter().enumerate() {
        let overruled = members.get(index + 1).is_some_and(|next| same_key(next, member));
        if !overruled {
            ordered.extend_from_slice(&bytes[member.start..member.end]);
        }
    }
    bytes.truncate(first);
    bytes.extend_from_slice(&ordered);
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
    fn order_and_the_ways_of_saying_nothing_do_not_make_a_new_state() {
        let one = r#"{"id":1,"name":"x","meta":{"size":null,"fp":""},"tags":[],"nsfw":false,"list":[{"b":1,"a":[2]}]}"#;
        let other = r#" {"list": [{"a": [2], "b": 1, "c": null}], "nsfw": false, "name": "x", "id": 1} "#;
        assert_eq!(state_digest(one), state_digest(other));
        for different in [
            r#"{"id":1,"name":"x","nsfw":null,"list":[{"b":1,"a":[2]}]}"#,
            r#"{"id":1,"name":"x","nsfw":false,"list":[{"b":1,"a":[null]}]}"#,
            r#"{"id":1,"name":"x","nsfw":false,"list":[{"b":1},{"a":[2]}]}"#,
            r#"{"id":"1","name":"x","nsfw":false,"list":[{"b":1,"a":[2]}]}"#,
            r#"{"id":1,"name":"x","nsfw":false,"list":[{"a":1,"b":[2]}]}"#,
            r#"{"id":1,"name":"x","nsfw":false,"list":[{"b":1,"a":[2.5]}]}"#,
            r#"{"id":1,"name":"x","nsfw":false,"list":[{"b":-1,"a":[2]}]}"#,
        ] {
            assert_ne!(state_digest(one), state_digest(different), "{different}");
        }
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        let plain = r#"{"a":3,"b":2}"#;
        assert_eq!(state_digest(r#"{"a":1,"b":2,"a":3}"#), state_digest(plain));
        assert_eq!(state_digest(r#"{"b":2,"a":1,"a":3}"#), state_digest(plain));
        assert_ne!(state_digest(r#"{"a":3,"b":2,"a":1}"#), state_digest(plain));
    }

    #[test]
    fn what_is_not_json_is_taken_as_it_is() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in ["", "{", "<html>", "{} {}", &deep] {
            assert_eq!(state_digest(text), sha256(text.as_bytes()));
        }
    }
}
