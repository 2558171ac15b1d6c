//! A picture wanted, a picture made, and the port between the queue and the engine.

mod cancellation;
mod capabilities;
mod larger;
mod names;
mod noise;
mod report;

pub use cancellation::Cancellation;
pub use capabilities::{Adapter, Capabilities, Feature, Inspector, NetworkInputs, PredictionType, Refusal, Refused};
pub use larger::{Hires, HiresSettings, HiresUpscaler, LatentScaling, PixelScaling, Upscale, Upscaler};
pub use noise::{NoiseProblem, NoiseSettings, NoiseSource};
pub use report::{EngineBench, EngineCheck};

use crate::kind::closed_names;
use crate::{Architecture, Failure, Sha256};
use std::path::PathBuf;
use std::sync::Arc;

closed_names! {
    /// The solver of the reverse process, by ComfyUI's names.
    Sampler {
        Euler = "euler",
        EulerAncestral = "euler_a",
        Heun = "heun",
        Dpm2 = "dpm_2",
        Dpm2Ancestral = "dpm_2_a",
        Lms = "lms",
        DpmPlusPlus2sAncestral = "dpmpp_2s_a",
        DpmPlusPlus2m = "dpmpp_2m",
        /// Stochastic, the network being asked twice a step.
        DpmPlusPlusSde = "dpmpp_sde",
        /// Stochastic, with the midpoint correction.
        DpmPlusPlus2mSde = "dpmpp_2m_sde",
        DpmPlusPlus2mSdeHeun = "dpmpp_2m_sde_heun",
        DpmPlusPlus3mSde = "dpmpp_3m_sde",
        /// The unified predictor and corrector of third order, with B(h) = h (ComfyUI's `uni_pc`, A1111's "UniPC").
        UniPc = "uni_pc",
        /// The same with B(h) = e^h − 1 (ComfyUI's `uni_pc_bh2`, diffusers' choice).
        UniPcBh2 = "uni_pc_bh2",
        /// Of second order, in ln σ, as diffusers has it.
        Deis = "deis",
        /// Heun's method, going back to more noise once or twice on the way (Xu et al. 2023).
        Restart = "restart",
        Ddim = "ddim",
        Ddpm = "ddpm",
        /// For latent consistency models.
        Lcm = "lcm",
        /// For models distilled by trajectory consistency.
        Tcd = "tcd",
    }
}

closed_names! {
    /// How noise levels are spaced.
    Schedule {
        /// Evenly in training time, from the last step to the first (A1111's "Automatic", ComfyUI's `normal`).
        Normal = "normal",
        /// Karras et al. 2022, equation 5, ρ = 7.
        Karras = "karras",
        /// Evenly in whole training steps, ending one step above the cleanest (ComfyUI's name; `leading` in diffusers).
        DdimUniform = "ddim_uniform",
        /// Every so-manieth training step, counted from the last (ComfyUI's and A1111's name; `trailing` in diffusers).
        Simple = "simple",
        /// Evenly in training time, ending one step above the first (ComfyUI's name; A1111's "SGM Uniform").
        SgmUniform = "sgm_uniform",
        /// Evenly in the logarithm of the noise.
        Exponential = "exponential",
        /// By the quantiles of a beta distribution (Lee et al. 2024).
        Beta = "beta",
        /// Align Your Steps (Sabour et al. 2024): the levels that were found best for the family.
        AlignYourSteps = "ays",
    }
}

closed_names! {
    /// What kind of file a picture becomes.
    PictureFormat {
        Png = "png",
        Jpeg = "jpeg",
        /// Without loss.
        Webp = "webp",
    }
}

impl PictureFormat {
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }
}

closed_names! {
    /// The state of a durable job (generation or sync run), after AIP-216.
    JobState {
        Queued = "queued",
        Running = "running",
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// Whether the job will never change again.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

closed_names! {
    /// What a generation is doing.
    Phase {
        Queued = "queued",
        Loading = "loading_model",
        EncodingPrompt = "encoding_prompt",
        EncodingImage = "encoding_image",
        Sampling = "sampling",
        Decoding = "decoding",
        Upscaling = "upscaling",
        Saving = "saving",
    }
}

closed_names! {
    /// What stands under a mask before it is painted over.
    MaskedContent {
        /// The picture as it is.
        Original = "original",
        /// The colours around, blurred into the mask.
        Fill = "fill",
        /// Nothing but noise.
        Noise = "noise",
        /// Latents of zero.
        Nothing = "nothing",
    }
}

/// What a client asks for, before anything is looked up. `None` means: what suits the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GenerationSpec {
    /// A model reference as the user wrote it; see [`crate::ModelRef`].
    pub model: String,
    /// A reference to a VAE to use instead of the model's own.
    pub vae: Option<String>,
    /// References to text encoders to use instead of the model's own, or where it has none, in any order.
    pub text_encoders: Vec<String>,
    /// References to textual inversions that the prompts may say by their files' names, beside those that are here.
    pub embeddings: Vec<String>,
    pub prompt: String,
    pub negative_prompt: String,
    pub seed: Option<u64>,
    pub steps: Option<u32>,
    pub guidance_scale: Option<f32>,
    /// How closely a network that edits pictures keeps to the one it is given.
    pub image_guidance_scale: Option<f32>,
    pub sampler: Option<Sampler>,
    pub schedule: Option<Schedule>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// A1111's counting: 1 is the last layer of the text encoder, 2 the one before it.
    pub clip_skip: Option<u32>,
    pub loras: Vec<LoraUse>,
    /// Images to paint; image `k` uses seed + `k`.
    pub count: u32,
    /// Digest of an uploaded image asset to start from.
    pub init_image: Option<Sha256>,
    /// Fraction of the schedule that is painted over the init image, in (0, 1].
    pub strength: Option<f32>,
    /// None for PNG.
    pub format: Option<PictureFormat>,
    /// Of a JPEG, from 1 to 100; none for the usual one.
    pub quality: Option<u8>,
    /// Which part of the init image is painted.
    pub inpaint: Option<InpaintUse>,
    pub controls: Vec<ControlNetUse>,
    pub noise: NoiseSettings,
    /// How far guided predictions are brought back to the spread of those that the prompt alone leads to, 0 to 1.
    pub guidance_rescale: Option<f32>,
    pub hires: Option<Hires<String>>,
    /// A reference to a TAESD that previews are decoded by; without one they are mixed from the latents.
    pub taesd: Option<String>,
    /// What finished pictures are made larger by. Where no model is named, it is the init image that is made larger, and
    /// nothing is painted.
    pub upscale: Option<Upscale<String>>,
}

impl GenerationSpec {
    /// Whether anything is painted, and not only made larger.
    #[must_use]
    pub fn paints(&self) -> bool {
        self.upscale.is_none() || !self.model.trim().is_empty()
    }
}

/// A mask over the init image. `None` means: as A1111 does when nothing is said.
#[derive(Debug, Clone, PartialEq)]
pub struct InpaintUse {
    /// Digest of an uploaded image asset as large as the init image: its opaque parts, or where all of it is opaque its
    /// light ones, are painted.
    pub mask: Sha256,
    /// Paint what the mask leaves out.
    pub invert: bool,
    /// How far the mask's edge is softened: a standard deviation in pixels.
    pub blur: Option<u32>,
    pub content: Option<MaskedContent>,
    /// Cut the masked part out, paint it at the size of a whole picture, and put it back.
    pub only_masked: bool,
    /// Pixels of the init image that are kept around the masked part when it is cut out.
    pub padding: Option<u32>,
}

/// A ControlNet by reference, and the picture that it leads by. `None` means: all the time, as trained.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlNetUse {
    pub model: String,
    /// Digest of an uploaded image asset.
    pub image: Sha256,
    /// Take the image's edges in its place.
    pub canny: Option<Canny>,
    pub strength: Option<f32>,
    pub start: Option<f32>,
    pub end: Option<f32>,
}

/// Canny's edges (Canny 1986): those steeper than `high`, and those steeper than `low` that hang together with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canny {
    pub low: u32,
    pub high: u32,
}

impl Default for Canny {
    /// What everybody uses.
    fn default() -> Self {
        Self { low: 100, high: 200 }
    }
}

/// A LoRA by reference, with the weight its delta is multiplied by.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraUse {
    pub model: String,
    pub weight: f32,
    /// For the text encoders; `None`: the same.
    pub text_encoder_weight: Option<f32>,
}

/// One local file of a model: its name in the repository or page, and where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// Slash-separated path relative to the model's root, such as `unet/config.json`.
    pub name: String,
    pub path: PathBuf,
    pub sha256: Sha256,
}

/// Adapter weights that are on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraFile {
    /// For messages and for the recipe.
    pub name: String,
    pub path: PathBuf,
    pub sha256: Sha256,
    /// Of what it changes in the UNet.
    pub weight: f32,
    /// Of what it changes in the text encoders.
    pub text_encoder_weight: f32,
}

impl LoraFile {
    /// Whether it has any weight.
    #[must_use]
    pub fn changes_anything(&self) -> bool {
        self.weight != 0.0 || self.text_encoder_weight != 0.0
    }
}

/// A textual inversion on disk: words that prompts may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingFile {
    /// What a prompt says for it.
    pub name: String,
    pub path: PathBuf,
    pub sha256: Sha256,
}

/// ControlNet weights that are on disk, and the picture that they lead by.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlNetFile {
    /// For messages and for the recipe.
    pub name: String,
    pub path: PathBuf,
    pub sha256: Sha256,
    /// The `config.json` beside the weights.
    pub config: Option<ModelFile>,
    pub image: ControlImage,
    pub canny: Option<Canny>,
    /// Factor on what the ControlNet adds.
    pub strength: f32,
    /// The part of the steps that it is asked in, as fractions of them.
    pub start: f32,
    pub end: f32,
}

/// `rgb` holds `3 × width × height` bytes, row by row. As much of the middle as fits is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlImage {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

/// An image to start from: `rgb` holds `3 × width × height` bytes, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct InitImage {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
    pub strength: Option<f32>,
    /// Which part of it is painted; all of it without.
    pub inpaint: Option<Inpaint>,
}

/// Which part of an image is painted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inpaint {
    /// One byte for each pixel of the image, row by row: 255 is painted, 0 stays.
    pub mask: Vec<u8>,
    pub invert: bool,
    /// Standard deviation in pixels.
    pub blur: u32,
    pub content: MaskedContent,
    pub area: InpaintArea,
}

/// How much of an image the network sees while a part of it is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InpaintArea {
    Whole,
    /// The masked part and so many pixels around it, enlarged to the size of the painting (A1111's "Only masked").
    OnlyMasked {
        padding: u32,
    },
}

/// A generation with every name resolved to files. Still-open choices are the engine's, which knows the model.
///
/// By default nothing is said, and no picture wanted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PaintRequest {
    pub model: Vec<ModelFile>,
    /// One file that holds a VAE to use instead of the model's own.
    pub vae: Option<ModelFile>,
    /// Files that hold text encoders to use instead of the model's own; each is as one of them is.
    pub text_encoders: Vec<ModelFile>,
    pub loras: Vec<LoraFile>,
    /// Those that the prompts may mean; of what they do not say nothing is used.
    pub embeddings: Vec<EmbeddingFile>,
    pub controls: Vec<ControlNetFile>,
    pub prompt: String,
    pub negative_prompt: String,
    pub seed: u64,
    pub steps: Option<u32>,
    pub guidance_scale: Option<f32>,
    pub image_guidance_scale: Option<f32>,
    pub sampler: Option<Sampler>,
    pub schedule: Option<Schedule>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub clip_skip: Option<u32>,
    pub count: u32,
    pub init: Option<InitImage>,
    pub noise: NoiseSettings,
    pub guidance_rescale: Option<f32>,
    pub hires: Option<Hires<ModelFile>>,
    /// What previews are decoded by, if anybody wants some.
    pub taesd: Option<ModelFile>,
}

/// The choices that were made for a request: what the recipe records.
#[derive(Debug, Clone, PartialEq)]
pub struct PaintSettings {
    pub architecture: Architecture,
    pub steps: u32,
    pub guidance_scale: f32,
    /// Of a network that edits pictures; others have none.
    pub image_guidance_scale: Option<f32>,
    pub sampler: Sampler,
    pub schedule: Schedule,
    pub width: u32,
    pub height: u32,
    pub clip_skip: u32,
    /// Of a picture that is painted over another.
    pub strength: Option<f32>,
    pub noise: NoiseSettings,
    pub guidance_rescale: f32,
    pub hires: Option<HiresSettings>,
}

/// A finished picture: `rgb` holds `3 × width × height` bytes, row by row, sRGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaintedImage {
    pub seed: u64,
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

/// Everything a [`Generator`] hands back.
#[derive(Debug, Clone, PartialEq)]
pub struct Painting {
    pub settings: PaintSettings,
    /// Names of the textual inversions that the prompts said.
    pub embeddings: Vec<String>,
    pub images: Vec<PaintedImage>,
    /// Sentences about what its owner should know, such as a network that had to compute more exactly than is usual.
    pub warnings: Vec<String>,
}

/// Where a generation is. `step` counts finished sampler steps of the current image, 0 to `total_steps`; while an image is
/// made larger, its tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub step: u32,
    pub total_steps: u32,
    pub image_index: u32,
    pub image_count: u32,
}

/// A look at a picture that is still being painted: `rgb` holds `3 × width × height` bytes, row by row, and may be an eighth
/// of the picture's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaintPreview {
    pub image_index: u32,
    /// Finished sampler steps.
    pub step: u32,
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

/// The running job's line back to its owner.
pub trait Control {
    /// Asked all the time, between any two pieces of work; once it is wanted, the job stops and returns
    /// [`crate::reason::CANCELLED`].
    fn cancellation(&self) -> Cancellation;
    fn progress(&self, progress: Progress);

    /// Whether anybody wants to see now how the picture is coming on; asked at the end of each step.
    fn wants_preview(&self) -> bool {
        false
    }

    fn preview(&self, preview: PaintPreview) {
        drop(preview);
    }
}

/// The painting engine as the queue sees it: blocking, one request at a time, on a thread of its own.
pub trait Generator: Send {
    /// A look at models that waits for no painting.
    fn inspector(&self) -> Arc<dyn Inspector>;

    /// # Errors
    /// When the file is no upscaler that this engine has, the picture is too large, or on cancellation.
    fn upscale(
        &mut self,
        image: &PaintedImage,
        upscale: &Upscale<ModelFile>,
        control: &dyn Control,
    ) -> Result<PaintedImage, Failure>;

    /// # Errors
    /// On bad files, settings that the model cannot do, or cancellation.
    fn paint(&mut self, request: &PaintRequest, control: &dyn Control) -> Result<Painting, Failure>;

    /// Holds every kind of network on the engine's device against the reference.
    ///
    /// # Errors
    /// On cancellation; a network that cannot be computed is a check that did not pass.
    fn check(&mut self, control: &dyn Control) -> Result<Vec<EngineCheck>, Failure>;

    /// Paints from a cold start, and tells how long each part took.
    ///
    /// # Errors
    /// As [`Self::paint`].
    fn bench(&mut self, request: &PaintRequest, control: &dyn Control) -> Result<EngineBench, Failure>;

    /// Gives the memory of models back; the next painting reads again what it needs.
    fn evict(&mut self);
}
