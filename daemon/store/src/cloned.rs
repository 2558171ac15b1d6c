//! Files that another tool keeps, taken into the store without a copy: where the file system can have two files share
//! their bytes until one of them changes, ours stays when the other tool removes its own, and takes up no room until then.
//!
//! What programs wrote beside the bytes comes along on APFS, where a clone has the attributes of its origin (clonefile(2)),
//! and not on Btrfs and XFS, where it shares bytes alone (ioctl_ficlone(2)). One of them is `com.apple.quarantine`, by which
//! macOS knows that a file came from elsewhere: it is left on a clone, which is as trustworthy as its origin and no more. We
//! put it on nothing that we fetch, as no program does that does not ask for it (`LSFileQuarantineEnabled`), and take it from
//! nothing. Only whether backups leave a clone out is said anew.

use crate::{Store, StoreError, durable};
use paintbox_domain::Sha256;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A file of the store that shares its bytes with another one, and has no name yet. Dropping it removes it.
#[derive(Debug)]
pub struct Cloned {
    store: Store,
    path: PathBuf,
}

impl Store {
    /// A clone of the file at `path`; none where the file system cannot do that, or lies elsewhere.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the file cannot be opened.
    pub fn clone_of(&self, path: &Path) -> Result<Option<Cloned>, StoreError> {
        let source = File::open(path).map_err(StoreError::io("open", path))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let target = self.incoming_folder().join(format!("clone.{}.{number}", std::process::id()));
        let cloned = durable::clone_file(&source, &target)?;
        Ok(cloned.then(|| Cloned { store: self.clone(), path: target }))
    }
}

impl Cloned {
    /// Where its bytes are, to be checked: nobody else writes there.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether the system's backups leave it out once it has its name, whatever is so of the other file.
    pub fn leave_out_of_backups(&self, left_out: bool) {
        if let Ok(file) = File::open(&self.path) {
            self.store.mark_unsealed(&file, &self.path, left_out);
        }
    }

    /// Names the bytes, which were read and have this digest. Returns where they are then.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn place(self, sha256: Sha256) -> Result<PathBuf, StoreError> {
        let path = self.store.blob_path(&sha256);
        let file = File::open(&self.path).map_err(StoreError::io("open", &self.path))?;
        durable::seal(&file, &self.path)?;
        self.store.create_shard(&sha256)?;
        durable::rename(&self.path, &path)?;
        self.store.sync_shard_of(&path)?;
        Ok(path)
    }
}

impl Drop for Cloned {
    fn drop(&mut self) {
        // After `place` nothing is there any more.
        if let Err(error) = durable::remove(&self.path) {
            tracing::warn!(%error, "cannot remove a clone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expected;
    use crate::hf_cache::CachedFile;

    /// Whether this file system clones or not, the store has a blob of its own or nothing. On one that does, as root:
    /// `truncate -s 500M fs && mkfs.btrfs fs && mount -o loop fs /mnt && TMPDIR=/mnt cargo test -p paintbox-store --lib`
    #[test]
    fn a_clone_is_a_blob_of_its_own_and_leaves_the_other_file_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("theirs");
        std::fs::write(&theirs, b"abc").unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let incoming = || std::fs::read_dir(store.incoming_folder()).unwrap().count();
        if let Some(cloned) = store.clone_of(&theirs).unwrap() {
            let file = CachedFile { path: cloned.path().to_owned(), size_bytes: 3 };
            let digests = file.verify(&Expected::default()).unwrap();
            let path = cloned.place(digests.sha256).unwrap();
            std::fs::remove_file(&theirs).unwrap();
            assert_eq!(std::fs::read(path).unwrap(), b"abc");
        } else {
            assert_eq!(std::fs::read(&theirs).unwrap(), b"abc");
        }
        assert_eq!(incoming(), 0);
        assert!(store.clone_of(&folder.path().join("absent")).is_err());

        std::fs::write(&theirs, b"abd").unwrap();
        drop(store.clone_of(&theirs).unwrap());
        assert_eq!(incoming(), 0, "one that is not wanted leaves nothing");
    }
}
