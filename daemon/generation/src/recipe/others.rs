//! InvokeAI's and SwarmUI's recipes, which are JSON objects of settings.
//!
//! invoke-ai/InvokeAI, `invokeai/app/invocations/metadata.py` `CoreMetadataInvocation`; mcmonkeyprojects/SwarmUI,
//! `src/Text2Image/T2IParamInput.cs` `GenMetadataObject`.

use super::reading::Reading;
use super::{Recipe, Resource};
use serde_json::{Map, Value};

/// Hexadecimal digits of AutoV3, which begins the digest of a file's tensors.
const AUTO_V3_DIGITS: usize = 12;

/// The recipe of InvokeAI's metadata; none if it is something else.
pub(super) fn of_invoke(object: &Map<String, Value>) -> Option<Recipe> {
    let is_invoke = object.contains_key("positive_prompt") && object.contains_key("generation_mode");
    if !is_invoke {
        return None;
    }
    let mut reading = Reading::default();
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    reading.recipe.prompt = text("positive_prompt");
    reading.recipe.negative_prompt = text("negative_prompt");
    reading.recipe.program = Some(format!("InvokeAI {}", text("app_version")).trim().to_owned());
    for (key, name) in [
        ("steps", "Steps"),
        ("cfg_scale", "CFG scale"),
        ("seed", "Seed"),
        ("width", "Width"),
        ("height", "Height"),
        ("rand_device", "RNG"),
        ("strength", "Denoising strength"),
    ] {
        object.get(key).into_iter().for_each(|value| reading.set_value(name, value));
    }
    // `_k` at the end of a name stands for Karras' levels.
    let scheduler = text("scheduler");
    match scheduler.strip_suffix("_k") {
        Some(sampler) => {
            reading.set("Sampler", sampler);
            reading.set("Schedule type", "karras");
        }
        None => reading.set("Sampler", &scheduler),
    }
    // Layers that are skipped, where others count the one that is used.
    if let Some(skipped) = object.get("clip_skip").and_then(Value::as_u64).filter(|skipped| *skipped > 0) {
        reading.set("Clip skip", &skipped.saturating_add(1).to_string());
    }
    let name = |model: &Value| {
        let name = model.get("name").or_else(|| model.get("model_name")).and_then(Value::as_str);
        name.unwrap_or_default().to_owned()
    };
    object.get("model").into_iter().for_each(|model| reading.set("Model", &name(model)));
    object.get("vae").into_iter().for_each(|vae| reading.set("VAE", &name(vae)));
    for entry in object.get("loras").and_then(Value::as_array).into_iter().flatten() {
        let model = entry.get("model").or_else(|| entry.get("lora"));
        let weight = entry.get("weight").and_then(Value::as_f64).unwrap_or(1.0);
        match model.map(name).filter(|name| !name.is_empty()) {
            Some(name) => reading.lora(Resource::named(&name), weight as f32, None),
            None => reading.remark("loras", &entry.to_string(), "it names no file"),
        }
    }
    for key in ["controlnets", "ipAdapters", "t2iAdapters", "refiner_model", "hrf_enabled", "init_image"] {
        let is_empty = |value: &Value| {
            value.is_null() || value == &Value::Bool(false) || value.as_array().is_some_and(Vec::is_empty)
        };
        if let Some(value) = object.get(key).filter(|value| !is_empty(value)) {
            reading.remark(key, &value.to_string(), "this is not done here");
        }
    }
    Some(reading.finish())
}

/// The recipe of SwarmUI's metadata; none if it is something else.
pub(super) fn of_swarm(object: &Map<String, Value>) -> Option<Recipe> {
    let settings = object.get("sui_image_params")?.as_object()?;
    let mut reading = Reading::default();
    let mut weights = Vec::new();
    let mut loras = Vec::new();
    for (key, value) in settings {
        match key.as_str() {
            "prompt" => value.as_str().unwrap_or_default().trim().clone_into(&mut reading.recipe.prompt),
            "negativeprompt" => {
                value.as_str().unwrap_or_default().trim().clone_into(&mut reading.recipe.negative_prompt);
            }
            "model" => reading.set("Model", &Resource::named(value.as_str().unwrap_or_default()).name),
            "vae" => reading.set("VAE", &Resource::named(value.as_str().unwrap_or_default()).name),
            "seed" => reading.set_value("Seed", value),
            "steps" => reading.set_value("Steps", value),
            "cfgscale" => reading.set_value("CFG scale", value),
            "width" => reading.set_value("Width", value),
            "height" => reading.set_value("Height", value),
            "sampler" => reading.set_value("Sampler", value),
            "scheduler" => reading.set_value("Schedule type", value),
            "clipstopatlayer" => reading.set_value("Clip skip", value),
            "loras" => loras = list(value),
            "loraweights" => weights = list(value),
            "swarm_version" => {
                reading.recipe.program = Some(format!("SwarmUI {}", value.as_str().unwrap_or_default()));
            }
            "aspectratio" | "nopreviews" | "imageformat" | "date" | "generation_time" | "prep_time"
            | "original_prompt" | "used_wildcards" | "wildcardseed" | "images" | "batchsize" | "personalnote" => {}
            _ => reading.remark(key, &value.to_string(), "this is not done here"),
        }
    }
    for (at, name) in loras.iter().enumerate() {
        let weight = weights.get(at).and_then(|weight| weight.trim().parse::<f32>().ok());
        reading.lora(Resource::named(name), weight.filter(|weight| weight.is_finite()).unwrap_or(1.0), None);
    }
    digests(&mut reading, object.get("sui_models"));
    Some(reading.finish())
}

/// The digests of tensors beside the names that the settings gave.
fn digests(reading: &mut Reading, models: Option<&Value>) {
    for entry in models.and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let resource = Resource::named(text("name"));
        let Some(digits) = text("hash").trim_start_matches("0x").get(..AUTO_V3_DIGITS) else { continue };
        match text("param") {
            "model" => reading.recipe.model.get_or_insert_default().add_digest(digits),
            "vae" => reading.recipe.vae.get_or_insert_default().add_digest(digits),
            _ => {
                let mut loras = reading.recipe.loras.iter_mut();
                if let Some(lora) = loras.find(|lora| lora.resource.name == resource.name) {
                    lora.resource.add_digest(digits);
                }
            }
        }
    }
}

/// A list, or one as text with commas.
fn list(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Array(entries) => entries.iter().map(text).collect(),
        Value::String(entries) => entries.split(',').map(|entry| entry.trim().to_owned()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::generation::{Sampler, Schedule};
    use serde_json::json;

    #[test]
    fn invokeais_metadata_is_read() {
        let metadata = json!({
            "app_version": "3.3.0post3", "generation_mode": "txt2img", "positive_prompt": "landscape",
            "negative_prompt": "low quality", "width": 768, "height": 432, "seed": 356120443, "rand_device": "cpu",
            "cfg_scale": 7.5, "steps": 50, "scheduler": "dpmpp_2m_k", "clip_skip": 1,
            "model": {"model_name": "amixx_3Prunedfp16", "base_model": "sd-1", "model_type": "main"},
            "controlnets": [], "loras": [{"lora": {"model_name": "detail"}, "weight": 0.75}, {"weight": 1}],
            "vae": {"model_name": "sd-vae-ft-mse", "base_model": "sd-1"}
        });
        let recipe = of_invoke(metadata.as_object().unwrap()).unwrap();
        assert_eq!((recipe.prompt.as_str(), recipe.negative_prompt.as_str()), ("landscape", "low quality"));
        assert_eq!((recipe.sampler, recipe.schedule), (Some(Sampler::DpmPlusPlus2m), Some(Schedule::Karras)));
        assert_eq!((recipe.steps, recipe.guidance_scale, recipe.clip_skip), (Some(50), Some(7.5), Some(2)));
        assert_eq!(recipe.model.unwrap().name, "amixx_3Prunedfp16");
        assert_eq!((recipe.loras[0].resource.name.as_str(), recipe.loras[0].weight), ("detail", 0.75));
        assert_eq!(recipe.remarks.iter().map(|remark| remark.field.as_str()).collect::<Vec<_>>(), ["loras"]);
        assert_eq!(of_invoke(&Map::new()), None);
    }

    #[test]
    fn swarmuis_metadata_is_read() {
        let metadata = json!({
            "sui_image_params": {
                "prompt": "a fox", "negativeprompt": "", "model": "Flux/flux1-dev.safetensors", "seed": 5, "steps": 25,
                "cfgscale": 1.5, "width": 512, "height": 768, "sampler": "euler", "scheduler": "simple",
                "clipstopatlayer": -2, "loras": ["a/detail.safetensors", "b"], "loraweights": ["0.5", "1"],
                "swarm_version": "0.9.1.1", "refinermethod": "PostApply"
            },
            "sui_models": [
                {"name": "Flux/flux1-dev.safetensors", "param": "model", "hash": format!("0x{}", "ab".repeat(32))},
                {"name": "b", "param": "loras", "hash": "0xcdcdcdcdcdcdcdcd"}
            ]
        });
        let recipe = of_swarm(metadata.as_object().unwrap()).unwrap();
        assert_eq!((recipe.sampler, recipe.schedule), (Some(Sampler::Euler), Some(Schedule::Simple)));
        assert_eq!((recipe.seed, recipe.width, recipe.clip_skip), (Some(5), Some(512), Some(2)));
        let model = recipe.model.unwrap();
        assert_eq!((model.name.as_str(), &model.digests[..]), ("flux1-dev", &["abababababab".to_owned()][..]));
        let loras: Vec<_> = recipe.loras.iter().map(|lora| (lora.resource.name.as_str(), lora.weight)).collect();
        assert_eq!(loras, [("detail", 0.5), ("b", 1.0)]);
        assert_eq!(recipe.loras[1].resource.digests, ["cdcdcdcdcdcd"]);
        assert_eq!(recipe.remarks[0].field, "refinermethod");
        assert_eq!(recipe.program.as_deref(), Some("SwarmUI 0.9.1.1"));
        assert_eq!(of_swarm(&Map::new()), None);
    }
}
