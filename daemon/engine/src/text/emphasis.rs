//! Weights in prompts, as A1111 reads them: `(a)`, `(a:1.2)`, `[a]`, escapes, `BREAK`.
//!
//! Facts from AUTOMATIC1111/stable-diffusion-webui v1.10 `modules/prompt_parser.py` (`parse_prompt_attention`), with its
//! quirks: brackets that are never closed weigh to the end, ones that were never opened are text, and a `BREAK` inside of
//! weighted brackets is a word, because its mark is weighted too.

use super::words::alone;

/// A part of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Words {
        text: String,
        weight: f64,
    },
    /// What follows starts a new chunk.
    Break,
}

const ROUND: f64 = 1.1;
const SQUARE: f64 = 1.0 / 1.1;
const BREAK: &str = "BREAK";
/// The weight that marks a break until all brackets are known.
const BREAK_MARK: f64 = -1.0;

/// Cuts a prompt into pieces of one weight each; there is at least one.
pub(crate) fn pieces(prompt: &str) -> Vec<Piece> {
    let mut found: Vec<(String, f64)> = Vec::new();
    let (mut round, mut square) = (Vec::new(), Vec::new());
    let mut rest = prompt;
    while let Some(first) = rest.chars().next() {
        let (token, behind) = match first {
            '\\' => {
                let escaped = rest[1..].chars().next().filter(|c| "()[]\\".contains(*c));
                rest.split_at(1 + escaped.map_or(0, char::len_utf8))
            }
            '(' | ')' | '[' | ']' => rest.split_at(1),
            ':' => rest.split_at(weight_length(rest).unwrap_or(1)),
            _ => rest.split_at(rest.find(['\\', '(', ')', '[', ']', ':']).unwrap_or(rest.len())),
        };
        rest = behind;
        match first {
            '\\' => found.push((token[1..].to_owned(), 1.0)),
            '(' => round.push(found.len()),
            '[' => square.push(found.len()),
            ':' if token.len() > 1 => match (weight_of(token), round.pop()) {
                (Some(weight), Some(start)) => weigh(&mut found, start, weight),
                _ => push_words(&mut found, token),
            },
            ')' if !round.is_empty() => weigh(&mut found, round.pop().unwrap_or_default(), ROUND),
            ']' if !square.is_empty() => weigh(&mut found, square.pop().unwrap_or_default(), SQUARE),
            _ => push_words(&mut found, token),
        }
    }
    round.into_iter().for_each(|start| weigh(&mut found, start, ROUND));
    square.into_iter().for_each(|start| weigh(&mut found, start, SQUARE));
    if found.is_empty() {
        found.push((String::new(), 1.0));
    }
    merged(found)
}

/// The length of `: 1.2 )` at the start of `text`: a colon, a number, a closing bracket.
fn weight_length(text: &str) -> Option<usize> {
    let number = text[1..].trim_start();
    let signless = number.strip_prefix(['+', '-']).unwrap_or(number);
    let behind = signless.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let closing = behind.trim_start();
    (behind.len() < signless.len() && closing.starts_with(')')).then(|| text.len() - closing.len() + 1)
}

/// The number in such a token; `None` for one like `1.2.3`.
fn weight_of(token: &str) -> Option<f64> {
    token.trim_start_matches(':').trim_end_matches(')').trim().parse().ok()
}

fn weigh(found: &mut [(String, f64)], start: usize, weight: f64) {
    found[start..].iter_mut().for_each(|(_, own)| *own *= weight);
}

/// Text, cut at the word that asks for a new chunk.
fn push_words(found: &mut Vec<(String, f64)>, text: &str) {
    let mut from = 0;
    for place in alone(text, BREAK) {
        found.push((text[from..place.start].trim_end().to_owned(), 1.0));
        found.push((BREAK.to_owned(), BREAK_MARK));
        from = text.len() - text[place.end..].trim_start().len();
    }
    found.push((text[from..].to_owned(), 1.0));
}

/// Neighbours of one weight together.
#[expect(clippy::float_cmp, reason = "neighbours are one piece where their weights came about in the same way")]
fn merged(found: Vec<(String, f64)>) -> Vec<Piece> {
    let mut joined: Vec<(String, f64)> = Vec::with_capacity(found.len());
    for (text, weight) in found {
        match joined.last_mut() {
            Some((before, same)) if *same == weight => before.push_str(&text),
            _ => joined.push((text, weight)),
        }
    }
    let piece = |(text, weight): (String, f64)| {
        if text == BREAK && weight == BREAK_MARK { Piece::Break } else { Piece::Words { text, weight } }
    };
    joined.into_iter().map(piece).collect()
}
