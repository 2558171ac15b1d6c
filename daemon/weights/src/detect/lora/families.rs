//! Which architecture an adapter is for.
//!
//! The table holds layers that one family alone has under that spelling and, where a name is shared, the width of its
//! inputs. First match wins; what is shared by several families stands in `shared` and is decided by how far the blocks
//! are counted, or not at all.

use super::layers::Layers;
use crate::detect::Answer;
use paintbox_domain::Architecture;

/// Layers and their inputs.
struct Rule {
    /// Parts of spellings that must all be there.
    has: &'static [&'static str],
    /// A part of a spelling, and what its inputs may be.
    width: Option<(&'static str, &'static [usize])>,
    architecture: Architecture,
}

const fn rule(architecture: Architecture, has: &'static [&'static str]) -> Rule {
    Rule { has, width: None, architecture }
}

const fn wide(
    architecture: Architecture,
    has: &'static [&'static str],
    part: &'static str,
    widths: &'static [usize],
) -> Rule {
    Rule { has, width: Some((part, widths)), architecture }
}

const RULES: [Rule; 45] = [
    rule(Architecture::Chroma, &["distilled_guidance_layer"]),
    rule(Architecture::Flux2, &["double_stream_modulation"]),
    rule(Architecture::Flux2, &["single_stream_modulation"]),
    rule(Architecture::Flux2, &["to_qkv_mlp_proj"]),
    rule(Architecture::Sd3, &["joint_blocks_#_x_block"]),
    rule(Architecture::Sd3, &["joint_blocks_#_context_block"]),
    // The refiner of the text states is as wide as the blocks, and several families have one.
    wide(Architecture::HunyuanVideo, &["individual_token_refiner"], "refiner_blocks_#_self_attn_qkv", &[2048, 3072]),
    wide(Architecture::HunyuanVideo, &["context_embedder_token_refiner"], "refiner_blocks_#_attn_to_q", &[2048, 3072]),
    wide(Architecture::HunyuanImage, &["individual_token_refiner"], "refiner_blocks_#_self_attn_qkv", &[3584]),
    wide(Architecture::HunyuanImage, &["context_embedder_token_refiner"], "refiner_blocks_#_attn_to_q", &[3584]),
    wide(Architecture::HunyuanVideo, &["double_blocks_#_img_mlp_fc1"], "double_blocks", &[3072]),
    wide(Architecture::HunyuanVideo, &["double_blocks_#_img_mod_linear"], "double_blocks", &[3072]),
    wide(Architecture::HunyuanVideo, &["single_blocks_#_modulation_linear"], "single_blocks", &[3072]),
    rule(Architecture::AuraFlow, &["joint_transformer_blocks_#_"]),
    rule(Architecture::AuraFlow, &["double_layers_#_attn_w1q"]),
    rule(Architecture::AuraFlow, &["single_layers_#_attn_w1q"]),
    rule(Architecture::HiDream, &["double_stream_blocks_#_block"]),
    rule(Architecture::HiDream, &["single_stream_blocks_#_block"]),
    wide(Architecture::QwenImage, &["transformer_blocks_#_img_mod_#"], "transformer_blocks", &[3072]),
    wide(Architecture::QwenImage, &["transformer_blocks_#_img_mlp_net_#"], "transformer_blocks", &[3072]),
    wide(Architecture::ZImage, &["layers_#_attention_qkv"], "layers_#_attention_qkv", &[3840]),
    wide(Architecture::ZImage, &["layers_#_attention_to_q"], "layers_#_attention_to_q", &[3840]),
    wide(Architecture::ZImage, &["layers_#_feed_forward_w1"], "layers_#_feed_forward_w1", &[3840]),
    wide(Architecture::Lumina2, &["layers_#_attention_qkv"], "layers_#_attention_qkv", &[2304]),
    wide(Architecture::Lumina2, &["layers_#_attn_to_q"], "layers_#_attn_to_q", &[2304]),
    wide(Architecture::LuminaNext, &["layers_#_attention_wq", "layers_#_attention_wk_y"], "attention_wq", &[2304]),
    wide(Architecture::OmniGen2, &["layers_#_attn_to_q"], "layers_#_attn_to_q", &[2520]),
    rule(Architecture::ErnieImage, &["layers_#_self_attention_to_q"]),
    rule(Architecture::Anima, &["llm_adapter_blocks_#_"]),
    wide(
        Architecture::Cosmos,
        &["blocks_#_cross_attn_k_proj", "blocks_#_self_attn_q_proj"],
        "self_attn_q_proj",
        &[5120],
    ),
    rule(Architecture::Cosmos, &["blocks_block#_blocks_#_block_attn"]),
    rule(Architecture::Mochi, &["blocks_#_attn_qkv_x"]),
    wide(Architecture::Mochi, &["transformer_blocks_#_attn1_add_q_proj"], "attn1_add_q_proj", &[1536]),
    rule(Architecture::Kandinsky5, &["visual_transformer_blocks_#_"]),
    wide(Architecture::Krea2, &["transformer_blocks_#_attn_to_gate"], "attn_to_gate", &[6144]),
    wide(Architecture::Krea2, &["blocks_#_attn_gate", "blocks_#_attn_wq"], "attn_wq", &[6144]),
    wide(Architecture::HunyuanDit, &["blocks_#_attn1_Wqkv"], "attn1_Wqkv", &[1408]),
    wide(Architecture::HunyuanDit, &["blocks_#_attn2_kv_proj"], "attn2_kv_proj", &[1024]),
    wide(Architecture::PixArt, &["transformer_blocks_#_attn2_to_k", "ff_net_#"], "attn1_to_q", &[1152]),
    wide(Architecture::PixArt, &["blocks_#_cross_attn_kv_linear", "blocks_#_mlp_fc1"], "kv_linear", &[1152]),
    rule(Architecture::Sana, &["blocks_#_mlp_inverted_conv"]),
    rule(Architecture::Sana, &["transformer_blocks_#_ff_conv_inverted"]),
    rule(Architecture::Ltx2, &["transformer_blocks_#_audio_attn1"]),
    rule(Architecture::Ltx2, &["transformer_blocks_#_audio_to_video"]),
    wide(Architecture::Ltx, &["transformer_blocks_#_attn2_to_k", "attn1_to_q"], "attn2_to_k", &[2048, 4096]),
];

impl Rule {
    fn fits(&self, layers: &Layers) -> bool {
        self.has.iter().all(|part| layers.has(part))
            && self.width.is_none_or(|(part, widths)| layers.width(part).is_some_and(|width| widths.contains(&width)))
    }
}

pub(super) fn answer(layers: &Layers) -> Answer {
    if layers.has("motion_modules") || layers.has("temporal_transformer_#") {
        return Answer::named("AnimateDiff");
    }
    // Video models grown out of 2.x keep its widths and add layers over time.
    if ["temporal_", "time_stack", "temp_convs", "temp_attentions"].iter().any(|part| layers.has(part)) {
        return Answer::named("a video UNet");
    }
    if layers.has("kv_mapper") {
        return cascade(layers);
    }
    let is_unet = ["down_blocks", "input_blocks", "up_blocks", "output_blocks", "mid_block", "middle_block"]
        .iter()
        .any(|part| layers.has(part));
    if is_unet {
        return unet(layers);
    }
    if let Some(rule) = RULES.iter().find(|rule| rule.fits(layers)) {
        return Answer::of(rule.architecture);
    }
    flux_like(layers).or_else(|| shared(layers)).unwrap_or_else(|| text_encoder(layers))
}

/// Stable Cascade and Würstchen map the conditions in every attention: the stages of the one have conditions 2048, 1536
/// (C), and 1280 (B) wide, the decoder of the other 1024. Würstchen's prior has one row of blocks. Widths: diffusers
/// `models/unets/unet_stable_cascade.py` and `pipelines/deprecated/wuerstchen/` at 58eb52c0.
fn cascade(layers: &Layers) -> Answer {
    let is_in_levels = layers.has("blocks_#_#_kv_mapper_#");
    match layers.width("blocks_#_#_kv_mapper_#").or_else(|| layers.width("blocks_#_kv_mapper_#")) {
        Some(1280 | 1536 | 2048) if is_in_levels => Answer::of(Architecture::StableCascade),
        Some(1024) if is_in_levels => Answer::of(Architecture::Wuerstchen),
        Some(1536) => Answer::of(Architecture::Wuerstchen),
        _ => Answer::UNKNOWN,
    }
}

fn unet(layers: &Layers) -> Answer {
    let has_second_encoder = layers.has("lora_te2_") || layers.has("text_encoder_#_");
    let width = ["attn2_to_k", "attn2_processor_to_k"].iter().find_map(|part| layers.width(part));
    match width {
        Some(768) if !has_second_encoder => Answer::of(Architecture::Sd1),
        Some(1024) if !has_second_encoder => Answer::of(Architecture::Sd2),
        Some(2048) => of_xl(layers),
        _ if layers.is_deep() => of_xl(layers),
        _ if !has_second_encoder && is_scaled_down_sd1(layers) => Answer::of(Architecture::Sd1),
        Some(_) => Answer::UNKNOWN,
        // Rotations and vectors say nothing of inputs, by which 1.x and 2.x differ.
        None => Answer::named("a Stable Diffusion UNet"),
    }
}

/// Adapters of XL and of what was cut out of it differ in how many blocks they have.
///
/// Kolors has XL's UNet to the last width, and only its inputs differ: ChatGLM's states in place of CLIP's and a larger
/// added embedding (Kwai-Kolors/Kolors `unet/config.json`: `encoder_hid_dim` 4096, `projection_class_embeddings_input_dim`
/// 5632). It is published in diffusers' names alone, and kohya-ss/sd-scripts, which writes LDM's, does not train it. An
/// adapter that shows none of this fits both networks: the answer is then XL, whose layers they are, and the name says
/// that it may be the other.
fn of_xl(layers: &Layers) -> Answer {
    const LDM: [&str; 3] = ["input_blocks", "middle_block", "output_blocks"];
    const CLIP: [&str; 4] = ["lora_te1_", "lora_te2_", "lora_te_", "text_encoder_"];
    if !layers.is_deep() {
        return Answer::named("Stable Diffusion XL or a relative");
    }
    let added = layers.width("add_embedding_linear_#").or_else(|| layers.width("label_emb_#_#"));
    if added == Some(5632) || layers.width("encoder_hid_proj") == Some(4096) {
        return Answer::of(Architecture::Kolors);
    }
    let is_certain = added == Some(2816) || LDM.iter().chain(&CLIP).any(|part| layers.has(part));
    let family = if is_certain { None } else { Some("Stable Diffusion XL or Kolors") };
    Answer { architecture: Architecture::Sdxl, family }
}

/// As for whole networks: narrower than any real model, with convolutions for `proj_in` and single transformer
/// blocks. The first attention sits in the highest resolution, where XL has none.
fn is_scaled_down_sd1(layers: &Layers) -> bool {
    const FULL_SIZE_CHANNELS: usize = 320;
    layers.first_projection().is_some_and(|width| width < FULL_SIZE_CHANNELS) && !layers.has_several_blocks()
}

/// Blocks that FLUX.1 shares with what grew out of it.
fn flux_like(layers: &Layers) -> Option<Answer> {
    const UNDECIDED: Answer = Answer::named("FLUX.1 or a relative");
    let is_original = layers.has("double_blocks_#_") || layers.has("single_blocks_#_");
    let is_diffusers = layers.has("single_transformer_blocks_#_");
    if !is_original && !is_diffusers {
        return None;
    }
    if layers.has("img_mlp_gate_proj") {
        return Some(Answer::of(Architecture::OvisImage));
    }
    let width = ["img_attn_qkv", "attn_to_q", "single_blocks_#_linear1", "modulation_lin", "img_mod_lin"]
        .iter()
        .find_map(|part| layers.width(part));
    if width.is_some_and(|width| width != 3072) {
        return Some(UNDECIDED);
    }
    let last_double =
        layers.last("double_blocks_#_").or_else(|| layers.last_without("transformer_blocks_#_", "single_"));
    let last_single = layers.last("single_blocks_#_").or_else(|| layers.last("single_transformer_blocks_#_"));
    // JoyImage nests the attention of its blocks once more.
    if layers.has("double_blocks_#_attn_") {
        return Some(UNDECIDED);
    }
    // HunyuanVideo, repacked, has FLUX.1's names and one block more of the one kind, two of the other.
    if last_double > Some(18) || last_single > Some(37) {
        let is_hunyuan = last_double.is_none_or(|last| last == 19) && last_single.is_none_or(|last| last <= 39);
        return Some(if is_hunyuan { Answer::of(Architecture::HunyuanVideo) } else { UNDECIDED });
    }
    // The modulation of each block is FLUX.1's own: Chroma has the same blocks but computes theirs elsewhere, FLUX.2
    // shares one among all blocks.
    if is_original {
        let has_modulation = layers.ends("img_mod_lin") || layers.ends("txt_mod_lin") || layers.ends("modulation_lin");
        let is_xlabs = layers.has("processor_qkv_lora1") && last_double == Some(18);
        return Some(if has_modulation || is_xlabs { Answer::of(Architecture::Flux1) } else { UNDECIDED });
    }
    // LongCat, Ovis and BRIA have the same layers in diffusers' names, but none of them has as many blocks of both kinds:
    // BRIA 3.2 has 4 and FIBO 8 billion parameters where FLUX.1 has 12.
    let has_modulation =
        layers.has("transformer_blocks_#_norm1_linear") || layers.ends("single_transformer_blocks_#_norm_linear");
    let is_whole = last_double == Some(18) && last_single.is_none_or(|last| last == 37);
    Some(if has_modulation && is_whole { Answer::of(Architecture::Flux1) } else { UNDECIDED })
}

/// Layers whose names several transformers share.
fn shared(layers: &Layers) -> Option<Answer> {
    if layers.has("attn_add_q_proj") {
        // Stable Diffusion 3 medium, 3.5 medium and 3.5 large; 3072 with more blocks than FLUX.1 or HunyuanVideo has is
        // Qwen-Image.
        let last = layers.last("attn_add_q_proj");
        return Some(match layers.width("attn_add_q_proj") {
            Some(1536 | 2432) => Answer::of(Architecture::Sd3),
            Some(3072) if last > Some(19) && last < Some(60) => Answer::of(Architecture::QwenImage),
            _ => Answer::named("a multimodal transformer"),
        });
    }
    // CogVideoX has 30 blocks or 42 (zai-org/CogVideoX-2b and -5b); other video models have these names and widths too.
    if let Some(width @ (1920 | 3072)) = layers.width("transformer_blocks_#_attn1_to_q") {
        let last = layers.last("transformer_blocks_#_attn1_to_q");
        return Some(match (width, last) {
            (1920, Some(29)) | (3072, Some(41)) => Answer::of(Architecture::CogVideoX),
            _ => Answer::named("a video transformer"),
        });
    }
    // Wan alone has square query projections for both attentions of a plain block of these widths.
    let wan = &[1536, 3072, 5120];
    let is_wan = layers.ends("blocks_#_cross_attn_q")
        && layers.ends("blocks_#_self_attn_q")
        && layers.width("cross_attn_q").is_some_and(|width| wan.contains(&width));
    let is_wan_diffusers = layers.has("blocks_#_attn2_to_k")
        && layers.has("blocks_#_ffn_net_#")
        && !layers.has("transformer_blocks_")
        && layers.width("attn2_to_k").is_some_and(|width| wan.contains(&width));
    if is_wan || is_wan_diffusers {
        return Some(Answer::of(Architecture::Wan));
    }
    if layers.has("blocks_#_cross_attn_k_proj") && layers.width("self_attn_q_proj") == Some(2048) {
        return Some(Answer::named("Cosmos Predict 2 or Anima"));
    }
    if layers.width("transformer_blocks_#_attn2_to_k") == Some(1024) {
        return Some(match layers.width("attn1_to_q") {
            Some(2048 | 4096 | 5120) => Answer::of(Architecture::Cosmos),
            _ => Answer::UNKNOWN,
        });
    }
    if layers.has("layers_#_self_attn_q_proj") && !layers.has("lora_te") && !layers.has("text_") {
        return Some(Answer::named("a language model"));
    }
    None
}

/// Only a text encoder is adapted: one that is alone in its model belongs to 1.x or 2.x, by width.
fn text_encoder(layers: &Layers) -> Answer {
    if !layers.all_begin("lora_te_") {
        return Answer::UNKNOWN;
    }
    match ["self_attn_q_proj", "self_attn_k_proj", "mlp_fc1"].iter().find_map(|part| layers.width(part)) {
        Some(768) => Answer::of(Architecture::Sd1),
        Some(1024) => Answer::of(Architecture::Sd2),
        _ => Answer::UNKNOWN,
    }
}
