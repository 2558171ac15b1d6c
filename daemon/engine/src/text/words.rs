//! Words of a prompt's syntax, which mean something only where they stand alone.

use std::ops::Range;

/// Where `word` stands in `text` without a letter, digit or underscore on either side.
pub(super) fn alone(text: &str, word: &str) -> impl Iterator<Item = Range<usize>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(start, found)| start..start + found.len()).filter(move |place| {
        !text[..place.start].chars().next_back().is_some_and(is_word)
            && !text[place.end..].chars().next().is_some_and(is_word)
    })
}
