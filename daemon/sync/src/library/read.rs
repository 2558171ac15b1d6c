//! Reading the files of libraries to their end, in the background, the smallest first: what their content is called on
//! the hubs is only known then. As many files of a device are read side by side as is good for it: one, if it spins. What was
//! read is on record within half a second, so that a daemon which ends goes on behind it. A file that
//! changed a moment ago is most likely still being written, and is left until it rests.

use crate::error::SyncError;
use crate::manners::Steps;
use crate::service::Sync;
use crate::settle::blocking;
use paintbox_catalogue::{LibraryFileId, ReadFile, UnreadFile};
use paintbox_domain::{Chore, Failure, FileLook, Timestamp};
use paintbox_store::library::DigestReading;
use paintbox_store::library::medium::Medium;
use paintbox_store::{Digests, StoreError};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Files that are looked up at once.
const FILES_AT_ONCE: u32 = 256;
/// What was read is put on record this often: small files take less time to read than to record one by one.
const RECORD_INTERVAL: Duration = Duration::from_millis(500);
/// Whoever writes a file does so at least this often.
pub(super) const AT_REST_AFTER: Duration = Duration::from_secs(5);

/// How far the reading went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadTo {
    /// Everything was read.
    TheEnd,
    /// Files that are perhaps still being written are left for later.
    WhatRests,
    /// The daemon ends.
    Shutdown,
}

impl Sync {
    /// Reads every file that was not read yet and is not being written.
    ///
    /// # Errors
    /// When the catalogue fails.
    pub(crate) async fn read_library_files(&self) -> Result<ReadTo, SyncError> {
        loop {
            let mut unread = self.inner.parts.catalogue.unread_library_files(FILES_AT_ONCE).await?;
            if unread.is_empty() {
                return Ok(ReadTo::TheEnd);
            }
            let now = self.inner.parts.clock.now();
            unread.retain(|file| rests(&file.look, now));
            if unread.is_empty() {
                return Ok(ReadTo::WhatRests);
            }
            let mut by_device: BTreeMap<u64, Vec<UnreadFile>> = BTreeMap::new();
            for file in unread {
                by_device.entry(file.look.device).or_default().push(file);
            }
            let lots = blocking(move || by_device.into_values().flat_map(side_by_side).collect::<Vec<_>>()).await?;
            for ended in futures::future::join_all(lots.into_iter().map(|lot| self.read_in_turn(lot))).await {
                if !ended? {
                    return Ok(ReadTo::Shutdown);
                }
            }
        }
    }

    /// Reads files one after the other.
    async fn read_in_turn(&self, files: Vec<UnreadFile>) -> Result<bool, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let mut read = Vec::new();
        let mut steps = Steps::of(Chore::Reading);
        let mut since = Instant::now();
        for file in files {
            match self.read_to_end(&file, &mut steps).await? {
                None => {
                    self.record_read(&mut read).await?;
                    return Ok(false);
                }
                Some(Ok(Some((look, digests)))) => {
                    let Digests { sha256, blake3, auto_v3, .. } = digests;
                    read.push(ReadFile { file: file.file, look, sha256, blake3, auto_v3 });
                }
                // It is being written to, or is another one by now.
                Some(Ok(None)) => self.set_aside_until_looked_at(&[file.file]).await?,
                Some(Err(error)) => {
                    tracing::warn!(path = %file.path.display(), %error, "a file of a library cannot be read");
                    catalogue.record_unreadable_file(file.file, &Failure::of(&error)).await?;
                }
            }
            if since.elapsed() >= RECORD_INTERVAL {
                self.record_read(&mut read).await?;
                since = Instant::now();
            }
        }
        self.record_read(&mut read).await?;
        Ok(true)
    }

    async fn record_read(&self, read: &mut Vec<ReadFile>) -> Result<(), SyncError> {
        let left = self.inner.parts.catalogue.record_read_files(&std::mem::take(read)).await?;
        self.set_aside_until_looked_at(&left).await
    }

    /// Files that are not what was on record any more are left until their library was looked at again.
    async fn set_aside_until_looked_at(&self, files: &[LibraryFileId]) -> Result<(), SyncError> {
        for file in files {
            tracing::debug!(%file, "the file changed while it was read");
            self.inner.parts.catalogue.set_aside_library_file(*file).await?;
            self.inner.libraries.stale.notify_one();
        }
        Ok(())
    }

    /// None when the daemon ends.
    async fn read_to_end(
        &self,
        file: &UnreadFile,
        steps: &mut Steps,
    ) -> Result<Option<Result<Option<(FileLook, Digests)>, StoreError>>, SyncError> {
        let path = file.path.clone();
        let mut reading = match blocking(move || DigestReading::begin(&path)).await? {
            Ok(reading) => reading,
            Err(error) => return Ok(Some(Err(error))),
        };
        if !reading.look().is_same_file(&file.look) {
            return Ok(Some(Ok(None)));
        }
        self.inner.libraries.files_read.fetch_add(1, Ordering::Relaxed);
        loop {
            if !steps.next(self).await? {
                return Ok(None);
            }
            let (back, read) = blocking(move || {
                let read = reading.read();
                (reading, read)
            })
            .await?;
            reading = back;
            match read {
                Ok(0) => return Ok(Some(blocking(move || reading.finish()).await?)),
                Ok(_) => {}
                Err(error) => return Ok(Some(Err(error))),
            }
        }
    }
}

/// Whether a file's bytes have not changed for a while. One from the future says nothing of when it was written.
fn rests(look: &FileLook, now: Timestamp) -> bool {
    let age_ns = i128::from(now.unix_ms()) * 1_000_000 - i128::from(look.modified_ns);
    !(0..AT_REST_AFTER.as_nanos() as i128).contains(&age_ns)
}

/// The files of one device, in as many lots as it reads well side by side. Blocking.
fn side_by_side(files: Vec<UnreadFile>) -> Vec<Vec<UnreadFile>> {
    let lots = files.first().map_or(1, |file| Medium::of(&file.path).files_side_by_side());
    // Hashing takes a processor for each.
    let lots = lots.min(std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let mut split: Vec<Vec<UnreadFile>> = (0..lots).map(|_| Vec::new()).collect();
    for (at, file) in files.into_iter().enumerate() {
        split[at % lots].push(file);
    }
    split
}
