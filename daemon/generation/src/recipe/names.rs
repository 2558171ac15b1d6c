//! A1111's names for samplers and schedules.
//!
//! AUTOMATIC1111/stable-diffusion-webui 1.10, `modules/sd_samplers_kdiffusion.py`, `modules/sd_samplers_timesteps.py`,
//! `modules/sd_samplers_lcm.py` and `modules/sd_schedulers.py`.

use paintbox_domain::generation::{Sampler, Schedule};

/// What A1111 calls a sampler; of one that it has not, what it might.
#[must_use]
pub fn of_sampler(sampler: Sampler) -> &'static str {
    match sampler {
        Sampler::Euler => "Euler",
        Sampler::EulerAncestral => "Euler a",
        Sampler::Heun => "Heun",
        Sampler::Dpm2 => "DPM2",
        Sampler::Dpm2Ancestral => "DPM2 a",
        Sampler::Lms => "LMS",
        Sampler::DpmPlusPlus2sAncestral => "DPM++ 2S a",
        Sampler::DpmPlusPlus2m => "DPM++ 2M",
        Sampler::DpmPlusPlusSde => "DPM++ SDE",
        Sampler::DpmPlusPlus2mSde => "DPM++ 2M SDE",
        Sampler::DpmPlusPlus2mSdeHeun => "DPM++ 2M SDE Heun",
        Sampler::DpmPlusPlus3mSde => "DPM++ 3M SDE",
        Sampler::UniPc => "UniPC",
        Sampler::UniPcBh2 => "UniPC bh2",
        Sampler::Deis => "DEIS",
        Sampler::Restart => "Restart",
        Sampler::Ddpm => "DDPM",
        Sampler::Tcd => "TCD",
        Sampler::Lcm => "LCM",
        Sampler::Ddim => "DDIM",
    }
}

/// The file of an upscaler that A1111 has a name of its own for (`modules/realesrgan_model.py`, `esrgan_model.py`).
#[must_use]
pub fn of_upscaler_file(name: &str) -> &str {
    match name {
        "R-ESRGAN General 4xV3" => "realesr-general-x4v3",
        "R-ESRGAN General WDN 4xV3" => "realesr-general-wdn-x4v3",
        "R-ESRGAN AnimeVideo" => "realesr-animevideov3",
        "R-ESRGAN 4x+" => "RealESRGAN_x4plus",
        "R-ESRGAN 4x+ Anime6B" => "RealESRGAN_x4plus_anime_6B",
        "R-ESRGAN 2x+" => "RealESRGAN_x2plus",
        "ESRGAN_4x" => "ESRGAN",
        name => name,
    }
}

/// What A1111 calls a schedule.
#[must_use]
pub fn of_schedule(schedule: Schedule) -> &'static str {
    match schedule {
        Schedule::Normal => "Normal",
        Schedule::Karras => "Karras",
        Schedule::DdimUniform => "DDIM",
        Schedule::Simple => "Simple",
        Schedule::SgmUniform => "SGM Uniform",
        Schedule::Exponential => "Exponential",
        Schedule::Beta => "Beta",
        Schedule::AlignYourSteps => "Align Your Steps",
    }
}

/// What A1111's "Automatic" means for a sampler (`modules/sd_samplers_kdiffusion.py`, `samplers_k_diffusion`).
#[must_use]
pub fn automatic_schedule(sampler: Sampler) -> Option<Schedule> {
    match sampler {
        Sampler::DpmPlusPlus2m
        | Sampler::DpmPlusPlus2sAncestral
        | Sampler::DpmPlusPlusSde
        | Sampler::Dpm2
        | Sampler::Dpm2Ancestral => Some(Schedule::Karras),
        Sampler::DpmPlusPlus2mSde | Sampler::DpmPlusPlus2mSdeHeun | Sampler::DpmPlusPlus3mSde => {
            Some(Schedule::Exponential)
        }
        _ => plain_schedule(sampler),
    }
}

/// What a sampler's name without a schedule's meant before A1111 1.9.
pub(super) fn plain_schedule(sampler: Sampler) -> Option<Schedule> {
    match sampler {
        // It has levels of its own, which the model's configuration says best.
        Sampler::Lcm => None,
        _ => Some(Schedule::Normal),
    }
}
