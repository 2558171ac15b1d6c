//! What the families of UNets differ by where neither tensors nor configuration say so.

use crate::error::EngineError;
use paintbox_domain::Architecture;
use paintbox_weights::stable_diffusion::{Component, Middle, UnetDims};

/// A family that is painted with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Family {
    pub(crate) architecture: Architecture,
    pub(crate) text_encoders: &'static [Component],
    /// Whether the final norm of the text encoder follows its states, whatever layer they are of.
    pub(crate) normed_states: bool,
    /// The layer of the states, as A1111 counts: 1 is the last. No smaller one is taken.
    pub(crate) clip_skip: u32,
    /// Heads of the UNet's attention, or `None` for heads of 64 channels.
    pub(crate) heads: Option<usize>,
    /// The standard deviation of the latents is one over this.
    pub(crate) latent_scaling: f64,
    pub(crate) side_pixels: u32,
    pub(crate) guidance: f32,
    pub(crate) sizes: Option<AddedSizes>,
    /// Whether an empty negative prompt means no states at all, as the released models were trained.
    pub(crate) zero_negative: bool,
}

/// Numbers that XL's networks are told beside the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddedSizes {
    /// Height and width of the original, top and left of the crop, height and width of the picture.
    Xl,
    /// Height and width of the original, top and left of the crop, how well a picture should be liked.
    Refiner,
}

impl AddedSizes {
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::Xl => 6,
            Self::Refiner => 5,
        }
    }
}

const SD1: Family = Family {
    architecture: Architecture::Sd1,
    text_encoders: &[Component::TextEncoder],
    normed_states: true,
    clip_skip: 1,
    heads: Some(8),
    latent_scaling: 0.18215,
    side_pixels: 512,
    guidance: 7.0,
    sizes: None,
    zero_negative: false,
};

const XL: Family = Family {
    architecture: Architecture::Sdxl,
    text_encoders: &[Component::TextEncoder, Component::TextEncoder2],
    normed_states: false,
    clip_skip: 2,
    heads: None,
    latent_scaling: 0.13025,
    side_pixels: 1024,
    guidance: 5.0,
    sizes: Some(AddedSizes::Xl),
    zero_negative: true,
};

/// The architectures of which there is a [`Family`].
pub(crate) fn painted() -> impl Iterator<Item = Architecture> {
    Architecture::ALL.iter().copied().filter(|architecture| Family::of(*architecture).is_some())
}

impl Family {
    /// The family of an architecture that headers proved; `None` for one that is not painted with.
    pub(crate) fn of(architecture: Architecture) -> Option<Self> {
        Some(match architecture {
            Architecture::Sd1 => SD1,
            Architecture::Sd2 => Self { architecture, heads: None, ..SD1 },
            Architecture::Sdxl | Architecture::Ssd1b | Architecture::SegmindVega | Architecture::Koala => {
                Self { architecture, ..XL }
            }
            Architecture::SdxlRefiner => Self {
                architecture,
                text_encoders: &[Component::TextEncoder2],
                sizes: Some(AddedSizes::Refiner),
                zero_negative: false,
                ..XL
            },
            _ => return None,
        })
    }

    /// The family that the networks of a folder can only be of, for models of sizes that no released one has.
    pub(crate) fn of_structure(
        dims: &UnetDims,
        has_text_encoder: bool,
        has_text_encoder_2: bool,
    ) -> Result<Self, EngineError> {
        let architecture = match (dims.added_inputs, has_text_encoder, has_text_encoder_2) {
            (None, true, false) if dims.use_linear_projection => Architecture::Sd2,
            (None, true, false) => Architecture::Sd1,
            (Some(_), true, true) if matches!(dims.middle, Middle::Attention { .. }) => Architecture::Sdxl,
            (Some(_), true, true) => Architecture::Ssd1b,
            (Some(_), false, true) => Architecture::SdxlRefiner,
            (None, ..) | (Some(_), ..) => {
                let problem = "its text encoders are not those of any known family";
                return Err(EngineError::Blueprint { component: "model", problem });
            }
        };
        Ok(Self::of(architecture).unwrap_or(SD1))
    }
}
