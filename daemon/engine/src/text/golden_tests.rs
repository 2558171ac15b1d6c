//! Prompts against A1111's code: pieces and weights, schedules, compositions and rows (`make_prompts.py`).

use super::emphasis::{Piece, pieces};
use super::{Dictionary, Evaluations, Vocabulary, chunks, compose, schedule};
use serde::Deserialize;

/// Text and weight; a break has none.
type Weighted = (String, Option<f64>);
/// A last step and what is said until then.
type Until = (usize, String);
/// Tokens and their weights.
type Row = (Vec<u32>, Vec<f64>);

#[derive(Deserialize)]
struct Goldens {
    emphasis: Vec<(String, Vec<Weighted>)>,
    /// Prompts over a number of steps.
    editing: Vec<(String, usize, Vec<Until>)>,
    second_pass: Vec<(String, Vec<Until>)>,
    composition: Vec<(String, Vec<(String, f64)>)>,
    rows: Vec<(String, Vec<Row>)>,
    /// For a vocabulary with padding of its own.
    padded_rows: Vec<(String, Vec<Row>)>,
}

fn goldens() -> Goldens {
    crate::testing::golden_json("prompts.json")
}

#[test]
fn pieces_and_their_weights_are_those_of_a1111() {
    // The last bit of a number is lost on its way through JSON; f32 is what weights are used in.
    let narrowed = |pieces: Vec<Weighted>| -> Vec<(String, Option<f32>)> {
        pieces.into_iter().map(|(text, weight)| (text, weight.map(|weight| weight as f32))).collect()
    };
    for (prompt, wanted) in goldens().emphasis {
        let found: Vec<Weighted> = pieces(&prompt)
            .into_iter()
            .map(|piece| match piece {
                Piece::Words { text, weight } => (text, Some(weight)),
                Piece::Break => ("BREAK".to_owned(), None),
            })
            .collect();
        assert_eq!(narrowed(found), narrowed(wanted), "{prompt:?}");
    }
}

#[test]
fn edited_prompts_are_those_of_a1111() {
    let goldens = goldens();
    for (prompt, count, wanted) in goldens.editing {
        let evaluations = Evaluations { count, before: None };
        assert_eq!(schedule(&prompt, evaluations), wanted, "{prompt:?} over {count} steps");
    }
    let second = Evaluations { count: 6, before: Some(10) };
    for (prompt, wanted) in goldens.second_pass {
        assert_eq!(schedule(&prompt, second), wanted, "{prompt:?} in a second pass");
    }
}

#[test]
fn composed_prompts_are_those_of_a1111() {
    for (prompt, wanted) in goldens().composition {
        assert_eq!(compose(&prompt), wanted, "{prompt:?}");
    }
}

#[test]
fn rows_are_those_of_a1111() {
    let clip = Vocabulary::clip().unwrap();
    let goldens = goldens();
    let padded = clip.clone().padded_with("!");
    for (rows, vocabulary) in [(goldens.rows, &clip), (goldens.padded_rows, &padded)] {
        for (prompt, wanted) in rows {
            let found = chunks(&prompt, vocabulary, &Dictionary::default(), 77).unwrap();
            assert_eq!(found.len(), wanted.len(), "{prompt:?}");
            for (found, (tokens, weights)) in found.iter().zip(wanted) {
                assert_eq!(found.tokens, tokens, "{prompt:?}");
                let wanted: Vec<f32> = weights.into_iter().map(|weight| weight as f32).collect();
                assert_eq!(found.weights, wanted, "{prompt:?}");
            }
        }
    }
}

/// What nobody writes by hand: deep nesting and long runs of brackets end in time and without a deep stack.
#[test]
fn hostile_prompts_are_read_in_time() {
    let clip = Vocabulary::clip().unwrap();
    for pattern in
        ["[", "(", "[a:", "[a|", "(a:", "[[a:b:0.5]", "\\", "]", ":1.2)", "[|", "((a:1.2):", "BREAK ", "[a:b:"]
    {
        let prompt = pattern.repeat(60_000 / pattern.len());
        let texts = schedule(&prompt, Evaluations { count: 20, before: None });
        assert_eq!(texts.last().unwrap().0, 20, "{pattern}");
        assert!(!pieces(&prompt).is_empty() && !compose(&prompt).is_empty());
    }
    let nested = format!("{}x{}", "[".repeat(40), ":3]".repeat(40));
    assert_eq!(schedule(&nested, Evaluations { count: 5, before: None }), [(3, String::new()), (5, "x".to_owned())]);
    assert_eq!(chunks(&"BREAK ".repeat(3), &clip, &Dictionary::default(), 77).unwrap().len(), 3);
}
