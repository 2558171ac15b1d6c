//! The flags that say which of a follow's work is fetched, and what they mean on the wire.

use crate::commands::KINDS;
use crate::moment::iso_date;
use crate::size;
use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is fetched (left out: as the daemon's configuration says)")]
pub(super) struct PolicyArguments {
    /// How much of what is already there: none, all, the number of newest versions, or those since a date
    #[arg(long, value_parser = backfill, value_name = "none|all|N|since:DATE")]
    backfill: Option<String>,
    /// checkpoint, lora, textual_inversion, vae, controlnet, upscaler, text_encoder, network or other; may be repeated
    #[arg(long = "kind", value_parser = KINDS, value_delimiter = ',', value_name = "KIND", hide_possible_values = true)]
    kinds: Vec<String>,
    /// Only models for this base model, as the hub labels it ("SDXL 1.0"); may be repeated
    #[arg(long = "base-model", value_name = "LABEL")]
    base_models: Vec<String>,
    /// Only files of this format: safetensors or gguf; may be repeated
    #[arg(long = "format", value_parser = ["safetensors", "gguf"], value_delimiter = ',', value_name = "FORMAT", hide_possible_values = true)]
    formats: Vec<String>,
    /// Leave files that are larger than this, such as 8GB
    #[arg(long, value_parser = size::bytes, value_name = "SIZE")]
    max_file_size: Option<u64>,
    /// Keep this follow's files together below this size, such as 200GB
    #[arg(long, value_parser = size::bytes, value_name = "SIZE")]
    max_total_size: Option<u64>,
    /// Only so many newest versions of each model
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    keep_last: Option<u32>,
    /// The strongest rating that is fetched: pg, pg13, r, x or xxx
    #[arg(long, value_parser = ["pg", "pg13", "r", "x", "xxx"], ignore_case = true, value_name = "RATING", hide_possible_values = true)]
    max_maturity: Option<String>,
    /// Versions that must be paid for at first: wait fetches them when that ends, never leaves them
    #[arg(long, value_parser = ["wait", "never"], value_name = "wait|never", hide_possible_values = true)]
    early_access: Option<String>,
    /// Tell about new versions and fetch none
    #[arg(long)]
    notify_only: bool,
    /// Only models with one of these tags; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    include_tags: Vec<String>,
    /// No models with one of these tags; may be repeated
    #[arg(long = "exclude-tag", value_name = "TAG")]
    exclude_tags: Vec<String>,
    /// When nothing is fetched, in the daemon's local time, such as 22:00-07:00; off for never
    #[arg(long, value_parser = quiet_hours, value_name = "HH:MM-HH:MM")]
    quiet_hours: Option<String>,
    /// At most so many bytes a second, such as 5MB
    #[arg(long, value_parser = size::bytes_per_second, value_name = "SIZE")]
    max_rate: Option<u64>,
    /// Follows with a higher number are served first
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    priority: Option<i32>,
}

impl PolicyArguments {
    pub(super) fn to_wire(&self) -> v1::FollowPolicy {
        v1::FollowPolicy {
            backfill: self.backfill.clone().unwrap_or_default(),
            kinds: self.kinds.clone(),
            base_models: self.base_models.clone(),
            formats: self.formats.clone(),
            max_file_bytes: self.max_file_size,
            max_total_bytes: self.max_total_size,
            keep_last: self.keep_last,
            max_maturity: self.max_maturity.as_deref().map(str::to_ascii_lowercase).unwrap_or_default(),
            early_access: self.early_access.clone().unwrap_or_default(),
            notify_only: self.notify_only.then_some(true),
            include_tags: self.include_tags.clone(),
            exclude_tags: self.exclude_tags.clone(),
            quiet_hours: self.quiet_hours.clone().unwrap_or_default(),
            max_bytes_per_second: self.max_rate,
            priority: self.priority,
        }
    }
}

fn backfill(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    if matches!(text.as_str(), "all" | "none") {
        return Ok(text);
    }
    if let Some(date) = text.strip_prefix("since:") {
        let date = iso_date(date).ok_or("write the date as in since:2026-01-31")?;
        return Ok(format!("since:{date}"));
    }
    match text.parse::<u32>() {
        Ok(0) => Ok("none".to_owned()),
        Ok(number) => Ok(number.to_string()),
        Err(_) => Err("write none, all, a number, or since: and a date".to_owned()),
    }
}

fn quiet_hours(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase();
    if text == "off" {
        return Ok(text);
    }
    let hours = text.split_once('-').and_then(|(from, to)| Some((hour(from)?, hour(to)?)));
    match hours {
        Some((from, to)) if from == to => Err("they begin and end at the same time".to_owned()),
        Some((from, to)) => Ok(format!("{from}-{to}")),
        None => Err("write them as in 22:00-07:00, or off".to_owned()),
    }
}

/// A time of day as the wire wants it, `07:00`.
fn hour(text: &str) -> Option<String> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str, longest: usize| {
        let readable = (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        readable.then(|| text.parse::<u8>().ok()).flatten()
    };
    let (hour, minutes) = (digits(hour, 2)?, digits(minute, 2)?);
    (hour < 24 && minutes < 60 && minute.len() == 2).then(|| format!("{hour:02}:{minutes:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backfill_is_none_all_a_number_or_a_date() {
        for (given, wanted) in [
            ("All", "all"),
            ("none", "none"),
            ("012", "12"),
            ("0", "none"),
            ("since:2026-01-31", "since:2026-01-31"),
            ("Since:2026-01-31", "since:2026-01-31"),
        ] {
            assert_eq!(backfill(given).as_deref(), Ok(wanted), "{given}");
        }
        for given in ["", "some", "-1", "1.5", "since:", "since:yesterday", "since:2026-02-30", "since:20260131"] {
            assert!(backfill(given).is_err(), "{given}");
        }
    }

    #[test]
    fn quiet_hours_are_two_times_of_day() {
        for (given, wanted) in [("22:00-07:00", "22:00-07:00"), ("7:05 - 9:30", "07:05-09:30"), ("OFF", "off")] {
            assert_eq!(quiet_hours(given).as_deref(), Ok(wanted), "{given}");
        }
        for given in ["", "22-7", "22:00", "24:00-07:00", "22:60-07:00", "22:0-07:00", "7:00-7:00", "+7:00-08:00"] {
            assert!(quiet_hours(given).is_err(), "{given}");
        }
    }
}
