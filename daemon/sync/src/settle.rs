//! From bytes that are all here to a file under its name: looked at, compared with what the hub lists, named.

use crate::detected_json::detail_json;
use crate::error::SyncError;
use paintbox_catalogue::{FileRecord, NewArtifact};
use paintbox_domain::hub::FileSize;
use paintbox_domain::{Architecture, Classify as _, ErrorClass, FileFormat, ModelKind, reason};
use paintbox_store::{Digests, Expected, Partial, StoreError};
use paintbox_weights::{InspectError, Inspection, Sniffed, inspect, inspect_kept, sniff};
use std::io::{Read, Seek};
use std::path::PathBuf;

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

/// Runs what reads and writes files away from the runtime's threads. On Linux these step back behind painting by the
/// nice value of who started them, for processors and, by the kernel's task_nice_ioclass and task_nice_ioprio, for disks.
#[cfg(not(target_os = "macos"))]
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SyncError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| SyncError::WorkerLost)
}

/// Runs what reads and writes files away from the runtime's threads, as the system's utility work: behind what people wait
/// for, and on the processors and at the pace of the disk that cost the least power (developer.apple.com, DispatchQoS).
#[cfg(target_os = "macos")]
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SyncError> {
    use dispatch2::{DispatchQoS, DispatchQueue, GlobalQueueIdentifier};
    let (done, result) = tokio::sync::oneshot::channel();
    DispatchQueue::global_queue(GlobalQueueIdentifier::QualityOfService(DispatchQoS::Utility)).exec_async(move || {
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // Whoever waited for it may have gone.
        drop(worked.map(|worked| done.send(worked)));
    });
    result.await.map_err(|_| SyncError::WorkerLost)
}

/// Refuses what is plainly not the file that was asked for, by its first bytes.
pub(crate) fn refuse_by_sight(head: &[u8], file: &FileRecord) -> Result<(), SyncError> {
    if !file.format.is_weights() {
        return Ok(());
    }
    if !matches!(sniff(head), Sniffed::Html | Sniffed::Json | Sniffed::Pickle | Sniffed::Archive) {
        return Ok(());
    }
    let length = head.len() as u64;
    match inspect(&mut std::io::Cursor::new(head), length) {
        Err(source) => Err(SyncError::Inspect { file: file.name.clone(), source, as_listed: true }),
        Ok(_) => Ok(()),
    }
}

/// Whether a file that a hub lists with this format gets no name before it is known what it is. Nothing that may be a
/// pickle is taken for a companion.
pub(crate) fn is_inspected(format: FileFormat) -> bool {
    format.is_weights() || format == FileFormat::Pickle
}

/// What a file is that a hub lists with this format: a pickle only where it was listed as one, and of those only a textual
/// inversion.
pub(crate) fn inspect_as(
    format: FileFormat,
    reader: &mut (impl Read + Seek),
    length: u64,
) -> Result<Inspection, InspectError> {
    if format == FileFormat::Pickle { inspect_kept(reader, length) } else { inspect(reader, length) }
}

/// Bytes that are what they should be, without a name yet.
pub(crate) struct Checked {
    partial: Partial,
    digests: Digests,
    format: FileFormat,
    inspection: Option<Inspection>,
}

/// Checks digest and header. Wrong bytes are set aside, so that a later run starts afresh.
pub(crate) fn check(
    partial: Partial,
    expected: &Expected,
    name: &str,
    format: FileFormat,
) -> Result<Checked, SyncError> {
    let kept = |source: StoreError| SyncError::Store { file: name.to_owned(), source };
    let digests = partial.verify(expected);
    let mut inspection = None;
    if is_inspected(format) {
        let mut reader = partial.reader().map_err(kept)?;
        match inspect_as(format, &mut reader, partial.len()) {
            Ok(found) => inspection = Some(found),
            Err(source) => {
                // The digest may agree all the same: the hub then lists a bad file. Either way it gets no name.
                partial.discard().map_err(kept)?;
                return Err(SyncError::Inspect { file: name.to_owned(), source, as_listed: digests.is_ok() });
            }
        }
    }
    let digests = match digests {
        Ok(digests) => digests,
        Err(source) => {
            if source.class() == ErrorClass::DataLoss && source.reason() != reason::TRUNCATED_BODY {
                partial.discard().map_err(kept)?;
            }
            return Err(kept(source));
        }
    };
    Ok(Checked { partial, digests, format, inspection })
}

impl Checked {
    /// Gives the bytes their name in the store. With `left_out`, the system's backups leave them out from the beginning.
    pub(crate) fn place(self, name: &str, left_out: bool) -> Result<NewArtifact, SyncError> {
        let Self { partial, digests, format, inspection } = self;
        partial.leave_out_of_backups(left_out);
        let blob = partial.place(&digests).map_err(|source| SyncError::Store { file: name.to_owned(), source })?;
        Ok(artifact(&digests, blob.path, format, inspection.as_ref()))
    }
}

pub(crate) fn artifact(
    digests: &Digests,
    path: PathBuf,
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
        precision: detected.and_then(|detected| detected.precision.map(str::to_owned)),
        parameters: detected.map(|detected| detected.parameters),
        detail_json: detected.map(detail_json),
        path,
    }
}
