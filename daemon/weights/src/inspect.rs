//! One answer about one file, asked before the file gets a name: what it is, or why it is refused.

use crate::detect::{Detected, Listing, detect};
use crate::gguf::{self, GgufError};
use crate::pickle::begins_like_pickle;
use crate::safetensors::{self, HeaderError, Table};
use crate::sniff::{Sniffed, sniff};
use crate::torch::{TorchError, read_textual_inversion};
use paintbox_domain::{Classify, ErrorClass, FileFormat, ModelKind, reason};
use std::io::{Read, Seek, SeekFrom};

/// What is read to recognise a file; a tar's magic lies 257 bytes in, a zip's first name within the first hundred.
const HEAD_BYTES: u64 = 1_024;

/// A file that is what it claims to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    pub format: FileFormat,
    pub detected: Detected,
}

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("the file could not be read")]
    Read {
        #[source]
        source: std::io::Error,
    },
    #[error("the file is {found}, which can run code when it is opened")]
    UnsafeFormat { found: Sniffed },
    /// A pickle that says itself what it would run.
    #[error("the file cannot be opened safely")]
    Torch {
        #[source]
        source: TorchError,
    },
    #[error("the file is {found}, not a model")]
    NotAModel { found: Sniffed },
    #[error("the file is a broken safetensors file")]
    Safetensors {
        #[source]
        source: HeaderError,
    },
    #[error("the file is a broken GGUF file")]
    Gguf {
        #[source]
        source: GgufError,
    },
}

impl Classify for InspectError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { .. } | Self::NotAModel { .. } => ErrorClass::DataLoss,
            Self::UnsafeFormat { .. } => ErrorClass::Unsupported,
            Self::Torch { source } => source.class(),
            Self::Safetensors { source } => source.class(),
            Self::Gguf { source } => source.class(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => reason::STORE_FAILED,
            Self::UnsafeFormat { .. } => reason::UNSAFE_FORMAT,
            Self::NotAModel { .. } => reason::NOT_A_MODEL_FILE,
            Self::Torch { source } => source.reason(),
            Self::Safetensors { source } => source.reason(),
            Self::Gguf { source } => source.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnsafeFormat { .. } => {
                Some("Look for the same model as safetensors; pickles are never run, and of them only textual inversions are read.".to_owned())
            }
            Self::Torch { source } => source.hint(),
            Self::NotAModel { found: Sniffed::Html | Sniffed::Json | Sniffed::Text | Sniffed::Empty } => {
                Some("The server answered with a page instead of the file; it may want a login.".to_owned())
            }
            Self::Read { .. } | Self::NotAModel { .. } | Self::Safetensors { .. } | Self::Gguf { .. } => None,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Read { .. } => Vec::new(),
            Self::UnsafeFormat { found } | Self::NotAModel { found } => {
                vec![("format", found.format().as_str().to_owned())]
            }
            Self::Torch { source } => source.metadata(),
            Self::Safetensors { source } => source.metadata(),
            Self::Gguf { source } => source.metadata(),
        }
    }
}

/// Says what a file of `file_len` bytes is. Reads its beginning only, whatever its size.
///
/// # Errors
/// [`InspectError::UnsafeFormat`] for pickles, [`InspectError::NotAModel`] for what holds no weights at all, and the
/// broken rule of a safetensors or GGUF header. A header that is sound but unknown is no error: its kind and
/// architecture are then `Unknown`.
pub fn inspect(reader: &mut (impl Read + Seek), file_len: u64) -> Result<Inspection, InspectError> {
    let read = |source| InspectError::Read { source };
    reader.seek(SeekFrom::Start(0)).map_err(read)?;
    let mut head = Vec::new();
    reader.take(HEAD_BYTES.min(file_len)).read_to_end(&mut head).map_err(read)?;
    match sniff(&head) {
        Sniffed::Safetensors => inspect_safetensors(reader, file_len, &head),
        // A brace in the ninth place after a length that cannot be: say which rule it breaks, not that it is unknown.
        Sniffed::Unknown if head.get(8) == Some(&b'{') => inspect_safetensors(reader, file_len, &head),
        Sniffed::Gguf => {
            let header = gguf::read_header(reader, file_len).map_err(|source| InspectError::Gguf { source })?;
            Ok(Inspection { format: FileFormat::Gguf, detected: detect(&Listing::of_gguf(&header)) })
        }
        found @ Sniffed::Pickle => Err(InspectError::UnsafeFormat { found }),
        found @ (Sniffed::Archive
        | Sniffed::Html
        | Sniffed::Json
        | Sniffed::Image
        | Sniffed::Text
        | Sniffed::Empty
        | Sniffed::Unknown) => Err(InspectError::NotAModel { found }),
    }
}

/// The same of a file that may also be a textual inversion that torch saved: it is read without running it, as far as that
/// goes, and the whole of it, since it is small.
///
/// # Errors
/// As [`inspect`]; [`InspectError::Torch`] for a pickle that names what it would run.
pub fn inspect_kept(reader: &mut (impl Read + Seek), file_len: u64) -> Result<Inspection, InspectError> {
    match inspect(reader, file_len) {
        Err(refusal @ InspectError::UnsafeFormat { .. }) => match read_textual_inversion(reader, file_len) {
            Ok(header) => {
                let detected = detect(&Listing::of_safetensors(&header));
                let is_one = detected.kind == ModelKind::TextualInversion;
                is_one.then_some(Inspection { format: FileFormat::Pickle, detected }).ok_or(refusal)
            }
            Err(source @ TorchError::Forbidden { .. }) => Err(InspectError::Torch { source }),
            Err(_) => Err(refusal),
        },
        other => other,
    }
}

fn inspect_safetensors(
    reader: &mut (impl Read + Seek),
    file_len: u64,
    head: &[u8],
) -> Result<Inspection, InspectError> {
    let looked_at = safetensors::read_text(reader, file_len).and_then(|text| {
        let table = Table::of(&text)?;
        Ok(detect(&Listing::of_table(&table)))
    });
    match looked_at {
        Ok(detected) => Ok(Inspection { format: FileFormat::Safetensors, detected }),
        // A pickle can be written so that it begins like a safetensors file; it cannot also have a sound header.
        Err(_) if begins_like_pickle(head) => Err(InspectError::UnsafeFormat { found: Sniffed::Pickle }),
        Err(source) => Err(InspectError::Safetensors { source }),
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
