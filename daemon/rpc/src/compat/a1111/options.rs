//! A1111's options, of which those that say how pictures are painted are kept for each caller. `override_settings` of a
//! request are the same for one request.
//!
//! Names and meanings: AUTOMATIC1111/stable-diffusion-webui 1.10, `modules/shared_options.py`; `forge_additional_modules`
//! are Forge's VAEs and text encoders.

use crate::compat::Compat;
use crate::compat::caller::CallerId;
use crate::compat::fields::Fields;
use crate::compat::problem::Problem;
use paintbox_domain::generation::{GenerationSpec, NoiseSource, PictureFormat};
use paintbox_domain::{ErrorClass, Failure, ModelKind, reason};
use serde_json::{Map, Value, json};

/// Those that are read; all others are taken and forgotten, as front ends send back all that they were told.
const KNOWN: [&str; 8] = [
    "sd_model_checkpoint",
    "sd_vae",
    "forge_additional_modules",
    "CLIP_stop_at_last_layers",
    "eta_noise_seed_delta",
    "randn_source",
    "samples_format",
    "jpeg_quality",
];
/// Of an option, as JSON.
const LONGEST_OPTION_BYTES: usize = 4096;

/// What a caller would be told of its options.
pub(super) async fn all(compat: &Compat, caller: &CallerId) -> Result<Value, Problem> {
    let mut options = Map::from_iter(
        [
            ("sd_vae", json!("Automatic")),
            ("CLIP_stop_at_last_layers", json!(1)),
            ("eta_noise_seed_delta", json!(0)),
            ("randn_source", json!("CPU")),
            ("samples_format", json!("png")),
            ("jpeg_quality", json!(90)),
            ("samples_save", json!(true)),
            ("live_previews_enable", json!(true)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    options.extend(compat.callers.options(caller));
    // Open WebUI without a model of its own sends an empty name, which chooses nothing.
    let chosen = options.get("sd_model_checkpoint").and_then(Value::as_str).filter(|title| !title.trim().is_empty());
    let current = match chosen {
        Some(chosen) => Some(chosen.to_owned()),
        None => compat.generations.models_here().await?.into_iter().next().map(|first| first.title),
    };
    options.insert("sd_model_checkpoint".to_owned(), current.into());
    Ok(Value::Object(options))
}

/// Keeps what a caller sets, once all of it can be used.
pub(super) async fn set(compat: &Compat, caller: &CallerId, given: &Fields) -> Result<(), Problem> {
    let mut kept = Map::new();
    for name in KNOWN {
        let Some(value) = given.value(name) else { continue };
        if value.to_string().len() > LONGEST_OPTION_BYTES {
            return Err(Problem::invalid(name, format!("it has more than {LONGEST_OPTION_BYTES} bytes")));
        }
        kept.insert(name.to_owned(), value.clone());
    }
    if let Some(chosen) = given.word("sd_model_checkpoint")? {
        let title = title_of(compat, chosen).await?;
        kept.insert("sd_model_checkpoint".to_owned(), title.into());
    }
    apply(compat, &Fields::from(kept.clone()), &mut GenerationSpec::default()).await?;
    compat.callers.set_options(caller, kept);
    Ok(())
}

/// The title of the checkpoint that is meant.
async fn title_of(compat: &Compat, chosen: &str) -> Result<String, Problem> {
    if let Some(model) = compat.generations.find_model_here(chosen).await? {
        return Ok(model.title);
    }
    // A reference to something that is here and no file of its own, such as a page's.
    let reference = compat.generations.model_called(chosen).await?;
    compat.generations.model_defaults(&reference).await?;
    Ok(reference)
}

/// Puts options into a specification.
pub(super) async fn apply(compat: &Compat, options: &Fields, spec: &mut GenerationSpec) -> Result<(), Problem> {
    if let Some(chosen) = options.word("sd_model_checkpoint")? {
        spec.model = compat.generations.model_called(chosen).await?;
    }
    if let Some(name) = options.word("sd_vae")? {
        spec.vae = match name {
            "Automatic" | "None" | "Built in" => None,
            name => Some(file(compat, "sd_vae", ModelKind::Vae, name).await?),
        };
    }
    for name in options.texts("forge_additional_modules")? {
        match compat.generations.file_called(ModelKind::TextEncoder, plain(name)).await? {
            Some(reference) => spec.text_encoders.push(reference),
            None => spec.vae = Some(file(compat, "forge_additional_modules", ModelKind::Vae, plain(name)).await?),
        }
    }
    // 0 and 1 are both the last layer, which is also what nothing means.
    if let Some(layers) = options.count("CLIP_stop_at_last_layers", 0..=24)? {
        spec.clip_skip = Some(layers).filter(|layers| *layers > 1);
    }
    if let Some(delta) = options.whole("eta_noise_seed_delta")? {
        spec.noise.eta_seed_delta = Some(delta).filter(|delta| *delta != 0);
    }
    if let Some(name) = options.word("randn_source")? {
        let source = NoiseSource::by_any_name(name);
        spec.noise.source =
            Some(source.ok_or_else(|| Problem::unsupported("randn_source", "it is not CPU, NV or GPU"))?);
    }
    if let Some(name) = options.word("samples_format")? {
        spec.format = match name.to_ascii_lowercase().as_str() {
            "jpg" => Some(PictureFormat::Jpeg),
            name => match PictureFormat::from_name(name) {
                Some(PictureFormat::Png) => None,
                Some(format) => Some(format),
                None => return Err(Problem::unsupported("samples_format", "it is not png, jpg or webp")),
            },
        };
    }
    let quality = options.count("jpeg_quality", 1..=100)?.and_then(|quality| u8::try_from(quality).ok());
    if quality.is_some() || spec.format != Some(PictureFormat::Jpeg) {
        spec.quality = quality.filter(|_| spec.format == Some(PictureFormat::Jpeg));
    }
    Ok(())
}

/// Names of options in a request that say something which is not done here.
pub(super) fn ignored(options: &Fields) -> Vec<String> {
    options.names().filter(|name| !KNOWN.contains(name)).map(str::to_owned).collect()
}

/// The reference of a file by the name that a list has it by.
async fn file(compat: &Compat, field: &str, kind: ModelKind, name: &str) -> Result<String, Problem> {
    compat.generations.file_called(kind, name).await?.ok_or_else(|| {
        let message = format!("`{field}` cannot be used: no {kind} that is here is called `{name}`");
        Failure::new(ErrorClass::NotFound, reason::FILE_NOT_LOCAL, message).with("field", field).into()
    })
}

/// A file's name without folders, of which Forge's own paths consist.
fn plain(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}
