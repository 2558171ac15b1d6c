//! VAEs: what they decode, and whose latents those are, as far as shapes tell.
//!
//! Names and channels are those of diffusers' `src/diffusers/models/autoencoders/` at 58eb52c0, leejet/stable-diffusion.cpp's
//! `src/model/vae/` at 97d29908, and Comfy-Org/ComfyUI's `comfy/taesd/taesd.py` and `comfy/ldm/` at a125cd84. Four channels serve SD 1.x, 2.x and XL alike and sixteen serve SD3 and FLUX.1: scale and
//! shift differ, but they stand in no header, so the list of families is what shapes allow, not what sounds best.

use super::marks::Mark::{Either, Name, Prefix, Shape};
use super::marks::{ANY, Signature};
use super::{Finding, Listing, Scope};
use paintbox_domain::{Architecture, ModelKind};

const PREFIXES: [&str; 5] = ["first_stage_model.", "vae.", "pretransform.model.", "autoencoder.", ""];

/// One kind of VAE.
#[derive(Debug, Clone, Copy)]
struct Vae {
    family: Option<&'static str>,
    /// The tensor and axis that hold the latents' channels.
    latents: (&'static str, usize),
    /// Families by latent channels.
    serves: &'static [(u32, &'static [Architecture])],
}

const KL: &[(u32, &[Architecture])] = &[
    (
        4,
        &[
            Architecture::Sd1,
            Architecture::Sd2,
            Architecture::Sd2Unclip,
            Architecture::Sdxl,
            Architecture::SdxlRefiner,
            Architecture::Ssd1b,
            Architecture::SegmindVega,
            Architecture::Koala,
            Architecture::Kolors,
            Architecture::PixArt,
            Architecture::HunyuanDit,
            Architecture::AuraFlow,
            Architecture::LuminaNext,
        ],
    ),
    (
        16,
        &[
            Architecture::Sd3,
            Architecture::Flux1,
            Architecture::Chroma,
            Architecture::Lumina2,
            Architecture::ZImage,
            Architecture::HiDream,
            Architecture::OvisImage,
            Architecture::LongCatImage,
            Architecture::OmniGen2,
            Architecture::CogView3,
            Architecture::CogView4,
        ],
    ),
    (32, &[Architecture::Flux2, Architecture::ErnieImage]),
];
const WAN: &[(u32, &[Architecture])] = &[
    (16, &[Architecture::Wan, Architecture::QwenImage, Architecture::Anima, Architecture::Krea2, Architecture::Cosmos]),
    (48, &[Architecture::Wan]),
];

const KINDS: [Signature<Vae>; 13] = [
    Signature {
        answer: Vae { family: None, latents: ("decoder.conv_in.weight", 1), serves: KL },
        has: &[
            Shape("decoder.conv_in.weight", &[ANY, ANY, 3, 3]),
            Either(&[Prefix("decoder.mid.block_1."), Prefix("decoder.mid_block.resnets.0.conv1.")]),
        ],
        lacks: &[],
    },
    Signature {
        answer: Vae {
            family: Some("a video decoder for Stable Diffusion latents"),
            latents: ("decoder.conv_in.weight", 1),
            serves: &[(4, &[Architecture::Svd])],
        },
        has: &[
            Shape("decoder.conv_in.weight", &[ANY, ANY, 3, 3]),
            Either(&[
                Prefix("decoder.mid_block.resnets.0.temporal_res_block."),
                Prefix("decoder.mid.block_1.time_stack."),
            ]),
        ],
        lacks: &[],
    },
    Signature {
        answer: Vae { family: None, latents: ("decoder.conv1.weight", 1), serves: WAN },
        has: &[Name("decoder.middle.0.residual.0.gamma"), Shape("decoder.conv1.weight", &[ANY, ANY, 3, 3, 3])],
        lacks: &[],
    },
    Signature {
        answer: Vae { family: None, latents: ("decoder.conv_in.weight", 1), serves: WAN },
        has: &[Name("decoder.mid_block.resnets.0.norm1.gamma"), Shape("decoder.conv_in.weight", &[ANY, ANY, 3, 3, 3])],
        lacks: &[],
    },
    Signature {
        answer: Vae {
            family: None,
            latents: ("decoder.conv_in.conv.weight", 1),
            serves: &[(128, &[Architecture::Ltx, Architecture::Ltx2])],
        },
        has: &[
            Shape("decoder.conv_in.conv.weight", &[ANY, 128, 3, 3, 3]),
            Either(&[Prefix("decoder.up_blocks.0.res_blocks.0."), Prefix("decoder.mid_block.resnets.0.")]),
        ],
        lacks: &[],
    },
    Signature {
        answer: Vae {
            family: None,
            latents: ("decoder.conv_in.conv.weight", 1),
            serves: &[(16, &[Architecture::CogVideoX])],
        },
        has: &[
            Shape("decoder.conv_in.conv.weight", &[ANY, 16, 3, 3, 3]),
            Prefix("decoder.mid_block.resnets.0.norm1.conv_y."),
        ],
        lacks: &[],
    },
    Signature {
        answer: Vae {
            family: None,
            latents: ("decoder.conv_in.conv.weight", 1),
            serves: &[(16, &[Architecture::HunyuanVideo])],
        },
        has: &[
            Shape("decoder.conv_in.conv.weight", &[ANY, 16, 3, 3, 3]),
            Either(&[Prefix("decoder.mid_block.attentions.0."), Prefix("decoder.mid.attn_1.")]),
        ],
        lacks: &["decoder.mid_block.resnets.0.norm1.conv_y."],
    },
    // Deep compression: the names of its authors, then diffusers'.
    Signature {
        answer: Vae {
            family: Some("DC-AE"),
            latents: ("decoder.project_in.main.conv.weight", 1),
            serves: &[(32, &[Architecture::Sana])],
        },
        has: &[
            Prefix("encoder.project_in.conv."),
            Prefix("decoder.stages.0.op_list.0."),
            Shape("decoder.project_in.main.conv.weight", &[ANY, ANY, 3, 3]),
        ],
        lacks: &[],
    },
    Signature {
        answer: Vae {
            family: Some("DC-AE"),
            latents: ("decoder.conv_in.weight", 1),
            serves: &[(32, &[Architecture::Sana])],
        },
        has: &[
            Shape("decoder.conv_in.weight", &[ANY, ANY, 3, 3]),
            // Each level up begins with its upsampler.
            Prefix("decoder.up_blocks.0.1.conv1."),
            Prefix("encoder.down_blocks.0.0.conv1."),
        ],
        lacks: &[],
    },
    Signature {
        answer: Vae { family: Some("TAESD"), latents: ("decoder.layers.0.weight", 1), serves: KL },
        has: &[
            Shape("decoder.layers.0.weight", &[64, ANY, 3, 3]),
            // The first layer without weights, an activation, stands between.
            Shape("decoder.layers.2.conv.0.weight", &[64, 64, 3, 3]),
            Prefix("encoder.layers.0."),
        ],
        lacks: &[],
    },
    Signature {
        answer: Vae { family: Some("TAESD"), latents: ("taesd_decoder.1.weight", 1), serves: KL },
        has: &[
            Shape("taesd_decoder.1.weight", &[64, ANY, 3, 3]),
            Prefix("taesd_decoder.3.conv.0."),
            Prefix("taesd_encoder.0."),
        ],
        lacks: &[],
    },
    // The author's own files hold one half each.
    Signature {
        answer: Vae { family: Some("TAESD"), latents: ("1.weight", 1), serves: KL },
        has: &[
            Shape("1.weight", &[64, ANY, 3, 3]),
            Shape("3.conv.0.weight", &[64, 64, 3, 3]),
            Shape("18.conv.0.weight", &[64, 64, 3, 3]),
        ],
        lacks: &[],
    },
    Signature {
        answer: Vae { family: Some("TAESD"), latents: ("14.weight", 0), serves: KL },
        has: &[
            Shape("0.weight", &[64, 3, 3, 3]),
            Shape("1.conv.0.weight", &[64, 64, 3, 3]),
            Shape("14.weight", &[ANY, 64, 3, 3]),
        ],
        lacks: &[],
    },
];

pub(super) fn find(listing: &Listing<'_>) -> Option<Finding> {
    PREFIXES.iter().find_map(|prefix| {
        let scope = listing.scope(prefix);
        if !prefix.is_empty() && !scope.any("") {
            return None;
        }
        of_scope(&scope).or_else(|| of_other_codec(&scope))
    })
}

fn of_scope(scope: &Scope<'_>) -> Option<Finding> {
    let vae = KINDS.iter().find(|kind| kind.fits(scope))?.answer;
    let (name, axis) = vae.latents;
    let latents = scope.dim(name, axis).and_then(|channels| u32::try_from(channels).ok());
    let serves = vae.serves.iter().find(|(channels, _)| Some(*channels) == latents);
    Some(Finding {
        family: vae.family,
        latent_channels: latents,
        serves: serves.map_or(&[], |(_, families)| families),
        ..Finding::new(ModelKind::Vae, Architecture::Unknown)
    })
}

/// Codecs that one family alone has.
fn of_other_codec(scope: &Scope<'_>) -> Option<Finding> {
    // `codebook` are the author's names, `embedding` those of diffusers.
    let has_codes = scope.has("vquantizer.codebook.weight") || scope.has("vquantizer.embedding.weight");
    let is_stage_a = has_codes && scope.any("in_block.1.") && scope.any("out_block.0.");
    if is_stage_a {
        let serves: &[Architecture] = &[Architecture::StableCascade, Architecture::Wuerstchen];
        return Some(Finding {
            latent_channels: Some(4),
            serves,
            ..Finding::new(ModelKind::Vae, Architecture::Unknown)
        });
    }
    let is_oobleck =
        scope.any("decoder.layers.0.") && scope.any("decoder.layers.1.layers.") && scope.any("encoder.layers.");
    is_oobleck.then(|| Finding::named(ModelKind::Vae, "a sound codec"))
}
