//! Reading hub JSON without trusting its shape: absent, null and wrongly typed all mean "not said".
//!
//! Both hubs change types over the years (numbers as text, text as lists, objects as null), and one odd field must
//! not cost a whole model.

use paintbox_domain::Timestamp;
use serde_json::Value;

/// A non-empty text; a number or truth value counts as its text.
pub(crate) fn text(value: &Value, key: &str) -> Option<String> {
    as_text(value.get(key)?)
}

pub(crate) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(_) | Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number that is not negative, written as int, float or text.
pub(crate) fn whole(value: &Value, key: &str) -> Option<u64> {
    let number = value.get(key)?;
    if let Some(number) = number.as_u64() {
        return Some(number);
    }
    whole_of(float(value, key)?)
}

/// The nearest whole number, if there is one that fits.
pub(crate) fn whole_of(number: f64) -> Option<u64> {
    let number = number.round();
    // 2^53: beyond it a float no longer says which whole number is meant.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range has just been checked")]
    (0.0..=9_007_199_254_740_992.0).contains(&number).then_some(number as u64)
}

/// A finite number, written as int, float or text.
pub(crate) fn float(value: &Value, key: &str) -> Option<f64> {
    let number = match value.get(key)? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number)
}

pub(crate) fn small(value: &Value, key: &str) -> Option<u32> {
    whole(value, key).and_then(|number| u32::try_from(number).ok())
}

pub(crate) fn truth(value: &Value, key: &str) -> Option<bool> {
    match value.get(key)? {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The items of a list; nothing at all reads as an empty one.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The texts of a list, or one text that stands in a list's place.
pub(crate) fn texts(value: &Value, key: &str) -> Vec<String> {
    match value.get(key) {
        Some(Value::Array(items)) => items.iter().filter_map(as_text).collect(),
        Some(single) => as_text(single).into_iter().collect(),
        None => Vec::new(),
    }
}

/// An RFC 3339 time.
pub(crate) fn time(value: &Value, key: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = value.get(key)?.as_str()?.parse().ok()?;
    Some(Timestamp::from_unix_ms(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_read_however_they_are_written() {
        let value = json!({"int": 3, "float": 2.6, "text": "4", "bad": "x", "null": null, "minus": -1, "huge": 1e300});
        let read = |key| whole(&value, key);
        assert_eq!(read("int"), Some(3));
        assert_eq!(read("float"), Some(3));
        assert_eq!(read("text"), Some(4));
        for key in ["bad", "null", "minus", "huge", "absent"] {
            assert_eq!(read(key), None, "{key}");
        }
        assert_eq!(whole(&json!({"big": u64::MAX}), "big"), Some(u64::MAX));
    }

    #[test]
    fn a_text_where_a_list_should_be_is_a_list_of_one() {
        assert_eq!(texts(&json!({"license": "mit"}), "license"), ["mit"]);
        assert_eq!(texts(&json!({"license": ["mit", null, 2]}), "license"), ["mit", "2"]);
        assert!(texts(&json!({"license": {}}), "license").is_empty());
    }

    #[test]
    fn times_are_milliseconds_and_nonsense_is_none() {
        let value = json!({"at": "2024-12-11T03:00:32.969Z", "bad": "soon", "number": 5});
        assert_eq!(time(&value, "at"), Some(Timestamp::from_unix_ms(1_733_886_032_969)));
        assert_eq!(time(&value, "bad"), None);
        assert_eq!(time(&value, "number"), None);
    }
}
