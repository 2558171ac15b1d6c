//! Parts of diffusers pipelines: those of all pipelines are called alike, so the folders around them tell them apart.

use super::declared::{kind_of_component, kind_of_folder};
use std::path::{Component, Path};

/// What files of weights are called: `WEIGHTS_NAME` and `SAFETENSORS_WEIGHTS_NAME` of huggingface/diffusers @ 031aab366c80
/// `src/diffusers/utils/constants.py`, `WEIGHTS_NAME` and `SAFE_WEIGHTS_NAME` of `transformers.utils`.
const ALIKE: [&str; 3] = ["diffusion_pytorch_model", "pytorch_model", "model"];

/// A name for a file that is called as many others are: the pipeline's folder and the part's, or the folder alone where it
/// is not that of a part. None for every other file, and in a folder that is for all models of a kind.
#[must_use]
pub fn named_after_folders(relative: &Path) -> Option<String> {
    let stem = relative.file_stem()?.to_str()?;
    let is_alike = |name: &str| {
        let rest = stem.strip_prefix(name);
        // A variant, such as `.fp16`, or the number of a shard, `-00001-of-00002`.
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with("-0"))
    };
    if !ALIKE.into_iter().any(is_alike) {
        return None;
    }
    let mut folders = relative.parent()?.components().rev().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let folder = folders.next()?;
    let is_ones_own = |folder: &&str| kind_of_folder(folder).is_none();
    match kind_of_component(folder) {
        Some(_) => folders.next().filter(is_ones_own).map(|pipeline| format!("{pipeline} {folder}")),
        None => Some(folder).filter(is_ones_own).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_called_like_others_is_named_after_its_folders() {
        for (path, wanted) in [
            ("main/dreamy-xl/unet/diffusion_pytorch_model.fp16.safetensors", Some("dreamy-xl unet")),
            ("dreamy-xl/text_encoder_2/model-00001-of-00002.safetensors", Some("dreamy-xl text_encoder_2")),
            ("controlnet/canny-xl/diffusion_pytorch_model.safetensors", Some("canny-xl")),
            ("loras/model.safetensors", None),
            ("unet/diffusion_pytorch_model.safetensors", None),
            ("model.safetensors", None),
            ("dreamy-xl/unet/modelled.safetensors", None),
            ("dreamy-xl/unet/model-v2.safetensors", None),
        ] {
            assert_eq!(named_after_folders(Path::new(path)).as_deref(), wanted, "{path}");
        }
    }
}
