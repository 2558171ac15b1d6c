//! Everything that is not a denoising network: ControlNets and other adapters, VAEs, text encoders, upscalers and
//! textual inversions. Most of these serve several architectures alike; then the architecture stays unknown.

use super::{Finding, Listing, NETWORK_PREFIXES, transformer, unet};
use paintbox_domain::{Architecture, ModelKind};

const VAE_PREFIXES: [&str; 3] = ["first_stage_model.", "vae.", ""];

/// What a text encoder's names begin with inside a checkpoint.
const TEXT_ENCODER_PREFIXES: [&str; 4] =
    ["cond_stage_model.", "conditioner.embedders.", "text_encoders.", "text_encoder."];

pub(super) fn has_text_encoder(listing: &Listing<'_>) -> bool {
    TEXT_ENCODER_PREFIXES.iter().any(|prefix| {
        // A lone `logit_scale` is left over from an encoder that was taken out; an adapter of one is no encoder.
        listing.names().any(|name| name.starts_with(prefix) && name.ends_with(".weight") && !name.contains("lora"))
    }) || text_encoder(listing).is_some()
}

pub(super) fn has_vae(listing: &Listing<'_>) -> bool {
    vae(listing).is_some()
}

pub(super) fn control(listing: &Listing<'_>) -> Option<Finding> {
    let prefix = ["control_model.", "controlnet.", ""].into_iter().find(|prefix| {
        let scope = listing.scope(prefix);
        scope.has("controlnet_cond_embedding.conv_in.weight")
            || scope.has("input_hint_block.0.weight")
            || scope.has("controlnet_x_embedder.weight")
            || scope.has("controlnet_blocks.0.weight")
            || scope.has("lora_controlnet")
    })?;
    let scope = listing.scope(prefix);
    let architecture = unet::of_control(&scope)
        .or_else(|| transformer::find(&scope).map(|finding| finding.architecture))
        .unwrap_or(Architecture::Unknown);
    Some(Finding::new(ModelKind::ControlNet, architecture))
}

/// Adapters that are neither LoRA nor ControlNet.
pub(super) fn other_adapters(listing: &Listing<'_>) -> Option<Finding> {
    let is_network = NETWORK_PREFIXES.iter().any(|prefix| unet::find(&listing.scope(prefix)).is_some());
    let family = if listing.any("ip_adapter.") || listing.any("image_proj.") {
        "IP-Adapter"
    } else if listing.any("adapter.body.") || (listing.has("conv_in.weight") && listing.any("body.0.block1.")) {
        "T2I-Adapter"
    } else if !is_network && listing.names().any(|name| name.contains(".motion_modules.")) {
        "AnimateDiff motion module"
    } else {
        return None;
    };
    Some(Finding::named(ModelKind::Other, family))
}

pub(super) fn vae(listing: &Listing<'_>) -> Option<Finding> {
    VAE_PREFIXES.iter().find_map(|prefix| {
        let scope = listing.scope(prefix);
        let is_kl = scope.shape("decoder.conv_in.weight").is_some_and(|shape| shape.len() == 4)
            && (scope.any("decoder.mid.block_1.") || scope.any("decoder.mid_block.resnets.0."));
        let is_tiny = scope.shape("decoder.layers.0.weight").is_some_and(|shape| shape.len() == 4)
            && scope.any("encoder.layers.");
        // Four latent channels serve SD 1.x, 2.x and XL alike, sixteen SD3 and FLUX: names cannot tell whose it is.
        match (is_kl, is_tiny) {
            (true, _) => Some(Finding::new(ModelKind::Vae, Architecture::Unknown)),
            (false, true) => Some(Finding::named(ModelKind::Vae, "TAESD")),
            (false, false) => None,
        }
    })
}

/// A text encoder alone. CLIP-L and T5 serve many architectures.
pub(super) fn text_encoder(listing: &Listing<'_>) -> Option<Finding> {
    const KINDS: [(&str, &str); 7] = [
        ("text_model.encoder.layers.0.self_attn.q_proj.weight", "CLIP"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj.weight", "CLIP"),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "T5"),
        ("text_encoder.encoder.block.0.layer.0.SelfAttention.q.weight", "T5"),
        ("enc.blk.0.attn_q.weight", "T5"),
        ("transformer.resblocks.0.attn.in_proj_weight", "OpenCLIP"),
        ("model.transformer.resblocks.0.attn.in_proj_weight", "OpenCLIP"),
    ];
    KINDS.iter().find(|(key, _)| listing.has(key)).map(|(_, family)| Finding::named(ModelKind::TextEncoder, family))
}

pub(super) fn upscaler(listing: &Listing<'_>) -> Option<Finding> {
    let scopes = ["", "params_ema.", "params."].map(|prefix| listing.scope(prefix));
    scopes.iter().find_map(|scope| {
        let is_esrgan = scope.has("model.1.sub.0.RDB1.conv1.0.weight")
            || (scope.has("conv_first.weight")
                && (scope.has("body.0.rdb1.conv1.weight") || scope.has("RRDB_trunk.0.RDB1.conv1.weight")));
        let is_transformer = scope.has("conv_first.weight") && scope.any("layers.0.residual_group.blocks.0.");
        // Real-ESRGAN's compact network: convolutions and one PReLU slope per channel, all in one row.
        let is_compact = scope.shape("body.0.weight").is_some_and(|shape| shape.len() == 4 && shape[1] == 3)
            && scope.shape("body.1.weight").is_some_and(|shape| shape.len() == 1)
            && scope.shape("body.2.weight").is_some_and(|shape| shape.len() == 4);
        let family = match (is_esrgan, is_compact, is_transformer) {
            (true, ..) => "ESRGAN",
            (_, true, _) => "compact ESRGAN",
            (.., true) => "SwinIR or HAT",
            (false, false, false) => return None,
        };
        Some(Finding::named(ModelKind::Upscaler, family))
    })
}

/// A few vectors for the token table of a text encoder; their width says which.
pub(super) fn textual_inversion(listing: &Listing<'_>) -> Option<Finding> {
    const MOST_VECTORS: usize = 1_000;
    let width = |name: &str| match *listing.scope("").shape(name)? {
        [width] => Some(width),
        [vectors, width] if vectors <= MOST_VECTORS => Some(width),
        _ => None,
    };
    let found = |architecture| Some(Finding::new(ModelKind::TextualInversion, architecture));
    // XL has two text encoders, so two tensors; nobody names a single vector `clip_g`.
    if width("clip_g") == Some(1280) {
        return found(if width("clip_l") == Some(768) { Architecture::Sdxl } else { Architecture::Unknown });
    }
    let of_width = |width| match width {
        768 => Architecture::Sd1,
        1024 => Architecture::Sd2,
        _ => Architecture::Unknown,
    };
    if let Some(width) = width("emb_params").or_else(|| width("string_to_param.*")) {
        return found(of_width(width));
    }
    // diffusers writes one tensor under the token's own name.
    let mut names = listing.names();
    let (Some(name), None) = (names.next(), names.next()) else { return None };
    match width(name)? {
        width @ (768 | 1024) => found(of_width(width)),
        _ if name.starts_with('<') && name.ends_with('>') => found(Architecture::Unknown),
        _ => None,
    }
}
