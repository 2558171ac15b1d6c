//! Text encoders of other files: a UNet alone with everything named beside it paints what the whole model paints.

use super::families::{Family, both_forms};
use super::vae::made_of;
use super::{Silence, case_request, engine, request};
use crate::testing::{lora, model_file, single_file, tiny_folder};
use paintbox_domain::generation::{Generator, ModelFile, PaintRequest, Painting};
use paintbox_domain::{Failure, reason};
use std::path::{Path, PathBuf};

/// What precedes the names of text encoders in single files.
const PREFIXES: [&str; 4] = [
    "cond_stage_model.transformer.",
    "cond_stage_model.model.",
    "conditioner.embedders.0.transformer.",
    "conditioner.embedders.1.model.",
];
const UNET: &str = "model.diffusion_model.";

/// A family's model, whole and in parts.
struct Parts {
    family: Family,
    whole: ModelFile,
    folder: Vec<ModelFile>,
    root: tempfile::TempDir,
}

impl Parts {
    fn of(family: &str) -> Self {
        let family = Family::named(family);
        let root = tempfile::tempdir().unwrap();
        let [folder, single] = both_forms(&family, root.path());
        // What only differs in content must not be taken for the same.
        let again = |file: &ModelFile| model_file(&file.name, file.path.clone());
        Self { family, whole: again(&single[0]), folder: folder.iter().map(again).collect(), root }
    }

    /// The tensors behind `prefix` in a file of their own, under names that `new` precedes.
    fn part(&self, name: &str, prefix: &str, new: &str) -> ModelFile {
        let named = |tensor: &str| tensor.strip_prefix(prefix).map(|local| format!("{new}{local}"));
        made_of(&self.whole, &self.path(name), named, |_, _| {})
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A text encoder for each beginning that the whole model has.
    fn encoders(&self, new: &str) -> Vec<ModelFile> {
        let tensors = std::fs::read(&self.whole.path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&tensors).unwrap();
        let names = tensors.names();
        let there = PREFIXES.iter().filter(|prefix| names.iter().any(|name| name.starts_with(**prefix)));
        there.enumerate().map(|(at, prefix)| self.part(&format!("{new}{at}.safetensors"), prefix, new)).collect()
    }

    /// The encoders that the folder has, as files of their own.
    fn of_folder(&self) -> Vec<ModelFile> {
        let is_encoder =
            |file: &&ModelFile| file.name.starts_with("text_encoder") && file.name.ends_with(".safetensors");
        self.folder.iter().filter(is_encoder).cloned().collect()
    }

    fn paint(&self, model: &ModelFile, vae: Option<&ModelFile>, encoders: &[ModelFile]) -> Result<Painting, Failure> {
        let asked = case_request(std::slice::from_ref(model), &self.family.cases[0], &[]);
        let (vae, text_encoders) = (vae.cloned(), encoders.to_vec());
        engine().paint(&PaintRequest { vae, text_encoders, steps: Some(2), ..asked }, &Silence)
    }
}

#[test]
fn a_unet_alone_with_what_it_lacks_paints_what_the_whole_model_does() {
    for family in ["sd1", "sd2", "sdxl", "sdxl-v"] {
        let parts = Parts::of(family);
        let whole = parts.paint(&parts.whole, None, &[]).unwrap();
        let vae = parts.part("vae.safetensors", "first_stage_model.", "");
        let is_unet = |file: &&ModelFile| file.name == "unet/diffusion_pytorch_model.safetensors";
        let of_diffusers = parts.folder.iter().find(is_unet).unwrap();
        let mut networks =
            vec![parts.part("unet.safetensors", UNET, ""), parts.part("prefixed.safetensors", UNET, UNET)];
        // Nothing in a folder's UNet says that it predicts velocity.
        if family != "sdxl-v" {
            networks.push(ModelFile { name: "diffusers.safetensors".to_owned(), ..of_diffusers.clone() });
        }
        let mut turned = parts.of_folder();
        turned.reverse();
        let sets =
            [parts.encoders(""), parts.encoders("text_encoders.clip.transformer."), turned, vec![parts.whole.clone()]];
        for network in &networks {
            for encoders in &sets {
                let painted = parts.paint(network, Some(&vae), encoders).unwrap();
                assert!(painted == whole, "{family}: {} with {}", network.name, encoders[0].name);
            }
        }
        // One encoder of the whole model in another file is that file's.
        let [.., last] = &parts.encoders("")[..] else { panic!() };
        let darkened = |name: &str, data: &mut [u8]| {
            if name.contains("final_layer_norm") || name.contains("ln_final") || name.contains("text_projection") {
                data.fill(0);
            }
        };
        let dark = made_of(last, &parts.path("dark.safetensors"), |name| Some(name.to_owned()), darkened);
        assert!(parts.paint(&parts.whole, None, std::slice::from_ref(last)).unwrap() == whole, "{family}");
        let other = parts.paint(&parts.whole, None, &[dark]).unwrap();
        assert!(other.images != whole.images, "{family}: the encoder that was named is not used");
    }
}

#[test]
fn what_is_missing_is_said_and_an_encoder_of_another_family_is_refused_with_the_sizes() {
    let (xl, sd2) = (Parts::of("sdxl"), Parts::of("sd2"));
    let unet = xl.part("unet.safetensors", UNET, "");
    let vae = xl.part("vae.safetensors", "first_stage_model.", "");
    let encoders = xl.encoders("");
    let refused = |vae: Option<&ModelFile>, encoders: &[ModelFile]| xl.paint(&unet, vae, encoders).unwrap_err();
    assert_eq!(refused(None, &encoders).reason, reason::MISSING_COMPONENT);
    let without = refused(Some(&vae), &[]);
    assert!(without.message.contains("text encoder"), "{}", without.message);
    let half = refused(Some(&vae), &encoders[..1]);
    assert!(half.message.contains("text encoder"), "{}", half.message);
    let twice = refused(Some(&vae), &[encoders[0].clone(), encoders[0].clone()]);
    assert_eq!(twice.reason, reason::INVALID_ARGUMENT);
    // 2.x reads states of 64 numbers, and the demo model's encoder makes 128.
    let demo = single_file().remove(0);
    let wide = sd2.paint(&sd2.whole, None, std::slice::from_ref(&demo)).unwrap_err();
    assert_eq!(wide.reason, reason::UNSUPPORTED_ARCHITECTURE);
    assert!(wide.message.contains("128") && wide.message.contains("64"), "{}", wide.message);
    let adapter = lora("greyscale.safetensors", 1.0);
    let adapter = ModelFile { name: adapter.name, path: adapter.path, sha256: adapter.sha256 };
    let none = refused(Some(&vae), &[adapter]);
    assert_eq!(none.reason, reason::NOT_A_MODEL_FILE);
}

#[test]
fn the_demo_models_encoder_is_taken_from_another_file() {
    let home = tempfile::tempdir().unwrap();
    let whole = single_file().remove(0);
    let keep = |prefix: &'static str| move |name: &str| name.strip_prefix(prefix).map(str::to_owned);
    let at = |name: &str| -> PathBuf { Path::new(home.path()).join(name) };
    let encoder = made_of(&whole, &at("clip.safetensors"), keep("cond_stage_model.transformer."), |_, _| {});
    let unet = made_of(&whole, &at("unet.safetensors"), keep(UNET), |_, _| {});
    let vae = model_file("vae.safetensors", tiny_folder().join("tiny-emoji.safetensors"));
    let mut engine = engine();
    let own =
        engine.paint(&PaintRequest { steps: Some(2), ..request(std::slice::from_ref(&whole)) }, &Silence).unwrap();
    let named = PaintRequest { vae: Some(vae), text_encoders: vec![encoder], steps: Some(2), ..request(&[unet]) };
    assert!(engine.paint(&named, &Silence).unwrap() == own);
}
