//! Whether a version or a file is wanted, and if not, why: the hub's rules first, then the follow's policy. Pure.

use paintbox_catalogue::{FileRecord, FollowId, FollowInterest, VersionId, WantedModel, WantedVersion};
use paintbox_domain::follow::{Backfill, EarlyAccessPolicy, FollowPolicy, Maturity};
use paintbox_domain::hub::{FileSize, ModelState};
use paintbox_domain::{FileFormat, Hub, Timestamp};
use std::collections::HashSet;

/// A stable code and the same in words.
pub(crate) type Refusal = (&'static str, String);

/// What the hub hands out, whoever wants it.
pub(crate) fn of_hub(
    model: &WantedModel,
    version: &WantedVersion,
    pulled: bool,
    now: Timestamp,
) -> Result<(), Refusal> {
    let refuse = |reason, detail: &str| Err((reason, detail.to_owned()));
    match model.model.state {
        ModelState::Archived => {
            return refuse("archived", "its owner archived it, so the hub hands out no files; it may come back");
        }
        ModelState::TakenDown => return refuse("taken_down", "the hub took it down"),
        ModelState::Disabled => return refuse("taken_down", "the hub disabled access to it"),
        ModelState::Gated if !pulled && model.model.access_granted != Some(true) => {
            return Err(("gated", gate_words(model)));
        }
        ModelState::Published | ModelState::Gated => {}
    }
    let version = &version.version;
    if !version.download_allowed {
        return refuse("download_disabled", "its creator allows no downloads of this version");
    }
    match version.early_access.map(|early_access| early_access.until) {
        Some(Some(until)) if until > now => {
            let days = until.since(now).as_secs().div_ceil(86_400);
            let detail = format!(
                "in early access for about {days} more {}; fetched when it becomes free",
                if days == 1 { "day" } else { "days" }
            );
            return Err(("early_access", detail));
        }
        Some(None) => return refuse("early_access", "in early access, and the hub names no end"),
        Some(Some(_)) | None => {}
    }
    if version.files.is_empty() {
        return refuse("no_files", "the hub lists no files for this version");
    }
    Ok(())
}

/// What to do about a gate, before anything is queued.
fn gate_words(model: &WantedModel) -> String {
    let page = format!("https://huggingface.co/{}", model.model.external_id);
    match model.model.access_granted {
        Some(false) => format!("its owner gives access on request: ask for it on {page}; it is fetched once granted"),
        _ => format!("its owner wants its terms accepted: open {page}, accept them, and run `paintbox login hf`"),
    }
}

/// What one follow's policy says of a version.
pub(crate) fn of_follow(
    model: &WantedModel,
    wanted: &WantedVersion,
    follow: &FollowInterest,
    newest: &HashSet<(FollowId, VersionId)>,
    minute_of_day: u16,
) -> Result<(), Refusal> {
    let policy = &follow.policy;
    of_model(model, policy)?;
    let version = &wanted.version;
    let back_catalogue = wanted.seen_by.contains(&follow.id);
    let covered = match policy.backfill {
        Backfill::All => true,
        Backfill::None => false,
        Backfill::Since(time) => version.published_at.is_some_and(|published| published >= time),
        Backfill::Newest(_) => newest.contains(&(follow.id, version.id)),
    };
    if back_catalogue && !covered {
        return Err(("before_follow", format!("published before you followed {}", follow.target)));
    }
    if policy.keep_last.is_some_and(|last| wanted.newer_versions >= last) {
        let last = policy.keep_last.unwrap_or_default();
        return Err(("older_than_kept", format!("only the newest {last} versions of a model are wanted")));
    }
    let label = version.base_model.as_deref().unwrap_or_default();
    if !policy.base_models.is_empty() && !policy.base_models.iter().any(|wanted| wanted.eq_ignore_ascii_case(label)) {
        let label = if label.is_empty() { "an unnamed base model" } else { label };
        return Err(("base_model_unwanted", format!("made for {label}, which this follow leaves out")));
    }
    of_maturity(model, wanted, policy)?;
    if policy.early_access == EarlyAccessPolicy::Never && version.was_early_access {
        return Err(("early_access_never", "it came out in early access, which this follow leaves out".to_owned()));
    }
    if policy.notify_only {
        return Err(("notify_only", "this follow only tells about new versions".to_owned()));
    }
    if let Some(quiet) = policy.quiet_hours.filter(|hours| hours.holds(minute_of_day)) {
        return Err(("quiet_hours", format!("nothing is fetched before {}", quiet.end())));
    }
    Ok(())
}

fn of_model(model: &WantedModel, policy: &FollowPolicy) -> Result<(), Refusal> {
    let record = &model.model;
    if !policy.kinds.is_empty() && !policy.kinds.contains(&record.kind) {
        return Err(("kind_unwanted", format!("its kind is {}, which this follow leaves out", record.kind)));
    }
    let has = |tag: &String| record.tags.iter().any(|found| found.to_lowercase() == tag.to_lowercase());
    if let Some(tag) = policy.exclude_tags.iter().find(|tag| has(tag)) {
        return Err(("tag_unwanted", format!("it is tagged “{tag}”, which this follow leaves out")));
    }
    if !policy.include_tags.is_empty() && !policy.include_tags.iter().any(has) {
        return Err(("tag_unwanted", "it has none of the tags that this follow wants".to_owned()));
    }
    Ok(())
}

fn of_maturity(model: &WantedModel, wanted: &WantedVersion, policy: &FollowPolicy) -> Result<(), Refusal> {
    let Some(ceiling) = policy.max_maturity else { return Ok(()) };
    let rated = Maturity::of_mask(wanted.version.nsfw_level).or_else(|| Maturity::of_mask(model.model.nsfw_level));
    match rated {
        Some(rating) if rating > ceiling => {
            Err(("too_mature", format!("rated {}, above this follow's {}", words(rating), words(ceiling))))
        }
        Some(_) => Ok(()),
        // CivitAI rates everything in time; Hugging Face rates nothing that is fit for all.
        None if model.model.hub == Hub::Civitai => {
            Err(("unrated", "not rated yet; decided when the hub has rated it".to_owned()))
        }
        None => Ok(()),
    }
}

fn words(rating: Maturity) -> &'static str {
    match rating {
        Maturity::Pg => "PG",
        Maturity::Pg13 => "PG-13",
        Maturity::R => "R",
        Maturity::X => "X",
        Maturity::Xxx => "XXX",
    }
}

/// What one follow's policy says of a file that belongs to what it wants. `is_old` says that its content was there
/// when the follow began; `held_bytes` is what the follow's files take up already, `room_bytes` what the volume has
/// left for follows.
pub(crate) fn of_file(
    file: &FileRecord,
    follow: &FollowInterest,
    is_old: bool,
    held_bytes: u64,
    room_bytes: Option<u64>,
) -> Result<(), Refusal> {
    let policy = &follow.policy;
    let holds_weights = file.format.is_weights() || file.format == FileFormat::Pickle;
    if holds_weights && !policy.formats.is_empty() && !policy.formats.contains(&file.format) {
        return Err(("format_unwanted", format!("its format is {}, which this follow leaves out", file.format)));
    }
    if is_old && policy.backfill != Backfill::All {
        return Err(("same_content", "the same bytes were there before you followed".to_owned()));
    }
    let bytes = file.size.map_or(0, FileSize::bytes);
    if policy.max_file_bytes.is_some_and(|most| bytes > most) {
        return Err(("too_large", "larger than this follow takes".to_owned()));
    }
    if policy.max_total_bytes.is_some_and(|most| held_bytes.saturating_add(bytes) > most) {
        return Err(("over_budget", "this follow's files may not take up that much together".to_owned()));
    }
    if room_bytes.is_some_and(|room| bytes > room) {
        return Err(("no_space", "the volume has not that much room left".to_owned()));
    }
    Ok(())
}
