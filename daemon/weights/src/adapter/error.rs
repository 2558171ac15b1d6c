//! Why a file cannot be used as an adapter.

use paintbox_domain::{Classify, ErrorClass, reason};

/// Why a file cannot be used as a LoRA for a model.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    #[error("the file holds no LoRA")]
    NotALora,
    #[error("the file adapts weights by {algorithm} (tensor `{tensor}`), which is not supported yet")]
    UnsupportedAlgorithm { algorithm: &'static str, tensor: String },
    #[error("the LoRA states `{setting}` in its metadata, which is not supported yet")]
    UnsupportedSetting { setting: String },
    #[error("the adapter metadata of the LoRA is not the JSON it should be")]
    BadMetadata {
        #[source]
        source: serde_json::Error,
    },
    #[error("module `{module}` of the LoRA has no `{missing}` tensor")]
    Incomplete { module: String, missing: &'static str },
    #[error("tensor `{tensor}` of the LoRA has shape {shape:?}, which no `{role}` tensor has")]
    BadTensor { tensor: String, role: &'static str, shape: Vec<usize> },
    #[error("`{first}` and `{second}` of the LoRA both adapt `{canonical}`")]
    Twice { canonical: String, first: String, second: String },
    #[error("the LoRA is made for another model: module `{module}` is of shape {given:?}, `{canonical}` of {wanted:?}")]
    WrongShape { module: String, canonical: String, wanted: Vec<usize>, given: Vec<usize> },
    #[error(
        "the LoRA is made for another model: {matched} of its {modules} modules have a place, `{example}` has none"
    )]
    Mismatch { matched: usize, modules: usize, example: String },
}

impl Classify for AdapterError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::UnsupportedAlgorithm { .. } | Self::UnsupportedSetting { .. } => ErrorClass::Unsupported,
            Self::NotALora | Self::WrongShape { .. } | Self::Mismatch { .. } => ErrorClass::InvalidInput,
            Self::BadMetadata { .. } | Self::Incomplete { .. } | Self::BadTensor { .. } | Self::Twice { .. } => {
                ErrorClass::DataLoss
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::UnsupportedAlgorithm { .. } | Self::UnsupportedSetting { .. } => reason::UNSUPPORTED_SETTING,
            Self::NotALora | Self::WrongShape { .. } | Self::Mismatch { .. } => reason::LORA_MISMATCH,
            Self::BadMetadata { .. } | Self::Incomplete { .. } | Self::BadTensor { .. } | Self::Twice { .. } => {
                reason::MALFORMED_FILE
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::WrongShape { .. } | Self::Mismatch { .. } => {
                Some("Use a LoRA trained for the same architecture as the model.".to_owned())
            }
            Self::NotALora
            | Self::UnsupportedAlgorithm { .. }
            | Self::UnsupportedSetting { .. }
            | Self::BadMetadata { .. }
            | Self::Incomplete { .. }
            | Self::BadTensor { .. }
            | Self::Twice { .. } => None,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotALora | Self::BadMetadata { .. } => Vec::new(),
            Self::UnsupportedAlgorithm { algorithm, tensor } => {
                vec![("algorithm", (*algorithm).to_owned()), ("tensor", tensor.clone())]
            }
            Self::UnsupportedSetting { setting } => vec![("setting", setting.clone())],
            Self::Incomplete { module, missing } => {
                vec![("module", module.clone()), ("missing", (*missing).to_owned())]
            }
            Self::BadTensor { tensor, role, shape } => {
                vec![("tensor", tensor.clone()), ("role", (*role).to_owned()), ("shape", format!("{shape:?}"))]
            }
            Self::Twice { canonical, first, second } => {
                vec![("canonical", canonical.clone()), ("first", first.clone()), ("second", second.clone())]
            }
            Self::WrongShape { module, canonical, wanted, given } => vec![
                ("module", module.clone()),
                ("canonical", canonical.clone()),
                ("wanted", format!("{wanted:?}")),
                ("given", format!("{given:?}")),
            ],
            Self::Mismatch { matched, modules, example } => {
                vec![("matched", matched.to_string()), ("modules", modules.to_string()), ("example", example.clone())]
            }
        }
    }
}
