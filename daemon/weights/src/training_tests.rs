//! Metadata as trainers write it, and as somebody who means harm would.

use super::*;
use proptest::prelude::*;

fn read(pairs: &[(&str, &str)]) -> TrainingMetadata {
    TrainingMetadata::read(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn what_kohya_writes_is_read() {
    let found = read(&[
        ("ss_base_model_version", "sdxl_base_v1-0"),
        ("ss_sd_model_name", "ponyDiffusionV6XL.safetensors"),
        ("ss_sd_model_hash", "e577480d"),
        ("ss_new_sd_model_hash", "67ab2fd8ec439a89b3fedb15cc65f54336af163c7eb5e4f2acc98f090a29b0b3"),
        ("ss_network_module", "networks.lora"),
        ("ss_network_dim", "32"),
        ("ss_network_alpha", "16.0"),
        ("ss_steps", "1200"),
        ("ss_epoch", "10"),
        ("ss_learning_rate", "0.0001"),
        ("ss_unet_lr", "None"),
        ("ss_clip_skip", "2"),
        ("ss_v2", "False"),
        ("ss_v_parameterization", "True"),
        ("ss_num_train_images", "430"),
        ("ss_output_name", "lantern"),
        ("ss_training_comment", "made\u{7} by nobody"),
        ("ss_training_started_at", "1700000000.25"),
        ("ss_dataset_dirs", r#"{"10_lantern": {"n_repeats": 10, "img_count": 43}}"#),
        ("ss_tag_frequency", r#"{"10_lantern": {"1girl": 40, "lantern": 43}, "5_night": {"lantern": 7}}"#),
    ]);
    assert_eq!(found.base_model_version.as_deref(), Some("sdxl_base_v1-0"));
    assert_eq!(found.base_model_name.as_deref(), Some("ponyDiffusionV6XL.safetensors"));
    assert_eq!(found.base_model_hash.map(|hash| hash.len()), Some(64));
    assert_eq!((found.network_dim, found.network_alpha), (Some(32), Some(16.0)));
    assert_eq!((found.steps, found.epochs, found.image_count), (Some(1200), Some(10), Some(430)));
    assert_eq!((found.learning_rate, found.unet_learning_rate), (Some(0.0001), None));
    assert_eq!((found.is_v2, found.v_parameterization, found.clip_skip), (Some(false), Some(true), Some(2)));
    assert_eq!(found.comment.as_deref(), Some("made by nobody"));
    assert_eq!(found.started_at, Some(1_700_000_000.25));
    assert_eq!(found.datasets, [("10_lantern".to_owned(), 43)]);
    assert_eq!(found.tags, [("lantern".to_owned(), 50), ("1girl".to_owned(), 40)]);
}

#[test]
fn what_the_model_metadata_standard_knows_is_read() {
    let found = read(&[
        ("modelspec.title", "Lantern"),
        ("modelspec.architecture", "stable-diffusion-xl-v1-base/lora"),
        ("modelspec.trigger_phrase", "a lantern at night"),
        ("modelspec.prediction_type", "v"),
        ("modelspec.merged_from", "one, other"),
        ("modelspec.thumbnail", "data:image/jpeg;base64,AAAA"),
        ("modelspec.license", "CC-BY-4.0"),
    ]);
    assert_eq!(found.declared_architecture.as_deref(), Some("stable-diffusion-xl-v1-base/lora"));
    assert_eq!(found.trigger_phrase.as_deref(), Some("a lantern at night"));
    assert!(found.has_thumbnail);
    assert_eq!((found.prediction_type.as_deref(), found.license.as_deref()), (Some("v"), Some("CC-BY-4.0")));
}

#[test]
fn odd_values_are_left_out_and_large_ones_cut() {
    let long = "x".repeat(1_000_000);
    let found = read(&[
        ("ss_network_dim", "99999999999999999999999"),
        ("ss_network_alpha", "inf"),
        ("ss_steps", "-3"),
        ("ss_v2", "maybe"),
        ("ss_output_name", &long),
        ("modelspec.description", &long),
        ("ss_tag_frequency", "not json"),
        ("ss_dataset_dirs", "[[[["),
    ]);
    assert_eq!((found.network_dim, found.network_alpha, found.steps, found.is_v2), (None, None, None, None));
    assert_eq!(found.output_name.map(|name| name.len()), Some(NAME_CHARACTERS));
    assert_eq!(found.description.map(|text| text.len()), Some(TEXT_CHARACTERS));
    assert!(found.tags.is_empty() && found.datasets.is_empty());
}

#[test]
fn a_flood_of_tags_is_counted_within_bounds() {
    let tags: Vec<String> = (0..150_000).map(|number| format!("\"tag {number}\":{}", number % 977)).collect();
    let found = read(&[("ss_tag_frequency", &format!("{{\"a\":{{{}}}}}", tags.join(",")))]);
    assert_eq!(found.tags.len(), KEPT_TAGS);
    assert!(found.tags.iter().all(|(_, times)| *times == 976));
}

#[test]
fn broken_frequencies_count_up_to_where_they_break() {
    let found = read(&[("ss_tag_frequency", r#"{"a": {"one": 1, "two": 2, "three": "#)]);
    assert_eq!(found.tags, [("two".to_owned(), 2), ("one".to_owned(), 1)]);
    let found = read(&[("ss_tag_frequency", r#"{"a": {"many": 18446744073709551615}, "b": {"many": 5}, "c": 3}"#)]);
    assert_eq!(found.tags, [("many".to_owned(), u64::MAX)]);
}

proptest! {
    #[test]
    fn no_value_makes_it_panic(key in 0_usize..6, value in ".{0,200}") {
        let keys = ["ss_tag_frequency", "ss_dataset_dirs", "ss_resolution", "ss_network_alpha", "modelspec.title", "ss_v2"];
        let metadata = BTreeMap::from([(keys[key].to_owned(), value)]);
        let found = TrainingMetadata::read(&metadata);
        assert!(found.tags.len() <= KEPT_TAGS && found.datasets.len() <= KEPT_DATASETS);
        assert!(title(&metadata).is_none_or(|title| !title.contains(char::is_control)));
        assert!(resolution(&metadata).is_none_or(|(width, height)| width > 0 && height > 0));
    }
}
