//! Adapters merged into the weights while they are loaded: nothing is slower afterwards, and nothing accumulates,
//! because every loading starts from the file.

use super::delta::{Strength, apply};
use super::file::TensorFile;
use super::index::Index;
use crate::error::EngineError;
use paintbox_domain::generation::LoraFile;
use paintbox_weights::Adapter;
use paintbox_weights::adapter::Change;
use paintbox_weights::stable_diffusion::Component;
use std::collections::BTreeMap;

/// The changes to a model's parameters, by the parameter that they change, in the order of the adapters.
#[derive(Debug, Default)]
pub(crate) struct Merges {
    files: Vec<TensorFile>,
    changes: BTreeMap<(Component, String), Vec<Merge>>,
}

/// What one adapter does to one parameter.
#[derive(Debug)]
struct Merge {
    file: usize,
    change: Change,
    strength: Strength,
}

/// Matches adapters against a model. One of weight zero is left out, and so changes nothing at all.
///
/// # Errors
/// When a file is no LoRA, one of an unsupported kind, or one for another architecture.
pub(crate) fn merges(index: &Index, loras: &[LoraFile]) -> Result<Merges, EngineError> {
    let mut merges = Merges::default();
    let parameters = index.parameters();
    for lora in loras.iter().filter(|lora| lora.changes_anything()) {
        let file = TensorFile::open(&lora.name, &lora.path)?;
        let adapter = Adapter::matching(&file.header, &parameters)
            .map_err(|source| EngineError::Adapter { file: lora.name.clone(), source: Box::new(source) })?;
        tracing::debug!(lora = lora.name, matched = adapter.targets.len(), unmatched = adapter.unmatched.len());
        let number = merges.files.len();
        for (target, change) in adapter.targets {
            let component = target.0;
            let weight = if component == Component::Unet { lora.weight } else { lora.text_encoder_weight };
            if weight == 0.0 {
                continue;
            }
            let component_alpha = adapter.component_alpha.get(&component).copied();
            let is_rank_stabilised = adapter.rank_stabilised.contains(&component);
            let strength = Strength { weight, component_alpha, is_rank_stabilised };
            merges.changes.entry(target).or_default().push(Merge { file: number, change, strength });
        }
        merges.files.push(file);
    }
    Ok(merges)
}

impl Merges {
    /// Changes the `values` of one parameter, which have `shape`.
    pub(crate) fn apply(
        &self,
        target: &(Component, String),
        shape: &[usize],
        values: &mut [f32],
    ) -> Result<(), EngineError> {
        for merge in self.changes.get(target).into_iter().flatten() {
            apply(&merge.change, &self.files[merge.file], merge.strength, shape, values)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::index;
    use crate::load::weights::TensorSource;
    use crate::testing::{GoldenTensors, golden_path, largest_difference, lora, note, single_file};
    use candle_core::Tensor;
    use std::collections::BTreeSet;

    const TARGET: &str = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight";

    fn weight(loras: &[LoraFile]) -> Tensor {
        let index = index(&single_file()).unwrap();
        let merges = merges(&index, loras).unwrap();
        index.component(Component::Unet, &merges).read(TARGET, &[32, 32]).unwrap()
    }

    #[test]
    fn a_lora_of_weight_zero_changes_nothing() {
        assert_eq!(largest_difference(&weight(&[]), &weight(&[lora("greyscale.safetensors", 0.0)])), 0.0);
    }

    #[test]
    fn both_spellings_of_a_lora_change_weights_alike_and_in_proportion() {
        let base = weight(&[]);
        let kohya = weight(&[lora("greyscale.safetensors", 0.8)]);
        let peft = weight(&[lora("greyscale-diffusers.safetensors", 0.8)]);
        assert!(largest_difference(&kohya, &peft) < 1e-6);
        assert!(largest_difference(&kohya, &base) > 1e-3);
        let twice = weight(&[lora("greyscale.safetensors", 0.4), lora("greyscale-diffusers.safetensors", 0.4)]);
        assert!(largest_difference(&kohya, &twice) < 1e-6);
    }

    #[test]
    fn every_module_of_the_tiny_lora_finds_its_weight() {
        let index = index(&single_file()).unwrap();
        for name in ["greyscale.safetensors", "greyscale-diffusers.safetensors"] {
            let merges = merges(&index, &[lora(name, 1.0)]).unwrap();
            assert_eq!(merges.changes.len(), 216, "{name}");
        }
    }

    /// The adapters' own trainers say what they make of weights (`make_adapters.py`).
    #[test]
    fn every_form_makes_of_weights_what_its_trainer_does() {
        let golden = GoldenTensors::open("adapters/weights.safetensors");
        let index = index(&single_file()).unwrap();
        let mut forms = BTreeSet::new();
        for name in golden.names() {
            // `loha.0.6.conv_in.weight`
            let mut parts = name.splitn(4, '.');
            let mut part = || parts.next().unwrap();
            let (form, strength, parameter) = (part(), format!("{}.{}", part(), part()), part());
            let path = golden_path(&format!("adapters/{form}.safetensors"));
            let file = LoraFile { path, ..lora("greyscale.safetensors", strength.parse().unwrap()) };
            let merges = merges(&index, &[file]).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let wanted = golden.tensor(&name);
            let ours = index.component(Component::Unet, &merges).read(parameter, wanted.dims()).unwrap();
            let apart = largest_difference(&ours, &wanted);
            note(&format!("{name}: {apart:.1e}"));
            assert!(apart <= 1e-5, "{name}: {apart}");
            let base = Merges::default();
            let before = index.component(Component::Unet, &base).read(parameter, wanted.dims()).unwrap();
            assert!(largest_difference(&ours, &before) > 1e-3, "{name} changes nothing");
            forms.insert(form.to_owned());
        }
        assert_eq!(forms.len(), 17);
    }

    #[test]
    fn text_encoders_have_a_weight_of_their_own() {
        const TEXT_TARGET: &str = "text_model.encoder.layers.0.self_attn.q_proj.weight";
        let index = index(&single_file()).unwrap();
        let read = |file: LoraFile| {
            let merges = merges(&index, &[file]).unwrap();
            let unet = index.component(Component::Unet, &merges).read(TARGET, &[32, 32]).unwrap();
            let shape = &index.parameters()[&(Component::TextEncoder, TEXT_TARGET.to_owned())];
            (unet, index.component(Component::TextEncoder, &merges).read(TEXT_TARGET, shape).unwrap())
        };
        let (unet, text) = read(lora("greyscale.safetensors", 0.8));
        let (same_unet, none) = read(LoraFile { text_encoder_weight: 0.0, ..lora("greyscale.safetensors", 0.8) });
        let (no_unet, same_text) = read(LoraFile { weight: 0.0, ..lora("greyscale.safetensors", 0.8) });
        let (plain_unet, plain_text) = read(lora("greyscale.safetensors", 0.0));
        let apart = [(&unet, &same_unet), (&none, &plain_text), (&no_unet, &plain_unet), (&same_text, &text)];
        assert!(apart.iter().all(|(one, other)| largest_difference(one, other) == 0.0));
        assert!(largest_difference(&text, &plain_text) > 1e-4);
    }

    #[test]
    fn a_checkpoint_is_not_a_lora() {
        let index = index(&single_file()).unwrap();
        let path = crate::testing::tiny_folder().join("tiny-emoji.safetensors");
        let file = LoraFile { path, ..lora("greyscale.safetensors", 1.0) };
        assert!(merges(&index, &[file]).is_err());
    }
}
