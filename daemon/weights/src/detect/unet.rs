//! The UNet families: Stable Diffusion 1.x, 2.x, XL and its relatives, in LDM and in diffusers names.
//!
//! At real size the width of the text states decides (768, 1024, 2048, 1280), together with the size of the added
//! embedding and how deep the transformers of each level are, which is all that tells XL from what was cut out of it.
//! A network narrower than the real ones (fewer than 320 channels at full resolution) is a scaled-down model of test
//! suites; its widths mean nothing, so it is judged by structure alone. 1.x: convolutions for `proj_in`, no added
//! embedding, attention in all levels but the last, one transformer block each, and if a text encoder is inside, that of
//! CLIP, as wide as the attention expects. 2.x and XL: linear layers for `proj_in`, and the text encoders of the family
//! inside.
//!
//! Depths and widths are those of Comfy-Org/ComfyUI `comfy/model_detection.py` at a125cd84
//! (`unet_config_from_diffusers_unet`, where the depths of the way up are read from the end of their list).

use super::{Answer, Finding, Scope, variant};
use paintbox_domain::{Architecture, ModelKind};

const FULL_SIZE_CHANNELS: usize = 320;

/// What the names and shapes say, in either naming.
#[derive(Debug, Default)]
struct Facts {
    first_channels: usize,
    in_channels: usize,
    /// Inputs of the embedding that XL adds to the timestep's.
    added_embedding: Option<usize>,
    /// A table of classes, as the x4 upscaler has for noise levels.
    class_table: bool,
    context: Option<usize>,
    projection_rank: Option<usize>,
    /// Transformer blocks of each level's spatial transformers, from the highest resolution.
    depths: Vec<usize>,
    /// Transformer blocks in the middle.
    middle: usize,
    video: bool,
    /// Attention to the embedding of an image, as Kandinsky 2 has.
    image_embedding: bool,
    tower: Tower,
}

/// The text encoder in the same file.
#[derive(Debug, Default, PartialEq, Eq)]
enum Tower {
    #[default]
    Absent,
    Clip {
        width: usize,
    },
    OpenClip,
    /// CLIP and OpenCLIP, as XL has.
    Two,
    /// OpenCLIP where XL keeps the first of its two.
    Refiner,
    Other,
}

pub(super) fn find(scope: &Scope<'_>) -> Option<Finding> {
    // A ControlNet has the way down only.
    let is_whole = scope.any("output_blocks.") || scope.any("up_blocks.");
    let facts = if is_whole { ldm_facts(scope).or_else(|| diffusers_facts(scope))? } else { return None };
    let mut finding = Finding::of(ModelKind::Network, answer(&facts));
    finding.in_channels = u32::try_from(facts.in_channels).ok();
    Some(variant::of_unet(scope, finding))
}

/// The architecture that a ControlNet is for: the same facts, from the way down alone.
pub(super) fn of_control(scope: &Scope<'_>) -> Option<Architecture> {
    let facts = ldm_facts(scope).or_else(|| diffusers_facts(scope))?;
    // Small ControlNets of XL leave transformers out; the added embedding stays.
    let is_xl_without_transformers = facts.added_embedding == Some(2816)
        && facts.first_channels == FULL_SIZE_CHANNELS
        && match facts.context {
            None => facts.depths == [0, 0, 0],
            Some(context) => context == 2048 && matches!(facts.depths.as_slice(), [0, 0, 1]),
        };
    Some(if is_xl_without_transformers { Architecture::Sdxl } else { answer(&facts).architecture })
}

fn answer(facts: &Facts) -> Answer {
    if facts.image_embedding {
        return Answer::of(Architecture::Kandinsky2);
    }
    if facts.video {
        return match (facts.added_embedding, facts.context, facts.in_channels) {
            (Some(768), Some(1024), 8) => Answer::of(Architecture::Svd),
            _ => Answer::named("a video UNet"),
        };
    }
    let is_full_size = facts.first_channels == FULL_SIZE_CHANNELS;
    match (facts.added_embedding, facts.context) {
        (Some(2816), Some(2048)) if is_full_size => return of_xl(facts),
        (Some(5632), Some(2048)) if is_full_size && facts.depths == [0, 2, 10] => {
            return Answer::of(Architecture::Kolors);
        }
        (Some(2560), Some(1280)) if facts.first_channels == 384 && facts.depths == [0, 4, 4, 0] => {
            return Answer::of(Architecture::SdxlRefiner);
        }
        // Noise levels and image embeddings of CLIP-H and CLIP-L.
        (Some(1536 | 2048), Some(1024)) if is_full_size => return Answer::of(Architecture::Sd2Unclip),
        (Some(_), _) => return scaled_down_xl(facts),
        (None, _) => {}
    }
    if facts.class_table {
        return match (facts.first_channels, facts.in_channels, facts.context) {
            (256, 7, Some(1024)) => Answer::of(Architecture::SdX4Upscaler),
            _ => Answer::UNKNOWN,
        };
    }
    if facts.tower == Tower::Other {
        return Answer::named("a UNet with a text encoder other than CLIP");
    }
    let (Some(context), Some(projection_rank)) = (facts.context, facts.projection_rank) else {
        return Answer::UNKNOWN;
    };
    let is_whole = facts.depths == [1, 1, 1, 0] && facts.middle == 1;
    match (projection_rank, context) {
        (4, 768) if is_full_size && is_whole && facts.tower != Tower::OpenClip => Answer::of(Architecture::Sd1),
        (2, 1024) if is_full_size && is_whole && !matches!(facts.tower, Tower::Clip { .. }) => {
            Answer::of(Architecture::Sd2)
        }
        (4, 768) if is_full_size => Answer::named("a Stable Diffusion 1.x with blocks taken out"),
        (4, _) if is_scaled_down_sd1(facts, context) => Answer::of(Architecture::Sd1),
        (2, _) if facts.is_scaled_down() && is_whole && facts.tower == Tower::OpenClip => Answer::of(Architecture::Sd2),
        _ => Answer::UNKNOWN,
    }
}

/// XL and what was distilled from it with blocks taken out; adapters of one do not fit the others.
fn of_xl(facts: &Facts) -> Answer {
    match (facts.depths.as_slice(), facts.middle) {
        ([0, 2, 10], 10) => Answer::of(Architecture::Sdxl),
        ([0, 2, 4], 0) => Answer::of(Architecture::Ssd1b),
        ([0, 1, 2], 0) => Answer::of(Architecture::SegmindVega),
        ([0, 2, 5], 0) | ([0, 2, 6], 6) => Answer::of(Architecture::Koala),
        _ => Answer::named("a relative of Stable Diffusion XL"),
    }
}

fn is_scaled_down_sd1(facts: &Facts, context: usize) -> bool {
    let fits_tower = match facts.tower {
        Tower::Absent => true,
        Tower::Clip { width } => width == context,
        Tower::OpenClip | Tower::Two | Tower::Refiner | Tower::Other => false,
    };
    facts.is_scaled_down() && facts.depths == [1, 1, 1, 0] && facts.middle <= 1 && fits_tower
}

fn scaled_down_xl(facts: &Facts) -> Answer {
    let is_whole = facts.middle > 0;
    match (&facts.tower, facts.depths.as_slice()) {
        _ if !facts.is_scaled_down() || facts.projection_rank != Some(2) => Answer::UNKNOWN,
        (Tower::Two, [0, _, _]) => Answer::of(if is_whole { Architecture::Sdxl } else { Architecture::Ssd1b }),
        (Tower::Refiner, [0, _, _, 0]) if is_whole => Answer::of(Architecture::SdxlRefiner),
        _ => Answer::UNKNOWN,
    }
}

const LAST_INDEX: usize = 32;

fn ldm_facts(scope: &Scope<'_>) -> Option<Facts> {
    let &[first_channels, in_channels, _, _] = scope.shape("input_blocks.0.0.weight")? else { return None };
    if !scope.has("time_embed.0.weight") {
        return None;
    }
    let mut facts = Facts {
        first_channels,
        in_channels,
        added_embedding: scope.dim("label_emb.0.0.weight", 1),
        class_table: scope.has("label_emb.weight"),
        video: scope.any("input_blocks.1.0.time_stack.") || scope.any("input_blocks.1.0.temopral_conv."),
        tower: tower(scope),
        ..Facts::default()
    };
    let mut level_depth = 0;
    let mut at_level_start = true;
    for index in 1..=LAST_INDEX {
        let block = format!("input_blocks.{index}");
        if scope.has(&format!("{block}.0.op.weight")) {
            facts.depths.push(level_depth);
            (level_depth, at_level_start) = (0, true);
        } else if scope.has(&format!("{block}.0.in_layers.2.weight")) {
            level_depth = level_depth.max(facts.see_attention(scope, &format!("{block}.1")));
            at_level_start = false;
        } else {
            break;
        }
    }
    if !at_level_start {
        facts.depths.push(level_depth);
    }
    facts.middle = facts.see_attention(scope, "middle_block.1");
    Some(facts)
}

fn diffusers_facts(scope: &Scope<'_>) -> Option<Facts> {
    let &[first_channels, in_channels, _, _] = scope.shape("conv_in.weight")? else { return None };
    let has_blocks = ["conv1.weight", "spatial_res_block.conv1.weight"]
        .iter()
        .any(|leaf| scope.has(&format!("down_blocks.0.resnets.0.{leaf}")));
    if !scope.has("time_embedding.linear_1.weight") || !has_blocks {
        return None;
    }
    let mut facts = Facts {
        first_channels,
        in_channels,
        added_embedding: scope
            .dim("add_embedding.linear_1.weight", 1)
            .or_else(|| scope.dim("class_embedding.linear_1.weight", 1)),
        class_table: scope.has("class_embedding.weight"),
        video: scope.any("down_blocks.0.motion_modules.")
            || scope.any("down_blocks.0.temp_convs.")
            || scope.any("down_blocks.0.resnets.0.temporal_res_block."),
        image_embedding: scope.has("add_embedding.image_proj.weight")
            && scope.has("encoder_hid_proj.image_embeds.weight"),
        ..Facts::default()
    };
    for level in 0..=LAST_INDEX {
        if !scope.any(&format!("down_blocks.{level}.resnets.")) {
            break;
        }
        let depth = facts.see_attention(scope, &format!("down_blocks.{level}.attentions.0"));
        facts.depths.push(depth);
    }
    facts.middle = facts.see_attention(scope, "mid_block.attentions.0");
    Some(facts)
}

impl Facts {
    fn is_scaled_down(&self) -> bool {
        self.first_channels < FULL_SIZE_CHANNELS && matches!(self.in_channels, 4 | 8 | 9)
    }

    /// Notes what a spatial transformer at `place` shows; gives the number of its blocks.
    fn see_attention(&mut self, scope: &Scope<'_>, place: &str) -> usize {
        if !scope.any(&format!("{place}.transformer_blocks.")) {
            return 0;
        }
        let depth =
            (0..LAST_INDEX).take_while(|block| scope.any(&format!("{place}.transformer_blocks.{block}."))).count();
        let key = format!("{place}.transformer_blocks.0.attn2.to_k.weight");
        self.context = self.context.or_else(|| scope.dim(&key, 1));
        let projection = scope.shape(&format!("{place}.proj_in.weight"));
        self.projection_rank = self.projection_rank.or_else(|| projection.map(<[usize]>::len));
        depth
    }
}

/// The text encoder beside an LDM UNet. It lies outside the network's own prefix.
fn tower(scope: &Scope<'_>) -> Tower {
    let whole = scope.listing.scope("cond_stage_model.");
    let embedders = scope.listing.scope("conditioner.embedders.");
    let width = whole
        .dim("transformer.text_model.embeddings.token_embedding.weight", 1)
        .or_else(|| whole.dim("transformer.embeddings.token_embedding.weight", 1));
    match width {
        Some(width) => Tower::Clip { width },
        None if whole.any("model.") => Tower::OpenClip,
        None if whole.any("transformer.") || whole.any("roberta.") => Tower::Other,
        None => match ["0.transformer.", "1.model.", "0.model."].map(|tower| embedders.any(tower)) {
            [true, true, _] => Tower::Two,
            [false, false, true] => Tower::Refiner,
            _ => Tower::Absent,
        },
    }
}
