//! What we write we read back; and whatever bytes come, there is an end.

use super::*;
use crate::recipe::{LoraResource, Resource, encode};
use paintbox_domain::generation::{NoiseSettings, NoiseSource, PaintedImage, PictureFormat, Sampler, Schedule};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Words as they are read: without spaces around them, and no line that begins the negative prompt.
fn words() -> impl Strategy<Value = String> {
    let text = "[a-zA-Z0-9 ,.:;(){}\\[\\]<>\"'\\\\|=é赤\u{1F98A}\n]{0,60}";
    text.prop_map(|text| text.trim().to_owned())
        .prop_filter("begins the negative prompt", |text| !text.contains("Negative prompt:"))
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_é\\[][a-zA-Z0-9_ .é\\[\\]()=-]{0,12}[a-z0-9]"
        .prop_filter("has the ending of a file", |name| crate::recipe::stem_of_weights(name).is_none())
}

fn digits(count: usize) -> impl Strategy<Value = String> {
    vec(select(b"0123456789abcdef".to_vec()), count).prop_map(|digits| String::from_utf8(digits).unwrap())
}

fn resource() -> impl Strategy<Value = Resource> {
    (name(), digits(10)).prop_map(|(name, digits)| Resource { name, digests: vec![digits], civitai_version: None })
}

fn lora() -> impl Strategy<Value = LoraResource> {
    let weights = (-2.0_f32..2.0, proptest::option::of(-2.0_f32..2.0));
    (name(), proptest::option::of(digits(12)), digits(10), weights).prop_map(|(name, tensors, whole, weights)| {
        let digests = tensors.into_iter().chain([whole]).collect();
        let (weight, text_encoder_weight) = weights;
        let text_encoder_weight = text_encoder_weight.filter(|other| other.to_bits() != weight.to_bits());
        LoraResource { resource: Resource { name, digests, civitai_version: None }, weight, text_encoder_weight }
    })
}

fn unlike<T>(resources: Vec<T>, name: impl Fn(&T) -> String) -> Vec<T> {
    let mut seen = std::collections::BTreeSet::new();
    resources.into_iter().filter(|resource| seen.insert(name(resource).to_ascii_lowercase())).collect()
}

fn noise() -> impl Strategy<Value = NoiseSettings> {
    let number = || proptest::option::of(0.01_f32..1.0);
    let side = || 64..4096_u32;
    (
        select(NoiseSource::ALL.to_vec()),
        proptest::option::of((any::<u64>(), 0.01_f32..1.0)),
        proptest::option::of((side(), side())),
        proptest::option::of(1..i64::MAX),
        (number(), number(), number(), number(), number()),
    )
        .prop_map(|(source, variation, resize_from, eta_seed_delta, (eta, s_churn, s_tmin, s_tmax, s_noise))| {
            NoiseSettings {
                source: Some(source),
                eta_seed_delta,
                subseed: variation.map(|(subseed, _)| subseed),
                subseed_strength: variation.map(|(_, strength)| strength),
                resize_from,
                eta,
                s_churn,
                s_tmin,
                s_tmax,
                s_noise,
            }
        })
}

fn written() -> impl Strategy<Value = Recipe> {
    let settings = (
        1..1000_u32,
        select(Sampler::ALL.to_vec()),
        select(Schedule::ALL.to_vec()),
        0.0_f32..100.0,
        any::<u64>(),
        (1..20_000_u32, 1..20_000_u32),
        1..12_u32,
        proptest::option::of(0.01_f32..1.0),
        (noise(), proptest::option::of(0.01_f32..1.0)),
    );
    let models =
        (resource(), proptest::option::of(resource()), vec(resource(), 0..3), vec(lora(), 0..4), vec(resource(), 0..3));
    (words(), words(), settings, models).prop_map(|(prompt, negative_prompt, settings, models)| {
        let (steps, sampler, schedule, scale, seed, (width, height), clip_skip, strength, (noise, rescale)) = settings;
        let (model, vae, text_encoders, loras, embeddings) = models;
        Recipe {
            prompt,
            negative_prompt,
            steps: Some(steps),
            sampler: Some(sampler),
            schedule: Some(schedule),
            guidance_scale: Some(scale),
            guidance_rescale: rescale,
            image_guidance_scale: None,
            seed: Some(seed),
            noise,
            width: Some(width),
            height: Some(height),
            clip_skip: Some(clip_skip),
            strength,
            masked: None,
            controls: Vec::new(),
            hires: None,
            upscale: None,
            model: Some(model),
            vae,
            text_encoders: unlike(text_encoders, |resource| resource.name.clone()),
            loras: unlike(loras, |lora| lora.resource.name.clone()),
            embeddings: unlike(embeddings, |resource| resource.name.clone()),
            program: Some("Paintbox 1.2.3".to_owned()),
            remarks: Vec::new(),
        }
    })
}

fn picture(format: PictureFormat, text: &str) -> Vec<u8> {
    let image = PaintedImage { seed: 0, width: 3, height: 2, rgb: vec![200; 18] };
    encode(&image, format, None, text).unwrap()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_from_every_format(recipe in written()) {
        let text = recipe.parameters_text();
        prop_assert_eq!(Recipe::read(text.as_bytes()), Ok(recipe.clone()), "{}", text);
        for format in PictureFormat::ALL {
            prop_assert_eq!(Recipe::read(&picture(*format, &text)), Ok(recipe.clone()), "{}", format);
        }
    }

    #[test]
    fn damaged_pictures_end_in_a_recipe_or_an_error(
        recipe in written(), format in select(PictureFormat::ALL.to_vec()), at in any::<u16>(), byte in any::<u8>(),
    ) {
        let mut bytes = picture(format, &recipe.parameters_text());
        let at = usize::from(at) % bytes.len();
        bytes[at] = byte;
        drop(Recipe::read(&bytes));
        bytes.truncate(at);
        drop(Recipe::read(&bytes));
    }

    #[test]
    fn any_text_ends_in_a_recipe_or_an_error(text in "\\PC{0,200}", settings in "[ -~]{0,80}") {
        drop(Recipe::read(text.as_bytes()));
        drop(Recipe::read(format!("{text}\nSteps: 1, {settings}").as_bytes()));
        drop(Recipe::of_civitai(&text));
    }
}

#[test]
fn the_corpus_is_judged_as_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/recipe");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let read = Recipe::read(&std::fs::read(&path).unwrap());
        let fits = match name.split('-').next().unwrap() {
            "ok" => read.as_ref().is_ok_and(|recipe| recipe.steps == Some(20) && recipe.prompt.contains("fox")),
            "nothing" => read == Err(RecipeError::NoRecipe),
            "foreign" => matches!(read, Err(RecipeError::NotUnderstood { .. })),
            "unreadable" => read == Err(RecipeError::NotReadable),
            // What the fuzzer adds needs no verdict, only an end.
            _ => continue,
        };
        assert!(fits, "{name}: {read:?}");
        seen += 1;
    }
    assert!(seen >= 69, "{seen} files of the corpus were replayed");
}

#[test]
fn python_s_numbers_that_are_none_are_read_as_none() {
    let value = json(r#"{"a": [NaN], "b": -Infinity, "c": "NaN \" Infinity", "d": "\\", "e": Infinity}"#).unwrap();
    assert_eq!(value, serde_json::json!({"a": [null], "b": null, "c": "NaN \" Infinity", "d": "\\", "e": null}));
    assert_eq!(json("{\"a\": NaN"), None);
    assert_eq!(json("\"\\é"), None);
}

#[test]
fn errors_say_what_to_do() {
    let error = Recipe::read(b"GIF89a").unwrap_err();
    assert_eq!((error.class(), error.reason(), error.hint()), (ErrorClass::InvalidInput, "RECIPE_NOT_FOUND", None));
    let error = Recipe::read(&picture(PictureFormat::Png, " ")).unwrap_err();
    assert_eq!((error.class(), error.reason()), (ErrorClass::NotFound, "RECIPE_NOT_FOUND"));
    assert!(error.hint().unwrap().contains("messengers"));
    let error = Recipe::read(&picture(PictureFormat::Webp, "hello")).unwrap_err();
    assert_eq!(error.to_string(), "how the picture was made is not understood: it has `parameters`");
}
