//! The files beside the catalogue's own: where they lie, and how one of them becomes another without a moment at which a
//! kill or a power cut would leave neither.
//!
//! `catalogue.db` is SQLite's, with its log (`-wal`) and its index of that (`-shm`). Beside it are `backups/`;
//! `catalogue.db.building`, a catalogue that is being made and is thrown away when it is not finished;
//! `catalogue.db.incoming`, a whole one that takes the catalogue's place at the next opening; and
//! `catalogue.db.checked`, what the last check found.

use crate::error::CatalogueError;
use paintbox_domain::crash;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What ends the name of a file that is not whole yet.
const UNFINISHED: &str = ".building";

/// The places beside one catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    catalogue: PathBuf,
}

impl Beside {
    pub(crate) fn of(catalogue: &Path) -> Self {
        Self { catalogue: catalogue.to_owned() }
    }

    pub(crate) fn catalogue(&self) -> &Path {
        &self.catalogue
    }

    pub(crate) fn log(&self) -> PathBuf {
        with_ending(&self.catalogue, "-wal")
    }

    pub(crate) fn log_index(&self) -> PathBuf {
        with_ending(&self.catalogue, "-shm")
    }

    pub(crate) fn building(&self) -> PathBuf {
        with_ending(&self.catalogue, UNFINISHED)
    }

    pub(crate) fn incoming(&self) -> PathBuf {
        with_ending(&self.catalogue, ".incoming")
    }

    pub(crate) fn checked(&self) -> PathBuf {
        with_ending(&self.catalogue, ".checked")
    }

    pub(crate) fn folder(&self) -> &Path {
        match self.catalogue.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.folder().join("backups")
    }

    /// The folder of the backups, made if it is not there; only its owner may look into it.
    pub(crate) fn make_backups(&self) -> Result<PathBuf, CatalogueError> {
        let folder = self.backups();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(failed("create", &folder))?;
        flush_folder(self.folder())?;
        Ok(folder)
    }

    /// When the catalogue's file or its log was last written to.
    pub(crate) fn changed_at(&self) -> Option<SystemTime> {
        let of = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        of(&self.catalogue).max(of(&self.log()))
    }

    /// Removes what a process that was killed left unfinished.
    pub(crate) fn sweep(&self) -> Result<(), CatalogueError> {
        remove_database(&self.building())?;
        let Ok(entries) = fs::read_dir(self.backups()) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("catalogue-") && name.contains(&format!("db{UNFINISHED}")) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// What a log begins with, in either order of bytes (sqlite.org/fileformat2.html#walformat).
const LOG_MAGICS: [[u8; 4]; 2] = [[0x37, 0x7f, 0x06, 0x82], [0x37, 0x7f, 0x06, 0x83]];

/// Whether SQLite would take a file for a log; it begins a new one in the place of anything else.
pub(crate) fn is_log(path: &Path) -> Result<bool, CatalogueError> {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read(&mut magic));
    read.map_err(failed("read", path))?;
    Ok(LOG_MAGICS.contains(&magic))
}

/// The name under which a file is made before it gets its own.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    with_ending(path, UNFINISHED)
}

pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut whole = OsString::from(path);
    whole.push(ending);
    PathBuf::from(whole)
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CatalogueError {
    let path = path.to_owned();
    move |source| CatalogueError::File { action, path, source }
}

/// The length of a file; none if there is none.
pub(crate) fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.len())
}

/// Waits until a file's bytes are on the device.
pub(crate) fn flush(path: &Path) -> Result<(), CatalogueError> {
    crash::point("flush");
    File::open(path).and_then(|file| sync(&file)).map_err(failed("flush", path))
}

/// Waits until a folder's names are on the device.
pub(crate) fn flush_folder(path: &Path) -> Result<(), CatalogueError> {
    crash::point("flush the folder");
    File::open(path).and_then(|folder| sync(&folder)).map_err(failed("flush the folder", path))
}

/// `sync_all` is F_FULLFSYNC on macOS, which some file systems there do not know; a plain fsync is the most they offer.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if cfg!(target_vendor = "apple") && error.kind() != ErrorKind::StorageFull => {
            rustix::fs::fsync(file).map_err(io::Error::from)
        }
        result => result,
    }
}

/// Renames beside the catalogue, and waits until both folders say so.
#[expect(
    clippy::disallowed_methods,
    reason = "the catalogue's one rename; the store's are of files that it keeps itself"
)]
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), CatalogueError> {
    crash::point("rename");
    fs::rename(from, to).map_err(failed("move into place", to))?;
    let folders = [from.parent(), to.parent()];
    let differ = folders[0] != folders[1];
    for folder in folders.into_iter().skip(usize::from(!differ)).flatten() {
        flush_folder(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    }
    Ok(())
}

/// Removes a file; one that is not there is as good as removed.
pub(crate) fn remove(path: &Path) -> Result<(), CatalogueError> {
    crash::point("remove");
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a database with all that SQLite keeps beside it.
pub(crate) fn remove_database(path: &Path) -> Result<(), CatalogueError> {
    for ending in ["-journal", "-wal", "-shm", ""] {
        remove(&with_ending(path, ending))?;
    }
    Ok(())
}

/// Replaces a small file so that a reader, or a power cut, meets the old or the new content and nothing between.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CatalogueError> {
    let fresh = unfinished(path);
    crash::point("write anew");
    File::create(&fresh).and_then(|mut file| file.write_all(bytes)).map_err(failed("write", &fresh))?;
    flush(&fresh)?;
    rename(&fresh, path)
}

/// Bytes that this user may still write on the disk that holds `folder`, and all of its bytes.
pub(crate) fn room(folder: &Path) -> Result<Room, CatalogueError> {
    let disk = rustix::fs::statvfs(folder).map_err(|error| failed("look at the disk of", folder)(error.into()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Ok(Room { free_bytes: bytes(disk.f_bavail), disk_bytes: bytes(disk.f_blocks) })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) free_bytes: u64,
    pub(crate) disk_bytes: u64,
}

/// Work with files on a thread that may wait for a disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CatalogueError> + Send + 'static,
) -> Result<T, CatalogueError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(failed("work beside", Path::new("the catalogue"))(io::Error::other(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_what_was_unfinished_is_swept() {
        let home = tempfile::tempdir().unwrap();
        let beside = Beside::of(&home.path().join("catalogue.db"));
        beside.make_backups().unwrap();
        for text in ["one", "two"] {
            replace(&beside.checked(), text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(beside.checked()).unwrap(), text);
        }
        let half = unfinished(&beside.backups().join("catalogue-daily-20260101T000000Z.db"));
        let whole = beside.backups().join("catalogue-daily-20260101T000000Z.db");
        for path in [&half, &whole, &beside.building(), &with_ending(&beside.building(), "-wal")] {
            fs::write(path, "x").unwrap();
        }
        beside.sweep().unwrap();
        let there = |path: &Path| path.exists();
        assert_eq!([there(&half), there(&whole), there(&beside.building())], [false, true, false]);
        assert!(!there(&with_ending(&beside.building(), "-wal")));
    }
}
