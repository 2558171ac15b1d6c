//! Several prompts for one picture, as A1111 reads them: `a cat :1.2 AND a dog :0.8` (Liu et al. 2022, composable
//! diffusion).
//!
//! Facts from AUTOMATIC1111/stable-diffusion-webui v1.10 `modules/prompt_parser.py` (`get_multicond_prompt_list`): what
//! looks like a weight at a prompt's end is one, even where there is only one prompt.

use super::words::alone;

const AND: &str = "AND";

/// The prompts that a prompt is made of, with their weights; there is at least one.
pub(crate) fn compose(prompt: &str) -> Vec<(String, f64)> {
    let mut parts = Vec::new();
    let mut from = 0;
    for place in alone(prompt, AND) {
        parts.push(weighted(&prompt[from..place.start]));
        from = place.end;
    }
    parts.push(weighted(&prompt[from..]));
    parts
}

/// `a cat : 1.2 ` → `a cat` and 1.2.
fn weighted(part: &str) -> (String, f64) {
    let part = part.trim_end();
    let split = part.rsplit_once(':').and_then(|(text, number)| Some((text.trim_end(), weight(number.trim_start())?)));
    let (text, weight) = split.unwrap_or((part, 1.0));
    (text.to_owned(), weight)
}

/// A number without exponent: `1`, `1.`, `1.5`, `.5`, with a sign if need be; but no digits behind the point of `1.`
/// other than those of the number.
fn weight(text: &str) -> Option<f64> {
    let signless = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = signless.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit())
        && signless.bytes().any(|byte| byte.is_ascii_digit())
        && signless.bytes().filter(|byte| *byte == b'.').count() <= 1;
    if is_number { text.parse().ok() } else { None }
}
