//! Why a generation was not accepted or did not end well.

use paintbox_catalogue::CatalogueError;
use paintbox_domain::reference::ModelRefError;
use paintbox_domain::{Classify, ErrorClass, Failure, ModelKind, Sha256, reason};
use paintbox_store::StoreError;
use paintbox_store::preview::PreviewError;

#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    #[error("`{field}` cannot be used: {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error(transparent)]
    Reference(#[from] ModelRefError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("{model} is known, but none of its files is on this machine")]
    NotLocal { model: String },
    #[error("{model} lies on the volume {volume}, which is away")]
    VolumeAway { model: String, volume: String },
    #[error("{model} is of the kind {found}, and one of the kind {wanted} is needed")]
    WrongKind { model: String, found: ModelKind, wanted: ModelKind },
    #[error("no {kind} that is here is called `{name}`")]
    NoSuchName { kind: ModelKind, name: String },
    #[error("{} different files that are here are called `{name}`", references.len())]
    SeveralOfName { kind: ModelKind, name: String, references: Vec<String> },
    #[error("there is no generation `{uid}`")]
    NoSuchGeneration { uid: String },
    #[error("there is no image asset {sha256}")]
    NoSuchAsset { sha256: Sha256 },
    #[error("the image to start from cannot be read")]
    InitImage(#[source] PreviewError),
    #[error("the mask cannot be read")]
    Mask(#[source] PreviewError),
    #[error("the image of a ControlNet cannot be read")]
    ControlImage(#[source] PreviewError),
    #[error("{} cannot be read", path.display())]
    PathUnreadable {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the image asset {sha256} cannot be read")]
    AssetUnreadable {
        sha256: Sha256,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot keep a picture")]
    Store(#[from] StoreError),
    #[error("cannot write a picture")]
    Encode(#[from] crate::recipe::EncodeError),
    #[error(transparent)]
    Engine(Failure),
    #[error("the daemon is ending")]
    ShuttingDown,
    #[error("the record of the generation cannot be read")]
    BadRecord(#[source] serde_json::Error),
    #[error("painting stopped on an internal fault: {what}")]
    Panicked { what: String },
}

impl GenerationError {
    /// The error as the data that its row keeps.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Engine(failure) => failure.clone(),
            _ => Failure::of(self),
        }
    }

    fn inner(&self) -> Option<&dyn Classify> {
        match self {
            Self::Reference(source) => Some(source),
            Self::Catalogue(source) => Some(source),
            Self::InitImage(source) | Self::Mask(source) | Self::ControlImage(source) => Some(source),
            Self::Store(source) => Some(source),
            _ => None,
        }
    }
}

impl Classify for GenerationError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Invalid { .. } | Self::WrongKind { .. } | Self::SeveralOfName { .. } => ErrorClass::InvalidInput,
            Self::NotLocal { .. } | Self::VolumeAway { .. } => ErrorClass::Precondition,
            Self::NoSuchName { .. }
            | Self::NoSuchGeneration { .. }
            | Self::NoSuchAsset { .. }
            | Self::PathUnreadable { .. } => ErrorClass::NotFound,
            Self::ShuttingDown => ErrorClass::Unavailable,
            Self::Engine(failure) => failure.class,
            Self::Encode(_) | Self::BadRecord(_) | Self::Panicked { .. } | Self::AssetUnreadable { .. } => {
                ErrorClass::Internal
            }
            Self::Reference(_)
            | Self::Catalogue(_)
            | Self::InitImage(_)
            | Self::Mask(_)
            | Self::ControlImage(_)
            | Self::Store(_) => self.inner().map_or(ErrorClass::Internal, Classify::class),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } | Self::WrongKind { .. } => reason::INVALID_ARGUMENT,
            Self::NotLocal { .. } | Self::NoSuchName { .. } => reason::FILE_NOT_LOCAL,
            Self::SeveralOfName { .. } => reason::AMBIGUOUS_NAME,
            Self::VolumeAway { .. } => reason::VOLUME_AWAY,
            Self::NoSuchGeneration { .. } => reason::JOB_NOT_FOUND,
            Self::NoSuchAsset { .. } => reason::ASSET_NOT_FOUND,
            Self::PathUnreadable { .. } => reason::FILE_NOT_FOUND,
            Self::ShuttingDown => reason::SHUTTING_DOWN,
            Self::Engine(failure) => {
                reason::ALL.iter().find(|known| **known == failure.reason).copied().unwrap_or(reason::ENGINE_FAILED)
            }
            Self::Encode(_) | Self::Panicked { .. } => reason::ENGINE_FAILED,
            Self::AssetUnreadable { .. } => reason::STORE_FAILED,
            Self::BadRecord(_) => reason::CATALOGUE_FAILED,
            Self::Reference(_)
            | Self::Catalogue(_)
            | Self::InitImage(_)
            | Self::Mask(_)
            | Self::ControlImage(_)
            | Self::Store(_) => self.inner().map_or(reason::INTERNAL, Classify::reason),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotLocal { model } if model.starts_with("local:") => {
                Some("files of a library are read first: `paintbox library list` says how far that is".to_owned())
            }
            Self::NotLocal { model } => Some(format!("`paintbox pull {model}` fetches it")),
            Self::NoSuchName { kind, name } => {
                Some(format!("`paintbox search {name} --kind {kind}` looks for it; then `paintbox pull` fetches it"))
            }
            Self::SeveralOfName { kind: ModelKind::Lora, references, .. } => {
                Some(format!("say which one with --lora: {}", references.join(", ")))
            }
            Self::VolumeAway { .. } => Some("connect its disk, or say where it is mounted by now".to_owned()),
            Self::Engine(failure) => failure.hint.clone(),
            _ => self.inner().and_then(Classify::hint),
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Invalid { field, .. } => vec![("field", (*field).to_owned())],
            Self::NotLocal { model } => vec![("model", model.clone())],
            Self::NoSuchName { kind, name } => vec![("kind", kind.to_string()), ("name", name.clone())],
            Self::SeveralOfName { name, references, .. } => {
                vec![("name", name.clone()), ("candidates", references.join(" "))]
            }
            Self::VolumeAway { model, volume } => vec![("model", model.clone()), ("volume", volume.clone())],
            Self::WrongKind { model, found, wanted } => {
                vec![("model", model.clone()), ("found", found.to_string()), ("wanted", wanted.to_string())]
            }
            Self::PathUnreadable { path, .. } => vec![("path", path.display().to_string())],
            Self::NoSuchGeneration { uid } => vec![("generation", uid.clone())],
            Self::NoSuchAsset { sha256 } | Self::AssetUnreadable { sha256, .. } => vec![("asset", sha256.to_string())],
            _ => self.inner().map(Classify::metadata).unwrap_or_default(),
        }
    }
}
