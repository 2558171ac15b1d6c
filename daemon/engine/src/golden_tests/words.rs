//! Textual inversions: what a prompt says with them, against transformers (`make_adapters.py`).

use super::families::write;
use super::{Silence, engine, request};
use crate::load::{Merges, blueprint, index};
use crate::model::{Model, Wording};
use crate::residence::{FullPrecision, Precisions, Residence};
use crate::testing::{GoldenTensors, close, golden_path, single_file, tiny_folder};
use crate::text::Evaluations;
use candle_core::{Device, Tensor};
use paintbox_domain::generation::{EmbeddingFile, Generator, PaintRequest};
use paintbox_domain::{Sha256, reason};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn embedding(name: &str, path: PathBuf) -> EmbeddingFile {
    EmbeddingFile { name: name.to_owned(), path, sha256: Sha256::from_bytes([7; 32]) }
}

fn lantern(name: &str) -> EmbeddingFile {
    embedding(name, tiny_folder().join("embedding/lantern.safetensors"))
}

#[test]
fn a_word_of_a_prompt_is_what_its_file_says_in_every_form() {
    let index = index(&single_file()).unwrap();
    let blueprint = blueprint(&index).unwrap();
    let precisions = Precisions::of(false, FullPrecision::default());
    let residence = Residence::new(index, Merges::default(), Device::Cpu, precisions);
    let model = Model::new(blueprint, &Device::Cpu, residence).unwrap();
    let said = |prompt: &str, files: &[EmbeddingFile]| -> (Tensor, Vec<usize>) {
        let lexicon = model.lexicon(files).unwrap();
        let evaluations = Evaluations { count: 1, before: None };
        let wording = Wording { prompt, lexicon: &lexicon, negative: false, clip_skip: 1, size: (64, 64), evaluations };
        let spoken = model.listen(wording).unwrap().remove(0);
        (spoken.text(0).context.clone(), spoken.words.into_iter().collect())
    };
    let golden = GoldenTensors::open("adapters/words.safetensors").tensor("states");
    let diffusers = |name| embedding(name, golden_path("adapters/word-diffusers.safetensors"));
    for file in [lantern("zz lamp"), diffusers("zz lamp")] {
        let (states, words) = said("red ZZ lamp heart", std::slice::from_ref(&file));
        close("a word among others", &states, &golden);
        assert_eq!(words, [0]);
        assert!(said("red heart", &[file]).1.is_empty());
    }
    // One for another model leaves its name what it is.
    let elsewhere = embedding("zz lamp", golden_path("adapters/word-elsewhere.safetensors"));
    let (plain, none) = said("red zz lamp heart", &[]);
    let (ignored, words) = said("red zz lamp heart", &[elsewhere]);
    assert_eq!((none, words), (vec![], vec![]));
    close("the name of another model's word", &ignored, &plain);
}

#[test]
fn a_painting_tells_which_words_were_said() {
    let with = |prompt: &str, negative: &str, embeddings: Vec<EmbeddingFile>| PaintRequest {
        prompt: prompt.to_owned(),
        negative_prompt: negative.to_owned(),
        embeddings,
        steps: Some(2),
        ..request(&single_file())
    };
    let mut engine = engine();
    let mut paint = |request: &PaintRequest| engine.paint(request, &Silence);
    let both = || vec![lantern("zzlamp"), lantern("zzblur"), lantern("zznever")];
    let painted = paint(&with("a zzlamp", "zzblur", both())).unwrap();
    assert_eq!(painted.embeddings, ["zzlamp", "zzblur"]);
    let plain = paint(&with("a zzlamp", "zzblur", vec![])).unwrap();
    assert!(plain.embeddings.is_empty() && plain.images != painted.images);
    // What is no textual inversion is refused by its name.
    let broken = embedding("zzlamp", tiny_folder().join("tiny-emoji.safetensors"));
    let failure = paint(&with("a zzlamp", "", vec![broken])).unwrap_err();
    assert_eq!(failure.reason, reason::NOT_A_MODEL_FILE);
    assert!(failure.message.contains("zzlamp"), "{}", failure.message);
}

#[test]
fn what_torch_saved_paints_as_the_same_vectors_in_safetensors_and_what_would_run_is_refused() {
    let golden = GoldenTensors::open("torch.safetensors");
    let root = tempfile::tempdir().unwrap();
    let mut engine = engine();
    let mut paint = |path: PathBuf| {
        let (prompt, embeddings) = ("a zzlamp".to_owned(), vec![embedding("zzlamp", path)]);
        let model = single_file();
        engine.paint(&PaintRequest { prompt, embeddings, steps: Some(2), ..request(&model) }, &Silence)
    };
    let mut pictures = Vec::new();
    for name in golden.names() {
        let (file, tensor) = name.split_once('/').unwrap();
        // XL's vectors are not this model's.
        if file == "xl.pt" {
            continue;
        }
        let vectors = golden.tensor(&name);
        let same = root.path().join("same.safetensors");
        write(&same, &BTreeMap::from([("emb_params".to_owned(), (vectors.dims().to_vec(), golden.values(&name)))]));
        let painted = paint(golden_path(&format!("torch/{file}"))).unwrap();
        assert_eq!(painted.embeddings, ["zzlamp"], "{file}, {tensor}");
        assert!(painted == paint(same).unwrap(), "{file} is read otherwise than its vectors are");
        pictures.push(painted.images);
    }
    assert_eq!(pictures.len(), 6);
    assert!(pictures.iter().any(|picture| *picture != pictures[0]));
    let refused = paint(golden_path("torch/refused-system.pt")).unwrap_err();
    assert_eq!(refused.reason, reason::UNSAFE_FORMAT);
    assert!(refused.message.contains("posix.system"), "{}", refused.message);
}
