//! A model's text encoders as its files describe them: sizes, layers that are asked for, and tokenizer.

use super::blueprint::contradiction;
use super::config::{TextConfig, TokenizerConfig, parse};
use super::family::Family;
use super::index::{Index, component_name, sizing};
use crate::error::EngineError;
use crate::networks::{ClipShape, Gelu, Layers};
use crate::text::Vocabulary;
use paintbox_domain::Architecture;
use paintbox_weights::stable_diffusion::{ClipDims, Component, Parameters, Part};

const EPS: f64 = 1e-5;
/// Every CLIP's heads are as wide, but for the demo model's.
const HEAD_WIDTH: usize = 64;
/// Entries of OpenAI's vocabulary, which all released text encoders share.
const CLIP_ENTRIES: usize = 49_408;
/// Entries and width of the demo model's, and its heads.
const TINY_EMOJI: (usize, usize, usize) = (2000, 128, 4);
/// What OpenCLIP pads prompts with: the token of this mark, which is number 0.
const OPEN_CLIP_PADDING: &str = "!";

/// One text encoder.
#[derive(Debug, Clone)]
pub(crate) struct TextTower {
    pub(crate) component: Component,
    pub(crate) shape: ClipShape,
    pub(crate) vocabulary: PromptVocabulary,
    normed: bool,
    clip_skip: u32,
}

impl TextTower {
    /// Which states are asked for where `clip_skip` is wanted.
    pub(crate) fn layers(&self, clip_skip: u32) -> Layers {
        Layers { skip: clip_skip.max(self.clip_skip) as usize, normed: self.normed }
    }
}

/// Where a prompt's tokenizer comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PromptVocabulary {
    pub(crate) source: VocabularySource,
    /// The token that short prompts are filled up with; the end token where nothing is said.
    pub(crate) padding: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum VocabularySource {
    /// Shipped with the engine.
    Clip,
    /// Shipped with the engine.
    TinyEmoji,
    /// The model's own `tokenizer.json`.
    TokenizerJson { file: String, json: Vec<u8> },
    /// The model's own `vocab.json` and `merges.txt`.
    VocabAndMerges { file: String, vocab: Vec<u8>, merges: String },
}

impl PromptVocabulary {
    /// # Errors
    /// When the model's own files are no tokenizer, or one with more entries than `embeddings`.
    pub(crate) fn load(&self, embeddings: usize) -> Result<Vocabulary, EngineError> {
        let (origin, vocabulary) = match &self.source {
            VocabularySource::Clip => ("the shipped CLIP vocabulary", Vocabulary::clip()?),
            VocabularySource::TinyEmoji => ("the shipped demo vocabulary", Vocabulary::tiny_emoji()?),
            VocabularySource::TokenizerJson { file, json } => {
                (file.as_str(), Vocabulary::from_tokenizer_json(json, file)?)
            }
            VocabularySource::VocabAndMerges { file, vocab, merges } => {
                (file.as_str(), Vocabulary::from_vocab_and_merges(vocab, merges, file)?)
            }
        };
        if vocabulary.len() > embeddings {
            let (given, wanted) = (vocabulary.len(), embeddings);
            return Err(EngineError::VocabularySize { origin: origin.to_owned(), given, wanted });
        }
        Ok(match &self.padding {
            Some(token) => vocabulary.padded_with(token),
            None => vocabulary,
        })
    }
}

/// Whether these are the embeddings of the demo model.
pub(super) fn is_tiny_emoji(shape: &ClipShape) -> bool {
    (shape.vocabulary, shape.width) == (TINY_EMOJI.0, TINY_EMOJI.1)
}

/// The text encoders of a family in the order in which the UNet sees their states.
pub(super) fn towers(index: &Index, parameters: &Parameters, family: &Family) -> Result<Vec<TextTower>, EngineError> {
    family
        .text_encoders
        .iter()
        .map(|component| tower(index, Part { parameters, component: *component }, family))
        .collect()
}

fn tower(index: &Index, part: Part<'_>, family: &Family) -> Result<TextTower, EngineError> {
    let component = part.component;
    let mut dims = ClipDims::from_tensors(&part).map_err(sizing(component))?;
    if component == Component::TextEncoder {
        dims.projected = None;
    } else if dims.projected.is_none() {
        let tensor = "text_projection.weight".to_owned();
        return Err(EngineError::MissingTensor { component: component_name(component), tensor });
    }
    let is_open_clip = component == Component::TextEncoder2 || family.architecture == Architecture::Sd2;
    let shape = shape(index, component, dims, is_open_clip)?;
    let vocabulary = vocabulary(index, component, &shape, is_open_clip)?;
    Ok(TextTower { component, shape, vocabulary, normed: family.normed_states, clip_skip: family.clip_skip })
}

fn shape(index: &Index, component: Component, dims: ClipDims, is_open_clip: bool) -> Result<ClipShape, EngineError> {
    let file = format!("{}/config.json", component.as_str());
    let json = index.text(&[&file])?;
    let config: TextConfig = parse(json.as_ref().map(|(_, json)| json.as_slice()), &file)?;
    let known = if (dims.vocabulary, dims.width) == (TINY_EMOJI.0, TINY_EMOJI.1) {
        TINY_EMOJI.2
    } else {
        (dims.width / HEAD_WIDTH).max(1)
    };
    let heads = config.num_attention_heads.unwrap_or(known);
    if heads == 0 || !dims.width.is_multiple_of(heads) || dims.layers == 0 || dims.positions < 3 {
        let problem = "its width does not divide into its heads, or it has no layers or positions";
        return Err(contradiction(component)(problem));
    }
    let unsaid = if is_open_clip { Gelu::Erf } else { Gelu::Quick };
    Ok(ClipShape {
        width: dims.width,
        layers: dims.layers,
        feed_forward: dims.mlp_width,
        vocabulary: dims.vocabulary,
        positions: dims.positions,
        heads,
        gelu: config.gelu(&file)?.unwrap_or(unsaid),
        norm_eps: config.layer_norm_eps.unwrap_or(EPS),
        projected: dims.projected,
    })
}

/// The model's own tokenizer if it brings one, else the shipped one that fits.
fn vocabulary(
    index: &Index,
    component: Component,
    shape: &ClipShape,
    is_open_clip: bool,
) -> Result<PromptVocabulary, EngineError> {
    let folder = if component == Component::TextEncoder2 { "tokenizer_2" } else { "tokenizer" };
    // Files beside a lone checkpoint are the first encoder's.
    let text = |name: &str| {
        let inside = format!("{folder}/{name}");
        let names = [inside.as_str(), name];
        index.text(if component == Component::TextEncoder { &names } else { &names[..1] })
    };
    let padding = match text("tokenizer_config.json")? {
        Some((file, json)) => parse::<TokenizerConfig>(Some(&json), &file)?.padding().map(str::to_owned),
        None => is_open_clip.then(|| OPEN_CLIP_PADDING.to_owned()),
    };
    if let Some((file, json)) = text("tokenizer.json")? {
        return Ok(PromptVocabulary { source: VocabularySource::TokenizerJson { file, json }, padding });
    }
    if let (Some((file, vocab)), Some((_, merges))) = (text("vocab.json")?, text("merges.txt")?) {
        let merges = String::from_utf8_lossy(&merges).into_owned();
        return Ok(PromptVocabulary { source: VocabularySource::VocabAndMerges { file, vocab, merges }, padding });
    }
    let source = match shape.vocabulary {
        CLIP_ENTRIES => VocabularySource::Clip,
        _ if is_tiny_emoji(shape) => VocabularySource::TinyEmoji,
        vocabulary => return Err(EngineError::UnknownVocabulary { vocabulary, width: shape.width }),
    };
    Ok(PromptVocabulary { source, padding })
}
