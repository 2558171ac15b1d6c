//! Follow policies ⇄ messages. What a message leaves out is taken from the defaults of the configuration.

use crate::status::invalid;
use jiff::civil::Date;
use paintbox_domain::follow::{Backfill, EarlyAccessPolicy, FollowPolicy, Maturity, QuietHours};
use paintbox_domain::{FileFormat, ModelKind, Timestamp};
use paintbox_proto::v1;
use prost::Message as _;
use tonic::Status;

/// Of all its lists together; every list of follows shows them.
const LARGEST_POLICY_BYTES: usize = 64 << 10;

/// The policy that `message` asks for, completed by `defaults`.
///
/// # Errors
/// `INVALID_ARGUMENT` with the field that cannot be read.
pub fn read(message: &v1::FollowPolicy, defaults: &FollowPolicy) -> Result<FollowPolicy, Status> {
    let bytes = message.encoded_len();
    if bytes > LARGEST_POLICY_BYTES {
        return Err(invalid("policy", format!("{bytes} bytes are more than {LARGEST_POLICY_BYTES}")));
    }
    Ok(FollowPolicy {
        backfill: match message.backfill.trim() {
            "" => defaults.backfill,
            text => backfill(text)?,
        },
        kinds: list(&message.kinds, &defaults.kinds, "kinds", ModelKind::from_name)?,
        base_models: texts(&message.base_models, &defaults.base_models),
        formats: list(&message.formats, &defaults.formats, "formats", weights_format)?,
        max_file_bytes: limit(message.max_file_bytes, defaults.max_file_bytes),
        max_total_bytes: limit(message.max_total_bytes, defaults.max_total_bytes),
        keep_last: message.keep_last.map_or(defaults.keep_last, |last| (last > 0).then_some(last)),
        max_maturity: match message.max_maturity.as_str() {
            "" => defaults.max_maturity,
            name => Some(named(name, "max_maturity", Maturity::from_name)?),
        },
        early_access: match message.early_access.as_str() {
            "" => defaults.early_access,
            name => named(name, "early_access", EarlyAccessPolicy::from_name)?,
        },
        notify_only: message.notify_only.unwrap_or(defaults.notify_only),
        include_tags: texts(&message.include_tags, &defaults.include_tags),
        exclude_tags: texts(&message.exclude_tags, &defaults.exclude_tags),
        quiet_hours: match message.quiet_hours.trim() {
            "" => defaults.quiet_hours,
            "off" => None,
            hours => Some(named(hours, "quiet_hours", QuietHours::parse)?),
        },
        max_bytes_per_second: limit(message.max_bytes_per_second, defaults.max_bytes_per_second),
        priority: message.priority.unwrap_or(defaults.priority),
    })
}

/// `current` with the fields that an update mask names taken from `wanted`. No field, or `policy`, is all of them.
pub(crate) fn changed(current: &FollowPolicy, wanted: FollowPolicy, fields: &[String]) -> Result<FollowPolicy, Status> {
    if fields.is_empty() {
        return Ok(wanted);
    }
    let mut changed = current.clone();
    for field in fields {
        match field.strip_prefix("policy.").unwrap_or(field) {
            "policy" | "*" => return Ok(wanted),
            "backfill" => changed.backfill = wanted.backfill,
            "kinds" => changed.kinds.clone_from(&wanted.kinds),
            "base_models" => changed.base_models.clone_from(&wanted.base_models),
            "formats" => changed.formats.clone_from(&wanted.formats),
            "max_file_bytes" => changed.max_file_bytes = wanted.max_file_bytes,
            "max_total_bytes" => changed.max_total_bytes = wanted.max_total_bytes,
            "keep_last" => changed.keep_last = wanted.keep_last,
            "max_maturity" => changed.max_maturity = wanted.max_maturity,
            "early_access" => changed.early_access = wanted.early_access,
            "notify_only" => changed.notify_only = wanted.notify_only,
            "include_tags" => changed.include_tags.clone_from(&wanted.include_tags),
            "exclude_tags" => changed.exclude_tags.clone_from(&wanted.exclude_tags),
            "quiet_hours" => changed.quiet_hours = wanted.quiet_hours,
            "max_bytes_per_second" => changed.max_bytes_per_second = wanted.max_bytes_per_second,
            "priority" => changed.priority = wanted.priority,
            _ => return Err(invalid("update_mask", format!("`{field}` cannot be changed"))),
        }
    }
    Ok(changed)
}

/// A limit that is left out, lifted by 0, or set.
fn limit(given: Option<u64>, default: Option<u64>) -> Option<u64> {
    given.map_or(default, |limit| (limit > 0).then_some(limit))
}

fn texts(given: &[String], default: &[String]) -> Vec<String> {
    let given: Vec<String> = given.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect();
    if given.is_empty() { default.to_vec() } else { given }
}

fn list<T: Clone>(
    given: &[String],
    default: &[T],
    field: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Status> {
    if given.is_empty() {
        return Ok(default.to_vec());
    }
    given.iter().map(|name| named(&name.to_ascii_lowercase(), field, &parse)).collect()
}

fn named<T>(text: &str, field: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Status> {
    parse(text).ok_or_else(|| invalid(field, format!("`{text}` is no {}", field.replace('_', " "))))
}

/// Archives are never fetched, and pickles only where nothing better is offered, so nobody can ask for them.
fn weights_format(name: &str) -> Option<FileFormat> {
    FileFormat::from_name(name).filter(|format| matches!(format, FileFormat::Safetensors | FileFormat::Gguf))
}

/// `none`, `all`, a number of versions, or `since:2026-01-31`.
pub(crate) fn backfill(text: &str) -> Result<Backfill, Status> {
    let refuse = || invalid("backfill", format!("`{text}` is not all, none, a number of versions or since:DATE"));
    match text.to_ascii_lowercase().as_str() {
        "all" => Ok(Backfill::All),
        "none" => Ok(Backfill::None),
        lower => match lower.strip_prefix("since:") {
            Some(date) => {
                let date: Date = date.trim().parse().map_err(|_| refuse())?;
                let start = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| refuse())?;
                Ok(Backfill::Since(Timestamp::from_unix_ms(start.timestamp().as_millisecond())))
            }
            None => lower.parse().map(Backfill::Newest).map_err(|_| refuse()),
        },
    }
}

/// The message of a policy, with every rule that it has.
pub(crate) fn message(policy: &FollowPolicy) -> v1::FollowPolicy {
    fn names<T: ToString>(values: &[T]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }
    v1::FollowPolicy {
        backfill: match policy.backfill {
            Backfill::All => "all".to_owned(),
            Backfill::None => "none".to_owned(),
            Backfill::Newest(count) => count.to_string(),
            Backfill::Since(time) => format!("since:{}", date(time)),
        },
        kinds: names(&policy.kinds),
        base_models: policy.base_models.clone(),
        formats: names(&policy.formats),
        max_file_bytes: policy.max_file_bytes,
        max_total_bytes: policy.max_total_bytes,
        keep_last: policy.keep_last,
        max_maturity: policy.max_maturity.map(|ceiling| ceiling.to_string()).unwrap_or_default(),
        early_access: policy.early_access.to_string(),
        notify_only: Some(policy.notify_only),
        include_tags: policy.include_tags.clone(),
        exclude_tags: policy.exclude_tags.clone(),
        quiet_hours: policy.quiet_hours.map(|hours| hours.to_string()).unwrap_or_default(),
        max_bytes_per_second: policy.max_bytes_per_second,
        priority: Some(policy.priority),
    }
}

fn date(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.unix_ms())
        .map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::reason;
    use tonic_types::StatusExt as _;

    #[test]
    fn a_policy_comes_back_from_its_message() {
        let strict = FollowPolicy {
            backfill: backfill("since:2026-01-31").unwrap(),
            kinds: vec![ModelKind::Lora],
            base_models: vec!["Pony".into()],
            formats: vec![FileFormat::Gguf],
            max_file_bytes: Some(5),
            max_total_bytes: Some(6),
            keep_last: Some(2),
            max_maturity: Some(Maturity::Pg13),
            early_access: EarlyAccessPolicy::Never,
            notify_only: true,
            include_tags: vec!["style".into()],
            exclude_tags: vec!["meme".into()],
            quiet_hours: QuietHours::parse("22:00-07:00"),
            max_bytes_per_second: Some(9),
            priority: -1,
        };
        assert_eq!(message(&strict).backfill, "since:2026-01-31");
        assert_eq!(read(&message(&strict), &FollowPolicy::default()).unwrap(), strict);
        let nothing = v1::FollowPolicy::default();
        assert_eq!(read(&nothing, &strict).unwrap(), strict, "what is left out is the default");
        let lifted = v1::FollowPolicy {
            max_file_bytes: Some(0),
            keep_last: Some(0),
            quiet_hours: "off".into(),
            notify_only: Some(false),
            backfill: "none".into(),
            ..nothing
        };
        let read = read(&lifted, &strict).unwrap();
        assert_eq!((read.max_file_bytes, read.keep_last, read.quiet_hours), (None, None, None));
        assert_eq!((read.notify_only, read.backfill), (false, Backfill::None));
    }

    #[test]
    fn an_update_mask_says_what_of_a_policy_changes() {
        let current = FollowPolicy { keep_last: Some(2), priority: 7, ..FollowPolicy::default() };
        let wanted = FollowPolicy { backfill: Backfill::All, keep_last: None, ..FollowPolicy::default() };
        let changed = |fields: &[&str]| {
            let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
            changed(&current, wanted.clone(), &fields)
        };
        for all in [&[][..], &["policy"], &["*"], &["policy.kinds", "policy"]] {
            assert_eq!(changed(all).unwrap(), wanted, "{all:?}");
        }
        let some = changed(&["policy.backfill", "policy.keep_last"]).unwrap();
        assert_eq!(some, FollowPolicy { backfill: Backfill::All, keep_last: None, ..current.clone() });
        for field in ["name", "policy.colour", "", "policy.policy.kinds"] {
            assert!(changed(&[field]).is_err(), "{field}");
        }
        // Every field of the message can be named.
        let file = prost_types::FileDescriptorSet::decode(paintbox_proto::FILE_DESCRIPTOR_SET).unwrap().file;
        let mut messages = file.iter().flat_map(|file| &file.message_type);
        let message = messages.find(|message| message.name() == "FollowPolicy").unwrap();
        for field in &message.field {
            assert!(changed(&[&format!("policy.{}", field.name())]).is_ok(), "{}", field.name());
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_field() {
        let refused = |change: fn(&mut v1::FollowPolicy)| {
            let mut message = v1::FollowPolicy::default();
            change(&mut message);
            let status = read(&message, &FollowPolicy::default()).unwrap_err();
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!(info.reason, reason::INVALID_ARGUMENT);
            info.metadata["field"].clone()
        };
        assert_eq!(refused(|m| m.backfill = "some".into()), "backfill");
        assert_eq!(refused(|m| m.backfill = "since:yesterday".into()), "backfill");
        assert_eq!(refused(|m| m.kinds = vec!["x".into()]), "kinds");
        assert_eq!(refused(|m| m.formats = vec!["pickle".into()]), "formats");
        assert_eq!(refused(|m| m.max_maturity = "mild".into()), "max_maturity");
        assert_eq!(refused(|m| m.quiet_hours = "late".into()), "quiet_hours");
        assert_eq!(refused(|m| m.early_access = "buy".into()), "early_access");
    }
}
