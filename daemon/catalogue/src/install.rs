//! How another file takes the catalogue's place: at the next opening, before anything else.
//!
//! A restore or an import makes a whole catalogue beside the one that is open, checks it, flushes it and names it
//! `catalogue.db.incoming`; then the daemon ends. Whoever opens the catalogue next finds it, moves the old file to the
//! backups and puts the new one in its place. Nothing is exchanged under a running daemon, so no part of it can hold on to
//! what was there before, and what it still writes on its way to the end goes into the old file, which is kept.
//!
//! The steps are renames. SQLite finds a log by its name, and a log that is not a file's own would ruin it, so the old log
//! goes first; a kill between any two leaves a state from which the next opening goes on. Nothing is deleted but the index
//! of the log, which SQLite makes anew.

use crate::backups::{self, BackupKind};
use crate::beside::{self, Beside, with_ending};
use crate::error::CatalogueError;
use paintbox_domain::Timestamp;
use std::path::PathBuf;

/// Puts the incoming catalogue, if there is one, in the place of the one that is there.
pub(crate) fn install(beside: &Beside, now: Timestamp) -> Result<(), CatalogueError> {
    if !beside.incoming().exists() {
        return Ok(());
    }
    let aside = match begun(beside) {
        Some(aside) => aside,
        None => backups::place(beside, BackupKind::Replaced, now)?,
    };
    beside::remove(&beside.log_index())?;
    if beside.log().exists() {
        beside::rename(&beside.log(), &with_ending(&aside, "-wal"))?;
    }
    if beside.catalogue().exists() {
        beside::rename(beside.catalogue(), &aside)?;
    }
    // It says nothing of the file that comes.
    beside::remove(&beside.checked())?;
    beside::rename(&beside.incoming(), beside.catalogue())?;
    tracing::warn!(catalogue = %beside.catalogue().display(), kept = %aside.display(), "another file took the catalogue's place");
    Ok(())
}

/// Where the old catalogue's log was moved by a process that did not come to moving the catalogue.
fn begun(beside: &Beside) -> Option<PathBuf> {
    let entries = std::fs::read_dir(beside.backups()).ok()?;
    let logs = entries.flatten().map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(".db-wal"));
    let mut files = logs.map(|log| log.with_extension("db"));
    files.find(|file| file.to_string_lossy().contains("-replaced-") && !file.exists())
}

/// Gives a catalogue that was built and closed the name under which it is installed.
pub(crate) fn stage(beside: &Beside) -> Result<(), CatalogueError> {
    beside::flush(&beside.building())?;
    beside::rename(&beside.building(), &beside.incoming())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A home with an old catalogue and its log, and one that comes; killed after `steps` of the installation.
    fn killed_after(steps: usize) -> (tempfile::TempDir, Beside) {
        let home = tempfile::tempdir().unwrap();
        let beside = Beside::of(&home.path().join("catalogue.db"));
        fs::write(beside.catalogue(), "old").unwrap();
        fs::write(beside.log(), "old log").unwrap();
        fs::write(beside.log_index(), "index").unwrap();
        fs::write(beside.incoming(), "new").unwrap();
        let aside = backups::place(&beside, BackupKind::Replaced, Timestamp::from_unix_ms(0)).unwrap();
        if steps > 0 {
            fs::remove_file(beside.log_index()).unwrap();
        }
        if steps > 1 {
            beside::rename(&beside.log(), &with_ending(&aside, "-wal")).unwrap();
        }
        if steps > 2 {
            beside::rename(beside.catalogue(), &aside).unwrap();
        }
        if steps > 3 {
            beside::rename(&beside.incoming(), beside.catalogue()).unwrap();
        }
        (home, beside)
    }

    #[test]
    fn a_kill_between_any_two_steps_leaves_what_the_next_opening_finishes() {
        for steps in 0..=4 {
            let (_home, beside) = killed_after(steps);
            for _again in 0..2 {
                install(&beside, Timestamp::from_unix_ms(9_000)).unwrap();
            }
            assert_eq!(fs::read_to_string(beside.catalogue()).unwrap(), "new", "{steps}");
            assert!(!beside.log().exists() && !beside.incoming().exists(), "{steps}: a log of another file is left");
            let [kept] = &backups::list(&beside)[..] else { panic!("{steps}") };
            assert_eq!(fs::read_to_string(&kept.path).unwrap(), "old", "{steps}");
            assert_eq!(fs::read_to_string(with_ending(&kept.path, "-wal")).unwrap(), "old log", "{steps}");
        }
    }
}
