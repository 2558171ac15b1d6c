//! What a file's metadata declares about how it was made: kohya's `ss_*` keys and the `modelspec.*` keys of Stability's
//! model metadata standard.
//!
//! Nothing of it is believed: it is the author's word, kept beside what tensors prove. Every text is bounded and rid of
//! control characters, every list is bounded while it is read, and a value that is not what its key promises is left out.
//!
//! Sources: kohya-ss/sd-scripts `train_network.py` at 48d368fa (keys and how it writes them, `None` and booleans as Python prints
//! them) and `library/sai_model_spec.py`; Stability-AI/ModelSpec.

mod tags;

use std::collections::BTreeMap;

type Metadata = BTreeMap<String, String>;

/// Characters that are kept of names, and of texts.
const NAME_CHARACTERS: usize = 200;
const TEXT_CHARACTERS: usize = 4_000;
/// Entries that are kept of lists.
const KEPT_TAGS: usize = 50;
const KEPT_DATASETS: usize = 50;

macro_rules! training_metadata {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $read:expr;)+) => {
        /// What the author of a file says of it. Everything is optional.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct TrainingMetadata {
            $($(#[$doc])* pub $field: $type,)+
        }

        impl TrainingMetadata {
            /// Reads what there is; what is missing, odd or too large is left out.
            #[must_use]
            pub fn read(metadata: &BTreeMap<String, String>) -> Self {
                if metadata.is_empty() {
                    return Self::default();
                }
                Self { $($field: $read(metadata),)+ }
            }
        }
    };
}

/// Reads a short text.
macro_rules! name { ($($key:literal),+) => { |metadata: &Metadata| first(metadata, &[$($key),+], |text| clean(text, NAME_CHARACTERS)) } }
/// Reads a longer text.
macro_rules! text { ($($key:literal),+) => { |metadata: &Metadata| first(metadata, &[$($key),+], |text| clean(text, TEXT_CHARACTERS)) } }
/// Reads a whole number.
macro_rules! count { ($($key:literal),+) => { |metadata: &Metadata| first(metadata, &[$($key),+], whole) } }
/// Reads a number.
macro_rules! number { ($($key:literal),+) => { |metadata: &Metadata| first(metadata, &[$($key),+], finite) } }
/// Reads what Python prints for a truth.
macro_rules! truth { ($($key:literal),+) => { |metadata: &Metadata| first(metadata, &[$($key),+], python_bool) } }

training_metadata! {
    /// `sdxl_base_v1-0`, `sd_v1`, `flux1` …: what the trainer was told it trains on.
    base_model_version: Option<String> = name!("ss_base_model_version");
    /// The base model's file name.
    base_model_name: Option<String> = name!("ss_sd_model_name");
    /// The base model's SHA-256, or the older short hash.
    base_model_hash: Option<String> = name!("ss_new_sd_model_hash", "ss_sd_model_hash");
    network_module: Option<String> = name!("ss_network_module");
    network_dim: Option<u64> = count!("ss_network_dim");
    /// Divided by the rank, the scale that the product is multiplied by.
    network_alpha: Option<f64> = number!("ss_network_alpha");
    steps: Option<u64> = count!("ss_steps", "ss_max_train_steps");
    epochs: Option<u64> = count!("ss_epoch", "ss_num_epochs");
    batch_size: Option<u64> = count!("ss_total_batch_size", "ss_batch_size_per_device");
    learning_rate: Option<f64> = number!("ss_learning_rate");
    unet_learning_rate: Option<f64> = number!("ss_unet_lr");
    text_encoder_learning_rate: Option<f64> = number!("ss_text_encoder_lr");
    optimizer: Option<String> = name!("ss_optimizer");
    clip_skip: Option<u64> = count!("ss_clip_skip");
    seed: Option<u64> = count!("ss_seed");
    /// Trained on a Stable Diffusion 2.x.
    is_v2: Option<bool> = truth!("ss_v2");
    v_parameterization: Option<bool> = truth!("ss_v_parameterization");
    zero_terminal_snr: Option<bool> = truth!("ss_zero_terminal_snr");
    image_count: Option<u64> = count!("ss_num_train_images");
    regularisation_image_count: Option<u64> = count!("ss_num_reg_images");
    output_name: Option<String> = name!("ss_output_name");
    comment: Option<String> = text!("ss_training_comment");
    /// Seconds since 1970.
    started_at: Option<f64> = number!("ss_training_started_at");
    /// Seconds since 1970.
    finished_at: Option<f64> = number!("ss_training_finished_at");
    /// The most frequent tags of the captions, most frequent first, with how often they occur.
    tags: Vec<(String, u64)> = |metadata: &Metadata| metadata.get("ss_tag_frequency").map_or_else(Vec::new, |text| tags::most_frequent(text, KEPT_TAGS));
    /// Folders that were trained on, with the number of images in each.
    datasets: Vec<(String, u64)> = |metadata: &Metadata| metadata.get("ss_dataset_dirs").map_or_else(Vec::new, |text| tags::datasets(text, KEPT_DATASETS));
    title: Option<String> = name!("modelspec.title");
    author: Option<String> = name!("modelspec.author");
    description: Option<String> = text!("modelspec.description");
    license: Option<String> = text!("modelspec.license");
    /// `stable-diffusion-xl-v1-base/lora`: the standard's own names.
    declared_architecture: Option<String> = name!("modelspec.architecture", "general.architecture");
    implementation: Option<String> = name!("modelspec.implementation");
    trigger_phrase: Option<String> = text!("modelspec.trigger_phrase");
    declared_tags: Option<String> = text!("modelspec.tags");
    usage_hint: Option<String> = text!("modelspec.usage_hint");
    date: Option<String> = name!("modelspec.date");
    /// Of the tensors as they were when the file was written; nothing is verified by it.
    hash_sha256: Option<String> = name!("modelspec.hash_sha256");
    prediction_type: Option<String> = name!("modelspec.prediction_type");
    merged_from: Option<String> = text!("modelspec.merged_from");
    /// Whether a picture is inside, as a data URL.
    has_thumbnail: bool = |metadata: &Metadata| metadata.get("modelspec.thumbnail").is_some_and(|text| text.starts_with("data:image/"));
}

fn first<T>(metadata: &Metadata, keys: &[&str], read: impl Fn(&str) -> Option<T>) -> Option<T> {
    keys.iter().find_map(|key| read(metadata.get(*key)?))
}

/// The text without control characters, cut to `most` characters; nothing if nothing is left, or Python's `None`.
fn clean(text: &str, most: usize) -> Option<String> {
    // What lies beyond is never looked at, however long the value is.
    let kept: String = text.chars().filter(|character| !character.is_control()).take(most).collect();
    let kept = kept.trim();
    (!kept.is_empty() && kept != "None").then(|| kept.to_owned())
}

fn whole(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn finite(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn python_bool(text: &str) -> Option<bool> {
    match text.trim() {
        "True" | "true" => Some(true),
        "False" | "false" => Some(false),
        _ => None,
    }
}

/// The title or output name of a file, whoever wrote it.
pub(crate) fn title(metadata: &Metadata) -> Option<String> {
    first(metadata, &["modelspec.title", "general.name", "ss_output_name", "name"], |text| clean(text, NAME_CHARACTERS))
}

/// `1024x768` (modelspec) or `(512, 512)` and `512,512` (kohya), in pixels.
pub(crate) fn resolution(metadata: &Metadata) -> Option<(u32, u32)> {
    const LARGEST_SIDE_PIXELS: u32 = 65_536;
    first(metadata, &["modelspec.resolution", "ss_resolution"], |text| {
        let text = text.trim().trim_start_matches('(').trim_end_matches(')');
        let (width, height) = text.split_once(['x', 'X', ','])?;
        let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=LARGEST_SIDE_PIXELS).contains(side));
        Some((side(width)?, side(height)?))
    })
}

#[cfg(test)]
#[path = "training_tests.rs"]
mod tests;
