//! Everything that happens to a stranger's picture, text or graph before anything in it is believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paintbox_generation::Recipe;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _of_civitai = Recipe::of_civitai(text);
    }
    let Ok(recipe) = Recipe::read(bytes) else { return };
    assert!(recipe.remarks.len() <= 60 && recipe.loras.len() <= 200);
    // Whatever was read can be written, and what is written can be read.
    let text = recipe.parameters_text();
    if recipe.steps.is_some() {
        assert!(Recipe::read(text.as_bytes()).is_ok(), "{text}");
    }
});
