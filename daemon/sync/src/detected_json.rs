//! What a header told beyond kind, architecture and precision, as the JSON that the catalogue keeps with an artifact
//! (`artifact.detail_json`).
//!
//! The object has these keys, each left out where there is nothing to say; more may be added, none is renamed.
//!
//! - `family`, `variant`: names for what the architecture does not say; `quantisation`: how weights were made smaller.
//! - `title`; `resolution`: `[width, height]` in pixels, as the file states it.
//! - `in_channels` of a network; `latent_channels` of a VAE and `serves`, the architectures it may be for.
//! - `prediction_type` and `zero_terminal_snr`, by marker tensors.
//! - `has_text_encoder`, `has_vae`: what a checkpoint has inside.
//! - `lora`: `algorithm`, `rank_min`, `rank_max`, `has_alpha`, `targets` (modules by part).
//! - `declared`: what the file's metadata says of itself, believed by nobody: the fields of `TrainingMetadata` under their
//!   own names, `tags` and `datasets` as lists of `[name, count]`.

use paintbox_weights::{Detected, LoraFacts, TrainingMetadata};
use serde_json::{Map, Value, json};

/// The detail of one file, as text.
pub(crate) fn detail_json(detected: &Detected) -> String {
    let mut detail = Map::new();
    put(&mut detail, "family", detected.family);
    put(&mut detail, "variant", detected.variant);
    put(&mut detail, "quantisation", detected.quantisation);
    put(&mut detail, "title", detected.title.as_deref());
    put(&mut detail, "resolution", detected.resolution.map(|(width, height)| json!([width, height])));
    put(&mut detail, "in_channels", detected.in_channels);
    put(&mut detail, "latent_channels", detected.latent_channels);
    let serves: Vec<&str> = detected.serves.iter().map(|architecture| architecture.as_str()).collect();
    put(&mut detail, "serves", (!serves.is_empty()).then(|| json!(serves)));
    put(&mut detail, "prediction_type", detected.prediction.prediction_type);
    put(&mut detail, "zero_terminal_snr", detected.prediction.zero_terminal_snr.then_some(true));
    put(&mut detail, "has_text_encoder", detected.has_text_encoder.then_some(true));
    put(&mut detail, "has_vae", detected.has_vae.then_some(true));
    put(&mut detail, "lora", detected.lora.as_ref().map(lora));
    let declared = declared(&detected.declared);
    put(&mut detail, "declared", (!declared.is_empty()).then_some(Value::Object(declared)));
    Value::Object(detail).to_string()
}

fn put(object: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

fn lora(facts: &LoraFacts) -> Value {
    let targets: Map<String, Value> =
        facts.targets.iter().map(|(part, modules)| ((*part).to_owned(), json!(modules))).collect();
    let mut object = Map::new();
    put(&mut object, "algorithm", Some(facts.algorithm));
    put(&mut object, "rank_min", facts.ranks.map(|(lowest, _)| lowest));
    put(&mut object, "rank_max", facts.ranks.map(|(_, highest)| highest));
    put(&mut object, "has_alpha", Some(facts.has_alpha));
    put(&mut object, "targets", Some(targets));
    Value::Object(object)
}

fn declared(metadata: &TrainingMetadata) -> Map<String, Value> {
    let mut object = Map::new();
    macro_rules! texts { ($($field:ident),+ $(,)?) => { $(put(&mut object, stringify!($field), metadata.$field.as_deref());)+ } }
    macro_rules! values { ($($field:ident),+ $(,)?) => { $(put(&mut object, stringify!($field), metadata.$field);)+ } }
    texts!(
        base_model_version,
        base_model_name,
        base_model_hash,
        network_module,
        optimizer,
        output_name,
        comment,
        title,
        author,
        description,
        license,
        declared_architecture,
        implementation,
        trigger_phrase,
        declared_tags,
        usage_hint,
        date,
        hash_sha256,
        prediction_type,
        merged_from,
    );
    values!(
        network_dim,
        network_alpha,
        steps,
        epochs,
        batch_size,
        learning_rate,
        unet_learning_rate,
        text_encoder_learning_rate,
        clip_skip,
        seed,
        is_v2,
        v_parameterization,
        zero_terminal_snr,
        image_count,
        regularisation_image_count,
        started_at,
        finished_at,
    );
    put(&mut object, "tags", (!metadata.tags.is_empty()).then(|| json!(metadata.tags)));
    put(&mut object, "datasets", (!metadata.datasets.is_empty()).then(|| json!(metadata.datasets)));
    put(&mut object, "has_thumbnail", metadata.has_thumbnail.then_some(true));
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_weights::{Header, Listing, TensorInfo, detect};

    fn detail(header: &Header) -> Value {
        serde_json::from_str(&detail_json(&detect(&Listing::of_safetensors(header)))).unwrap()
    }

    #[test]
    fn a_loras_facts_and_what_it_declares_are_kept_apart() {
        let mut header = Header::default();
        for (role, shape) in [("lora_down.weight", vec![8, 768]), ("lora_up.weight", vec![320, 8]), ("alpha", vec![])] {
            let name = format!("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.{role}");
            header.tensors.insert(name, TensorInfo { dtype: paintbox_weights::Dtype::F16, shape, start: 0, end: 0 });
        }
        for (key, value) in [
            ("ss_base_model_version", "sdxl_base_v1-0"),
            ("ss_network_alpha", "4.0"),
            ("ss_tag_frequency", r#"{"10_a": {"lantern": 3}}"#),
        ] {
            header.metadata.insert(key.to_owned(), value.to_owned());
        }
        let expected = json!({
            "lora": {
                "algorithm": "lora", "rank_min": 8, "rank_max": 8, "has_alpha": true, "targets": {"down": 1}
            },
            "declared": {
                "base_model_version": "sdxl_base_v1-0", "network_alpha": 4.0, "tags": [["lantern", 3]]
            }
        });
        assert_eq!(detail(&header), expected);
    }

    #[test]
    fn nothing_to_say_is_an_empty_object() {
        assert_eq!(detail(&Header::default()), json!({}));
    }
}
