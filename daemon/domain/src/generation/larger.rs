//! Larger pictures: finished ones that an upscaler enlarges, and a second pass at a larger size over a first one.

use super::names::plain;
use super::{Sampler, Schedule};
use crate::kind::closed_names;

closed_names! {
    /// How pixels are enlarged without a network.
    PixelScaling {
        Lanczos = "lanczos",
        Nearest = "nearest",
    }
}

closed_names! {
    /// How latents are brought to a larger size: A1111's modes, which are those of `torch.nn.functional.interpolate`.
    LatentScaling {
        Bilinear = "latent",
        BilinearAntialiased = "latent_antialiased",
        Bicubic = "latent_bicubic",
        BicubicAntialiased = "latent_bicubic_antialiased",
        Nearest = "latent_nearest",
        NearestExact = "latent_nearest_exact",
    }
}

impl PixelScaling {
    /// By our name or A1111's, where "None" is Lanczos too (`modules/images.py`, `resize_image`).
    #[must_use]
    pub fn by_any_name(name: &str) -> Option<Self> {
        match plain(name).as_str() {
            "lanczos" | "none" => Some(Self::Lanczos),
            "nearest" => Some(Self::Nearest),
            _ => None,
        }
    }
}

impl LatentScaling {
    /// By our name or A1111's: "Latent (bicubic antialiased)".
    #[must_use]
    pub fn by_any_name(name: &str) -> Option<Self> {
        let name = plain(name);
        Self::ALL.iter().copied().find(|scaling| plain(scaling.as_str()) == name)
    }
}

/// What makes a picture larger; a network is named by `M`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upscaler<M> {
    Pixels(PixelScaling),
    Network(M),
}

/// What makes a painting larger between two passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HiresUpscaler<M> {
    Latents(LatentScaling),
    Picture(Upscaler<M>),
}

impl<M> Upscaler<M> {
    /// The network, if it is one.
    pub fn network(&self) -> Option<&M> {
        match self {
            Self::Pixels(_) => None,
            Self::Network(network) => Some(network),
        }
    }

    /// The same with the network named in another way.
    pub fn map<N>(self, name: impl FnOnce(M) -> N) -> Upscaler<N> {
        match self {
            Self::Pixels(scaling) => Upscaler::Pixels(scaling),
            Self::Network(network) => Upscaler::Network(name(network)),
        }
    }

    /// The same where another name may be missing.
    ///
    /// # Errors
    /// Those of `name`.
    pub fn try_map<N, E>(self, name: impl FnOnce(M) -> Result<N, E>) -> Result<Upscaler<N>, E> {
        Ok(match self {
            Self::Pixels(scaling) => Upscaler::Pixels(scaling),
            Self::Network(network) => Upscaler::Network(name(network)?),
        })
    }
}

impl<M> HiresUpscaler<M> {
    /// The network, if it is one.
    pub fn network(&self) -> Option<&M> {
        match self {
            Self::Latents(_) => None,
            Self::Picture(upscaler) => upscaler.network(),
        }
    }

    /// The same with the network named in another way.
    pub fn map<N>(self, name: impl FnOnce(M) -> N) -> HiresUpscaler<N> {
        match self {
            Self::Latents(scaling) => HiresUpscaler::Latents(scaling),
            Self::Picture(upscaler) => HiresUpscaler::Picture(upscaler.map(name)),
        }
    }

    /// The same where another name may be missing.
    ///
    /// # Errors
    /// Those of `name`.
    pub fn try_map<N, E>(self, name: impl FnOnce(M) -> Result<N, E>) -> Result<HiresUpscaler<N>, E> {
        Ok(match self {
            Self::Latents(scaling) => HiresUpscaler::Latents(scaling),
            Self::Picture(upscaler) => HiresUpscaler::Picture(upscaler.try_map(name)?),
        })
    }
}

impl Upscaler<String> {
    /// What was written: a way of enlarging pixels by name, else a reference to a network.
    #[must_use]
    pub fn read(text: &str) -> Self {
        PixelScaling::by_any_name(text).map_or_else(|| Self::Network(text.to_owned()), Self::Pixels)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pixels(scaling) => scaling.as_str(),
            Self::Network(reference) => reference,
        }
    }
}

impl HiresUpscaler<String> {
    /// What was written: a way of enlarging latents or pixels by name, else a reference to a network.
    #[must_use]
    pub fn read(text: &str) -> Self {
        LatentScaling::by_any_name(text).map_or_else(|| Self::Picture(Upscaler::read(text)), Self::Latents)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Latents(scaling) => scaling.as_str(),
            Self::Picture(upscaler) => upscaler.as_str(),
        }
    }
}

/// Finished pictures are made larger. `None` means: as the upscaler does, or twice where it does any.
#[derive(Debug, Clone, PartialEq)]
pub struct Upscale<M> {
    pub upscaler: Upscaler<M>,
    /// How many times as long sides become.
    pub scale: Option<f32>,
}

/// A second pass at a larger size over what a first one painted (A1111's "Hires. fix"). `None` means: as in the first pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Hires<M> {
    /// Without one latents are enlarged, as in A1111.
    pub upscaler: Option<HiresUpscaler<M>>,
    /// How many times as long sides become; twice without.
    pub scale: Option<f32>,
    pub steps: Option<u32>,
    /// How much noise is laid over what was enlarged, above 0 and at most 1; [`Self::USUAL_STRENGTH`] without.
    pub strength: Option<f32>,
    pub sampler: Option<Sampler>,
    pub schedule: Option<Schedule>,
    pub guidance_scale: Option<f32>,
    pub prompt: Option<String>,
    pub negative_prompt: Option<String>,
}

impl<M> Hires<M> {
    pub const USUAL_SCALE: f32 = 2.0;
    /// As A1111's page has it.
    pub const USUAL_STRENGTH: f32 = 0.7;

    /// The same with its network named in another way.
    pub fn with_upscaler<N>(self, upscaler: Option<HiresUpscaler<N>>) -> Hires<N> {
        let Self { scale, steps, strength, sampler, schedule, guidance_scale, prompt, negative_prompt, .. } = self;
        Hires { upscaler, scale, steps, strength, sampler, schedule, guidance_scale, prompt, negative_prompt }
    }
}

impl<M> Default for Hires<M> {
    fn default() -> Self {
        Self {
            upscaler: None,
            scale: None,
            steps: None,
            strength: None,
            sampler: None,
            schedule: None,
            guidance_scale: None,
            prompt: None,
            negative_prompt: None,
        }
    }
}

/// The choices that were made for a second pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HiresSettings {
    /// Pixels, of the finished picture.
    pub width: u32,
    pub height: u32,
    pub steps: u32,
    pub strength: f32,
    pub sampler: Sampler,
    pub schedule: Schedule,
    pub guidance_scale: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upscalers_are_read_by_our_names_and_by_a1111s() {
        for (text, wanted) in [
            ("Latent", HiresUpscaler::Latents(LatentScaling::Bilinear)),
            ("Latent (bicubic antialiased)", HiresUpscaler::Latents(LatentScaling::BicubicAntialiased)),
            ("Latent (nearest-exact)", HiresUpscaler::Latents(LatentScaling::NearestExact)),
            ("latent_nearest", HiresUpscaler::Latents(LatentScaling::Nearest)),
            ("None", HiresUpscaler::Picture(Upscaler::Pixels(PixelScaling::Lanczos))),
            ("Nearest", HiresUpscaler::Picture(Upscaler::Pixels(PixelScaling::Nearest))),
            ("civitai:147817", HiresUpscaler::Picture(Upscaler::Network("civitai:147817".to_owned()))),
        ] {
            let read = HiresUpscaler::read(text);
            assert_eq!(read, wanted, "{text}");
            assert_eq!(HiresUpscaler::read(read.as_str()), wanted, "{text}");
        }
    }
}
