//! A checked header that points into its own text: what is needed to look at a file, without a copy of a thousand names.

use super::raw::{METADATA_KEY, RawDtype, RawEntry, RawHeader};
use super::scan::scan;
use super::{Dtype, Header, HeaderError, MAX_HEADER_BYTES, MAX_RANK, MAX_TENSORS, TensorInfo};
use crate::shapes::for_message;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

const LENGTH_PREFIX_BYTES: u64 = 8;
/// What is set aside for a header before any of it has arrived; most are smaller.
const EXPECTED_HEADER_BYTES: u64 = 256 * 1_024;

/// The JSON of a header, and where in its file it stands.
#[derive(Debug)]
pub(crate) struct HeaderText {
    json: String,
    data_start: u64,
    file_len: u64,
}

/// One tensor of a [`Table`].
#[derive(Debug)]
pub(crate) struct Entry<'t> {
    name: Cow<'t, str>,
    dtype: Dtype,
    shape: Range<usize>,
    /// First and one past last byte, counted from the beginning of the file.
    span: (u64, u64),
}

/// The tensors of a header in the order of their names.
#[derive(Debug)]
pub(crate) struct Table<'t> {
    entries: Vec<Entry<'t>>,
    dimensions: Vec<usize>,
    metadata: BTreeMap<String, String>,
    data_start: u64,
}

/// Reads the header of a file of `file_len` bytes, and nothing behind it.
pub(crate) fn read_text(reader: &mut (impl Read + Seek), file_len: u64) -> Result<HeaderText, HeaderError> {
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
    // Beyond a usual size the buffer grows with what really arrives, not with what the first eight bytes promise.
    let mut json = Vec::with_capacity(header_bytes.min(EXPECTED_HEADER_BYTES) as usize);
    let got = reader.take(header_bytes).read_to_end(&mut json).map_err(read)?;
    if (got as u64) < header_bytes {
        return Err(read(std::io::ErrorKind::UnexpectedEof.into()));
    }
    if json.first() != Some(&b'{') {
        return Err(HeaderError::NotAnObject);
    }
    let json = String::from_utf8(json).map_err(|error| HeaderError::NotUtf8 { source: error.utf8_error() })?;
    Ok(HeaderText { json, data_start, file_len })
}

impl<'t> Table<'t> {
    /// Checks every rule of the format; the first that is broken is the error.
    pub(crate) fn of(text: &'t HeaderText) -> Result<Self, HeaderError> {
        let raw: RawHeader<'t> = match scan(&text.json) {
            Some(raw) => raw,
            None => serde_json::from_str(&text.json).map_err(|source| HeaderError::Json { source })?,
        };
        if raw.too_many_tensors {
            return Err(HeaderError::TooManyTensors { limit: MAX_TENSORS });
        }
        if raw.metadata_twice {
            return Err(HeaderError::DuplicateName { name: METADATA_KEY.to_owned() });
        }
        let mut metadata = BTreeMap::new();
        for (key, value) in raw.metadata {
            if metadata.contains_key(&key) {
                return Err(HeaderError::DuplicateMetadata { key: for_message(&key) });
            }
            metadata.insert(key, value);
        }
        let mut entries = Vec::with_capacity(raw.tensors.len());
        for tensor in raw.tensors {
            let shape = raw.dimensions.get(tensor.shape.clone()).unwrap_or_default();
            entries.push(check_tensor(tensor, shape, text)?);
        }
        // Files are written in the order of their bytes as a rule, and names are in order within each type. Both orders
        // are looked at before anything is sorted, and a name that stands twice is told before its bytes that overlap.
        let coverage = check_coverage(&mut entries, text);
        if !entries.is_sorted_by(|a, b| a.name < b.name) {
            entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        }
        if let Some([twice, _]) = entries.array_windows().find(|[a, b]| a.name == b.name) {
            return Err(HeaderError::DuplicateName { name: for_message(&twice.name) });
        }
        coverage?;
        Ok(Self { entries, dimensions: raw.dimensions, metadata, data_start: text.data_start })
    }

    pub(crate) fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        let place = self.entries.binary_search_by(|entry| entry.name.as_ref().cmp(name)).ok()?;
        self.entries.get(place).map(|entry| self.shape_of(entry))
    }

    /// The first name from `prefix` on.
    pub(crate) fn first_from(&self, prefix: &str) -> Option<&str> {
        let place = self.entries.partition_point(|entry| entry.name.as_ref() < prefix);
        self.entries.get(place).map(|entry| entry.name.as_ref())
    }

    /// Name, type and shape of every tensor, in the order of names.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&str, Dtype, &[usize])> {
        self.entries.iter().map(|entry| (entry.name.as_ref(), entry.dtype, self.shape_of(entry)))
    }

    fn shape_of(&self, entry: &Entry<'_>) -> &[usize] {
        self.dimensions.get(entry.shape.clone()).unwrap_or_default()
    }

    pub(super) fn into_header(self) -> Header {
        let Self { entries, dimensions, metadata, data_start } = self;
        let tensors = entries.into_iter().map(|Entry { name, dtype, shape, span: (start, end) }| {
            let shape = dimensions.get(shape).unwrap_or_default().to_vec();
            (name.into_owned(), TensorInfo { dtype, shape, start, end })
        });
        Header { tensors: tensors.collect(), metadata, data_start }
    }
}

fn check_tensor<'t>(raw: RawEntry<'t>, shape: &[usize], text: &HeaderText) -> Result<Entry<'t>, HeaderError> {
    let tensor = || for_message(&raw.name);
    let dtype = match raw.dtype {
        RawDtype::Known(dtype) => dtype,
        RawDtype::Unknown(ref dtype) => {
            return Err(HeaderError::UnknownDtype { tensor: tensor(), dtype: dtype.to_string() });
        }
    };
    if raw.has_too_many_dimensions {
        return Err(HeaderError::TooManyDimensions { tensor: tensor(), limit: MAX_RANK });
    }
    let bits = shape
        .iter()
        .try_fold(1_u64, |product, &dimension| product.checked_mul(dimension as u64))
        .and_then(|elements| elements.checked_mul(dtype.bits()))
        .filter(|_| !raw.has_too_large_dimension)
        .ok_or_else(|| HeaderError::ShapeOverflow { tensor: tensor() })?;
    if bits % 8 != 0 {
        return Err(HeaderError::NotWholeBytes { tensor: tensor(), bits });
    }
    let (start, end) = raw.data_offsets;
    let span_bytes =
        end.checked_sub(start).ok_or_else(|| HeaderError::OffsetsReversed { tensor: tensor(), start, end })?;
    let past_end = |end| HeaderError::OffsetPastEnd { tensor: tensor(), end, file_bytes: text.file_len };
    let absolute_end = text.data_start.checked_add(end).ok_or_else(|| past_end(end))?;
    if absolute_end > text.file_len {
        return Err(past_end(absolute_end));
    }
    if span_bytes != bits / 8 {
        return Err(HeaderError::SpanMismatch { tensor: tensor(), span_bytes, shape_bytes: bits / 8 });
    }
    Ok(Entry { dtype, shape: raw.shape, span: (text.data_start + start, absolute_end), name: raw.name })
}

/// Every byte after the header belongs to exactly one tensor: nothing is read twice, nothing can hide between. Leaves the
/// tensors in the order of their bytes.
fn check_coverage(entries: &mut [Entry<'_>], text: &HeaderText) -> Result<(), HeaderError> {
    // Tensors without bytes may begin at one place; their names keep the order one.
    if !entries.is_sorted_by(|a, b| (a.span, &a.name) < (b.span, &b.name)) {
        entries.sort_unstable_by(|a, b| (a.span, &a.name).cmp(&(b.span, &b.name)));
    }
    let mut reached = text.data_start;
    let mut previous = "";
    for Entry { name, span: (start, end), .. } in entries.iter() {
        if *start < reached {
            return Err(HeaderError::Overlap { first: for_message(previous), second: for_message(name) });
        }
        if *start > reached {
            return Err(HeaderError::Hole { tensor: for_message(name), bytes: start - reached });
        }
        reached = *end;
        previous = name;
    }
    if reached < text.file_len {
        return Err(HeaderError::TrailingBytes { bytes: text.file_len - reached });
    }
    Ok(())
}
