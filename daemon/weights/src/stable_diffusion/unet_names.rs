//! The UNet: LDM counts its blocks in one row down and one row up, diffusers by level and slot.
//!
//! With L residual blocks per level, `input_blocks.i` (i ≥ 1) is level (i−1)/(L+1), slot (i−1) mod (L+1), the last
//! slot being the downsampler; `output_blocks.i` is level i/(L+1), slot i mod (L+1), where the last slot also holds
//! the upsampler, after the attention if the level has one. Inside an attention both namings agree.

use super::{Levels, Named, Take, UNET_PREFIX as PREFIX, index_and_rest, replace_stem, replace_stem_back};
use crate::safetensors::Header;
use crate::shapes::TensorShapes;

/// Modules outside the blocks: LDM, diffusers.
const ENDS: [(&str, &str); 7] = [
    ("input_blocks.0.0", "conv_in"),
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
];

/// Inside a residual block.
const RESNET: [(&str, &str); 6] = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// What sits in the middle, by LDM index.
const MIDDLE: [(usize, &str); 3] = [(0, "resnets.0."), (1, "attentions.0."), (2, "resnets.1.")];

/// Modules of a spatial transformer; the names inside are the same on both sides.
const ATTENTION: [&str; 4] = ["norm.", "proj_in.", "proj_out.", "transformer_blocks."];

/// Tensors that say how the network predicts ([`crate::Prediction`]); no weights.
const MARKERS: [&str; 5] = ["v_pred", "ztsnr", "edm_mean", "edm_std", "edm_vpred.sigma_max"];

/// The counts that indices are divided by.
pub(super) struct Layout {
    pub(super) blocks_per_level: usize,
    pub(super) up_attention: Vec<bool>,
}

impl Layout {
    const SD1_BLOCKS_PER_LEVEL: usize = 2;

    pub(super) fn of_single_file(header: &Header) -> Self {
        Self::behind(PREFIX, header)
    }

    /// Of a UNet whose names `prefix` precedes.
    pub(super) fn behind(prefix: &str, header: &Header) -> Self {
        let has = |name: String| header.tensors.contains_key(&format!("{prefix}{name}"));
        // The first downsampler closes the first level.
        let blocks_per_level = (1..=MAX_INDEX)
            .take_while(|index| has(format!("input_blocks.{index}.0.in_layers.2.weight")))
            .last()
            .unwrap_or(Self::SD1_BLOCKS_PER_LEVEL);
        let up_attention = (0..=MAX_INDEX)
            .step_by(blocks_per_level + 1)
            .take_while(|index| has(format!("output_blocks.{index}.0.in_layers.2.weight")))
            .map(|index| has(format!("output_blocks.{index}.1.proj_in.weight")))
            .collect();
        Self::or_sd1(blocks_per_level, up_attention)
    }

    pub(super) fn of_canonical(shapes: &impl TensorShapes) -> Self {
        let has = |name: String| shapes.shape_of(&name).is_some();
        let blocks_per_level =
            (0..=MAX_INDEX).take_while(|slot| has(format!("down_blocks.0.resnets.{slot}.conv1.weight"))).count();
        let up_attention = (0..=MAX_INDEX)
            .take_while(|level| has(format!("up_blocks.{level}.resnets.0.conv1.weight")))
            .map(|level| has(format!("up_blocks.{level}.attentions.0.proj_in.weight")))
            .collect();
        Self::or_sd1(blocks_per_level, up_attention)
    }

    fn or_sd1(blocks_per_level: usize, up_attention: Vec<bool>) -> Self {
        if blocks_per_level == 0 || up_attention.is_empty() {
            let up_attention = vec![false, true, true, true];
            return Self { blocks_per_level: Self::SD1_BLOCKS_PER_LEVEL, up_attention };
        }
        Self { blocks_per_level, up_attention }
    }
}

/// No UNet counts further; it bounds the search.
const MAX_INDEX: usize = 64;

/// The canonical name of what LDM calls `local` (without the single file's prefix).
pub(super) fn canonical(local: &str, levels: &Levels) -> Named {
    if MARKERS.contains(&local) {
        return Named::Ignored;
    }
    canonical_name(local, levels).map_or(Named::NoPlace, |name| Named::one(name, Take::Whole))
}

pub(super) fn canonical_name(local: &str, levels: &Levels) -> Option<String> {
    if let Some(name) = replace_stem(local, &ENDS) {
        return Some(name);
    }
    let per_level = levels.unet_blocks_per_level;
    if let Some(rest) = local.strip_prefix("input_blocks.") {
        let (index, rest) = index_and_rest(rest)?;
        let (level, slot) = split(index.checked_sub(1)?, per_level);
        if slot == per_level {
            let leaf = rest.strip_prefix("0.op.")?;
            return is_leaf(leaf).then(|| format!("down_blocks.{level}.downsamplers.0.conv.{leaf}"));
        }
        return block(&format!("down_blocks.{level}"), slot, rest);
    }
    if let Some(rest) = local.strip_prefix("output_blocks.") {
        let (index, rest) = index_and_rest(rest)?;
        let (level, slot) = split(index, per_level);
        let upsampler = if levels.unet_up_attention.get(level).copied()? { "2.conv." } else { "1.conv." };
        if let Some(leaf) = rest.strip_prefix(upsampler) {
            return (slot == per_level && is_leaf(leaf)).then(|| format!("up_blocks.{level}.upsamplers.0.conv.{leaf}"));
        }
        return block(&format!("up_blocks.{level}"), slot, rest);
    }
    let (index, rest) = index_and_rest(local.strip_prefix("middle_block.")?)?;
    let (_, place) = MIDDLE.iter().find(|(middle, _)| *middle == index)?;
    let inner = if index == 1 { attention(rest)? } else { replace_stem(rest, &RESNET)? };
    Some(format!("mid_block.{place}{inner}"))
}

fn block(parent: &str, slot: usize, rest: &str) -> Option<String> {
    match index_and_rest(rest)? {
        (0, inner) => Some(format!("{parent}.resnets.{slot}.{}", replace_stem(inner, &RESNET)?)),
        (1, inner) => Some(format!("{parent}.attentions.{slot}.{}", attention(inner)?)),
        _ => None,
    }
}

/// The LDM name (without the single file's prefix) of a canonical name.
pub(super) fn single_file(canonical: &str, levels: &Levels) -> Option<String> {
    if let Some(name) = replace_stem_back(canonical, &ENDS) {
        return Some(name);
    }
    let per_level = levels.unet_blocks_per_level;
    if let Some(rest) = canonical.strip_prefix("down_blocks.") {
        let (level, rest) = index_and_rest(rest)?;
        let first = 1 + level * (per_level + 1);
        if let Some(leaf) = rest.strip_prefix("downsamplers.0.conv.") {
            return is_leaf(leaf).then(|| format!("input_blocks.{}.0.op.{leaf}", first + per_level));
        }
        let (slot, inner) = slot_inner(rest)?;
        return (slot < per_level).then(|| format!("input_blocks.{}.{inner}", first + slot));
    }
    if let Some(rest) = canonical.strip_prefix("up_blocks.") {
        let (level, rest) = index_and_rest(rest)?;
        let first = level * (per_level + 1);
        if let Some(leaf) = rest.strip_prefix("upsamplers.0.conv.") {
            let place = if levels.unet_up_attention.get(level).copied()? { 2 } else { 1 };
            return is_leaf(leaf).then(|| format!("output_blocks.{}.{place}.conv.{leaf}", first + per_level));
        }
        let (slot, inner) = slot_inner(rest)?;
        return (slot <= per_level).then(|| format!("output_blocks.{}.{inner}", first + slot));
    }
    let rest = canonical.strip_prefix("mid_block.")?;
    let (index, place) = MIDDLE.iter().find(|(_, place)| rest.starts_with(place))?;
    let rest = rest.strip_prefix(place)?;
    let inner = if *index == 1 { attention(rest)? } else { replace_stem_back(rest, &RESNET)? };
    Some(format!("middle_block.{index}.{inner}"))
}

/// `resnets.1.conv1.weight` → slot 1 and `0.in_layers.2.weight`.
fn slot_inner(rest: &str) -> Option<(usize, String)> {
    if let Some(rest) = rest.strip_prefix("resnets.") {
        let (slot, inner) = index_and_rest(rest)?;
        return Some((slot, format!("0.{}", replace_stem_back(inner, &RESNET)?)));
    }
    let (slot, inner) = index_and_rest(rest.strip_prefix("attentions.")?)?;
    Some((slot, format!("1.{}", attention(inner)?)))
}

fn attention(inner: &str) -> Option<String> {
    ATTENTION.iter().any(|module| inner.starts_with(module)).then(|| inner.to_owned())
}

fn split(index: usize, per_level: usize) -> (usize, usize) {
    (index / (per_level + 1), index % (per_level + 1))
}

fn is_leaf(leaf: &str) -> bool {
    matches!(leaf, "weight" | "bias")
}
