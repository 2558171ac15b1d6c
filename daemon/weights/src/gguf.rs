//! The header of a GGUF file (versions 2 and 3), read with the same care as a safetensors header.
//!
//! Layout and block sizes are those of ggml (`ggml/include/gguf.h`, `ggml/src/ggml.c`): magic, version, two counts,
//! key-value pairs, tensor descriptions, then aligned data. Every count and length is capped and the whole header is
//! bounded, so that no number in the file makes us allocate or read more than the file itself pays for.

use crate::shapes::for_message;
use paintbox_domain::{Classify, ErrorClass, reason};
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};

const MAX_TENSORS: u64 = 200_000;
const MAX_PAIRS: u64 = 65_536;
/// Vocabularies live in GGUF headers, so they may be long.
const MAX_HEADER_BYTES: u64 = 100_000_000;
const MAX_NAME_BYTES: u64 = 4_096;
/// Longer texts (chat templates, licences) are skipped, not kept.
const MAX_KEPT_TEXT_BYTES: u64 = 65_536;
/// ggml's own bound.
const MAX_RANK: u32 = 4;
const MAX_ARRAY_DEPTH: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

macro_rules! ggml_types {
    ($($variant:ident = $number:literal, $text:literal, $block:literal, $bytes:literal);+ $(;)?) => {
        /// ggml's element types, quantised or not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(non_camel_case_types, reason = "these are ggml's own names")]
        pub enum GgmlType { $($variant),+ }

        impl GgmlType {
            fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// The name as people write it, such as `q4_k`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Elements in one block, and the block's bytes.
            #[must_use]
            pub const fn block(self) -> (u64, u64) {
                match self { $(Self::$variant => ($block, $bytes)),+ }
            }
        }
    };
}

ggml_types! {
    F32 = 0, "fp32", 1, 4;
    F16 = 1, "fp16", 1, 2;
    Q4_0 = 2, "q4_0", 32, 18;
    Q4_1 = 3, "q4_1", 32, 20;
    Q5_0 = 6, "q5_0", 32, 22;
    Q5_1 = 7, "q5_1", 32, 24;
    Q8_0 = 8, "q8_0", 32, 34;
    Q8_1 = 9, "q8_1", 32, 36;
    Q2_K = 10, "q2_k", 256, 84;
    Q3_K = 11, "q3_k", 256, 110;
    Q4_K = 12, "q4_k", 256, 144;
    Q5_K = 13, "q5_k", 256, 176;
    Q6_K = 14, "q6_k", 256, 210;
    Q8_K = 15, "q8_k", 256, 292;
    IQ2_XXS = 16, "iq2_xxs", 256, 66;
    IQ2_XS = 17, "iq2_xs", 256, 74;
    IQ3_XXS = 18, "iq3_xxs", 256, 98;
    IQ1_S = 19, "iq1_s", 256, 50;
    IQ4_NL = 20, "iq4_nl", 32, 18;
    IQ3_S = 21, "iq3_s", 256, 110;
    IQ2_S = 22, "iq2_s", 256, 82;
    IQ4_XS = 23, "iq4_xs", 256, 136;
    I8 = 24, "i8", 1, 1;
    I16 = 25, "i16", 1, 2;
    I32 = 26, "i32", 1, 4;
    I64 = 27, "i64", 1, 8;
    F64 = 28, "fp64", 1, 8;
    IQ1_M = 29, "iq1_m", 256, 56;
    BF16 = 30, "bf16", 1, 2;
    TQ1_0 = 34, "tq1_0", 256, 54;
    TQ2_0 = 35, "tq2_0", 256, 66;
    MXFP4 = 39, "mxfp4", 32, 17;
}

/// One tensor: its type, its shape in torch order (GGUF writes it reversed) and where its bytes lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    pub ggml_type: GgmlType,
    pub shape: Vec<usize>,
    /// The first byte, counted from the beginning of the file.
    pub start: u64,
    /// One past the last byte, counted from the beginning of the file.
    pub end: u64,
}

/// A checked header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    pub version: u32,
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The single-valued pairs as text; lists and long texts are left out.
    pub metadata: BTreeMap<String, String>,
    /// Where the tensors' bytes begin, counted from the beginning of the file.
    pub data_start: u64,
}

/// The rule that a GGUF header breaks.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    #[error("the GGUF header could not be read")]
    Read {
        #[source]
        source: std::io::Error,
    },
    #[error("the file does not begin with `GGUF`")]
    NoMagic,
    #[error("GGUF version {version} is not one we read (2 and 3)")]
    UnknownVersion { version: u32 },
    #[error("the GGUF header claims {count} {what}; {limit} are the most allowed")]
    TooMany { what: &'static str, count: u64, limit: u64 },
    #[error("the GGUF header is longer than {limit_bytes} bytes, or ends with the file")]
    HeaderTooLong { limit_bytes: u64 },
    #[error("a name in the GGUF header is {length_bytes} bytes long; {limit_bytes} are the most allowed")]
    NameTooLong { length_bytes: u64, limit_bytes: u64 },
    #[error("a name in the GGUF header is not UTF-8")]
    NotUtf8 {
        #[source]
        source: std::string::FromUtf8Error,
    },
    #[error("`{key}` has the unknown value type {value_type}")]
    UnknownValueType { key: String, value_type: u32 },
    #[error("`{key}` nests lists too deeply")]
    NestedTooDeeply { key: String },
    #[error("the GGUF header has `{name}` twice")]
    DuplicateName { name: String },
    #[error("an alignment of {alignment} bytes is no power of two from 8 up")]
    BadAlignment { alignment: u64 },
    #[error("tensor `{tensor}` has {rank} dimensions; {limit} are the most allowed")]
    TooManyDimensions { tensor: String, rank: u32, limit: u32 },
    #[error("tensor `{tensor}` has the unknown type {ggml_type}")]
    UnknownType { tensor: String, ggml_type: u32 },
    #[error("the shape of tensor `{tensor}` is larger than any memory")]
    ShapeOverflow { tensor: String },
    #[error("rows of tensor `{tensor}` do not divide into blocks of {block}")]
    RowsNotBlocks { tensor: String, block: u64 },
    #[error("tensor `{tensor}` begins at offset {offset}, which is not aligned to {alignment} bytes")]
    Misaligned { tensor: String, offset: u64, alignment: u64 },
    #[error("tensor `{tensor}` ends past the end of a file of {file_bytes} bytes")]
    PastEnd { tensor: String, file_bytes: u64 },
    #[error("tensors `{first}` and `{second}` overlap")]
    Overlap { first: String, second: String },
}

impl Classify for GgufError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::UnknownVersion { .. } | Self::UnknownType { .. } => ErrorClass::Unsupported,
            Self::Read { .. }
            | Self::NoMagic
            | Self::TooMany { .. }
            | Self::HeaderTooLong { .. }
            | Self::NameTooLong { .. }
            | Self::NotUtf8 { .. }
            | Self::UnknownValueType { .. }
            | Self::NestedTooDeeply { .. }
            | Self::DuplicateName { .. }
            | Self::BadAlignment { .. }
            | Self::TooManyDimensions { .. }
            | Self::ShapeOverflow { .. }
            | Self::RowsNotBlocks { .. }
            | Self::Misaligned { .. }
            | Self::PastEnd { .. }
            | Self::Overlap { .. } => ErrorClass::DataLoss,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Read { source } if source.kind() != std::io::ErrorKind::UnexpectedEof => reason::STORE_FAILED,
            Self::Read { .. }
            | Self::NoMagic
            | Self::UnknownVersion { .. }
            | Self::TooMany { .. }
            | Self::HeaderTooLong { .. }
            | Self::NameTooLong { .. }
            | Self::NotUtf8 { .. }
            | Self::UnknownValueType { .. }
            | Self::NestedTooDeeply { .. }
            | Self::DuplicateName { .. }
            | Self::BadAlignment { .. }
            | Self::TooManyDimensions { .. }
            | Self::UnknownType { .. }
            | Self::ShapeOverflow { .. }
            | Self::RowsNotBlocks { .. }
            | Self::Misaligned { .. }
            | Self::PastEnd { .. }
            | Self::Overlap { .. } => reason::MALFORMED_FILE,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Read { .. } | Self::NoMagic | Self::NotUtf8 { .. } => Vec::new(),
            Self::UnknownVersion { version } => vec![("version", version.to_string())],
            Self::TooMany { what, count, limit } => {
                vec![("what", (*what).to_owned()), ("count", count.to_string()), ("limit", limit.to_string())]
            }
            Self::HeaderTooLong { limit_bytes } => vec![("limit_bytes", limit_bytes.to_string())],
            Self::NameTooLong { length_bytes, limit_bytes } => {
                vec![("length_bytes", length_bytes.to_string()), ("limit_bytes", limit_bytes.to_string())]
            }
            Self::UnknownValueType { key, value_type } => {
                vec![("key", key.clone()), ("value_type", value_type.to_string())]
            }
            Self::NestedTooDeeply { key } => vec![("key", key.clone())],
            Self::DuplicateName { name } => vec![("name", name.clone())],
            Self::BadAlignment { alignment } => vec![("alignment", alignment.to_string())],
            Self::TooManyDimensions { tensor, rank, limit } => {
                vec![("tensor", tensor.clone()), ("rank", rank.to_string()), ("limit", limit.to_string())]
            }
            Self::UnknownType { tensor, ggml_type } => {
                vec![("tensor", tensor.clone()), ("ggml_type", ggml_type.to_string())]
            }
            Self::ShapeOverflow { tensor } => vec![("tensor", tensor.clone())],
            Self::RowsNotBlocks { tensor, block } => vec![("tensor", tensor.clone()), ("block", block.to_string())],
            Self::Misaligned { tensor, offset, alignment } => {
                vec![("tensor", tensor.clone()), ("offset", offset.to_string()), ("alignment", alignment.to_string())]
            }
            Self::PastEnd { tensor, file_bytes } => {
                vec![("tensor", tensor.clone()), ("file_bytes", file_bytes.to_string())]
            }
            Self::Overlap { first, second } => vec![("first", first.clone()), ("second", second.clone())],
        }
    }
}

/// Reads and checks the header of a file of `file_len` bytes, from the file's beginning.
///
/// # Errors
/// One variant of [`GgufError`] per broken rule; the first one found.
pub fn read_header(reader: &mut (impl Read + Seek), file_len: u64) -> Result<Header, GgufError> {
    reader.seek(SeekFrom::Start(0)).map_err(|source| GgufError::Read { source })?;
    let limit_bytes = file_len.min(MAX_HEADER_BYTES);
    let mut source = Source { reader: BufReader::new(reader), read_bytes: 0, limit_bytes };
    if source.bytes::<4>()? != *b"GGUF" {
        return Err(GgufError::NoMagic);
    }
    let version = source.u32()?;
    if !matches!(version, 2 | 3) {
        return Err(GgufError::UnknownVersion { version });
    }
    let tensor_count = source.count("tensors", MAX_TENSORS)?;
    let pair_count = source.count("pairs", MAX_PAIRS)?;
    let mut header = Header { version, ..Header::default() };
    for _ in 0..pair_count {
        let key = source.name()?;
        let value = source.value(&key)?;
        if let Some(value) = value
            && header.metadata.insert(key.clone(), value).is_some()
        {
            return Err(GgufError::DuplicateName { name: for_message(&key) });
        }
    }
    let alignment = alignment(&header.metadata)?;
    let mut described = Vec::new();
    for _ in 0..tensor_count {
        described.push(source.tensor()?);
    }
    header.data_start = source.read_bytes.next_multiple_of(alignment);
    for tensor in described {
        let info = place(&tensor, header.data_start, alignment, file_len)?;
        if header.tensors.contains_key(&tensor.name) {
            return Err(GgufError::DuplicateName { name: for_message(&tensor.name) });
        }
        header.tensors.insert(tensor.name, info);
    }
    check_overlaps(&header)?;
    Ok(header)
}

fn alignment(metadata: &BTreeMap<String, String>) -> Result<u64, GgufError> {
    let Some(text) = metadata.get("general.alignment") else { return Ok(DEFAULT_ALIGNMENT) };
    let alignment = text.parse().unwrap_or(0);
    if alignment >= 8 && u64::is_power_of_two(alignment) && alignment <= u64::from(u32::MAX) {
        Ok(alignment)
    } else {
        Err(GgufError::BadAlignment { alignment })
    }
}

/// A tensor's description as written: dimensions innermost first, offset counted from the data's beginning.
struct Described {
    name: String,
    dimensions: Vec<u64>,
    ggml_type: u32,
    offset: u64,
}

fn place(tensor: &Described, data_start: u64, alignment: u64, file_len: u64) -> Result<TensorInfo, GgufError> {
    let name = || for_message(&tensor.name);
    let ggml_type = GgmlType::from_number(tensor.ggml_type)
        .ok_or_else(|| GgufError::UnknownType { tensor: name(), ggml_type: tensor.ggml_type })?;
    let overflow = || GgufError::ShapeOverflow { tensor: name() };
    let elements =
        tensor.dimensions.iter().try_fold(1_u64, |product, &d| product.checked_mul(d)).ok_or_else(overflow)?;
    let (block, block_bytes) = ggml_type.block();
    if tensor.dimensions.first().copied().unwrap_or(1) % block != 0 {
        return Err(GgufError::RowsNotBlocks { tensor: name(), block });
    }
    let length = (elements / block).checked_mul(block_bytes).ok_or_else(overflow)?;
    if !tensor.offset.is_multiple_of(alignment) {
        return Err(GgufError::Misaligned { tensor: name(), offset: tensor.offset, alignment });
    }
    let start = data_start.checked_add(tensor.offset);
    let end = start.and_then(|start| start.checked_add(length)).filter(|&end| end <= file_len);
    let (Some(start), Some(end)) = (start, end) else {
        return Err(GgufError::PastEnd { tensor: name(), file_bytes: file_len });
    };
    let shape = tensor
        .dimensions
        .iter()
        .rev()
        .map(|&dimension| usize::try_from(dimension).map_err(|_| overflow()))
        .collect::<Result<_, _>>()?;
    Ok(TensorInfo { ggml_type, shape, start, end })
}

fn check_overlaps(header: &Header) -> Result<(), GgufError> {
    let mut order: Vec<(&String, &TensorInfo)> = header.tensors.iter().collect();
    order.sort_by_key(|(_, info)| (info.start, info.end));
    for pair in order.windows(2) {
        let [(first, first_info), (second, second_info)] = pair else { continue };
        if second_info.start < first_info.end {
            return Err(GgufError::Overlap { first: for_message(first), second: for_message(second) });
        }
    }
    Ok(())
}

/// The header's bytes, counted, never more than `limit_bytes`.
struct Source<R> {
    reader: R,
    read_bytes: u64,
    limit_bytes: u64,
}

impl<R: Read> Source<R> {
    fn claim(&mut self, length: u64) -> Result<(), GgufError> {
        let after = self.read_bytes.checked_add(length).filter(|&after| after <= self.limit_bytes);
        self.read_bytes = after.ok_or(GgufError::HeaderTooLong { limit_bytes: self.limit_bytes })?;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|source| GgufError::Read { source })?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, GgufError> {
        let count = self.u64()?;
        if count > limit { Err(GgufError::TooMany { what, count, limit }) } else { Ok(count) }
    }

    fn skip(&mut self, length: u64) -> Result<(), GgufError> {
        self.claim(length)?;
        let read = |source| GgufError::Read { source };
        let skipped = std::io::copy(&mut self.reader.by_ref().take(length), &mut std::io::sink()).map_err(read)?;
        if skipped < length { Err(read(std::io::ErrorKind::UnexpectedEof.into())) } else { Ok(()) }
    }

    fn text(&mut self, length: u64) -> Result<String, GgufError> {
        self.claim(length)?;
        let mut bytes = Vec::new();
        let read = |source| GgufError::Read { source };
        let got = self.reader.by_ref().take(length).read_to_end(&mut bytes).map_err(read)?;
        if (got as u64) < length {
            return Err(read(std::io::ErrorKind::UnexpectedEof.into()));
        }
        String::from_utf8(bytes).map_err(|source| GgufError::NotUtf8 { source })
    }

    fn name(&mut self) -> Result<String, GgufError> {
        let length_bytes = self.u64()?;
        if length_bytes > MAX_NAME_BYTES {
            return Err(GgufError::NameTooLong { length_bytes, limit_bytes: MAX_NAME_BYTES });
        }
        self.text(length_bytes)
    }

    /// A value as text; `None` for what is not kept.
    fn value(&mut self, key: &str) -> Result<Option<String>, GgufError> {
        let value_type = self.u32()?;
        Ok(Some(match value_type {
            0 => self.bytes().map(u8::from_le_bytes)?.to_string(),
            1 => self.bytes().map(i8::from_le_bytes)?.to_string(),
            2 => self.bytes().map(u16::from_le_bytes)?.to_string(),
            3 => self.bytes().map(i16::from_le_bytes)?.to_string(),
            4 => self.u32()?.to_string(),
            5 => self.bytes().map(i32::from_le_bytes)?.to_string(),
            6 => self.bytes().map(f32::from_le_bytes)?.to_string(),
            7 => (self.bytes::<1>()? != [0]).to_string(),
            10 => self.u64()?.to_string(),
            11 => self.bytes().map(i64::from_le_bytes)?.to_string(),
            12 => self.bytes().map(f64::from_le_bytes)?.to_string(),
            TEXT => {
                let length = self.u64()?;
                if length > MAX_KEPT_TEXT_BYTES {
                    self.skip(length)?;
                    return Ok(None);
                }
                self.text(length)?
            }
            LIST => {
                self.skip_list(key, 1)?;
                return Ok(None);
            }
            _ => return Err(GgufError::UnknownValueType { key: for_message(key), value_type }),
        }))
    }

    fn skip_list(&mut self, key: &str, depth: u32) -> Result<(), GgufError> {
        if depth > MAX_ARRAY_DEPTH {
            return Err(GgufError::NestedTooDeeply { key: for_message(key) });
        }
        let value_type = self.u32()?;
        let length = self.u64()?;
        let element_bytes = match value_type {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            TEXT => {
                // Each text claims its length's eight bytes, so a false count ends at the header's bound.
                for _ in 0..length {
                    let text_bytes = self.u64()?;
                    self.skip(text_bytes)?;
                }
                return Ok(());
            }
            LIST => {
                for _ in 0..length {
                    self.skip_list(key, depth + 1)?;
                }
                return Ok(());
            }
            _ => return Err(GgufError::UnknownValueType { key: for_message(key), value_type }),
        };
        let bytes =
            length.checked_mul(element_bytes).ok_or(GgufError::HeaderTooLong { limit_bytes: self.limit_bytes })?;
        self.skip(bytes)
    }

    fn tensor(&mut self) -> Result<Described, GgufError> {
        let name = self.name()?;
        let rank = self.u32()?;
        if rank > MAX_RANK {
            return Err(GgufError::TooManyDimensions { tensor: for_message(&name), rank, limit: MAX_RANK });
        }
        let dimensions = (0..rank).map(|_| self.u64()).collect::<Result<_, _>>()?;
        let ggml_type = self.u32()?;
        Ok(Described { name, dimensions, ggml_type, offset: self.u64()? })
    }
}

/// Value types of GGUF with a length of their own.
const TEXT: u32 = 8;
const LIST: u32 = 9;

#[cfg(test)]
#[path = "gguf_tests.rs"]
mod tests;
