//! The fields of the filter language: their names, and what their values mean.

use super::{Condition, Fact, Filter, Label, Number, Place};
use crate::filter::{Operator, Wrong, bytes, count, one_of, seconds, within};
use paintbox_domain::follow::Maturity;
use paintbox_domain::hub::ModelState;
use paintbox_domain::{Architecture, FileFormat, ModelKind};

#[derive(Clone, Copy)]
enum Field {
    Kind,
    Hub,
    State,
    Label(Label),
    Fact(Fact),
    Words(Place),
    Number(Number),
}

/// Every name, the preferred one of a field first.
const FIELDS: &[(&str, Field)] = &[
    ("kind", Field::Kind),
    ("type", Field::Kind),
    ("base", Field::Label(Label::BaseModel)),
    ("base_model", Field::Label(Label::BaseModel)),
    ("creator", Field::Label(Label::Creator)),
    ("author", Field::Label(Label::Creator)),
    ("hub", Field::Hub),
    ("architecture", Field::Label(Label::Architecture)),
    ("arch", Field::Label(Label::Architecture)),
    ("downloaded", Field::Fact(Fact::Downloaded)),
    ("nsfw", Field::Number(Number::Nsfw)),
    ("license.commercial", Field::Fact(Fact::Commercial)),
    ("licence.commercial", Field::Fact(Fact::Commercial)),
    ("license.derivatives", Field::Fact(Fact::Derivatives)),
    ("licence.derivatives", Field::Fact(Fact::Derivatives)),
    ("license.credit", Field::Fact(Fact::Credit)),
    ("licence.credit", Field::Fact(Fact::Credit)),
    ("license.sell", Field::Fact(Fact::Sell)),
    ("licence.sell", Field::Fact(Fact::Sell)),
    ("tag", Field::Words(Place::Tags)),
    ("word", Field::Words(Place::TrainedWords)),
    ("trigger", Field::Words(Place::TrainedWords)),
    ("name", Field::Words(Place::Name)),
    ("created", Field::Number(Number::Created)),
    ("published", Field::Number(Number::Created)),
    ("updated", Field::Number(Number::Updated)),
    ("downloads", Field::Number(Number::Downloads)),
    ("likes", Field::Number(Number::Likes)),
    ("size", Field::Number(Number::Size)),
    ("format", Field::Label(Label::Format)),
    ("precision", Field::Label(Label::Precision)),
    ("state", Field::State),
    ("gone", Field::Fact(Fact::Gone)),
    ("early_access", Field::Fact(Fact::EarlyAccess)),
    ("followed", Field::Fact(Fact::Followed)),
];

/// The names that people are told.
pub(super) fn known() -> String {
    let second = ["type", "base_model", "author", "arch", "trigger", "published"];
    let names = FIELDS.iter().map(|(name, _)| *name);
    names.filter(|name| !second.contains(name) && !name.starts_with("licence.")).collect::<Vec<_>>().join(", ")
}

pub(super) fn condition(name: &str, operator: Operator, value: &str) -> Result<Filter, Wrong> {
    let lower = name.to_lowercase();
    let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == lower) else {
        return Err(Wrong::Field(format!("there is no field `{name}`; there are {}", known())));
    };
    if let Field::Number(number) = field {
        return Ok(within(operator, span(*number, value)?, is_within(*number)));
    }
    let condition = match field {
        Field::Kind => Condition::Kind(one_of(name, value, ModelKind::from_name, ModelKind::ALL)?),
        Field::State => Condition::State(one_of(name, value, ModelState::from_name, ModelState::ALL)?),
        Field::Hub => Condition::Hub(hub(value)?.to_owned()),
        Field::Label(of) => {
            let text = match of {
                Label::Architecture => one_of(name, value, Architecture::from_name, Architecture::ALL)?.as_str(),
                Label::Format => one_of(name, value, FileFormat::from_name, FileFormat::ALL)?.as_str(),
                Label::BaseModel | Label::Creator | Label::Precision => value,
            };
            let (text, open) = text.strip_suffix('*').map_or((text, false), |begin| (begin, true));
            Condition::Label { of: *of, text: text.to_owned(), open }
        }
        Field::Fact(fact) => Condition::Fact { fact: *fact, holds: yes_or_no(name, value)? },
        Field::Words(Place::Name) if matches!(operator, Operator::Equal | Operator::NotEqual) => {
            Condition::Named(value.to_owned())
        }
        Field::Words(place) => Condition::Words { place: *place, text: value.to_owned() },
        Field::Number(_) => return Err(Wrong::Field(format!("`{name}` is a number"))),
    };
    Filter::unordered(name, operator, condition)
}

fn hub(value: &str) -> Result<&'static str, Wrong> {
    match value.to_ascii_lowercase().as_str() {
        "civitai" => Ok("civitai"),
        "hf" | "huggingface" => Ok("hf"),
        "local" => Ok("local"),
        _ => Err(Wrong::Value(format!("`{value}` is no hub; there are civitai, hf and local"))),
    }
}

fn yes_or_no(field: &str, value: &str) -> Result<bool, Wrong> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" => Ok(true),
        "false" | "no" => Ok(false),
        _ => Err(Wrong::Value(format!("`{field}` is true or false, not `{value}`"))),
    }
}

/// Everything that a value of a number can mean: of a day, all its seconds.
fn span(number: Number, value: &str) -> Result<(u64, u64), Wrong> {
    let found = match number {
        Number::Downloads | Number::Likes => count(value).map(|count| (count, count)),
        Number::Size => bytes(value).map(|bytes| (bytes, bytes)),
        Number::Created | Number::Updated => seconds(value),
        Number::Nsfw => rating(value).map(|rating| (rating, rating)),
    };
    found.ok_or_else(|| {
        let how = match number {
            Number::Downloads | Number::Likes => "a number such as 1000",
            Number::Size => "a size such as 2GB or 500MiB",
            Number::Created | Number::Updated => "a time such as 2026, 2026-01, 2026-01-31 or 2026-01-31T09:00:00Z",
            Number::Nsfw => "a rating: unrated, pg (none), pg13 (soft), r (mature), x or xxx",
        };
        Wrong::Value(format!("`{value}` is not {how}"))
    })
}

fn is_within(of: Number) -> impl Fn(u64, u64) -> Filter {
    move |least, most| Condition::Number { of, least, most }.into()
}

fn rating(value: &str) -> Option<u64> {
    let maturity = match value.to_ascii_lowercase().as_str() {
        "unrated" => return Some(0),
        // The words that CivitAI had before it took those of films.
        "none" => Maturity::Pg,
        "soft" | "pg-13" => Maturity::Pg13,
        "mature" => Maturity::R,
        name => Maturity::from_name(name)?,
    };
    Some(u64::from(ordinal(Some(maturity))))
}

fn ordinal(maturity: Option<Maturity>) -> u8 {
    match maturity {
        None => 0,
        Some(Maturity::Pg) => 1,
        Some(Maturity::Pg13) => 2,
        Some(Maturity::R) => 3,
        Some(Maturity::X) => 4,
        Some(Maturity::Xxx) => 5,
    }
}

/// The strongest rating of CivitAI's bitmask as [`Number::Nsfw`] counts.
pub(crate) fn nsfw_ordinal(mask: u32) -> u8 {
    ordinal(Maturity::of_mask(mask))
}
