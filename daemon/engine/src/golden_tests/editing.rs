//! Networks that edit pictures against diffusers (`tests/goldens/make_editing.py`), from folders and from single files
//! alike.

use super::families::both_forms;
use super::inpainting::with_inputs;
use super::{Silence, differences, engine, request};
use crate::testing::{GoldenTensors, golden_json, note};
use paintbox_domain::generation::{Feature, Generator, InitImage, NetworkInputs, PaintRequest, Refused, Sampler};
use paintbox_domain::reason;
use serde::Deserialize;

/// What the project promises of a picture against the reference, in units of 1/255.
const PROMISED_MEAN: f64 = 1.0;

#[derive(Deserialize)]
struct Case {
    like: String,
    sampler: String,
    prompt: String,
    negative: String,
    seed: u64,
    steps: u32,
    cfg: f32,
    image_cfg: f32,
}

#[test]
fn edited_pictures_are_those_of_diffusers_from_both_forms() {
    let goldens = GoldenTensors::open("editing.safetensors");
    let cases: Vec<Case> = golden_json("editing.json");
    let rgb = GoldenTensors::open("inpainting.safetensors").bytes("init");
    for (number, case) in cases.iter().enumerate() {
        let root = tempfile::tempdir().unwrap();
        let forms = both_forms(&with_inputs(&case.like, 8), root.path());
        let [from_folder, from_single] = forms.map(|files| {
            let init = InitImage { width: 64, height: 64, rgb: rgb.clone(), strength: None, inpaint: None };
            let request = PaintRequest {
                prompt: case.prompt.clone(),
                negative_prompt: case.negative.clone(),
                seed: case.seed,
                steps: Some(case.steps),
                guidance_scale: Some(case.cfg),
                image_guidance_scale: Some(case.image_cfg),
                sampler: Some(Sampler::from_name(&case.sampler).unwrap()),
                init: Some(init),
                ..request(&files)
            };
            engine().paint(&request, &Silence).unwrap()
        });
        assert!(from_folder == from_single, "{number}: the two forms paint differently");
        assert_eq!(from_folder.settings.strength, Some(1.0));
        let (mean, pixel) = differences(&from_folder.images[0].rgb, &goldens.bytes(&format!("{number}.pixels")));
        note(&format!("{number} {} {}: mean {mean:.5}, largest {pixel}", case.like, case.sampler));
        assert!(mean <= PROMISED_MEAN, "{number}: {mean}");
    }
}

#[test]
fn a_network_that_edits_pictures_needs_one() {
    let root = tempfile::tempdir().unwrap();
    let [files, _] = both_forms(&with_inputs("sd1", 8), root.path());
    let capabilities = engine().inspector().capabilities(&files).unwrap();
    assert_eq!((capabilities.defaults.image_guidance_scale, capabilities.inputs), (Some(1.5), NetworkInputs::Editing));
    let refused: Vec<_> = capabilities.refused.iter().map(|refusal| refusal.what).collect();
    assert_eq!(refused, [Refused::Feature(Feature::TextToImage), Refused::Feature(Feature::Hires)]);
    assert!(capabilities.planned_bytes > 0);
    let failure = engine().paint(&request(&files), &Silence).unwrap_err();
    assert_eq!(failure.reason, reason::UNSUPPORTED_SETTING);
    assert!(failure.message.starts_with("init image is missing"), "{}", failure.message);
}
