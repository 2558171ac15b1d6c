//! A request's arguments by name, each of its own kind or refused by its name. Numbers and flags may come as text, as forms
//! have them; null is as good as nothing.

use super::problem::Problem;
use serde_json::{Map, Value};
use std::sync::Arc;

/// An object's values, which cost nothing to hand on.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Arc<Map<String, Value>>);

impl Fields {
    /// A JSON object.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(map.into()),
            Ok(_) => Err(Problem::invalid("body", "it is JSON, but no object")),
            Err(error) => Err(Problem::invalid("body", format!("it is no JSON: {error}"))),
        }
    }

    pub(super) fn put(&mut self, name: String, text: String) {
        Arc::make_mut(&mut self.0).insert(name, Value::String(text));
    }

    /// Anything but null.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Text, without the space around it where that is all there is.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, other, "text")),
        }
    }

    /// Text that says something.
    pub(super) fn word(&self, name: &str) -> Result<Option<&str>, Problem> {
        Ok(self.text(name)?.map(str::trim).filter(|text| !text.is_empty()))
    }

    pub(super) fn whole(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let whole = match value {
            Value::Number(number) => number.as_i64().or_else(|| whole_of(number.as_f64()?)),
            Value::String(text) if text.trim().is_empty() => return Ok(None),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        whole.map(Some).ok_or_else(|| wrong(name, value, "a whole number"))
    }

    /// A whole number within bounds.
    pub(super) fn count(&self, name: &str, bounds: std::ops::RangeInclusive<u32>) -> Result<Option<u32>, Problem> {
        let Some(given) = self.whole(name)? else { return Ok(None) };
        match u32::try_from(given).ok().filter(|number| bounds.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let problem = format!("{given} is not between {} and {}", bounds.start(), bounds.end());
                Err(Problem::invalid(name, problem))
            }
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f32>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) if text.trim().is_empty() => return Ok(None),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        // Every setting here is a single-precision number; what does not fit is out of all bounds anyway.
        let number = number.map(|number: f64| number as f32).filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| wrong(name, value, "a number"))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let flag = match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => number.as_f64().map(|number| number != 0.0),
            Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" | "" => Some(false),
                _ => None,
            },
            _ => None,
        };
        flag.map(Some).ok_or_else(|| wrong(name, value, "true or false"))
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map.clone().into())),
            Some(other) => Err(wrong(name, other, "an object")),
        }
    }

    pub(super) fn list(&self, name: &str) -> Result<&[Value], Problem> {
        match self.value(name) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => Err(wrong(name, other, "a list")),
        }
    }

    /// A list of text.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&str>, Problem> {
        let mut texts = Vec::new();
        for value in self.list(name)? {
            texts.push(value.as_str().ok_or_else(|| wrong(name, value, "text"))?);
        }
        Ok(texts)
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        Self(Arc::new(map))
    }
}

fn whole_of(number: f64) -> Option<i64> {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= LARGEST).then_some(number as i64)
}

/// The beginning of what was given, and what it is not.
fn wrong(name: &str, given: &Value, wanted: &str) -> Problem {
    const SHOWN: usize = 60;
    let text = match given {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    };
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    Problem::invalid(name, format!("{shown} is not {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::read(json.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_and_flags_may_be_text_as_in_forms() {
        let given = fields(r#"{"n": "2", "size": 3.0, "x": "0.5", "on": "true", "off": 0, "none": null, "empty": ""}"#);
        assert_eq!((given.whole("n").unwrap(), given.whole("size").unwrap()), (Some(2), Some(3)));
        assert_eq!(given.number("x").unwrap(), Some(0.5));
        assert_eq!((given.flag("on").unwrap(), given.flag("off").unwrap()), (Some(true), Some(false)));
        assert_eq!((given.whole("none").unwrap(), given.whole("empty").unwrap()), (None, None));
        assert_eq!((given.word("empty").unwrap(), given.text("empty").unwrap()), (None, Some("")));
    }

    #[test]
    fn what_is_of_the_wrong_kind_is_refused_by_name() {
        let given =
            fields(r#"{"a": [1], "b": {"x": 1}, "c": "many", "d": 1.5, "e": 1e300, "f": 99999999999999999999}"#);
        let names = [
            given.text("a").unwrap_err(),
            given.whole("b").unwrap_err(),
            given.number("c").unwrap_err(),
            given.whole("d").unwrap_err(),
            given.number("e").unwrap_err(),
            given.whole("f").unwrap_err(),
            given.flag("c").unwrap_err(),
            given.object("a").unwrap_err(),
            given.list("b").unwrap_err(),
            given.texts("a").unwrap_err(),
            given.count("d", 1..=4).unwrap_err(),
        ];
        let names: Vec<_> = names.iter().map(|problem| problem.field().unwrap()).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e", "f", "c", "a", "b", "a", "d"]);
        for body in ["", "[]", "1", "{", "\u{0}", "nul"] {
            assert_eq!(Fields::read(body.as_bytes()).unwrap_err().field(), Some("body"), "{body}");
        }
    }
}
