//! Follows and their policies, as `follow`, `follows` and `unfollow` print them.

use super::{ErrorJson, known};
use crate::render::units::rfc3339;
use crate::render::words::known_state;
use paintbox_proto::v1;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct FollowJson<'a> {
    /// Null in the answer to `--dry-run`, which creates none.
    name: Option<&'a str>,
    target: &'a str,
    hub: &'a str,
    policy: PolicyJson<'a>,
    state: Option<String>,
    create_time: Option<String>,
    last_check_time: Option<String>,
    next_check_time: Option<String>,
    new: u32,
    pending: u32,
    error: Option<ErrorJson>,
}

impl<'a> From<&'a v1::Follow> for FollowJson<'a> {
    fn from(follow: &'a v1::Follow) -> Self {
        Self {
            name: known(&follow.name),
            target: &follow.target,
            hub: &follow.hub,
            policy: follow.policy.as_ref().map(Into::into).unwrap_or_default(),
            state: known_state(follow.state().as_str_name()),
            create_time: rfc3339(follow.create_time.as_ref()),
            last_check_time: rfc3339(follow.last_check_time.as_ref()),
            next_check_time: rfc3339(follow.next_check_time.as_ref()),
            new: follow.new_versions,
            pending: follow.pending_files,
            error: follow.failure.as_ref().map(Into::into),
        }
    }
}

/// A follow that was just created or changed, or would be.
#[derive(Serialize)]
pub(crate) struct FollowedJson<'a> {
    #[serde(flatten)]
    follow: FollowJson<'a>,
    backfill_preview: Option<BackfillPreviewJson>,
}

impl<'a> From<&'a v1::Follow> for FollowedJson<'a> {
    fn from(follow: &'a v1::Follow) -> Self {
        Self { follow: follow.into(), backfill_preview: follow.backfill_preview.as_ref().map(Into::into) }
    }
}

#[derive(Serialize)]
struct BackfillPreviewJson {
    listed_models: u32,
    listed_versions: u32,
    files: u32,
    bytes: u64,
    free_bytes: u64,
}

impl From<&v1::BackfillPreview> for BackfillPreviewJson {
    fn from(preview: &v1::BackfillPreview) -> Self {
        let v1::BackfillPreview { listed_models, listed_versions, files, bytes, free_bytes } = *preview;
        Self { listed_models, listed_versions, files, bytes, free_bytes }
    }
}

/// The fields of `FollowPolicy` by their names in the proto. What is left out there has its documented default here.
#[derive(Serialize)]
struct PolicyJson<'a> {
    backfill: &'a str,
    kinds: &'a [String],
    base_models: &'a [String],
    formats: &'a [String],
    max_file_bytes: Option<u64>,
    max_total_bytes: Option<u64>,
    keep_last: Option<u32>,
    max_maturity: Option<&'a str>,
    early_access: &'a str,
    notify_only: bool,
    include_tags: &'a [String],
    exclude_tags: &'a [String],
    quiet_hours: Option<&'a str>,
    max_bytes_per_second: Option<u64>,
    priority: i32,
}

impl Default for PolicyJson<'_> {
    fn default() -> Self {
        Self {
            backfill: "none",
            kinds: &[],
            base_models: &[],
            formats: &[],
            max_file_bytes: None,
            max_total_bytes: None,
            keep_last: None,
            max_maturity: None,
            early_access: "wait",
            notify_only: false,
            include_tags: &[],
            exclude_tags: &[],
            quiet_hours: None,
            max_bytes_per_second: None,
            priority: 0,
        }
    }
}

impl<'a> From<&'a v1::FollowPolicy> for PolicyJson<'a> {
    fn from(policy: &'a v1::FollowPolicy) -> Self {
        let default = Self::default();
        Self {
            backfill: known(&policy.backfill).unwrap_or(default.backfill),
            kinds: &policy.kinds,
            base_models: &policy.base_models,
            formats: &policy.formats,
            max_file_bytes: policy.max_file_bytes,
            max_total_bytes: policy.max_total_bytes,
            keep_last: policy.keep_last,
            max_maturity: known(&policy.max_maturity),
            early_access: known(&policy.early_access).unwrap_or(default.early_access),
            notify_only: policy.notify_only.unwrap_or(default.notify_only),
            include_tags: &policy.include_tags,
            exclude_tags: &policy.exclude_tags,
            quiet_hours: known(&policy.quiet_hours),
            max_bytes_per_second: policy.max_bytes_per_second,
            priority: policy.priority.unwrap_or(default.priority),
        }
    }
}
