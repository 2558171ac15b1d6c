//! How a picture was made, as a value: what is written into our own pictures, and what is read out of anybody's.
//!
//! The text form is A1111's `parameters` (AUTOMATIC1111/stable-diffusion-webui 1.10, `modules/processing.py`
//! `create_infotext`), because every gallery reads it. It lies where A1111 puts it: in a text chunk of a PNG, and in the
//! EXIF `UserComment` of a JPEG or WebP. CivitAI names the models of an uploaded picture by the digests in it; how it
//! reads them decides what a name may hold ([`write`]).

mod a1111;
mod civitai;
mod comfy;
mod exif;
mod fields;
mod larger;
pub mod names;
mod others;
mod picture;
mod read;
mod reading;
mod write;

pub use a1111::parameters;
pub(crate) use larger::enlarged_text;
pub(crate) use picture::{EncodeError, encode, most_recipe_bytes};
pub use picture::{preview_as, preview_jpeg};
pub use read::{RecipeError, parameters_of};

use paintbox_domain::Sha256;
use paintbox_domain::generation::{
    Canny, ControlNetFile, Hires, Inpaint, InpaintArea, MaskedContent, NoiseSettings, Sampler, Schedule, Upscale,
};

/// Digests of one file in a recipe; there are five forms.
const MOST_DIGESTS: usize = 8;

/// A recipe. What nobody wrote down is empty or none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recipe {
    /// Without the tags that name LoRAs.
    pub prompt: String,
    pub negative_prompt: String,
    pub steps: Option<u32>,
    pub sampler: Option<Sampler>,
    pub schedule: Option<Schedule>,
    pub guidance_scale: Option<f32>,
    /// Of a network that edits pictures.
    pub image_guidance_scale: Option<f32>,
    pub guidance_rescale: Option<f32>,
    pub seed: Option<u64>,
    pub noise: NoiseSettings,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// A1111's counting: 1 is the last layer of the text encoder.
    pub clip_skip: Option<u32>,
    /// Set for a picture that was painted over another.
    pub strength: Option<f32>,
    /// Set for a picture of which only a part was painted.
    pub masked: Option<Masked>,
    pub model: Option<Resource>,
    /// One that was used instead of the model's own.
    pub vae: Option<Resource>,
    /// Those that were used instead of the model's own, or where it has none. What Forge writes may be VAEs as well.
    pub text_encoders: Vec<Resource>,
    pub loras: Vec<LoraResource>,
    pub embeddings: Vec<Resource>,
    pub controls: Vec<ControlResource>,
    /// Of a picture that was painted again at a larger size.
    pub hires: Option<Hires<Resource>>,
    /// Of a picture that was made larger when it was finished.
    pub upscale: Option<Upscale<Resource>>,
    /// The program that made the picture, and its version, in its own words.
    pub program: Option<String>,
    /// What of it was not understood, or is not done here.
    pub remarks: Vec<Remark>,
}

/// A part of a recipe that a picture painted from it will lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What the recipe's program calls it.
    pub field: String,
    /// Its beginning, if it is long.
    pub given: String,
    /// What is not done, as a clause.
    pub problem: String,
}

/// A file that a picture was made with, as a recipe names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// The file's name without folders and ending, or a title; may be empty.
    pub name: String,
    /// Lower-case hexadecimal: a SHA-256 (64 digits), AutoV2 (10), AutoV3 (12), or AutoV1 or CRC32 (8).
    pub digests: Vec<String>,
    /// CivitAI's number of the version.
    pub civitai_version: Option<u64>,
}

/// How a part of a picture was painted; the mask itself no recipe holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Masked {
    pub invert: bool,
    /// Pixels.
    pub blur: u32,
    pub content: MaskedContent,
    pub area: InpaintArea,
}

impl Masked {
    pub(crate) fn of(inpaint: &Inpaint) -> Self {
        Self { invert: inpaint.invert, blur: inpaint.blur, content: inpaint.content, area: inpaint.area }
    }
}

/// A LoRA and the weights of its delta.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoraResource {
    pub resource: Resource,
    pub weight: f32,
    /// Of its part for the text encoders; none for the same.
    pub text_encoder_weight: Option<f32>,
}

/// A ControlNet and how it was used; the picture that it led by no recipe holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ControlResource {
    pub resource: Resource,
    pub canny: Option<Canny>,
    pub strength: f32,
    /// Fractions of the steps.
    pub start: f32,
    pub end: f32,
}

impl ControlResource {
    pub(crate) fn of(control: &ControlNetFile) -> Self {
        let ControlNetFile { name, sha256, canny, strength, start, end, .. } = control;
        let resource = Resource::of_file(name, Some(sha256));
        Self { resource, canny: *canny, strength: *strength, start: *start, end: *end }
    }
}

impl Resource {
    pub(crate) fn of_file(name: &str, sha256: Option<&Sha256>) -> Self {
        let digests = sha256.map(Sha256::to_hex).into_iter().collect();
        Self { name: name.to_owned(), digests, civitai_version: None }
    }

    /// By the name of a file, whose folders and ending say nothing of the model.
    fn named(file: &str) -> Self {
        let name = file.rsplit(['/', '\\']).next().unwrap_or_default().trim();
        Self { name: stem_of_weights(name).unwrap_or(name).to_owned(), ..Self::default() }
    }

    /// By the name of a file or a title, in which a slash may be a repository's.
    fn titled(text: &str) -> Self {
        match text.contains('\\') || stem_of_weights(text.trim()).is_some() {
            true => Self::named(text),
            false => Self { name: text.trim().to_owned(), ..Self::default() },
        }
    }

    /// Adds a digest, unless it is none or known.
    fn add_digest(&mut self, text: &str) {
        let digits = text.trim().trim_start_matches("0x").to_ascii_lowercase();
        let is_digest = matches!(digits.len(), 8 | 10 | 12 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_digest && self.digests.len() < MOST_DIGESTS && !self.digests.contains(&digits) {
            self.digests.push(digits);
        }
    }
}

/// A name without the ending of a file of weights, if it has one.
fn stem_of_weights(name: &str) -> Option<&str> {
    let (stem, ending) = name.rsplit_once('.')?;
    let is_of_weights = ["safetensors", "ckpt", "pt", "pth", "bin", "gguf", "sft"].contains(&ending);
    (is_of_weights && !stem.is_empty()).then_some(stem)
}
