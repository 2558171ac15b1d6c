//! Text encoders and image encoders, alone or inside a checkpoint, and language models, some of which serve as text
//! encoders.
//!
//! Most encoders serve several architectures, so none is answered with an architecture; the family says which encoder
//! it is. Names are those of transformers, OpenCLIP and llama.cpp; sizes are those of the published configurations.

use super::marks::Mark::{Prefix, Shape, Size};
use super::marks::{ANY, Signature};
use super::{Finding, Listing, Scope};
use paintbox_domain::{Architecture, ModelKind};

/// What a text encoder's names begin with inside a checkpoint.
const INSIDE_CHECKPOINTS: [&str; 5] =
    ["cond_stage_model.", "conditioner.embedders.", "text_encoders.", "text_encoder.", "text_encoder_2."];

/// What a text encoder's names begin with in a file of its own.
const ALONE: [&str; 5] = ["", "text_encoder.", "model.", "transformer.", "encoder."];

const fn kind(family: &'static str, has: &'static [super::marks::Mark]) -> Signature<&'static str> {
    Signature { answer: family, has, lacks: &[] }
}

const FAMILIES: [Signature<&str>; 9] = [
    kind(
        "CLIP-L",
        &[
            Shape("text_model.embeddings.token_embedding.weight", &[49_408, 768]),
            Shape("text_model.encoder.layers.0.self_attn.q_proj.weight", &[768, 768]),
        ],
    ),
    kind(
        "CLIP-G",
        &[
            Shape("text_model.embeddings.token_embedding.weight", &[49_408, 1280]),
            Shape("text_model.encoder.layers.0.self_attn.q_proj.weight", &[1280, 1280]),
        ],
    ),
    kind(
        "CLIP",
        &[
            Shape("text_model.embeddings.token_embedding.weight", &[ANY, ANY]),
            Prefix("text_model.encoder.layers.0.self_attn.q_proj."),
        ],
    ),
    kind(
        "OpenCLIP",
        &[
            Shape("token_embedding.weight", &[ANY, ANY]),
            Shape("transformer.resblocks.0.attn.in_proj_weight", &[ANY, ANY]),
        ],
    ),
    kind("UMT5-XXL", &[Shape("shared.weight", &[256_384, 4096]), Prefix("encoder.block.0.layer.0.SelfAttention.q.")]),
    kind("T5-XXL", &[Shape("shared.weight", &[32_128, 4096]), Prefix("encoder.block.0.layer.0.SelfAttention.q.")]),
    kind(
        "T5",
        &[Prefix("encoder.block.0.layer.0.SelfAttention.q."), Prefix("encoder.block.0.layer.1.DenseReluDense.")],
    ),
    kind("T5-XXL", &[Shape("token_embd.weight", &[32_128, 4096]), Prefix("enc.blk.0.attn_q.")]),
    kind("T5", &[Prefix("enc.blk.0.attn_q."), Prefix("enc.blk.0.ffn_up.")]),
];

/// Language models that families of image models read text with, by vocabulary and width.
const LANGUAGE_MODELS: [(usize, usize, &str); 11] = [
    (256_000, 2304, "Gemma 2 2B"),
    (262_208, 3840, "Gemma 3 12B"),
    (262_144, 2560, "Gemma 3 4B"),
    (128_256, 4096, "Llama 3.1 8B"),
    (152_064, 3584, "Qwen 2.5 VL 7B"),
    (151_936, 2048, "Qwen 2.5 VL 3B"),
    (151_936, 1024, "Qwen 3 0.6B"),
    (151_936, 2560, "Qwen 3 4B"),
    (151_936, 4096, "Qwen 3 8B"),
    (131_072, 5120, "Mistral Small 3"),
    (151_552, 4096, "GLM 4 9B"),
];

/// Whether a text encoder lies beside other parts, or is what was found `alone`.
pub(super) fn is_inside(listing: &Listing<'_>, alone: Option<&Finding>) -> bool {
    INSIDE_CHECKPOINTS.iter().any(|prefix| {
        // A lone `logit_scale` is left over from an encoder that was taken out; an adapter of one is no encoder.
        listing.any(prefix)
            && listing
                .names()
                .any(|name| name.starts_with(prefix) && name.ends_with(".weight") && !name.contains("lora"))
    }) || alone.is_some_and(|finding| finding.kind == ModelKind::TextEncoder)
}

/// An encoder or language model alone.
pub(super) fn find(listing: &Listing<'_>) -> Option<Finding> {
    ALONE
        .iter()
        .find_map(|prefix| {
            let scope = listing.scope(prefix);
            let family = FAMILIES.iter().find(|family| family.fits(&scope))?.answer;
            Some(Finding::named(ModelKind::TextEncoder, family))
        })
        .or_else(|| language_model(listing))
        .or_else(|| vision(listing))
}

/// A decoder-only transformer. With a head for the next word it is a language model, whoever reads text with it; without
/// one, and of a known size, it is somebody's text encoder.
fn language_model(listing: &Listing<'_>) -> Option<Finding> {
    const STEMS: [&str; 5] = ["model.", "", "model.language_model.", "language_model.model.", "transformer.model."];
    let scopes = STEMS.map(|stem| listing.scope(stem));
    let named = scopes.iter().find(|scope| {
        scope.any("layers.0.self_attn.q_proj.")
            && scope.any("layers.0.mlp.gate_proj.")
            && !scope.any("layers.0.cross_attn.")
    });
    let vocabulary = match named {
        Some(scope) => scope.shape("embed_tokens.weight"),
        None if listing.any("blk.0.attn_q.") && listing.any("blk.0.ffn_up.") => listing.shape("token_embd.weight"),
        // A later part of a model in several files begins in its middle.
        None if scopes.iter().any(is_middle_of_language_model) => None,
        None => return None,
    };
    let has_head =
        listing.has("lm_head.weight") || listing.has("output.weight") || listing.has("language_model.lm_head.weight");
    let known = vocabulary.and_then(|shape| {
        LANGUAGE_MODELS.iter().find(|(words, width, _)| shape == [*words, *width]).map(|(_, _, family)| *family)
    });
    Some(match known {
        Some(family) if !has_head => Finding::named(ModelKind::TextEncoder, family),
        _ => Finding::named(ModelKind::Other, "a language model"),
    })
}

fn is_middle_of_language_model(scope: &Scope<'_>) -> bool {
    scope.any("layers.")
        && scope.listing.names().any(|name| name.ends_with(".mlp.gate_proj.weight"))
        && scope.listing.names().any(|name| name.ends_with(".post_attention_layernorm.weight"))
}

fn vision(listing: &Listing<'_>) -> Option<Finding> {
    const VISION: [Signature<&str>; 2] = [
        kind(
            "CLIP vision",
            &[
                Size("vision_model.embeddings.patch_embedding.weight", 1, &[3]),
                Prefix("vision_model.encoder.layers.0.self_attn."),
            ],
        ),
        kind("CLIP vision", &[Size("visual.conv1.weight", 1, &[3]), Prefix("visual.transformer.resblocks.0.")]),
    ];
    let scope = listing.scope("");
    let family = VISION.iter().find(|family| family.fits(&scope))?.answer;
    Some(Finding::new(ModelKind::Other, Architecture::Unknown).called(family))
}
