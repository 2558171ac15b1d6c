//! Numbers and times as people read them, and times as programs do.

use jiff::Timestamp;

/// Decimal bytes with three significant digits: `512 B`, `16.6 MB`, `2.13 GB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    // 999.5 would be shown as 1000, which belongs to the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// `1 file`, `3 files`, `12,345 downloads`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Thousands apart: `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time of the wire; none when it cannot be a time.
pub(crate) fn timestamp(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// RFC 3339 in UTC.
pub(crate) fn rfc3339(time: Option<&prost_types::Timestamp>) -> Option<String> {
    time.and_then(timestamp).map(|time| time.to_string())
}

/// How long ago or how soon: `3 days ago`, `in 5 minutes`; `-` when unknown.
pub(crate) fn relative(time: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let Some(time) = time.and_then(timestamp) else {
        return "-".to_owned();
    };
    let seconds = now.as_second() - time.as_second();
    let apart = seconds.unsigned_abs();
    let (amount, unit) = match apart {
        0..=44 => return if seconds >= 0 { "just now" } else { "in a moment" }.to_owned(),
        45..=2_699 => ((apart + 30) / 60, "minute"),
        2_700..=79_199 => ((apart + 1_800) / 3_600, "hour"),
        79_200..=2_505_599 => ((apart + 43_200) / 86_400, "day"),
        2_505_600..=28_857_599 => ((apart + 1_314_900) / 2_629_800, "month"),
        _ => ((apart + 15_778_800) / 31_557_600, "year"),
    };
    let amount = count(amount.max(1), unit);
    if seconds >= 0 { format!("{amount} ago") } else { format!("in {amount}") }
}

/// The hour of a time that is less than a day away, with its date when it is farther: `00:05 UTC`,
/// `2026-01-03 00:05 UTC`. The zone is said, because nothing here knows the reader's.
pub(crate) fn clock(time: Timestamp, now: Timestamp) -> String {
    let apart = (time.as_second() - now.as_second()).unsigned_abs();
    let format = if apart < 86_400 { "%H:%M UTC" } else { "%Y-%m-%d %H:%M UTC" };
    time.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_show_three_digits() {
        for (given, wanted) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (16_600_000, "16.6 MB"),
            (999_999, "1.00 MB"),
            (2_132_625_894, "2.13 GB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(bytes(given), wanted);
        }
    }

    #[test]
    fn counts_agree_with_their_noun() {
        assert_eq!(
            (count(1, "file"), count(0, "file"), count(1_234_567, "file")),
            ("1 file".into(), "0 files".into(), "1,234,567 files".into())
        );
    }

    #[test]
    fn relative_times_read_well() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for (offset, wanted) in [
            (0, "just now"),
            (-60, "1 minute ago"),
            (-3_600, "1 hour ago"),
            (-86_400, "1 day ago"),
            (-3 * 86_400, "3 days ago"),
            (-40 * 86_400, "1 month ago"),
            (-800 * 86_400, "2 years ago"),
            (300, "in 5 minutes"),
            (10, "in a moment"),
        ] {
            let time = prost_types::Timestamp { seconds: now.as_second() + offset, nanos: 0 };
            assert_eq!(relative(Some(&time), now), wanted);
        }
        assert_eq!(relative(None, now), "-");
        let never = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        assert_eq!((relative(Some(&never), now), rfc3339(Some(&never))), ("-".to_owned(), None));
    }

    #[test]
    fn times_for_programs_are_rfc_3339() {
        let time = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 };
        assert_eq!(rfc3339(Some(&time)).unwrap(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_clock_says_the_day_only_when_it_matters() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let after = |seconds: i64| Timestamp::from_second(now.as_second() + seconds).unwrap();
        assert_eq!(clock(after(3_600), now), "23:13 UTC");
        assert_eq!(clock(after(-3_600), now), "21:13 UTC");
        assert_eq!(clock(after(86_400), now), "2023-11-15 22:13 UTC");
    }
}
