//! Values that the fields of several lists have.

use super::lex::Operator;
use super::{Expression, Wrong};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A value of a closed set of names, in any case.
///
/// # Errors
/// When it is none of them, with all of them.
pub fn one_of<T: Copy + std::fmt::Display>(
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

/// The numbers from `least` to `most`, both of which a value can mean, as an operator has them: their bounds, both included.
pub fn within<C>(
    operator: Operator,
    (least, most): (u64, u64),
    is: impl Fn(u64, u64) -> Expression<C>,
) -> Expression<C> {
    // One more than the most that there can be is within no bounds.
    match operator {
        Operator::Has | Operator::Equal => is(least, most),
        Operator::NotEqual => Expression::Not(Box::new(is(least, most))),
        Operator::Less => least.checked_sub(1).map_or_else(|| is(1, 0), |most| is(0, most)),
        Operator::LessOrEqual => is(0, most),
        Operator::Greater => most.checked_add(1).map_or_else(|| is(1, 0), |least| is(least, u64::MAX)),
        Operator::GreaterOrEqual => is(least, u64::MAX),
    }
}

/// A number without a sign.
pub(crate) fn count(value: &str) -> Option<u64> {
    Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// KB, MB, GB and TB are powers of 1000, KiB to TiB of 1024.
pub(crate) fn bytes(value: &str) -> Option<u64> {
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

/// The first and last second of a year, a month, a day or a moment, of UTC.
#[must_use]
pub fn seconds(value: &str) -> Option<(u64, u64)> {
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
