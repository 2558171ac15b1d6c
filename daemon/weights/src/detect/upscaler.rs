//! Upscalers, by the blocks that each design is made of.
//!
//! Names are those of chaiNNer-org/spandrel at b0c3eb2d (`libs/spandrel/spandrel/architectures/*/__init__.py`): ESRGAN's
//! three ages, Real-ESRGAN's compact network, SPAN, SwinIR, HAT, DAT, RealPLKSR. They serve every architecture.

use super::marks::Mark::{Either, Name, Prefix, Shape, Size};
use super::marks::{ANY, Signature};
use super::{Finding, Listing};
use paintbox_domain::ModelKind;

const fn design(
    family: &'static str,
    has: &'static [super::marks::Mark],
    lacks: &'static [&'static str],
) -> Signature<&'static str> {
    Signature { answer: family, has, lacks }
}

/// Pictures have one channel or three, and the old networks unshuffle up to sixteen pixels into channels.
const PICTURE_CHANNELS: &[usize] = &[1, 3, 4, 12, 48];

const DESIGNS: [Signature<&str>; 9] = [
    design("ESRGAN", &[Size("model.0.weight", 1, PICTURE_CHANNELS), Prefix("model.1.sub.0.RDB1.conv1.0.")], &[]),
    design(
        "ESRGAN",
        &[
            Size("conv_first.weight", 1, PICTURE_CHANNELS),
            Either(&[Name("body.0.rdb1.conv1.weight"), Name("RRDB_trunk.0.RDB1.conv1.weight")]),
        ],
        &[],
    ),
    // Convolutions and one PReLU slope per channel, all in one row.
    design(
        "compact ESRGAN",
        &[
            Shape("body.0.weight", &[ANY, 3, 3, 3]),
            Shape("body.1.weight", &[ANY]),
            Shape("body.2.weight", &[ANY, ANY, 3, 3]),
        ],
        &[],
    ),
    design(
        "SPAN",
        &[Shape("conv_1.eval_conv.weight", &[ANY, 3, 3, 3]), Prefix("block_1.c1_r."), Prefix("conv_cat.")],
        &[],
    ),
    design(
        "HAT",
        &[
            Shape("conv_first.weight", &[ANY, 3, 3, 3]),
            Prefix("layers.0.residual_group.blocks.0.attn."),
            Prefix("layers.0.residual_group.blocks.0.conv_block.cab."),
        ],
        &[],
    ),
    design(
        "SwinIR",
        &[
            Size("conv_first.weight", 1, PICTURE_CHANNELS),
            Prefix("layers.0.residual_group.blocks.0.attn.qkv."),
            Prefix("layers.0.residual_group.blocks.0.mlp.fc1."),
            Prefix("layers.0.conv."),
        ],
        &["layers.0.residual_group.blocks.0.conv_block.", "relative_position_index_OCA"],
    ),
    design(
        "DAT",
        &[
            Shape("conv_first.weight", &[ANY, 3, 3, 3]),
            Prefix("before_RG."),
            Prefix("layers.0.blocks.0.attn.channel_interaction."),
        ],
        &[],
    ),
    design(
        "RealPLKSR",
        &[Shape("feats.0.weight", &[ANY, 3, 3, 3]), Prefix("feats.1.lk.conv."), Prefix("feats.1.channel_mixer.")],
        &[],
    ),
    design("LTX latent upscaler", &[Prefix("post_upsample_res_blocks.0."), Prefix("initial_conv.")], &[]),
];

pub(super) fn find(listing: &Listing<'_>) -> Option<Finding> {
    ["", "params_ema.", "params."].iter().find_map(|prefix| {
        let scope = listing.scope(prefix);
        let family = DESIGNS.iter().find(|design| design.fits(&scope))?.answer;
        Some(Finding::named(ModelKind::Upscaler, family))
    })
}
