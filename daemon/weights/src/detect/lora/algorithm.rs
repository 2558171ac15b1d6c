//! What a tensor is to its adapter, and which algorithm a set of tensors is.
//!
//! Names: those of [`crate::adapter`], and of what the engine does not apply: OFT, (IA)³ and GLoRA of KohakuBlueleaf/LyCORIS
//! `lycoris/modules/` (each `weight_list`) at f49d30d6, XLabs-AI's FLUX.1 adapters, as Comfy-Org/ComfyUI `comfy/lora.py` and
//! `comfy/weight_adapter/` at a125cd84 and diffusers `src/diffusers/loaders/lora_conversion_utils.py` at 58eb52c0 read them.

use crate::adapter::{DOWN, Piece, Role, Term, UP, module_and_role};
use crate::shapes::split_last;

/// What a tensor of an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// One of those that the engine applies.
    Role(Role),
    Oft,
    Ia3,
    /// A vector that belongs to (IA)³ if anything of it is there.
    Vector,
    /// The half of a GLoRA term that takes inputs.
    GloraDown,
    GloraOther,
}

/// The module and what the tensor is to it. A module of XLabs' keeps its processor's name, which no layer stands behind.
///
/// Asked of every tensor of every file, so the last word of a name decides first: most are no adapter's.
pub(super) fn part_of(name: &str) -> Option<(&str, Part)> {
    let (module, leaf) = split_last(name)?;
    let part = match leaf {
        "bias" => return None,
        "weight" => return weight_of(name, module),
        "oft_blocks" | "oft_diag" | "oft_R" => Part::Oft,
        "on_input" => Part::Ia3,
        _ => return module_and_role(name).map(|(module, role)| (module, Part::Role(role))),
    };
    Some((module, part))
}

/// The same for names that end in `.weight`.
fn weight_of<'n>(name: &'n str, stem: &'n str) -> Option<(&'n str, Part)> {
    let (module, leaf) = split_last(stem).unwrap_or(("", stem));
    let glora = match leaf {
        "a1" | "b1" => Some(Part::GloraOther),
        "a2" | "b2" => Some(Part::GloraDown),
        // XLabs numbers the adapters of the two streams of a block.
        "down" if is_xlabs(module) => return Some((module, Part::Role(DOWN))),
        "up" if is_xlabs(module) => return Some((module, Part::Role(UP))),
        "lora_down"
        | "lora_up"
        | "lora_mid"
        | "lora_A"
        | "lora_B"
        | "default"
        | "down"
        | "up"
        | "lora_magnitude_vector" => {
            return module_and_role(name).map(|(module, role)| (module, Part::Role(role)));
        }
        _ => None,
    };
    match glora {
        Some(part) => Some((module, part)),
        // A layer of (IA)³ has one vector called `weight`; only its neighbour `on_input` tells what it is.
        None => name.starts_with("lora_").then_some((stem, Part::Vector)),
    }
}

fn is_xlabs(module: &str) -> bool {
    ["_lora1", "_lora2"].iter().any(|ending| module.ends_with(ending)) && module.contains(".processor.")
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
            Part::Role(Role::Lora(piece)) => {
                self.products += 1;
                if piece == Piece::Right {
                    self.convolutions |= matches!(shape, [_, _, height, width, ..] if *height > 1 || *width > 1);
                    self.see_rank(shape.first());
                }
            }
            Part::Role(Role::Alpha) => self.alpha = true,
            Part::Role(Role::Loha(term, piece)) => {
                self.loha += 1;
                if (term, piece) == (Term::First, Piece::Right) {
                    self.see_rank(shape.first());
                }
            }
            Part::Role(Role::Lokr(term, piece)) => {
                self.lokr += 1;
                if (term, piece) == (Term::Second, Piece::Right) {
                    self.see_rank(shape.first());
                }
            }
            Part::Role(Role::Magnitude | Role::RowMagnitude) => self.dora = true,
            Part::Role(Role::Difference | Role::BiasDifference) => self.differences += 1,
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
