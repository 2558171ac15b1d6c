//! Moments of the past as people write them: `2026-11-20`, `2026-11-20T09:00:00Z`, `3 days ago`; and lengths of time:
//! `12h`, `7d`.
//!
//! A day is a day of UTC, as in everything that this program prints for other programs.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp, ToSpan as _};
use std::time::Duration;

/// The moment that a text means. A date alone means the end of that day, so that what happened on it counts; of today,
/// that is now.
///
/// # Errors
/// What is wrong with the text, in words.
pub(crate) fn past(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    const HOW: &str = "write a date (2026-11-20), a time (2026-11-20T09:00:00Z) or words (3 days ago)";
    let words = text.trim().to_ascii_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let today = TimeZone::UTC.to_datetime(now).date();
    let moment = match words.as_str() {
        "now" | "today" => Some(now),
        "yesterday" => today.yesterday().ok().and_then(end_of),
        words => match iso_date(words) {
            Some(date) if date == today => Some(now),
            Some(date) => end_of(date),
            None => words.to_ascii_uppercase().parse::<Timestamp>().ok().or_else(|| ago(words, now)),
        },
    };
    match moment {
        None => Err(HOW.to_owned()),
        Some(moment) if moment > now => Err("it lies in the future".to_owned()),
        Some(moment) => Ok(moment),
    }
}

/// A date as `2026-01-31` and in no other way: jiff reads more than the daemon is promised.
pub(crate) fn iso_date(text: &str) -> Option<Date> {
    text.parse::<Date>().ok().filter(|date| date.to_string() == text)
}

/// The last second of a day.
fn end_of(date: Date) -> Option<Timestamp> {
    let last = date.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    last.checked_sub(1.second()).ok()
}

/// `3 days ago`, `an hour ago`, `2 weeks 1 day ago`, `last month`.
fn ago(words: &str, now: Timestamp) -> Option<Timestamp> {
    let spelled = match (words.strip_prefix("last "), words.strip_prefix("a ").or(words.strip_prefix("an "))) {
        (Some(unit), _) => format!("1 {unit} ago"),
        (None, Some(rest)) => format!("1 {rest}"),
        (None, None) => words.to_owned(),
    };
    // Without the word, jiff would also read `3 days` and `P3D`, which say nothing of the past.
    if !spelled.ends_with(" ago") {
        return None;
    }
    let span: Span = spelled.parse().ok()?;
    Some(now.to_zoned(TimeZone::UTC).checked_add(span).ok()?.timestamp())
}

/// A length of time, such as `7d`, `12h` or `1 week 2 days`. Months and years have no length of their own.
///
/// # Errors
/// What is wrong with the text, in words.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    const HOW: &str = "write a number with its unit: 90m, 12h, 7d, 2w";
    let words = text.trim().to_ascii_lowercase();
    // jiff also reads signs, ISO 8601 and `3 days ago`, which is no length.
    if !words.starts_with(|c: char| c.is_ascii_digit()) || words.ends_with("ago") {
        return Err(HOW.to_owned());
    }
    let span = words.parse::<Span>().ok().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    match span.map(Duration::try_from) {
        Some(Ok(length)) if length.is_zero() => Err("it is no time at all".to_owned()),
        Some(Ok(length)) => Ok(length),
        Some(Err(_)) | None => Err(HOW.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-25T12:00:00Z.
    fn now() -> Timestamp {
        Timestamp::from_second(1_795_608_000).unwrap()
    }

    #[test]
    fn dates_times_and_words_are_moments() {
        for (given, wanted) in [
            ("2026-11-20", "2026-11-20T23:59:59Z"),
            ("2026-11-25", "2026-11-25T12:00:00Z"),
            ("today", "2026-11-25T12:00:00Z"),
            ("Yesterday", "2026-11-24T23:59:59Z"),
            ("2026-11-20T09:30:00Z", "2026-11-20T09:30:00Z"),
            ("2026-11-20t09:30:00+02:00", "2026-11-20T07:30:00Z"),
            ("3 days ago", "2026-11-22T12:00:00Z"),
            (" an  hour ago ", "2026-11-25T11:00:00Z"),
            ("2 weeks 1 day ago", "2026-11-10T12:00:00Z"),
            ("a month ago", "2026-10-25T12:00:00Z"),
            ("last year", "2025-11-25T12:00:00Z"),
        ] {
            assert_eq!(past(given, now()).unwrap().to_string(), wanted, "{given}");
        }
    }

    #[test]
    fn the_future_and_what_is_no_moment_are_refused() {
        for given in ["2026-11-26", "2026-11-25T12:00:01Z"] {
            assert_eq!(past(given, now()), Err("it lies in the future".to_owned()), "{given}");
        }
        for given in [
            "",
            "soon",
            "-3 days ago",
            "3 days",
            "P3D",
            "20261120",
            "2026-02-30",
            "2026-11-20T09:30",
            "999999 years ago",
        ] {
            let problem = past(given, now()).unwrap_err();
            assert!(problem.starts_with("write a date"), "{given}: {problem}");
        }
    }

    #[test]
    fn lengths_of_time_have_a_number_and_a_unit() {
        for (given, hours) in [
            ("12h", 12),
            ("7d", 7 * 24),
            ("2w", 14 * 24),
            (" 7 Days ", 7 * 24),
            ("1 week 1 day", 8 * 24),
            ("1d 12h", 36),
            ("120m", 2),
        ] {
            assert_eq!(length(given), Ok(Duration::from_secs(hours * 3_600)), "{given}");
        }
        assert_eq!(length("0d"), Err("it is no time at all".to_owned()));
        for given in ["", "7", "d", "-7d", "+7d", "P7D", "7 days ago", "1 month", "1y", "a week", "99999999999999d"] {
            assert!(length(given).is_err_and(|problem| problem.starts_with("write a number")), "{given}");
        }
    }
}
