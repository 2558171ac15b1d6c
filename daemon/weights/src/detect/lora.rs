//! LoRA files: which architecture the names and widths of the adapted layers belong to.
//!
//! A LoRA names only what it changes, so the evidence is thinner than a whole network's. In the UNet families the
//! inputs of a cross-attention key are the width of the text states, which settles it; among the transformers only
//! what one family alone has counts.

use super::{Finding, Listing};
use crate::adapter::{Role, module_and_role, other_algorithm};
use paintbox_domain::{Architecture, ModelKind};

pub(super) fn find(listing: &Listing<'_>) -> Option<Finding> {
    // A checkpoint with a stray adapter tensor is still a checkpoint.
    if listing.has("model.diffusion_model.input_blocks.0.0.weight") || !listing.names().any(is_mark) {
        return None;
    }
    let (architecture, family) = architecture(listing);
    Some(Finding { family, ..Finding::new(ModelKind::Lora, architecture) })
}

/// A name that only an adapter has: one half of a product, or a part of one of LyCORIS's algorithms.
fn is_mark(name: &str) -> bool {
    match module_and_role(name) {
        Some((_, Role::Down | Role::Up)) => true,
        Some((_, Role::Mid | Role::Alpha)) => false,
        None => {
            let is_lycoris = matches!(other_algorithm(name), Some("LoHa" | "LoKr" | "DoRA" | "OFT" | "IA3"));
            let is_difference = name.ends_with(".diff") && name.starts_with("lora_");
            is_lycoris || is_difference
        }
    }
}

/// The largest rank among the modules.
pub(super) fn rank(listing: &Listing<'_>) -> Option<u32> {
    down_tensors(listing).filter_map(|(_, shape)| shape.first()).max().and_then(|&rank| u32::try_from(rank).ok())
}

/// The tensors that take a layer's inputs: `[rank, in, …]` in LoRA, `hada_w1_b` in LoHa.
fn down_tensors<'l, 'a>(listing: &'l Listing<'a>) -> impl Iterator<Item = (&'a str, &'a [usize])> + use<'l, 'a> {
    listing
        .tensors()
        .filter(|(name, _)| matches!(module_and_role(name), Some((_, Role::Down))) || name.ends_with(".hada_w1_b"))
}

type Answer = (Architecture, Option<&'static str>);

fn architecture(listing: &Listing<'_>) -> Answer {
    let has = |part: &str| listing.names().any(|name| name.contains(part));
    if has("motion_modules") {
        return (Architecture::Unknown, Some("AnimateDiff"));
    }
    // Video models grown out of 2.x keep its widths and add layers over time.
    if ["temporal_", "time_stack", "temp_convs", "temp_attentions"].iter().any(|part| has(part)) {
        return (Architecture::Unknown, Some("a video UNet"));
    }
    let is_unet = ["down_blocks", "input_blocks", "up_blocks", "output_blocks", "mid_block", "middle_block"]
        .iter()
        .any(|part| has(part));
    if is_unet {
        return (unet(listing), None);
    }
    if let Some(answer) = transformer(listing) {
        return answer;
    }
    (text_encoder(listing), None)
}

/// Inputs of the first down tensor whose name contains one of the parts.
fn inputs(listing: &Listing<'_>, parts: &[&str]) -> Option<usize> {
    down_tensors(listing)
        .find(|(name, _)| parts.iter().any(|part| name.contains(part)))
        .and_then(|(_, shape)| shape.get(1).copied())
}

fn unet(listing: &Listing<'_>) -> Architecture {
    let has = |part: &str| listing.names().any(|name| name.contains(part));
    let has_second_encoder = has("lora_te2_") || has("text_encoder_2.");
    match inputs(listing, &["attn2_to_k", "attn2.to_k", "attn2.processor.to_k"]) {
        Some(768) if !has_second_encoder => Architecture::Sd1,
        Some(1024) if !has_second_encoder => Architecture::Sd2,
        Some(2048) => Architecture::Sdxl,
        None if has("transformer_blocks_9_") || has("transformer_blocks.9.") => Architecture::Sdxl,
        _ if !has_second_encoder && is_scaled_down_sd1(listing) => Architecture::Sd1,
        _ => Architecture::Unknown,
    }
}

/// As for whole networks: narrower than any real model, with convolutions for `proj_in` and single transformer
/// blocks. The first attention sits in the highest resolution, where XL has none.
fn is_scaled_down_sd1(listing: &Listing<'_>) -> bool {
    const FULL_SIZE_CHANNELS: usize = 320;
    let first_projection = down_tensors(listing).find(|(name, _)| {
        ["down_blocks_0_attentions_0_proj_in", "down_blocks.0.attentions.0.proj_in", "input_blocks_1_1_proj_in"]
            .iter()
            .any(|part| name.contains(part))
    });
    let is_narrow = matches!(first_projection, Some((_, &[_, width, 1, 1])) if width < FULL_SIZE_CHANNELS);
    let is_deep =
        listing.names().any(|name| name.contains("transformer_blocks_1_") || name.contains("transformer_blocks.1."));
    is_narrow && !is_deep
}

fn transformer(listing: &Listing<'_>) -> Option<Answer> {
    let has = |part: &str| listing.names().any(|name| name.contains(part));
    let any = |parts: &[&str]| parts.iter().any(|part| has(part));
    if has("distilled_guidance_layer") {
        return Some((Architecture::Chroma, None));
    }
    if any(&["double_stream_modulation", "to_qkv_mlp_proj"]) {
        return Some((Architecture::Flux2, None));
    }
    if any(&["joint_blocks"]) {
        return Some((Architecture::Sd3, None));
    }
    let is_flux_like = any(&["double_blocks", "single_blocks", "single_transformer_blocks"]);
    if is_flux_like {
        // The modulation of each block is FLUX.1's own: Chroma has the same blocks but computes theirs elsewhere,
        // FLUX.2 shares one among all blocks, HunyuanVideo says `linear`. diffusers' names do not tell them apart.
        let width = inputs(listing, &["img_attn_qkv", "img_attn.qkv", "attn.to_q", "linear1", "attn_to_q"]);
        let has_modulation = any(&["img_mod_lin.", "img_mod.lin.", "modulation_lin.", "modulation.lin."]);
        return Some(match (width, has_modulation) {
            (Some(3072) | None, true) => (Architecture::Flux1, None),
            _ => (Architecture::Unknown, Some("FLUX.1 or a relative")),
        });
    }
    if any(&["img_mod.1", "img_mod_1"]) {
        return Some((Architecture::QwenImage, None));
    }
    if any(&["attn.add_q_proj", "attn_add_q_proj"]) {
        // Stable Diffusion 3 medium, 3.5 medium and 3.5 large; Qwen-Image has 3072 and so has FLUX.
        let width = inputs(listing, &["attn.add_q_proj", "attn_add_q_proj"]);
        return Some(match width {
            Some(1536 | 2432) => (Architecture::Sd3, None),
            _ => (Architecture::Unknown, Some("a multimodal transformer")),
        });
    }
    if any(&["noise_refiner", "context_refiner"]) || has("layers.0.attention") || has("layers_0_attention") {
        let width =
            inputs(listing, &["attention.to_q", "attention_to_q", "attention.qkv", "attention_qkv", "feed_forward"]);
        return Some(match width {
            Some(3840) => (Architecture::ZImage, None),
            Some(2304) => (Architecture::Lumina2, None),
            _ => (Architecture::Unknown, None),
        });
    }
    // Wan alone has square query projections for both attentions of a plain block of these widths.
    let is_wan =
        any(&["blocks.0.cross_attn.q.", "blocks_0_cross_attn_q."]) && any(&["blocks.0.ffn.0.", "blocks_0_ffn_0."]);
    is_wan.then_some((Architecture::Wan, None))
}

/// Only a text encoder is adapted: one that is alone in its model belongs to 1.x or 2.x, by width.
fn text_encoder(listing: &Listing<'_>) -> Architecture {
    if !listing.names().all(|name| name.starts_with("lora_te_")) {
        return Architecture::Unknown;
    }
    match inputs(listing, &["self_attn_q_proj", "self_attn_k_proj", "mlp_fc1"]) {
        Some(768) => Architecture::Sd1,
        Some(1024) => Architecture::Sd2,
        _ => Architecture::Unknown,
    }
}
