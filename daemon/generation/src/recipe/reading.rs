//! A recipe while it is being read: settings come one by one, under A1111's names for them, and only together do some of
//! them mean something.

use super::larger::Larger;
use super::write::MODULES;
use super::{LoraResource, MOST_DIGESTS, Recipe, Remark, Resource, names};
use crate::tags;
use paintbox_domain::generation::{NoiseSource, Sampler, Schedule};
use serde_json::Value;

/// Remarks on one recipe; whoever has more to say says nothing.
const MOST_REMARKS: usize = 60;
/// Characters of a value that a remark repeats.
const LONGEST_GIVEN: usize = 120;
/// Files of a kind in one recipe.
const MOST_RESOURCES: usize = 200;

/// Settings that do not change a picture.
const WITHOUT_EFFECT: &[&str] = &[
    "created date",
    "date",
    "user",
    "template",
    "negative template",
    "civitai metadata",
    "batch size",
    "batch pos",
    "hashes source",
];

#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) recipe: Recipe,
    sampler: Option<String>,
    schedule: Option<String>,
    /// Named by a hash list, a tag or both: the name, its digests.
    lora_digests: Vec<(String, Vec<String>)>,
    pub(super) larger: Larger,
    /// Said something of a second pass that is not understood, so that the strength may be its.
    is_hires: bool,
    /// Whether noise is a graphics card's unless somebody says otherwise.
    pub(super) noise_is_of_gpu: bool,
}

impl Reading {
    /// One in which noise is a graphics card's unless somebody says otherwise.
    pub(super) fn of_a1111() -> Self {
        Self { noise_is_of_gpu: true, ..Self::default() }
    }

    pub(super) fn remark(&mut self, field: &str, given: &str, problem: impl Into<String>) {
        let given: String = given.chars().take(LONGEST_GIVEN).collect();
        let field: String = field.chars().take(LONGEST_GIVEN).collect();
        let remark = Remark { field, given, problem: problem.into() };
        // Once is enough, however often it comes.
        if self.recipe.remarks.len() < MOST_REMARKS && !self.recipe.remarks.contains(&remark) {
            self.recipe.remarks.push(remark);
        }
    }

    /// A setting as a JSON value; text and numbers mean the same.
    pub(super) fn set_value(&mut self, key: &str, value: &Value) {
        match value {
            Value::Null | Value::Array(_) | Value::Object(_) => {}
            Value::String(text) => self.set(key, text),
            Value::Bool(_) | Value::Number(_) => self.set(key, &value.to_string()),
        }
    }

    /// A setting under A1111's name for it.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let (key, value) = (key.trim(), value.trim());
        if value.is_empty() {
            return;
        }
        match key {
            "Steps" => self.recipe.steps = self.number(key, value),
            "Sampler" => self.sampler = Some(value.to_owned()),
            "Schedule type" | "Schedule" | "Scheduler" | "Scheduler type" => self.schedule = Some(value.to_owned()),
            "CFG scale" => self.recipe.guidance_scale = self.fraction(key, value),
            // Nobody's seed is negative: it stands for one that was drawn.
            "Seed" if value == "-1" => {}
            "Seed" => self.recipe.seed = self.number(key, value),
            "Size" => {
                if let Some((width, height)) = self.sides(key, value) {
                    (self.recipe.width, self.recipe.height) = (Some(width), Some(height));
                }
            }
            "Width" => self.recipe.width = self.number(key, value),
            "Height" => self.recipe.height = self.number(key, value),
            "Model hash" => self.recipe.model.get_or_insert_default().add_digest(value),
            "Model" => self.recipe.model.get_or_insert_default().name = Resource::titled(value).name,
            "VAE hash" => self.recipe.vae.get_or_insert_default().add_digest(value),
            "VAE" if matches!(value, "Automatic" | "None" | "none") => {}
            "VAE" => self.recipe.vae.get_or_insert_default().name = Resource::titled(value).name,
            _ if MODULES.contains(&key) => self.module(Resource::titled(value).name, ""),
            "Module hashes" => {
                for (name, digits) in named_digests(value) {
                    self.module(Resource::titled(name).name, digits);
                }
            }
            "Denoising strength" => self.recipe.strength = self.fraction(key, value),
            "Clip skip" => {
                self.recipe.clip_skip = self.number(key, value.trim_start_matches('-')).filter(|skip| *skip > 0);
            }
            "RNG" => match NoiseSource::by_any_name(value) {
                Some(source) => self.recipe.noise.source = Some(source),
                None => self.remark(key, value, "noise cannot be drawn as there, so the picture will differ"),
            },
            "Variation seed" => self.recipe.noise.subseed = self.number(key, value),
            "Variation seed strength" => self.recipe.noise.subseed_strength = self.fraction(key, value),
            "Seed resize from" => self.recipe.noise.resize_from = self.sides(key, value),
            "ENSD" if value == "0" => {}
            "ENSD" => self.recipe.noise.eta_seed_delta = self.number(key, value),
            "Eta" | "Eta DDIM" => self.recipe.noise.eta = self.fraction(key, value),
            "Sigma churn" => self.recipe.noise.s_churn = self.fraction(key, value),
            "Sigma tmin" => self.recipe.noise.s_tmin = self.fraction(key, value),
            "Sigma tmax" => self.recipe.noise.s_tmax = self.fraction(key, value),
            "Sigma noise" => self.recipe.noise.s_noise = self.fraction(key, value),
            "CFG Rescale" | "CFG rescale" => self.recipe.guidance_rescale = self.fraction(key, value),
            "Image CFG scale" => self.recipe.image_guidance_scale = self.fraction(key, value),
            "Version" => self.recipe.program = Some(value.to_owned()),
            "Lora hashes" => {
                for (name, digits) in named_digests(value) {
                    self.lora_digest(name, digits);
                }
            }
            "TI hashes" => {
                for (name, digits) in named_digests(value) {
                    self.embedding(name, digits);
                }
            }
            "Hashes" => match serde_json::from_str(value) {
                Ok(Value::Object(hashes)) => self.hashes(&hashes),
                _ => self.remark(key, value, "it is no list of digests"),
            },
            "Civitai resources" => match serde_json::from_str(value) {
                Ok(Value::Array(resources)) => self.civitai_resources(&resources),
                _ => self.remark(key, value, "it is no list of models"),
            },
            _ if WITHOUT_EFFECT.contains(&key.to_ascii_lowercase().as_str()) => {}
            _ if self.set_larger(key, value) => {}
            _ => {
                self.is_hires |= key.starts_with("Hires");
                self.remark(key, value, "this is not done here");
            }
        }
    }

    pub(super) fn number<N: std::str::FromStr>(&mut self, key: &str, value: &str) -> Option<N> {
        // `20.0` is how some programs write 20.
        let whole = value.strip_suffix(".0").unwrap_or(value);
        let number = whole.parse().ok();
        if number.is_none() {
            self.remark(key, value, "it is not a whole number");
        }
        number
    }

    pub(super) fn fraction(&mut self, key: &str, value: &str) -> Option<f32> {
        let number = value.parse().ok().filter(|number: &f32| number.is_finite());
        if number.is_none() {
            self.remark(key, value, "it is not a number");
        }
        number
    }

    pub(super) fn sides(&mut self, key: &str, value: &str) -> Option<(u32, u32)> {
        let sides = value
            .split_once(['x', '×'])
            .and_then(|(width, height)| Some((width.trim().parse().ok()?, height.trim().parse().ok()?)));
        if sides.is_none() {
            self.remark(key, value, "it is not a width and a height");
        }
        sides
    }

    pub(super) fn lora_digest(&mut self, name: &str, digits: &str) {
        let known = &mut self.lora_digests;
        match known.iter().position(|(known, _)| known == name) {
            Some(at) if known[at].1.len() < MOST_DIGESTS => known[at].1.push(digits.to_owned()),
            None if known.len() < MOST_RESOURCES => known.push((name.to_owned(), vec![digits.to_owned()])),
            _ => {}
        }
    }

    pub(super) fn embedding(&mut self, name: &str, digits: &str) {
        // A1111 writes twelve digits of the file's digest, and twelve of them elsewhere are of the tensors.
        let digits = if digits.len() == 12 { &digits[..digits.floor_char_boundary(10)] } else { digits };
        let embeddings = &mut self.recipe.embeddings;
        match embeddings.iter().position(|known| known.name == name) {
            Some(at) => embeddings[at].add_digest(digits),
            None if embeddings.len() < MOST_RESOURCES => {
                let mut resource = Resource { name: name.to_owned(), ..Resource::default() };
                resource.add_digest(digits);
                embeddings.push(resource);
            }
            None => {}
        }
    }

    /// What is loaded beside a model, and a digest of it, if there is one.
    pub(super) fn module(&mut self, name: String, digits: &str) {
        let modules = &mut self.recipe.text_encoders;
        match modules.iter().position(|known| known.name == name) {
            Some(at) => modules[at].add_digest(digits),
            None if modules.len() < MODULES.len() => {
                let mut resource = Resource { name, ..Resource::default() };
                resource.add_digest(digits);
                modules.push(resource);
            }
            None => {}
        }
    }

    pub(super) fn lora(&mut self, resource: Resource, weight: f32, text_encoder_weight: Option<f32>) {
        if self.recipe.loras.len() < MOST_RESOURCES {
            self.recipe.loras.push(LoraResource { resource, weight, text_encoder_weight });
        }
    }

    /// CivitAI's list of digests by kind and name.
    pub(super) fn hashes(&mut self, hashes: &serde_json::Map<String, Value>) {
        for (key, digits) in hashes {
            let Some(digits) = digits.as_str().filter(|digits| !digits.is_empty()) else { continue };
            match key.split_once(':').map_or((key.as_str(), ""), |(kind, name)| (kind, name)) {
                ("model", "") => self.recipe.model.get_or_insert_default().add_digest(digits),
                ("vae", "") => self.recipe.vae.get_or_insert_default().add_digest(digits),
                ("lora" | "LORA" | "lyco", name) if !name.is_empty() => self.lora_digest(name, digits),
                ("embed", name) if !name.is_empty() => self.embedding(name, digits),
                _ => self.remark(key, digits, "this is not used here"),
            }
        }
    }

    /// Models by their numbers on CivitAI, as its own generator writes them down.
    pub(super) fn civitai_resources(&mut self, resources: &[Value]) {
        for entry in resources.iter().take(MOST_RESOURCES) {
            let air = entry.get("air").and_then(Value::as_str).unwrap_or_default();
            let of_air = air.rsplit_once('@').and_then(|(_, version)| version.split('+').next()?.parse().ok());
            let version = entry.get("modelVersionId").and_then(Value::as_u64).or(of_air);
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
            let kind = Some(text("type")).filter(|kind| !kind.is_empty()).or_else(|| air.split(':').nth(3));
            let kind = kind.unwrap_or_default().to_ascii_lowercase();
            let weight = entry.get("weight").and_then(Value::as_f64).unwrap_or(1.0) as f32;
            let resource = Resource {
                name: text("modelName").to_owned(),
                civitai_version: version.filter(|version| *version > 0),
                ..Resource::default()
            };
            if resource.civitai_version.is_none() {
                self.remark("civitaiResources", &entry.to_string(), "it has no number");
                continue;
            }
            match kind.as_str() {
                "checkpoint" | "model" => {
                    self.recipe.model.get_or_insert_default().civitai_version = resource.civitai_version;
                }
                "vae" => self.recipe.vae.get_or_insert_default().civitai_version = resource.civitai_version,
                "lora" | "lycoris" | "locon" | "dora" => self.lora(resource, weight, None),
                "embed" | "embedding" | "textualinversion" => self.recipe.embeddings.push(resource),
                _ => self.remark("civitaiResources", &entry.to_string(), "this kind of model is not used here"),
            }
        }
    }

    /// The recipe, once everything that belongs to it has been set.
    pub(super) fn finish(mut self) -> Recipe {
        self.name_the_sampler();
        self.take_larger();
        if self.is_hires {
            self.recipe.strength = None;
        }
        self.take_tags();
        self.take_lora_digests();
        let is_ours = self.is_ours();
        if is_ours {
            // We write it down only where it is not 1.
            self.recipe.clip_skip.get_or_insert(1);
        }
        if self.noise_is_of_gpu && !is_ours {
            self.recipe.noise.source.get_or_insert(NoiseSource::Nvidia);
        }
        self.recipe
    }

    fn is_ours(&self) -> bool {
        self.recipe.program.as_deref().is_some_and(|program| program.starts_with("Paintbox "))
    }

    fn name_the_sampler(&mut self) {
        let mut spaced = None;
        if let Some(name) = self.sampler.take() {
            match Sampler::by_any_name(&name) {
                Some((sampler, schedule)) => {
                    self.recipe.sampler = Some(sampler);
                    // Before A1111 1.9 a sampler without more words was spaced evenly; later ones always say it.
                    spaced = schedule.or(names::plain_schedule(sampler));
                }
                None => self.remark("Sampler", &name, "this version does not know it; the model's own is used"),
            }
        }
        let Some(name) = self.schedule.take() else {
            self.recipe.schedule = spaced;
            return;
        };
        self.recipe.schedule = match self.recipe.sampler {
            Some(sampler) if name == "Automatic" => names::automatic_schedule(sampler),
            None if name == "Automatic" => None,
            _ => Schedule::by_any_name(&name),
        };
        if self.recipe.schedule.is_none() && name != "Automatic" {
            self.remark("Schedule type", &name, "this version does not know it; the model's own is used");
        }
    }

    /// LoRAs that tags in the prompt name.
    fn take_tags(&mut self) {
        let (prompt, found) = tags::take(&self.recipe.prompt);
        self.recipe.prompt = prompt;
        for tag in found {
            match tag {
                tags::Tag::Lora { name, weight, text_encoder_weight, remark } => {
                    if let Some(problem) = remark {
                        self.remark("lora", &name, problem);
                    }
                    // CivitAI lists by number what the prompt names, too.
                    let known = self.recipe.loras.iter().any(|lora| lora.resource.name == name);
                    if !known {
                        self.lora(Resource { name, ..Resource::default() }, weight, text_encoder_weight);
                    }
                }
                tags::Tag::Hypernet { name } => self.remark("hypernet", &name, "hypernetworks are not used here"),
            }
        }
    }

    /// Gives LoRAs their digests. One that only a list of digests names was used, at a weight that nobody wrote down.
    fn take_lora_digests(&mut self) {
        for (name, digits) in std::mem::take(&mut self.lora_digests) {
            let loras = &mut self.recipe.loras;
            let at = loras.iter().position(|lora| lora.resource.name == name);
            let at = at.or_else(|| loras.iter().position(|lora| lora.resource.name.eq_ignore_ascii_case(&name)));
            if let Some(at) = at {
                digits.iter().for_each(|digits| loras[at].resource.add_digest(digits));
                continue;
            }
            let mut resource = Resource { name: name.clone(), ..Resource::default() };
            digits.iter().for_each(|digits| resource.add_digest(digits));
            // The numbers of CivitAI's list say the same better.
            if resource.digests.is_empty()
                || self.recipe.loras.iter().any(|lora| lora.resource.civitai_version.is_some())
            {
                continue;
            }
            self.remark("Lora hashes", &name, "its weight is not written down; 1 is taken");
            self.lora(resource, 1.0, None);
        }
    }
}

/// `name: digits, name: digits`.
fn named_digests(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.split(',').filter_map(|pair| {
        let (name, digits) = pair.rsplit_once(':')?;
        Some((name.trim(), digits.trim()))
    })
}
