//! A LoRA for XL's text encoders and UNet in kohya's names, against diffusers (`make_adapters.py`).

use super::families::{Family, both_forms, weight, write};
use super::{Silence, differences, engine, request};
use crate::testing::{GoldenTensors, golden_json, note};
use paintbox_domain::Sha256;
use paintbox_domain::generation::{Generator, LoraFile, PaintRequest, Sampler};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Lora {
    tensors: BTreeMap<String, Vec<usize>>,
}

#[test]
fn a_lora_of_xl_reaches_both_text_encoders_and_the_unet() {
    let home = tempfile::tempdir().unwrap();
    let adapter: Lora = golden_json("adapters/xl.json");
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
    for (name, shape) in &adapter.tensors {
        if let Some(stem) = name.strip_suffix(".lora_down.weight") {
            tensors.insert(format!("{stem}.alpha"), (vec![], vec![2.0]));
        }
        tensors.insert(name.clone(), (shape.clone(), weight("lora", name, shape)));
    }
    let path = home.path().join("xl-lora.safetensors");
    write(&path, &tensors);
    let of = |weight, text_encoder_weight| LoraFile {
        name: "xl".to_owned(),
        path: path.clone(),
        sha256: Sha256::from_bytes([6; 32]),
        weight,
        text_encoder_weight,
    };
    let goldens = GoldenTensors::open("adapters/xl.safetensors");
    let family = Family::named("sdxl");
    for files in both_forms(&family, home.path()) {
        let mut engine = engine();
        for (number, prompt) in ["a red fox in the snow, oil painting", "a lighthouse"].into_iter().enumerate() {
            let mut paint = |lora: LoraFile| {
                let request = PaintRequest {
                    prompt: prompt.to_owned(),
                    loras: vec![lora],
                    seed: 200 + number as u64,
                    steps: Some(6),
                    guidance_scale: Some(5.0),
                    sampler: Some(Sampler::Euler),
                    width: Some(64),
                    height: Some(64),
                    ..request(&files)
                };
                engine.paint(&request, &Silence).unwrap().images.remove(0).rgb
            };
            let golden = goldens.bytes(&format!("{number}.pixels"));
            let (mean, largest) = differences(&paint(of(0.8, 0.8)), &golden);
            note(&format!("xl with a LoRA, {prompt}: mean {mean:.5}, largest {largest}"));
            assert!(mean <= 1.0, "{mean}");
            // Each half changes the picture, so that neither was left out.
            for half in [of(0.0, 0.8), of(0.8, 0.0)] {
                assert!(differences(&paint(half), &golden).0 > 1.0, "half of it makes no difference");
            }
        }
    }
}
