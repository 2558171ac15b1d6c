//! CLIP's byte-pair encoding: from a shipped list of merges, from a model's own files, or from a `tokenizer.json`.

use crate::error::EngineError;
use std::collections::HashMap;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::replace::{Replace, ReplacePattern};
use tokenizers::normalizers::{Lowercase, NFC, Sequence as NormalizerSequence};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizerSequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// What CLIP cuts a prompt into before merging: contractions, words, single digits, runs of anything else.
/// (OpenAI's `simple_tokenizer.py`.)
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// OpenAI CLIP's 48,894 merges; see `assets/SOURCES.md`.
const CLIP_MERGES: &str = include_str!("../../assets/clip-merges.txt");
/// The demo model's 1,486 merges.
const TINY_EMOJI_MERGES: &str = include_str!("../../assets/tiny-emoji-merges.txt");

/// A tokenizer and the ids of its special tokens.
#[derive(Debug, Clone)]
pub(crate) struct Vocabulary {
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    padding: u32,
    comma: Option<u32>,
}

impl Vocabulary {
    /// The vocabulary of every CLIP-L.
    pub(crate) fn clip() -> Result<Self, EngineError> {
        Self::from_merges(CLIP_MERGES, "the shipped CLIP vocabulary")
    }

    /// The vocabulary of the demo model.
    pub(crate) fn tiny_emoji() -> Result<Self, EngineError> {
        Self::from_merges(TINY_EMOJI_MERGES, "the shipped demo vocabulary")
    }

    /// From the text of a `tokenizer.json`. `origin` names it in errors.
    pub(crate) fn from_tokenizer_json(json: &[u8], origin: &str) -> Result<Self, EngineError> {
        let refuse = |source| EngineError::Tokenizer { origin: origin.to_owned(), source };
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(refuse)?;
        // Framing and padding are ours.
        tokenizer.with_truncation(None).map_err(refuse)?;
        tokenizer.with_padding(None);
        Self::of(tokenizer, origin)
    }

    /// From the texts of `vocab.json` and `merges.txt`.
    pub(crate) fn from_vocab_and_merges(vocab: &[u8], merges: &str, origin: &str) -> Result<Self, EngineError> {
        let vocabulary: HashMap<String, u32> =
            serde_json::from_slice(vocab).map_err(|source| EngineError::Json { file: origin.to_owned(), source })?;
        Self::build(vocabulary, parse_merges(merges), origin)
    }

    /// A list of merges implies the vocabulary: 256 byte symbols, the same at a word's end, the merges, the specials.
    fn from_merges(merges: &str, origin: &str) -> Result<Self, EngineError> {
        let merges = parse_merges(merges);
        let symbols = byte_symbols();
        let words = symbols
            .iter()
            .map(char::to_string)
            .chain(symbols.iter().map(|symbol| format!("{symbol}</w>")))
            .chain(merges.iter().map(|(left, right)| format!("{left}{right}")))
            .chain([START.to_owned(), END.to_owned()]);
        let vocabulary = words.zip(0..).collect();
        Self::build(vocabulary, merges, origin)
    }

    fn build(
        vocabulary: HashMap<String, u32>,
        merges: Vec<(String, String)>,
        origin: &str,
    ) -> Result<Self, EngineError> {
        let refuse = |source| EngineError::Tokenizer { origin: origin.to_owned(), source };
        let bpe = BPE::builder()
            .vocab_and_merges(vocabulary.into_iter().collect::<tokenizers::models::bpe::Vocab>(), merges)
            .unk_token(END.to_owned())
            .end_of_word_suffix("</w>".to_owned())
            .build()
            .map_err(refuse)?;
        let mut tokenizer = Tokenizer::new(bpe);
        let white_space = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ").map_err(refuse)?;
        let normalizers = NormalizerSequence::new(vec![NFC.into(), white_space.into(), Lowercase.into()]);
        tokenizer.with_normalizer(Some(normalizers)).map_err(refuse)?;
        let words =
            Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Removed, true).map_err(refuse)?;
        let bytes = ByteLevel::default().add_prefix_space(false);
        tokenizer.with_pre_tokenizer(Some(PreTokenizerSequence::new(vec![
            PreTokenizerWrapper::Split(words),
            PreTokenizerWrapper::ByteLevel(bytes),
        ])));
        let special = [AddedToken::from(START, true).normalized(true), AddedToken::from(END, true).normalized(true)];
        tokenizer.add_special_tokens(special).map_err(refuse)?;
        Self::of(tokenizer, origin)
    }

    fn of(tokenizer: Tokenizer, origin: &str) -> Result<Self, EngineError> {
        let id = |token: &'static str| {
            tokenizer.token_to_id(token).ok_or_else(|| EngineError::MissingToken { token, origin: origin.to_owned() })
        };
        let (start, end) = (id(START)?, id(END)?);
        let comma = tokenizer.token_to_id(",</w>");
        Ok(Self { tokenizer, start, end, padding: end, comma })
    }

    /// Pads with another token than the end token, where a model's tokenizer says so.
    pub(crate) fn padded_with(mut self, token: &str) -> Self {
        if let Some(id) = self.tokenizer.token_to_id(token) {
            self.padding = id;
        }
        self
    }

    /// Entries, special tokens included.
    pub(crate) fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    pub(crate) fn start(&self) -> u32 {
        self.start
    }

    pub(crate) fn end(&self) -> u32 {
        self.end
    }

    pub(crate) fn padding(&self) -> u32 {
        self.padding
    }

    /// A comma at a word's end, where the vocabulary has one.
    pub(crate) fn comma(&self) -> Option<u32> {
        self.comma
    }

    /// The ids of a prompt without start and end token.
    pub(crate) fn encode(&self, prompt: &str) -> Result<Vec<u32>, EngineError> {
        let encoding = self
            .tokenizer
            .encode(prompt, false)
            .map_err(|source| EngineError::Tokenizer { origin: "the prompt".to_owned(), source })?;
        Ok(encoding.get_ids().to_vec())
    }
}

/// One merge a line; a `#version` header and empty lines are skipped.
fn parse_merges(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with("#version"));
    lines.filter_map(|line| line.split_once(' ')).map(|(left, right)| (left.to_owned(), right.to_owned())).collect()
}

/// GPT-2's printable stand-ins for bytes, in the order in which CLIP numbers them: bytes that print as themselves
/// first, then the others shifted past Latin-1.
fn byte_symbols() -> Vec<char> {
    let as_themselves = ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ');
    let shifted = (0..68).filter_map(|i| char::from_u32(256 + i));
    as_themselves.chain(shifted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Golden {
        text: String,
        ids: Vec<u32>,
    }

    fn framed(vocabulary: &Vocabulary, text: &str) -> Vec<u32> {
        let mut ids = vec![vocabulary.start()];
        ids.extend(vocabulary.encode(text).unwrap());
        ids.push(vocabulary.end());
        ids
    }

    #[test]
    fn ids_are_those_of_the_reference_tokenizer() {
        let goldens: HashMap<String, Vec<Golden>> = crate::testing::golden_json("tokens.json");
        let clip = Vocabulary::clip().unwrap();
        let tiny = Vocabulary::tiny_emoji().unwrap();
        assert_eq!((clip.len(), clip.start(), clip.end(), clip.padding()), (49_408, 49_406, 49_407, 49_407));
        assert_eq!((tiny.len(), tiny.start(), tiny.end(), tiny.padding()), (2000, 1998, 1999, 1999));
        for (name, vocabulary) in [("clip", &clip), ("tiny", &tiny)] {
            for golden in &goldens[name] {
                assert_eq!(framed(vocabulary, &golden.text), golden.ids, "{name}: {:?}", golden.text);
            }
        }
    }

    #[test]
    fn a_models_own_files_say_the_same_as_the_shipped_lists() {
        let folder = crate::testing::tiny_folder().join("diffusers/tokenizer");
        let json = std::fs::read(folder.join("tokenizer.json")).unwrap();
        let from_json = Vocabulary::from_tokenizer_json(&json, "tokenizer.json").unwrap();
        let vocab = std::fs::read(folder.join("vocab.json")).unwrap();
        let merges = std::fs::read_to_string(folder.join("merges.txt")).unwrap();
        let from_pair = Vocabulary::from_vocab_and_merges(&vocab, &merges, "vocab.json").unwrap();
        let shipped = Vocabulary::tiny_emoji().unwrap();
        let goldens: HashMap<String, Vec<Golden>> = crate::testing::golden_json("tokens.json");
        for golden in &goldens["tiny"] {
            let wanted = framed(&shipped, &golden.text);
            assert_eq!(framed(&from_json, &golden.text), wanted, "{:?}", golden.text);
            assert_eq!(framed(&from_pair, &golden.text), wanted, "{:?}", golden.text);
        }
    }

    #[test]
    fn hostile_tokenizers_are_errors() {
        assert!(Vocabulary::from_tokenizer_json(b"", "x").is_err());
        assert!(Vocabulary::from_tokenizer_json(b"{}", "x").is_err());
        assert!(Vocabulary::from_vocab_and_merges(b"{\"a\": 0}", "a b\n", "x").is_err());
        let missing = Vocabulary::from_vocab_and_merges(b"{\"a\": 0}", "", "x");
        assert!(missing.is_err() || missing.is_ok_and(|vocabulary| vocabulary.len() == 3));
    }
}
