//! How much a follow would fetch at once, told before it does.

use super::Arguments;
use crate::error::CliError;
use crate::render::units;
use crate::session::Session;
use paintbox_proto::v1;

/// Shows what would be fetched and asks whether that is meant; true when it is. Without a person at the terminal, what
/// fits is meant.
///
/// # Errors
/// `DoesNotFit` when it exceeds the free space and the command line does not say that this is fine.
pub(super) fn agreed(
    seen: &v1::BackfillPreview,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<bool, CliError> {
    session.note(&words(seen))?;
    if arguments.yes {
        return Ok(true);
    }
    let v1::BackfillPreview { files, bytes, free_bytes, .. } = *seen;
    if bytes > free_bytes {
        return Err(CliError::DoesNotFit { target: arguments.target.clone(), files, bytes, free_bytes });
    }
    if files == 0 || !session.has_company() {
        return Ok(true);
    }
    session.confirm(if arguments.update { "Change it?" } else { "Follow?" })
}

/// What would be fetched, and what room there is.
pub(super) fn words(seen: &v1::BackfillPreview) -> String {
    let free = units::bytes(seen.free_bytes);
    if seen.files == 0 {
        return format!("Of what is there now, nothing is to be fetched; {free} are free.");
    }
    let size = if seen.bytes == 0 { "of unknown size".to_owned() } else { units::bytes(seen.bytes) };
    let room = if seen.bytes > seen.free_bytes { ": it does not fit" } else { "" };
    format!("That is {}, {size}; {free} are free{room}.", units::count(seen.files.into(), "file"))
}

/// What becomes of earlier work that nobody asked for.
pub(super) fn left_alone(seen: &v1::BackfillPreview) -> String {
    let v1::BackfillPreview { listed_models, listed_versions, .. } = *seen;
    let there = match (listed_models, listed_versions) {
        (0, 0) => "What is already there".to_owned(),
        (models, 0) => format!("What is already there ({})", units::count(models.into(), "model")),
        (models, versions) => format!(
            "What is already there ({}, {})",
            units::count(models.into(), "model"),
            units::count(versions.into(), "version")
        ),
    };
    format!("{there} is recorded as seen; only what comes after is fetched.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(files: u32, bytes: u64, free_bytes: u64) -> v1::BackfillPreview {
        v1::BackfillPreview { listed_models: 1, listed_versions: 2, files, bytes, free_bytes }
    }

    #[test]
    fn sizes_and_room_are_told_together() {
        let free = 300_000_000_000;
        assert_eq!(words(&seen(34, 112_000_000_000, free)), "That is 34 files, 112 GB; 300 GB are free.");
        assert_eq!(words(&seen(1, 0, free)), "That is 1 file, of unknown size; 300 GB are free.");
        assert_eq!(words(&seen(0, 0, free)), "Of what is there now, nothing is to be fetched; 300 GB are free.");
        assert_eq!(words(&seen(2, 5, 4)), "That is 2 files, 5 B; 4 B are free: it does not fit.");
        assert_eq!(
            left_alone(&seen(0, 0, 0)),
            "What is already there (1 model, 2 versions) is recorded as seen; only what comes after is fetched."
        );
    }
}
