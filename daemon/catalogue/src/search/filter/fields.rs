//! The fields of the filter language: their names, and what their values mean.

use super::lex::Operator;
use super::{Condition, Fact, Filter, Label, Number, Place};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use paintbox_domain::follow::Maturity;
use paintbox_domain::hub::ModelState;
use paintbox_domain::{Architecture, FileFormat, ModelKind};

/// What is wrong with a comparison, in words.
pub(super) enum Wrong {
    /// With the field, or with its operator.
    Field(String),
    Value(String),
}

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
        return within(*number, operator, span(*number, value)?);
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
    match operator {
        Operator::Has | Operator::Equal => Ok(condition.into()),
        Operator::NotEqual => Ok(Filter::Not(Box::new(condition.into()))),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            Err(Wrong::Field(format!("`{name}` has no order, so `{}` cannot be asked of it", operator.as_str())))
        }
    }
}

/// A value of a closed set of names, in any case.
fn one_of<T: Copy + std::fmt::Display>(
    field: &str,
    value: &str,
    from_name: fn(&str) -> Option<T>,
    all: &[T],
) -> Result<T, Wrong> {
    from_name(&value.to_ascii_lowercase()).ok_or_else(|| {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        Wrong::Value(format!("`{value}` is no {field}; there are {}", all.join(", ")))
    })
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

fn within(of: Number, operator: Operator, (least, most): (u64, u64)) -> Result<Filter, Wrong> {
    let is = |least, most| Filter::from(Condition::Number { of, least, most });
    // One more than the most that there can be is within no bounds.
    Ok(match operator {
        Operator::Has | Operator::Equal => is(least, most),
        Operator::NotEqual => Filter::Not(Box::new(is(least, most))),
        Operator::Less => least.checked_sub(1).map_or_else(|| is(1, 0), |most| is(0, most)),
        Operator::LessOrEqual => is(0, most),
        Operator::Greater => most.checked_add(1).map_or_else(|| is(1, 0), |least| is(least, u64::MAX)),
        Operator::GreaterOrEqual => is(least, u64::MAX),
    })
}

fn count(value: &str) -> Option<u64> {
    Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// KB, MB, GB and TB are powers of 1000, KiB to TiB of 1024.
fn bytes(value: &str) -> Option<u64> {
    let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len()));
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 12)?);
    let total = u128::from(count(whole)?) * u128::from(unit) + u128::from(count(fraction)?) * u128::from(unit) / scale;
    u64::try_from(total).ok()
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

/// The first and last second of a year, a month, a day or a moment, of UTC.
fn seconds(value: &str) -> Option<(u64, u64)> {
    let numbers: Option<Vec<i16>> = value
        .split('-')
        .zip([4, 2, 2, 0])
        .map(|(part, digits)| Some(part).filter(|part| part.len() == digits && count(part).is_some())?.parse().ok())
        .collect();
    let (first, length) = match numbers.as_deref() {
        Some([year]) => (Date::new(*year, 1, 1).ok()?, Span::new().years(1)),
        Some([year, month]) => (Date::new(*year, i8::try_from(*month).ok()?, 1).ok()?, Span::new().months(1)),
        Some([year, month, day]) => {
            (Date::new(*year, i8::try_from(*month).ok()?, i8::try_from(*day).ok()?).ok()?, Span::new().days(1))
        }
        _ => {
            let moment = value.to_ascii_uppercase().parse::<Timestamp>().ok()?;
            return since_1970(moment.as_second()).map(|second| (second, second));
        }
    };
    let begin = |date: Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second());
    Some((since_1970(begin(first)?)?, since_1970(begin(first.checked_add(length).ok()?)? - 1)?))
}

fn since_1970(second: i64) -> Option<u64> {
    u64::try_from(second).ok()
}
