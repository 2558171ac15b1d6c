//! The text against A1111's rules, and against what CivitAI's own parsers made of it.

use super::*;
use paintbox_domain::generation::{Canny, NoiseSettings, Schedule};
use serde::Deserialize;
use std::collections::BTreeMap;

fn named(name: &str, digit: u8) -> Resource {
    Resource::of_file(name, Some(&paintbox_domain::Sha256::from_bytes([digit; 32])))
}

fn lora(name: &str, digit: u8, weight: f32) -> LoraResource {
    LoraResource { resource: named(name, digit), weight, text_encoder_weight: None }
}

/// One whose tensors have a digest of their own.
fn of_tensors(name: &str, digit: u8, weight: f32) -> LoraResource {
    let mut lora = lora(name, digit, weight);
    lora.resource.digests.push("0123456789ab".to_owned());
    lora
}

fn plain() -> Recipe {
    Recipe {
        prompt: "red heart".to_owned(),
        steps: Some(25),
        sampler: Some(Sampler::DpmPlusPlus2m),
        schedule: Some(Schedule::Karras),
        guidance_scale: Some(3.0),
        seed: Some(7),
        width: Some(64),
        height: Some(96),
        clip_skip: Some(1),
        model: Some(named("tiny-emoji", 0xab)),
        program: Some("Paintbox 1.2.3".to_owned()),
        ..Recipe::default()
    }
}

fn recipes() -> [(&'static str, Recipe); 5] {
    let everything = Recipe {
        prompt: "(red:1.2) heart, \"so said\"\nin \\(two\\) lines".to_owned(),
        negative_prompt: "blurry, grey: all\nof it".to_owned(),
        guidance_scale: Some(7.5),
        seed: Some(u64::MAX),
        clip_skip: Some(2),
        strength: Some(0.55),
        vae: Some(named("kl-f8-anime2", 0x12)),
        loras: vec![of_tensors("greyscale", 0xcd, 0.8), lora("add_detail-v1.1", 0xef, -1.0)],
        embeddings: vec![named("lantern", 0x34), named("bad-hands-5", 0x56)],
        ..plain()
    };
    let awkward = Recipe {
        prompt: "赤いハート".to_owned(),
        schedule: Some(Schedule::SgmUniform),
        model: Some(named("Tiny, \"Emoji\": {v1}", 0xab)),
        loras: vec![
            lora("a:b, c>", 0x11, 1.0),
            lora("style", 0x22, 0.5),
            lora("style", 0x33, 0.25),
            lora("", 0x44, 2.0),
        ],
        ..plain()
    };
    let folder = Recipe { model: Some(named("tiny-emoji/tiny-emoji", 0xab)), ..plain() };
    let empty_prompt = Recipe { prompt: String::new(), loras: vec![lora("greyscale", 0xcd, 1.0)], ..plain() };
    [
        ("plain", plain()),
        ("everything", everything),
        ("awkward names", awkward),
        ("a folder", folder),
        ("an empty prompt", empty_prompt),
    ]
}

/// What a parser made of a text: civitai/civitai's or civitai/media-metadata's, both with the site's own schema.
#[derive(Deserialize)]
struct Parsed {
    #[serde(default)]
    prompt: String,
    #[serde(default, rename = "negativePrompt")]
    negative_prompt: String,
    sampler: String,
    seed: serde_json::Number,
    width: u32,
    height: u32,
    hashes: BTreeMap<String, String>,
    resources: Vec<ParsedResource>,
}

#[derive(Deserialize)]
struct ParsedResource {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    hash: Option<String>,
    weight: Option<f64>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    civitai: Parsed,
    media_metadata: Parsed,
}

/// `tests/goldens/recipes.json`; the README beside it says what it was made with.
fn recorded() -> BTreeMap<String, Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/recipes.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn writes_the_text_that_a1111_writes() {
    let recorded = recorded();
    for (name, recipe) in recipes() {
        assert_eq!(recipe.parameters_text(), recorded[name].text, "{name}");
    }
    assert_eq!(
        plain().parameters_text(),
        "red heart\nSteps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 3, Seed: 7, Size: 64x96, \
         Model hash: ababababab, Model: tiny-emoji, RNG: CPU, Version: Paintbox 1.2.3, Hashes: {\"model\": \"ababababab\"}"
    );
}

#[test]
fn civitais_own_parsers_find_every_model_by_its_digest() {
    for (name, recipe) in recipes() {
        let Case { civitai, media_metadata, .. } = &recorded()[name];
        for parsed in [civitai, media_metadata] {
            let short = |resource: &Resource| resource.digests[0][..10].to_owned();
            let model = recipe.model.as_ref().unwrap();
            assert_eq!(parsed.hashes["model"], short(model), "{name}");
            assert!(
                parsed.resources.iter().any(|found| found.kind == "model" && found.hash == Some(short(model))),
                "{name}"
            );
            if let Some(vae) = &recipe.vae {
                assert_eq!(parsed.hashes["vae"], short(vae), "{name}");
            }
            for embedding in &recipe.embeddings {
                assert_eq!(parsed.hashes[&format!("embed:{}", embedding.name)], short(embedding), "{name}");
            }
            for (called, lora) in named_apart(&recipe.loras) {
                let digits = lora.resource.tensors_digest().unwrap();
                assert_eq!(parsed.hashes[&format!("lora:{called}")], digits, "{name}: {called}");
                let found = parsed.resources.iter().find(|found| found.name == called).unwrap();
                assert_eq!(found.hash, Some(digits), "{name}: {called}");
                // Their tags take neither other letters nor negative weights.
                let is_seen = lora.weight >= 0.0
                    && called.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
                let weight = is_seen.then_some(f64::from(lora.weight));
                assert!(
                    found.weight.zip(weight).map_or(found.weight == weight, |(a, b)| (a - b).abs() < 1e-6),
                    "{name}: {called}: {:?} for {weight:?}",
                    found.weight
                );
            }
            assert!(parsed.prompt.starts_with(recipe.prompt.as_str()), "{name}");
            assert_eq!(parsed.negative_prompt, recipe.negative_prompt, "{name}");
            assert_eq!(parsed.sampler, names::of_sampler(recipe.sampler.unwrap()));
            assert_eq!((Some(parsed.width), Some(parsed.height)), (recipe.width, recipe.height));
            // JavaScript has no more than 53 bits for a number.
            let seed = recipe.seed.unwrap() as f64;
            assert!((parsed.seed.as_f64().unwrap() / seed - 1.0).abs() < 1e-15, "{name}");
        }
    }
}

#[test]
fn what_nobody_knows_is_left_out() {
    let text = Recipe { prompt: "x".to_owned(), ..Recipe::default() }.parameters_text();
    assert_eq!(text, "x\nRNG: CPU");
    let unknown = Recipe { model: Some(Resource::of_file("somewhere", None)), ..Recipe::default() };
    assert_eq!(unknown.parameters_text(), "Model: somewhere, RNG: CPU");
}

#[test]
#[ignore = "prints the texts, to be given to CivitAI's parsers"]
fn print_the_texts() {
    let texts: BTreeMap<&str, String> =
        recipes().into_iter().map(|(name, recipe)| (name, recipe.parameters_text())).collect();
    println!("{}", serde_json::to_string_pretty(&texts).unwrap());
}

#[test]
fn a_mask_is_written_as_a1111_writes_it() {
    let masked =
        Masked { invert: true, blur: 4, content: MaskedContent::Noise, area: InpaintArea::OnlyMasked { padding: 32 } };
    let recipe = Recipe { strength: Some(0.5), masked: Some(masked), clip_skip: Some(2), ..plain() };
    let wanted = "Denoising strength: 0.5, Masked content: latent noise, Mask mode: Inpaint not masked, \
                  Inpaint area: Only masked, Masked area padding: 32, Mask blur: 4, Clip skip: 2";
    assert!(recipe.parameters_text().contains(wanted), "{}", recipe.parameters_text());
}

#[test]
fn control_nets_are_written_as_their_extension_of_a1111_writes_them() {
    let resource = named("control, canny", 0xef);
    let canny = Some(Canny::default());
    let control = ControlResource { resource, canny, strength: 0.5, start: 0.0, end: 0.8 };
    let recipe = Recipe { image_guidance_scale: Some(1.5), controls: vec![control], ..plain() };
    let text = recipe.parameters_text();
    let wanted = "ControlNet 0: \"Module: canny, Model: control_ canny [efefefef], Weight: 0.5, Resize Mode: Crop and \
                  Resize, Threshold A: 100, Threshold B: 200, Guidance Start: 0, Guidance End: 0.8, Pixel Perfect: True, \
                  Control Mode: Balanced\", RNG: CPU";
    assert!(text.contains(wanted), "{text}");
    assert!(text.contains("Image CFG scale: 1.5, "), "{text}");
}

#[test]
fn settings_of_noise_have_a1111s_names() {
    let recipe = Recipe {
        sampler: Some(Sampler::DpmPlusPlus2mSde),
        guidance_rescale: Some(0.7),
        noise: NoiseSettings {
            source: Some(NoiseSource::Nvidia),
            eta_seed_delta: Some(31337),
            subseed: Some(41),
            subseed_strength: Some(0.25),
            resize_from: Some((512, 768)),
            eta: Some(0.5),
            s_noise: Some(1.01),
            ..NoiseSettings::default()
        },
        ..plain()
    };
    let text = recipe.parameters_text();
    let wanted = "Variation seed: 41, Variation seed strength: 0.25, Seed resize from: 512x768, ENSD: 31337, Eta: 0.5, \
                  Sigma noise: 1.01, RNG: NV, CFG Rescale: 0.7, Version:";
    assert!(text.contains("Sampler: DPM++ 2M SDE,") && text.contains(wanted), "{text}");
    let ddim = Recipe { sampler: Some(Sampler::Ddim), ..recipe };
    assert!(ddim.parameters_text().contains("Eta DDIM: 0.5"));
}
