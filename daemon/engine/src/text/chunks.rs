//! Prompts as rows of the text encoder's window, each token with its weight, as A1111 introduced it: 75 tokens a row, cut
//! behind a comma where one is near, and wherever the prompt says `BREAK`.
//!
//! Facts from AUTOMATIC1111/stable-diffusion-webui v1.10 `modules/sd_hijack_clip.py` (`tokenize_line`), with its default
//! of looking back 20 tokens for a comma.

use super::Vocabulary;
use super::dictionary::{Added, Dictionary};
use super::emphasis::{Piece, pieces};
use crate::error::EngineError;

/// How far back a comma may lie for the words behind it to be moved to the next row together.
const COMMA_REACH: usize = 20;

/// One row: start token, tokens of the prompt, end token, padding.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chunk {
    /// As many as the encoder's window.
    pub(crate) tokens: Vec<u32>,
    /// What each token's state is multiplied by.
    pub(crate) weights: Vec<f32>,
    /// Added words and the first of the tokens, all of them 0, in whose place they stand.
    pub(crate) added: Vec<(usize, Added)>,
}

/// The rows of a prompt, each of `window` tokens. There is at least one, so an empty prompt gives the encoding of
/// nothing.
///
/// # Errors
/// When the tokenizer fails.
pub(crate) fn chunks(
    prompt: &str,
    vocabulary: &Vocabulary,
    dictionary: &Dictionary,
    window: usize,
) -> Result<Vec<Chunk>, EngineError> {
    let mut rows = Rows { vocabulary, window, done: Vec::new(), row: Vec::new(), comma: None };
    for piece in pieces(prompt) {
        match piece {
            Piece::Break => rows.close(),
            Piece::Words { text, weight } => {
                let tokens = vocabulary.encode(&dictionary.without_marks(text))?;
                let (mut rest, weight) = (&tokens[..], weight as f32);
                while let Some(&token) = rest.first() {
                    let found = dictionary.find(rest);
                    rows.make_room_before(token);
                    match found {
                        Some((added, _)) => rows.push_added(added, weight),
                        None => rows.row.push(Place { token, weight, added: None }),
                    }
                    rest = &rest[found.map_or(1, |(_, length)| length)..];
                }
            }
        }
    }
    if !rows.row.is_empty() || rows.done.is_empty() {
        rows.close();
    }
    Ok(rows.done)
}

/// The row of nothing.
pub(crate) fn empty_chunk(vocabulary: &Vocabulary, window: usize) -> Chunk {
    framed(&[], vocabulary, window)
}

/// One token of a row.
#[derive(Debug, Clone, Copy)]
struct Place {
    token: u32,
    weight: f32,
    /// The added word that begins here.
    added: Option<Added>,
}

struct Rows<'a> {
    vocabulary: &'a Vocabulary,
    window: usize,
    done: Vec<Chunk>,
    row: Vec<Place>,
    /// Where the row's last comma stands.
    comma: Option<usize>,
}

impl Rows<'_> {
    fn room(&self) -> usize {
        self.window.saturating_sub(2).max(1)
    }

    fn make_room_before(&mut self, token: u32) {
        let room = self.room();
        if Some(token) == self.vocabulary.comma() {
            self.comma = Some(self.row.len());
        } else if self.row.len() == room
            && let Some(comma) = self.comma
            && room - comma <= COMMA_REACH
        {
            let moved = self.row.split_off(comma + 1);
            self.close();
            self.row = moved;
        }
        if self.row.len() == room {
            self.close();
        }
    }

    fn push_added(&mut self, added: Added, weight: f32) {
        if self.row.len() + added.vectors > self.room() {
            self.close();
        }
        let place = |number| Place { token: 0, weight, added: (number == 0).then_some(added) };
        self.row.extend((0..added.vectors).map(place));
    }

    fn close(&mut self) {
        self.done.push(framed(&std::mem::take(&mut self.row), self.vocabulary, self.window));
        self.comma = None;
    }
}

fn framed(part: &[Place], vocabulary: &Vocabulary, window: usize) -> Chunk {
    let mut tokens = Vec::with_capacity(window);
    tokens.push(vocabulary.start());
    tokens.extend(part.iter().map(|place| place.token));
    tokens.resize(window, vocabulary.end());
    // Behind the first end token nothing is said any more, whatever stands there.
    let end = tokens.iter().position(|token| *token == vocabulary.end()).unwrap_or(window);
    if vocabulary.padding() != vocabulary.end() {
        tokens.iter_mut().skip(end + 1).for_each(|token| *token = vocabulary.padding());
    }
    let mut weights = vec![1.0];
    weights.extend(part.iter().map(|place| place.weight));
    weights.resize(window, 1.0);
    let added = part.iter().zip(1..).filter_map(|(place, at)| Some((at, place.added?))).collect();
    Chunk { tokens, weights, added }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_framed_and_padded_one_by_one() {
        let vocabulary = Vocabulary::tiny_emoji().unwrap();
        let (start, end) = (1998, 1999);
        let ids = vocabulary.encode("red heart").unwrap();
        let tokens = |prompt: &str, window| -> Vec<Vec<u32>> {
            chunks(prompt, &vocabulary, &Dictionary::default(), window)
                .unwrap()
                .into_iter()
                .map(|chunk| chunk.tokens)
                .collect()
        };
        assert_eq!(tokens("", 5), [[start, end, end, end, end]]);
        assert_eq!(tokens("red heart", 5), [[start, ids[0], ids[1], end, end]]);
        let (one, two) = (ids[0], ids[1]);
        assert_eq!(tokens("red heart red heart", 5), [[start, one, two, one, end], [start, two, end, end, end]]);
    }

    #[test]
    fn padding_of_its_own_follows_the_first_end() {
        let vocabulary = Vocabulary::clip().unwrap().padded_with("!");
        let row = chunks("fox", &vocabulary, &Dictionary::default(), 77).unwrap().remove(0);
        assert_eq!((row.tokens[2], row.tokens[3], row.tokens[76]), (49_407, 0, 0));
    }
}
