//! Prompts longer than the text encoder's window: cut into chunks that are encoded apart, as A1111 introduced it.

use super::Vocabulary;

/// Rows of exactly `window` ids: a start token, up to `window − 2` tokens of the prompt, an end token, padding.
///
/// There is at least one row, so an empty prompt gives the encoding of nothing. Tokens are taken as they come: weights
/// in parentheses, `BREAK` and the like are read as words.
pub(crate) fn chunks(tokens: &[u32], vocabulary: &Vocabulary, window: usize) -> Vec<Vec<u32>> {
    let room = window.saturating_sub(2).max(1);
    let frame = |part: &[u32]| {
        let mut row = Vec::with_capacity(window);
        row.push(vocabulary.start());
        row.extend_from_slice(part);
        row.push(vocabulary.end());
        row.resize(window, vocabulary.padding());
        row
    };
    if tokens.is_empty() { vec![frame(&[])] } else { tokens.chunks(room).map(frame).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_framed_and_padded_one_by_one() {
        let vocabulary = Vocabulary::tiny_emoji().unwrap();
        let (start, end) = (1998, 1999);
        assert_eq!(chunks(&[], &vocabulary, 5), [[start, end, end, end, end]]);
        assert_eq!(chunks(&[1, 2, 3], &vocabulary, 5), [[start, 1, 2, 3, end]]);
        assert_eq!(chunks(&[1, 2, 3, 4], &vocabulary, 5), [[start, 1, 2, 3, end], [start, 4, end, end, end]]);
    }
}
