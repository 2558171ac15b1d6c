//! Which file holds which weight: one view over a diffusers folder and over a single LDM file, by diffusers' names.

use super::config::PipelineConfig;
use super::config::parse;
use super::file::{TensorFile, open, read_text};
use super::lora::Merges;
use super::weights::TensorSource;
use crate::error::EngineError;
use candle_core::{Device, Tensor};
use paintbox_domain::generation::ModelFile;
use paintbox_domain::{Architecture, FileFormat, ModelKind};
use paintbox_weights::safetensors::TensorInfo;
use paintbox_weights::sd1::{Component, NameError, Parameters, Recipes, component_recipes, diffusers_recipes};
use paintbox_weights::{Header, Listing, detect, inspect};
use std::collections::BTreeMap;
use std::io::BufReader;

const PIPELINE_FILE: &str = "model_index.json";

/// Where one weight lies.
#[derive(Debug, Clone)]
struct Place {
    file: usize,
    /// The name in the file.
    source: String,
    info: TensorInfo,
    /// Under its canonical name; the file may keep a linear layer as a 1×1 convolution.
    shape: Vec<usize>,
}

/// The weights of a model by component and canonical name, and the texts beside them.
#[derive(Debug)]
pub(crate) struct Index {
    files: Vec<TensorFile>,
    places: BTreeMap<(Component, String), Place>,
    texts: Vec<ModelFile>,
    /// `modelspec.*` and whatever else a single file says of itself.
    pub(crate) metadata: BTreeMap<String, String>,
    /// Pixels, width first, as a single file's metadata states them.
    pub(crate) resolution: Option<(u32, u32)>,
    /// How messages speak of the model.
    pub(crate) model: String,
}

/// # Errors
/// When the files are not a Stable Diffusion 1.x model, are broken, or lack a component.
pub(crate) fn index(model: &[ModelFile]) -> Result<Index, EngineError> {
    let is_folder = model.iter().any(|file| file.name == PIPELINE_FILE)
        || model.iter().any(|file| file.name.starts_with("unet/") && is_safetensors(file));
    let mut index = if is_folder { from_folder(model)? } else { from_single_file(model)? };
    index.texts = model.iter().filter(|file| is_text(&file.name)).cloned().collect();
    Ok(index)
}

fn is_safetensors(file: &ModelFile) -> bool {
    FileFormat::from_file_name(&file.name) == FileFormat::Safetensors
}

fn is_text(name: &str) -> bool {
    matches!(FileFormat::from_file_name(name), FileFormat::Json | FileFormat::Text)
}

impl Index {
    /// The text of the first of these files that the model brings, with its name.
    pub(crate) fn text(&self, names: &[&str]) -> Result<Option<(String, Vec<u8>)>, EngineError> {
        let found = names.iter().find_map(|name| self.texts.iter().find(|file| file.name == *name));
        found.map(|file| Ok((file.name.clone(), read_text(&file.name, &file.path)?))).transpose()
    }

    /// The canonical names and shapes of everything.
    pub(crate) fn parameters(&self) -> Parameters {
        self.places.iter().map(|(key, place)| (key.clone(), place.shape.clone())).collect()
    }

    /// Takes in a file whose tensors `recipes` name.
    fn add(&mut self, file: TensorFile, recipes: Recipes) {
        let number = self.files.len();
        for (key, recipe) in recipes {
            let Some(info) = file.header.tensors.get(&recipe.source) else { continue };
            if let Some(shape) = recipe.reshape.applied_to(&info.shape) {
                self.places.insert(key, Place { file: number, source: recipe.source, info: info.clone(), shape });
            }
        }
        self.files.push(file);
    }

    /// The weights of one component with adapters merged into them.
    pub(crate) fn component<'a>(&'a self, component: Component, merges: &'a Merges) -> ComponentSource<'a> {
        ComponentSource { index: self, component, merges }
    }
}

/// One component's weights, read as they are asked for: one tensor in flight.
pub(crate) struct ComponentSource<'a> {
    index: &'a Index,
    component: Component,
    merges: &'a Merges,
}

impl TensorSource for ComponentSource<'_> {
    fn read(&self, name: &str, wanted: &[usize]) -> Result<Tensor, EngineError> {
        let key = (self.component, name.to_owned());
        let Some(place) = self.index.places.get(&key) else {
            return Err(EngineError::MissingTensor {
                component: component_name(self.component),
                tensor: name.to_owned(),
            });
        };
        if place.shape != wanted {
            let (tensor, wanted, given) = (name.to_owned(), wanted.to_vec(), place.shape.clone());
            return Err(EngineError::TensorShape { tensor, wanted, given });
        }
        let mut values = self.index.files[place.file].read(&place.source, &place.info)?;
        self.merges.apply(&key, wanted, &mut values)?;
        Tensor::from_vec(values, wanted, &Device::Cpu).map_err(EngineError::computing("holding a tensor"))
    }
}

pub(crate) fn component_name(component: Component) -> &'static str {
    match component {
        Component::TextEncoder => "text encoder",
        Component::Unet => "UNet",
        Component::Vae => "VAE",
    }
}

fn empty(model: &str) -> Index {
    Index {
        files: Vec::new(),
        places: BTreeMap::new(),
        texts: Vec::new(),
        metadata: BTreeMap::new(),
        resolution: None,
        model: model.to_owned(),
    }
}

/// A `StableDiffusionPipeline` folder.
fn from_folder(model: &[ModelFile]) -> Result<Index, EngineError> {
    let pipeline = model.iter().find(|file| file.name == PIPELINE_FILE);
    let class_name = match pipeline {
        None => None,
        Some(file) => {
            let config: PipelineConfig = parse(Some(&read_text(&file.name, &file.path)?), &file.name)?;
            config.class_name
        }
    };
    if let Some(class_name) = &class_name
        && !matches!(class_name.as_str(), "StableDiffusionPipeline" | "StableDiffusionImg2ImgPipeline")
    {
        let (file, class_name) = (PIPELINE_FILE.to_owned(), class_name.clone());
        return Err(EngineError::UnsupportedPipeline { file, class_name });
    }

    let mut index = empty("the model");
    for (component, folder, stem) in [
        (Component::Unet, "unet", "diffusion_pytorch_model"),
        (Component::TextEncoder, "text_encoder", "model"),
        (Component::Vae, "vae", "diffusion_pytorch_model"),
    ] {
        let parts = weight_files(model, folder, stem);
        if parts.is_empty() {
            let looked_for = match component {
                Component::Unet => "unet/diffusion_pytorch_model.safetensors",
                Component::TextEncoder => "text_encoder/model.safetensors",
                Component::Vae => "vae/diffusion_pytorch_model.safetensors",
            };
            return Err(EngineError::MissingComponent { component: component_name(component), looked_for });
        }
        let mut whole = Header::default();
        for part in parts {
            let file = TensorFile::open(&part.name, &part.path)?;
            let recipes = component_recipes(component, &file.header).map_err(naming(&part.name))?;
            whole.tensors.extend(file.header.tensors.iter().map(|(name, info)| (name.clone(), info.clone())));
            index.add(file, recipes);
        }
        if component == Component::Unet {
            let detected = detect(&Listing::of_safetensors(&whole));
            let (architecture, family) = (detected.architecture, detected.family);
            // A folder that calls itself a Stable Diffusion pipeline may have sizes that prove nothing.
            if !matches!(architecture, Architecture::Sd1 | Architecture::Unknown)
                || (architecture == Architecture::Unknown && class_name.is_none())
            {
                return Err(EngineError::UnsupportedArchitecture { model: index.model, architecture, family });
            }
        }
    }
    Ok(index)
}

/// The files of one component: the plain ones if there are any, else the half-precision variant; shards together.
fn weight_files<'a>(model: &'a [ModelFile], folder: &str, stem: &str) -> Vec<&'a ModelFile> {
    for variant in ["", ".fp16"] {
        let is_part = |file: &&ModelFile| {
            let name = file.name.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            let middle = name.and_then(|name| name.strip_prefix(stem)?.strip_suffix(".safetensors"));
            middle.is_some_and(|middle| {
                // A shard's number stands before the variant in older repositories, behind it in newer ones.
                let shard = middle.strip_prefix(variant).or_else(|| middle.strip_suffix(variant));
                shard.is_some_and(|shard| shard.is_empty() || is_shard_number(shard))
            })
        };
        let parts: Vec<_> = model.iter().filter(is_part).collect();
        let whole: Vec<_> = parts.iter().copied().filter(|file| !file.name.contains("-of-")).collect();
        if !whole.is_empty() {
            return whole;
        }
        if !parts.is_empty() {
            return parts;
        }
    }
    Vec::new()
}

/// `-00001-of-00002`.
fn is_shard_number(text: &str) -> bool {
    let numbers = text.strip_prefix('-').and_then(|text| text.split_once("-of-"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(number, count)| is_number(number) && is_number(count))
}

/// One file with everything in it, as model sites hand them out.
fn from_single_file(model: &[ModelFile]) -> Result<Index, EngineError> {
    let mut refusal = None;
    for candidate in model.iter().filter(|file| !is_text(&file.name)) {
        match checkpoint(candidate) {
            Ok(index) => return Ok(index),
            // The first refusal is the most telling: pages list their model first.
            Err(error) => drop(refusal.get_or_insert(error)),
        }
    }
    Err(refusal.unwrap_or(EngineError::MissingComponent { component: "weights", looked_for: "a .safetensors file" }))
}

fn checkpoint(candidate: &ModelFile) -> Result<Index, EngineError> {
    let name = candidate.name.as_str();
    let (file, size_bytes) = open(name, &candidate.path)?;
    let inspection = inspect(&mut BufReader::new(file), size_bytes)
        .map_err(|source| EngineError::Inspect { file: name.to_owned(), source: Box::new(source) })?;
    let detected = inspection.detected;
    if !matches!(detected.kind, ModelKind::Checkpoint | ModelKind::Network | ModelKind::Unknown) {
        return Err(EngineError::NotACheckpoint { file: name.to_owned(), kind: detected.kind });
    }
    if detected.architecture != Architecture::Sd1 || inspection.format != FileFormat::Safetensors {
        let (model, architecture, family) = (name.to_owned(), detected.architecture, detected.family);
        return Err(EngineError::UnsupportedArchitecture { model, architecture, family });
    }
    if detected.kind != ModelKind::Checkpoint {
        return Err(EngineError::NotACheckpoint { file: name.to_owned(), kind: detected.kind });
    }
    let file = TensorFile::open(name, &candidate.path)?;
    let recipes = diffusers_recipes(&file.header).map_err(naming(name))?;
    let mut index = empty(name);
    index.metadata.clone_from(&file.header.metadata);
    index.resolution = detected.resolution;
    index.add(file, recipes);
    Ok(index)
}

fn naming(file: &str) -> impl Fn(NameError) -> EngineError {
    move |source| EngineError::Names { file: file.to_owned(), source: Box::new(source) }
}
