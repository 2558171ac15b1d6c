//! What can go wrong between intent and disk.

use paintbox_catalogue::CatalogueError;
use paintbox_domain::follow::FollowTargetError;
use paintbox_domain::reference::ModelRefError;
use paintbox_domain::{Classify, ErrorClass, Failure, Timestamp, reason};
use paintbox_hub::HubError;
use paintbox_store::StoreError;
use paintbox_store::preview::PreviewError;
use paintbox_weights::InspectError;

/// Why a sync operation did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Reference(#[from] ModelRefError),
    #[error(transparent)]
    Target(#[from] FollowTargetError),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("cannot keep `{file}`")]
    Store {
        file: String,
        #[source]
        source: StoreError,
    },
    #[error("cannot fetch `{file}`")]
    Fetch {
        file: String,
        #[source]
        source: HubError,
    },
    #[error("`{file}` is not kept")]
    Inspect {
        file: String,
        #[source]
        source: InspectError,
        /// Nothing says that the hub lists other bytes than these.
        as_listed: bool,
    },
    #[error("cannot keep the preview {url}")]
    Preview {
        url: String,
        #[source]
        source: PreviewError,
    },
    #[error("`{reference}` names no hub; only what a hub offers can be pulled")]
    NotOnAHub { reference: String },
    #[error("`{version}` is not a version of {model}")]
    NoSuchVersion { model: String, version: String },
    #[error("`{file}` is not a file of {model}")]
    NoSuchFile { model: String, file: String },
    #[error("there is no sync run `{uid}`")]
    NoSuchRun { uid: String },
    #[error("{} is not the volume `{label}`", path.display())]
    NotThatVolume { label: String, path: std::path::PathBuf },
    #[error("{files} files lie on the volume `{label}`")]
    VolumeInUse { label: String, files: u64 },
    /// What is wanted belongs on a volume that is not there.
    #[error("the volume `{label}` is away")]
    VolumeAway { label: String },
    #[error("{reference} lies in a folder that is somebody's own")]
    LibraryIsReadOnly { reference: String },
    #[error("{} {problem}", path.display())]
    LibraryExists { path: std::path::PathBuf, problem: String },
    #[error("the library {} is not there", path.display())]
    LibraryAway { path: std::path::PathBuf },
    #[error("nothing of {reference} is here")]
    NothingHere { reference: String },
    #[error("{problem}")]
    Invalid { field: &'static str, problem: String },
    #[error("CivitAI shows no picture {image}")]
    NoSuchImage { image: u64 },
    #[error("the picture {image} does not say how it was made")]
    NoGenerationData { image: u64 },
    #[error("nothing was known of {model} at that time")]
    NotKnownYet { model: String, at: Timestamp },
    #[error("the sync run was cancelled")]
    Cancelled,
    #[error("a worker thread ended unexpectedly")]
    WorkerLost,
}

impl SyncError {
    pub(crate) fn failure(&self) -> Failure {
        Failure::of(self)
    }

    fn inner(&self) -> Option<&dyn Classify> {
        match self {
            Self::Reference(source) => Some(source),
            Self::Target(source) => Some(source),
            Self::Hub(source) | Self::Fetch { source, .. } => Some(source),
            Self::Catalogue(source) => Some(source),
            Self::Store { source, .. } => Some(source),
            Self::Inspect { source, .. } => Some(source),
            Self::Preview { source, .. } => Some(source),
            Self::NotOnAHub { .. }
            | Self::NotThatVolume { .. }
            | Self::VolumeInUse { .. }
            | Self::VolumeAway { .. }
            | Self::LibraryIsReadOnly { .. }
            | Self::LibraryExists { .. }
            | Self::LibraryAway { .. }
            | Self::NothingHere { .. }
            | Self::Invalid { .. }
            | Self::NoSuchVersion { .. }
            | Self::NoSuchFile { .. }
            | Self::NoSuchRun { .. }
            | Self::NoSuchImage { .. }
            | Self::NoGenerationData { .. }
            | Self::NotKnownYet { .. }
            | Self::Cancelled
            | Self::WorkerLost => None,
        }
    }
}

impl Classify for SyncError {
    fn class(&self) -> ErrorClass {
        if let Some(inner) = self.inner() {
            return inner.class();
        }
        match self {
            Self::NotOnAHub { .. } | Self::Invalid { .. } => ErrorClass::InvalidInput,
            Self::NotThatVolume { .. }
            | Self::VolumeInUse { .. }
            | Self::VolumeAway { .. }
            | Self::LibraryIsReadOnly { .. }
            | Self::LibraryAway { .. }
            | Self::NothingHere { .. } => ErrorClass::Precondition,
            Self::LibraryExists { .. } => ErrorClass::AlreadyExists,
            Self::NoSuchVersion { .. }
            | Self::NoSuchFile { .. }
            | Self::NoSuchRun { .. }
            | Self::NoSuchImage { .. }
            | Self::NoGenerationData { .. }
            | Self::NotKnownYet { .. } => ErrorClass::NotFound,
            Self::Cancelled => ErrorClass::Cancelled,
            _ => ErrorClass::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        if let Some(inner) = self.inner() {
            return inner.reason();
        }
        match self {
            Self::NotOnAHub { .. } => reason::INVALID_REFERENCE,
            Self::Invalid { .. } => reason::INVALID_ARGUMENT,
            Self::NotThatVolume { .. } | Self::VolumeAway { .. } => reason::VOLUME_AWAY,
            Self::VolumeInUse { .. } => reason::VOLUME_IN_USE,
            Self::LibraryIsReadOnly { .. } => reason::LIBRARY_IS_READ_ONLY,
            Self::LibraryExists { .. } => reason::LIBRARY_EXISTS,
            Self::LibraryAway { .. } => reason::LIBRARY_AWAY,
            Self::NothingHere { .. } => reason::FILE_NOT_LOCAL,
            Self::NoSuchVersion { .. } => reason::VERSION_NOT_FOUND,
            Self::NoSuchFile { .. } => reason::FILE_NOT_FOUND,
            Self::NoSuchRun { .. } => reason::JOB_NOT_FOUND,
            Self::NoSuchImage { .. } => reason::IMAGE_NOT_FOUND,
            Self::NoGenerationData { .. } => reason::RECIPE_NOT_FOUND,
            Self::NotKnownYet { .. } => reason::NOT_KNOWN_YET,
            Self::Cancelled => reason::CANCELLED,
            _ => reason::INTERNAL,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotOnAHub { .. } => Some("write civitai:4384, hf:org/repo, or paste the page's address".to_owned()),
            Self::NoSuchImage { .. } => {
                Some("it may be gone, or shown only to accounts: `paintbox login civitai`".to_owned())
            }
            Self::NoGenerationData { .. } => {
                Some("who posted it may hide that; the picture as it was uploaded may have it".to_owned())
            }
            Self::NotThatVolume { .. } | Self::VolumeAway { .. } => {
                Some("connect its disk, or say where it is mounted by now: `paintbox volumes set`".to_owned())
            }
            Self::VolumeInUse { .. } => {
                Some("forget it all the same with --force; its files stay there, and are not known any more".to_owned())
            }
            _ => self.inner().and_then(Classify::hint),
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        let mut metadata = self.inner().map(Classify::metadata).unwrap_or_default();
        match self {
            Self::Store { file, .. } | Self::Fetch { file, .. } | Self::Inspect { file, .. } => {
                metadata.push(("file", file.clone()));
            }
            Self::Preview { url, .. } => metadata.push(("url", url.clone())),
            Self::NotOnAHub { reference } => metadata.push(("reference", reference.clone())),
            Self::NoSuchVersion { model, version } => {
                metadata.extend([("model", model.clone()), ("version", version.clone())]);
            }
            Self::NoSuchFile { model, file } => metadata.extend([("model", model.clone()), ("file", file.clone())]),
            Self::NoSuchImage { image } | Self::NoGenerationData { image } => {
                metadata.push(("image", image.to_string()));
            }
            Self::NoSuchRun { uid } => metadata.push(("sync_run", uid.clone())),
            Self::NotKnownYet { model, at } => {
                metadata.extend([("model", model.clone()), ("at_unix_ms", at.unix_ms().to_string())]);
            }
            Self::NotThatVolume { label, path } => {
                metadata.extend([("volume", label.clone()), ("path", path.display().to_string())]);
            }
            Self::VolumeInUse { label, files } => {
                metadata.extend([("volume", label.clone()), ("files", files.to_string())]);
            }
            Self::VolumeAway { label } => metadata.push(("volume", label.clone())),
            Self::NothingHere { reference } | Self::LibraryIsReadOnly { reference } => {
                metadata.push(("reference", reference.clone()));
            }
            Self::LibraryExists { path, .. } | Self::LibraryAway { path } => {
                metadata.push(("path", path.display().to_string()));
            }
            Self::Invalid { field, .. } => metadata.push(("field", (*field).to_owned())),
            Self::Reference(_)
            | Self::Target(_)
            | Self::Hub(_)
            | Self::Catalogue(_)
            | Self::Cancelled
            | Self::WorkerLost => {}
        }
        metadata
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        self.inner().and_then(Classify::retry_after)
    }
}
