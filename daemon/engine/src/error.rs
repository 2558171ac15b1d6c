//! Everything that can go wrong between a request and a picture.

use crate::tensor::interruption;
use paintbox_domain::generation::Phase;
use paintbox_domain::{Architecture, Classify, ErrorClass, ModelKind, reason};
use paintbox_weights::stable_diffusion::{DimsError, NameError};
use paintbox_weights::{AdapterError, HeaderError, InspectError, ScaleError, TorchError};
use std::path::PathBuf;

/// A failed painting or look at a model.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The device that was asked for by name cannot be opened.
    #[error("no {wanted} device can be opened")]
    Device { wanted: &'static str, source: candle_core::Error },
    #[error("cannot read {name} ({})", path.display())]
    ReadFile { name: String, path: PathBuf, source: std::io::Error },
    #[error("cannot use {file}")]
    Inspect { file: String, source: Box<InspectError> },
    #[error("cannot read the header of {file}")]
    Header { file: String, source: Box<HeaderError> },
    #[error("cannot use {file} as a textual inversion")]
    Torch { file: String, source: Box<TorchError> },
    #[error("cannot read the quantised weights of {file}")]
    Scales { file: String, source: Box<ScaleError> },
    #[error("cannot name the tensors of {file}")]
    Names { file: String, source: Box<NameError> },
    #[error("{file} is not the JSON that it should be")]
    Json { file: String, source: serde_json::Error },
    #[error("{file} is {size_bytes} bytes long; a file of its kind has at most {limit_bytes}")]
    OversizedText { file: String, size_bytes: u64, limit_bytes: u64 },
    /// A model whose configuration says that it works differently from what is built here.
    #[error("{file} sets {setting} to {given}; only {wanted} is painted with")]
    ConfigValue { file: String, setting: &'static str, given: String, wanted: String },
    /// `family` is what people call it where [`Architecture`] has no name for it.
    #[error("the architecture of {model} is {}; {} are painted with", family.unwrap_or(architecture.as_str()), painted())]
    UnsupportedArchitecture { model: String, architecture: Architecture, family: Option<&'static str> },
    /// A diffusers pipeline of a kind that is not built.
    #[error("{file} describes a {class_name}; only pipelines of Stable Diffusion 1, 2 and XL are painted with")]
    UnsupportedPipeline { file: String, class_name: String },
    /// A file that is no upscaler, or one of a design that is not built.
    #[error("{file} is no upscaler of ESRGAN, Real-ESRGAN or SPAN, which are the ones that pictures are enlarged with")]
    UnsupportedUpscaler { file: String },
    #[error("{file} holds a {kind}, not a whole model")]
    NotACheckpoint { file: String, kind: ModelKind },
    /// A network with other inputs than those that are made here: depth, upscaling.
    #[error(
        "{model} takes {given} input channels; networks for text-to-image take {latents}, those for inpainting {}, those \
         that edit pictures {}", 2 * latents + 1, 2 * latents
    )]
    UnsupportedInputs { model: String, given: usize, latents: usize },
    /// A diffusion network without one of the parts that a picture needs.
    #[error("the model has no {component}")]
    MissingComponent { component: &'static str, looked_for: &'static str },
    #[error("no tokenizer is known for a vocabulary of {vocabulary} entries of width {width}")]
    UnknownVocabulary { vocabulary: usize, width: usize },
    #[error("{origin} cannot be used as a tokenizer")]
    Tokenizer { origin: String, source: tokenizers::Error },
    #[error("{origin} has no {token} token")]
    MissingToken { token: &'static str, origin: String },
    #[error("{origin} has {given} entries, but the text encoder has {wanted}")]
    VocabularySize { origin: String, given: usize, wanted: usize },
    #[error("the {component} has no tensor {tensor}")]
    MissingTensor { component: &'static str, tensor: String },
    #[error("tensor {tensor} has shape {given:?} where {wanted:?} belongs")]
    TensorShape { tensor: String, wanted: Vec<usize>, given: Vec<usize> },
    #[error("tensor {tensor} is stored as {dtype}; f32, f16, bf16 and fp8 (E4M3, E5M2) are read")]
    TensorType { tensor: String, dtype: String },
    /// Tensors whose shapes contradict each other or any network of the family.
    #[error("the {component}'s tensors do not add up to a network: {problem}")]
    Blueprint { component: &'static str, problem: &'static str },
    #[error("the {component}'s sizes cannot be read off its tensors")]
    Dims { component: &'static str, source: DimsError },
    #[error("{file} cannot be used as a LoRA")]
    Adapter { file: String, source: Box<AdapterError> },
    #[error("{file} cannot be used as a textual inversion: {problem}")]
    Embedding { file: String, problem: &'static str },
    #[error("{file} is no TAESD, which is what previews are decoded by")]
    NotATaesd { file: String },
    #[error("{file} holds no text encoder that Stable Diffusion has")]
    NotATextEncoder { file: String },
    #[error("{file} does not fit the model: its states are as wide as {given}, and the network reads {wanted}")]
    TextEncoderMismatch { file: String, given: String, wanted: String },
    #[error("{first} and {second} would both be the model's {component}")]
    SameTextEncoder { component: &'static str, first: String, second: String },
    #[error("{file} is a {kind}, not a ControlNet")]
    NotAControlNet { file: String, kind: ModelKind },
    /// Something that leads a network in a way that is not built.
    #[error("{file} is {form}; only ControlNets of one purpose are painted with")]
    UnsupportedControl { file: String, form: &'static str },
    #[error("{file} does not fit the model: its {part} is {given}, and the model's {wanted}")]
    ControlMismatch { file: String, part: &'static str, given: String, wanted: String },
    /// A setting outside of what can be done at all.
    #[error("{setting} is {given}, but must be {wanted}")]
    Setting { setting: &'static str, given: String, wanted: String },
    /// Even with one network in memory at a time; the fullest phase decides.
    #[error(
        "a picture of {width}×{height} pixels needs {needed_bytes} bytes of memory while it is {}, {weights_bytes} \
         of them for weights; {limit_bytes} are there", phase.as_str().replace('_', " ")
    )]
    TooLarge { width: u32, height: u32, phase: Phase, weights_bytes: u64, needed_bytes: u64, limit_bytes: u64 },
    #[error("{stage} gave values that are not numbers at step {step}")]
    NotFinite { stage: &'static str, step: u32 },
    #[error("{doing} failed")]
    Compute { doing: &'static str, source: candle_core::Error },
    #[error("the painting was cancelled")]
    Cancelled,
    #[error("the engine stopped on a broken assumption: {message}")]
    Panicked { message: String },
}

/// The names of all architectures that there is a family of.
fn painted() -> String {
    crate::load::painted().map(Architecture::as_str).collect::<Vec<_>>().join(", ")
}

impl EngineError {
    /// Wraps an error of candle with what was being computed; where the computing was told to stop, that is the error.
    pub(crate) fn computing(doing: &'static str) -> impl Fn(candle_core::Error) -> Self {
        move |source| if interruption::is_noticed() { Self::Cancelled } else { Self::Compute { doing, source } }
    }
}

impl Classify for EngineError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Device { .. } | Self::MissingComponent { .. } | Self::UnknownVocabulary { .. } => {
                ErrorClass::Precondition
            }
            Self::ReadFile { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ErrorClass::Precondition,
            Self::Inspect { source, .. } => source.class(),
            Self::Header { source, .. } => source.class(),
            Self::Torch { source, .. } => source.class(),
            Self::Scales { source, .. } => source.class(),
            Self::Names { source, .. } => source.class(),
            Self::Adapter { source, .. } => source.class(),
            Self::Dims { source, .. } => source.class(),
            Self::Json { .. }
            | Self::OversizedText { .. }
            | Self::Tokenizer { .. }
            | Self::MissingToken { .. }
            | Self::VocabularySize { .. }
            | Self::MissingTensor { .. }
            | Self::TensorShape { .. }
            | Self::Blueprint { .. } => ErrorClass::DataLoss,
            Self::ConfigValue { .. }
            | Self::UnsupportedArchitecture { .. }
            | Self::UnsupportedPipeline { .. }
            | Self::UnsupportedUpscaler { .. }
            | Self::UnsupportedInputs { .. }
            | Self::TensorType { .. }
            | Self::UnsupportedControl { .. }
            | Self::TextEncoderMismatch { .. }
            | Self::ControlMismatch { .. } => ErrorClass::Unsupported,
            Self::NotACheckpoint { .. }
            | Self::NotATextEncoder { .. }
            | Self::SameTextEncoder { .. }
            | Self::NotAControlNet { .. }
            | Self::NotATaesd { .. }
            | Self::Embedding { .. }
            | Self::Setting { .. } => ErrorClass::InvalidInput,
            Self::TooLarge { .. } => ErrorClass::Exhausted,
            Self::Cancelled => ErrorClass::Cancelled,
            Self::ReadFile { .. } | Self::NotFinite { .. } | Self::Compute { .. } | Self::Panicked { .. } => {
                ErrorClass::Internal
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::ReadFile { source, .. } if source.kind() == std::io::ErrorKind::NotFound => reason::FILE_NOT_LOCAL,
            Self::ReadFile { .. } => reason::STORE_FAILED,
            Self::Inspect { source, .. } => source.reason(),
            Self::Header { source, .. } => source.reason(),
            Self::Torch { source, .. } => source.reason(),
            Self::Scales { source, .. } => source.reason(),
            Self::Names { source, .. } => source.reason(),
            Self::Adapter { source, .. } => source.reason(),
            Self::Dims { source, .. } => source.reason(),
            Self::Json { .. }
            | Self::OversizedText { .. }
            | Self::Tokenizer { .. }
            | Self::MissingToken { .. }
            | Self::VocabularySize { .. }
            | Self::MissingTensor { .. }
            | Self::TensorShape { .. }
            | Self::Blueprint { .. } => reason::MALFORMED_FILE,
            Self::ConfigValue { .. }
            | Self::UnsupportedArchitecture { .. }
            | Self::UnsupportedPipeline { .. }
            | Self::UnsupportedUpscaler { .. }
            | Self::UnsupportedInputs { .. }
            | Self::UnsupportedControl { .. }
            | Self::ControlMismatch { .. }
            | Self::TextEncoderMismatch { .. }
            | Self::TensorType { .. } => reason::UNSUPPORTED_ARCHITECTURE,
            Self::NotACheckpoint { .. }
            | Self::NotATextEncoder { .. }
            | Self::NotAControlNet { .. }
            | Self::NotATaesd { .. }
            | Self::Embedding { .. } => reason::NOT_A_MODEL_FILE,
            Self::SameTextEncoder { .. } => reason::INVALID_ARGUMENT,
            Self::MissingComponent { .. } | Self::UnknownVocabulary { .. } => reason::MISSING_COMPONENT,
            Self::Setting { .. } => reason::UNSUPPORTED_SETTING,
            Self::TooLarge { .. } => reason::OUT_OF_MEMORY,
            Self::Cancelled => reason::CANCELLED,
            Self::Device { .. } | Self::NotFinite { .. } | Self::Compute { .. } | Self::Panicked { .. } => {
                reason::ENGINE_FAILED
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::MissingComponent { looked_for, .. } => Some(format!("the model may bring {looked_for}")),
            Self::UnknownVocabulary { .. } => {
                Some("put the model's tokenizer.json beside it, or sync the repository that it came from".to_owned())
            }
            Self::UnsupportedArchitecture { .. } | Self::UnsupportedPipeline { .. } => {
                Some("`paintbox search` and `paintbox show` say each model's architecture".to_owned())
            }
            Self::ControlMismatch { .. } => {
                Some("ControlNets fit models of their own family: one for SD 1, 2 or XL".to_owned())
            }
            Self::TooLarge { .. } => {
                Some("ask for a smaller picture, close other programs, or raise `memory_limit_bytes`".to_owned())
            }
            Self::NotFinite { .. } => Some("a lower guidance scale or another sampler may help".to_owned()),
            Self::Inspect { source, .. } => source.hint(),
            Self::Header { source, .. } => source.hint(),
            Self::Torch { source, .. } => source.hint(),
            Self::Scales { source, .. } => source.hint(),
            Self::Names { source, .. } => source.hint(),
            Self::Adapter { source, .. } => source.hint(),
            Self::Dims { source, .. } => source.hint(),
            Self::Device { .. }
            | Self::ReadFile { .. }
            | Self::Json { .. }
            | Self::OversizedText { .. }
            | Self::ConfigValue { .. }
            | Self::NotATaesd { .. }
            | Self::UnsupportedUpscaler { .. }
            | Self::NotACheckpoint { .. }
            | Self::NotATextEncoder { .. }
            | Self::TextEncoderMismatch { .. }
            | Self::SameTextEncoder { .. }
            | Self::Embedding { .. }
            | Self::NotAControlNet { .. }
            | Self::UnsupportedControl { .. }
            | Self::UnsupportedInputs { .. }
            | Self::Tokenizer { .. }
            | Self::MissingToken { .. }
            | Self::VocabularySize { .. }
            | Self::MissingTensor { .. }
            | Self::TensorShape { .. }
            | Self::TensorType { .. }
            | Self::Blueprint { .. }
            | Self::Setting { .. }
            | Self::Compute { .. }
            | Self::Cancelled
            | Self::Panicked { .. } => None,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Device { wanted, .. } => vec![("device", (*wanted).to_owned())],
            Self::ReadFile { name, path, .. } => vec![("file", name.clone()), ("path", path.display().to_string())],
            Self::Inspect { file, source } => with_file(file, source.metadata()),
            Self::Header { file, source } => with_file(file, source.metadata()),
            Self::Torch { file, source } => with_file(file, source.metadata()),
            Self::Scales { file, source } => with_file(file, source.metadata()),
            Self::Names { file, source } => with_file(file, source.metadata()),
            Self::Adapter { file, source } => with_file(file, source.metadata()),
            Self::Dims { component, source } => {
                let mut metadata = source.metadata();
                metadata.push(("component", (*component).to_owned()));
                metadata
            }
            Self::Json { file, .. } | Self::UnsupportedUpscaler { file } | Self::NotATaesd { file } => {
                vec![("file", file.clone())]
            }
            Self::OversizedText { file, size_bytes, limit_bytes } => vec![
                ("file", file.clone()),
                ("size_bytes", size_bytes.to_string()),
                ("limit_bytes", limit_bytes.to_string()),
            ],
            Self::ConfigValue { file, setting, given, wanted } => vec![
                ("file", file.clone()),
                ("setting", (*setting).to_owned()),
                ("given", given.clone()),
                ("wanted", wanted.clone()),
            ],
            Self::UnsupportedArchitecture { model, architecture, family } => {
                let name = family.unwrap_or(architecture.as_str());
                vec![("model", model.clone()), ("architecture", name.to_owned())]
            }
            Self::UnsupportedPipeline { file, class_name } => {
                vec![("file", file.clone()), ("class_name", class_name.clone())]
            }
            Self::UnsupportedInputs { model, given, latents } => {
                vec![("model", model.clone()), ("given", given.to_string()), ("latents", latents.to_string())]
            }
            Self::UnsupportedControl { file, form } => vec![("file", file.clone()), ("form", (*form).to_owned())],
            Self::ControlMismatch { file, part, given, wanted } => vec![
                ("file", file.clone()),
                ("part", (*part).to_owned()),
                ("given", given.clone()),
                ("wanted", wanted.clone()),
            ],
            Self::NotATextEncoder { file } => vec![("file", file.clone())],
            Self::TextEncoderMismatch { file, given, wanted } => {
                vec![("file", file.clone()), ("given", given.clone()), ("wanted", wanted.clone())]
            }
            Self::SameTextEncoder { component, first, second } => {
                vec![("component", (*component).to_owned()), ("first", first.clone()), ("second", second.clone())]
            }
            Self::NotACheckpoint { file, kind } | Self::NotAControlNet { file, kind } => {
                vec![("file", file.clone()), ("kind", kind.to_string())]
            }
            Self::MissingComponent { component, .. } => vec![("component", (*component).to_owned())],
            Self::UnknownVocabulary { vocabulary, width } => {
                vec![("vocabulary", vocabulary.to_string()), ("width", width.to_string())]
            }
            Self::Tokenizer { origin, .. } => vec![("file", origin.clone())],
            Self::MissingToken { token, origin } => {
                vec![("token", (*token).to_owned()), ("file", origin.clone())]
            }
            Self::VocabularySize { origin, given, wanted } => {
                vec![("file", origin.clone()), ("given", given.to_string()), ("wanted", wanted.to_string())]
            }
            Self::MissingTensor { component, tensor } => {
                vec![("component", (*component).to_owned()), ("tensor", tensor.clone())]
            }
            Self::TensorShape { tensor, wanted, given } => {
                vec![("tensor", tensor.clone()), ("wanted", format!("{wanted:?}")), ("given", format!("{given:?}"))]
            }
            Self::TensorType { tensor, dtype } => vec![("tensor", tensor.clone()), ("dtype", dtype.clone())],
            Self::Embedding { file, .. } => vec![("file", file.clone())],
            Self::Blueprint { component, .. } => vec![("component", (*component).to_owned())],
            Self::Setting { setting, given, wanted } => {
                vec![("setting", (*setting).to_owned()), ("given", given.clone()), ("wanted", wanted.clone())]
            }
            Self::TooLarge { width, height, phase, weights_bytes, needed_bytes, limit_bytes } => vec![
                ("width", width.to_string()),
                ("height", height.to_string()),
                ("phase", phase.to_string()),
                ("weights_bytes", weights_bytes.to_string()),
                ("needed_bytes", needed_bytes.to_string()),
                ("limit_bytes", limit_bytes.to_string()),
            ],
            Self::NotFinite { stage, step } => vec![("stage", (*stage).to_owned()), ("step", step.to_string())],
            Self::Compute { doing, .. } => vec![("doing", (*doing).to_owned())],
            Self::Panicked { message } => vec![("message", message.clone())],
            Self::Cancelled => Vec::new(),
        }
    }
}

fn with_file(file: &str, mut metadata: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    metadata.push(("file", file.to_owned()));
    metadata
}
