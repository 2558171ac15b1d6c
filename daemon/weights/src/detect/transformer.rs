//! The families whose denoising network is a transformer or something rarer. None is painted yet, so each is told
//! apart only to be refused by name.

use super::{Finding, Scope};
use paintbox_domain::{Architecture, ModelKind};

/// Families without an [`Architecture`] of their own, by a tensor that only they have.
const NAMED: [(&str, &str); 13] = [
    ("joint_transformer_blocks.0.attn.to_q.weight", "AuraFlow"),
    ("double_layers.0.attn.w1q.weight", "AuraFlow"),
    ("mlp_t5.0.weight", "Hunyuan-DiT"),
    ("text_embedder.linear_1.weight", "Hunyuan-DiT"),
    ("patch_embed.text_proj.weight", "CogView or CogVideoX"),
    ("patchify_proj.weight", "LTX-Video"),
    ("caption_projection.0.linear.weight", "HiDream"),
    ("cond_mapper.0.weight", "Würstchen"),
    ("blocks.0.mlp.inverted_conv.conv.weight", "Sana"),
    ("transformer_blocks.0.ff.conv_inverted.weight", "Sana"),
    ("pos_frequencies", "Mochi"),
    ("layers.0.attention.wk_y.weight", "Lumina-Next"),
    ("time_caption_embed.caption_embedder.0.weight", "Lumina 2 or OmniGen2"),
];

pub(super) fn find(scope: &Scope<'_, '_>) -> Option<Finding> {
    flux_like(scope)
        .or_else(|| stable_diffusion_3(scope))
        .or_else(|| others(scope))
        .or_else(|| NAMED.iter().find(|(key, _)| scope.has(key)).map(|(_, family)| named(family)))
}

fn is(architecture: Architecture) -> Finding {
    Finding::new(ModelKind::Network, architecture)
}

fn named(family: &'static str) -> Finding {
    Finding::named(ModelKind::Network, family)
}

/// FLUX.1 and what grew out of it, most specific first: the descendants keep most of its names.
fn flux_like(scope: &Scope<'_, '_>) -> Option<Finding> {
    const HIDDEN: usize = 3072;
    const T5_WIDTH: usize = 4096;
    let is_original = scope.any("double_blocks.0.");
    let is_diffusers = scope.any("single_transformer_blocks.0.");
    if !is_original && !is_diffusers {
        return None;
    }
    if scope.any("distilled_guidance_layer.") {
        return Some(is(Architecture::Chroma));
    }
    if scope.any("double_stream_modulation_img.") {
        return Some(is(Architecture::Flux2));
    }
    let (hidden, text_width, vector) = if is_original {
        ("img_in.weight", "txt_in.weight", "vector_in.in_layer.weight")
    } else {
        ("x_embedder.weight", "context_embedder.weight", "time_text_embed.text_embedder.linear_1.weight")
    };
    if scope.any("double_blocks.0.img_mlp.gate_proj.") {
        return Some(named("Ovis-Image"));
    }
    if scope.any("txt_in.individual_token_refiner.") {
        return Some(named("HunyuanVideo"));
    }
    if scope.dim(text_width, 1) == Some(3584) && !scope.has(vector) {
        return Some(named("LongCat-Image"));
    }
    let is_flux1 = scope.dim(hidden, 0) == Some(HIDDEN)
        && scope.dim(text_width, 1) == Some(T5_WIDTH)
        && scope.has(vector)
        && (!is_original || scope.any("double_blocks.0.img_attn.norm.key_norm."));
    if !is_flux1 {
        return Some(named("a relative of FLUX.1"));
    }
    let in_channels = scope.dim(hidden, 1).and_then(|channels| u32::try_from(channels).ok());
    Some(Finding { in_channels, ..is(Architecture::Flux1) })
}

fn stable_diffusion_3(scope: &Scope<'_, '_>) -> Option<Finding> {
    let original =
        scope.has("joint_blocks.0.context_block.adaLN_modulation.1.bias") && scope.has("x_embedder.proj.weight");
    let diffusers = scope.has("transformer_blocks.0.norm1_context.linear.weight")
        && scope.has("pos_embed.proj.weight")
        && scope.has("time_text_embed.text_embedder.linear_1.weight")
        && !scope.any("single_transformer_blocks.");
    (original || diffusers).then(|| is(Architecture::Sd3))
}

fn others(scope: &Scope<'_, '_>) -> Option<Finding> {
    if scope.has("transformer_blocks.0.img_mod.1.weight") && scope.has("txt_norm.weight") {
        return Some(is(Architecture::QwenImage));
    }
    if scope.has("t_block.1.weight")
        && scope.has("blocks.0.cross_attn.kv_linear.weight")
        && scope.shape("x_embedder.proj.weight").is_some_and(|shape| shape.len() == 4)
        && !scope.any("blocks.0.mlp.inverted_conv.")
    {
        return Some(is(Architecture::PixArt));
    }
    if scope.has("adaln_single.emb.timestep_embedder.linear_1.bias") && scope.has("pos_embed.proj.bias") {
        return Some(is(Architecture::PixArt));
    }
    if scope.any("noise_refiner.0.") {
        let width = scope
            .dim("cap_embedder.1.weight", 0)
            .or_else(|| scope.dim("time_caption_embed.caption_embedder.1.weight", 0))
            .or_else(|| scope.dim("time_caption_embed.caption_embedder.0.weight", 0));
        return Some(match width {
            Some(2304) => is(Architecture::Lumina2),
            Some(3840) => is(Architecture::ZImage),
            _ => named("a relative of Lumina 2"),
        });
    }
    if scope.has("clip_txt_mapper.weight") || scope.has("down_blocks.1.0.channelwise.0.weight") {
        return Some(is(Architecture::StableCascade));
    }
    let is_video_patch = scope.shape("patch_embedding.weight").is_some_and(|shape| shape.len() == 5);
    let is_wan = (scope.has("head.modulation") && scope.has("blocks.0.cross_attn.norm_q.weight"))
        || (scope.has("condition_embedder.text_embedder.linear_1.weight") && scope.has("blocks.0.attn2.norm_q.weight"));
    (is_video_patch && is_wan).then(|| is(Architecture::Wan))
}
