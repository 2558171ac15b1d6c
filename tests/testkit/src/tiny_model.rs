//! The small real model that tests paint with: one Stable Diffusion 1.x checkpoint, and what is derived from it.

use crate::fixtures;
use bytes::Bytes;
use paintbox_weights::stable_diffusion::{self, Component};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The files of the diffusers folder that are kept as they are.
const KEPT: &[&str] = &[
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "vae/config.json",
];

/// The model under `tests/fixtures/tiny-model`; its `SOURCES.md` says what it is and where it is from.
#[derive(Debug, Clone, Copy)]
pub struct TinyModel;

impl TinyModel {
    /// The fixture folder.
    #[must_use]
    pub fn folder() -> PathBuf {
        fixtures().join("tiny-model")
    }

    /// The checkpoint as one file with LDM names.
    #[must_use]
    pub fn single_file() -> PathBuf {
        Self::folder().join("tiny-emoji.safetensors")
    }

    /// A LoRA in kohya's form.
    #[must_use]
    pub fn lora() -> PathBuf {
        Self::folder().join("lora/greyscale.safetensors")
    }

    /// The same LoRA in diffusers' form.
    #[must_use]
    pub fn diffusers_lora() -> PathBuf {
        Self::folder().join("lora/greyscale-diffusers.safetensors")
    }

    /// A textual inversion for the word `lantern`.
    #[must_use]
    pub fn embedding() -> PathBuf {
        Self::folder().join("embedding/lantern.safetensors")
    }

    /// The tokenizer as one file, as people place it beside a checkpoint.
    #[must_use]
    pub fn tokenizer() -> PathBuf {
        Self::folder().join("diffusers/tokenizer/tokenizer.json")
    }

    /// Writes the model as a diffusers folder: the kept configurations and tokenizer, and weights derived from the
    /// single file.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn diffusers_folder(to: &Path) -> io::Result<()> {
        for (path, bytes) in Self::diffusers_files() {
            let path = to.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(to))?;
            std::fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// The files that [`Self::diffusers_folder`] writes, by their paths in it.
    ///
    /// # Panics
    /// When the fixtures are missing or damaged.
    #[must_use]
    pub fn diffusers_files() -> BTreeMap<String, Bytes> {
        static FILES: OnceLock<BTreeMap<String, Bytes>> = OnceLock::new();
        FILES.get_or_init(derive_diffusers_files).clone()
    }
}

/// The weights file of a component in a diffusers folder.
/// The tiny model is of the family's first generation.
const COMPONENTS: [Component; 3] = [Component::TextEncoder, Component::Unet, Component::Vae];

fn weights_path(component: Component) -> &'static str {
    match component {
        Component::TextEncoder => "text_encoder/model.safetensors",
        Component::TextEncoder2 => "text_encoder_2/model.safetensors",
        Component::Unet => "unet/diffusion_pytorch_model.safetensors",
        Component::Vae => "vae/diffusion_pytorch_model.safetensors",
    }
}

fn derive_diffusers_files() -> BTreeMap<String, Bytes> {
    let kept = TinyModel::folder().join("diffusers");
    let read = |path: &Path| std::fs::read(path).expect("the tiny model is among the fixtures");
    let mut files: BTreeMap<String, Bytes> =
        KEPT.iter().map(|path| ((*path).to_owned(), Bytes::from(read(&kept.join(path))))).collect();
    let single = read(&TinyModel::single_file());
    let header = paintbox_weights::read_header(&mut Cursor::new(&single), single.len() as u64)
        .expect("the tiny model's header follows the rules");
    let recipes = stable_diffusion::diffusers_recipes(&header).expect("the tiny model is of the family");
    let tensors = SafeTensors::deserialize(&single).expect("the tiny model's header follows the rules");
    for component in COMPONENTS {
        let views = recipes.iter().filter(|((of, _), _)| *of == component).map(|((_, name), recipe)| {
            let source = tensors.tensor(&recipe.source).expect("recipes name tensors of the file");
            let shape = recipe.take.applied_to(source.shape()).expect("a recipe was made for its tensor's shape");
            let view = TensorView::new(source.dtype(), shape, source.data()).expect("reshaping keeps the length");
            (name.as_str(), view)
        });
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = safetensors::serialize(views, Some(metadata)).expect("valid tensors make a valid file");
        files.insert(weights_path(component).to_owned(), Bytes::from(bytes));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::digest::to_hex;
    use paintbox_weights::stable_diffusion::Levels;
    use sha2::{Digest, Sha256};

    /// Parameters of each component as counted when the model was made.
    const PARAMETERS: [(Component, usize); 3] =
        [(Component::TextEncoder, 1_059_200), (Component::Unet, 5_659_044), (Component::Vae, 1_288_263)];

    #[test]
    fn the_diffusers_folder_holds_the_single_files_tensors_and_goes_back_to_them() {
        let single = std::fs::read(TinyModel::single_file()).unwrap();
        let original = SafeTensors::deserialize(&single).unwrap();
        let files = TinyModel::diffusers_files();
        let header = paintbox_weights::read_header(&mut Cursor::new(&single), single.len() as u64).unwrap();
        let levels = Levels::of_single_file(&header);
        let mut back = BTreeMap::new();
        for component in COMPONENTS {
            let file = &files[weights_path(component)];
            for (name, tensor) in SafeTensors::deserialize(file).unwrap().tensors() {
                let (ldm, take) =
                    stable_diffusion::ldm_name(component, &name, &levels).unwrap_or_else(|| panic!("{name}"));
                let shape = take.applied_to(tensor.shape()).unwrap();
                assert!(back.insert(ldm, (tensor.dtype(), shape, tensor.data().to_vec())).is_none(), "{name}");
            }
        }
        let mut compared = 0;
        for (name, tensor) in original.tensors() {
            if name.ends_with("position_ids") {
                continue;
            }
            let (dtype, shape, data) = &back[&name];
            assert_eq!((*dtype, shape.as_slice()), (tensor.dtype(), tensor.shape()), "{name}");
            assert!(data == tensor.data(), "{name} has other bytes");
            compared += 1;
        }
        assert_eq!(compared, back.len(), "nothing is left over");
    }

    #[test]
    fn each_component_has_as_many_parameters_as_were_trained() {
        let files = TinyModel::diffusers_files();
        for (component, parameters) in PARAMETERS {
            let file = SafeTensors::deserialize(&files[weights_path(component)]).unwrap();
            let found: usize = file.tensors().iter().map(|(_, tensor)| tensor.shape().iter().product::<usize>()).sum();
            assert_eq!(found, parameters, "{component}");
        }
    }

    #[test]
    fn the_derived_files_are_those_that_the_model_was_published_with() {
        let published = [
            (Component::TextEncoder, "4103dfa0d25373caba105409bd98c689f0a0093894b80bbaf1a4e79215393a4c"),
            (Component::Unet, "71766111ebdd23ef928d37b0281d82b14ea95d1713949ef0553c79017592292c"),
            (Component::Vae, "6aeb2bc8924e616fd93aa3fe347ef50fd12bbd0e90cdc638b38bec14fab278ce"),
        ];
        let files = TinyModel::diffusers_files();
        for (component, sha256) in published {
            let found = to_hex(&Sha256::digest(&files[weights_path(component)]));
            assert_eq!(found, sha256, "{component}");
        }
    }

    #[test]
    fn the_folder_on_disk_is_the_files() {
        let folder = tempfile::tempdir().unwrap();
        TinyModel::diffusers_folder(folder.path()).unwrap();
        let files = TinyModel::diffusers_files();
        assert_eq!(files.len(), 13);
        for (path, bytes) in files {
            assert!(std::fs::read(folder.path().join(&path)).unwrap() == bytes, "{path}");
        }
    }
}
