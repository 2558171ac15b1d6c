//! What the catalogue needs from time to time: a check after an end that was not in order and once a week, and a backup a
//! day.
//!
//! What backups may take is bounded, because a catalogue of a million models is gigabytes and most of it can be fetched
//! again. The daily ones take at most [`CatalogueCare::backup_limit_bytes`] together, and never more than a tenth of the
//! disk; while one is made it comes on top. As many of the wanted ones are kept as fit. When only one fits it is made once
//! a week, and when none does none is made and the health says so. A day on which nothing was written needs no backup:
//! each carries the time of the last change to the file or its log as its own, and the next is made when that is another.

use crate::backups::{self, Backup, BackupKind};
use crate::beside::{self, Beside, blocking};
use crate::check::{CatalogueCheck, CheckDepth};
use crate::error::CatalogueError;
use crate::open::Catalogue;
use paintbox_domain::{Failure, Timestamp};
use std::sync::PoisonError;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a backup from before a migration stays when there is a newer one.
const MIGRATION_BACKUPS_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Of the disk, what daily backups may take.
const SHARE: u64 = 10;

/// How the catalogue is cared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueCare {
    /// Daily backups that are kept; 0: none is made.
    pub backups: usize,
    /// What they may take together; a tenth of the disk is the most in any case.
    pub backup_limit_bytes: u64,
    /// What a backup leaves free on the disk.
    pub kept_free_bytes: u64,
}

impl Default for CatalogueCare {
    /// A model takes some 8.5 kB (`cargo bench -p paintbox-catalogue --bench care`): seven backups of seventy thousand
    /// models fit, one of half a million, and none of a million unless more is allowed.
    fn default() -> Self {
        Self { backups: 7, backup_limit_bytes: 4 << 30, kept_free_bytes: 1 << 30 }
    }
}

/// What became of the daily backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupDone {
    Made(Backup),
    /// The last one is not old enough, nothing changed since, or none is wanted.
    NotDue,
    /// Not even one fits into what backups may take.
    TooLarge {
        needed_bytes: u64,
        limit_bytes: u64,
    },
}

/// How the catalogue's file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueHealth {
    /// Whether the process that had it before closed it in order.
    pub ended_in_order: bool,
    /// What the last check found.
    pub check: Option<CatalogueCheck>,
    /// Newest first.
    pub backups: Vec<Backup>,
    /// Why the last daily backup was not made.
    pub backup_problem: Option<Failure>,
}

/// What daily backups may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowance {
    limit_bytes: u64,
    /// How many are kept; none if not even one fits.
    kept: usize,
    interval: Duration,
}

impl CatalogueCare {
    fn allowance(&self, catalogue_bytes: u64, disk_bytes: u64) -> Allowance {
        let limit_bytes = self.backup_limit_bytes.min(disk_bytes / SHARE);
        let fitting = usize::try_from(limit_bytes / catalogue_bytes.max(1)).unwrap_or(usize::MAX);
        let interval = if fitting == 1 { WEEK } else { DAY };
        Allowance { limit_bytes, kept: fitting.min(self.backups), interval }
    }
}

impl Catalogue {
    /// Makes the daily backup if it is due, and removes what newer ones make needless.
    ///
    /// # Errors
    /// `NoRoomForBackup`; when the catalogue cannot be read or the backup not be written. The health repeats it until the
    /// next one is made.
    pub async fn back_up_if_due(&self, care: &CatalogueCare) -> Result<BackupDone, CatalogueError> {
        let done = self.daily_backup(care).await;
        let mut problem = self.aside.backup_problem.lock().unwrap_or_else(PoisonError::into_inner);
        match &done {
            Ok(BackupDone::Made(_)) => *problem = None,
            Ok(BackupDone::NotDue) => {}
            Ok(BackupDone::TooLarge { needed_bytes, limit_bytes }) => {
                *problem = Some(too_large(*needed_bytes, *limit_bytes));
            }
            Err(error) => *problem = Some(Failure::of(error)),
        }
        done
    }

    async fn daily_backup(&self, care: &CatalogueCare) -> Result<BackupDone, CatalogueError> {
        let (beside, now) = (self.aside.beside.clone(), self.now());
        let needed_bytes = [beside.catalogue(), &beside.log()].into_iter().filter_map(beside::length).sum();
        let allowance = care.allowance(needed_bytes, beside::room(beside.folder())?.disk_bytes);
        if care.backups == 0 {
            return Ok(BackupDone::NotDue);
        }
        if allowance.kept == 0 {
            return Ok(BackupDone::TooLarge { needed_bytes, limit_bytes: allowance.limit_bytes });
        }
        if !is_due(&beside, allowance.interval, now) {
            return Ok(BackupDone::NotDue);
        }
        let made = self.back_up_as(BackupKind::Daily, care.kept_free_bytes).await?;
        blocking(move || backups::prune(&beside, allowance.kept, MIGRATION_BACKUPS_FOR, now)).await?;
        Ok(BackupDone::Made(made))
    }

    /// Whether a check is due: the last end was not in order and nobody looked since, or a week has passed.
    ///
    /// # Errors
    /// When the last result cannot be read.
    pub async fn is_check_due(&self) -> Result<bool, CatalogueError> {
        let now = self.now();
        Ok(match self.last_check().await? {
            None => true,
            Some(last) if self.aside.was_left_open && last.at < self.aside.opened_at => true,
            Some(last) => last.at > now || now.since(last.at) >= WEEK,
        })
    }

    /// Checks the file if that is due.
    ///
    /// # Errors
    /// Those of [`Catalogue::check`].
    pub async fn check_if_due(&self) -> Result<Option<CatalogueCheck>, CatalogueError> {
        if !self.is_check_due().await? {
            return Ok(None);
        }
        self.check(CheckDepth::Quick).await.map(Some)
    }

    /// # Errors
    /// When what is kept beside the catalogue cannot be read.
    pub async fn health(&self) -> Result<CatalogueHealth, CatalogueError> {
        Ok(CatalogueHealth {
            ended_in_order: !self.aside.was_left_open,
            check: self.last_check().await?,
            backups: self.backups().await?,
            backup_problem: self.aside.backup_problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }
}

/// A backup that claims to be of a later time than now says nothing: the clock was wrong, then or now.
fn is_due(beside: &Beside, interval: Duration, now: Timestamp) -> bool {
    let last = backups::list(beside).into_iter().find(|backup| backup.kind == BackupKind::Daily);
    let Some(last) = last else { return true };
    let is_recent = last.made_at <= now && now.since(last.made_at) < interval;
    let dated = std::fs::metadata(&last.path).and_then(|found| found.modified()).ok();
    !is_recent && (dated.is_none() || dated != beside.changed_at())
}

fn too_large(needed_bytes: u64, limit_bytes: u64) -> Failure {
    let message = format!("one backup takes {needed_bytes} bytes, and all together may take {limit_bytes}");
    Failure::new(paintbox_domain::ErrorClass::Exhausted, paintbox_domain::reason::DISK_FULL, message)
        .with_hint(
            "`backup_limit_bytes` in the configuration's [catalogue] table allows more, up to a tenth of the disk",
        )
        .with("needed_bytes", needed_bytes.to_string())
        .with("limit_bytes", limit_bytes.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{clock_at, model, opened_with};

    const GIB: u64 = 1 << 30;
    /// Room for all that a test makes.
    const CARE: CatalogueCare = CatalogueCare { backups: 7, backup_limit_bytes: GIB, kept_free_bytes: 0 };

    #[test]
    fn backups_take_no_more_than_their_share() {
        let care = CatalogueCare { backup_limit_bytes: 4 * GIB, ..CARE };
        let allowed = |catalogue, disk| {
            let allowance = care.allowance(catalogue, disk);
            (allowance.kept, allowance.interval)
        };
        assert_eq!(allowed(GIB / 4, 500 * GIB), (7, DAY));
        assert_eq!(allowed(GIB, 500 * GIB), (4, DAY));
        assert_eq!(allowed(3 * GIB, 500 * GIB), (1, WEEK));
        assert_eq!(allowed(5 * GIB, 500 * GIB).0, 0);
        assert_eq!(allowed(GIB, 15 * GIB), (1, WEEK), "a tenth of a small disk");
        assert_eq!(allowed(0, 0).0, 0);
    }

    #[tokio::test]
    async fn one_backup_a_day_is_made_and_seven_are_kept() {
        let clock = clock_at(1_795_000_000_000);
        let (catalogue, _home) = opened_with(clock.clone()).await;
        for day in 0..10 {
            catalogue.record_models(&[model(&day.to_string(), "Some")], None).await.unwrap();
            assert!(matches!(catalogue.back_up_if_due(&CARE).await.unwrap(), BackupDone::Made(_)), "{day}");
            assert_eq!(catalogue.back_up_if_due(&CARE).await.unwrap(), BackupDone::NotDue);
            clock.advance(DAY);
        }
        assert_eq!(catalogue.backups().await.unwrap().len(), 7);
        // Nothing was written since the last one.
        assert_eq!(catalogue.back_up_if_due(&CARE).await.unwrap(), BackupDone::NotDue);
        let none = CatalogueCare { backups: 0, ..CARE };
        catalogue.record_models(&[model("x", "More")], None).await.unwrap();
        assert_eq!(catalogue.back_up_if_due(&none).await.unwrap(), BackupDone::NotDue);
        assert!(matches!(catalogue.back_up_if_due(&CARE).await.unwrap(), BackupDone::Made(_)));
    }

    #[tokio::test]
    async fn what_keeps_a_backup_from_being_made_is_told_until_one_is() {
        let (catalogue, _home) = opened_with(clock_at(1_795_000_000_000)).await;
        let small = CatalogueCare { backup_limit_bytes: 1, ..CARE };
        assert!(matches!(catalogue.back_up_if_due(&small).await.unwrap(), BackupDone::TooLarge { limit_bytes: 1, .. }));
        assert_eq!(
            catalogue.health().await.unwrap().backup_problem.unwrap().reason,
            paintbox_domain::reason::DISK_FULL
        );
        let full = CatalogueCare { kept_free_bytes: u64::MAX, ..CARE };
        assert!(catalogue.back_up_if_due(&full).await.is_err());
        assert!(catalogue.health().await.unwrap().backup_problem.unwrap().message.contains("no room"));
        catalogue.back_up_if_due(&CARE).await.unwrap();
        assert_eq!(catalogue.health().await.unwrap().backup_problem, None);
    }

    #[tokio::test]
    async fn an_end_that_was_not_in_order_asks_for_a_check_and_a_week_does() {
        let clock = clock_at(1_795_000_000_000);
        let (catalogue, home) = opened_with(clock.clone()).await;
        let path = home.path().join("catalogue.db");
        assert!(catalogue.check_if_due().await.unwrap().unwrap().is_sound());
        assert_eq!(catalogue.check_if_due().await.unwrap(), None);
        clock.advance(DAY);
        catalogue.close().await;
        let catalogue = Catalogue::open(&path, clock.clone()).await.unwrap();
        assert!(catalogue.health().await.unwrap().ended_in_order);
        assert_eq!(catalogue.check_if_due().await.unwrap(), None);
        catalogue.record_models(&[model("1", "One")], None).await.unwrap();

        // As a kill leaves it: the file and its log, with nobody who has them open.
        let killed = tempfile::tempdir().unwrap();
        let path = killed.path().join("catalogue.db");
        for ending in ["", "-wal", ".checked"] {
            let from = beside::with_ending(catalogue.path(), ending);
            std::fs::copy(from, beside::with_ending(&path, ending)).unwrap();
        }
        clock.advance(Duration::from_secs(1));
        let catalogue = Catalogue::open(&path, clock.clone()).await.unwrap();
        assert!(!catalogue.health().await.unwrap().ended_in_order);
        assert_eq!(catalogue.counts().await.unwrap().models, 1);
        assert!(catalogue.check_if_due().await.unwrap().unwrap().is_sound());
        assert_eq!(catalogue.check_if_due().await.unwrap(), None);
        clock.advance(WEEK);
        assert!(catalogue.check_if_due().await.unwrap().is_some());
    }
}
