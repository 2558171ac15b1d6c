//! The layers that an adapter changes, gathered in one pass over its names.
//!
//! A name is brought to one spelling (dots become underscores, numbers that stand alone become `#`), because trainers
//! write `double_blocks.0.img_attn.qkv` and `double_blocks_0_img_attn_qkv` alike. An adapter of a thousand modules has a
//! few dozen spellings then, so that questions about them cost next to nothing.

use super::algorithm::Part;
use crate::adapter::{DOWN, Piece, Role, Term};
use std::collections::BTreeMap;

/// The half of a LoHa that says how many inputs there are.
const LOHA_DOWN: Role = Role::Loha(Term::First, Piece::Right);

/// What is known of the layers of one spelling.
#[derive(Debug, Clone, Copy)]
struct Layer {
    /// The part of the model it belongs to.
    target: &'static str,
    modules: u32,
    /// Inputs, of the first that says so.
    inputs: Option<usize>,
    /// The largest number in the name's first place.
    last: usize,
}

#[derive(Debug, Default)]
pub(super) struct Layers {
    spellings: BTreeMap<String, Layer>,
    /// A spelling that only the whole of XL has, see [`is_deep_place`].
    deep: bool,
    /// Whether any spatial transformer has more than one block.
    several_blocks: bool,
    /// Inputs of the first convolution before attention in the highest resolution.
    first_projection: Option<usize>,
    /// Inputs of the first Kronecker factor of the module that is being read.
    kronecker: Option<usize>,
    /// The buffers that spellings are made in, and the module of the last tensor.
    spelling: String,
    previous: String,
}

impl Layers {
    pub(super) fn see(&mut self, module: &str, part: Part, shape: &[usize]) {
        let is_new = self.previous != module;
        if is_new {
            self.previous.clear();
            self.previous.push_str(module);
            self.kronecker = None;
            self.see_place(module, shape);
        } else if !says_inputs(part) {
            // The other halves of a product have nothing to add.
            return;
        }
        let first_number = spell(without_prefix(module), &mut self.spelling).unwrap_or(0);
        let inputs = self.inputs(part, shape);
        if let Some(layer) = self.spellings.get_mut(&self.spelling) {
            layer.modules = layer.modules.saturating_add(u32::from(is_new));
            layer.inputs = layer.inputs.or(inputs);
            layer.last = layer.last.max(first_number);
        } else {
            let layer = Layer { target: target(module), modules: 1, inputs, last: first_number };
            self.spellings.insert(self.spelling.clone(), layer);
        }
    }

    /// What a tensor says of its layer's inputs: `[rank, in, …]` of a first factor, `[out, in, …]` of a difference, and
    /// the product of both factors' of a Kronecker product.
    fn inputs(&mut self, part: Part, shape: &[usize]) -> Option<usize> {
        let second = shape.get(1).copied();
        match part {
            Part::Role(DOWN | LOHA_DOWN | Role::Difference | Role::BiasDifference) | Part::GloraDown => second,
            Part::Role(Role::Lokr(Term::First, Piece::Whole | Piece::Right)) => {
                self.kronecker = second;
                None
            }
            Part::Role(Role::Lokr(Term::Second, Piece::Whole | Piece::Right)) => self.kronecker?.checked_mul(second?),
            _ => None,
        }
    }

    /// Notes what the number of a block says, which the one spelling leaves out.
    fn see_place(&mut self, module: &str, shape: &[usize]) {
        let Some((place, block)) = module.split_once("transformer_blocks") else {
            const FIRST: [&str; 3] = [
                "down_blocks_0_attentions_0_proj_in",
                "down_blocks.0.attentions.0.proj_in",
                "input_blocks_1_1_proj_in",
            ];
            if self.first_projection.is_none()
                && let [_, width, 1, 1] = shape
                && FIRST.iter().any(|first| module.contains(first))
            {
                self.first_projection = Some(*width);
            }
            return;
        };
        let mut number = block.split(['_', '.']).skip(1);
        match number.next() {
            Some("0") | None => {}
            Some("9") => {
                self.several_blocks = true;
                self.deep |= is_deep_place(place);
            }
            Some(_) => self.several_blocks = true,
        }
    }

    /// Whether something is adapted that SDXL alone has.
    pub(super) fn is_deep(&self) -> bool {
        self.deep
    }

    pub(super) fn has_several_blocks(&self) -> bool {
        self.several_blocks
    }

    pub(super) fn first_projection(&self) -> Option<usize> {
        self.first_projection
    }

    /// Whether a spelling contains this.
    pub(super) fn has(&self, part: &str) -> bool {
        self.spellings.keys().any(|spelling| spelling.contains(part))
    }

    /// Whether a spelling ends with this.
    pub(super) fn ends(&self, part: &str) -> bool {
        self.spellings.keys().any(|spelling| spelling.ends_with(part))
    }

    pub(super) fn all_begin(&self, part: &str) -> bool {
        !self.spellings.is_empty() && self.spellings.keys().all(|spelling| spelling.starts_with(part))
    }

    /// The inputs of the first layer whose spelling contains this and that says them.
    pub(super) fn width(&self, part: &str) -> Option<usize> {
        self.spellings.iter().filter(|(spelling, _)| spelling.contains(part)).find_map(|(_, layer)| layer.inputs)
    }

    /// The largest number of the blocks whose spelling contains this.
    pub(super) fn last(&self, part: &str) -> Option<usize> {
        self.spellings.iter().filter(|(spelling, _)| spelling.contains(part)).map(|(_, layer)| layer.last).max()
    }

    /// The same, leaving out spellings that contain `without`.
    pub(super) fn last_without(&self, part: &str, without: &str) -> Option<usize> {
        let spellings =
            self.spellings.iter().filter(|(spelling, _)| spelling.contains(part) && !spelling.contains(without));
        spellings.map(|(_, layer)| layer.last).max()
    }

    pub(super) fn targets(&self) -> Vec<(&'static str, u32)> {
        let mut sums: BTreeMap<&'static str, u32> = BTreeMap::new();
        for layer in self.spellings.values() {
            let sum = sums.entry(layer.target).or_default();
            *sum = sum.saturating_add(layer.modules);
        }
        sums.into_iter().collect()
    }
}

/// Where ten transformer blocks stand in XL and in nothing cut out of it: the way down, the middle, and the first two
/// places of the way up. SSD-1B has ten in the third alone (ComfyUI `comfy/model_detection.py` at a125cd84, `SSD_1B`, whose
/// `transformer_depth_output` is read from its end).
fn is_deep_place(place: &str) -> bool {
    const DEEP: [&str; 7] = [
        "down_blocks_2_attentions_",
        "input_blocks_7_1",
        "input_blocks_8_1",
        "mid_block_attentions_0",
        "middle_block_1",
        "up_blocks_0_attentions_0",
        "up_blocks_0_attentions_1",
    ];
    let place = place.replace('.', "_");
    DEEP.iter().any(|deep| place.contains(deep))
        || ["output_blocks_0_1", "output_blocks_1_1"].iter().any(|deep| place.contains(deep))
}

fn says_inputs(part: Part) -> bool {
    matches!(
        part,
        Part::Role(
            DOWN | LOHA_DOWN | Role::Difference | Role::BiasDifference | Role::Lokr(_, Piece::Whole | Piece::Right)
        ) | Part::GloraDown
    )
}

/// A layer's name without what says only that it is one of the denoising network's.
fn without_prefix(module: &str) -> &str {
    const PREFIXES: [&str; 9] = [
        "base_model.model.",
        "model.diffusion_model.",
        "diffusion_model.",
        "transformer.",
        "unet.",
        "lora_unet_",
        "lora_transformer_",
        "lycoris_",
        "net.",
    ];
    PREFIXES.iter().find_map(|prefix| module.strip_prefix(prefix)).unwrap_or(module)
}

/// Writes a name's one spelling into `into`; gives the first number in it.
fn spell(whole: &str, into: &mut String) -> Option<usize> {
    into.clear();
    let (mut first, mut rest) = (None, Some(whole));
    while let Some(name) = rest {
        if name.len() < whole.len() {
            into.push('_');
        }
        let end = name.bytes().position(|byte| matches!(byte, b'.' | b'_')).unwrap_or(name.len());
        let segment = name.get(..end).unwrap_or(name);
        rest = name.get(end + 1..);
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            // Text encoders and experts have numbers in other places; the first is the block's.
            first = first.or_else(|| segment.parse().ok());
            into.push('#');
        } else {
            into.push_str(segment);
        }
    }
    first
}

/// Which part of a model a module belongs to.
fn target(module: &str) -> &'static str {
    const ENCODERS: [(&str, &str); 9] = [
        ("lora_te1_", "text_encoder"),
        ("lora_te2_", "text_encoder_2"),
        ("lora_te3_", "text_encoder_3"),
        ("lora_te_", "text_encoder"),
        ("text_encoder_3.", "text_encoder_3"),
        ("text_encoder_2.", "text_encoder_2"),
        ("text_encoder.", "text_encoder"),
        ("text_encoders.", "text_encoder"),
        ("te.", "text_encoder"),
    ];
    const PLACES: [(&str, &str); 14] = [
        ("down_blocks", "down"),
        ("input_blocks", "down"),
        ("mid_block", "middle"),
        ("middle_block", "middle"),
        ("up_blocks", "up"),
        ("output_blocks", "up"),
        ("single_", "single"),
        ("double_", "double"),
        ("joint_", "double"),
        ("transformer_blocks", "blocks"),
        ("blocks", "blocks"),
        ("layers", "blocks"),
        ("llm_adapter", "other"),
        ("block", "blocks"),
    ];
    if let Some((_, part)) = ENCODERS.iter().find(|(prefix, _)| module.starts_with(prefix)) {
        return part;
    }
    PLACES.iter().find(|(place, _)| module.contains(place)).map_or("other", |(_, part)| part)
}
