//! Text encoders in OpenCLIP's names, as single files of 2.x and XL keep them: query, key and value are one matrix, and
//! the projection is turned around.

use super::{Component, Named, Take, index_and_rest};
use crate::safetensors::Header;

/// Modules of a layer: OpenCLIP, transformers.
const LAYER: [(&str, &str); 5] = [
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
    ("attn.out_proj", "self_attn.out_proj"),
];

/// What is kept as one matrix, in the order of its rows.
const JOINED: [&str; 3] = ["q_proj", "k_proj", "v_proj"];

/// Layers of 2.x's text encoder that are used; files converted from folders have no others.
const SD2_USED_LAYERS: usize = 23;
/// No encoder has more; it bounds the search.
const MAX_LAYERS: usize = 64;

/// The last layer of 2.x's text encoder, which every state is taken from before.
pub(super) fn unused_layer(header: &Header, prefix: &str) -> Option<usize> {
    let has = |layer: usize| header.tensors.contains_key(&format!("{prefix}transformer.resblocks.{layer}.ln_1.weight"));
    let layers = (0..MAX_LAYERS).take_while(|layer| has(*layer)).count();
    if layers == SD2_USED_LAYERS { None } else { layers.checked_sub(1) }
}

/// The canonical names of what OpenCLIP calls `local`.
pub(super) fn canonical(local: &str, component: Component, unused_layer: Option<usize>) -> Named {
    let one = |name: &str| Named::one(format!("text_model.{name}"), Take::Whole);
    match local {
        "token_embedding.weight" => one("embeddings.token_embedding.weight"),
        "positional_embedding" => one("embeddings.position_embedding.weight"),
        "ln_final.weight" => one("final_layer_norm.weight"),
        "ln_final.bias" => one("final_layer_norm.bias"),
        "text_projection" if component == Component::TextEncoder2 => {
            Named::one("text_projection.weight".to_owned(), Take::Transpose)
        }
        // What compares texts with pictures, and the mask and counts that every program makes itself.
        "text_projection" | "logit_scale" | "attn_mask" | "transformer.text_model.embeddings.position_ids" => {
            Named::Ignored
        }
        _ => layer(local, component, unused_layer).unwrap_or(Named::NoPlace),
    }
}

fn layer(local: &str, component: Component, unused_layer: Option<usize>) -> Option<Named> {
    let (layer, rest) = index_and_rest(local.strip_prefix("transformer.resblocks.")?)?;
    if component == Component::TextEncoder && unused_layer == Some(layer) {
        return Some(Named::Ignored);
    }
    let parent = format!("text_model.encoder.layers.{layer}");
    if let Some(leaf) = rest.strip_prefix("attn.in_proj_").filter(|leaf| matches!(*leaf, "weight" | "bias")) {
        let part = |(part, name): (usize, &&str)| {
            (format!("{parent}.self_attn.{name}.{leaf}"), Take::Rows { part, of: JOINED.len() })
        };
        return Some(Named::As(JOINED.iter().enumerate().map(part).collect()));
    }
    let inner = super::replace_stem(rest, &LAYER)?;
    Some(Named::one(format!("{parent}.{inner}"), Take::Whole))
}
