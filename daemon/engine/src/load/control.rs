//! ControlNets from diffusers' files and from those of ControlNet's own repository: what they look like, whether they fit
//! a model, and their weights.

use super::blueprint::Blueprint;
use super::config::{ControlNetConfig, parse};
use super::file::{TensorFile, open, read_text};
use super::weights::{TensorSource, Weights};
use crate::device::Precision;
use crate::error::EngineError;
use crate::networks::{ControlNet, ControlNetShape, Level, UnetShape};
use candle_core::{Device, Tensor};
use paintbox_domain::generation::ControlNetFile;
use paintbox_domain::{Architecture, ModelKind, Sha256};
use paintbox_weights::inspect;
use paintbox_weights::stable_diffusion::{ControlNetDims, control_net_names};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::BufReader;

/// A ControlNet that fits a model, before its weights are read.
#[derive(Debug)]
pub(crate) struct ControlNetPlan {
    pub(crate) sha256: Sha256,
    pub(crate) shape: ControlNetShape,
    source: Source,
}

/// Canonical names and where they lie.
#[derive(Debug)]
struct Source {
    file: TensorFile,
    names: BTreeMap<String, String>,
}

impl TensorSource for Source {
    fn read(&self, name: &str, wanted: &[usize]) -> Result<Tensor, EngineError> {
        let Some(source) = self.names.get(name) else {
            return Err(EngineError::MissingTensor { component: "ControlNet", tensor: name.to_owned() });
        };
        self.file.tensor("ControlNet", source, wanted)
    }
}

impl ControlNetPlan {
    /// # Errors
    /// When the file is broken, no ControlNet, one of a kind that is not built, or one for another model.
    pub(crate) fn new(control: &ControlNetFile, blueprint: &Blueprint) -> Result<Self, EngineError> {
        let name = control.name.as_str();
        let (file, size_bytes) = open(name, &control.path)?;
        let inspection = inspect(&mut BufReader::new(file), size_bytes)
            .map_err(|source| EngineError::Inspect { file: name.to_owned(), source: Box::new(source) })?;
        let detected = inspection.detected;
        let unsupported = |form: &'static str| EngineError::UnsupportedControl { file: name.to_owned(), form };
        match (detected.variant, detected.family) {
            (Some("union"), _) => return Err(unsupported("a union ControlNet")),
            (Some("control_lora"), _) => return Err(unsupported("a Control-LoRA")),
            (_, Some("T2I-Adapter")) => return Err(unsupported("a T2I-Adapter")),
            (_, Some("IP-Adapter")) => return Err(unsupported("an IP-Adapter")),
            _ => {}
        }
        let file = TensorFile::open(name, &control.path)?;
        if file.header.tensors.contains_key("difference") {
            return Err(unsupported("the difference of a ControlNet from the network it was trained beside"));
        }
        let names = control_net_names(&file.header);
        if !names.contains_key("controlnet_mid_block.weight") {
            let (file, architecture) = (name.to_owned(), detected.architecture);
            return Err(match detected.kind {
                ModelKind::ControlNet => mismatch(&file, "network", architecture, blueprint.architecture),
                kind => EngineError::NotAControlNet { file, kind },
            });
        }
        let shapes: BTreeMap<String, Vec<usize>> = names
            .iter()
            .filter_map(|(name, source)| Some((name.clone(), file.header.tensors.get(source)?.shape.clone())))
            .collect();
        let dims = ControlNetDims::from_tensors(&shapes)
            .map_err(|source| EngineError::Dims { component: "ControlNet", source })?;
        let config = match &control.config {
            Some(config) => Some(read_text(&config.name, &config.path)?),
            None => None,
        };
        let config: ControlNetConfig = parse(config.as_deref(), name)?;
        config.check(name)?;
        let shape = fitting(name, &dims, detected.architecture, blueprint)?;
        let shape = ControlNetShape { pooled: config.global_pool_conditions.unwrap_or_default(), ..shape };
        Ok(Self { sha256: control.sha256, shape, source: Source { file, names } })
    }

    pub(crate) fn load(&self, device: &Device, precision: Precision) -> Result<ControlNet, EngineError> {
        ControlNet::load(&Weights::new(&self.source, device).computing_in(precision), &self.shape)
    }

    /// How many values its weights are.
    pub(crate) fn parameters(&self) -> u64 {
        let weights = self.source.names.values().filter_map(|name| self.source.file.header.tensors.get(name));
        weights.map(|info| info.shape.iter().map(|side| *side as u64).product::<u64>()).sum()
    }
}

fn mismatch(file: &str, part: &'static str, given: impl Debug, wanted: impl Debug) -> EngineError {
    let (given, wanted) = (format!("{given:?}"), format!("{wanted:?}"));
    EngineError::ControlMismatch { file: file.to_owned(), part, given, wanted }
}

/// The ControlNet's shape, if what it adds fits the model's network: as many and as wide feature maps, made from the same
/// inputs. How it attends to the prompt is its own.
fn fitting(
    file: &str,
    dims: &ControlNetDims,
    architecture: Architecture,
    blueprint: &Blueprint,
) -> Result<ControlNetShape, EngineError> {
    let unet = &blueprint.unet;
    let channels: Vec<usize> = unet.levels.iter().map(|level| level.channels).collect();
    if dims.cross_attention_dim.is_some_and(|width| width != unet.context) || dims.added_inputs != unet.added {
        let is_told = architecture != Architecture::Unknown && architecture != blueprint.architecture;
        return Err(if is_told {
            mismatch(file, "architecture", architecture, blueprint.architecture)
        } else {
            let inputs = |context: Option<usize>, added| (context, added);
            let (given, wanted) =
                (inputs(dims.cross_attention_dim, dims.added_inputs), inputs(Some(unet.context), unet.added));
            mismatch(file, "widths of prompts and sizes", given, wanted)
        });
    }
    if dims.block_out_channels != channels {
        return Err(mismatch(file, "channels", &dims.block_out_channels, channels));
    }
    let slots = |depths: &[Vec<usize>]| depths.iter().map(Vec::len).collect::<Vec<_>>();
    let wanted: Vec<usize> = unet.levels.iter().map(|level| level.down.len()).collect();
    if slots(&dims.depth) != wanted {
        return Err(mismatch(file, "blocks", slots(&dims.depth), wanted));
    }
    let (latents, factor) = (blueprint.vae.latent_channels, blueprint.vae.factor());
    if dims.in_channels != latents {
        return Err(mismatch(file, "latent channels", dims.in_channels, latents));
    }
    if dims.image_channels != 3 || dims.hint_channels.len() > 8 || 1 << (dims.hint_channels.len() - 1) != factor {
        let given = (dims.image_channels, dims.hint_channels.len());
        return Err(mismatch(file, "channels and levels of its picture", given, (3, factor.ilog2() + 1)));
    }
    let levels = unet.levels.iter().zip(&dims.depth);
    let levels = levels.map(|(level, down)| Level { down: down.clone(), up: Vec::new(), ..level.clone() }).collect();
    let trunk = UnetShape { in_channels: latents, levels, middle: dims.middle, ..unet.clone() };
    let (image_channels, hint) = (dims.image_channels, dims.hint_channels.clone());
    Ok(ControlNetShape { trunk, image_channels, hint, pooled: false })
}
