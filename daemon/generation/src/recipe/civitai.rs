//! The generation data of a picture on CivitAI: settings under names of its own, models by digest and by number, and
//! whatever else the uploader's program had written.
//!
//! github civitai/civitai @ ebed661630d3, `src/server/schema/image.schema.ts` `imageGenerationSchema`, and
//! `src/utils/metadata/*.ts`, which fill it.

use super::reading::Reading;
use super::{Recipe, Resource, comfy};
use serde_json::{Map, Value};

/// The recipe of a picture's `meta`; none if it says nothing of a prompt or settings.
pub(super) fn recipe(meta: &Map<String, Value>) -> Option<Recipe> {
    let of_comfy = meta.get("comfy").and_then(comfy_graph);
    let is_known =
        ["prompt", "steps", "seed", "sampler", "cfgScale", "Steps"].iter().any(|key| meta.contains_key(*key));
    if !is_known {
        return of_comfy;
    }
    let mut reading = Reading::default();
    for (key, value) in meta {
        setting(&mut reading, key, value);
    }
    // On the site nobody says whose noise it was, unless A1111 did.
    reading.noise_is_of_gpu = reading
        .recipe
        .program
        .as_deref()
        .is_some_and(|program| program.starts_with(|c: char| c == 'v' || c == 'f' || c.is_ascii_digit()));
    let mut recipe = reading.finish();
    if let Some(graph) = of_comfy {
        fill(&mut recipe, graph);
    }
    Some(recipe)
}

fn setting(reading: &mut Reading, key: &str, value: &Value) {
    let text = value.as_str().unwrap_or_default();
    match key {
        "prompt" => text.trim().clone_into(&mut reading.recipe.prompt),
        "negativePrompt" => text.trim().clone_into(&mut reading.recipe.negative_prompt),
        "cfgScale" => reading.set_value("CFG scale", value),
        "steps" => reading.set_value("Steps", value),
        "seed" => reading.set_value("Seed", value),
        "sampler" => reading.set_value("Sampler", value),
        "scheduler" => reading.set_value("Schedule type", value),
        "clipSkip" => reading.set_value("Clip skip", value),
        "width" => reading.set_value("Width", value),
        "height" => reading.set_value("Height", value),
        "denoise" | "denoisingStrength" => reading.set_value("Denoising strength", value),
        "hashes" => {
            if let Some(hashes) = value.as_object() {
                reading.hashes(hashes);
            }
        }
        "resources" | "additionalResources" => {
            value.as_array().into_iter().flatten().for_each(|entry| named(reading, entry));
        }
        "civitaiResources" => reading.civitai_resources(value.as_array().map_or(&[][..], Vec::as_slice)),
        "models" => first_name(value).into_iter().for_each(|name| reading.set("Model", name)),
        "vaes" => first_name(value).into_iter().for_each(|name| reading.set("VAE", name)),
        // What the site makes of all this, or what says nothing of the picture.
        "comfy" | "baseModel" | "engine" | "process" | "type" | "workflow" | "extra" | "external" | "version"
        | "quantity" | "nsfw" | "draft" | "fluxMode" | "effects" | "disablePoi" | "aspectRatio" => {}
        // The site's older parser cut lists of LoRAs' digests at their quotes: `"name` with `digits"`.
        _ if key.starts_with('"') => reading.lora_digest(key.trim_matches('"'), text.trim_matches('"')),
        _ if text.ends_with(">\"") || text.ends_with('>') => {}
        _ => reading.set_value(key, value),
    }
}

/// A model by its kind, name and digest, or with the strength that ComfyUI's nodes gave it.
fn named(reading: &mut Reading, entry: &Value) {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, digits) = (text("name"), text("hash"));
    match text("type") {
        "model" | "checkpoint" => {
            reading.set("Model", name);
            reading.set("Model hash", digits);
        }
        "vae" => {
            reading.set("VAE", name);
            reading.set("VAE hash", digits);
        }
        "lora" | "lycoris" | "locon" | "dora" if !name.is_empty() => {
            let weight = entry.get("weight").or_else(|| entry.get("strength")).and_then(Value::as_f64).unwrap_or(1.0);
            let mut resource = Resource::named(name);
            let known = reading.recipe.loras.iter_mut().find(|lora| lora.resource.name == resource.name);
            match known {
                Some(lora) => lora.resource.add_digest(digits),
                None => {
                    resource.add_digest(digits);
                    reading.lora(resource, weight as f32, None);
                }
            }
        }
        "embed" | "embedding" => reading.embedding(name, digits),
        "" => {}
        kind => reading.remark(kind, name, "this kind of model is not used here"),
    }
}

fn first_name(list: &Value) -> Option<&str> {
    list.as_array()?.first()?.as_str()
}

/// The graph is an object, or one as text, with both of ComfyUI's forms in it.
fn comfy_graph(value: &Value) -> Option<Recipe> {
    let parsed = value.as_str().and_then(super::read::json);
    let value = parsed.as_ref().unwrap_or(value);
    let prompt = value.get("prompt").and_then(comfy::recipe);
    prompt.or_else(|| comfy::recipe_of_workflow(value.get("workflow")?))
}

/// What the graph says where the data does not.
fn fill(recipe: &mut Recipe, graph: Recipe) {
    let Recipe { prompt, negative_prompt, steps, sampler, schedule, guidance_scale, seed, .. } = graph;
    if recipe.prompt.is_empty() {
        recipe.prompt = prompt;
    }
    if recipe.negative_prompt.is_empty() {
        recipe.negative_prompt = negative_prompt;
    }
    recipe.steps = recipe.steps.or(steps);
    recipe.sampler = recipe.sampler.or(sampler);
    // The site writes a sampler's name as A1111 would, and leaves its schedule to the graph.
    recipe.schedule = schedule.or(recipe.schedule);
    recipe.guidance_scale = recipe.guidance_scale.or(guidance_scale);
    recipe.seed = recipe.seed.or(seed);
    recipe.width = recipe.width.or(graph.width);
    recipe.height = recipe.height.or(graph.height);
    recipe.clip_skip = recipe.clip_skip.or(graph.clip_skip);
    recipe.strength = recipe.strength.or(graph.strength);
    recipe.model = recipe.model.take().or(graph.model);
    recipe.vae = recipe.vae.take().or(graph.vae);
    if recipe.loras.is_empty() {
        recipe.loras = graph.loras;
    }
    recipe.program = recipe.program.take().or(graph.program);
    recipe.remarks.extend(graph.remarks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::generation::{Sampler, Schedule};

    fn fixture(name: &str) -> Value {
        let path = format!("{}/../../tests/fixtures/hubs/civitai/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn read(meta: &Value) -> Recipe {
        recipe(meta.as_object().unwrap()).unwrap()
    }

    #[test]
    fn a_picture_of_the_sites_own_generator_names_versions() {
        let recipe = read(&fixture("docs-2026-images.json")["items"][0]["meta"]);
        assert_eq!((recipe.steps, recipe.guidance_scale, recipe.seed), (Some(45), Some(5.0), Some(1_938_345_220)));
        assert_eq!((recipe.width, recipe.height, recipe.clip_skip), (Some(832), Some(1216), Some(2)));
        assert_eq!((recipe.sampler, recipe.schedule), (Some(Sampler::DpmPlusPlus2m), Some(Schedule::Normal)));
        assert_eq!(recipe.model.unwrap().civitai_version, Some(345_685));
        let loras: Vec<_> = recipe.loras.iter().map(|lora| (lora.resource.civitai_version, lora.weight)).collect();
        assert_eq!(loras[0], (Some(249_861), 0.65));
    }

    #[test]
    fn what_the_sites_old_parser_broke_is_put_together_again() {
        let page = fixture("model-version-by-id-2023-12-242807.json");
        let recipe = read(&page["images"][0]["meta"]);
        let [lora] = &recipe.loras[..] else { panic!("{:?}", recipe.loras) };
        assert_eq!((lora.resource.name.as_str(), lora.weight), ("sd_xl_turbo_lora_v1-128dim", 1.0));
        assert_eq!(lora.resource.digests, ["813ea5fb1c67"]);
        assert_eq!(recipe.prompt, "1 girl, snow");
        assert_eq!(recipe.model.unwrap().digests, ["31e35c80fc"]);
        assert_eq!(recipe.vae.unwrap().digests, ["235745af8d"]);
        assert_eq!((recipe.sampler, recipe.clip_skip), (Some(Sampler::Lcm), Some(2)));
    }

    #[test]
    fn every_recorded_picture_is_read() {
        let page = fixture("images-2023-wiki.json");
        let recipe = read(&page["items"][0]["meta"]);
        assert_eq!((recipe.width, recipe.height), (Some(512), Some(768)));
        assert_eq!(recipe.model.unwrap().name, "Meina");
        assert_eq!(recipe.loras[0].resource.name, "setsunaTokage_v10");
        let hires = recipe.hires.unwrap();
        assert!(hires.scale.is_some() && hires.strength.is_some(), "{hires:?}");
        assert_eq!(recipe.strength, None, "it is the second pass's");
    }

    #[test]
    fn a_graph_says_what_the_data_does_not() {
        let graph = r#"{"prompt": {
            "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a/b.safetensors"}},
            "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 32}},
            "3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 2, "cfg": 3, "sampler_name": "dpmpp_2m",
                "scheduler": "karras", "model": ["1", 0], "latent_image": ["2", 0]}}}}"#;
        let recipe = read(&serde_json::json!({"prompt": "x", "steps": 20, "sampler": "DPM++ 2M", "comfy": graph}));
        assert_eq!((recipe.steps, recipe.seed, recipe.width), (Some(20), Some(1), Some(64)));
        assert_eq!(recipe.schedule, Some(Schedule::Karras));
        assert_eq!(recipe.model.unwrap().name, "b");
        let only_graph = super::recipe(serde_json::json!({"comfy": graph}).as_object().unwrap()).unwrap();
        assert_eq!(only_graph.steps, Some(2));
        assert_eq!(super::recipe(&Map::new()), None);
    }
}
