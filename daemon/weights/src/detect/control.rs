//! ControlNets and the other adapters that steer a network and are neither LoRA nor part of it.
//!
//! Names: diffusers `src/diffusers/models/controlnets/`, `models/adapter.py` and `loaders/ip_adapter.py` (tencent-ailab's
//! `ip_adapter` and `image_proj`) at 58eb52c0; Comfy-Org/ComfyUI `comfy/controlnet.py` at a125cd84 for those of ControlNet's
//! own repository (`control_model`, `input_hint_block`), Stability's Control-LoRA (`lora_controlnet`) and XLabs' ControlNets for
//! FLUX.1 (`controlnet_blocks` beside BFL's names); diffusers `models/unets/unet_motion_model.py` for motion modules.

use super::marks::Mark::{Name, Prefix, Shape, Size};
use super::marks::{ANY, Signature};
use super::{Finding, Listing, Scope, unet};
use paintbox_domain::{Architecture, ModelKind};

const PREFIXES: [&str; 3] = ["control_model.", "controlnet.", ""];

/// Names that a ControlNet has, of whichever network.
const CONTROL: [&str; 9] = [
    "controlnet_cond_embedding.conv_in.weight",
    "controlnet_down_blocks.0.weight",
    "input_hint_block.0.weight",
    "controlnet_x_embedder.weight",
    "controlnet_blocks.0.weight",
    "controlnet_blocks.0.bias",
    "lora_controlnet",
    "control_all_x_embedder.2-1.weight",
    "control_x_embedder.proj.weight",
];

/// The transformers that ControlNets are made for.
const TRANSFORMERS: [Signature<Architecture>; 6] = [
    Signature {
        answer: Architecture::Flux1,
        has: &[
            Shape("context_embedder.weight", &[3072, 4096]),
            Size("time_text_embed.text_embedder.linear_1.weight", 1, &[768]),
            Prefix("transformer_blocks.0.attn.add_q_proj."),
        ],
        lacks: &[],
    },
    Signature {
        answer: Architecture::Flux1,
        has: &[
            Shape("txt_in.weight", &[3072, 4096]),
            Size("vector_in.in_layer.weight", 1, &[768]),
            Prefix("double_blocks.0.img_mod."),
        ],
        lacks: &[],
    },
    Signature {
        answer: Architecture::Sd3,
        has: &[
            Size("time_text_embed.text_embedder.linear_1.weight", 1, &[2048]),
            Prefix("transformer_blocks.0.attn."),
            Shape("pos_embed_input.proj.weight", &[ANY, ANY, 2, 2]),
        ],
        lacks: &[],
    },
    Signature {
        answer: Architecture::QwenImage,
        has: &[Size("transformer_blocks.0.img_mod.1.weight", 1, &[3072]), Shape("txt_norm.weight", &[3584])],
        lacks: &[],
    },
    Signature {
        answer: Architecture::ZImage,
        has: &[Size("control_all_x_embedder.2-1.weight", 0, &[3840]), Prefix("control_layers.0.attention.")],
        lacks: &[],
    },
    Signature {
        answer: Architecture::HunyuanDit,
        has: &[Name("text_embedding_padding"), Prefix("blocks.0.attn1."), Prefix("controlnet_blocks.0.")],
        lacks: &[],
    },
];

pub(super) fn find(listing: &Listing<'_>) -> Option<Finding> {
    PREFIXES.iter().find_map(|prefix| {
        let scope = listing.scope(prefix);
        if !CONTROL.iter().any(|name| scope.has(name)) {
            return None;
        }
        let architecture = of_control_lora(&scope)
            .or_else(|| unet::of_control(&scope))
            .or_else(|| TRANSFORMERS.iter().find(|family| family.fits(&scope)).map(|family| family.answer))
            .unwrap_or(Architecture::Unknown);
        let variant = variant(&scope);
        Some(Finding { variant, ..Finding::new(ModelKind::ControlNet, architecture) })
    })
}

fn variant(scope: &Scope<'_>) -> Option<&'static str> {
    if scope.has("lora_controlnet") {
        Some("control_lora")
    } else if scope.has("task_embedding") || scope.has("controlnet_mode_embedder.weight") {
        Some("union")
    } else {
        None
    }
}

/// A Control-LoRA holds products in place of matrices: the inputs of the added embedding and of the text attention stand
/// in their first factors.
fn of_control_lora(scope: &Scope<'_>) -> Option<Architecture> {
    if !scope.has("lora_controlnet") {
        return None;
    }
    let added = scope.dim("label_emb.0.0.down", 1);
    Some(if added == Some(2816) { Architecture::Sdxl } else { Architecture::Unknown })
}

/// Adapters that are neither LoRA nor ControlNet.
pub(super) fn other_adapters(listing: &Listing<'_>) -> Option<Finding> {
    if listing.any("ip_adapter.") || listing.any("image_proj.") {
        return Some(ip_adapter(listing));
    }
    let scope = listing.scope("");
    let is_t2i = scope.any("adapter.body.0.resnets.0.block1.")
        || (scope.shape("conv_in.weight").is_some_and(|shape| shape.len() == 4) && scope.any("body.0.block1."));
    if is_t2i {
        return Some(t2i_adapter(&scope));
    }
    // A whole network that was trained with its motion modules is a network.
    let has_motion = scope.any("down_blocks.0.motion_modules.") || scope.any("up_blocks.1.motion_modules.");
    (has_motion && unet::find(&scope).is_none()).then(|| motion_module(&scope))
}

/// Text attention of 2.x and XL is as wide as SDXL's own in both adapters of the same size, so only widths that one
/// architecture has decide.
fn ip_adapter(listing: &Listing<'_>) -> Finding {
    let widths =
        listing.tensors().filter(|(name, _)| name.starts_with("ip_adapter.") && name.ends_with(".to_k_ip.weight"));
    let mut widths = widths.filter_map(|(_, shape)| shape.get(1).copied());
    let architecture = match widths.next() {
        Some(768) => Architecture::Sd1,
        Some(2048) => Architecture::Sdxl,
        _ => Architecture::Unknown,
    };
    let agrees =
        widths.all(|width| matches!((architecture, width), (Architecture::Sd1, 768) | (Architecture::Sdxl, 2048)));
    let architecture = if agrees { architecture } else { Architecture::Unknown };
    Finding::new(ModelKind::Other, architecture).called("IP-Adapter")
}

/// A hint is folded eight pixels to a side for 1.x and sixteen for XL: 192 or 768 channels of a colour picture, a third
/// of that of a grey one.
fn t2i_adapter(scope: &Scope<'_>) -> Finding {
    let channels = scope.dim("conv_in.weight", 1).or_else(|| scope.dim("adapter.conv_in.weight", 1));
    let architecture = match channels {
        Some(64 | 192) => Architecture::Sd1,
        Some(256 | 768) => Architecture::Sdxl,
        _ => Architecture::Unknown,
    };
    Finding::new(ModelKind::Other, architecture).called("T2I-Adapter")
}

/// 1.x has four levels, XL three.
fn motion_module(scope: &Scope<'_>) -> Finding {
    let architecture = match (scope.any("down_blocks.0.motion_modules."), scope.any("down_blocks.3.motion_modules.")) {
        (true, true) => Architecture::Sd1,
        (true, false) if scope.any("down_blocks.2.motion_modules.") && scope.any("up_blocks.2.motion_modules.") => {
            Architecture::Sdxl
        }
        _ => Architecture::Unknown,
    };
    // A lost last level must not turn one into the other: 1.x has a fourth level on its way up too.
    let architecture = if architecture == Architecture::Sdxl && scope.any("up_blocks.3.motion_modules.") {
        Architecture::Unknown
    } else {
        architecture
    };
    Finding::new(ModelKind::Other, architecture).called("AnimateDiff motion module")
}
