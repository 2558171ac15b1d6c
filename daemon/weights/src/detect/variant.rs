//! Which member of its family a network is, where shapes tell, and how it predicts, where marker tensors say so.
//!
//! Turbo, Lightning, Hyper, LCM and every merge share all names and shapes with their base, so they have no variant.
//! Markers are empty tensors that trainers and merge tools write for loaders (Comfy-Org/ComfyUI
//! `comfy/supported_models.py` at a125cd84, `SDXL.model_type`):
//! `v_pred`, `ztsnr`, Playground 2.5's `edm_mean` and `edm_std`, CosXL's `edm_vpred.sigma_max`.

use super::{Finding, Listing, Scope};
use paintbox_domain::Architecture;

/// How a network predicts, by marker tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prediction {
    /// `v_prediction`, `edm` or `edm_v_prediction`; `None` where no marker says so, which is no proof of `epsilon`.
    pub prediction_type: Option<&'static str>,
    /// Trained down to a last step without any signal.
    pub zero_terminal_snr: bool,
}

pub(super) fn prediction(listing: &Listing<'_>) -> Prediction {
    let has = |name: &str| {
        listing.has(name) || listing.scope("model.diffusion_model.").has(name) || listing.scope("model.").has(name)
    };
    let prediction_type = if has("edm_vpred.sigma_max") {
        Some("edm_v_prediction")
    } else if has("edm_mean") && has("edm_std") {
        Some("edm")
    } else {
        has("v_pred").then_some("v_prediction")
    };
    Prediction { prediction_type, zero_terminal_snr: has("ztsnr") }
}

pub(super) fn of_unet(scope: &Scope<'_>, finding: Finding) -> Finding {
    let base = match finding.architecture {
        Architecture::Koala if scope.any("mid_block.") || scope.any("middle_block.") => Some("1b"),
        Architecture::Koala => Some("700m"),
        Architecture::Sd1 | Architecture::Sd2 | Architecture::Sdxl | Architecture::SdxlRefiner => None,
        // Their channels are their family's own.
        _ => return finding,
    };
    let variant = match finding.in_channels {
        Some(9) => Some("inpaint"),
        Some(8) => Some("instruct_pix2pix"),
        Some(5) => Some("depth"),
        _ => base,
    };
    Finding { variant, ..finding }
}

pub(super) fn of_transformer(scope: &Scope<'_>, finding: Finding) -> Finding {
    let is_original = scope.any("img_in.");
    let channels = |name: &str| scope.dim(name, 1).and_then(|channels| u32::try_from(channels).ok());
    let (variant, in_channels) = match finding.architecture {
        Architecture::Flux1 => {
            let in_channels = channels(if is_original { "img_in.weight" } else { "x_embedder.weight" });
            let has_guidance = scope.any("guidance_in.") || scope.any("time_text_embed.guidance_embedder.");
            let is_cut = !scope.any("double_blocks.18.") && !scope.any("transformer_blocks.18.");
            let variant = match in_channels {
                Some(384) => Some("fill"),
                Some(196) => Some("flex2"),
                Some(128) => Some("control"),
                Some(64) if is_cut => Some("cut"),
                Some(64) if has_guidance => Some("dev"),
                Some(64) => Some("schnell"),
                _ => None,
            };
            (variant, in_channels)
        }
        Architecture::Flux2 => {
            let width = channels(if is_original { "txt_in.weight" } else { "context_embedder.weight" });
            let variant = match width {
                Some(15_360) => Some("dev"),
                Some(12_288) => Some("klein_9b"),
                Some(7_680) => Some("klein_4b"),
                _ => None,
            };
            (variant, None)
        }
        Architecture::Chroma => (scope.any("nerf_blocks.0.").then_some("radiance"), None),
        Architecture::Sd3 => (stable_diffusion_3(scope), None),
        Architecture::PixArt => (pixart(scope), None),
        Architecture::QwenImage if scope.has("time_text_embed.addition_t_embedding.weight") => (Some("layered"), None),
        Architecture::QwenImage => (scope.has("__index_timestep_zero__").then_some("edit"), None),
        Architecture::Wan => (wan(scope), wan_size(scope).and_then(|(_, channels)| u32::try_from(channels).ok())),
        Architecture::HunyuanVideo => (scope.any("vision_in.").then_some("1.5"), channels("img_in.proj.weight")),
        Architecture::Cosmos => {
            let is_first = scope.any("blocks.block0.") || scope.any("learnable_pos_embed.");
            (Some(if is_first { "1.0" } else { "predict2" }), None)
        }
        Architecture::StableCascade => {
            let is_stage_c = scope.has("clip_txt_mapper.weight");
            (Some(if is_stage_c { "stage_c" } else { "stage_b" }), None)
        }
        Architecture::Wuerstchen => (Some(if scope.has("cond_mapper.0.weight") { "prior" } else { "decoder" }), None),
        Architecture::Ltx => {
            let width = scope.dim("patchify_proj.weight", 0).or_else(|| scope.dim("proj_in.weight", 0));
            (
                match width {
                    Some(4096) => Some("13b"),
                    Some(2048) => Some("2b"),
                    _ => None,
                },
                None,
            )
        }
        _ => (None, None),
    };
    Finding { variant, in_channels, ..finding }
}

/// By width (64 a block) and by what 3.5 medium adds: attention of an image to itself, positions for 1440 pixels.
fn stable_diffusion_3(scope: &Scope<'_>) -> Option<&'static str> {
    let width = scope.dim("x_embedder.proj.weight", 0).or_else(|| scope.dim("pos_embed.proj.weight", 0))?;
    let has_second_attention = scope.any("joint_blocks.0.x_block.attn2.") || scope.any("transformer_blocks.0.attn2.");
    match (width, has_second_attention) {
        (1536, false) => Some("medium"),
        (1536, true) => Some("3.5_medium"),
        (2432, _) => Some("3.5_large"),
        _ => None,
    }
}

/// Alpha knows 120 tokens of text, Sigma 300; the size embedding of Alpha at 1024 pixels is its own.
fn pixart(scope: &Scope<'_>) -> Option<&'static str> {
    if scope.any("ar_embedder.") || scope.any("adaln_single.emb.aspect_ratio_embedder.") {
        return Some("alpha");
    }
    match scope.dim("y_embedder.y_embedding", 0) {
        Some(120) => Some("alpha"),
        Some(300) => Some("sigma"),
        _ => None,
    }
}

/// 36 channels hold a first frame beside the latents; 48 are the latents of Wan 2.2's own VAE. Wan 2.1 and 2.2 of 14
/// billion parameters share every name.
fn wan(scope: &Scope<'_>) -> Option<&'static str> {
    if scope.any("vace_blocks.") {
        return Some("vace");
    }
    match wan_size(scope)? {
        (3072, 48) => Some("ti2v_5b"),
        (5120, 36) => Some("i2v_14b"),
        (5120, 16) => Some("t2v_14b"),
        (1536, 36) => Some("i2v_1.3b"),
        (1536, 16) => Some("t2v_1.3b"),
        _ => None,
    }
}

/// Width and channels; in GGUF the two are multiplied, and the width stands in the text embedding.
fn wan_size(scope: &Scope<'_>) -> Option<(usize, usize)> {
    match *scope.shape("patch_embedding.weight")? {
        [width, channels, _, _, _] => Some((width, channels)),
        [both, _, _, _] => {
            let width = scope.dim("text_embedding.0.weight", 0).filter(|width| *width > 0)?;
            Some((width, both / width))
        }
        _ => None,
    }
}
