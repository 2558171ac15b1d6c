//! A second sampler that works on what the first one painted, made larger: A1111's second pass as a graph.
//!
//! comfyanonymous/ComfyUI `nodes.py` (`LatentUpscale`, `LatentUpscaleBy`, `ImageScale`, `ImageScaleBy`), `comfy_extras/
//! nodes_upscale_model.py`, and `comfy/samplers.py` `set_steps`, which paints all steps that are asked for, as A1111 does.

use super::graph::{Graph, Node};
use super::workflow;
use super::{LONGEST_CHAIN, Walk, is_sampler};

/// What lies between two samplers.
#[derive(Debug, Default)]
struct Between {
    /// Times as long as sides become, as far as it is known.
    scale: Option<f64>,
    size: Option<(String, String)>,
    method: Option<String>,
    /// The file of a network.
    network: Option<String>,
    through_pixels: bool,
}

/// The sampler that works on the latents of `first`, and what they go through.
fn following<'a>(graph: &'a Graph, first: &Node<'_>) -> Option<(Node<'a>, Between)> {
    let mut others = graph.nodes().filter(|node| is_sampler(node) && node.id() != first.id());
    others.find_map(|node| Some((node, between(node, first)?)))
}

fn between(sampler: Node<'_>, first: &Node<'_>) -> Option<Between> {
    let mut found = Between { scale: Some(1.0), ..Between::default() };
    let mut node = sampler.link("latent_image")?;
    for _ in 0..LONGEST_CHAIN {
        if node.id() == first.id() {
            return Some(found);
        }
        match node.class() {
            "LatentUpscale" | "ImageScale" => {
                found.size = found.size.or(node.number("width").zip(node.number("height")));
                found.method = found.method.or(node.text("upscale_method"));
            }
            "LatentUpscaleBy" | "ImageScaleBy" => {
                let by = node.number("scale_by").and_then(|by| by.parse::<f64>().ok());
                found.scale = found.scale.zip(by).map(|(scale, by)| scale * by);
                found.method = found.method.or(node.text("upscale_method"));
            }
            "ImageUpscaleWithModel" => {
                let name = node.link("upscale_model").and_then(|loader| loader.text("model_name"))?;
                found.scale = found.scale.zip(scale_of(&name)).map(|(scale, by)| scale * by);
                found.network = Some(name);
            }
            "VAEEncode" | "VAEEncodeTiled" | "VAEDecode" | "VAEDecodeTiled" => found.through_pixels = true,
            "Reroute" | workflow::BYPASSED => {}
            _ => return None,
        }
        node = ["samples", "latent_image", "pixels", "image", ""].iter().find_map(|input| node.link(input))?;
    }
    None
}

/// `4x-UltraSharp` and `RealESRGAN_x4plus` say by how much they enlarge.
fn scale_of(name: &str) -> Option<f64> {
    let lower = name.to_ascii_lowercase();
    let digit =
        |at: usize| lower.as_bytes().get(at).filter(|byte| (b'1'..=b'8').contains(byte)).map(|byte| byte - b'0');
    let beside = |at: usize| digit(at + 1).or_else(|| digit(at.checked_sub(1)?));
    lower.match_indices('x').find_map(|(at, _)| beside(at)).map(f64::from)
}

impl Walk {
    /// Reads the pass that follows `first`; its sampler, if there is one that is understood.
    pub(super) fn second_pass<'a>(&mut self, graph: &'a Graph, first: &Node<'_>) -> Option<&'a str> {
        let (node, between) = following(graph, first)?;
        match (&between.size, between.scale) {
            (Some((width, height)), _) => self.reading.set("Hires resize", &format!("{width}x{height}")),
            (None, Some(scale)) => self.reading.set("Hires upscale", &scale.to_string()),
            (None, None) => return None,
        }
        let upscaler = self.upscaler(&between);
        self.reading.set("Hires upscaler", &upscaler);
        for (key, value) in [
            ("Denoising strength", node.number("denoise")),
            ("Hires steps", node.number("steps")),
            ("Hires CFG Scale", node.number("cfg")),
            ("Hires sampler", node.text("sampler_name")),
            ("Hires schedule type", node.text("scheduler")),
        ] {
            self.set(key, value, &node);
        }
        for (side, key) in [("positive", "Hires prompt"), ("negative", "Hires negative prompt")] {
            let (own, before) = (node.link(side), first.link(side));
            if own.map(|node| node.id()) != before.map(|node| node.id())
                && let Some(words) = own.and_then(|words| self.words(words, side))
            {
                self.reading.set(key, &words);
            }
        }
        let seed = |node: &Node<'_>| node.number("seed").or_else(|| node.number("noise_seed"));
        if let Some(own) = seed(&node).filter(|own| Some(own) != seed(first).as_ref()) {
            self.reading.remark("seed", &own, "both passes begin with the same seed here");
        }
        Some(node.id())
    }

    /// A1111's name of what makes the first pass larger.
    fn upscaler(&mut self, between: &Between) -> String {
        if let Some(network) = &between.network {
            return network.clone();
        }
        let method = between.method.as_deref().unwrap_or("bilinear");
        if between.through_pixels {
            if !matches!(method, "lanczos" | "nearest-exact") {
                self.reading.remark("upscale_method", method, "pictures are enlarged by Lanczos' filter here");
            }
            return if method == "nearest-exact" { "Nearest" } else { "Lanczos" }.to_owned();
        }
        match method {
            "nearest-exact" => "Latent (nearest-exact)",
            "bicubic" => "Latent (bicubic)",
            "bilinear" => "Latent",
            other => {
                self.reading.remark("upscale_method", other, "latents are enlarged bilinearly here");
                "Latent"
            }
        }
        .to_owned()
    }
}
