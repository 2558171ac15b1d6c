//! What a model can be asked for, told from its files' headers while something else may be painted.

use super::{ControlNetFile, LoraFile, ModelFile, PaintSettings, Sampler, Schedule};
use crate::kind::closed_names;
use crate::{Architecture, Failure};

closed_names! {
    /// What a network was trained to say of noisy latents.
    PredictionType {
        /// Their noise.
        Epsilon = "epsilon",
        /// Their velocity (Salimans and Ho 2022).
        Velocity = "v_prediction",
    }
}

closed_names! {
    /// What a network sees beside the prompt.
    NetworkInputs {
        Latents = "latents",
        /// Latents, a mask, and what is not masked of a picture.
        Inpainting = "inpainting",
        /// Latents, and a picture that is to be changed as the prompt says.
        Editing = "editing",
    }
}

closed_names! {
    /// What can be asked of some models and not of others.
    Feature {
        /// A picture from nothing but a prompt.
        TextToImage = "text_to_image",
        NegativePrompt = "negative_prompt",
        ImageToImage = "image_to_image",
        Inpainting = "inpainting",
        /// A second pass at a larger size.
        Hires = "hires",
        ControlNets = "control_nets",
        Loras = "loras",
        TextualInversions = "textual_inversions",
        Variations = "variations",
        /// Looks at the picture while it is painted.
        Previews = "previews",
        /// Making finished pictures larger.
        Upscaling = "upscaling",
    }
}

/// What a model that is on disk can be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Capabilities {
    pub architecture: Architecture,
    pub prediction: PredictionType,
    pub inputs: NetworkInputs,
    /// What it is painted with when nothing is said.
    pub defaults: PaintSettings,
    pub samplers: Vec<Sampler>,
    pub schedules: Vec<Schedule>,
    /// Width and height must be multiples of this, in pixels.
    pub size_multiple: u32,
    /// The largest clip skip: the layers of its shallowest text encoder.
    pub largest_clip_skip: u32,
    /// The most bytes of memory that one picture as by default takes; 0 where that cannot be told.
    pub planned_bytes: u64,
    /// Bytes of memory that there are for it now.
    pub memory_limit_bytes: u64,
    /// Those that it has.
    pub features: Vec<Feature>,
    pub refused: Vec<Refusal>,
}

/// Something that is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub what: Refused,
    pub failure: Failure,
}

/// What is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Feature(Feature),
    /// Even one picture as by default.
    Painting,
}

impl Refused {
    /// The stable name, as sent and printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Feature(feature) => feature.as_str(),
            Self::Painting => "painting",
        }
    }
}

/// Something that is used together with a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Adapter {
    Lora(LoraFile),
    ControlNet(ControlNetFile),
}

/// A look at files' headers beside the engine: it waits for no painting, and reads no weights.
pub trait Inspector: Send + Sync {
    /// # Errors
    /// When the files are not a model that the engine paints with.
    fn capabilities(&self, model: &[ModelFile]) -> Result<Capabilities, Failure>;

    /// Of each adapter, why it does not fit the model, if it does not.
    ///
    /// # Errors
    /// When the files are not a model that the engine paints with.
    fn misfits(&self, model: &[ModelFile], adapters: &[Adapter]) -> Result<Vec<Option<Failure>>, Failure>;
}
