//! The header of a safetensors file, checked rule by rule before anything trusts an offset in it.
//!
//! The layout is a little-endian `u64` (the JSON's length in bytes), the JSON, then the tensors' bytes. The rules are
//! those of the format's description and its reference implementation (huggingface/safetensors, 0.8): no duplicate
//! keys, every byte of the data belongs to exactly one tensor, and a tensor's span is what its type and shape say.
//!
//! `raw` is the JSON as written, `scan` the quick way to it, `table` what is left once the rules hold: names that point into
//! the text. Whoever only looks at a header needs no more; [`Header`] is a copy to keep.

mod raw;
mod scan;
mod table;

pub(crate) use table::{Table, read_text};

use paintbox_domain::{Classify, ErrorClass, reason};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Seek};

/// The reference implementation's bound on the JSON, in bytes.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;
/// More tensors than any model has; it bounds memory before the shapes are known to be true.
pub const MAX_TENSORS: usize = 200_000;
/// More dimensions than any tensor has.
pub const MAX_RANK: usize = 16;

macro_rules! dtypes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $bits:literal, $float:literal);+ $(;)?) => {
        /// The element type of a tensor.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Dtype { $($(#[$doc])* $variant),+ }

        impl Dtype {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in safetensors headers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The type of a header's name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }

            /// Bits of one element; below eight, elements share bytes.
            #[must_use]
            pub const fn bits(self) -> u64 {
                match self { $(Self::$variant => $bits),+ }
            }

            /// Whether elements are real numbers, as weights are, rather than counts or flags.
            #[must_use]
            pub const fn is_float(self) -> bool {
                match self { $(Self::$variant => $float),+ }
            }
        }
    };
}

dtypes! {
    Bool = "BOOL", 8, false;
    F4 = "F4", 4, true;
    F6E2M3 = "F6_E2M3", 6, true;
    F6E3M2 = "F6_E3M2", 6, true;
    U8 = "U8", 8, false;
    I8 = "I8", 8, false;
    F8E5M2 = "F8_E5M2", 8, true;
    F8E4M3 = "F8_E4M3", 8, true;
    /// Scales of block formats: an exponent only.
    F8E8M0 = "F8_E8M0", 8, true;
    F8E4M3Fnuz = "F8_E4M3FNUZ", 8, true;
    F8E5M2Fnuz = "F8_E5M2FNUZ", 8, true;
    I16 = "I16", 16, false;
    U16 = "U16", 16, false;
    F16 = "F16", 16, true;
    BF16 = "BF16", 16, true;
    I32 = "I32", 32, false;
    U32 = "U32", 32, false;
    F32 = "F32", 32, true;
    C64 = "C64", 64, false;
    F64 = "F64", 64, true;
    I64 = "I64", 64, false;
    U64 = "U64", 64, false;
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One tensor: its type, its shape (torch order) and where its bytes lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// The first byte, counted from the beginning of the file.
    pub start: u64,
    /// One past the last byte, counted from the beginning of the file.
    pub end: u64,
}

impl TensorInfo {
    /// Elements; 1 for a scalar. The header was checked, so the product cannot overflow.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1_u64, |product, &dimension| product.saturating_mul(dimension as u64))
    }

    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// A checked header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    pub tensors: BTreeMap<String, TensorInfo>,
    /// `__metadata__`: free text by key, whatever the writer put there.
    pub metadata: BTreeMap<String, String>,
    /// Where the tensors' bytes begin, counted from the beginning of the file.
    pub data_start: u64,
}

/// The rule that a header breaks.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("the safetensors header could not be read")]
    Read {
        #[source]
        source: std::io::Error,
    },
    #[error("{file_bytes} bytes are too few for a safetensors file")]
    TooShort { file_bytes: u64 },
    #[error("the safetensors header claims {header_bytes} bytes; {limit_bytes} are the most allowed")]
    HeaderTooLarge { header_bytes: u64, limit_bytes: u64 },
    #[error("the safetensors header claims {header_bytes} bytes, but the file has only {file_bytes}")]
    HeaderPastEnd { header_bytes: u64, file_bytes: u64 },
    #[error("the safetensors header is no JSON object")]
    NotAnObject,
    #[error("the safetensors header is not UTF-8")]
    NotUtf8 {
        #[source]
        source: std::str::Utf8Error,
    },
    #[error("the safetensors header is not the JSON it should be")]
    Json {
        #[source]
        source: serde_json::Error,
    },
    #[error("the safetensors header lists more than {limit} tensors")]
    TooManyTensors { limit: usize },
    #[error("the safetensors header lists `{name}` twice")]
    DuplicateName { name: String },
    #[error("the safetensors metadata has `{key}` twice")]
    DuplicateMetadata { key: String },
    #[error("tensor `{tensor}` has the unknown type `{dtype}`")]
    UnknownDtype { tensor: String, dtype: String },
    #[error("tensor `{tensor}` has more than {limit} dimensions")]
    TooManyDimensions { tensor: String, limit: usize },
    #[error("the shape of tensor `{tensor}` is larger than any memory")]
    ShapeOverflow { tensor: String },
    #[error("tensor `{tensor}` ends inside a byte ({bits} bits)")]
    NotWholeBytes { tensor: String, bits: u64 },
    #[error("tensor `{tensor}` ends at {end}, before it begins at {start}")]
    OffsetsReversed { tensor: String, start: u64, end: u64 },
    #[error("tensor `{tensor}` ends at byte {end} of a file of {file_bytes} bytes")]
    OffsetPastEnd { tensor: String, end: u64, file_bytes: u64 },
    #[error("tensor `{tensor}` spans {span_bytes} bytes where its type and shape need {shape_bytes}")]
    SpanMismatch { tensor: String, span_bytes: u64, shape_bytes: u64 },
    #[error("tensors `{first}` and `{second}` overlap")]
    Overlap { first: String, second: String },
    #[error("{bytes} bytes before tensor `{tensor}` belong to no tensor")]
    Hole { tensor: String, bytes: u64 },
    #[error("{bytes} bytes at the end of the file belong to no tensor")]
    TrailingBytes { bytes: u64 },
}

impl Classify for HeaderError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { .. }
            | Self::TooShort { .. }
            | Self::HeaderTooLarge { .. }
            | Self::HeaderPastEnd { .. }
            | Self::NotAnObject
            | Self::NotUtf8 { .. }
            | Self::Json { .. }
            | Self::TooManyTensors { .. }
            | Self::DuplicateName { .. }
            | Self::DuplicateMetadata { .. }
            | Self::UnknownDtype { .. }
            | Self::TooManyDimensions { .. }
            | Self::ShapeOverflow { .. }
            | Self::NotWholeBytes { .. }
            | Self::OffsetsReversed { .. }
            | Self::OffsetPastEnd { .. }
            | Self::SpanMismatch { .. }
            | Self::Overlap { .. }
            | Self::Hole { .. }
            | Self::TrailingBytes { .. } => ErrorClass::DataLoss,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Read { source } if source.kind() != std::io::ErrorKind::UnexpectedEof => reason::STORE_FAILED,
            Self::Read { .. }
            | Self::TooShort { .. }
            | Self::HeaderTooLarge { .. }
            | Self::HeaderPastEnd { .. }
            | Self::NotAnObject
            | Self::NotUtf8 { .. }
            | Self::Json { .. }
            | Self::TooManyTensors { .. }
            | Self::DuplicateName { .. }
            | Self::DuplicateMetadata { .. }
            | Self::UnknownDtype { .. }
            | Self::TooManyDimensions { .. }
            | Self::ShapeOverflow { .. }
            | Self::NotWholeBytes { .. }
            | Self::OffsetsReversed { .. }
            | Self::OffsetPastEnd { .. }
            | Self::SpanMismatch { .. }
            | Self::Overlap { .. }
            | Self::Hole { .. }
            | Self::TrailingBytes { .. } => reason::MALFORMED_FILE,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Read { .. } | Self::NotAnObject | Self::NotUtf8 { .. } | Self::Json { .. } => Vec::new(),
            Self::TooShort { file_bytes } => vec![("file_bytes", file_bytes.to_string())],
            Self::HeaderTooLarge { header_bytes, limit_bytes } => {
                vec![("header_bytes", header_bytes.to_string()), ("limit_bytes", limit_bytes.to_string())]
            }
            Self::HeaderPastEnd { header_bytes, file_bytes } => {
                vec![("header_bytes", header_bytes.to_string()), ("file_bytes", file_bytes.to_string())]
            }
            Self::TooManyTensors { limit } => vec![("limit", limit.to_string())],
            Self::DuplicateName { name } => vec![("tensor", name.clone())],
            Self::DuplicateMetadata { key } => vec![("key", key.clone())],
            Self::UnknownDtype { tensor, dtype } => vec![("tensor", tensor.clone()), ("dtype", dtype.clone())],
            Self::TooManyDimensions { tensor, limit } => {
                vec![("tensor", tensor.clone()), ("limit", limit.to_string())]
            }
            Self::ShapeOverflow { tensor } => vec![("tensor", tensor.clone())],
            Self::NotWholeBytes { tensor, bits } => vec![("tensor", tensor.clone()), ("bits", bits.to_string())],
            Self::OffsetsReversed { tensor, start, end } => {
                vec![("tensor", tensor.clone()), ("start", start.to_string()), ("end", end.to_string())]
            }
            Self::OffsetPastEnd { tensor, end, file_bytes } => {
                vec![("tensor", tensor.clone()), ("end", end.to_string()), ("file_bytes", file_bytes.to_string())]
            }
            Self::SpanMismatch { tensor, span_bytes, shape_bytes } => vec![
                ("tensor", tensor.clone()),
                ("span_bytes", span_bytes.to_string()),
                ("shape_bytes", shape_bytes.to_string()),
            ],
            Self::Overlap { first, second } => vec![("first", first.clone()), ("second", second.clone())],
            Self::Hole { tensor, bytes } => vec![("tensor", tensor.clone()), ("bytes", bytes.to_string())],
            Self::TrailingBytes { bytes } => vec![("bytes", bytes.to_string())],
        }
    }
}

/// Reads and checks the header of a file of `file_len` bytes. Reads only the header, from the file's beginning.
///
/// # Errors
/// One variant of [`HeaderError`] per broken rule; the first one found.
pub fn read_header(reader: &mut (impl Read + Seek), file_len: u64) -> Result<Header, HeaderError> {
    let text = read_text(reader, file_len)?;
    Ok(Table::of(&text)?.into_header())
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
