//! Why a file of `torch.save` is not read.

use paintbox_domain::{Classify, ErrorClass, reason};

/// What a file has in it that is broken, or that a textual inversion does not need.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    #[error("the file could not be read")]
    Read {
        #[source]
        source: std::io::Error,
    },
    #[error("the {what} of a pickle has a size of {size}; {limit} is the most that a textual inversion may have")]
    TooLarge { what: &'static str, size: u64, limit: u64 },
    /// Something that Python would look up and could run.
    #[error("the file is a Python pickle that asks for `{name}`, which no textual inversion needs")]
    Forbidden { name: String },
    #[error("the file is a Python pickle with the instruction {opcode:#04x}, which no textual inversion needs")]
    Instruction { opcode: u8 },
    #[error("the file is a Python pickle, and no textual inversion: {problem}")]
    NoInversion { problem: &'static str },
    #[error("the file is a broken Python pickle; its {what} is wrong: {problem}")]
    Broken { what: &'static str, problem: &'static str },
}

impl Classify for TorchError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { .. } => ErrorClass::Internal,
            Self::TooLarge { .. } | Self::Forbidden { .. } | Self::Instruction { .. } | Self::NoInversion { .. } => {
                ErrorClass::Unsupported
            }
            Self::Broken { .. } => ErrorClass::DataLoss,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => reason::STORE_FAILED,
            Self::TooLarge { .. } | Self::Forbidden { .. } | Self::Instruction { .. } | Self::NoInversion { .. } => {
                reason::UNSAFE_FORMAT
            }
            Self::Broken { .. } => reason::MALFORMED_FILE,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } | Self::Broken { .. } => None,
            Self::TooLarge { .. } | Self::Forbidden { .. } | Self::Instruction { .. } | Self::NoInversion { .. } => {
                Some("look for the same model as safetensors".to_owned())
            }
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Read { .. } => Vec::new(),
            Self::TooLarge { what, size, limit } => {
                vec![("what", (*what).to_owned()), ("size", size.to_string()), ("limit", limit.to_string())]
            }
            Self::Forbidden { name } => vec![("name", name.clone())],
            Self::Instruction { opcode } => vec![("instruction", format!("{opcode:#04x}"))],
            Self::NoInversion { problem } => vec![("problem", (*problem).to_owned())],
            Self::Broken { what, problem } => vec![("what", (*what).to_owned()), ("problem", (*problem).to_owned())],
        }
    }
}
