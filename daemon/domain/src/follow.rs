//! What to follow, and how much of it to fetch.

mod target;

pub use target::{CivitaiCollection, FollowTarget, FollowTargetError};

use crate::kind::closed_names;
use crate::{FileFormat, ModelKind, Timestamp};

/// Which of a follow's work is fetched. The default fetches whatever comes after the follow, in every format that is
/// safe to open, and nothing that was there before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FollowPolicy {
    pub backfill: Backfill,
    /// Empty: every kind.
    pub kinds: Vec<ModelKind>,
    /// The hub's labels, compared without case; empty: every base model.
    pub base_models: Vec<String>,
    /// Empty: safetensors and GGUF.
    pub formats: Vec<FileFormat>,
    /// Larger files are left.
    pub max_file_bytes: Option<u64>,
    /// What all files of this follow may take together, those that are here included.
    pub max_total_bytes: Option<u64>,
    /// Only the newest versions of each model.
    pub keep_last: Option<u32>,
    /// The strongest rating that is fetched; none: all of them.
    pub max_maturity: Option<Maturity>,
    pub early_access: EarlyAccessPolicy,
    /// Tell about new versions, and fetch none.
    pub notify_only: bool,
    /// Models must have one of these tags, compared without case; empty: no matter.
    pub include_tags: Vec<String>,
    /// Models must have none of these.
    pub exclude_tags: Vec<String>,
    /// No file of this follow is fetched in these hours.
    pub quiet_hours: Option<QuietHours>,
    pub max_bytes_per_second: Option<u64>,
    /// Follows with a higher number are served first.
    pub priority: i32,
}

impl FollowPolicy {
    /// Whether it lets anything through that a hub keeps apart as mature.
    #[must_use]
    pub fn admits_mature(&self) -> bool {
        self.max_maturity.is_none_or(|ceiling| ceiling > Maturity::Pg13)
    }
}

/// How much of what was there before the follow is fetched. What comes after it always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backfill {
    /// The back catalogue is recorded as seen.
    #[default]
    None,
    /// The newest versions, counted over the whole follow.
    Newest(u32),
    /// What was published then or later.
    Since(Timestamp),
    All,
}

closed_names! {
    /// CivitAI's ratings, mildest first.
    Maturity {
        Pg = "pg",
        Pg13 = "pg13",
        R = "r",
        X = "x",
        Xxx = "xxx",
    }
}

impl Maturity {
    /// The strongest rating in CivitAI's bitmask (1 PG, 2 PG-13, 4 R, 8 X, 16 XXX, 32 blocked; 0 is unrated). Blocked
    /// counts as the strongest.
    #[must_use]
    pub fn of_mask(mask: u32) -> Option<Self> {
        match mask {
            0 => None,
            mask if mask >= 16 => Some(Self::Xxx),
            mask if mask & 8 != 0 => Some(Self::X),
            mask if mask & 4 != 0 => Some(Self::R),
            mask if mask & 2 != 0 => Some(Self::Pg13),
            _ => Some(Self::Pg),
        }
    }
}

closed_names! {
    /// What becomes of a version that must be paid for at first.
    #[derive(Default)]
    EarlyAccessPolicy {
        /// It is fetched when it becomes free.
        #[default]
        Wait = "wait",
        /// It is never fetched.
        Never = "never",
    }
}

/// Minutes of the local day, from 0 to 1439; a range that ends before it begins goes over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    pub from_minute: u16,
    /// The first minute that is not quiet any more.
    pub to_minute: u16,
}

impl QuietHours {
    /// `22:00-07:00`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str| -> Option<u16> {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60 || (hour, minute) == (24, 0)).then_some((hour * 60 + minute) % 1440)
        };
        let (from, to) = text.split_once('-')?;
        let (from_minute, to_minute) = (minute(from)?, minute(to)?);
        (from_minute != to_minute).then_some(Self { from_minute, to_minute })
    }

    #[must_use]
    pub fn holds(self, minute: u16) -> bool {
        if self.from_minute < self.to_minute {
            (self.from_minute..self.to_minute).contains(&minute)
        } else {
            minute >= self.from_minute || minute < self.to_minute
        }
    }

    /// `07:00`.
    #[must_use]
    pub fn end(self) -> String {
        clock_face(self.to_minute)
    }
}

impl std::fmt::Display for QuietHours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", clock_face(self.from_minute), self.end())
    }
}

fn clock_face(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_rating_of_a_mask_counts() {
        let of = Maturity::of_mask;
        assert_eq!(
            [0, 1, 3, 7, 15, 31, 32].map(of),
            [
                None,
                Some(Maturity::Pg),
                Some(Maturity::Pg13),
                Some(Maturity::R),
                Some(Maturity::X),
                Some(Maturity::Xxx),
                Some(Maturity::Xxx)
            ]
        );
        assert!(Maturity::Pg13 < Maturity::R);
    }

    #[test]
    fn quiet_hours_go_over_midnight() {
        let night = QuietHours::parse("22:30-07:00").unwrap();
        for (minute, quiet) in [(22 * 60 + 29, false), (22 * 60 + 30, true), (0, true), (419, true), (420, false)] {
            assert_eq!(night.holds(minute), quiet, "{minute}");
        }
        assert_eq!(night.to_string(), "22:30-07:00");
        let noon = QuietHours::parse("12:00 - 13:00").unwrap();
        assert!(noon.holds(720) && !noon.holds(780) && !noon.holds(719));
        assert_eq!(QuietHours::parse("20:00-24:00").unwrap().to_string(), "20:00-00:00");
        for bad in ["", "22:00", "25:00-01:00", "1-2", "08:00-08:00", "08:60-09:00"] {
            assert_eq!(QuietHours::parse(bad), None, "{bad}");
        }
    }
}
