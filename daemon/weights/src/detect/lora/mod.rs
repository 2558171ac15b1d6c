//! LoRA files: which architecture the names and widths of the adapted layers belong to, and what is adapted how.
//!
//! A LoRA names only what it changes, so the evidence is thinner than a whole network's. In the UNet families the
//! inputs of a cross-attention key are the width of the text states, which settles it; among the transformers only
//! what one family alone has counts (`families`). Some families cannot be told apart by an adapter at all: Kolors has
//! SDXL's layers to the last width, so that an adapter of either fits both. What was declared in the metadata is kept beside
//! the answer.

mod algorithm;
mod families;
mod layers;

use super::{Finding, Listing};
use crate::adapter::Role;
use algorithm::{Part, part_of};
use layers::Layers;
use paintbox_domain::ModelKind;

/// What an adapter's header says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoraFacts {
    /// `lora`, `locon` (convolutions too), `loha`, `lokr`, `dora`, `full`, `oft`, `ia3`, `glora`, or `mixed`.
    pub algorithm: &'static str,
    /// The smallest and the largest rank of its modules; `None` where the algorithm has no rank.
    pub ranks: Option<(u32, u32)>,
    /// Whether modules bring scales of their own (`alpha`); their values are no part of a header.
    pub has_alpha: bool,
    /// Modules by the part that they change: `text_encoder`, `text_encoder_2`, `text_encoder_3`, and of the network
    /// `down`, `middle`, `up`, `double`, `single`, `blocks` or `other`. Sorted by name.
    pub targets: Vec<(&'static str, u32)>,
}

/// Everything that an adapter's names say.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) finding: Finding,
    pub(super) facts: LoraFacts,
}

pub(super) fn find(listing: &Listing<'_>) -> Option<Found> {
    // A checkpoint with a stray adapter tensor is still a checkpoint.
    if listing.has("model.diffusion_model.input_blocks.0.0.weight") {
        return None;
    }
    let mut layers = Layers::default();
    let mut algorithms = algorithm::Seen::default();
    let mut others = 0_usize;
    for (name, shape) in listing.tensors() {
        match part_of(name) {
            Some((module, part)) => {
                algorithms.see(part, shape);
                if part == Part::Role(Role::Alpha) {
                    continue;
                }
                layers.see(module, part, shape);
            }
            None => others += 1,
        }
    }
    // What is mostly something else is something else: a model with one adapter's tensors left in it.
    if !algorithms.is_any() || others > algorithms.tensors() {
        return None;
    }
    let answer = families::answer(&layers);
    let facts = LoraFacts {
        algorithm: algorithms.name(),
        ranks: algorithms.ranks(),
        has_alpha: algorithms.has_alpha(),
        targets: layers.targets(),
    };
    Some(Found { finding: Finding::of(ModelKind::Lora, answer), facts })
}
