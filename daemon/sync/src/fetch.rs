//! One download, from its turn to its end: resolve → transfer → verify → place → record. Every step is on record
//! before the next one begins.

use crate::Parts;
use crate::cached;
use crate::downloads::{DownloadProgress, Outcome};
use crate::error::SyncError;
use crate::second_look;
use crate::settle::{self, blocking, refuse_by_sight};
use crate::throttle::Throttle;
use crate::transfer::Transfer;
use paintbox_catalogue::{DownloadEnd, DownloadRecord, FileRecord, Happening, NewArtifact};
use paintbox_domain::download::wait_after_failure;
use paintbox_domain::hub::FileSize;
use paintbox_domain::{Classify as _, DownloadState, DownloadStep, GitSha1, Hub, Sha256, reason};
use paintbox_hub::{Download, HubError, ResumeFrom};
use paintbox_store::{Partial, PartialKey, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Attempts at one file in one go. The partial stays, so a later go begins where these ended.
const ATTEMPTS: u32 = 3;

/// Who brings one file here.
pub(crate) struct Worker<'a> {
    parts: &'a Parts,
    download: DownloadRecord,
    throttles: Vec<Arc<Throttle>>,
    /// Before a transfer that broke goes on for the first time; doubled each time after.
    first_pause: Duration,
    cancel: CancellationToken,
    progress: watch::Sender<DownloadProgress>,
    /// Bytes that came since the last step.
    received_bytes: u64,
}

/// A file that is in its place, and how it came there.
enum Brought {
    Fetched,
    AlreadyHere,
}

impl<'a> Worker<'a> {
    /// For a download that was just claimed.
    pub(crate) fn new(
        parts: &'a Parts,
        download: DownloadRecord,
        throttles: Vec<Arc<Throttle>>,
        first_pause: Duration,
        cancel: CancellationToken,
        progress: watch::Sender<DownloadProgress>,
    ) -> Self {
        Self { parts, download, throttles, first_pause, cancel, progress, received_bytes: 0 }
    }

    /// Works until the download has an outcome, and puts it on record.
    pub(crate) async fn work(mut self) -> Outcome {
        let (version, file) = (self.download.version.to_string(), self.download.file_name.clone());
        let outcome = match self.bring().await {
            Ok(Brought::Fetched) => {
                let bytes = self.progress.borrow().received_bytes;
                tracing::info!(version, file, bytes, "fetched and verified");
                return Outcome::Fetched;
            }
            Ok(Brought::AlreadyHere) => return Outcome::AlreadyHere,
            Err(SyncError::Cancelled) => self.put_back().await,
            Err(error) if self.is_for_want_of_a_volume(&error).await => {
                tracing::info!(version, file, "waits for its volume: {error}");
                self.put_back().await
            }
            Err(error) => self.give_up(&error).await,
        };
        outcome.unwrap_or_else(|error| {
            // The row still says that somebody works on it; the next start puts it back into the queue.
            tracing::error!(version, file, %error, "cannot record what became of a download");
            Outcome::Failed(error.failure())
        })
    }

    /// Whether an error only says that a disk was taken away. That is a state of the disk, and no failure of the download.
    async fn is_for_want_of_a_volume(&self, error: &SyncError) -> bool {
        let path = match error {
            SyncError::VolumeAway { .. } => return true,
            SyncError::Store { source: StoreError::Io { path, .. } | StoreError::DiskFull { path, .. }, .. } => path,
            _ => return false,
        };
        let (places, path) = (self.parts.places.clone(), path.clone());
        blocking(move || places.is_away(&path)).await.unwrap_or(false)
    }

    async fn bring(&mut self) -> Result<Brought, SyncError> {
        let mut file = self.parts.catalogue.file(self.download.file).await?;
        if file.gone_at.is_some() || file.replaced_at.is_some() {
            self.step(DownloadStep::Cancel).await?;
            return Err(SyncError::Cancelled);
        }
        if let Some(content) = self.in_store(&file).await? {
            // Reading it took a while, and nothing on record kept it from being taken away.
            let _naming = self.parts.places.naming.read().await;
            let path = content.path.clone();
            if blocking(move || path.exists()).await? {
                self.end(&DownloadEnd::Placed { content: &content, verified: true }).await?;
                return Ok(Brought::AlreadyHere);
            }
        }
        let mut may_ask_again = true;
        loop {
            let doubt = match self.fetch(&file).await {
                Err(error) if may_ask_again && second_look::is_due(&error) => error,
                fetched => return fetched.map(|()| Brought::Fetched),
            };
            may_ask_again = false;
            self.step(DownloadStep::Break).await?;
            let Some(listed) = self.parts.listed_now(&self.download.version, &file, &doubt).await else {
                return Err(doubt);
            };
            if listed.id != file.id && !self.parts.catalogue.redirect_download(self.download.id, listed.id).await? {
                // What replaced it has a download of its own.
                self.step(DownloadStep::Cancel).await?;
                return Err(SyncError::Cancelled);
            }
            self.download.file = listed.id;
            if listed.artifact.as_ref().is_some_and(|artifact| !artifact.paths.is_empty()) {
                self.end(&DownloadEnd::AlreadyHere).await?;
                return Ok(Brought::AlreadyHere);
            }
            file = listed;
        }
    }

    /// What the store has of `file` under its digest, if that is sound: it was checked and named, and then the daemon was
    /// killed before it could say so.
    async fn in_store(&self, file: &FileRecord) -> Result<Option<NewArtifact>, SyncError> {
        let (places, expected, format) = (self.parts.places.clone(), settle::promised(file), file.format);
        let Some(sha256) = file.sha256 else { return Ok(None) };
        let name = file.name.clone();
        blocking(move || {
            places.holders(&sha256).iter().find_map(|store| {
                match cached::check(&store.blob_path(&sha256), &expected, format) {
                    Ok(content) => Some(content),
                    Err(problem) => {
                        tracing::warn!(file = %name, "what a store holds under its digest is not used: {problem}");
                        None
                    }
                }
            })
        })
        .await
    }

    /// Fetches, checks, names and records `file`.
    async fn fetch(&mut self, file: &FileRecord) -> Result<(), SyncError> {
        let partial = self.transfer_patiently(file).await?;
        self.step(DownloadStep::Complete).await?;
        let (expected, format, name) = (settle::promised(file), file.format, file.name.clone());
        let checked = blocking(move || settle::check(partial, &expected, &name, format)).await??;
        self.step(DownloadStep::Approve).await?;
        let name = file.name.clone();
        let left_out = self.parts.leaves_file_out(file.id).await?;
        let _naming = self.parts.places.naming.read().await;
        let content = blocking(move || checked.place(&name, left_out)).await??;
        let verified = file.sha256.is_some() || file.git_sha1.is_some();
        self.end(&DownloadEnd::Placed { content: &content, verified }).await
    }

    /// Brings the partial to its full length, over some breaks.
    async fn transfer_patiently(&mut self, file: &FileRecord) -> Result<Partial, SyncError> {
        let mut attempt = 1;
        loop {
            match self.transfer(file).await {
                Err(error) if attempt < ATTEMPTS && may_go_on(&error) => {
                    tracing::info!(file = %file.name, attempt, reason = error.reason(), "the transfer broke; resuming");
                    self.step(DownloadStep::Break).await?;
                    let pause = self.first_pause * (1 << (attempt - 1));
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.cancel.cancelled() => return Err(SyncError::Cancelled),
                    }
                    attempt += 1;
                }
                transferred => return transferred,
            }
        }
    }

    async fn transfer(&mut self, file: &FileRecord) -> Result<Partial, SyncError> {
        let name = file.name.clone();
        let kept = |source: StoreError| SyncError::Store { file: name.clone(), source };
        let fetched = |source: HubError| SyncError::Fetch { file: name.clone(), source };

        let (places, kind) = (self.parts.places.clone(), self.download.kind);
        let key = PartialKey::new(&partial_key(self.download.hub, file.sha256, file.git_sha1, &file.locator));
        let listed = file.sha256;
        let mut partial = blocking(move || places.partial(&key, listed.as_ref(), kind))
            .await?
            .map_err(|label| SyncError::VolumeAway { label })?
            .map_err(kept)?;
        self.tell(partial.len(), partial.total_bytes());
        if partial.total_bytes() == Some(partial.len()) {
            // Killed between the last byte and the name: there is nothing left to ask for.
            return Ok(partial);
        }
        let from = (!partial.is_empty())
            .then(|| ResumeFrom { offset: partial.len(), validator: partial.validator().map(str::to_owned) });
        let size = file.size.map(FileSize::bytes);
        let opened = tokio::select! {
            opened = self.parts.hubs.download(self.download.hub, &file.locator, from, size) => opened.map_err(fetched)?,
            () = self.cancel.cancelled() => return Err(SyncError::Cancelled),
        };
        let Download { offset, total_bytes, validator, body, .. } = opened;
        let mut transfer = Transfer::new(body, self.throttles.clone(), self.cancel.clone());

        // What came first is looked at before a byte of the partial is given up: a login page must cost nothing.
        let looked_at = async {
            let head = transfer.head().await.map_err(|broken| broken.for_file(&file.name))?;
            if offset == 0 { refuse_by_sight(head, file) } else { Ok(()) }
        };
        let looked_at = looked_at.await;
        self.count(transfer.received_bytes());
        looked_at?;
        let promised = settle::promised(file).size;
        partial = blocking(move || begin(partial, offset, validator.as_deref(), total_bytes, promised))
            .await?
            .map_err(kept)?;
        self.step(DownloadStep::Receive).await?;

        let written = transfer.write_into(partial, &file.name, |received, have| {
            self.count(received);
            self.tell(have, total_bytes);
        });
        written.await
    }

    /// Takes the row one step on. Cancelled when somebody else was quicker: then it is theirs.
    async fn step(&mut self, step: DownloadStep) -> Result<(), SyncError> {
        let received_bytes = std::mem::take(&mut self.received_bytes);
        let catalogue = &self.parts.catalogue;
        match catalogue.step_download(self.download.id, self.download.state, step, received_bytes).await? {
            Some(state) => {
                self.enter(state);
                Ok(())
            }
            None => Err(SyncError::Cancelled),
        }
    }

    async fn end(&mut self, end: &DownloadEnd<'_>) -> Result<(), SyncError> {
        let received_bytes = std::mem::take(&mut self.received_bytes);
        let download = (self.download.id, self.download.file);
        let ended = self.parts.catalogue.end_download(download, self.download.state, received_bytes, end);
        if !ended.await? {
            return Err(SyncError::Cancelled);
        }
        match end {
            DownloadEnd::Placed { .. } | DownloadEnd::AlreadyHere => self.enter(DownloadState::Done),
            DownloadEnd::Failed { .. } => self.enter(DownloadState::Failed),
        }
        Ok(())
    }

    /// Leaves the row to whoever took it, or to the queue.
    async fn put_back(&mut self) -> Result<Outcome, SyncError> {
        match self.step(DownloadStep::Interrupt).await {
            Ok(()) => Ok(Outcome::Held),
            Err(SyncError::Cancelled) => {
                let state = self.parts.catalogue.download(self.download.id).await?.state;
                Ok(if state == DownloadState::Cancelled { Outcome::Cancelled } else { Outcome::Held })
            }
            Err(error) => Err(error),
        }
    }

    async fn give_up(&mut self, error: &SyncError) -> Result<Outcome, SyncError> {
        let failure = error.failure();
        // The hub's clock may be behind ours; what it sells now it gives away in a while.
        let may_pass = error.class().is_retryable() || error.reason() == reason::EARLY_ACCESS;
        let wait = wait_after_failure(self.download.failures + 1, may_pass, error.retry_after());
        let retry_at = self.parts.clock.now().plus(wait);
        let (version, file) = (&self.download.version, &self.download.file_name);
        tracing::warn!(%version, file, reason = %failure.reason, retry_in = ?wait, "{failure}");
        match self.end(&DownloadEnd::Failed { failure: &failure, retry_at }).await {
            Ok(()) => Ok(Outcome::Failed(failure)),
            Err(SyncError::Cancelled) => self.put_back().await,
            Err(error) => Err(error),
        }
    }

    fn enter(&mut self, state: DownloadState) {
        self.download.state = state;
        self.progress.send_modify(|progress| progress.state = state);
        self.note();
    }

    /// For those who watch downloads.
    fn note(&self) {
        let progress = self.progress.borrow().transfer();
        self.parts.catalogue.journal().note(Happening::DownloadProgress { id: self.download.id, progress });
    }

    fn count(&mut self, received_bytes: u64) {
        self.received_bytes += received_bytes;
        self.progress.send_if_modified(|progress| {
            progress.received_bytes += received_bytes;
            false
        });
    }

    /// Tells how many bytes are safe. A transfer that had to start over tells nothing until it is further than before.
    fn tell(&self, have_bytes: u64, total_bytes: Option<u64>) {
        let is_further = self.progress.send_if_modified(|progress| {
            let further = have_bytes > progress.bytes_done || total_bytes != progress.bytes_total;
            progress.bytes_done = progress.bytes_done.max(have_bytes);
            progress.bytes_total = total_bytes.or(progress.bytes_total);
            further
        });
        if is_further {
            self.note();
        }
    }
}

/// Makes a partial ready for the bytes of an answer. Of two lengths that were announced for it the one that the hub lists
/// is believed. Bytes of two different files are worth nothing: then the next attempt starts at the first byte.
fn begin(
    mut partial: Partial,
    offset: u64,
    validator: Option<&str>,
    total_bytes: Option<u64>,
    listed_bytes: Option<u64>,
) -> Result<Partial, StoreError> {
    if offset > 0 && total_bytes.is_some() && total_bytes == listed_bytes && partial.total_bytes() != total_bytes {
        partial.forget_total_bytes()?;
    }
    match partial.begin(offset, validator, total_bytes) {
        Ok(()) => Ok(partial),
        Err(error) => {
            let is_right_so_far = listed_bytes.is_some() && partial.total_bytes() == listed_bytes;
            let worthless = match &error {
                StoreError::SourceChanged { .. } => true,
                StoreError::LengthMismatch { .. } => !is_right_so_far,
                _ => false,
            };
            if worthless {
                partial.discard()?;
            }
            Err(error)
        }
    }
}

/// A broken transfer goes on from its partial; a wrong answer does not get better by asking again at once.
fn may_go_on(error: &SyncError) -> bool {
    error.class().is_retryable() && error.retry_after().is_none()
        || matches!(error, SyncError::Store { source: StoreError::SourceChanged { .. }, .. })
}

/// The same file under the same digest goes on in the same partial, whatever the hub calls it meanwhile.
pub(crate) fn partial_key(hub: Hub, sha256: Option<Sha256>, git_sha1: Option<GitSha1>, locator: &str) -> String {
    match (sha256, git_sha1) {
        (Some(digest), _) => format!("sha256:{digest}"),
        (None, Some(digest)) => format!("git-sha1:{digest}"),
        (None, None) => format!("{hub}:{locator}"),
    }
}
