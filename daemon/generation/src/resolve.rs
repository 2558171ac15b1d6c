//! From references to files: which version is meant, and which of its files are here.

use crate::error::GenerationError;
use crate::on_disk::Digests;
use crate::tags::{LoraTag, Tagged, tagged};
use paintbox_catalogue::{Catalogue, FileId, FileRecord, ModelDetail, ModelId, VersionRecord};
use paintbox_domain::generation::{
    EmbeddingFile, GenerationSpec, Hires, HiresUpscaler, LoraFile, LoraUse, ModelFile, Upscale, Upscaler,
};
use paintbox_domain::{FileFormat, Hub, ModelKind, ModelRef, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A model to paint with, on disk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LocalModel {
    /// Its row; a model on disk that no catalogue knows has none.
    pub(crate) id: Option<ModelId>,
    /// What recipes call it: a file's name as A1111 has it, without folders and ending, or a repository's.
    pub(crate) name: String,
    /// Digest of the weights file that recipes name the model by.
    pub(crate) main: Option<Sha256>,
    pub(crate) files: Vec<ModelFile>,
}

/// An adapter on disk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LocalLora {
    pub(crate) file: LoraFile,
    /// Digest of its tensors, by which A1111 names it.
    pub(crate) auto_v3: Option<String>,
}

/// Everything that a specification names, on disk.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) model: LocalModel,
    pub(crate) vae: Option<ModelFile>,
    pub(crate) text_encoders: Vec<ModelFile>,
    /// Those that are named apart from what is here.
    pub(crate) embeddings: Vec<EmbeddingFile>,
    pub(crate) loras: Vec<LocalLora>,
    /// In the order of the specification's.
    pub(crate) control_nets: Vec<ControlNetWeights>,
    /// The prompt without the tags that name LoRAs.
    pub(crate) prompt: String,
    pub(crate) hires: Option<Hires<ModelFile>>,
    /// What previews are decoded by.
    pub(crate) taesd: Option<ModelFile>,
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

/// Looks up everything that a specification names.
pub(crate) async fn named(resolver: &Resolver, spec: &GenerationSpec) -> Result<Named, GenerationError> {
    let model = model(resolver, &spec.model).await?;
    let mut loras = Vec::new();
    for used in &spec.loras {
        loras.push(lora(resolver, used).await?);
    }
    let vae = match &spec.vae {
        Some(reference) => Some(vae(resolver, reference).await?),
        None => None,
    };
    let mut text_encoders = Vec::new();
    for reference in &spec.text_encoders {
        text_encoders.push(text_encoder(resolver, reference).await?);
    }
    let mut embeddings = Vec::new();
    for reference in &spec.embeddings {
        embeddings.push(embedding(resolver, reference).await?);
    }
    let Tagged { prompt, loras: tags } = tagged(&spec.prompt)?;
    loras.extend(tagged_loras(resolver, &tags).await?);
    let mut control_nets = Vec::new();
    for control in &spec.controls {
        control_nets.push(control_net(resolver, &control.model).await?);
    }
    let hires = match &spec.hires {
        Some(wanted) => Some(hires(resolver, wanted, &tags).await?),
        None => None,
    };
    let taesd = match &spec.taesd {
        Some(reference) => Some(part(resolver, reference, "taesd", ModelKind::Vae, &[]).await?.0),
        None => None,
    };
    Ok(Named { model, vae, text_encoders, embeddings, loras, control_nets, prompt, hires, taesd })
}

/// A second pass with its upscaler on disk, and its prompt without tags. LoRAs are merged into the network, so that both
/// passes have the same.
async fn hires(
    resolver: &Resolver,
    wanted: &Hires<String>,
    first: &[LoraTag],
) -> Result<Hires<ModelFile>, GenerationError> {
    let upscaler = match wanted.upscaler.clone() {
        None => None,
        Some(HiresUpscaler::Latents(scaling)) => Some(HiresUpscaler::Latents(scaling)),
        Some(HiresUpscaler::Picture(upscaler)) => {
            Some(HiresUpscaler::Picture(self::upscaler(resolver, upscaler, "hires.upscaler").await?))
        }
    };
    let prompt = match &wanted.prompt {
        None => None,
        Some(prompt) => {
            let Tagged { prompt, loras } = tagged(prompt)?;
            if let Some(other) = loras.iter().find(|tag| !first.contains(tag)) {
                let problem = format!("both passes have the same LoRAs, and the first has no `{}`", other.name);
                return Err(GenerationError::Invalid { field: "hires.prompt", problem });
            }
            Some(prompt)
        }
    };
    Ok(Hires { prompt, ..wanted.clone().with_upscaler(upscaler) })
}

/// What finished pictures are made larger by, on disk.
pub(crate) async fn upscale(
    resolver: &Resolver,
    wanted: &Upscale<String>,
) -> Result<Upscale<ModelFile>, GenerationError> {
    let upscaler = upscaler(resolver, wanted.upscaler.clone(), "upscale.upscaler").await?;
    Ok(Upscale { upscaler, scale: wanted.scale })
}

async fn upscaler(
    resolver: &Resolver,
    wanted: Upscaler<String>,
    field: &'static str,
) -> Result<Upscaler<ModelFile>, GenerationError> {
    Ok(match wanted {
        Upscaler::Pixels(scaling) => Upscaler::Pixels(scaling),
        Upscaler::Network(reference) => {
            Upscaler::Network(part(resolver, &reference, field, ModelKind::Upscaler, &[]).await?.0)
        }
    })
}

/// The files of the model that `reference` names.
pub(crate) async fn model(resolver: &Resolver, reference: &str) -> Result<LocalModel, GenerationError> {
    if let Some(files) = resolver.on_disk(reference).await? {
        let path = reference.trim().trim_start_matches("path:").trim_end_matches('/');
        let name = stem(path).to_owned();
        let main = files.iter().find(|file| FileFormat::from_file_name(&file.name) == FileFormat::Safetensors);
        return Ok(LocalModel { id: None, name, main: main.map(|file| file.sha256), files });
    }
    let found = Found::of(&resolver.catalogue, reference).await?;
    let version = found.version()?;
    let named = found.named_file(version);
    // A digest names a folder by one of its parts, as recipes do; a path names the part alone.
    let by_digest = matches!(reference.parse(), Ok(ModelRef::Digest(_) | ModelRef::ShortDigest(_)));
    let is_folder = found.detail.summary.hub == Some(Hub::HuggingFace)
        && named.is_none_or(|file| by_digest && file.name.contains('/'))
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
    let name = if is_folder { found.detail.summary.name.clone() } else { stem(&main.name).to_owned() };
    Ok(LocalModel { id, name, main: digest(main), files })
}

/// The weights of the adapter that `lora` names.
pub(crate) async fn lora(resolver: &Resolver, lora: &LoraUse) -> Result<LocalLora, GenerationError> {
    let (file, auto_v3) = part(resolver, &lora.model, "loras.model", ModelKind::Lora, &[]).await?;
    Ok(LocalLora { file: lora_file(file, lora), auto_v3 })
}

/// The file of the VAE that `reference` names.
pub(crate) async fn vae(resolver: &Resolver, reference: &str) -> Result<ModelFile, GenerationError> {
    Ok(part(resolver, reference, "vae", ModelKind::Vae, &[]).await?.0)
}

/// The file of the text encoder that `reference` names, which may be a whole model's.
pub(crate) async fn text_encoder(resolver: &Resolver, reference: &str) -> Result<ModelFile, GenerationError> {
    let others = [ModelKind::Checkpoint];
    Ok(part(resolver, reference, "text_encoders", ModelKind::TextEncoder, &others).await?.0)
}

/// The textual inversion that `reference` names, by the name that prompts say.
async fn embedding(resolver: &Resolver, reference: &str) -> Result<EmbeddingFile, GenerationError> {
    let file = part(resolver, reference, "embeddings", ModelKind::TextualInversion, &[]).await?.0;
    Ok(EmbeddingFile { name: stem(&file.name).to_owned(), path: file.path, sha256: file.sha256 })
}

/// One file of a kind that is used beside a model, and the digest of its tensors where it is known.
async fn part(
    resolver: &Resolver,
    reference: &str,
    field: &'static str,
    kind: ModelKind,
    others: &[ModelKind],
) -> Result<(ModelFile, Option<String>), GenerationError> {
    if let Some(files) = resolver.on_disk(reference).await? {
        let [file] = <[ModelFile; 1]>::try_from(files).map_err(|_| GenerationError::Invalid {
            field,
            problem: format!("{reference} is a folder; a {kind} is one file"),
        })?;
        return Ok((file, None));
    }
    let found = Found::of(&resolver.catalogue, reference).await?;
    let (main, file) = found.weights(reference, kind, others)?;
    let auto_v3 = main.artifact.as_ref().and_then(|artifact| artifact.auto_v3.clone());
    Ok((file, auto_v3))
}

/// The LoRAs that a prompt's tags name, in their order.
async fn tagged_loras(resolver: &Resolver, tags: &[LoraTag]) -> Result<Vec<LocalLora>, GenerationError> {
    if tags.is_empty() {
        return Ok(Vec::new());
    }
    let names = resolver.catalogue.local_names(ModelKind::Lora).await?;
    let mut loras = Vec::new();
    for tag in tags {
        let reference = format!("sha256:{}", called(&names, ModelKind::Lora, &tag.name)?);
        let wanted = LoraUse { model: reference, weight: tag.weight, text_encoder_weight: tag.text_encoder_weight };
        let mut found = lora(resolver, &wanted).await?;
        found.file.name.clone_from(&tag.name);
        loras.push(found);
    }
    Ok(loras)
}

/// The content of this name: as it is written, else in whatever case.
pub(crate) fn called(
    names: &BTreeSet<(String, Sha256)>,
    kind: ModelKind,
    name: &str,
) -> Result<Sha256, GenerationError> {
    let with = |is_one: &dyn Fn(&str) -> bool| -> Vec<Sha256> {
        names.iter().filter(|(known, _)| is_one(known)).map(|(_, sha256)| *sha256).collect()
    };
    let mut found = with(&|known| known == name);
    if found.is_empty() {
        let lower = name.to_lowercase();
        found = with(&|known| known.to_lowercase() == lower);
    }
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [one] => Ok(one),
        [] => Err(GenerationError::NoSuchName { kind, name: name.to_owned() }),
        _ => {
            let references = found.iter().map(|sha256| format!("sha256:{sha256}")).collect();
            Err(GenerationError::SeveralOfName { kind, name: name.to_owned(), references })
        }
    }
}

/// The textual inversions that these prompts may say: those that are named, and all that are here whose name one of the
/// prompts has in it. Of several that are called the same, the last one that was named so is as good as any (A1111).
pub(crate) async fn embeddings(
    resolver: &Resolver,
    named: Vec<EmbeddingFile>,
    prompts: impl Iterator<Item = &str>,
) -> Result<Vec<EmbeddingFile>, GenerationError> {
    let prompts: Vec<String> = prompts.map(str::to_lowercase).collect();
    let names = resolver.catalogue.local_names(ModelKind::TextualInversion).await?;
    let mut said: BTreeMap<String, (String, Sha256)> = BTreeMap::new();
    for (name, sha256) in names {
        let lower = name.to_lowercase();
        if prompts.iter().any(|prompt| prompt.contains(&lower)) {
            said.insert(lower, (name, sha256));
        }
    }
    let mut files = Vec::new();
    for (name, sha256) in said.into_values() {
        let artifact = resolver.catalogue.artifact(&sha256).await?;
        // One that is on a disk that is away is as if it were not there; its name is a word.
        if let Some(path) = artifact.and_then(|artifact| artifact.paths.into_iter().next()) {
            files.push(EmbeddingFile { name, path, sha256 });
        }
    }
    files.retain(|file| named.iter().all(|other| other.name.to_lowercase() != file.name.to_lowercase()));
    files.extend(named);
    Ok(files)
}

/// A ControlNet on disk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ControlNetWeights {
    pub(crate) file: ModelFile,
    /// The name that recipes call it by.
    pub(crate) name: String,
    /// The `config.json` beside the weights.
    pub(crate) config: Option<ModelFile>,
}

impl ControlNetWeights {
    /// A file that is named as weights of all models are is called after its folder's page.
    fn new(file: ModelFile, page: &str, beside: impl Iterator<Item = ModelFile>) -> Self {
        let stem = stem(&file.name).to_owned();
        let name = if stem.starts_with("diffusion_pytorch_model") { page.to_owned() } else { stem };
        let folder = file.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let config = if folder.is_empty() { "config.json".to_owned() } else { format!("{folder}/config.json") };
        let config = beside.into_iter().find(|file| file.name == config);
        Self { file, name, config }
    }
}

/// The weights of the ControlNet that `reference` names.
async fn control_net(resolver: &Resolver, reference: &str) -> Result<ControlNetWeights, GenerationError> {
    if let Some(files) = resolver.on_disk(reference).await? {
        let path = reference.trim().trim_end_matches('/');
        let page = path.rsplit('/').next().unwrap_or(path).to_owned();
        let weights = |file: &&ModelFile| FileFormat::from_file_name(&file.name) == FileFormat::Safetensors;
        // A repository's full weights come before their half-precision copy in the order of names.
        let plain = |file: &&ModelFile| weights(file) && !file.name.contains(".fp16.");
        let main = files.iter().find(plain).or_else(|| files.iter().find(weights)).cloned();
        let main = main.ok_or_else(|| GenerationError::NotLocal { model: reference.to_owned() })?;
        return Ok(ControlNetWeights::new(main, &page, files.into_iter()));
    }
    let found = Found::of(&resolver.catalogue, reference).await?;
    // Headers of some tell nothing but that they are no model that is known.
    let (_, file) = found.weights(reference, ModelKind::ControlNet, &[ModelKind::Other])?;
    let beside = found.version()?.files.iter().filter_map(model_file);
    Ok(ControlNetWeights::new(file, &found.detail.summary.name, beside))
}

/// The file under the name that recipes call it by.
fn lora_file(file: ModelFile, lora: &LoraUse) -> LoraFile {
    let (name, text_encoder_weight) = (stem(&file.name).to_owned(), lora.text_encoder_weight.unwrap_or(lora.weight));
    LoraFile { name, path: file.path, sha256: file.sha256, weight: lora.weight, text_encoder_weight }
}

/// A file's name without folders and ending.
pub(crate) fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
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

    /// The weights that the reference means, if they are of a kind, of one of these others, or of none that is known.
    fn weights(
        &self,
        reference: &str,
        wanted: ModelKind,
        others: &[ModelKind],
    ) -> Result<(&FileRecord, ModelFile), GenerationError> {
        let version = self.version()?;
        let main = self.named_file(version).or_else(|| main_weights(version)).ok_or_else(|| self.not_local())?;
        let kind = main.artifact.as_ref().map_or(ModelKind::Unknown, |artifact| artifact.kind);
        if kind != wanted && kind != ModelKind::Unknown && !others.contains(&kind) {
            return Err(GenerationError::WrongKind { model: reference.to_owned(), found: kind, wanted });
        }
        Ok((main, model_file(main).ok_or_else(|| self.not_local())?))
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

pub(crate) fn is_local(file: &FileRecord) -> bool {
    file.state.is_local() && file.artifact.as_ref().is_some_and(|artifact| !artifact.paths.is_empty())
}

fn digest(file: &FileRecord) -> Option<Sha256> {
    file.artifact.as_ref().map(|artifact| artifact.sha256)
}

/// The weights that stand for a version: the primary file, else the largest; in a folder, the network's.
fn main_weights(version: &VersionRecord) -> Option<&FileRecord> {
    let weights = || {
        version.files.iter().filter(|file| is_local(file) && (file.format.is_weights() || is_pickled_embedding(file)))
    };
    let size = |file: &&FileRecord| file.artifact.as_ref().map_or(0, |artifact| artifact.size_bytes);
    weights().find(|file| file.primary).or_else(|| weights().max_by_key(size))
}

/// Of pickles these are read, without running them.
fn is_pickled_embedding(file: &FileRecord) -> bool {
    let kind = file.artifact.as_ref().map_or(ModelKind::Unknown, |artifact| artifact.kind);
    file.format == FileFormat::Pickle && kind == ModelKind::TextualInversion
}

fn model_file(file: &FileRecord) -> Option<ModelFile> {
    let artifact = file.artifact.as_ref().filter(|_| is_local(file))?;
    Some(ModelFile { name: file.name.clone(), path: artifact.paths.first()?.clone(), sha256: artifact.sha256 })
}
