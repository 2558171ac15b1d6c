//! Reading others' JSON without trusting its shape: absent, null, empty and wrongly typed all mean "not said".

use paintbox_domain::Timestamp;
use serde_json::{Map, Value};
use std::str::FromStr;

pub(super) type Object = Map<String, Value>;

/// Most characters of a name, of a word in a list, and of a text of several lines; and most entries of a list.
const LONGEST_NAME: usize = 300;
const LONGEST_WORDS: usize = 2000;
const LONGEST_TEXT: usize = 64 * 1024;
const MOST_ENTRIES: usize = 200;

/// A text of one line; a number counts as its text.
pub(super) fn name(object: &Object, key: &str) -> Option<String> {
    clean_name(&as_text(object.get(key)?)?)
}

/// A text of any number of lines.
pub(super) fn text(object: &Object, key: &str) -> Option<String> {
    long_text(&as_text(object.get(key)?)?)
}

/// The texts of a list, or one text that stands in a list's place.
pub(super) fn texts(object: &Object, key: &str) -> Vec<String> {
    let entries = match object.get(key) {
        Some(Value::Array(entries)) => entries.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    let texts = entries.iter().filter_map(|entry| clean(&as_text(entry)?, LONGEST_WORDS, false));
    texts.take(MOST_ENTRIES).collect()
}

/// A hub's number of something: whole and above 0, written as a number or as text.
pub(super) fn id(object: &Object, key: &str) -> Option<u64> {
    // Numbers above this one are no longer told apart by tools written in JavaScript, and no hub has them.
    const LARGEST: u64 = 1 << 53;
    let number = match object.get(key)? {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (1..=LARGEST).contains(&number).then_some(number)
}

/// A finite number, written as a number or as text.
pub(super) fn float(object: &Object, key: &str) -> Option<f64> {
    let number = match object.get(key)? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number)
}

/// A weight that somebody would use. Tools write 0 where none was set.
pub(super) fn weight(object: &Object, key: &str) -> Option<f64> {
    float(object, key).filter(|weight| *weight != 0.0 && weight.abs() <= 100.0)
}

pub(super) fn truth(object: &Object, key: &str) -> Option<bool> {
    object.get(key)?.as_bool()
}

pub(super) fn object<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key)?.as_object()
}

pub(super) fn list<'a>(object: &'a Object, key: &str) -> impl Iterator<Item = &'a Object> {
    object.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_object)
}

/// A digest in hexadecimal of either case; of anything else, none.
pub(super) fn digest<T: FromStr>(object: &Object, key: &str) -> Option<T> {
    object.get(key)?.as_str()?.trim().parse().ok()
}

/// AutoV3 as this crate writes it, of its twelve digits or of all 64 of the digest that they begin, with or without
/// `0x`. That of no bytes at all is a mark that repacking tools leave, and no digest of a model
/// (willmiao/ComfyUI-Lora-Manager @ 25e72b43 `py/utils/models.py`, `normalize_autov3`).
pub(super) fn auto_v3(object: &Object, key: &str) -> Option<String> {
    const DIGITS: usize = 12;
    let text = object.get(key)?.as_str()?.trim();
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_digest = matches!(digits.len(), DIGITS | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let short = digits.get(..DIGITS).filter(|_| is_digest)?.to_ascii_uppercase();
    (short != "E3B0C44298FC").then_some(short)
}

/// CivitAI's bitmask: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX, 32 blocked. 0 is "not rated", and so is what has other bits.
pub(super) fn nsfw_level(object: &Object, key: &str) -> Option<u32> {
    let level = u32::try_from(id(object, key)?).ok()?;
    (level < 64).then_some(level)
}

/// Older answers, and tools that keep no more, only say whether a model is for everyone. "No" is read as R, X and XXX,
/// so that what may be either is not shown as harmless; "yes" says nothing of PG or PG-13.
pub(super) fn nsfw_level_of_truth(object: &Object, key: &str) -> Option<u32> {
    truth(object, key)?.then_some(4 | 8 | 16)
}

/// An RFC 3339 time, or a date.
pub(super) fn time(object: &Object, key: &str) -> Option<Timestamp> {
    let text = object.get(key)?.as_str()?.trim();
    let time = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let date: jiff::civil::Date = text.parse().ok()?;
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(Timestamp::from_unix_ms(time.as_millisecond()))
}

/// A text of one line, without what would let it look like another.
pub(super) fn clean_name(text: &str) -> Option<String> {
    clean(text, LONGEST_NAME, false)
}

/// A text of any number of lines, cut where it gets too long.
pub(super) fn long_text(text: &str) -> Option<String> {
    clean(text, LONGEST_TEXT, true)
}

/// Without control characters and marks that turn the direction of writing; none if nothing is left.
fn clean(text: &str, most_characters: usize, lines: bool) -> Option<String> {
    let text: String = text
        .chars()
        .filter_map(|c| match c {
            '\n' | '\t' if lines => Some(c),
            '\n' | '\t' => Some(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => None,
            c if c.is_control() => None,
            c => Some(c),
        })
        .take(most_characters)
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::Sha256;
    use proptest::prelude::*;
    use serde_json::json;

    fn of(value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn names_are_one_line_and_cannot_look_like_others() {
        let object = of(json!({"a": " Two\nlines\r\n\u{202e}gnp.evil\u{0}\u{7f} ", "b": "\n\t ", "c": 7, "d": ["x"]}));
        assert_eq!(name(&object, "a").unwrap(), "Two lines gnp.evil");
        assert_eq!(name(&object, "b"), None);
        assert_eq!(name(&object, "c").unwrap(), "7");
        assert_eq!(name(&object, "d"), None);
        // Languages that are written from the right, and emoji of several characters, stay as they are.
        let object = of(json!({"a": "نموذج 👩\u{200d}🎨"}));
        assert_eq!(name(&object, "a").unwrap(), "نموذج 👩\u{200d}🎨");
        assert_eq!(text(&of(json!({"a": "one\n\ttwo\r\n"})), "a").unwrap(), "one\n\ttwo");
    }

    #[test]
    fn numbers_are_taken_only_where_a_hub_could_have_given_them() {
        let object = of(json!({"a": 5, "b": "6", "c": 0, "d": -1, "e": 1.5, "f": u64::MAX, "g": null, "h": "x"}));
        assert_eq!((id(&object, "a"), id(&object, "b")), (Some(5), Some(6)));
        for key in ["c", "d", "e", "f", "g", "h", "absent"] {
            assert_eq!(id(&object, key), None, "{key}");
        }
        assert_eq!(nsfw_level(&of(json!({"a": 28, "b": 64, "c": 0})), "a"), Some(28));
        assert_eq!(nsfw_level(&of(json!({"a": 28, "b": 64, "c": 0})), "b"), None);
        assert_eq!(nsfw_level_of_truth(&of(json!({"a": true})), "a"), Some(28));
        assert_eq!(nsfw_level_of_truth(&of(json!({"a": false})), "a"), None);
        assert_eq!(weight(&of(json!({"a": 0})), "a"), None);
        assert_eq!(weight(&of(json!({"a": "0.75"})), "a"), Some(0.75));
        assert_eq!(weight(&of(json!({"a": 1e300})), "a"), None);
    }

    #[test]
    fn digests_are_read_in_the_ways_that_tools_write_them() {
        let sha256 = "9753338AB693CA82BF89ED77A5D1912879E40051463EC6E330FB9866CE798668";
        let object =
            of(json!({"a": sha256, "b": sha256.to_ascii_lowercase(), "c": "9753338AB6", "d": format!("0x{sha256}")}));
        assert_eq!(digest::<Sha256>(&object, "a"), digest(&object, "b"));
        assert_eq!(digest::<Sha256>(&object, "c"), None);
        assert_eq!(auto_v3(&object, "d").unwrap(), "9753338AB693");
        assert_eq!(auto_v3(&of(json!({"a": "34a22376739d"})), "a").unwrap(), "34A22376739D");
        for text in ["34a22376739", "0x", "x4a22376739d", "e3b0c44298fc", ""] {
            assert_eq!(auto_v3(&of(json!({"a": text})), "a"), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_with_and_without_the_hour() {
        let object = of(json!({"a": "2025-02-08T11:29:04.487Z", "b": "2024-05-01", "c": "soon", "d": 5}));
        assert_eq!(time(&object, "a"), Some(Timestamp::from_unix_ms(1_739_014_144_487)));
        assert_eq!(time(&object, "b"), Some(Timestamp::from_unix_ms(1_714_521_600_000)));
        assert_eq!((time(&object, "c"), time(&object, "d")), (None, None));
    }

    proptest! {
        #[test]
        fn a_cleaned_text_is_short_and_stays_as_it_is_when_cleaned_again(text in "\\PC*|.*|(\\s|.){0,400}") {
            for lines in [false, true] {
                if let Some(cleaned) = clean(&text, 50, lines) {
                    prop_assert!(cleaned.chars().count() <= 50);
                    prop_assert!(cleaned.chars().all(|c| !c.is_control() || (lines && matches!(c, '\n' | '\t'))));
                    prop_assert_eq!(clean(&cleaned, 50, lines), Some(cleaned));
                }
            }
        }
    }
}
