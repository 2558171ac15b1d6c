//! From references to files: which version is meant, and which of its files are here.

use crate::error::GenerationError;
use crate::on_disk::Digests;
use paintbox_catalogue::{Catalogue, FileId, FileRecord, ModelDetail, ModelId, VersionRecord};
use paintbox_domain::generation::{LoraFile, LoraUse, ModelFile};
use paintbox_domain::{FileFormat, Hub, ModelKind, ModelRef, Sha256};
use std::sync::Arc;

/// A model to paint with, on disk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LocalModel {
    /// Its row; a model on disk that no catalogue knows has none.
    pub(crate) id: Option<ModelId>,
    /// The name for people, for the recipe.
    pub(crate) name: String,
    /// Digest of the weights file that recipes name the model by.
    pub(crate) main: Option<Sha256>,
    pub(crate) files: Vec<ModelFile>,
}

/// Where references are looked up.
#[derive(Debug)]
pub(crate) struct Resolver {
    pub(crate) catalogue: Catalogue,
    pub(crate) digests: Arc<Digests>,
}

impl Resolver {
    /// The files at a `path:` reference that the catalogue knows nothing of; none for any other reference.
    async fn on_disk(&self, reference: &str) -> Result<Option<Vec<ModelFile>>, GenerationError> {
        let parsed: ModelRef = reference.parse()?;
        let ModelRef::Path(path) = &parsed else { return Ok(None) };
        if self.catalogue.resolve(&parsed).await.is_ok() {
            return Ok(None);
        }
        let (digests, path) = (self.digests.clone(), path.clone());
        let hashed = tokio::task::spawn_blocking(move || digests.model(&path)).await;
        hashed.map_err(|_| GenerationError::Panicked { what: "reading the files".to_owned() })?.map(Some)
    }
}

/// The files of the model that `reference` names.
pub(crate) async fn model(resolver: &Resolver, reference: &str) -> Result<LocalModel, GenerationError> {
    if let Some(files) = resolver.on_disk(reference).await? {
        let path = reference.trim().trim_start_matches("path:").trim_end_matches('/');
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = name.strip_suffix(".safetensors").unwrap_or(name).to_owned();
        let main = files.iter().find(|file| FileFormat::from_file_name(&file.name) == FileFormat::Safetensors);
        return Ok(LocalModel { id: None, name, main: main.map(|file| file.sha256), files });
    }
    let found = Found::of(&resolver.catalogue, reference).await?;
    let version = found.version()?;
    let named = found.named_file(version);
    let is_folder = found.detail.summary.hub == Some(Hub::HuggingFace)
        && named.is_none()
        && version.files.iter().any(|file| file.name == "model_index.json" && is_local(file));
    let main = named.or_else(|| main_weights(version)).ok_or_else(|| found.not_local())?;
    if !is_folder {
        refuse_other_kinds(reference, main)?;
    }
    // A folder is painted from all of it; a single-file checkpoint from that file and its small companions.
    let chosen = version.files.iter().filter(|file| is_folder || file.id == main.id || !file.format.is_weights());
    let files: Vec<ModelFile> = chosen.filter_map(model_file).collect();
    if !files.iter().any(|file| Some(file.sha256) == digest(main)) {
        return Err(found.not_local());
    }
    let id = Some(found.detail.summary.id);
    Ok(LocalModel { id, name: found.name_for_people(version), main: digest(main), files })
}

/// The weights of the adapter that `lora` names.
pub(crate) async fn lora(resolver: &Resolver, lora: &LoraUse) -> Result<LoraFile, GenerationError> {
    if let Some(files) = resolver.on_disk(&lora.model).await? {
        let [file] = <[ModelFile; 1]>::try_from(files).map_err(|_| GenerationError::Invalid {
            field: "loras.model",
            problem: format!("{} is a folder; a LoRA is one file", lora.model),
        })?;
        return Ok(lora_file(file, lora.weight));
    }
    let found = Found::of(&resolver.catalogue, &lora.model).await?;
    let version = found.version()?;
    let main = found.named_file(version).or_else(|| main_weights(version)).ok_or_else(|| found.not_local())?;
    if let Some(artifact) = &main.artifact
        && !matches!(artifact.kind, ModelKind::Lora | ModelKind::Unknown)
    {
        let (model, found) = (lora.model.clone(), artifact.kind);
        return Err(GenerationError::WrongKind { model, found, wanted: ModelKind::Lora });
    }
    let file = model_file(main).ok_or_else(|| found.not_local())?;
    Ok(lora_file(file, lora.weight))
}

/// The file under the name that recipes call it by: without folders and ending.
fn lora_file(file: ModelFile, weight: f32) -> LoraFile {
    let stem = file.name.rsplit('/').next().unwrap_or_default();
    let name = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem).to_owned();
    LoraFile { name, path: file.path, sha256: file.sha256, weight }
}

/// A model in the catalogue, and which part of it a reference named.
struct Found {
    detail: ModelDetail,
    /// Position of the version that is meant.
    version: Option<usize>,
    file: Option<FileId>,
}

impl Found {
    async fn of(catalogue: &Catalogue, text: &str) -> Result<Self, GenerationError> {
        let reference: ModelRef = text.parse()?;
        let resolved = catalogue.resolve(&reference).await?;
        let detail = catalogue.model(resolved.model).await?;
        // Without a version in the reference: the newest that has weights here, listed by its hub or not.
        let version = match resolved.version {
            Some(id) => detail.versions.iter().position(|version| version.id == id),
            None => detail.versions.iter().position(|version| main_weights(version).is_some()),
        };
        Ok(Self { detail, version, file: resolved.file })
    }

    fn version(&self) -> Result<&VersionRecord, GenerationError> {
        self.version.and_then(|at| self.detail.versions.get(at)).ok_or_else(|| self.not_local())
    }

    fn named_file<'a>(&self, version: &'a VersionRecord) -> Option<&'a FileRecord> {
        version.files.iter().find(|file| Some(file.id) == self.file)
    }

    fn not_local(&self) -> GenerationError {
        let version = self.version.and_then(|at| self.detail.versions.get(at));
        let model = version.map_or(&self.detail.summary.reference, |version| &version.reference).to_string();
        let versions = version.map_or(&self.detail.versions[..], std::slice::from_ref);
        let mut artifacts =
            versions.iter().flat_map(|version| &version.files).filter_map(|file| file.artifact.as_ref());
        match artifacts.find_map(|artifact| artifact.away_on.first().filter(|_| artifact.paths.is_empty())) {
            Some(volume) => GenerationError::VolumeAway { model, volume: volume.clone() },
            None => GenerationError::NotLocal { model },
        }
    }

    fn name_for_people(&self, version: &VersionRecord) -> String {
        match self.detail.summary.hub {
            Some(Hub::Civitai) if !version.name.is_empty() => {
                format!("{} {}", self.detail.summary.name, version.name)
            }
            Some(Hub::Civitai | Hub::HuggingFace) | None => self.detail.summary.name.clone(),
        }
    }
}

fn refuse_other_kinds(reference: &str, main: &FileRecord) -> Result<(), GenerationError> {
    let Some(artifact) = &main.artifact else { return Ok(()) };
    match artifact.kind {
        // What could not be told apart is for the engine to look at.
        ModelKind::Checkpoint | ModelKind::Network | ModelKind::Unknown | ModelKind::Other => Ok(()),
        ModelKind::Lora
        | ModelKind::TextualInversion
        | ModelKind::Vae
        | ModelKind::ControlNet
        | ModelKind::Upscaler
        | ModelKind::TextEncoder => {
            let (model, found) = (reference.to_owned(), artifact.kind);
            Err(GenerationError::WrongKind { model, found, wanted: ModelKind::Checkpoint })
        }
    }
}

fn is_local(file: &FileRecord) -> bool {
    file.state.is_local() && file.artifact.as_ref().is_some_and(|artifact| !artifact.paths.is_empty())
}

fn digest(file: &FileRecord) -> Option<Sha256> {
    file.artifact.as_ref().map(|artifact| artifact.sha256)
}

/// The weights that stand for a version: the primary file, else the largest; in a folder, the network's.
fn main_weights(version: &VersionRecord) -> Option<&FileRecord> {
    let weights = || {
        version
            .files
            .iter()
            .filter(|file| is_local(file) && matches!(file.format, FileFormat::Safetensors | FileFormat::Gguf))
    };
    let size = |file: &&FileRecord| file.artifact.as_ref().map_or(0, |artifact| artifact.size_bytes);
    weights().find(|file| file.primary).or_else(|| weights().max_by_key(size))
}

fn model_file(file: &FileRecord) -> Option<ModelFile> {
    let artifact = file.artifact.as_ref().filter(|_| is_local(file))?;
    Some(ModelFile { name: file.name.clone(), path: artifact.paths.first()?.clone(), sha256: artifact.sha256 })
}
