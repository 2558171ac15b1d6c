//! One file from a hub into the store: partial → digest → header → name → record.

use crate::error::SyncError;
use crate::throttle::Throttle;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use paintbox_catalogue::{Catalogue, FileRecord, NewArtifact};
use paintbox_domain::hub::FileSize;
use paintbox_domain::{Architecture, ErrorClass};
use paintbox_domain::{Classify as _, FileFormat, Hub, ModelKind, reason};
use paintbox_hub::{Download, HubError, Hubs, ResumeFrom};
use paintbox_store::{Expected, Partial, PartialKey, Store, StoreError};
use paintbox_weights::{Inspection, Sniffed, inspect, sniff};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Attempts at one file in one run. The partial stays, so a later run goes on where these ended.
const ATTEMPTS: u32 = 3;
/// Bytes gathered before they are hashed and written, away from the runtime's threads.
const WRITE_BATCH_BYTES: usize = 1 << 20;
/// What a file is recognised by; more is never needed.
const SNIFFED_BYTES: usize = 512;

/// What happened, for progress.
pub(crate) trait Observer: Sync {
    fn bytes(&self, done: u64, total: Option<u64>);
    fn verifying(&self, done: u64);
}

pub(crate) struct Fetcher<'a> {
    pub(crate) hubs: &'a Hubs,
    pub(crate) store: &'a Store,
    pub(crate) catalogue: &'a Catalogue,
    /// Paces the bytes, where the follow that wants them has a cap.
    pub(crate) throttle: Option<Arc<Throttle>>,
    pub(crate) cancel: &'a CancellationToken,
}

impl Fetcher<'_> {
    /// Fetches, checks, names and records `file`. Returns the bytes that came over the network.
    pub(crate) async fn fetch(&self, hub: Hub, file: &FileRecord, observer: &dyn Observer) -> Result<u64, SyncError> {
        let mut received = 0;
        let mut attempt = 1;
        let partial = loop {
            match self.transfer(hub, file, observer, &mut received).await {
                Ok(partial) => break partial,
                Err(error) if attempt < ATTEMPTS && may_go_on(&error) => {
                    tracing::info!(file = %file.name, attempt, reason = error.reason(), "the transfer broke; resuming");
                    let pause = Duration::from_millis(250 << attempt);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.cancel.cancelled() => return Err(SyncError::Cancelled),
                    }
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        };
        observer.verifying(partial.len());
        let expected = promised(file);
        let verified = file.sha256.is_some() || file.git_sha1.is_some();
        let (name, format) = (file.name.clone(), file.format);
        let artifact = blocking(move || settle(partial, &expected, &name, format)).await??;
        self.catalogue.record_file(file.id, &artifact, verified).await?;
        Ok(received)
    }

    /// Brings the partial to its full length.
    async fn transfer(
        &self,
        hub: Hub,
        file: &FileRecord,
        observer: &dyn Observer,
        received: &mut u64,
    ) -> Result<Partial, SyncError> {
        let store = self.store.clone();
        let key = PartialKey::new(&partial_key(hub, file));
        let name = file.name.clone();
        let kept = |source: StoreError| SyncError::Store { file: name.clone(), source };
        let fetched = |source: HubError| SyncError::Fetch { file: name.clone(), source };

        let listed = file.sha256;
        let mut partial = blocking(move || {
            if let Some(listed) = listed {
                store.reclaim(&key, &listed)?;
            }
            store.partial(&key)
        })
        .await?
        .map_err(kept)?;
        if partial.total_bytes() == Some(partial.len()) {
            // Killed between the last byte and the name: there is nothing left to ask for.
            return Ok(partial);
        }
        let from = (!partial.is_empty())
            .then(|| ResumeFrom { offset: partial.len(), validator: partial.validator().map(str::to_owned) });
        let Download { offset, total_bytes, validator, mut body, .. } =
            self.hubs.download(hub, &file.locator, from).await.map_err(fetched)?;

        // What came first is looked at before a byte of the partial is given up: a login page must cost nothing.
        let mut batch = BytesMut::new();
        let mut ended = false;
        while batch.len() < SNIFFED_BYTES && !ended {
            match self.next(&mut body).await? {
                Some(chunk) => {
                    let chunk = chunk.map_err(fetched)?;
                    *received += chunk.len() as u64;
                    batch.extend_from_slice(&chunk);
                }
                None => ended = true,
            }
        }
        if offset == 0 {
            refuse_by_sight(&batch, file)?;
        }
        partial = blocking(move || match partial.begin(offset, validator.as_deref(), total_bytes) {
            Ok(()) => Ok(partial),
            Err(error) => {
                if matches!(error, StoreError::SourceChanged { .. }) {
                    // Bytes of two different files are worth nothing; the next attempt starts at the first byte.
                    partial.discard()?;
                }
                Err(error)
            }
        })
        .await?
        .map_err(kept)?;

        observer.bytes(partial.len() + batch.len() as u64, total_bytes);
        loop {
            if batch.len() >= WRITE_BATCH_BYTES || (ended && !batch.is_empty()) {
                partial = write(partial, batch.split().freeze()).await?.map_err(kept)?;
            }
            if ended {
                return Ok(partial);
            }
            match self.next(&mut body).await {
                Ok(Some(Ok(chunk))) => {
                    *received += chunk.len() as u64;
                    batch.extend_from_slice(&chunk);
                    observer.bytes(partial.len() + batch.len() as u64, total_bytes);
                }
                Ok(None) => ended = true,
                // What did arrive is kept before the error is told, so that the next attempt goes on from there.
                Ok(Some(Err(source))) => {
                    write(partial, batch.freeze()).await?.map_err(kept)?;
                    return Err(fetched(source));
                }
                Err(error) => {
                    write(partial, batch.freeze()).await?.map_err(kept)?;
                    return Err(error);
                }
            }
        }
    }

    /// The next piece of a body, unless the run is cancelled first.
    async fn next(
        &self,
        body: &mut futures::stream::BoxStream<'static, Result<Bytes, HubError>>,
    ) -> Result<Option<Result<Bytes, HubError>>, SyncError> {
        let next = async {
            let chunk = body.next().await;
            if let (Some(throttle), Some(Ok(bytes))) = (&self.throttle, &chunk) {
                throttle.take(bytes.len() as u64).await;
            }
            chunk
        };
        tokio::select! {
            chunk = next => Ok(chunk),
            () = self.cancel.cancelled() => Err(SyncError::Cancelled),
        }
    }
}

/// A broken transfer goes on from its partial; a wrong answer does not get better by asking again at once.
fn may_go_on(error: &SyncError) -> bool {
    error.class().is_retryable() && error.retry_after().is_none()
        || matches!(error, SyncError::Store { source: StoreError::SourceChanged { .. }, .. })
}

/// The same file under the same digest goes on in the same partial, whatever the hub calls it meanwhile.
fn partial_key(hub: Hub, file: &FileRecord) -> String {
    match (&file.sha256, &file.git_sha1) {
        (Some(digest), _) => format!("sha256:{digest}"),
        (None, Some(digest)) => format!("git-sha1:{digest}"),
        (None, None) => format!("{hub}:{}", file.locator),
    }
}

async fn write(mut partial: Partial, bytes: Bytes) -> Result<Result<Partial, StoreError>, SyncError> {
    blocking(move || {
        partial.append(&bytes)?;
        Ok(partial)
    })
    .await
}

/// What the hub promised of a file's bytes; a size that it rounded promises nothing.
pub(crate) fn promised(file: &FileRecord) -> Expected {
    Expected {
        size: match file.size {
            Some(FileSize::Exact(bytes)) => Some(bytes),
            Some(FileSize::About(_)) | None => None,
        },
        sha256: file.sha256,
        git_sha1: file.git_sha1,
    }
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SyncError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| SyncError::WorkerLost)
}

fn is_weights(format: FileFormat) -> bool {
    matches!(format, FileFormat::Safetensors | FileFormat::Gguf)
}

/// Refuses what is plainly not the file that was asked for, by its first bytes.
fn refuse_by_sight(head: &[u8], file: &FileRecord) -> Result<(), SyncError> {
    if !is_weights(file.format) {
        return Ok(());
    }
    if !matches!(sniff(head), Sniffed::Html | Sniffed::Json | Sniffed::Pickle | Sniffed::Archive) {
        return Ok(());
    }
    let length = head.len() as u64;
    match inspect(&mut std::io::Cursor::new(head), length) {
        Err(source) => Err(SyncError::Inspect { file: file.name.clone(), source }),
        Ok(_) => Ok(()),
    }
}

/// Checks digest and header, then names the bytes. Wrong bytes are set aside, so that a later run starts afresh.
fn settle(partial: Partial, expected: &Expected, name: &str, format: FileFormat) -> Result<NewArtifact, SyncError> {
    let kept = |source: StoreError| SyncError::Store { file: name.to_owned(), source };
    let inspected = if is_weights(format) {
        let mut reader = partial.reader().map_err(kept)?;
        match inspect(&mut reader, partial.len()) {
            Ok(inspection) => Some(inspection),
            Err(source) => {
                // The digest may agree all the same: the hub then lists a bad file. Either way it gets no name.
                partial.discard().map_err(kept)?;
                return Err(SyncError::Inspect { file: name.to_owned(), source });
            }
        }
    } else {
        None
    };
    let digests = match partial.verify(expected) {
        Ok(digests) => digests,
        Err(source) => {
            if source.class() == ErrorClass::DataLoss && source.reason() != reason::TRUNCATED_BODY {
                partial.discard().map_err(kept)?;
            }
            return Err(kept(source));
        }
    };
    let blob = partial.place(&digests).map_err(kept)?;
    Ok(artifact(&digests, blob.path, format, inspected.as_ref()))
}

pub(crate) fn artifact(
    digests: &paintbox_store::Digests,
    path: std::path::PathBuf,
    format: FileFormat,
    inspection: Option<&Inspection>,
) -> NewArtifact {
    let detected = inspection.map(|inspection| &inspection.detected);
    NewArtifact {
        sha256: digests.sha256,
        blake3: digests.blake3,
        auto_v3: digests.auto_v3.clone(),
        size_bytes: digests.size_bytes,
        format: inspection.map_or(format, |inspection| inspection.format),
        kind: detected.map_or(ModelKind::Other, |detected| detected.kind),
        architecture: detected.map_or(Architecture::Unknown, |detected| detected.architecture),
        precision: detected.and_then(|detected| detected.precision.clone()),
        parameters: detected.map(|detected| detected.parameters),
        detail_json: None,
        path,
    }
}
