//! The catalogue's file, as `catalogue` and `daemon status` print it.

use super::known;
use crate::render::units::rfc3339;
use crate::render::words;
use paintbox_proto::v1;
use serde::Serialize;

/// A backup, as `catalogue backups` and `catalogue backup` print it.
#[derive(Serialize)]
pub(crate) struct BackupJson<'a> {
    name: &'a str,
    path: &'a str,
    /// daily, manual, before_migration or replaced.
    kind: &'a str,
    create_time: Option<String>,
    size_bytes: u64,
}

impl<'a> From<&'a v1::Backup> for BackupJson<'a> {
    fn from(backup: &'a v1::Backup) -> Self {
        Self {
            name: &backup.name,
            path: &backup.path,
            kind: &backup.kind,
            create_time: rfc3339(backup.create_time.as_ref()),
            size_bytes: backup.size_bytes,
        }
    }
}

/// What `catalogue check` prints.
#[derive(Serialize)]
pub(crate) struct CheckJson<'a> {
    sound: bool,
    /// quick or full.
    depth: &'a str,
    check_time: Option<String>,
    path: &'a str,
    /// The first twenty.
    problems: &'a [String],
    problem_count: u32,
    newest_backup: Option<&'a str>,
}

impl<'a> From<&'a v1::CatalogueCheck> for CheckJson<'a> {
    fn from(check: &'a v1::CatalogueCheck) -> Self {
        Self {
            sound: check.sound,
            depth: &check.depth,
            check_time: rfc3339(check.check_time.as_ref()),
            path: &check.path,
            problems: &check.problems,
            problem_count: check.problem_count,
            newest_backup: known(&check.newest_backup),
        }
    }
}

/// What `catalogue export FILE` prints.
#[derive(Serialize)]
pub(crate) struct ExportedJson {
    pub(crate) file: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// What `catalogue import` and `catalogue restore` print once the daemon runs on the new catalogue.
#[derive(Serialize)]
pub(crate) struct InstalledJson {
    /// Of an import: the rows that were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
    /// Of a restore: the file that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restored: Option<String>,
    /// Models that the catalogue has now.
    pub(crate) models: u64,
}

/// How the file is.
#[derive(Serialize)]
pub(crate) struct HealthJson<'a> {
    /// sound, damaged or unchecked.
    state: String,
    ended_in_order: bool,
    check: Option<CheckJson<'a>>,
    backups: u32,
    backup_bytes: u64,
    newest_backup_time: Option<String>,
    backup_problem: Option<&'a str>,
}

impl<'a> From<&'a v1::CatalogueHealth> for HealthJson<'a> {
    fn from(health: &'a v1::CatalogueHealth) -> Self {
        Self {
            state: words::state(health.state().as_str_name()),
            ended_in_order: health.ended_in_order,
            check: health.check.as_ref().map(Into::into),
            backups: health.backups,
            backup_bytes: health.backup_bytes,
            newest_backup_time: rfc3339(health.newest_backup_time.as_ref()),
            backup_problem: known(&health.backup_problem),
        }
    }
}
