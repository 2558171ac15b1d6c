//! Models, VAEs and LoRAs of eight bits: what they paint is what the numbers paint that the eight bits stand for.

use super::families::{Family, both_forms};
use super::{Silence, case_request, engine, request};
use crate::testing::{GoldenTensors, lora, model_file, single_file};
use paintbox_domain::generation::{Generator, LoraFile, ModelFile, PaintRequest};
use paintbox_domain::reason;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;
use std::path::Path;

type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// How a file keeps its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kept {
    /// All of them as they are.
    Plain(Dtype),
    /// Matrices with one scale each, marked as ComfyUI's older files are.
    Older,
    /// Matrices with a scale for each row, each said to be so.
    Newer,
    /// Matrices with one scale each, the metadata saying so of all.
    InMetadata,
}

const KEPT: [Kept; 5] =
    [Kept::Plain(Dtype::F8_E4M3), Kept::Plain(Dtype::F8_E5M2), Kept::Older, Kept::Newer, Kept::InMetadata];

/// What torch makes of every code of a type.
struct Codes {
    dtype: Dtype,
    values: Vec<f32>,
    /// How many codes stand for finite numbers of one sign, in ascending order.
    finite: usize,
}

impl Codes {
    fn of(dtype: Dtype) -> Self {
        let name = if dtype == Dtype::F8_E4M3 { "float8_e4m3fn" } else { "float8_e5m2" };
        let values = GoldenTensors::open("fp8.safetensors").values(name);
        let finite = values.iter().take_while(|value| value.is_finite()).count();
        Self { dtype, values, finite }
    }

    /// The code of the largest number that is not farther from zero.
    fn code(&self, value: f32) -> u8 {
        let magnitude = value.abs();
        let above = self.values[..self.finite].partition_point(|of_code| *of_code <= magnitude);
        let code = u8::try_from(above.saturating_sub(1)).unwrap();
        if value < 0.0 { code | 0x80 } else { code }
    }
}

fn floats(dtype: Dtype, data: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::F32 => data.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect(),
        Dtype::F16 => {
            data.chunks_exact(2).map(|two| half::f16::from_le_bytes(two.try_into().unwrap()).to_f32()).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn write(path: &Path, tensors: &[Tensor], metadata: Option<HashMap<String, String>>) {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, safetensors::serialize(views, metadata).unwrap()).unwrap();
}

/// The file with its numbers in eight bits, and with what they stand for in f32.
fn narrowed(file: &ModelFile, kept: Kept, root: &Path) -> [ModelFile; 2] {
    let whole = std::fs::read(&file.path).unwrap();
    let codes = Codes::of(if let Kept::Plain(dtype) = kept { dtype } else { Dtype::F8_E4M3 });
    let (mut small, mut wide): (Vec<Tensor>, Vec<Tensor>) = (Vec::new(), Vec::new());
    let mut layers = serde_json::Map::new();
    for (name, tensor) in SafeTensors::deserialize(&whole).unwrap().tensors() {
        if !matches!(tensor.dtype(), Dtype::F32 | Dtype::F16) {
            // Counts such as `position_ids`.
            let as_it_is = (name, tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec());
            small.push(as_it_is.clone());
            wide.push(as_it_is);
            continue;
        }
        let (shape, mut values) = (tensor.shape().to_vec(), floats(tensor.dtype(), tensor.data()));
        let is_matrix = shape.len() > 1 && name.ends_with("weight");
        if !is_matrix && !matches!(kept, Kept::Plain(_)) {
            small.push((name.clone(), Dtype::F32, shape.clone(), bytes(&values)));
            wide.push((name, Dtype::F32, shape, bytes(&values)));
            continue;
        }
        let row = if kept == Kept::Newer { values.len() / shape[0] } else { values.len().max(1) };
        let largest = codes.values[codes.finite - 1];
        let scale = |part: &[f32]| match kept {
            Kept::Plain(_) => 1.0,
            _ => part.iter().fold(0.0_f32, |most, value| most.max(value.abs())).max(1e-9) / largest,
        };
        let scales: Vec<f32> = values.chunks(row).map(scale).collect();
        let mut data = Vec::with_capacity(values.len());
        for (part, scale) in values.chunks_mut(row).zip(&scales) {
            for value in part {
                let code = codes.code(*value / scale);
                data.push(code);
                *value = codes.values[usize::from(code)] * scale;
            }
        }
        // OpenCLIP's `in_proj_weight` is no layer's `weight`.
        let layer = name.strip_suffix(".weight").map(str::to_owned);
        let format = serde_json::json!({ "format": "float8_e4m3fn" });
        let newer = format!("{name}_scale");
        match (kept, layer) {
            (Kept::Plain(_), _) => {}
            (Kept::Older, Some(layer)) => {
                small.push((format!("{layer}.scale_weight"), Dtype::F32, vec![], bytes(&scales)));
                small.push((format!("{layer}.scale_input"), Dtype::F32, vec![], bytes(&[0.5])));
            }
            (Kept::Newer, layer) => {
                small.push((newer, Dtype::F32, vec![shape[0], 1], bytes(&scales)));
                if let Some(layer) = layer {
                    let json = format.to_string().into_bytes();
                    small.push((format!("{layer}.comfy_quant"), Dtype::U8, vec![json.len()], json));
                }
            }
            (_, layer) => {
                small.push((newer, Dtype::F32, vec![1], bytes(&scales)));
                layers.extend(layer.map(|layer| (layer, format)));
            }
        }
        small.push((name.clone(), codes.dtype, shape.clone(), data));
        wide.push((name, Dtype::F32, shape, bytes(&values)));
    }
    if kept == Kept::Older {
        small.push(("model.diffusion_model.scaled_fp8".to_owned(), Dtype::F8_E4M3, vec![0], Vec::new()));
    }
    let said = serde_json::json!({ "format_version": "1.0", "layers": layers }).to_string();
    let metadata = (kept == Kept::InMetadata).then(|| HashMap::from([("_quantization_metadata".to_owned(), said)]));
    [(small, metadata, "small"), (wide, None, "wide")].map(|(tensors, metadata, of)| {
        let path = root.join(format!("{kept:?}")).join(of).join(&file.name);
        write(&path, &tensors, metadata);
        model_file(&file.name, path)
    })
}

/// The files with those of weights narrowed.
fn narrowed_model(files: &[ModelFile], kept: Kept, root: &Path) -> [Vec<ModelFile>; 2] {
    let (mut small, mut wide) = (Vec::new(), Vec::new());
    for file in files {
        let both =
            if file.name.ends_with(".safetensors") { narrowed(file, kept, root) } else { [file.clone(), file.clone()] };
        let [of_small, of_wide] = both;
        small.push(of_small);
        wide.push(of_wide);
    }
    [small, wide]
}

/// Every form of model paints alike in eight bits and in what they stand for.
fn paints_alike(family: &str, kept: &[Kept]) {
    let family = Family::named(family);
    let root = tempfile::tempdir().unwrap();
    let forms = both_forms(&family, root.path());
    let paint = |model: &[ModelFile]| {
        let asked = PaintRequest { steps: Some(2), ..case_request(model, &family.cases[0], &[]) };
        engine().paint(&asked, &Silence).unwrap()
    };
    let exact = paint(&forms[1]);
    for kept in kept {
        for files in &forms {
            let [small, wide] = narrowed_model(files, *kept, root.path());
            let painted = paint(&small);
            let same = painted == paint(&wide);
            assert!(same, "{kept:?}, {} files: other numbers were read than are there", files.len());
            assert_ne!(painted.images, exact.images, "{kept:?}: nothing was narrowed");
        }
    }
}

#[test]
fn models_of_eight_bits_paint_what_the_bits_stand_for() {
    paints_alike("sd1", &KEPT);
}

#[test]
fn joined_weights_of_xl_have_each_row_brought_to_size_by_its_own_scale() {
    paints_alike("sdxl", &[Kept::Newer]);
}

#[test]
fn a_vae_and_a_lora_of_eight_bits_are_painted_with() {
    let root = tempfile::tempdir().unwrap();
    let model = single_file();
    let mut engine = engine();
    let mut paint = |vae: &ModelFile, lora: &LoraFile| {
        let (vae, loras) = (Some(vae.clone()), vec![lora.clone()]);
        engine.paint(&PaintRequest { vae, loras, steps: Some(2), ..request(&model) }, &Silence).unwrap()
    };
    let exact = lora("greyscale.safetensors", 0.8);
    for dtype in [Dtype::F8_E4M3, Dtype::F8_E5M2] {
        let kept = Kept::Plain(dtype);
        let vaes = narrowed(&model[0], kept, root.path());
        let named = ModelFile { name: exact.name.clone(), path: exact.path.clone(), sha256: exact.sha256 };
        let loras = narrowed(&named, kept, root.path()).map(|file| LoraFile {
            path: file.path,
            sha256: file.sha256,
            ..exact.clone()
        });
        let painted = paint(&vaes[0], &loras[0]);
        assert_eq!(painted, paint(&vaes[1], &loras[1]), "{dtype:?}");
        assert_ne!(painted.images, paint(&model[0], &loras[0]).images, "{dtype:?}: the VAE");
        assert_ne!(painted.images, paint(&vaes[0], &exact).images, "{dtype:?}: the LoRA");
    }
}

#[test]
fn what_is_quantised_otherwise_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let whole = std::fs::read(&single_file()[0].path).unwrap();
    const LAYER: &str = "model.diffusion_model.time_embed.0";
    let refused = |more: Vec<Tensor>, dtype: Dtype, metadata: Option<&str>| {
        let mut tensors = more;
        for (name, tensor) in SafeTensors::deserialize(&whole).unwrap().tensors() {
            let is_it = name == format!("{LAYER}.weight");
            let data = if is_it { vec![0; tensor.data().len() / 2] } else { tensor.data().to_vec() };
            tensors.push((name, if is_it { dtype } else { tensor.dtype() }, tensor.shape().to_vec(), data));
        }
        let path = root.path().join("quantised.safetensors");
        write(
            &path,
            &tensors,
            metadata.map(|text| HashMap::from([("_quantization_metadata".to_owned(), text.to_owned())])),
        );
        engine().paint(&request(&[model_file("quantised.safetensors", path)]), &Silence).unwrap_err()
    };
    let said = format!(r#"{{"layers":{{"{LAYER}":{{"format":"mxfp8"}}}}}}"#);
    let beside = |leaf: &str, shape: Vec<usize>| {
        let data = bytes(&vec![1.0; shape.iter().product()]);
        vec![(format!("{LAYER}.{leaf}"), Dtype::F32, shape, data)]
    };
    for (failure, wanted) in [
        (refused(Vec::new(), Dtype::F8_E4M3, Some(&said)), "mxfp8"),
        (refused(beside("scale_weight", vec![4, 2, 1]), Dtype::F8_E4M3, None), "[4, 2, 1]"),
        (refused(beside("weight_scale_2", vec![]), Dtype::F8_E4M3, None), "nvfp4"),
        (refused(beside("weight_scale", vec![]), Dtype::I8, None), "I8"),
        (refused(Vec::new(), Dtype::U8, None), "U8"),
    ] {
        assert_eq!(failure.reason, reason::UNSUPPORTED_ARCHITECTURE, "{}", failure.message);
        assert!(failure.message.contains(wanted), "{}", failure.message);
    }
}
