//! Texts as A1111 of several years, Forge, SD.Next and their extensions wrote them.

use super::*;
use paintbox_domain::generation::{NoiseSettings, NoiseSource, Sampler, Schedule};

fn read(text: &str) -> Recipe {
    recipe(text).unwrap_or_else(|| panic!("{text}"))
}

fn remarks(recipe: &Recipe) -> Vec<&str> {
    recipe.remarks.iter().map(|remark| remark.field.as_str()).collect()
}

#[test]
fn a_text_of_2022_names_its_model_by_eight_digits() {
    let recipe = read(
        "girl with an artist's beret, ((eyeshadow))\nby a lamp\nNegative prompt: ugly, fat, (((deformed))),\n[blurry]\n\
         Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x768, Model hash: 45dee52b",
    );
    assert_eq!(recipe.prompt, "girl with an artist's beret, ((eyeshadow))\nby a lamp");
    assert_eq!(recipe.negative_prompt, "ugly, fat, (((deformed))),\n[blurry]");
    assert_eq!((recipe.steps, recipe.seed), (Some(20), Some(965_400_086)));
    assert_eq!((recipe.sampler, recipe.schedule), (Some(Sampler::EulerAncestral), Some(Schedule::Normal)));
    assert_eq!((recipe.width, recipe.height), (Some(512), Some(768)));
    assert_eq!(recipe.model.as_ref().unwrap().digests, ["45dee52b"]);
    assert_eq!((recipe.clip_skip, recipe.strength), (None, None));
    assert_eq!(recipe.noise.source, Some(NoiseSource::Nvidia), "a graphics card drew the noise");
    assert_eq!(remarks(&recipe), Vec::<&str>::new());
}

#[test]
fn a_text_of_2023_has_loras_hires_and_quotes() {
    let recipe = read(
        "masterpiece, <lora:add_detail:0.6>, 1girl <lora:epi noise:1:0.5>\r\n\
         Negative prompt: EasyNegative\r\n\
         Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 1, Size: 512x512, Model hash: c35782bad8, \
         Model: realisticVision_v13, VAE hash: 735e4c3a44, VAE: vae-ft-mse-840000.safetensors, Variation seed: 5, \
         Variation seed strength: 0.1, Denoising strength: 0.4, Clip skip: 2, ENSD: 31337, RNG: CPU, \
         Hires upscale: 2, Hires upscaler: 4x-UltraSharp, ADetailer prompt: \"face, \\\"smile\\\": yes\", \
         Lora hashes: \"add_detail: 7c6bad76eb54, epi noise: 81680c064e9f\", TI hashes: \"EasyNegative: c74b4e810b03\", \
         Version: v1.6.0-2-g4afaaf8a, \
         Hashes: {\"vae\": \"735e4c3a44\", \"lora:add_detail\": \"0123456789\", \"model\": \"c35782bad8\"}",
    );
    assert_eq!((recipe.sampler, recipe.schedule), (Some(Sampler::DpmPlusPlus2m), Some(Schedule::Karras)));
    assert_eq!(recipe.prompt, "masterpiece, , 1girl");
    let loras: Vec<_> =
        recipe.loras.iter().map(|lora| (&lora.resource.name[..], lora.weight, &lora.resource.digests[..])).collect();
    assert_eq!(loras[0], ("add_detail", 0.6, &["7c6bad76eb54".to_owned(), "0123456789".to_owned()][..]));
    assert_eq!(loras[1], ("epi noise", 0.5, &["81680c064e9f".to_owned()][..]));
    assert_eq!(recipe.vae.as_ref().unwrap().name, "vae-ft-mse-840000");
    assert_eq!(recipe.embeddings[0].digests, ["c74b4e810b"], "the beginning of the file's digest");
    assert_eq!((recipe.clip_skip, recipe.strength), (Some(2), None), "the strength is the second pass's");
    let fields = remarks(&recipe);
    assert_eq!(recipe.loras[1].text_encoder_weight, Some(1.0));
    let noise = NoiseSettings {
        source: Some(NoiseSource::Cpu),
        subseed: Some(5),
        subseed_strength: Some(0.1),
        eta_seed_delta: Some(31_337),
        ..NoiseSettings::default()
    };
    assert_eq!(recipe.noise, noise);
    assert!(fields.contains(&"ADetailer prompt"), "{fields:?}");
    let hires = recipe.hires.as_ref().unwrap();
    assert_eq!((hires.scale, hires.strength, hires.steps), (Some(2.0), Some(0.4), None));
    assert_eq!(hires.upscaler.as_ref().unwrap().network().unwrap().name, "4x-UltraSharp");
    let quoted = recipe.remarks.iter().find(|remark| remark.field == "ADetailer prompt").unwrap();
    assert_eq!(quoted.given, "face, \"smile\": yes");
}

#[test]
fn a_text_of_2024_says_its_schedule_apart() {
    let text = |sampler: &str, schedule: &str| {
        format!(
            "x\nSteps: 8, Sampler: {sampler}, Schedule type: {schedule}, CFG scale: 2, Seed: 3, Size: 64x64, RNG: CPU"
        )
    };
    for (sampler, schedule, wanted) in [
        ("DPM++ 2M", "Karras", Some(Schedule::Karras)),
        ("DPM++ 2M", "Automatic", Some(Schedule::Karras)),
        ("Euler", "Automatic", Some(Schedule::Normal)),
        ("Euler", "SGM Uniform", Some(Schedule::SgmUniform)),
        ("Euler", "Align Your Steps", Some(Schedule::AlignYourSteps)),
        ("LCM", "Automatic", None),
    ] {
        let recipe = read(&text(sampler, schedule));
        assert_eq!((recipe.schedule, remarks(&recipe)), (wanted, vec![]), "{sampler}, {schedule}");
    }
    let recipe = read(&text("Dreamy", "Sleepy"));
    assert_eq!((recipe.sampler, recipe.schedule), (None, None));
    assert_eq!(remarks(&recipe), ["Sampler", "Schedule type"]);
}

#[test]
fn what_extensions_append_is_no_setting() {
    let recipe = read(
        "a fox\nSteps: 8, Sampler: Euler, CFG scale: 2, Seed: 3, Size: 64x64, RNG: CPU, Created Date: 2024-01-02T10:11:12.5Z, \
         Civitai resources: [{\"type\":\"checkpoint\",\"modelVersionId\":345685,\"modelName\":\"A, B\"},\
         {\"type\":\"lora\",\"weight\":0.65,\"air\":\"urn:air:sdxl:lora:civitai:1@249861\"}], Civitai metadata: {\"a\":{}}\n\
         Template: a {fox|dog}\nNegative Template: ugly",
    );
    assert_eq!(recipe.model.as_ref().unwrap().civitai_version, Some(345_685));
    assert_eq!((recipe.loras[0].resource.civitai_version, recipe.loras[0].weight), (Some(249_861), 0.65));
    assert_eq!(remarks(&recipe), Vec::<&str>::new(), "{:?}", recipe.remarks);
}

#[test]
fn the_last_line_with_settings_is_it() {
    let recipe = read("Steps: 5 to heaven\nSteps: 8, Sampler: Euler, Seed: 3");
    assert_eq!((recipe.prompt.as_str(), recipe.steps), ("Steps: 5 to heaven", Some(8)));
    let without_steps = read("x\nSampler: Euler, CFG scale: 2, Seed: 3");
    assert_eq!((without_steps.prompt.as_str(), without_steps.seed), ("x", Some(3)));
    assert_eq!(recipe_of("just words, with commas: yes"), None);
    assert_eq!(recipe_of(""), None);
}

fn recipe_of(text: &str) -> Option<Recipe> {
    recipe(text)
}

#[test]
fn broken_values_are_told_and_break_nothing() {
    let recipe = read(
        "x\nSteps: many, Steps: 8.0, Sampler: Euler, CFG scale: NaN, Seed: -1, Size: 64, Clip skip: 0, Model: \"open, \
         Hashes: {\"model\": , bare word, Lora hashes: \"x\"",
    );
    assert_eq!((recipe.steps, recipe.guidance_scale, recipe.seed, recipe.width), (Some(8), None, None, None));
    assert_eq!(recipe.clip_skip, None);
    for field in ["Steps", "CFG scale", "Size", "Hashes", "parameters"] {
        assert!(remarks(&recipe).contains(&field), "{field}: {:?}", recipe.remarks);
    }
    let endless = format!("x\nSteps: 1{}", ", a: b".repeat(5000));
    assert!(read(&endless).remarks.len() <= 60);
}

#[test]
fn in_our_own_texts_what_is_not_said_is_1() {
    let recipe = read("x <lora:mine:1>\nSteps: 8, Sampler: Euler, Seed: 3, Version: Paintbox 1.0");
    assert_eq!((recipe.prompt.as_str(), recipe.loras.len(), recipe.clip_skip), ("x", 1, Some(1)));
    assert_eq!(remarks(&recipe), Vec::<&str>::new(), "our noise is a CPU's");
}

#[test]
fn parameters_are_told_by_their_names() {
    let text = "a fox\nin snow\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Lora hashes: \"a: 1, b: 2\"";
    let found = parameters(text);
    let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let wanted = [
        ("Prompt", "a fox\nin snow"),
        ("Negative prompt", "blurry"),
        ("Steps", "20"),
        ("Sampler", "Euler a"),
        ("Lora hashes", "a: 1, b: 2"),
    ];
    assert_eq!(found, wanted);
    assert_eq!(parameters("a fox in snow"), []);
}
