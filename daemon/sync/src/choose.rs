//! Which files of a version are wanted: by what they are, never all variants blindly. Pure.
//!
//! CivitAI: the primary weights and small companions (tokenizer, configuration). Hugging Face: a diffusers layout
//! as one snapshot with one variant (fp16 when offered), otherwise one variant of each weights file.

use paintbox_domain::{FileFormat, Hub, ModelKind};
use std::collections::BTreeMap;

/// Textual inversions take less; a larger pickle is something else, whatever the hub calls it.
const LARGEST_PICKLED_EMBEDDING_BYTES: u64 = 16 << 20;
/// Companions larger than this are not configuration.
const LARGEST_COMPANION_BYTES: u64 = 4 << 20;

/// Folders of a diffusers pipeline that painting needs (diffusers `model_index.json` component names).
const COMPONENT_FOLDERS: &[&str] = &[
    "unet",
    "transformer",
    "prior",
    "decoder",
    "vae",
    "vqgan",
    "text_encoder",
    "text_encoder_2",
    "text_encoder_3",
    "tokenizer",
    "tokenizer_2",
    "tokenizer_3",
    "scheduler",
];

/// What the choice looks at.
#[derive(Debug, Clone)]
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'a str,
    pub(crate) format: FileFormat,
    pub(crate) kind_label: Option<&'a str>,
    pub(crate) primary: bool,
    pub(crate) size_bytes: Option<u64>,
}

/// The verdict on one file: a stable code and the same in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Wanted,
    NotPrimary,
    PickleRefused,
    ArchiveRefused,
    TrainingData,
    OtherVariant,
    NotNeeded,
}

impl Choice {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::NotPrimary => "not_primary",
            Self::PickleRefused => "pickle_refused",
            Self::ArchiveRefused => "archive_refused",
            Self::TrainingData => "training_data",
            Self::OtherVariant => "other_variant",
            Self::NotNeeded => "not_needed",
        }
    }

    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Wanted => "wanted by the follow",
            Self::NotPrimary => "the creator marked another file of this version as the one to use",
            Self::PickleRefused => {
                "Python pickles can run code when opened; of them only textual inversions are fetched, which are read without running them"
            }
            Self::ArchiveRefused => "archives are never unpacked, so there is nothing to do with it",
            Self::TrainingData => "training data, not a model",
            Self::OtherVariant => "the same weights are fetched in another variant",
            Self::NotNeeded => "not needed for painting",
        }
    }
}

/// One verdict for each candidate, in order.
pub(crate) fn choose(hub: Hub, kind: ModelKind, files: &[Candidate<'_>]) -> Vec<Choice> {
    match hub {
        Hub::Civitai => choose_civitai(kind, files),
        Hub::HuggingFace if files.iter().any(|file| file.name == "model_index.json") => choose_diffusers(files),
        Hub::HuggingFace => choose_loose(kind, files),
    }
}

fn refused_by_format(file: &Candidate<'_>) -> Option<Choice> {
    match file.format {
        FileFormat::Pickle => Some(Choice::PickleRefused),
        FileFormat::Archive => Some(Choice::ArchiveRefused),
        FileFormat::Onnx => Some(Choice::NotNeeded),
        FileFormat::Safetensors
        | FileFormat::Gguf
        | FileFormat::Json
        | FileFormat::Text
        | FileFormat::Image
        | FileFormat::Other => None,
    }
}

fn is_companion(file: &Candidate<'_>) -> bool {
    matches!(file.format, FileFormat::Json | FileFormat::Text)
        && file.size_bytes.is_none_or(|size| size <= LARGEST_COMPANION_BYTES)
}

/// The vectors of words are often pickles and nothing else. What is fetched as one is read without running it before it gets
/// a name.
fn is_pickled_embedding(kind: ModelKind, file: &Candidate<'_>) -> bool {
    kind == ModelKind::TextualInversion
        && file.format == FileFormat::Pickle
        && file.size_bytes.is_some_and(|size| size <= LARGEST_PICKLED_EMBEDDING_BYTES)
}

fn choose_civitai(kind: ModelKind, files: &[Candidate<'_>]) -> Vec<Choice> {
    let is_training_data = |file: &Candidate<'_>| file.kind_label == Some("Training Data");
    let weights = |file: &&Candidate<'_>| file.format.is_weights() && !is_training_data(file);
    let has_weights = files.iter().any(|file| weights(&file));
    let pickled = |file: &&Candidate<'_>| is_pickled_embedding(kind, file) && !is_training_data(file);
    let fetchable = |file: &&Candidate<'_>| if has_weights { weights(file) } else { pickled(file) };
    // The primary mark may sit on a file that is not listed; then the first model file stands in.
    let main = files
        .iter()
        .find(|file| fetchable(file) && file.primary)
        .or_else(|| files.iter().find(|file| fetchable(file) && file.kind_label == Some("Model")))
        .or_else(|| files.iter().find(fetchable));
    files
        .iter()
        .map(|file| {
            if is_training_data(file) {
                Choice::TrainingData
            } else if main.is_some_and(|main| std::ptr::eq(main, file)) {
                Choice::Wanted
            } else if let Some(refused) = refused_by_format(file) {
                refused
            } else if file.format.is_weights() {
                Choice::NotPrimary
            } else if is_companion(file) && main.is_some() {
                Choice::Wanted
            } else {
                Choice::NotNeeded
            }
        })
        .collect()
}

fn choose_diffusers(files: &[Candidate<'_>]) -> Vec<Choice> {
    let component = |name: &str| name.split_once('/').map(|(folder, _)| folder.to_owned());
    let in_component = |name: &str| component(name).is_some_and(|folder| COMPONENT_FOLDERS.contains(&folder.as_str()));
    // One variant per component folder: fp16 where it is offered.
    let mut folders: BTreeMap<String, Variant> = BTreeMap::new();
    for file in files.iter().filter(|file| file.format.is_weights() && in_component(file.name)) {
        let folder = component(file.name).unwrap_or_default();
        let variant = Variant::of(file.name);
        let best = folders.entry(folder).or_insert(variant);
        *best = (*best).min(variant);
    }
    files
        .iter()
        .map(|file| {
            let at_root = !file.name.contains('/');
            if let Some(refused) = refused_by_format(file) {
                refused
            } else if at_root && file.format.is_weights() {
                Choice::OtherVariant
            } else if at_root && (file.name == "model_index.json" || file.name == "README.md") {
                Choice::Wanted
            } else if !in_component(file.name) {
                Choice::NotNeeded
            } else if file.format.is_weights() {
                let wanted = component(file.name).and_then(|folder| folders.get(&folder).copied());
                if wanted == Some(Variant::of(file.name)) { Choice::Wanted } else { Choice::OtherVariant }
            } else if is_companion(file) {
                // A shard index belongs to its variant.
                match component(file.name).and_then(|folder| folders.get(&folder).copied()) {
                    Some(wanted) if file.name.contains(".safetensors.index") && Variant::of(file.name) != wanted => {
                        Choice::OtherVariant
                    }
                    _ => Choice::Wanted,
                }
            } else {
                Choice::NotNeeded
            }
        })
        .collect()
}

fn choose_loose(kind: ModelKind, files: &[Candidate<'_>]) -> Vec<Choice> {
    let mut groups: BTreeMap<String, (Variant, &str)> = BTreeMap::new();
    for file in files.iter().filter(|file| file.format.is_weights()) {
        let variant = Variant::of(file.name);
        // Adapters of one repository are different works, not variants of one.
        let group = if kind == ModelKind::Lora { file.name.to_owned() } else { group_name(file.name) };
        let best = groups.entry(group).or_insert((variant, file.name));
        *best = (*best).min((variant, file.name));
    }
    files
        .iter()
        .map(|file| {
            if groups.is_empty() && is_pickled_embedding(kind, file) {
                Choice::Wanted
            } else if let Some(refused) = refused_by_format(file) {
                refused
            } else if file.format.is_weights() {
                if groups.values().any(|(_, name)| *name == file.name) { Choice::Wanted } else { Choice::OtherVariant }
            } else if !file.name.contains('/') && is_companion(file) && !groups.is_empty() {
                Choice::Wanted
            } else {
                Choice::NotNeeded
            }
        })
        .collect()
}

/// Variants of the same weights, the preferred first: half precision is what Macs compute in, and eight-bit GGUF
/// is the smallest that loses nothing visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Variant {
    Fp16,
    Bf16,
    Plain,
    Q8,
    Fp32,
    Other,
}

const VARIANT_WORDS: &[(&str, Variant)] = &[
    ("fp16", Variant::Fp16),
    ("f16", Variant::Fp16),
    ("bf16", Variant::Bf16),
    ("fp32", Variant::Fp32),
    ("f32", Variant::Fp32),
    ("q8_0", Variant::Q8),
    ("fp8", Variant::Other),
    ("non_ema", Variant::Other),
    ("ema", Variant::Other),
    ("emaonly", Variant::Plain),
    ("pruned", Variant::Plain),
];

fn words(name: &str) -> impl Iterator<Item = String> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_ascii_lowercase();
    stem.split(['.', '-', '/']).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

impl Variant {
    fn of(name: &str) -> Self {
        for word in words(name) {
            if let Some((_, variant)) = VARIANT_WORDS.iter().find(|(known, _)| *known == word) {
                return *variant;
            }
            if is_quantisation(&word) {
                return Self::Other;
            }
        }
        Self::Plain
    }
}

/// llama.cpp's quantisation names: `q4_k_m`, `iq3_xs`.
fn is_quantisation(word: &str) -> bool {
    let word = word.strip_prefix('i').unwrap_or(word);
    word.strip_prefix('q').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains('_'))
}

/// A weights file's name without the words that tell variants apart.
fn group_name(name: &str) -> String {
    let kept: Vec<String> = words(name)
        .filter(|word| !VARIANT_WORDS.iter().any(|(known, _)| known == word) && !is_quantisation(word))
        .collect();
    kept.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Candidate<'_> {
        Candidate {
            name,
            format: FileFormat::from_file_name(name),
            kind_label: None,
            primary: false,
            size_bytes: Some(1000),
        }
    }

    fn wanted<'a>(hub: Hub, kind: ModelKind, names: &[&'a str]) -> Vec<&'a str> {
        let files: Vec<_> = names.iter().map(|name| file(name)).collect();
        let choices = choose(hub, kind, &files);
        names.iter().zip(choices).filter(|(_, choice)| *choice == Choice::Wanted).map(|(name, _)| *name).collect()
    }

    #[test]
    fn takes_one_variant_of_a_diffusers_layout() {
        assert_eq!(
            wanted(
                Hub::HuggingFace,
                ModelKind::Checkpoint,
                &[
                    "README.md",
                    "model_index.json",
                    "sd_xl_base_1.0.safetensors",
                    "scheduler/scheduler_config.json",
                    "text_encoder/config.json",
                    "text_encoder/flax_model.msgpack",
                    "text_encoder/model.fp16.safetensors",
                    "text_encoder/model.onnx",
                    "text_encoder/model.safetensors",
                    "text_encoder/pytorch_model.bin",
                    "tokenizer/vocab.json",
                    "tokenizer/merges.txt",
                    "unet/config.json",
                    "unet/diffusion_pytorch_model.fp16.safetensors",
                    "unet/diffusion_pytorch_model.safetensors",
                    "vae/config.json",
                    "vae/diffusion_pytorch_model.safetensors",
                    "vae_1_0/diffusion_pytorch_model.safetensors",
                    "safety_checker/model.safetensors",
                ]
            ),
            [
                "README.md",
                "model_index.json",
                "scheduler/scheduler_config.json",
                "text_encoder/config.json",
                "text_encoder/model.fp16.safetensors",
                "tokenizer/vocab.json",
                "tokenizer/merges.txt",
                "unet/config.json",
                "unet/diffusion_pytorch_model.fp16.safetensors",
                "vae/config.json",
                "vae/diffusion_pytorch_model.safetensors",
            ]
        );
    }

    #[test]
    fn takes_one_quantisation_and_one_precision_of_loose_files() {
        assert_eq!(
            wanted(Hub::HuggingFace, ModelKind::Unknown, &["flux1-dev-Q4_K_S.gguf", "flux1-dev-Q8_0.gguf"]),
            ["flux1-dev-Q8_0.gguf"]
        );
        assert_eq!(
            wanted(Hub::HuggingFace, ModelKind::Checkpoint, &["model-fp16.safetensors", "model.safetensors", "a.ckpt"]),
            ["model-fp16.safetensors"]
        );
    }

    #[test]
    fn takes_every_adapter_of_an_adapter_repository() {
        let names = ["cat.safetensors", "dog-fp16.safetensors"];
        assert_eq!(wanted(Hub::HuggingFace, ModelKind::Lora, &names), names);
    }

    #[test]
    fn takes_the_primary_weights_and_small_companions_of_civitai() {
        let mut files = [
            file("data.zip"),
            file("full.safetensors"),
            file("pruned.safetensors"),
            file("old.ckpt"),
            file("tokenizer.json"),
        ];
        files[0].kind_label = Some("Training Data");
        files[2].primary = true;
        assert_eq!(
            choose(Hub::Civitai, ModelKind::Checkpoint, &files),
            [Choice::TrainingData, Choice::NotPrimary, Choice::Wanted, Choice::PickleRefused, Choice::Wanted]
        );
    }

    #[test]
    fn a_version_whose_primary_is_hidden_still_gives_its_model_file() {
        let mut files = [file("vae.safetensors"), file("model.safetensors")];
        files[0].kind_label = Some("VAE");
        files[1].kind_label = Some("Model");
        assert_eq!(choose(Hub::Civitai, ModelKind::Checkpoint, &files), [Choice::NotPrimary, Choice::Wanted]);
    }

    #[test]
    fn of_pickles_only_small_textual_inversions_are_taken_and_only_where_nothing_better_is_offered() {
        let embedding = ModelKind::TextualInversion;
        for hub in [Hub::Civitai, Hub::HuggingFace] {
            assert_eq!(wanted(hub, embedding, &["lamp.pt", "lamp.png"]), ["lamp.pt"]);
            assert_eq!(wanted(hub, embedding, &["lamp.pt", "lamp.safetensors"]), ["lamp.safetensors"]);
            assert_eq!(wanted(hub, ModelKind::Lora, &["lamp.pt"]), Vec::<&str>::new());
        }
        for size_bytes in [None, Some(LARGEST_PICKLED_EMBEDDING_BYTES + 1)] {
            let large = [Candidate { size_bytes, ..file("lamp.pt") }];
            assert_eq!(choose(Hub::Civitai, embedding, &large), [Choice::PickleRefused]);
        }
    }

    #[test]
    fn companions_of_nothing_are_not_fetched() {
        assert_eq!(wanted(Hub::Civitai, ModelKind::Other, &["notes.txt"]), Vec::<&str>::new());
    }
}
