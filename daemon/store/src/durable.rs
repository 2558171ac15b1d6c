//! The few file system calls whose order decides what survives a kill or a power cut.

use crate::StoreError;
use paintbox_domain::crash;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Blobs are never written to again; a front end that is handed one should not be able to by accident.
const BLOB_MODE: u32 = 0o444;
const WORKING_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// The unit that a file's blocks are counted in (`st_blocks`, stat(2)).
const BLOCK_BYTES: u64 = 512;

/// Creates `path` and its parents, for this user alone. A folder that exists keeps its mode.
pub(crate) fn create_folder(path: &Path) -> Result<(), StoreError> {
    crash::point("create a folder");
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(StoreError::io("create the folder", path))
}

/// Creates the folder `path` in one that is there, for this user alone. Where a disk was taken away nothing is made in its
/// stead.
pub(crate) fn create_folder_within(path: &Path) -> Result<(), StoreError> {
    crash::point("create a folder");
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::io("create the folder", path)(error))
        }
        _ => Ok(()),
    }
}

/// Options for a file that only this user reads and writes.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(WORKING_MODE);
    options
}

/// Gives a file that [`seal`] made read-only back to its writer.
pub(crate) fn unseal(path: &Path) -> Result<(), StoreError> {
    crash::point("make writable");
    fs::set_permissions(path, fs::Permissions::from_mode(WORKING_MODE)).map_err(StoreError::io("make writable", path))
}

/// Gives an open file back to its writer.
pub(crate) fn make_writable(file: &File) -> io::Result<()> {
    crash::point("make writable");
    file.set_permissions(fs::Permissions::from_mode(WORKING_MODE))
}

/// Makes a file read-only, if it is not.
pub(crate) fn seal_again(file: &File) -> io::Result<()> {
    if file.metadata()?.permissions().readonly() { Ok(()) } else { make_read_only(file) }
}

fn make_read_only(file: &File) -> io::Result<()> {
    crash::point("make read-only");
    file.set_permissions(fs::Permissions::from_mode(BLOB_MODE))
}

/// Makes a finished file read-only and waits until its bytes are on the device.
pub(crate) fn seal(file: &File, path: &Path) -> Result<(), StoreError> {
    match make_read_only(file) {
        // Disks that several systems read (exFAT, NTFS, shares) may know no such mode. It guards against accidents only.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
            tracing::debug!(path = %path.display(), %error, "cannot make it read-only");
        }
        sealed => sealed.map_err(StoreError::io("make read-only", path))?,
    }
    sync_file(file, path)
}

/// Sets room aside for bytes that are to be written behind the end of a file, whose length stays: what is promised room
/// does not end on a full disk, and lies in few pieces. A file system that cannot do that gives room as it is asked.
///
/// macOS has only a call that changes the length too, and APFS decides where bytes lie when they are flushed; there
/// nothing is done.
pub(crate) fn reserve(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::FallocateFlags;
        use rustix::io::Errno;
        // Whatever else keeps it from doing so keeps nobody from writing.
        if let Err(Errno::NOSPC | Errno::DQUOT) = rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, from, bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _nothing_to_do = (file, from, bytes);
    Ok(())
}

/// Gives room back that [`reserve`] set aside behind the end of a file and that was not used. What cannot be given back
/// now is used when the file grows.
pub(crate) fn release(file: &File) {
    #[cfg(target_os = "linux")]
    if let Ok(length) = file.metadata().map(|found| found.len()) {
        use rustix::fs::FallocateFlags;
        // Btrfs gives it back for a hole, ext4 and XFS when the length is set, to what it is already.
        let hole = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
        let _cannot = rustix::fs::fallocate(file, hole, length, reserved_bytes(file).max(1));
        let _cannot = file.set_len(length);
    }
    #[cfg(not(target_os = "linux"))]
    let _nothing_to_do = file;
}

/// Bytes that a file takes up beyond its length.
pub(crate) fn reserved_bytes(file: &File) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map_or(0, |found| (found.blocks() * BLOCK_BYTES).saturating_sub(found.len()))
}

/// Makes `to` a file of the same bytes as `from` that takes up no room of its own, if the file system can do that (APFS,
/// Btrfs, XFS) and both lie on it. False if not; then there is nothing at `to`.
pub(crate) fn clone_file(from: &File, to: &Path) -> Result<bool, StoreError> {
    crash::point("clone");
    #[cfg(target_vendor = "apple")]
    {
        let cloned = rustix::fs::fclonefileat(from, rustix::fs::CWD, to, rustix::fs::CloneFlags::empty());
        Ok(cloned.is_ok())
    }
    #[cfg(not(target_vendor = "apple"))]
    {
        let target = private_file().write(true).create_new(true).open(to).map_err(StoreError::io("create", to))?;
        if rustix::fs::ioctl_ficlone(&target, from).is_ok() {
            return Ok(true);
        }
        drop(target);
        remove(to)?;
        Ok(false)
    }
}

/// Waits until a file's bytes and length are on the device.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<(), StoreError> {
    crash::point("flush");
    sync(file).map_err(StoreError::io("flush", path))
}

/// Waits until a folder's names are on the device.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let act = "flush the folder";
    crash::point(act);
    let folder = File::open(path).map_err(StoreError::io(act, path))?;
    sync(&folder).map_err(StoreError::io(act, path))
}

/// `sync_all` is F_FULLFSYNC on macOS, which some file systems there (network and FAT volumes) do not know; a plain
/// fsync is the most they offer.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if cfg!(target_vendor = "apple") && !is_of_the_device(&error) => {
            rustix::fs::fsync(file).map_err(io::Error::from)
        }
        result => result,
    }
}

/// Whether a failed flush says something about the bytes, rather than about which flush the file system knows.
fn is_of_the_device(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Renames within the store. What was at `to` is replaced in one step.
#[expect(clippy::disallowed_methods, reason = "this is the store's one rename, which its callers order with fsync")]
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    crash::point("rename");
    fs::rename(from, to).map_err(StoreError::io("move into place", to))
}

/// Removes a file; one that is not there is as good as removed.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    crash::point("remove");
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Replaces a small file so that a reader, or a power cut, meets the old or the new content and nothing between.
/// The folder's own fsync is left to the caller.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let fresh = path.with_extension("new");
    crash::point("write anew");
    let mut file = private_file()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&fresh)
        .map_err(StoreError::io("create", &fresh))?;
    file.write_all(bytes).map_err(StoreError::io_writing("write", &fresh, bytes.len() as u64))?;
    sync_file(&file, &fresh)?;
    rename(&fresh, path)
}

/// Bytes that this user may still write on the volume that holds `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let volume = rustix::fs::statvfs(path)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}
