//! What the tests of this crate share: goldens, and the tiny model in both of its forms.

use crate::load::{Component, Index, Merges, Weights};
use candle_core::{Device, Tensor};
use paintbox_domain::Sha256;
use paintbox_domain::generation::{LoraFile, ModelFile};
use serde::de::DeserializeOwned;
use sha2::Digest;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `tests/fixtures/tiny-model`.
pub(crate) fn tiny_folder() -> PathBuf {
    repository().join("tests/fixtures/tiny-model")
}

pub(crate) fn golden_path(name: &str) -> PathBuf {
    repository().join("tests/goldens").join(name)
}

/// A golden that is JSON.
pub(crate) fn golden_json<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(golden_path(name)).unwrap()).unwrap()
}

/// A golden that is a set of tensors.
pub(crate) struct GoldenTensors(Vec<u8>);

impl GoldenTensors {
    pub(crate) fn open(name: &str) -> Self {
        Self(std::fs::read(golden_path(name)).unwrap())
    }

    fn view<R>(&self, name: &str, read: impl FnOnce(&safetensors::tensor::TensorView<'_>) -> R) -> R {
        let tensors = safetensors::SafeTensors::deserialize(&self.0).unwrap();
        let view = tensors.tensor(name).unwrap_or_else(|error| panic!("golden {name}: {error}"));
        read(&view)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let tensors = safetensors::SafeTensors::deserialize(&self.0).unwrap();
        tensors.names().into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        self.view(name, |view| {
            assert_eq!(view.dtype(), safetensors::Dtype::F32);
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
            Tensor::from_vec(values, view.shape(), &Device::Cpu).unwrap()
        })
    }

    pub(crate) fn values(&self, name: &str) -> Vec<f32> {
        self.tensor(name).flatten_all().unwrap().to_vec1().unwrap()
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        self.view(name, |view| {
            assert_eq!(view.dtype(), safetensors::Dtype::I64);
            view.data().chunks_exact(8).map(|eight| i64::from_le_bytes(eight.try_into().unwrap())).collect()
        })
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.view(name, |view| {
            assert_eq!(view.dtype(), safetensors::Dtype::U8);
            view.data().to_vec()
        })
    }
}

/// The largest difference between two tensors of one shape.
pub(crate) fn largest_difference(ours: &Tensor, reference: &Tensor) -> f32 {
    assert_eq!(ours.dims(), reference.dims());
    (ours - reference).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

/// What the engine promises of a module against the reference, for values up to [`MAGNITUDE`]. Larger ones are coarser
/// numbers to begin with: the logarithms of the VAE encoder's variances go beyond 20.
const TOLERANCE: f32 = 2e-5;
const MAGNITUDE: f32 = 10.0;

/// Holds a module's output against its golden.
pub(crate) fn close(name: &str, ours: &Tensor, golden: &Tensor) {
    let difference = largest_difference(ours, golden);
    let magnitude: f32 = golden.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
    note(&format!("{name}: largest difference {difference:e} in values up to {magnitude}"));
    assert!(difference <= TOLERANCE * (magnitude / MAGNITUDE).max(1.0), "{name}: {difference}");
}

/// One network of a model, on the CPU.
pub(crate) fn load<T>(
    index: &Index,
    component: Component,
    build: impl FnOnce(&Weights<'_>) -> Result<T, crate::EngineError>,
) -> T {
    let merges = Merges::default();
    build(&Weights::new(&index.component(component, &merges), &Device::Cpu)).unwrap()
}

fn digest(path: &Path) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(std::fs::read(path).unwrap()).into())
}

pub(crate) fn model_file(name: &str, path: PathBuf) -> ModelFile {
    let sha256 = digest(&path);
    ModelFile { name: name.to_owned(), path, sha256 }
}

/// The tiny model as one LDM file, alone.
pub(crate) fn single_file() -> Vec<ModelFile> {
    vec![model_file("tiny-emoji.safetensors", tiny_folder().join("tiny-emoji.safetensors"))]
}

/// The tiny model's LoRA in kohya's form.
pub(crate) fn lora(file: &str, weight: f32) -> LoraFile {
    let path = tiny_folder().join("lora").join(file);
    let sha256 = digest(&path);
    LoraFile { name: file.to_owned(), path, sha256, weight, text_encoder_weight: weight }
}

/// A model's files in a folder that goes away with it.
pub(crate) struct Folder {
    pub(crate) files: Vec<ModelFile>,
    _folder: tempfile::TempDir,
}

/// The tiny model as a diffusers folder, its weights derived from the single file.
pub(crate) fn diffusers_folder() -> Folder {
    use paintbox_weights::stable_diffusion::diffusers_recipes;
    use safetensors::tensor::TensorView;

    let bytes = std::fs::read(tiny_folder().join("tiny-emoji.safetensors")).unwrap();
    let header = paintbox_weights::read_header(&mut std::io::Cursor::new(&bytes), bytes.len() as u64).unwrap();
    let recipes = diffusers_recipes(&header).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for name in [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "unet/config.json",
        "vae/config.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
    ] {
        files.push(model_file(name, tiny_folder().join("diffusers").join(name)));
    }
    for (component, name) in [
        (Component::TextEncoder, "text_encoder/model.safetensors"),
        (Component::Unet, "unet/diffusion_pytorch_model.safetensors"),
        (Component::Vae, "vae/diffusion_pytorch_model.safetensors"),
    ] {
        let tensors = recipes.iter().filter(|((of, _), _)| *of == component).map(|((_, name), recipe)| {
            let info = &header.tensors[&recipe.source];
            let shape = recipe.take.applied_to(&info.shape).unwrap();
            let data = &bytes[usize::try_from(info.start).unwrap()..usize::try_from(info.end).unwrap()];
            assert_eq!(info.dtype, paintbox_weights::Dtype::F16);
            (name.clone(), TensorView::new(safetensors::Dtype::F16, shape, data).unwrap())
        });
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
        files.push(model_file(name, path));
    }
    Folder { files, _folder: folder }
}

/// Says a measured number; `cargo test -- --nocapture` shows it.
pub(crate) fn note(text: &str) {
    use std::io::Write;
    let written = writeln!(std::io::stdout(), "{text}");
    assert!(written.is_ok());
}

/// A diffusers folder with the real sizes of a published model (`tests/fixtures/headers`) and no weights worth the name:
/// sparse files of zeros, for what is decided from headers alone. No configuration lies beside it.
pub(crate) fn listed_folder(unet: &str, text_encoder: &str, vae: &str) -> Folder {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        (unet, "unet/diffusion_pytorch_model.safetensors"),
        (text_encoder, "text_encoder/model.safetensors"),
        (vae, "vae/diffusion_pytorch_model.safetensors"),
    ]
    .map(|(listing, name)| {
        let path = folder.path().join(name.replace('/', "-"));
        sparse_file(&repository().join("tests/fixtures/headers").join(listing), &path);
        ModelFile { name: name.to_owned(), path, sha256: Sha256::from_bytes([0; 32]) }
    });
    Folder { files: files.to_vec(), _folder: folder }
}

/// A file with the names and shapes of a published one (`tests/fixtures/headers`) and zeros for weights.
pub(crate) fn listed_file(listing: &str, path: &Path) {
    sparse_file(&repository().join("tests/fixtures/headers").join(listing), path);
}

/// Lines of a name and its dimensions, as a half-precision safetensors file whose data is a hole.
fn sparse_file(listing: &Path, path: &Path) {
    use std::io::Write;
    let text = std::fs::read_to_string(listing).unwrap();
    let mut end = 0_u64;
    let mut header = serde_json::Map::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let (name, dims) = line.split_once(' ').unwrap_or((line, ""));
        let shape: Vec<u64> = dims.split_whitespace().map(|dim| dim.parse().unwrap()).collect();
        let start = end;
        end += 2 * shape.iter().product::<u64>();
        let entry = serde_json::json!({"dtype": "F16", "shape": shape, "data_offsets": [start, end]});
        header.insert(name.to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&header).unwrap();
    file.set_len(8 + header.len() as u64 + end).unwrap();
}
