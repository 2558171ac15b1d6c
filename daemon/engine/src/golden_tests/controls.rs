//! ControlNets against diffusers (`tests/goldens/make_controls.py`), from diffusers' files and from those of ControlNet's own
//! repository alike.

use super::families::{Family, both_forms, weight, write};
use super::{Silence, differences, engine, request};
use crate::device::Precision;
use crate::load::{ControlNetPlan, blueprint, index};
use crate::networks::Conditions;
use crate::tensor::sinusoids;
use crate::testing::{GoldenTensors, close, golden_json, listed_file, note, tiny_folder};
use candle_core::{Device, Tensor};
use paintbox_domain::generation::{
    Canny, ControlImage, ControlNetFile, Generator, LoraFile, ModelFile, PaintRequest, Sampler,
};
use paintbox_domain::{Sha256, reason};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the project promises of a picture against the reference, in units of 1/255.
const PROMISED_MEAN: f64 = 1.0;

#[derive(Deserialize)]
struct Controls {
    like: String,
    /// Canonical name, shape, name in ControlNet's own files.
    tensors: Vec<(String, Vec<usize>, String)>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    sampler: String,
    prompt: String,
    seed: u64,
    steps: u32,
    cfg: f32,
    controls: Vec<Lead>,
}

#[derive(Deserialize)]
struct Lead {
    strength: f32,
    start: f32,
    end: f32,
}

/// How files name a ControlNet's tensors.
const FORMS: [&str; 3] = ["diffusers", "control_model.", ""];

impl Controls {
    /// A ControlNet whose weights are drawn for `component`, in one of the forms.
    fn file(&self, root: &Path, component: &str, form: &str, image: ControlImage) -> ControlNetFile {
        let tensors: BTreeMap<_, _> = self
            .tensors
            .iter()
            .map(|(name, shape, ldm)| {
                let source = if form == "diffusers" { name.clone() } else { format!("{form}{ldm}") };
                (source, (shape.clone(), weight(component, name, shape)))
            })
            .collect();
        let name = format!("{component} {form}");
        let path = root.join(format!("{}-{component}-{form}.safetensors", self.like));
        write(&path, &tensors);
        control(&name, path, image)
    }
}

fn control(name: &str, path: PathBuf, image: ControlImage) -> ControlNetFile {
    let mut digest = [0; 32];
    name.bytes().enumerate().for_each(|(at, byte)| digest[at % 32] ^= byte);
    ControlNetFile {
        name: name.to_owned(),
        path,
        sha256: Sha256::from_bytes(digest),
        config: None,
        image,
        canny: None,
        strength: 1.0,
        start: 0.0,
        end: 1.0,
    }
}

fn grey() -> ControlImage {
    ControlImage { width: 64, height: 64, rgb: vec![128; 64 * 64 * 3] }
}

/// A family's small model as a folder, and the folder's folder.
fn model(like: &str) -> (Vec<ModelFile>, tempfile::TempDir) {
    let family = Family::named(like);
    let root = tempfile::tempdir().unwrap();
    let [folder, _] = both_forms(&family, root.path());
    (folder, root)
}

/// A small model, and a ControlNet and a LoRA for it.
pub(super) fn led_model() -> (Vec<ModelFile>, ControlNetFile, LoraFile, tempfile::TempDir) {
    let controls: Vec<Controls> = golden_json("controls.json");
    let (files, root) = model("sd1");
    let control = controls[0].file(root.path(), "controlnet", "diffusers", grey());
    (files, control, small_lora(root.path()), root)
}

/// A LoRA of rank 2 for two weights of the small model of 1.x.
fn small_lora(root: &Path) -> LoraFile {
    let family = Family::named("sd1");
    let mut tensors = BTreeMap::new();
    for (component, name, stem) in [
        (
            "unet",
            "mid_block.attentions.0.transformer_blocks.0.attn1.to_q",
            "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q",
        ),
        ("text_encoder", "text_model.encoder.layers.0.mlp.fc1", "lora_te_text_model_encoder_layers_0_mlp_fc1"),
    ] {
        let full = format!("{name}.weight");
        let (_, shape, ..) = family.tensors[component].iter().find(|(name, ..)| *name == full).unwrap();
        for (part, shape) in [("lora_down", vec![2, shape[1]]), ("lora_up", vec![shape[0], 2])] {
            let values = weight("lora", &format!("{stem}.{part}"), &shape);
            tensors.insert(format!("{stem}.{part}.weight"), (shape, values));
        }
    }
    let path = root.join("small-lora.safetensors");
    write(&path, &tensors);
    let (name, sha256) = ("small".to_owned(), Sha256::from_bytes([9; 32]));
    LoraFile { name, path, sha256, weight: 1.0, text_encoder_weight: 1.0 }
}

#[test]
fn what_control_nets_add_is_what_they_add_in_diffusers_from_all_forms() {
    let goldens = GoldenTensors::open("controls.safetensors");
    for controls in golden_json::<Vec<Controls>>("controls.json") {
        let (files, root) = model(&controls.like);
        let blueprint = blueprint(&index(&files).unwrap()).unwrap();
        let of = |what: &str| goldens.tensor(&format!("{}.{what}", controls.like));
        let added = blueprint.added.map(|added| {
            let sizes: Vec<f32> = of("sizes").flatten_all().unwrap().to_vec1().unwrap();
            let mut parts = vec![of("pooled")];
            parts.extend(sizes.iter().map(|size| sinusoids(f64::from(*size), added.width, &Device::Cpu).unwrap()));
            Tensor::cat(&parts, 1).unwrap()
        });
        let conditions = Conditions { context: of("context"), added };
        for form in FORMS {
            let file = controls.file(root.path(), "controlnet", form, grey());
            let net = ControlNetPlan::new(&file, &blueprint).unwrap().load(&Device::Cpu, Precision::Full).unwrap();
            let hint = net.read(&of("picture")).unwrap();
            let ours = net.forward(&of("sample"), 437.31, &conditions, &hint, 0.8).unwrap();
            let name = format!("{} as {form:?}", controls.like);
            for (number, skip) in ours.skips.iter().enumerate() {
                close(&format!("{name}, residual {number}"), skip, &of(&format!("residual.{number}")));
            }
            close(&format!("{name}, middle"), &ours.middle, &of("residual.middle"));
            let handed = blueprint.unet.levels.iter().map(|level| level.down.len() + 1).sum::<usize>();
            assert_eq!(ours.skips.len(), handed);
        }
    }
}

#[test]
fn led_pictures_are_those_of_diffusers_from_all_forms() {
    let goldens = GoldenTensors::open("controls.safetensors");
    let image = |number: usize| ControlImage { width: 64, height: 64, rgb: goldens.bytes(&format!("image.{number}")) };
    for controls in golden_json::<Vec<Controls>>("controls.json") {
        let (files, root) = model(&controls.like);
        let forms = FORMS.map(|form| {
            ["controlnet", "controlnet_2"].map(|component| controls.file(root.path(), component, form, grey()))
        });
        let mut engine = engine();
        for (number, case) in controls.cases.iter().enumerate() {
            let painted = forms.each_ref().map(|nets| {
                let led = case.controls.iter().zip(nets).enumerate().map(|(number, (lead, net))| {
                    let &Lead { strength, start, end } = lead;
                    ControlNetFile { image: image(number), strength, start, end, ..net.clone() }
                });
                let request = PaintRequest {
                    controls: led.collect(),
                    prompt: case.prompt.clone(),
                    seed: case.seed,
                    steps: Some(case.steps),
                    guidance_scale: Some(case.cfg),
                    sampler: Some(Sampler::from_name(&case.sampler).unwrap()),
                    width: Some(64),
                    height: Some(64),
                    ..request(&files)
                };
                engine.paint(&request, &Silence).unwrap()
            });
            let name = format!("{} {number} {}", controls.like, case.sampler);
            assert!(painted.iter().all(|each| *each == painted[0]), "{name}: forms paint differently");
            let golden = goldens.bytes(&format!("{}.{number}.pixels", controls.like));
            let (mean, pixel) = differences(&painted[0].images[0].rgb, &golden);
            note(&format!("{name}: mean {mean:.5}, largest {pixel}"));
            assert!(mean <= PROMISED_MEAN, "{name}: {mean}");
        }
    }
}

#[test]
fn a_control_net_leads_while_it_is_asked_to_and_no_longer() {
    let controls: Vec<Controls> = golden_json("controls.json");
    let (files, root) = model("sd1");
    let net = controls[0].file(root.path(), "controlnet", "diffusers", grey());
    let plain = PaintRequest { steps: Some(4), width: Some(64), height: Some(64), ..request(&files) };
    let mut engine = engine();
    let mut paint = |controls: Vec<ControlNetFile>| {
        engine.paint(&PaintRequest { controls, ..plain.clone() }, &Silence).unwrap().images
    };
    let alone = paint(Vec::new());
    let led = paint(vec![net.clone()]);
    assert_ne!(led, alone);
    assert_eq!(
        paint(vec![ControlNetFile { strength: 0.0, ..net.clone() }]),
        alone,
        "of no strength, it is as if absent"
    );
    assert_eq!(paint(vec![ControlNetFile { start: 0.9, ..net.clone() }]), alone, "no step lies all within");
    // Edges of a picture of one colour are none, which is another picture than grey.
    let edges = ControlNetFile { canny: Some(Canny::default()), ..net.clone() };
    let black = ControlNetFile { image: ControlImage { rgb: vec![0; 64 * 64 * 3], ..grey() }, ..net.clone() };
    let of_edges = paint(vec![edges]);
    assert_ne!(of_edges, led);
    assert_eq!(of_edges, paint(vec![black]));
    // A larger picture of the same grey is brought to size.
    let large = ControlImage { width: 200, height: 90, rgb: vec![128; 200 * 90 * 3] };
    assert_eq!(paint(vec![ControlNetFile { image: large, ..net.clone() }]), led);
    assert_eq!(paint(Vec::new()), alone, "nothing stays behind");
}

#[test]
fn what_cannot_lead_a_model_is_refused_by_name() {
    let controls: Vec<Controls> = golden_json("controls.json");
    let (files, root) = model("sd1");
    let xl = controls[1].file(root.path(), "controlnet", "", grey());
    let refused = |control: ControlNetFile| {
        let request = PaintRequest { controls: vec![control], ..request(&files) };
        engine().paint(&request, &Silence).unwrap_err()
    };
    let mut cases = vec![(xl, reason::UNSUPPORTED_ARCHITECTURE, "does not fit the model")];
    let listed = [
        ("sdxl-controlnet-union.txt", "union ControlNet"),
        ("sdxl-t2i-adapter.txt", "T2I-Adapter"),
        ("sd1-controlnet-canny.txt", "does not fit the model"),
    ];
    for (listing, words) in listed {
        let path = root.path().join(listing);
        listed_file(listing, &path);
        cases.push((control(listing, path, grey()), reason::UNSUPPORTED_ARCHITECTURE, words));
    }
    let one = |name: &str| BTreeMap::from([(name.to_owned(), (vec![2, 2], vec![0.0; 4]))]);
    let path = root.path().join("difference.safetensors");
    write(&path, &one("difference"));
    cases.push((control("difference", path, grey()), reason::UNSUPPORTED_ARCHITECTURE, "difference of a ControlNet"));
    let path = root.path().join("control-lora.safetensors");
    let mut tensors = one("lora_controlnet");
    tensors.extend(one("input_hint_block.0.weight"));
    write(&path, &tensors);
    cases.push((control("control-lora", path, grey()), reason::UNSUPPORTED_ARCHITECTURE, "Control-LoRA"));
    let lora = tiny_folder().join("lora/greyscale.safetensors");
    cases.push((control("greyscale", lora, grey()), reason::NOT_A_MODEL_FILE, "is a lora, not a ControlNet"));
    let broken = root.path().join("broken.safetensors");
    std::fs::write(&broken, b"\xff\xff\xff\xff\xff\xff\xff\x7f{").unwrap();
    cases.push((control("broken", broken, grey()), reason::MALFORMED_FILE, "broken"));
    let gone = root.path().join("gone.safetensors");
    cases.push((control("gone", gone, grey()), reason::FILE_NOT_LOCAL, "gone"));
    for (control, wanted, words) in cases {
        let name = control.name.clone();
        let failure = refused(control);
        assert_eq!(failure.reason, wanted, "{name}: {}", failure.message);
        assert!(failure.message.contains(words), "{name}: {}", failure.message);
    }
}

#[test]
fn settings_that_no_control_net_can_have_are_refused() {
    let controls: Vec<Controls> = golden_json("controls.json");
    let (files, root) = model("sd1");
    let net = controls[0].file(root.path(), "controlnet", "diffusers", grey());
    let short = ControlImage { width: 64, height: 64, rgb: vec![0; 7] };
    let nothing = ControlImage { width: 0, height: 0, rgb: Vec::new() };
    for (setting, controls) in [
        ("control strength", vec![ControlNetFile { strength: f32::NAN, ..net.clone() }]),
        ("control start", vec![ControlNetFile { start: 0.5, end: 0.5, ..net.clone() }]),
        ("control start", vec![ControlNetFile { end: f32::NAN, ..net.clone() }]),
        ("canny", vec![ControlNetFile { canny: Some(Canny { low: 2, high: 1 }), ..net.clone() }]),
        ("control image bytes", vec![ControlNetFile { image: short, ..net.clone() }]),
        ("control image bytes", vec![ControlNetFile { image: nothing, ..net.clone() }]),
        ("controls", vec![net.clone(); 9]),
    ] {
        let failure = engine().paint(&PaintRequest { controls, ..request(&files) }, &Silence).unwrap_err();
        assert_eq!(failure.reason, reason::UNSUPPORTED_SETTING, "{setting}: {}", failure.message);
        assert!(failure.message.starts_with(setting), "{setting}: {}", failure.message);
    }
    // Its weights are counted before they are read.
    let plain = PaintRequest { steps: Some(1), width: Some(64), height: Some(64), ..request(&files) };
    let led = PaintRequest { controls: vec![net], ..plain.clone() };
    let limited = |memory_limit_bytes| {
        let device = crate::DeviceChoice::Cpu;
        crate::Engine::new(crate::EngineOptions { device, memory_limit_bytes, ..Default::default() }).unwrap()
    };
    // The least that it takes alone.
    let mut limit = limited(None).memory_plan(&plain).unwrap().peak_bytes();
    while limited(Some(limit)).memory_plan(&plain).is_ok() {
        limit -= 1000;
    }
    let mut small = limited(Some(limit + 1000));
    assert!(small.paint(&plain, &Silence).is_ok());
    assert_eq!(small.paint(&led, &Silence).unwrap_err().reason, reason::OUT_OF_MEMORY);
}
