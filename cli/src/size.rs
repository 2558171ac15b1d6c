//! Sizes and rates as people write them: `8GB`, `1.5 GiB`, `5MB/s`.

/// Bytes of a size with its unit. KB, MB, GB and TB are powers of 1000, KiB to TiB of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err("write a number with its unit: KB, MB, GB, TB, or KiB, MiB, GiB, TiB".to_owned()),
    };
    match times(number, factor) {
        Some(0) => Err("it is no size at all".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("the number before the unit cannot be read, or is too large".to_owned()),
    }
}

/// Bytes a second; `/s` may be written or left out.
pub(crate) fn bytes_per_second(text: &str) -> Result<u64, String> {
    let text = text.trim();
    bytes(text.strip_suffix("/s").unwrap_or(text))
}

/// A decimal number times a factor, rounded down. Exact, because a limit that is a byte off is a puzzle.
fn times(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 12 {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let parts = u128::from(digits(fraction)?) * u128::from(factor) / scale;
    let total = u128::from(digits(whole)?) * u128::from(factor) + parts;
    u64::try_from(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_decimal_or_binary_as_written() {
        for (given, wanted) in [
            ("8GB", 8_000_000_000),
            ("8 gb", 8_000_000_000),
            ("1.5GiB", 1_610_612_736),
            ("200TB", 200_000_000_000_000),
            ("1KiB", 1_024),
            (".5 MB", 500_000),
            ("10B", 10),
        ] {
            assert_eq!(bytes(given), Ok(wanted), "{given}");
        }
        assert_eq!((bytes_per_second("5MB/s"), bytes_per_second("5MB")), (Ok(5_000_000), Ok(5_000_000)));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for given in ["", "8", "GB", "8G", "-1GB", "1..5GB", "0MB", "0.1B", "99999999999TB", "8GB/s", "1e9B", "."] {
            assert!(bytes(given).is_err(), "{given}");
        }
    }
}
