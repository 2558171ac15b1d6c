//! A model in memory: blueprint, vocabulary and the three networks.

use crate::error::EngineError;
use crate::load::{Blueprint, Component, Index, Merges, Weights};
use crate::networks::{ClipText, Unet, Vae};
use crate::text::{Vocabulary, chunks};
use candle_core::{Device, Tensor};

/// Most chunks of a prompt; far beyond what anybody writes, and a bound on what a prompt can cost.
const MAX_CHUNKS: usize = 64;

/// A loaded model of the Stable Diffusion 1.x family.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) blueprint: Blueprint,
    pub(crate) unet: Unet,
    pub(crate) vae: Vae,
    vocabulary: Vocabulary,
    text: ClipText,
    pub(crate) device: Device,
}

impl Model {
    /// Reads all weights. `between` is asked after each component and may stop the loading with its error.
    pub(crate) fn load(
        index: &Index,
        blueprint: Blueprint,
        merges: &Merges,
        device: &Device,
        between: &dyn Fn() -> Result<(), EngineError>,
    ) -> Result<Self, EngineError> {
        let vocabulary = blueprint.vocabulary.load(blueprint.text.vocabulary)?;
        between()?;
        let source = index.component(Component::TextEncoder, merges);
        let text = ClipText::load(&Weights::new(&source, device), &blueprint.text)?;
        between()?;
        let source = index.component(Component::Unet, merges);
        let unet = Unet::load(&Weights::new(&source, device), &blueprint.unet)?;
        between()?;
        let source = index.component(Component::Vae, merges);
        let vae = Vae::load(&Weights::new(&source, device), &blueprint.vae)?;
        between()?;
        Ok(Self { blueprint, unet, vae, vocabulary, text, device: device.clone() })
    }

    /// The states of a prompt, `[1, chunks × positions, width]`.
    pub(crate) fn encode(&self, prompt: &str, clip_skip: u32) -> Result<Tensor, EngineError> {
        let tokens = self.vocabulary.encode(prompt)?;
        let rows = chunks(&tokens, &self.vocabulary, self.text.shape().positions);
        if rows.len() > MAX_CHUNKS {
            return Err(EngineError::Setting {
                setting: "prompt",
                given: format!("{} tokens long", tokens.len()),
                wanted: format!("at most {MAX_CHUNKS} chunks of {} tokens", self.text.shape().positions - 2),
            });
        }
        self.text
            .encode(&rows, clip_skip as usize)
            .and_then(|states| states.flatten_to(1)?.unsqueeze(0)?.contiguous())
            .map_err(EngineError::computing("encoding the prompt"))
    }
}
