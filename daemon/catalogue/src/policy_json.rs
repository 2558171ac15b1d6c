//! A follow's policy as the JSON of its column. What is at its default is left out, so that a later release can add a
//! rule without touching a row.

use crate::error::CatalogueError;
use paintbox_domain::follow::{Backfill, EarlyAccessPolicy, FollowPolicy, Maturity, QuietHours};
use paintbox_domain::{FileFormat, ModelKind, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    /// `none`, `all`, a number, or `since:` and milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    backfill: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    base_models: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    formats: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_file_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_last: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_maturity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    early_access: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    notify_only: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include_tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclude_tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet_hours: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
}

pub(crate) fn write(policy: &FollowPolicy) -> String {
    fn names<T: ToString>(values: &[T]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }
    let stored = Stored {
        backfill: match policy.backfill {
            Backfill::None => None,
            Backfill::All => Some("all".to_owned()),
            Backfill::Newest(count) => Some(count.to_string()),
            Backfill::Since(time) => Some(format!("since:{}", time.unix_ms())),
        },
        kinds: names(&policy.kinds),
        base_models: policy.base_models.clone(),
        formats: names(&policy.formats),
        max_file_bytes: policy.max_file_bytes,
        max_total_bytes: policy.max_total_bytes,
        keep_last: policy.keep_last,
        max_maturity: policy.max_maturity.map(|ceiling| ceiling.to_string()),
        early_access: (policy.early_access != EarlyAccessPolicy::default()).then(|| policy.early_access.to_string()),
        notify_only: policy.notify_only,
        include_tags: policy.include_tags.clone(),
        exclude_tags: policy.exclude_tags.clone(),
        quiet_hours: policy.quiet_hours.map(|hours| hours.to_string()),
        max_bytes_per_second: policy.max_bytes_per_second,
        priority: (policy.priority != 0).then_some(policy.priority),
    };
    serde_json::to_string(&stored).expect("texts and numbers always have a JSON form")
}

pub(crate) fn read(json: &str) -> Result<FollowPolicy, CatalogueError> {
    policy(json).ok_or_else(|| CatalogueError::Corrupt { what: "a follow's policy", value: json.to_owned() })
}

fn policy(json: &str) -> Option<FollowPolicy> {
    let stored: Stored = serde_json::from_str(json).ok()?;
    Some(FollowPolicy {
        backfill: backfill(stored.backfill.as_deref())?,
        kinds: stored.kinds.iter().map(|name| ModelKind::from_name(name)).collect::<Option<_>>()?,
        base_models: stored.base_models,
        formats: stored.formats.iter().map(|name| FileFormat::from_name(name)).collect::<Option<_>>()?,
        max_file_bytes: stored.max_file_bytes,
        max_total_bytes: stored.max_total_bytes,
        keep_last: stored.keep_last,
        max_maturity: some(stored.max_maturity.as_deref(), Maturity::from_name)?,
        early_access: some(stored.early_access.as_deref(), EarlyAccessPolicy::from_name)?.unwrap_or_default(),
        notify_only: stored.notify_only,
        include_tags: stored.include_tags,
        exclude_tags: stored.exclude_tags,
        quiet_hours: some(stored.quiet_hours.as_deref(), QuietHours::parse)?,
        max_bytes_per_second: stored.max_bytes_per_second,
        priority: stored.priority.unwrap_or_default(),
    })
}

/// A text that may be absent but must be readable.
fn some<T>(text: Option<&str>, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => read(text).map(Some),
    }
}

fn backfill(text: Option<&str>) -> Option<Backfill> {
    match text {
        None | Some("none") => Some(Backfill::None),
        Some("all") => Some(Backfill::All),
        Some(text) => match text.strip_prefix("since:") {
            Some(ms) => Some(Backfill::Since(Timestamp::from_unix_ms(ms.parse().ok()?))),
            None => text.parse().ok().map(Backfill::Newest),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_comes_back_and_the_default_is_empty() {
        assert_eq!(write(&FollowPolicy::default()), "{}");
        assert_eq!(read("{}").unwrap(), FollowPolicy::default());
        let strict = FollowPolicy {
            backfill: Backfill::Since(Timestamp::from_unix_ms(-5)),
            kinds: vec![ModelKind::Lora, ModelKind::TextualInversion],
            base_models: vec!["SDXL 1.0".into()],
            formats: vec![FileFormat::Gguf],
            max_file_bytes: Some(1),
            max_total_bytes: Some(u64::MAX),
            keep_last: Some(2),
            max_maturity: Some(Maturity::Pg13),
            early_access: EarlyAccessPolicy::Never,
            notify_only: true,
            include_tags: vec!["style".into()],
            exclude_tags: vec!["meme".into(), "少女".into()],
            quiet_hours: QuietHours::parse("22:00-07:00"),
            max_bytes_per_second: Some(3),
            priority: -4,
        };
        assert_eq!(read(&write(&strict)).unwrap(), strict);
        for backfill in [Backfill::All, Backfill::None, Backfill::Newest(7)] {
            let policy = FollowPolicy { backfill, ..FollowPolicy::default() };
            assert_eq!(read(&write(&policy)).unwrap(), policy);
        }
    }

    #[test]
    fn rules_of_a_newer_release_are_passed_over_and_nonsense_is_not() {
        assert_eq!(read(r#"{"backfill":"all","moon_phase":"full"}"#).unwrap().backfill, Backfill::All);
        for bad in ["", "3", r#"{"backfill":"some"}"#, r#"{"kinds":["x"]}"#, r#"{"quiet_hours":"late"}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
