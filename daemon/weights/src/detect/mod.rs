//! What a file's tensor names and shapes prove it to be. Labels, folders and file names are never asked.
//!
//! The most specific question comes first, because families share most of their names. What is not proved stays
//! `Unknown`: a wrong answer would send a person's model to the wrong network, an unknown one only asks for a newer
//! Paintbox. The facts are the discriminating keys that ComfyUI, InvokeAI and stable-diffusion.cpp look for too.

mod lora;
mod parts;
mod transformer;
mod unet;

use crate::gguf;
use crate::safetensors::{Dtype, Header};
use crate::shapes::TensorShapes;
use paintbox_domain::{Architecture, ModelKind};
use std::collections::BTreeMap;

/// The answer for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    pub kind: ModelKind,
    pub architecture: Architecture,
    /// What people call it, where [`Architecture`] has no value of its own: for refusing it by name.
    pub family: Option<&'static str>,
    /// The element type that most weights have: `fp16`, `bf16`, `fp8_e4m3`, `q4_k` …
    pub precision: Option<String>,
    /// Weights in all; counts and packed integers are not counted.
    pub parameters: u64,
    /// The largest rank of a LoRA's modules.
    pub lora_rank: Option<u32>,
    /// The title or output name in the file's own metadata.
    pub title: Option<String>,
    /// Width and height, in pixels, that the metadata states as the training size.
    pub resolution: Option<(u32, u32)>,
    /// Channels that a denoising network takes: 4 for latents alone, 9 for inpainting.
    pub in_channels: Option<u32>,
    /// Whether a text encoder is inside.
    pub has_text_encoder: bool,
    /// Whether a VAE is inside.
    pub has_vae: bool,
}

/// What one question found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Finding {
    kind: ModelKind,
    architecture: Architecture,
    family: Option<&'static str>,
    in_channels: Option<u32>,
}

impl Finding {
    fn new(kind: ModelKind, architecture: Architecture) -> Self {
        Self { kind, architecture, family: None, in_channels: None }
    }

    fn named(kind: ModelKind, family: &'static str) -> Self {
        Self { kind, architecture: Architecture::Unknown, family: Some(family), in_channels: None }
    }
}

/// Tensor names and shapes, whatever the container.
#[derive(Debug, Clone)]
pub struct Listing<'a> {
    shapes: BTreeMap<&'a str, &'a [usize]>,
    metadata: &'a BTreeMap<String, String>,
    precision: Option<&'static str>,
    parameters: u64,
}

impl TensorShapes for Listing<'_> {
    fn shape_of(&self, name: &str) -> Option<&[usize]> {
        self.shapes.get(name).copied()
    }
}

impl<'a> Listing<'a> {
    #[must_use]
    pub fn of_safetensors(header: &'a Header) -> Self {
        let mut elements: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut parameters = 0_u64;
        for info in header.tensors.values() {
            let count = info.elements();
            if info.dtype.is_float() {
                parameters = parameters.saturating_add(count);
            }
            if let Some(precision) = precision_name(info.dtype) {
                let sum = elements.entry(precision).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        Self {
            shapes: header.tensors.iter().map(|(name, info)| (name.as_str(), info.shape.as_slice())).collect(),
            metadata: &header.metadata,
            precision: most(&elements),
            parameters,
        }
    }

    #[must_use]
    pub fn of_gguf(header: &'a gguf::Header) -> Self {
        let mut elements: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut parameters = 0_u64;
        for info in header.tensors.values() {
            let count = info.shape.iter().fold(1_u64, |product, &size| product.saturating_mul(size as u64));
            parameters = parameters.saturating_add(count);
            let sum = elements.entry(info.ggml_type.as_str()).or_default();
            *sum = sum.saturating_add(count);
        }
        Self {
            shapes: header.tensors.iter().map(|(name, info)| (name.as_str(), info.shape.as_slice())).collect(),
            metadata: &header.metadata,
            precision: most(&elements),
            parameters,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    fn any(&self, prefix: &str) -> bool {
        self.shapes.range(prefix..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        self.shapes.keys().copied()
    }

    fn tensors(&self) -> impl Iterator<Item = (&'a str, &'a [usize])> {
        self.shapes.iter().map(|(name, shape)| (*name, *shape))
    }

    fn scope(&self, prefix: &'static str) -> Scope<'_, 'a> {
        Scope { listing: self, prefix }
    }
}

/// A listing seen from behind a prefix.
#[derive(Debug, Clone, Copy)]
struct Scope<'l, 'a> {
    listing: &'l Listing<'a>,
    prefix: &'static str,
}

impl<'a> Scope<'_, 'a> {
    fn has(&self, name: &str) -> bool {
        self.listing.has(&self.full(name))
    }

    fn any(&self, prefix: &str) -> bool {
        self.listing.any(&self.full(prefix))
    }

    fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.listing.shapes.get(self.full(name).as_str()).copied()
    }

    /// One dimension of a tensor, if the tensor is there and has it.
    fn dim(&self, name: &str, axis: usize) -> Option<usize> {
        self.shape(name)?.get(axis).copied()
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// What may precede a denoising network's names: checkpoints, repacks of several tools, nothing.
const NETWORK_PREFIXES: [&str; 7] =
    ["model.diffusion_model.", "diffusion_model.", "model.model.", "net.", "unet.", "transformer.", ""];

/// Says what the tensors are.
#[must_use]
pub fn detect(listing: &Listing<'_>) -> Detected {
    let finding = find(listing);
    let is_lora = finding.kind == ModelKind::Lora;
    Detected {
        kind: finding.kind,
        architecture: finding.architecture,
        family: finding.family,
        precision: listing.precision.map(str::to_owned),
        parameters: listing.parameters,
        lora_rank: if is_lora { lora::rank(listing) } else { None },
        title: title(listing.metadata),
        resolution: resolution(listing.metadata),
        in_channels: finding.in_channels,
        has_text_encoder: parts::has_text_encoder(listing),
        has_vae: parts::has_vae(listing),
    }
}

fn find(listing: &Listing<'_>) -> Finding {
    None.or_else(|| parts::control(listing))
        .or_else(|| lora::find(listing))
        .or_else(|| parts::other_adapters(listing))
        .or_else(|| {
            NETWORK_PREFIXES.iter().find_map(|prefix| {
                let scope = listing.scope(prefix);
                unet::find(&scope).or_else(|| transformer::find(&scope)).map(|finding| complete(finding, listing))
            })
        })
        .or_else(|| parts::vae(listing))
        .or_else(|| parts::text_encoder(listing))
        .or_else(|| parts::upscaler(listing))
        .or_else(|| parts::textual_inversion(listing))
        .unwrap_or(Finding::new(ModelKind::Unknown, Architecture::Unknown))
}

/// A network that comes with a text encoder or a VAE is a checkpoint.
fn complete(finding: Finding, listing: &Listing<'_>) -> Finding {
    let is_checkpoint =
        finding.kind == ModelKind::Network && (parts::has_text_encoder(listing) || parts::has_vae(listing));
    if is_checkpoint { Finding { kind: ModelKind::Checkpoint, ..finding } } else { finding }
}

fn most(elements: &BTreeMap<&'static str, u64>) -> Option<&'static str> {
    elements.iter().max_by_key(|(_, count)| **count).map(|(name, _)| *name)
}

/// Types that hold weights; counts such as `position_ids` say nothing about precision.
fn precision_name(dtype: Dtype) -> Option<&'static str> {
    match dtype {
        Dtype::F64 => Some("fp64"),
        Dtype::F32 => Some("fp32"),
        Dtype::F16 => Some("fp16"),
        Dtype::BF16 => Some("bf16"),
        Dtype::F8E4M3 | Dtype::F8E4M3Fnuz => Some("fp8_e4m3"),
        Dtype::F8E5M2 | Dtype::F8E5M2Fnuz => Some("fp8_e5m2"),
        Dtype::F6E2M3 | Dtype::F6E3M2 => Some("fp6"),
        Dtype::F4 => Some("fp4"),
        Dtype::I8 => Some("int8"),
        Dtype::U8 => Some("uint8"),
        Dtype::Bool
        | Dtype::F8E8M0
        | Dtype::I16
        | Dtype::U16
        | Dtype::I32
        | Dtype::U32
        | Dtype::C64
        | Dtype::I64
        | Dtype::U64 => None,
    }
}

fn title(metadata: &BTreeMap<String, String>) -> Option<String> {
    const KEPT_CHARACTERS: usize = 200;
    ["modelspec.title", "general.name", "ss_output_name", "name"].iter().find_map(|key| {
        let title: String =
            metadata.get(*key)?.chars().filter(|character| !character.is_control()).take(KEPT_CHARACTERS).collect();
        let title = title.trim();
        (!title.is_empty()).then(|| title.to_owned())
    })
}

/// `1024x768` (modelspec) or `(512, 512)` and `512,512` (kohya).
fn resolution(metadata: &BTreeMap<String, String>) -> Option<(u32, u32)> {
    const LARGEST_SIDE_PIXELS: u32 = 65_536;
    ["modelspec.resolution", "ss_resolution"].iter().find_map(|key| {
        let text = metadata.get(*key)?.trim().trim_start_matches('(').trim_end_matches(')');
        let (width, height) = text.split_once(['x', 'X', ','])?;
        let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=LARGEST_SIDE_PIXELS).contains(side));
        Some((side(width)?, side(height)?))
    })
}

#[cfg(test)]
mod tests;
