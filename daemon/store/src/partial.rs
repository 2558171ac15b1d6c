//! A download on its way into the store.
//!
//! A partial is hashed while it grows, so that a checked file costs no second pass, and keeps beside it a note of
//! whose bytes it holds, so that a transfer goes on only with bytes of the same file. Dropping one keeps it; the next
//! [`Store::partial`] of the same key goes on from there, in this process or a later one.

use crate::durable;
use crate::hashing::{Digests, Expected, Hashing, git_sha1_of, sha256_of};
use crate::sidecar::Sidecar;
use crate::{Blob, Store, StoreError};
use paintbox_domain::crash;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much of a partial's beginning stays in memory.
const HEAD_BYTES: usize = 64 * 1024;
/// Bytes after which a growing partial is flushed: what a power cut may take, and what the last flush waits for.
const FLUSH_INTERVAL_BYTES: u64 = 64 * 1024 * 1024;
/// No hub's validator is this long; remembering more would let a header fill the note.
const LONGEST_VALIDATOR_BYTES: usize = 1024;
/// Files below this are written before anybody else could take their room.
const SMALLEST_RESERVED_BYTES: u64 = 1024 * 1024;

/// What a partial is called: a stable text of the caller's, such as `civitai:file:123`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartialKey(String);

impl PartialKey {
    /// Any text will do: files are named by its digest, and the text itself is kept beside them.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn file_name(&self) -> String {
        sha256_of(self.0.as_bytes()).to_hex()
    }
}

/// A partial as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialInfo {
    /// The key's text; absent when the note beside the bytes is missing, so that nobody can go on with them.
    pub key: Option<String>,
    /// Where the bytes are. The file may be absent when a kill left the note alone; `size_bytes` is 0 then.
    pub path: PathBuf,
    pub size_bytes: u64,
    /// The announced length of the whole file.
    pub total_bytes: Option<u64>,
    pub validator: Option<String>,
}

impl PartialInfo {
    pub(crate) fn list(folder: &Path) -> Result<Vec<Self>, StoreError> {
        let mut paths = BTreeSet::new();
        for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
            let path = entry.map_err(StoreError::io("list", folder))?.path();
            if path.extension().is_some_and(|ending| ending == "part" || ending == "json") {
                paths.insert(path.with_extension("part"));
            }
        }
        let mut found: Vec<Self> = paths
            .into_iter()
            .map(|path| {
                let note = Sidecar::read(&path.with_extension("json"));
                let size_bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                let (key, validator, total_bytes) =
                    note.map_or((None, None, None), |note| (Some(note.key), note.validator, note.total_bytes));
                Self { key, path, size_bytes, total_bytes, validator }
            })
            .collect();
        found.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(found)
    }
}

/// How often a held lock is looked at before it is believed, and how long between two looks.
const LOCK_LOOKS: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A download that is not finished. Nobody else can have the same one open meanwhile.
///
/// The order of calls is: [`Partial::begin`], [`Partial::append`] as often as bytes arrive, [`Partial::verify`],
/// [`Partial::place`]. A partial that is found complete (`len()` equals `total_bytes()`) needs no `begin`.
#[derive(Debug)]
pub struct Partial {
    store: Store,
    key: PartialKey,
    path: PathBuf,
    /// Opened for appending, and locked.
    file: File,
    note: Sidecar,
    hashing: Hashing,
    head: Vec<u8>,
    unflushed_bytes: u64,
    begun: bool,
}

impl Drop for Partial {
    /// What is not being written any more holds no room that others could use.
    fn drop(&mut self) {
        if self.note.total_bytes.is_some_and(|total_bytes| total_bytes > self.len()) {
            durable::release(&self.file);
        }
    }
}

impl Partial {
    pub(crate) fn open(store: &Store, key: &PartialKey) -> Result<Self, StoreError> {
        let path = store.partials_folder().join(key.file_name()).with_extension("part");
        // A file keeps its lock when it is renamed. Without the turn, one that gets its blob name between our opening
        // and our locking it would be taken for the partial, and written to.
        let turn = store.lock_partials()?;
        let file = open_locked(&path, key)?;
        let note_path = path.with_extension("json");
        let note = match Sidecar::read(&note_path).filter(|note| note.key == key.0) {
            Some(note) => note,
            None => {
                // Bytes of nobody knows which file: no transfer could go on with them.
                file.set_len(0).map_err(StoreError::io("empty", &path))?;
                let note = Sidecar::new(&key.0);
                note.write(&note_path)?;
                note
            }
        };
        drop(turn);
        let mut partial = Self {
            store: store.clone(),
            key: key.clone(),
            path,
            file,
            note,
            hashing: Hashing::default(),
            head: Vec::new(),
            unflushed_bytes: 0,
            begun: false,
        };
        partial.read_again()?;
        Ok(partial)
    }

    /// Bytes that are here.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.hashing.size_bytes()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of the whole file, as the last transfer announced it.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.note.total_bytes
    }

    /// The strong entity tag of the file that the bytes belong to, for an `If-Range`.
    #[must_use]
    pub fn validator(&self) -> Option<&str> {
        self.note.validator.as_deref()
    }

    #[must_use]
    pub fn key(&self) -> &PartialKey {
        &self.key
    }

    /// The first bytes, up to 64 KiB.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Where the bytes are until [`Partial::place`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes from the first, for looking at a header before the file gets its name.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the file cannot be opened.
    pub fn reader(&self) -> Result<BufReader<File>, StoreError> {
        File::open(&self.path).map(BufReader::new).map_err(StoreError::io("open", &self.path))
    }

    /// Says where the coming bytes belong. `offset` 0 empties the partial; `offset == len()` goes on. `validator` is
    /// the entity tag of the answer (a weak one is not kept: it promises nothing about bytes), `total_bytes` the
    /// length of the whole file.
    ///
    /// # Errors
    /// [`StoreError::WrongOffset`] for any other offset; [`StoreError::SourceChanged`] and
    /// [`StoreError::LengthMismatch`] when the bytes that are here are of another file than the coming ones;
    /// [`StoreError::DiskFull`] when the rest would not fit, before anything is given up; [`StoreError::Io`].
    pub fn begin(&mut self, offset: u64, validator: Option<&str>, total_bytes: Option<u64>) -> Result<(), StoreError> {
        let have_bytes = self.len();
        if offset != 0 && offset != have_bytes {
            return Err(StoreError::WrongOffset { key: self.key.0.clone(), have_bytes, offset });
        }
        if let Some(total_bytes) = total_bytes {
            if total_bytes < offset {
                return Err(self.wrong_length(total_bytes, offset));
            }
            let gained = if offset == 0 { have_bytes } else { 0 };
            self.check_room(total_bytes - offset, gained)?;
        }
        let validator = validator.filter(|tag| !tag.starts_with("W/") && tag.len() <= LONGEST_VALIDATOR_BYTES);
        if offset == 0 {
            self.start_over(validator, total_bytes)?;
        } else {
            self.go_on(validator, total_bytes)?;
        }
        let missing_bytes = total_bytes.map_or(0, |total_bytes| total_bytes - offset);
        if missing_bytes >= SMALLEST_RESERVED_BYTES {
            durable::reserve(&self.file, offset, missing_bytes).map_err(StoreError::io_writing(
                "set room aside in",
                &self.path,
                missing_bytes,
            ))?;
        }
        self.begun = true;
        Ok(())
    }

    /// Forgets the length that an earlier transfer announced, because it was not the file's. The bytes are good all the
    /// same: the next [`Partial::begin`] says how many there should be.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::DiskFull`].
    pub fn forget_total_bytes(&mut self) -> Result<(), StoreError> {
        self.note.total_bytes = None;
        self.note.write(&self.note_path())
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`StoreError::LengthMismatch`] when they are more than was announced, [`StoreError::DiskFull`] and
    /// [`StoreError::Io`]; none of `bytes` counts as received then. [`StoreError::NotBegun`] before
    /// [`Partial::begin`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if !self.begun {
            return Err(StoreError::NotBegun { key: self.key.0.clone() });
        }
        let have_bytes = self.len();
        let count = bytes.len() as u64;
        let needed_bytes = match self.note.total_bytes {
            Some(total_bytes) if total_bytes.saturating_sub(have_bytes) < count => {
                return Err(self.wrong_length(total_bytes, have_bytes + count));
            }
            Some(total_bytes) => total_bytes.saturating_sub(have_bytes),
            None => count,
        };
        let flushes = self.unflushed_bytes + count >= FLUSH_INTERVAL_BYTES;
        if flushes {
            // Others write to the volume too. Better to stop now than to take what they are left.
            self.check_room(needed_bytes, 0)?;
        }
        crash::point("append");
        if let Err(error) = self.file.write_all(bytes) {
            // Part of it may have been written. What cannot be taken back here, `verify` notices by the length, and
            // the next opening by hashing what there is.
            if let Err(error) = self.file.set_len(have_bytes) {
                tracing::warn!(path = %self.path.display(), %error, "cannot cut a half-written piece off a partial");
            }
            return Err(StoreError::io_writing("write", &self.path, needed_bytes)(error));
        }
        self.hashing.update(bytes);
        keep_head(&mut self.head, bytes);
        self.unflushed_bytes += count;
        if flushes {
            self.file.sync_data().map_err(StoreError::io_writing("flush", &self.path, needed_bytes))?;
            self.unflushed_bytes = 0;
        }
        Ok(())
    }

    /// Checks length and digests against what the server announced and what the hub lists.
    ///
    /// # Errors
    /// [`StoreError::Truncated`] when bytes are missing, which may still be fetched;
    /// [`StoreError::LengthMismatch`] and [`StoreError::DigestMismatch`] when the bytes are wrong, after which
    /// [`Partial::discard`] is the thing to do; [`StoreError::Io`].
    pub fn verify(&self, expected: &Expected) -> Result<Digests, StoreError> {
        let have_bytes = self.len();
        match (self.note.total_bytes, expected.size) {
            (Some(announced_bytes), _) if announced_bytes != have_bytes => {
                return Err(self.other_length(announced_bytes, have_bytes));
            }
            // The server has given all that it announced, so this is another file than the listed one.
            (Some(_), Some(listed_bytes)) if listed_bytes != have_bytes => {
                return Err(self.wrong_length(listed_bytes, have_bytes));
            }
            (None, Some(listed_bytes)) if listed_bytes != have_bytes => {
                return Err(self.other_length(listed_bytes, have_bytes));
            }
            _ => {}
        }
        let on_disk_bytes = self.file.metadata().map_err(StoreError::io("measure", &self.path))?.len();
        if on_disk_bytes != have_bytes {
            return Err(self.wrong_length(have_bytes, on_disk_bytes));
        }
        let digests = self.hashing.digests();
        expected.compare(&self.key.0, &digests, || {
            git_sha1_of(&mut self.reader()?, have_bytes).map_err(StoreError::io("read", &self.path))
        })?;
        Ok(digests)
    }

    /// Says whether the system's backups leave the file out once it has its name.
    pub fn leave_out_of_backups(&self, left_out: bool) {
        self.store.mark_unsealed(&self.file, &self.path, left_out);
    }

    /// Names the bytes: after this the blob is there and stays there through a power cut, and the partial is gone. A blob
    /// that has the name already is replaced by it. `digests` are what [`Partial::verify`] gave.
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`] when `digests` are not of these bytes; [`StoreError::Io`] and
    /// [`StoreError::DiskFull`], after which the bytes are either still the partial or already the blob.
    pub fn place(self, digests: &Digests) -> Result<Blob, StoreError> {
        let found = self.hashing.digests();
        if found != *digests {
            return Err(self.wrong_digest("SHA-256", digests.sha256.to_hex(), found.sha256.to_hex()));
        }
        let blob = Blob {
            sha256: digests.sha256,
            size_bytes: digests.size_bytes,
            path: self.store.blob_path(&digests.sha256),
        };
        durable::seal(&self.file, &self.path)?;
        self.store.create_shard(&blob.sha256)?;
        let _turn = self.store.lock_partials()?;
        for step in NamingStep::IN_ORDER {
            self.take(step, &blob)?;
        }
        Ok(blob)
    }

    /// Sets bytes aside that were proved wrong: they move to `quarantine/`, where the same wrong bytes take room once and
    /// nothing reads them but [`Store::reclaim`]. The next [`Store::partial`] of this key starts empty.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn discard(self) -> Result<(), StoreError> {
        if self.is_empty() {
            return self.remove();
        }
        let digests = self.hashing.digests();
        let folder = self.store.quarantine_folder();
        let name = format!("{}.{}", self.key.file_name(), digests.sha256);
        let aside = folder.join(&name);
        // A kill may have left it marked.
        self.leave_out_of_backups(false);
        let _turn = self.store.lock_partials()?;
        durable::rename(&self.path, &aside)?;
        durable::rename(&self.note_path(), &folder.join(format!("{name}.json")))?;
        durable::sync_folder(folder)?;
        durable::sync_folder(self.store.partials_folder())?;
        tracing::warn!(key = %self.key.0, bytes = digests.size_bytes, path = %aside.display(), "wrong bytes set aside");
        Ok(())
    }

    /// Removes the partial and its bytes for good, because nobody wants the file any more.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove(self) -> Result<(), StoreError> {
        let _turn = self.store.lock_partials()?;
        durable::remove(&self.path)?;
        durable::remove(&self.note_path())?;
        durable::sync_folder(self.store.partials_folder())
    }

    /// Empties the partial. The bytes go before the note changes, so that old bytes never stand under a new tag.
    fn start_over(&mut self, validator: Option<&str>, total_bytes: Option<u64>) -> Result<(), StoreError> {
        self.begun = false;
        if !self.is_empty() {
            crash::point("empty");
            self.file.set_len(0).map_err(StoreError::io("empty", &self.path))?;
            durable::sync_file(&self.file, &self.path)?;
        }
        self.hashing = Hashing::default();
        self.head.clear();
        self.unflushed_bytes = 0;
        self.note.validator = validator.map(str::to_owned);
        self.note.total_bytes = total_bytes;
        self.note.write(&self.note_path())
    }

    fn go_on(&mut self, validator: Option<&str>, total_bytes: Option<u64>) -> Result<(), StoreError> {
        if let (Some(had), Some(given)) = (self.validator(), validator)
            && had != given
        {
            return Err(StoreError::SourceChanged {
                key: self.key.0.clone(),
                had: had.to_owned(),
                given: given.to_owned(),
            });
        }
        // The tag of an answer says nothing about bytes that came without one, so it is not taken over.
        match (self.note.total_bytes, total_bytes) {
            (Some(had_bytes), Some(given_bytes)) if had_bytes != given_bytes => {
                Err(self.wrong_length(had_bytes, given_bytes))
            }
            (None, Some(_)) => {
                self.note.total_bytes = total_bytes;
                self.note.write(&self.note_path())
            }
            _ => Ok(()),
        }
    }

    /// Fails early when the rest of the file cannot fit. A volume that cannot be asked is believed to have room.
    fn check_room(&self, needed_bytes: u64, gained_bytes: u64) -> Result<(), StoreError> {
        let kept_free_bytes = self.store.kept_free_bytes();
        // What is set aside for this file already is not free, and need not be.
        let taken_bytes = needed_bytes.saturating_sub(durable::reserved_bytes(&self.file));
        let wanted_bytes = taken_bytes.saturating_add(kept_free_bytes);
        match self.store.free_bytes() {
            Ok(free_bytes) if taken_bytes > 0 && wanted_bytes > free_bytes.saturating_add(gained_bytes) => {
                Err(StoreError::DiskFull {
                    action: "write",
                    path: self.path.clone(),
                    needed_bytes,
                    free_bytes: Some(free_bytes),
                    kept_free_bytes,
                    source: None,
                })
            }
            _ => Ok(()),
        }
    }

    /// Hashes what is in the file.
    fn read_again(&mut self) -> Result<(), StoreError> {
        let read = StoreError::io("read", &self.path);
        let mut hashing = Hashing::default();
        let mut head = Vec::new();
        let mut file = &self.file;
        file.rewind()
            .and_then(|()| hashing.update_from(&mut file, |bytes| keep_head(&mut head, bytes)))
            .map_err(read)?;
        self.hashing = hashing;
        self.head = head;
        Ok(())
    }

    fn note_path(&self) -> PathBuf {
        self.path.with_extension("json")
    }

    /// Bytes that are missing may still come; those that are too many are wrong.
    fn other_length(&self, expected_bytes: u64, received_bytes: u64) -> StoreError {
        if received_bytes > expected_bytes {
            return self.wrong_length(expected_bytes, received_bytes);
        }
        StoreError::Truncated { key: self.key.0.clone(), expected_bytes, received_bytes }
    }

    fn wrong_length(&self, expected_bytes: u64, found_bytes: u64) -> StoreError {
        StoreError::LengthMismatch { key: self.key.0.clone(), expected_bytes, found_bytes }
    }

    fn wrong_digest(&self, algorithm: &'static str, expected: String, found: String) -> StoreError {
        StoreError::DigestMismatch { key: self.key.0.clone(), algorithm, expected, found, size_bytes: self.len() }
    }

    fn take(&self, step: NamingStep, blob: &Blob) -> Result<(), StoreError> {
        match step {
            // These bytes were just checked. A blob that has the name already holds the same, or was damaged since.
            NamingStep::Name => durable::rename(&self.path, &blob.path),
            NamingStep::FlushName => {
                self.store.sync_shard_of(&blob.path)?;
                durable::sync_folder(self.store.partials_folder())
            }
            NamingStep::ForgetNote => durable::remove(&self.note_path()),
        }
    }
}

/// What [`Partial::place`] does once the bytes are on the device, apart, so that tests can stop between any two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamingStep {
    Name,
    FlushName,
    ForgetNote,
}

impl NamingStep {
    const IN_ORDER: [Self; 3] = [Self::Name, Self::FlushName, Self::ForgetNote];
}

/// Opens and locks the file at `path`, creating it if need be.
fn open_locked(path: &Path, key: &PartialKey) -> Result<File, StoreError> {
    let file = match durable::private_file().read(true).append(true).create(true).open(path) {
        // A kill between sealing and naming leaves it read-only.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            durable::unseal(path)?;
            durable::private_file().read(true).append(true).open(path)
        }
        result => result,
    }
    .map_err(StoreError::io("open", path))?;
    // A child process of ours holds copies of all descriptors until it has become another program, and a copied
    // descriptor keeps a lock that was just let go. So a held lock is looked at for a moment before it is believed.
    for _ in 0..LOCK_LOOKS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
        }
    }
    Err(StoreError::PartialBusy { key: key.0.clone(), path: path.to_owned() })
}

fn keep_head(head: &mut Vec<u8>, bytes: &[u8]) {
    let room = HEAD_BYTES - head.len();
    head.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

#[cfg(test)]
mod tests;
