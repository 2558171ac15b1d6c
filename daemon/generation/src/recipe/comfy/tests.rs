//! Graphs as ComfyUI writes them into pictures, and graphs that lead nowhere.

use super::*;
use paintbox_domain::generation::{HiresUpscaler, LatentScaling, Sampler, Schedule};
use serde_json::json;

fn fields(recipe: &Recipe) -> Vec<&str> {
    recipe.remarks.iter().map(|remark| remark.field.as_str()).collect()
}

/// An XL picture with two LoRAs, a skipped layer and a VAE of its own.
fn usual() -> Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {
            "seed": 156_680_208_700_286_u64, "steps": 20, "cfg": 8.0, "sampler_name": "euler_ancestral",
            "scheduler": "karras", "denoise": 1.0, "model": ["11", 0], "positive": ["6", 0], "negative": ["7", 0],
            "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl\\dream.shaper_8.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": ["20", 0], "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["21", 0], "clip": ["12", 0]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text, embedding:EasyNegative.pt, watermark", "clip": ["12", 0]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["13", 0]}},
        "10": {"class_type": "LoraLoader", "inputs": {"lora_name": "a/first.safetensors", "strength_model": 0.8,
            "strength_clip": 0.8, "model": ["4", 0], "clip": ["4", 1]}},
        "11": {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": "second.safetensors",
            "strength_model": -0.5, "model": ["10", 0]}},
        "12": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["10", 1]}},
        "13": {"class_type": "VAELoader", "inputs": {"vae_name": "sdxl_vae.safetensors"}},
        "20": {"class_type": "PrimitiveInt", "inputs": {"value": 768}},
        "21": {"class_type": "ImpactWildcardProcessor", "inputs": {"wildcard_text": "__x__", "populated_text": "a glass bottle"}},
    })
}

#[test]
fn the_usual_graph_is_read_whole() {
    let recipe = recipe(&usual()).unwrap();
    assert_eq!((recipe.prompt.as_str(), recipe.steps), ("a glass bottle", Some(20)));
    assert_eq!(recipe.negative_prompt, "text, embedding:EasyNegative.pt, watermark");
    assert_eq!((recipe.seed, recipe.guidance_scale), (Some(156_680_208_700_286), Some(8.0)));
    assert_eq!((recipe.sampler, recipe.schedule), (Some(Sampler::EulerAncestral), Some(Schedule::Karras)));
    assert_eq!((recipe.width, recipe.height, recipe.clip_skip), (Some(512), Some(768), Some(2)));
    assert_eq!(recipe.model.as_ref().unwrap().name, "dream.shaper_8");
    assert_eq!(recipe.vae.as_ref().unwrap().name, "sdxl_vae");
    let loras: Vec<_> = recipe.loras.iter().map(|lora| (lora.resource.name.as_str(), lora.weight)).collect();
    assert_eq!(loras, [("first", 0.8), ("second", -0.5)], "in the order in which they are applied");
    assert_eq!(recipe.embeddings[0].name, "EasyNegative");
    assert_eq!((recipe.strength, fields(&recipe)), (None, vec![]), "{:?}", recipe.remarks);
}

#[test]
fn files_that_are_loaded_apart_are_read() {
    let mut graph = usual();
    graph["4"] =
        json!({"class_type": "UNETLoader", "inputs": {"unet_name": "xl.safetensors", "weight_dtype": "default"}});
    graph["14"] = json!({"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "clip_g.safetensors",
        "clip_name2": "clip_l.safetensors", "type": "sdxl"}});
    graph["10"]["inputs"]["clip"] = json!(["14", 0]);
    let recipe = recipe(&graph).unwrap();
    assert_eq!(recipe.model.as_ref().unwrap().name, "xl");
    let encoders: Vec<_> = recipe.text_encoders.iter().map(|encoder| encoder.name.as_str()).collect();
    assert_eq!(encoders, ["clip_g", "clip_l"]);
    assert_eq!((recipe.clip_skip, fields(&recipe)), (Some(2), vec![]), "{:?}", recipe.remarks);
}

/// The usual graph, and a second sampler over its latents, which `upscale` enlarges.
fn twice(upscale: &[(&str, Value)]) -> Value {
    let mut graph = usual();
    graph["1"] = json!({"class_type": "KSampler", "inputs": {"seed": 1, "steps": 5, "cfg": 2, "sampler_name": "euler",
        "scheduler": "normal", "denoise": 0.5, "model": ["4", 0], "positive": ["6", 0], "negative": ["30", 0],
        "latent_image": ["2", 0]}});
    graph["30"] = json!({"class_type": "CLIPTextEncode", "inputs": {"text": "grey", "clip": ["12", 0]}});
    for (id, node) in upscale {
        graph[*id] = node.clone();
    }
    graph
}

#[test]
fn a_sampler_behind_another_is_a_second_pass() {
    let latent = json!({"class_type": "LatentUpscaleBy", "inputs": {"samples": ["3", 0], "scale_by": 1.5,
        "upscale_method": "nearest-exact"}});
    let recipe = recipe(&twice(&[("2", latent)])).unwrap();
    assert_eq!((recipe.steps, recipe.width, recipe.strength), (Some(20), Some(512), None));
    let hires = recipe.hires.as_ref().unwrap();
    assert_eq!((hires.scale, hires.steps, hires.strength), (Some(1.5), Some(5), Some(0.5)));
    assert_eq!((hires.sampler, hires.schedule), (Some(Sampler::Euler), Some(Schedule::Normal)));
    assert_eq!(hires.upscaler, Some(HiresUpscaler::Latents(LatentScaling::NearestExact)));
    assert_eq!((hires.prompt.as_deref(), hires.negative_prompt.as_deref()), (None, Some("grey")));
    assert_eq!(fields(&recipe), ["seed"], "it begins with another one");
}

#[test]
fn a_second_pass_may_go_through_an_upscaler() {
    let nodes = [
        ("2", json!({"class_type": "VAEEncode", "inputs": {"pixels": ["33", 0], "vae": ["13", 0]}})),
        (
            "33",
            json!({"class_type": "ImageScaleBy", "inputs": {"image": ["32", 0], "scale_by": 0.5,
            "upscale_method": "lanczos"}}),
        ),
        (
            "32",
            json!({"class_type": "ImageUpscaleWithModel", "inputs": {"upscale_model": ["31", 0], "image": ["8", 0]}}),
        ),
        ("31", json!({"class_type": "UpscaleModelLoader", "inputs": {"model_name": "up/4x-UltraSharp.pth"}})),
    ];
    let hires = recipe(&twice(&nodes)).unwrap().hires.unwrap();
    assert_eq!(hires.scale, Some(2.0));
    assert_eq!(hires.upscaler.unwrap().network().unwrap().name, "4x-UltraSharp");
}

#[test]
fn a_sampler_behind_what_is_not_understood_is_left_out() {
    // Of another shape, and behind a node that nobody knows.
    let stretched =
        json!({"class_type": "LatentUpscale", "inputs": {"samples": ["3", 0], "width": 1024, "height": 1024}});
    let unknown = json!({"class_type": "LatentSwirl", "inputs": {"samples": ["3", 0]}});
    for (node, remark) in [(stretched, "Hires resize"), (unknown, "KSampler")] {
        let recipe = recipe(&twice(&[("2", node)])).unwrap();
        assert_eq!((recipe.steps, recipe.width, recipe.hires.is_none()), (Some(20), Some(512), true));
        assert!(fields(&recipe).contains(&remark), "{:?}", recipe.remarks);
        assert_eq!(recipe.strength, None, "it is the second pass'");
    }
}

#[test]
fn a_sampler_in_parts_is_put_together() {
    let graph = json!({
        "1": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["2", 0], "guider": ["3", 0], "sampler": ["4", 0],
            "sigmas": ["5", 0], "latent_image": ["6", 0]}},
        "2": {"class_type": "RandomNoise", "inputs": {"noise_seed": 42}},
        "3": {"class_type": "CFGGuider", "inputs": {"cfg": 4.5, "model": ["7", 0], "positive": ["8", 0], "negative": ["9", 0]}},
        "4": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "dpmpp_2m"}},
        "5": {"class_type": "KarrasScheduler", "inputs": {"steps": 12, "sigma_max": 14.6, "sigma_min": 0.03, "rho": 7}},
        "6": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024, "height": 512, "batch_size": 1}},
        "7": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}},
        "8": {"class_type": "CLIPTextEncodeSDXL", "inputs": {"text_g": "large", "text_l": "small", "clip": ["7", 1]}},
        "9": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["8", 0]}},
    });
    let recipe = recipe(&graph).unwrap();
    assert_eq!((recipe.seed, recipe.guidance_scale, recipe.steps), (Some(42), Some(4.5), Some(12)));
    assert_eq!((recipe.sampler, recipe.schedule), (Some(Sampler::DpmPlusPlus2m), Some(Schedule::Karras)));
    assert_eq!((recipe.prompt.as_str(), recipe.negative_prompt.as_str()), ("large", ""));
    assert_eq!(fields(&recipe), ["text_l"]);
}

#[test]
fn the_form_that_people_edit_says_the_same() {
    let workflow = json!({
        "nodes": [
            {"id": 1, "type": "CheckpointLoaderSimple", "mode": 0, "widgets_values": ["m.safetensors"]},
            {"id": 2, "type": "LoraLoader", "mode": 0, "widgets_values": ["on.safetensors", 0.7, 0.7],
                "inputs": [{"name": "model", "link": 10}, {"name": "clip", "link": 11}]},
            {"id": 3, "type": "LoraLoader", "mode": 4, "widgets_values": ["off.safetensors", 1, 1],
                "inputs": [{"name": "model", "link": 12}, {"name": "clip", "link": 13}]},
            {"id": 4, "type": "CLIPTextEncode", "widgets_values": ["a fox"], "inputs": [{"name": "clip", "link": 14}]},
            {"id": 5, "type": "CLIPTextEncode", "widgets_values": ["ugly"], "inputs": [{"name": "clip", "link": 14}]},
            {"id": 6, "type": "EmptyLatentImage", "widgets_values": [640, 480, 1]},
            {"id": 7, "type": "KSampler", "widgets_values": [99, "randomize", 15, 6.5, "euler", "normal", 1],
                "inputs": [{"name": "model", "link": 15}, {"name": "positive", "link": 16}, {"name": "negative", "link": 17},
                    {"name": "latent_image", "link": 18}]},
            {"id": 8, "type": "KSampler", "mode": 2, "widgets_values": [1, "fixed", 1, 1, "euler", "normal", 1],
                "inputs": [{"name": "latent_image", "link": 18}]},
        ],
        "links": [[10, 1, 0, 2, 0, "MODEL"], [11, 1, 1, 2, 1, "CLIP"], [12, 2, 0, 3, 0, "MODEL"], [13, 2, 1, 3, 1, "CLIP"],
            [14, 3, 1, 4, 0, "CLIP"], [15, 3, 0, 7, 0, "MODEL"], [16, 4, 0, 7, 1, "C"], [17, 5, 0, 7, 2, "C"],
            [18, 6, 0, 7, 3, "LATENT"]]
    });
    let recipe = recipe_of_workflow(&workflow).unwrap();
    assert_eq!((recipe.prompt.as_str(), recipe.negative_prompt.as_str()), ("a fox", "ugly"));
    assert_eq!((recipe.seed, recipe.steps, recipe.guidance_scale), (Some(99), Some(15), Some(6.5)));
    assert_eq!((recipe.width, recipe.height), (Some(640), Some(480)));
    assert_eq!(recipe.model.as_ref().unwrap().name, "m");
    let loras: Vec<_> = recipe.loras.iter().map(|lora| lora.resource.name.as_str()).collect();
    assert_eq!((loras, fields(&recipe)), (vec!["on"], vec![]), "{:?}", recipe.remarks);
}

#[test]
fn graphs_that_lead_nowhere_or_in_circles_are_given_up_field_by_field() {
    let graph = json!({
        "1": {"class_type": "KSampler", "inputs": {"seed": ["1", 0], "steps": ["2", 0], "cfg": [], "sampler_name": 5,
            "scheduler": null, "model": ["3", 0], "positive": ["4", 0], "negative": ["99", 0], "latent_image": ["5", 0]}},
        "2": {"class_type": "Math", "inputs": {"a": ["2", 0]}},
        "3": {"class_type": "FreeU", "inputs": {"model": ["6", 0]}},
        "6": {"class_type": "LoraLoader", "inputs": {"model": ["3", 0], "lora_name": "x", "strength_model": 1}},
        "4": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["4", 0]}},
        "5": {"class_type": "Mystery", "inputs": {}},
    });
    let recipe = recipe(&graph).unwrap();
    assert_eq!((recipe.steps, recipe.model.as_ref(), recipe.prompt.as_str()), (None, None, ""));
    for field in ["Steps", "CFG scale", "Sampler", "model", "positive", "latent_image"] {
        assert!(fields(&recipe).contains(&field), "{field}: {:?}", recipe.remarks);
    }
    assert_eq!((recipe.remarks.len() <= 60, recipe.loras.len()), (true, 1));
    for nothing in [json!({}), json!([]), json!({"1": {"class_type": "SaveImage", "inputs": {}}}), json!({"1": 2})] {
        assert_eq!(super::recipe(&nothing), None);
        assert_eq!(recipe_of_workflow(&nothing), None);
    }
}

#[test]
fn a_picture_over_another_says_how_much_of_it() {
    let mut graph = usual();
    graph["3"]["inputs"]["denoise"] = json!(0.6);
    graph["3"]["inputs"]["latent_image"] = json!(["30", 0]);
    graph["30"] = json!({"class_type": "VAEEncode", "inputs": {"pixels": ["31", 0], "vae": ["13", 0]}});
    graph["31"] = json!({"class_type": "LoadImage", "inputs": {"image": "x.png"}});
    let recipe = recipe(&graph).unwrap();
    assert_eq!((recipe.strength, recipe.width), (Some(0.6), None));
}
