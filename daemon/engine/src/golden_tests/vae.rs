//! Another file's VAE in the place of a model's own.

use super::{Silence, engine, request};
use crate::testing::{diffusers_folder, model_file, single_file, tiny_folder};
use paintbox_domain::generation::{Generator, ModelFile, PaintRequest};
use paintbox_domain::reason;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use std::path::Path;

const PREFIX: &str = "first_stage_model.";

/// A file at `path` of those of a file's tensors that `keep` names anew.
pub(super) fn made_of(
    source: &ModelFile,
    path: &Path,
    keep: impl Fn(&str) -> Option<String>,
    change: impl Fn(&str, &mut [u8]),
) -> ModelFile {
    let bytes = std::fs::read(&source.path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut kept: Vec<(String, Vec<usize>, safetensors::Dtype, Vec<u8>)> = Vec::new();
    for (name, tensor) in tensors.tensors() {
        if let Some(new) = keep(&name) {
            let mut data = tensor.data().to_vec();
            change(&name, &mut data);
            kept.push((new, tensor.shape().to_vec(), tensor.dtype(), data));
        }
    }
    let views = kept
        .iter()
        .map(|(name, shape, dtype, data)| (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    model_file(&path.file_name().unwrap().to_string_lossy(), path.to_owned())
}

#[test]
fn a_vae_is_taken_from_another_file_in_every_form() {
    let home = tempfile::tempdir().unwrap();
    let alone = |name: &str| name.strip_prefix(PREFIX).map(str::to_owned);
    let without = |name: &str| (!name.starts_with(PREFIX)).then(|| name.to_owned());
    let as_it_is = |_: &str, _: &mut [u8]| {};
    let whole = &single_file()[0];
    let bare = made_of(whole, &home.path().join("bare.safetensors"), alone, as_it_is);
    let prefixed = single_file().remove(0);
    let folder = diffusers_folder();
    let is_vae = |file: &&ModelFile| file.name == "vae/diffusion_pytorch_model.safetensors";
    let of_diffusers = folder.files.iter().find(is_vae).unwrap().clone();
    let headless = made_of(whole, &home.path().join("headless.safetensors"), without, as_it_is);
    let dark = made_of(whole, &home.path().join("dark.safetensors"), alone, |name, data| {
        if name.contains("decoder.conv_out") {
            data.fill(0);
        }
    });

    let mut engine = engine();
    let mut paint = |model: Vec<ModelFile>, vae: Option<ModelFile>| {
        engine.paint(&PaintRequest { vae, steps: Some(2), ..request(&model) }, &Silence)
    };
    let own = paint(single_file(), None).unwrap();
    for vae in [&bare, &prefixed, &of_diffusers] {
        assert_eq!(paint(single_file(), Some(vae.clone())).unwrap(), own, "{}", vae.name);
        assert_eq!(paint(vec![headless.clone()], Some(vae.clone())).unwrap(), own, "{} beside no other", vae.name);
    }
    assert_eq!(paint(vec![headless], None).unwrap_err().reason, reason::MISSING_COMPONENT);
    // All is grey through a decoder that says nothing, and the model in memory is not taken for the one before.
    let grey = paint(single_file(), Some(dark)).unwrap();
    assert!(grey.images[0].rgb.iter().all(|value| (127..=128).contains(value)));
    assert_eq!(paint(single_file(), None).unwrap(), own);
    let lora = model_file("lora.safetensors", tiny_folder().join("lora/greyscale.safetensors"));
    let refused = paint(single_file(), Some(lora)).unwrap_err();
    assert!(refused.message.contains("lora.safetensors"), "{}", refused.message);
}
