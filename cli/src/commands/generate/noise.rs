//! Flags for noise beyond the seed, which hardly anybody needs but who repeats a picture made elsewhere.

use paintbox_proto::v1;
use std::str::FromStr;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Noise beyond the seed, by A1111's names")]
pub(crate) struct NoiseArguments {
    /// Whose random numbers: cpu, or nv for those of NVIDIA cards [default: cpu]
    #[arg(long, value_name = "NAME")]
    rng: Option<String>,
    /// Turn the first noise towards that of another seed, 0 to 1
    #[arg(long, value_name = "F")]
    subseed_strength: Option<f32>,
    /// The other seed; image k of several uses N+k, and the seed as it is [default: at random]
    #[arg(long, value_name = "N", requires = "subseed_strength")]
    subseed: Option<u64>,
    /// Keep the first noise of a picture of this size in the middle of this one
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    seed_resize_from: Option<Size>,
    /// Eta noise seed delta: added to the seed for all noise behind the first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    ensd: Option<i64>,
    /// How much of a step's noise is made anew; for ancestral and stochastic samplers, ddim and tcd
    #[arg(long, value_name = "F")]
    eta: Option<f32>,
    /// Noise added before each step, for euler, heun and dpm_2
    #[arg(long, value_name = "F")]
    s_churn: Option<f32>,
    /// The least noise level that is churned
    #[arg(long, value_name = "F")]
    s_tmin: Option<f32>,
    /// The highest noise level that is churned
    #[arg(long, value_name = "F")]
    s_tmax: Option<f32>,
    /// Factor on all noise that the sampler adds
    #[arg(long, value_name = "F")]
    s_noise: Option<f32>,
}

impl NoiseArguments {
    /// Absent where nothing is said.
    pub(crate) fn message(&self) -> Option<v1::NoiseSettings> {
        let message = v1::NoiseSettings {
            source: self.rng.clone().unwrap_or_default(),
            eta_seed_delta: self.ensd,
            subseed: self.subseed,
            subseed_strength: self.subseed_strength,
            resize_from_width: self.seed_resize_from.map(|size| size.width),
            resize_from_height: self.seed_resize_from.map(|size| size.height),
            eta: self.eta,
            s_churn: self.s_churn,
            s_tmin: self.s_tmin,
            s_tmax: self.s_tmax,
            s_noise: self.s_noise,
        };
        (message != v1::NoiseSettings::default()).then_some(message)
    }
}

/// `512x768`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    width: u32,
    height: u32,
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sides = text.split_once(['x', 'X', '×']);
        let parsed = sides.and_then(|(width, height)| {
            Some(Self { width: width.trim().parse().ok()?, height: height.trim().parse().ok()? })
        });
        parsed.ok_or("it is not a size in pixels, such as 512x768")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_two_numbers() {
        assert_eq!("512x768".parse(), Ok(Size { width: 512, height: 768 }));
        assert_eq!("8×16".parse(), Ok(Size { width: 8, height: 16 }));
        for wrong in ["", "512", "512x", "x512", "-1x5", "ax5"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
