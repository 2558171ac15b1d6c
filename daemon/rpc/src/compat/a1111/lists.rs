//! Lists that front ends fill their menus with, in A1111's shapes (`modules/api/models.py`). Files are named without their
//! folders: where something lies is nobody's business over a network.

use crate::compat::Compat;
use crate::compat::problem::Problem;
use paintbox_domain::ModelKind;
use paintbox_domain::generation::{LatentScaling, Sampler, Schedule};
use paintbox_generation::{FileHere, ModelHere, a1111_names};
use serde_json::{Map, Value, json};

/// The list of a name; none if there is none of that name.
pub(super) async fn named(compat: &Compat, name: &str) -> Result<Option<Value>, Problem> {
    let files = async |kind| compat.generations.files_here(kind).await;
    Ok(Some(match name {
        "sd-models" => compat.generations.models_here().await?.iter().map(model).collect(),
        "samplers" => samplers(),
        "schedulers" => schedulers(),
        "upscalers" => upscalers(&files(ModelKind::Upscaler).await?),
        "latent-upscale-modes" => LatentScaling::ALL.iter().map(|mode| json!({ "name": latent(*mode) })).collect(),
        "sd-vae" => modules(&files(ModelKind::Vae).await?),
        // Forge's, which has VAEs and text encoders in one list.
        "sd-modules" => {
            let mut both = files(ModelKind::Vae).await?;
            both.extend(files(ModelKind::TextEncoder).await?);
            modules(&both)
        }
        "loras" => files(ModelKind::Lora).await?.iter().map(lora).collect(),
        "embeddings" => embeddings(&files(ModelKind::TextualInversion).await?),
        "realesrgan-models" => json!([]),
        "hypernetworks" | "face-restorers" | "prompt-styles" | "script-info" | "extensions" => json!([]),
        "scripts" => json!({ "txt2img": ["controlnet"], "img2img": ["controlnet"] }),
        "cmd-flags" => json!({ "api": true, "nowebui": true }),
        "memory" => json!({ "ram": { "error": "unavailable" }, "cuda": { "error": "unavailable" } }),
        _ => return Ok(None),
    }))
}

fn model(model: &ModelHere) -> Value {
    json!({
        "title": model.title,
        "model_name": model.name,
        "hash": model.sha256.map(|sha256| sha256.auto_v2()),
        "sha256": model.sha256.map(|sha256| sha256.to_hex()),
        "filename": model.file_name.as_ref().unwrap_or(&model.name),
        "config": null,
    })
}

fn samplers() -> Value {
    let sampler = |sampler: &Sampler| json!({ "name": a1111_names::of_sampler(*sampler), "aliases": [sampler.as_str()], "options": {} });
    Sampler::ALL.iter().map(sampler).collect()
}

/// "Automatic" is A1111's name for what each sampler is used with there (`modules/sd_schedulers.py`).
fn schedulers() -> Value {
    let item = |name: &str, label: &str, rho: Option<f32>| json!({ "name": name, "label": label, "aliases": [], "default_rho": rho.unwrap_or(-1.0), "need_inner_model": false });
    let schedule = |schedule: &Schedule| {
        let label = a1111_names::of_schedule(*schedule);
        let rho = (*schedule == Schedule::Karras).then_some(7.0);
        item(&label.to_lowercase().replace(' ', "_"), label, rho)
    };
    let automatic = item("automatic", "Automatic", None);
    [automatic].into_iter().chain(Schedule::ALL.iter().map(schedule)).collect()
}

/// A1111's name of a way to enlarge latents (`modules/shared_items.py`, `latent_upscale_modes`).
fn latent(mode: LatentScaling) -> &'static str {
    match mode {
        LatentScaling::Bilinear => "Latent",
        LatentScaling::BilinearAntialiased => "Latent (antialiased)",
        LatentScaling::Bicubic => "Latent (bicubic)",
        LatentScaling::BicubicAntialiased => "Latent (bicubic antialiased)",
        LatentScaling::Nearest => "Latent (nearest)",
        LatentScaling::NearestExact => "Latent (nearest-exact)",
    }
}

fn upscalers(files: &[FileHere]) -> Value {
    let item = |name: &str, file: Option<&str>| json!({ "name": name, "model_name": null, "model_path": file, "model_url": null, "scale": 4 });
    let plain = ["None", "Lanczos", "Nearest"].map(|name| item(name, None));
    plain.into_iter().chain(files.iter().map(|file| item(&file.name, Some(&file.file_name)))).collect()
}

fn modules(files: &[FileHere]) -> Value {
    files.iter().map(|file| json!({ "model_name": file.file_name, "filename": file.file_name })).collect()
}

/// As A1111's own extension for LoRAs lists them (`extensions-builtin/Lora/scripts/lora_script.py`, `create_lora_json`).
fn lora(file: &FileHere) -> Value {
    json!({ "name": file.name, "alias": file.name, "path": file.file_name, "metadata": {} })
}

fn embeddings(files: &[FileHere]) -> Value {
    let item = |file: &FileHere| {
        let known = json!({
            "step": null, "sd_checkpoint": null, "sd_checkpoint_name": null, "shape": 0, "vectors": 0,
        });
        (file.name.clone(), known)
    };
    json!({ "loaded": files.iter().map(item).collect::<Map<_, _>>(), "skipped": {} })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_listed_is_understood() {
        for sampler in samplers().as_array().unwrap() {
            assert!(Sampler::by_any_name(sampler["name"].as_str().unwrap()).is_some(), "{sampler}");
        }
        for schedule in schedulers().as_array().unwrap().iter().skip(1) {
            for key in ["name", "label"] {
                assert!(Schedule::by_any_name(schedule[key].as_str().unwrap()).is_some(), "{schedule}");
            }
        }
        for mode in LatentScaling::ALL {
            assert_eq!(LatentScaling::by_any_name(latent(*mode)), Some(*mode));
        }
    }
}
