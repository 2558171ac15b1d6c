//! A licence in words.
//!
//! Hugging Face names one. CivitAI has four permissions instead, which are kept as the JSON that it sends; the words for
//! them are those of a model's page there.

use crate::render::sanitize;
use serde_json::Value;

/// What may be done with a model, in one line.
pub(crate) fn words(licence: &str) -> String {
    match serde_json::from_str(licence) {
        Ok(permissions @ Value::Object(_)) => permitted(&permissions),
        _ => sanitize::line(licence),
    }
}

fn permitted(permissions: &Value) -> String {
    let allowed = |name| permissions.get(name).and_then(Value::as_bool);
    let mut words = Vec::new();
    match allowed("allowNoCredit") {
        Some(true) => words.push("no credit needed".to_owned()),
        Some(false) => words.push("credit the creator".to_owned()),
        None => {}
    }
    words.extend(permissions.get("allowCommercialUse").map(commercial));
    match (allowed("allowDerivatives"), allowed("allowDifferentLicense")) {
        (Some(false), _) => words.push("share no merges".to_owned()),
        (Some(true), Some(false)) => words.push("share merges under the same permissions".to_owned()),
        (Some(true), _) => words.push("share merges".to_owned()),
        (None, _) => {}
    }
    words.join(" · ")
}

/// A list, one name, or an array of PostgreSQL's written as text, `{Image,RentCivit}`.
fn commercial(allowed: &Value) -> String {
    let names: Vec<&str> = match allowed {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        Value::String(names) => names.trim_matches(['{', '}']).split(',').map(str::trim).collect(),
        _ => Vec::new(),
    };
    let uses: Vec<String> =
        names.into_iter().filter(|name| !matches!(*name, "" | "None")).map(commercial_use).collect();
    if uses.is_empty() { "no commercial use".to_owned() } else { uses.join(" · ") }
}

fn commercial_use(name: &str) -> String {
    match name {
        "Image" => "sell images".to_owned(),
        "RentCivit" => "run on CivitAI".to_owned(),
        "Rent" => "run on services for money".to_owned(),
        "Sell" => "sell the model and merges".to_owned(),
        other => sanitize::line(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civitai_s_permissions_are_said_as_on_a_model_s_page() {
        let all = r#"{"allowNoCredit":true,"allowCommercialUse":["Image","RentCivit","Rent","Sell"],"allowDerivatives":true,"allowDifferentLicense":true}"#;
        assert_eq!(
            words(all),
            "no credit needed · sell images · run on CivitAI · run on services for money · sell the model and merges · \
             share merges"
        );
        let few =
            r#"{"allowNoCredit":false,"allowCommercialUse":[],"allowDerivatives":true,"allowDifferentLicense":false}"#;
        assert_eq!(words(few), "credit the creator · no commercial use · share merges under the same permissions");
        for older in
            [r#"{"allowCommercialUse":"{Image,RentCivit}"}"#, r#"{"allowCommercialUse":["Image","RentCivit"]}"#]
        {
            assert_eq!(words(older), "sell images · run on CivitAI");
        }
        assert_eq!(
            words(r#"{"allowCommercialUse":"None","allowDerivatives":false}"#),
            "no commercial use · share no merges"
        );
        assert_eq!(words(r#"{"allowCommercialUse":["Lend"]}"#), "Lend");
    }

    #[test]
    fn other_licences_are_names() {
        assert_eq!(words("openrail++"), "openrail++");
        assert_eq!(words(""), "");
        assert_eq!(words("[1]"), "[1]");
        assert_eq!(words("mit\u{1b}[2J"), sanitize::line("mit\u{1b}[2J"));
    }
}
