//! What a tensor is to its adapter, and which algorithm a set of tensors is.
//!
//! Names: kohya-ss/sd-scripts `networks/lora.py`, KohakuBlueleaf/LyCORIS `lycoris/modules`, huggingface/peft, XLabs-AI's
//! FLUX.1 adapters, as ComfyUI `comfy/lora.py` and diffusers `loaders/lora_conversion_utils.py` (58eb52c0) read them.

use crate::adapter::{Role, module_and_role};

/// What a tensor of an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Half of a product, its middle, or a scale.
    Role(Role),
    LohaDown,
    LohaOther,
    /// The first factor of a Kronecker product, whole or the half of it that takes inputs.
    LokrFirst,
    /// The second factor whole.
    LokrSecond,
    /// The half of the second factor that takes inputs.
    LokrDown,
    LokrOther,
    DoraScale,
    Difference,
    Oft,
    Ia3,
    /// A vector that belongs to (IA)³ if anything of it is there.
    Vector,
    /// The half of a GLoRA term that takes inputs.
    GloraDown,
    GloraOther,
}

/// Leaves of names beside plain LoRA's, without their dot.
const LEAVES: [(&str, Part); 31] = [
    ("hada_w1_b", Part::LohaDown),
    ("hada_w1_a", Part::LohaOther),
    ("hada_w2_a", Part::LohaOther),
    ("hada_w2_b", Part::LohaOther),
    ("hada_t1", Part::LohaOther),
    ("hada_t2", Part::LohaOther),
    ("lokr_w1", Part::LokrFirst),
    ("lokr_w1_a", Part::LokrOther),
    ("lokr_w1_b", Part::LokrFirst),
    ("lokr_w2", Part::LokrSecond),
    ("lokr_w2_a", Part::LokrOther),
    ("lokr_w2_b", Part::LokrDown),
    ("lokr_t2", Part::LokrOther),
    ("dora_scale", Part::DoraScale),
    ("lora_magnitude_vector", Part::DoraScale),
    ("diff", Part::Difference),
    ("diff_b", Part::Difference),
    ("w_norm", Part::Difference),
    ("b_norm", Part::Difference),
    ("oft_blocks", Part::Oft),
    ("oft_diag", Part::Oft),
    ("oft_R", Part::Oft),
    ("on_input", Part::Ia3),
    ("a1.weight", Part::GloraOther),
    ("a2.weight", Part::GloraDown),
    ("b1.weight", Part::GloraOther),
    ("b2.weight", Part::GloraDown),
    // XLabs numbers the adapters of the two streams of a block.
    ("qkv_lora1.down.weight", Part::Role(Role::Down)),
    ("qkv_lora2.down.weight", Part::Role(Role::Down)),
    ("proj_lora1.down.weight", Part::Role(Role::Down)),
    ("proj_lora2.down.weight", Part::Role(Role::Down)),
];

/// Up halves of the same.
const XLABS_UP: [&str; 4] =
    ["qkv_lora1.up.weight", "qkv_lora2.up.weight", "proj_lora1.up.weight", "proj_lora2.up.weight"];

/// The module and what the tensor is to it. A module keeps the name of XLabs' processors, which has no layer behind it.
pub(super) fn part_of(name: &str) -> Option<(&str, Part)> {
    if let Some((module, role)) = module_and_role(name) {
        return Some((module, Part::Role(role)));
    }
    // Norms of a kohya file have an underscore where their siblings have a dot, so the dot is part of the leaf here.
    if let Some((leaf, part)) = LEAVES.iter().find(|(leaf, _)| ends_with_leaf(name, leaf)) {
        let is_xlabs = matches!(part, Part::Role(_));
        let end = name.len() - leaf.len() - usize::from(!is_xlabs);
        let module = if is_xlabs { name } else { &name[..end] };
        return Some((module, *part));
    }
    if XLABS_UP.iter().any(|leaf| ends_with_leaf(name, leaf)) {
        return Some((name, Part::Role(Role::Up)));
    }
    // A layer of (IA)³ has one vector called `weight`; only its neighbour `on_input` tells what it is.
    let module = name.strip_prefix("lora_").and_then(|_| name.strip_suffix(".weight"))?;
    Some((module, Part::Vector))
}

fn ends_with_leaf(name: &str, leaf: &str) -> bool {
    name.len() > leaf.len() && name.ends_with(leaf) && name.as_bytes().get(name.len() - leaf.len() - 1) == Some(&b'.')
}

/// Which parts were seen, and how wide.
#[derive(Debug, Default)]
pub(super) struct Seen {
    tensors: usize,
    products: usize,
    convolutions: bool,
    loha: usize,
    lokr: usize,
    dora: bool,
    differences: usize,
    oft: usize,
    ia3: usize,
    glora: usize,
    alpha: bool,
    lowest_rank: Option<usize>,
    highest_rank: Option<usize>,
}

impl Seen {
    pub(super) fn see(&mut self, part: Part, shape: &[usize]) {
        self.tensors += 1;
        match part {
            Part::Role(Role::Down) => {
                self.products += 1;
                self.convolutions |= matches!(shape, [_, _, height, width, ..] if *height > 1 || *width > 1);
                self.see_rank(shape.first());
            }
            Part::Role(Role::Up | Role::Mid) => self.products += 1,
            Part::Role(Role::Alpha) => self.alpha = true,
            Part::LohaDown => {
                self.loha += 1;
                self.see_rank(shape.first());
            }
            Part::LohaOther => self.loha += 1,
            Part::LokrDown => {
                self.lokr += 1;
                self.see_rank(shape.first());
            }
            Part::LokrFirst | Part::LokrSecond | Part::LokrOther => self.lokr += 1,
            Part::DoraScale => self.dora = true,
            Part::Difference => self.differences += 1,
            Part::Oft => self.oft += 1,
            Part::Ia3 => self.ia3 += 1,
            Part::Vector => {}
            Part::GloraDown => {
                self.glora += 1;
                self.see_rank(shape.first());
            }
            Part::GloraOther => self.glora += 1,
        }
    }

    fn see_rank(&mut self, rank: Option<&usize>) {
        let Some(&rank) = rank.filter(|rank| **rank > 0) else { return };
        self.lowest_rank = Some(self.lowest_rank.map_or(rank, |lowest| lowest.min(rank)));
        self.highest_rank = Some(self.highest_rank.map_or(rank, |highest| highest.max(rank)));
    }

    /// Whether anything was seen that only an adapter has; scales alone are left over from somewhere.
    pub(super) fn is_any(&self) -> bool {
        self.products + self.loha + self.lokr + self.oft + self.ia3 + self.glora + self.differences > 0 || self.dora
    }

    pub(super) fn tensors(&self) -> usize {
        self.tensors
    }

    pub(super) fn has_alpha(&self) -> bool {
        self.alpha
    }

    pub(super) fn ranks(&self) -> Option<(u32, u32)> {
        Some((u32::try_from(self.lowest_rank?).ok()?, u32::try_from(self.highest_rank?).ok()?))
    }

    pub(super) fn name(&self) -> &'static str {
        let product = match (self.dora, self.convolutions) {
            (true, _) => "dora",
            (false, true) => "locon",
            (false, false) => "lora",
        };
        let all = [
            (self.products, product),
            (self.loha, "loha"),
            (self.lokr, "lokr"),
            (self.oft, "oft"),
            (self.ia3, "ia3"),
            (self.glora, "glora"),
        ];
        let mut used = all.iter().filter(|(count, _)| *count > 0);
        match (used.next(), used.next()) {
            // Differences of biases and norms accompany the other algorithms; alone they are one of their own.
            (None, _) => "full",
            (Some((_, name)), None) => name,
            (Some(_), Some(_)) => "mixed",
        }
    }
}
