//! From the form that people edit to the form that ComfyUI runs: nodes keep the values of their fields as a list without
//! names, in the order in which ComfyUI's `INPUT_TYPES` declares them.

use super::graph::Graph;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// A node that is switched off and hands on what comes in.
pub(super) const BYPASSED: &str = "(bypassed)";
/// The mode of such a node, and of one that is not run at all (ComfyUI frontend, `LGraphEventMode`).
const BYPASS: u64 = 4;
const NEVER: u64 = 2;
/// What a seed's field is followed by: whether it is drawn anew for the next picture.
const CONTROL: &str = "control_after_generate";

/// The names of a node's fields; none for nodes whose fields say nothing here.
fn fields(class: &str) -> &'static [&'static str] {
    match class {
        "CheckpointLoaderSimple" => &["ckpt_name"],
        "UNETLoader" => &["unet_name", "weight_dtype"],
        "LoraLoader" => &["lora_name", "strength_model", "strength_clip"],
        "LoraLoaderModelOnly" => &["lora_name", "strength_model"],
        "VAELoader" => &["vae_name"],
        "CLIPLoader" => &["clip_name", "type"],
        "DualCLIPLoader" => &["clip_name1", "clip_name2", "type"],
        "CLIPSetLastLayer" => &["stop_at_clip_layer"],
        "CLIPTextEncode" => &["text"],
        "CLIPTextEncodeSDXL" => {
            &["width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g", "text_l"]
        }
        "EmptyLatentImage" | "EmptySD3LatentImage" => &["width", "height", "batch_size"],
        "KSampler" => &["seed", CONTROL, "steps", "cfg", "sampler_name", "scheduler", "denoise"],
        "KSamplerAdvanced" => &[
            "add_noise",
            "noise_seed",
            CONTROL,
            "steps",
            "cfg",
            "sampler_name",
            "scheduler",
            "start_at_step",
            "end_at_step",
            "return_with_leftover_noise",
        ],
        "SamplerCustom" => &["add_noise", "noise_seed", CONTROL, "cfg"],
        "KSamplerSelect" => &["sampler_name"],
        "BasicScheduler" => &["scheduler", "steps", "denoise"],
        "KarrasScheduler" | "ExponentialScheduler" => &["steps"],
        "AlignYourStepsScheduler" => &["model_type", "steps", "denoise"],
        "RandomNoise" => &["noise_seed", CONTROL],
        "CFGGuider" => &["cfg"],
        "PrimitiveNode" | "PrimitiveInt" | "PrimitiveFloat" | "PrimitiveString" | "PrimitiveStringMultiline" => {
            &["value"]
        }
        _ => &[],
    }
}

/// The graph of a workflow; none if it is none.
pub(super) fn graph(workflow: &Value) -> Option<Graph> {
    let nodes = workflow.get("nodes")?.as_array()?;
    let mut sources: HashMap<u64, (&Value, &Value)> = HashMap::new();
    for link in workflow.get("links")?.as_array()? {
        // Its number, the node and output it comes from, the node and input it goes to, and its type.
        if let [id, from, slot, ..] = link.as_array().map_or(&[][..], Vec::as_slice)
            && let Some(id) = id.as_u64()
        {
            sources.insert(id, (from, slot));
        }
    }
    let mut graph = Graph::default();
    for node in nodes {
        let mode = node.get("mode").and_then(Value::as_u64).unwrap_or_default();
        let (Some(id), Some(class)) = (node.get("id"), node.get("type").and_then(Value::as_str)) else { continue };
        if mode == NEVER {
            continue;
        }
        let mut inputs = Map::new();
        let values = node.get("widgets_values").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if mode != BYPASS {
            inputs.extend(fields(class).iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.clone())));
        }
        for input in node.get("inputs").and_then(Value::as_array).into_iter().flatten() {
            let source = input.get("link").and_then(Value::as_u64).and_then(|link| sources.get(&link));
            if let (Some(name), Some((from, slot))) = (input.get("name").and_then(Value::as_str), source) {
                inputs.insert(name.to_owned(), Value::Array(vec![(*from).clone(), (*slot).clone()]));
            }
        }
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        graph.add(&id, if mode == BYPASS { BYPASSED } else { class }, inputs);
    }
    Some(graph)
}
