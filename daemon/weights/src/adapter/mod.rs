//! LoRA files and their relatives: which tensors belong to which parameter of the model, and what is made of them.
//!
//! Every trainer spells a parameter's name in its own way, some with underscores that can be split in more than one
//! place. So names are never taken apart: every spelling of every parameter of the model is generated, and the file's
//! names are looked up among them.

mod error;
mod form;
mod names;

pub use error::AdapterError;
pub use form::{Axis, Change, Core, Factor, Form, Magnitude, Product};
pub(crate) use names::{DOWN, Piece, Role, Term, UP, module_and_role};

use crate::safetensors::Header;
use crate::shapes::for_message;
use crate::stable_diffusion::{Component, Parameters};
use form::Module;
use names::{other_algorithm, spellings};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A LoRA matched to a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Adapter {
    /// By the canonical name of the weight or bias that is changed.
    pub targets: BTreeMap<(Component, String), Change>,
    /// Modules of the file that this model has no place for, in the file's spelling.
    pub unmatched: Vec<String>,
    /// The alpha that newer diffusers files state once for a whole component instead of beside each weight.
    pub component_alpha: BTreeMap<Component, f64>,
    /// Components whose alpha is divided by the square root of the rank (Kalajdzievski 2023, rsLoRA).
    pub rank_stabilised: BTreeSet<Component>,
}

impl Adapter {
    /// Matches a LoRA's file to the canonical parameters of a Stable Diffusion model.
    ///
    /// Modules that the model has no place for are listed, not dropped silently; when they are the majority, or any
    /// module that has a place does not fit it, the LoRA is for another model and is refused whole.
    ///
    /// # Errors
    /// See [`AdapterError`]; the reason is `LORA_MISMATCH` when the file is sound but made for something else.
    pub fn matching(header: &Header, parameters: &Parameters) -> Result<Self, AdapterError> {
        let mut modules: BTreeMap<&str, Module<'_>> = BTreeMap::new();
        let mut adapter = Self::default();
        adapter.read_settings(header)?;
        for (name, info) in &header.tensors {
            if let Some(algorithm) = other_algorithm(name) {
                return Err(AdapterError::UnsupportedAlgorithm { algorithm, tensor: for_message(name) });
            }
            let Some((stem, role)) = module_and_role(name) else {
                adapter.unmatched.push(name.clone());
                continue;
            };
            modules.entry(stem).or_default().take(stem, role, name, info)?;
        }
        if modules.is_empty() {
            return Err(AdapterError::NotALora);
        }
        let spellings = spellings(parameters);
        let mut first_of: HashMap<(Component, String), &str> = HashMap::new();
        for (stem, module) in &modules {
            let Some(((component, weight), shape)) = spellings.get(*stem).copied() else {
                adapter.unmatched.push((*stem).to_owned());
                continue;
            };
            let mut add = |canonical: String, change: Change| {
                let key = (*component, canonical);
                if let Some(first) = first_of.insert(key.clone(), stem) {
                    let (first, second) = (for_message(first), for_message(stem));
                    return Err(AdapterError::Twice { canonical: key.1, first, second });
                }
                adapter.targets.insert(key, change);
                Ok(())
            };
            if let Some(change) = module.of_weight(stem, weight, shape)? {
                add(weight.clone(), change)?;
            }
            let bias = format!("{}.bias", weight.strip_suffix(".weight").unwrap_or(weight));
            let shape = parameters.get(&(*component, bias.clone())).map_or(&[][..], Vec::as_slice);
            if let Some(change) = module.of_bias(stem, &bias, shape)? {
                add(bias, change)?;
            }
        }
        let (total, strays) = (modules.len(), modules.keys().filter(|stem| !spellings.contains_key(**stem)).count());
        let matched = total - strays;
        if matched * 2 < total || matched == 0 {
            let example = adapter.unmatched.last().map(|module| for_message(module)).unwrap_or_default();
            return Err(AdapterError::Mismatch { matched, modules: total, example });
        }
        Ok(adapter)
    }

    /// What newer diffusers writes instead of alpha tensors: `lora_adapter_metadata`, a JSON object of `unet.lora_alpha`,
    /// `unet.r` and other settings of peft. Settings that would change the arithmetic are refused, not ignored.
    fn read_settings(&mut self, header: &Header) -> Result<(), AdapterError> {
        let Some(text) = header.metadata.get("lora_adapter_metadata") else { return Ok(()) };
        let settings: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|source| AdapterError::BadMetadata { source })?;
        for (setting, value) in &settings {
            let Some((component, key)) = setting.rsplit_once('.') else { continue };
            let component = Component::ALL.into_iter().find(|known| known.as_str() == component);
            match (key, value) {
                ("alpha_pattern", serde_json::Value::Object(alphas)) if !alphas.is_empty() => {
                    return Err(AdapterError::UnsupportedSetting { setting: for_message(setting) });
                }
                ("use_rslora", serde_json::Value::Bool(true)) => self.rank_stabilised.extend(component),
                ("lora_alpha", value) => {
                    if let (Some(component), Some(alpha)) = (component, value.as_f64()) {
                        self.component_alpha.insert(component, alpha);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
