//! Words that textual inversions add to a vocabulary: wherever a prompt says one's name, its vectors stand instead of the
//! name's tokens.
//!
//! Facts from AUTOMATIC1111/stable-diffusion-webui v1.10 `modules/textual_inversion/textual_inversion.py`
//! (`find_embedding_at_position`): names are compared as tokens, so case does not count, and the longest wins.

use super::Vocabulary;
use crate::error::EngineError;
use std::collections::HashMap;

/// A word and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    tokens: Vec<u32>,
    added: Added,
}

/// What stands in the place of a word's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Added {
    /// Which of the added words it is.
    pub(crate) number: usize,
    /// How many places it takes.
    pub(crate) vectors: usize,
}

/// The added words of one vocabulary.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dictionary {
    names: Vec<String>,
    by_first: HashMap<u32, Vec<Word>>,
}

impl Dictionary {
    /// Words by name and number of vectors.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub(crate) fn new<'a>(
        words: impl Iterator<Item = (&'a str, usize)>,
        vocabulary: &Vocabulary,
    ) -> Result<Self, EngineError> {
        let mut dictionary = Self::default();
        for (number, (name, vectors)) in words.enumerate() {
            let tokens = vocabulary.encode(name)?;
            dictionary.names.push(name.to_owned());
            if let Some(&first) = tokens.first() {
                dictionary.by_first.entry(first).or_default().push(Word { tokens, added: Added { number, vectors } });
            }
        }
        for words in dictionary.by_first.values_mut() {
            words.sort_by_key(|word| std::cmp::Reverse(word.tokens.len()));
        }
        Ok(dictionary)
    }

    /// The word that tokens begin with, and how many of them it takes.
    pub(super) fn find(&self, tokens: &[u32]) -> Option<(Added, usize)> {
        let words = self.by_first.get(tokens.first()?)?;
        words.iter().find(|word| tokens.starts_with(&word.tokens)).map(|word| (word.added, word.tokens.len()))
    }

    /// A prompt without the `embedding:` that ComfyUI wants before a word's name.
    pub(super) fn without_marks(&self, text: String) -> String {
        const MARK: &str = "embedding:";
        if !text.contains(MARK) {
            return text;
        }
        self.names.iter().fold(text, |text, name| text.replace(&format!("{MARK}{name}"), name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::chunks;

    #[test]
    fn the_longest_name_wins_and_case_does_not_count() {
        let vocabulary = Vocabulary::clip().unwrap();
        let words = [("easy", 2), ("EasyNegative", 3), ("bad hands", 1)];
        let dictionary = Dictionary::new(words.into_iter(), &vocabulary).unwrap();
        let chunk = |prompt: &str| chunks(prompt, &vocabulary, &dictionary, 77).unwrap().remove(0);
        let fixes = |prompt: &str| -> Vec<(usize, usize)> {
            chunk(prompt).added.iter().map(|(at, added)| (*at, added.number)).collect()
        };
        assert_eq!(fixes("a easynegative, easy, embedding:EasyNegative"), [(2, 1), (6, 0), (9, 1)]);
        assert_eq!(fixes("(Bad Hands:1.2)"), [(1, 2)]);
        assert_eq!(fixes("uneasy, bad, embedding:nothing"), []);
        let row = chunk("(easynegative:1.3) x");
        assert_eq!((row.tokens[1..4].to_vec(), &row.weights[1..5]), (vec![0; 3], &[1.3, 1.3, 1.3, 1.0][..]));
    }

    #[test]
    fn a_word_is_never_cut_in_two() {
        let vocabulary = Vocabulary::clip().unwrap();
        let dictionary = Dictionary::new([("zz", 10)].into_iter(), &vocabulary).unwrap();
        let rows = chunks(&format!("{} zz", "fox ".repeat(70)), &vocabulary, &dictionary, 77).unwrap();
        let places: Vec<usize> = rows.iter().map(|row| row.added.len()).collect();
        assert_eq!((places, rows[1].added[0].0), (vec![0, 1], 1));
        // Words behind a comma that are moved to the next row take their vectors along.
        let moved = format!("{} , zz fox fox", "fox ".repeat(64));
        let rows = chunks(&moved, &vocabulary, &dictionary, 77).unwrap();
        let places: Vec<Vec<usize>> = rows.iter().map(|row| row.added.iter().map(|(at, _)| *at).collect()).collect();
        assert_eq!(places, [vec![], vec![1]]);
    }
}
