//! The UNet families: Stable Diffusion 1.x, 2.x, XL and its refiner, in LDM and in diffusers names.
//!
//! At real size the width of the text states decides (768, 1024, 2048, 1280), together with the size of the added
//! embedding. A network narrower than the real ones (fewer than 320 channels at full resolution) is a scaled-down
//! model of test suites; its widths mean nothing, so it is judged by structure alone: convolutions for `proj_in`
//! (2.x and XL have linear layers), no added embedding, attention in all levels but the last, one transformer block
//! each, and if a text encoder is inside, that of CLIP, as wide as the attention expects.

use super::{Finding, Scope};
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
    /// Attention level by level, from the highest resolution.
    attention: Vec<bool>,
    deepest_transformer: usize,
    video: bool,
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
    Other,
}

pub(super) fn find(scope: &Scope<'_, '_>) -> Option<Finding> {
    // A ControlNet has the way down only.
    let is_whole = scope.any("output_blocks.") || scope.any("up_blocks.");
    let facts = if is_whole { ldm_facts(scope).or_else(|| diffusers_facts(scope))? } else { return None };
    Some(judge(&facts, ModelKind::Network))
}

/// The architecture that a ControlNet is for: the same facts, from the way down alone.
pub(super) fn of_control(scope: &Scope<'_, '_>) -> Option<Architecture> {
    let facts = ldm_facts(scope).or_else(|| diffusers_facts(scope))?;
    Some(judge(&facts, ModelKind::ControlNet).architecture)
}

fn judge(facts: &Facts, kind: ModelKind) -> Finding {
    let in_channels = u32::try_from(facts.in_channels).ok();
    let (architecture, family) = architecture(facts);
    Finding { kind, architecture, family, in_channels }
}

fn architecture(facts: &Facts) -> (Architecture, Option<&'static str>) {
    if facts.video {
        return (Architecture::Unknown, Some("a video UNet"));
    }
    match (facts.added_embedding, facts.context) {
        (Some(2816), Some(2048)) => return (Architecture::Sdxl, None),
        (Some(2560), Some(1280)) if facts.first_channels == 384 => return (Architecture::SdxlRefiner, None),
        (Some(5632), Some(2048)) => return (Architecture::Unknown, Some("Kolors")),
        (Some(_), Some(1024)) => return (Architecture::Unknown, Some("Stable Diffusion 2.1 unCLIP")),
        (Some(_), _) => return (Architecture::Unknown, None),
        (None, _) => {}
    }
    if facts.class_table {
        return (Architecture::Unknown, Some("the Stable Diffusion x4 upscaler"));
    }
    if facts.tower == Tower::Other {
        return (Architecture::Unknown, Some("a UNet with a text encoder other than CLIP"));
    }
    let (Some(context), Some(projection_rank)) = (facts.context, facts.projection_rank) else {
        return (Architecture::Unknown, None);
    };
    let is_full_size = facts.first_channels == FULL_SIZE_CHANNELS;
    match (projection_rank, context) {
        (4, 768) if is_full_size && facts.tower != Tower::OpenClip => (Architecture::Sd1, None),
        (2, 1024) if is_full_size && !matches!(facts.tower, Tower::Clip { .. }) => (Architecture::Sd2, None),
        (4, _) if is_scaled_down_sd1(facts, context) => (Architecture::Sd1, None),
        _ => (Architecture::Unknown, None),
    }
}

fn is_scaled_down_sd1(facts: &Facts, context: usize) -> bool {
    let fits_tower = match facts.tower {
        Tower::Absent => true,
        Tower::Clip { width } => width == context,
        Tower::OpenClip | Tower::Other => false,
    };
    facts.first_channels < FULL_SIZE_CHANNELS
        && matches!(facts.in_channels, 4 | 8 | 9)
        && facts.attention == [true, true, true, false]
        && facts.deepest_transformer == 1
        && fits_tower
}

const LAST_INDEX: usize = 32;

fn ldm_facts(scope: &Scope<'_, '_>) -> Option<Facts> {
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
    let mut level_attends = false;
    let mut at_level_start = true;
    for index in 1..=LAST_INDEX {
        let block = format!("input_blocks.{index}");
        if scope.has(&format!("{block}.0.op.weight")) {
            facts.attention.push(level_attends);
            (level_attends, at_level_start) = (false, true);
        } else if scope.has(&format!("{block}.0.in_layers.2.weight")) {
            level_attends |= facts.see_attention(scope, &format!("{block}.1"));
            at_level_start = false;
        } else {
            break;
        }
    }
    if !at_level_start {
        facts.attention.push(level_attends);
    }
    facts.see_attention(scope, "middle_block.1");
    Some(facts)
}

fn diffusers_facts(scope: &Scope<'_, '_>) -> Option<Facts> {
    let &[first_channels, in_channels, _, _] = scope.shape("conv_in.weight")? else { return None };
    if !scope.has("time_embedding.linear_1.weight") || !scope.has("down_blocks.0.resnets.0.conv1.weight") {
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
        ..Facts::default()
    };
    for level in 0..=LAST_INDEX {
        if !scope.any(&format!("down_blocks.{level}.resnets.")) {
            break;
        }
        let attends = facts.see_attention(scope, &format!("down_blocks.{level}.attentions.0"));
        facts.attention.push(attends);
    }
    facts.see_attention(scope, "mid_block.attentions.0");
    Some(facts)
}

impl Facts {
    /// Notes what a spatial transformer at `place` shows; says whether there is one.
    fn see_attention(&mut self, scope: &Scope<'_, '_>, place: &str) -> bool {
        let depth =
            (0..LAST_INDEX).take_while(|block| scope.any(&format!("{place}.transformer_blocks.{block}."))).count();
        self.deepest_transformer = self.deepest_transformer.max(depth);
        let key = format!("{place}.transformer_blocks.0.attn2.to_k.weight");
        self.context = self.context.or_else(|| scope.dim(&key, 1));
        let projection = scope.shape(&format!("{place}.proj_in.weight"));
        self.projection_rank = self.projection_rank.or_else(|| projection.map(<[usize]>::len));
        depth > 0
    }
}

/// The text encoder beside an LDM UNet. It lies outside the network's own prefix.
fn tower(scope: &Scope<'_, '_>) -> Tower {
    let whole = scope.listing.scope("cond_stage_model.");
    let width = whole
        .dim("transformer.text_model.embeddings.token_embedding.weight", 1)
        .or_else(|| whole.dim("transformer.embeddings.token_embedding.weight", 1));
    match width {
        Some(width) => Tower::Clip { width },
        None if whole.any("model.") => Tower::OpenClip,
        None if whole.any("transformer.") || whole.any("roberta.") => Tower::Other,
        None => Tower::Absent,
    }
}
