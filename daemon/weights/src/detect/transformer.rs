//! The families whose denoising network is a transformer or something rarer, by tensors that only one of them has.
//!
//! Sources, read for their facts: Comfy-Org/ComfyUI `comfy/model_detection.py` at 0b61ce5b; diffusers at 58eb52c0
//! (`loaders/single_file_utils.py` for the single files, `models/` for its own names, `scripts/convert_*` for the
//! authors'); stable-diffusion.cpp `src/model_loader.cpp` and `src/model/diffusion/` at 97d29908. The numbers are those
//! of the published configurations, which `tests/detection/make_corpus.py` names one by one.

use super::marks::Mark::{Either, Name, Prefix, Shape, Size};
use super::marks::{ANY, Signature};
use super::{Answer, Finding, Scope, variant};
use paintbox_domain::{Architecture, ModelKind};

const fn family(
    architecture: Architecture,
    has: &'static [super::marks::Mark],
    lacks: &'static [&'static str],
) -> Signature<Answer> {
    Signature { answer: Answer { architecture, family: None }, has, lacks }
}

const fn named(family: &'static str, has: &'static [super::marks::Mark]) -> Signature<Answer> {
    Signature { answer: Answer { architecture: Architecture::Unknown, family: Some(family) }, has, lacks: &[] }
}

const FLUX_BLOCK: super::marks::Mark = Either(&[
    Name("double_blocks.0.img_attn.norm.key_norm.scale"),
    Name("double_blocks.0.img_attn.norm.key_norm.weight"),
]);

/// At most one of these fits a sound file; if two of different families do, the file is a mixture and nothing is said.
const FAMILIES: [Signature<Answer>; 71] = [
    // FLUX.1: modulation in every block, a pooled CLIP vector, T5 states. Its descendants lack one of the three.
    family(
        Architecture::Flux1,
        &[
            FLUX_BLOCK,
            Size("img_in.weight", 0, &[3072]),
            Shape("txt_in.weight", &[3072, 4096]),
            Size("vector_in.in_layer.weight", 1, &[768]),
        ],
        &["distilled_guidance_layer.", "double_stream_modulation_img."],
    ),
    family(
        Architecture::Flux1,
        &[
            Prefix("single_transformer_blocks.0."),
            Size("x_embedder.weight", 0, &[3072]),
            Shape("context_embedder.weight", &[3072, 4096]),
            Size("time_text_embed.text_embedder.linear_1.weight", 1, &[768]),
        ],
        &["distilled_guidance_layer.", "double_stream_modulation_img."],
    ),
    family(
        Architecture::Flux2,
        &[
            Name("double_stream_modulation_img.lin.weight"),
            Name("single_stream_modulation.lin.weight"),
            Size("img_in.weight", 1, &[128]),
        ],
        &["distilled_guidance_layer."],
    ),
    family(
        Architecture::Flux2,
        &[
            Name("double_stream_modulation_img.linear.weight"),
            Prefix("single_transformer_blocks.0.attn.to_qkv_mlp_proj."),
        ],
        &["distilled_guidance_layer."],
    ),
    family(
        Architecture::Chroma,
        &[
            Either(&[Prefix("double_blocks.0.img_attn."), Prefix("single_transformer_blocks.0.")]),
            Size("distilled_guidance_layer.in_proj.weight", 1, &[64]),
            Either(&[Shape("txt_in.weight", &[3072, 4096]), Shape("context_embedder.weight", &[3072, 4096])]),
        ],
        &["double_stream_modulation_img."],
    ),
    family(
        Architecture::OvisImage,
        &[FLUX_BLOCK, Prefix("double_blocks.0.img_mlp.gate_proj."), Shape("txt_in.weight", &[3072, 2048])],
        &[],
    ),
    family(
        Architecture::OvisImage,
        &[
            Prefix("single_transformer_blocks.0."),
            Name("context_embedder_norm.weight"),
            Shape("context_embedder.weight", &[3072, 2048]),
        ],
        &[],
    ),
    family(
        Architecture::LongCatImage,
        &[FLUX_BLOCK, Shape("img_in.weight", &[3072, 64]), Shape("txt_in.weight", &[3072, 3584])],
        &["vector_in.", "double_stream_modulation_img.", "distilled_guidance_layer."],
    ),
    family(
        Architecture::LongCatImage,
        &[
            Prefix("single_transformer_blocks.0."),
            Shape("context_embedder.weight", &[3072, 3584]),
            Name("time_embed.timestep_embedder.linear_1.weight"),
        ],
        &[],
    ),
    named(
        "BRIA",
        &[
            Prefix("single_transformer_blocks.0."),
            Shape("context_embedder.weight", &[3072, 4096]),
            Name("time_embed.timestep_embedder.linear_1.weight"),
        ],
    ),
    // HunyuanVideo refines its text states; the image model of the same authors has a flat patch embedding.
    family(
        Architecture::HunyuanVideo,
        &[
            Prefix("txt_in.individual_token_refiner.blocks.0."),
            // GGUF knows four dimensions, so the first two are one there.
            Either(&[
                Shape("img_in.proj.weight", &[ANY, ANY, ANY, ANY, ANY]),
                Shape("img_in.proj.weight", &[ANY, 1, 2, 2]),
            ]),
            Prefix("double_blocks.0.img_mod."),
        ],
        &[],
    ),
    family(
        Architecture::HunyuanImage,
        &[
            Prefix("txt_in.individual_token_refiner.blocks.0."),
            Shape("img_in.proj.weight", &[3584, ANY, ANY, ANY]),
            Prefix("double_blocks.0.img_mod."),
        ],
        &[],
    ),
    family(
        Architecture::HunyuanVideo,
        &[
            Prefix("context_embedder.token_refiner.refiner_blocks.0."),
            Shape("x_embedder.proj.weight", &[ANY, ANY, ANY, ANY, ANY]),
            Prefix("transformer_blocks.0.attn."),
        ],
        &["clean_x_embedder."],
    ),
    family(
        Architecture::Sd3,
        &[
            Prefix("joint_blocks.0.context_block.adaLN_modulation.1."),
            Prefix("joint_blocks.0.x_block."),
            Shape("x_embedder.proj.weight", &[ANY, 16, 2, 2]),
        ],
        &[],
    ),
    family(
        Architecture::Sd3,
        &[
            Name("transformer_blocks.0.norm1_context.linear.weight"),
            Shape("pos_embed.proj.weight", &[ANY, 16, 2, 2]),
            Size("time_text_embed.text_embedder.linear_1.weight", 1, &[2048]),
        ],
        &["single_transformer_blocks."],
    ),
    family(
        Architecture::AuraFlow,
        &[Name("double_layers.0.attn.w1q.weight"), Size("cond_seq_linear.weight", 1, &[2048])],
        &[],
    ),
    family(
        Architecture::AuraFlow,
        &[Name("joint_transformer_blocks.0.attn.to_q.weight"), Name("register_tokens")],
        &[],
    ),
    family(
        Architecture::HunyuanDit,
        &[Name("mlp_t5.0.weight"), Name("extra_embedder.0.weight"), Prefix("blocks.0.attn1.")],
        &[],
    ),
    family(
        Architecture::HunyuanDit,
        &[
            Name("text_embedder.linear_1.weight"),
            Name("text_embedding_padding"),
            Name("time_extra_emb.timestep_embedder.linear_1.weight"),
        ],
        &[],
    ),
    family(
        Architecture::PixArt,
        &[
            Size("t_block.1.weight", 1, &[1152]),
            Name("blocks.0.cross_attn.kv_linear.weight"),
            Name("blocks.0.mlp.fc1.weight"),
            Shape("x_embedder.proj.weight", &[1152, ANY, 2, 2]),
        ],
        &["blocks.0.mlp.inverted_conv."],
    ),
    family(
        Architecture::PixArt,
        &[
            Name("adaln_single.emb.timestep_embedder.linear_1.bias"),
            Shape("pos_embed.proj.weight", &[1152, ANY, 2, 2]),
            Name("caption_projection.linear_1.weight"),
        ],
        &[],
    ),
    family(
        Architecture::Sana,
        &[
            Shape("blocks.0.mlp.inverted_conv.conv.weight", &[ANY, ANY, 1, 1]),
            Name("attention_y_norm.weight"),
            Name("blocks.0.cross_attn.kv_linear.weight"),
        ],
        &[],
    ),
    family(
        Architecture::Sana,
        &[
            Shape("transformer_blocks.0.ff.conv_inverted.weight", &[ANY, ANY, 1, 1]),
            Name("caption_norm.weight"),
            Shape("patch_embed.proj.weight", &[ANY, ANY, ANY, ANY]),
        ],
        &[],
    ),
    family(
        Architecture::Lumina2,
        &[
            // As wide as Gemma 2's states on both sides; NewBie reads those of Gemma 3.
            Shape("cap_embedder.1.weight", &[2304, 2304]),
            Name("noise_refiner.0.attention.k_norm.weight"),
            Prefix("layers.0.attention."),
        ],
        &["clip_text_pooled_proj."],
    ),
    family(
        Architecture::Lumina2,
        &[
            Shape("time_caption_embed.caption_embedder.1.weight", &[2304, 2304]),
            Prefix("noise_refiner.0.attn."),
            Prefix("layers.0.attn."),
        ],
        &["ref_image_refiner."],
    ),
    named(
        "NewBie",
        &[
            Size("cap_embedder.1.weight", 0, &[2304]),
            Name("noise_refiner.0.attention.k_norm.weight"),
            Prefix("clip_text_pooled_proj."),
        ],
    ),
    family(
        Architecture::ZImage,
        &[
            Size("cap_embedder.1.weight", 0, &[3840]),
            Either(&[Name("noise_refiner.0.attention.k_norm.weight"), Name("noise_refiner.0.attention.norm_k.weight")]),
            Prefix("layers.0.attention."),
            // Ming-Image has the same blocks, without a token to fill up with or with a mark.
            Name("cap_pad_token"),
        ],
        &["control_layers.", "dec_net.", "__ming_image__"],
    ),
    family(
        Architecture::LuminaNext,
        &[Name("layers.0.attention.wk_y.weight"), Name("cap_embedder.1.weight"), Name("layers.0.attention.gate")],
        &[],
    ),
    family(
        Architecture::LuminaNext,
        &[Name("layers.0.gate"), Prefix("layers.0.attn2."), Name("time_caption_embed.caption_embedder.1.weight")],
        &[],
    ),
    family(
        Architecture::OmniGen2,
        &[
            Prefix("ref_image_refiner.0."),
            Name("ref_image_patch_embedder.weight"),
            Prefix("time_caption_embed.caption_embedder."),
        ],
        &["double_stream_layers."],
    ),
    family(
        Architecture::QwenImage,
        &[
            Size("transformer_blocks.0.img_mod.1.weight", 1, &[3072]),
            Shape("txt_norm.weight", &[3584]),
            Name("transformer_blocks.0.attn.add_q_proj.weight"),
        ],
        &[],
    ),
    family(
        Architecture::Wan,
        &[
            Name("head.modulation"),
            Name("blocks.0.cross_attn.norm_q.weight"),
            Either(&[
                Shape("patch_embedding.weight", &[ANY, ANY, 1, 2, 2]),
                Shape("patch_embedding.weight", &[ANY, 1, 2, 2]),
            ]),
        ],
        &[],
    ),
    family(
        Architecture::Wan,
        &[
            Name("condition_embedder.text_embedder.linear_1.weight"),
            Name("blocks.0.attn2.norm_q.weight"),
            Either(&[
                Shape("patch_embedding.weight", &[ANY, ANY, 1, 2, 2]),
                Shape("patch_embedding.weight", &[ANY, 1, 2, 2]),
            ]),
        ],
        &["condition_embedder.delta_embedder.", "patch_long."],
    ),
    family(
        Architecture::Ltx,
        &[
            Size("patchify_proj.weight", 1, &[128]),
            Name("adaln_single.emb.timestep_embedder.linear_1.weight"),
            Name("transformer_blocks.0.attn2.k_norm.weight"),
        ],
        &["audio_", "av_"],
    ),
    family(
        Architecture::Ltx2,
        &[Size("patchify_proj.weight", 1, &[128]), Name("audio_patchify_proj.weight"), Prefix("audio_adaln_single.")],
        &[],
    ),
    family(
        Architecture::Ltx,
        &[
            Shape("proj_in.weight", &[ANY, 128]),
            Name("time_embed.emb.timestep_embedder.linear_1.weight"),
            Name("transformer_blocks.0.attn2.norm_k.weight"),
            Name("transformer_blocks.0.scale_shift_table"),
        ],
        &["audio_", "av_"],
    ),
    family(
        Architecture::Ltx2,
        &[
            Shape("proj_in.weight", &[ANY, 128]),
            Name("audio_proj_in.weight"),
            Name("transformer_blocks.0.scale_shift_table"),
        ],
        &[],
    ),
    family(
        Architecture::Mochi,
        &[Name("pos_frequencies"), Name("t5_yproj.weight"), Name("blocks.0.attn.qkv_x.weight")],
        &[],
    ),
    family(
        Architecture::Mochi,
        &[Name("pos_frequencies"), Name("time_embed.caption_proj.weight"), Prefix("transformer_blocks.0.attn1.")],
        &[],
    ),
    // Cosmos 1.0, then Predict 2, whose names Anima took over and added its adapter to.
    family(
        Architecture::Cosmos,
        &[Prefix("blocks.block0.blocks.0.block.attn."), Name("x_embedder.proj.1.weight"), Name("affline_norm.weight")],
        &[],
    ),
    family(
        Architecture::Cosmos,
        &[
            Name("x_embedder.proj.1.weight"),
            Name("blocks.0.mlp.layer1.weight"),
            Size("blocks.0.cross_attn.k_proj.weight", 1, &[1024]),
            Name("t_embedding_norm.weight"),
            Size("blocks.0.self_attn.q_proj.weight", 0, &[5120]),
        ],
        &["llm_adapter."],
    ),
    family(
        Architecture::Cosmos,
        &[
            Name("x_embedder.proj.1.weight"),
            Name("blocks.0.mlp.layer1.weight"),
            Size("blocks.0.cross_attn.k_proj.weight", 1, &[1024]),
            Name("t_embedding_norm.weight"),
            Size("blocks.0.self_attn.q_proj.weight", 0, &[2048]),
        ],
        &["llm_adapter."],
    ),
    family(
        Architecture::Anima,
        &[
            Name("x_embedder.proj.1.weight"),
            Name("blocks.0.mlp.layer1.weight"),
            Name("llm_adapter.blocks.0.cross_attn.q_proj.weight"),
        ],
        &[],
    ),
    family(
        Architecture::Cosmos,
        &[
            Shape("patch_embed.proj.weight", &[ANY, ANY]),
            Name("time_embed.t_embedder.linear_1.weight"),
            Name("transformer_blocks.0.norm1.linear_1.weight"),
            Size("transformer_blocks.0.attn2.to_k.weight", 1, &[1024]),
        ],
        &[],
    ),
    family(
        Architecture::HiDream,
        &[
            Prefix("double_stream_blocks.0.block."),
            Name("caption_projection.0.linear.weight"),
            Name("p_embedder.pooled_embedder.linear_1.weight"),
        ],
        &[],
    ),
    family(
        Architecture::CogView4,
        &[
            Name("patch_embed.text_proj.weight"),
            Name("time_condition_embed.condition_embedder.linear_1.weight"),
            Size("transformer_blocks.0.attn1.to_q.weight", 0, &[4096]),
        ],
        &[],
    ),
    family(
        Architecture::CogView3,
        &[
            Name("patch_embed.text_proj.weight"),
            Name("time_condition_embed.condition_embedder.linear_1.weight"),
            Size("transformer_blocks.0.attn1.to_q.weight", 0, &[2560]),
        ],
        &[],
    ),
    family(
        Architecture::CogVideoX,
        &[
            Name("patch_embed.text_proj.weight"),
            Name("transformer_blocks.0.norm1.linear.weight"),
            Size("time_embedding.linear_1.weight", 0, &[512]),
            Name("norm_final.weight"),
        ],
        &["perceiver_cross_attention."],
    ),
    family(
        Architecture::Kandinsky5,
        &[
            Prefix("visual_transformer_blocks.0.cross_attention."),
            Name("visual_embeddings.in_layer.weight"),
            Name("text_embeddings.in_layer.weight"),
        ],
        &[],
    ),
    family(
        Architecture::Krea2,
        &[
            Either(&[Name("txtfusion.projector.weight"), Name("text_fusion.projector.weight")]),
            Either(&[Prefix("blocks.0.attn."), Prefix("transformer_blocks.0.attn.to_gate.")]),
        ],
        &[],
    ),
    family(
        Architecture::ErnieImage,
        &[
            Name("layers.0.adaLN_sa_ln.weight"),
            Name("layers.0.mlp.linear_fc2.weight"),
            Name("layers.0.self_attention.to_q.weight"),
        ],
        &[],
    ),
    family(
        Architecture::StableAudio,
        &[
            Name("transformer.rotary_pos_emb.inv_freq"),
            Name("transformer.project_in.weight"),
            Name("timestep_features.weight"),
        ],
        &[],
    ),
    // Cascade keeps a way down and up of its own kind of blocks; stage C maps text, stage B maps pixels.
    family(
        Architecture::StableCascade,
        &[
            Name("clf.1.weight"),
            Size("clip_txt_mapper.weight", 0, &[1536, 2048]),
            Prefix("down_blocks.0.0.channelwise."),
        ],
        &[],
    ),
    family(
        Architecture::StableCascade,
        &[
            Name("clf.1.weight"),
            Size("down_blocks.1.0.channelwise.0.weight", 1, &[576, 640]),
            Either(&[Name("clip_mapper.weight"), Name("clip_txt_pooled_mapper.weight")]),
        ],
        &["clip_txt_mapper."],
    ),
    family(
        Architecture::Wuerstchen,
        &[Name("cond_mapper.0.weight"), Name("blocks.0.depthwise.weight"), Name("projection.weight")],
        &[],
    ),
    // Würstchen's stage B puts a picture's semantics in at six places, Cascade's at one.
    family(
        Architecture::Wuerstchen,
        &[Name("clf.1.weight"), Name("clip_mapper.weight"), Prefix("effnet_mappers.1."), Prefix("down_blocks.0.0.")],
        &[],
    ),
    named("Kandinsky 2 prior", &[Name("prd_embedding"), Name("clip_mean"), Prefix("transformer_blocks.0.attn1.")]),
    named("DiT", &[Name("transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight")]),
    named("OmniGen", &[Prefix("patch_embedding.output_image_proj."), Prefix("patch_embedding.input_image_proj.")]),
    named("Ideogram 4", &[Name("embed_image_indicator.weight")]),
    named("HiDream O1", &[Name("x_embedder.proj1.weight"), Name("language_model.layers.0.self_attn.q_proj.weight")]),
    named("ACE-Step", &[Name("genre_embedder.weight"), Prefix("transformer_blocks.0.")]),
    named("MiniMax H3", &[Name("video_patch_proj.weight"), Name("audio_patch_proj.weight")]),
    // What grew out of a family and added inputs that the family's network cannot take.
    named("AnyFlow", &[Prefix("condition_embedder.delta_embedder."), Prefix("blocks.0.attn2.")]),
    named("Helios", &[Prefix("patch_long."), Prefix("condition_embedder."), Prefix("blocks.0.attn2.")]),
    named("ConsisID", &[Prefix("perceiver_cross_attention."), Prefix("patch_embed.text_proj.")]),
    named("Boogu", &[Prefix("double_stream_layers.0.img_instruct_attn."), Prefix("noise_refiner.0.")]),
    named("Ming Image", &[Name("__ming_image__"), Prefix("noise_refiner.0.attention.")]),
    named("FramePack", &[Prefix("clean_x_embedder."), Prefix("context_embedder.token_refiner.")]),
    named("PRX", &[Prefix("blocks.0.attention.img_qkv_proj."), Name("txt_in.weight")]),
    named("Z-Image in pixel space", &[Prefix("dec_net.cond_embed."), Prefix("noise_refiner.0.")]),
];

/// A file of blocks like FLUX's whose marks fit no family that is known.
const RELATIVES: [(&str, &str); 3] = [
    ("double_blocks.0.img_attn.", "a relative of FLUX.1"),
    ("single_transformer_blocks.0.attn.", "a relative of FLUX.1"),
    ("noise_refiner.0.", "a relative of Lumina 2"),
];

/// Blocks of which a network has one kind; with two, two networks share the file.
const BLOCKS: [&str; 8] = [
    "double_blocks.0.",
    "joint_blocks.0.",
    "double_stream_blocks.0.",
    "input_blocks.1.",
    "joint_transformer_blocks.0.",
    "visual_transformer_blocks.0.",
    "double_layers.0.",
    "blocks.0.cross_attn.",
];

pub(super) fn find(scope: &Scope<'_>) -> Option<Finding> {
    if BLOCKS.iter().filter(|stem| scope.any(stem)).count() > 1 {
        return Some(Finding::of(ModelKind::Network, super::SEVERAL));
    }
    let mut fitting = FAMILIES.iter().filter(|signature| signature.fits(scope));
    let answer = match fitting.next() {
        None => {
            let (_, family) = RELATIVES.iter().find(|(prefix, _)| scope.any(prefix))?;
            Answer::named(family)
        }
        Some(first) if fitting.all(|other| other.answer == first.answer) => first.answer,
        Some(_) => super::SEVERAL,
    };
    let finding = Finding::of(ModelKind::Network, answer);
    Some(variant::of_transformer(scope, finding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_needs_two_marks_or_a_name_nobody_else_uses() {
        for signature in &FAMILIES {
            let is_rare = signature.answer.architecture == Architecture::Unknown;
            assert!(is_rare || signature.has.len() >= 2, "{:?}", signature.answer);
        }
    }
}
