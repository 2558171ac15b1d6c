//! A1111's `parameters` text, as A1111, Forge, SD.Next and every tool that imitates them write it.
//!
//! AUTOMATIC1111/stable-diffusion-webui 1.10, `modules/infotext_utils.py` `parse_generation_parameters`. Where extensions
//! append lines behind the settings, the settings are found as CivitAI finds them: on the line that begins with `Steps: `
//! (civitai/civitai @ ebed661630d3, `src/utils/metadata/automatic.metadata.ts`).

use super::Recipe;
use super::reading::Reading;

/// A longer text is no recipe.
const LONGEST_TEXT_BYTES: usize = 1 << 20;
/// Settings on one line.
const MOST_SETTINGS: usize = 1000;
/// With fewer, a line is words of the prompt (`parse_generation_parameters`).
const FEWEST_SETTINGS: usize = 3;
const NEGATIVE: &str = "Negative prompt:";

/// The recipe of a text; none if it has no settings.
pub(super) fn recipe(text: &str) -> Option<Recipe> {
    if text.len() > LONGEST_TEXT_BYTES {
        return None;
    }
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let lines: Vec<&str> = text.trim().split('\n').collect();
    let at = settings_line(&lines)?;
    let mut reading = Reading::of_a1111();
    let (prompt, negative) = prompts(&lines[..at]);
    reading.recipe.prompt = prompt;
    reading.recipe.negative_prompt = negative;
    for (key, value) in settings(lines[at]) {
        match key {
            Some(key) => reading.set(key, &value),
            None => reading.remark("parameters", &value, "it is not a setting"),
        }
    }
    if let Some(program) = &reading.recipe.program {
        // Nodes that write A1111's text say so, and their noise is a CPU's.
        reading.noise_is_of_gpu &= !program.to_ascii_lowercase().contains("comfy");
    }
    for line in &lines[at + 1..] {
        // Templates that prompts were made from say nothing more of the picture.
        if !line.starts_with("Template:") && !line.starts_with("Negative Template:") && !line.trim().is_empty() {
            reading.remark("parameters", line, "it stands behind the settings");
        }
    }
    Some(reading.finish())
}

/// The prompts and settings of a text by A1111's names for them, as they are written; nothing of a text without settings.
#[must_use]
pub fn parameters(text: &str) -> Vec<(String, String)> {
    if text.len() > LONGEST_TEXT_BYTES {
        return Vec::new();
    }
    let text = text.replace("\r\n", "\n");
    let lines: Vec<&str> = text.trim().split('\n').collect();
    let Some(at) = settings_line(&lines) else { return Vec::new() };
    let (prompt, negative) = prompts(&lines[..at]);
    let prompts = [("Prompt".to_owned(), prompt), ("Negative prompt".to_owned(), negative)];
    let named = settings(lines[at]).into_iter().filter_map(|(key, value)| Some((key?.to_owned(), value)));
    prompts.into_iter().chain(named).collect()
}

fn settings_line(lines: &[&str]) -> Option<usize> {
    let begins = |line: &&str| {
        let rest = line.trim_start().strip_prefix("Steps:").map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let last = lines.len().checked_sub(1)?;
    lines.iter().rposition(begins).or_else(|| {
        let named = settings(lines[last]).iter().filter(|(key, _)| key.is_some()).count();
        (named >= FEWEST_SETTINGS).then_some(last)
    })
}

/// What stands before the settings: the prompt, and from a line that says so on the negative prompt.
fn prompts(lines: &[&str]) -> (String, String) {
    let mut prompts = [Vec::new(), Vec::new()];
    let mut is_negative = false;
    for line in lines {
        match line.trim_start().strip_prefix(NEGATIVE) {
            Some(rest) => {
                is_negative = true;
                prompts[1].push(rest.trim_start());
            }
            None => prompts[usize::from(is_negative)].push(line),
        }
    }
    let [prompt, negative] = prompts.map(|lines| lines.join("\n").trim().to_owned());
    (prompt, negative)
}

/// The settings of a line in their order, by key; what is between two commas and has none comes without.
///
/// A value is a JSON string, a JSON object or list, or everything up to the next comma.
fn settings(line: &str) -> Vec<(Option<&str>, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    while found.len() < MOST_SETTINGS {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if rest.is_empty() {
            break;
        }
        let Some(at) = rest.find([':', ',']).filter(|at| rest.as_bytes()[*at] == b':') else {
            let end = rest.find(',').unwrap_or(rest.len());
            found.push((None, rest[..end].trim().to_owned()));
            rest = &rest[end..];
            continue;
        };
        let key = rest[..at].trim();
        rest = rest[at + 1..].trim_start();
        let (value, length) = value(rest);
        found.push((Some(key), value));
        rest = &rest[length..];
    }
    found
}

/// The value that a text begins with, and how many bytes it takes.
fn value(text: &str) -> (String, usize) {
    let plain = || {
        let end = text.find(',').unwrap_or(text.len());
        (text[..end].trim().to_owned(), end)
    };
    let ends =
        |length: &usize| text[*length..].trim_start().is_empty() || text[*length..].trim_start().starts_with(',');
    match text.as_bytes().first() {
        Some(b'"') => {
            let Some(length) = end_of_string(text.as_bytes()).filter(ends) else { return plain() };
            let quoted = &text[..length];
            // Older versions quote without escaping.
            let value = serde_json::from_str(quoted).unwrap_or_else(|_| quoted[1..length - 1].to_owned());
            (value, length)
        }
        Some(b'{' | b'[') => match end_of_json(text.as_bytes()).filter(ends) {
            Some(length) => (text[..length].to_owned(), length),
            None => plain(),
        },
        _ => plain(),
    }
}

/// The length of the JSON string that `bytes` begin with.
fn end_of_string(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The length of the JSON object or list that `bytes` begin with.
fn end_of_json(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at += end_of_string(&bytes[at..])? - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests;
