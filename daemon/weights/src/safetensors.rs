//! The header of a safetensors file, checked rule by rule before anything trusts an offset in it.
//!
//! The layout is a little-endian `u64` (the JSON's length in bytes), the JSON, then the tensors' bytes. The rules are
//! those of the format's description and its reference implementation (huggingface/safetensors, 0.8): no duplicate
//! keys, every byte of the data belongs to exactly one tensor, and a tensor's span is what its type and shape say.

use crate::shapes::for_message;
use paintbox_domain::{Classify, ErrorClass, reason};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};

/// The reference implementation's bound on the JSON, in bytes.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;
/// More tensors than any model has; it bounds memory before the shapes are known to be true.
pub const MAX_TENSORS: usize = 200_000;
/// More dimensions than any tensor has.
pub const MAX_RANK: usize = 16;

const LENGTH_PREFIX_BYTES: u64 = 8;

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
    let read = |source| HeaderError::Read { source };
    if file_len < LENGTH_PREFIX_BYTES + 2 {
        return Err(HeaderError::TooShort { file_bytes: file_len });
    }
    reader.seek(SeekFrom::Start(0)).map_err(read)?;
    let mut prefix = [0; LENGTH_PREFIX_BYTES as usize];
    reader.read_exact(&mut prefix).map_err(read)?;
    let header_bytes = u64::from_le_bytes(prefix);
    if header_bytes > MAX_HEADER_BYTES {
        return Err(HeaderError::HeaderTooLarge { header_bytes, limit_bytes: MAX_HEADER_BYTES });
    }
    let data_start = LENGTH_PREFIX_BYTES + header_bytes;
    if data_start > file_len {
        return Err(HeaderError::HeaderPastEnd { header_bytes, file_bytes: file_len });
    }
    // The buffer grows with what really arrives, not with what the first eight bytes promise.
    let mut json = Vec::new();
    let got = reader.take(header_bytes).read_to_end(&mut json).map_err(read)?;
    if (got as u64) < header_bytes {
        return Err(read(std::io::ErrorKind::UnexpectedEof.into()));
    }
    if json.first() != Some(&b'{') {
        return Err(HeaderError::NotAnObject);
    }
    let text = std::str::from_utf8(&json).map_err(|source| HeaderError::NotUtf8 { source })?;
    let raw: RawHeader = serde_json::from_str(text).map_err(|source| HeaderError::Json { source })?;
    check(raw, data_start, file_len)
}

fn check(raw: RawHeader, data_start: u64, file_len: u64) -> Result<Header, HeaderError> {
    if raw.too_many_tensors {
        return Err(HeaderError::TooManyTensors { limit: MAX_TENSORS });
    }
    if raw.metadata_twice {
        return Err(HeaderError::DuplicateName { name: METADATA_KEY.to_owned() });
    }
    let mut header = Header { data_start, ..Header::default() };
    for (key, value) in raw.metadata {
        if header.metadata.contains_key(&key) {
            return Err(HeaderError::DuplicateMetadata { key: for_message(&key) });
        }
        header.metadata.insert(key, value);
    }
    let mut tensors = Vec::with_capacity(raw.tensors.len());
    for (name, tensor) in raw.tensors {
        let info = check_tensor(&name, tensor, data_start, file_len)?;
        tensors.push((name, info));
    }
    // Files are written in the order of names as a rule, so that this and the map made of it cost one look at each.
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    if let Some([(name, _), _]) = tensors.array_windows().find(|[(a, _), (b, _)]| a == b) {
        return Err(HeaderError::DuplicateName { name: for_message(name) });
    }
    check_coverage(&tensors, data_start, file_len)?;
    header.tensors = tensors.into_iter().collect();
    Ok(header)
}

fn check_tensor(name: &str, raw: RawTensor, data_start: u64, file_len: u64) -> Result<TensorInfo, HeaderError> {
    let tensor = || for_message(name);
    let dtype = match raw.dtype {
        RawDtype::Known(dtype) => dtype,
        RawDtype::Unknown(dtype) => return Err(HeaderError::UnknownDtype { tensor: tensor(), dtype }),
    };
    let RawShape { dimensions: shape, too_long, too_large } = raw.shape;
    if too_long {
        return Err(HeaderError::TooManyDimensions { tensor: tensor(), limit: MAX_RANK });
    }
    let bits = shape
        .iter()
        .try_fold(1_u64, |product, &dimension| product.checked_mul(dimension as u64))
        .and_then(|elements| elements.checked_mul(dtype.bits()))
        .filter(|_| !too_large)
        .ok_or_else(|| HeaderError::ShapeOverflow { tensor: tensor() })?;
    if bits % 8 != 0 {
        return Err(HeaderError::NotWholeBytes { tensor: tensor(), bits });
    }
    let (start, end) = raw.data_offsets;
    let span_bytes =
        end.checked_sub(start).ok_or_else(|| HeaderError::OffsetsReversed { tensor: tensor(), start, end })?;
    let past_end = |end| HeaderError::OffsetPastEnd { tensor: tensor(), end, file_bytes: file_len };
    let absolute_end = data_start.checked_add(end).ok_or_else(|| past_end(end))?;
    if absolute_end > file_len {
        return Err(past_end(absolute_end));
    }
    if span_bytes != bits / 8 {
        return Err(HeaderError::SpanMismatch { tensor: tensor(), span_bytes, shape_bytes: bits / 8 });
    }
    Ok(TensorInfo { dtype, shape, start: data_start + start, end: absolute_end })
}

/// Every byte after the header belongs to exactly one tensor: nothing is read twice, nothing can hide between.
fn check_coverage(tensors: &[(String, TensorInfo)], data_start: u64, file_len: u64) -> Result<(), HeaderError> {
    let mut order: Vec<&(String, TensorInfo)> = tensors.iter().collect();
    order.sort_by_key(|(_, info)| (info.start, info.end));
    let mut reached = data_start;
    let mut previous = "";
    for (name, info) in order {
        if info.start < reached {
            return Err(HeaderError::Overlap { first: for_message(previous), second: for_message(name) });
        }
        if info.start > reached {
            return Err(HeaderError::Hole { tensor: for_message(name), bytes: info.start - reached });
        }
        reached = info.end;
        previous = name;
    }
    if reached < file_len {
        return Err(HeaderError::TrailingBytes { bytes: file_len - reached });
    }
    Ok(())
}

const METADATA_KEY: &str = "__metadata__";

/// The JSON as written, duplicates and all, so that the rules can be checked with errors of our own.
#[derive(Default)]
struct RawHeader {
    tensors: Vec<(String, RawTensor)>,
    too_many_tensors: bool,
    metadata: Vec<(String, String)>,
    metadata_twice: bool,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut header = RawHeader::default();
                let mut metadata_seen = false;
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA_KEY {
                        header.metadata_twice |= metadata_seen;
                        metadata_seen = true;
                        header.metadata = map.next_value::<Option<Pairs>>()?.map_or_else(Vec::new, |pairs| pairs.0);
                    } else if header.tensors.len() < MAX_TENSORS {
                        header.tensors.push((name, map.next_value()?));
                    } else {
                        header.too_many_tensors = true;
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: RawDtype,
    shape: RawShape,
    data_offsets: (u64, u64),
}

/// A type by name, without a copy of the names that are known.
enum RawDtype {
    Known(Dtype),
    Unknown(String),
}

impl<'de> Deserialize<'de> for RawDtype {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DtypeVisitor;
        impl Visitor<'_> for DtypeVisitor {
            type Value = RawDtype;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a type")
            }

            fn visit_str<E>(self, name: &str) -> Result<RawDtype, E> {
                Ok(Dtype::from_name(name).map_or_else(|| RawDtype::Unknown(for_message(name)), RawDtype::Known))
            }
        }
        deserializer.deserialize_str(DtypeVisitor)
    }
}

/// At most [`MAX_RANK`] dimensions are kept, however long the list is.
struct RawShape {
    dimensions: Vec<usize>,
    too_long: bool,
    /// A dimension that this machine cannot count to.
    too_large: bool,
}

impl<'de> Deserialize<'de> for RawShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;
        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = RawShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawShape, A::Error> {
                let mut shape = RawShape { dimensions: Vec::new(), too_long: false, too_large: false };
                while let Some(dimension) = list.next_element::<u64>()? {
                    if shape.dimensions.len() == MAX_RANK {
                        shape.too_long = true;
                    } else if let Ok(dimension) = usize::try_from(dimension) {
                        shape.dimensions.push(dimension);
                    } else {
                        shape.too_large = true;
                    }
                }
                Ok(shape)
            }
        }
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

/// A JSON object of texts in the order and number they were written.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts by key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
