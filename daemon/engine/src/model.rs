//! A model that is painted with: blueprint, vocabularies, and the networks that are in memory.

use crate::error::EngineError;
use crate::load::{AddedSizes, Blueprint, ControlNetPlan, Embedding, embeddings};
use crate::networks::{ClipText, Conditions, Layers, Replaced, Unet, Vae};
use crate::plan::Residency;
use crate::residence::{Part, Residence};
use crate::tensor::sinusoids;
use crate::text::{Chunk, Dictionary, Evaluations, Vocabulary, chunks, compose, empty_chunk, schedule};
use candle_core::{Device, Tensor};
use paintbox_domain::generation::EmbeddingFile;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most rows of tokens of all texts that a prompt is made of; far beyond what anybody writes, and a bound on what a prompt
/// can cost.
const MAX_ROWS: usize = 512;
/// How well XL's refiner is told that a picture, and what is to be avoided, were liked (its training's scale goes to 10).
const LIKED: f64 = 6.0;
const DISLIKED: f64 = 2.5;

/// A model that is painted with.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) blueprint: Blueprint,
    pub(crate) device: Device,
    pub(crate) residence: Residence,
    /// Of each text encoder.
    vocabularies: Vec<Vocabulary>,
}

/// The words that a painting's prompts may say beyond the model's own.
#[derive(Debug)]
pub(crate) struct Lexicon {
    words: Vec<Embedding>,
    /// Each encoder's.
    dictionaries: Vec<Dictionary>,
}

impl Lexicon {
    pub(crate) fn name(&self, number: usize) -> &str {
        &self.words[number].name
    }
}

/// A prompt and what it is said of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wording<'a> {
    pub(crate) prompt: &'a str,
    pub(crate) lexicon: &'a Lexicon,
    /// Whether this is what the picture is led away from.
    pub(crate) negative: bool,
    pub(crate) clip_skip: u32,
    /// Pixels, width first.
    pub(crate) size: (u32, u32),
    /// How often the network will be asked, which prompts that change are spread over.
    pub(crate) evaluations: Evaluations,
}

/// One of the prompts that a prompt is made of.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) weight: f64,
    /// Which of the lexicon's words it says.
    pub(crate) words: BTreeSet<usize>,
    /// What it says, each with the last evaluation that it is for, counted from 1.
    texts: Vec<(usize, Conditions)>,
}

impl Spoken {
    /// Which of its texts is said at an evaluation, counted from 0. As in A1111, the first one is thus said once more
    /// than its step says.
    pub(crate) fn at(&self, evaluation: usize) -> usize {
        self.texts.iter().position(|(end, _)| evaluation <= *end).unwrap_or(self.texts.len() - 1)
    }

    pub(crate) fn text(&self, number: usize) -> &Conditions {
        &self.texts[number].1
    }
}

impl Model {
    /// Reads vocabularies; networks are read when they are asked for.
    pub(crate) fn new(blueprint: Blueprint, device: &Device, residence: Residence) -> Result<Self, EngineError> {
        let vocabularies = blueprint.texts.iter().map(|text| text.vocabulary.load(text.shape.vocabulary));
        Ok(Self { vocabularies: vocabularies.collect::<Result<_, _>>()?, blueprint, device: device.clone(), residence })
    }

    /// Reads all networks that the plan has room for beside each other, from the text encoders on.
    pub(crate) fn read_ahead(&self, controls: &[ControlNetPlan]) -> Result<(), EngineError> {
        self.text_encoders()?;
        if self.residence.residency() == Residency::Together {
            self.unet()?;
            for plan in controls {
                self.residence.control_net(plan)?;
            }
            self.vae()?;
        }
        Ok(())
    }

    fn text_encoders(&self) -> Result<Arc<Vec<ClipText>>, EngineError> {
        self.residence.text_encoders(&self.blueprint)
    }

    pub(crate) fn unet(&self) -> Result<Arc<Unet>, EngineError> {
        self.residence.unet(&self.blueprint)
    }

    pub(crate) fn vae(&self) -> Result<Arc<Vae>, EngineError> {
        self.residence.vae(&self.blueprint)
    }

    /// Reads what prompts may say beside the model's own words.
    pub(crate) fn lexicon(&self, files: &[EmbeddingFile]) -> Result<Lexicon, EngineError> {
        let words = embeddings(files, &self.blueprint)?;
        let named = || words.iter().map(|word| (word.name.as_str(), word.vectors));
        let dictionaries = self.vocabularies.iter().map(|vocabulary| Dictionary::new(named(), vocabulary));
        Ok(Lexicon { dictionaries: dictionaries.collect::<Result<_, _>>()?, words })
    }

    /// What a prompt says to the UNet: the prompts it is made of, and how each changes.
    pub(crate) fn listen(&self, wording: Wording<'_>) -> Result<Vec<Spoken>, EngineError> {
        // What leads away is one prompt, whatever it says.
        let parts = if wording.negative { vec![(wording.prompt.to_owned(), 1.0)] } else { compose(wording.prompt) };
        let mut rows = 0;
        parts.into_iter().map(|(prompt, weight)| self.hear(&prompt, weight, wording, &mut rows)).collect()
    }

    fn hear(&self, prompt: &str, weight: f64, wording: Wording<'_>, rows: &mut usize) -> Result<Spoken, EngineError> {
        let entries = schedule(prompt, wording.evaluations);
        let mut texts: Vec<(&str, usize)> = Vec::new();
        let mut numbers = Vec::with_capacity(entries.len());
        for (_, text) in &entries {
            let known = texts.iter().position(|(known, _)| known == text);
            let number = known.unwrap_or(texts.len());
            if known.is_none() {
                texts.push((text, 0));
            }
            texts[number].1 += 1;
            numbers.push(number);
        }
        let silent = wording.negative && self.blueprint.zero_negative && texts.iter().all(|(text, _)| text.is_empty());
        let towers = self.vocabularies.iter().zip(&self.blueprint.texts).zip(&wording.lexicon.dictionaries);
        let chunks: Vec<Vec<Vec<Chunk>>> = towers
            .map(|((vocabulary, tower), dictionary)| {
                let positions = tower.shape.positions;
                texts.iter().map(|(text, _)| counted_chunks(text, vocabulary, dictionary, positions, rows)).collect()
            })
            .collect::<Result<_, _>>()?;
        let words = chunks.iter().flatten().flatten().flat_map(|chunk| &chunk.added);
        let words = words.map(|(_, added)| added.number).collect();
        let counts: Vec<f64> = texts.iter().map(|(_, count)| *count as f64).collect();
        let encoded = self.residence.soundly(Part::TextEncoders, 0, || {
            let networks = self.text_encoders()?;
            let (context, pooled) =
                self.encode(&networks, &chunks, &counts, wording).map_err(EngineError::computing(ENCODING))?;
            Ok([context].into_iter().chain(pooled).collect())
        });
        let mut encoded = encoded?.into_iter();
        let said = || -> candle_core::Result<Spoken> {
            let heard = |states: Option<Tensor>| match states {
                Some(states) if silent => states.zeros_like().map(Some),
                states => Ok(states),
            };
            let (Some(context), pooled) = (heard(encoded.next())?, heard(encoded.next())?) else {
                candle_core::bail!("the text encoders said nothing");
            };
            let conditions = |number: usize| -> candle_core::Result<Conditions> {
                let pooled = pooled.as_ref().map(|pooled| pooled.narrow(0, number, 1)).transpose()?;
                let added = pooled.map(|pooled| self.added(&pooled, wording)).transpose()?.flatten();
                Ok(Conditions { context: context.narrow(0, number, 1)?.contiguous()?, added })
            };
            let texts = entries.iter().zip(numbers).map(|((end, _), number)| Ok((*end, conditions(number)?)));
            Ok(Spoken { weight, words, texts: texts.collect::<candle_core::Result<_>>()? })
        };
        said().map_err(EngineError::computing(ENCODING))
    }

    /// The states `[texts, tokens, width]` of all encoders side by side, and what the last makes of each text as a whole.
    fn encode(
        &self,
        networks: &[ClipText],
        chunks: &[Vec<Vec<Chunk>>],
        counts: &[f64],
        wording: Wording<'_>,
    ) -> candle_core::Result<(Tensor, Option<Tensor>)> {
        // Texts that change are of one length, and vocabularies may cut them differently.
        let longest = chunks.iter().flatten().map(Vec::len).max().unwrap_or(1);
        let mut contexts = Vec::with_capacity(chunks.len());
        let mut pooled = None;
        let encoders = networks.iter().zip(&self.vocabularies);
        let encoders = encoders.map(|(network, vocabulary)| Encoder { network, vocabulary });
        for (tower, ((encoder, text), chunks)) in encoders.zip(&self.blueprint.texts).zip(chunks).enumerate() {
            let layers = text.layers(wording.clip_skip);
            let empty = empty_chunk(encoder.vocabulary, text.shape.positions);
            let mut states = Vec::with_capacity(longest);
            for at in 0..longest {
                let rows: Vec<&Chunk> = chunks.iter().map(|chunks| chunks.get(at).unwrap_or(&empty)).collect();
                let words = |number: usize| &wording.lexicon.words[number].by_encoder[tower];
                let (said, whole) = encoder.encode(&rows, words, counts, layers)?;
                states.push(said);
                // What a long prompt is as a whole, its first chunk says (A1111, ComfyUI).
                if at == 0 {
                    pooled = whole.or(pooled);
                }
            }
            contexts.push(Tensor::cat(&states, 1)?);
        }
        Ok((Tensor::cat(&contexts, 2)?.contiguous()?, pooled))
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

const ENCODING: &str = "encoding the prompt";

/// A text's chunks, which count towards what all of a prompt may be made of.
fn counted_chunks(
    text: &str,
    vocabulary: &Vocabulary,
    dictionary: &Dictionary,
    positions: usize,
    rows: &mut usize,
) -> Result<Vec<Chunk>, EngineError> {
    let chunks = chunks(text, vocabulary, dictionary, positions)?;
    *rows += chunks.len();
    if *rows > MAX_ROWS {
        return Err(EngineError::Setting {
            setting: "prompt",
            given: format!("{rows} rows of tokens or more"),
            wanted: format!("at most {MAX_ROWS} in all that it says over time"),
        });
    }
    Ok(chunks)
}

/// A text encoder with its tokenizer.
struct Encoder<'a> {
    network: &'a ClipText,
    vocabulary: &'a Vocabulary,
}

impl Encoder<'_> {
    /// The weighted states of one chunk of every text, and the texts as a whole. `words` has the vectors of added words.
    fn encode<'w>(
        &self,
        rows: &[&Chunk],
        words: impl Fn(usize) -> &'w Tensor,
        counts: &[f64],
        layers: Layers,
    ) -> candle_core::Result<(Tensor, Option<Tensor>)> {
        let ids: Vec<Vec<u32>> = rows.iter().map(|chunk| chunk.tokens.clone()).collect();
        let replaced: Vec<Replaced> = rows
            .iter()
            .enumerate()
            .flat_map(|(row, chunk)| chunk.added.iter().map(move |(at, added)| (row, *at, added.number)))
            .map(|(row, at, number)| Replaced { row, at, vectors: words(number).clone() })
            .collect();
        let found = self.network.encode(&ids, &replaced, layers, self.vocabulary.end())?;
        let states = if rows.iter().any(|chunk| chunk.weights.iter().any(|weight| *weight != 1.0)) {
            emphasised(&found.states, rows, counts)?
        } else {
            found.states
        };
        Ok((states, found.pooled))
    }
}

/// Multiplies the state of each token by its weight, and everything so that the mean over all texts, as often as each is
/// said, stays what it was (A1111 v1.10 `modules/sd_emphasis.py`, `EmphasisOriginal`).
fn emphasised(states: &Tensor, rows: &[&Chunk], counts: &[f64]) -> candle_core::Result<Tensor> {
    let (texts, tokens, _) = states.dims3()?;
    let weights: Vec<f32> = rows.iter().flat_map(|chunk| &chunk.weights).copied().collect();
    let weights = Tensor::from_vec(weights, (texts, tokens, 1), states.device())?;
    let weighted = states.broadcast_mul(&weights)?;
    let sum = |states: &Tensor| -> candle_core::Result<f64> {
        let sums: Vec<f32> = states.sum((1, 2))?.to_vec1()?;
        Ok(sums.iter().zip(counts).map(|(sum, count)| f64::from(*sum) * count).sum())
    };
    let kept = sum(states)? / sum(&weighted)?;
    // Weights of zero everywhere leave no mean to restore.
    if kept.is_finite() { weighted * kept } else { Ok(weighted) }
}
