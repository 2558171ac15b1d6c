//! Every family of UNets against diffusers: networks, text encoders and whole pictures of small models, from folders and
//! from single files alike. The models' weights are drawn here as `tests/goldens/make_families.py` drew them.

use super::{Case, Silence, case_request, differences, engine};
use crate::load::{Blueprint, Component, Index, blueprint, index};
use crate::networks::{ClipText, Conditions, Layers, Unet};
use crate::tensor::sinusoids;
use crate::testing::{GoldenTensors, close, golden_json, load, note};
use candle_core::{Device, Tensor};
use paintbox_domain::Sha256;
use paintbox_domain::generation::{Generator, ModelFile};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Canonical name and shape, name in the single file and how it stands there.
type Row = (String, Vec<usize>, String, String);

#[derive(Deserialize)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) configs: BTreeMap<String, serde_json::Value>,
    pub(super) tensors: BTreeMap<String, Vec<Row>>,
    unused: BTreeMap<String, Vec<usize>>,
    markers: Vec<String>,
    pub(super) cases: Vec<Case>,
}

impl Family {
    pub(super) fn named(name: &str) -> Self {
        let families: Vec<Self> = golden_json("families.json");
        families.into_iter().find(|family| family.name == name).unwrap()
    }
}

/// What the project promises of a picture against the reference, in units of 1/255.
const PROMISED_MEAN: f64 = 1.0;

/// The weight that stands for training.
pub(crate) fn weight(component: &str, name: &str, shape: &[usize]) -> Vec<f32> {
    crate::selfcheck::weight(component, name, shape).unwrap()
}

/// A safetensors file of f32 tensors.
pub(crate) fn write(path: &Path, tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) {
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, (shape, _))| {
        let dtype = safetensors::Dtype::F32;
        (name, safetensors::tensor::TensorView::new(dtype, shape.clone(), &bytes[name]).unwrap())
    });
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Nothing here asks for what a file is, only that two are not the same.
pub(crate) fn named(name: &str, path: &Path) -> ModelFile {
    let mut digest = [0; 32];
    name.bytes().enumerate().for_each(|(at, byte)| digest[at % 32] ^= byte);
    ModelFile { name: name.to_owned(), path: path.to_owned(), sha256: Sha256::from_bytes(digest) }
}

/// The family's model as a diffusers folder and as a single file.
pub(super) fn both_forms(family: &Family, root: &Path) -> [Vec<ModelFile>; 2] {
    let mut folder = Vec::new();
    let mut single: BTreeMap<String, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
    for (component, rows) in &family.tensors {
        let mut tensors = BTreeMap::new();
        for (name, shape, source, how) in rows {
            let values = weight(component, name, shape);
            let joined = single.entry(source.clone()).or_default();
            match how.as_str() {
                "transpose" => {
                    let (rows, columns) = (shape[0], shape[1]);
                    let at = |column: usize| values.iter().skip(column).step_by(columns);
                    *joined = (vec![columns, rows], (0..columns).flat_map(at).copied().collect());
                }
                "unsqueeze" => *joined = ([shape.as_slice(), &[1, 1]].concat(), values.clone()),
                // Query, key and value come in this order.
                "rows 1" | "rows 2" => {
                    joined.0[0] += shape[0];
                    joined.1.extend(&values);
                }
                _ => *joined = (shape.clone(), values.clone()),
            }
            tensors.insert(name.clone(), (shape.clone(), values));
        }
        let stem = if component.starts_with("text") { "model" } else { "diffusion_pytorch_model" };
        let name = format!("{component}/{stem}.safetensors");
        write(&root.join(&name), &tensors);
        folder.push(named(&name, &root.join(&name)));
    }
    for (name, json) in &family.configs {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, json.to_string()).unwrap();
        folder.push(named(name, &path));
    }
    for (name, shape) in &family.unused {
        single.insert(name.clone(), (shape.clone(), vec![0.5; shape.iter().product()]));
    }
    for name in &family.markers {
        single.insert(format!("model.diffusion_model.{name}"), (vec![0], Vec::new()));
    }
    let name = format!("{}.safetensors", family.name);
    write(&root.join(&name), &single);
    [folder, vec![named(&name, &root.join(&name))]]
}

struct Forms {
    family: Family,
    forms: [Vec<ModelFile>; 2],
    _root: tempfile::TempDir,
}

fn families() -> Vec<Forms> {
    let families: Vec<Family> = golden_json("families.json");
    let made = families.into_iter().map(|family| {
        let root = tempfile::tempdir().unwrap();
        Forms { forms: both_forms(&family, root.path()), family, _root: root }
    });
    made.collect()
}

#[test]
fn networks_of_every_family_are_those_of_diffusers_from_both_forms() {
    let goldens = GoldenTensors::open("families.safetensors");
    for Forms { family, forms, _root } in families() {
        for (files, form) in forms.iter().zip(["folder", "single file"]) {
            let index = index(files).unwrap();
            let blueprint = blueprint(&index).unwrap();
            let name = format!("{} from its {form}", family.name);
            note(&format!("{name}: {}", blueprint.architecture));
            predicts(&name, &family, &index, &blueprint, &goldens);
            for text in &blueprint.texts {
                let of = |what: &str| format!("{}.{}.{what}", family.name, text.component);
                let ids = goldens.integers(&of("ids")).into_iter().map(|id| u32::try_from(id).unwrap()).collect();
                let encoder = load(&index, text.component, |weights| ClipText::load(weights, &text.shape));
                let encode = |layers| encoder.encode(std::slice::from_ref(&ids), &[], layers, 49_407).unwrap();
                let last = encode(Layers { skip: 1, normed: true });
                close(&format!("{name}, last"), &last.states, &goldens.tensor(&of("last")));
                let before = encode(Layers { skip: 2, normed: false });
                close(&format!("{name}, one before"), &before.states, &goldens.tensor(&of("before_last")));
                if let Some(pooled) = before.pooled {
                    close(&format!("{name}, pooled"), &pooled, &goldens.tensor(&of("pooled")));
                }
            }
        }
    }
}

fn predicts(name: &str, family: &Family, index: &Index, blueprint: &Blueprint, goldens: &GoldenTensors) {
    let of = |what: &str| goldens.tensor(&format!("{}.{what}", family.name));
    let unet = load(index, Component::Unet, |weights| Unet::load(weights, &blueprint.unet));
    let added = blueprint.added.map(|added| {
        let sizes: Vec<Vec<f32>> = of("sizes").to_vec2().unwrap();
        let rows = sizes.iter().enumerate().map(|(row, sizes)| {
            let mut parts = vec![of("pooled").narrow(0, row, 1).unwrap()];
            parts.extend(sizes.iter().map(|size| sinusoids(f64::from(*size), added.width, &Device::Cpu).unwrap()));
            Tensor::cat(&parts, 1).unwrap()
        });
        Tensor::cat(&rows.collect::<Vec<_>>(), 0).unwrap()
    });
    let conditions = Conditions { context: of("context"), added };
    for time in [437.31, 981.0] {
        let ours = unet.forward(&of("sample"), time, &conditions, None).unwrap();
        close(&format!("{name} at {time}"), &ours, &of(&format!("out.t{time}")));
    }
}

#[test]
fn pictures_of_every_family_are_those_of_diffusers_from_both_forms() {
    let goldens = GoldenTensors::open("families.safetensors");
    let init = goldens.bytes("init");
    for Forms { family, forms, _root } in families() {
        let mut engines = [engine(), engine()];
        for (number, case) in family.cases.iter().enumerate() {
            let [from_folder, from_single] = [0, 1]
                .map(|form: usize| engines[form].paint(&case_request(&forms[form], case, &init), &Silence).unwrap());
            assert_eq!(from_folder.settings, from_single.settings, "{} {number}", family.name);
            let golden = goldens.bytes(&format!("{}.{number}.pixels", family.name));
            assert!(from_folder == from_single, "{} {number}: the two forms paint differently", family.name);
            let (mean, pixel) = differences(&from_folder.images[0].rgb, &golden);
            note(&format!("{} {number} {:8}: mean {mean:.5}, largest {pixel}", family.name, case.sampler));
            assert!(mean <= PROMISED_MEAN, "{} {number}: {mean}", family.name);
        }
    }
}
