//! The noise of a picture beyond its seed.

use super::Sampler;
use crate::kind::closed_names;

closed_names! {
    /// Whose random numbers a picture is made of.
    NoiseSource {
        /// PyTorch's generator on the CPU, as diffusers' examples, ComfyUI and A1111's `RNG: CPU` use it.
        Cpu = "cpu",
        /// PyTorch's generator on NVIDIA cards: A1111's `RNG: NV` and `RNG: GPU`.
        Nvidia = "nv",
    }
}

impl NoiseSource {
    /// A source by A1111's name for it, or another that is in use.
    #[must_use]
    pub fn by_any_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "cpu" => Some(Self::Cpu),
            "nv" | "nvidia" | "gpu" | "cuda" | "philox" => Some(Self::Nvidia),
            _ => None,
        }
    }
}

/// Fine settings of noise. `None` means: as usual.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NoiseSettings {
    pub source: Option<NoiseSource>,
    /// Added to the seed for all noise behind a picture's first (A1111's "eta noise seed delta", ENSD).
    pub eta_seed_delta: Option<i64>,
    /// The seed of a variation (A1111's subseed). Image `k` of several uses subseed + `k`, and the seed as it is.
    pub subseed: Option<u64>,
    /// How far towards the variation's noise the first noise is turned, 0 to 1.
    pub subseed_strength: Option<f32>,
    /// Width and height in pixels of the picture whose first noise this one keeps in its middle (A1111's "seed resize").
    pub resize_from: Option<(u32, u32)>,
    /// How much of a step's noise is taken away and made anew: η of DDIM (Song et al. 2021) and k-diffusion, γ of TCD.
    pub eta: Option<f32>,
    /// Churn of Karras et al. 2022, algorithm 2: noise added before each step between `s_tmin` and `s_tmax`.
    pub s_churn: Option<f32>,
    /// The least noise level that is churned.
    pub s_tmin: Option<f32>,
    /// The highest noise level that is churned.
    pub s_tmax: Option<f32>,
    /// Factor on all noise that a sampler adds.
    pub s_noise: Option<f32>,
}

/// A field of [`NoiseSettings`] and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoiseProblem {
    pub field: &'static str,
    pub given: String,
    /// What it must be.
    pub wanted: String,
}

impl NoiseSettings {
    /// The variation's seed and strength, where there is a variation at all.
    #[must_use]
    pub fn variation(&self) -> Option<(u64, f32)> {
        let strength = self.subseed_strength.filter(|strength| *strength != 0.0)?;
        Some((self.subseed.unwrap_or_default(), strength))
    }

    /// The seed of image `index` of several. Variations share theirs (A1111, `process_images_inner`).
    #[must_use]
    pub fn seed_of(&self, seed: u64, index: u32) -> u64 {
        if self.variation().is_some() { seed } else { seed.wrapping_add(u64::from(index)) }
    }

    /// The settings of image `index` of several.
    #[must_use]
    pub fn of_image(self, index: u32) -> Self {
        Self { subseed: self.subseed.map(|subseed| subseed.wrapping_add(u64::from(index))), ..self }
    }

    /// What no sampler could do.
    ///
    /// # Errors
    /// The first field that is out of bounds.
    pub fn check(&self) -> Result<(), NoiseProblem> {
        const LARGEST_SIDE_PIXELS: u32 = 16_384;
        let bounds = [
            ("subseed_strength", self.subseed_strength, 1.0),
            ("eta", self.eta, 10.0),
            ("s_churn", self.s_churn, 1000.0),
            ("s_tmin", self.s_tmin, 1e6),
            ("s_tmax", self.s_tmax, 1e6),
            ("s_noise", self.s_noise, 10.0),
        ];
        for (field, value, most) in bounds {
            if let Some(value) = value.filter(|value| !(0.0..=most).contains(value)) {
                let wanted = format!("between 0 and {most}");
                return Err(NoiseProblem { field, given: value.to_string(), wanted });
            }
        }
        if let (Some(subseed), None) = (self.subseed, self.subseed_strength) {
            let wanted = "left out where no subseed_strength is said".to_owned();
            return Err(NoiseProblem { field: "subseed", given: subseed.to_string(), wanted });
        }
        match self.resize_from {
            Some((width, height)) if [width, height].iter().any(|side| !(8..=LARGEST_SIDE_PIXELS).contains(side)) => {
                let wanted = format!("between 8 and {LARGEST_SIDE_PIXELS} pixels a side");
                Err(NoiseProblem { field: "resize_from", given: format!("{width}×{height}"), wanted })
            }
            _ => Ok(()),
        }
    }

    /// What this sampler has no use for, which would change nothing.
    ///
    /// # Errors
    /// The first field that is set in vain.
    pub fn check_for(&self, sampler: Sampler) -> Result<(), NoiseProblem> {
        let in_vain = |field, value: Option<f32>, takes: bool| match value {
            Some(value) if !takes => {
                let wanted = format!("left out with {sampler}, which has no use for it");
                Err(NoiseProblem { field, given: value.to_string(), wanted })
            }
            _ => Ok(()),
        };
        in_vain("eta", self.eta, sampler.takes_eta())?;
        for (field, value) in [("s_churn", self.s_churn), ("s_tmin", self.s_tmin), ("s_tmax", self.s_tmax)] {
            in_vain(field, value, sampler.takes_churn())?;
        }
        in_vain("s_noise", self.s_noise, sampler.takes_eta() || sampler.takes_churn() || sampler == Sampler::Restart)?;
        match self.eta {
            Some(eta) if eta > 1.0 && matches!(sampler, Sampler::Ddim | Sampler::Tcd) => {
                Err(NoiseProblem { field: "eta", given: eta.to_string(), wanted: format!("at most 1 with {sampler}") })
            }
            _ => Ok(()),
        }
    }
}

impl Sampler {
    /// Whether η says how much noise of its own it adds.
    #[must_use]
    pub fn takes_eta(self) -> bool {
        matches!(
            self,
            Self::EulerAncestral
                | Self::Dpm2Ancestral
                | Self::DpmPlusPlus2sAncestral
                | Self::DpmPlusPlusSde
                | Self::DpmPlusPlus2mSde
                | Self::DpmPlusPlus2mSdeHeun
                | Self::DpmPlusPlus3mSde
                | Self::Ddim
                | Self::Tcd
        )
    }

    /// Whether its steps can be churned, as A1111 has it.
    #[must_use]
    pub fn takes_churn(self) -> bool {
        matches!(self, Self::Euler | Self::Heun | Self::Dpm2)
    }

    /// η where nothing is said: all of a step's noise, none for DDIM, 0.3 for TCD (Zheng et al. 2024).
    #[must_use]
    pub fn usual_eta(self) -> f32 {
        match self {
            Self::Ddim => 0.0,
            Self::Tcd => 0.3,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_or_in_vain_is_named() {
        let some = NoiseSettings::default();
        assert_eq!(some.check(), Ok(()));
        for (field, settings) in [
            ("subseed", NoiseSettings { subseed: Some(3), ..some }),
            ("subseed_strength", NoiseSettings { subseed_strength: Some(1.5), ..some }),
            ("subseed_strength", NoiseSettings { subseed_strength: Some(f32::NAN), ..some }),
            ("eta", NoiseSettings { eta: Some(-0.1), ..some }),
            ("s_churn", NoiseSettings { s_churn: Some(f32::INFINITY), ..some }),
            ("s_noise", NoiseSettings { s_noise: Some(11.0), ..some }),
            ("resize_from", NoiseSettings { resize_from: Some((512, 0)), ..some }),
        ] {
            assert_eq!(settings.check().unwrap_err().field, field);
        }
        for (field, sampler, settings) in [
            ("eta", Sampler::Euler, NoiseSettings { eta: Some(0.5), ..some }),
            ("eta", Sampler::Ddim, NoiseSettings { eta: Some(1.5), ..some }),
            ("s_churn", Sampler::EulerAncestral, NoiseSettings { s_churn: Some(5.0), ..some }),
            ("s_tmax", Sampler::Lms, NoiseSettings { s_tmax: Some(5.0), ..some }),
            ("s_noise", Sampler::DpmPlusPlus2m, NoiseSettings { s_noise: Some(1.0), ..some }),
        ] {
            assert_eq!(settings.check_for(sampler).unwrap_err().field, field);
        }
        let all = NoiseSettings { s_churn: Some(5.0), s_noise: Some(1.0), ..some };
        assert_eq!(all.check_for(Sampler::Heun), Ok(()));
    }

    #[test]
    fn variations_share_their_seed() {
        let plain = NoiseSettings { subseed: Some(9), subseed_strength: Some(0.0), ..NoiseSettings::default() };
        let varied = NoiseSettings { subseed_strength: Some(0.1), ..plain };
        assert_eq!((plain.seed_of(7, 2), varied.seed_of(7, 2)), (9, 7));
        assert_eq!((plain.variation(), varied.of_image(2).variation()), (None, Some((11, 0.1))));
    }

    #[test]
    fn sources_are_known_by_other_names() {
        assert_eq!(NoiseSource::by_any_name("NV"), Some(NoiseSource::Nvidia));
        assert_eq!(NoiseSource::by_any_name("CPU"), Some(NoiseSource::Cpu));
        assert_eq!(NoiseSource::by_any_name("dice"), None);
        for source in NoiseSource::ALL {
            assert_eq!(NoiseSource::by_any_name(source.as_str()), Some(*source));
        }
    }
}
