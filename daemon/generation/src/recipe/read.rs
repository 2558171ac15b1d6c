//! From bytes that somebody gives us to a recipe: a picture, a text, or a graph. Pure and bounded, since what comes is a
//! stranger's: `daemon/generation/fuzz` does nothing else.

use super::fields::{self, Field, LONGEST_TEXT};
use super::{Recipe, a1111, civitai, comfy, others};
use paintbox_domain::{Classify, ErrorClass, reason};
use serde_json::Value;

/// Why there is no recipe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    #[error("it is neither a PNG, JPEG or WebP picture, nor a text or graph that says how one was made")]
    NotReadable,
    #[error("the picture does not say how it was made")]
    NoRecipe,
    /// Something that looks like a recipe is in the picture.
    #[error("how the picture was made is not understood: it has {}", found.join(" and "))]
    NotUnderstood { found: Vec<String> },
}

impl Classify for RecipeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotReadable => ErrorClass::InvalidInput,
            Self::NoRecipe => ErrorClass::NotFound,
            Self::NotUnderstood { .. } => ErrorClass::Unsupported,
        }
    }

    fn reason(&self) -> &'static str {
        reason::RECIPE_NOT_FOUND
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotReadable => return None,
            Self::NoRecipe => "sites and messengers often remove it; the file as its program saved it has it",
            Self::NotUnderstood { .. } => {
                "A1111, Forge, ComfyUI, InvokeAI, SwarmUI and CivitAI are understood, and graphs that sample once"
            }
        };
        Some(hint.to_owned())
    }
}

/// A1111's text in a picture, or the like of it for what another program says; empty where nothing is said.
#[must_use]
pub fn parameters_of(picture: &[u8]) -> String {
    let fields = fields::of_picture(picture).unwrap_or_default();
    let has_settings = |field: &&Field| field.key == "parameters" && a1111::recipe(&field.text).is_some();
    match fields.iter().find(has_settings) {
        Some(field) => field.text.trim().to_owned(),
        None => of_fields(&fields).map(|recipe| recipe.parameters_text()).unwrap_or_default(),
    }
}

impl Recipe {
    /// The recipe in a PNG, JPEG or WebP, in A1111's text, or in a graph of ComfyUI as JSON.
    ///
    /// # Errors
    /// When there is none, or none that is understood.
    pub fn read(bytes: &[u8]) -> Result<Self, RecipeError> {
        if let Some(found) = fields::of_picture(bytes) {
            return of_fields(&found);
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST_TEXT);
        text.and_then(of_text).ok_or(RecipeError::NotReadable)
    }

    /// The recipe in the generation data of a picture on CivitAI, a JSON object.
    ///
    /// # Errors
    /// When it says nothing of how the picture was made.
    pub fn of_civitai(meta: &str) -> Result<Self, RecipeError> {
        let meta = json(meta);
        meta.as_ref().and_then(Value::as_object).and_then(civitai::recipe).ok_or(RecipeError::NoRecipe)
    }
}

/// Texts say more of what was meant than graphs, and the graph that ran more than the one that was edited.
fn of_fields(found: &[Field]) -> Result<Recipe, RecipeError> {
    for key in ["parameters", "sui_image_params", "invokeai_metadata", "prompt", "workflow"] {
        for field in found.iter().filter(|field| field.key == key) {
            if let Some(recipe) = of_text(&field.text) {
                return Ok(recipe);
            }
        }
    }
    if found.is_empty() {
        return Err(RecipeError::NoRecipe);
    }
    let mut names: Vec<String> = found.iter().map(|field| format!("`{}`", field.key)).collect();
    names.dedup();
    Err(RecipeError::NotUnderstood { found: names })
}

fn of_text(text: &str) -> Option<Recipe> {
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.starts_with('{').then(|| json(text)).flatten() {
        Some(value) => of_json(&value),
        None => a1111::recipe(text),
    }
}

fn of_json(value: &Value) -> Option<Recipe> {
    let object = value.as_object()?;
    let graphs = || {
        let prompt = object.get("prompt").filter(|prompt| prompt.is_object()).and_then(comfy::recipe);
        prompt.or_else(|| comfy::recipe_of_workflow(object.get("workflow")?))
    };
    others::of_swarm(object)
        .or_else(|| others::of_invoke(object))
        .or_else(|| comfy::recipe(value))
        .or_else(|| comfy::recipe_of_workflow(value))
        .or_else(graphs)
        .or_else(|| civitai::recipe(object))
}

/// JSON as Python writes it, where numbers may be `NaN` or infinite.
pub(super) fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&without_bare_words(text)).ok())
}

/// The text with `null` for the numbers that JSON does not have, outside of strings.
fn without_bare_words(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for (index, part) in strings_apart(text).enumerate() {
        // Every second part is a string.
        if index % 2 == 0 {
            cleaned.push_str(&part.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null"));
        } else {
            cleaned.push_str(part);
        }
    }
    cleaned
}

/// What is between strings, and the strings with their quotes, in turn.
fn strings_apart(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let mut in_string = false;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let bytes = rest.as_bytes();
        let mut end = usize::from(in_string);
        while end < bytes.len() {
            match bytes[end] {
                b'\\' if in_string => end += 2,
                b'"' => break,
                _ => end += 1,
            }
        }
        let end = if in_string { end + 1 } else { end }.min(bytes.len());
        // A backslash may stand before a character of several bytes.
        let end = rest.ceil_char_boundary(end);
        let (part, after) = rest.split_at(end);
        (rest, in_string) = (after, !in_string);
        Some(part)
    })
}

#[cfg(test)]
mod tests;
