//! Which file holds which weight: one view over a diffusers folder and over a single LDM file, by diffusers' names.

use super::config::PipelineConfig;
use super::config::parse;
use super::family::Family;
use super::file::{TensorFile, open, read_text};
use super::lora::Merges;
use super::weights::TensorSource;
use crate::error::EngineError;
use crate::sample::Prediction as Predicted;
use candle_core::{Device, Tensor};
use paintbox_domain::generation::ModelFile;
use paintbox_domain::{Architecture, FileFormat, ModelKind};
use paintbox_weights::safetensors::TensorInfo;
use paintbox_weights::stable_diffusion::{
    Component, DimsError, NameError, Parameters, Part, Recipes, Take, UnetDims, canonical_shapes, component_recipes,
    diffusers_recipes, unet_recipes, vae_recipes,
};
use paintbox_weights::{Header, Listing, Prediction, detect, inspect};
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;

/// What every released network of the families is as wide as at full resolution, or wider.
const RELEASED_CHANNELS: usize = 320;
pub(super) const PIPELINE_FILE: &str = "model_index.json";

/// Where one weight lies.
#[derive(Debug, Clone)]
struct Place {
    file: usize,
    /// The name in the file.
    source: String,
    info: TensorInfo,
    take: Take,
    /// Under its canonical name; the file may keep a linear layer as a 1×1 convolution, or turned around.
    shape: Vec<usize>,
}

/// The weights of a model by component and canonical name, and the texts beside them.
#[derive(Debug)]
pub(crate) struct Index {
    files: Vec<TensorFile>,
    places: BTreeMap<(Component, String), Place>,
    texts: Vec<ModelFile>,
    /// What tensors prove, where they prove one.
    pub(crate) architecture: Option<Architecture>,
    /// What marker tensors say of how the network predicts.
    pub(crate) prediction: Prediction,
    /// `modelspec.*` and whatever else a single file says of itself.
    pub(crate) metadata: BTreeMap<String, String>,
    /// Pixels, width first, as a single file's metadata states them.
    pub(crate) resolution: Option<(u32, u32)>,
    /// How messages speak of the model.
    pub(crate) model: String,
}

/// # Errors
/// When the files are not a Stable Diffusion model, are broken, or lack the UNet.
pub(crate) fn index(model: &[ModelFile]) -> Result<Index, EngineError> {
    let is_folder = model.iter().any(|file| file.name == PIPELINE_FILE)
        || model.iter().any(|file| file.name.starts_with("unet/") && is_safetensors(file));
    let mut index = if is_folder { from_folder(model)? } else { from_single_file(model)? };
    index.texts = model.iter().filter(|file| is_text(&file.name)).cloned().collect();
    Ok(index)
}

/// What `model_index.json` may call itself.
const PIPELINES: [&str; 8] = [
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionInstructPix2PixPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
    "StableDiffusionXLInstructPix2PixPipeline",
];

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
            let Some(shape) = recipe.take.applied_to(&info.shape) else { continue };
            let mut info = info.clone();
            if let Take::Rows { part, of } = recipe.take {
                let bytes = (info.end - info.start) / of as u64;
                info.start += part as u64 * bytes;
                info.end = info.start + bytes;
            }
            let place = Place { file: number, source: recipe.source, info, take: recipe.take, shape };
            self.places.insert(key, place);
        }
        self.files.push(file);
    }

    /// The same with the VAE of another file, in the place of its own if it has one.
    ///
    /// # Errors
    /// When the file is broken or holds no VAE.
    pub(crate) fn with_vae(self, vae: &ModelFile) -> Result<Self, EngineError> {
        let file = TensorFile::open(&vae.name, &vae.path)?;
        let recipes = vae_recipes(&file.header).map_err(naming(&vae.name))?;
        Ok(self.with_other(file, recipes))
    }

    /// The same with the components that `recipes` make of another file, in the place of its own if it has them.
    pub(super) fn with_other(mut self, file: TensorFile, recipes: Recipes) -> Self {
        let given: BTreeSet<Component> = recipes.keys().map(|(component, _)| *component).collect();
        self.places.retain(|(component, _), _| !given.contains(component));
        self.add(file, recipes);
        self
    }

    pub(crate) fn has(&self, component: Component) -> bool {
        self.places.keys().any(|(of, _)| *of == component)
    }

    /// # Errors
    /// [`EngineError::MissingComponent`] when the model lacks the component.
    pub(crate) fn require(&self, component: Component) -> Result<(), EngineError> {
        let looked_for = match component {
            Component::Unet => "unet/diffusion_pytorch_model.safetensors, or a checkpoint with a UNet",
            Component::TextEncoder => {
                "text_encoder/model.safetensors or one in its checkpoint; --text-encoder names another"
            }
            Component::TextEncoder2 => {
                "text_encoder_2/model.safetensors or both in its checkpoint; --text-encoder names another"
            }
            Component::Vae => "vae/diffusion_pytorch_model.safetensors or one in its checkpoint; --vae names another",
        };
        if self.has(component) {
            return Ok(());
        }
        Err(EngineError::MissingComponent { component: component_name(component), looked_for })
    }

    /// What a network of 2.x predicts, which nothing in a single file says: the shifts of one of its norms spread
    /// farther in those that predict velocity (Comfy-Org/ComfyUI `comfy/supported_models.py` at a125cd84,
    /// `SD20.model_type`).
    pub(crate) fn sd2_prediction(&self) -> Result<Predicted, EngineError> {
        const TELLING: &str = "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias";
        const LEAST_OF_VELOCITY: f64 = 0.09;
        let Some(place) = self.places.get(&(Component::Unet, TELLING.to_owned())) else { return Ok(Predicted::Noise) };
        let values = self.files[place.file].read(&place.source, &place.info)?;
        let count = values.len().max(1) as f64;
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
        Ok(if variance.sqrt() > LEAST_OF_VELOCITY { Predicted::Velocity } else { Predicted::Noise })
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
        if place.take == Take::Transpose {
            let outputs = wanted.first().copied().unwrap_or_default();
            values = transposed(&values, outputs);
        }
        self.merges.apply(&key, wanted, &mut values)?;
        Tensor::from_vec(values, wanted, &Device::Cpu).map_err(EngineError::computing("holding a tensor"))
    }
}

/// Rows for columns of a matrix that is kept with `columns` of them.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns)).copied().collect()
}

pub(crate) fn component_name(component: Component) -> &'static str {
    match component {
        Component::TextEncoder => "text encoder",
        Component::TextEncoder2 => "second text encoder",
        Component::Unet => "UNet",
        Component::Vae => "VAE",
    }
}

fn empty(model: &str) -> Index {
    Index {
        files: Vec::new(),
        places: BTreeMap::new(),
        texts: Vec::new(),
        architecture: None,
        prediction: Prediction::default(),
        metadata: BTreeMap::new(),
        resolution: None,
        model: model.to_owned(),
    }
}

/// The folder of a Stable Diffusion pipeline.
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
        && !PIPELINES.contains(&class_name.as_str())
    {
        let (file, class_name) = (PIPELINE_FILE.to_owned(), class_name.clone());
        return Err(EngineError::UnsupportedPipeline { file, class_name });
    }

    let mut index = empty("the model");
    for (component, stem) in [
        (Component::Unet, "diffusion_pytorch_model"),
        (Component::TextEncoder, "model"),
        (Component::TextEncoder2, "model"),
        (Component::Vae, "diffusion_pytorch_model"),
    ] {
        let parts = weight_files(model, component.as_str(), stem);
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
            if Family::of(architecture).is_some() {
                index.architecture = Some(architecture);
            } else if architecture != Architecture::Unknown || class_name.is_none() {
                return Err(EngineError::UnsupportedArchitecture { model: index.model, architecture, family });
            }
        }
    }
    index.require(Component::Unet)?;
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
    let unsupported = || {
        let (model, architecture, family) = (name.to_owned(), detected.architecture, detected.family);
        EngineError::UnsupportedArchitecture { model, architecture, family }
    };
    // Of a small network alone nothing is proved, and what is named beside it decides.
    let is_unproved = detected.kind == ModelKind::Network
        && detected.architecture == Architecture::Unknown
        && detected.family.is_none();
    let is_known = Family::of(detected.architecture).is_some() || is_unproved;
    if !is_known || inspection.format != FileFormat::Safetensors {
        return Err(unsupported());
    }
    let file = TensorFile::open(name, &candidate.path)?;
    let recipes = match detected.kind {
        ModelKind::Checkpoint => diffusers_recipes(&file.header),
        // The rest may be named beside it.
        ModelKind::Network => unet_recipes(&file.header),
        kind => return Err(EngineError::NotACheckpoint { file: name.to_owned(), kind }),
    };
    let recipes = recipes.map_err(naming(name))?;
    if is_unproved {
        let parameters = canonical_shapes(&file.header, &recipes);
        let unet = Part { parameters: &parameters, component: Component::Unet };
        let dims = UnetDims::from_tensors(&unet).map_err(|_| unsupported())?;
        if dims.block_out_channels.first().is_none_or(|channels| *channels >= RELEASED_CHANNELS) {
            return Err(unsupported());
        }
    }
    let mut index = empty(name);
    index.metadata.clone_from(&file.header.metadata);
    index.resolution = detected.resolution;
    index.architecture = Some(detected.architecture).filter(|_| !is_unproved);
    index.prediction = detected.prediction;
    index.add(file, recipes);
    Ok(index)
}

pub(super) fn naming(file: &str) -> impl Fn(NameError) -> EngineError {
    move |source| EngineError::Names { file: file.to_owned(), source: Box::new(source) }
}

pub(super) fn sizing(component: Component) -> impl Fn(DimsError) -> EngineError {
    move |source| EngineError::Dims { component: component_name(component), source }
}
