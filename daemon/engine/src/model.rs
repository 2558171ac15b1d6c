//! A model in memory: blueprint, vocabularies and networks.

use crate::error::EngineError;
use crate::load::{AddedSizes, Blueprint, Component, Index, Merges, Weights};
use crate::networks::{ClipText, Conditions, Layers, Unet, Vae};
use crate::tensor::sinusoids;
use crate::text::{Vocabulary, chunks};
use candle_core::{Device, Tensor};

/// Most chunks of a prompt; far beyond what anybody writes, and a bound on what a prompt can cost.
const MAX_CHUNKS: usize = 64;
/// How well XL's refiner is told that a picture, and what is to be avoided, were liked (its training's scale goes to 10).
const LIKED: f64 = 6.0;
const DISLIKED: f64 = 2.5;

/// A text encoder with its tokenizer.
#[derive(Debug)]
struct Encoder {
    vocabulary: Vocabulary,
    network: ClipText,
}

/// A loaded model.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) blueprint: Blueprint,
    pub(crate) unet: Unet,
    pub(crate) vae: Vae,
    encoders: Vec<Encoder>,
    pub(crate) device: Device,
}

/// A prompt and what it is said of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wording<'a> {
    pub(crate) prompt: &'a str,
    /// Whether this is what the picture is led away from.
    pub(crate) negative: bool,
    pub(crate) clip_skip: u32,
    /// Pixels, width first.
    pub(crate) size: (u32, u32),
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
        let mut encoders = Vec::with_capacity(blueprint.texts.len());
        for text in &blueprint.texts {
            let vocabulary = text.vocabulary.load(text.shape.vocabulary)?;
            between()?;
            let source = index.component(text.component, merges);
            let network = ClipText::load(&Weights::new(&source, device), &text.shape)?;
            encoders.push(Encoder { vocabulary, network });
        }
        between()?;
        let source = index.component(Component::Unet, merges);
        let unet = Unet::load(&Weights::new(&source, device), &blueprint.unet)?;
        between()?;
        let source = index.component(Component::Vae, merges);
        let vae = Vae::load(&Weights::new(&source, device), &blueprint.vae)?;
        between()?;
        Ok(Self { blueprint, unet, vae, encoders, device: device.clone() })
    }

    /// What a prompt says to the UNet.
    pub(crate) fn conditions(&self, wording: Wording<'_>) -> Result<Conditions, EngineError> {
        let rows: Vec<Vec<Vec<u32>>> =
            self.encoders.iter().map(|encoder| encoder.rows(wording.prompt)).collect::<Result<_, _>>()?;
        let layers: Vec<Layers> = self.blueprint.texts.iter().map(|text| text.layers(wording.clip_skip)).collect();
        let silent = wording.negative && wording.prompt.is_empty() && self.blueprint.zero_negative;
        self.encode(&rows, &layers, silent)
            .and_then(|(context, pooled)| {
                let added = pooled.map(|pooled| self.added(&pooled, wording)).transpose()?.flatten();
                Ok(Conditions { context, added })
            })
            .map_err(EngineError::computing("encoding the prompt"))
    }

    /// The states `[1, tokens, width]` of all encoders side by side, and what the last makes of the prompt as a whole.
    fn encode(
        &self,
        rows: &[Vec<Vec<u32>>],
        layers: &[Layers],
        silent: bool,
    ) -> candle_core::Result<(Tensor, Option<Tensor>)> {
        // Vocabularies that cut a prompt differently would give states of different lengths.
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut states = Vec::with_capacity(rows.len());
        let mut pooled = None;
        for ((encoder, rows), layers) in self.encoders.iter().zip(rows).zip(layers) {
            let mut rows = rows.clone();
            rows.resize(longest, encoder.empty_row());
            let found = encoder.network.encode(&rows, *layers, encoder.vocabulary.end())?;
            states.push(found.states.flatten_to(1)?.unsqueeze(0)?);
            // What a long prompt is as a whole, its first chunk says (A1111, ComfyUI).
            pooled = found.pooled.map(|pooled| pooled.narrow(0, 0, 1)).transpose()?.or(pooled);
        }
        let context = Tensor::cat(&states, 2)?.contiguous()?;
        if silent {
            return Ok((context.zeros_like()?, pooled.map(|pooled| pooled.zeros_like()).transpose()?));
        }
        Ok((context, pooled))
    }

    /// The pooled prompt and the sinusoids of sizes, `[1, width]`.
    fn added(&self, pooled: &Tensor, wording: Wording<'_>) -> candle_core::Result<Option<Tensor>> {
        let Some(added) = self.blueprint.added else { return Ok(None) };
        let (width, height) = (f64::from(wording.size.0), f64::from(wording.size.1));
        let sizes = match added.sizes {
            AddedSizes::Xl => vec![height, width, 0.0, 0.0, height, width],
            AddedSizes::Refiner => {
                vec![height, width, 0.0, 0.0, if wording.negative { DISLIKED } else { LIKED }]
            }
        };
        let sinusoids = sizes.into_iter().map(|size| sinusoids(size, added.width, &self.device));
        let parts: Vec<Tensor> =
            std::iter::once(Ok(pooled.clone())).chain(sinusoids).collect::<candle_core::Result<_>>()?;
        Tensor::cat(&parts, 1).map(Some)
    }
}

impl Encoder {
    fn rows(&self, prompt: &str) -> Result<Vec<Vec<u32>>, EngineError> {
        let tokens = self.vocabulary.encode(prompt)?;
        let window = self.network.shape().positions;
        let rows = chunks(&tokens, &self.vocabulary, window);
        if rows.len() > MAX_CHUNKS {
            return Err(EngineError::Setting {
                setting: "prompt",
                given: format!("{} tokens long", tokens.len()),
                wanted: format!("at most {MAX_CHUNKS} chunks of {} tokens", window - 2),
            });
        }
        Ok(rows)
    }

    fn empty_row(&self) -> Vec<u32> {
        chunks(&[], &self.vocabulary, self.network.shape().positions).remove(0)
    }
}
