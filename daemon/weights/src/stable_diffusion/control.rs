//! ControlNets (Zhang et al. 2023): a copy of the UNet's way down and middle, a small network that reads the picture it
//! leads by, and a 1×1 convolution for everything that is handed over.
//!
//! diffusers' names are canonical. ControlNet's own repository names the copy as a single file names the UNet
//! (`input_blocks`, `middle_block`), the others `zero_convs`, `middle_block_out` and `input_hint_block`, alone or behind
//! `control_model.`, where a whole checkpoint may lie beside (diffusers `loaders/single_file_utils.py`,
//! `convert_controlnet_checkpoint`, at 0.42.1; Comfy-Org/ComfyUI `comfy/controlnet.py` at a125cd84).

use super::dims::{Middle, count, down_widths, shape, transformer_blocks};
use super::{DimsError, Levels, index_and_rest, unet_names};
use crate::safetensors::Header;
use crate::shapes::TensorShapes;
use std::collections::BTreeMap;

/// What may precede the names.
const PREFIXES: [&str; 3] = ["control_model.", "controlnet.", ""];

/// Each canonical name with the file's own. A name that a ControlNet has not is left out.
#[must_use]
pub fn control_net_names(header: &Header) -> BTreeMap<String, String> {
    let first =
        |prefix: &&&str| header.tensors.keys().any(|name| name.starts_with(*prefix) && is_own(&name[prefix.len()..]));
    let prefix = PREFIXES.iter().find(first).copied().unwrap_or_default();
    let local = |name: &'_ String| name.strip_prefix(prefix).map(str::to_owned);
    if header.tensors.contains_key(&format!("{prefix}controlnet_mid_block.weight")) {
        return header.tensors.keys().filter_map(|name| Some((local(name)?, name.clone()))).collect();
    }
    let has = |name: String| header.tensors.contains_key(&format!("{prefix}{name}"));
    let blocks = count(|index| has(format!("input_blocks.{}.0.in_layers.2.weight", index + 1)));
    let levels = Levels {
        unet_blocks_per_level: blocks.max(1),
        unet_up_attention: Vec::new(),
        vae_levels: 0,
        unused_text_layer: None,
    };
    let last_hint = (0..LAST_HINT).rev().find(|index| has(format!("input_hint_block.{index}.weight")));
    let canonical = |name: &str| own_name(name, last_hint).or_else(|| unet_names::canonical_name(name, &levels));
    header.tensors.keys().filter_map(|name| Some((canonical(&local(name)?)?, name.clone()))).collect()
}

/// No ControlNet counts further; it bounds the search.
const LAST_HINT: usize = 64;

/// A name that only a ControlNet has.
fn is_own(name: &str) -> bool {
    ["input_hint_block.", "controlnet_cond_embedding.", "zero_convs.", "controlnet_down_blocks."]
        .iter()
        .any(|own| name.starts_with(own))
}

fn own_name(name: &str, last_hint: Option<usize>) -> Option<String> {
    if let Some(rest) = name.strip_prefix("zero_convs.") {
        let (index, rest) = index_and_rest(rest)?;
        return Some(format!("controlnet_down_blocks.{index}.{}", rest.strip_prefix("0.")?));
    }
    if let Some(leaf) = name.strip_prefix("middle_block_out.0.") {
        return Some(format!("controlnet_mid_block.{leaf}"));
    }
    // Activations stand between the convolutions, so that only even places hold weights.
    let (index, leaf) = index_and_rest(name.strip_prefix("input_hint_block.")?)?;
    Some(match index {
        0 => format!("controlnet_cond_embedding.conv_in.{leaf}"),
        index if Some(index) == last_hint => format!("controlnet_cond_embedding.conv_out.{leaf}"),
        index => format!("controlnet_cond_embedding.blocks.{}.{leaf}", index / 2 - 1),
    })
}

/// A ControlNet's sizes. Lists go by level, from the highest resolution down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlNetDims {
    /// Of the latents.
    pub in_channels: usize,
    /// 3: red, green, blue.
    pub image_channels: usize,
    /// Of the network that reads the picture, each level at half of the resolution of the one before.
    pub hint_channels: Vec<usize>,
    pub block_out_channels: Vec<usize>,
    /// Transformer blocks behind each residual block; 0 where there is no attention.
    pub depth: Vec<Vec<usize>>,
    pub middle: Middle,
    /// Width of the text states; absent where nothing attends to them.
    pub cross_attention_dim: Option<usize>,
    /// Inputs of the embedding that is added to the timestep's.
    pub added_inputs: Option<usize>,
}

impl ControlNetDims {
    /// Reads the sizes off canonical names.
    ///
    /// # Errors
    /// [`DimsError`] names the first tensor that is not there or not of the family.
    pub fn from_tensors(tensors: &impl TensorShapes) -> Result<Self, DimsError> {
        let has = |name: &str| tensors.shape_of(name).is_some();
        let [_, in_channels, _, _] = shape(tensors, "conv_in.weight")?;
        let [first_hint, image_channels, _, _] = shape(tensors, "controlnet_cond_embedding.conv_in.weight")?;
        let mut hint_channels = vec![first_hint];
        let steps = count(|step| has(&format!("controlnet_cond_embedding.blocks.{}.weight", 2 * step + 1)));
        for step in 0..steps {
            let [width, _, _, _] =
                shape(tensors, &format!("controlnet_cond_embedding.blocks.{}.weight", 2 * step + 1))?;
            hint_channels.push(width);
        }
        let levels = count(|level| has(&format!("down_blocks.{level}.resnets.0.conv1.weight")));
        let block_out_channels = down_widths(tensors, levels.max(1))?;
        let depth = (0..levels)
            .map(|level| {
                let slots = count(|slot| has(&format!("down_blocks.{level}.resnets.{slot}.conv1.weight")));
                (0..slots)
                    .map(|slot| transformer_blocks(tensors, &format!("down_blocks.{level}.attentions.{slot}")))
                    .collect()
            })
            .collect();
        let middle = Middle::of(tensors);
        let attention = (0..levels)
            .map(|level| format!("down_blocks.{level}.attentions.0"))
            .chain(std::iter::once("mid_block.attentions.0".to_owned()))
            .map(|place| format!("{place}.transformer_blocks.0.attn2.to_k.weight"))
            .find(|key| has(key));
        let cross_attention_dim = match attention {
            Some(key) => Some(shape::<2>(tensors, &key)?[1]),
            None => None,
        };
        let added = "add_embedding.linear_1.weight";
        let added_inputs = if has(added) { Some(shape::<2>(tensors, added)?[1]) } else { None };
        Ok(Self {
            in_channels,
            image_channels,
            hint_channels,
            block_out_channels,
            depth,
            middle,
            cross_attention_dim,
            added_inputs,
        })
    }
}
