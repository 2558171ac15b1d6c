//! The store itself: its folders, and whole files under their digest.

use crate::folders::Folders;
use crate::hashing::sha256_of;
use crate::partial::{Partial, PartialInfo, PartialKey};
use crate::time_machine::Mark;
use crate::{StoreError, durable};
use paintbox_domain::{Sha256, crash, digest};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A whole file in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub sha256: Sha256,
    pub size_bytes: u64,
    pub path: PathBuf,
}

/// A folder of blobs and partials. Cheap to clone; clones, and other stores opened on the same folder, may be used at
/// the same time.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    folders: Arc<Folders>,
    /// What has backups leave a file out, where there is such a thing.
    pub(crate) mark: Option<Mark>,
    /// What downloads leave to others on the store's volume; clones share it.
    kept_free_bytes: Arc<AtomicU64>,
    /// First bytes of digests whose folder is known to survive a power cut. A folder that merely exists may have been
    /// made a moment ago by somebody who has not flushed it yet.
    flushed_shards: Arc<Mutex<BTreeSet<u8>>>,
}

impl Store {
    /// Opens the store at `root` and creates the folders it lacks (mode 0700), which on a Mac are hidden from Spotlight.
    /// Nothing that is there is touched.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::DiskFull`] when a folder cannot be created or flushed.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let folders = Folders::find(root, cfg!(target_os = "macos"))?;
        folders.create()?;
        let shards = &folders.shards;
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(shards).map_err(StoreError::io("list", shards))? {
            let name = entry.map_err(StoreError::io("list", shards))?.file_name();
            found.extend(name.to_str().and_then(|name| u8::from_str_radix(name, 16).ok()));
        }
        // After the listing, so that what was listed is flushed now if it was not before.
        for folder in [shards, &folders.blobs, root] {
            durable::sync_folder(folder)?;
        }
        let store = Self {
            root: root.to_owned(),
            folders: Arc::new(folders),
            mark: Mark::of_system(),
            kept_free_bytes: Arc::default(),
            flushed_shards: Arc::new(Mutex::new(found)),
        };
        store.mark_folders();
        Ok(store)
    }

    /// The same store with downloads that leave so many bytes of its volume free. What is made here, such as a picture,
    /// may use them.
    #[must_use]
    pub fn keeping_free(self, bytes: u64) -> Self {
        Self { kept_free_bytes: Arc::new(bytes.into()), ..self }
    }

    /// Has downloads into this store, and into its clones, leave so many bytes free from now on.
    pub fn keep_free(&self, bytes: u64) {
        self.kept_free_bytes.store(bytes, Ordering::Relaxed);
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that all blobs are in, whatever it is called here.
    #[must_use]
    pub fn blobs_folder(&self) -> &Path {
        &self.folders.blobs
    }

    /// Where a blob is, or would be: `root/blobs/sha256/ab/abcdef…`.
    #[must_use]
    pub fn blob_path(&self, sha256: &Sha256) -> PathBuf {
        let name = sha256.to_hex();
        self.folders.shards.join(&name[..2]).join(name)
    }

    /// The size in bytes of a blob, if it is here.
    #[must_use]
    pub fn has_blob(&self, sha256: &Sha256) -> Option<u64> {
        fs::metadata(self.blob_path(sha256)).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`StoreError::BlobMissing`] when it is not here, [`StoreError::Io`] when it cannot be read.
    pub fn open_blob(&self, sha256: &Sha256) -> Result<File, StoreError> {
        let path = self.blob_path(sha256);
        match File::open(&path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::BlobMissing { sha256: *sha256, path })
            }
            Err(error) => Err(StoreError::io("open the blob", &path)(error)),
        }
    }

    /// Stores bytes that are already in memory: a preview, a picture. Bytes that are here already are not written
    /// again.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::Io`]; no blob has been named then.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Blob, StoreError> {
        let sha256 = sha256_of(bytes);
        let size_bytes = bytes.len() as u64;
        let path = self.blob_path(&sha256);
        if self.has_blob(&sha256) != Some(size_bytes) {
            let (mut file, incoming) = self.create_incoming(&sha256)?;
            crash::point("write");
            let written = file
                .write_all(bytes)
                .map_err(StoreError::io_writing("write", &incoming, size_bytes))
                .and_then(|()| durable::seal(&file, &incoming))
                .and_then(|()| self.create_shard(&sha256))
                .and_then(|()| durable::rename(&incoming, &path));
            if let Err(error) = written {
                // A full disk should not be fuller for having tried.
                durable::remove(&incoming)?;
                return Err(error);
            }
            self.sync_shard_of(&path)?;
        }
        Ok(Blob { sha256, size_bytes, path })
    }

    /// Opens the partial of `key`, or starts an empty one. Bytes that are already there are read once so that hashing
    /// goes on where it ended; that takes a second or so per gigabyte.
    ///
    /// # Errors
    /// [`StoreError::PartialBusy`] while somebody else has it open; otherwise [`StoreError::Io`] or
    /// [`StoreError::DiskFull`].
    pub fn partial(&self, key: &PartialKey) -> Result<Partial, StoreError> {
        Partial::open(self, key)
    }

    /// Whether anything of a partial is here. It is not opened.
    #[must_use]
    pub fn has_partial(&self, key: &PartialKey) -> bool {
        self.partials_folder().join(key.file_name()).with_extension("part").exists()
    }

    /// The partials that are here, by key. They are not locked or read; one of them may be growing.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folder cannot be read.
    pub fn partials(&self) -> Result<Vec<PartialInfo>, StoreError> {
        PartialInfo::list(self.partials_folder())
    }

    /// Removes a blob; one that is not here is as good as removed. Whoever knows the blob must have forgotten it
    /// before. Readers that have it open keep it until they close it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove_blob(&self, sha256: &Sha256) -> Result<(), StoreError> {
        let path = self.blob_path(sha256);
        if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(());
        }
        durable::remove(&path)?;
        self.sync_shard_of(&path)
    }

    /// Removes what a kill left of small blobs. To be called before anybody uses the store, since a
    /// [`Store::put_bytes`] that is under way would lose its file. Returns the bytes freed.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn sweep_incoming(&self) -> Result<u64, StoreError> {
        let folder = self.incoming_folder();
        let mut freed_bytes = 0;
        for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
            let entry = entry.map_err(StoreError::io("list", folder))?;
            freed_bytes += entry.metadata().map_or(0, |metadata| metadata.len());
            durable::remove(&entry.path())?;
        }
        Ok(freed_bytes)
    }

    /// Bytes that the daemon's user may still write on the store's volume.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the volume cannot be asked.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        durable::free_bytes(&self.root).map_err(StoreError::io("count the free bytes around", &self.root))
    }

    /// Bytes that downloads may take up: those that are free, without those that are to stay so.
    ///
    /// # Errors
    /// As [`Self::free_bytes`].
    pub fn room_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.free_bytes()?.saturating_sub(self.kept_free_bytes()))
    }

    /// What downloads leave free.
    #[must_use]
    pub fn kept_free_bytes(&self) -> u64 {
        self.kept_free_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn partials_folder(&self) -> &Path {
        &self.folders.partials
    }

    /// Waits for the right to change which names there are in `partials/`; dropping it passes it on. It is held for a
    /// few flushes at most, never while bytes are read or written.
    pub(crate) fn lock_partials(&self) -> Result<File, StoreError> {
        let path = self.root.join("partials.lock");
        let file = durable::private_file()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        file.lock().map_err(StoreError::io("lock", &path))?;
        Ok(file)
    }

    pub(crate) fn quarantine_folder(&self) -> &Path {
        &self.folders.quarantine
    }

    /// Makes sure that the folder of a blob is there, and would be after a power cut.
    pub(crate) fn create_shard(&self, sha256: &Sha256) -> Result<(), StoreError> {
        let shard = sha256.as_bytes()[0];
        if !self.flushed_shards.lock().unwrap_or_else(PoisonError::into_inner).contains(&shard) {
            durable::create_folder_within(&self.shard_folder(shard))?;
            durable::sync_folder(&self.folders.shards)?;
            self.flushed_shards.lock().unwrap_or_else(PoisonError::into_inner).insert(shard);
        }
        Ok(())
    }

    pub(crate) fn sync_shard_of(&self, blob_path: &Path) -> Result<(), StoreError> {
        durable::sync_folder(blob_path.parent().unwrap_or(&self.root))
    }

    /// The folder of the blobs whose digests begin with `first`.
    pub(crate) fn shard_folder(&self, first: u8) -> PathBuf {
        self.folders.shards.join(digest::to_hex(&[first]))
    }

    pub(crate) fn incoming_folder(&self) -> &Path {
        &self.folders.incoming
    }

    /// A file of its own for each writer, even of the same bytes at the same moment.
    fn create_incoming(&self, sha256: &Sha256) -> Result<(File, PathBuf), StoreError> {
        let folder = self.incoming_folder();
        let mut number = 0u64;
        loop {
            let path = folder.join(format!("{sha256}.{number}"));
            match durable::private_file().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(StoreError::io("create", &path)(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::{Classify, reason};
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        (folder, store)
    }

    #[test]
    fn bytes_come_back_under_their_digest_and_are_read_only() {
        let (_folder, store) = store();
        let blob = store.put_bytes(b"abc").unwrap();
        let name = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(blob.path, store.blobs_folder().join("sha256/ba").join(name));
        assert_eq!(store.has_blob(&blob.sha256), Some(3));
        let mut read = Vec::new();
        store.open_blob(&blob.sha256).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, b"abc");
        assert_eq!(fs::metadata(&blob.path).unwrap().permissions().mode() & 0o777, 0o444);
        assert_eq!(fs::metadata(store.root()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(store.put_bytes(b"abc").unwrap(), blob, "the same bytes again are the same blob");
        assert_eq!(fs::read_dir(store.incoming_folder()).unwrap().count(), 0);
    }

    #[test]
    fn a_blob_that_is_not_here_says_so() {
        let (_folder, store) = store();
        let absent = sha256_of(b"absent");
        assert_eq!(store.has_blob(&absent), None);
        let error = store.open_blob(&absent).unwrap_err();
        assert_eq!(error.reason(), reason::FILE_NOT_LOCAL);
        store.remove_blob(&absent).unwrap();
        let blob = store.put_bytes(b"absent").unwrap();
        store.remove_blob(&blob.sha256).unwrap();
        assert_eq!(store.has_blob(&absent), None);
    }

    #[test]
    fn a_blob_cut_short_by_something_else_is_replaced() {
        let (_folder, store) = store();
        let blob = store.put_bytes(b"whole bytes").unwrap();
        fs::set_permissions(&blob.path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&blob.path, b"whole").unwrap();
        store.put_bytes(b"whole bytes").unwrap();
        assert_eq!(fs::read(&blob.path).unwrap(), b"whole bytes");
    }

    #[test]
    fn what_a_kill_left_of_a_small_blob_is_no_blob_and_is_swept() {
        let (_folder, store) = store();
        let sha256 = sha256_of(b"picture");
        let (mut file, _) = store.create_incoming(&sha256).unwrap();
        file.write_all(b"pic").unwrap();
        drop(file);
        let again = Store::open(store.root()).unwrap();
        assert_eq!(again.has_blob(&sha256), None);
        assert_eq!(again.put_bytes(b"picture").unwrap().size_bytes, 7, "the leftover is in nobody's way");
        assert_eq!(again.sweep_incoming().unwrap(), 3);
        assert_eq!(again.sweep_incoming().unwrap(), 0);
        assert_eq!(again.has_blob(&sha256), Some(7));
    }

    #[test]
    fn many_writers_of_the_same_bytes_agree() {
        let (_folder, store) = store();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| store.put_bytes(&[7; 100_000]).unwrap());
            }
        });
        let sha256 = sha256_of(&[7; 100_000]);
        assert_eq!(sha256_of(&fs::read(store.blob_path(&sha256)).unwrap()), sha256);
        assert_eq!(fs::read_dir(store.incoming_folder()).unwrap().count(), 0);
    }

    #[test]
    fn the_volume_has_room() {
        let (_folder, store) = store();
        assert!(store.free_bytes().unwrap() > 0);
    }

    #[test]
    fn a_store_that_cannot_be_made_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = Store::open(&file).unwrap_err();
        assert_eq!(error.reason(), reason::STORE_FAILED);
        assert!(error.to_string().contains("file"), "{error}");
    }
}
