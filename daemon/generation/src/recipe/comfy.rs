//! ComfyUI's graphs: from the sampler along its links to the files, words and sizes that it used.
//!
//! Nodes and their inputs: comfyanonymous/ComfyUI, `nodes.py` and `comfy_extras/nodes_custom_sampler.py`,
//! `nodes_clip_sdxl.py`. A graph is somebody's program: what is not one of the usual nodes is passed through where it has an
//! input of the same name, with a remark, and given up where it has none.

mod graph;
mod second;
mod workflow;

use super::reading::Reading;
use super::{Recipe, Resource};
use graph::{Graph, Node};
use serde_json::Value;
use std::collections::HashSet;

/// Links that are followed in a row.
const LONGEST_CHAIN: usize = 64;

/// The recipe of a graph in the form that ComfyUI runs (`prompt`); none if it samples nothing.
pub(super) fn recipe(graph: &Value) -> Option<Recipe> {
    of_graph(&Graph::of_api(graph)?)
}

/// The recipe of a graph in the form that people edit (`workflow`).
pub(super) fn recipe_of_workflow(workflow: &Value) -> Option<Recipe> {
    of_graph(&workflow::graph(workflow)?)
}

fn of_graph(graph: &Graph) -> Option<Recipe> {
    let samplers: Vec<Node<'_>> = graph.nodes().filter(is_sampler).collect();
    // The first pass: the one that begins with nothing. A later one works on its latents.
    let begins = |node: &&Node<'_>| node.link("latent_image").is_some_and(|latent| latent.class().starts_with("Empty"));
    let sampler = *samplers.iter().find(begins).or_else(|| samplers.first())?;
    let mut walk = Walk { reading: Reading::default() };
    walk.reading.recipe.program = Some("ComfyUI".to_owned());
    walk.sampler(&sampler);
    let second = walk.second_pass(graph, &sampler);
    for other in samplers.iter().filter(|other| other.id() != sampler.id() && Some(other.id()) != second) {
        walk.reading.remark(other.class(), other.id(), "two samplers in a row are followed, and this is another");
    }
    let decoder = graph.nodes().find(|node| node.class().starts_with("VAEDecode"));
    if let Some(name) = decoder.and_then(|node| node.link("vae")).and_then(|vae| vae.text("vae_name")) {
        walk.reading.set("VAE", &Resource::named(&name).name);
    }
    Some(walk.reading.finish())
}

fn is_sampler(node: &Node<'_>) -> bool {
    let is_known = matches!(node.class(), "SamplerCustom" | "SamplerCustomAdvanced");
    is_known || (node.class().starts_with("KSampler") && node.has("latent_image"))
}

struct Walk {
    reading: Reading,
}

impl Walk {
    fn sampler(&mut self, node: &Node<'_>) {
        let guider = node.link("guider");
        // A sampler of parts keeps its settings in nodes of their own.
        let source = guider.unwrap_or(*node);
        let noise = node.link("noise").unwrap_or(*node);
        let seed = noise.number("seed").or_else(|| noise.number("noise_seed"));
        self.set("Seed", seed, node);
        self.set("CFG scale", source.number("cfg"), &source);
        let select = node.link("sampler");
        let name = select.map_or_else(|| node.text("sampler_name"), |select| select.text("sampler_name"));
        self.set("Sampler", name, select.as_ref().unwrap_or(node));
        let levels = node.link("sigmas").unwrap_or(*node);
        self.set("Steps", levels.number("steps"), &levels);
        let schedule = levels.text("scheduler").or_else(|| schedule_of_node(levels.class()).map(str::to_owned));
        self.set("Schedule type", schedule, &levels);
        self.part_of_the_way(node);

        if let Some(model) = source.link("model").or_else(|| levels.link("model")) {
            self.model(model);
        } else {
            self.reading.remark(source.class(), "model", "it leads to no model");
        }
        let positive = source.link("positive").or_else(|| source.link("conditioning"));
        if let Some(words) = positive {
            self.reading.recipe.prompt = self.words(words, "positive").unwrap_or_default();
            self.text_encoder(words);
        }
        if let Some(words) = source.link("negative") {
            self.reading.recipe.negative_prompt = self.words(words, "negative").unwrap_or_default();
        }
        let denoise = levels.number("denoise").and_then(|denoise| denoise.parse::<f32>().ok());
        if let Some(latent) = node.link("latent_image") {
            self.latents(latent, denoise.filter(|denoise| *denoise < 1.0));
        }
        self.embeddings();
        if self.reading.recipe.prompt.contains('(') {
            let problem = "ComfyUI weighs words without keeping their mean, and here they are weighed as A1111 does it";
            self.reading.remark("CLIPTextEncode", "(", problem);
        }
    }

    /// A setting, or a remark that the graph computes it in a way that is not followed.
    fn set(&mut self, key: &str, value: Option<String>, node: &Node<'_>) {
        match value {
            Some(value) => self.reading.set(key, &value),
            None => self.reading.remark(key, node.class(), "this node does not say it"),
        }
    }

    fn part_of_the_way(&mut self, node: &Node<'_>) {
        let whole = |key: &str| node.number(key).and_then(|number| number.parse::<u64>().ok());
        if let Some(first) = whole("start_at_step").filter(|first| *first > 0) {
            self.reading.remark("start_at_step", &first.to_string(), "all steps are done here");
        }
        if let Some((last, steps)) = whole("end_at_step").zip(whole("steps")).filter(|(last, steps)| last < steps) {
            self.reading.remark("end_at_step", &format!("{last} of {steps}"), "all steps are done here");
        }
    }

    /// Along the model's links to its file, by way of LoRAs.
    fn model(&mut self, from: Node<'_>) {
        let mut node = from;
        let mut seen = HashSet::new();
        // A LoRA in a circle counts once.
        while seen.len() < LONGEST_CHAIN && seen.insert(node.id()) {
            if let Some(name) =
                node.text("ckpt_name").or_else(|| node.text("unet_name")).or_else(|| node.text("model_name"))
            {
                self.reading.set("Model", &Resource::named(&name).name);
                // What is applied first lies farthest from the sampler.
                self.reading.recipe.loras.reverse();
                return;
            }
            self.loras(&node);
            let Some(next) = node.link("model") else { break };
            node = next;
        }
        self.reading.recipe.loras.reverse();
        self.reading.remark("model", node.class(), "this node says no file");
    }

    fn loras(&mut self, node: &Node<'_>) {
        if let Some(name) = node.text("lora_name") {
            let weight = |key| node.number(key).and_then(|weight| weight.parse::<f32>().ok());
            let network = weight("strength_model").or_else(|| weight("strength")).unwrap_or(1.0);
            let text_encoder = weight("strength_clip").filter(|other| other.to_bits() != network.to_bits());
            self.reading.lora(Resource::named(&name), network, text_encoder);
        } else if node.class().starts_with("Power Lora Loader") {
            // rgthree's: one input for each, in the order of application.
            for entry in node.inputs().filter(|(key, _)| key.starts_with("lora_")).map(|(_, entry)| entry).rev() {
                let name = entry.get("lora").and_then(Value::as_str).filter(|name| *name != "None");
                if let Some(name) = name.filter(|_| entry.get("on") == Some(&Value::Bool(true))) {
                    let weight = entry.get("strength").and_then(Value::as_f64).unwrap_or(1.0);
                    self.reading.lora(Resource::named(name), weight as f32, None);
                }
            }
        } else if !matches!(node.class(), "Reroute" | workflow::BYPASSED) {
            self.reading.remark(node.class(), node.id(), "what it does to the model is not done here");
        }
    }

    /// The words that a conditioning is made of.
    fn words(&mut self, from: Node<'_>, side: &str) -> Option<String> {
        let mut node = from;
        for _ in 0..LONGEST_CHAIN {
            if let (Some(large), Some(small)) = (node.text("text_g"), node.text("text_l")) {
                if large != small && !small.trim().is_empty() {
                    self.reading.remark("text_l", &small, "both text encoders get the same words here");
                }
                return Some(if large.trim().is_empty() { small } else { large });
            }
            if let Some(text) = node.text("text") {
                return Some(text);
            }
            match node.class() {
                "ConditioningZeroOut" => return None,
                "Reroute" | workflow::BYPASSED => {}
                class if node.has("text") || node.has("text_g") => {
                    self.reading.remark(side, class, "its words come from a node that is not followed");
                    return None;
                }
                class => self.reading.remark(class, node.id(), "what it does to the words is not done here"),
            }
            let inputs = [side, "conditioning", "conditioning_1", "conditioning_to", "conditioning_from", ""];
            let Some(next) = inputs.iter().find_map(|input| node.link(input)) else { break };
            node = next;
        }
        self.reading.remark(side, node.class(), "this node says no words");
        None
    }

    /// The layer that the words' text encoder ends with, and its file where that is one of its own.
    fn text_encoder(&mut self, words: Node<'_>) {
        let mut next = words.link("clip");
        let mut is_skipped = false;
        for _ in 0..LONGEST_CHAIN {
            let Some(node) = next else { return };
            if let Some(layer) = node.number("stop_at_clip_layer").filter(|_| !is_skipped) {
                self.reading.set("Clip skip", &layer);
                // The last of several is what counts.
                is_skipped = true;
            }
            // `CLIPLoader` and `DualCLIPLoader`.
            for name in ["clip_name", "clip_name1", "clip_name2"].into_iter().filter_map(|key| node.text(key)) {
                self.reading.module(Resource::named(&name).name, "");
            }
            next = node.link("clip");
        }
    }

    fn latents(&mut self, from: Node<'_>, denoise: Option<f32>) {
        let mut node = from;
        for _ in 0..LONGEST_CHAIN {
            if let (Some(width), Some(height)) = (node.number("width"), node.number("height")) {
                if node.has("samples") {
                    self.reading.remark(node.class(), node.id(), "latents are not made larger here");
                } else {
                    self.reading.set("Width", &width);
                    self.reading.set("Height", &height);
                    return;
                }
            } else if node.link("pixels").is_some() {
                self.reading.recipe.strength = denoise;
                return;
            } else if !matches!(node.class(), "Reroute" | workflow::BYPASSED) {
                self.reading.remark(node.class(), node.id(), "what it does to the latents is not done here");
            }
            let Some(next) = ["samples", "latent_image", "latent", ""].iter().find_map(|input| node.link(input)) else {
                break;
            };
            node = next;
        }
        self.reading.remark("latent_image", node.class(), "this node says no size");
    }

    /// `embedding:name` in the words.
    fn embeddings(&mut self) {
        let words = format!("{} {}", self.reading.recipe.prompt, self.reading.recipe.negative_prompt);
        for part in words.split("embedding:").skip(1) {
            let end =
                part.find(|c: char| c.is_whitespace() || matches!(c, ',' | ')' | '(' | ':')).unwrap_or(part.len());
            if end > 0 {
                self.reading.embedding(&Resource::named(&part[..end]).name, "");
            }
        }
    }
}

/// Schedules that are nodes of their own (`comfy_extras/nodes_custom_sampler.py`, `nodes_align_your_steps.py`).
fn schedule_of_node(class: &str) -> Option<&'static str> {
    match class {
        "KarrasScheduler" => Some("karras"),
        "ExponentialScheduler" => Some("exponential"),
        "AlignYourStepsScheduler" => Some("ays"),
        "BetaSamplingScheduler" => Some("beta"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
