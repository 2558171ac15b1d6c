//! What a file's tensor names and shapes prove it to be. Labels, folders and file names are never asked.
//!
//! The most specific question comes first, because families share most of their names. What is not proved stays
//! `Unknown`: a wrong answer would send a person's model to the wrong network, an unknown one only asks for a newer
//! Paintbox. One file answers one question each; `tests/detection` is the proof over files of every family.

mod control;
mod embedding;
mod encoder;
mod listing;
mod lora;
mod marks;
pub(crate) mod quantisation;
mod transformer;
mod unet;
mod upscaler;
mod vae;
mod variant;

pub use listing::Listing;
pub use lora::LoraFacts;
pub use variant::Prediction;

use crate::training::{self, TrainingMetadata};
use listing::Scope;
use paintbox_domain::{Architecture, ModelKind};

/// The answer for one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    pub kind: ModelKind,
    pub architecture: Architecture,
    /// What people call it, where [`Architecture`] has no value of its own: for refusing it by name. Of encoders and
    /// upscalers, which one it is.
    pub family: Option<&'static str>,
    /// Which member of its family, where shapes tell: `inpaint`, `schnell`, `klein_9b`, `3.5_medium` …
    pub variant: Option<&'static str>,
    /// The element type that most weights have: `fp16`, `bf16`, `fp8_e4m3`, `q4_k` …
    pub precision: Option<&'static str>,
    /// How weights were made smaller: `gguf`, `scaled_fp8`, `scaled`, `nf4`, `fp4`, `svdquant`, `gptq`.
    pub quantisation: Option<&'static str>,
    /// Weights in all; counts and packed integers are not counted.
    pub parameters: u64,
    /// What a LoRA changes and how.
    pub lora: Option<LoraFacts>,
    /// What marker tensors say of how the network predicts.
    pub prediction: Prediction,
    /// The title or output name in the file's own metadata.
    pub title: Option<String>,
    /// Width and height, in pixels, that the metadata states as the training size.
    pub resolution: Option<(u32, u32)>,
    /// Channels that a denoising network takes: 4 for latents alone, 9 for inpainting.
    pub in_channels: Option<u32>,
    /// Channels of the latents that a VAE decodes.
    pub latent_channels: Option<u32>,
    /// Architectures whose latents a VAE may be for, as far as shapes tell.
    pub serves: &'static [Architecture],
    /// Whether a text encoder is inside.
    pub has_text_encoder: bool,
    /// Whether a VAE is inside.
    pub has_vae: bool,
    /// What the file's metadata declares about how it was made. Declared, not detected: where the two disagree,
    /// [`Self::architecture`] is right.
    pub declared: TrainingMetadata,
}

/// Whose something is: an architecture, or a name for what has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    architecture: Architecture,
    family: Option<&'static str>,
}

impl Answer {
    const UNKNOWN: Self = Self::of(Architecture::Unknown);

    const fn of(architecture: Architecture) -> Self {
        Self { architecture, family: None }
    }

    const fn named(family: &'static str) -> Self {
        Self { architecture: Architecture::Unknown, family: Some(family) }
    }
}

/// A mixture that nothing can paint with.
const SEVERAL: Answer = Answer::named("tensors of several families");

/// What one question found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Finding {
    kind: ModelKind,
    architecture: Architecture,
    family: Option<&'static str>,
    variant: Option<&'static str>,
    in_channels: Option<u32>,
    latent_channels: Option<u32>,
    serves: &'static [Architecture],
}

impl Finding {
    const fn new(kind: ModelKind, architecture: Architecture) -> Self {
        Self { kind, architecture, family: None, variant: None, in_channels: None, latent_channels: None, serves: &[] }
    }

    const fn of(kind: ModelKind, answer: Answer) -> Self {
        Self { family: answer.family, ..Self::new(kind, answer.architecture) }
    }

    const fn named(kind: ModelKind, family: &'static str) -> Self {
        Self::of(kind, Answer::named(family))
    }

    /// The same with a name.
    const fn called(self, family: &'static str) -> Self {
        Self { family: Some(family), ..self }
    }
}

/// What may precede a denoising network's names: checkpoints, repacks of several tools, nothing.
const NETWORK_PREFIXES: [&str; 8] =
    ["model.diffusion_model.", "diffusion_model.", "model.model.", "model.", "net.", "unet.", "transformer.", ""];

/// Says what the tensors are.
#[must_use]
pub fn detect(listing: &Listing<'_>) -> Detected {
    let Found { finding, lora, has_text_encoder, has_vae } = find(listing);
    let (precision, parameters) = listing.measure();
    let is_model = matches!(finding.kind, ModelKind::Checkpoint | ModelKind::Network);
    Detected {
        kind: finding.kind,
        architecture: finding.architecture,
        family: finding.family,
        variant: finding.variant,
        precision,
        quantisation: if lora.is_some() { None } else { quantisation::find(listing) },
        parameters,
        lora,
        prediction: if is_model { variant::prediction(listing) } else { Prediction::default() },
        title: training::title(listing.metadata()),
        resolution: training::resolution(listing.metadata()),
        in_channels: finding.in_channels,
        latent_channels: finding.latent_channels,
        serves: finding.serves,
        has_text_encoder,
        has_vae,
        declared: TrainingMetadata::read(listing.metadata()),
    }
}

/// What all questions together found out.
struct Found {
    finding: Finding,
    lora: Option<LoraFacts>,
    has_text_encoder: bool,
    has_vae: bool,
}

impl Found {
    /// An adapter, which has no parts of a model inside.
    const fn adapter(finding: Finding, lora: Option<LoraFacts>) -> Self {
        Self { finding, lora, has_text_encoder: false, has_vae: false }
    }
}

fn find(listing: &Listing<'_>) -> Found {
    if let Some(finding) = control::find(listing) {
        return Found::adapter(finding, None);
    }
    if let Some(found) = lora::find(listing) {
        return Found::adapter(found.finding, Some(found.facts));
    }
    if let Some(finding) = control::other_adapters(listing) {
        return Found::adapter(finding, None);
    }
    let (vae, encoder) = (vae::find(listing), encoder::find(listing));
    let has_text_encoder = encoder::is_inside(listing, encoder.as_ref());
    let is_whole = has_text_encoder || vae.is_some();
    let finding = network(listing)
        // A network that comes with a text encoder or a VAE is a checkpoint.
        .map(|finding| if is_whole { Finding { kind: ModelKind::Checkpoint, ..finding } } else { finding })
        .or(vae)
        .or(encoder)
        .or_else(|| upscaler::find(listing))
        .or_else(|| embedding::find(listing))
        .unwrap_or(Finding::new(ModelKind::Unknown, Architecture::Unknown));
    Found { finding, lora: None, has_text_encoder, has_vae: vae.is_some() }
}

/// The denoising network, behind whichever prefix. Networks of several families in one file are a mixture that nothing
/// can paint with, so nothing is said of it.
fn network(listing: &Listing<'_>) -> Option<Finding> {
    let mut found: Option<Finding> = None;
    for prefix in NETWORK_PREFIXES {
        if !prefix.is_empty() && !listing.any(prefix) {
            continue;
        }
        let scope = listing.scope(prefix);
        for finding in [unet::find(&scope), transformer::find(&scope)].into_iter().flatten() {
            match found {
                Some(other) if (other.architecture, other.family) != (finding.architecture, finding.family) => {
                    return Some(Finding::of(ModelKind::Network, SEVERAL));
                }
                Some(_) => {}
                None => found = Some(finding),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
