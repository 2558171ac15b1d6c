//! What a follow's policy says, in words.

use crate::render::{sanitize, units};
use paintbox_proto::v1;

/// How much of the earlier work a follow wants, as `FollowPolicy.backfill` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backfill<'a> {
    Nothing,
    Everything,
    Since(&'a str),
    /// A number of newest versions, or whatever a newer daemon writes.
    Newest(&'a str),
}

impl<'a> Backfill<'a> {
    pub(crate) fn of(policy: Option<&'a v1::FollowPolicy>) -> Self {
        match policy.map_or("", |policy| policy.backfill.as_str()) {
            "" | "none" => Self::Nothing,
            "all" => Self::Everything,
            other => other.strip_prefix("since:").map_or(Self::Newest(other), Self::Since),
        }
    }

    /// Completes "Following …,".
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Nothing => "from now on".to_owned(),
            Self::Everything => "with all earlier work".to_owned(),
            Self::Since(date) => format!("with earlier work since {}", sanitize::line(date)),
            Self::Newest(number) => format!("with the newest {} of the earlier versions", sanitize::line(number)),
        }
    }
}

/// A policy in a few words, for one cell of a table.
pub(crate) fn short(policy: Option<&v1::FollowPolicy>) -> String {
    let backfill = match Backfill::of(policy) {
        Backfill::Nothing => "new work".to_owned(),
        Backfill::Everything => "all work".to_owned(),
        Backfill::Since(date) => format!("work since {}", sanitize::line(date)),
        Backfill::Newest(number) => format!("new work and the newest {}", sanitize::line(number)),
    };
    let Some(policy) = policy else { return backfill };
    let mut parts = vec![if policy.notify_only == Some(true) { "only tells of new work".to_owned() } else { backfill }];
    parts.extend([&policy.kinds, &policy.base_models, &policy.formats].into_iter().filter_map(|list| listed(list)));
    parts.extend(listed(&policy.include_tags).map(|tags| format!("tagged {tags}")));
    parts.extend(listed(&policy.exclude_tags).map(|tags| format!("not tagged {tags}")));
    parts.extend(rating(&policy.max_maturity).map(|rating| format!("up to {rating}")));
    parts.extend(policy.keep_last.map(|number| format!("{} a model", units::count(number.into(), "version"))));
    parts.extend(policy.max_file_bytes.map(|bytes| format!("files up to {}", units::bytes(bytes))));
    parts.extend(policy.max_total_bytes.map(|bytes| format!("{} in all", units::bytes(bytes))));
    parts.extend((policy.early_access == "never").then(|| "no early access".to_owned()));
    parts.extend(quiet_hours(policy).map(|hours| format!("quiet {hours}")));
    parts.extend(policy.max_bytes_per_second.map(|bytes| format!("{}/s", units::bytes(bytes))));
    parts.join("; ")
}

/// Every line of a policy, in words. What is not limited is said too: that is what one would want to change.
pub(crate) fn long(policy: Option<&v1::FollowPolicy>) -> Vec<(&'static str, String)> {
    let unsaid = v1::FollowPolicy::default();
    let policy = policy.unwrap_or(&unsaid);
    let list = |list: &[String], otherwise: &str| listed(list).unwrap_or_else(|| otherwise.to_owned());
    let limit = |limit: Option<String>, otherwise: &str| limit.unwrap_or_else(|| otherwise.to_owned());
    let earlier = match Backfill::of(Some(policy)) {
        Backfill::Nothing => "recorded as seen, not fetched".to_owned(),
        Backfill::Everything => "all of it".to_owned(),
        Backfill::Since(date) => format!("what was published since {}", sanitize::line(date)),
        Backfill::Newest(number) => format!("the newest {} versions", sanitize::line(number)),
    };
    let new = match policy.notify_only {
        Some(true) => "told of, not fetched",
        _ => "fetched as it appears",
    };
    let early_access = match policy.early_access.as_str() {
        "" | "wait" => "fetched when it ends".to_owned(),
        "never" => "never fetched".to_owned(),
        other => sanitize::line(other),
    };
    vec![
        ("new work", new.to_owned()),
        ("earlier work", earlier),
        ("kinds", list(&policy.kinds, "all")),
        ("base models", list(&policy.base_models, "all")),
        ("formats", list(&policy.formats, "safetensors and gguf")),
        ("tags", list(&policy.include_tags, "any")),
        ("without tags", list(&policy.exclude_tags, "none is excluded")),
        ("ratings", limit(rating(&policy.max_maturity).map(|rating| format!("up to {rating}")), "all")),
        ("early access", early_access),
        (
            "versions",
            limit(policy.keep_last.map(|number| format!("the newest {number} of each model")), "all of each model"),
        ),
        ("file size", limit(policy.max_file_bytes.map(|bytes| format!("up to {}", units::bytes(bytes))), "any")),
        (
            "total size",
            limit(policy.max_total_bytes.map(|bytes| format!("up to {} in all", units::bytes(bytes))), "any"),
        ),
        ("quiet hours", limit(quiet_hours(policy), "none")),
        (
            "speed",
            limit(
                policy.max_bytes_per_second.map(|bytes| format!("at most {} a second", units::bytes(bytes))),
                "not limited",
            ),
        ),
        ("priority", policy.priority.unwrap_or(0).to_string()),
    ]
}

fn listed(list: &[String]) -> Option<String> {
    Some(sanitize::line(&list.join(", "))).filter(|text| !text.is_empty())
}

fn rating(maturity: &str) -> Option<String> {
    match maturity {
        "" => None,
        "pg13" => Some("PG-13".to_owned()),
        other => Some(sanitize::line(other).to_uppercase()),
    }
}

fn quiet_hours(policy: &v1::FollowPolicy) -> Option<String> {
    Some(sanitize::line(&policy.quiet_hours)).filter(|hours| !hours.is_empty() && hours != "off")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_policy_fits_into_a_few_words() {
        assert_eq!(short(None), "new work");
        let policy = v1::FollowPolicy {
            backfill: "since:2026-01-31".into(),
            kinds: strings(&["lora", "checkpoint"]),
            max_maturity: "pg13".into(),
            max_file_bytes: Some(8_000_000_000),
            quiet_hours: "off".into(),
            ..Default::default()
        };
        assert_eq!(short(Some(&policy)), "work since 2026-01-31; lora, checkpoint; up to PG-13; files up to 8.00 GB");
        let tells = v1::FollowPolicy { notify_only: Some(true), keep_last: Some(1), ..Default::default() };
        assert_eq!(short(Some(&tells)), "only tells of new work; 1 version a model");
    }

    #[test]
    fn every_field_of_a_policy_has_a_line() {
        let policy = v1::FollowPolicy {
            backfill: "3".into(),
            kinds: strings(&["lora"]),
            base_models: strings(&["SDXL 1.0"]),
            formats: strings(&["gguf"]),
            max_file_bytes: Some(1_000),
            max_total_bytes: Some(2_000),
            keep_last: Some(4),
            max_maturity: "xxx".into(),
            early_access: "never".into(),
            notify_only: Some(true),
            include_tags: strings(&["a"]),
            exclude_tags: strings(&["b\x1b[2J"]),
            quiet_hours: "22:00-07:00".into(),
            max_bytes_per_second: Some(3_000),
            priority: Some(-5),
        };
        let (said, unsaid) = (long(Some(&policy)), long(None));
        assert_eq!(said.len(), 15);
        for ((name, words), (_, otherwise)) in said.iter().zip(&unsaid) {
            assert_ne!(words, otherwise, "{name} does not show in words");
        }
        assert!(said.contains(&("without tags", "b".to_owned())), "{said:?}");
    }
}
