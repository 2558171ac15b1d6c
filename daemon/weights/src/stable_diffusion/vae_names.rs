//! The KL autoencoder: the decoder's levels are counted from opposite ends, and the middle attention's 1×1
//! convolutions are linear layers in diffusers.

use super::{Levels, Named, Take, VAE_PREFIX as PREFIX, index_and_rest, replace_stem, replace_stem_back};
use crate::safetensors::Header;
use crate::shapes::TensorShapes;

/// No VAE has more levels; it bounds the search.
const MAX_LEVELS: usize = 16;

/// Modules outside the blocks: LDM, diffusers.
const ENDS: [(&str, &str); 8] = [
    ("encoder.conv_in", "encoder.conv_in"),
    ("encoder.norm_out", "encoder.conv_norm_out"),
    ("encoder.conv_out", "encoder.conv_out"),
    ("decoder.conv_in", "decoder.conv_in"),
    ("decoder.norm_out", "decoder.conv_norm_out"),
    ("decoder.conv_out", "decoder.conv_out"),
    ("quant_conv", "quant_conv"),
    ("post_quant_conv", "post_quant_conv"),
];

/// Inside a residual block.
const RESNET: [(&str, &str); 5] =
    [("norm1", "norm1"), ("conv1", "conv1"), ("norm2", "norm2"), ("conv2", "conv2"), ("nin_shortcut", "conv_shortcut")];

/// Inside the middle attention.
const ATTENTION: [(&str, &str); 5] =
    [("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")];

/// The middle attention as diffusers named it until 0.15.
const OLD_ATTENTION: [(&str, &str); 5] =
    [("group_norm", "group_norm"), ("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];

const MIDDLE: [(&str, &str); 2] = [("mid.block_1.", "mid_block.resnets.0."), ("mid.block_2.", "mid_block.resnets.1.")];

pub(super) fn levels_of_single_file(header: &Header) -> Option<usize> {
    levels_behind(PREFIX, header)
}

/// Of a file in which LDM's names stand behind `prefix`.
pub(super) fn levels_behind(prefix: &str, header: &Header) -> Option<usize> {
    count(|level| header.tensors.contains_key(&format!("{prefix}decoder.up.{level}.block.0.conv1.weight")))
}

pub(super) fn levels_of_canonical(shapes: &impl TensorShapes) -> Option<usize> {
    count(|level| shapes.shape_of(&format!("decoder.up_blocks.{level}.resnets.0.conv1.weight")).is_some())
}

fn count(has: impl Fn(usize) -> bool) -> Option<usize> {
    Some((0..MAX_LEVELS).take_while(|&level| has(level)).count()).filter(|&levels| levels > 0)
}

/// The canonical name of what LDM calls `local` (without the single file's prefix).
pub(super) fn canonical(local: &str, levels: &Levels, shape: &[usize]) -> Named {
    if local.starts_with("loss.") || local.starts_with("model_ema.") {
        // The training loss and the averaged copy; neither decodes anything.
        return Named::Ignored;
    }
    match canonical_name(local, levels) {
        Some(name) => {
            let take = linear_take(&name, shape);
            Named::one(name, take)
        }
        None => Named::NoPlace,
    }
}

/// The canonical name of what a diffusers file calls `name`.
pub(super) fn canonical_of_diffusers(name: &str, shape: &[usize]) -> Named {
    let modern = name.split_once("mid_block.attentions.0.").and_then(|(coder, inner)| {
        Some(format!("{coder}mid_block.attentions.0.{}", replace_stem(inner, &OLD_ATTENTION)?))
    });
    let name = modern.unwrap_or_else(|| name.to_owned());
    let take = linear_take(&name, shape);
    Named::one(name, take)
}

/// Linear in diffusers, convolution in LDM; some files hold one under the other's name.
fn linear_take(canonical: &str, shape: &[usize]) -> Take {
    if is_linear(canonical) && shape.len() == 4 { Take::Squeeze } else { Take::Whole }
}

fn is_linear(canonical: &str) -> bool {
    canonical.contains("mid_block.attentions.0.to_") && canonical.ends_with(".weight")
}

fn canonical_name(local: &str, levels: &Levels) -> Option<String> {
    if let Some(name) = replace_stem(local, &ENDS) {
        return Some(name);
    }
    let (coder, rest) = local.split_once('.').filter(|(coder, _)| matches!(*coder, "encoder" | "decoder"))?;
    let inner = if let Some(inner) = rest.strip_prefix("mid.attn_1.") {
        format!("mid_block.attentions.0.{}", replace_stem(inner, &ATTENTION)?)
    } else if let Some((ldm, diffusers)) = MIDDLE.iter().find(|(ldm, _)| rest.starts_with(ldm)) {
        format!("{diffusers}{}", replace_stem(rest.strip_prefix(ldm)?, &RESNET)?)
    } else if coder == "encoder" {
        let (level, rest) = index_and_rest(rest.strip_prefix("down.")?)?;
        (level < levels.vae_levels).then_some(())?;
        format!("down_blocks.{level}.{}", block(rest, "downsample.", "downsamplers.0.")?)
    } else {
        let (index, rest) = index_and_rest(rest.strip_prefix("up.")?)?;
        let level = levels.vae_levels.checked_sub(1)?.checked_sub(index)?;
        format!("up_blocks.{level}.{}", block(rest, "upsample.", "upsamplers.0.")?)
    };
    Some(format!("{coder}.{inner}"))
}

fn block(rest: &str, ldm_sampler: &str, diffusers_sampler: &str) -> Option<String> {
    if let Some(inner) = rest.strip_prefix(ldm_sampler) {
        return matches!(inner, "conv.weight" | "conv.bias").then(|| format!("{diffusers_sampler}{inner}"));
    }
    let (slot, inner) = index_and_rest(rest.strip_prefix("block.")?)?;
    Some(format!("resnets.{slot}.{}", replace_stem(inner, &RESNET)?))
}

/// The LDM name (without the single file's prefix) of a canonical name, and how its shape is made.
pub(super) fn single_file(canonical: &str, levels: &Levels) -> Option<(String, Take)> {
    let take = if is_linear(canonical) { Take::Unsqueeze } else { Take::Whole };
    Some((single_file_name(canonical, levels)?, take))
}

fn single_file_name(canonical: &str, levels: &Levels) -> Option<String> {
    if let Some(name) = replace_stem_back(canonical, &ENDS) {
        return Some(name);
    }
    let (coder, rest) = canonical.split_once('.').filter(|(coder, _)| matches!(*coder, "encoder" | "decoder"))?;
    let inner = if let Some(inner) = rest.strip_prefix("mid_block.attentions.0.") {
        format!("mid.attn_1.{}", replace_stem_back(inner, &ATTENTION)?)
    } else if let Some((ldm, diffusers)) = MIDDLE.iter().find(|(_, diffusers)| rest.starts_with(diffusers)) {
        format!("{ldm}{}", replace_stem_back(rest.strip_prefix(diffusers)?, &RESNET)?)
    } else if coder == "encoder" {
        let (level, rest) = index_and_rest(rest.strip_prefix("down_blocks.")?)?;
        format!("down.{level}.{}", block_back(rest, "downsample.", "downsamplers.0.")?)
    } else {
        let (level, rest) = index_and_rest(rest.strip_prefix("up_blocks.")?)?;
        let index = levels.vae_levels.checked_sub(1)?.checked_sub(level)?;
        format!("up.{index}.{}", block_back(rest, "upsample.", "upsamplers.0.")?)
    };
    Some(format!("{coder}.{inner}"))
}

fn block_back(rest: &str, ldm_sampler: &str, diffusers_sampler: &str) -> Option<String> {
    if let Some(inner) = rest.strip_prefix(diffusers_sampler) {
        return matches!(inner, "conv.weight" | "conv.bias").then(|| format!("{ldm_sampler}{inner}"));
    }
    let (slot, inner) = index_and_rest(rest.strip_prefix("resnets.")?)?;
    Some(format!("block.{slot}.{}", replace_stem_back(inner, &RESNET)?))
}
