//! What models that were distilled to few steps are painted with, where a file's name says that it is one of them.
//!
//! Weights cannot tell, and many a name of a remix leaves open what was mixed; so only names that say it all are
//! understood: those under which the distilled models and their LoRAs were published. Facts from their model cards:
//! stabilityai/sdxl-turbo and sd-turbo, ByteDance/SDXL-Lightning and Hyper-SD, latent-consistency/lcm-lora-sdxl.

use paintbox_domain::generation::{PaintSettings, Sampler, Schedule};

/// Few steps without guidance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Distilled {
    steps: u32,
    sampler: Sampler,
}

impl Distilled {
    /// What the first name that says so says, of a model's files and the adapters on it.
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        names.into_iter().find_map(Self::by_name)
    }

    fn by_name(name: &str) -> Option<Self> {
        let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let says = |word: &str| words.contains(&word);
        if name.starts_with("sd_xl_turbo_1.0") || name.starts_with("sd_turbo") {
            return Some(Self { steps: 1, sampler: Sampler::EulerAncestral });
        }
        // Those of one step predict otherwise, and those with guidance are painted as they always were.
        let steps = words.iter().find_map(|word| steps(word)).filter(|steps| (2..=16).contains(steps) && !says("cfg"));
        match steps {
            Some(steps) if says("lightning") => Some(Self { steps, sampler: Sampler::Euler }),
            Some(steps) if says("hyper") => Some(Self { steps, sampler: Sampler::Ddim }),
            _ if says("lcm") && says("lora") => Some(Self { steps: 4, sampler: Sampler::Lcm }),
            _ => None,
        }
    }

    /// Puts its choices in the place of the model's.
    pub(super) fn onto(self, defaults: &PaintSettings) -> PaintSettings {
        let Self { steps, sampler } = self;
        // diffusers' `trailing`.
        PaintSettings { steps, sampler, schedule: Schedule::Simple, guidance_scale: 1.0, ..defaults.clone() }
    }
}

/// `4step`, `8steps`.
fn steps(word: &str) -> Option<u32> {
    word.strip_suffix("steps").or_else(|| word.strip_suffix("step"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_say_it_all_are_understood() {
        for (name, wanted) in [
            ("sd_xl_turbo_1.0_fp16.safetensors", Some((1, Sampler::EulerAncestral))),
            ("sd_turbo.safetensors", Some((1, Sampler::EulerAncestral))),
            ("sdxl_lightning_4step.safetensors", Some((4, Sampler::Euler))),
            ("loras/sdxl_lightning_8step_lora", Some((8, Sampler::Euler))),
            ("Hyper-SDXL-8steps-lora", Some((8, Sampler::Ddim))),
            ("Hyper-SD15-4steps-lora.safetensors", Some((4, Sampler::Ddim))),
            ("LCM_LoRA_Weights_SD15", Some((4, Sampler::Lcm))),
            ("sdxl_lightning_1step_x0.safetensors", None),
            ("Hyper-SDXL-8steps-CFG-lora", None),
            ("Hyper-SDXL-1step-lora", None),
            ("dreamshaperXL_turboDPMSDE.safetensors", None),
            ("hyperRealism_v3.safetensors", None),
            ("lightning_strikes.safetensors", None),
            ("pytorch_lora_weights", None),
            ("", None),
        ] {
            let found = Distilled::of([name]).map(|found| (found.steps, found.sampler));
            assert_eq!(found, wanted, "{name}");
        }
    }
}
