//! Adapters merged into the weights while they are loaded: nothing is slower afterwards, and nothing accumulates,
//! because every loading starts from the file.

use super::file::TensorFile;
use super::index::Index;
use crate::error::EngineError;
use candle_core::{Device, Tensor};
use paintbox_domain::generation::LoraFile;
use paintbox_weights::stable_diffusion::Component;
use paintbox_weights::{Adapter, LoraTensors};
use std::collections::BTreeMap;

/// The changes to a model's weights, by the weight that they change.
#[derive(Debug, Default)]
pub(crate) struct Merges {
    files: Vec<TensorFile>,
    changes: BTreeMap<(Component, String), Vec<Change>>,
}

/// One low-rank change: `weight · alpha / rank · up · down`.
#[derive(Debug)]
struct Change {
    file: usize,
    tensors: LoraTensors,
    /// What the file says for the whole component where a weight has no alpha of its own.
    component_alpha: Option<f64>,
    weight: f32,
}

/// Matches adapters against a model. One of weight zero is left out, and so changes nothing at all.
///
/// # Errors
/// When a file is no LoRA, one of an unsupported kind, or one for another architecture.
pub(crate) fn merges(index: &Index, loras: &[LoraFile]) -> Result<Merges, EngineError> {
    let mut merges = Merges::default();
    let parameters = index.parameters();
    for lora in loras.iter().filter(|lora| lora.weight != 0.0) {
        let file = TensorFile::open(&lora.name, &lora.path)?;
        let adapter = Adapter::matching(&file.header, &parameters)
            .map_err(|source| EngineError::Adapter { file: lora.name.clone(), source: Box::new(source) })?;
        tracing::debug!(lora = lora.name, matched = adapter.targets.len(), unmatched = adapter.unmatched.len());
        let number = merges.files.len();
        for (target, tensors) in adapter.targets {
            let component_alpha = adapter.component_alpha.get(&target.0).copied();
            let change = Change { file: number, tensors, component_alpha, weight: lora.weight };
            merges.changes.entry(target).or_default().push(change);
        }
        merges.files.push(file);
    }
    Ok(merges)
}

impl Merges {
    /// Adds the changes of one weight to its `values`, which have `shape`.
    pub(crate) fn apply(
        &self,
        target: &(Component, String),
        shape: &[usize],
        values: &mut [f32],
    ) -> Result<(), EngineError> {
        for change in self.changes.get(target).into_iter().flatten() {
            let delta = self.delta(change, &target.1, shape)?;
            for (value, delta) in values.iter_mut().zip(delta) {
                *value += delta;
            }
        }
        Ok(())
    }

    fn delta(&self, change: &Change, target: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
        let file = &self.files[change.file];
        let tensors = &change.tensors;
        if tensors.mid.is_some() {
            let (file, tensor) = (file.name().to_owned(), target.to_owned());
            return Err(EngineError::AdapterForm { file, tensor, form: "a Tucker core between its halves" });
        }
        let rank = tensors.rank;
        let outputs = shape.first().copied().unwrap_or_default();
        let inputs = shape.iter().skip(1).product::<usize>();
        let own_alpha = match &tensors.alpha {
            Some(alpha) => named(file, alpha)?.first().copied().map(f64::from),
            None => None,
        };
        let alpha = own_alpha.or(change.component_alpha).unwrap_or(rank as f64);
        let scale = f64::from(change.weight) * alpha / rank as f64;
        let (up, down) = (named(file, &tensors.up)?, named(file, &tensors.down)?);
        // Convolutions keep their kernel in `down`, so both halves are matrices once flattened.
        let product = || -> candle_core::Result<Vec<f32>> {
            let up = Tensor::from_vec(up, (outputs, rank), &Device::Cpu)?;
            let down = Tensor::from_vec(down, (rank, inputs), &Device::Cpu)?;
            (up.matmul(&down)? * scale)?.flatten_all()?.to_vec1()
        };
        product().map_err(EngineError::computing("merging a LoRA"))
    }
}

fn named(file: &TensorFile, name: &str) -> Result<Vec<f32>, EngineError> {
    let Some(info) = file.header.tensors.get(name) else {
        return Err(EngineError::MissingTensor { component: "LoRA", tensor: name.to_owned() });
    };
    file.read(name, info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::index;
    use crate::load::weights::TensorSource;
    use crate::testing::{largest_difference, lora, single_file};

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

    #[test]
    fn a_checkpoint_is_not_a_lora() {
        let index = index(&single_file()).unwrap();
        let path = crate::testing::tiny_folder().join("tiny-emoji.safetensors");
        let file = LoraFile { path, ..lora("greyscale.safetensors", 1.0) };
        assert!(merges(&index, &[file]).is_err());
    }
}
