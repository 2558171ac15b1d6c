//! What a licence allows, as far as it can be told from what a hub says.
//!
//! CivitAI gives four permissions as JSON, whose meaning is that of the words on a model's page. Hugging Face gives a
//! licence's id (huggingface.co/docs/hub/repositories-licenses); those that are read here are standard texts.

use serde_json::Value;

/// None where it cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Permissions {
    /// Pictures made with the model may be sold.
    pub(crate) commercial: Option<bool>,
    /// Merges may be shared.
    pub(crate) derivatives: Option<bool>,
    /// The creator must be named.
    pub(crate) credit: Option<bool>,
    /// The model itself may be sold.
    pub(crate) sell: Option<bool>,
}

pub(crate) fn permissions(licence: &str) -> Permissions {
    match licence.trim_start().starts_with('{').then(|| serde_json::from_str(licence)) {
        Some(Ok(Value::Object(said))) => {
            let allowed = |name| said.get(name).and_then(Value::as_bool);
            let uses = said.get("allowCommercialUse").map(uses);
            let any = |of: &[&str]| uses.as_ref().map(|uses| uses.iter().any(|found| of.contains(&found.as_str())));
            Permissions {
                // Each use included those before it when there could be only one.
                commercial: any(&["Image", "Rent", "Sell"]),
                derivatives: allowed("allowDerivatives"),
                credit: allowed("allowNoCredit").map(|none_needed| !none_needed),
                sell: any(&["Sell"]),
            }
        }
        _ => of_id(&licence.trim().to_ascii_lowercase()),
    }
}

/// A list, one name, or an array of PostgreSQL's written as text, `{Image,RentCivit}`.
fn uses(allowed: &Value) -> Vec<String> {
    match allowed {
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(names) => names.trim_matches(['{', '}']).split(',').map(|name| name.trim().to_owned()).collect(),
        _ => Vec::new(),
    }
}

fn of_id(id: &str) -> Permissions {
    let told = |commercial, derivatives, credit, sell| Permissions {
        commercial: Some(commercial),
        derivatives: Some(derivatives),
        credit: Some(credit),
        sell: Some(sell),
    };
    match id {
        "cc0-1.0" | "unlicense" | "wtfpl" | "pddl" | "0bsd" => told(true, true, false, true),
        "mit"
        | "apache-2.0"
        | "bsd"
        | "bsd-2-clause"
        | "bsd-3-clause"
        | "isc"
        | "zlib"
        | "gpl"
        | "gpl-2.0"
        | "gpl-3.0"
        | "agpl-3.0"
        | "lgpl"
        | "lgpl-2.1"
        | "lgpl-3.0"
        | "mpl-2.0"
        | "openrail"
        | "openrail++"
        | "creativeml-openrail-m"
        | "bigscience-openrail-m"
        | "bigcode-openrail-m"
        | "afl-3.0"
        | "artistic-2.0" => told(true, true, true, true),
        id if id.starts_with("cc-by") => {
            let parts: Vec<&str> = id.split('-').collect();
            let commercial = !parts.contains(&"nc");
            told(commercial, !parts.contains(&"nd"), true, commercial)
        }
        _ => Permissions::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(licence: &str) -> [Option<bool>; 4] {
        let Permissions { commercial, derivatives, credit, sell } = permissions(licence);
        [commercial, derivatives, credit, sell]
    }

    #[test]
    fn permissions_are_read_where_they_are_told() {
        let [yes, no] = [Some(true), Some(false)];
        for (licence, wanted) in [
            (
                r#"{"allowNoCredit":true,"allowCommercialUse":["Image","Rent"],"allowDerivatives":false}"#,
                [yes, no, no, no],
            ),
            (r#"{"allowCommercialUse":"Sell","allowNoCredit":false}"#, [yes, None, yes, yes]),
            (r#"{"allowCommercialUse":"{RentCivit}"}"#, [no, None, None, no]),
            (r#"{"allowCommercialUse":[]}"#, [no, None, None, no]),
            (r#"{"allowCommercialUse":"None"}"#, [no, None, None, no]),
            ("{", [None; 4]),
            ("{}", [None; 4]),
            ("Apache-2.0", [yes; 4]),
            ("cc0-1.0", [yes, yes, no, yes]),
            ("cc-by-nc-nd-4.0", [no, no, yes, no]),
            ("cc-by-sa-4.0", [yes; 4]),
            ("other", [None; 4]),
            ("", [None; 4]),
        ] {
            assert_eq!(told(licence), wanted, "{licence}");
        }
    }
}
