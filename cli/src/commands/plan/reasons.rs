//! Why files are not fetched, in words that fit many of them at once.
//!
//! Each operation carries its own `detail`; these words stand where operations of one reason are told together. The
//! reasons are those of `PlanOperation.reason` in `sync.proto`.

use crate::render::sanitize;
use paintbox_proto::v1;

/// The one reason that is left to the summary when nothing else is to be said of a model: a creator's whole earlier
/// work would otherwise bury what is new.
pub(super) const BEFORE_FOLLOW: &str = "before_follow";

/// A reason in words. `follow` is the target that all of its operations share, if they share one.
pub(super) fn words(reason: &str, follow: Option<&str>) -> String {
    let text = match reason {
        "not_primary" => "not the main file of their version",
        "pickle_refused" => "Python pickles, which can run anything when they are opened",
        "archive_refused" => "archives, which are not opened",
        "training_data" => "training data",
        "other_variant" => "other variants of files that are fetched",
        "not_needed" => "not needed to paint",
        "format_unwanted" => "of a format that the follow leaves out",
        "too_large" => "larger than the follow allows",
        "over_budget" => "beyond the total size that the follow allows",
        "no_space" => "no room for them on the disk",
        "same_content" => "the same bytes as files that are here or fetched",
        "removed" => "removed by you; `paintbox rm --undo` takes that back",
        BEFORE_FOLLOW => {
            return match follow {
                Some(target) => format!("published before you followed {}", sanitize::line(target)),
                None => "published before you followed".to_owned(),
            };
        }
        "older_than_kept" => "older than the versions that the follow keeps",
        "base_model_unwanted" => "for a base model that the follow leaves out",
        "too_mature" => "of a stronger rating than the follow allows",
        "unrated" => "not rated yet, and the follow limits ratings",
        "early_access" => "in early access, fetched when that ends",
        "early_access_never" => "in early access, which the follow leaves out",
        "download_disabled" => "not offered for download by their creator",
        "no_files" => "without any file",
        "gone" => "no longer on the hub",
        "archived" => "archived by the hub",
        "taken_down" => "taken down by the hub",
        "gated" => "behind terms that have to be accepted on their page",
        "kind_unwanted" => "of a kind that the follow leaves out",
        "tag_unwanted" => "left out by the follow's tags",
        "notify_only" => "only told of, as the follow says",
        "quiet_hours" => "waiting for the end of the follow's quiet hours",
        "paused" => "paused, until `paintbox downloads resume`",
        "volume_away" => "on a volume that is not connected now; they wait for it",
        "retry_later" => "failed a while ago, and tried again in their time",
        // A newer daemon's.
        other => return sanitize::line(other).replace('_', " "),
    };
    text.to_owned()
}

/// One line for each reason for which something is skipped, the most frequent first.
pub(super) fn summary(operations: &[v1::PlanOperation]) -> Vec<(u64, String)> {
    let mut found: Vec<Reason<'_>> = Vec::new();
    for operation in operations.iter().filter(|operation| operation.op == "skip") {
        match found.iter_mut().find(|reason| reason.code == operation.reason) {
            Some(reason) => {
                reason.count += 1;
                reason.follow = reason.follow.filter(|follow| *follow == operation.follow);
            }
            None => found.push(Reason {
                code: &operation.reason,
                count: 1,
                follow: Some(operation.follow.as_str()).filter(|follow| !follow.is_empty()),
            }),
        }
    }
    found.sort_by_key(|reason| std::cmp::Reverse(reason.count));
    found.iter().map(|reason| (reason.count, words(reason.code, reason.follow))).collect()
}

struct Reason<'a> {
    code: &'a str,
    count: u64,
    follow: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_contract_has_words() {
        let proto = include_str!("../../../../proto/paintbox/v1/sync.proto");
        let comment = proto.split_once("skip, by the file").unwrap().1.split_once("string reason").unwrap().0;
        // Each sentence says what its codes depend on, then a colon, then the codes.
        let codes: Vec<&str> = comment
            .split('.')
            .filter_map(|sentence| sentence.split_once(':'))
            .flat_map(|(_, codes)| codes.split(|c: char| !c.is_ascii_lowercase() && c != '_'))
            .filter(|word| !word.is_empty())
            .collect();
        assert!(codes.len() >= 30 && codes.contains(&"quiet_hours") && codes.contains(&"volume_away"), "{codes:?}");
        for code in codes {
            let plain = code.replace('_', " ");
            assert!(words(code, None) != plain || code == "training_data", "{code} has no words");
        }
        assert_eq!(words("moon_phase\x1b[2J", None), "moon phase");
    }

    #[test]
    fn the_summary_counts_by_reason_and_names_a_follow_that_is_shared() {
        let skip = |follow: &str, reason: &str| v1::PlanOperation {
            op: "skip".into(),
            follow: follow.into(),
            reason: reason.into(),
            ..Default::default()
        };
        let mut plan = vec![skip("civitai:a", "gated"), skip("civitai:a", "before_follow")];
        plan.push(skip("civitai:a", "before_follow"));
        let gated = words("gated", None);
        assert_eq!(summary(&plan), [(2, "published before you followed civitai:a".to_owned()), (1, gated.clone())]);
        plan.push(skip("civitai:b", "before_follow"));
        assert_eq!(summary(&plan), [(3, "published before you followed".to_owned()), (1, gated)]);
    }
}
